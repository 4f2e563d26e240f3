"""Training reaches the optimum that a formula, or another optimiser, gives."""

import numpy as np
import pytest
from conftest import refused_by_name
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special

from helpers.backend import keras
from helpers.closed_forms import least_squares
from helpers.data import bliss_beetles, nist_norris, noisy_line
from helpers.training import fit, neuron, set_weight_and_bias, train, weight_and_bias


@settings(max_examples=8)
@given(
    slope=st.floats(0.1, 5), low=st.floats(-1e3, 1e3), scale=st.floats(1, 1e4), seed=st.integers(0)
)
def test_a_linear_neuron_reaches_least_squares(slope, low, scale, seed):
    x, y = noisy_line(low=low, high=low + scale, slope=slope, noise=0.1 * scale, seed=seed)
    model = neuron()
    train(model, x, y, steps=300)
    # In units of the data: how far apart the two lines are anywhere on it.
    W, b = weight_and_bias(model)
    W_best, b_best = least_squares(x, y)
    rounding = 4 * np.spacing(np.float32(abs(W_best * x).max() + abs(b_best)))  # of W and b
    allowed = 1e-4 * scale + rounding
    np.testing.assert_allclose(W * x + b, W_best * x + b_best, atol=allowed)
    np.testing.assert_allclose(W, W_best, rtol=1e-3)


def test_the_losses_are_in_units_of_the_data_and_end_at_the_least():
    x, y = noisy_line(seed=2)
    losses = train(neuron(), x, y, steps=300)
    W, b = least_squares(x, y)
    assert losses.shape == (30,)
    np.testing.assert_allclose(losses[-1], np.mean((W * x + b - y) ** 2), rtol=1e-4)
    assert losses[0] > 10 * losses[-1]


def test_training_starts_from_the_weights_of_the_model():
    x, y = noisy_line(seed=2)
    W, b = least_squares(x, y)
    losses = train(neuron(W=W, b=b), x, y, steps=10)
    np.testing.assert_allclose(losses[0], np.mean((W * x + b - y) ** 2), rtol=1e-4)


def test_the_beetles_agree_with_the_published_fit():
    dose, exposed, killed = bliss_beetles()
    model = neuron("sigmoid")
    train(model, dose, killed / exposed, counts=exposed)
    W, b = weight_and_bias(model)
    assert round(W, 2) == 34.27
    assert round(b, 2) == -60.72
    assert round(-b / W, 4) == 1.7717
    fitted = special.expit(W * dose + b)
    terms = special.xlogy(killed, killed / (exposed * fitted))
    terms += special.xlogy(exposed - killed, (exposed - killed) / (exposed * (1 - fitted)))
    assert round(2 * terms.sum(), 2) == 11.23


def test_a_sigmoid_neuron_reaches_maximum_likelihood():
    rng = np.random.default_rng(0)
    x = rng.uniform(100, 200, 60)
    y = (rng.uniform(size=60) < special.expit(0.08 * (x - 150))).astype(float)

    def minus_log_likelihood(p):
        z = p[0] * (x - 150) + p[1]
        return np.sum(np.logaddexp(0, z) - y * z)

    best = optimize.minimize(minus_log_likelihood, [0.0, 0.0], method="BFGS", tol=1e-10)
    model = neuron("sigmoid")
    train(model, x, y, steps=2000)
    W, b = weight_and_bias(model)
    np.testing.assert_allclose([W, b + 150 * W], best.x, rtol=1e-3)


def test_counts_stand_for_repeated_rows():
    x, y = noisy_line(n=20, seed=4)
    counts = np.arange(1, 21)
    weighted, repeated = neuron(), neuron()
    train(weighted, x, y, counts=counts, steps=300)
    train(repeated, np.repeat(x, counts), np.repeat(y, counts), steps=300)
    np.testing.assert_allclose(weight_and_bias(weighted), weight_and_bias(repeated), rtol=1e-4)


def test_a_neuron_in_float64_reaches_the_certified_line_of_the_ozone_monitor():
    reference, instrument = nist_norris()
    model = neuron(dtype="float64")
    train(model, reference, instrument)
    W, b = weight_and_bias(model)
    np.testing.assert_allclose([b, W], [-0.262323073774029, 1.00211681802045], rtol=1e-11)
    residual = instrument - model(reference[:, np.newaxis]).numpy()[:, 0]
    np.testing.assert_allclose(np.sqrt(np.sum(residual**2) / 34), 0.884796396144373, rtol=1e-11)


@pytest.mark.parametrize(
    ("loss", "activation"),
    [
        ("mean_squared_error", "linear"),
        ("binary_crossentropy", "sigmoid"),
        ("categorical_crossentropy", "softmax"),
    ],
)
def test_fit_learns_what_a_network_of_the_same_form_does(loss, activation):
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(2, activation)]
    teacher = keras.Sequential([keras.Input((3,)), *layers])
    x = np.random.default_rng(0).normal(size=(200, 3))
    y = teacher(x).numpy()
    learner = keras.models.clone_model(teacher)
    losses = fit(learner, x, y, steps=1000, loss=loss)
    assert losses.shape == (100,)
    np.testing.assert_allclose(learner(x), y, atol=0.1)
    assert losses[-1] < losses[0]


def test_fit_minimises_the_mean_of_the_squared_errors():
    x = np.linspace(-1, 1, 20)[:, np.newaxis]
    model = neuron()
    losses = fit(model, x, 2 * x + 1, steps=10)
    np.testing.assert_allclose(fit(model, x, 2 * x + 1, steps=1000)[-1], 0, atol=1e-6)
    np.testing.assert_allclose(weight_and_bias(model), [2, 1], atol=1e-3)
    # The first ten steps of Adam move each weight by its rate, 0.01, at a time.
    first = np.mean([np.mean(((2 - 0.01 * k) * x + 1 - 0.01 * k) ** 2) for k in range(10)])
    np.testing.assert_allclose(losses[0], first, rtol=1e-2)


def test_fit_leaves_out_the_steps_that_do_not_count():
    """The first third of each sequence answers otherwise."""
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(20, 9, 1))
    y = 2 * x + 1
    y[:, :3] = 100
    counts = np.ones((20, 9)) * (np.arange(9) >= 3)
    model = keras.Sequential([keras.Input((9, 1)), keras.layers.Dense(1)])
    losses = fit(model, x, y, steps=1000, counts=counts)
    kernel, bias = model.get_weights()
    np.testing.assert_allclose([kernel.item(), bias.item()], [2, 1], atol=1e-3)
    assert losses[-1] < 1e-5


def test_counts_stand_for_repeated_examples():
    x = np.linspace(-1, 1, 5)
    counts = np.array([1, 0, 3, 2, 1])
    weighted, repeated = neuron(), neuron()
    losses = fit(weighted, x, x**3, steps=50, counts=counts)
    expected = fit(repeated, np.repeat(x, counts), np.repeat(x**3, counts), steps=50)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)  # fifty steps in float32
    np.testing.assert_allclose(weight_and_bias(weighted), weight_and_bias(repeated), rtol=1e-4)


def test_weights_are_set_and_read():
    model = neuron("sigmoid", W=2.5, b=-1.5)
    assert weight_and_bias(model) == (2.5, -1.5)
    set_weight_and_bias(model, 0.5, 4.0)
    assert weight_and_bias(model) == (0.5, 4.0)
    np.testing.assert_allclose(model(np.array([[2.0]])), [[special.expit(5.0)]], rtol=1e-6)


X, Y = noisy_line(seed=1)
COLUMN = X[:, np.newaxis]
TWO_UNITS = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
TANH = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, activation="tanh")])
SCALED = keras.Sequential([keras.Input((1,)), keras.layers.Rescaling(0.001), keras.layers.Dense(1)])
SOFTMAX = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, activation="softmax")])


def shares(model, y, kind):
    return lambda: fit(model, X, y, steps=10, loss=f"{kind}_crossentropy")


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: neuron("relu"), ValueError, ["activation", "relu", "'linear'", "'sigmoid'"]),
        (lambda: neuron(W=np.nan), ValueError, ["W", "finite", "nan"]),
        (lambda: neuron(b="low"), TypeError, ["b", "low"]),
        (lambda: weight_and_bias("model"), TypeError, ["model", "Keras model"]),
        (lambda: weight_and_bias(TWO_UNITS), ValueError, ["model", "(1, 2)"]),
        (lambda: set_weight_and_bias(neuron(), np.inf, 0), ValueError, ["W", "finite", "inf"]),
        (lambda: train(TWO_UNITS, X, Y), ValueError, ["model", "(1, 2)"]),
        (lambda: train(TANH, X, Y), ValueError, ["the activation of model", "tanh"]),
        (lambda: train(SCALED, X, Y), ValueError, ["model", "nothing else", "2 layers"]),
        (lambda: neuron(W=1e300), ValueError, ["W", "1e+300", "float32"]),
        (lambda: train(neuron(), X, Y * 1e50), ValueError, ["W", "float32"]),
        (lambda: train(neuron(), X[:, None], Y), ValueError, ["x", "one-dimensional", "(100, 1)"]),
        (lambda: train(neuron(), X, Y[1:]), ValueError, ["x and y", "100 and 99"]),
        (lambda: train(neuron(), X * np.nan, Y), ValueError, ["x", "finite"]),
        (lambda: train(neuron(), 0 * X, Y), ValueError, ["x", "different"]),
        (lambda: train(neuron("sigmoid"), X, Y), ValueError, ["y", "from 0 to 1"]),
        (lambda: train(neuron(), X, Y, counts=0 * X), ValueError, ["counts", "above 0", "0.0"]),
        (lambda: train(neuron(), X, Y, counts=[1.0]), ValueError, ["counts", "(100,)", "(1,)"]),
        (lambda: train(neuron(), X, Y, steps=0), ValueError, ["steps", "0", "at least 10"]),
        (lambda: train(neuron(), X, Y, steps=15), ValueError, ["steps", "15", "multiple of 10"]),
        (lambda: train(neuron(), X, Y, steps=10.0), TypeError, ["steps", "10.0", "whole"]),
        (lambda: train(neuron(), X, Y, learning_rate=0), ValueError, ["learning_rate", "0"]),
        (lambda: train(neuron(), X, Y, learning_rate=9), ValueError, ["learning_rate", "diverged"]),
        (lambda: neuron(dtype="int8"), ValueError, ["dtype", "int8", "'float64'"]),
        (lambda: fit("net", X, Y, steps=10), TypeError, ["model", "net"]),
        (lambda: fit(neuron(), X, Y[1:], steps=10), ValueError, ["x and y", "100 and 99"]),
        (lambda: fit(neuron(), X * np.nan, Y, steps=10), ValueError, ["x", "nan"]),
        (lambda: fit(TWO_UNITS, X, Y, steps=10), ValueError, ["y", "('n', 2)", "(100,)"]),
        (lambda: fit(neuron(), COLUMN @ [[1, 1]], Y, steps=10), ValueError, ["x", "(100, 2)"]),
        (lambda: fit(neuron(), X, 1.0, steps=10), ValueError, ["y", "('n', 1)", "()"]),
        (lambda: fit(neuron(), X * 1e300, Y, steps=10), ValueError, ["x", "float32"]),
        (shares(neuron("sigmoid"), Y, "binary"), ValueError, ["y", "from 0 to 1", "binary"]),
        (shares(neuron(), 0 * Y, "binary"), ValueError, ["loss", "sigmoid", "linear"]),
        (shares(neuron("sigmoid"), 0 * Y, "categorical"), ValueError, ["loss", "softmax"]),
        (shares(SOFTMAX, COLUMN @ [[0, 0]], "categorical"), ValueError, ["y", "add up to 1"]),
        (lambda: fit(neuron(), X, Y, steps=7), ValueError, ["steps", "7", "10"]),
        (lambda: fit(neuron(), X, Y, steps=10, counts=[1]), ValueError, ["counts", "(100,)"]),
        (lambda: fit(neuron(), X, Y, steps=10, counts=0 * X), ValueError, ["counts", "not all 0"]),
        (lambda: fit(neuron(), X, Y, steps=10, counts=-X), ValueError, ["counts", "0 or above"]),
        (lambda: fit(neuron(), X, Y, steps=10, loss="mse"), ValueError, ["loss", "'mse'"]),
        (lambda: fit(neuron(), X, Y, steps=10, learning_rate=-1), ValueError, ["learning_rate"]),
        (
            lambda: fit(neuron(), COLUMN, COLUMN * 1e19, steps=50, learning_rate=1e19),
            ValueError,
            ["learning_rate", "diverged"],
        ),
    ],
)
def test_bad_arguments_are_named(call, error, words):
    with refused_by_name(error, words):
        call()


def test_the_loss_is_per_observation_whatever_the_counts():
    counts = np.random.default_rng(2).integers(1, 9, len(X))
    once, several = neuron(), neuron()
    train(once, np.repeat(X, counts), np.repeat(Y, counts), steps=300)
    losses = train(several, X, Y, counts=counts, steps=300)
    W, b = weight_and_bias(several)
    np.testing.assert_allclose([W, b], weight_and_bias(once), rtol=1e-5)
    error = np.average((W * X + b - Y) ** 2, weights=counts)
    np.testing.assert_allclose(losses[-1], error, rtol=1e-4)


def test_a_diverged_training_leaves_the_model_as_it_was():
    model = neuron(W=1.0, b=2.0)
    with pytest.raises(ValueError, match="diverged"):
        train(model, X, Y, learning_rate=9)
    assert weight_and_bias(model) == (1.0, 2.0)


def test_a_training_that_starts_again_is_a_first_one():
    """Whatever was trained before, with another rate or loss or activation, or by the user."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (50, 3))
    y = np.tanh(x @ [[1.0], [-1.0], [0.5]]) / 2 + 0.5

    def network(activation="tanh"):
        keras.utils.set_random_seed(1)
        hidden = keras.layers.Dense(4, activation=activation)
        end = keras.layers.Dense(1, activation="sigmoid")
        return keras.Sequential([keras.Input((3,)), hidden, end])

    expected = fit(network(), x, y, steps=50)
    model = network()
    first = model.get_weights()
    fit(model, x, y, steps=20, learning_rate=0.1)
    fit(model, x, y, steps=20, loss="binary_crossentropy")
    for between in (
        lambda: None,
        lambda: fit(model, x, y, steps=20, learning_rate=0.1),
        lambda: fit(model, x, y, steps=20, loss="binary_crossentropy"),
        lambda: (model.compile("sgd", "mse"), model.fit(x, y, verbose=0)),
    ):
        between()
        model.set_weights(first)
        np.testing.assert_array_equal(fit(model, x, y, steps=50), expected)

    model.layers[0].activation = keras.activations.relu
    model.set_weights(first)
    np.testing.assert_array_equal(fit(model, x, y, steps=50), fit(network("relu"), x, y, steps=50))
