"""Which keys a config may have: Hydra keeps whatever `+key=` adds, and it would change nothing."""

from collections.abc import Mapping

from .. import UserError

NAME = "a name, without / and \\"


def check_keys(config, sections):
    """Refuses a config that has other keys than these, or not all of them.

    Args:
        config: the resolved config, a plain mapping.
        sections: mapping from the path of a section ("" is the top) to its keys.

    Raises:
        UserError: naming the key.
    """
    for section, keys in sections.items():
        part = config[section] if section else config
        if not isinstance(part, Mapping):
            raise UserError(f"`{section}` must be one of its configs or a mapping. Received: {section}={part!r}")
        prefix = f"{section}." if section else ""
        if unknown := [key for key in part if key not in keys]:
            raise UserError(f"`{prefix}{unknown[0]}`: there is no such key; there are: {', '.join(keys)}")
        if missing := [key for key in keys if key not in part]:
            raise UserError(f"`{prefix}{missing[0]}` is missing")


def is_name(value):
    """Whether a value may name a study: printable, and it stays in the folder in which it names another."""
    if not isinstance(value, str) or value.strip() in ("", ".", "..") or len(value) > 200:
        return False
    return value.isprintable() and not {"/", "\\"} & set(value)


def check_name(value):
    """Returns what names a study.

    Raises:
        UserError: it cannot.
    """
    if not is_name(value):
        raise UserError(f"`study` must be {NAME}. Received: study={value!r}")
    return value
