"""Make the built book self-contained: it opens from disk, with no network.

MathJax comes from the package sphinx-mathjax-offline, and what no page loads
of it is removed. Thebe, which Jupyter Book prepares on every page to run cells
on a distant server, is left out.
"""

from pathlib import Path

# All that the combined component tex-chtml.js loads by itself.
MATHJAX = ("tex-chtml.js", "output/chtml/fonts/woff-v2")


def setup(app):
    app.connect("html-page-context", leave_out_thebe, priority=900)
    app.connect("build-finished", prune, priority=900)
    return {"parallel_read_safe": True}


def leave_out_thebe(app, pagename, templatename, context, doctree):
    def names_thebe(script):
        body = getattr(script, "attributes", {}).get("body", "")
        return "thebe" in f"{script} {body}".lower()

    scripts = context.get("script_files", [])
    context["script_files"] = [s for s in scripts if not names_thebe(s)]


def prune(app, exception):
    static = Path(app.outdir) / "_static"
    mathjax = static / "mathjax"
    if exception or not mathjax.is_dir():
        return
    loaded = [mathjax / name for name in MATHJAX]
    for path in mathjax.rglob("*"):
        needed = any(keep in (path, *path.parents) for keep in loaded)
        if path.is_file() and not needed:
            path.unlink()
    for path in sorted(mathjax.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    (static / "sphinx-thebe.js").unlink(missing_ok=True)
    (static / "sphinx-thebe.css").unlink(missing_ok=True)
