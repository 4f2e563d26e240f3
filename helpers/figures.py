"""The look of the figures, and the pictures that several chapters draw.

The same colour means the same quantity in the whole book. No meaning hangs on colour alone: what
differs in colour also differs in marker or line style.
"""

import matplotlib.pyplot as plt
from matplotlib_inline.backend_inline import set_matplotlib_formats

from helpers.validation import choice, finite_array, finite_number, paired_samples

# What each colour stands for. The hues are those of Okabe and Ito's palette for colour-blind
# readers, some of them darkened, so that each has a contrast of at least 3 to the paper.
COLOURS = {
    "data": "#5f6b73",  # measured or generated points
    "model": "#b8341b",  # the network: its line, its curve, its descent on the output
    "wanted": "#0072b2",  # the wanted output y0
    "input": "#cf7400",  # the input that is sought: iterates and answer
    "logit": "#00795a",  # descent on the logit
    "theory": "#1b1d20",  # a closed form or a prediction
    "other": "#8d5aa5",  # anything else, such as the cross-entropy
}

PAPER = "#fdfcf9"
INK = "#25282b"
GRID = "#e4e0d8"

# The same quantities on a dark page. The figures are drawn on light paper; the book's build makes
# their dark variants by exchanging these colours, one for one.
LIGHT = {**COLOURS, "paper": PAPER, "ink": INK, "grid": GRID}
DARK = {
    "data": "#a3b1ba",
    "model": "#f2785c",
    "wanted": "#5bb4ea",
    "input": "#f0a93a",
    "logit": "#35c39c",
    "theory": "#ebe7df",
    "other": "#d29cf0",
    "paper": "#16181a",
    "ink": "#dedad2",
    "grid": "#34383b",
}


def use_style():
    """Set the book's figure style for this session: size, fonts, colours, and vector graphics.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> use_style()
    >>> plt.rcParams["figure.figsize"]
    [6.4, 3.6]
    """
    plt.rcdefaults()
    plt.rcParams.update(
        {
            "figure.figsize": (6.4, 3.6),
            "figure.facecolor": PAPER,
            "figure.constrained_layout.use": True,
            "savefig.facecolor": PAPER,
            "axes.facecolor": PAPER,
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.linewidth": 0.8,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": GRID,
            "grid.linewidth": 0.7,
            "font.size": 11.0,
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "lines.linewidth": 1.8,
            "lines.markersize": 5.0,
            "legend.frameon": False,
            "svg.fonttype": "path",
            "svg.hashsalt": "running a network backwards",
            "axes.prop_cycle": plt.cycler(color=list(COLOURS.values())),
        }
    )
    set_matplotlib_formats("svg")


def points_and_line(ax, x, y, W=None, b=None):
    """Scatter of data, with the line y = W x + b over it where W and b are given.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    x, y : array_like of shape (n,)
        The points.
    W, b : float, optional
        Weight and bias of a linear neuron; both or none.

    Raises
    ------
    TypeError, ValueError
        If the points do not pair up, or only one of W and b is given.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> ax = plt.figure().add_subplot()
    >>> points_and_line(ax, [0, 1, 2], [1.1, 2.9, 5.0], W=2.0, b=1.0)
    """
    x, y = paired_samples(x, y)
    if (W is None) != (b is None):
        raise ValueError(f"W and b must be given both or not at all, not W={W!r} and b={b!r}")
    ax.scatter(x, y, s=16, color=COLOURS["data"], alpha=0.75, linewidths=0, label="data")
    if W is not None:
        W, b = finite_number("W", W), finite_number("b", b)
        ax.axline((0.0, b), slope=W, color=COLOURS["model"], label="trained neuron")
    ax.set(xlabel="input $x$", ylabel="output $y$")


def wanted_and_found(ax, y0, x0):
    """The way back: along the wanted output y0 to the curve, and down to the input x0.

    The axes must already show the data; their limits are kept.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from helpers.figures import points_and_line
    >>> ax = plt.figure().add_subplot()
    >>> points_and_line(ax, [0, 1, 2], [1.1, 2.9, 5.0], W=2.0, b=1.0)
    >>> wanted_and_found(ax, y0=4.0, x0=1.5)
    """
    y0, x0 = finite_number("y0", y0), finite_number("x0", x0)
    left, bottom = ax.get_xlim()[0], ax.get_ylim()[0]
    ax.plot([left, x0], [y0, y0], "--", color=COLOURS["wanted"], label="wanted output $y_0$")
    ax.plot([x0, x0], [y0, bottom], ":", color=COLOURS["input"], label="reconstructed input $x_0$")
    mark(ax, x0, y0)
    ax.set(xlim=(left, None), ylim=(bottom, None))


def mark(ax, x, y, *, colour="input", marker="o"):
    """One point that matters, in the colour of the quantity named, with a dark edge.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> mark(plt.figure().add_subplot(), 312.5, 100.0, colour="input")
    """
    choice("colour", colour, COLOURS)
    x, y = finite_number("x", x), finite_number("y", y)
    size = 16 if marker == "*" else 9
    ax.plot(x, y, marker, color=COLOURS[colour], markersize=size, markeredgecolor=INK, zorder=3)


def iterates(ax, path, *, label="input $x$", colour="input", style="o-"):
    """One run of descent: the quantity `path`, of shape (k + 1,), against the iteration 0 … k.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> iterates(plt.figure().add_subplot(), [1.0, 0.5, 0.25, 0.125])
    """
    path = finite_array("path", path)
    if path.ndim != 1:
        raise ValueError(f"path must be one-dimensional, not of shape {path.shape}")
    choice("colour", colour, COLOURS)
    ax.plot(range(len(path)), path, style, color=COLOURS[colour], markersize=3, label=label)
    ax.set(xlabel="iteration $k$")
