"""Text from outside the program (files, stores, command lines) made safe to show, and text folded to a terminal."""

import math
import re
import textwrap
import unicodedata
from collections.abc import Collection, Mapping
from difflib import get_close_matches

_JOINERS = "\u200c\u200d"


def printable(text: object) -> str:
    """Escapes every character that a terminal could obey, such as the escape sequences of `\\x1b`.

    Args:
        text: any object; its `str` is taken.

    Returns:
        One line of printable characters. Line breaks become `\\n`.

    Example:
        >>> print(printable("a\\x1b[2Jb"))
        a\\x1b[2Jb
    """
    return "".join(c if has_only_text(c) else repr(c)[1:-1] for c in str(text))


def has_only_text(text: str) -> bool:
    """Return whether a text has no control characters, which a terminal would obey.

    Spaces of every script and the joiners that Persian, Hindi and emoji need are text.

    Example:
        >>> has_only_text("a\u3000\u200cb"), has_only_text("\x1b[2J"), has_only_text("\u202e")
        (True, False, False)
    """
    return all(c.isprintable() or c in _JOINERS or unicodedata.category(c) == "Zs" for c in text)


def printable_lines(text: object) -> str:
    """Like `printable`, but keeps line breaks.

    Example:
        >>> print(printable_lines("a\\nb\\x07"))
        a
        b\\x07
    """
    return "\n".join(map(printable, str(text).split("\n")))


def without_password(address: str) -> str:
    """Hides the password of an address, as in `http://user:password@host`.

    Args:
        address: an address, or a text that contains addresses.

    Example:
        >>> without_password("http://me:secret@host:5000/x")
        'http://me:***@host:5000/x'
    """
    return re.sub(r"(\w+://[^\s/:@]*):[^\s/]+@", r"\1:***@", address)


def csv_cell(value: object) -> object:
    """Keeps a spreadsheet from running a text cell as a formula, by a leading apostrophe.

    Numbers, also negative ones, stay as they are.

    Example:
        >>> csv_cell("=1+1"), csv_cell(-0.5), csv_cell("-0.5")
        ("'=1+1", -0.5, '-0.5')
    """
    if not isinstance(value, str) or not value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return value
    try:
        float(value)
        return value
    except ValueError:
        return f"'{value}"


def without_interpolations(value: object) -> object:
    """Escapes `${…}` in text from outside, so that OmegaConf resolves nothing in it and gives it back as it was.

    Args:
        value: text, or lists and mappings of it. Other values stay as they are.

    Example:
        >>> print(without_interpolations("${oc.env:HOME}"))
        \\${oc.env:HOME}
    """
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", lambda match: f"{match[1] * 2}\\${{", value)
    if isinstance(value, Mapping):
        return {key: without_interpolations(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_interpolations(inner) for inner in value]
    return value


def fold(text: str, width: int | None, indent: str = "    ") -> str:
    """Breaks long lines between words, so that a terminal does not break them within one.

    Args:
        text: lines; those that fit stay as they are.
        width: columns of the terminal; None folds nothing.
        indent: what the continuation of a line begins with, after the spaces that the line itself begins with.

    Example:
        >>> print(fold("model: lenet, nin, vgg16", 14, "  "))
        model: lenet,
          nin, vgg16
    """
    if width is None:
        return text
    return "\n".join(_fold_line(line, width, indent) for line in text.split("\n"))


def _fold_line(line: str, width: int, indent: str) -> str:
    if len(line) <= width:
        return line
    start = line[: len(line) - len(line.lstrip())]
    return textwrap.fill(
        line[len(start) :],
        width,
        initial_indent=start,
        subsequent_indent=start + indent,
        expand_tabs=False,
        replace_whitespace=False,
        break_long_words=False,
        break_on_hyphens=False,
    )


def find_near_words(word: str, known: Collection[str], cutoff: float = 0.5) -> list[str]:
    """The words that a misspelt word could have meant, at most three, the nearest first.

    Args:
        word: what was typed.
        known: what could have been meant.
        cutoff: from 0 to 1, how alike two words must be. Capitals, "-", "_" and spaces make no difference.

    Example:
        >>> find_near_words("ResNet-20", ["resnet20", "resnet20_b"])
        ['resnet20']
        >>> find_near_words("lennet", ["lenet", "nin"])
        ['lenet']
    """
    if same := [each for each in known if remove_separators(each) == remove_separators(word)]:
        return same[:1]
    return get_close_matches(word, known, 3, cutoff)


def did_you_mean(near: list[str]) -> str:
    """The question that an error message asks about a misspelt word, or "" if nothing is near.

    Example:
        >>> did_you_mean(["lenet", "lenet5"])
        'did you mean lenet, lenet5?'
    """
    return f"did you mean {', '.join(near)}?" if near else ""


def clip(text: object, length: int) -> str:
    """The printable text, cut to a number of characters with an ellipsis at its end.

    Example:
        >>> clip("learning_rate", 9)
        'learning…'
    """
    text = printable(text)
    return text if len(text) <= length else f"{text[: length - 1]}…"


def remove_separators(word: str) -> str:
    """A word in lower case without "-", "_" and spaces: what remains of it in any spelling.

    Example:
        >>> remove_separators("Learning-Rate")
        'learningrate'
    """
    return re.sub(r"[-_ ]", "", word).lower()


def format_number(value: float) -> str:
    """Format a number in at most seven characters; NaN is empty.

    Example:
        >>> format_number(-2.0), format_number(1 / 3)
        ('−2', '0.33')
    """
    if math.isnan(value):
        return ""
    if abs(value) >= 1e5:
        text = f"{value:.1e}"
    elif round(value, 2) == 0 and abs(value) >= 5e-5:
        text = f"{value:.1g}" if abs(value) >= 1e-4 else f"{value:.0e}"
    else:
        decimals = 2 if abs(value) < 100 else 1
        text = f"{value:.{decimals}f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "0") else text.replace("-", "−")
