"""Constructors under the name of the class that they construct."""

import inspect
import types


def name_constructor(cls):
    """Gives `cls` a constructor of its own where it inherits one, and the docstring of the class where it has none.

    So Python's errors of arguments name the class that was called, and `help(cls.__init__)` says what they are.
    """
    inherited = cls.__init__
    if "__init__" not in vars(cls):
        cls.__init__ = types.FunctionType(
            inherited.__code__, inherited.__globals__, "__init__", inherited.__defaults__, inherited.__closure__
        )
        cls.__init__.__kwdefaults__ = inherited.__kwdefaults__
        cls.__init__.__module__ = cls.__module__
        cls.__init__.__qualname__ = f"{cls.__qualname__}.__init__"
    if cls.__init__.__doc__ is None:
        cls.__init__.__doc__ = inspect.getdoc(cls)
