"""The built book: complete, self-contained, and right in a browser with the network off."""

import getpass
import html.parser
import platform
import re
import sys
import urllib.parse
from pathlib import Path

import pytest
from conftest import CONTENTS, HTML, ROOT, failed, parsed


class Page(html.parser.HTMLParser):
    """What a page links to, loads, and defines."""

    LOADS = ("script", "img", "link", "iframe", "source", "video", "audio", "embed", "object")

    def __init__(self, path):
        super().__init__()
        self.loads, self.links, self.ids, self.images = [], [], set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if "id" in attributes:
            self.ids.add(attributes["id"])
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])
        if tag == "img":
            self.images.append(attributes)
        if tag in self.LOADS:
            for name in ("src", "href", "data", "srcset"):
                if attributes.get(name):
                    self.loads.append(attributes[name])


def test_the_build_ends_cleanly(build):
    code, words = build
    broken = re.search(r"book/\S+, cell \d+ failed: ", words)
    assert code == 0 or broken, words  # a chapter that failed is named by the next test


@pytest.mark.parametrize("name", CONTENTS)
def test_a_chapter_ran_to_its_end(pages, name):
    assert not failed(dict.__getitem__(pages, f"{name}.html"))


def test_every_page_of_the_contents_was_built_and_no_other(pages):
    assert len(CONTENTS) >= 9
    others = {"index.html", "search.html", "404.html"}
    read = {name for name in pages if not name.startswith("_modules/")}  # not the code of helpers
    assert read == {f"{name}.html" for name in CONTENTS} | others


def test_no_page_loads_anything_from_elsewhere(pages):
    for name, path in pages.items():
        external = [url for url in Page(path).loads if re.match(r"(?:\w+:)?//", url)]
        assert not external, f"{name} loads {external}"
        inline = " ".join(script.get_text() for script in parsed(path).select("script"))
        for opening in ("'http", '"http', "`http"):
            assert opening not in inline, f"a script on {name} names an address"


def test_no_style_sheet_loads_anything_from_elsewhere(pages):
    for path in HTML.rglob("*.css"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"url\(['\"]?(?:https?:)?//|@import\s+['\"]?http", text), path


def test_links_and_images_lead_somewhere(pages):
    whole = {path: Page(path) for path in pages.values()}
    for name, path in pages.items():
        for url in whole[path].links + whole[path].loads:
            link = urllib.parse.urlsplit(url)
            if link.scheme or url == "#":
                continue
            target = (path.parent / urllib.parse.unquote(link.path)) if link.path else path
            assert target.is_file(), f"{name} leads to {url}, which is not there"
            if link.fragment and target in whole:
                fragment = urllib.parse.unquote(link.fragment)
                assert fragment in whole[target].ids, f"{name} leads to {url}: no such place"


def test_figures_have_their_alt_texts(pages):
    shown = [
        image
        for name, path in pages.items()
        if name.startswith("book/")
        for image in Page(path).images
        if "_images/" in image["src"]
    ]
    assert len(shown) >= 10
    for image in shown:
        assert image.get("alt", "").endswith("."), image


def test_no_stderr_trace_or_path_of_this_machine_shows(pages):
    traces = ("Traceback (most recent call last)", 'class="output stderr', "Warning:")
    places = {str(ROOT), str(Path.home()), sys.prefix} - {"/", ""}
    # Short names of machines and users stand in other words, too.
    places |= {name for name in (platform.node(), getpass.getuser()) if len(name) > 4}
    for name, path in pages.items():
        text = path.read_text(encoding="utf-8")
        for sign in (*traces, *places):
            assert sign not in text, f"{sign} on {name}"


def test_nothing_superfluous_is_shipped(pages):
    mathjax = sum(path.stat().st_size for path in (HTML / "_static/mathjax").rglob("*.*"))
    assert mathjax < 2_000_000
    assert not list(HTML.rglob("*thebe*"))
    assert not list(HTML.rglob("*fontawesome*"))


NO_ADDRESS = ("Erhan", "Kelly", "Linden", "Witkovský")  # that could be confirmed


def test_the_works_cited_lead_to_their_sources(pages):
    works = parsed(pages["book/bibliography.html"]).select("div.citation")
    assert len(works) >= 30
    for work in works:
        assert work.select("a.external") or any(name in work.get_text() for name in NO_ADDRESS)


def test_the_title_page_shows_pictures_that_lead_to_where_they_are_from(pages):
    glimpses = parsed(pages["book/index.html"]).select("ul.glimpses a")
    assert len(glimpses) == 3
    for link in glimpses:
        page, place = link["href"].split("#")
        figure = parsed(pages[f"book/{page}"]).find(id=place)
        drawings = {Path(image["src"]).stem for image in figure.select("img")}
        light, dark = (Path(image["src"]).stem for image in link.select("img"))
        assert re.sub(r"-\d+-\d+$", "", light) in drawings
        assert dark == f"{light}-dark"
        assert link.get_text().strip()


def test_the_overview_of_the_helpers_leads_to_each_of_them(pages):
    listed = [a["href"].split("#")[-1] for a in parsed(pages["book/helpers.html"]).select("td a")]
    assert listed[0] == "helpers.reconstruction.reconstruct"
    described = []
    for name in ("search", "formulas", "figures"):
        page = parsed(pages[f"book/helpers_{name}.html"])
        described += [sign["id"] for sign in page.select("section > dl.py > dt.sig")]
        assert len(page.select("a:has(> .viewcode-link)")) >= 10
    assert set(described) - set(listed) == {"helpers.small_systems.nearest"}  # behind the search
    search = pages["book/helpers_search.html"].read_text(encoding="utf-8")
    assert search.count("A run has converged when") == 1  # atol and rtol are told together


CALLED = {"01_dataset": "noisy_line", "03_reconstruction": "reconstruct", "09_lstm": "replay"}


@pytest.mark.parametrize(("chapter", "helper"), CALLED.items())
def test_a_chapter_leads_to_the_helpers_that_it_calls(pages, chapter, helper):
    page = parsed(pages[f"book/{chapter}.html"])
    links = page.select('.cell_input a[href^="helpers_"]')
    assert helper in {link["href"].rsplit(".", 1)[-1] for link in links}
    assert len({link["href"] for link in links}) == len(links)  # each once
    for link in links:
        before = link.previous_sibling
        assert not (before and before.get_text().endswith(".")), "a method of another object"


# --- in a browser ------------------------------------------------------------------------------


@pytest.mark.browser
def test_the_first_page_leads_to_the_title_page(pages, browser):
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto(pages["index.html"].as_uri())
    page.wait_for_url("**/book/index.html")
    assert page.locator("article h1").inner_text().startswith("Running a Network Backwards")
    context.close()


@pytest.mark.browser
def test_solutions_are_folded_and_open(pages, browser, visit):
    context = browser.new_context(offline=True)
    page, _ = visit(context, pages["book/01_dataset.html"])
    solutions = page.locator("div.solution")
    assert solutions.count() >= 3
    hidden = solutions.first.locator("p").filter(has_text="The mean of").first
    assert not hidden.is_visible()
    solutions.first.locator("button.toggle-button").click()
    assert hidden.is_visible()
    context.close()


@pytest.mark.browser
def test_the_search_quotes_the_pages_it_finds_from_disk_and_lists_each_once(pages, browser, visit):
    context = browser.new_context(offline=True)
    page, complaints = visit(context, pages["search.html"], "?q=forget")
    results = page.locator("#search-results li")
    page.get_by_text("Search finished").wait_for()
    places = [a.get_attribute("href") for a in results.locator("a").all()]
    assert "book/notation.html#term-forget-gate" in places
    found = [place.split("#")[0] for place in places]
    assert "book/09_lstm.html" in found
    assert len(set(found)) == len(found)
    for quoted in results.locator("p.context").all_inner_texts():
        assert "forget" in quoted.lower()
    assert results.locator("p.context").count() == len(found)
    assert not complaints
    context.close()
