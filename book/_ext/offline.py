"""Make the built book self-contained: it opens from disk, with no network.

MathJax comes from the package sphinx-mathjax-offline. Thebe, which Jupyter
Book prepares on every page to run cells on a distant server, is left out, and
so are MathJax and the styles of sphinx-design on pages that have no formula or
none of its parts. What no page loads is removed: most of MathJax, source maps,
the theme's own templates, and its two thousand icons: `icons.css` draws the
dozen that show.
"""

import shutil
from pathlib import Path

# The parts of MathJax that set our formulas. Its one script for everything,
# tex-chtml.js, is larger by a menu that we do not show.
MATHJAX = ("input/tex", "output/chtml", "a11y/assistive-mml")
MATHJAX_FILES = (
    "startup.js",
    "core.js",
    *(f"{part}.js" for part in MATHJAX),
    "output/chtml/fonts",
)

NOT_LOADED = (
    "sphinx-thebe*",
    "**/*.map",
    "*-macros.html",
    "locales",
    "scripts/fontawesome.js*",
    "vendor/fontawesome",
)


def setup(app):
    app.connect("config-inited", load_parts_of_mathjax)
    app.connect("builder-inited", make_folder)
    app.connect("html-page-context", leave_out_unused, priority=900)
    app.connect("build-finished", prune, priority=900)
    return {"parallel_read_safe": True}


def load_parts_of_mathjax(app, config):
    config.mathjax_path = "mathjax/startup.js"
    options = config.mathjax3_config or {}
    config.mathjax3_config = options | {"loader": {"load": list(MATHJAX)}}


def make_folder(app):
    # The theme copies its logos into _static, and takes it for a file's name
    # where an earlier build failed before the folder was made.
    (Path(app.outdir) / "_static").mkdir(parents=True, exist_ok=True)


def leave_out_unused(app, pagename, templatename, context, doctree):
    body = context.get("body", "")
    unused = ["thebe"]
    if 'class="sd-' not in body:
        unused += ["sphinx-design", "design-tabs"]
    # Sphinx takes the formulas of all chapters for the title page's, too.
    if 'class="math' not in body:
        unused += ["mathjax"]

    def is_used(file):
        script = getattr(file, "attributes", {}).get("body", "")
        named = f"{file} {script}".lower()
        return not any(name in named for name in unused)

    for kind in ("script_files", "css_files"):
        context[kind] = list(filter(is_used, context.get(kind, [])))


def prune(app, exception):
    static = Path(app.outdir) / "_static"
    mathjax = static / "mathjax"
    if exception or not mathjax.is_dir():
        return
    loaded = [mathjax / name for name in MATHJAX_FILES]
    for path in mathjax.rglob("*"):
        needed = any(keep in (path, *path.parents) for keep in loaded)
        if path.is_file() and not needed:
            path.unlink()
    for path in sorted(mathjax.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    for pattern in NOT_LOADED:
        for path in static.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
