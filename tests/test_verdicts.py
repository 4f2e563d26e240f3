"""What is said of a run that has not arrived: the cause, and what to do next."""

import numpy as np
import pytest
from conftest import needs_half_precision

from helpers import verdicts
from helpers.backend import keras
from helpers.priors import L2
from helpers.reconstruction import reconstruct


def neuron(activation, W, b=0.0):
    """A network that computes activation(W x + b)."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, activation)])
    model.set_weights([np.full((1, 1), W), np.full(1, b)])
    return model


def parabola():
    """A network that computes x² + 1."""
    square = keras.layers.Activation(keras.ops.square)
    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(1), square, keras.layers.Dense(1)]
    )
    model.set_weights([np.ones((1, 1)), np.zeros(1), np.ones((1, 1)), np.ones(1)])
    return model


@pytest.mark.parametrize(
    ("activation", "target", "rate", "statuses"),
    [
        ("linear", 5.0, 2.0, {"max_iter"}),
        ("linear", 5.0, 1.5, {"max_iter"}),
        # Thrown to where it is flat: whether a last bit of slope is left there, processors differ.
        ("tanh", 0.5, 40.0, {"stalled", "max_iter"}),
        ("tanh", 0.5, 5.0, {"max_iter"}),
    ],
)
def test_a_rate_that_is_too_high_is_to_be_lowered(activation, target, rate, statuses):
    model = neuron(activation, W=1.0)
    found = reconstruct(model, target, start=1.0, learning_rate=rate, bounds=(0, 10), max_iter=1000)
    assert found.status[0] in statuses
    assert "lower the learning rate" in found.message[0]
    assert "raise" not in found.message[0]
    assert reconstruct(model, target, start=1.0, learning_rate=0.3, bounds=(0, 10)).converged.all()


def test_a_rate_that_is_too_low_is_to_be_raised():
    found = reconstruct(neuron("linear", W=1.0), 5.0, start=1.0, learning_rate=1e-4, max_iter=50)
    assert found.status[0] == "max_iter"
    assert "raise it or the learning rate" in found.message[0]


@pytest.mark.parametrize(
    ("activation", "target", "start"),
    [("sigmoid", 0.1, 15.0), ("sigmoid", 0.1, 17.0), ("sigmoid", 0.9, -30.0), ("tanh", 0.1, 8.0)],
)
@pytest.mark.parametrize("rate", [0.1, None])
def test_saturation_is_called_saturation(activation, target, start, rate):
    found = reconstruct(neuron(activation, W=1.0), target, start=start, learning_rate=rate)
    if found.converged[0]:  # without a rate, where any gradient is left
        assert rate is None
        return
    assert found.status[0] == "stalled"
    assert "saturated" in found.message[0]
    assert "atol" not in found.message[0]


@pytest.mark.parametrize("rate", [None, 0.01])
def test_what_no_input_gives_is_said_to_be_so(rate):
    found = reconstruct(parabola(), 0.0, start=1.3, learning_rate=rate)
    assert found.status[0] == "stationary"
    assert "perhaps no input gives this" in found.message[0]
    # The cost is 1 + 2x² there, known to ε: x to √ε, and to that share of it after a decade more.
    assert abs(found.x.item()) < np.sqrt(np.finfo("float32").eps)


def test_rounding_is_called_rounding():
    found = reconstruct(neuron("linear", W=0.4, b=-25.0), 100.1, start=1.0, atol=0, rtol=0)
    assert found.status[0] in ("converged", "stalled")
    if found.status[0] == "stalled":
        assert "rounding" in found.message[0]
    assert abs(found.residual.item()) <= 2 * np.spacing(np.float32(125))


@needs_half_precision
@pytest.mark.parametrize("format", ["mixed_float16", "mixed_bfloat16"])
def test_rounding_within_the_network_is_called_rounding(format):
    x = keras.Input((3,))
    hidden = keras.layers.Dense(20, "tanh", dtype=format)(x)
    model = keras.Model(x, keras.layers.Dense(2, dtype="float32")(hidden))
    secret, start = np.random.default_rng(0).normal(size=(2, 8, 3))
    found = reconstruct(model, model(secret), start=start, rtol=1e-6)
    assert not found.converged.any()
    assert (found.status == "stalled").all()
    assert all("rounding" in message for message in found.message)


@needs_half_precision
def test_an_output_in_bfloat16_is_made_float32_as_the_error_says():
    coarse = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, dtype="mixed_bfloat16")])
    with pytest.raises(TypeError, match=r'Activation\("linear", dtype="float32"\)'):
        reconstruct(coarse, [0.1, 0.2], start=0.0)
    output = keras.layers.Activation("linear", dtype="float32")(coarse.outputs[0])
    model = keras.Model(coarse.inputs, output)
    assert reconstruct(model, [0.1, 0.2], start=0.0, rtol=0.05).converged.all()


def test_bounds_that_hold_an_input_back_are_named():
    found = reconstruct(neuron("linear", W=1.0), 5.0, start=1.0, bounds=(0, 3))
    assert found.status[0] == "stationary"
    assert "bounds" in found.message[0]
    assert found.x.item() == 3.0


@pytest.mark.parametrize("rate", [None, 0.1])
def test_where_bounds_and_penalty_hold_it_back_both_are_named(rate):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    model.set_weights([np.ones((2, 1))])
    options = {"learning_rate": rate, "bounds": (0.0, 4.0), "penalty": L2(0.1, [5.0, 0.0])}
    found = reconstruct(model, 6.0, start=1.0, **options)
    assert found.x[0, 0] == 4  # held by a bound, whereas the penalty holds the other
    assert found.status[0] == "stationary"
    assert "bounds" in found.message[0]
    assert "penalty" in found.message[0]


@pytest.mark.parametrize("kind", ["relu", "weight 0"])
def test_without_a_gradient_no_step_is_made(kind):
    model = neuron("relu", W=1.0) if kind == "relu" else neuron("linear", W=0.0, b=1.0)
    found = reconstruct(model, 2.0, start=-1.0)
    assert found.status[0] == "stalled"
    assert "gradient is exactly zero" in found.message[0]
    assert found.n_iter[0] == 0


def test_max_iter_is_said_to_have_come_first():
    found = reconstruct(parabola(), 5.0, start=0.1, max_iter=1)
    assert found.status[0] == "max_iter"
    assert "max_iter came first" in found.message[0]
    assert "rate" not in found.message[0]


def test_saturation_is_judged_by_the_slope():
    y = np.array([[0.5], [1 - 1e-4], [1e-4], [0.99]])
    expected = [False, True, True, False]
    np.testing.assert_array_equal(verdicts.saturated("sigmoid", y, y == y), expected)
    np.testing.assert_array_equal(verdicts.saturated("tanh", 2 * y - 1, y == y), expected)
    assert not verdicts.saturated("sigmoid", y, y != y).any()
    assert not verdicts.saturated("linear", y, y == y).any()
