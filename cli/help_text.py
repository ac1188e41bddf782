"""The list of settings that `--help` prints, from the schema of a command."""

import textwrap
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

_INDENT = 26


def describe_settings(schema: type[BaseModel], prefix: str = "", width: int = 78) -> str:
    """Describe each setting of a schema in a line or more: `key=values`, the description, the default.

    Args:
        schema: the settings of a command.
        prefix: of the keys, such as `recipe.`.
        width: columns.

    Example:
        >>> from pydantic import Field
        >>> class Recipe(BaseModel):
        ...     epochs: int = Field(3, description="passes over the training images")
        >>> print(describe_settings(Recipe))
          epochs=N                passes over the training images; default: 3
    """
    lines, sections = [], []
    for name, field in schema.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            sections.append(describe_settings(field.annotation, f"{key}.", width))
        elif field.description:
            lines.append(_describe(f"{key}={_values(field)}", field, width))
    return "\n".join([*lines, *(section for section in sections if section)])


def _describe(setting: str, field: FieldInfo, width: int) -> str:
    text = str(field.description)
    if not field.is_required() and field.default not in (None, "", [], {}):
        text += f"; default: {_show(field.default)}"
    start = f"  {setting}  "
    indent = " " * _INDENT
    if len(start) > _INDENT:
        return f"{start.rstrip()}\n{textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent)}"
    return textwrap.fill(text, width, initial_indent=start.ljust(_INDENT), subsequent_indent=indent)


def _values(field: FieldInfo) -> str:
    """Say in a word what values a field takes."""
    return str(field.examples[0]) if field.examples else _values_of_type(field.annotation)


def _values_of_type(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return "|".join(map(str, get_args(annotation)))
    if get_origin(annotation) in (Union, UnionType):
        return "|".join(dict.fromkeys(_values_of_type(each) for each in get_args(annotation) if each is not NoneType))
    names = {bool: "true|false", int: "N", float: "X", str: "TEXT"}
    return names.get(annotation, "…")


def _show(value: object) -> str:
    if isinstance(value, dict) and "_target_" in value:  # a row: the name of its class
        return str(value["_target_"]).rpartition(".")[2]
    return str(value).lower() if isinstance(value, bool) else str(value)
