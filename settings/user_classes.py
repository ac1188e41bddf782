"""Classes of the user's own that rows may name, for the rest of the process; `allow` on the command line adds them."""

_CLASSES: dict[str, type] = {}  # by target


def add_user_class(target: str, user_class: type) -> None:
    """Let rows name a class of the user's own."""
    _CLASSES[target] = user_class


def find_user_classes(base: type) -> dict[str, type]:
    """Return the classes of the user's own that are subclasses of a class, by target.

    Example:
        >>> class Mine(dict): ...
        >>> add_user_class("mine.Mine", Mine)
        >>> list(find_user_classes(dict))
        ['mine.Mine']
    """
    return {target: each for target, each in _CLASSES.items() if issubclass(each, base)}
