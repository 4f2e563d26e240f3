"""What a formula can say of many inputs: the nearest one at which a unit is off.

The inputs at which a unit has z = w·x + b ≤ 0 fill a half-space, whose boundary is perpendicular to
the unit's weights w. The point of it nearest to a given one is a projection. Derived in chapter 6.
Needs no network.
"""

import numpy as np

from helpers.validation import finite_array, finite_number, non_negative_number


def nearest_off(x, w, b, *, margin=0.0):
    """The input nearest to x at which w·x + b ≤ −margin: x − max(0, z + margin) w/‖w‖².

    Parameters
    ----------
    x : array_like of shape (…, n)
        Where to begin.
    w : array_like of shape (n,)
        Weights of the unit, not all 0.
    b : float
        Its bias.
    margin : float
        How far below 0 the pre-activation is to be, 0 or above.

    Returns
    -------
    ndarray of shape (…, n)
        x itself where the unit is off already.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or shape, or all weights are 0: then no input matters.

    Examples
    --------
    >>> nearest_off([2.0, 3.0], w=[1.0, 0.0], b=-1.0)
    array([1., 3.])
    """
    x, w, b = finite_array("x", x), finite_array("w", w), finite_number("b", b)
    if w.ndim != 1 or x.shape[-1:] != w.shape:
        raise ValueError(
            f"w must have one weight for each input: shape {x.shape[-1:]}, not {w.shape}"
        )
    if not w.any():
        raise ValueError("w must not be all 0: the unit then ignores its input")
    excess = np.maximum(0.0, x @ w + b + non_negative_number("margin", margin))
    return x - excess[..., np.newaxis] * w / (w @ w)
