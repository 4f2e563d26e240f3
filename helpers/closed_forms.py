"""What a formula can say: the exact inverses of one neuron, and how descent approaches them.

The neuron computes z = W x + b, and puts out z itself (linear) or σ(z) = 1/(1 + e^(−z)) (sigmoid).
Gradient descent with learning rate η on the cost J(x) = (W x + b − y₀)² repeats::

    x ← x − η · 2 W (W x + b − y₀),

so that the error e = x − x₀ is multiplied by the same number, 1 − 2 η W², at each iteration.
The formulas are derived in chapters 3 and 4. Those of one line may be asked with a
:class:`helpers.formula.Formula` for a number: so a live figure learns them.
"""

import numpy as np
from scipy import special, stats

from helpers.formula import checked
from helpers.validation import finite_array, finite_number, paired_samples, positive_number


def _weight(name, value):
    """A weight as a number of NumPy's; raise if it is 0, where a neuron has no inverse."""
    weight = finite_number(name, value)
    if weight == 0:
        raise ValueError(
            f"{name} must not be 0: the neuron then gives the same output to every input, "
            "and has no inverse"
        )
    return np.float64(weight)


def _between_0_and_1(name, value):
    array = finite_array(name, value)
    outside = (array <= 0) | (array >= 1)
    if outside.any():
        raise ValueError(
            f"{name} must lie strictly between 0 and 1, the range of the sigmoid, not "
            f"{array[outside][0]}"
        )
    return array


def least_squares(x, y):
    """The line y = W x + b with the least sum of squared errors.

    Parameters
    ----------
    x, y : array_like of shape (n,), n at least 2
        The points; x must take at least two different values.

    Returns
    -------
    W, b : float
        Slope (unit of y per unit of x) and intercept (unit of y).

    Raises
    ------
    TypeError, ValueError
        If x and y are not finite vectors of one length, or x is constant.

    Examples
    --------
    >>> least_squares([0, 1, 2], [1, 3, 5])
    (2.0, 1.0)
    """
    fit = stats.linregress(*paired_samples(x, y))
    return float(fit.slope), float(fit.intercept)


@checked(y=finite_array, W=_weight, b=finite_number)
def invert_line(y, W, b):
    """The input x = (y − b)/W to which a linear neuron answers y.

    Parameters
    ----------
    y : array_like
        Wanted output, of any shape.
    W, b : float
        Weight and bias.

    Returns
    -------
    ndarray, or float where y is a number
        The input, in the shape of y.

    Raises
    ------
    ValueError
        If W is 0: the neuron then answers b to every input, and there is no inverse.

    Examples
    --------
    >>> print(invert_line(100, 0.4, -25.0))
    312.5
    """
    return (y - b) / W


@checked(y=_between_0_and_1)
def logit(y):
    """The pre-activation z = log(y/(1 − y)) at which the sigmoid is y.

    Parameters
    ----------
    y : array_like
        Values strictly between 0 and 1, of any shape.

    Returns
    -------
    ndarray, or float where y is a number

    Raises
    ------
    ValueError
        If a value is 0, 1 or outside: no finite pre-activation gives it.

    Examples
    --------
    >>> logit([0.1, 0.5, 0.9]).round(3)
    array([-2.197,  0.   ,  2.197])
    """
    return special.logit(y)


@checked(z=finite_array)
def sigmoid(z):
    """The logistic sigmoid 1/(1 + e^(−z)) of an array of any shape, free of overflow.

    Examples
    --------
    >>> sigmoid([-1000, 0, 1000])
    array([0. , 0.5, 1. ])
    """
    return special.expit(z)


def invert_sigmoid(y, W, b):
    """The input x = (logit(y) − b)/W to which a sigmoid neuron answers y.

    Parameters, result and errors are those of :func:`invert_line` and :func:`logit`.

    Examples
    --------
    >>> invert_sigmoid([0.5, 0.9], 2.0, -3.0).round(3)
    array([1.5  , 2.599])
    """
    return invert_line(logit(y), W, b)


@checked(W=_weight)
def largest_stable_rate(W):
    """The learning rate 1/W² below which descent on (W x + b − y₀)² converges.

    At the rate itself the error neither shrinks nor grows; above it, it grows.
    W must not be 0.

    Examples
    --------
    >>> print(largest_stable_rate(0.5))
    4.0
    """
    return 1.0 / W**2


def best_rate(W):
    """The learning rate 1/(2 W²) at which descent on (W x + b − y₀)² arrives in one step.

    W must not be 0.

    Examples
    --------
    >>> print(best_rate(0.5))
    2.0
    """
    return 0.5 * largest_stable_rate(W)


@checked(W=_weight, learning_rate=positive_number)
def contraction(W, learning_rate):
    """The factor 1 − 2 η W² by which one step of descent multiplies the error x − x₀.

    Parameters
    ----------
    W : float
        Weight of the linear neuron, not 0.
    learning_rate : float
        η, above 0.

    Returns
    -------
    float
        Between −1 and 1 where descent converges; negative where each step overshoots.

    Examples
    --------
    >>> print(contraction(0.5, 1.0))
    0.5
    """
    return 1.0 - 2.0 * learning_rate * W**2
