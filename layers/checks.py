"""Checks of the arguments of constructors."""

import math
import numbers

import keras


def is_int(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def check_positive_int(name, value, at_most=math.inf):
    """`value` as an int, or a ValueError that shows it."""
    if not is_int(value) or not 1 <= value <= at_most:
        bound = f" of at most {at_most}" if at_most < math.inf else ""
        raise ValueError(f"`{name}` must be a positive integer{bound}. Received: {name}={value!r}")
    return int(value)


def check_number(name, value, at_least=None, above=None):
    """`value` as a finite float within its bound, or a ValueError that shows it."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
    if is_number and (at_least is None or value >= at_least) and (above is None or value > above):
        return float(value)
    bound = f" >= {at_least:g}" if at_least is not None else f" > {above:g}" if above is not None else ""
    raise ValueError(f"`{name}` must be a finite number{bound}. Received: {name}={value!r}")


def check_bool(name, value):
    """`value` if it is a bool, or a ValueError that shows it."""
    if not isinstance(value, bool):
        raise ValueError(f"`{name}` must be True or False. Received: {name}={value!r}")
    return value


def check_seed(value):
    """`value` if it is None or a non-negative integer, or a ValueError that shows it."""
    if value is None or (is_int(value) and value >= 0):
        return None if value is None else int(value)
    raise ValueError(f"`seed` must be None or a non-negative integer. Received: seed={value!r}")


def check_option(name, value, options):
    """`value` if it is one of `options`, or a ValueError that shows both."""
    if value not in options:
        raise ValueError(f"`{name}` must be one of {quote_options(options)}. Received: {name}={value!r}")
    return value


def check_data_format(value):
    """`value`, or Keras's configured format for None, or a ValueError that shows it."""
    value = keras.config.image_data_format() if value is None else value
    return check_option("data_format", value, ("channels_last", "channels_first"))


def check_pair(name, value):
    """(height, width) of a positive integer or of two, or a ValueError that shows it."""
    pair = (value, value) if is_int(value) else value
    try:
        pair = tuple(pair)
    except TypeError:
        pair = ()
    if len(pair) != 2 or not all(is_int(n) and n > 0 for n in pair):
        raise ValueError(
            f"`{name}` must be a positive integer or a pair (height, width) of them. Received: {name}={value!r}"
        )
    return int(pair[0]), int(pair[1])


def quote_options(options):
    return ", ".join(f'"{word}"' for word in options)
