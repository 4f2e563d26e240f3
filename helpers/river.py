"""The network of the river in chapter 11: how it is made and trained, and five that are ready.

It reads the weather of one day after another and puts out the square root of the runoff. The root,
since errors of a flood would otherwise drown those of all other days.
"""

import numpy as np

from helpers.backend import keras
from helpers.data import columns
from helpers.gates import replay
from helpers.training import fit
from helpers.validation import whole_number

WEATHER = ("precipitation", "radiation", "t_max", "t_min")  # in the order of the inputs
UNITS = 8
TRAINED = range(1982, 2002)  # water years: that of 1982 ends on 30 September 1982
UNSEEN = range(2002, 2015)
LENGTH, WARM_UP = 457, 92  # days: from 1 July, when no snow lies, and before the water year


def weather(river):
    """What the network reads, of shape (days, 4): precipitation, radiation, t_max and t_min.

    Examples
    --------
    >>> from helpers.data import piscataquis
    >>> weather(piscataquis()).shape
    (12418, 4)
    """
    return np.stack([getattr(river, name) for name in WEATHER], axis=1)


def sequences(river, years):
    """The days of some water years, each led by its three months of summer.

    Parameters
    ----------
    river : River
        From :func:`helpers.data.piscataquis`.
    years : sequence of int
        Water years, from 1982 to 2014.

    Returns
    -------
    ndarray of shape (len(years), 457), int
        Rows of the data, from 1 July on; the first 92 come before the water year.

    Raises
    ------
    TypeError, ValueError
        If a year is not a whole number, or its 1 July lies outside the data.

    Examples
    --------
    >>> from helpers.data import piscataquis
    >>> river = piscataquis()
    >>> days = sequences(river, [1983, 1984])
    >>> print(days.shape, river.date[days[0, 0]], river.date[days[0, -1]])
    (2, 457) 1982-07-01 1983-09-30
    """
    years = [whole_number("years", year, least=1982, most=2014) for year in years]
    first = [np.flatnonzero(river.date == np.datetime64(f"{year - 1}-07-01")) for year in years]
    return np.concatenate(first)[:, np.newaxis] + np.arange(LENGTH)


def new_network(river, *, seed):
    """An untrained network: the weather is standardised, read by an LSTM, and weighted.

    Parameters
    ----------
    river : River
        Mean and standard deviation of the weather are those of its years to learn from.
    seed : int
        Of the first weights.

    Returns
    -------
    keras.Sequential
        Takes the weather of any number of days, of shape (N, T, 4), as :func:`weather` has it.
        Returns the root of the runoff, of shape (N, T, 1), in √(mm a day).

    Notes
    -----
    The forget gates begin nearly open, with a bias of 3: a memory of months must be there before it
    can be trained.

    Examples
    --------
    >>> from helpers.data import piscataquis
    >>> new_network(piscataquis(), seed=0).output_shape
    (None, None, 1)
    """
    seen = weather(river)[river.date < np.datetime64(f"{TRAINED[-1]}-10-01")]
    mean, variance = seen.mean(axis=0), seen.var(axis=0)
    keras.utils.set_random_seed(whole_number("seed", seed, least=0))
    lstm = keras.layers.LSTM(UNITS, return_sequences=True)
    network = keras.Sequential(
        [
            keras.Input((None, len(WEATHER))),
            keras.layers.Normalization(axis=-1, mean=mean, variance=variance),
            lstm,
            keras.layers.Dense(1),
        ]
    )
    kernel, recurrent_kernel, bias = lstm.get_weights()
    bias[UNITS : 2 * UNITS] = 3
    lstm.set_weights([kernel, recurrent_kernel, bias])
    return network


def train(network, river):
    """Train on the years to learn from, in 300 steps; the loss, of shape (30,).

    Examples
    --------
    >>> from helpers.data import piscataquis
    >>> from helpers.river import new_network
    >>> network = new_network(piscataquis(), seed=0)
    >>> losses = train(network, piscataquis())  # doctest: +SKIP
    """
    days = sequences(river, TRAINED)
    data = weather(river)[days], np.sqrt(river.runoff[days])[..., np.newaxis]
    counts = np.broadcast_to(np.arange(LENGTH) >= WARM_UP, days.shape).astype(float)
    plan = [(200, 0.02), (100, 0.005)]  # first in long steps, then in short ones
    losses = [fit(network, *data, counts=counts, steps=n, learning_rate=rate) for n, rate in plan]
    return np.concatenate(losses)


def trained_weights():
    """The weights of five networks that :func:`train` has trained, from the seeds 0 to 4.

    They ship with the book; tests/river_networks.py makes them anew.

    Returns
    -------
    list of list of ndarray
        For `set_weights` of a network from :func:`new_network`: the LSTM's kernel, recurrent kernel
        and bias, and the kernel and bias of the output.

    Examples
    --------
    >>> networks = trained_weights()
    >>> print(len(networks), [weights.shape for weights in networks[0]])
    5 [(4, 32), (8, 32), (32,), (8, 1), (1,)]
    """
    inputs, gates = len(WEATHER), 4 * UNITS
    shapes = [(inputs, gates), (UNITS, gates), (gates,), (UNITS, 1), (1,)]
    ends = np.cumsum([np.prod(shape) for shape in shapes])[:-1]
    return [
        [part.reshape(shape) for part, shape in zip(np.split(numbers, ends), shapes)]
        for numbers in columns("piscataquis_networks.csv")
    ]


def of_rain(network, n):
    """A model of n days of the river that can be asked for their rain alone.

    Parameters
    ----------
    network : keras.Sequential
        From :func:`new_network`. The model shares its weights.
    n : int
        Number of days.

    Returns
    -------
    keras.Model
        Takes an array of shape (N, 4 + n, 4): what the network remembers when the days begin, and
        their weather; see :func:`stretches`. Returns the root of the runoff, of shape (N, n, 1).
        By all entries but the rain of the days its derivative is 0: a search leaves them alone.

    Examples
    --------
    >>> from helpers.data import piscataquis
    >>> from helpers.river import new_network
    >>> of_rain(new_network(piscataquis(), seed=0), 30).output_shape
    (None, 30, 1)
    """
    norm, lstm, dense = network.layers
    x = keras.Input((4 + whole_number("n", n, least=1), len(WEATHER)))
    known = keras.ops.stop_gradient(x)
    memory = keras.ops.reshape(known[:, :4], (-1, 2 * UNITS))
    days = keras.ops.concatenate([x[:, 4:, :1], known[:, 4:, 1:]], axis=-1)
    state = [memory[:, :UNITS], memory[:, UNITS:]]
    return keras.Model(x, dense(lstm(norm(days), initial_state=state)))


def stretches(network, river, days, *, rain):
    """Where a search for the rain of some days can start: all else is as measured.

    Parameters
    ----------
    network : keras.Sequential
        From :func:`new_network`. It reads the 335 days before, with their rain, to fill its memory.
    river : River
    days : ndarray of shape (N, n), int
        Rows of the data, one after the other in each stretch.
    rain : float
        On each of the days, in mm.

    Returns
    -------
    ndarray of shape (N, 4 + n, 4)
        For a model from :func:`of_rain`.

    Examples
    --------
    >>> from helpers.data import piscataquis
    >>> from helpers.river import UNSEEN, new_network, sequences
    >>> river = piscataquis()
    >>> summers = sequences(river, UNSEEN)[:, 335:365]
    >>> stretches(new_network(river, seed=0), river, summers, rain=3.0).shape
    (13, 34, 4)
    """
    norm, lstm, _ = network.layers
    before = replay(lstm, norm(weather(river)[days[:, :1] + np.arange(-335, 0)]).numpy())
    memory = np.concatenate([before.h[:, -1], before.c[:, -1]], axis=1)
    during = weather(river)[days]
    during[..., 0] = rain
    return np.concatenate([memory.reshape(-1, 4, len(WEATHER)), during], axis=1)


def efficiency(simulated, observed):
    """The Nash–Sutcliffe efficiency: 1 for no error, 0 for errors as large as those of the mean.

    Examples
    --------
    >>> print(efficiency([1, 2, 3, 4], [1, 2, 3, 5]).round(3))
    0.886
    """
    simulated, observed = np.asarray(simulated, float), np.asarray(observed, float)
    return 1 - np.sum((simulated - observed) ** 2) / np.sum((observed - observed.mean()) ** 2)
