"""The build's own rules, on a miniature of the book: what is executed when, and what stops it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.build


def figure_of(cell):
    """What makes a numbered figure of a cell that draws."""
    figure = {"name": "fig-late", "caption": "A line."}
    alt = {"alt": "A line that rises from one to two."}
    return {"mystnb": {"figure": figure, "image": alt}} if "plt.subplots(" in cell else {}


class Miniature:
    """A book of a few tiny chapters, with the real configuration, extensions and helpers."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("_config.yml", "requirements.txt", "LICENSE"):
            shutil.copy(ROOT / name, folder)
        shutil.copytree(ROOT / "helpers", folder / "helpers")
        for name in ("_ext", "_static", "_templates"):
            shutil.copytree(ROOT / "book" / name, folder / "book" / name)
        shutil.copy(ROOT / "book" / "references.bib", folder / "book")
        (folder / "book" / "index.md").write_text("# A miniature\n")

    def write(self, **chapters):
        """Write chapters, each given as its cells: text starts with '#', all else is code."""
        for name, cells in chapters.items():
            notebook = v4.new_notebook(
                cells=[
                    v4.new_markdown_cell(cell, id=f"{name}-{i}")
                    if cell.startswith("#")
                    else v4.new_code_cell(cell, id=f"{name}-{i}", metadata=figure_of(cell))
                    for i, cell in enumerate(cells)
                ],
                metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
            )
            nbformat.write(notebook, self.folder / "book" / f"{name}.ipynb")
        names = sorted(path.stem for path in (self.folder / "book").glob("*.ipynb"))
        toc = "format: jb-book\nroot: book/index\nchapters:\n"
        toc += "".join(f"  - file: book/{name}\n" for name in names)
        (self.folder / "_toc.yml").write_text(toc)

    def build(self, *options):
        command = [Path(sys.executable).with_name("jupyter-book"), "build", ".", *options]
        return subprocess.run(
            command,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def page(self, name):
        return self.folder / "_build" / "html" / "book" / f"{name}.html"

    def images(self, name):
        names = re.findall(r'src="\.\./(_images/[^"]*\.svg)"', self.page(name).read_text())
        return [self.folder / "_build" / "html" / image for image in names]


def executed(build):
    """The chapters that a build says it executed."""
    said = re.search(r"^executing (.*)$", build.stdout, re.MULTILINE)
    return set(said[1].replace("book/", "").split(", ")) if said else set()


@pytest.fixture
def book(tmp_path):
    return Miniature(tmp_path)


def test_what_is_executed_again_and_what_is_not(book):
    book.write(one=["# One", "print(6 * 7)"], two=["# Two", "print('same')"])
    given = {path.name for path in book.folder.iterdir()}
    first = book.build("-W", "--keep-going")
    assert first.returncode == 0, first.stdout
    assert executed(first) == {"one", "two"}
    assert "42" in book.page("one").read_text()
    assert {path.name for path in book.folder.iterdir()} == given | {"_build"}

    book.write(one=["# One, in other words", "print(6 * 7)"])
    sentence = book.build()
    assert executed(sentence) == set()
    assert "One, in other words" in book.page("one").read_text()
    assert "42" in book.page("one").read_text()
    assert {path.name for path in book.folder.iterdir()} == given | {"_build"}

    book.write(one=["# One, in other words", "print(6 * 8)"])
    cell = book.build()
    assert executed(cell) == {"one"}
    assert "48" in book.page("one").read_text()

    for path in ("helpers/closed_forms.py", "helpers/datasets/nist_norris.csv", "requirements.txt"):
        with (book.folder / path).open("a") as file:
            file.write("# changed\n")
        assert executed(book.build()) == {"one", "two"}, path

    assert executed(book.build()) == set()


def test_a_changed_style_or_template_reaches_the_pages_without_execution(book):
    book.write(one=["# One", "print(6 * 7)"])
    first = book.build()
    assert executed(first) == {"one"}, first.stdout

    source = book.folder / "book" / "_static" / "book.css"
    source.write_text("body { color: teal }\n")
    template = book.folder / "book" / "_templates" / "book-logo.html"
    template.write_text("<p>another logo</p>\n")
    again = book.build()
    assert executed(again) == set()
    built = book.folder / "_build" / "html" / "_static" / "book.css"
    assert built.read_text() == source.read_text()
    assert "another logo" in book.page("one").read_text()
    assert "no targets are out of date" in book.build().stdout


FIGURE = """\
import matplotlib.pyplot as plt
fig, ax = plt.subplots()
ax.plot([1, 2]);"""

REFERENCE = "# Other\n\nSee {numref}`fig-late` and {eq}`eq-late`."

FAILURES = {  # what a cell does; the name and the message that the page shows of it
    "x / 0": ("ZeroDivisionError", "division by zero"),
    "open('/home/somebody/data.csv')": ("FileNotFoundError", "&#39;data.csv&#39;"),
    "import os; os.kill(os.getpid(), 9)": ("DeadKernelError", "ended from outside"),
    "while True: pass": ("TimeoutError", "did not end within 20 seconds"),
    "import sys; print('alas', file=sys.stderr)": ("stderr", "alas"),
}


@pytest.mark.parametrize("cell", FAILURES)
def test_a_chapter_that_fails_does_not_take_the_book_with_it(book, cell):
    config = book.folder / "_config.yml"
    config.write_text(config.read_text().replace("timeout: 300", "timeout: 20"))
    equation = "# Late\n\n$$ a = b $$ (eq-late)"
    bad = ["# Bad", "x = 6 * 7\nprint(x)", cell, equation, FIGURE]
    book.write(good=["# Good", "print('fine')"], other=[REFERENCE, "print(1)"], bad=bad)
    build = book.build("-W", "--keep-going")
    name, message = FAILURES[cell]
    assert build.returncode != 0
    assert executed(build) == {"good", "other", "bad"}
    assert f"book/bad.ipynb, cell 2 failed: {name}" in build.stdout
    assert "undefined label" not in build.stdout

    page = book.page("bad").read_text()
    assert "This chapter did not run to its end" in page
    assert "This cell failed on this machine" in page
    assert page.count(f"{name}: ") == 2
    assert page.count(message) == 2
    assert "42" in page  # what ran before it
    assert "Traceback" not in page
    assert "/home/somebody" not in page
    if name != "stderr":  # all of such a chapter has run
        assert "not drawn" in "".join(p.read_text() for p in book.images("bad"))
    assert "fine" in book.page("good").read_text()
    assert "failed" not in book.page("good").read_text()
    assert "Fig. 1" in book.page("other").read_text()
    assert "bad.html#eq-late" in book.page("other").read_text()
    index = (book.folder / "_build/html/searchindex.js").read_text()
    assert all(f"book/{chapter}" in index for chapter in ("good", "bad", "other"))
    assert (book.folder / "_build/html/notebooks.zip").is_file()

    again = book.build("-W", "--keep-going")  # nothing has changed: it is given another try
    assert again.returncode != 0
    assert executed(again) == {"bad"}

    book.write(bad=["# Bad", "x = 6 * 7\nprint(x)", "x / 2", equation, FIGURE])
    mended = book.build("-W", "--keep-going")
    assert mended.returncode == 0, mended.stdout
    assert executed(mended) == {"bad"}
    assert "failed" not in book.page("bad").read_text()
    assert executed(book.build()) == set()


@pytest.mark.skipif(os.cpu_count() < 2, reason="one core: chapters are executed in turn")
def test_chapters_are_executed_at_the_same_time(book):
    meet = """
import pathlib, time
pathlib.Path("{mine}").touch()
end = time.monotonic() + 60
while not pathlib.Path("{other}").exists():
    assert time.monotonic() < end, "waited in vain"
    time.sleep(0.05)
"""
    book.write(
        left=["# Left", meet.format(mine="left.here", other="right.here")],
        right=["# Right", meet.format(mine="right.here", other="left.here")],
    )
    build = book.build()
    assert build.returncode == 0, build.stdout
