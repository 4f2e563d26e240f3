"""The nearest input at which a unit is off, against others and SciPy."""

import numpy as np
import pytest
from conftest import refused_by_name
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from helpers.linear_maps import nearest_off

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


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: nearest_off([1.0], [1.0, 2.0], 0.0), ValueError, ["w", "(1,)", "(2,)"]),
        (lambda: nearest_off([1.0], [0.0], 0.0), ValueError, ["w", "all 0"]),
        (lambda: nearest_off([np.nan], [1.0], 0.0), ValueError, ["x", "nan"]),
        (lambda: nearest_off([1.0], [1.0], "b"), TypeError, ["b", "'b'"]),
        (lambda: nearest_off([1.0], [1.0], 0.0, margin=-1), ValueError, ["margin", "-1"]),
    ],
)
def test_bad_arguments_are_named(call, error, words):
    with refused_by_name(error, words):
        call()
