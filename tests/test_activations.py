"""Ranges of activations: each is that of Keras' own function, and targets outside are refused."""

import numpy as np
import pytest
from conftest import refused_by_name

from helpers import activations
from helpers.backend import keras
from helpers.models import check_range

WIDE = np.linspace(-40, 40, 80_001)  # a step of 0.001: a smooth dip is met to 1e-6


@pytest.mark.parametrize("name", sorted(set(activations.RANGES) - {"softmax", "log_softmax"}))
def test_a_range_is_that_of_the_function(name):
    low, high, closed = activations.RANGES[name]
    function = getattr(keras.activations, name)
    values = WIDE[np.newaxis] if name == "sparsemax" else WIDE
    y = keras.ops.convert_to_numpy(function(values.astype("float64")))
    assert low <= y.min()
    assert y.max() <= high
    if name == "sparsemax":
        return  # of all these at once, one is 1 and all others are 0
    ends = [end for end in (low, high) if np.isfinite(end)]
    reached = [abs(y - end).min() for end in ends]
    # Closed ends are met, up to the digits that the table has (gelu's holds for its approximation,
    # too, which is 0.0001 lower); open ones are come close to.
    assert max(reached) < (2e-4 if closed else 0.03)
    assert np.isfinite(high) or y.max() > 30
    assert np.isfinite(low) or y.min() < -30


def ending(*layers, size=2):
    x = keras.Input((size,))
    y = keras.layers.Dense(size)(x)
    for layer in layers:
        y = layer(y)
    return keras.Model(x, y)


L = keras.layers


def relu(x):
    """One of the reader's own, whose name alone is known."""
    return keras.ops.maximum(x, -1.0)


def of_steps(*layers):
    x = keras.Input((4, 2))
    y = x
    for layer in layers:
        y = layer(y)
    return keras.Model(x, y)


def inner(activation):
    return ending(L.Dense(2, activation=activation), L.Dropout(0.5), L.Reshape((2, 1)), L.Flatten())


@pytest.mark.parametrize(
    ("model", "inside", "outside", "words"),
    [
        (ending(L.Softmax()), [0.4, 0.6], [1.2, -0.2], ["'softmax'", "1.2"]),
        (ending(L.Softmax()), [0.4, 0.6], [0.8, 0.8], ["add up to 1", "1.6"]),
        (ending(L.Dense(2, activation="softmax")), [0.4, 0.6], [0.4, 0.4], ["add up to 1"]),
        (ending(L.ReLU()), [0, 9], [-1, 1], ["0 or above", "'relu'", "-1"]),
        (ending(L.ReLU(6.0)), [0, 6], [0, 7], ["between 0 and 6", "7"]),
        (ending(L.Softmax(), L.Dropout(0.5)), [0.4, 0.6], [0.4, 0.4], ["add up to 1"]),
        (ending(L.ELU(0.5)), [-0.4, 9], [-0.5, 9], ["above -0.5"]),
        (ending(L.Activation("relu6")), [0, 6], [0, 7], ["'relu6'", "7"]),
        (ending(L.Activation("hard_sigmoid")), [0, 1], [0, 1.1], ["between 0 and 1"]),
        (ending(L.Activation("softsign")), [0, 0.9], [0, 1], ["strictly between -1 and 1"]),
        (ending(L.Activation("log_sigmoid")), [-1, -2], [-1, 0], ["below 0"]),
        (ending(L.Dense(2, activation=L.ReLU(1.0))), [0, 1], [0, 2], ["between 0 and 1"]),
        (ending(inner("tanh")), [0.9, 0], [1.5, 0], ["'tanh'", "1.5"]),
        (
            keras.Sequential([keras.Input((2,)), inner("sigmoid")]),
            [0.9, 0.1],
            [1, 0.1],
            ["sigmoid"],
        ),
    ],
)
def test_targets_outside_are_refused(model, inside, outside, words):
    inside, outside = (np.array([target], "float32") for target in (inside, outside))
    check_range(model, inside, inside)
    with refused_by_name(ValueError, ["target", *words]):
        check_range(model, outside, outside)


def test_what_does_not_matter_may_be_anything():
    model = ending(L.Softmax(), size=3)
    masked = np.ma.array([[0.5, 7.0, 0.3]], mask=[[0, 1, 0]])
    infinite = np.array([[np.inf, 0.2, 0.3]])
    for target in (masked, infinite):
        check_range(model, target, target)
    too_much = np.ma.array([[0.8, 7.0, 0.3]], mask=[[0, 1, 0]])
    with pytest.raises(ValueError, match=r"add up to 1.*1\.1"):
        check_range(model, too_much, too_much)


@pytest.mark.parametrize(
    ("model", "target"),
    [
        (ending(L.Dense(2, activation=relu)), [[-1.0, 0.0]]),
        (ending(L.LeakyReLU()), [[-1.0, 0.0]]),
        (ending(L.ReLU(negative_slope=0.1)), [[-1.0, 0.0]]),
        # Its output gate takes some of each away.
        (of_steps(L.LSTM(2, activation="softmax")), [[0.1, 0.2]]),
        # Along the steps, not along the last axis.
        (of_steps(L.Softmax(axis=1)), np.full((1, 4, 2), 0.25)),
        (of_steps(L.Dense(4, activation="softmax"), L.Permute((2, 1))), np.full((1, 4, 4), 0.1)),
    ],
)
def test_what_may_be_given_is_let_through(model, target):
    check_range(model, np.array(target, "float32"), np.array(target, "float32"))


def test_a_layer_at_each_step_has_its_range():
    model = of_steps(L.TimeDistributed(L.Dense(2, activation="softmax")))
    assert activations.last_activation(model) == "softmax"
    target = np.full((1, 4, 2), 0.5)
    check_range(model, target, target)
    with pytest.raises(ValueError, match=r"add up to 1.*0\.8"):
        check_range(model, 0.8 * target, 0.8 * target)


@pytest.mark.parametrize(("merge_mode", "size"), [("concat", 4), ("ave", 2), ("sum", 2)])
def test_both_directions_have_the_range_of_each_but_their_sum_has_not(merge_mode, size):
    model = of_steps(L.Bidirectional(L.LSTM(2), merge_mode=merge_mode))
    target = np.full((1, size), 1.5)
    if merge_mode == "sum":
        check_range(model, target, target)
        return
    with pytest.raises(ValueError, match=r"between -1 and 1.*'tanh'.*1\.5"):
        check_range(model, target, target)


def test_the_softmax_of_one_unit_is_told_to_be_constant():
    model = ending(L.Dense(1, activation="softmax"))
    with pytest.raises(ValueError, match=r"target cannot be chosen .* one unit"):
        check_range(model, np.array([[0.5]]), np.array([[0.5]]))


def test_some_of_a_softmax_need_not_add_up():
    model = ending(L.Softmax(), L.Reshape((2, 1)))
    target = np.full((1, 2, 1), 0.3)
    check_range(model, target, target)
    with pytest.raises(ValueError, match="'softmax'"):
        check_range(model, 4 * target, 4 * target)
    assert activations.last_activation(model) == "softmax"
