"""The live figure of chapter 10: two ways of stepping over one landscape.

The paths are those of `reconstruct`, for a grid of starts, and go into the figure, rounded.
"""

import numpy as np

from helpers import live
from helpers.live import LiveFigure, Parameter, colour, field
from helpers.network_explorations import ACROSS, RUN, UP, contour, start_sliders
from helpers.reconstruction import reconstruct

STEPS = 12  # shown, at most


def two_ways(network, *, y0, start, learning_rate):
    """Descent, and damped Gauss–Newton steps, from a chosen start to a wanted output.

    Parameters
    ----------
    network : keras.Model
        With two inputs and one output; it is asked on the square from −1 to 1.
    y0, learning_rate : float
        The wanted output, and the rate of the descent, above 0.
    start : (float, float)
        The start at first, in fifths from −1 to 1.

    Examples
    --------
    >>> from helpers.backend import keras
    >>> hidden = keras.layers.Dense(3, activation="tanh")
    >>> network = keras.Sequential([keras.Input((2,)), hidden, keras.layers.Dense(1)])
    >>> figure = two_ways(network, y0=0.1, start=(0.2, 0.4), learning_rate=0.05)
    """
    start1, start2, grid, at = start_sliders(start, 5)
    step = live.slider("step", "step", STEPS, 0, STEPS, 1)
    k = field("k")
    so_far = live.counted("k", 0, STEPS + 1).transform_filter((k <= step).text)
    wanted = np.full(len(grid), y0)
    layers, tables, told = [contour(network, y0)], [], []
    for name, rate, of, shape, size, width in [
        ("Gauss–Newton", None, "input", "diamond", 160, 5),
        ("descent", learning_rate, "model", "circle", 25, 1.5),
    ]:
        run = reconstruct(network, wanted, start=grid, learning_rate=rate, **RUN)
        iterates = run.trace[np.minimum(np.arange(STEPS + 1), len(run.trace) - 1)]
        heights = network(iterates.reshape(-1, 2)).numpy().reshape(STEPS + 1, -1, 1)
        rows = np.concatenate([iterates, heights], axis=2).swapaxes(0, 1).astype(float).round(3)
        table = Parameter("path_" + of, rows.tolist())
        steps = Parameter("steps_" + of, run.n_iter.tolist())
        arrived = Parameter("arrived_" + of, run.converged.tolist())
        tables += [table, steps, arrived]
        now = table[at]
        path = live.calculated(so_far, x1=now[k][0], x2=now[k][1]).encode(ACROSS, UP, order="k:Q")
        look = {"color": colour(of), "strokeWidth": width, "clip": True}
        layers.append(path.mark_line(point=live.dots(of, size, shape=shape), **look))
        there = np.where(steps[at] <= step, np.where(arrived[at], ", arrived", ", at rest"), "")
        told.append(f"{name} {now[step][2]:.3f}{there}")
    layers.append(live.handle(live.points(x1=start1, x2=start2), ACROSS, UP))
    words = [
        f"From ({start1:.1f}, {start2:.1f}), with an output of {y0} wanted.",
        f"After {step} steps the outputs are: {'; '.join(told)}.",
    ]
    return LiveFigure(live.panel(layers, 420, 420), [start1, start2, step, *tables], words)
