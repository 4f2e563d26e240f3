"""Fieller's interval: against its closed formula, its defining inequality, and simulation."""

import numpy as np
import pytest
from conftest import refused_by_name
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from helpers.data import nist_norris, noisy_line
from helpers.uncertainty import half_width, inverse_interval

for_each_kind = pytest.mark.parametrize("kind", ["mean", "observation"])


def points(seed, n=20, slope=0.4, noise=1.0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 10, n)
    return x, 1.0 + slope * x + noise * rng.normal(size=n)


def closed_formula(x, y, y0, level, one_over_m):
    """The formula as textbooks print it, for g < 1: g and both ends."""
    fit = stats.linregress(x, y)
    n, t = len(x), stats.t.isf((1 - level) / 2, len(x) - 2)
    s = np.sqrt(np.sum((y - fit.intercept - fit.slope * x) ** 2) / (n - 2))
    D, S = (y0 - y.mean()) / fit.slope, np.sum((x - x.mean()) ** 2)
    g = t**2 * s**2 / (fit.slope**2 * S)
    root = np.sqrt((1 - g) * (one_over_m + 1 / n) + D**2 / S)
    half = t * s / (abs(fit.slope) * (1 - g)) * root
    return g, x.mean() + D / (1 - g) - half, x.mean() + D / (1 - g) + half


@given(
    seed=st.integers(0, 1000),
    slope=st.sampled_from([-2.0, 0.4, 0.7]),
    y0=st.floats(-5, 10),
    level=st.sampled_from([0.5, 0.9, 0.95]),
    kind=st.sampled_from(["mean", "observation"]),
)
def test_the_closed_formula(seed, slope, y0, level, kind):
    x, y = points(seed, slope=slope)
    found = inverse_interval(x, y, y0, level=level, kind=kind)
    g, low, high = closed_formula(x, y, y0, level, 1.0 if kind == "observation" else 0.0)
    np.testing.assert_allclose(found.g, g, rtol=1e-9)
    if g < 1:
        assert found.shape == "interval"
        np.testing.assert_allclose([found.low, found.high], [low, high], rtol=1e-6, atol=1e-6)
        assert found.low <= found.x0 <= found.high
    else:
        assert found.shape != "interval"


@for_each_kind
@given(seed=st.integers(0, 1000), slope=st.floats(-0.5, 0.5), y0=st.floats(-3, 5))
def test_the_set_is_what_its_definition_says(kind, seed, slope, y0):
    """Whatever the shape: x belongs to it where y0 lies within the usual interval at x."""
    x, y = points(seed, n=8, slope=slope)
    found = inverse_interval(x, y, y0, kind=kind)
    fit = stats.linregress(x, y)
    s2 = np.sum((y - fit.intercept - fit.slope * x) ** 2) / 6
    grid = np.linspace(-200, 200, 2001)
    own = 1 / 8 + (1 if kind == "observation" else 0)
    spread = s2 * (own + (grid - x.mean()) ** 2 / np.sum((x - x.mean()) ** 2))
    slack = stats.t.ppf(0.975, 6) ** 2 * spread - (y0 - fit.intercept - fit.slope * grid) ** 2
    clear = abs(slack) > 1e-9 * spread.max()
    inside = np.array([point in found for point in grid])
    np.testing.assert_array_equal(inside[clear], slack[clear] >= 0)


@for_each_kind
@given(seed=st.integers(0, 1000), level=st.sampled_from([0.5, 0.95]), y0=st.floats(-3, 5))
def test_an_end_is_where_the_output_leaves_the_band(kind, seed, level, y0):
    x, y = points(seed, n=8, slope=0.3)
    found = inverse_interval(x, y, y0, level=level, kind=kind)
    fit = stats.linregress(x, y)
    ends = np.array([end for end in (found.low, found.high) if abs(end) < 1e6])
    if ends.size:
        reach = half_width(x, y, ends, level=level, kind=kind)
        off = abs(fit.intercept + fit.slope * ends - y0)
        np.testing.assert_allclose(off, reach, rtol=1e-6, atol=1e-6)


def test_the_band_of_points_on_a_line_has_no_width():
    assert np.all(half_width([0, 1, 2], [5, 5, 5], [[0.5, 7]]) == np.zeros((1, 2)))


def test_all_three_shapes_are_met_and_say_why():
    shapes = {}
    for seed in range(300):
        x, y = points(seed, n=6, slope=0.1)
        for y0 in (2.0, 8.0):
            found = inverse_interval(x, y, y0)
            shapes[found.shape] = found
            assert (found.g < 1) == (found.shape == "interval")
    assert set(shapes) == {"interval", "rays", "line"}
    assert "differs from 0 at the level 0.95" in shapes["interval"].message
    assert "two rays" in shapes["rays"].message
    assert shapes["rays"].low < shapes["rays"].high
    assert "every input is possible" in shapes["line"].message
    assert (shapes["line"].low, shapes["line"].high) == (-np.inf, np.inf)


def test_a_slope_of_zero():
    x, y = np.array([0.0, 1.0, 2.0, 3.0]), np.array([1.0, -1.0, -1.0, 1.0])
    near, far = inverse_interval(x, y, 0.5), inverse_interval(x, y, 50.0)
    assert near.shape == "line"
    assert far.shape == "rays"
    assert np.isnan([near.x0, far.x0]).all()
    np.testing.assert_allclose((far.low + far.high) / 2, 1.5)
    assert near.g == far.g == np.inf


@pytest.mark.parametrize("factor", [1e-280, 1e-100, 1e-20, 1e20, 1e160, 1e290])
def test_the_units_do_not_matter(factor):
    x, y = points(seed=3)
    found = inverse_interval(x, y, 3.0)
    for scaled, back in [
        (inverse_interval(factor * x, y, 3.0), factor),
        (inverse_interval(x, factor * y, factor * 3.0), 1.0),
    ]:
        assert scaled.shape == found.shape == "interval"
        ends = np.array([scaled.low, scaled.x0, scaled.high]) / back
        np.testing.assert_allclose(ends, [found.low, found.x0, found.high], rtol=1e-9)
        np.testing.assert_allclose(scaled.g, found.g, rtol=1e-9)


def test_a_line_without_noise_has_one_answer():
    found = inverse_interval([0.0, 1.0, 2.0], [1.0, 3.0, 5.0], 4.0)
    np.testing.assert_allclose([found.low, found.x0, found.high], 1.5)


def coverage(kind, noise, trials=2000, n=20, true=7.0):
    """The share of repeated experiments whose interval contains the true input."""
    rng = np.random.default_rng(12)
    x, hits = np.linspace(0, 10, n), 0
    for _ in range(trials):
        y = 0.4 * x + noise(rng, n)
        y0 = 0.4 * true + (noise(rng, 1)[0] if kind == "observation" else 0.0)
        hits += true in inverse_interval(x, y, y0, kind=kind)
    return hits / trials


def normal(rng, n):
    return 0.3 * rng.normal(size=n)


def uniform(rng, n):
    return rng.uniform(-0.5, 0.5, n)


# Three standard errors of a share of 0.95 in 2000 trials are 0.015.


@for_each_kind
def test_coverage_on_normal_noise(kind):
    assert abs(coverage(kind, normal) - 0.95) < 0.015


def test_coverage_on_uniform_noise():
    assert abs(coverage("mean", uniform) - 0.95) < 0.015
    assert coverage("observation", uniform) > 0.975


def test_the_errata_of_the_post():
    x, y = noisy_line(n=100, seed=20180216)
    widths = [
        (found.high - found.low) / 2
        for found in (inverse_interval(x, y, 100.0, kind=kind) for kind in ("mean", "observation"))
    ]
    np.testing.assert_allclose(widths, [9, 72], atol=0.6)


def test_the_ozone_monitor():
    reference, instrument = nist_norris()
    found = inverse_interval(reference, instrument, 500.0, kind="observation")
    np.testing.assert_allclose(found.x0, (500 + 0.262323073774029) / 1.00211681802045, rtol=1e-9)
    assert found.low < found.x0 < found.high


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"x": [1.0, 2.0], "y": [1.0, 2.0]}, ValueError, ["x", "at least 3", "2"]),
        ({"x": [1.0, 1.0, 1.0]}, ValueError, ["x", "different"]),
        ({"x": [1.0, 2.0]}, ValueError, ["x and y", "2", "3"]),
        ({"y": [1.0, np.nan, 2.0]}, ValueError, ["y", "nan"]),
        ({"y": [2.0, 2.0, 2.0]}, ValueError, ["y", "constant"]),
        ({"x": np.arange(7.0), "y": np.full(7, 100000.1)}, ValueError, ["y", "constant"]),
        ({"y0": 1e305}, ValueError, ["y0", "1e+305"]),
        ({"y0": np.inf}, ValueError, ["y0", "inf"]),
        ({"y0": "high"}, TypeError, ["y0", "high"]),
        ({"level": 1.0}, ValueError, ["level", "1.0", "between 0 and 1"]),
        ({"level": 95}, ValueError, ["level", "95", "between 0 and 1"]),
        ({"kind": "median"}, ValueError, ["kind", "median", "'mean'"]),
    ],
)
def test_bad_arguments_are_named(changes, error, words):
    arguments = {"x": [0.0, 1.0, 2.0], "y": [0.0, 1.5, 2.0], "y0": 1.0} | changes
    with refused_by_name(error, words):
        inverse_interval(**arguments)
