"""Execute the chapters before Sphinx reads them, when it is needed.

MyST-NB finds the executed notebooks in jupyter-cache, which knows a notebook
by its code cells alone. This extension adds what else a result depends on, and
what a book wants of its chapters:

* The cache lives in a folder named for a digest of `helpers/`, data files
  included, and `requirements.txt`. When one of them changes, so does the name,
  and with it a setting that Sphinx watches: every chapter is executed and read
  again. A changed sentence leaves both alone.
* Chapters that are not in the cache are executed in parallel, one a core.
* A cell that fails, or writes to stderr, stops the build with a message that
  names chapter and cell. The chapter's page from an earlier build is removed;
  chapters that succeeded stay in the cache.
"""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.executors.utils import single_nb_execution
from sphinx.errors import ExtensionError
from sphinx.util import logging

logger = logging.getLogger(__name__)


def setup(app):
    app.connect("config-inited", name_cache_for_its_inputs)
    app.connect("env-before-read-docs", execute_chapters)
    return {"parallel_read_safe": True}


def name_cache_for_its_inputs(app, config):
    root = Path(app.srcdir)
    usual = Path(app.outdir).parent / ".jupyter_cache"
    cache = Path(config.nb_execution_cache_path or usual)
    inputs = digest(root, root / "helpers", root / "requirements.txt")
    config.nb_execution_cache_path = str(cache / inputs)


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


def execute_chapters(app, env, docnames):
    cache = get_cache(app.config.nb_execution_cache_path)
    missing = {}
    for name in docnames:
        path = Path(env.doc2path(name))
        if path.suffix == ".ipynb":
            notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
            try:
                cache.match_cache_notebook(notebook)
            except KeyError:
                missing[name] = path, notebook
    if not missing:
        return

    def run(path, notebook):
        return single_nb_execution(
            notebook,
            cwd=str(path.parent),
            timeout=app.config.nb_execution_timeout,
            allow_errors=False,
            extra_arguments=["--log-level=ERROR"],  # the kernel's own notes
        )

    logger.info("executing %s", ", ".join(missing))
    complaints = []
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        running = {name: pool.submit(run, *missing[name]) for name in missing}
    for name, (path, notebook) in missing.items():
        try:
            result = running[name].result()
            complaint = what_is_wrong(notebook, result.err)
        except Exception as error:  # such as a kernel that died
            complaint = f"{type(error).__name__}: {error}"
        if complaint:
            complaints.append(f"{path.relative_to(app.srcdir)}, {complaint}")
            page = Path(app.outdir) / app.builder.get_target_uri(name)
            page.unlink(missing_ok=True)
        else:
            seconds = {"execution_seconds": result.time}
            cache.cache_notebook_bundle(
                CacheBundleIn(notebook, str(path), data=seconds),
                check_validity=False,
                overwrite=True,
            )
    if complaints:
        raise ExtensionError(
            "not every chapter ran cleanly\n\n" + "\n\n".join(complaints)
        )


def what_is_wrong(notebook, error):
    """The first cell that failed or wrote to stderr, or None."""
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if output.output_type == "error" and error is not None:
                said = f"failed: {output.ename}: {output.evalue}"
            elif output.get("name") == "stderr":
                said = f"wrote to stderr: {output.text.strip()}"
            else:
                continue
            return f"cell {index} {said}\n{cell.source}"
    return None if error is None else f"{type(error).__name__}: {error}"
