"""How a run can end, and what to do next: the codes of the loops, made into statuses and words.

A loop sees one step; a verdict sees the whole run. What a loop calls a step that moves nothing is,
looked at again, rounding, saturation, or the closest answer that there is.
"""

import numpy as np

# Why a run has ended. The loops give the first group; the second is found by looking again.
RUNNING, CONVERGED, MAX_ITER, FLAT, ROUNDED, HELD, BALANCED, DIVERGED, NONFINITE = range(9)
LOCAL, SATURATED, OVERSHOT, THROWN, HIGHEST, UNLIMITED, HINDERED = range(9, 16)

_ENDS = {
    RUNNING: ("running", "still running"),
    CONVERGED: ("converged", "the output is within atol + rtol * |target| of the target"),
    MAX_ITER: ("max_iter", "max_iter came first: raise it, or start closer"),
    FLAT: (
        "stalled",
        "the gradient is exactly zero: start elsewhere or ask for a pre-activation",
    ),
    ROUNDED: (
        "stalled",
        "the steps are lost in rounding: raise atol or rtol, or use float64",
    ),
    HELD: (
        "stationary",
        "the bounds hold the input back: widen them, or start elsewhere",
    ),
    BALANCED: (
        "stationary",
        "the penalty and the error of the output balance: lower the penalty's weight, or start "
        "elsewhere",
    ),
    DIVERGED: ("diverged", "the cost grew a million-fold: lower the learning rate"),
    NONFINITE: (
        "nonfinite",
        "the output or its gradient is not a finite number: start elsewhere",
    ),
    LOCAL: (
        "stationary",
        "the closest answer around: no step improves it; perhaps no input gives this target, or "
        "start elsewhere",
    ),
    SATURATED: (
        "stalled",
        "the output is saturated, its gradient all but zero: start elsewhere, or ask for a "
        "pre-activation",
    ),
    OVERSHOT: (
        "max_iter",
        "max_iter came first, and not all steps have lowered the cost: lower the learning rate",
    ),
    THROWN: (
        "stalled",
        "a step led to where the gradient is zero, and to a higher cost: lower the learning rate",
    ),
    HIGHEST: (
        "stationary",
        "no step leads further up (or down): a local maximum (or minimum); other starts may give "
        "more",
    ),
    UNLIMITED: (
        "diverged",
        "the output goes up (or down) without a limit: give bounds or a penalty",
    ),
    HINDERED: (
        "stationary",
        "bounds and penalty hold the input back: lower the penalty's weight, or widen the bounds",
    ),
}

STATUS = np.array([_ENDS[code][0] for code in sorted(_ENDS)])
MESSAGE = np.array([_ENDS[code][1] for code in sorted(_ENDS)], dtype=object)

# With a rate, raising it is another way on.
MESSAGE_WITH_RATE = MESSAGE.copy()
MESSAGE_WITH_RATE[MAX_ITER] = "max_iter came first: raise it or the learning rate, or start closer"

# The cost may grow by this factor before a run counts as diverged: a thousand-fold error.
GROWTH = 1e6

# Activations that level off, and between what. A slope of y (1 − y) is that of a sigmoid or a
# softmax; 1 − y² is that of tanh, and both are a parabola between the ends.
LEVELS = {"sigmoid": (0.0, 1.0), "softmax": (0.0, 1.0), "tanh": (-1.0, 1.0)}

# An output counts as saturated where its activation has less than this share of its largest slope.
LEVEL = 1e-3


def fell_short(code, n_iter, missed):
    """Which runs came to rest off the target, after more steps than a linear map takes.

    Parameters
    ----------
    code, n_iter : ndarray of shape (N,), int
    missed : ndarray of shape (N, …), bool
        Which entries of the output are out of tolerance.
    """
    off = missed.reshape(len(missed), -1).any(axis=1)
    return off & (n_iter > 1) & np.isin(code, (FLAT, ROUNDED, HELD, LOCAL))


def saturated(activation, y, missed):
    """Which targets have a missed entry where the last activation has all but levelled off.

    Parameters
    ----------
    activation : str
        Its name.
    y, missed : ndarray of shape (N, …)
        The outputs, and which of them are out of tolerance.

    Returns
    -------
    ndarray of shape (N,), bool
    """
    if activation not in LEVELS:
        return np.zeros(len(y), bool)
    low, high = LEVELS[activation]
    y = y.astype(float)
    slope = 4 * (y - low) * (high - y) / (high - low) ** 2
    return (missed & (slope < LEVEL)).reshape(len(y), -1).any(axis=1)


def thrown(code, n_iter, higher):
    """The codes of a descent that a step that was too long has led away.

    To where no gradient is, or so little that max_iter came before the cost was back where it was.

    Parameters
    ----------
    code, n_iter : ndarray of shape (N,), int
    higher : ndarray of shape (N,), bool
        Whether the cost at the end is above that at the start.
    """
    dead = np.isin(code, (SATURATED, LOCAL)) & (n_iter > 0)
    code = np.where((code == MAX_ITER) & higher, OVERSHOT, code)
    return np.where(dead & higher, THROWN, code)


def beyond_rounding(y, residual, missed):
    """Whether a missed entry is further off than rounding explains."""
    eps, y, residual = np.finfo(y.dtype).eps, y.astype(float), residual.astype(float)
    with np.errstate(invalid="ignore"):
        far = np.abs(residual) > 64 * eps * (np.abs(y) + np.abs(y - residual))
    return (far & missed).reshape(len(y), -1).any(axis=1)


def verdict(code, y, residual, missed, endless, n_iter, activation, *, paid):
    """The final codes, on the model's own answer y: the loop's may differ in the last digits.

    Parameters
    ----------
    code, n_iter : ndarray of shape (N,), int
        Why the loop ended each run, and after how many steps.
    y, residual : ndarray of shape (N, …)
    missed, endless : ndarray of shape (N, …), bool
        Which entries are out of tolerance; which are to be as large, or as small, as they get.
    activation : str
        The name of the last one.
    paid : bool
        Whether there is a penalty.

    Returns
    -------
    ndarray of shape (N,), int
    """

    def any_entry(array):
        return array.reshape(len(y), -1).any(axis=1)

    endless = any_entry(endless)
    finite = ~any_entry(~np.isfinite(y))
    arrived = ~any_entry(missed) & ~endless
    at_rest = np.isin(code, (FLAT, ROUNDED, LOCAL))
    code = np.where(code == CONVERGED, ROUNDED, code)
    if paid:
        code = np.where(at_rest, BALANCED, code)
        finite &= code != NONFINITE  # of the penalty or its gradient
    else:
        far = at_rest & beyond_rounding(y, residual, missed)
        full = far & saturated(activation, y, missed)
        code = np.where(full, SATURATED, code)
        code = np.where((code == FLAT) & (n_iter > 0), LOCAL, code)
    top = endless & (at_rest | (code == HELD)) & ((n_iter > 0) | (code != FLAT))
    code = np.where(top, HIGHEST, code)
    code = np.where((code == HELD) & paid, HINDERED, code)
    code = np.where(endless & (code == DIVERGED), UNLIMITED, code)
    return np.where(~finite, NONFINITE, np.where(arrived, CONVERGED, code))
