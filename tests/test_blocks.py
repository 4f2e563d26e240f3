"""Batches in grains and blocks: what single calls give, bit for bit, whatever the size."""

import functools

import numpy as np
import pytest

from helpers import blocks
from helpers.backend import keras
from helpers.priors import TotalVariation
from helpers.reconstruction import reconstruct

K = keras.layers


def network(*layers, shape):
    keras.utils.set_random_seed(3)
    return keras.Sequential([keras.Input(shape), *layers])


# Name: the network, and the size of its grain for one output.
NETWORKS = {
    "line": (lambda: network(K.Dense(1), shape=(1,)), 1024),
    "sigmoid": (lambda: network(K.Dense(1, "sigmoid"), shape=(1,)), 1024),
    "small": (lambda: network(K.Dense(8, "tanh"), K.Dense(2), shape=(4,)), 512),
    "wide": (lambda: network(K.Dense(64, "gelu"), K.Dense(1), shape=(20,)), 16),
    "recurrent": (lambda: network(K.LSTM(3), K.Dense(1), shape=(9, 2)), 32),
    "image": (
        lambda: network(
            K.Conv2D(4, 3, activation="tanh"), K.Flatten(), K.Dense(1), shape=(12, 12, 1)
        ),
        16,
    ),
}


@functools.cache
def network_of(name):
    return NETWORKS[name][0]()


def asked(name, N):
    """A network, N targets of it, and starts."""
    model = network_of(name)
    rng = np.random.default_rng(N)
    shape = model.input_shape[1:]
    target = model(rng.normal(size=(N, *shape)).astype("float32")).numpy()
    return model, target, rng.normal(size=(N, *shape)).astype("float32")


@pytest.mark.parametrize("name", NETWORKS)
def test_the_size_of_a_grain(name):
    model = network_of(name)
    assert blocks.size_of_grain(model, model.input_shape[1:], 1) == NETWORKS[name][1]


WITH_A_RATE = {"learning_rate": 0.05, "max_iter": 40}
WITH_A_PRIOR = {"penalty": TotalVariation(1e-3), "max_iter": 30}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {}) for name in ("sigmoid", "small", "wide", "recurrent")),
        *((name, WITH_A_RATE) for name in ("line", "image")),
        ("small", WITH_A_PRIOR),
    ],
)
def test_a_batch_of_any_size_gives_what_single_calls_give(name, options):
    grain = NETWORKS[name][1]
    N = 3 * grain + 5
    model, target, start = asked(name, N)
    together = reconstruct(model, target, start=start, **options)
    # Alone and many, from the middle of a grain; the last ones share theirs with copies.
    for size in (1, 7, 2 * grain + 1):
        part = slice(grain - 1, grain - 1 + size)
        some = reconstruct(model, target[part], start=start[part], **options)
        for field in ("x", "y", "residual", "status", "message", "n_iter"):
            one, other = getattr(together, field)[part], getattr(some, field)
            np.testing.assert_array_equal(one, other, err_msg=field)


def neuron(activation):
    model = network(K.Dense(1, activation), shape=(1,))
    model.set_weights([np.ones((1, 1)), np.zeros(1)])
    return model


# The activation of a neuron with W = 1 and b = 0, options, and for each end a target and a start.
ENDS = [
    (
        lambda z: keras.ops.log(z),
        {"learning_rate": 0.05, "max_iter": 50},
        {"converged": (0.7, np.exp(0.7)), "max_iter": (0.7, 3.0), "nonfinite": (0.5, -1.0)},
    ),
    (
        "sigmoid",
        {"learning_rate": 0.5, "max_iter": 60},
        {"converged": (0.5, 0.0), "max_iter": (0.02, 4.0), "stalled": (0.2, 30.0)},
    ),
    ("linear", {"learning_rate": 1.1}, {"converged": (1.0, 1.0), "diverged": (3.0, 1.0)}),
    ("linear", {"bounds": (-1.0, 1.0)}, {"converged": (0.5, 0.0), "stationary": (3.0, 0.0)}),
]


@pytest.mark.parametrize(("activation", "options", "ends"), ENDS)
def test_every_way_to_end_is_the_same_in_a_batch(activation, options, ends):
    model = neuron(activation)
    rows = np.tile(np.array(list(ends.values()), "float32"), (900, 1))
    found = reconstruct(model, rows[:, :1], start=rows[:, 1:], **options)
    for i, status in enumerate(ends):
        alone = reconstruct(model, rows[i, :1], start=rows[i, 1:], **options)
        assert alone.status[0] == status
        for field in ("x", "y", "status", "message", "n_iter"):
            each, one = getattr(found, field)[i :: len(ends)], getattr(alone, field)
            np.testing.assert_array_equal(each, np.repeat(one, 900, axis=0), err_msg=field)


@pytest.mark.parametrize("number", [1, 2, 5])
def test_blocks_cover_all_targets_once_in_whole_grains(monkeypatch, number):
    monkeypatch.setattr(blocks, "cores", lambda: number)
    for N in (1, 15, 16, 17, 160, 161, 16_000):
        parts = blocks.blocks(N, 16, 10)
        assert [part.start for part in parts] == [0, *(part.stop for part in parts[:-1])]
        assert parts[-1].stop == N
        assert all(part.start % 16 == 0 and part.stop - part.start <= 160 for part in parts)
        assert len(parts) >= min(number, -(-N // 16)) or number == 5


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("alone", [True, False])
def test_an_error_in_a_block_ends_the_others_and_comes_out(monkeypatch, cores, alone):
    monkeypatch.setattr(blocks, "cores", lambda: cores)
    assert list(blocks.on_all_cores(lambda i: None, 5, alone)) == list(range(5))

    def fail(i):
        if i == 3:
            raise ArithmeticError("three")

    with pytest.raises(ArithmeticError, match="three"):
        list(blocks.on_all_cores(fail, 1000, alone))


def test_progress_counts_targets_where_there_are_many(capsys):
    model, target, start = asked("line", 2000)
    quiet = reconstruct(model, target, start=start, **WITH_A_RATE)
    shown = reconstruct(model, target, start=start, progress=True, **WITH_A_RATE)
    captured = capsys.readouterr()
    assert "2000/2000" in captured.out
    assert captured.err == ""
    np.testing.assert_array_equal(quiet.x, shown.x)
