"""How sure an input is that was read backwards from a fitted line: Fieller's interval.

A line y = W x + b, fitted to n noisy points, is itself uncertain. The inputs x₀ that the data
allow, for an output y₀, are those at which y₀ lies within the usual interval around the line::

    (y₀ − ŷ(x))² ≤ t² s² (1/m + 1/n + (x − x̄)²/S),      S = Σ (xᵢ − x̄)²,

without 1/m where y₀ is a mean, and with m = 1 where it is one observed output. That is a quadratic
inequality in x. Where the slope is clearly not 0, its solutions are an interval; where it is not,
they are everything but an interval, or everything. Derived in chapter 5. Needs no network.
"""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from scipy import stats

from helpers.validation import choice, finite_array, finite_number, paired_samples


@dataclass(frozen=True)
class InverseInterval:
    """The inputs that the data allow for one output, from :func:`inverse_interval`.

    Attributes
    ----------
    x0 : float
        The estimate (y₀ − b)/W; NaN where the fitted slope is exactly 0.
    shape : {"interval", "rays", "line"}
        Which inputs are allowed: those from `low` to `high`; those up to `low` and those from
        `high` on; or all.
    low, high : float
        The ends; infinite where there is none.
    g : float
        (t · standard error of the slope / slope)². Below 1, the slope differs from 0 at this
        level, and the shape is an interval.
    message : str
        The shape in a sentence, with its reason.

    Examples
    --------
    >>> from helpers.uncertainty import inverse_interval
    >>> found = inverse_interval([0, 1, 2, 3], [2, 0, 3, 1], 1.5)
    >>> found.shape, 100 in found
    ('line', True)
    """

    x0: float
    shape: str
    low: float
    high: float
    g: float
    message: str

    def __contains__(self, x):
        """Whether the data allow the input x."""
        if self.shape == "rays":
            return x <= self.low or x >= self.high
        return self.low <= x <= self.high


def inverse_interval(x, y, y0, *, level=0.95, kind="mean"):
    """Fieller's interval for the input behind an output, read from the least-squares line.

    Parameters
    ----------
    x, y : array_like of shape (n,), n at least 3
        The points that the line is fitted to; x must take at least two different values.
    y0 : float
        The output, in the unit of y.
    level : float
        How often, in repeated experiments, the interval is to contain the true input: between 0 and
        1. For kind "observation" that counts on normal noise.
    kind : {"mean", "observation"}
        Whether y0 is a wanted mean output, or one observed output with noise of its own.

    Returns
    -------
    InverseInterval

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or outside its range.

    Notes
    -----
    After Fieller :cite:p:`fieller1954`; in the notation of Greenwell and Schubert Kabban
    :cite:p:`greenwell2014`, where kind "mean" is called regulation, "observation" calibration.

    Examples
    --------
    >>> found = inverse_interval([0, 1, 2, 3], [0.1, 0.9, 2.1, 2.9], 1.5)
    >>> print(f"{found.low:.2f} to {found.high:.2f}")
    1.21 to 1.79
    """
    y0 = finite_number("y0", y0)
    line = _fitted(x, y, level, kind)
    if np.ptp(y) == 0:
        raise ValueError("y must not be constant: a line without slope or noise has no inverse")
    rise = (y0 - line.middle) / line.y_unit
    if abs(rise) > 1e100:
        raise ValueError(f"y0 must lie within 1e100 times the spread of y, not at {y0}")
    centre, x_unit, squares, W = line.centre, line.x_unit, line.squares, line.W
    t2s2, own = line.t2s2, line.own

    # In these units the inequality above is a u² − 2 h u + c ≤ 0.
    a, h, c = W**2 - t2s2 / squares, W * rise, rise**2 - t2s2 * own
    discriminant = t2s2 * (rise**2 / squares + a * own)  # h² − a c, without its cancellation
    g = t2s2 / squares / W**2 if W else np.inf
    x0 = centre + x_unit * rise / W if W else np.nan
    if a <= 0 and (discriminant < 0 or h == discriminant == 0):
        return InverseInterval(x0, "line", -np.inf, np.inf, g, LINE.format(level))
    larger = h + np.copysign(np.sqrt(max(discriminant, 0.0)), h)  # the sum that loses no digits
    with np.errstate(divide="ignore"):  # at g = 1 one of the ends is infinite
        ends = sorted([larger / (a or -0.0), c / larger] if larger else [0.0, 0.0])
    shape, message = ("interval", INTERVAL) if a > 0 else ("rays", RAYS)
    low, high = (float(centre + x_unit * end) for end in ends)
    return InverseInterval(float(x0), shape, low, high, float(g), message.format(level))


def half_width(x, y, at, *, level=0.95, kind="mean"):
    """How far from the least-squares line an output may lie, at some inputs, and be no surprise.

    Parameters
    ----------
    x, y, level, kind
        As for :func:`inverse_interval`.
    at : array_like
        The inputs.

    Returns
    -------
    ndarray of the shape of `at`
        t s √(1/m + 1/n + (x − x̄)²/S), in the unit of y.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or outside its range.

    Examples
    --------
    >>> half_width([0, 1, 2, 3], [0.1, 0.9, 2.1, 2.9], [0, 1.5, 3]).round(2)
    array([0.46, 0.27, 0.46])
    """
    line = _fitted(x, y, level, kind)
    u = (finite_array("at", at) - line.centre) / line.x_unit
    return line.y_unit * np.sqrt(line.t2s2 * (line.own + u**2 / line.squares))


def _fitted(x, y, level, kind):
    """The least-squares line and its doubt, where `centre` and `middle` are 0 and the units are 1.

    In units of the data's own spread, no square overflows or is lost.
    """
    x, y = paired_samples(x, y, at_least=3)
    level = finite_number("level", level)
    choice("kind", kind, ("mean", "observation"))
    if not 0 < level < 1:
        raise ValueError(f"level must lie strictly between 0 and 1, not {level}")
    n, centre, middle = len(x), x.mean(), y.mean()
    x_unit, y_unit = np.abs(x - centre).max(), np.abs(y - middle).max()
    u, v = (x - centre) / x_unit, (y - middle) / (y_unit or 1.0)
    squares = np.sum(u**2)
    W = np.sum(u * v) / squares
    s2 = np.sum((v - W * u) ** 2) / (n - 2)
    return SimpleNamespace(
        centre=centre,
        middle=middle,
        x_unit=x_unit,
        y_unit=y_unit,
        squares=squares,  # Σ (xᵢ − x̄)²
        W=W,
        t2s2=stats.t.ppf(0.5 + level / 2, df=n - 2) ** 2 * s2,
        own=1 / n + (1.0 if kind == "observation" else 0.0),
    )


INTERVAL = "an interval: the slope differs from 0 at the level {:g}"
RAYS = (
    "two rays, all but what lies between low and high: the slope could be 0 at the level {:g}, and "
    "either sign of it leads to inputs far out"
)
LINE = "the whole line: the slope could be 0 at the level {:g}, and then every input is possible"
