"""The noisy line and the three real data sets."""

import subprocess
import sys

import numpy as np
import pytest
from conftest import refused_by_name
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from helpers.data import bliss_beetles, nist_norris, noisy_line, piscataquis


@given(
    n=st.integers(1, 300),
    low=st.floats(-1e3, 1e3),
    width=st.floats(1e-3, 1e4),
    slope=st.floats(-10, 10),
    noise=st.floats(0, 1e3),
    seed=st.integers(0, 2**32),
)
def test_points_lie_in_the_band_below_the_line(n, low, width, slope, noise, seed):
    x, y = noisy_line(n, low=low, high=low + width, slope=slope, noise=noise, seed=seed)
    assert x.shape == y.shape == (n,)
    assert x.min() >= low
    assert x.max() <= low + width
    drop = slope * x - y
    assert drop.min() >= -1e-9 * (1 + np.abs(slope * x).max())
    assert drop.max() <= noise + 1e-9 * (1 + np.abs(slope * x).max())


def test_the_seed_fixes_the_points():
    np.testing.assert_array_equal(noisy_line(seed=3), noisy_line(seed=3))
    assert not np.array_equal(noisy_line(seed=3), noisy_line(seed=4))


def test_noise_has_the_moments_of_the_docstring():
    x, y = noisy_line(200_000, seed=1)
    noise = y - 0.4 * x
    np.testing.assert_allclose(noise.mean(), -25, atol=0.2)
    np.testing.assert_allclose(noise.std(), 50 / np.sqrt(12), rtol=0.01)
    assert abs(np.corrcoef(x, noise)[0, 1]) < 0.01


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"n": 0}, ValueError, ["n ", "0", "at least 1"]),
        ({"n": 2.0}, TypeError, ["n ", "2.0", "whole number"]),
        ({"n": True}, TypeError, ["n ", "True"]),
        ({"seed": None}, TypeError, ["seed", "None"]),
        ({"seed": -1}, ValueError, ["seed", "-1", "at least 0"]),
        ({"low": 5.0, "high": 5.0}, ValueError, ["low", "5.0", "below high"]),
        ({"high": np.inf}, ValueError, ["high", "inf", "finite"]),
        ({"slope": "steep"}, TypeError, ["slope", "steep", "real number"]),
        ({"slope": np.nan}, ValueError, ["slope", "nan", "finite"]),
        ({"noise": -1.0}, ValueError, ["noise", "-1.0", "0 or above"]),
    ],
)
def test_bad_arguments_are_named(arguments, error, words):
    with refused_by_name(error, words):
        noisy_line(**{"seed": 1} | arguments)


def test_beetles_are_those_of_bliss():
    beetles = bliss_beetles()
    assert beetles.exposed.sum() == 481
    assert beetles.killed.sum() == 291
    assert beetles.log10_dose[0] == 1.6907
    assert beetles.log10_dose[-1] == 1.8839
    assert np.all(np.diff(beetles.log10_dose) > 0)
    assert np.all(beetles.killed <= beetles.exposed)


def test_ozone_data_give_the_certified_line():
    reference, instrument = nist_norris()
    assert len(reference) == len(instrument) == 36
    fit = stats.linregress(reference, instrument)
    np.testing.assert_allclose(fit.intercept, -0.262323073774029, rtol=1e-10)
    np.testing.assert_allclose(fit.slope, 1.00211681802045, rtol=1e-12)
    residual = instrument - (fit.intercept + fit.slope * reference)
    np.testing.assert_allclose(np.sqrt(residual @ residual / 34), 0.884796396144373, rtol=1e-10)


def test_the_river_has_no_gap_and_its_known_flood():
    river = piscataquis()
    assert (np.diff(river.date) == np.timedelta64(1, "D")).all()
    assert str(river.date[0]) == "1980-10-01"
    assert str(river.date[-1]) == "2014-09-30"
    assert all(np.isfinite(column).all() for column in river[1:])
    flood = river.runoff.argmax()
    assert str(river.date[flood]) == "1987-04-01"
    assert river.runoff[flood] == pytest.approx(100.5, abs=0.1)
    assert (river.t_min <= river.t_max).all()
    for never_negative in (river.precipitation, river.radiation, river.runoff, river.snow):
        assert never_negative.min() >= 0
    # what falls leaves as river, the rest evaporates: a share between, in units that agree
    assert 0.4 < river.runoff.sum() / river.precipitation.sum() < 0.8


@pytest.mark.parametrize("module", ["data", "closed_forms", "figures"])
def test_modules_without_a_network_do_not_import_tensorflow(module):
    code = f"import sys, helpers.{module}; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
