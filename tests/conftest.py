"""What several test modules share: errors by name, the built book, a browser to read it with."""

import contextlib
import gzip
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from filelock import FileLock
from playwright.sync_api import Error, sync_playwright

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html"

sys.path.insert(0, str(ROOT / "book" / "_ext"))
import pdf  # noqa: E402


@contextlib.contextmanager
def refused_by_name(error, words):
    """Expect an error whose message begins with the first of the words, and has the others."""
    with pytest.raises(error) as caught:
        yield
    message = str(caught.value)
    assert message.startswith(words[0]), message
    for word in words[1:]:
        assert word in message


@pytest.fixture(scope="session")
def pages(tmp_path_factory, testrun_uid):
    """All pages of the book, built once a run (from the cache, where nothing has changed)."""
    command = [Path(sys.executable).with_name("jupyter-book"), "build", ".", "-W", "--keep-going"]
    built = tmp_path_factory.getbasetemp().parent / f"built-{testrun_uid}"
    with FileLock(f"{built}.lock"):  # test modules run in parallel
        if not built.exists():
            build = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            assert build.returncode == 0, build.stderr
            built.touch()
    return {str(path.relative_to(HTML)): path for path in sorted(HTML.rglob("*.html"))}


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
        page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}"))
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


def first_view(browser, path):
    """What a page loads before the reader scrolls: {file name: bytes, zipped where that helps}."""
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    asked = set()
    page.on("request", lambda request: asked.add(unquote(urlsplit(request.url).path)))
    page.goto(path.as_uri())
    page.wait_for_load_state("load")
    page.evaluate("() => window.MathJax?.startup?.promise")
    page.wait_for_timeout(500)
    context.close()
    files = [Path(name) for name in asked if Path(name).is_file()]
    packed = (".woff", ".woff2", ".png")
    return {
        file.name: len(
            file.read_bytes() if file.suffix in packed else gzip.compress(file.read_bytes(), 6)
        )
        for file in files
    }
