"""What to reach: parts of a network as models, and what combines with them in `reconstruct`."""

import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, needs_half_precision, refused_by_name
from scipy import optimize, special

from helpers import gates, linear_maps, objectives, priors
from helpers.backend import keras, tf
from helpers.reconstruction import reconstruct

keras.utils.set_random_seed(4)
NETWORK = keras.Sequential(
    [
        keras.Input((3,)),
        keras.layers.Dense(5, activation="tanh", name="first"),
        keras.layers.Dense(4, activation="relu", name="second"),
        keras.layers.Dense(2, name="last"),
        keras.layers.Activation("sigmoid", name="squash"),
    ]
)
for _dense in NETWORK.layers[:3]:
    _dense.bias.assign(np.random.default_rng(1).normal(size=_dense.bias.shape))
RECURRENT = keras.Sequential(
    [keras.Input((None, 2)), keras.layers.SimpleRNN(3, return_sequences=True, name="rnn")]
)
X = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")


def layer_by_layer():
    """z and activation of each Dense layer, computed with NumPy."""
    (K1, b1), (K2, b2), (K3, b3) = (layer.get_weights() for layer in NETWORK.layers[:3])
    z1 = X @ K1 + b1
    z2 = np.tanh(z1) @ K2 + b2
    z3 = np.maximum(z2, 0) @ K3 + b3
    return {
        "first": (z1, np.tanh(z1)),
        "second": (z2, np.maximum(z2, 0)),
        "last": (z3, z3),
        "squash": (z3, special.expit(z3)),
    }


@pytest.mark.parametrize("space", ["preactivation", "activation"])
@pytest.mark.parametrize(
    ("name", "index"), [("first", 0), ("second", 1), ("last", 2), ("squash", -1)]
)
def test_units_are_those_of_the_layer(name, index, space):
    expected = layer_by_layer()[name][space == "activation"]
    for layer in (name, index):
        whole = objectives.units(NETWORK, layer, space=space)
        np.testing.assert_allclose(whole(X), expected, rtol=1e-5, atol=1e-6)
        one = objectives.units(NETWORK, layer, 1, space=space)
        np.testing.assert_allclose(one(X), expected[:, [1]], rtol=1e-5, atol=1e-6)
        some = objectives.units(NETWORK, layer, [-1, 0], space=space)
        np.testing.assert_allclose(some(X), expected[:, [-1, 0]], rtol=1e-5, atol=1e-6)


def test_a_layer_without_bias_has_a_preactivation():
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2, use_bias=False, activation="relu")]
    )
    z = objectives.units(model, 0, space="preactivation")
    np.testing.assert_allclose(z(X), X @ model.get_weights()[0], rtol=1e-5, atol=1e-6)


def test_the_weights_are_shared():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    part = objectives.units(model, 0, 1, space="preactivation")
    model.layers[0].set_weights([np.ones((3, 2)), np.array([0.0, 7.0])])
    np.testing.assert_allclose(part(X)[:, 0], X.sum(axis=1) + 7, rtol=1e-5)


@pytest.mark.parametrize("space", ["preactivation", "activation"])
def test_any_hidden_unit_is_reached(space):
    part = objectives.units(NETWORK, "first", [0, 3], space=space)
    found = reconstruct(part, [[0.3, -0.4]], start=0.1, learning_rate=0.1, atol=1e-4)
    assert found.converged.all()
    K, b = NETWORK.layers[0].get_weights()
    z = found.x @ K[:, [0, 3]] + b[[0, 3]]
    wanted = [[0.3, -0.4]] if space == "preactivation" else np.arctanh([[0.3, -0.4]])
    np.testing.assert_allclose(z, wanted, atol=1e-3)


def test_a_target_outside_the_range_of_the_unit_is_refused():
    with pytest.raises(ValueError, match=r"between -1 and 1.*tanh.*-1\.5"):
        reconstruct(objectives.units(NETWORK, "first", 0), -1.5, start=0.1, learning_rate=0.1)
    with pytest.raises(ValueError, match=r"0 or above.*relu"):
        reconstruct(objectives.units(NETWORK, "second", 0), -1.5, start=0.1, learning_rate=0.1)
    inner = keras.Sequential([keras.Input((3,)), NETWORK])
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        reconstruct(inner, [[0.5, 1.5]], start=0.1, learning_rate=0.1)


def test_off_reaches_the_nearest_input_that_shuts_a_unit_of_the_first_layer():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="relu")])
    objective = objectives.off(model, 0, 1, margin=0.2)
    K, b = model.get_weights()
    rate = 0.4 / np.sum(K[:, 1] ** 2)
    options = {"learning_rate": rate, "atol": 1e-4, "rtol": 0.0}
    found = reconstruct(objective, np.zeros((6, 1)), start=X, **options)
    assert found.converged.all()
    before, after = X @ K[:, 1] + b[1], found.x @ K[:, 1] + b[1]
    assert (before > -0.2).any()
    assert (before < -0.2).any()
    assert np.all(after <= -0.2 + 1.1e-4)
    nearest = linear_maps.nearest_off(X, K[:, 1], b[1], margin=0.2)
    np.testing.assert_allclose(found.x, nearest, atol=1e-3)
    np.testing.assert_array_equal(found.x[before < -0.2], X[before < -0.2])


def test_steps_of_a_sequence():
    x = np.random.default_rng(2).normal(size=(2, 5, 2)).astype("float32")
    y = RECURRENT(x).numpy()
    for steps, indices in [(0, [0]), (-1, [4]), ([3, 1], [3, 1]), ([-2, 0], [3, 0])]:
        np.testing.assert_allclose(
            objectives.at_steps(RECURRENT, steps)(x), y[:, indices], rtol=1e-6
        )
    # A later input cannot change an earlier output: the descent must leave it where it starts.
    target = 0.5 * y[:1, [1]]
    found = reconstruct(
        objectives.at_steps(RECURRENT, 1), target, start=x[:1], learning_rate=0.1, atol=1e-4
    )
    assert found.converged.all()
    assert np.any(found.x[0, :2] != x[0, :2])
    np.testing.assert_array_equal(found.x[0, 2:], x[0, 2:])


def test_the_start_says_how_long_a_sequence_is():
    for length in (2, 6):
        target = np.full((length, 3), 0.1)
        start = np.zeros((length, 2))
        found = reconstruct(RECURRENT, target, start=start, learning_rate=0.1, max_iter=5)
        assert found.x.shape == (1, length, 2)
        assert found.y.shape == (1, length, 3)
    for bad in (0.0, np.zeros(2), np.zeros((4, 3)), np.zeros((1, 1, 4, 2))):
        with pytest.raises(ValueError, match=r"start must have shape \('N', None, 2\)"):
            reconstruct(RECURRENT, target, start=bad, learning_rate=0.1)


# --- bounds and penalties -------------------------------------------------------------------------

LINEAR = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
LINEAR.set_weights([np.array([[1.0], [2.0]]), np.array([0.5])])


def test_the_input_never_leaves_its_bounds():
    found = reconstruct(
        LINEAR, 4.5, start=[[0.0, 0.5]], learning_rate=0.05, bounds=(-1.0, [2.5, 1.0]),
        trace=True,
    )  # fmt: skip
    assert found.converged.all()
    assert np.all(found.trace >= -1)
    assert np.all(found.trace <= [2.5, 1.0])
    assert found.x[0, 1] == 1.0
    # The rest of the way was made along the other input, not cut off at the end.
    np.testing.assert_allclose(found.x[0, 0], 2.0, atol=1e-3)


def test_bounded_descent_ends_where_scipy_does():
    rng = np.random.default_rng(5)
    start, target = rng.uniform(-0.2, 0.2, (1, 3)), np.array([[0.9, 0.05]])
    found = reconstruct(
        NETWORK, target, start=start, learning_rate=0.05, max_iter=50_000, rtol=0, atol=0,
        bounds=(-0.3, 0.3),
    )  # fmt: skip

    def cost(x):
        return np.sum(
            (NETWORK(x[np.newaxis].astype("float32")).numpy().astype(float) - target) ** 2
        )

    best = optimize.minimize(
        cost, start[0], bounds=[(-0.3, 0.3)] * 3, options={"eps": 1e-3}, method="L-BFGS-B"
    )
    assert np.isclose(abs(found.x), 0.3).any()
    np.testing.assert_allclose(cost(found.x[0]), best.fun, rtol=1e-3)


def test_held_back_by_the_bounds():
    found = reconstruct(LINEAR, 100.0, start=0.0, learning_rate=0.05, bounds=(-1.0, 1.0))
    assert found.status[0] == "stationary"
    assert "bounds" in found.message[0]
    np.testing.assert_array_equal(found.x, [[1.0, 1.0]])
    np.testing.assert_allclose(found.y, [[3.5]])


def test_rounding_within_the_bounds_is_told_from_being_held():
    options = {"start": 0.3, "learning_rate": 1e-3, "rtol": 0.0, "bounds": (-1e3, 1e3)}
    found = reconstruct(LINEAR, 10.1, **options)
    assert found.status[0] == "stalled"
    assert "rounding" in found.message[0]


def test_where_nothing_pulls_a_penalty_is_said_to_balance():
    part = objectives.units(NETWORK, "second", 0)
    off = X[part(X).numpy().ravel() == 0][0]
    found = reconstruct(part, 1.0, start=off, learning_rate=0.1, penalty=priors.L2(0.0))
    assert found.status[0] == "stationary"
    assert "balance" in found.message[0]


def test_a_penalty_may_be_negative():
    options = {"start": 0.0, "learning_rate": 0.05}

    def quadratic(x):
        return 0.01 * tf.reduce_sum(x**2, axis=1)

    plain = reconstruct(LINEAR, 10.0, penalty=quadratic, **options)
    shifted = reconstruct(LINEAR, 10.0, penalty=lambda x: quadratic(x) - 1e4, **options)
    np.testing.assert_allclose(shifted.x, plain.x, rtol=1e-5)
    assert shifted.n_iter[0] > 10


def test_a_penalty_that_is_not_a_number_is_never_a_success():
    # The norm has no derivative at 0, where the run begins, and where the output is right.
    found = reconstruct(
        LINEAR, LINEAR(np.zeros((1, 2))), start=0.0, learning_rate=0.1,
        penalty=lambda x: tf.norm(x, axis=1),
    )  # fmt: skip
    assert found.status[0] == "nonfinite"


def test_equal_bounds_hold_an_input_fixed_and_infinite_ones_leave_it_free():
    found = reconstruct(
        LINEAR, 4.5, start=[[0.0, 0.25]], learning_rate=0.05,
        bounds=([-np.inf, 0.25], [np.inf, 0.25]),
    )  # fmt: skip
    np.testing.assert_allclose(found.x, [[3.5, 0.25]], rtol=1e-3)


def test_a_penalty_is_minimised_together_with_the_error():
    """For J = (w·x + b − y0)² + λ‖x‖² the minimum is w (y0 − b)/(‖w‖² + λ)."""
    w, weight = np.array([1.0, 2.0]), 0.5
    found = reconstruct(
        LINEAR, 4.5, start=[[1.0, -1.0]], learning_rate=0.05, penalty=priors.L2(weight)
    )
    np.testing.assert_allclose(found.x[0], w * 4.0 / (w @ w + weight), rtol=1e-5)
    assert found.status[0] == "stationary"
    assert "penalty" in found.message[0]
    # With a tolerance that forgives what the penalty takes, the same run has converged.
    found = reconstruct(
        LINEAR, 4.5, start=[[1.0, -1.0]], learning_rate=0.05, penalty=priors.L2(weight), atol=0.5
    )
    assert found.converged.all()
    np.testing.assert_allclose(found.x[0], w * 4.0 / (w @ w + weight), rtol=1e-5)


def test_equal_penalties_share_a_compiled_loop():
    assert priors.L2(0.5) == priors.L2(0.5)
    assert hash(priors.TotalVariation(0.1)) == hash(priors.TotalVariation(0.1))
    assert priors.TotalVariation(0.1) != priors.TotalVariation(0.2)


@pytest.mark.parametrize("shape", [(5,), (5, 4), (5, 4, 2)])
def test_total_variation_sums_the_differences_of_neighbours(shape):
    x = np.random.default_rng(6).normal(size=(3, *shape))
    s = 0.1
    expected = np.zeros(3)
    for i in range(3):
        for axis in range(min(len(shape), 2)):
            d = np.diff(x[i], axis=axis)
            expected[i] += 2.0 * np.sum(np.sqrt(d**2 + s**2) - s)
    got = priors.TotalVariation(2.0, smoothing=s)(tf.constant(x))
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_total_variation_flattens():
    model = keras.Sequential([keras.Input((8, 1)), keras.layers.Flatten(), keras.layers.Dense(1)])
    model.set_weights([np.ones((8, 1)) / 8, np.zeros(1)])
    start = np.random.default_rng(7).normal(size=(1, 8, 1))
    options = {"start": start, "learning_rate": 0.05, "max_iter": 20_000, "atol": 0.01}
    rough = reconstruct(model, 2.0, **options)
    smooth = reconstruct(model, 2.0, penalty=priors.TotalVariation(0.01), **options)
    assert rough.converged.all()
    assert smooth.converged.all()
    assert np.abs(np.diff(rough.x[0, :, 0])).sum() > 1
    assert np.abs(np.diff(smooth.x[0, :, 0])).sum() < 0.05


def test_success_rate_and_spread():
    starts = priors.random_starts(NETWORK, 40, -1.0, 1.0, seed=3)
    targets = np.tile(NETWORK(X[:1]).numpy(), (40, 1))
    found = reconstruct(NETWORK, targets, start=starts, learning_rate=0.2, max_iter=2000, atol=0.01)
    assert 0 < found.success_rate <= 1
    assert found.success_rate == found.converged.sum() / 40
    expected = np.std([x for x, ok in zip(found.x, found.converged) if ok], axis=0)
    np.testing.assert_allclose(found.spread, expected, rtol=1e-6)
    assert (found.spread > 0.01).all()
    nothing = reconstruct(NETWORK, [0.6, 0.4], start=3.0, learning_rate=1e-6, max_iter=1)
    assert nothing.success_rate == 0
    assert np.isnan(nothing.spread).all()


def test_random_starts_fill_the_box_and_repeat_with_the_seed():
    starts = priors.random_starts(NETWORK, 500, [-1.0, 0.0, 2.0], 3.0, seed=1)
    assert starts.shape == (500, 3)
    np.testing.assert_allclose(starts.min(axis=0), [-1, 0, 2], atol=0.05)
    np.testing.assert_allclose(starts.max(axis=0), 3, atol=0.05)
    again = priors.random_starts(NETWORK, 500, [-1.0, 0.0, 2.0], 3.0, seed=1)
    np.testing.assert_array_equal(starts, again)
    assert np.any(starts != priors.random_starts(NETWORK, 500, [-1.0, 0.0, 2.0], 3.0, seed=2))


def test_a_fixed_entry_has_equal_ends():
    starts = priors.random_starts(NETWORK, 50, [-1.0, 2.0, 0.0], [1.0, 2.0, 3.0], seed=1)
    np.testing.assert_array_equal(starts[:, 1], 2.0)
    assert (np.ptp(starts[:, [0, 2]], axis=0) > 1).all()


def test_l2_around_an_input():
    centre = np.array([1.0, -2.0])
    prior = priors.L2(0.3, centre=centre)
    centre[0] = 7.0  # the prior keeps its own
    x = tf.constant([[1.0, 0.0], [2.0, -2.0]])
    np.testing.assert_allclose(prior(x), [0.3 * 4, 0.3], rtol=1e-6)
    same, other = priors.L2(0.3, centre=[1.0, -2.0]), priors.L2(0.3, centre=[1.0, -2.1])
    assert prior == same
    assert hash(prior) == hash(same)
    assert prior != other
    found = reconstruct(LINEAR, 4.5, start=[[1.0, -1.0]], learning_rate=0.05, penalty=prior)
    w, b = (weights.ravel() for weights in LINEAR.get_weights())
    middle = np.array([1.0, -2.0])
    expected = middle + w * (4.5 - b - w @ middle) / (w @ w + 0.3)
    np.testing.assert_allclose(found.x[0], expected, rtol=1e-5)


# --- outputs, odds, limits, and layers further in -----------------------------------------------


@pytest.mark.parametrize("end", ["dense", "activation", "layer", "inner"])
def test_the_sigmoid_of_the_log_odds_is_the_probability(end):
    keras.utils.set_random_seed(3)
    hidden, last = keras.layers.Dense(5, activation="tanh"), keras.layers.Dense(4)
    ends = {
        "dense": [keras.layers.Dense(4, activation="softmax")],
        "activation": [last, keras.layers.Activation("softmax")],
        "layer": [last, keras.layers.Softmax()],
        "inner": [keras.Sequential([keras.Input((5,)), last, keras.layers.Softmax()])],
    }
    model = keras.Sequential([keras.Input((3,)), hidden, *ends[end]])
    probability = model(X).numpy()
    odds = objectives.log_odds(model, [1, -1])
    np.testing.assert_allclose(special.expit(odds(X)), probability[:, [1, 3]], rtol=1e-5)
    wanted = model(X + 0.1).numpy()[:, [2]]
    options = {"start": X, "learning_rate": 0.2, "max_iter": 100_000, "rtol": 1e-5}
    found = reconstruct(objectives.log_odds(model, 2), special.logit(wanted), **options)
    assert found.converged.all()
    # d log p = (1 − p) d log-odds; the log-odds themselves are below 5.
    np.testing.assert_allclose(model(found.x)[:, 2:3], wanted, rtol=1e-4)


def test_the_log_odds_of_a_sigmoid_are_its_preactivation():
    z3 = layer_by_layer()["squash"][0]
    odds = objectives.log_odds(NETWORK, [1, 0])
    np.testing.assert_allclose(odds(X), z3[:, ::-1], rtol=1e-5, atol=1e-6)


def test_log_odds_at_each_step():
    steps = keras.layers.TimeDistributed(keras.layers.Dense(3, activation="softmax"))
    model = functional(steps, (4, 2))
    x = np.random.default_rng(8).normal(size=(2, 4, 2)).astype("float32")
    expected = special.logit(model(x).numpy()[..., [1]].astype(float))
    np.testing.assert_allclose(objectives.log_odds(model, 1)(x), expected, rtol=1e-5, atol=1e-6)
    last = objectives.log_odds(objectives.at_steps(model, -1), 1)
    np.testing.assert_allclose(last(x), expected[:, [-1]], rtol=1e-5, atol=1e-6)


def test_log_odds_do_not_overflow():
    model = functional(keras.layers.Dense(3, activation="softmax", use_bias=False))
    model.set_weights([np.diag([200.0, -200.0, 0.0])])
    odds = objectives.log_odds(model, [0, 1, 2])(np.ones((1, 3)))
    np.testing.assert_allclose(odds, [[200, -400, -200]], rtol=1e-6)


def test_no_digit_of_float64_is_lost():
    layer = keras.layers.Dense(3, activation="softmax", dtype="float64", name="end")
    model = functional(layer, dtype="float64")
    x = np.random.default_rng(9).normal(size=(4, 3))
    y = model(x).numpy()
    eps = 100 * np.finfo(float).eps  # some sums of three terms of size 1
    for part, expected in (
        (objectives.log_odds(model, 0), special.logit(y[:, [0]])),
        (objectives.units(model, "end", [2]), y[:, [2]]),
        (objectives.at_least(model, 0.5), np.maximum(0.5 - y, 0)),
    ):
        assert part.outputs[0].dtype == "float64"
        np.testing.assert_allclose(part(x), expected, rtol=0, atol=eps)


def test_outputs_of_one_name_go_by_index():
    shared = keras.layers.Dense(1, name="shared")
    model = functional(lambda x: [shared(x), shared(-x)])
    for i in (0, 1):
        np.testing.assert_array_equal(objectives.output(model, i)(X), model(X)[i])
    with pytest.raises(ValueError, match=r"which must be one of .*by index.*'shared'"):
        objectives.output(model, "shared")


def test_limits_are_kept_and_what_keeps_them_stays():
    first = objectives.units(NETWORK, "first", 0)
    y = first(X).numpy()
    limit = float(np.median(y))
    for objective, sign in ((objectives.at_least, -1), (objectives.at_most, 1)):
        part = objective(first, limit)
        np.testing.assert_allclose(part(X), np.maximum(sign * (y - limit), 0), atol=1e-6)
        found = reconstruct(part, np.zeros_like(y), start=X, learning_rate=0.2, atol=1e-3, rtol=0)
        assert found.converged.all()
        assert np.all(sign * (first(found.x) - limit) <= 1e-3 + 1e-6)
        kept = (sign * (y - limit) < 0)[:, 0]
        assert kept.any()
        np.testing.assert_array_equal(found.x[kept], X[kept])


def test_layers_of_inner_models_are_reached_by_path_or_name():
    encoder = keras.Sequential([keras.Input((3,)), *NETWORK.layers[:2]], name="encoder")
    inputs = keras.Input((3,))
    outer = keras.Model(inputs, keras.layers.Dense(1, name="last")(encoder(2 * inputs)))
    deeper = keras.Sequential([keras.Input((3,)), outer])
    K, b = NETWORK.layers[0].get_weights()
    expected = 2 * X @ K + b
    for model, path in ((outer, "encoder/first"), (deeper, f"{outer.name}/encoder/first")):
        for name in (path, "first"):
            z = objectives.units(model, name, space="preactivation")
            np.testing.assert_allclose(z(X), expected, rtol=1e-5, atol=1e-6)
            one = objectives.units(model, name, 3)
            np.testing.assert_allclose(one(X)[:, 0], np.tanh(expected[:, 3]), rtol=1e-5, atol=1e-6)


def test_a_sigmoid_of_an_inner_model_has_a_logit():
    inner = keras.Sequential([keras.Input((3,)), NETWORK, keras.layers.Dropout(0.5)])
    target = NETWORK(X + 0.05).numpy()
    options = {"learning_rate": 0.05, "max_iter": 100_000}
    found = reconstruct(inner, target, start=X, space="logit", **options)
    plain = reconstruct(NETWORK, target, start=X, space="logit", **options)
    assert found.converged.any()
    np.testing.assert_array_equal(found.x, plain.x)


SAVED = {
    "units": lambda: objectives.units(NETWORK, "second", [0, 2], space="preactivation"),
    "off": lambda: objectives.off(NETWORK, "second", 1, margin=0.1),
    "log_odds": lambda: objectives.log_odds(functional(keras.layers.Dense(3, "softmax")), [0, 2]),
    "at_least": lambda: objectives.at_least(objectives.units(NETWORK, 0, 1), 0.5),
    "at_steps": lambda: objectives.at_steps(
        functional(keras.layers.LSTM(2, return_sequences=True), (3, 1)), -1
    ),
    "given": lambda: objectives.given(NETWORK, [np.nan, 2.0, np.nan]),
    "gate": lambda: gates.gate(functional(keras.layers.LSTM(2), (3, 1)), 0, "f", unit=1, step=2),
}
LOADING = """
import sys
import numpy as np
from helpers import gates, objectives
from helpers.backend import keras
for path in sys.argv[1:]:
    x = np.load(path + ".npy")
    np.save(path + ".npy", keras.models.load_model(path)(x))
"""


def test_objectives_are_saved_and_loaded_elsewhere(tmp_path):
    paths, expected = [], []
    for name, build in SAVED.items():
        objective = build()
        shape = objective.inputs[0].shape[1:]
        x = np.random.default_rng(3).normal(size=(4, *shape)).astype("float32")
        paths.append(str(tmp_path / f"{name}.keras"))
        objective.save(paths[-1])
        np.save(paths[-1] + ".npy", x)
        expected.append(objective(x).numpy())
    subprocess.run([sys.executable, "-c", LOADING, *paths], cwd=ROOT, check=True)
    for path, value in zip(paths, expected):
        np.testing.assert_array_equal(np.load(path + ".npy"), value, err_msg=path)


# --- bad arguments --------------------------------------------------------------------------------


def functional(build, shape=(3,), **options):
    inputs = keras.Input(shape, **options)
    return keras.Model(inputs, build(inputs))


def twice(x):
    dense = keras.layers.Dense(3, name="both")
    return dense(dense(x))


TWICE = functional(twice)
SOFTMAX = functional(keras.layers.Dense(2, activation="softmax"))
SOFTMAX_OF_STEPS = keras.Sequential([keras.layers.Dense(2), keras.layers.Softmax(axis=1)])
SOFTPLUS = functional(keras.layers.Dense(2, activation="softplus"))
TWO_OUTPUTS = functional(lambda x: [keras.layers.Dense(1)(x), keras.layers.Dense(1)(x)])
NAMED_OUTPUT = functional(lambda x: {"y": keras.layers.Dense(1)(x)})
COARSE = functional(keras.layers.Dense(1, dtype="bfloat16"), dtype="bfloat16")
STATEFUL = functional(keras.layers.LSTM(1, stateful=True), shape=(4, 1), batch_size=1)


def ask(model, target):
    start = np.zeros((2, 2)) if model.inputs[0].shape[1] is None else 0.0
    return lambda: reconstruct(model, target, start=start, learning_rate=0.1)


def test_a_layer_that_another_model_also_uses_is_the_one_of_this_model():
    inputs, shared = keras.Input((3,)), keras.layers.Dense(3, activation="sigmoid", name="shared")
    keras.Model(inputs, shared(inputs))
    other = keras.Input((3,))
    model = keras.Model(other, shared(keras.layers.Dense(3)(other)))
    np.testing.assert_array_equal(objectives.units(model, "shared")(X), model(X))
    z = objectives.units(model, "shared", space="preactivation")(X)
    np.testing.assert_allclose(special.expit(z), model(X), rtol=1e-5)
    options = {"start": X + 0.1, "learning_rate": 0.05, "max_iter": 100_000}
    assert reconstruct(model, model(X), space="logit", **options).converged.all()


def test_a_preactivation_may_be_asked_for_what_its_activation_cannot_give():
    z = objectives.units(NETWORK, "first", 0, space="preactivation")
    assert reconstruct(z, 1.5, start=0.0, learning_rate=0.1).converged.all()


@pytest.mark.parametrize(
    "dtype", ["float64", pytest.param("mixed_float16", marks=needs_half_precision)]
)
def test_parts_compute_in_the_format_of_their_layer(dtype):
    layer = keras.layers.Dense(2, activation="tanh", dtype=dtype)
    model = functional(layer, dtype="float64" if dtype == "float64" else "float32")
    z = objectives.units(model, 0, space="preactivation")
    assert z.outputs[0].dtype == layer.compute_dtype
    np.testing.assert_allclose(np.tanh(z(X)), model(X), rtol=1e-10 if dtype == "float64" else 1e-2)


def test_a_penalty_works_where_input_and_output_have_different_formats():
    model = functional(keras.layers.Dense(1, use_bias=False), dtype="float64")
    w = np.array([1.0, 2.0, 0.0])
    model.set_weights([w[:, np.newaxis]])
    found = reconstruct(model, 1.0, start=0.0, learning_rate=0.05, penalty=priors.L2(0.1))
    assert (found.x.dtype, found.y.dtype) == (np.float64, np.float32)
    np.testing.assert_allclose(found.x[0], w / (w @ w + 0.1), rtol=1e-5)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="subclassed")
        self.dense = keras.layers.Dense(2, name="dense")

    def call(self, x):
        return self.dense(x)


WRAPPED = functional(Subclassed())
LOOKED_UP = functional(
    lambda x: keras.layers.Dense(2)(
        keras.layers.Flatten()(keras.layers.Embedding(4, 2, name="table")(x))
    )
)
COUNTED = functional(
    lambda x: keras.layers.Dense(1)(keras.layers.CategoryEncoding(4, name="counts")(x))
)
INNER_LOOKUP = functional(lambda x: keras.layers.Dense(1)(LOOKED_UP(x)))


ROUNDED = functional(
    lambda x: keras.layers.Dense(1)(keras.ops.cast(keras.ops.cast(x, "int32"), "float32"))
)
AT_STEPS = functional(
    lambda x: keras.layers.TimeDistributed(keras.layers.Embedding(4, 2), name="tables")(x), (3, 2)
)
OF_IDS = functional(
    lambda x: keras.layers.Dense(2)(keras.layers.Flatten()(keras.layers.Embedding(4, 2)(x))),
    dtype="int32",
)


def test_a_lookup_beside_another_way_is_let_through():
    model = functional(
        lambda x: keras.layers.Concatenate()([LOOKED_UP(x), keras.layers.Dense(1)(x)])
    )
    objectives.units(model, -1)
    cut = keras.Model(LOOKED_UP.get_layer("table").output, LOOKED_UP.outputs[0])
    assert reconstruct(cut, np.ones((1, 2)), start=0.1, learning_rate=0.1).converged.all()


def descend(**changes):
    arguments = {"start": 0.0, "learning_rate": 0.1} | changes
    return lambda: reconstruct(LINEAR, 1.0, **arguments)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: objectives.units("net", 0), TypeError, ["model", "net"]),
        (lambda: objectives.units(NETWORK, "third"), ValueError, ["layer", "third", "'second'"]),
        (lambda: objectives.units(NETWORK, 4), ValueError, ["layer", "4", "3"]),
        (lambda: objectives.units(NETWORK, 1.0), TypeError, ["layer", "1.0"]),
        (lambda: objectives.units(NETWORK, 0, 5), ValueError, ["unit", "5", "4"]),
        (lambda: objectives.units(NETWORK, 0, -6), ValueError, ["unit", "-6", "-5"]),
        (lambda: objectives.units(NETWORK, 0, [0, 1.5]), TypeError, ["unit", "1.5"]),
        (lambda: objectives.units(NETWORK, 0, []), ValueError, ["unit", "[]"]),
        (lambda: objectives.units(NETWORK, 0, 1, space="z"), ValueError, ["space", "'z'"]),
        (
            lambda: objectives.units(RECURRENT, 0, 1, space="preactivation"),
            ValueError,
            ["layer", "'rnn'", "SimpleRNN", "Dense"],
        ),
        (lambda: objectives.off(NETWORK, 0, 1, margin=0), ValueError, ["margin", "0"]),
        (lambda: objectives.off(NETWORK, 0, 9, margin=0.1), ValueError, ["unit", "9"]),
        (lambda: objectives.at_steps(NETWORK, 0), ValueError, ["model", "return_sequences"]),
        (lambda: objectives.at_steps(RECURRENT, 0.5), TypeError, ["steps", "0.5"]),
        (lambda: objectives.units(TWICE, "both"), ValueError, ["layer", "'both'", "2 times"]),
        (ask(SOFTMAX, [[0.4, 1.2]]), ValueError, ["target", "'softmax'", "1.2"]),
        (ask(SOFTPLUS, [[0.4, 0.0]]), ValueError, ["target", "'softplus'", "above 0"]),
        (
            ask(objectives.off(NETWORK, 0, 1, margin=0.1), -1.0),
            ValueError,
            ["target", "0 or above"],
        ),
        (ask(objectives.at_steps(RECURRENT, 1), [[1.5] * 3]), ValueError, ["target", "'tanh'"]),
        (lambda: objectives.units(TWO_OUTPUTS, 0), ValueError, ["model", "one output", "2"]),
        (lambda: objectives.units(NAMED_OUTPUT, 0), TypeError, ["model", "tensor", "dict"]),
        (lambda: objectives.units(COARSE, 0), TypeError, ["model", "float32", "bfloat16"]),
        (lambda: objectives.units(STATEFUL, 0), ValueError, ["model", "stateful"]),
        (
            lambda: objectives.units(LOOKED_UP, -1),
            TypeError,
            ["model", "'table'", "Embedding", "Cut"],
        ),
        (lambda: objectives.units(COUNTED, -1), TypeError, ["model", "'counts'", "Cut"]),
        (lambda: objectives.units(INNER_LOOKUP, -1), TypeError, ["model", "'table'", "Cut"]),
        (lambda: objectives.units(ROUNDED, -1), TypeError, ["model", "Cast", "Cut"]),
        (lambda: objectives.units(AT_STEPS, -1), TypeError, ["model", "'tables'", "Cut"]),
        (lambda: objectives.units(OF_IDS, -1), TypeError, ["model", "int32", "Cut"]),
        (
            lambda: objectives.units(WRAPPED, "dense"),
            ValueError,
            ["layer", "subclassed", "Rebuild"],
        ),
        (lambda: objectives.log_odds(RECURRENT, 0), ValueError, ["model", "softmax", "'tanh'"]),
        (
            lambda: objectives.log_odds(objectives.units(SOFTMAX, -1, [0]), 0),
            ValueError,
            ["model", "whole softmax", "Pick after"],
        ),
        (
            lambda: objectives.log_odds(functional(SOFTMAX_OF_STEPS, (3, 2)), 0),
            ValueError,
            ["model", "whole softmax", "another axis"],
        ),
        (
            lambda: objectives.log_odds(functional(keras.layers.Dense(1, "softmax")), 0),
            ValueError,
            ["model", "two classes"],
        ),
        (lambda: objectives.log_odds(SOFTMAX, 2), ValueError, ["unit", "2", "1"]),
        (lambda: objectives.at_least(NETWORK, np.inf), ValueError, ["limit", "inf"]),
        (lambda: objectives.at_most(NETWORK, "1"), TypeError, ["limit", "'1'"]),
        (lambda: objectives.at_most(TWO_OUTPUTS, 1.0), ValueError, ["model", "objectives.output"]),
        (lambda: priors.random_starts("net", 1, -1, 1, seed=0), TypeError, ["model", "net"]),
        (lambda: priors.L2(-1.0), ValueError, ["weight", "-1.0"]),
        (lambda: priors.L2(1.0, centre=np.nan), ValueError, ["centre", "nan"]),
        (
            lambda: priors.L2(1.0, centre=[1.0, 2.0])(tf.zeros((1, 3))),
            ValueError,
            ["centre", "(3,)"],
        ),
        (lambda: priors.TotalVariation("much"), TypeError, ["weight", "much"]),
        (lambda: priors.TotalVariation(1.0, smoothing=0), ValueError, ["smoothing", "0"]),
        (lambda: priors.random_starts(NETWORK, 0, -1, 1, seed=0), ValueError, ["n", "0"]),
        (lambda: priors.random_starts(NETWORK, 1, 2, 1, seed=0), ValueError, ["low", "high", "2"]),
        (lambda: priors.random_starts(NETWORK, 1, -1, 1, seed=-1), ValueError, ["seed", "-1"]),
        (lambda: priors.random_starts(RECURRENT, 1, -1, 1, seed=0), ValueError, ["model", "None"]),
        (
            lambda: priors.random_starts(NETWORK, 1, [0, 0], 1, seed=0),
            ValueError,
            ["low", "(2,)", "(3,)"],
        ),
        (descend(bounds=1.0), TypeError, ["bounds", "1.0", "pair"]),
        (descend(bounds=("a", 1.0)), TypeError, ["bounds", "'a'"]),
        (descend(bounds=(np.nan, 1.0)), ValueError, ["bounds", "nan"]),
        (descend(bounds=(1.0, -1.0)), ValueError, ["bounds", "low <= high"]),
        (descend(bounds=([0.0] * 3, 1.0)), ValueError, ["bounds", "(3,)", "(2,)"]),
        (descend(bounds=(0.5, 1.0)), ValueError, ["start", "bounds", "0.0"]),
        (descend(bounds=(-1.0, -0.5)), ValueError, ["start", "bounds", "0.0"]),
        (descend(bounds=(-1e300, 1.0)), ValueError, ["bounds", "1e+300", "float32"]),
        (descend(penalty=0.1), TypeError, ["penalty", "0.1", "function"]),
        (descend(penalty=lambda x: 0.5), ValueError, ["penalty", "(1,)", "0.5"]),
        (descend(penalty=lambda x: x), ValueError, ["penalty", "(1,)"]),
    ],
)
def test_bad_arguments_are_named(call, error, words):
    with refused_by_name(error, words):
        call()


def test_windows_are_parts_of_the_image():
    image = keras.Input((4, 5, 2))
    y = keras.layers.Dense(3)(keras.layers.Flatten()(image))
    model = keras.Model(image, y)
    seen = objectives.at_offsets(model, [(0, 0), (1, 3), (2, 0)])
    assert seen.input_shape == (None, 6, 8, 2)
    x = np.random.default_rng(3).normal(size=(2, 6, 8, 2)).astype("float32")
    parts = [x[:, :4, :5], x[:, 1:5, 3:8], x[:, 2:6, :5]]
    expected = np.stack([model(part) for part in parts], axis=1)
    np.testing.assert_allclose(seen(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("offsets", "error", "words"),
    [
        ([], ValueError, ["offsets", "[]"]),
        ([(1, 2, 3)], ValueError, ["offsets", "(1, 2, 3)"]),
        ([(0, -1)], ValueError, ["offsets", "-1"]),
        ([(0, 0.5)], TypeError, ["offsets", "0.5"]),
    ],
)
def test_bad_offsets_are_named(offsets, error, words):
    image = keras.Input((4, 5, 2))
    model = keras.Model(image, keras.layers.Dense(3)(image))
    with refused_by_name(error, words):
        objectives.at_offsets(model, offsets)


def test_windows_need_an_image():
    with refused_by_name(ValueError, ["model", "image", "(None, 3)"]):
        objectives.at_offsets(NETWORK, [(0, 0)])
