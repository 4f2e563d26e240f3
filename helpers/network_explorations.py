"""The live figures of hidden units and of memory: chapters 6, 8 and 9.

The paths of chapter 6 have no closed form: they are computed here for a grid of starts, and go into
the figure, rounded.
"""

import altair as alt
import numpy as np
from contourpy import contour_generator

from helpers import live
from helpers.formula import listed
from helpers.gates import GATES, cell_step
from helpers.graph import layer_of
from helpers.live import LiveFigure, Parameter, colour, field, rows
from helpers.reconstruction import reconstruct
from helpers.validation import finite_array, finite_number, in_shape, whole_number

# The square of two inputs, and how a run over it goes.
ACROSS = live.axis(alt.X, "x1", "input x₁", [-1, 1])
UP = live.axis(alt.Y, "x2", "input x₂", [-1, 1])
RUN = {"max_iter": 1000, "atol": 1e-3, "rtol": 0.0, "trace": True}


def starts(network, *, layer, y0, start, learning_rate):
    """Paths of descent over the plane of two inputs, from a chosen start to a wanted output.

    Each unit of the layer is off on one side of a line, which is shaded; the contour is where the
    network says y0.

    Parameters
    ----------
    network : keras.Model
        With two inputs and one output; it is asked on the square from −1 to 1.
    layer : str
        Its first layer, of ReLU units.
    y0, learning_rate : float
        The wanted output, and the rate of the descent, above 0.
    start : (float, float)
        The start at first, in tenths from −1 to 1.

    Examples
    --------
    >>> from helpers.backend import keras
    >>> hidden = keras.layers.Dense(3, activation="relu", name="hidden")
    >>> network = keras.Sequential([keras.Input((2,)), hidden, keras.layers.Dense(1)])
    >>> options = {"y0": 0.1, "start": (0.1, 0.2), "learning_rate": 0.05}
    >>> figure = starts(network, layer="hidden", **options)
    """
    kernel, bias = layer_of(network, layer)[-1].get_weights()
    start1, start2, grid, at = start_sliders(start, 10)
    wanted = np.full(len(grid), y0)
    run = reconstruct(network, wanted, start=grid, learning_rate=learning_rate, **RUN)
    paths = []
    for n, path in zip(run.n_iter, run.trace.swapaxes(0, 1)):
        shown = np.unique(np.linspace(0, n, 7).round().astype(int))
        paths.append(path[shown].astype(float).round(3).tolist())
    steps = Parameter("steps", run.n_iter.tolist())
    arrived = Parameter("arrived", run.converged.tolist())
    end = Parameter("end", [path[-1] for path in paths])
    off = Parameter("off", (grid @ kernel + bias <= 0).sum(axis=1).tolist())
    plural = np.where(steps[at] == 1, "", "s")
    ends = np.where(
        arrived[at],
        f"reaches ({end[at][0]:.2f}, {end[at][1]:.2f}) after {steps[at]} step{plural}, where the "
        f"network says {y0}.",
        f"does not arrive: it stops after {steps[at]} step{plural}.",
    )
    are = np.where(off[at] == 1, "is", "are")
    words = [
        f"From ({start1:.1f}, {start2:.1f}), the input {ends}",
        f"{off[at]} of the {len(bias)} units {are} off at the start.",
    ]
    silent = {"filled": True, "fill": colour("data"), "fillOpacity": 0.12, "strokeWidth": 0}
    path = (
        live.table([{"i": i, "path": path} for i, path in enumerate(paths)])
        .transform_filter((field("i") == at).text)
        .transform_flatten(["path"])
        .transform_calculate(x1="datum.path[0]", x2="datum.path[1]")
        .transform_window(k="row_number()")
    )
    layers = [
        _outlines(_silent_halves(kernel, bias)).mark_line(**silent),
        contour(network, y0),
        path.mark_line(**live.beads("input", 30)).encode(ACROSS, UP, order="k:Q"),
        live.handle(live.points(x1=start1, x2=start2), ACROSS, UP, cursor="move"),
    ]
    parameters = [start1, start2, steps, arrived, end, off]
    return LiveFigure(live.panel(layers, 420, 420), parameters, words)


def memory(w, *, u, steps, y0):
    """The shortest sequence that leads a linear recurrent unit to y0, and the unit's way there.

    The unit computes y_t = u y_{t−1} + w x_t from y_0 = 0. The sequence is its memory kernel,
    x_t = y₀ k_t / Σ k², with k_t = w u^(T − t).

    Parameters
    ----------
    w, u, y0 : float
        The input weight, not 0; the recurrent weight at first, from −1.1 to 1.1; the wanted last
        output.
    steps : int
        T, the length of the sequence, at least 2.

    Examples
    --------
    >>> figure = memory(0.5, u=0.8, steps=30, y0=2)
    """
    w, y0 = finite_number("w", w), finite_number("y0", y0)
    if w == 0:
        raise ValueError("w must not be 0: no input then reaches the unit")
    steps = whole_number("steps", steps, least=2)
    u = live.slider("u", "recurrent weight u", u, -1.1, 1.1, 0.05)

    def squares(n):
        """Σ u^(2j) for j from 0 to n − 1."""
        return np.where(abs(u**2 - 1) < 1e-9, n, (1 - u ** (2 * n)) / (1 - u**2))

    last = y0 / (w * squares(steps))
    words = [
        f"With u = {u:.2f}, the shortest sequence ends with {last:.2~r}.",
        f"An input ten steps earlier counts {u**10:.2~r} times as much as the last one.",
    ]
    t = field("t")
    x = last * u ** (steps - t)
    across = live.axis(alt.X, "t", "time step t", [0.5, steps + 0.5])
    sequence = live.counted("t", 1, steps + 1, x=x, y=w * x * squares(t)).encode(across)
    x_up, y_up = alt.Y("x:Q", title="input x"), alt.Y("y:Q", title="output y")
    inputs = [
        sequence.mark_rule(color=colour("input"), strokeWidth=3).encode(x_up, y2=alt.datum(0)),
        sequence.mark_point(**live.dots("input", 50)).encode(x_up),
    ]
    outputs = [
        live.points(y=y0).mark_rule(**live.WANTED, strokeWidth=2).encode(y="y:Q"),
        sequence.mark_line(**live.beads("model", 30)).encode(y_up),
    ]
    chart = alt.vconcat(live.panel(inputs, 190), live.panel(outputs, 140), spacing=14)
    return LiveFigure(chart, [u], words)


def lstm_step(weights, *, value, flag, c, h):
    """One step of a one-unit LSTM with two inputs: its gates, and what they do to the cell.

    Parameters
    ----------
    weights : list of ndarray
        Kernel of shape (2, 4), recurrent kernel of shape (1, 4) and bias of shape (4,), as
        `layer.get_weights()` returns them.
    value, flag, c, h : float
        The inputs at first, from −1 to 1 and from 0 to 1; cell and output before the step, from −1
        to 1.

    Examples
    --------
    >>> weights = [np.ones((2, 4)), np.ones((1, 4)), np.zeros(4)]
    >>> figure = lstm_step(weights, value=0.5, flag=0, c=-0.5, h=-0.4)
    """
    if not isinstance(weights, (list, tuple)):
        raise TypeError(f"weights must be a list of arrays, not {weights!r}")
    arrays = [finite_array("weights", array) for array in weights]
    if [array.shape for array in arrays] != [(2, 4), (1, 4), (4,)]:
        raise ValueError(
            "weights must be those of one LSTM unit with two inputs, of the shapes (2, 4), (1, 4) "
            f"and (4,), not {[array.shape for array in arrays]}"
        )
    value = live.slider("value", "value", value, -1, 1, 0.05)
    flag = live.slider("flag", "reset flag", flag, 0, 1, 0.05)
    c = live.slider("c", "previous cell c", c, -1, 1, 0.05)
    h = live.slider("h", "previous output h", h, -1, 1, 0.05)
    z = np.array([value, flag, h, 1.0]) @ np.vstack(arrays)
    step = cell_step(dict(zip(GATES, z)), c)
    words = [
        f"The forget gate keeps {100 * step['f']:.1f}\u00a0% of the cell.",
        f"The cell goes from {c:.2f} to {step['c']:.2f}, the output from {h:.2f} to "
        f"{step['h']:.2f}.",
    ]
    k, wide = field("k"), live.WIDTH - 60
    named = {"title": None, "axis": alt.Axis(minExtent=100, maxExtent=100)}
    labels = ["input gate i", "forget gate f", "candidate g", "output gate o"]
    gates = live.table(rows(name=labels, k=range(4)), size=listed(step[gate] for gate in GATES)[k])
    size = live.axis(alt.X, "size", "how far open (g: what is written)", [-1, 1])
    gates = gates.encode(size, alt.Y("name:N", sort=labels, **named))
    bars = gates.mark_bar(color=colour("model"), height=16).properties(width=wide, height=120)
    both = rows(name=["cell c", "output h"], k=range(2))
    after = listed([step["c"], step["h"]])[k]
    state = live.table(both, before=listed([c, h])[k], after=after)
    before, after = (live.axis(alt.X, when, "state", [-1.5, 1.5]) for when in ("before", "after"))
    name, violet = alt.Y("name:N", **named), {"color": colour("other")}
    arrows = [
        state.mark_rule(strokeWidth=2, **violet).encode(before, name, x2="after:Q"),
        state.mark_point(size=90, **violet).encode(before, name),
        state.mark_point(**live.dots("other", 110)).encode(after, name),
        live.key("○ before\N{EM SPACE}● after", "other"),
    ]
    chart = alt.vconcat(bars, live.panel(arrows, 70, wide), spacing=14)
    return LiveFigure(chart, [value, flag, c, h], words)


def start_sliders(start, n):
    """Two sliders of a start, in steps of 1/n; all starts; and the formula of which is set."""
    start = in_shape("start", finite_array("start", start), (2,))
    start1 = live.slider("start1", "start x₁", start[0], -1, 1, 1 / n, "invert('x', x())")
    start2 = live.slider("start2", "start x₂", start[1], -1, 1, 1 / n, "invert('y', y())")
    stops = np.arange(-n, n + 1) / n
    grid = np.stack(np.meshgrid(stops, stops, indexing="ij"), axis=-1).reshape(-1, 2)
    at = len(stops) * np.rint(n * start1 + n) + np.rint(n * start2 + n)
    return start1, start2, grid, at


def _outlines(lines):
    """Lines in the square, each a list of corners: rounded, to be drawn one by one."""
    corners = [
        {"part": part, "k": k, "x1": x1, "x2": x2}
        for part, line in enumerate(lines)
        for k, (x1, x2) in enumerate(live.rounded(corner, 3) for corner in line)
    ]
    return live.table(corners).encode(ACROSS, UP, order="k:Q", detail="part:N")


def contour(network, y0):
    """The lines in the square on which the network says y0."""
    stops = np.linspace(-1, 1, 61)
    grid = np.stack(np.meshgrid(stops, stops), axis=-1).reshape(-1, 2)
    heights = network(grid.astype("float32")).numpy().reshape(61, 61)
    lines = contour_generator(stops, stops, heights).lines(y0)
    return _outlines(lines).mark_line(**live.WANTED)


def _silent_halves(kernel, bias):
    """For each unit, the corners of the part of the square in which it is off."""
    ends, halves = np.array([-1.0, 1.0]), []
    for w, b in zip(kernel.T, bias):
        z = w[0] * ends + w[1] * ends[:, np.newaxis] + b
        polygons, _ = contour_generator(ends, ends, z).filled(-1e9, 0)
        halves.append([corner for polygon in polygons for corner in polygon])
    return halves
