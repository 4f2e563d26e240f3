"""Live figures on the page: a notebook's Vega-Lite, without a kernel.

A cell that ends in a live figure (`helpers/live.py`) puts out its
specification and a still picture. MyST-NB sets the still as a numbered
figure. This extension

* adds the specification to the page, as JSON under the figure's name, and
  `live.js`, which puts the live figure in place of the still when the reader
  comes near it;
* writes the Vega scripts, once for all pages;
* turns a link such as `[a large rate](live:fig-descent?eta=6.5)` into a
  button that sets the figure's state.
"""

import html
import json
from pathlib import Path

import nbformat
import vl_convert
from docutils import nodes
from jupyter_cache import get_cache
from sphinx.transforms.post_transforms import SphinxPostTransform

from helpers.live import MIME_TYPE

SCRIPTS = "window.vegaEmbed = vegaEmbed;"


def setup(app):
    app.add_post_transform(SetState)
    app.connect("html-page-context", add_specifications)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class SetState(SphinxPostTransform):
    """Make buttons of the links that set the state of a live figure.

    In a chapter that failed before the figure they are plain text.
    """

    default_priority = 900

    def run(self, **kwargs):
        links = [
            link
            for link in self.document.findall(nodes.reference)
            if link.get("refuri", "").startswith("live:")
        ]
        failed = self.env.docname in self.env.failed_chapters
        alive = live_figures(self.app, self.env.docname) if failed else {}
        for link in links:
            state = html.unescape(link["refuri"].removeprefix("live:"))
            if failed and state.partition("?")[0] not in alive:
                link.replace_self(link.children)
            else:
                state = html.escape(state)
                button = f'<button type="button" data-state="{state}">'
                opened = nodes.raw("", button, format="html")
                closed = nodes.raw("", "</button>", format="html")
                link.replace_self([opened, *link.children, closed])


def add_specifications(app, pagename, templatename, context, doctree):
    figures = live_figures(app, pagename) if doctree else {}
    for name, spec in figures.items():
        attributes = f'type="application/json" data-live="{name}"'
        context["body"] += f"<script {attributes}>{as_json(spec)}</script>\n"
    if figures:
        app.add_js_file("live.js", loading_method="defer")
        write_scripts(Path(app.outdir) / "_static" / "vega.js")


def as_json(spec):
    """A specification for the page, without its schema: an address."""
    spec = {key: spec[key] for key in spec if key != "$schema"}
    return json.dumps(spec, separators=(",", ":")).replace("<", "\\u003c")


def live_figures(app, pagename):
    """The specifications of a page's live figures, by name of figure."""
    path = Path(app.env.doc2path(pagename))
    if path.suffix != ".ipynb":
        return {}
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    cache = get_cache(app.config.nb_execution_cache_path)
    _, executed = cache.merge_match_into_notebook(notebook)
    return {
        cell.metadata.mystnb.figure.name: output.data[MIME_TYPE]
        for cell in executed.cells
        for output in cell.get("outputs", [])
        if MIME_TYPE in output.get("data", {})
    }


def write_scripts(path):
    if not path.exists():
        scripts = vl_convert.javascript_bundle(SCRIPTS)
        # In a scope of its own: its names would clash with those of Sphinx.
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"(() => {{{scripts}}})();", encoding="utf-8")
