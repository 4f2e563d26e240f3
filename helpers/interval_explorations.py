"""The live figure of Fieller's interval: which inputs the data allow (chapter 5).

All ends are computed here, by `uncertainty`, for a grid of levels and outputs.
"""

import altair as alt
import numpy as np

from helpers import live
from helpers.closed_forms import invert_line, least_squares
from helpers.formula import listed
from helpers.live import LiveFigure, Parameter, colour, field, rows
from helpers.uncertainty import half_width, inverse_interval
from helpers.validation import paired_samples

KINDS = {"mean": "a wanted mean", "observation": "one observed output"}
LEVELS = range(50, 100, 5)  # in %
OUTPUTS = range(0, 365, 5)
LEFT, RIGHT, BOTTOM, TOP = -50, 1100, -170, 420
GRID = np.linspace(LEFT, RIGHT, 47)
SHAPES = ["interval", "rays", "line"]
FAR = 100_000  # what stands for infinity in the drawing


def allowed_inputs(data, *, points_of, level, y0):
    """The inputs that a fitted line allows for an output: where the output runs in the line's band.

    Parameters
    ----------
    data : dict of str to (array_like of shape (n,), array_like of shape (n,))
        For each set of points, by name, their x and y.
    points_of, level, y0 : str, float, float
        The setting at first: one of the sets, a level from 50 to 95 %, an output from 0 to 360.

    Examples
    --------
    >>> data = {"four": ([0, 400, 700, 900], [0, 150, 250, 340])}
    >>> figure = allowed_inputs(data, points_of="four", level=95, y0=100)
    """
    data = {name: paired_samples(x, y, at_least=3) for name, (x, y) in data.items()}
    chosen = live.choice("data", "points", points_of, list(data))
    level = live.slider("level", "level in %", level, LEVELS[0], LEVELS[-1], 5)
    y0 = live.slider("y0", "output y₀", y0, 0, 360, 5, drag="invert('y', y())")
    lines, ends, reach = {}, {}, {}
    for name, (x, y) in data.items():
        lines[name] = least_squares(x, y)
        ends[name] = {kind: [_ends(x, y, kind, at) for at in LEVELS] for kind in KINDS}
        reach[name] = {kind: [_reach(x, y, kind, at) for at in LEVELS] for kind in KINDS}
    lines, ends = Parameter("lines", lines), Parameter("ends", ends)
    reach = Parameter("reach", reach)
    at_level = (level - LEVELS[0]) / 5
    W, b = lines[chosen][0], lines[chosen][1]
    found = {kind: ends[chosen][kind][at_level][y0 / 5] for kind in KINDS}
    words = [
        f"At the level {level:d}\u00a0%, a wanted mean of {y0:d} allows {_told(found['mean'])}.",
        f"One observed output of {y0:d} allows {_told(found['observation'])}.",
    ]
    x0 = invert_line(y0, W, b)
    sets = [name for name, (x, _) in data.items() for _ in x]
    x, y = np.concatenate(list(data.values()), axis=1).round(2)
    scatter = live.table(rows(set=sets, x=x, y=y)).transform_filter((field("set") == chosen).text)
    line = live.table(rows(x=GRID, i=range(len(GRID))), y=W * field("x") + b)
    across = live.axis(alt.X, "x", "input x", [LEFT, RIGHT])
    up, low_up = (live.axis(alt.Y, name, "output y", [BOTTOM, TOP]) for name in ("y", "low"))
    layers = []
    for kind in KINDS:
        half = reach[chosen][kind][at_level][field("i")]
        band = live.calculated(line, low=field("y") - half, high=field("y") + half)
        area = band.mark_area(color=colour("model"), opacity=0.2, clip=True)
        layers.append(area.encode(across, low_up, y2="high"))
    answer = live.points(x=x0, y=y0)
    layers += [
        scatter.mark_circle(size=26, color=colour("data"), opacity=0.75).encode(across, up),
        line.mark_line(color=colour("model"), clip=True).encode(across, up),
        answer.mark_rule(**live.WANTED, strokeWidth=2).encode(y="y:Q"),
        *_bars(listed(found.values()), x0, y0),
        live.handle(answer),
    ]
    return LiveFigure(live.panel(layers, 340), [chosen, level, y0, lines, ends, reach], words)


def _ends(x, y, kind, level):
    """For each output: low, high, and the number of the shape in SHAPES."""
    found = [inverse_interval(x, y, y0, level=level / 100, kind=kind) for y0 in OUTPUTS]
    ends = np.round(np.clip([(each.low, each.high) for each in found], -FAR, FAR)).astype(int)
    return [[*pair, SHAPES.index(each.shape)] for pair, each in zip(ends.tolist(), found)]


def _reach(x, y, kind, level):
    return live.rounded(half_width(x, y, GRID, level=level / 100, kind=kind), 3)


def _told(found):
    low, high = f"{found[0]:.0f}", f"{found[1]:.0f}"
    told = [f"{low} to {high}", f"all up to {low} and all from {high} on", "every input"]
    return listed(told)[found[2]]


def _bars(found, x0, y0):
    """For each kind, a bar under the inputs that are allowed, arrows where it goes on, a label."""
    kind, part = field("kind"), field("part")
    low, high = found[kind][0], found[kind][1]
    on_the_left = x0 > (LEFT + RIGHT) / 2  # there, the bars leave room for the labels
    parted = found[kind][2] == SHAPES.index("rays")
    parts = live.table(
        rows(kind=[0, 0, 1, 1], part=[0, 1, 0, 1]),
        height=listed([-95, -145])[kind],
        low=np.where(parted, listed([-FAR, high])[part], low),
        high=np.where(parted, listed([low, FAR])[part], high),
        y0=y0,
        edge=np.where(on_the_left, LEFT, RIGHT),
        label=listed(KINDS.values())[kind],
    ).encode(y="height:Q")
    orange = {"color": colour("input"), "clip": True}
    widths = alt.StrokeWidth("kind:O", scale=alt.Scale(range=[8, 3]), legend=None)
    labels = parts.transform_filter("datum.part == 0").encode(x="edge:Q", text="label:N")
    layers = [
        parts.mark_rule(**orange).encode(x="low:Q", x2="high", strokeWidth=widths),
        labels.mark_text(dy=-11, **live.beside(on_the_left, 4)),
    ]
    for end, side, edge, beyond in (("low", "left", LEFT, "<"), ("high", "right", RIGHT, ">")):
        inside = f"datum.low < {RIGHT} && datum.high > {LEFT} && datum.{end} {beyond} {edge}"
        arrow = parts.transform_filter(inside).encode(x=alt.datum(edge))
        layers += [
            parts.mark_rule(**live.DOTTED, **orange).encode(x=f"{end}:Q", y2="y0"),
            arrow.mark_point(**live.dots("input", 160, shape=f"triangle-{side}")),
        ]
    return layers
