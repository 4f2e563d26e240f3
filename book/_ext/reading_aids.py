"""Aids for every reader, on every page.

* A glossary term shows its definition to who hovers over it or reaches it by
  keyboard; `book.js` places it, and puts it away on Escape.
* Figures below the fold are loaded late, and their room is kept.
* No line ends within "Fig. 1.3", "Equation (3.1)", "20 000" or "12 mm", nor
  between a formula and the comma that follows it.
* Pages describe themselves to search engines and to who shares them. Where
  the book will stand is told by the environment variable SITE_URL, which the
  page for addresses that lead nowhere (404.html) needs, too.
* The entries of the bibliography get a role that assistive tools know.
"""

import html
import os
import posixpath
import re
from pathlib import Path
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

GLOSSARY = "book/notation"
KEPT_AS_WRITTEN = (nodes.literal, nodes.math, nodes.FixedTextElement)
THOUSANDS = re.compile(r"(?<=\d) (?=\d{3}(?!\d))")
UNIT = re.compile(r"(?<=\d) (?=(?:%|mg|mm|kB|MB|GB)(?!\w))")
STOP = re.compile(r"[,.;:!?)\]’”]+")
NO_BREAK, NARROW_NO_BREAK = "\u00a0", "\u202f"


class ExplainedTerm(nodes.reference):
    """A link to a term of the glossary, with its definition."""


class Drawing(nodes.image):
    """An SVG that is loaded late. Its attribute `size`: width and height."""


def setup(app):
    app.add_node(ExplainedTerm, html=(visit_term, depart_term))
    app.add_node(Drawing, html=(visit_drawing, None))
    citation = visit_citation, depart_citation
    app.add_node(nodes.citation, override=True, html=citation)
    app.add_post_transform(ExplainTerms)
    app.add_post_transform(LoadDrawingsLate)
    app.add_post_transform(KeepTogether)
    app.connect("config-inited", place_the_book, priority=100)
    app.connect("html-page-context", describe)
    app.connect("build-finished", let_404_open_from_disk)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class ExplainTerms(SphinxPostTransform):
    default_priority = 900  # when the links are resolved
    formats = ("html",)

    def run(self, **kwargs):
        terms = [
            inner.parent
            for inner in self.document.findall(nodes.inline)
            if "std-term" in inner["classes"]
        ]
        for number, link in enumerate(terms, 1):
            target = link.get("refuri") or f"#{link['refid']}"
            told = {"refuri": target, "note": f"definition-{number}"}
            link.replace_self(ExplainedTerm("", "", *link.children, **told))


def visit_term(self, node):
    link = {"href": node["refuri"], "aria-describedby": node["note"]}
    self.body.append('<span class="explained">')
    self.body.append(
        self.starttag(node, "a", "", CLASS="reference internal", **link)
    )


def depart_term(self, node):
    told = glossary(self.builder)[urlsplit(node["refuri"]).fragment]
    note = f'<span role="tooltip" id="{node["note"]}">{told}</span>'
    self.body.append(f"</a>{note}</span>")


def glossary(builder):
    """The definitions as HTML, by the identifiers of their terms."""
    if not hasattr(builder, "glossary_definitions"):
        doctree = builder.env.get_and_resolve_doctree(GLOSSARY, builder)
        builder.glossary_definitions = {
            identifier: "".join(
                builder.render_partial(child)["fragment"]
                for child in item[-1][0].children
            )
            for item in doctree.findall(nodes.definition_list_item)
            for term in item.findall(nodes.term)
            for identifier in term["ids"]
        }
    return builder.glossary_definitions


class LoadDrawingsLate(SphinxPostTransform):
    default_priority = 20  # when there are those for the dark page, too
    formats = ("html",)

    def run(self, **kwargs):
        for image in list(self.document.findall(nodes.image)):
            path = Path(self.env.srcdir, image["uri"])
            if path.suffix == ".svg":
                opened = ElementTree.iterparse(path, events=["start"])
                _, drawing = next(opened)
                size = drawing.get("viewBox").split()[2:]
                image.replace_self(Drawing("", size=size, **image.attributes))


def visit_drawing(self, node):
    name = quote(self.builder.images[node["uri"]])
    width, height = node["size"]
    attributes = {
        "src": posixpath.join(self.builder.imgpath, name),
        "alt": node.get("alt", ""),
        "width": width,
        "height": height,
        "loading": "lazy",
    }
    self.body.append(self.emptytag(node, "img", "\n", **attributes))


class KeepTogether(SphinxPostTransform):
    default_priority = 900  # when the links are resolved

    def run(self, **kwargs):
        for text in list(self.document.findall(nodes.Text)):
            if text.parent is None:  # in the bibliography
                continue
            if isinstance(text.parent, KEPT_AS_WRITTEN):
                continue
            kept = THOUSANDS.sub(NARROW_NO_BREAK, text)
            kept = UNIT.sub(NO_BREAK, kept)
            if "std-numref" in text.parent.get("classes", ()):
                kept = kept.replace(" ", NO_BREAK)
            elif kept.endswith("Equation "):
                kept = kept[:-1] + NO_BREAK
            if kept != text:
                text.parent.replace(text, nodes.Text(kept))
        for formula in list(self.document.findall(nodes.math)):
            after = formula.next_node(descend=False, siblings=True)
            stop = isinstance(after, nodes.Text) and STOP.match(after)
            if stop:
                kept = nodes.inline(classes=["kept-together"])
                rest = nodes.Text(after[stop.end() :])
                parent, place = formula.parent, formula.parent.index(formula)
                parent[place : place + 2] = [kept, rest]
                kept += [formula, nodes.Text(stop[0])]


def visit_citation(self, node):
    """As docutils writes it, but for the role, which a list cannot hold."""
    if not isinstance(node.previous_sibling(), nodes.citation):
        self.body.append('<div role="list" class="citation-list">\n')
    entry = self.starttag(node, "div", CLASS="citation", role="listitem")
    self.body.append(entry)


def depart_citation(self, node):
    type(self).depart_citation(self, node)


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


def let_404_open_from_disk(app, exception):
    page = Path(app.outdir) / "404.html"
    if not app.config.html_baseurl and page.is_file():
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace('="/', '="'), encoding="utf-8")
