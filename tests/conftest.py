"""What several test modules share: the built book, and a browser to read it with."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html"


@pytest.fixture(scope="session")
def pages():
    """All pages of the book, freshly built (from the cache, where nothing has changed)."""
    command = [Path(sys.executable).with_name("jupyter-book"), "build", ".", "-W", "--keep-going"]
    HTML.parent.mkdir(exist_ok=True)
    with FileLock(HTML.with_suffix(".lock")):  # test modules run in parallel
        build = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert build.returncode == 0, build.stderr
    return {str(path.relative_to(HTML)): path for path in sorted(HTML.rglob("*.html"))}


@pytest.fixture(scope="session")
def browser():
    """Chromium: the one that Playwright installed, or the machine's."""
    from playwright.sync_api import Error, sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    with sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
        found = str(own) if own.exists() else next(filter(None, map(shutil.which, names)), None)
        try:
            if found is None:
                raise FileNotFoundError("no Chromium on this machine")
            chromium = playwright.chromium.launch(
                executable_path=found, args=["--no-sandbox", "--disable-gpu"]
            )
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
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
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
