"""What a formula can say of many inputs: the nearest that a half-space or a linear map allows.

A layer computes z = x K + b, with the kernel K of shape (inputs, units) as Keras stores it. The
inputs at which one unit has z ≤ 0 fill a half-space, whose boundary is perpendicular to the unit's
weights w; the inputs at which all units have wanted values fill a flat. In both, the point nearest
to a given one is a projection. Derived in chapters 6 and 7. Needs no network.
"""

import numpy as np

from helpers.validation import finite_array, finite_number, in_shape, non_negative_number


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


def nearest_solution(kernel, bias, z, *, start=0.0):
    """The input nearest to `start` at which x K + b = z: start + (z − b − start K) K⁺.

    K⁺ is the pseudo-inverse. From a start of 0 this is the solution of minimum norm.

    Parameters
    ----------
    kernel : array_like of shape (n, units)
    bias : array_like of shape (units,)
    z : array_like of shape (units,)
        The wanted values.
    start : array_like of shape (n,), or a number

    Returns
    -------
    ndarray of shape (n,)

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or shape, or no input gives z, because the units' values
        depend on each other.
    """
    kernel, bias = finite_array("kernel", kernel), finite_array("bias", bias)
    z = np.atleast_1d(finite_array("z", z))
    if kernel.ndim != 2:
        raise ValueError(f"kernel must have shape (inputs, units), not {kernel.shape}")
    for name, array in (("bias", bias), ("z", z)):
        if array.shape != kernel.shape[1:]:
            raise ValueError(f"{name} must have shape {kernel.shape[1:]}, not {array.shape}")
    start = finite_array("start", start)
    start = in_shape("start", start, kernel.shape[:1])
    missing = z - bias - start @ kernel
    step, _, rank, _ = np.linalg.lstsq(kernel.T, missing, rcond=None)
    # What rounding alone can leave: relative to the terms of the sums, whatever their unit.
    terms = abs(z) + abs(bias) + (abs(start) + abs(step)) @ abs(kernel)
    if np.any(abs(step @ kernel - missing) > 1e-12 * terms.max()):
        raise ValueError(
            f"z must be within reach: of its {len(z)} values only {rank} can be chosen freely, "
            "and no input gives these"
        )
    return start + step
