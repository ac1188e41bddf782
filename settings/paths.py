"""Paths made from words that come from a file, a store or a file's name."""

from pathlib import Path

from .. import UserError
from .text import printable

_LONGEST_WORD = 200  # characters of a refused word that an error message shows


def path_below(folder: Path, word: str) -> Path:
    """The path of `word` in a folder, which it cannot leave: not by `..`, an absolute path, or a link.

    Args:
        folder: need not be there.
        word: a name, or a relative path with `/`.

    Returns:
        `folder / word`.

    Raises:
        UserError: the path is not below the folder.

    Example:
        >>> path_below(Path("reports"), "lenet").as_posix()
        'reports/lenet'
        >>> path_below(Path("reports"), "../../x")
        Traceback (most recent call last):
        convzoo.UserError: '../../x' must name a place below reports
    """
    try:
        path = folder / word
        is_below = folder.resolve() in path.resolve().parents and ".." not in path.relative_to(folder).parts
    except (OSError, ValueError, RuntimeError, TypeError):  # a NUL, a name that is too long, links in a circle
        is_below = False
    if not is_below:
        raise UserError(f"{printable(repr(word))[:_LONGEST_WORD]} must name a place below {printable(folder)}")
    return path
