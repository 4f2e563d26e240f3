"""Batches in grains and blocks: what single calls give, bit for bit, whatever the size."""

import threading

import numpy as np
import pytest

from helpers import blocks
from helpers.backend import keras
from helpers.priors import L2, TotalVariation
from helpers.reconstruction import reconstruct

K = keras.layers


def network(*layers, shape):
    keras.utils.set_random_seed(3)
    return keras.Sequential([keras.Input(shape), *layers])


# Name: the network, and the size of its grain for one output.
NETWORKS = {
    "line": (lambda: network(K.Dense(1), shape=(1,)), 1024),
    "sigmoid": (lambda: network(K.Dense(1, "sigmoid"), shape=(1,)), 1024),
    "small": (lambda: network(K.Dense(8, "tanh"), K.Dense(2), shape=(4,)), 256),
    "wide": (lambda: network(K.Dense(64, "gelu"), K.Dense(1), shape=(20,)), 16),
    "recurrent": (lambda: network(K.LSTM(3), K.Dense(1), shape=(9, 2)), 32),
    "image": (
        lambda: network(
            K.Conv2D(4, 3, activation="tanh"), K.Flatten(), K.Dense(1), shape=(12, 12, 1)
        ),
        4,
    ),
}


def asked(name, N):
    """A network, N targets of it, and starts."""
    model = NETWORKS[name][0]()
    rng = np.random.default_rng(N)
    shape = model.input_shape[1:]
    target = model(rng.normal(size=(N, *shape)).astype("float32")).numpy()
    return model, target, rng.normal(size=(N, *shape)).astype("float32")


def same(found, i, other, j):
    """Whether two answers are the same, bit for bit."""
    for field in ("x", "y", "residual", "status", "message", "n_iter"):
        one, another = getattr(found, field)[i], getattr(other, field)[j]
        np.testing.assert_array_equal(one, another, err_msg=field)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_size_of_a_grain(name):
    make, size = NETWORKS[name]
    model = make()
    assert blocks.size_of_grain(model, model.input_shape[1:], 1) == size


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"learning_rate": 0.05, "max_iter": 40},
        {"penalty": TotalVariation(1e-3), "max_iter": 30},
    ],
)
def test_a_batch_of_any_size_gives_what_single_calls_give(name, options):
    grain = NETWORKS[name][1]
    N = 3 * grain + 5
    model, target, start = asked(name, N)
    all_of_them = reconstruct(model, target, start=start, **options)
    assert (all_of_them.n_iter > 0).all()
    for size in (1, 7, grain, 2 * grain + 1):
        for first in (0, grain - 1, N - size):
            part = slice(first, first + size)
            some = reconstruct(model, target[part], start=start[part], **options)
            same(all_of_them, part, some, slice(None))
