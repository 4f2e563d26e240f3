"""Execute the chapters before Sphinx reads them, when it is needed.

MyST-NB finds the executed notebooks in jupyter-cache, which knows a notebook
by its code cells alone. This extension adds what else a result depends on, and
what a book wants of its chapters:

* The cache lives in a folder named for a digest of `helpers/`, data files
  included, and `requirements.txt`. When one of them changes, so does the name,
  and with it a setting that Sphinx watches: every chapter is executed and read
  again. A changed sentence leaves both alone.
* Chapters that are not in the cache are executed in parallel, one a core, the
  last ones first: they take longest.
* A chapter with a cell that fails, that writes to stderr, or that never ends
  does not take the book with it. Its page is built from what did run, and says
  so (`failed_chapters.py`); the build ends with an error that names chapter
  and cell, and the next one executes this chapter again, and no other.
"""

import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from nbclient import NotebookClient
from nbclient.exceptions import (
    CellExecutionError,
    CellTimeoutError,
    DeadKernelError,
)
from sphinx.util import logging

from failed_chapters import fit_for_the_page

logger = logging.getLogger(__name__)


def setup(app):
    app.connect("config-inited", name_cache_for_its_inputs)
    app.connect("env-get-outdated", chapters_that_failed_before)
    app.connect("env-before-read-docs", execute_chapters)
    app.connect("build-finished", name_failed_chapters, priority=999)
    return {"parallel_read_safe": True}


def name_cache_for_its_inputs(app, config):
    usual = Path(app.outdir).parent / ".jupyter_cache"
    cache = Path(config.nb_execution_cache_path or usual)
    config.nb_execution_cache_path = str(cache / digest_of_inputs(app.srcdir))


def digest_of_inputs(root):
    """What the results of a chapter depend on, besides its own code."""
    root = Path(root)
    return digest(root, root / "helpers", root / "requirements.txt")


def digest(root, *paths):
    """SHA-256 of files and folders: their names within root, and contents."""
    files = [file for path in paths for file in (path, *path.rglob("*"))]
    state = hashlib.sha256()
    for file in sorted(filter(Path.is_file, files)):
        if "__pycache__" not in file.parts:
            name = file.relative_to(root).as_posix()
            state.update(f"{name}\0{file.stat().st_size}\0".encode())
            state.update(file.read_bytes())
    return state.hexdigest()[:16]


def chapters_that_failed_before(app, env, added, changed, removed):
    return getattr(env, "failed_chapters", ())


def execute_chapters(app, env, docnames):
    cache = get_cache(app.config.nb_execution_cache_path)
    missing = {}
    for name in docnames:
        path = Path(env.doc2path(name))
        if path.suffix == ".ipynb":
            notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
            try:
                known = cache.match_cache_notebook(notebook)
            except KeyError:
                known = None
            if known is None or "failure" in known.data:
                missing[name] = notebook, path
    failed = getattr(env, "failed_chapters", {})
    env.failed_chapters = {
        name: failure
        for name, failure in failed.items()
        if name not in docnames and name in env.found_docs
    }
    if not missing:
        return

    logger.info("executing %s", ", ".join(missing))
    timeout = app.config.nb_execution_timeout
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        running = {
            pool.submit(execute, *missing[name], timeout): name
            for name in sorted(missing, reverse=True)
        }
        for done in as_completed(running):
            name = running[done]
            notebook, path = missing[name]
            failure, seconds = done.result()
            data = {"execution_seconds": seconds}
            if failure:
                fit_for_the_page(notebook, failure)
                env.failed_chapters[name] = data["failure"] = failure
            verdict = "failed after" if failure else "took"
            logger.info("    %s %s %.0f s", name, verdict, seconds)
            keep(cache, notebook, path, data)


def execute(notebook, path, timeout):
    """Run a notebook, in place: (what failed, or None; the seconds it took).

    A failure is a dict: the `cell` (its index), the `name` of the error and
    its `message`.
    """
    at = 0

    def note(cell, cell_index):
        nonlocal at
        at = cell_index

    client = NotebookClient(
        notebook,
        timeout=timeout,
        record_timing=False,  # it would be part of the cache's key
        coalesce_streams=True,  # a line printed in two parts stays one line
        resources={"metadata": {"path": str(path.parent)}},
        on_cell_execute=note,
        extra_arguments=["--log-level=ERROR"],  # the kernel's own notes
    )
    client.log.disabled = True  # what it would say is in the failure
    failure, start = None, time.perf_counter()
    try:
        client.execute()
    except CellExecutionError as error:
        failure = {"cell": at, "name": error.ename, "message": error.evalue}
    except CellTimeoutError:
        message = f"the cell did not end within {timeout} seconds"
        failure = {"cell": at, "name": "TimeoutError", "message": message}
    except DeadKernelError:
        message = "the process that runs the chapter was ended from outside"
        failure = {"cell": at, "name": "DeadKernelError", "message": message}
    except Exception as error:  # such as a kernel that did not start
        name, message = type(error).__name__, str(error)
        failure = {"cell": at, "name": name, "message": message}
    return failure or stderr_of(notebook), time.perf_counter() - start


def stderr_of(notebook):
    """What a cell wrote to stderr, as a failure, or None."""
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                said = output.text.strip()
                return {"cell": index, "name": "stderr", "message": said}
    return None


def keep(cache, notebook, path, data):
    """Put an executed notebook into the cache."""
    bundle = CacheBundleIn(notebook, str(path), data=data)
    cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


def name_failed_chapters(app, exception):
    failed = getattr(app.env, "failed_chapters", {})
    if exception or not failed:
        return
    for name, failure in failed.items():
        logger.error(
            "%s, cell %s failed: %s: %s",
            Path(app.env.doc2path(name)).relative_to(app.srcdir),
            *(failure[key] for key in ("cell", "name", "message")),
        )
    logger.error(
        "The other pages are whole. These chapters are executed again next "
        "time; each of their pages shows what failed."
    )
    app.statuscode = 1
