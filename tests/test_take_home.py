"""The book on paper, and the book to take home."""

import os
import re
import subprocess
import sys
import zipfile

import nbformat
import pdf
import pytest
from conftest import parsed, texts_of
from pypdf import PdfReader


@pytest.fixture(scope="module")
def contents_of_zip(pages, tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    with zipfile.ZipFile(pdf.HTML / "notebooks.zip") as pack:
        pack.extractall(folder)
    (inner,) = folder.iterdir()
    return inner


def test_the_zip_holds_what_a_notebook_needs(contents_of_zip, pages):
    names = {path.name for path in contents_of_zip.iterdir()}
    chapters = {f"{name[5:-5]}.ipynb" for name in pages if re.match(r"book/\d", name)}
    assert {"README.txt", "LICENSE", "requirements.txt", "helpers", *chapters} <= names
    assert len((contents_of_zip / "README.txt").read_text().splitlines()) == 2
    needed = (contents_of_zip / "requirements.txt").read_text()
    assert "tensorflow==" in needed
    assert "-e" not in needed.split()
    title_page = pages["book/index.html"].read_text(encoding="utf-8")
    assert 'href="../notebooks.zip"' in title_page


def test_it_says_which_python_it_needs_wherever_that_is_asked(contents_of_zip, pages):
    project = (pdf.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    first, beyond = map(
        int, re.search(r"requires-python = \">=3\.(\d+),<3\.(\d+)\"", project).groups()
    )
    needed = f"Python 3.{first} to 3.{beyond - 1}"
    title_page = parsed(pages["book/index.html"]).get_text()
    assert needed in re.sub(r"\s+", " ", title_page)
    assert needed in (contents_of_zip / "README.txt").read_text()
    assert needed in (pdf.ROOT / "Makefile").read_text(encoding="utf-8")
    assert needed in (pdf.ROOT / "README.md").read_text(encoding="utf-8")


def test_the_title_page_leads_to_the_pdf_or_says_how_to_make_it(pages):
    page = parsed(pages["book/index.html"])
    there = (pdf.HTML / pdf.NAME).is_file()
    assert bool(page.select(f'a[href="../{pdf.NAME}"]')) == there
    assert ("make pdf" in page.get_text()) == (not there)


def test_its_notebooks_run_there_with_its_own_helpers(contents_of_zip):
    name = "your_own_network.ipynb"
    notebook = nbformat.read(contents_of_zip / name, as_version=4)
    check = (
        "import helpers, pathlib as p; assert p.Path(helpers.__file__).parents[1] == p.Path.cwd()"
    )
    notebook.cells.append(nbformat.v4.new_code_cell(check))
    nbformat.write(notebook, contents_of_zip / name)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [sys.executable, "-m", "jupyter", "execute", name]
    run = subprocess.run(
        command, cwd=contents_of_zip, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


def test_a_notebook_says_what_it_needs(contents_of_zip):
    for path in contents_of_zip.glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        first = next(cell for cell in cells if cell.cell_type == "code")
        assert first.source.startswith('# Needs the folder "helpers" beside it'), path


@pytest.fixture(scope="module")
def printed(pages, browser, tmp_path_factory):
    """The PDF, with the text of its pages."""
    path = tmp_path_factory.mktemp("pdf") / "book.pdf"
    pdf.write(path, browser)
    return PdfReader(path), [re.sub(r"^\d+\n", "", text) for text in texts_of(path)]  # no numbers


def squeezed(text):
    return re.sub(r"\s+", "", text)


def test_the_pdf_names_itself_and_outlines_the_chapters(printed, pages):
    reader, texts = printed
    assert reader.metadata.title == "Running a Network Backwards"
    assert reader.metadata.author
    assert reader.trailer["/Root"]["/Lang"] == "en"
    assert len(texts) > 40
    outline = {squeezed(entry.title) for entry in flat(reader.outline)}
    for name, path in pages.items():
        if name.startswith("book/"):
            soup = parsed(path)
            title = soup.select_one("article h1").get_text().rstrip("#")
            assert squeezed(title) in outline, name


def flat(outline):
    for entry in outline:
        if isinstance(entry, list):
            yield from flat(entry)
        else:
            yield entry


def test_the_contents_give_the_right_pages(printed):
    reader, texts = printed
    contents = next(i for i, text in enumerate(texts) if squeezed(text).startswith("Contents"))
    listed = reader.pages[contents].extract_text()  # in lines, which pdfium takes for columns
    places = {}
    for entry in flat(reader.outline):  # the solutions have headings of the same names, later
        places.setdefault(entry.title, reader.get_destination_page_number(entry))
    found = re.findall(r"^(\d\. .+?)\s*(\d+)$", listed, re.MULTILINE)
    assert len(found) >= 4
    for title, number in found:
        assert places[title] == int(number) - 1, title


def test_nothing_is_missing_from_the_pdf(printed, pages):
    _, texts = printed
    whole = squeezed("".join(texts))
    assert "\\frac" not in whole
    assert "\\(" not in whole
    for name, path in pages.items():
        if not name.startswith("book/"):
            continue
        soup = parsed(path)
        for caption in soup.select("figcaption .caption-number"):
            assert squeezed(caption.get_text()) in whole, f"{name}: {caption.get_text()}"
        for code in soup.select(".cell_input details:not(.check) pre"):
            for line in code.get_text().splitlines():
                assert squeezed(line) in whole, f"{name}: {line}"


def test_solutions_stand_at_the_end(printed):
    _, texts = printed
    first = next(i for i, text in enumerate(texts) if text.startswith("Solutions"))
    assert not any("Solution to Exercise" in text for text in texts[:first])
    assert sum(text.count("Solution to Exercise") for text in texts[first:]) >= 12


def test_without_a_browser_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setattr(pdf.shutil, "which", lambda name: None)

    class Playwright:
        class chromium:  # noqa: N801
            executable_path = "/nowhere"

    with pytest.raises(FileNotFoundError, match="playwright install chromium"):
        pdf.launch(Playwright)
