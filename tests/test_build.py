"""The build's own rules, on a miniature of the book: what is executed when, and what stops it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pdf
import pytest
from conftest import ROOT
from execute_chapters import digest_of_inputs
from nbformat import v4

pytestmark = pytest.mark.build

# The kernel sends what is flushed at once, as a message of its own.
IN_TWO_PARTS = "print('one', end=' ', flush=True)\nprint('line')"


def metadata_of(cell):
    """What makes a check of a cell that asserts, and a numbered figure of one that draws."""
    if cell.startswith("assert"):
        return {"tags": ["check"]}
    name = re.search(r"(fig-\w+): a line", cell)
    if name is None:
        return {}
    alt = {"alt": "A line that rises from one to two."}
    return {"mystnb": {"figure": {"name": name[1], "caption": "A line."}, "image": alt}}


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
                    if cell.startswith("#") and not cell.startswith("# fig-")
                    else v4.new_code_cell(cell, id=f"{name}-{i}", metadata=metadata_of(cell))
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
        page = self.page(name)
        return [page.parent / image["src"] for image in pdf.read(page).select('img[src$=".svg"]')]


def executed(build):
    """The chapters that a build says it executed."""
    said = re.search(r"^executing (.*)$", build.stdout, re.MULTILINE)
    return set(said[1].replace("book/", "").split(", ")) if said else set()


@pytest.fixture
def book(tmp_path):
    return Miniature(tmp_path)


def test_what_is_executed_again_and_what_is_not(book):
    book.write(one=["# One", "print(6 * 7)"], two=["# Two", IN_TWO_PARTS])
    given = {path.name for path in book.folder.iterdir()}
    first = book.build("-W", "--keep-going")
    assert first.returncode == 0, first.stdout
    assert executed(first) == {"one", "two"}
    assert "42" in book.page("one").read_text()
    assert "one line" in book.page("two").read_text()
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

    digests = {digest_of_inputs(book.folder)}
    for path in ("helpers/closed_forms.py", "helpers/datasets/nist_norris.csv", "requirements.txt"):
        with (book.folder / path).open("a") as file:
            file.write("# changed\n")
        digests.add(digest_of_inputs(book.folder))
    assert len(digests) == 4
    assert executed(book.build()) == {"one", "two"}
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
# fig-late: a line
import matplotlib.pyplot as plt
fig, ax = plt.subplots()
ax.plot([1, 2]);"""

FAILURES = {  # chapter: what its third cell does; the name and the message that its page shows
    "fails": ("x / 0", "ZeroDivisionError", "division by zero"),
    "reads": ("open('/home' + '/somebody' + '/data' + '.csv')", "FileNotFoundError", "data.csv"),
    "killed": ("import os; os.kill(os.getpid(), 9)", "DeadKernelError", "ended from outside"),
    "waits": ("import time; time.sleep(3600)", "TimeoutError", "did not end within 15 seconds"),
    "loud": ("import sys; print('al' + 'as', file=sys.stderr)", "stderr", "alas"),
}


def failing(chapter, cell):
    """A chapter whose third cell may fail; then come an equation and a figure."""
    figure = FIGURE.replace("late", chapter)
    return [
        f"# A {chapter} one",
        "x = 6 * 7\nprint(x)",
        cell,
        f"# On\n\n$$ a $$ (eq-{chapter})",
        figure,
        "assert x == 42",
    ]


def test_chapters_that_fail_do_not_take_the_book_with_them(book):
    config = book.folder / "_config.yml"
    config.write_text(config.read_text().replace("timeout: 300", "timeout: 15"))
    roles = "".join(f"{{numref}}`fig-{name}`, {{eq}}`eq-{name}`; " for name in FAILURES)
    book.write(
        good=["# Good", "print('fine')", "assert True"],
        other=[f"# Other\n\nSee {roles}", "print(1)"],
        **{name: failing(name, cell) for name, (cell, *_) in FAILURES.items()},
    )
    build = book.build("-W", "--keep-going")
    assert build.returncode != 0
    assert executed(build) == {"good", "other", *FAILURES}
    assert "undefined label" not in build.stdout
    for name, (_, error, message) in FAILURES.items():
        assert f"book/{name}.ipynb, cell 2 failed: {error}" in build.stdout
        page = book.page(name).read_text()
        assert "This chapter did not run to its end" in page
        assert "This cell failed on this machine" in page
        assert page.count(f"{error}: ") == 2
        assert page.count(message) == 2
        assert "42" in page  # what ran before it
        assert "not checked" in page
        assert "checked ✓" not in page
        assert "Traceback" not in page
        assert "/home/somebody" not in page
        drawings = "".join(path.read_text() for path in book.images(name))
        assert ("Not drawn" in drawings) == (name != "loud")  # all of that one has run
    assert "failed" not in book.page("good").read_text()
    assert "checked ✓" in book.page("good").read_text()
    other = pdf.read(book.page("other"))
    to_figures = other.select('article a[href*="#fig-"]')
    assert len({link.get_text() for link in to_figures}) == 5
    assert all(link.get_text().startswith("Fig.") for link in to_figures)
    assert all(other.select(f'a[href="{name}.html#equation-eq-{name}"]') for name in FAILURES)
    index = (book.folder / "_build/html/searchindex.js").read_text()
    assert all(f"book/{chapter}" in index for chapter in ("good", "other", *FAILURES))
    assert (book.folder / "_build/html/notebooks.zip").is_file()

    # Another try, though nothing has changed; a cell that works now; and nothing more to do.
    mended = {name: failing(name, "x / 2") for name in FAILURES if name != "fails"}
    book.write(**mended)
    again = book.build("-W", "--keep-going")
    assert again.returncode != 0
    assert executed(again) == set(FAILURES)
    assert "book/fails.ipynb, cell 2 failed" in again.stdout
    assert all("failed" not in book.page(name).read_text() for name in mended)

    book.write(fails=failing("fails", "x / 2"))
    whole = book.build("-W", "--keep-going")
    assert whole.returncode == 0, whole.stdout
    assert executed(whole) == {"fails"}
    assert "failed" not in book.page("fails").read_text()
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
