"""Set the whole book as one PDF: `python book/_ext/pdf.py`, after the build.

The articles of the built pages are joined into one document, with `print.css`
as its only style, and printed by Chromium. Solutions move to the end. The
document is set once and printed twice: the first time tells the page numbers
that the contents need.
"""

import shutil
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from bs4 import BeautifulSoup
from playwright.sync_api import sync_playwright
from pypdf import PdfReader, PdfWriter

ROOT = Path(__file__).parents[2]
HTML = ROOT / "_build" / "html"
NAME = "running-a-network-backwards.pdf"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FURNITURE = (
    "script, summary, button.copybtn, .headerlink, .live, .drawn-dark, "
    "[role=tooltip], a:has(> .viewcode-link)"
)
STYLES = ("pygments.css", "fonts.css", "folds.css", "print.css")


def launch(playwright):
    """Chromium: the one that Playwright installed, or the machine's."""
    own = Path(playwright.chromium.executable_path)
    machines = next(filter(None, map(shutil.which, BROWSERS)), None)
    found = str(own) if own.exists() else machines
    if found is None:
        raise FileNotFoundError(
            "no Chromium found: install it, or `playwright install chromium`"
        )
    return playwright.chromium.launch(
        executable_path=found, args=["--no-sandbox", "--disable-gpu"]
    )


def read(path):
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def articles(contents):
    """Title and article of each page, in the order of the contents."""
    names = [contents["root"]]
    for part in contents["parts"]:
        names += [chapter["file"] for chapter in part["chapters"]]
    for name in names:
        article = read(HTML / f"{name}.html").select_one("article")
        for check in article.select("details.check"):
            check.name, check.string = "p", check.select_one(".when-open").text
        for furniture in article.select(FURNITURE):
            furniture.decompose()
        for folded in article.select("button, details"):
            folded.unwrap()
        for image in article.select("img"):
            del image["loading"]
        page = Path(name).name
        for element in article.select("[id]"):
            element["id"] = f"{page}--{element['id']}"
        for link in article.select("a[href]"):
            link["href"] = within(link["href"], page, names)
        article["id"] = page
        yield page, article


def within(href, page, names):
    """A link to a page of the book becomes one to a place in the document."""
    file, _, place = href.partition("#")
    if urlsplit(href).scheme:
        return href
    target = Path(file).stem if file else page
    if target not in {Path(name).name for name in names}:
        return href
    return f"#{target}--{place}" if place else f"#{target}"


def move_solutions(article, appendix, soup):
    """Take the solutions of a chapter to the appendix, and link to them."""
    solutions = article.select("div.solution")
    if not solutions:
        return
    heading = soup.new_tag("h2")
    heading.string = article.h1.get_text()
    appendix.append(heading)
    for solution in solutions:
        mark = soup.new_tag("p", attrs={"class": "to-solution"})
        link = soup.new_tag("a", href=f"#{solution['id']}")
        link.string = "Solution"
        mark.append(link)
        solution.replace_with(mark)
        appendix.append(solution)


def document(contents):
    """The whole book as one HTML document: str."""
    front = BeautifulSoup(COVER, "html.parser")
    first = contents["parts"][0]["chapters"][0]["file"]
    scripts = read(HTML / f"{first}.html").select("script")
    settings = (s.string for s in scripts if "window.MathJax" in s.text)
    front.script.string = next(settings)
    pages, appendix = front.main, front.select_one("#solutions")
    listing, title = front.select_one("#contents ol"), front.header
    parts = {
        Path(part["chapters"][0]["file"]).name: part["caption"]
        for part in contents["parts"]
    }

    def list_entry(target, text, style):
        entry = front.new_tag("li", attrs={"class": style})
        link = front.new_tag("a", href=f"#{target}")
        link.string = text
        entry.extend([link, front.new_tag("span")])
        listing.append(entry)

    for name, article in articles(contents):
        if name in parts:
            list_entry(name, parts[name], "part")
        if name == Path(contents["root"]).name:
            article.h1.decompose()
            title.insert_after(article)
            continue
        move_solutions(article, appendix, front)
        list_entry(name, article.h1.get_text(), "chapter")
        for heading in article.select("h2"):
            if heading.parent.get("id") and heading.find("span"):
                list_entry(heading.parent["id"], heading.get_text(), "section")
        pages.append(article)
    list_entry("solutions", "Solutions", "part")
    pages.append(appendix.extract())
    return str(front)


COVER = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<title>Running a Network Backwards</title>
{"".join(f'<link rel="stylesheet" href="../_static/{s}">' for s in STYLES)}
<script></script>
<script defer src="../_static/mathjax/startup.js"></script>
</head><body class="whole-book">
<header><h1>Running a Network Backwards</h1></header>
<nav id="contents"><h1>Contents</h1><ol></ol></nav>
<main></main>
<section id="solutions"><h1>Solutions</h1></section>
</body></html>"""


NUMBER_CONTENTS = """places => document.querySelectorAll("#contents li")
    .forEach(({firstChild: link, lastChild: number}) => {
        number.textContent = places[link.getAttribute("href").slice(1)] ?? "";
    })"""


def places(path):
    """The page on which each place of a PDF is found: {name: number}."""
    reader = PdfReader(path)
    return {
        name.lstrip("/"): reader.get_destination_page_number(place) + 1
        for name, place in reader.named_destinations.items()
    }


def write(path, browser):
    """Write the PDF of the built book."""
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    page = browser.new_page()
    source = HTML / "book" / "_print.html"
    source.write_text(document(contents), encoding="utf-8")
    try:
        page.goto(source.as_uri())
        page.evaluate("() => MathJax.startup.promise")
        page.evaluate("() => document.fonts.ready")
        page.evaluate(
            "Promise.all([...document.images].map(image => image.decode()))"
        )
        page.pdf(path=path, prefer_css_page_size=True)
        page.evaluate(NUMBER_CONTENTS, places(path))
        page.pdf(
            path=path, prefer_css_page_size=True, outline=True, tagged=True
        )
    finally:
        page.close()
        source.unlink()
    writer = PdfWriter(path, incremental=True)
    writer.add_metadata({"/Author": "the authors of the book"})
    writer.write(path)


if __name__ == "__main__":
    with sync_playwright() as playwright:
        browser = launch(playwright)
        write(HTML / NAME, browser)
        browser.close()
    print(f"Open {HTML / NAME}")
