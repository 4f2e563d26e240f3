"""Make the built book self-contained: it opens from disk, with no network.

MathJax comes from the package sphinx-mathjax-offline; what no page loads of it is removed. The
scripts that Jupyter Book loads for features which this book does not have (Thebe, which runs cells on
a distant server) are left out.
"""

import shutil
from pathlib import Path

# All that the combined component tex-chtml.js loads by itself.
MATHJAX = ("tex-chtml.js", "output/chtml/fonts/woff-v2")


def setup(app):
    app.connect("html-page-context", leave_out_thebe, priority=900)
    app.connect("build-finished", prune_mathjax, priority=900)
    return {"parallel_read_safe": True}


def leave_out_thebe(app, pagename, templatename, context, doctree):
    scripts = context.get("script_files", [])
    context["script_files"] = [
        script
        for script in scripts
        if "thebe" not in f"{getattr(script, 'filename', script)}{getattr(script, 'attributes', '')}".lower()
    ]


def prune_mathjax(app, exception):
    folder = Path(app.outdir) / "_static" / "mathjax"
    if exception or not folder.is_dir():
        return
    kept = [folder / name for name in MATHJAX]
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and not any(path == keep or keep in path.parents for keep in kept):
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    shutil.rmtree(Path(app.outdir) / "_static" / "sphinx-thebe", ignore_errors=True)
