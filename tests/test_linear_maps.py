"""Half-spaces and linear maps, against NumPy's pseudo-inverse, SciPy, and descent."""

import numpy as np
import pytest
from conftest import refused_by_name
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from helpers.backend import keras
from helpers.linear_maps import nearest_off, nearest_solution
from helpers.reconstruction import reconstruct

seeds = st.integers(0, 10_000)


@given(seed=seeds, margin=st.floats(0, 2))
def test_the_nearest_input_at_which_a_unit_is_off(seed, margin):
    rng = np.random.default_rng(seed)
    x, w, b = rng.normal(size=(20, 3)), rng.normal(size=3) + 0.1, rng.normal()
    off = nearest_off(x, w, b, margin=margin)
    z = x @ w + b
    moves = z > -margin
    np.testing.assert_array_equal(off[~moves], x[~moves])
    np.testing.assert_allclose(off[moves] @ w + b, -margin, atol=1e-10)
    # No input that is off is nearer.
    others = x[:, None] + rng.normal(size=(20, 200, 3))
    distance = np.linalg.norm(others - x[:, None], axis=-1)
    distance[others @ w + b > -margin] = np.inf
    assert np.all(distance.min(axis=1) >= np.linalg.norm(off - x, axis=1) - 1e-9)


def test_nearest_off_agrees_with_scipy():
    x, w, b = np.array([1.0, 2.0]), np.array([0.5, 1.5]), 0.2
    best = optimize.minimize(
        lambda p: np.sum((p - x) ** 2), x, method="SLSQP",
        constraints={"type": "ineq", "fun": lambda p: -0.3 - (p @ w + b)},
    )  # fmt: skip
    np.testing.assert_allclose(nearest_off(x, w, b, margin=0.3), best.x, atol=1e-6)


@given(seed=seeds, units=st.integers(1, 4))
def test_the_solution_of_minimum_norm_is_that_of_the_pseudo_inverse(seed, units):
    rng = np.random.default_rng(seed)
    K, b, z = rng.normal(size=(6, units)), rng.normal(size=units), rng.normal(size=units)
    np.testing.assert_allclose(
        nearest_solution(K, b, z), np.linalg.pinv(K.T) @ (z - b), rtol=1e-6, atol=1e-8
    )


@given(seed=seeds)
def test_the_solution_nearest_to_a_start_that_is_not_in_the_row_space(seed):
    rng = np.random.default_rng(seed)
    K, b, z, start = (rng.normal(size=shape) for shape in [(6, 2), 2, 2, 6])
    x = nearest_solution(K, b, z, start=start)
    np.testing.assert_allclose(x @ K + b, z, atol=1e-8)
    expected = start + np.linalg.pinv(K.T) @ (z - b - start @ K)
    np.testing.assert_allclose(x, expected, rtol=1e-6, atol=1e-8)
    # The step lies in the row space; the part of the start outside of it stays.
    outside = np.eye(6) - np.linalg.pinv(K.T) @ K.T
    np.testing.assert_allclose(outside @ x, outside @ start, atol=1e-8)
    assert np.linalg.norm(outside @ start) > 1e-3


def test_descent_ends_at_the_solution_nearest_to_its_start():
    rng = np.random.default_rng(0)
    K, b, z, start = (rng.normal(size=shape) for shape in [(6, 2), 2, 2, 6])
    model = keras.Sequential(
        [keras.Input((6,), dtype="float64"), keras.layers.Dense(2, dtype="float64")]
    )
    model.set_weights([K, b])
    found = reconstruct(model, z, start=start, learning_rate=0.02, rtol=1e-10)
    np.testing.assert_allclose(found.x[0], nearest_solution(K, b, z, start=start), atol=1e-8)


def test_dependent_units_are_solved_where_they_agree():
    K = np.outer([1.0, 2.0, 2.0], [1.0, -1.0])
    np.testing.assert_allclose(nearest_solution(K, [0, 0], [9.0, -9.0]), [1, 2, 2])
    for unit in (1e-10, 1.0, 1e10):
        for z in ([9.0, 9.0], [9.0, -9.0001]):
            with pytest.raises(ValueError, match=r"z must be within reach: of its 2 values only 1"):
                nearest_solution(K, [0, 0], np.multiply(unit, z))
    nearly = [[1.0, 1.0], [1.0, 1.0 + 1e-9]]
    np.testing.assert_allclose(
        nearest_solution(nearly, [0, 0], [1.0, 2.0]) @ nearly, [1, 2], rtol=1e-6
    )


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: nearest_off([1.0], [1.0, 2.0], 0.0), ValueError, ["w", "(1,)", "(2,)"]),
        (lambda: nearest_off([1.0], [0.0], 0.0), ValueError, ["w", "all 0"]),
        (lambda: nearest_off([np.nan], [1.0], 0.0), ValueError, ["x", "nan"]),
        (lambda: nearest_off([1.0], [1.0], "b"), TypeError, ["b", "'b'"]),
        (lambda: nearest_off([1.0], [1.0], 0.0, margin=-1), ValueError, ["margin", "-1"]),
        (lambda: nearest_solution([1.0], 0.0, 0.0), ValueError, ["kernel", "(1,)"]),
        (lambda: nearest_solution([[1.0]], [0.0, 1.0], [0.0]), ValueError, ["bias", "(2,)"]),
        (lambda: nearest_solution([[1.0]], [0.0], [0.0, 1.0]), ValueError, ["z", "(2,)"]),
        (
            lambda: nearest_solution([[1.0]], [0.0], [0.0], start=[1.0, 2.0]),
            ValueError,
            ["start", "(2,)", "(1,)"],
        ),
    ],
)
def test_bad_arguments_are_named(call, error, words):
    with refused_by_name(error, words):
        call()
