"""Words of a command line that is not Hydra's."""

from typing import Any

import yaml

from .. import UserError


def parse_setting(word: str) -> tuple[str, Any]:
    """Parse `key=value`. The value is YAML, in which a list may also stand in parentheses.

    Args:
        word: of the command line.

    Returns:
        The key, and the value; None without "=".

    Raises:
        UserError: the value cannot be read.

    Example:
        >>> parse_setting("padding=(1,0)")
        ('padding', [1, 0])
    """
    key, sign, value = word.partition("=")
    if value.startswith("("):
        value = value.replace("(", "[").replace(")", "]")
    try:
        return key, yaml.safe_load(value) if sign else None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # such as a date of month 13
        raise UserError(f"`{key}` has a value that cannot be read. Received: {word}") from error
