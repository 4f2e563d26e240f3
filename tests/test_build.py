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
                    (v4.new_markdown_cell if cell.startswith("#") else v4.new_code_cell)(
                        cell, id=f"{name}-{i}"
                    )
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


def test_a_failing_cell_stops_the_build_and_is_named(book):
    book.write(good=["# Good", "print('fine')"], bad=["# Bad", "x = 1", "x / 0"])
    build = book.build()
    assert build.returncode != 0
    assert "book/bad.ipynb, cell 2 failed: ZeroDivisionError" in build.stdout
    assert "x / 0" in build.stdout
    assert not book.page("bad").exists()

    book.write(bad=["# Bad", "x = 1", "x / 2"])
    mended = book.build()
    assert mended.returncode == 0, mended.stdout
    assert executed(mended) == {"bad"}

    book.write(bad=["# Bad", "x = 1", "x / 0"])
    assert book.build().returncode != 0
    assert not book.page("bad").exists()


def test_a_cell_that_writes_to_stderr_stops_the_build(book):
    book.write(loud=["# Loud", "import sys", "print('alas', file=sys.stderr)"])
    build = book.build()
    assert build.returncode != 0
    assert "book/loud.ipynb, cell 2 wrote to stderr: alas" in build.stdout
    assert not book.page("loud").exists()


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
