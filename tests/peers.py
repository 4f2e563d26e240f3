"""Our `reconstruct` beside its peers: ratios measured in one run, on this machine. Not a test.

Five problems of the book, each solved by `reconstruct` without a rate, by our descent at its best
rate, by optimistix' Levenberg-Marquardt under vmap and jit, and by SciPy's least_squares in a loop.
JAX and optimistix live in an environment of their own: the two processes exchange weights, starts
and targets, and the answers, which are judged here, all by the same tolerance.
"""

import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from helpers import gates, objectives
from helpers.backend import keras
from helpers.closed_forms import logit
from helpers.priors import random_starts
from helpers.reconstruction import reconstruct
from helpers.training import fit, neuron

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / "_build" / "peers" / "bin" / "python"
K = keras.layers


def sigmoid_neurons():
    """Chapter 4's neuron, asked for a thousand outputs."""
    model = neuron("sigmoid", W=2.0, b=-1.0)
    target = np.linspace(0.02, 0.98, 1000)[:, None]
    return model, target, np.zeros((1000, 1)), dense(model)


def tanh_network():
    """4 → 8 → 2, with random weights, from a thousand starts."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), K.Dense(8, activation="tanh"), K.Dense(2)])
    rng = np.random.default_rng(0)
    target = model(rng.uniform(-1, 1, (1000, 4))).numpy()
    return model, target, rng.uniform(-1, 1, (1000, 4)), dense(model)


def digits():
    """Chapter 7's scans and its classifier."""
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    scans, labels = data.images[order] / 16, data.target[order]
    keras.utils.set_random_seed(0)
    layers = [K.Dense(64, "tanh", name="hidden"), K.Dense(10, "sigmoid", name="scores")]
    model = keras.Sequential([keras.Input((8, 8)), K.Flatten(), *layers])
    fit(model, scans[:1500], np.eye(10)[labels[:1500]], steps=200, loss="binary_crossentropy")
    return model, scans


def digit_score():
    """The score of a three, from twenty noisy images."""
    model, _ = digits()
    score = objectives.units(model, "scores", 3, space="preactivation")
    hidden, scores = (model.get_layer(name).get_weights() for name in ("hidden", "scores"))
    parts = chain((*hidden, "tanh"), (scores[0][:, [3]], scores[1][[3]], "linear"))
    return score, np.full((20, 1), logit(0.999)), random_starts(model, 20, 0, 1, seed=0), parts


def scan():
    """Fifty scans, each from 64 hidden units."""
    model, scans = digits()
    units = objectives.units(model, "hidden", list(range(64)), space="preactivation")
    start = np.broadcast_to(scans[:1500].mean(axis=0), (50, 8, 8))
    parts = chain((*model.get_layer("hidden").get_weights(), "linear"))
    return units, units(scans[1500:1550]).numpy(), start, parts


def forget_gate():
    """Chapter 9's LSTM: what shuts its forget gate at step 12, from twenty random sequences?"""
    T, step = 20, 11
    rng = np.random.default_rng(0)
    value, flag = rng.uniform(-1, 1, (256, T)), rng.random((256, T)) < 0.15
    sums, now = np.zeros((256, T)), 0
    for t in range(T):
        now = np.where(flag[:, t], 0, now) + value[:, t]
        sums[:, t] = now
    keras.utils.set_random_seed(0)
    lstm = K.LSTM(1, return_sequences=True, name="lstm")
    model = keras.Sequential([keras.Input((T, 2)), lstm, K.Dense(1)])
    for steps, rate in ((600, 0.05), (50, 0.002)):
        x, y = np.stack([value, flag], axis=-1), sums[..., None]
        fit(model, x, y, steps=steps, learning_rate=rate)
    start = random_starts(model, 20, [-1, 0], [1, 1], seed=5)
    parts = {f"w{i}": w for i, w in enumerate(lstm.get_weights())} | {"step": step}
    gate = gates.gate(model, "lstm", "f", unit=0, step=step)
    return gate, np.full((20, 1), logit(0.01)), start, parts


def first_of(make):
    """A problem's first target alone: what a call costs."""
    model, target, start, parts = make()
    return model, target[:1], start[:1], parts


# The problem and the tolerance of its output, absolute; relative, it is 1e-4 everywhere.
PROBLEMS = {
    "1,000 sigmoid neurons": (sigmoid_neurons, 1e-5),
    "digit score, 20 starts": (digit_score, 1e-3),
    "50 scans from 64 units": (scan, 1e-2),
    "LSTM, forget gate, 20 starts": (forget_gate, 1e-3),
    "tanh 4 to 2, 1,000 starts": (tanh_network, 1e-4),
    "one sigmoid neuron": (lambda: first_of(sigmoid_neurons), 1e-5),
    "one start of tanh 4 to 2": (lambda: first_of(tanh_network), 1e-4),
}
RTOL = 1e-4


def dense(model):
    """What JAX needs of a network of dense layers."""
    return chain(*((*layer.get_weights(), layer.activation.__name__) for layer in model.layers))


def chain(*layers):
    weights = [w for kernel, bias, _ in layers for w in (kernel, bias)]
    parts = {f"w{i}": w for i, w in enumerate(weights)}
    return parts | {"activations": np.array([name for *_, name in layers])}


def seconds(action, repeats=15):
    """The times of some calls."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return times


def best_descent(run, most=20_000):
    """The rate with which all arrive soonest, of rates a factor of √2 apart, and after how many."""
    best, fewest, misses = None, most, 0
    for rate in 2.0 ** np.arange(8, -13, -0.5):
        found = run(learning_rate=rate, max_iter=fewest)
        if found.converged.all() and found.n_iter.max() < fewest:
            best, fewest, misses = rate, int(found.n_iter.max()), 0
        elif best is not None:
            misses += 1
        if misses == 3:  # a smaller rate needs more steps
            break
    return best, fewest


class Case:
    """One problem: what is asked, and our two ways to solve it."""

    def __init__(self, make, atol):
        self.model, target, start, self.parts = make()
        self.start, self.target = start.astype("float32"), target.astype("float32")
        self.tolerance = {"atol": atol, "rtol": RTOL}
        (self.first,) = seconds(self.run, repeats=1)
        self.rate, self.steps = best_descent(self.run)
        self.own, self.descent = [], []

    def run(self, **options):
        return reconstruct(self.model, self.target, start=self.start, **self.tolerance, **options)

    def descend(self):
        return self.run(learning_rate=self.rate, max_iter=2 * self.steps)

    def measure(self):
        """Once before and once after the peers: the machine may change its pace."""
        self.own += seconds(self.run)
        if self.rate is not None:
            self.descent += seconds(self.descend)

    def save(self, path):
        flat = self.start.reshape(len(self.start), -1)
        np.savez(path, start=flat, target=self.target, **self.tolerance, **self.parts)

    def arrived(self, x):
        """The share of the answers that are within the tolerance, be they whose they may."""
        y = self.model(x.reshape(-1, *self.start.shape[1:])).numpy()
        wanted = self.target[: len(x)]
        allowed = self.tolerance["atol"] + RTOL * abs(wanted)
        return (abs(y - wanted) <= allowed).all(axis=1).mean()


def peers():
    """Solve all problems in all ways, and print a table."""
    if not PYTHON.exists():
        print("peers: JAX and optimistix could not be installed, so nothing is compared with them")
        return
    cases = {name: Case(*problem) for name, problem in PROBLEMS.items()}
    with tempfile.TemporaryDirectory() as folder:
        for name, case in cases.items():
            case.save(Path(folder) / name)
            case.measure()
        subprocess.run([PYTHON, Path(__file__).with_name("peers_in_jax.py"), folder], check=True)
        theirs = json.loads((Path(folder) / "times.json").read_text())
        answers = {name: dict(np.load(Path(folder) / f"{name}.answers.npz")) for name in PROBLEMS}
        for case in cases.values():
            case.measure()
    print(f"{'ms, (times ours), arrived':29}{'reconstruct':>16}{'optimistix':>25}", end="")
    print(f"{'SciPy, in a loop':>25}{'descent at its best rate':>32}")
    for name, case in cases.items():
        own = statistics.median(case.own)
        line = f"{name:29}{1e3 * own:10.2f} {case.arrived(case.run().x):5.0%}"
        for peer in ("optimistix", "scipy"):
            time, x = theirs[name][peer][0], answers[name][peer]
            line += f"{1e3 * time:10.2f} ({time / own:6.2f}) {case.arrived(x):5.0%}"
        if case.rate is None:
            print(f"{line}     no rate arrives in time")
            continue
        descent = statistics.median(case.descent)
        share = case.arrived(case.descend().x)
        line += f"{1e3 * descent:10.2f} ({descent / own:6.2f}) {share:5.0%}"
        print(f"{line} in {case.steps:,}")
    print("The first call, which compiles, in s; and what the peers were told:")
    for name, case in cases.items():
        (_, first, told), (_, _, scipy) = (theirs[name][peer] for peer in ("optimistix", "scipy"))
        print(f"{name:29}{case.first:6.1f}, optimistix {first:.1f} ({told}), SciPy ({scipy})")
    print("SciPy's time for more than 20 targets is extrapolated from 20.", flush=True)


if __name__ == "__main__":
    peers()
