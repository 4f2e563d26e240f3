"""Descent on the input: against formulas, an eager loop, and itself; every end it can come to."""

import dataclasses

import numpy as np
import pytest
from conftest import refused_by_name
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import closed_forms
from helpers.backend import keras, tf
from helpers.reconstruction import STATUS, reconstruct
from helpers.training import neuron, set_weight_and_bias

LINE = neuron("linear", W=0.4, b=-25.0)
CURVE = neuron("sigmoid", W=2.0, b=-1.0)


def network(*layers, dtype="float32", shape=(3,), seed=0):
    """A network of the given layers with random weights."""
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input(shape, dtype=dtype), *layers])


def logarithm():
    """A network that computes log(x)."""
    log = network(keras.layers.Dense(1), keras.layers.Activation(keras.ops.log), shape=(1,))
    log.set_weights([np.ones((1, 1)), np.zeros(1)])
    return log


def eager_descent(model, target, start, learning_rate, steps):
    """The loop of chapter 3, for a batch."""
    x = tf.Variable(
        np.broadcast_to(start, (len(target), *model.inputs[0].shape[1:])), dtype="float32"
    )
    path = [x.numpy()]
    for _ in range(steps):
        with tf.GradientTape() as tape:
            cost = tf.reduce_sum((model(x) - target) ** 2)
        x.assign_sub(learning_rate * tape.gradient(cost, x))
        path.append(x.numpy())
    return np.array(path)


# --- the answer ------------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    W=st.floats(0.05, 20) | st.floats(-20, -0.05),
    b=st.floats(-50, 50),
    y0=st.floats(-100, 100),
    start=st.floats(-100, 100),
    fraction=st.floats(0.2, 0.8),
)
def test_a_line_is_inverted(W, b, y0, start, fraction):
    set_weight_and_bias(LINE_OF_ANY_WEIGHT, W, b)
    rate = fraction * closed_forms.largest_stable_rate(W)
    found = reconstruct(LINE_OF_ANY_WEIGHT, y0, start=start, learning_rate=rate, atol=1e-3)
    assert found.converged.all()
    x0 = closed_forms.invert_line(y0, W, b)
    allowed = (1e-3 + 1e-4 * abs(y0)) / abs(W)
    assert abs(found.x.item() - x0) <= allowed + 1e-5 * (abs(x0) + abs(b / W))


LINE_OF_ANY_WEIGHT = neuron("linear", W=1.0)


@settings(max_examples=25)
@given(y0=st.floats(0.02, 0.98), start=st.floats(-2, 3), space=st.sampled_from(["output", "logit"]))
def test_a_sigmoid_neuron_is_inverted(y0, start, space):
    rate = 1.0 if space == "output" else 0.1
    found = reconstruct(CURVE, y0, start=start, learning_rate=rate, space=space)
    assert found.converged.all()
    x0 = closed_forms.invert_sigmoid(y0, 2.0, -1.0)
    # The default rtol on y, divided by the slope of the curve.
    np.testing.assert_allclose(found.x.item(), x0, atol=1.2e-4 / (2 * (1 - y0)))


def test_the_run_of_the_post_lands_where_it_printed():
    post = neuron("linear", W=0.40204986929893494, b=-25.4401912689209)
    found = reconstruct(post, 100.0, start=1.0, learning_rate=0.4, max_iter=200, atol=0, rtol=0)
    np.testing.assert_allclose(found.x.item(), 312.00146484, rtol=0, atol=4e-5)


def test_a_deep_network_ends_no_run_just_outside_its_tolerance():
    keras.utils.set_random_seed(1)
    wide = [keras.layers.Dense(64, "tanh") for _ in range(2)]
    deep = keras.Sequential([keras.Input((3,)), *wide, keras.layers.Dense(1)])
    rng = np.random.default_rng(1)
    start = 0.5 * rng.normal(size=(200, 3))
    target = deep(start).numpy() + 0.05 * rng.normal(size=(200, 1))
    options = {"learning_rate": 0.02, "max_iter": 20_000}
    found = reconstruct(deep, target, start=start, **options)
    assert found.success_rate > 0.9
    # All others cannot move: a step is less than half a unit in the last place of x. The output is
    # a sum of 64 terms of size 1, known to 8 ε; that is a part of the error, and so of the step.
    lost = found.status == "stalled"
    x, aim = (tf.constant(array[lost]) for array in (found.x, found.target))
    with tf.GradientTape() as tape:
        tape.watch(x)
        cost = tf.reduce_sum((deep(x) - aim) ** 2)
    step = options["learning_rate"] * abs(tape.gradient(cost, x))
    unsure = 8 * np.finfo("float32").eps / abs(found.residual[lost])
    assert np.all(step <= (1 + unsure) * np.spacing(abs(x)) / 2)
    singles = [reconstruct(deep, target[[i]], start=start[i], **options) for i in range(60)]
    assert [single.status[0] for single in singles] == found.status[:60].tolist()


def test_the_tolerances_add_up():
    # The first output misses 100 by 0.15: too much for either tolerance alone.
    at = {"start": (100.15 + 25) / 0.4, "learning_rate": 0.1}
    assert reconstruct(LINE, 100.0, atol=0.1, rtol=0.001, **at).n_iter[0] == 0
    assert reconstruct(LINE, 100.0, atol=0.1, rtol=0.0, **at).n_iter[0] > 0
    assert reconstruct(LINE, 100.0, atol=0.0, rtol=0.001, **at).n_iter[0] > 0


def test_layers_that_train_otherwise_are_asked_as_they_answer():
    model = network(
        keras.layers.Dense(8, "tanh"), keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.5), keras.layers.Dense(1, "sigmoid"),
    )  # fmt: skip
    model.layers[1].moving_mean.assign(np.linspace(-1, 1, 8))
    for space in ("output", "logit"):
        there = model(np.full((1, 3), 0.5), training=False)
        found = reconstruct(model, there, start=0.1, learning_rate=0.2, space=space)
        assert found.converged.all()
        # The last answer is compiled: it is rounded in another order.
        np.testing.assert_allclose(found.y, model(found.x, training=False), rtol=1e-5)


def test_a_changed_activation_is_compiled_anew():
    inner = network(keras.layers.Dense(3, "tanh", name="inside"))
    for model, layer in [(inner, inner.layers[0]), (network(inner), inner.layers[0])]:
        ask = {"target": model(np.full((1, 3), 0.3)), "start": 0.1, "learning_rate": 0.1}
        assert reconstruct(model, **ask).converged.all()
        layer.activation = keras.activations.softplus
        ask["target"] = model(np.full((1, 3), 0.3))
        found = reconstruct(model, **ask)
        assert found.converged.all()
        layer.activation = keras.activations.tanh


def test_a_function_as_penalty_is_asked_anew_each_time():
    weight = 0.0

    def penalty(x):
        return weight * tf.reduce_sum(x**2, axis=1)

    ask = {"start": 0.0, "learning_rate": 0.1, "penalty": penalty}
    free = reconstruct(LINE, 10.0, **ask)
    weight = 5.0
    held = reconstruct(LINE, 10.0, **ask)
    np.testing.assert_allclose(free.x, [[87.5]], rtol=1e-3)
    np.testing.assert_allclose(held.x, [[0.4 * 35 / (0.16 + 5)]], rtol=1e-3)


def test_one_step_from_a_start_of_zero_at_the_best_rate():
    rate = closed_forms.best_rate(0.4)
    found = reconstruct(LINE, 100.0, start=0.0, learning_rate=rate)
    assert found.n_iter[0] == 1
    np.testing.assert_allclose(found.x, [[312.5]], rtol=1e-6)


@pytest.mark.parametrize("last", ["dense", "dense without bias", "activation"])
def test_logit_space_works_whatever_carries_the_sigmoid(last):
    layers = {
        "dense": [keras.layers.Dense(1, activation="sigmoid")],
        "dense without bias": [keras.layers.Dense(1, activation="sigmoid", use_bias=False)],
        "activation": [keras.layers.Dense(1), keras.layers.Activation("sigmoid")],
    }[last]
    model = network(keras.layers.Dense(4, activation="tanh"), *layers)
    found = reconstruct(model, 0.6, start=0.1, learning_rate=0.1, rtol=1e-4, space="logit")
    assert found.converged.all()
    np.testing.assert_allclose(model(found.x), [[0.6]], rtol=1e-4)


def test_any_architecture_will_do():
    lstm = network(keras.layers.LSTM(2), keras.layers.Dense(1), shape=(5, 1))
    found = reconstruct(lstm, [[0.2], [-0.1]], start=0.1, learning_rate=0.5, rtol=1e-3)
    assert found.x.shape == (2, 5, 1)
    assert found.converged.all()

    conv = network(
        keras.layers.Conv2D(2, 3, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(3),
        shape=(6, 6, 1),
    )
    wanted = conv(np.random.default_rng(0).normal(size=(2, 6, 6, 1)).astype("float32")).numpy()
    found = reconstruct(conv, wanted, start=0.5, learning_rate=0.05, atol=1e-3)
    assert found.converged.all()


def test_float64_models_are_computed_in_float64():
    model = network(keras.layers.Dense(1, dtype="float64"), dtype="float64", shape=(1,))
    model.set_weights([np.full((1, 1), 0.4), np.full(1, -25.0)])
    found = reconstruct(model, 100.0, start=1.0, learning_rate=0.4, rtol=1e-13)
    assert found.x.dtype == np.float64
    np.testing.assert_allclose(found.x, [[312.5]], rtol=1e-12)


def test_trained_weights_are_read_at_each_call():
    model = neuron("linear", W=0.5)
    first = reconstruct(model, 10.0, start=0.0, learning_rate=0.5).x.item()
    set_weight_and_bias(model, 1.0, 0.0)
    second = reconstruct(model, 10.0, start=0.0, learning_rate=0.5).x.item()
    np.testing.assert_allclose([first, second], [20.0, 10.0], rtol=1e-3)


# --- the iterates ------------------------------------------------------------------------------


def test_iterates_are_those_of_the_eager_loop():
    model = network(keras.layers.Dense(5, activation="tanh"), keras.layers.Dense(2))
    target = np.array([[0.3, -0.2], [0.1, 0.4]], dtype="float32")
    start = np.random.default_rng(1).normal(size=(2, 3))
    found = reconstruct(
        model, target, start=start, learning_rate=0.05, max_iter=60, rtol=0, trace=True
    )
    expected = eager_descent(model, target, start, 0.05, 60)
    assert found.trace.shape == (61, 2, 3)
    np.testing.assert_allclose(found.trace, expected, rtol=1e-4, atol=1e-5)


def test_the_first_step_is_against_the_gradient_of_the_sum():
    model = network(keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(2))
    start = np.array([[0.3, -0.7, 0.2]])
    target = np.array([[0.5, 0.1]])

    def cost(x):
        return np.sum((model(x.astype("float32")).numpy() - target) ** 2)

    h = 1e-2
    shifts = h * np.eye(3)[:, None, :]
    gradient = [(cost(start + shift) - cost(start - shift)) / (2 * h) for shift in shifts]
    found = reconstruct(model, target, start=start, learning_rate=0.1, max_iter=1, trace=True)
    step = found.trace[1] - found.trace[0]
    np.testing.assert_allclose(step[0], -0.1 * np.array(gradient), rtol=0.02, atol=1e-4)


def test_a_batch_gives_what_single_calls_give():
    model = network(keras.layers.Dense(5, activation="tanh"), keras.layers.Dense(1))
    targets = np.linspace(-0.5, 0.5, 7)
    starts = np.random.default_rng(2).normal(size=(7, 3))
    options = {"learning_rate": 0.3, "max_iter": 200, "rtol": 1e-4, "atol": 1e-5}
    batch = reconstruct(model, targets, start=starts, **options)
    assert len(set(batch.n_iter.tolist())) > 3
    for i in range(7):
        single = reconstruct(model, targets[i], start=starts[i], **options)
        assert single.status[0] == batch.status[i]
        assert abs(int(single.n_iter[0]) - int(batch.n_iter[i])) <= 1
        np.testing.assert_allclose(single.x[0], batch.x[i], rtol=1e-3, atol=1e-4)


def test_one_bad_member_does_not_spoil_the_batch():
    log = logarithm()
    batch = reconstruct(log, [0.5, 0.5, 0.7], start=[1.0, -1.0, 2.0], learning_rate=0.1)
    assert list(batch.status) == ["converged", "nonfinite", "converged"]
    alone = reconstruct(log, 0.7, start=2.0, learning_rate=0.1)
    np.testing.assert_array_equal(batch.x[2], alone.x[0])


def test_a_trace_runs_from_start_to_answer_across_segments():
    found = reconstruct(
        LINE, [100.0, 0.0], start=1.0, learning_rate=1e-3, max_iter=2500, rtol=0, trace=True
    )
    assert list(found.status) == ["max_iter", "max_iter"]
    assert found.trace.shape == (2501, 2, 1)
    np.testing.assert_array_equal(found.trace[-1], found.x)
    k = np.array([0, 999, 1000, 1001, 2000, 2500])
    error = (1.0 - 312.5) * closed_forms.contraction(0.4, 1e-3) ** k
    np.testing.assert_allclose(found.trace[k, 0, 0], 312.5 + error, rtol=1e-4)


def test_a_trace_repeats_the_last_iterate_of_a_run_that_has_ended():
    found = reconstruct(LINE, [-24.0, 100.0], start=1.0, learning_rate=0.4, trace=True)
    short, long = found.n_iter
    assert short < long
    assert len(found.trace) == long + 1
    assert np.all(found.trace[short:, 0] == found.x[0])
    np.testing.assert_array_equal(found.trace[-1], found.x)


def test_progress_goes_to_stdout_and_changes_nothing(capsys):
    options = {"start": 1.0, "learning_rate": 1e-3, "max_iter": 3000}
    quiet = reconstruct(LINE, 100.0, **options)
    assert capsys.readouterr() == ("", "")
    shown = reconstruct(LINE, 100.0, progress=True, **options)
    captured = capsys.readouterr()
    assert "3000/3000" in captured.out
    assert captured.err == ""
    np.testing.assert_array_equal(shown.x, quiet.x)


# --- the ends ----------------------------------------------------------------------------------


def how_it_ended(found):
    (status,) = found.status
    return status


def test_converged_means_within_the_tolerance():
    targets = np.linspace(-50, 300, 2001)
    found = reconstruct(LINE, targets, start=1.0, learning_rate=0.4, atol=1e-2, rtol=1e-5)
    assert found.converged.all()
    allowed = 1e-2 + 1e-5 * np.abs(found.target)
    assert np.all(np.abs(found.residual) <= allowed)
    assert np.all(np.abs(LINE(found.x).numpy() - found.target) <= allowed)


def test_a_start_at_the_answer_takes_no_step():
    found = reconstruct(LINE, -25.0, start=0.0, learning_rate=0.4)
    assert how_it_ended(found) == "converged"
    assert found.n_iter[0] == 0
    assert found.x.item() == 0.0


def test_max_iter_is_the_number_of_steps():
    found = reconstruct(LINE, 100.0, start=1.0, learning_rate=1e-4, max_iter=7)
    assert how_it_ended(found) == "max_iter"
    assert found.n_iter[0] == 7
    assert "max_iter came first" in found.message[0]


def test_arriving_with_the_last_step_counts():
    rate = closed_forms.best_rate(0.4)
    found = reconstruct(LINE, 100.0, start=0.0, learning_rate=rate, max_iter=1)
    assert how_it_ended(found) == "converged"


def test_stalled_where_the_sigmoid_saturates():
    plain = neuron("sigmoid", W=1.0)
    options = {"start": 17.0, "atol": 1e-3, "rtol": 0.0}
    stuck = reconstruct(plain, 0.1, learning_rate=1.0, **options)
    assert how_it_ended(stuck) == "stalled"
    assert stuck.n_iter[0] == 0
    assert "saturated" in stuck.message[0]
    assert not stuck.converged[0]
    freed = reconstruct(plain, 0.1, learning_rate=0.25, space="logit", **options)
    assert how_it_ended(freed) == "converged"


def test_stalled_below_the_resolution_of_float32():
    found = reconstruct(LINE, 100.1, start=1.0, learning_rate=0.1, atol=0, rtol=0)
    assert how_it_ended(found) == "stalled"
    assert "rounding" in found.message[0]
    assert (
        abs(found.x.item() - 125.1 / 0.4) < np.spacing(np.float32(312)) / (2 * 0.1 * 2 * 0.16) * 1.5
    )


def test_stalled_at_a_weight_of_zero():
    found = reconstruct(neuron("linear", W=0.0, b=1.0), 2.0, start=0.0, learning_rate=0.1)
    assert how_it_ended(found) == "stalled"


def test_diverged_beyond_the_largest_stable_rate():
    limit = closed_forms.largest_stable_rate(0.4)
    below = reconstruct(LINE, 100.0, start=1.0, learning_rate=0.99 * limit)
    above = reconstruct(LINE, 100.0, start=1.0, learning_rate=1.01 * limit)
    assert how_it_ended(below) == "converged"
    assert how_it_ended(above) == "diverged"
    assert "lower the learning rate" in above.message[0]
    assert np.isfinite(above.x).all()


def test_diverged_when_the_cost_has_grown_a_million_fold():
    rate = 2 * closed_forms.largest_stable_rate(0.4)  # a factor of −3: the cost grows by 9 a step
    found = reconstruct(LINE, 100.0, start=1.0, learning_rate=rate)
    assert found.n_iter[0] == np.ceil(np.log(1e6) / np.log(9))


def test_the_last_step_may_lead_to_a_nonfinite_output():
    found = reconstruct(logarithm(), -9.0, start=1.0, learning_rate=1.0, max_iter=1, atol=1e9)
    assert found.n_iter[0] == 0
    assert how_it_ended(found) == "converged"
    found = reconstruct(logarithm(), -9.0, start=1.0, learning_rate=1.0, max_iter=1)
    assert found.x.item() < 0
    assert how_it_ended(found) == "nonfinite"


def test_nonfinite_output_is_never_a_success():
    log = logarithm()
    for start in (-1.0, 0.0):
        found = reconstruct(log, 0.5, start=start, learning_rate=0.1, atol=1e9)
        assert how_it_ended(found) == "nonfinite"
        assert not found.converged[0]
        assert found.x.item() == start
    found = reconstruct(log, 0.5, start=1.0, learning_rate=0.1)
    np.testing.assert_allclose(found.x, [[np.exp(0.5)]], rtol=1e-3)


def test_nonfinite_gradient_is_not_followed():
    root = network(keras.layers.Dense(1), keras.layers.Activation(keras.ops.sqrt), shape=(1,))
    root.set_weights([np.ones((1, 1)), np.zeros(1)])
    found = reconstruct(root, 2.0, start=0.0, learning_rate=0.1)
    assert how_it_ended(found) == "nonfinite"
    assert found.x.item() == 0.0


def test_every_status_has_a_test_here():
    ends = {"converged", "stationary", "max_iter", "stalled", "diverged", "nonfinite"}
    assert set(STATUS) - {"running"} == ends


# --- the result ------------------------------------------------------------------------------


def test_y_is_the_answer_of_the_model_and_fields_agree():
    model = network(keras.layers.Dense(5, activation="tanh"), keras.layers.Dense(2))
    targets = np.random.default_rng(3).normal(scale=0.3, size=(50, 2))
    found = reconstruct(model, targets, start=0.1, learning_rate=0.05, max_iter=300)
    # The last answer is compiled, too, so its rounding is its own: a few units in the last place of
    # sums of 5 terms below 1.
    np.testing.assert_allclose(found.y, model(found.x).numpy(), atol=16 * np.finfo("float32").eps)
    np.testing.assert_array_equal(found.residual, found.y - found.target)
    np.testing.assert_array_equal(found.converged, found.status == "converged")
    assert found.status.shape == found.message.shape == found.n_iter.shape == (50,)


def test_the_result_is_frozen():
    found = reconstruct(LINE, 100.0, start=1.0, learning_rate=0.4)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.x = 1.0
    for name in ("x", "y", "target", "residual", "status", "message", "n_iter"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(found, name)[0] = getattr(found, name)[0]
    assert found.trace is None
    assert "1 converged" in repr(found)


def test_the_shapes_of_targets_and_starts():
    one = reconstruct(LINE, 100, start=1.0, learning_rate=0.4)
    assert one.x.shape == one.y.shape == (1, 1)
    for target in ([10.0, 20.0], [[10.0], [20.0]]):
        for start in (0.0, [0.0, 1.0], [[0.0], [1.0]], np.float32(0)):
            assert reconstruct(LINE, target, start=start, learning_rate=0.4).x.shape == (2, 1)
    wide = network(keras.layers.Dense(2))
    assert reconstruct(wide, [0.1, 0.2], start=[0.0, 0.1, 0.2], learning_rate=0.1).x.shape == (1, 3)


# --- bad arguments ------------------------------------------------------------------------------

NO_WEIGHTS = keras.Sequential([keras.Input((1,)), keras.layers.Activation("relu")])
EMBEDDING = keras.Sequential(
    [keras.Input((2,), dtype="int32"), keras.layers.Embedding(3, 2), keras.layers.Flatten()]
)
ANY_LENGTH = keras.Sequential([keras.Input((None, 1)), keras.layers.Dense(1)])
UNBUILT = keras.Sequential([keras.layers.Dense(1)])
_a, _b = keras.Input((1,)), keras.Input((1,))
TWO_INPUTS = keras.Model([_a, _b], keras.layers.Dense(1)(keras.layers.Add()([_a, _b])))
TANH = network(keras.layers.Dense(1, activation="tanh"))
RELU = network(keras.layers.Dense(1, activation="relu"))


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"model": "line"}, TypeError, ["model", "line", "Keras model"]),
        ({"model": NO_WEIGHTS}, ValueError, ["model", "weights"]),
        ({"model": UNBUILT}, ValueError, ["model", "built", "keras.Input"]),
        ({"model": EMBEDDING}, TypeError, ["model", "int32", "floating-point"]),
        ({"model": TWO_INPUTS}, ValueError, ["model", "one input", "2"]),
        ({"model": ANY_LENGTH}, ValueError, ["start", "None", "()"]),
        ({"target": np.nan}, ValueError, ["target", "nan", "finite"]),
        ({"target": [np.inf, np.nan]}, ValueError, ["target", "nan", "finite"]),
        ({"target": "high"}, TypeError, ["target", "high", "real numbers"]),
        ({"target": 1j}, TypeError, ["target", "1j", "real numbers"]),
        ({"target": True}, TypeError, ["target", "True", "real numbers"]),
        ({"target": []}, ValueError, ["target", "empty"]),
        ({"target": [[1.0, 2.0]]}, ValueError, ["target", "(1, 2)", "(1,)"]),
        ({"target": 1e300}, ValueError, ["target", "1e+300", "float32"]),
        ({"model": CURVE, "target": 0.0}, ValueError, ["target", "0.0", "between 0 and 1"]),
        ({"model": CURVE, "target": 1.0}, ValueError, ["target", "1.0", "between 0 and 1"]),
        ({"model": CURVE, "target": 1.2}, ValueError, ["target", "1.2", "between 0 and 1"]),
        ({"model": CURVE, "target": 1 - 1e-9}, ValueError, ["target", "0.999999999", "float32"]),
        ({"model": TANH, "target": -1.0}, ValueError, ["target", "-1.0", "between -1 and 1"]),
        ({"model": RELU, "target": -0.5}, ValueError, ["target", "-0.5", "0 or above"]),
        ({"start": 1}, TypeError, ["start", "1", "floating point"]),
        ({"start": np.array([1, 2])}, TypeError, ["start", "array([1, 2])", "floating point"]),
        ({"start": False}, TypeError, ["start", "False"]),
        ({"start": np.nan}, ValueError, ["start", "nan", "finite"]),
        ({"start": None}, TypeError, ["start", "None"]),
        ({"start": [1.0, 2.0]}, ValueError, ["start", "(2,)", "(1, 1)"]),
        ({"start": 1e300}, ValueError, ["start", "1e+300", "float32"]),
        ({"learning_rate": 0}, ValueError, ["learning_rate", "0", "above 0"]),
        ({"learning_rate": -0.1}, ValueError, ["learning_rate", "-0.1", "above 0"]),
        ({"learning_rate": np.inf}, ValueError, ["learning_rate", "inf", "finite"]),
        ({"learning_rate": "0.1"}, TypeError, ["learning_rate", "0.1", "real number"]),
        ({"learning_rate": 1e-60}, ValueError, ["learning_rate", "1e-60", "float32"]),
        ({"max_iter": 0}, ValueError, ["max_iter", "0", "at least 1"]),
        ({"max_iter": -5}, ValueError, ["max_iter", "-5", "at least 1"]),
        ({"max_iter": 10.0}, TypeError, ["max_iter", "10.0", "whole number"]),
        ({"max_iter": 2**31}, ValueError, ["max_iter", "2147483648", "at most"]),
        ({"atol": -1e-3}, ValueError, ["atol", "-0.001", "0 or above"]),
        ({"rtol": np.nan}, ValueError, ["rtol", "nan", "finite"]),
        ({"space": "input"}, ValueError, ["space", "'input'", "'output'", "'logit'"]),
        ({"space": "logit"}, ValueError, ["space", "'logit'", "sigmoid", "linear"]),
        ({"model": TANH, "target": 0.1, "space": "logit"}, ValueError, ["space", "tanh"]),
        ({"trace": 1}, TypeError, ["trace", "1", "True or False"]),
        ({"progress": "yes"}, TypeError, ["progress", "yes", "True or False"]),
    ],
)
def test_bad_arguments_are_named(changes, error, words):
    arguments = {"model": LINE, "target": 1.0, "start": 0.0, "learning_rate": 0.1} | changes
    with refused_by_name(error, words):
        reconstruct(arguments.pop("model"), arguments.pop("target"), **arguments)
