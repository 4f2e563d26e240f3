"""Excerpts in the search, from disk too.

Sphinx fetches each page that it has found, to quote from it, which no browser
allows from disk. Here the build writes the text of all pages into one script,
which only the search page loads; `search.js` quotes from it.

From one build to the next Sphinx's index forgets the terms of pages that are
not written again, so pages with terms are.
"""

import json
import re
from pathlib import Path

from bs4 import BeautifulSoup

NOT_READ = ".headerlink, script, style, button, [role=tooltip]"


def setup(app):
    app.connect("env-updated", pages_with_terms)
    app.connect("html-page-context", load_on_the_search_page)
    app.connect("build-finished", write_texts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def pages_with_terms(app, env):
    terms = env.get_domain("index").entries
    return [page for page, entries in terms.items() if entries]


def load_on_the_search_page(app, pagename, templatename, context, doctree):
    if pagename == "search":
        app.add_js_file("search-texts.js")
        app.add_js_file("search.js", loading_method="defer")


def write_texts(app, exception):
    if exception or app.builder.format != "html":
        return
    out = Path(app.outdir)
    pages = {
        f"{name}.html": text_of(out / f"{name}.html")
        for name in sorted(app.env.found_docs)
    }
    script = f"const PAGE_TEXTS = {json.dumps(pages, ensure_ascii=False)};\n"
    path = out / "_static" / "search-texts.js"
    path.write_text(script, encoding="utf-8")


def text_of(path):
    """A page's text, and where its sections and definitions begin in it."""
    soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    article = soup.select_one("article")
    for part in article.select(NOT_READ):
        part.decompose()
    for term in article.select("dt"):
        term.append(" ")
    text = plain(article)
    words = {part["id"]: plain(part) for part in article.select("section[id]")}
    for term in article.select("dl.glossary dt[id]"):
        definition = term.find_next_sibling("dd")
        words[term["id"]] = f"{plain(term)} {plain(definition)}"
    return {
        "text": text,
        "begins": {name: text.index(part) for name, part in words.items()},
    }


def plain(element):
    without_marks = re.sub(r"\\[()\[\]]", "", element.get_text())
    return re.sub(r"\s+", " ", without_marks).strip()
