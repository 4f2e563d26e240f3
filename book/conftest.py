"""With `--for-the-build`, what nbval executes goes to the build's cache.

So `make test` executes each chapter once: its cells are tested, then its
page is built from the same results. A chapter with a cell that fails, or
that writes to stderr, is left to the build, which has its own way with it.
"""

import sys
from pathlib import Path

import pytest
from jupyter_cache import get_cache
from nbval.plugin import IPyNbCell

sys.path.insert(0, str(Path(__file__).with_name("_ext")))
from execute_chapters import digest_of_inputs, keep, stderr_of

ROOT = Path(__file__).parents[1]
HAS_FAILED = pytest.StashKey[bool]()


def pytest_addoption(parser):
    text = "keep what nbval executes for the build of the pages"
    parser.addoption("--for-the-build", action="store_true", help=text)


def pytest_collection_modifyitems(items):
    # The last chapters take longest, so they start first.
    chapters = [item for item in items if isinstance(item, IPyNbCell)]
    others = [item for item in items if not isinstance(item, IPyNbCell)]
    chapters.sort(key=lambda cell: cell.path.name, reverse=True)
    items[:] = others + chapters


def pytest_runtest_makereport(item, call):
    if isinstance(item, IPyNbCell) and call.excinfo:
        item.parent.stash[HAS_FAILED] = True


def pytest_runtest_teardown(item, nextitem):
    if not isinstance(item, IPyNbCell):
        return
    # IPython shows no value behind a semicolon; nbval keeps it, though.
    quiet = item.cell.source.rstrip().endswith(";")
    item.cell.outputs = [
        output
        for output in item.test_outputs or []
        if not (quiet and output.output_type == "execute_result")
    ]
    if nextitem is not None and nextitem.parent is item.parent:
        return
    clean = HAS_FAILED not in item.parent.stash and not stderr_of(
        item.parent.nb
    )
    if clean and item.config.option.for_the_build:
        caches = ROOT / "_build" / ".jupyter_cache"
        cache = get_cache(caches / digest_of_inputs(ROOT))
        keep(cache, item.parent.nb, item.path, {})
