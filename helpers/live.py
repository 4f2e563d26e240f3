"""Figures that a reader can move, and that need no kernel for it.

A live figure is a Vega-Lite specification, declared with Altair: alive in JupyterLab and on the
page of the built book, a still picture in print and where scripts are off. Behind its controls
stand formulas (see `formula`), so that every setting is answered at once.
"""

import functools

import altair as alt
import numpy as np
import vl_convert

from helpers import validation
from helpers.figures import LIGHT
from helpers.formula import Formula, listed, written

MIME_TYPE = "application/vnd.vegalite.v5+json"

WIDTH = 576  # of the plane between the axes, in pixels; the page narrows it on a phone
NUMBERS = {"decimal": ".", "thousands": "\u202f", "grouping": [3], "currency": ["", ""]}


def colour(name):
    """A colour of `figures.LIGHT` by its name, which a dark page redefines."""
    return f"var(--figure-{name}, {LIGHT[name]})"


WANTED = {"color": colour("wanted"), "strokeDash": [7, 4]}  # a line
DOTTED = {"strokeDash": [2, 3], "strokeWidth": 1.5}
LETTERS = {"expr": "width < 400 ? 12 : 16"}  # as large as those of the still figures
EXTENT = {"expr": "width < 400 ? 48 : 60"}  # of the labels of a vertical axis
STYLE = {
    "background": "transparent",
    "font": "DejaVu Sans, Verdana, sans-serif",
    "padding": 4,
    "aria": False,  # the page gives one description of the whole
    "numberFormat": "f",  # no comma in thousands, as in the still figures
    "view": {"stroke": None},
    "axis": {
        **dict.fromkeys(["domainColor", "labelColor", "tickColor", "titleColor"], colour("ink")),
        "gridColor": colour("grid"),
        "labelFontSize": LETTERS,
        "tickCount": 6,
        "titleFontSize": LETTERS,
        "titleFontWeight": "normal",
    },
    "axisY": {"minExtent": EXTENT, "maxExtent": EXTENT},
    "title": {"color": colour("ink"), "offset": 12},
    "text": {"color": colour("ink"), "fontSize": LETTERS},
}


class Parameter(Formula):
    """A number, text or table of a figure, and the formula that is its name.

    With a control, `bind`, it belongs to the figure's state. To each list of events, as Vega knows
    them, `on` has an expression for the new value.
    """

    def __init__(self, name, value, bind=None, on=()):
        super().__init__(name)
        self.definition = {"name": name, "value": value}
        if bind:
            self.definition["bind"] = bind.to_dict()
        if on:
            self.definition["on"] = [{"events": when, "update": then} for when, then in on]


def slider(name, label, value, low, high, step, drag=None, handle="handle", on=()):
    """A parameter with a slider, whose value is read and set by `name` and shown with `label`.

    It may have a Vega expression for its value while the mark of the name `handle` is dragged.
    """
    value = validation.finite_number(name, value)
    if not low <= value <= high:
        raise ValueError(f"{name} must lie from {low} to {high}, where its slider is, not {value}")
    bind = alt.binding_range(min=low, max=high, step=step, name=label)
    if drag:
        # From the first button, or a finger, on the handle, until it is let go.
        down = pointer("down", handle)[0] | {"filter": "event.button === 0"}
        ends = [{"source": "window", "type": end} for end in ("pointerup", "pointercancel")]
        move = {"source": "window", "type": "pointermove", "consume": True}
        # Times 0.01 would give 0.5700000000000001, divided by 100 gives 0.57.
        then = f"clamp(round(({drag}) / {step}) / {1 / step:g}, {low}, {high})"
        on = [*on, ([move | {"between": [down, {"merge": ends}]}], then)]
    return Parameter(name, value, bind, on)


def pointer(kind, *marks):
    """The events of a pointer that comes "over", "out" of, or "down" on one of the marks."""
    return [{"markname": f"{mark}_marks", "type": f"pointer{kind}"} for mark in marks]


def choice(name, label, value, options):
    """A parameter with one button for each of the options."""
    validation.choice(name, value, options)
    return Parameter(name, value, alt.binding_radio(options=options, name=label))


def rows(**columns):
    """Rows of data from columns of one length."""
    lists = [np.asarray(column).tolist() for column in columns.values()]
    return [dict(zip(columns, row)) for row in zip(*lists)]


def rounded(values, digits=5):
    """A list of the values with so many significant digits."""
    return [float(f"{value:.{digits}g}") for value in np.ravel(values)]


def field(name):
    """The formula of one field of a row of data."""
    return Formula(f"datum.{name}")


def calculated(data, **formulas):
    """Data with more fields: formulas of those before and of parameters, numbers or texts."""
    return data.transform_calculate(**{name: written(each) for name, each in formulas.items()})


def table(rows, **formulas):
    """Data from rows, with fields computed by formulas."""
    return calculated(alt.Chart(alt.Data(values=rows)), **formulas)


def points(**formulas):
    """Data of one row."""
    return table([{}], **formulas)


def counted(name, start, stop, step=alt.Undefined, **formulas):
    """Data with a field of that name that counts from start to below stop."""
    return calculated(alt.Chart(alt.sequence(start, stop, step, as_=name)), **formulas)


def axis(channel, field, title, limits, **options):
    """`alt.X` or `alt.Y`, the channel, for a quantity with a title and fixed limits."""
    scale = alt.Scale(domain=limits, nice=False, zero=False)
    return channel(f"{field}:Q", title=title, scale=scale, **options)


def dots(name, size, **options):
    """The look of filled points in a colour by its name."""
    return {"color": colour(name), "size": size, "filled": True, "opacity": 1, **options}


def beads(name, size):
    """The look of a line with points along it, in a colour by its name."""
    return {"color": colour(name), "point": {"color": colour(name), "size": size}}


def handle(data, x="x:Q", y="y:Q", name="handle", cursor="ns-resize"):
    """A point that can be dragged. Its name begins with "handle"."""
    mark = data.mark_point(**dots("input", 200, stroke=colour("ink"), strokeWidth=1, cursor=cursor))
    return mark.encode(x=x, y=y).properties(name=name)


def key(text, name):
    """What the signs in a plane stand for, above its right end, in a colour by its name."""
    return points().mark_text(text=text, color=colour(name), align="right", x="width", y=-8)


def beside(on_the_right, distance):
    """Arguments of a text to the right of its place, or else to the left, at a distance."""
    align = np.where(on_the_right, "left", "right")
    dx = np.where(on_the_right, distance, -distance)
    return {"align": alt.expr(written(align)), "dx": alt.expr(written(dx))}


def panel(layers, height, width=WIDTH):
    """Layers over one another, in a plane of that size."""
    return alt.layer(*layers).properties(width=width, height=height)


class LiveFigure:
    """What a notebook cell shows: alive where Vega-Lite is, else a still picture.

    Parameters
    ----------
    chart : altair.TopLevelMixin
        The drawing.
    parameters : list of Parameter
        In the order in which the controls appear.
    words : list of str
        Sentences, with formulas in them, that tell what the present setting leads to.
    run : str, optional
        The name of a slider that a reader can set going, step by step, to its end.

    Attributes
    ----------
    spec : dict
        The Vega-Lite specification. Its parameters that are bound to a control are the figure's
        state; its parameter `words` is a list of sentences.

    Examples
    --------
    >>> from helpers.live import points, slider
    >>> y0 = slider("y0", "output y₀", 3, 0, 10, 1)
    >>> chart = points(y=y0).mark_point().encode(y="y:Q")
    >>> figure = LiveFigure(chart, [y0], [f"Twice {y0} is {2 * y0}."])
    >>> "Twice 3 is 6." in figure.still
    True
    """

    def __init__(self, chart, parameters, words, run=None):
        title = alt.TitleParams(alt.expr("words"), anchor="start", fontWeight="normal", fontSize=13)
        self.spec = chart.properties(title=title, config=STYLE).to_dict()
        # Vega-Lite hands `on` over to Vega, but Altair does not know it.
        self.spec["params"] = [parameter.definition for parameter in parameters]
        self.spec["params"].append({"name": "words", "expr": listed(words).text})
        # Only SVG understands the colours.
        embed = {"renderer": "svg", "actions": False, "formatLocale": NUMBERS}
        self.spec["usermeta"] = {"embedOptions": embed, "run": run}

    @functools.cached_property
    def still(self):
        """The figure as it first appears, as an SVG: str."""
        return vl_convert.vegalite_to_svg(self.spec, format_locale=NUMBERS)

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {MIME_TYPE: self.spec, "image/svg+xml": self.still, "text/plain": "a live figure"}
