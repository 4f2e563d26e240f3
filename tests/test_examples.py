"""Every public helper has an example in its docstring, and it does what it says."""

import doctest
import importlib
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import ROOT

PUBLIC = re.findall(r"~(\w+)\.(\w+)", (ROOT / "book" / "helpers.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_the_example_runs_as_a_reader_would_run_it(module, name, capfd):
    function = getattr(importlib.import_module(f"helpers.{module}"), name)
    known = {"np": np, name: function}
    example = doctest.DocTestParser().get_doctest(function.__doc__, known, name, None, None)
    assert example.examples
    left_out = (module, name) == ("river", "train")  # by test_river, which trains
    assert ("+SKIP" in function.__doc__) == left_out
    with plt.rc_context():
        assert doctest.DocTestRunner().run(example).failed == 0
    plt.close("all")
    assert capfd.readouterr().err == ""
