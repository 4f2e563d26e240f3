"""The trial of other machines: it must see what differs, and perturb what it says it perturbs."""

import shutil
import subprocess
import sys

import machines
import nbformat
import numpy as np
import pytest
from conftest import ROOT
from nbformat import v4

pytestmark = pytest.mark.build  # of books of its own; and it is not to try itself

TRAININGS = """
import os, runpy
from helpers.backend import keras
from helpers.data import noisy_line
from helpers.training import neuron, train, weight_and_bias
unperturbed = keras.Model.fit
for seed in (None, "1", "2"):
    keras.Model.fit = unperturbed
    if seed:
        os.environ["PERTURBATION"] = seed
        runpy.run_path("tests/perturb.py")
    model = neuron(W=1.0, b=1.0)
    train(model, *noisy_line(seed=1), steps=30)
    print(*map(repr, weight_and_bias(model)))
"""


def test_trainings_are_perturbed_by_some_last_digits():
    command = [sys.executable, "-c", TRAININGS]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    plain, one, other = (np.array(line.split(), float) for line in run.stdout.splitlines())
    assert (one != plain).any()
    assert (one != other).any()
    np.testing.assert_allclose([one, other], [plain, plain], rtol=1e-4)


@pytest.fixture
def small_book(tmp_path, monkeypatch):
    """A book of one chapter, which counts on one thread and on no perturbation; and one test."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    cell = 'import os\nprint(os.environ.get("OMP_NUM_THREADS"), os.environ.get("PERTURBATION"))'
    printed = v4.new_output("stream", name="stdout", text="1 None\n")
    tags = {"tags": ["nbval-check-output"]}
    notebook = v4.new_notebook(
        cells=[v4.new_code_cell(cell, metadata=tags, outputs=[printed], execution_count=1)],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    (tmp_path / "book").mkdir()
    nbformat.write(notebook, tmp_path / "book" / "01_one.ipynb")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_one.py").write_text("def test_one():\n    pass\n")
    monkeypatch.setattr(machines, "ROOT", tmp_path)
    return tmp_path


def test_it_names_what_differs(small_book):
    assert machines.run("one-thread", small_book / "one.xml") == (2, [])
    number, failed = machines.run("eight-threads", small_book / "eight.xml")
    assert number == 2
    ((where, message),) = failed
    assert "01_one" in where
    assert "Cell 0" in where
    assert "Cell outputs differ" in message
    number, failed = machines.run("perturbed-3", small_book / "perturbed.xml")
    assert number == 1  # the chapters alone
    assert len(failed) == 1


def test_a_run_that_tries_nothing_is_no_success(small_book):
    (small_book / "book" / "01_one.ipynb").unlink()
    (small_book / "tests" / "test_one.py").unlink()
    number, failed = machines.run("one-thread", small_book / "none.xml")
    assert number == 0
    assert [where for where, _ in failed] == ["pytest"]


def test_it_says_what_it_cannot_run(monkeypatch):
    monkeypatch.setattr(machines, "X86", False)
    assert "x86" in machines.cannot_run("avx")
    assert machines.cannot_run("one-thread") is None
    monkeypatch.setattr(machines, "X86", True)
    monkeypatch.setattr(machines, "cpu_features", {"AVX2": False})
    assert "AVX2" in machines.cannot_run("avx2")


def test_an_unknown_variant_is_named():
    with pytest.raises(SystemExit, match=r"no such variant: avx3; there are sse4\.2, avx"):
        machines.main(["avx3"])
