"""The table of the page *Your own network*: each symptom is provoked, and then its cure applied."""

import re

import numpy as np
import pytest
from conftest import ROOT, needs_half_precision

from helpers import objectives
from helpers.backend import keras
from helpers.closed_forms import logit
from helpers.graph import resolution
from helpers.priors import L2, random_starts
from helpers.reconstruction import reconstruct

PAGE = (ROOT / "book" / "your_own_network.ipynb").read_text(encoding="utf-8")


def network(n, *layers, weights):
    """A model with n inputs and these weights."""
    model = keras.Sequential([keras.Input((n,)), *layers])
    model.set_weights([np.asarray(array, float) for array in weights])
    return model


Dense = keras.layers.Dense

# Two bumps: a low one around −3, and around 3 one of height 2 tanh 1, which is 1.52.
bumps = network(
    1, Dense(4, "tanh"), Dense(1),
    weights=[np.ones((1, 4)), [4, 2, -2, -4], [[0.3], [-0.3], [1], [-1]], [0]],
)  # fmt: skip


def test_the_table_has_these_rows():
    rows = re.findall(r'"\| \*\*([\w ]+)\*\*:', PAGE)
    tested = [name[5:].replace("_", " ") for name in globals() if name.startswith("test_")]
    assert len(rows) == 10
    assert set(rows) <= set(tested)


def test_flat():
    model = network(1, Dense(1, "relu", name="hidden"), Dense(1), weights=[[[1]], [-1], [[2]], [0]])
    stuck = reconstruct(model, 1.0, start=0.0)
    assert stuck.status[0] == "stalled"
    assert "the gradient is exactly zero" in stuck.message[0]
    assert reconstruct(model, 1.0, start=2.0).converged.all()
    z = objectives.units(model, "hidden", space="preactivation")
    awake = reconstruct(z, 0.1, start=0.0)
    assert reconstruct(model, 1.0, start=awake.x).converged.all()


def test_saturated():
    model = network(1, Dense(1, "sigmoid"), weights=[[[1]], [0]])
    stuck = reconstruct(model, 0.1, start=20.0)
    assert stuck.status[0] == "stalled"
    assert "saturated" in stuck.message[0]
    cured = reconstruct(model, 0.1, start=20.0, space="logit")
    assert cured.converged.all()
    np.testing.assert_allclose(cured.x[0, 0], logit(0.1), rtol=1e-3)
    classes = network(1, Dense(3, "softmax"), weights=[[[1, 0, -1]], [0, 0, 0]])
    chances = np.ma.masked_invalid([0.01, np.nan, np.nan])
    assert not reconstruct(classes, chances, start=60.0).converged.any()
    cured = reconstruct(objectives.log_odds(classes, 0), logit(0.01), start=60.0)
    assert cured.converged.all()
    np.testing.assert_allclose(classes(cured.x)[0, 0], 0.01, rtol=1e-2)


def test_local():
    starts = random_starts(bumps, 40, -6.0, 6.0, seed=0)
    run = reconstruct(bumps, np.ones(40), start=starts)
    low = abs(starts[:, 0] + 3) < 1
    assert (run.status[low] == "stationary").all()
    assert (run.x[run.converged] > 1).all()
    assert run.converged.sum() > 5


def test_unreachable():
    starts = random_starts(bumps, 40, -6.0, 6.0, seed=0)
    assert not reconstruct(bumps, np.full(40, 2.0), start=starts).converged.any()
    most = reconstruct(bumps, np.full(40, np.inf), start=starts).y.max()
    np.testing.assert_allclose(most, 2 * np.tanh(1), rtol=1e-3)
    run = reconstruct(bumps, np.full(40, 0.99 * most), start=starts)
    assert run.converged.any()
    with pytest.raises(ValueError, match="target"):
        reconstruct(network(1, Dense(1, "tanh"), weights=[[[1]], [0]]), 1.5, start=0.0)


def test_wrong_units():
    unit = np.array([0.01, 1000.0])
    model = network(2, Dense(1), weights=[1 / unit[:, np.newaxis], [0]])
    run = reconstruct(model, 10.0, start=0.0)
    np.testing.assert_allclose(run.x[0] / unit, [10, 0], atol=1e-3)
    run = reconstruct(model, 10.0, start=0.0, scale=unit)
    np.testing.assert_allclose(run.x[0] / unit, [5, 5], rtol=1e-3)


def test_far_off_the_data():
    data = np.random.default_rng(0).normal(3.0, 0.3, (50, 2))
    model = network(2, Dense(1), weights=[[[1], [1]], [0]])

    def farness(x):
        return np.linalg.norm(data - x, axis=1).min()

    strange = reconstruct(model, 6.5, start=[-20.0, 20.0])
    assert strange.converged.all()
    assert farness(strange.x) > 10
    box = data.min(axis=0), data.max(axis=0)
    for start, cure in [
        (np.clip([-20.0, 20.0], *box), {"bounds": box}),
        ([-20.0, 20.0], {"penalty": L2(0.01, data.mean(axis=0))}),
        (data[0], {}),
    ]:
        cured = reconstruct(model, 6.5, start=start, **cure)
        np.testing.assert_allclose(cured.y, 6.5, rtol=0.01)
        assert farness(cured.x) < 1
        assert cured.status[0] == ("stationary" if "penalty" in cure else "converged")


def test_integers_and_categories():
    number, kind = keras.Input((1,), name="number"), keras.Input((1,), dtype="int32", name="kind")
    looked_up = keras.layers.Flatten()(keras.layers.Embedding(2, 1)(kind))
    model = keras.Model([number, kind], Dense(1)(keras.layers.Add()([number, looked_up])))
    model.set_weights([np.array(array) for array in ([[0.5], [1.5]], [[1.0]], [0.0])])
    with pytest.raises(TypeError, match="no gradient"):
        objectives.given(model, {"number": [1.0]})
    for each in (0, 1):
        asked = objectives.given(model, {"kind": [each]})
        assert reconstruct(asked, 3.0, start=0.0).converged.all()
    # A category among the numbers: what is found lies between two of them.
    mixed = network(2, Dense(1), weights=[[[1], [1]], [0]])
    assert reconstruct(mixed, 3.0, start=[1.0, 1.0]).x[0, 1] % 1 > 0.1
    for each in (1.0, 2.0):
        asked = objectives.given(mixed, [np.nan, each])
        answer = objectives.completed(asked, reconstruct(asked, 3.0, start=1.0).x)
        np.testing.assert_allclose(answer, [[3.0 - each, each]], rtol=1e-3)


def test_dropout_and_batch_normalisation():
    keras.utils.set_random_seed(0)
    noisy = keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)
    model = keras.Sequential([keras.Input((3,)), *noisy, Dense(1)])
    run = reconstruct(model, np.ones(8), start=random_starts(model, 8, -1.0, 1.0, seed=0))
    assert run.converged.all()
    np.testing.assert_allclose(model.predict(run.x, verbose=0), 1, rtol=1e-3)
    assert np.ptp(model(run.x, training=True)) > 0.1
    assert abs(model.predict(run.x, verbose=0) - 1).max() > 1e-3  # it has moved the averages


@needs_half_precision
def test_mixed_precision():
    policy = "mixed_float16"
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(3, 8)), np.zeros(8), rng.normal(size=(8, 1)), [0]
    model = network(3, Dense(8, "tanh", dtype=policy), Dense(1, dtype="float32"), weights=weights)
    targets, starts = np.linspace(0.1, 1, 20), np.zeros((20, 3))
    run = reconstruct(model, targets, start=starts)
    lost = ["lost in rounding" in message for message in run.message]
    assert any(lost)
    assert (run.status[lost] == "stalled").all()
    assert run.converged[~np.array(lost)].all()

    # Each hidden unit, at most 1, is known to half a unit in the last place.
    coarse = abs(model.layers[-1].kernel.numpy()).sum() * resolution(model) / 2
    assert abs(run.residual).max() < coarse
    assert reconstruct(model, targets, start=starts, atol=coarse).converged.all()

    def in_float32(layer):
        return layer.__class__.from_config(layer.get_config() | {"dtype": "float32"})

    copy = keras.models.clone_model(model, clone_function=in_float32)
    copy.set_weights(model.get_weights())
    assert reconstruct(copy, targets, start=starts).converged.all()


def test_what_else_the_page_asks_for():
    model = network(2, Dense(1, "sigmoid"), weights=[[[1], [2]], [0]])
    odds = objectives.log_odds(model, 0)
    assert reconstruct(odds, logit(0.9), start=0.0).converged.all()
    assert reconstruct(odds, logit(0.5), start=[0.3, 0.1], atol=0.01).converged.all()
    starts = [[0.0, 0.0], [9.0, 9.0]]
    enough = reconstruct(objectives.at_least(odds, 1.0), [0.0, 0.0], start=starts, atol=0.01)
    assert enough.converged.all()
    assert (odds(enough.x).numpy() >= 0.99 - 1e-6).all()
    assert (enough.x[1] == 9).all()  # it was there already


def test_several_inputs():
    a, b = keras.Input((2,), name="a"), keras.Input((1,), name="b")
    y = Dense(1)(keras.layers.Concatenate()([a, b]))
    model = keras.Model({"a": a, "b": b}, {"once": y, "twice": 2 * y})
    with pytest.raises(ValueError, match="one input"):
        reconstruct(model, 1.0, start=0.0)
    asked = objectives.given(objectives.output(model, "twice"), {"b": [0.25]})
    run = reconstruct(asked, 3.0, start=0.0)
    assert run.converged.all()
    answer = objectives.completed(asked, run.x)
    np.testing.assert_allclose(model(answer)["once"], 1.5, rtol=1e-3)
