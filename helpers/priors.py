"""How the input may move: what is known, or believed, of it before the output is asked for.

A penalty is a function of a batch of inputs, as a tensor, that returns one cost for each of them;
`reconstruct` adds it to its own. Several starts show how much of an answer is the start's doing.
"""

from dataclasses import dataclass

import numpy as np

from helpers.backend import tf
from helpers.models import check_model
from helpers.validation import (
    finite_array,
    in_shape,
    non_negative_number,
    positive_number,
    whole_number,
)


@dataclass(frozen=True, eq=False)
class L2:
    """The penalty weight · Σ (x − centre)², which prefers inputs close to the centre.

    Parameters
    ----------
    weight : float
        0 or above; in units of cost per input².
    centre : float, or array_like that broadcasts to an input
        In units of the input.

    Examples
    --------
    >>> from helpers.backend import keras
    >>> x = keras.ops.array([[3.0, 1.0], [1.0, 1.0]])
    >>> print(L2(0.5, centre=1.0)(x).numpy())
    [2. 0.]
    """

    weight: float
    centre: float | np.ndarray = 0.0

    def __post_init__(self):
        centre = finite_array("centre", self.centre)
        centre.flags.writeable = False
        object.__setattr__(self, "weight", non_negative_number("weight", self.weight))
        object.__setattr__(self, "centre", centre.item() if centre.ndim == 0 else centre)

    def __call__(self, x):
        centre = in_shape("centre", self.centre, x.shape[1:])
        return self.weight * _per_input((x - tf.constant(centre, x.dtype)) ** 2)

    def __eq__(self, other):
        return isinstance(other, L2) and self._content() == other._content()

    def __hash__(self):
        return hash(self._content())

    def _content(self):
        return self.weight, np.shape(self.centre), np.asarray(self.centre).tobytes()


@dataclass(frozen=True)
class TotalVariation:
    """The penalty weight · Σ √(d² + s²) − s over neighbours, which prefers flat areas.

    Neighbours are next to each other along the first axis of an input or along its second: pixels
    of an image, steps of a sequence (and its features, where it has several). d is their
    difference; the root is its absolute value, rounded off near 0.

    Parameters
    ----------
    weight : float
        0 or above; in units of cost per input.
    smoothing : float
        s, above 0, in units of the input: differences below it count little.

    Notes
    -----
    As a prior for the inversion of networks: Mahendran and Vedaldi :cite:p:`mahendran2015`.

    Examples
    --------
    >>> from helpers.backend import keras
    >>> x = keras.ops.array([[0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 1.0]])
    >>> print(TotalVariation(1.0)(x).numpy().round(2))
    [2.85 0.95]
    """

    weight: float
    smoothing: float = 0.05

    def __post_init__(self):
        non_negative_number("weight", self.weight)
        positive_number("smoothing", self.smoothing)

    def __call__(self, x):
        total = 0.0
        for axis in range(1, min(x.shape.rank, 3)):
            n = x.shape[axis]
            step = tf.gather(x, range(1, n), axis=axis) - tf.gather(x, range(n - 1), axis=axis)
            total += _per_input(tf.sqrt(step**2 + self.smoothing**2) - self.smoothing)
        return self.weight * total


def random_starts(model, n, low, high, *, seed):
    """n starts for the input of `model`, drawn evenly from a box.

    Parameters
    ----------
    model : keras.Model
        Its input shape must be known, but for the batch.
    n : int
        Number of starts, at least 1.
    low, high : array_like of float
        The box, in units of the input; of any shape that broadcasts to an input. low <= high: where
        they are equal, all starts have that value.
    seed : int
        Seed of the random numbers.

    Returns
    -------
    ndarray of shape (n, …input shape)

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, shape or range.

    Examples
    --------
    >>> from helpers.training import neuron
    >>> starts = random_starts(neuron(), 20, -1, 1, seed=0)
    >>> starts.shape, bool(abs(starts).max() <= 1)
    ((20, 1), True)
    """
    check_model(model)
    n, seed = whole_number("n", n, least=1), whole_number("seed", seed, least=0)
    low, high = finite_array("low", low), finite_array("high", high)
    shape = model.inputs[0].shape[1:]
    if None in shape:
        raise ValueError(f"model must have a known input shape, not {model.inputs[0].shape}")
    low, high = in_shape("low", low, shape), in_shape("high", high, shape)
    if (low > high).any():
        raise ValueError(f"low must not be above high, but low is {low} and high is {high}")
    return np.random.default_rng(seed).uniform(low, high, (n, *shape))


def _per_input(tensor):
    return tf.reduce_sum(tf.reshape(tensor, (tensor.shape[0], -1)), axis=1)
