"""Figures that a reader can move, and that need no kernel for it.

A live figure is a Vega-Lite specification, declared with Altair. In JupyterLab and on the page of
the built book it is alive; in print, and where scripts are off, a still picture takes its place.
The mathematics behind a control is a Vega expression, so that every setting is answered at once.
The figures themselves are in `explorations`.
"""

import functools

import altair as alt
import numpy as np
import vl_convert

from helpers.figures import LIGHT
from helpers.validation import choice as check_choice
from helpers.validation import finite_number

MIME_TYPE = "application/vnd.vegalite.v5+json"

# A drag begins with the first button, or a finger, on the handle, and lasts until it is let go.
DRAG = {
    "source": "window",
    "type": "pointermove",
    "consume": True,
    "between": [
        {"markname": "handle_marks", "type": "pointerdown", "filter": "event.button === 0"},
        {"merge": [{"source": "window", "type": end} for end in ("pointerup", "pointercancel")]},
    ],
}

WIDTH = 590  # of the plane between the axes, in pixels; the page narrows it on a phone


def colour(name):
    """A colour of `figures.LIGHT` by its name, which a dark page redefines."""
    return f"var(--figure-{name}, {LIGHT[name]})"


def slider(name, label, value, low, high, step):
    """A parameter with a slider, whose value is read and set by `name` and shown with `label`."""
    value = finite_number(name, value)
    if not low <= value <= high:
        raise ValueError(f"{name} must lie from {low} to {high}, where its slider is, not {value}")
    bind = alt.binding_range(min=low, max=high, step=step, name=label)
    return alt.param(name=name, value=value, bind=bind)


def choice(name, label, value, options):
    """A parameter with one button for each of the options."""
    check_choice(name, value, options)
    return alt.param(name=name, value=value, bind=alt.binding_radio(options=options, name=label))


def numbers(**values):
    """Parameters that stay as they are, for the expressions to use."""
    return [alt.param(name=name, value=value) for name, value in values.items()]


def formulas(**expressions):
    """Parameters computed from others, each a Vega expression."""
    return [alt.param(name=name, expr=expression) for name, expression in expressions.items()]


def points(**fields):
    """One row of data, its fields computed from the parameters by Vega expressions."""
    return alt.Chart(alt.Data(values=[{}])).transform_calculate(**fields)


def axis(field, title, domain, **options):
    """Arguments of `alt.X` and `alt.Y` for a quantity with a title and fixed limits."""
    scale = alt.Scale(domain=domain, nice=False, zero=False, **options)
    return {"shorthand": f"{field}:Q", "title": title, "scale": scale}


def handle(data, x="x:Q", y="y:Q"):
    """The point that a figure is about; where the figure allows it, it can be dragged."""
    look = {"size": 200, "filled": True, "opacity": 1, "strokeWidth": 1}
    mark = data.mark_point(color=colour("input"), stroke=colour("ink"), **look)
    return mark.encode(x=x, y=y).properties(name="handle")


def rows(**columns):
    """Rows of data from columns of one length."""
    lists = [np.asarray(column).tolist() for column in columns.values()]
    return [dict(zip(columns, row)) for row in zip(*lists)]


def rounded(values, digits=5):
    """A list of the values with so many significant digits."""
    return [float(f"{value:.{digits}g}") for value in np.ravel(values)]


class LiveFigure:
    """What a notebook cell shows: alive where Vega-Lite is, else a still picture.

    Parameters
    ----------
    chart : altair.TopLevelMixin
        The drawing.
    parameters : list of altair.Parameter
        Controls, numbers and formulas, in the order in which the controls appear.
    words : list of str
        Vega expressions, each for a sentence that tells what the present setting leads to.
    drag : dict of str to str, optional
        Parameters with a slider, and for each the Vega expression that gives its value while the
        mark named "handle" is dragged.

    Attributes
    ----------
    spec : dict
        The Vega-Lite specification. Its parameters that are bound to a control are the figure's
        state; its parameter `words` is a list of sentences.
    """

    def __init__(self, chart, parameters, words, drag=None):
        sentences = alt.param(name="words", expr=f"[{', '.join(words)}]")
        title = alt.TitleParams(alt.expr("words"), anchor="start", fontWeight="normal", fontSize=13)
        drawn = chart.add_params(*parameters, sentences).properties(title=title)
        self.spec = _in_book_style(drawn).to_dict()
        # Only SVG understands the colours.
        self.spec["usermeta"] = {"embedOptions": {"renderer": "svg", "actions": False}}
        for name, value in (drag or {}).items():
            # Vega-Lite hands `on` over to Vega, but Altair does not know it.
            bound = next(p for p in self.spec["params"] if p["name"] == name)
            low, high, step = (bound["bind"][key] for key in ("min", "max", "step"))
            # Times 0.01 would give 0.5700000000000001, divided by 100 gives 0.57.
            update = f"clamp(round(({value}) / {step}) / {1 / step:g}, {low}, {high})"
            bound["on"] = [{"events": DRAG, "update": update}]

    @functools.cached_property
    def still(self):
        """The figure as it first appears, as an SVG: str."""
        return vl_convert.vegalite_to_svg(self.spec)

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {MIME_TYPE: self.spec, "image/svg+xml": self.still, "text/plain": "a live figure"}


def _in_book_style(chart):
    ink = colour("ink")
    return (
        chart.configure(
            background="transparent",
            font="DejaVu Sans, Verdana, sans-serif",
            padding=4,
            aria=False,  # the page gives one description of the whole
        )
        .configure_view(stroke=None)
        .configure_axis(
            domainColor=ink,
            gridColor=colour("grid"),
            labelColor=ink,
            labelFontSize=12,
            tickColor=ink,
            tickCount=6,
            titleColor=ink,
            titleFontSize=13,
            titleFontWeight="normal",
        )
        .configure_axisY(minExtent=48, maxExtent=48)
        .configure_title(color=ink, offset=12)
        .configure_text(color=ink, fontSize=12)
    )
