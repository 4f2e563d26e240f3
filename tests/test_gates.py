"""The gates of an LSTM: their replay against Keras, their targets, closed form and bound."""

import numpy as np
import pytest
from conftest import refused_by_name
from scipy import special

from helpers import gates
from helpers.backend import keras
from helpers.priors import random_starts
from helpers.reconstruction import reconstruct


def lstm_model(units=3, features=2, length=6, seed=0, **options):
    keras.utils.set_random_seed(seed)
    layer = keras.layers.LSTM(units, return_sequences=True, name="lstm", **options)
    model = keras.Sequential([keras.Input((length, features)), layer, keras.layers.Dense(1)])
    if layer.use_bias:
        layer.cell.bias.assign(np.random.default_rng(seed).normal(size=4 * units))
    return model


MODEL = lstm_model()
LAYER = MODEL.get_layer("lstm")
X = np.random.default_rng(1).normal(size=(4, 6, 2)).astype("float32")
STATEFUL = keras.layers.LSTM(1, stateful=True)
STATEFUL.build(X.shape)
MASKED = keras.Sequential(
    [keras.Input((6, 2)), keras.layers.Masking(), keras.layers.LSTM(2, name="lstm")]
)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("units", "features"), [(1, 1), (2, 3), (5, 2)])
@pytest.mark.parametrize("use_bias", [True, False])
def test_the_replay_is_the_layers_own_run(units, features, use_bias, seed):
    keras.utils.set_random_seed(seed)
    layer = keras.layers.LSTM(
        units, return_sequences=True, return_state=True, use_bias=use_bias,
        bias_initializer="random_normal", kernel_initializer=keras.initializers.RandomNormal(0, 1),
        recurrent_initializer=keras.initializers.RandomNormal(0, 1),
    )  # fmt: skip
    x = np.random.default_rng(seed).normal(size=(4, 7, features)).astype("float32")
    for state in (None, np.random.default_rng(9).normal(size=(2, 4, units)).astype("float32")):
        h, last_h, last_c = layer(x, initial_state=None if state is None else list(state))
        before = {} if state is None else {"h": state[0], "c": state[1]}
        run = gates.replay(layer, x, **before)
        np.testing.assert_allclose(run.h, h, atol=1e-5)
        np.testing.assert_allclose(run.h[:, -1], last_h, atol=1e-5)
        np.testing.assert_allclose(run.c[:, -1], last_c, atol=1e-5)


@pytest.mark.parametrize("feature", [0, 1])
@pytest.mark.parametrize("use_bias", [True, False])
def test_slopes_are_those_of_the_replay(feature, use_bias):
    """By central differences, whose error is of the order of the step squared."""
    layer = lstm_model(units=4, seed=2, use_bias=use_bias).get_layer("lstm")
    rng = np.random.default_rng(3)
    x, state = rng.normal(size=(3, 5, 2)), dict(zip("hc", rng.normal(size=(2, 3, 4))))
    h, slopes = gates.slopes(layer, x, feature, **state)
    assert slopes.shape == (3, 5, 5, 4)
    np.testing.assert_allclose(h, gates.replay(layer, x, **state).h, rtol=1e-12)
    small = 1e-5
    for step in range(5):
        change = np.zeros_like(x)
        change[:, step, feature] = small
        ends = [gates.replay(layer, x + sign * change, **state).h for sign in (1, -1)]
        expected = (ends[0] - ends[1]) / (2 * small)
        np.testing.assert_allclose(slopes[:, :, step], expected, atol=1e-8)


def test_slopes_of_a_feature_that_is_not_there():
    with refused_by_name(ValueError, ["feature", "2", "1"]):
        gates.slopes(LAYER, X, 2)


@pytest.mark.parametrize("state", [False, True])
def test_a_masked_step_is_skipped_as_keras_skips_it(state):
    keras.utils.set_random_seed(5)
    layer = keras.layers.LSTM(3, return_sequences=True, return_state=True)
    rng = np.random.default_rng(6)
    x = rng.normal(size=(5, 7, 2)).astype("float32")
    mask = rng.uniform(size=(5, 7)) < 0.6
    mask[0, :2] = False  # before the first
    before = (
        rng.normal(size=(2, 5, 3)).astype("float32") if state else np.zeros((2, 5, 3), "float32")
    )
    given = {"mask": keras.ops.convert_to_tensor(mask), "initial_state": list(before)}
    h, _, last_c = layer(x, **given)
    run = gates.replay(layer, x, h=before[0], c=before[1], mask=mask)
    np.testing.assert_allclose(run.h, h, atol=1e-5)
    np.testing.assert_allclose(run.c[:, -1], last_c, atol=1e-5)
    for gate in "ifgo":
        np.testing.assert_array_equal(np.isnan(getattr(run, gate)).any(axis=2), ~mask)


def test_each_gate_does_what_it_is_named_for():
    """Force one gate open or shut by its bias, and look at the cell and the output."""
    model = lstm_model(units=1, features=1, length=4, seed=3)
    layer = model.get_layer("lstm")
    x = np.random.default_rng(4).normal(size=(1, 4, 1))

    def with_bias(column, value):
        kernel, recurrent, bias = layer.get_weights()
        bias[:] = [30.0, 30.0, 0.5, 30.0]
        bias[column] = value
        layer.set_weights([kernel, recurrent, bias])
        return gates.replay(layer, x, c=5.0)

    kept = with_bias(0, -30.0)  # nothing is written: the cell stays
    np.testing.assert_allclose(kept.i, 0, atol=1e-9)
    np.testing.assert_allclose(kept.c, 5, atol=1e-6)
    forgotten = with_bias(1, -30.0)  # nothing is kept: the cell is what was just written
    np.testing.assert_allclose(forgotten.f, 0, atol=1e-9)
    np.testing.assert_allclose(forgotten.c, forgotten.g, atol=1e-6)
    hidden = with_bias(3, -30.0)  # nothing is shown
    np.testing.assert_allclose(hidden.o, 0, atol=1e-9)
    np.testing.assert_allclose(hidden.h, 0, atol=1e-9)


def test_one_sequence_may_come_alone():
    np.testing.assert_allclose(gates.replay(LAYER, X[0]).h, gates.replay(LAYER, X[:1]).h)


@pytest.mark.parametrize("gate", gates.GATES)
@pytest.mark.parametrize("settings", ["sequences", "last", "state", "no bias"])
def test_a_gate_as_a_model_is_the_one_of_the_replay(gate, settings):
    options = {
        "sequences": {},
        "last": {"return_sequences": False},
        "state": {"return_state": True},
        "no bias": {"use_bias": False},
    }[settings]
    keras.utils.set_random_seed(5)
    inputs = keras.Input((6, 2))
    layer = keras.layers.LSTM(3, name="lstm", **({"return_sequences": True} | options))
    outputs = layer(inputs)
    model = keras.Model(inputs, outputs[0] if isinstance(outputs, (list, tuple)) else outputs)
    run = gates.replay(layer, X)
    activation = np.tanh if gate == "g" else special.expit
    for unit, step in [(0, 1), (2, 5)]:
        z = gates.gate(model, "lstm", gate, unit=unit, step=step)(X).numpy()
        assert z.shape == (4, 1)
        np.testing.assert_allclose(
            activation(z[:, 0]), getattr(run, gate)[:, step, unit], atol=1e-6
        )


def test_a_gate_behind_other_layers():
    keras.utils.set_random_seed(6)
    model = keras.Sequential(
        [keras.Input((6, 2)), keras.layers.Dense(4, activation="tanh"), keras.layers.LSTM(2)]
    )
    z = gates.gate(model, 1, "f", unit=1, step=3)(X)
    run = gates.replay(model.layers[1], model.layers[0](X).numpy())
    np.testing.assert_allclose(special.expit(z[:, 0]), run.f[:, 3, 1], atol=1e-6)


def test_descent_shuts_a_gate():
    objective = gates.gate(MODEL, "lstm", "f", unit=2, step=4)
    starts = random_starts(objective, 5, -1.0, 1.0, seed=2)
    wanted = np.full((5, 1), special.logit(0.02))
    found = reconstruct(objective, wanted, start=starts, learning_rate=0.3)
    assert found.converged.all()
    np.testing.assert_allclose(gates.replay(LAYER, found.x).f[:, 4, 2], 0.02, rtol=1e-2)
    np.testing.assert_array_equal(found.x[:, 5], starts[:, 5].astype("float32"))


@pytest.mark.parametrize("gate", gates.GATES)
def test_the_nearest_input_gives_the_gate_its_value(gate):
    rng = np.random.default_rng(7)
    h, start = np.tanh(rng.normal(size=3)), rng.normal(size=2)
    x = gates.nearest_input(LAYER, gate, -1.5, unit=1, start=start, h=h)
    run = gates.replay(LAYER, x[np.newaxis], h=h)
    activation = np.tanh if gate == "g" else special.expit
    np.testing.assert_allclose(getattr(run, gate)[0, 0, 1], activation(-1.5), rtol=1e-6)
    # It is the nearest: the way there runs along the gate's weights.
    k = LAYER.get_weights()[0][:, gates.GATES.index(gate) * 3 + 1]
    np.testing.assert_allclose(np.cross(np.append(x - start, 0), np.append(k, 0)), 0, atol=1e-6)


def test_descent_through_one_step_agrees_with_the_closed_form():
    model = lstm_model(units=2, length=1, seed=8)
    start = np.array([[0.3, -0.4]])
    objective = gates.gate(model, "lstm", "o", unit=0, step=0)
    found = reconstruct(objective, 1.2, start=start, learning_rate=0.1, rtol=1e-6)
    layer = model.get_layer("lstm")
    expected = gates.nearest_input(layer, "o", 1.2, unit=0, start=start[0])
    np.testing.assert_allclose(found.x[0, 0], expected, atol=1e-4)


@pytest.mark.parametrize("gate", gates.GATES)
def test_the_range_holds_for_all_inputs_and_is_reached_at_a_corner(gate):
    rng = np.random.default_rng(10)
    smallest, largest = gates.gate_range(LAYER, gate, [-1.0, 0.0], 0.5, unit=1, h=(-0.5, 0.8))
    corners = np.array(np.meshgrid([-1, 0.5], [0, 0.5], *[[-0.5, 0.8]] * 3)).reshape(5, -1).T
    inside = rng.uniform([-1, 0, -0.5, -0.5, -0.5], [0.5, 0.5, 0.8, 0.8, 0.8], (500, 5))
    values = []
    for box in (corners, inside):
        run = gates.replay(LAYER, box[:, np.newaxis, :2], h=box[:, 2:])
        values.append(getattr(run, gate)[:, 0, 1])
    np.testing.assert_allclose([values[0].min(), values[0].max()], [smallest, largest], rtol=1e-6)
    assert smallest <= values[1].min()
    assert values[1].max() <= largest


def test_a_gate_that_cannot_be_shut_is_not():
    smallest, _ = gates.gate_range(LAYER, "f", -0.5, 0.5, unit=2)
    objective = gates.gate(MODEL, "lstm", "f", unit=2, step=2)
    starts = random_starts(objective, 20, -0.5, 0.5, seed=0)
    below = np.full((20, 1), special.logit(0.9 * smallest))
    found = reconstruct(objective, below, start=starts, learning_rate=0.3, bounds=(-0.5, 0.5))
    assert found.success_rate == 0
    assert gates.replay(LAYER, found.x).f[:, 2, 2].min() >= smallest


def call_gate(**changes):
    return lambda: gates.gate(
        MODEL, **({"layer": "lstm", "gate": "f", "unit": 0, "step": 1} | changes)
    )


def replay_with(**settings):
    model = lstm_model(**settings)
    return lambda: gates.replay(model.get_layer("lstm"), X)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (call_gate(gate="c"), ValueError, ["gate", "'c'", "'i'", "'f'", "'g'", "'o'"]),
        (call_gate(unit=3), ValueError, ["unit", "3", "2"]),
        (call_gate(unit=-1), ValueError, ["unit", "-1", "0"]),
        (call_gate(step=6), ValueError, ["step", "6", "5"]),
        (call_gate(step=0), ValueError, ["step", "forget gate", "still zero", "not 0"]),
        (call_gate(layer="gru"), ValueError, ["layer", "'gru'", "'lstm'"]),
        (call_gate(layer=1), TypeError, ["layer", "Dense", "LSTM"]),
        (replay_with(activation="relu"), ValueError, ["layer", "activation='tanh'", "'relu'"]),
        (
            replay_with(recurrent_activation="hard_sigmoid"),
            ValueError,
            ["layer", "recurrent_activation='sigmoid'", "'hard_sigmoid'"],
        ),
        (replay_with(go_backwards=True), ValueError, ["layer", "go_backwards=False", "True"]),
        (lambda: gates.replay(STATEFUL, X), ValueError, ["layer", "stateful=False", "True"]),
        (lambda: gates.replay(keras.layers.LSTM(1), X), ValueError, ["layer", "built"]),
        (lambda: gates.replay(keras.layers.GRU(1), X), TypeError, ["layer", "GRU", "LSTM"]),
        (lambda: gates.replay(LAYER, X[..., :1]), ValueError, ["sequences", "(4, 6, 1)", "2"]),
        (lambda: gates.replay(LAYER, X, mask=np.ones((4, 6))), TypeError, ["mask", "float64"]),
        (lambda: gates.replay(LAYER, X, mask=[True] * 5), ValueError, ["mask", "(4, 6)", "(5,)"]),
        (lambda: gates.replay(LAYER, X * np.nan), ValueError, ["sequences", "nan"]),
        (lambda: gates.replay(LAYER, X, h=np.zeros(2)), ValueError, ["h", "(2,)", "(4, 3)"]),
        (
            lambda: gates.nearest_input(LAYER, "f", np.inf, unit=0, start=0.0),
            ValueError,
            ["z", "inf"],
        ),
        (
            lambda: gates.nearest_input(LAYER, "f", 0.0, unit=0, start=np.zeros(3)),
            ValueError,
            ["start", "(3,)", "(2,)"],
        ),
        (lambda: gates.gate_range(LAYER, "f", 1.0, 0.0, unit=0), ValueError, ["low", "1", "0"]),
        (
            lambda: gates.gate_range(LAYER, "f", 0.0, 1.0, unit=0, h=(0.5, -0.5)),
            ValueError,
            ["h", "0.5", "-0.5"],
        ),
        (lambda: gates.gate_range(LAYER, "f", 0.0, 1.0, unit=0, h=0.5), TypeError, ["h", "pair"]),
        (
            lambda: gates.gate(MASKED, "lstm", "f", unit=0, step=1),
            ValueError,
            ["layer", "'lstm'", "mask"],
        ),
    ],
)
def test_bad_arguments_are_named(call, error, words):
    with refused_by_name(error, words):
        call()


def test_a_sequence_of_open_length_has_gates_at_every_step():
    model = lstm_model(length=None)
    layer = model.get_layer("lstm")
    part = gates.gate(model, "lstm", "o", unit=1, step=3)
    replayed = special.logit(gates.replay(layer, X).o[:, 3, 1])
    np.testing.assert_allclose(part(X)[:, 0], replayed, atol=1e-5)
    with pytest.raises(ValueError, match="start must have a shape that"):
        reconstruct(part, 0.0, start=X[0, :2], learning_rate=0.1)


def test_the_gate_of_a_layer_that_another_model_also_uses():
    layer = keras.layers.LSTM(2, name="lstm")
    first, second = keras.Input((6, 2)), keras.Input((6, 2))
    keras.Model(first, layer(first))
    doubled = keras.layers.Dense(2, use_bias=False, kernel_initializer="ones")(second)
    model = keras.Model(second, layer(doubled))
    part = gates.gate(model, "lstm", "i", unit=0, step=2)
    inside = np.repeat(X.sum(axis=-1, keepdims=True), 2, axis=-1)
    replayed = special.logit(gates.replay(layer, inside).i[:, 2, 0])
    np.testing.assert_allclose(part(X)[:, 0], replayed, atol=1e-5)


def test_a_gate_without_weights_has_no_input():
    model = lstm_model(units=1, features=1)
    layer = model.get_layer("lstm")
    kernel, recurrent, bias = layer.get_weights()
    kernel[:, 1] = 0.0
    layer.set_weights([kernel, recurrent, bias])
    with pytest.raises(ValueError, match="gate 'f' of unit 0 ignores the input"):
        gates.nearest_input(layer, "f", 0.0, unit=0, start=0.0)
