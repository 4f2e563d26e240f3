"""Checks of arguments, shared by the public functions.

Every message names the argument, what was given and what is allowed. Needs NumPy alone.
"""

from numbers import Integral, Real

import numpy as np


def positive_number(name, value):
    """Return `value` as a float; raise unless it is one finite number above 0."""
    number = finite_number(name, value)
    if number <= 0:
        raise ValueError(f"{name} must be above 0, not {value!r}")
    return number


def finite_number(name, value):
    """Return `value` as a float; raise unless it is one finite real number."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a real number, not {value!r} ({type(value).__name__})")
    try:
        number = float(value)
    except OverflowError:
        number = np.inf
    if not np.isfinite(number):
        raise ValueError(f"{name} must be finite, not {value!r}")
    return number


def non_negative_number(name, value):
    """Return `value` as a float; raise unless it is one finite number, 0 or above."""
    number = finite_number(name, value)
    if number < 0:
        raise ValueError(f"{name} must be 0 or above, not {value!r}")
    return number


def whole_number(name, value, *, least, most=None):
    """Return `value` as an int; raise unless it is a whole number from `least` to `most`."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, not {value!r} ({type(value).__name__})")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value!r}")
    if most is not None and value > most:
        raise ValueError(f"{name} must be at most {most}, not {value!r}")
    return int(value)


def finite_array(name, value):
    """Return `value` as a float64 array; raise unless all of it is real and finite."""
    if np.ma.is_masked(value):
        raise ValueError(f"{name} must not have masked values, not {value!r}")
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError(f"{name} must have rows of one length, not {value!r}") from None
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must hold real numbers, not {value!r} (dtype {array.dtype})")
    array = array.astype(np.float64)
    if array.size == 0:
        raise ValueError(f"{name} must not be empty; its shape is {array.shape}")
    bad = ~np.isfinite(array)
    if bad.any():
        raise ValueError(
            f"{name} must be finite, but {bad.sum()} of its {array.size} values "
            f"are not (the first is {array[bad][0]})"
        )
    return array


def in_shape(name, array, shape):
    """The array, broadcast to a shape; raise if it does not fit."""
    try:
        return np.broadcast_to(array, shape)
    except ValueError:
        raise ValueError(
            f"{name} must have shape {shape}, or one that broadcasts to it, not {np.shape(array)}"
        ) from None


def paired_samples(x, y, *, at_least=2):
    """Return `x` and `y` as float64 vectors of one length, of which x takes several values."""
    x, y = finite_array("x", x), finite_array("y", y)
    for name, array in (("x", x), ("y", y)):
        if array.ndim != 1:
            raise ValueError(f"{name} must be one-dimensional, not of shape {array.shape}")
    if len(x) != len(y):
        raise ValueError(f"x and y must have one length, not {len(x)} and {len(y)}")
    if len(x) < at_least:
        raise ValueError(f"x must have at least {at_least} values, not {len(x)}")
    if np.ptp(x) == 0:
        raise ValueError(f"x must take at least two different values, but all are {x[0]}")
    return x, y


def choice(name, value, allowed):
    """Return `value`; raise unless it is one of the names in `allowed`."""
    if not isinstance(value, str) or value not in allowed:
        names = ", ".join(repr(option) for option in allowed)
        raise ValueError(f"{name} must be one of {names}, not {value!r}")
    return value


def flag(name, value):
    """Return `value`; raise unless it is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return bool(value)
