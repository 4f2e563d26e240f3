"""The figures: what is drawn where, and that it can be told apart."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import refused_by_name
from matplotlib.colors import to_rgb

from helpers import figures
from helpers.data import noisy_line


@pytest.fixture
def ax():
    figures.use_style()
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


def luminance(colour):
    """Relative luminance, as the Web Content Accessibility Guidelines define it."""
    channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return np.dot([0.2126, 0.7152, 0.0722], channels)


def contrast(one, other):
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


for_each_page = pytest.mark.parametrize("colours", [figures.LIGHT, figures.DARK])


@for_each_page
@pytest.mark.parametrize("quantity", figures.COLOURS)
def test_each_colour_stands_out_from_the_paper(quantity, colours):
    assert contrast(colours[quantity], colours["paper"]) >= 3
    assert contrast(colours["ink"], colours["paper"]) >= 7


def test_each_colour_can_be_exchanged_for_its_dark_one():
    assert figures.DARK.keys() == figures.LIGHT.keys()
    assert len(set(figures.LIGHT.values())) == len(figures.LIGHT)


@for_each_page
def test_no_two_quantities_share_a_colour(colours):
    quantities = [colours[quantity] for quantity in figures.COLOURS]
    for one, other in itertools.combinations(quantities, 2):
        assert np.abs(np.subtract(to_rgb(one), to_rgb(other))).max() > 0.15


def test_points_and_line(ax):
    x, y = noisy_line(seed=1)
    figures.points_and_line(ax, x, y, W=0.4, b=-25.0)
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), np.column_stack([x, y]))
    line = ax.lines[0]
    assert line.get_slope() == 0.4
    assert line.get_xy1() == (0.0, -25.0)


def test_wanted_and_found_leads_from_one_axis_to_the_other(ax):
    ax.set(xlim=(0, 1000), ylim=(-50, 400))
    figures.wanted_and_found(ax, 100.0, 312.5)
    across, down, dot = (line.get_xydata().tolist() for line in ax.lines)
    assert across == [[0, 100], [312.5, 100]]
    assert down == [[312.5, 100], [312.5, -50]]
    assert dot == [[312.5, 100]]
    assert ax.get_xlim()[0] == 0
    assert ax.get_ylim()[0] == -50


def test_iterates_are_counted_from_zero(ax):
    figures.iterates(ax, [1.0, 0.5, 0.25])
    assert ax.lines[0].get_xydata().tolist() == [[0, 1], [1, 0.5], [2, 0.25]]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda ax: figures.points_and_line(ax, [1.0, 2.0], [1.0]), ValueError, ["x and y", "2"]),
        (lambda ax: figures.points_and_line(ax, [1, 2], [1, 2], W=1), ValueError, ["W and b", "b"]),
        (lambda ax: figures.wanted_and_found(ax, np.nan, 1.0), ValueError, ["y0", "finite"]),
        (lambda ax: figures.mark(ax, 1.0, "top"), TypeError, ["y", "top"]),
        (lambda ax: figures.mark(ax, 1.0, 1.0, colour="pink"), ValueError, ["colour", "pink"]),
        (lambda ax: figures.iterates(ax, [[1.0]]), ValueError, ["path", "(1, 1)"]),
        (lambda ax: figures.iterates(ax, [1.0], colour="pink"), ValueError, ["colour", "pink"]),
    ],
)
def test_bad_arguments_are_named(ax, call, error, words):
    with refused_by_name(error, words):
        call(ax)
