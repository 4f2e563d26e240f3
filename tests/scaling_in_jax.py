"""The peers' side of `scaling.py`: plain descent in JAX, and optimistix' Levenberg-Marquardt.

Called with a folder of problems as .npz files, and leaves all times in one .json. Runs in an
environment of its own, without TensorFlow and without our package.
"""

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optimistix
from peers_in_jax import TOLERANCES, seconds, within


@jax.jit
def descend(W, b, target, start, rate, atol):
    """All steps in one program: until the last of the targets has been reached."""

    def cost(x):
        return jnp.sum((x @ W + b - target) ** 2)

    def unfinished(state):
        x, i = state
        return (i < 10_000) & jnp.any(abs(x @ W + b - target) > atol)

    def step(state):
        x, i = state
        return x - rate * jax.grad(cost)(x), i + 1

    return jax.lax.while_loop(unfinished, step, (start, 0))


def of_descent(problem):
    W, b, start, target = (jnp.array(problem[name]) for name in ("W", "b", "start", "target"))
    rate, atol = np.float32(problem["rate"]), np.float32(problem["atol"])
    x = np.asarray(descend(W, b, target, start, rate, atol)[0])
    assert (abs(x @ problem["W"] + problem["b"] - problem["target"]) <= 1.01 * atol).all()
    return seconds(lambda: [np.asarray(a) for a in descend(W, b, target, start, rate, atol)])[1]


def of_optimistix(problem):
    """With the loosest tolerance with which all arrive."""
    W, b = problem["W"], problem["b"]
    start, target = jnp.array(problem["start"]), jnp.array(problem["target"])

    def answer(x):
        return jax.nn.sigmoid(x @ W + b)

    for tolerance in TOLERANCES:
        solver = optimistix.LevenbergMarquardt(rtol=tolerance, atol=tolerance)

        def one(x, t, solver=solver):
            return optimistix.least_squares(
                lambda x, t: answer(x) - t, solver, x, args=t, max_steps=500, throw=False
            ).value

        all_at_once = jax.jit(jax.vmap(one))
        y = np.asarray(jax.vmap(answer)(all_at_once(start, target)))
        if within(problem, y).all():
            break
    return seconds(lambda: np.asarray(all_at_once(start, target)), repeats=5)[1]


if __name__ == "__main__":
    folder, times = Path(sys.argv[1]), {}
    for path in folder.glob("*.npz"):
        problem = dict(np.load(path))
        times[path.stem] = (of_descent if "rate" in problem else of_optimistix)(problem)
    (folder / "times.json").write_text(json.dumps(times))
