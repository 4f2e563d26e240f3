"""The live figures of Part I. What a control leads to is computed by `closed_forms`.

Each builder returns a :class:`helpers.live.LiveFigure`.
"""

import itertools

import altair as alt
import numpy as np
from scipy import stats

from helpers import closed_forms, live
from helpers.closed_forms import invert_line, sigmoid
from helpers.formula import listed, written
from helpers.live import LiveFigure, Parameter, colour, field, rows
from helpers.validation import finite_number, paired_samples, positive_number, whole_number


def inverse_of_line(x, y, W, b, y0):
    """A trained linear neuron on its data, and the way back from a wanted output to the input.

    Two bars give the input's interval: for a wanted mean, and for the input behind one observed
    output (chapter 3, the half-widths).

    Parameters
    ----------
    x, y : array_like of shape (n,)
        The data.
    W, b, y0 : float
        Weight, not 0, and bias of the neuron; the wanted output at first, from 0 to 360.

    Examples
    --------
    >>> figure = inverse_of_line([0, 1, 2], [1.1, 2.9, 5.0], W=2.0, b=1.0, y0=100)
    """
    x, y = paired_samples(x, y, at_least=3)
    W, b = _weight_and_bias(W, b)
    n, s = len(x), np.std(y - (W * x + b), ddof=2)
    reach = stats.t.ppf(0.975, df=n - 2) * s / abs(W)
    y0 = live.slider("y0", "wanted output y₀", y0, 0, 360, 1, drag="invert('y', y())")
    x0 = invert_line(y0, W, b)
    spread = 1 / n + (x0 - x.mean()) ** 2 / (n * x.var())
    mean, single = reach * np.sqrt(spread), reach * np.sqrt(1 + spread)
    words = [
        f"To make the neuron say {y0:d}, feed it {x0:.1f}.",
        f"The data leave ± {mean:.0f} around that for a wanted mean, ± {single:.0f} for the input "
        "behind one observed output.",
    ]
    across = live.axis(alt.X, "x", "input x", [-50, 1100])
    up = live.axis(alt.Y, "y", "output y", [-110, 420])
    data = live.table(rows(x=np.round(x, 2), y=np.round(y, 2)))
    line = live.table([{"x": end, "y": W * end + b} for end in (-50, 1100)])
    answer = live.points(x=x0, y=y0, left=-50, bottom=-110)
    layers = [
        data.mark_circle(size=26, color=colour("data"), opacity=0.75).encode(across, up),
        line.mark_line(color=colour("model"), clip=True).encode(across, up),
        *_way_back(answer),
        _bar(answer, "mean", x0 - mean, x0 + mean, -45, 8, "a wanted mean"),
        _bar(answer, "single", x0 - single, x0 + single, -85, 3, "one output"),
        live.handle(answer),
    ]
    return LiveFigure(live.panel(layers, 330), [y0], words)


def descent(W, b, *, y0, start, learning_rate):
    """Gradient descent of a linear neuron's input: down the parabola, and against the iteration.

    The iterates are x₀ + (start − x₀)(1 − 2 η W²)^k. The number of steps is that of
    :func:`helpers.reconstruction.reconstruct`: until the output is within 10⁻⁴ y₀ of y₀.

    Parameters
    ----------
    W, b : float
        Weight, not 0, and bias.
    y0, start, learning_rate : float
        The setting at first: y₀ from 20 to 380, the start from −200 to 1000, η from 0.05 to 7.

    Examples
    --------
    >>> figure = descent(0.4, -25.0, y0=100, start=1, learning_rate=0.4)
    """
    W, b = _weight_and_bias(W, b)
    drag = "invert('concat_2_x', x())"
    eta = live.slider("eta", "learning rate η", learning_rate, 0.05, 7, 0.05, drag, "handle_rate")
    y0 = live.slider("y0", "wanted output y₀", y0, 20, 380, 5)
    start = live.slider("start", "start", start, -200, 1000, 1, "invert('concat_0_x', x())")
    iterates = "iterate_on_parabola", "iterate_in_time"
    down, over, out = (live.pointer(kind, *iterates) for kind in ("down", "over", "out"))
    now = live.slider("k", "iteration k", 60, 0, 60, 1, on=[(down, "datum.k")])
    pointed = Parameter("pointed", -1, on=[(over, "datum.k"), (out, "-1")])
    x0, factor = invert_line(y0, W, b), closed_forms.contraction(W, eta)

    def input_at(k):
        return x0 + (start - x0) * factor**k

    def cost_of(x):
        return (W * x + b - y0) ** 2

    # The loop of `reconstruct` goes on to nine tenths of the tolerance.
    miss = abs(W * (start - x0)) / (0.9 * 1e-4 * abs(y0))
    steps = np.ceil(-np.log(miss) / np.log(abs(factor)))
    steps = np.where(miss <= 1, 0, np.where(factor == 0, 1, steps))
    shrinks = abs(factor) < 1
    plural = np.where(steps == 1, "", "s")
    arrives = f"reaches {input_at(steps):.1f} after {steps:d} step{plural}."
    end = np.where((miss <= 1) | shrinks, arrives, f"never arrives at {x0:.1f}.")
    growth = np.where(shrinks, ".", ": it grows.")
    words = [
        f"Wanted: {y0:d}. Starting at {start:d}, the input {end}",
        f"At η = {eta:.2f}, each step multiplies the distance by {factor:.2f}{growth}",
        f"After step {now:d}: x = {input_at(now):.1f}.",
    ]
    path = live.counted("k", 0, 61, x=input_at(field("k")), cost=cost_of(field("x")))
    path = path.transform_filter("datum.x > -2400 && datum.x < 5600")
    passed = written(field("k") <= now)
    marked = np.where(pointed < 0, now, pointed)
    label = f"k = {marked}"
    here = live.points(k=marked, x=input_at(marked), label=label, cost=cost_of(field("x")))
    orange = {"color": colour("input"), "clip": True}
    # What is to be hit is larger than what is seen.
    spots = {"filled": True, "size": 28, "stroke": "transparent", "strokeWidth": 9, **orange}
    dark = alt.condition(passed, alt.value(1), alt.value(0.25))
    ring = {"size": 110, "stroke": colour("ink"), "strokeWidth": 1.5, "clip": True}

    def iterates_over(x, y, name, room):
        """The iterates, later ones faintly; a ring and a label, on the right if there is room."""
        return [
            path.mark_line(opacity=0.25, **orange).encode(x, y, order="k:Q"),
            path.transform_filter(passed).mark_line(**orange).encode(x, y, order="k:Q"),
            path.mark_point(**spots).encode(x, y, opacity=dark).properties(name=name),
            here.mark_point(**ring).encode(x, y),
            here.mark_text(dy=-9, clip=True, **live.beside(room, 9)).encode(x, y, text="label:N"),
        ]

    theory = {"color": colour("theory")}
    answer = live.points(x=x0).mark_rule(**theory, **live.DOTTED)
    across, aside = (live.axis(each, "x", "input x", [-600, 1400]) for each in (alt.X, alt.Y))
    highest = alt.expr(written(1.1 * np.maximum(cost_of(start), 5000)))
    heights = alt.Scale(domainMin=0, domainMax=highest)
    up = alt.Y("cost:Q", title="cost J", scale=heights, axis=alt.Axis(tickCount=3))
    parabola = live.counted("x", -600, 1401, 10, cost=cost_of(field("x")))
    down_parabola = [
        parabola.mark_line(color=colour("model"), clip=True).encode(across, up),
        answer.encode(x="x:Q"),
        *iterates_over(across, up, iterates[0], room=True),
        live.handle(live.points(x=start, cost=cost_of(start)), across, up, cursor="ew-resize"),
    ]
    across = live.axis(alt.X, "k", "iteration k", [0, 60])
    in_time = [
        answer.encode(y="x:Q"),
        *iterates_over(across, aside, iterates[1], room=marked < 45),
    ]
    limit, best = closed_forms.largest_stable_rate(W), closed_forms.best_rate(W)
    rates = live.points(zero=0, limit=limit, best=best, eta=eta)
    across, middle = live.axis(alt.X, "eta", None, [0, 7]), alt.value(11)
    strip = [
        rates.mark_rule(strokeWidth=10, opacity=0.3, **theory).encode(x="zero:Q", x2="limit"),
        rates.mark_tick(thickness=2, height=18, **theory).encode(x="best:Q"),
        live.handle(rates, across, middle, name="handle_rate", cursor="ew-resize"),
    ]
    panels = live.panel(down_parabola, 110), live.panel(in_time, 110), live.panel(strip, 22)
    chart = alt.vconcat(*panels, spacing=10)
    return LiveFigure(chart, [eta, y0, start, now, pointed], words, run="k")


def saturation(derivatives, rates, *, y0, atol, start, cost):
    """Descent through a sigmoid from a chosen start, under a chosen cost, with W = 1 and b = 0.

    There is no formula for these iterates: they are computed here, for starts from 0 to 12.

    Parameters
    ----------
    derivatives : dict of str to callable
        For each cost, by name, its derivative dJ/dz as a function of an array of z.
    rates : sequence of float
        The learning rate of each.
    y0, atol : float
        The wanted output, between 0 and 1; a run ends when the output is nearer to it than atol.
    start, cost : int, str
        The setting at first.

    Examples
    --------
    >>> from helpers.closed_forms import sigmoid
    >>> slopes = {"entropy": lambda z: sigmoid(z) - 0.1}
    >>> figure = saturation(slopes, [1.0], y0=0.1, atol=1e-3, start=8, cost="entropy")
    """
    y0, atol = finite_number("y0", y0), positive_number("atol", atol)
    if not 0 < y0 < 1:
        raise ValueError(f"y0 must lie strictly between 0 and 1, not {y0}")
    rates = [positive_number("rates", rate) for rate in rates]
    if len(rates) != len(derivatives):
        raise ValueError(f"rates must be {len(derivatives)}, one for each cost, not {len(rates)}")
    start = whole_number("start", start, least=0, most=12)
    starts, z = np.arange(13.0), np.linspace(-6, 12, 109)
    runs, curves, steps, pull = [], [], {}, {}
    hues = itertools.cycle(["model", "other", "logit"])
    for (name, derivative), rate, hue in zip(derivatives.items(), rates, hues):
        paths = _descend(derivative, rate, starts, y0, atol)
        steps[name] = [len(path) - 1 for path in paths]
        pull[name] = np.abs(derivative(starts)).tolist()
        curve = {"cost": name, "colour": colour(hue), "z": z.tolist()}
        curves.append(curve | {"gradient": live.rounded(np.abs(derivative(z)))})
        for i, path in enumerate(paths):
            # Denser towards both ends, where a slow run and its fall show.
            k = np.geomspace(1, len(path), 16).round().astype(int) - 1
            k = np.union1d(k, len(path) - 1 - k)
            run = {"cost": name, "start": i, "k": k.tolist(), "z": live.rounded(path[k])}
            runs.append(run | {"gradient": live.rounded(np.abs(derivative(path[k])))})
    cost = live.choice("cost", "cost", cost, list(derivatives))
    start = live.slider("start", "start z", start, 0, 12, 1)
    steps, pull = Parameter("steps", steps), Parameter("pull", pull)
    in_z = pull[cost][start]

    def in_y(in_z, y):
        return in_z / (y * (1 - y))

    words = [
        f"From z = {start:d}, descent on the {cost} arrives after {steps[cost][start]:,} steps.",
        f"At the start, the gradient is {in_y(in_z, sigmoid(start)):,.2~r} in y and {in_z:,.2~r} "
        "in z.",
    ]
    y = sigmoid(field("z"))
    run = live.table(runs).transform_filter("datum.cost == cost && datum.start == start")
    run = run.transform_flatten(["k", "z", "gradient"])
    run = live.calculated(run, y=y, gradient_in_y=in_y(field("gradient"), field("y")))
    across = live.axis(alt.X, "z", "pre-activation z", [-6, 12])
    up = live.axis(alt.Y, "y", "output y", [0, 1])
    dots = live.dots("input", 60) | {"opacity": 0.9}
    picture = [
        live.counted("z", -6, 12.1, 0.1, y=y).mark_line(color=colour("model")).encode(across, up),
        live.points(y=y0).mark_rule(**live.WANTED).encode(y="y:Q"),
        run.mark_point(**dots).encode(across, up),
    ]
    powers = alt.Scale(type="log", domain=[1e-5, 1e7], clamp=True)
    power = np.log(field("value")) / np.log(10)
    powers_written = listed(["10⁻⁴", "10⁻¹", "10²", "10⁵"])[np.rint((power + 4) / 3)]
    ticks = alt.Axis(values=[1e-4, 1e-1, 1e2, 1e5], labelExpr=powers_written.text)
    sizes = {"title": "size of the gradient", "scale": powers, "axis": ticks}
    size, size_in_y = alt.Y("gradient:Q", **sizes), alt.Y("gradient_in_y:Q", **sizes)
    curve = live.table(curves).transform_filter("datum.cost == cost")
    curve = curve.transform_flatten(["z", "gradient"]).mark_line(clip=True)
    diamond = {"shape": "diamond", "size": 70, "color": colour("input")}
    gradients = [
        curve.encode(across, size, alt.Color("colour:N", scale=None)),
        run.mark_point(**dots).encode(across, size),
        run.mark_point(**diamond).encode(across, size_in_y),
        live.key("● in z ◇ in y", "input"),
    ]
    chart = alt.vconcat(live.panel(picture, 170), live.panel(gradients, 170), spacing=14)
    return LiveFigure(chart, [cost, start, steps, pull], words)


def dose(x, share, W, b, y0):
    """A sigmoid neuron on the shares killed at each dose, and the way back from a wanted share.

    Below, the slope of the inverse, dx/dy = 1/(W y (1 − y)), per percentage point.

    Parameters
    ----------
    x, share : array_like of shape (n,)
        log₁₀ of the doses in mg/l, and the shares killed.
    W, b, y0 : float
        Weight, not 0, and bias of the neuron; the wanted share at first, from 0.01 to 0.99.

    Examples
    --------
    >>> figure = dose([1.7, 1.8, 1.9], [0.1, 0.5, 0.9], W=34.0, b=-60.0, y0=0.5)
    """
    x, share = paired_samples(x, share)
    W, b = _weight_and_bias(W, b)
    y0 = live.slider("y0", "wanted share y₀", y0, 0.01, 0.99, 0.01, "invert('concat_0_y', y())")
    x0 = closed_forms.invert_sigmoid(y0, W, b)

    def stretch(y):
        return 0.01 / (W * y * (1 - y))

    words = [
        f"To kill {100 * y0:.0f}\u00a0% of them, take {x0:.4f}, which is {10**x0:.1f} mg/l.",
        f"There, it rises by {stretch(y0):.4f} per percentage point, "
        f"{stretch(y0) / stretch(0.5):.1f} times as fast as at one half.",
    ]
    left, right, bottom = 1.62, 1.92, -0.03
    across = live.axis(alt.X, "x", "log₁₀ of the dose in mg/l", [left, right])
    up = live.axis(alt.Y, "y", "share killed y", [bottom, 1.03])
    data = live.table(rows(x=x, y=share))
    line = live.counted("x", left, right + 0.001, 0.002, y=sigmoid(W * field("x") + b))
    answer = live.points(x=x0, y=y0, stretch=stretch(y0), left=left, bottom=bottom)
    picture = [
        data.mark_circle(size=60, color=colour("data")).encode(across, up),
        line.mark_line(color=colour("model")).encode(across, up),
        *_way_back(answer),
        live.handle(answer),
    ]
    across = live.axis(alt.X, "y", "wanted share y₀", [0, 1])
    up = alt.Y("stretch:Q", title="per point", scale=alt.Scale(domain=[0, 0.032]))
    cost = live.counted("y", 0.01, 0.995, 0.005, stretch=stretch(field("y")))
    stretches = [
        cost.mark_line(color=colour("theory")).encode(across, up),
        answer.mark_point(**live.dots("input", 160)).encode(across, up),
    ]
    chart = alt.vconcat(live.panel(picture, 240), live.panel(stretches, 120), spacing=14)
    return LiveFigure(chart, [y0], words)


def _weight_and_bias(W, b):
    invert_line(0.0, W, b)  # raises where there is no inverse
    return float(W), float(b)


def _way_back(answer):
    """From the axis along the wanted output to the curve, and down to the input."""
    dotted = {"color": colour("input"), "strokeDash": [2, 3], "strokeWidth": 2}
    return [
        answer.mark_rule(**live.WANTED, strokeWidth=2).encode(x="left:Q", x2="x", y="y:Q"),
        answer.mark_rule(**dotted).encode(x="x:Q", y="bottom:Q", y2="y"),
    ]


def _bar(answer, name, low, high, height, width, label):
    """An interval of inputs, drawn at a height on the output axis, and beside it what it is for."""
    far = high > 600  # right of the plane's middle, where the words have room on the left
    ends = {f"{name}_low": low, f"{name}_high": high}
    place = live.calculated(answer, height=height, beside=np.where(far, low, high), **ends)
    place = place.encode(y="height:Q")
    bar = place.mark_rule(color=colour("input"), strokeWidth=width)
    text = place.mark_text(text=label, **live.beside(high <= 600, 8)).encode(x="beside:Q")
    return alt.layer(bar.encode(x=f"{name}_low:Q", x2=f"{name}_high"), text)


def _descend(derivative, rate, starts, y0, atol):
    """The iterates of each start, an array each, until sigmoid(z) is nearer than atol to y0."""
    visited = [starts]
    while (going := np.abs(sigmoid(visited[-1]) - y0) >= atol).any():
        z = visited[-1]
        visited.append(np.where(going, z - rate * derivative(z), z))
        if len(visited) > 1_000_000 or np.array_equal(z, visited[-1]):
            raise ValueError(f"rates must let every run come within atol of y0; {rate} does not")
    visited = np.array(visited).T
    counts = (np.abs(sigmoid(visited) - y0) >= atol).sum(axis=1)
    return [path[: count + 1] for path, count in zip(visited, counts)]
