"""The live figure of chapter 10: two ways of stepping over one landscape.

The paths have no closed form. They are those of `reconstruct`, for a grid of starts, and go into
the figure, rounded.
"""

import altair as alt
import numpy as np

from helpers.live import (
    LiveFigure,
    Parameter,
    axis,
    calculated,
    colour,
    field,
    handle,
    points,
    slider,
)
from helpers.network_explorations import lines_at
from helpers.reconstruction import reconstruct
from helpers.validation import finite_array, in_shape

STEPS = 12  # shown, at most
STARTS = np.arange(-5, 6) / 5  # along each axis


def two_ways(network, *, y0, start, learning_rate, atol=1e-3):
    """Descent, and damped Gauss–Newton steps, from a chosen start to a wanted output.

    Parameters
    ----------
    network : keras.Model
        With two inputs and one output; it is asked on the square from −1 to 1.
    y0 : float
        The wanted output.
    start : (float, float)
        The start at first, in fifths from −1 to 1.
    learning_rate : float
        That of the descent.
    atol : float
        As for :func:`helpers.reconstruction.reconstruct`.

    Examples
    --------
    >>> from helpers.backend import keras
    >>> hidden = keras.layers.Dense(3, activation="tanh")
    >>> last = keras.layers.Dense(1)
    >>> network = keras.Sequential([keras.Input((2,)), hidden, last])
    >>> options = {"y0": 0.1, "start": (0.2, 0.4), "learning_rate": 0.05}
    >>> figure = two_ways(network, **options)
    """
    start = in_shape("start", finite_array("start", start), (2,))
    grid = np.stack(np.meshgrid(STARTS, STARTS, indexing="ij"), axis=-1).reshape(-1, 2)
    options = {"start": grid, "atol": atol, "rtol": 0.0, "max_iter": 1000, "trace": True}
    start1 = slider("start1", "start x₁", start[0], -1, 1, 0.2, drag="invert('x', x())")
    start2 = slider("start2", "start x₂", start[1], -1, 1, 0.2, drag="invert('y', y())")
    step = slider("step", "step", STEPS, 0, STEPS, 1)
    at = len(STARTS) * np.rint(5 * start1 + 5) + np.rint(5 * start2 + 5)
    k = field("k")
    across, up = alt.X(**axis("x1", "input x₁", [-1, 1])), alt.Y(**axis("x2", "input x₂", [-1, 1]))
    so_far = alt.Chart(alt.sequence(0, STEPS + 1, as_="k")).transform_filter((k <= step).text)
    line = alt.Chart(alt.Data(values=lines_at(network, y0)))
    layers = [
        line.mark_line(color=colour("wanted"), strokeDash=[7, 4]).encode(
            across, up, order="k:Q", detail="part:N"
        )
    ]
    tables, told = [], []
    for name, rate, of, shape, size, width in [
        ("Gauss–Newton", None, "input", "diamond", 160, 5),
        ("descent", learning_rate, "model", "circle", 25, 1.5),
    ]:
        run = reconstruct(network, np.full((len(grid), 1), y0), learning_rate=rate, **options)
        iterates = run.trace[np.minimum(np.arange(STEPS + 1), len(run.trace) - 1)]
        heights = network(iterates.reshape(-1, 2)).numpy().reshape(STEPS + 1, -1, 1)
        rows = np.concatenate([iterates, heights], axis=2).swapaxes(0, 1).astype(float).round(3)
        table = Parameter("path_" + of, rows.tolist())
        steps = Parameter("steps_" + of, run.n_iter.tolist())
        arrived = Parameter("arrived_" + of, run.converged.tolist())
        tables += [table, steps, arrived]
        now = table[at]
        dots = {"color": colour(of), "size": size, "shape": shape, "filled": True, "opacity": 1}
        layers.append(
            calculated(so_far, x1=now[k][0], x2=now[k][1])
            .mark_line(color=colour(of), strokeWidth=width, point=dots, clip=True)
            .encode(across, up, order="k:Q")
        )
        there = np.where(steps[at] <= step, np.where(arrived[at], ", arrived", ", at rest"), "")
        told.append(f"{name} {now[step][2]:.3f}{there}")
    chart = alt.layer(*layers, handle(points(x1=start1, x2=start2), x=across, y=up))
    words = [
        f"From ({start1:.1f}, {start2:.1f}), with an output of {y0} wanted.",
        f"After {step} steps the outputs are: {'; '.join(told)}.",
    ]
    return LiveFigure(
        chart.properties(width=420, height=420), [start1, start2, step, *tables], words
    )
