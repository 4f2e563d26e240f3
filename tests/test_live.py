"""The live figures: alive from disk, by mouse, touch, keyboard, text and address; and right.

Parity: what a figure shows is read out of a page and held against what Keras, `reconstruct`, SciPy
or a plain loop compute for the same setting.
"""

import base64
import io
import json
import re
import sys
from urllib.parse import parse_qsl

import numpy as np
import pytest
from bs4 import BeautifulSoup
from conftest import ROOT, parsed, refused_by_name
from numpy.polynomial import Polynomial
from PIL import Image
from playwright.sync_api import expect
from scipy import stats

from helpers import (
    explorations,
    image_explorations,
    interval_explorations,
    network_explorations,
    river,
    river_explorations,
    step_explorations,
)
from helpers.backend import keras
from helpers.closed_forms import least_squares, logit, sigmoid
from helpers.data import bliss_beetles, noisy_line, piscataquis
from helpers.reconstruction import reconstruct
from helpers.training import fit

sys.path.insert(0, str(ROOT / "book" / "_ext"))
import live_figures

FIGURES = {
    "fig-title": "book/index.html",
    "fig-descent": "book/03_reconstruction.html",
    "fig-dose": "book/04_sigmoid.html",
    "fig-saturation": "book/04_sigmoid.html",
    "fig-bands": "book/05_sensitivity.html",
    "fig-starts": "book/06_hidden_units.html",
    "fig-fade": "book/07_many_inputs.html",
    "fig-kernel": "book/08_rnn.html",
    "fig-gates": "book/09_lstm.html",
    "fig-two-ways": "book/10_steps.html",
    "fig-february": "book/11_river.html",
    "fig-poses": "book/12_faces.html",
}


def specifications(path):
    scripts = parsed(path).select("script[data-live]")
    return {script["data-live"]: script.get_text() for script in scripts}


def test_every_live_figure_is_tested(pages):
    found = {name: page for page, path in pages.items() for name in specifications(path)}
    assert found == FIGURES


def test_specifications_are_small(pages):
    for page in set(FIGURES.values()):
        for name, text in specifications(pages[page]).items():
            assert len(text) < 100_000, name
            assert json.loads(text)["params"], name


THREE = [1.0, 2.0, 3.0], [1.0, 3.0, 4.0]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: explorations.inverse_of_line([1, 2, 3], [1, 2], 1.0, 0.0, 1.0), ["x and y"]),
        (lambda: explorations.inverse_of_line(*THREE, 0.0, 0.0, 1.0), ["W", "0"]),
        (lambda: explorations.inverse_of_line(*THREE, 1.0, 0.0, 900), ["y0", "900", "360"]),
        (lambda: explorations.dose(*THREE, 1.0, 0.0, np.nan), ["y0", "finite"]),
        (
            lambda: explorations.saturation(
                {"a": np.abs}, [1.0], y0=0.1, atol=2.0, start=1, cost="b"
            ),
            ["cost", "'b'"],
        ),
        (lambda: network_explorations.memory(0.5, u=0.8, steps=1, y0=1), ["steps", "1", "2"]),
        (
            lambda: network_explorations.lstm_step([np.ones((1, 4))], value=0, flag=0, c=0, h=0),
            ["weights", "(2, 4)", "(1, 4)"],
        ),
        (
            lambda: interval_explorations.allowed_inputs(
                {"three": THREE}, points_of="three", level=99, y0=100
            ),
            ["level", "99", "95"],
        ),
        (
            lambda: image_explorations.known_units(
                np.zeros(64), np.ones((6, 64)), {"a": np.zeros((5, 64))}, way="a", known=0
            ),
            ["found", "6", "5"],
        ),
        (
            lambda: image_explorations.posed_faces(
                np.zeros((2, 2, 4, 4, 3)), np.zeros((2, 2, 5, 2)), [["a"] * 2] * 2,
                tilts=[0, 10], mouths=[0.4, 0.3], tilt=0, mouth=0.3,
            ),
            ["mouths", "[0.4, 0.3]"],
        ),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(call, words):
    with refused_by_name(ValueError, words):
        call()


# --- in a browser ------------------------------------------------------------------------------

pytestmark = pytest.mark.browser


class Figure:
    """A live figure on its page, awake."""

    def __init__(self, page, name):
        self.page = page
        self.box = page.locator(f"#{name}")
        self.box.scroll_into_view_if_needed()
        page.wait_for_function("name => document.getElementById(name).liveView", arg=name)

    def run(self, script, argument=None):
        script = f"(figure, argument) => {{ const view = figure.liveView; {script} }}"
        return self.box.evaluate(script, argument)

    def set(self, **state):
        self.run(
            "for (const k in argument) view.signal(k, argument[k]);"
            "return view.runAsync().then(() => null)",
            state,
        )

    def signal(self, name):
        return self.run("return view.signal(argument)", name)

    def data(self, *fields):
        """The columns of the longest data set that has all of the fields."""
        columns = self.run(
            """const sets = Object.keys(view._runtime.data).map(name => view.data(name) ?? []);
               const rows = sets.filter(rows => rows.length &&
                       argument.every(field => field in rows[0]))
                   .reduce((a, b) => b.length >= a.length ? b : a);
               return argument.map(field => rows.map(row => row[field]))""",
            fields,
        )
        return [np.array(column) for column in columns]

    def dot(self, handle="handle"):
        """The centre of a point that can be dragged, in pixels of the window."""
        box = self.box.locator(f".{handle}_marks path").bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    @property
    def words(self):
        return self.box.locator("[role=status]").inner_text()


@pytest.fixture(scope="module")
def context(browser):
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    yield context
    context.close()


@pytest.fixture(scope="module")
def open_figure(context, pages, visit):
    """A function that opens a figure's page from disk, at an address, and waits for the figure."""
    opened = []

    def open_figure(name, fragment=""):
        page, complaints = visit(context, pages[FIGURES[name]], fragment)
        opened.append(complaints)
        return Figure(page, name)

    yield open_figure
    assert not any(opened)


@pytest.fixture
def show(open_figure):
    """A function that opens a figure anew, at an address."""
    shown = []

    def show(name, fragment=""):
        shown.append(open_figure(name, fragment))
        return shown[-1]

    yield show
    for figure in shown:
        figure.page.close()


@pytest.fixture(scope="module", params=FIGURES)
def each_figure(request, open_figure):
    """Each of the figures in turn, opened once for all tests that ask for it."""
    figure = open_figure(request.param)
    yield figure
    figure.page.close()


# --- parity ------------------------------------------------------------------------------------

ALONE = """<!doctype html><meta charset="utf-8"><figure id="alone"><img alt=""></figure>
<script type="application/json" data-live="alone">{}</script><script src="{}"></script>"""


@pytest.fixture(scope="module")
def draw(context, tmp_path_factory, visit):
    """A function that puts a live figure on a page of its own, in a given state."""
    folder = tmp_path_factory.mktemp("alone")
    live_figures.write_scripts(folder / "vega.js")
    script = folder / "live.js"
    script.write_bytes((ROOT / "book" / "_static" / "live.js").read_bytes())
    drawn = {}

    def draw(figure, **state):
        if figure not in drawn:
            page = folder / f"{len(drawn)}.html"
            page.write_text(
                ALONE.format(live_figures.as_json(figure.spec), script.name), encoding="utf-8"
            )
            drawn[figure] = visit(context, page)
        on_page = Figure(drawn[figure][0], "alone")
        on_page.set(**state)
        return on_page

    yield draw
    for page, complaints in drawn.values():
        assert not complaints
        page.close()


def one(build):
    """A figure, or what goes into it, made once for all tests of this file."""
    return pytest.fixture(scope="module", name=build.__name__)(build)


@one
def line():
    x, y = noisy_line(n=100, seed=20180216)
    return explorations.inverse_of_line(x, y, *least_squares(x, y), y0=100)


@pytest.mark.parametrize("y0", [0, 37, 100, 360])
def test_the_title_figure_agrees_with_the_textbook(draw, line, y0):
    x, y = noisy_line(n=100, seed=20180216)
    fit = stats.linregress(x, y)
    x0 = (y0 - fit.intercept) / fit.slope
    s2 = np.sum((y - fit.intercept - fit.slope * x) ** 2) / 98
    of_the_line = fit.stderr**2 * ((x0 - x.mean()) ** 2 + x.var())  # variance of the fitted mean
    t = stats.t.ppf(0.975, 98) / fit.slope
    mean, single = t * np.sqrt(of_the_line), t * np.sqrt(s2 + of_the_line)

    figure = draw(line, y0=y0)
    got = [
        *figure.data("x", "y", "left"),
        *figure.data("mean_low", "mean_high"),
        *figure.data("single_low", "single_high"),
    ]
    expected = [x0, y0, -50, x0 - mean, x0 + mean, x0 - single, x0 + single]
    np.testing.assert_allclose(np.ravel(got), expected, rtol=1e-6, atol=1e-9)
    assert figure.words == (
        f"To make the neuron say {y0}, feed it {x0:.1f}. The data leave ± {mean:.0f} around that "
        f"for a wanted mean, ± {single:.0f} for the input behind one observed output."
    )


W, B = 0.402, -25.44


@one
def descent():
    return explorations.descent(W, B, y0=100, start=1, learning_rate=0.4)


SETTINGS = [(0.4, 100, 1), (3.1, 380, -200), (6.0, 20, 1000), (6.5, 100, 1), (7.0, 250, 40)]


@pytest.mark.parametrize(("eta", "y0", "start"), SETTINGS)
def test_the_descent_agrees_with_reconstruct(draw, descent, eta, y0, start):
    figure = draw(descent, eta=eta, y0=y0, start=start)
    layer = keras.layers.Dense(1, dtype="float64")
    model = keras.Sequential([keras.Input((1,), dtype="float64"), layer])
    layer.set_weights([np.array([[W]]), np.array([B])])
    options = {"start": float(start), "learning_rate": eta, "trace": True}
    path = reconstruct(model, y0, max_iter=60, rtol=0, **options).trace[:, 0, 0]
    k, x, cost = figure.data("k", "x", "cost")
    assert len(k) > 5
    path = path[k[k < len(path)].astype(int)]
    np.testing.assert_allclose(x[: len(path)], path, rtol=1e-6)
    expected = (W * path + B - y0) ** 2
    np.testing.assert_allclose(cost[: len(path)], expected, rtol=1e-5, atol=1e-5)

    run = reconstruct(model, y0, max_iter=1000, **options)
    factor = f"{1 - 2 * eta * W**2:.2f}".replace("-0.00", "0.00")
    told = f"Wanted: {y0}. Starting at {start}, the input "
    if run.converged[0]:
        told += f"reaches {run.x.item():.1f} after {run.n_iter[0]} steps. "
    else:
        told += f"never arrives at {(y0 - B) / W:.1f}. "
    told += f"At η = {eta:.2f}, each step multiplies the distance by {factor}"
    told += "." if run.converged[0] else ": it grows."
    assert figure.words.replace("−", "-").startswith(f"{told} After step 60: x = ")
    limit, best = figure.data("limit", "best")
    np.testing.assert_allclose(limit, 1 / W**2, rtol=1e-6)
    np.testing.assert_allclose(best, 1 / (2 * W**2), rtol=1e-6)


@one
def dose():
    beetles = bliss_beetles()
    return explorations.dose(
        beetles.log10_dose, beetles.killed / beetles.exposed, 34.27, -60.72, 0.5
    )


@pytest.mark.parametrize("y0", [0.01, 0.23, 0.5, 0.99])
def test_the_dose_agrees_with_the_neuron(draw, dose, y0):
    figure = draw(dose, y0=y0)
    x0, y, stretch = np.ravel(figure.data("x", "y", "stretch", "left"))[:3]
    assert y == y0
    np.testing.assert_allclose(1 / (1 + np.exp(-34.27 * x0 + 60.72)), y0, rtol=1e-9)
    slope = 34.27 * y0 * (1 - y0)
    np.testing.assert_allclose(stretch, 0.01 / slope, rtol=1e-9)
    assert figure.words == (
        f"To kill {100 * y0:.0f}\u00a0% of them, take {x0:.4f}, which is {10**x0:.1f} mg/l. There, "
        f"it rises by {0.01 / slope:.4f} per percentage point, {34.27 / 4 / slope:.1f} times as "
        "fast as at one half."
    )
    x, y = figure.data("x", "y")
    assert len(x) == 151
    np.testing.assert_allclose(y, 1 / (1 + np.exp(-34.27 * x + 60.72)), rtol=1e-9)


COSTS = {
    "squared error of y": (lambda z: 2 * (sigmoid(z) - 0.1) * sigmoid(z) * sigmoid(-z), 1),
    "cross-entropy": (lambda z: sigmoid(z) - 0.1, 1),
    "squared error of the logit": (lambda z: 2 * (z - logit(0.1)), 0.25),
}


@one
def saturation():
    derivatives = {name: derivative for name, (derivative, _) in COSTS.items()}
    rates = [rate for _, rate in COSTS.values()]
    return explorations.saturation(
        derivatives, rates, y0=0.1, atol=1e-3, start=8, cost="cross-entropy"
    )


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("start", [0, 5, 9])
def test_the_saturation_agrees_with_a_plain_loop(draw, saturation, cost, start):
    derivative, rate = COSTS[cost]
    path = [float(start)]
    while abs(sigmoid(path[-1]) - 0.1) >= 1e-3:
        path.append(path[-1] - rate * derivative(path[-1]))
    path = np.array(path)

    figure = draw(saturation, cost=cost, start=start)
    k, z, y, in_z, in_y = figure.data("k", "z", "y", "gradient", "gradient_in_y")
    k = k.astype(int)
    assert k[0] == 0
    assert k[-1] == len(path) - 1
    np.testing.assert_allclose(z, path[k], rtol=1e-4)
    np.testing.assert_allclose(y, sigmoid(path[k]), rtol=1e-3)
    slope = sigmoid(path) * sigmoid(-path)
    pull = np.abs(derivative(path))
    np.testing.assert_allclose(in_z, pull[k], rtol=2e-3, atol=1e-5)
    np.testing.assert_allclose(in_y, (pull / slope)[k], rtol=2e-3, atol=1e-4)
    words = figure.words.replace("\u202f", ",")
    assert words.startswith(
        f"From z = {start}, descent on the {cost} arrives after {len(path) - 1:,} steps. "
    )
    told = re.findall(r"([\d.,]+) in [yz]", words)
    told = [float(number.replace(",", "")) for number in told]
    np.testing.assert_allclose(told, [pull[0] / slope[0], pull[0]], rtol=0.06)


@one
def calibrations():
    x, y = noisy_line(n=100, seed=20180216)
    six = np.argsort(x)[36:42]
    return {"all": (x, y), "six": (x[six], y[six])}


@one
def intervals(calibrations):
    return interval_explorations.allowed_inputs(calibrations, points_of="all", level=95, y0=100)


@pytest.mark.parametrize(
    ("data", "level", "y0", "mean", "single"),
    [
        ("all", 95, 100, "304 to 323", "242 to 385"),
        ("all", 50, 360, "", ""),
        ("six", 75, 60, "−1006 to 307", "−1011 to 312"),
        ("six", 80, 60, "all up to 313 and all from 73722 on", ""),
        ("six", 95, 100, "all up to 377 and all from 475 on", "every input"),
        ("six", 95, 125, "every input", "every input"),
        ("six", 90, 360, "", ""),
    ],
)
def test_the_bars_lie_where_the_output_is_no_surprise(
    draw, calibrations, intervals, data, level, y0, mean, single
):
    x, y = calibrations[data]
    fit, n = stats.linregress(x, y), len(x)
    line = Polynomial([fit.intercept, fit.slope])
    t2s2 = stats.t.ppf(0.5 + level / 200, n - 2) ** 2 * np.sum((y - line(x)) ** 2) / (n - 2)
    figure = draw(intervals, data=data, level=level, y0=y0)
    kinds, low, high = figure.data("kind", "low", "high")
    grid = np.linspace(-50, 1100, 400)
    for kind, own in enumerate((1 / n, 1 + 1 / n)):
        squared_reach = t2s2 * (own + Polynomial([-x.mean(), 1]) ** 2 / np.sum((x - x.mean()) ** 2))
        surprise = (line - y0) ** 2 - squared_reach
        ends = np.column_stack([low, high])[kinds == kind]
        shown = np.any((ends[:, :1] <= grid) & (grid <= ends[:, 1:]), axis=0)
        clear = np.all(abs(ends.ravel()[:, np.newaxis] - grid) > 1, axis=0)  # they are rounded
        np.testing.assert_array_equal(shown[clear], surprise(grid[clear]) <= 0)
        for end in np.unique(ends[(ends > -50) & (ends < 1100)]):
            assert abs(surprise.roots() - end).min() < 0.51
    at, height, bottom, top = figure.data("x", "y", "low", "high", "i")[:4]
    np.testing.assert_allclose(height, line(at))
    np.testing.assert_allclose((top - height) ** 2, squared_reach(at), rtol=0.02)
    np.testing.assert_allclose(top + bottom, 2 * height)
    assert f"At the level {level}\u00a0%, a wanted mean of {y0} allows {mean}" in figure.words
    assert f"One observed output of {y0} allows {single}" in figure.words


@one
def network():
    """The network of chapter 6."""
    points = np.random.default_rng(0).uniform(-1, 1, (400, 2))
    heights = np.sum(points**2, axis=1, keepdims=True)
    keras.utils.set_random_seed(5)
    hidden = keras.layers.Dense(6, activation="relu", name="hidden")
    network = keras.Sequential([keras.Input((2,)), hidden, keras.layers.Dense(1)])
    fit(network, points, heights, steps=1000, learning_rate=0.02)
    return network


@one
def starts(network):
    return network_explorations.starts(
        network, layer="hidden", y0=0.6, start=(0.1, 0.2), learning_rate=0.05
    )


@pytest.mark.parametrize("start", [(-0.9, 0.7), (0.5, -0.5), (0.0, 0.0), (1.0, 1.0), (-0.1, 0.8)])
def test_the_paths_agree_with_reconstruct(draw, network, starts, start):
    figure = draw(starts, start1=start[0], start2=start[1])
    run = reconstruct(
        network, 0.6, start=np.array(start), learning_rate=0.05, max_iter=1000, atol=1e-3,
        rtol=0, trace=True,
    )  # fmt: skip
    k, x1, x2 = figure.data("k", "x1", "x2", "path")[:3]
    path, shown = run.trace[:, 0], np.column_stack([x1, x2])
    np.testing.assert_allclose(shown[[0, -1]], path[[0, -1]], atol=2e-3)
    nearest = np.abs(path[:, np.newaxis] - shown).max(axis=2).min(axis=0)
    assert nearest.max() < 2e-3
    assert len(k) == min(7, len(path))

    kernel, bias = network.get_layer("hidden").get_weights()
    off = int(np.sum(np.array(start) @ kernel + bias <= 0))
    told = figure.words.replace("−", "-")
    assert told.startswith(f"From ({start[0]:.1f}, {start[1]:.1f}), the input ")
    assert f"{off} of the 6 units" in told
    steps = int(re.search(r"after (\d+) step", told)[1])
    assert abs(steps - run.n_iter[0]) <= 1
    if run.converged[0]:
        x1, x2 = map(float, re.search(r"reaches \((.+), (.+)\)", told).groups())
        np.testing.assert_allclose([x1, x2], run.x[0], atol=0.006)
    else:
        assert "does not arrive" in told
        assert off == 6


def test_the_contour_and_the_silent_halves_are_where_the_network_has_them(network, starts):
    halves, contour = (
        [(row["part"], row["x1"], row["x2"]) for row in layer["data"]["values"]]
        for layer in starts.spec["layer"][:2]
    )
    kernel, bias = network.get_layer("hidden").get_weights()
    for part, *corner in halves:
        z = np.array(corner) @ kernel[:, part] + bias[part]
        assert z < 5e-3  # off, or on the edge
        assert np.max(np.abs(corner)) > 0.999 - 1e-6
    points = np.array(contour)[:, 1:]
    np.testing.assert_allclose(network(points.astype("float32")), 0.6, atol=0.02)


@one
def layer():
    """Sixteen units, a scan, and two images moved until they agree with it in 0, 4, … units."""
    rng = np.random.default_rng(0)
    K, secret = rng.normal(size=(16, 64)), rng.uniform(size=64)
    found = {}
    for name, start in (("grey", np.full(64, 0.5)), ("white", np.zeros(64))):
        known = [(K[:k], K[:k] @ secret) for k in (4, 8, 12, 16)]
        ends = [start + np.linalg.pinv(rows) @ (z - rows @ start) for rows, z in known]
        found[name] = np.array([start, *ends])
    return K, secret, found


@one
def scan(layer):
    K, secret, found = layer
    return image_explorations.known_units(secret, K, found, way="grey", known=8)


@pytest.mark.parametrize("known", [0, 4, 16])
@pytest.mark.parametrize("way", ["grey", "white"])
def test_the_images_and_errors_are_those_of_the_recovery(draw, layer, scan, way, known):
    _, secret, found = layer
    image = found[way][known // 4]
    figure = draw(scan, way=way, known=known)
    part, pixel, ink = figure.data("part", "pixel", "ink")
    shown = ink[np.lexsort((pixel, part))].reshape(3, 64) / 100
    np.testing.assert_allclose(shown, [image, secret, abs(image - secret)], atol=0.0101)
    names, count, error, miss = figure.data("name", "count", "image", "output")
    errors = np.sqrt(np.mean((found[way] - secret) ** 2, axis=1))
    np.testing.assert_allclose(error[names == way], errors, rtol=1e-2)
    assert np.all(count[names == way] == [0, 4, 8, 12, 16])
    np.testing.assert_allclose(miss, 0, atol=1e-9)
    assert figure.words == (
        f"Known: {known} of 16 units, met to 0.000. The image is off by {errors[known // 4]:.2f} "
        "a pixel."
    )


TILTS, MOUTHS = [-10, 0, 10], [0.3, 0.4]


@one
def poses():
    """Six grey squares, each of another grey, with landmarks that turn."""
    greys = np.arange(6).reshape(3, 2, 1, 1, 1) / 8
    landmarks = np.empty((3, 2, 5, 2))
    for i, tilt in enumerate(np.deg2rad(TILTS)):
        for j, mouth in enumerate(MOUTHS):
            x = np.array([-0.2, 0.2, 0, -mouth / 2, mouth / 2])
            y = np.array([-0.2, -0.2, 0, 0.2, 0.2])
            turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
            landmarks[i, j] = (turn @ [x, y]).T + 0.5
    notes = [[f"Face {i}{j}." for j in range(2)] for i in range(3)]
    figure = image_explorations.posed_faces(
        np.broadcast_to(greys, (3, 2, 8, 8, 3)), landmarks, notes,
        tilts=TILTS, mouths=MOUTHS, tilt=0, mouth=0.3,
    )  # fmt: skip
    return figure, landmarks


@pytest.mark.parametrize(("i", "j"), [(0, 1), (1, 0), (2, 1)])
def test_the_face_is_that_of_the_pose(draw, poses, i, j):
    figure, landmarks = poses
    on_page = draw(figure, tilt=TILTS[i], mouth=MOUTHS[j])
    assert on_page.words.endswith(f"Face {i}{j}.")
    url = on_page.data("url", "right")[0][0]
    image = Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))
    grey = np.asarray(image) / 255
    np.testing.assert_allclose(grey, (2 * i + j) / 8, atol=0.01)
    on_page.set(tilt=0, mouth=0.3)
    side = on_page.box.locator(".mark-image image").bounding_box()
    dots = on_page.box.locator(".handle_marks path").bounding_box()
    mouse = on_page.page.mouse
    mouse.move(dots["x"] + dots["width"] / 2, dots["y"] + dots["height"] / 2)
    mouse.down()
    x, y = landmarks[i, 0, 1]
    mouse.move(side["x"] + x * side["width"], side["y"] + y * side["height"])
    mouse.up()
    assert on_page.signal("tilt") == TILTS[i]


@one
def two_ways(network):
    return step_explorations.two_ways(network, y0=0.6, start=(0.2, 0.4), learning_rate=0.05)


@pytest.mark.parametrize("start", [(-0.8, 0.6), (0.2, -0.4), (0.0, 0.0), (1.0, 1.0)])
@pytest.mark.parametrize("step", [3, 12])
def test_both_ways_are_those_of_reconstruct(draw, network, two_ways, start, step):
    figure = draw(two_ways, start1=start[0], start2=start[1], step=step)
    told = figure.words.replace("−", "-")
    assert told.startswith(f"From ({start[0]:.1f}, {start[1]:.1f}), with an output of 0.6 wanted.")
    options = {"start": np.array(start), "atol": 1e-3, "rtol": 0, "max_iter": 1000}
    for name, rate, of in [("descent", 0.05, "model"), ("Gauss–Newton", None, "input")]:
        run = reconstruct(network, 0.6, learning_rate=rate, trace=True, **options)
        table = np.array(figure.signal(f"path_{of}"))
        shown = table[round(11 * (5 * start[0] + 5) + 5 * start[1] + 5), : step + 1]
        path = run.trace[np.minimum(np.arange(step + 1), len(run.trace) - 1), 0]
        np.testing.assert_allclose(shown[:, :2], path, atol=2e-3)
        np.testing.assert_allclose(shown[:, 2:], network(path), atol=6e-3)  # slopes up to 2.2
        output, end = re.search(rf"{name} (-?\d+\.\d+)([^;.]*)", told).groups()
        np.testing.assert_allclose(float(output), network(path[-1:])[0, 0], atol=6e-3)
        at_rest = ", arrived" if run.converged[0] else ", at rest"
        assert end == (at_rest if run.n_iter[0] <= step else "")


RIVER = piscataquis()


@one
def river_networks():
    """Two of those that ship, and for each a cell, with either sign."""
    networks = [river.new_network(RIVER, seed=0) for _ in range(2)]
    for network, weights in zip(networks, river.trained_weights()):
        network.set_weights(weights)
    return networks, [(2, -1.0), (0, 1.0)]


@one
def february(river_networks):
    return river_explorations.february(*river_networks, RIVER, year=2011, network=0, warmer=4)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("warmer", [-10, 0, 12])
def test_the_winter_is_that_of_the_layer(draw, river_networks, february, which, warmer):
    network, (unit, sign) = (each[which] for each in river_networks)
    start, first, march, end = np.searchsorted(
        RIVER.date, np.array(["2010-07-01", "2011-02-01", "2011-03-01", "2011-05-01"], "M8[D]")
    )
    x = np.stack([river.weather(RIVER)] * 2)
    x[1, first:march, 2:] += warmer
    shown = slice(first - start, end - start)
    inputs = network.layers[0](x[:, start:end])
    cell, states, gates = network.layers[1].cell, [np.zeros((2, 8), "float32")] * 2, []
    kernel, recurrent_kernel, bias = (w[..., 8 + unit] for w in cell.get_weights())
    cells = []
    for t in range(end - start):
        gates.append(
            sigmoid(inputs[:, t].numpy() @ kernel + np.array(states[0]) @ recurrent_kernel + bias)
        )
        _, states = cell(inputs[:, t], states)
        cells.append(sign * np.array(states[1])[:, unit])
    gates, cells = np.array(gates)[shown].T, np.array(cells).T
    cells = 100 * (cells - cells[0].min()) / np.ptp(cells[0])
    flows = network(x[:, start:end]).numpy()[:, shown, 0].clip(0) ** 2

    figure = draw(february, network=str(which), warmer=warmer)
    temperatures = x[:, first:end, 2:].mean(axis=2)
    for name, computed, atol in [
        ("temperature", temperatures, 0.05),
        ("gate", 100 * gates, 0.5),
        ("cell", cells[:, shown], 0.5),
        ("flow", flows, 0.05),
    ]:  # what is rounded, and some of it in float32
        columns = np.array(figure.data("before", name))
        np.testing.assert_allclose(columns, computed, atol=atol + 0.01, err_msg=name)
    told = figure.words.replace("−", "-")
    numbers = [float(number) for number in re.findall(r"-?\d+\.?\d*", told)]
    mean, of, kept, _, now, was, highest = numbers
    assert of == which
    expected = [temperatures[1, : march - first].mean(), 100 * gates[1, : march - first].mean()]
    np.testing.assert_allclose([mean, kept], expected, atol=0.06)
    np.testing.assert_allclose([now, was], cells[::-1, march - start], atol=0.51)
    np.testing.assert_allclose(highest, flows[1].max(), atol=0.06)


@one
def memory():
    return network_explorations.memory(0.5, u=0.8, steps=30, y0=2)


@pytest.mark.parametrize("u", [-0.8, 0.0, 0.5, 0.8, 1.0, 1.1])
def test_the_kernel_agrees_with_the_closed_form_and_the_unit(draw, memory, u):
    figure = draw(memory, u=u)
    t, x, y = figure.data("t", "x", "y")
    kernel = 0.5 * u ** np.arange(29.0, -1.0, -1.0)
    np.testing.assert_allclose(x, 2 * kernel / (kernel @ kernel), rtol=1e-6, atol=1e-12)
    state, path = 0.0, []
    for inflow in x:
        state = u * state + 0.5 * inflow
        path.append(state)
    np.testing.assert_allclose(y, path, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(y[-1], 2, rtol=1e-6)
    np.testing.assert_array_equal(t, range(1, 31))
    told = re.findall(r"-?\d[\d.]*(?:e-?\d+)?", figure.words.replace("−", "-"))
    told = [float(number.rstrip(".")) for number in told]
    np.testing.assert_allclose(told, [u, x[-1], u**10], rtol=0.06, atol=1e-12)
    bottom, top = figure.run("return view.scale('concat_0_y').domain()")
    assert top - bottom < 2 * (max(*x, 0) - min(*x, 0))  # the scale is that of what is shown


@one
def lstm():
    keras.utils.set_random_seed(2)
    layer = keras.layers.LSTM(1, return_state=True, bias_initializer="random_normal")
    layer.build((None, 1, 2))
    return layer


@one
def gates(lstm):
    return network_explorations.lstm_step(lstm.get_weights(), value=0, flag=0, c=0, h=0)


@pytest.mark.parametrize(
    "state",
    [
        {"value": 0.5, "flag": 0, "c": -0.5, "h": -0.4},
        {"value": -1, "flag": 1, "c": 0.75, "h": 0.6},
        {"value": 0.25, "flag": 0.5, "c": -1, "h": 1},
    ],
)
def test_the_gates_agree_with_the_layer(draw, lstm, gates, state):
    figure = draw(gates, **state)
    x = np.array([[[state["value"], state["flag"]]]], dtype="float32")
    before = [np.full((1, 1), state[name], dtype="float32") for name in "hc"]
    h, _, c = (tensor.numpy().item() for tensor in lstm(x, initial_state=before))
    shown_before, shown_after = figure.data("before", "after")
    np.testing.assert_allclose(shown_before, [state["c"], state["h"]])
    np.testing.assert_allclose(shown_after, [c, h], rtol=1e-5)
    (size,) = figure.data("size")
    i, f, g, o = size
    np.testing.assert_allclose([f * state["c"] + i * g, o * np.tanh(c)], [c, h], rtol=1e-5)
    kernel, recurrent_kernel, bias = (weights[..., 1] for weights in lstm.get_weights())
    z = x[0, 0] @ kernel + state["h"] * recurrent_kernel[0] + bias
    np.testing.assert_allclose(f, sigmoid(z), rtol=1e-5)
    assert figure.words.replace("−", "-") == (
        f"The forget gate keeps {100 * f:.1f}\u00a0% of the cell. The cell goes from "
        f"{state['c']:.2f} to {c:.2f}, the output from {state['h']:.2f} to {h:.2f}."
    )


@pytest.mark.parametrize("figure", ["starts", "poses"])
def test_a_square_figure_follows_the_window_and_stays_square(draw, starts, poses, figure):
    figure = draw({"starts": starts, "poses": poses[0]}[figure])
    first = figure.run("return view.width()")
    for width, narrowed in ((330, "<"), (1280, "===")):
        figure.page.set_viewport_size({"width": width, "height": 900})
        figure.page.wait_for_function(
            f"full => document.getElementById('alone').liveView.width() {narrowed} full", arg=first
        )
        assert figure.run("return view.width() === view.height()")


@pytest.mark.parametrize("y0", [0, 120, 160, 250, 360])
def test_on_a_phone_the_words_in_the_plane_are_not_cut_off(draw, line, y0):
    figure = draw(line, y0=y0)
    figure.page.set_viewport_size({"width": 390, "height": 900})
    figure.page.wait_for_function("document.getElementById('alone').liveView.width() < 400")
    frame = figure.box.locator("svg").bounding_box()
    for words in ("a wanted mean", "one output"):
        box = figure.box.get_by_text(words, exact=True).bounding_box()
        assert frame["x"] <= box["x"]
        assert box["x"] + box["width"] <= frame["x"] + frame["width"]


# --- on the pages ------------------------------------------------------------------------------


def test_the_text_sets_the_figure_and_the_address(show):
    figure = show("fig-descent")
    figure.page.get_by_role("button", name="6.5", exact=True).click()
    figure.page.wait_for_function("location.hash === '#fig-descent?eta=6.5'")
    assert figure.signal("eta") == 6.5
    assert "never arrives" in figure.words
    assert figure.box.get_by_role("slider", name="learning rate").input_value() == "6.5"


def test_every_button_in_the_text_sets_a_control_to_a_value_it_can_take(pages):
    for name, page in FIGURES.items():
        controls = {
            p["name"]: p["bind"]
            for p in json.loads(specifications(pages[page])[name])["params"]
            if "bind" in p
        }
        for button in parsed(pages[page]).select(f'button[data-state^="{name}?"]'):
            for control, value in parse_qsl(button["data-state"].partition("?")[2]):
                bind = controls[control]
                if bind["input"] == "range":
                    steps = (float(value) - bind["min"]) / bind["step"]
                    assert bind["min"] <= float(value) <= bind["max"]
                    np.testing.assert_allclose(steps, round(steps), atol=1e-9)
                else:
                    assert value in bind["options"]


@pytest.mark.parametrize(
    ("state", "address", "told"),
    [
        (
            "fig-saturation?cost=cross-entropy&start=5",
            "?cost=cross-entropy&start=5",
            "From z = 5, descent on the cross-entropy",
        ),
        ("fig-dose?y0=0.9.", "?y0=0.9", "To kill 90\u00a0% "),  # a full stop after the link
        ("fig-dose?y0=0.904", "?y0=0.9", "To kill 90\u00a0% "),
        ("fig-dose?y0=-1", "?y0=0.01", "To kill 1\u00a0% "),
        ("fig-dose?y0=%", "", "To kill 50\u00a0% "),
        ("fig-dose?y0=NaN&other=1&words=no", "", "To kill 50\u00a0% "),
        ("fig-saturation?cost=none&start=2.6", "?start=3", "From z = 3, descent on the squared"),
    ],
)
def test_the_address_sets_what_a_control_can_be_set_to_and_no_more(show, state, address, told):
    name = state.partition("?")[0]
    figure = show(name, f"#{state}")
    figure.page.wait_for_function(f"location.hash === '#{name}{address}'")
    assert figure.words.startswith(told)
    for control, value in parse_qsl(address.removeprefix("?")):
        assert str(figure.signal(control)) == value
    for option in figure.box.get_by_role("radio").all():
        assert option.is_checked() == (option.input_value() == figure.signal("cost"))


@pytest.mark.parametrize(
    "state",
    [
        "fig-descent?eta=6.5",
        "fig-dose?y0=0.9",
        "fig-saturation?start=3",
        "fig-bands?level=80",
        "fig-fade?known=16",
        "fig-kernel?u=0.5",
        "fig-two-ways?step=3",
    ],
)
def test_a_link_with_a_state_leads_to_the_whole_figure(browser, pages, visit, state):
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 800})
    name = state.split("?")[0]
    page, complaints = visit(context, pages[FIGURES[name]], f"#{state}")
    page.wait_for_function("name => document.getElementById(name).liveView", arg=name)
    page.wait_for_timeout(2000)
    box = page.locator(f"#{name}").bounding_box()
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= 801
    assert not complaints
    context.close()


def test_a_phrase_in_the_caption_sets_the_figure_and_moves_nothing(show):
    figure = show("fig-starts")
    phrase = figure.box.get_by_role("button", name="in the middle", exact=True)
    phrase.scroll_into_view_if_needed()
    before = phrase.bounding_box()
    phrase.click()
    figure.page.wait_for_function("location.hash === '#fig-starts?start1=0&start2=0'")
    assert "does not arrive" in figure.words
    assert phrase.bounding_box() == before


def test_every_control_is_labelled_and_works_by_keyboard(each_figure):
    figure = each_figure
    sliders = figure.box.locator("input[type=range]")
    assert sliders.count() >= 1
    for i in range(sliders.count()):
        slider = sliders.nth(i)
        label = slider.evaluate("input => input.labels[0].innerText")
        assert re.match(r"[a-z]", label)
        before, words = slider.input_value(), figure.words
        slider.focus()
        at_end = before == slider.get_attribute("max")
        figure.page.keyboard.press("PageDown" if at_end else "PageUp")
        assert slider.input_value() != before
        expect(figure.box.get_by_role("status")).not_to_have_text(words)


class Mouse:
    width = 1280

    def __init__(self, page):
        self.mouse = page.mouse

    def drag(self, path):
        self.mouse.move(*path[0])
        self.mouse.down()
        for place in path[1:]:
            self.mouse.move(*place)
        self.mouse.up()
        self.mouse.move(5, 5)  # let go: what was dragged stays


class Finger:
    width = 390

    def __init__(self, page):
        self.page, self.session = page, page.context.new_cdp_session(page)

    def drag(self, path, end="touchEnd"):
        kinds = ["touchStart", *["touchMove"] * (len(path) - 1)]
        touches = [(kind, [{"x": x, "y": y}]) for kind, (x, y) in zip(kinds, path)]
        for kind, points in [*touches, (end, [])]:
            self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        self.page.wait_for_timeout(100)  # it would scroll by now


def straight(here, there):
    """The way from one place to another, in twelve steps."""
    return np.linspace(here, there, 13).tolist()


@pytest.fixture(params=[Mouse, Finger])
def touched(request, browser, pages, visit):
    """A function that opens a figure, on a page of its own, and what moves things on it."""
    viewport = {"width": request.param.width, "height": 900}
    touch = request.param is Finger
    context = browser.new_context(offline=True, viewport=viewport, has_touch=touch)

    def touched(name):
        page, complaints = visit(context, pages[FIGURES[name]])
        opened.append(complaints)
        return Figure(page, name), request.param(page)

    opened = []
    yield touched
    assert not any(opened)
    context.close()


@pytest.mark.parametrize(
    ("name", "first", "then"),
    [
        ("fig-title", {"y0": 100}, {"y0": 160}),
        ("fig-descent", {"start": 1}, {"start": 400}),
        ("fig-descent", {"eta": 0.4}, {"eta": 5}),
        ("fig-dose", {"y0": 0.5}, {"y0": 0.8}),
        ("fig-bands", {"y0": 100}, {"y0": 250}),
        ("fig-starts", {"start1": 0.1, "start2": 0.2}, {"start1": 0.5, "start2": -0.3}),
        ("fig-fade", {"known": 16}, {"known": 40}),
        ("fig-two-ways", {"start1": 0.2, "start2": -0.2}, {"start1": -0.4, "start2": 0.6}),
    ],
)
def test_what_can_be_dragged_goes_where_it_is_dragged(touched, name, first, then):
    figure, hand = touched(name)
    handle = "handle_rate" if "eta" in first else "handle"
    figure.box.locator(f".{handle}_marks").scroll_into_view_if_needed()
    figure.set(**then)
    there = figure.dot(handle)
    figure.set(**first)
    here, words, scrolled = figure.dot(handle), figure.words, figure.page.evaluate("scrollY")
    hand.drag(straight(here, there))
    np.testing.assert_allclose(figure.dot(handle), there, atol=2)
    assert figure.words != words
    assert figure.page.evaluate("scrollY") == scrolled


def test_descent_runs_holds_and_takes_one_step(show):
    figure = show("fig-descent", "#fig-descent?k=0")
    run, one = (figure.box.get_by_role("button", name=name) for name in ("Run", "One step"))
    one.click()
    assert figure.signal("k") == 1
    run.click()
    figure.page.wait_for_function("document.getElementById('fig-descent').liveView.signal('k') > 2")
    figure.box.get_by_role("button", name="Pause").click()
    held = figure.signal("k")
    figure.page.wait_for_timeout(600)
    assert figure.signal("k") == held
    figure.page.emulate_media(reduced_motion="reduce")
    run.click()
    assert figure.signal("k") == 60


def test_what_is_dragged_keeps_to_the_steps_of_its_slider(show):
    figure = show("fig-dose")
    x, y = figure.dot()
    mouse = figure.page.mouse
    mouse.move(x, y)
    mouse.down()
    seen = set()
    for up in range(0, 110, 2):
        mouse.move(x, y - up)
        seen.add(figure.signal("y0"))
    mouse.up()
    assert len(seen) > 40
    assert seen == {round(value, 2) for value in seen}


def test_only_the_first_button_of_the_mouse_drags(show):
    figure = show("fig-title")
    x, y = figure.dot()
    figure.page.mouse.move(x, y)
    figure.page.mouse.down(button="right")
    figure.page.mouse.move(x, y - 40)
    figure.page.mouse.up(button="right")
    assert figure.signal("y0") == 100


@pytest.mark.parametrize("touched", [Finger], indirect=True)
def test_a_touch_that_is_cancelled_lets_go(touched):
    figure, finger = touched("fig-title")
    x, y = figure.dot()
    finger.drag(straight((x, y), (x, y - 48)), end="touchCancel")
    np.testing.assert_allclose(figure.dot()[1], y - 48, atol=2)
    after, scrolled = figure.signal("y0"), figure.page.evaluate("scrollY")
    finger.drag(straight((200, 800), (200, 752)))  # on the text: it scrolls, and moves no figure
    assert figure.signal("y0") == after > 150
    assert figure.page.evaluate("scrollY") > scrolled


def test_the_vega_scripts_are_loaded_once_when_a_figure_comes_near(context, pages):
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url.split("/")[-1].split("?")[0]))
    page.goto(pages["book/01_dataset.html"].as_uri())
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.wait_for_timeout(300)
    assert not {"live.js", "vega.js"} & set(asked)
    page.goto(pages[FIGURES["fig-saturation"]].as_uri())
    page.wait_for_timeout(500)
    assert "live.js" in asked
    assert "vega.js" not in asked
    Figure(page, "fig-saturation")
    Figure(page, "fig-dose")
    assert asked.count("vega.js") == 1
    page.close()


def test_on_paper_there_is_a_still_picture(each_figure):
    still, live = (each_figure.box.locator(part) for part in ("img.drawn-light", ".live"))
    assert not still.is_visible()
    each_figure.page.emulate_media(media="print")
    assert still.is_visible()
    assert not live.is_visible()


def test_without_scripts_there_is_a_still_picture(browser, pages):
    context = browser.new_context(offline=True, java_script_enabled=False)
    page = context.new_page()
    for name, file in FIGURES.items():
        page.goto(pages[file].as_uri())
        page.locator(f"#{name}").scroll_into_view_if_needed()
        assert page.locator(f"#{name} img.drawn-light").is_visible(), name
    context.close()


def test_figures_on_a_dark_page_have_no_light_frame(browser, pages):
    context = browser.new_context(offline=True, color_scheme="dark")
    page = context.new_page()
    page.goto(pages["book/01_dataset.html"].as_uri())
    drawing = page.locator("img.drawn-dark").first
    assert drawing.is_visible()
    look = (
        "drawing => { const s = getComputedStyle(drawing); return [s.padding, s.backgroundColor]; }"
    )
    assert drawing.evaluate(look) == ["0px", "rgba(0, 0, 0, 0)"]
    context.close()


def test_the_still_names_the_setting():
    figure = explorations.descent(0.4, -25.0, y0=100, start=1, learning_rate=0.4)
    text = BeautifulSoup(figure.still, "html.parser").get_text(" ")
    assert "Starting at 1, the input reaches" in text
    assert "η = 0.40" in text
