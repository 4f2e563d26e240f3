"""How fast: ratios measured in one run, on this machine. Not a test; `make benchmark` runs it.

A ratio holds on a noisy machine where a time does not: both its sides are measured in one run.
"""

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from conftest import HTML, first_view, pdf
from peers import peers
from playwright.sync_api import sync_playwright
from scaling import on_a_cluster, scaling

from helpers.backend import keras, tf
from helpers.closed_forms import least_squares
from helpers.data import noisy_line
from helpers.reconstruction import reconstruct
from helpers.training import neuron, train, weight_and_bias

ROOT = Path(__file__).parents[1]


def seconds(action, repeats=5):
    """Median time of an action, after one call that compiles what there is to compile."""
    action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def report(what, slow, fast):
    print(f"{what:62} {slow:10.4g} s {fast:10.4g} s {slow / fast:10,.1f} times", flush=True)


def training():
    """The post's recipe, extrapolated from 300 of its 100 000 epochs, against ours."""
    x, y = noisy_line(seed=20180216)
    literal = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    literal.compile(optimizer="adam", loss="mse")

    def epochs(n):
        literal.fit(x[:, None], y[:, None], batch_size=100, epochs=n, verbose=0)

    epochs(10)
    start = time.perf_counter()
    epochs(300)
    slow = (time.perf_counter() - start) / 300 * 100_000

    start = time.perf_counter()  # its compilation included
    model = neuron()
    train(model, x, y, steps=300)
    fast = time.perf_counter() - start
    np.testing.assert_allclose(weight_and_bias(model), least_squares(x, y), rtol=1e-3)
    report("training: the post's recipe (extrapolated) / ours", slow, fast)


def reconstruction():
    """The eager loop of chapter 3 against the compiled one: 200 iterations, and until 1e-3."""
    model = neuron("linear", W=0.40205, b=-25.4402)

    def eager(targets, steps):
        x = tf.Variable(tf.ones((len(targets), 1)))
        for _ in range(steps):
            with tf.GradientTape() as tape:
                cost = tf.reduce_sum((model(x) - targets) ** 2)
            x.assign_sub(0.4 * tape.gradient(cost, x))
        return x

    def compiled(targets, **options):
        return reconstruct(model, targets, start=1.0, learning_rate=0.4, **options)

    one = np.array([[100.0]], "float32")
    slow = seconds(lambda: eager(one, 200))
    fast = seconds(lambda: compiled(one, max_iter=200, atol=0, rtol=0), repeats=50)
    report("reconstruction: eager / compiled, 200 iterations, 1 target", slow, fast)
    for n in (1, 1000, 1_000_000):
        targets = np.linspace(0, 300, n, dtype="float32")[:, None]
        found = compiled(targets, atol=1e-3, rtol=0)
        assert found.converged.all()
        steps = int(found.n_iter.max())
        slow = seconds(lambda t=targets, s=steps: eager(t, s), repeats=3)
        fast = seconds(lambda t=targets: compiled(t, atol=1e-3, rtol=0))
        report(f"reconstruction: eager / compiled, to 1e-3, {n:,} target(s)", slow, fast)


def building():
    """One chapter after the other against all cores; a cold build against one without a change."""
    with tempfile.TemporaryDirectory() as folder:
        book = Path(folder) / "book"
        shutil.copytree(ROOT, book, ignore=shutil.ignore_patterns(".*", "_build", "*.egg-info"))

        def build():
            command = [Path(sys.executable).with_name("jupyter-book"), "build", "."]
            start = time.perf_counter()
            subprocess.run(command, cwd=book, check=True, capture_output=True)
            return time.perf_counter() - start

        extension = book / "book" / "_ext" / "execute_chapters.py"
        source = extension.read_text()
        assert "os.cpu_count()" in source
        extension.write_text(source.replace("os.cpu_count()", "1"))
        sequential = build()
        shutil.rmtree(book / "_build")
        extension.write_text(source)
        parallel = build()
        unchanged = build()
    report("cold build: one chapter at a time / one a core", sequential, parallel)
    report("build: cold / nothing changed", parallel, unchanged)


def weight():
    """What each page loads before the reader scrolls, zipped, and its heaviest files."""
    with sync_playwright() as playwright:
        browser = pdf.launch(playwright)
        for path in sorted((HTML / "book").glob("*.html")):
            loaded = first_view(browser, path)
            heaviest = sorted(loaded, key=loaded.get, reverse=True)[:3]
            most = ", ".join(f"{name} {loaded[name] / 1000:.0f}" for name in heaviest)
            print(f"first view of {path.stem:20} {sum(loaded.values()) / 1000:5.0f} kB  ({most})")
        browser.close()


if __name__ == "__main__":
    weight()
    training()
    reconstruction()
    scaling()
    peers()
    on_a_cluster()
    building()
