"""From one target to ten million, beside JAX, and from one worker to two. Not a test.

The line of chapter 3 is inverted by descent, and the sigmoid neuron of chapter 4 by damped
Gauss-Newton steps. JAX runs in an environment of its own (see `peers.py`). The workers look for the
rain of chapter 11. Called with the name of a folder, this leaves all times there, for chapter 13.
"""

import csv
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from distributed import get_task_stream
from peers import PYTHON

from helpers import river
from helpers.cluster import local_client, reconstruct_on
from helpers.data import piscataquis
from helpers.reconstruction import reconstruct
from helpers.training import neuron

HERE = Path(__file__).parent
SIZES = (1, 1000, 100_000, 1_000_000, 10_000_000)
DESCENT, GAUSS_NEWTON = "descent", "Gauss-Newton"


def problem(method, N):
    """A neuron, its W and b, and how N targets of it are asked for."""
    if method == DESCENT:
        model = neuron("linear", W=0.40205, b=-25.4402)
        target = np.linspace(0, 300, N, dtype="float32")[:, None]
        return model, target, {"start": 1.0, "learning_rate": 0.4, "atol": 1e-3, "rtol": 0.0}
    model = neuron("sigmoid", W=2.0, b=-1.0)
    target = np.linspace(0.02, 0.98, N, dtype="float32")[:, None]
    return model, target, {"start": 0.0, "atol": 1e-5, "rtol": 1e-4}


def ours(method, N):
    """The median time of a call that compiles nothing, and the number of steps of the last run."""
    model, target, options = problem(method, N)
    found = reconstruct(model, target, **options)
    assert found.converged.all()
    steps, times = int(found.n_iter.max()), []
    del found
    for _ in range(50 if N <= 1000 else 9 if N <= 1_000_000 else 3):
        start = time.perf_counter()
        reconstruct(model, target, **options)
        times.append(time.perf_counter() - start)
    return statistics.median(times), steps


def theirs(cases):
    """The same of JAX and optimistix."""
    with tempfile.TemporaryDirectory() as folder:
        for method, N in cases:
            model, target, options = problem(method, N)
            W, b = model.get_weights()
            told = {"atol": options["atol"], "rtol": options["rtol"]}
            if method == DESCENT:
                told["rate"] = options["learning_rate"]
            start = np.full_like(target, options["start"])
            np.savez(Path(folder) / f"{method} {N}", W=W, b=b, start=start, target=target, **told)
        subprocess.run([PYTHON, HERE / "scaling_in_jax.py", folder], check=True)
        return json.loads((Path(folder) / "times.json").read_text())


def memory(N):
    """The most memory, in bytes, that a whole process takes in which N targets are asked for."""
    code = f"""if True:
        import resource, scaling
        scaling.ask({N})
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"""
    environment = os.environ | {"PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parent}"}
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    return int(answer.stdout) * (1 if sys.platform == "darwin" else 1024)


def ask(N):
    """Ask for N targets of the line, once."""
    model, target, options = problem(DESCENT, N)
    assert reconstruct(model, target, **options).converged.all()


def limits():
    """Bytes a second that a copy moves, and multiplications and additions a second of a product."""
    some, copy = np.ones(2**26, np.float32), np.empty(2**26, np.float32)
    A = np.ones((2048, 2048), np.float32)
    times = {"copy": [], "product": []}
    for _ in range(5):
        for name, action in (("copy", lambda: np.copyto(copy, some)), ("product", lambda: A @ A)):
            start = time.perf_counter()
            action()
            times[name].append(time.perf_counter() - start)
    return 2 * some.nbytes / min(times["copy"]), 2 * 2048**3 / min(times["product"])


def processor():
    """What the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def scaling():
    """Measure and print ratios: the times as rows of a table."""
    cases = [(DESCENT, N) for N in SIZES] + [(GAUSS_NEWTON, N) for N in SIZES[:-1]]
    first = {case: ours(*case) for case in cases}
    peer = theirs(cases) if PYTHON.exists() else {}
    rows = []
    print(f"{'':26}{'targets':>12}{'ours, s':>12}{'theirs, s':>12}{'ours / theirs':>16}")
    for case in cases:
        method, N = case
        own, steps = (first[case][0] + ours(*case)[0]) / 2, first[case][1]
        rows.append(("reconstruct", method, N, own / N))
        line = f"{method:26}{N:12,}{own:12.3g}"
        if other := peer.get(f"{method} {N}"):
            name = "JAX" if method == DESCENT else "optimistix"
            rows.append((name, method, N, other / N))
            line += f"{other:12.3g}{own / other:16.2f}"
        print(line, flush=True)
        if case == (DESCENT, 1_000_000):
            bandwidth, peak = limits()
            # A step reads x and its target and writes x; it takes 8 operations.
            through_memory, at_the_peak = steps * N * 12 / bandwidth, steps * N * 8 / peak
            print(f"    beside {steps} steps that go through memory: {own / through_memory:.2f}")
            print(f"    beside their operations at the peak: {own / at_the_peak:.1f}")
    most = memory(SIZES[-1]) / 1e9
    print(f"memory of a process that asks for {SIZES[-1]:,} targets of a line: {most:.2f} GB")
    return rows


def on_a_cluster():
    """Two workers against one, each a single thread: twelve draws of the summers unseen.

    Returns rows of a table; the last column is for how long workers were busy, all taken together.
    """
    measured = piscataquis()
    network = river.new_network(measured, seed=0)
    network.set_weights(river.trained_weights()[0])
    summers = river.sequences(measured, river.UNSEEN)[:, 335:396]
    draws = np.random.default_rng(0).normal(1, 0.02, (12, *summers.shape))
    target = np.concatenate(draws * np.sqrt(measured.runoff[summers]))[..., np.newaxis]
    start = np.tile(river.stretches(network, measured, summers, rain=3.0), (12, 1, 1))
    model, least = river.of_rain(network, 61), np.full((65, 4), -np.inf)
    least[4:, 0] = 0
    options = {"start": start, "bounds": (least, np.inf), "max_iter": 20, "chunk": 13}

    rows, repeats = [], 5
    for workers in (1, 2):
        with local_client(workers) as client:
            ask = partial(reconstruct_on, client, model, target, **options)
            ask()  # the workers compile
            with get_task_stream(client) as stream:
                begun = time.perf_counter()
                for _ in range(repeats):
                    ask()
                took = time.perf_counter() - begun
            parts = [part for task in stream.data for part in task["startstops"]]
            busy = sum(p["stop"] - p["start"] for p in parts if p["action"] == "compute")
        rows.append((workers, len(target), took / repeats, busy / repeats))
    (_, N, alone, busy), (*_, shared, _) = rows
    print(f"river, {N} summers: one worker / two workers: {alone / shared:.2f}")
    print(f"    share of the time in which the one worker is idle: {1 - busy / alone:.3f}")
    return rows


def save(path, head, rows):
    """Leave rows of a table in a .csv file, behind other machines' rows, with date and machine."""
    made = datetime.date.today().isoformat(), processor()
    head, others = [*head, "date", "machine"], []
    if path.exists():
        with open(path, newline="", encoding="utf-8") as file:
            others = [row for row in csv.reader(file) if row[-1] not in (head[-1], made[-1])]
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerows([head, *others])
        for row in rows:
            cells = [f"{each:.3g}" if isinstance(each, float) else each for each in row]
            table.writerow([*cells, *made])


if __name__ == "__main__":
    times, on_workers = scaling(), on_a_cluster()
    if len(sys.argv) > 1:
        folder = Path(sys.argv[1])
        save(folder / "benchmark.csv", ["peer", "method", "n_targets", "seconds_per_target"], times)
        head = ["workers", "n_targets", "seconds", "busy"]
        save(folder / "benchmark_cluster.csv", head, on_workers)
