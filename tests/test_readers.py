"""Every page serves every reader: by ear, by keyboard, at any width, with little to load."""

import re

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import CONTENTS, HTML, failed, parsed, pdf, texts_of, weights

pytestmark = pytest.mark.browser


def read(pages):
    """The pages that are read: all but the one that leads on to the title page."""
    return {name: path for name, path in pages.items() if name != "index.html"}


# Most of axe's time goes into the contrast of code. What decides it is alike for most tokens: of
# those, the ones in the first block that shows them will do.
PREPARE_AXE = """() => {
    const ground = e => { const colour = getComputedStyle(e).backgroundColor, on = e.parentElement;
        return on && colour === 'rgba(0, 0, 0, 0)' ? ground(on) : colour };
    const kind = e => { const style = getComputedStyle(e);
        return [style.color, style.fontSize, style.fontWeight, ground(e)].join() };
    const seen = new Set();
    for (const pre of document.querySelectorAll('pre')) {
        if (!pre.checkVisibility()) continue;
        const kinds = [pre, ...pre.querySelectorAll('*')].map(kind);
        pre.classList.toggle('known-code', kinds.every(kind => seen.has(kind)));
        kinds.forEach(kind => seen.add(kind));
    }
    axe.configure({rules: [{id: 'color-contrast', selector: ':not(.known-code *)'}]}); }"""
# What passes need not be told, nor style sheets be asked for, which a page on disk cannot be.
RUN_AXE = """async within => (await axe.run(within ?? document,
    {resultTypes: ['violations'], preload: false})).violations"""


def violations(page, within=None):
    page.evaluate(Axe().axe_script)
    page.evaluate(PREPARE_AXE)
    found = page.evaluate(RUN_AXE, within)
    return [(v["id"], [node["html"][:200] for node in v["nodes"]]) for v in found]


CHAPTERS = [f"{name}.html" for name in CONTENTS if re.match(r"book/\d", name)]
READ = [*(f"{name}.html" for name in CONTENTS), "search.html", "404.html"]
STATES = [("light", 1280), ("dark", 1280), ("dark", 390), ("light", 390)]


@pytest.mark.parametrize("name", READ)
def test_a_page_serves_every_reader_from_disk_with_the_network_off(pages, browser, visit, name):
    """In light and dark, wide and narrow: whole, no wider than the screen, and axe content."""
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    path = dict.__getitem__(pages, name)  # a chapter that failed has its page, too
    urls = set()
    context.on("request", lambda request: urls.add(request.url))
    page, complaints = visit(context, path)
    page.wait_for_timeout(500)
    if name == "book/index.html" or (name in CHAPTERS and not failed(path)):
        assert page.locator("article figure").first.bounding_box()["y"] <= 1200
        assert_that_little_is_loaded(path, weights(urls))

    def show(theme, width):
        resized = width != page.viewport_size["width"]
        page.emulate_media(color_scheme=theme)
        page.set_viewport_size({"width": width, "height": 900})
        if resized and page.locator("script[data-live]").count():
            page.reload()  # a live figure takes its width at its start
            page.evaluate("() => window.MathJax?.startup?.promise")
        page.wait_for_function(IN_THEME, arg=theme)
        page.wait_for_timeout(300)

    for theme, width in STATES:
        show(theme, width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        broken = "[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
        assert not page.evaluate(broken)
        assert not page.evaluate(NOT_DRAWN)
        assert not page.evaluate(TAKEN_APART)
        assert violations(page) == [], (theme, width)
    assert unset_formulas(page) == []
    show("light", 320)
    page.evaluate("scrollTo(0, document.body.scrollHeight / 2)")
    page.wait_for_timeout(200)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert not page.evaluate(CUT_AT_320)
    assert not page.evaluate(TAKEN_APART)
    assert_that_formulas_are_whole_and_what_scrolls_fades(page)
    assert not complaints
    context.close()


IN_THEME = "theme => [theme, undefined].includes(document.documentElement.dataset.theme)"
NOT_DRAWN = """[...document.querySelectorAll('[class*=fa-]')]
    .filter(e => !getComputedStyle(e, '::before').maskImage.startsWith('url("data:'))
    .map(e => e.outerHTML)"""
TAKEN_APART = """[...document.querySelectorAll('.std-numref, .kept-together')]
    .filter(e => e.getClientRects().length > 1 && !e.closest('[role=tooltip]'))
    .map(e => e.outerHTML)"""

CUT_AT_320 = """[...document.querySelectorAll('article p, article li, article img, article h1')]
    .filter(e => e.offsetParent && !e.closest('[role=tooltip]'))
    .filter(e => e.getBoundingClientRect().right > 321)
    .filter(e => !e.closest('pre, table, div.math, mjx-container'))
    .map(e => e.outerHTML.slice(0, 100))"""


def assert_that_little_is_loaded(path, loaded):
    """Before one scrolls."""
    title_page = path.stem == "index"
    assert ("vega.js" in loaded) == title_page
    assert sum(loaded.values()) <= (700_000 if title_page else 520_000), loaded
    page = parsed(path)
    for image in page.select("img[src*=_images]"):
        assert image["loading"] == "lazy"
        assert float(image["width"]) > 0  # room is kept
        assert float(image["height"]) > 0
    drawings = [file for file in loaded if file.endswith(".svg") and len(file) > 60]
    in_all = len(page.select(".drawn-light"))
    assert len(drawings) < in_all or (title_page and len(drawings) == in_all)


def unset_formulas(page):
    """What MathJax has not set or not understood, and TeX or roles in the text."""
    return page.evaluate(
        r"""() => {
            const formulas = [...document.querySelectorAll('span.math, div.math')];
            const unset = formulas.filter(e => !e.querySelector('mjx-container'));
            const faulty = [...document.querySelectorAll('mjx-merror')];
            const text = document.querySelector('article, main, body').cloneNode(true);
            text.querySelectorAll('pre, code, script, style, mjx-container')
                .forEach(e => e.remove());
            const raw = text.textContent.match(/\\\(|\\\[|\$\$|\\frac|\{(numref|eq|term|cite)/g);
            return [...unset, ...faulty].map(e => e.textContent).concat(raw ?? []);
        }"""
    )


def test_there_are_formulas(pages):
    assert sum(len(parsed(path).select(".math.notranslate")) for path in pages.values()) > 50


OVERFLOWING = """[...document.querySelectorAll('article *')]
    .filter(e => ['auto', 'scroll'].includes(getComputedStyle(e).overflowX))
    .filter(e => e.scrollWidth > e.clientWidth + 1)"""
FADED = "e => getComputedStyle(e).maskImage.includes('gradient')"
NOT_FADED = f"{OVERFLOWING}.filter(e => !({FADED})(e)).map(e => e.outerHTML.slice(0, 300))"
WIDE_FORMULAS = f"""{OVERFLOWING}.filter(e => e.matches('mjx-container'))
    .map(e => e.closest('div.math').id || e.outerHTML.slice(0, 300))"""


def assert_that_formulas_are_whole_and_what_scrolls_fades(page):
    """On a phone, with everything open."""
    page.set_viewport_size({"width": 390, "height": 900})
    page.evaluate("document.querySelectorAll('details').forEach(folded => folded.open = true)")
    page.wait_for_timeout(300)
    assert not page.evaluate(WIDE_FORMULAS)
    assert not page.evaluate(NOT_FADED)
    page.evaluate(f"{OVERFLOWING}.forEach(e => e.scrollLeft = e.scrollWidth)")
    page.wait_for_timeout(300)
    assert not page.evaluate(f"{OVERFLOWING}.filter({FADED}).map(e => e.outerHTML)")


def test_there_are_tables_that_scroll_on_a_phone(pages, browser, visit):
    context = browser.new_context(offline=True, viewport={"width": 390, "height": 800})
    page, _ = visit(context, pages["book/notation.html"])
    assert page.evaluate(f"{OVERFLOWING}.some(e => e.querySelector('table'))")
    context.close()


def test_without_scripts_a_narrow_page_shows_the_contents(pages, browser):
    shown = {}
    for scripts in (True, False):
        context = browser.new_context(
            offline=True, java_script_enabled=scripts, viewport={"width": 390, "height": 800}
        )
        page = context.new_page()
        page.goto(pages["book/04_sigmoid.html"].as_uri())
        chapter = page.get_by_role("link", name="A noisy line")
        menu = page.locator("button.primary-toggle")
        shown[scripts] = (chapter.first.is_visible(), menu.is_visible())
        context.close()
    assert shown == {True: (False, True), False: (True, False)}


def test_no_number_or_unit_begins_a_line(pages):
    kept = 0
    for name, path in pages.items():
        article = pdf.read(path).select_one("article")
        if article is None:
            continue
        for verbatim in article.select("pre, code, script, .math, .caption-number"):
            verbatim.decompose()
        text = article.get_text()
        found = re.findall(r"Fig\. \d|Equation \(|\d \d{3}\b|\d (?:%|mg|mm)(?!\w)", text)
        assert not found, name
        kept += len(re.findall(r"Fig\.\u00a0\d|Equation\u00a0\(|\d\u202f\d{3}\b|\d\u00a0mg", text))
    assert kept > 50


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_violation_in_other_states(pages, browser, visit, theme):
    context = browser.new_context(
        offline=True, color_scheme=theme, viewport={"width": 390, "height": 900}
    )
    for state in ("#fig-descent?eta=6.5", "#fig-descent?eta=3.1&start=900"):
        page, _ = visit(context, pages["book/03_reconstruction.html"], state)
        page.wait_for_function("document.getElementById('fig-descent').liveView")
        page.locator("div.solution button.toggle-button").first.click()
        page.locator(".explained a").first.focus()
        page.wait_for_timeout(600)  # the solution fades in
        changed = {"include": [["#fig-descent"], ["div.solution"], [".explained"]]}
        assert violations(page, changed) == [], state
        page.close()
    page, _ = visit(context, pages["book/04_sigmoid.html"])
    page.locator("button.primary-toggle:visible").click()
    page.wait_for_timeout(400)
    assert page.locator("dialog[open]").count() == 1
    assert violations(page, "dialog[open]") == []
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["book/index.html", "book/03_reconstruction.html"])
def test_the_keyboard_reaches_everything_and_the_focus_is_seen(pages, browser, visit, name, theme):
    context = browser.new_context(
        offline=True, color_scheme=theme, viewport={"width": 1280, "height": 900}
    )
    page, _ = visit(context, pages[name])
    page.wait_for_timeout(500)
    reached = []
    for _ in range(400):
        page.keyboard.press("Tab")
        state = page.evaluate(
            """() => { const e = document.activeElement, s = getComputedStyle(e),
                             box = e.getBoundingClientRect();
                 return {tag: e.tagName, text: (e.innerText || e.type || '').trim().slice(0, 40),
                     seen: (s.outlineStyle != 'none' && parseFloat(s.outlineWidth) >= 2)
                           || s.boxShadow != 'none',
                     here: box.bottom > 0 && box.top < innerHeight && box.width > 0} }"""
        )
        if state["tag"] == "BODY":
            break
        assert state["seen"], state
        assert state["here"], state
        reached.append(state["text"])
        if page.evaluate("document.activeElement.matches('[data-state]')"):
            page.wait_for_function("document.querySelector('.live-awake')")  # it is near
    assert reached[0] == "Skip to main content"
    texts = " ".join(reached)
    assert "range" in reached
    for control in ("Search", "One neuron learns the line", "bibliography".title()):
        assert control in texts, control
    context.close()


def test_one_control_opens_or_folds_all_code_and_is_remembered(pages, browser, visit):
    context = browser.new_context(offline=True, viewport={"width": 390, "height": 800})
    page, _ = visit(context, pages["book/01_dataset.html"])
    states = "[...document.querySelectorAll('details.fold')].map(fold => fold.open)"
    as_set = page.evaluate(states)
    assert set(as_set) == {True, False}
    all_open, all_folded = [True] * len(as_set), [False] * len(as_set)
    check = page.locator("details.check").first
    assert check.inner_text() == "checked ✓"

    folding = page.get_by_role("button", name="fold all")
    folding.focus()
    page.keyboard.press("Enter")
    assert page.evaluate(states) == all_folded
    assert page.get_by_text("Show the code", exact=True).first.is_visible()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    printed = page.evaluate("[...document.querySelectorAll('details.fold:not(.check)')]")
    assert len(printed) == page.locator("details.fold:not(.check)[open]").count()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(states) == all_folded

    other, _ = visit(context, pages["book/02_training.html"])
    assert not any(other.evaluate(states))
    assert other.get_by_role("button", name="fold all", pressed=True).is_visible()
    other.get_by_role("button", name="open all").click()
    page.reload()
    assert page.evaluate(states) == all_open
    assert page.get_by_role("button", name="fold all", pressed=False).is_visible()
    page.get_by_role("button", name="open all", pressed=True).click()
    assert page.evaluate(states) == as_set
    context.close()


def test_code_opens_without_scripts(pages, browser):
    context = browser.new_context(offline=True, java_script_enabled=False)
    page = context.new_page()
    page.goto(pages["book/01_dataset.html"].as_uri())
    assert not page.locator(".code-control").is_visible()
    check = page.locator("details.check").first
    assert not check.locator("pre").is_visible()
    check.locator("summary").click()
    assert check.locator("pre").is_visible()
    context.close()


def test_a_glossary_term_shows_its_definition(pages, browser, visit):
    context = browser.new_context(offline=True, viewport={"width": 320, "height": 800})
    page, _ = visit(context, pages["book/03_reconstruction.html"])
    term = page.locator(".explained").first
    note = term.locator("[role=tooltip]")
    link = term.locator("a")
    assert not note.is_visible()
    assert link.get_attribute("aria-describedby") == note.get_attribute("id")
    link.scroll_into_view_if_needed()
    link.hover()
    assert note.is_visible()
    assert note.inner_text().startswith("The search for an input")
    box = note.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 320
    note.hover()  # it stays while the pointer is on it
    assert note.is_visible()
    page.keyboard.press("Escape")
    assert not note.is_visible()
    page.mouse.move(0, 0)
    link.focus()
    assert note.is_visible()
    page.keyboard.press("Escape")
    assert not note.is_visible()
    context.close()


def test_a_definition_has_its_place_above_where_there_is_none_below(pages, browser, visit):
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 800})
    page, _ = visit(context, pages["book/03_reconstruction.html"])
    term = page.locator(".explained").last
    page.wait_for_timeout(500)  # the figures are awake, and nothing moves any more
    term.evaluate("term => term.scrollIntoView({block: 'end', behavior: 'instant'})")
    term.hover()
    note, word = term.locator("[role=tooltip]").bounding_box(), term.bounding_box()
    assert note["y"] >= 0
    np.testing.assert_allclose(note["y"] + note["height"], word["y"], atol=1)
    context.close()


def test_a_dark_page_is_printed_on_white_with_its_solutions(pages, browser, visit):
    context = browser.new_context(offline=True, color_scheme="dark")
    page, _ = visit(context, pages["book/01_dataset.html"])
    theme = "document.documentElement.dataset.theme"
    hidden = page.locator("div.solution p").filter(has_text="The mean of").first
    assert page.evaluate(theme) == "dark"
    assert not hidden.is_visible()
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(theme) == "light"
    assert hidden.is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(theme) == "dark"
    context.close()


RULER = "".join(str(i % 10) for i in range(79))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_printed_chapter_has_its_title_and_whole_lines_of_code(
    pages, browser, visit, tmp_path, theme
):
    context = browser.new_context(offline=True, color_scheme=theme)
    page, _ = visit(context, pages["book/02_training.html"])
    code = page.locator(":is(.cell_input, .cell_output) pre:not(.check *)")
    code.evaluate_all("(all, ruler) => all.forEach(pre => pre.append(`\\n${ruler}\\n`))", RULER)
    page.pdf(path=tmp_path / "chapter.pdf", prefer_css_page_size=True)
    texts = texts_of(tmp_path / "chapter.pdf")
    assert texts[0].startswith("2. One neuron learns the line")
    assert code.count() > 10  # folded ones, too
    assert "".join(texts).count(RULER) == code.count()
    context.close()


def test_every_term_in_the_text_is_explained(pages):
    for name, path in pages.items():
        page = pdf.read(path)
        assert all(term.parent["aria-describedby"] for term in page.select(".std-term")), name
        links = page.select(".explained > a[aria-describedby]")
        notes = page.select(".explained > a + [role=tooltip]")
        assert [a["aria-describedby"] for a in links] == [note["id"] for note in notes], name
        assert len(notes) == len(page.select(".std-term")), name
        for formula in page.select(".math"):
            formula.decompose()
        assert r"\(" not in page.get_text(), name


def test_pages_describe_themselves(pages):
    titles, descriptions = [], []
    for name, path in read(pages).items():
        page = parsed(path)
        assert page.html["lang"] == "en"
        titles.append(page.title.get_text().strip())
        if name.startswith("book/"):
            told = {
                meta.get("name") or meta.get("property"): meta.get("content")
                for meta in page.select("meta")
            }
            descriptions.append(told["description"])
            assert len(descriptions[-1]) > 30, name
            assert told["og:title"], name
            assert told["og:description"] == told["description"]
            assert (path.parent / told["og:image"]).resolve().is_file()
    assert len(set(titles)) == len(titles)
    assert len(set(descriptions)) == len(descriptions)


def test_an_address_that_leads_nowhere_has_a_page(pages):
    text = pages["404.html"].read_text(encoding="utf-8")
    assert "This address leads nowhere" in text
    assert (HTML / "_static" / "book.css").is_file()


def test_the_dark_page_shows_the_dark_drawing(pages, browser, visit):
    shown = {}
    for theme in ("light", "dark"):
        context = browser.new_context(offline=True, color_scheme=theme)
        page, _ = visit(context, pages["book/01_dataset.html"])
        figure = page.locator("#fig-points")
        images = figure.locator("img")
        shown[theme] = [i.get_attribute("src") for i in images.all() if i.is_visible()]
        assert figure.locator("figcaption").is_visible()
        context.close()
    assert [len(sources) for sources in shown.values()] == [1, 1]
    assert shown["dark"][0].removesuffix("-dark.svg") + ".svg" == shown["light"][0]
