"""The live figures: alive from disk, by mouse, touch, keyboard, text and address; and right.

Parity: what a figure shows is read out of the page and held against what the helpers, or an
independent loop, compute for the same setting.
"""

import functools
import json
import re
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from conftest import refused_by_name
from playwright.sync_api import expect
from scipy import stats

from helpers import closed_forms, explorations, network_explorations
from helpers.backend import keras
from helpers.closed_forms import logit, sigmoid
from helpers.data import noisy_line
from helpers.reconstruction import reconstruct
from helpers.training import fit

FIGURES = {
    "fig-title": "book/index.html",
    "fig-descent": "book/03_reconstruction.html",
    "fig-dose": "book/04_sigmoid.html",
    "fig-saturation": "book/04_sigmoid.html",
    "fig-starts": "book/06_hidden_units.html",
    "fig-kernel": "book/08_rnn.html",
    "fig-gates": "book/09_lstm.html",
}
SPECIFICATION = r'<script type="application/json" data-live="([\w-]+)">(.*?)</script>'


def bowl(seed):
    """The network of chapter 6."""
    points = np.random.default_rng(0).uniform(-1, 1, (400, 2))
    heights = np.sum(points**2, axis=1, keepdims=True)
    keras.utils.set_random_seed(seed)
    hidden = keras.layers.Dense(6, activation="relu", name="hidden")
    network = keras.Sequential([keras.Input((2,)), hidden, keras.layers.Dense(1)])
    fit(network, points, heights, steps=1000, learning_rate=0.02)
    return network


for_each_figure = pytest.mark.parametrize("name", FIGURES)


def specifications(path):
    return dict(re.findall(SPECIFICATION, path.read_text(encoding="utf-8"), re.DOTALL))


def test_every_live_figure_is_tested(pages):
    found = {name: page for page, path in pages.items() for name in specifications(path)}
    assert found == FIGURES


def test_specifications_are_small(pages):
    for page in set(FIGURES.values()):
        for name, text in specifications(pages[page]).items():
            assert len(text) < 100_000, name
            assert json.loads(text)["params"], name


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: explorations.inverse_of_line([1, 2, 3], [1, 2], 1.0, 0.0, 1.0), ["x and y"]),
        (lambda: explorations.inverse_of_line([1, 2, 3], [1, 3, 4], 0.0, 0.0, 1.0), ["W", "0"]),
        (
            lambda: explorations.inverse_of_line([1.0, 2.0, 3.0], [1.0, 3.0, 4.0], 1.0, 0.0, 900),
            ["y0", "900", "360"],
        ),
        (
            lambda: explorations.descent(0.4, 0.0, y0=100, start=1, learning_rate=9),
            ["eta", "9", "7"],
        ),
        (
            lambda: explorations.descent(0.4, 0.0, y0=100, start=1, learning_rate=1, rtol=0),
            ["rtol"],
        ),
        (lambda: explorations.dose([1.0, 2.0], [0.1, 0.9], 1.0, 0.0, np.nan), ["y0", "finite"]),
        (
            lambda: explorations.saturation(
                {"a": np.abs}, [1.0], y0=0.1, atol=2.0, start=1, cost="b"
            ),
            ["cost", "'b'"],
        ),
        (lambda: network_explorations.memory(0.0, u=0.8, steps=30, y0=1), ["w", "0"]),
        (lambda: network_explorations.memory(0.5, u=1.5, steps=30, y0=1), ["u", "1.5", "1.1"]),
        (lambda: network_explorations.memory(0.5, u=0.8, steps=1, y0=1), ["steps", "1", "2"]),
        (
            lambda: network_explorations.lstm_step(
                [np.ones((1, 4)), np.ones((1, 4)), np.ones(4)], value=0, flag=0, c=0, h=0
            ),
            ["weights", "(2, 4)", "(1, 4)"],
        ),
        (
            lambda: network_explorations.starts(
                bowl(0), layer="hidden", y0=0.6, start=(0, 2), learning_rate=0.05
            ),
            ["start2", "2", "1"],
        ),
    ],
)
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
        """The columns of the last data set that has all of the fields."""
        rows = self.run(
            """const sets = Object.keys(view._runtime.data).map(name => view.data(name) ?? []);
               return sets.filter(rows => rows.length &&
                   argument.every(field => field in rows[0])).at(-1)""",
            fields,
        )
        return [np.array([row[field] for row in rows]) for field in fields]

    @property
    def dot(self):
        """The centre of the point that can be dragged, in pixels of the window."""
        box = self.box.locator(".handle_marks path").bounding_box()
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


@pytest.fixture(scope="module")
def awake(open_figure):
    """A function that gives a figure which other tests have set before: all of it is to be set."""
    return functools.cache(open_figure)


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


@pytest.mark.parametrize("y0", [0, 37, 100, 360])
def test_the_title_figure_agrees_with_the_closed_forms(awake, y0):
    x, y = noisy_line(n=100, seed=20180216)
    fit = stats.linregress(x, y)
    x0 = closed_forms.invert_line(y0, fit.slope, fit.intercept)
    s2 = np.sum((y - fit.intercept - fit.slope * x) ** 2) / 98
    of_the_line = fit.stderr**2 * ((x0 - x.mean()) ** 2 + x.var())  # variance of the fitted mean
    t = stats.t.ppf(0.975, 98) / fit.slope
    mean, single = t * np.sqrt(of_the_line), t * np.sqrt(s2 + of_the_line)

    figure = awake("fig-title")
    figure.set(y0=y0)
    got = figure.data("x", "y", "low", "high", "lowest", "highest")
    expected = [x0, y0, x0 - mean, x0 + mean, x0 - single, x0 + single]
    np.testing.assert_allclose(np.ravel(got), expected, rtol=1e-6, atol=1e-9)
    assert figure.words == (
        f"To make the neuron say {y0}, feed it {x0:.1f}. The data leave ± {mean:.0f} around that "
        f"for a wanted mean, ± {single:.0f} for the input behind one observed output."
    )


SETTINGS = [(0.4, 100, 1), (3.1, 380, -200), (6.0, 20, 1000), (6.5, 100, 1), (7.0, 250, 40)]


@pytest.mark.parametrize(("eta", "y0", "start"), SETTINGS)
def test_the_descent_agrees_with_reconstruct(awake, eta, y0, start):
    figure = awake("fig-descent")
    figure.set(eta=eta, y0=y0, start=start)
    W, b = figure.signal("W"), figure.signal("b")
    np.testing.assert_allclose([W, b], [0.4020499, -25.4401913], rtol=1e-7)

    model = keras.Sequential(
        [keras.Input((1,), dtype="float64"), keras.layers.Dense(1, dtype="float64")]
    )
    model.layers[-1].set_weights([np.array([[W]]), np.array([b])])
    options = {"start": float(start), "learning_rate": eta, "trace": True}
    run = reconstruct(model, y0, max_iter=60, rtol=0, **options)
    k, x, cost = figure.data("k", "x", "cost")
    path = run.trace[:, 0, 0]
    assert len(k) > 5
    shown = k[k < len(path)].astype(int)
    np.testing.assert_allclose(x[: len(shown)], path[shown], rtol=1e-6)
    np.testing.assert_allclose(
        cost[: len(shown)], (W * path[shown] + b - y0) ** 2, rtol=1e-5, atol=1e-5
    )

    run = reconstruct(model, y0, max_iter=1000, **options)
    factor = f"{closed_forms.contraction(W, eta):.2f}".replace("-0.00", "0.00")
    told = f"Wanted: {y0}. Starting at {start}, the input "
    if run.converged[0]:
        told += f"reaches {run.x.item():.1f} after {run.n_iter[0]} steps. "
    else:
        told += f"never arrives at {closed_forms.invert_line(y0, W, b):.1f}. "
    told += f"At η = {eta:.2f}, each step multiplies the distance by {factor}"
    told += "." if run.converged[0] else ": it grows."
    assert figure.words.replace("−", "-") == told
    limit, best = figure.data("limit", "best")
    np.testing.assert_allclose(limit, closed_forms.largest_stable_rate(W), rtol=1e-6)
    np.testing.assert_allclose(best, closed_forms.best_rate(W), rtol=1e-6)


@pytest.mark.parametrize("y0", [0.01, 0.23, 0.5, 0.99])
def test_the_dose_agrees_with_the_closed_form(awake, y0):
    figure = awake("fig-dose")
    figure.set(y0=y0)
    W, b = figure.signal("W"), figure.signal("b")
    np.testing.assert_allclose([W, b], [34.27, -60.72], atol=0.005)
    x0 = closed_forms.invert_sigmoid(y0, W, b)
    h = 1e-6
    slope = (closed_forms.invert_sigmoid([y0 + h, y0 - h], W, b) @ [1, -1]) / (2 * h)
    got = np.ravel(figure.data("x", "y", "stretch", "left"))[:3]
    np.testing.assert_allclose(got, [x0, y0, 0.01 * slope], rtol=1e-6)
    ratio = slope * W / 4
    assert figure.words == (
        f"To kill {100 * y0:.0f}% of them, take {x0:.4f}, which is {10**x0:.1f} mg/l. There, it "
        f"rises by {0.01 * slope:.4f} per percentage point, {ratio:.1f} times as fast as at one "
        "half."
    )


COSTS = {
    "squared error of y": (lambda y, z: 2 * (y - 0.1) * y * (1 - y), 1),
    "cross-entropy": (lambda y, z: y - 0.1, 1),
    "squared error of the logit": (lambda y, z: 2 * (z - logit(0.1)), 0.25),
}


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("start", [0, 5, 9])
def test_the_saturation_agrees_with_a_plain_loop(awake, cost, start):
    derivative, rate = COSTS[cost]
    path = [float(start)]
    while abs(sigmoid(path[-1]) - 0.1) >= 1e-3:
        path.append(path[-1] - rate * derivative(sigmoid(path[-1]), path[-1]))
    path = np.array(path)

    figure = awake("fig-saturation")
    figure.set(cost=cost, start=start)
    k, z, y, in_z, in_y = figure.data("k", "z", "y", "gradient", "gradient_in_y")
    k = k.astype(int)
    assert k[0] == 0
    assert k[-1] == len(path) - 1
    np.testing.assert_allclose(z, path[k], rtol=1e-4)
    np.testing.assert_allclose(y, sigmoid(path[k]), rtol=1e-3)
    slope = sigmoid(path[k]) * (1 - sigmoid(path[k]))
    pull = np.abs(derivative(sigmoid(path[k]), path[k]))
    np.testing.assert_allclose(in_z, pull, rtol=2e-3, atol=1e-5)
    np.testing.assert_allclose(in_y, pull / slope, rtol=2e-3, atol=1e-4)
    assert figure.words.startswith(
        f"From z = {start}, descent on the {cost} arrives after {len(path) - 1:,} steps. "
    )
    told_in_y, told_in_z = re.findall(r"([\d.,]+) in [yz]", figure.words)
    np.testing.assert_allclose(float(told_in_y.replace(",", "")), pull[0] / slope[0], rtol=0.06)
    np.testing.assert_allclose(float(told_in_z.replace(",", "")), pull[0], rtol=0.06)


@pytest.fixture(scope="module")
def network():
    return bowl(5)


@pytest.mark.parametrize("start", [(-0.9, 0.7), (0.5, -0.5), (0.0, 0.0), (1.0, 1.0), (-0.1, 0.8)])
def test_the_paths_agree_with_reconstruct(awake, network, start):
    figure = awake("fig-starts")
    figure.set(start1=start[0], start2=start[1])
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


def test_the_contour_and_the_silent_halves_are_where_the_network_has_them(network):
    figure = network_explorations.starts(
        network, layer="hidden", y0=0.6, start=(0.1, 0.2), learning_rate=0.05
    )
    halves, contour = (
        [(row["part"], row["x1"], row["x2"]) for row in layer["data"]["values"]]
        for layer in figure.spec["layer"][:2]
    )
    kernel, bias = network.get_layer("hidden").get_weights()
    for part, *corner in halves:
        z = np.array(corner) @ kernel[:, part] + bias[part]
        assert z < 5e-3  # off, or on the edge
        assert np.max(np.abs(corner)) > 0.999 - 1e-6
    points = np.array(contour)[:, 1:]
    np.testing.assert_allclose(network(points.astype("float32")), 0.6, atol=0.02)


@pytest.mark.parametrize("u", [-0.8, 0.0, 0.5, 0.8, 1.0, 1.1])
def test_the_kernel_agrees_with_the_closed_form_and_the_unit(awake, u):
    figure = awake("fig-kernel")
    figure.set(u=u)
    w, T = figure.signal("w"), figure.signal("T")
    np.testing.assert_allclose(w, 0.5, atol=0.01)
    t, x, y = figure.data("t", "x", "y")
    kernel = w * u ** np.arange(T - 1.0, -1.0, -1.0)
    np.testing.assert_allclose(x, kernel / (kernel @ kernel), rtol=1e-6, atol=1e-12)
    state, path = 0.0, []
    for inflow in x:
        state = u * state + w * inflow
        path.append(state)
    np.testing.assert_allclose(y, path, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(y[-1], 1, rtol=1e-6)
    np.testing.assert_array_equal(t, range(1, 31))
    told = figure.words.replace("−", "-")
    assert told.startswith(f"With u = {u:.2f}, the shortest sequence ends with {x[-1]:.2f}.")
    tenth = float(re.search(r"counts (\S+) times", told)[1])
    np.testing.assert_allclose(tenth, u**10, rtol=0.06, atol=1e-12)


@pytest.mark.parametrize(
    "state",
    [
        {"value": 0.5, "flag": 0, "c": -0.5, "h": -0.4},
        {"value": -1, "flag": 1, "c": 0.75, "h": 0.6},
        {"value": 0.25, "flag": 0.5, "c": -1, "h": 1},
    ],
)
def test_the_gates_agree_with_the_layer(awake, state):
    figure = awake("fig-gates")
    figure.set(**state)
    columns = np.array([figure.signal(f"w_{gate}") for gate in "ifgo"]).T
    layer = keras.layers.LSTM(1, return_state=True)
    layer.build((None, 1, 2))
    layer.set_weights([columns[:2], columns[2:3], columns[3]])
    x = np.array([[[state["value"], state["flag"]]]], dtype="float32")
    before = [np.full((1, 1), state[name], dtype="float32") for name in "hc"]
    h, _, c = (tensor.numpy().item() for tensor in layer(x, initial_state=before))
    np.testing.assert_allclose(figure.signal("next_h"), h, rtol=1e-5)
    np.testing.assert_allclose(figure.signal("next_c"), c, rtol=1e-5)
    (size,) = figure.data("size")
    np.testing.assert_allclose(size, [figure.signal(gate) for gate in "ifgo"])
    assert (figure.signal("f") < 0.02) == (state["flag"] == 1)
    assert figure.words.replace("−", "-") == (
        f"The forget gate keeps {100 * size[1]:.1f}% of the cell. The cell goes from "
        f"{state['c']:.2f} to {c:.2f}, the output from {state['h']:.2f} to {h:.2f}."
    )


def test_the_gates_take_their_weights_in_the_order_of_keras():
    keras.utils.set_random_seed(2)
    layer = keras.layers.LSTM(1, bias_initializer="random_normal")
    layer.build((None, 1, 2))
    state = {"value": 0.5, "flag": 0.0, "c": -0.5, "h": -0.4}
    figure = network_explorations.lstm_step(layer.get_weights(), **state)
    given = {p["name"]: p["value"] for p in figure.spec["params"] if "value" in p}
    kernel, recurrent_kernel, bias = layer.get_weights()
    for column, gate in enumerate("ifgo"):
        expected = [*kernel[:, column], recurrent_kernel[0, column], bias[column]]
        np.testing.assert_allclose(given[f"w_{gate}"], expected)


def test_the_text_sets_the_figure_and_the_address(show):
    figure = show("fig-descent")
    figure.page.get_by_role("button", name="6.5", exact=True).click()
    figure.page.wait_for_function("location.hash === '#fig-descent?eta=6.5'")
    assert figure.signal("eta") == 6.5
    assert "never arrives" in figure.words
    assert figure.box.get_by_role("slider", name="learning rate").input_value() == "6.5"


def test_every_button_in_the_text_sets_a_control_to_a_value_it_can_take(pages, show):
    for name, page in FIGURES.items():
        controls = {
            p["name"]: p["bind"]
            for p in json.loads(specifications(pages[page])[name])["params"]
            if "bind" in p
        }
        for state in re.findall(rf'data-state="{name}\?([^"]+)"', pages[page].read_text()):
            for setting in state.replace("&amp;", "&").split("&"):
                control, value = setting.split("=")
                bind = controls[control]
                if bind["input"] == "range":
                    steps = (float(value) - bind["min"]) / bind["step"]
                    assert bind["min"] <= float(value) <= bind["max"]
                    np.testing.assert_allclose(steps, round(steps), atol=1e-9)
                else:
                    assert value in map(quote, bind["options"])


def test_the_address_sets_the_figure(show):
    cost = "cross-entropy"
    figure = show("fig-saturation", f"#fig-saturation?cost={cost}&start=5")
    figure.page.wait_for_function("document.getElementById('fig-saturation').liveView")
    assert (figure.signal("cost"), figure.signal("start")) == (cost, 5)
    assert figure.box.get_by_label(cost).is_checked()
    assert figure.box.bounding_box()["y"] < 900


@pytest.mark.parametrize(
    ("state", "address", "told"),
    [
        ("?y0=0.9.", "?y0=0.9", "To kill 90% "),  # a full stop after the link
        ("?y0=0.904", "?y0=0.9", "To kill 90% "),
        ("?y0=5", "?y0=0.99", "To kill 99% "),
        ("?y0=-1", "?y0=0.01", "To kill 1% "),
        ("?y0=", "", "To kill 50% "),
        ("?y0=%", "", "To kill 50% "),
        ("?y0=NaN&W=3&other=1&words=no", "", "To kill 50% "),
    ],
)
def test_the_address_sets_only_what_a_control_can_be_set_to(show, state, address, told):
    figure = show("fig-dose", f"#fig-dose{state}")
    figure.page.wait_for_function(f"location.hash === '#fig-dose{address}'")
    assert figure.words.startswith(told)
    assert figure.signal("W") > 30


def test_the_address_sets_no_cost_that_is_none(show):
    figure = show("fig-saturation", "#fig-saturation?cost=none&start=2.6")
    figure.page.wait_for_function("location.hash === '#fig-saturation?start=3'")
    assert figure.words.startswith("From z = 3, descent on the squared error of y arrives")


@pytest.mark.parametrize("state", ["fig-dose?y0=0.9", "fig-saturation?start=3", "fig-kernel?u=0.5"])
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


def test_a_phrase_whose_state_is_set_still_leads_to_its_figure(show):
    figure = show("fig-saturation")
    first = figure.signal("start"), figure.signal("cost")
    figure.page.get_by_role("button", name="to 0.9", exact=True).click()
    figure.page.wait_for_function("location.hash === '#fig-dose?y0=0.9'")
    figure.page.get_by_role("button", name="from 8", exact=True).click()
    figure.page.wait_for_function("location.hash === '#fig-saturation'")
    assert (figure.signal("start"), figure.signal("cost")) == first


@for_each_figure
def test_every_control_is_labelled_and_works_by_keyboard(show, name):
    figure = show(name)
    sliders = figure.box.locator("input[type=range]")
    assert sliders.count() >= 1
    for i in range(sliders.count()):
        slider = sliders.nth(i)
        label = slider.evaluate("input => input.labels[0].innerText")
        assert re.match(r"[a-z]", label)
        before, words = slider.input_value(), figure.words
        slider.focus()
        figure.page.keyboard.press("PageUp")
        assert slider.input_value() != before
        expect(figure.box.get_by_role("status")).not_to_have_text(words)


@pytest.mark.parametrize("name", ["fig-title", "fig-dose"])
def test_the_dot_can_be_dragged(show, name):
    figure = show(name)
    before, words = figure.signal("y0"), figure.words
    x, y = figure.dot
    mouse = figure.page.mouse
    mouse.move(x, y)
    mouse.down()
    mouse.move(x, y - 20)
    mouse.move(x + 10, y - 40)
    mouse.up()
    assert figure.signal("y0") > before
    assert figure.words != words
    after = figure.dot
    np.testing.assert_allclose(after[1], y - 40, atol=3)
    mouse.move(x, y + 60)  # let go: it stays
    assert figure.dot[1] == after[1]


def test_the_start_can_be_dragged_across_the_plane(show):
    figure = show("fig-starts")
    before = figure.signal("start1"), figure.signal("start2")
    x, y = figure.dot
    mouse = figure.page.mouse
    mouse.move(x, y)
    mouse.down()
    mouse.move(x + 20, y + 20)
    mouse.move(x + 42, y + 63)  # a fifth and three tenths of the plane, at 210 pixels a unit
    mouse.up()
    after = figure.signal("start1"), figure.signal("start2")
    np.testing.assert_allclose(np.subtract(after, before), [0.2, -0.3], atol=0.11)
    assert f"From (−{-after[0]:.1f}, {after[1]:.1f})" in figure.words


def test_what_is_dragged_keeps_to_the_steps_of_its_slider(show):
    figure = show("fig-dose")
    x, y = figure.dot
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
    x, y = figure.dot
    figure.page.mouse.move(x, y)
    figure.page.mouse.down(button="right")
    figure.page.mouse.move(x, y - 40)
    figure.page.mouse.up(button="right")
    assert figure.signal("y0") == 100


@pytest.mark.parametrize("end", ["touchEnd", "touchCancel"])
def test_the_dot_can_be_dragged_by_touch(browser, pages, visit, end):
    context = browser.new_context(
        offline=True, has_touch=True, viewport={"width": 390, "height": 900}
    )
    page, complaints = visit(context, pages[FIGURES["fig-title"]])
    figure = Figure(page, "fig-title")
    scrolled = page.evaluate("scrollY")
    x, y = figure.dot
    finger = context.new_cdp_session(page)

    def swipe(x, y, end):
        """From a place up, by 48 pixels in steps of 4."""
        touches = [("touchStart", y), *[("touchMove", y - up) for up in range(4, 52, 4)]]
        for kind, height in touches:
            at = {"type": kind, "touchPoints": [{"x": x, "y": height}]}
            finger.send("Input.dispatchTouchEvent", at)
        finger.send("Input.dispatchTouchEvent", {"type": end, "touchPoints": []})
        page.wait_for_timeout(100)

    swipe(x, y, end)
    np.testing.assert_allclose(figure.dot[1], y - 48, atol=2)
    assert page.evaluate("scrollY") == scrolled
    after = figure.signal("y0")
    swipe(200, 800, "touchEnd")  # on the text: it scrolls, and moves no figure
    assert figure.signal("y0") == after > 150
    assert page.evaluate("scrollY") > scrolled
    assert not complaints
    context.close()


@pytest.mark.parametrize("name", ["book/01_dataset.html", "book/errata.html"])
def test_a_page_without_a_live_figure_loads_no_script_for_it(browser, pages, visit, name):
    context = browser.new_context(offline=True)
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(Path(request.url).name))
    page.goto(pages[name].as_uri())
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.wait_for_timeout(300)
    assert not {"live.js", "vega.js"} & set(asked)
    context.close()


def test_the_vega_scripts_are_loaded_when_the_figure_comes_near(browser, pages):
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url.split("/")[-1].split("?")[0]))
    page.goto(pages[FIGURES["fig-saturation"]].as_uri())
    page.wait_for_timeout(500)
    assert "live.js" in asked
    assert "vega.js" not in asked
    Figure(page, "fig-saturation")
    Figure(page, "fig-dose")
    assert asked.count("vega.js") == 1
    context.close()


@for_each_figure
def test_without_scripts_and_on_paper_there_is_a_still_picture(browser, pages, show, name):
    context = browser.new_context(offline=True, java_script_enabled=False)
    page = context.new_page()
    page.goto(pages[FIGURES[name]].as_uri())
    page.locator(f"#{name}").scroll_into_view_if_needed()
    assert page.locator(f"#{name} img.drawn-light").is_visible()
    context.close()

    figure = show(name)
    assert not figure.box.locator("img.drawn-light").is_visible()
    figure.page.emulate_media(media="print")
    assert figure.box.locator("img.drawn-light").is_visible()
    assert not figure.box.locator(".live").is_visible()


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
    text = " ".join(re.findall(r">([^<]+)<", figure.still))
    assert "Starting at 1, the input reaches" in text
    assert "η = 0.40" in text
