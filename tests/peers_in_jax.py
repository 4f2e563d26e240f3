"""The peers' side of `peers.py`: optimistix and SciPy, on the same networks written in JAX.

Called with a folder of problems as .npz files, and leaves beside each the answers, and all times in
one .json. Runs in an environment of its own, without TensorFlow and without our package.
"""

import json
import statistics
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optimistix
from scipy.optimize import least_squares

ACTIVATIONS = {"linear": lambda z: z, "tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid}
SINGLES = 20  # SciPy solves so many targets, one after the other

# A solver may stop as early as its answers, all of them, still are within the tolerance.
TOLERANCES = [10.0**-k for k in range(1, 9)]


def network(problem):
    """The function of one input, flat, that the .npz describes."""
    if "step" in problem:
        return lambda x: forget_gate(problem, x)
    activations = [str(name) for name in problem["activations"]]
    weights = [problem[f"w{i}"] for i in range(2 * len(activations))]

    def answer(x):
        for kernel, bias, name in zip(weights[::2], weights[1::2], activations):
            x = ACTIVATIONS[name](x @ kernel + bias)
        return x

    return answer


def forget_gate(problem, x):
    """The forget gate's pre-activation of a Keras LSTM at a step."""
    K, U, b = (problem[f"w{i}"] for i in range(3))
    x = x.reshape(-1, len(K))
    step = int(problem["step"])

    def one(state, x):
        h, c = state
        i, f, g, o = jnp.split(x @ K + h @ U + b, 4)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

    zero = jnp.zeros(len(U), x.dtype)
    (h, _), _ = jax.lax.scan(one, (zero, zero), x[:step])
    return jnp.split(x[step] @ K + h @ U + b, 4)[1]


def seconds(action, repeats=9):
    """The time of the first call, and the median of those that follow, which compile nothing."""
    times = []
    for _ in range(1 + repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return times[0], statistics.median(times[1:])


def within(problem, y):
    allowed = problem["atol"] + problem["rtol"] * abs(problem["target"])
    return (abs(y - problem["target"]) <= allowed).all(axis=1)


def with_optimistix(answer, problem):
    """Its best: the looser tolerance and the quicker direction of differentiation."""
    start, target = jnp.array(problem["start"]), jnp.array(problem["target"])
    found = []
    for direction in ("fwd", "bwd"):
        for tolerance in TOLERANCES:
            solver = optimistix.LevenbergMarquardt(rtol=tolerance, atol=tolerance)

            def one(x, t, solver=solver, direction=direction):
                solution = optimistix.least_squares(
                    lambda x, t: answer(x) - t, solver, x, args=t, options={"jac": direction},
                    max_steps=500, throw=False,
                )  # fmt: skip
                return solution.value

            all_at_once = jax.jit(jax.vmap(one))
            first = time.perf_counter()
            x = np.asarray(all_at_once(start, target))
            first = time.perf_counter() - first
            if (
                within(problem, np.asarray(jax.vmap(answer)(x))).all()
                or tolerance == TOLERANCES[-1]
            ):
                break
        _, median = seconds(lambda run=all_at_once: np.asarray(run(start, target)))
        found.append((median, first, x, f"{tolerance:.0e}, {direction}"))
    return min(found, key=lambda each: each[0])


def with_scipy(answer, problem):
    """One target after the other, the function and its Jacobian compiled by JAX."""
    y = jax.jit(answer)
    J = jax.jit(jax.jacrev(answer) if len(problem["target"][0]) < 4 else jax.jacfwd(answer))
    some = slice(0, SINGLES)
    few = {**problem, "target": problem["target"][some]}
    for tolerance in TOLERANCES:

        def run(tolerance=tolerance):
            return np.array([
                least_squares(
                    lambda x, t: np.asarray(y(x.astype("float32"))) - t, x,
                    lambda x, t: np.asarray(J(x.astype("float32"))), args=(t,),
                    ftol=tolerance, xtol=tolerance, gtol=tolerance,
                ).x
                for x, t in zip(problem["start"][some], few["target"])
            ])  # fmt: skip

        x = run().astype("float32")
        if within(few, np.asarray(jax.vmap(answer)(x))).all():
            break
    first, median = seconds(run, repeats=3)
    share = len(problem["target"]) / len(x)
    return median * share, first, x, f"{tolerance:.0e}"


if __name__ == "__main__":
    folder, times = Path(sys.argv[1]), {}
    for path in sorted(folder.glob("*.npz")):
        problem = dict(np.load(path))
        answer, answers = network(problem), {}
        for name, solve in (("optimistix", with_optimistix), ("scipy", with_scipy)):
            median, first, answers[name], setting = solve(answer, problem)
            times.setdefault(path.stem, {})[name] = (median, first, setting)
        np.savez(folder / f"{path.stem}.answers", **answers)
    (folder / "times.json").write_text(json.dumps(times))
