"""What several test modules share: errors by name, the built book, a browser to read it with."""

import contextlib
import functools
import gzip
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pypdfium2 as pdfium
import pytest
from filelock import FileLock
from hypothesis import settings
from playwright.sync_api import Error, sync_playwright

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html"
CONTENTS = re.findall(r"(?:file|root): (\S+)", (ROOT / "_toc.yml").read_text())

sys.path.insert(0, str(ROOT / "book" / "_ext"))
import pdf  # noqa: E402

# No verdict of a test depends on how fast the machine is.
settings.register_profile("no clock", deadline=None)
settings.load_profile("no clock")

# Long files start first, so that no core waits for the last one.
LONGEST = ("test_readers", "test_build", "test_live", "test_take_home", "test_book")


def pytest_collection_modifyitems(items):
    for item in items:
        if "build" in getattr(item, "fixturenames", ()):
            item.add_marker("pages")
    places = {name: i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


needs_half_precision = pytest.mark.skipif(
    "ONEDNN_MAX_CPU_ISA" in os.environ,
    reason="TensorFlow chooses its 16-bit products by the processor, not by this limit, and dies",
)


@contextlib.contextmanager
def refused_by_name(error, words):
    """Expect an error whose message begins with the first of the words, and has the others."""
    with pytest.raises(error) as caught:
        yield
    message = str(caught.value)
    assert message.startswith(words[0]), message
    for word in words[1:]:
        assert word in message


class Pages(dict):
    """{name: path} of the built pages. To ask for one of a chapter that failed skips the test.

    That the chapter failed is said by a test of its own (in test_book.py), and by nbval.
    """

    def __getitem__(self, name):
        path = super().__getitem__(name)
        if failed(path):
            pytest.skip(f"the chapter of {name} failed, so its page is not whole")
        return path


def failed(path):
    """Whether a page says that its chapter failed."""
    return "failed-chapter" in path.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def build(tmp_path_factory, testrun_uid):
    """The exit code of the book's build, run once (from the cache, where it can), and its words."""
    log = tmp_path_factory.getbasetemp().parent / f"build-{testrun_uid}"
    with FileLock(f"{log}.lock"):  # test modules run in parallel
        if not log.exists():
            command = [Path(sys.executable).with_name("jupyter-book"), "build", "."]
            command += ["--warningiserror", "--keep-going"]
            run = subprocess.run(
                command,
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            log.write_text(f"{run.returncode}\n{run.stdout}")
    code, words = log.read_text().split("\n", 1)
    return int(code), words


@pytest.fixture(scope="session")
def pages(build):
    """All pages that the build has written."""
    return Pages({str(path.relative_to(HTML)): path for path in sorted(HTML.rglob("*.html"))})


@pytest.fixture(scope="session")
def browser():
    """Chromium, as the PDF is printed with it."""
    with sync_playwright() as playwright:
        try:
            chromium = pdf.launch(playwright)
        except (Error, FileNotFoundError) as error:
            if os.environ.get("BROWSER_TESTS") == "required":
                raise
            pytest.skip(f"no browser to test with: {error}")
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def visit():
    """A function that opens a page from disk: the page, with its complaints and requests."""

    def visit(context, path, fragment=""):
        page = context.new_page()
        complaints = []
        page.on("console", lambda m: m.type in ("error", "warning") and complaints.append(m.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        # What is dropped half way, as when a page is loaded anew, has not failed.
        page.on(
            "requestfailed",
            lambda request: (
                None
                if request.failure == "net::ERR_ABORTED"
                else complaints.append(f"failed: {request.url}, {request.failure}")
            ),
        )
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith(("file:", "data:", "blob:"))
                else complaints.append(f"asked for: {request.url}")
            ),
        )
        page.goto(path.as_uri() + fragment)
        page.wait_for_load_state("load")
        page.evaluate("() => window.MathJax?.startup?.promise")
        return page, complaints

    return visit


@functools.cache
def parsed(path):
    """A built page, parsed once for all tests, which must leave it as it is."""
    return pdf.read(path)


def texts_of(path):
    """The text of each page of a PDF."""
    with pdfium.PdfDocument(path) as document:
        texts = [page.get_textpage().get_text_range() for page in document]
    return [unicodedata.normalize("NFKC", text).replace("\r\n", "\n") for text in texts]


def first_view(browser, path):
    """What a page loads before the reader scrolls: {file name: bytes}, as they weigh."""
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    asked = set()
    page.on("request", lambda request: asked.add(request.url))
    page.goto(path.as_uri())
    page.wait_for_load_state("load")
    page.evaluate("() => window.MathJax?.startup?.promise")
    page.wait_for_timeout(500)
    context.close()
    return weights(asked)


def weights(urls):
    """What files weigh on their way to a reader: {file name: bytes, zipped where that helps}."""
    files = [Path(unquote(urlsplit(url).path)) for url in urls]
    packed = (".woff", ".woff2", ".png")
    return {
        file.name: len(
            file.read_bytes() if file.suffix in packed else gzip.compress(file.read_bytes(), 6)
        )
        for file in files
        if file.is_file()
    }
