"""The formulas, against their definitions and against SciPy."""

import numpy as np
import pytest
from conftest import refused_by_name
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import special

from helpers import closed_forms as cf
from helpers.data import noisy_line

weights = st.floats(-1e3, 1e3).filter(lambda w: abs(w) > 1e-3)
numbers = st.floats(-1e4, 1e4)


@given(W=weights, b=numbers, y=numbers)
def test_the_line_answers_its_inverse(W, b, y):
    x = cf.invert_line(y, W, b)
    np.testing.assert_allclose(W * x + b, y, rtol=1e-9, atol=1e-8)


@given(W=weights, b=st.floats(-50, 50), y=st.floats(1e-9, 1 - 1e-9))
def test_the_sigmoid_neuron_answers_its_inverse(W, b, y):
    x = cf.invert_sigmoid(y, W, b)
    np.testing.assert_allclose(special.expit(W * x + b), y, rtol=1e-6)


@given(st.floats(1e-300, 1 - 1e-16))
def test_logit_is_its_definition(y):
    np.testing.assert_allclose(cf.logit(y), np.log(y) - np.log1p(-y), rtol=1e-12, atol=1e-12)


def test_sigmoid_does_not_overflow():
    np.testing.assert_array_equal(cf.sigmoid([-1e5, 0.0, 1e5]), [0.0, 0.5, 1.0])


@given(W=weights, b=numbers, y0=numbers, x=numbers, fraction=st.floats(0.01, 2.0))
def test_contraction_is_what_one_step_of_descent_does(W, b, y0, x, fraction):
    rate = fraction * cf.largest_stable_rate(W)
    x0 = (y0 - b) / W
    assume(abs(x - x0) > 1e-3 * (1 + abs(x0)))
    stepped = x - rate * 2 * W * (W * x + b - y0)
    np.testing.assert_allclose(
        (stepped - x0) / (x - x0), cf.contraction(W, rate), rtol=1e-6, atol=1e-6
    )


@given(weights)
def test_rates_are_the_ends_and_the_middle_of_the_stable_range(W):
    np.testing.assert_allclose(cf.contraction(W, cf.largest_stable_rate(W)), -1)
    np.testing.assert_allclose(cf.contraction(W, cf.best_rate(W)), 0, atol=1e-12)


def test_least_squares_agrees_with_polyfit():
    x, y = noisy_line(seed=5)
    np.testing.assert_allclose(cf.least_squares(x, y), np.polyfit(x, y, 1), rtol=1e-10)


def test_shapes_are_kept():
    assert cf.invert_line(np.ones((2, 3)), 2.0, 0.0).shape == (2, 3)
    assert cf.logit([0.2, 0.4]).shape == (2,)
    assert np.ndim(cf.invert_sigmoid(0.5, 1.0, 0.0)) == 0


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: cf.invert_line(1.0, 0.0, 2.0), ValueError, ["W", "not be 0", "no inverse"]),
        (lambda: cf.invert_sigmoid(0.5, 0, 2.0), ValueError, ["W", "not be 0", "no inverse"]),
        (lambda: cf.largest_stable_rate(0.0), ValueError, ["W", "not be 0"]),
        (lambda: cf.best_rate(0.0), ValueError, ["W", "not be 0"]),
        (lambda: cf.contraction(0.0, 0.1), ValueError, ["W", "not be 0"]),
        (lambda: cf.invert_line(np.nan, 1.0, 2.0), ValueError, ["y", "finite", "nan"]),
        (lambda: cf.invert_line("a", 1.0, 2.0), TypeError, ["y", "real numbers"]),
        (lambda: cf.invert_line([], 1.0, 2.0), ValueError, ["y", "empty"]),
        (lambda: cf.invert_line(1.0, [1.0, 2.0], 2.0), TypeError, ["W", "real number"]),
        (lambda: cf.invert_line(1.0, 1.0, np.inf), ValueError, ["b", "finite", "inf"]),
        (lambda: cf.logit(0.0), ValueError, ["y", "0.0", "strictly between 0 and 1"]),
        (lambda: cf.logit(1), ValueError, ["y", "1", "strictly between 0 and 1"]),
        (lambda: cf.logit([0.5, 1.2]), ValueError, ["y", "1.2", "strictly between 0 and 1"]),
        (lambda: cf.invert_sigmoid(-0.1, 1, 0), ValueError, ["y", "-0.1", "between 0 and 1"]),
        (lambda: cf.sigmoid(np.inf), ValueError, ["z", "finite"]),
        (lambda: cf.contraction(1.0, 0.0), ValueError, ["learning_rate", "0.0", "above 0"]),
        (lambda: cf.contraction(1.0, "fast"), TypeError, ["learning_rate", "fast"]),
        (lambda: cf.least_squares([1.0, 2.0], [1.0]), ValueError, ["x and y", "2 and 1"]),
        (lambda: cf.least_squares([1.0, 1.0], [1.0, 2.0]), ValueError, ["x", "different"]),
        (lambda: cf.least_squares([1.0], [1.0]), ValueError, ["x", "at least 2"]),
        (lambda: cf.least_squares([[1.0, 2.0]], [1.0, 2.0]), ValueError, ["x", "(1, 2)"]),
        (lambda: cf.least_squares([1.0, 2.0], [1.0, np.inf]), ValueError, ["y", "finite"]),
    ],
)
def test_bad_arguments_are_named(call, error, words):
    with refused_by_name(error, words):
        call()
