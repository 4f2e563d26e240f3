"""Aids for every reader, on every page.

* A glossary term shows its definition to who hovers over it or reaches it by
  keyboard; `book.js` places it, and puts it away on Escape.
* Figures below the fold are loaded late.
* Pages describe themselves to search engines and to who shares them. Where
  the book will stand is told by the environment variable SITE_URL, which the
  page for addresses that lead nowhere (404.html) needs, too.
* The entries of the bibliography get a role that assistive tools know.
"""

import html
import itertools
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from docutils import nodes

GLOSSARY = "book/notation"
TERM = re.compile(
    r'<a class="reference internal"[^>]*#(term-[\w-]+)"[^>]*>'
    r'<span class="xref std std-term">.*?</a>',
    re.DOTALL,
)

DRAWING = re.compile(r'<img [^>]*src="[^"]*_images/([^"]*\.svg)"')
SIZE = re.compile(r'<svg [^>]*viewBox="\S+ \S+ (\S+) (\S+)"', re.DOTALL)


def setup(app):
    app.connect("config-inited", place_the_book, priority=100)
    app.connect("html-page-context", describe)
    app.connect("html-page-context", aid)
    app.connect("build-finished", let_404_open_from_disk)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def place_the_book(app, config):
    config.html_baseurl = os.environ.get("SITE_URL", "")
    if config.html_baseurl:
        path = urlsplit(config.html_baseurl).path
        config.notfound_urls_prefix = path.rstrip("/") + "/"


def describe(app, pagename, templatename, context, doctree):
    if doctree is None:
        context.setdefault("pagetitle", context.get("title"))
        return
    title = next(doctree.findall(nodes.title)).astext()
    if pagename == app.config.root_doc:
        context["docstitle"] = ""  # the title is not said twice
    description = first_words(doctree)
    image = app.config.html_baseurl + "_static/preview.png"
    if not app.config.html_baseurl:
        image = context["pathto"]("_static/preview.png", resource=True)
    told = {
        'name="description"': description,
        'property="og:type"': "article",
        'property="og:site_name"': app.config.project,
        'property="og:title"': title,
        'property="og:description"': description,
        'property="og:image"': image,
        'name="twitter:card"': "summary_large_image",
    }
    context["metatags"] += "".join(
        f'\n    <meta {name} content="{html.escape(content)}" />'
        for name, content in told.items()
    )


def first_words(doctree):
    """The first paragraph, and the next one where the two are short."""
    said = ""
    for paragraph in doctree.findall(nodes.paragraph):
        if isinstance(paragraph.parent, nodes.section):
            text = " ".join(paragraph.astext().split())
            formula = next(paragraph.findall(nodes.math), None)
            if said and (len(said) + len(text) > 250 or formula):
                break
            said = f"{said} {text}".strip()
    return said


def aid(app, pagename, templatename, context, doctree):
    body = context.get("body", "")
    body = body.replace('role="doc-biblioentry"', 'role="listitem"')
    body = DRAWING.sub(lambda match: load_late(app, match), body)
    if doctree is not None and "std-term" in body:
        definitions = glossary(app)
        numbers = itertools.count(1)

        def explain(match):
            name = f"definition-{next(numbers)}"
            link = match[0].replace("<a ", f'<a aria-describedby="{name}" ', 1)
            told = definitions[match[1]]
            note = f'<span role="tooltip" id="{name}">{told}</span>'
            return f'<span class="explained">{link}{note}</span>'

        body = TERM.sub(explain, body)
    context["body"] = body


def load_late(app, drawing):
    """The image, to be loaded late, with room kept for it."""
    sources = {name: uri for uri, name in app.builder.images.items()}
    path = Path(app.srcdir, sources[drawing[1]])
    width, height = SIZE.search(path.read_text(encoding="utf-8")).groups()
    return f'{drawing[0]} width="{width}" height="{height}" loading="lazy"'


def let_404_open_from_disk(app, exception):
    page = Path(app.outdir) / "404.html"
    if not app.config.html_baseurl and page.is_file():
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace('="/', '="'), encoding="utf-8")


def glossary(app):
    """The definitions as HTML, by the identifiers of their terms."""
    if not hasattr(app, "glossary_definitions"):
        doctree = app.env.get_and_resolve_doctree(GLOSSARY, app.builder)
        app.glossary_definitions = {
            identifier: "".join(
                app.builder.render_partial(child)["fragment"]
                for child in item[-1][0].children
            )
            for item in doctree.findall(nodes.definition_list_item)
            for term in item.findall(nodes.term)
            for identifier in term["ids"]
        }
    return app.glossary_definitions
