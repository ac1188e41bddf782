"""The one way to check values before they are used: settings, and data that was read from a file or a store.

A schema is a pydantic model. Derive one of data from `Schema`, which is strict (no silent conversion from text to
number) and ignores unknown keys, so that a file written by a newer version can still be read. Derive one of settings
from `Settings`, which refuses unknown keys.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, TypeVar

import pydantic

from .. import UserError
from .rules import explain_unknown_key
from .text import printable

_LONGEST_VALUE = 200  # characters of a rejected value that an error message shows


class Schema(pydantic.BaseModel):
    """Base class of all schemas.

    Example:
        >>> class Lease(Schema):
        ...     owner: str
        ...     heartbeat: float
        >>> parse(Lease, {"owner": "me", "heartbeat": 1.5}, "lease.json").owner
        'me'
    """

    model_config = pydantic.ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


class Settings(pydantic.BaseModel):
    """Base class of the schemas of settings. Each field has a type, and may have a default, a range and a description.

    Example:
        >>> class Optimizer(Settings):
        ...     learning_rate: float = pydantic.Field(0.1, gt=0)
        >>> parse_settings(Optimizer, {"learning_rate": 0}, "optimizer")
        Traceback (most recent call last):
        convzoo.UserError: `optimizer.learning_rate` must be above 0. Received: optimizer.learning_rate=0
    """

    model_config = pydantic.ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


SchemaT = TypeVar("SchemaT", bound=pydantic.BaseModel)


def parse(schema: type[SchemaT], value: object, where: str) -> SchemaT:
    """Checks plain data against a schema.

    Args:
        schema: a subclass of `Schema`.
        value: what was read: mappings, lists, numbers, text.
        where: the file or record that it came from, for the error message.

    Returns:
        An instance of `schema`.

    Raises:
        UserError: `value` does not match. The message is one line that names `where`, the key, the rule and the value.

    Example:
        >>> class Point(Schema):
        ...     x: int
        >>> parse(Point, {"x": "one"}, "point.json")
        Traceback (most recent call last):
        convzoo.UserError: point.json: `x` should be a valid integer. Received: 'one'
    """
    try:
        return schema.model_validate(value)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        rule = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
        rule = rule if first["type"] != "missing" else "is missing"
        subject = f"`{printable(key)}` " if key else ""
        value_text = printable(repr(first["input"]))[:_LONGEST_VALUE]
        received = "" if first["type"] == "missing" else f". Received: {value_text}"
        raise UserError(f"{printable(where)}: {subject}{printable(rule)}{received}") from error


def _number_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Name = Annotated[str, pydantic.BeforeValidator(_number_as_text)]  # YAML reads a name such as 2015 as a number


def rule(holds: Callable[[Any], bool], requirement: str) -> pydantic.BeforeValidator:
    """Make a validator for a field whose type does not say it all.

    Args:
        holds: returns whether a value obeys the rule.
        requirement: what the value must be, in words.

    Example:
        >>> from typing import Annotated
        >>> class Crop(Settings):
        ...     side: Annotated[int, rule(lambda v: v in (8, 16), "8 or 16")]
        >>> parse_settings(Crop, {"side": 9})
        Traceback (most recent call last):
        convzoo.UserError: `side` must be 8 or 16. Received: side=9
    """

    def check(value: Any) -> Any:
        if not holds(value):
            raise ValueError(f"must be {requirement}")
        return value

    return pydantic.BeforeValidator(check)


def parse_settings(schema: type[SchemaT], value: object, section: str = "") -> SchemaT:
    """Check settings against a schema.

    Args:
        schema: a subclass of `Settings`.
        value: the resolved settings, a plain mapping.
        section: the key under which they stand in the whole config, "" at the top.

    Returns:
        An instance of `schema`, with its defaults for keys that are absent.

    Raises:
        UserError: one line that names the key, the rule and the value that was received.
    """
    try:
        return schema.model_validate(value)
    except pydantic.ValidationError as error:
        raise UserError(_explain(error.errors(include_url=False)[0], schema, section)) from error


_REQUIREMENTS = {
    "missing": "is missing",
    "int_type": "must be an integer",
    "int_from_float": "must be an integer",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be one of its configs or a mapping",
    "greater_than": "must be above {gt:g}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt:g}",
    "less_than_equal": "must be at most {le}",
}  # by pydantic's name of the error


def _explain(error: Mapping[str, Any], schema: type[pydantic.BaseModel], section: str) -> str:
    path = [*filter(None, [section]), *map(str, error["loc"])]
    key, kind, context = printable(".".join(path)), error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        known = [".".join(filter(None, [section, each])) for each in flat_keys(schema)]
        return f"`{key}`: unknown key; {explain_unknown_key(key, known)}"
    if kind == "value_error" and str(context["error"]).startswith("`"):  # it names its settings itself
        return str(context["error"])
    if kind == "literal_error":
        words = context["expected"].replace(" or ", ", ").replace("'", "")
        requirement = f"must be one of {words}"
    elif kind == "value_error":
        requirement = str(context["error"])
    else:
        requirement = _REQUIREMENTS.get(kind, error["msg"]).format(**context)
    received = "" if kind == "missing" else f". Received: {key}={error['input']!r}"
    return f"`{key}` {requirement}{received}"


def flat_keys(schema: type[pydantic.BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield every key of a schema, those of nested schemas with their dots.

    Example:
        >>> class Inner(Settings):
        ...     a: int
        >>> class Outer(Settings):
        ...     inner: Inner
        >>> list(flat_keys(Outer))
        ['inner', 'inner.a']
    """
    for name, field in schema.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        yield key
        if inner := _inner_schema(field.annotation):
            yield from flat_keys(inner, f"{key}.")


def default_settings(schema: type[pydantic.BaseModel]) -> dict[str, Any]:
    """Collect the defaults of a schema and of its nested schemas as a mapping; keys without a default are left out.

    Example:
        >>> class Inner(Settings):
        ...     a: int
        ...     b: int = 2
        >>> class Outer(Settings):
        ...     inner: Inner
        >>> default_settings(Outer)
        {'inner': {'b': 2}}
    """
    defaults: dict[str, Any] = {}
    for name, field in schema.model_fields.items():
        if schema_of_field := _inner_schema(field.annotation):
            if inner := default_settings(schema_of_field):
                defaults[field.alias or name] = inner
        elif not field.is_required():
            defaults[field.alias or name] = field.get_default(call_default_factory=True)
    return defaults


def _inner_schema(annotation: object) -> type[pydantic.BaseModel] | None:
    is_schema = isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel)
    return annotation if is_schema else None  # type: ignore[return-value]
