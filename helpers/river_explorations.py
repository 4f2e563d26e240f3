"""The live figure of chapter 11: a month of winter, made colder or warmer.

What the networks make of it is computed here, for a grid of changes of the temperature, and goes
into the figure, rounded.
"""

import altair as alt
import numpy as np

from helpers import live
from helpers.gates import replay
from helpers.live import LiveFigure, Parameter, colour, field
from helpers.river import weather
from helpers.validation import whole_number

CHANGES = range(-10, 21, 2)  # of the temperature of February, °C


def february(networks, cells, river, *, year, network, warmer):
    """Gate, snow cell and river from February to April, with another temperature in February.

    The snow cell counts in per cent of the way from its lowest to its highest value in that winter,
    as it was.

    Parameters
    ----------
    networks : list of keras.Sequential
        From :func:`helpers.river.new_network`, trained.
    cells : list of (int, float)
        For each of them, the unit that follows the snow, and the sign with which it does.
    river : River
        From :func:`helpers.data.piscataquis`; the networks read it from the July before.
    year : int
        Of that February, from 1982 to 2014.
    network, warmer : int
        The setting at first: which network, counted from 0, and by how many °C February is warmer,
        an even number from −10 to 20.

    Examples
    --------
    >>> from helpers import data, river
    >>> measured = data.piscataquis()
    >>> networks = [river.new_network(measured, seed=0)]
    >>> figure = february(networks, [(0, 1.0)], measured, year=2011, network=0, warmer=4)
    """
    year = whole_number("year", year, least=1982, most=2014)
    days = [f"{year - 1}-07-01", f"{year}-02-01", f"{year}-03-01", f"{year}-05-01"]
    july, first, march, may = np.searchsorted(river.date, np.array(days, "M8[D]")).tolist()
    month, shown = march - first, may - first
    x = np.tile(weather(river)[july:may], (len(CHANGES), 1, 1))
    usual = x[0, -shown:, 2:].mean(axis=1)
    x[:, -shown : march - may, 2:] += np.reshape(CHANGES, (-1, 1, 1))
    runs = [_run(each, *snow_cell, x) for each, snow_cell in zip(networks, cells)]
    gate, cell, flow = np.stack(runs, axis=1)[..., -shown:]

    mean = round(float(usual[:month].mean()), 1)
    drag = f"invert('concat_0_y', y()) - ({mean})"
    numbers = [str(k) for k in range(len(networks))]
    network = live.choice("network", "network", str(network), numbers)
    warmer = live.slider("warmer", "warmer, °C", warmer, CHANGES[0], CHANGES[-1], 2, drag)
    gates = Parameter("gates", np.rint(gate).astype(int).tolist())
    stored = Parameter("stored", np.rint(cell).astype(int).tolist())
    flows = Parameter("flows", flow.round(1).tolist())
    temperatures = Parameter("temperatures", usual.round(1).tolist())
    opened = Parameter("opened", gate[..., :month].mean(axis=2).round(1).tolist())
    highest = Parameter("highest", flow.max(axis=2).round(1).tolist())
    k, at = field("k"), (warmer - CHANGES[0]) / 2
    as_it_was = CHANGES.index(0)
    words = [
        f"February has {mean + warmer:.1f} °C. The gate of network {network} then keeps "
        f"{opened[network][at]:.1f}\u00a0% a day.",
        f"On 1 March the cell is at {stored[network][at][month]}\u00a0%, and was at "
        f"{stored[network][as_it_was][month]}\u00a0%.",
        f"The river rises to {highest[network][at]:.1f} mm a day.",
    ]
    names = f"datum.value < 1 ? '1 Feb' : datum.value > {month} ? '1 Apr' : '1 Mar'"
    dates = {"values": [0, month, month + 31], "labelExpr": names}

    def panel(name, title, limits, before, after, look="model", last=False):
        """A quantity over the days, as it was and as it is with another February."""
        days = live.counted("k", 0, shown, before=before, **{name: after})
        across = live.axis(alt.X, "k", None, [0, shown - 1], axis=alt.Axis(**dates, labels=last))
        up = live.axis(alt.Y, name, title, limits, axis=alt.Axis(tickCount=3))
        layers = [
            days.mark_line(color=colour("data")).encode(across, alt.Y("before:Q", title=title)),
            days.mark_line(color=colour(look)).encode(across, up),
        ]
        if name == "temperature":
            middle = live.points(k=(month - 1) / 2, temperature=mean + warmer)
            layers += [live.key("grey: as it was", "data"), live.handle(middle, across, up)]
        return live.panel(layers, 105)

    def of_the_network(table):
        return table[network][as_it_was][k], table[network][at][k]

    before = temperatures[k]
    chart = alt.vconcat(
        panel("temperature", "°C", [-35, 25], before, before + warmer * (k < month), "input"),
        panel("gate", "gate, %", _limits(gate), *of_the_network(gates)),
        panel("cell", "cell, %", _limits(cell), *of_the_network(stored)),
        panel("flow", "river, mm", [0, _limits(flow)[1]], *of_the_network(flows), last=True),
        spacing=8,
    )
    parameters = [network, warmer, gates, stored, flows, temperatures, opened, highest]
    return LiveFigure(chart, parameters, words)


def _limits(values):
    return [float(10 * np.floor(values.min() / 10)), float(10 * np.ceil(values.max() / 10))]


def _run(network, unit, sign, x):
    """Gate and cell of one unit, both in per cent, and the runoff, each of shape (changes, T)."""
    norm, lstm, dense = network.layers
    run = replay(lstm, norm(x).numpy())
    kernel, bias = dense.get_weights()
    cell = sign * run.c[..., unit]
    was = cell[CHANGES.index(0)]
    cell = (cell - was.min()) / (was.max() - was.min())
    flow = (run.h @ kernel + bias)[..., 0].clip(0) ** 2
    return np.stack([100 * run.f[..., unit], 100 * cell, flow])
