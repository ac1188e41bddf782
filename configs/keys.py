"""Which keys a config may have, and what they say: Hydra keeps whatever `+key=` adds, and it would change nothing."""

from collections.abc import Mapping

from .. import UserError

FLAG = (lambda v: isinstance(v, bool)), "true or false"
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


def check_rules(config, rules):
    """Refuses a config in which a value breaks its rule.

    Args:
        config: the resolved config, a mapping.
        rules: mapping from the path of a key to its rule: what holds of a value, and in words what it must be.

    Raises:
        UserError: naming the key.
    """
    for key, (holds, rule) in rules.items():
        value = config
        for part in key.split("."):
            value = value[part]
        if not holds(value):
            raise UserError(f"`{key}` must be {rule}. Received: {key}={value!r}")


def whole(minimum, maximum=2**32 - 1):
    """A rule, what holds and its words: an integer within bounds."""

    def holds(v):
        return isinstance(v, int) and not isinstance(v, bool) and minimum <= v <= maximum

    return holds, f"an integer from {minimum} to {maximum}"


def number(minimum, maximum=float("inf"), open_at_minimum=False):
    """A rule: a number from `minimum`, or above it, and below `maximum`."""

    def holds(v):
        if isinstance(v, bool) or not isinstance(v, int | float):
            return False
        return (minimum < v if open_at_minimum else minimum <= v) and v < maximum

    bounds = f"{'above' if open_at_minimum else 'at least'} {minimum}" + (
        f" and below {maximum}" if maximum < float("inf") else ""
    )
    return holds, f"a number {bounds}"


def one_of(words):
    """A rule: one of some words."""
    return lambda v: v in words, f"one of {', '.join(words)}"
