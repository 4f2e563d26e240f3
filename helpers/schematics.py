"""Schematics in one style: a neuron, a small network, a recurrent unit, an LSTM unit, a cluster.

What goes in has the colour that inputs have in all figures, what is learned has that of the model,
and the rest is ink. Each function takes the whole figure; its axes are measured in inches.
"""

from itertools import pairwise

import numpy as np
from matplotlib.patches import Circle

from helpers.figures import COLOURS, INK, PAPER

INPUT, MODEL = COLOURS["input"], COLOURS["model"]
WIDTH, ROOM = 6.4, 0.2  # of the figure; and from the middle of a word to the arrows that meet it


def neuron(ax):
    """One linear neuron: the input times its weight, plus a bias, is the output.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> neuron(plt.figure().add_subplot())
    """
    _canvas(ax, height=1.2)
    x, times, plus, y = [(place, 0.9) for place in (0.8, 2.4, 4.0, 5.6)]
    for start, end in [(x, times), (times, plus), (plus, y)]:
        _arrow(ax, start, end)
    for name, knot in [("$W$", times), ("$b$", plus)]:
        below = (knot[0], 0.2)
        _arrow(ax, below, knot, MODEL)
        _word(ax, below, name, MODEL)
    _word(ax, x, "$x$", INPUT)
    _knot(ax, times, r"$\times$")
    _knot(ax, plus, "$+$")
    _word(ax, y, "$y$")


def network(ax):
    """Two inputs, six ReLU units, one output; each line from layer to layer carries a weight.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> network(plt.figure().add_subplot())
    """
    _canvas(ax, height=3.0)
    inputs = [(1.0, 1.8), (1.0, 0.9)]
    hidden = [(3.2, 0.25 + 0.44 * i) for i in range(6)]
    output, y = (5.0, 1.35), (6.0, 1.35)
    for unit in hidden:
        for x in inputs:
            _arrow(ax, x, unit, MODEL, width=0.8)
        _arrow(ax, unit, output, MODEL, width=0.8)
        _knot(ax, unit, "")
        bend = np.add(unit, [(-0.1, -0.05), (0, -0.05), (0.08, 0.07)])  # a ReLU's line
        ax.plot(*bend.T, color=INK, lw=1.4)
    _word(ax, inputs[0], "$x_1$", INPUT)
    _word(ax, inputs[1], "$x_2$", INPUT)
    _knot(ax, output, "$+$")
    _arrow(ax, output, y)
    _word(ax, y, "$y$")
    for (x, _), name in [(inputs[0], "inputs"), (hidden[0], "hidden units"), (output, "output")]:
        _word(ax, (x, 2.85), name)


def recurrent_unit(ax):
    """A recurrent unit with its loop and, as the same thing, the unit at every step of time.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> recurrent_unit(plt.figure().add_subplot())
    """
    _canvas(ax, height=1.9)
    loop = [(0.95, 0.95), (1.5, 0.95), (1.5, 1.45), (0.4, 1.45), (0.4, 0.95)]
    ax.plot(*np.transpose(loop), color=MODEL, lw=1.4)
    _arrow(ax, (0.4 - ROOM, 0.95), (0.95, 0.95), MODEL)
    _word(ax, (0.25, 1.45), "$u$", MODEL)
    _word(ax, (2.0, 0.95), "=")
    middles = [(x, 0.95) for x in (2.7, 3.6, 4.5, 5.2, 6.0)]
    for start, end in pairwise(middles):
        _arrow(ax, start, end, MODEL)
    for x in (3.15, 4.05):
        _word(ax, (x, 1.1), "$u$", MODEL)
    _word(ax, middles[3], r"$\cdots$")
    for x, t in [(0.95, "t"), (2.7, "1"), (3.6, "2"), (4.5, "3"), (6.0, "T")]:
        below, unit, above = [(x, y) for y in (0.15, 0.95, 1.75)]
        _arrow(ax, below, unit, MODEL)
        _word(ax, (x - 0.15, 0.52), "$w$", MODEL)
        _word(ax, below, f"$x_{t}$", INPUT)
        _knot(ax, unit, "$+$")
        _arrow(ax, unit, above)
        _word(ax, above, f"$y_{t}$")


def lstm_unit(ax):
    """One LSTM unit at one step: the cell runs along the top, and four gates act on it.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> lstm_unit(plt.figure().add_subplot())
    """
    _canvas(ax, height=3.2)
    kept, added, written = (1.6, 2.8), (3.2, 2.8), (3.2, 2.0)
    bent, shown, c, h = (5.0, 2.15), (5.0, 1.55), (6.1, 2.8), (6.1, 1.55)
    gates = {"f": (1.6, 0.85), "i": (2.75, 0.85), "g": (3.65, 0.85), "o": (5.0, 0.85)}
    ax.plot([0.9, 5.0], [0.2, 0.2], color=INK, lw=1.4)
    for name, gate in gates.items():
        _arrow(ax, (gate[0], 0.2 - ROOM), gate)
        _knot(ax, gate, rf"${name}_t$", MODEL)
    for start, end in [((0.35, 2.8), kept), (kept, added), (added, c)]:
        _arrow(ax, start, end, width=2.4)
    for name, end in zip(gates, [kept, written, written, shown]):
        _arrow(ax, gates[name], end, MODEL)
    for start, end in [(written, added), ((5.0, 2.8 + ROOM), bent), (bent, shown), (shown, h)]:
        _arrow(ax, start, end)
    for knot in (kept, written, shown):
        _knot(ax, knot, r"$\times$")
    _knot(ax, added, "$+$")
    _word(ax, bent, r"$\tanh$")
    _word(ax, (0.35, 2.8), "$c_{t-1}$")
    _word(ax, c, "$c_t$")
    _word(ax, h, "$h_t$")
    _word(ax, (0.3, 0.2), "$x_t$", INPUT)
    _word(ax, (0.65, 0.2), "$h_{t-1}$")


def cluster(ax):
    """A search on a cluster: the client, the scheduler that deals the chunks out, the workers.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> cluster(plt.figure().add_subplot())
    """
    _canvas(ax, height=2.0)
    client, scheduler = (0.7, 0.9), (3.3, 0.9)
    workers = [(5.5, y) for y in (0.3, 0.9, 1.5)]
    for a, b in [(client, scheduler), *((scheduler, worker) for worker in workers)]:
        aside = 0.06 * np.array([a[1] - b[1], b[0] - a[0]]) / np.hypot(b[0] - a[0], b[1] - a[1])
        _arrow(ax, a + aside, b + aside)
        _arrow(ax, b - aside, a - aside, INPUT)
    for knot in (client, scheduler, *workers):
        _knot(ax, knot, "")
    for place, word in [(client, "client"), (scheduler, "scheduler"), (workers[-1], "workers")]:
        _word(ax, (place[0], place[1] + 0.35), word)
    _word(ax, (2.0, 1.15), "model, targets $y_0$")
    _word(ax, (2.0, 0.65), "inputs $x_0$", INPUT)


def _canvas(ax, height):
    ax.figure.set_size_inches(WIDTH, height)
    ax.set_in_layout(False)
    ax.set(position=[0, 0, 1, 1], xlim=(0, WIDTH), ylim=(0, height))
    ax.set_axis_off()


def _arrow(ax, start, end, colour=INK, width=1.4):
    """An arrow between two knots or words, which leaves room for them."""
    start, end = np.array(start), np.array(end)
    along = ROOM * (end - start) / np.linalg.norm(end - start)
    style = {"arrowstyle": "->", "color": colour, "lw": width, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", xy=end - along, xytext=start + along, arrowprops=style)


def _knot(ax, place, sign, edge=INK):
    ax.add_patch(Circle(place, ROOM - 0.02, facecolor=PAPER, edgecolor=edge, lw=1.4, zorder=2))
    _word(ax, place, sign, edge)


def _word(ax, place, word, colour=INK):
    ax.text(*place, word, color=colour, ha="center", va="center")
