"""Every chapter keeps its contract, and every number in its prose stands in its code or output.

The notebooks are read here, not run: nbval runs them, and compares the stored outputs.
"""

import io
import re
import tokenize
from decimal import Decimal
from pathlib import Path

import nbformat
import pytest

BOOK = Path(__file__).parents[1] / "book"
NOTEBOOKS = {path.stem: nbformat.read(path, as_version=4) for path in sorted(BOOK.glob("*.ipynb"))}
CHAPTERS = [name for name in NOTEBOOKS if name[0].isdigit()]
PAGES = [*sorted(path.stem for path in BOOK.glob("*.md")), *sorted(set(NOTEBOOKS) - set(CHAPTERS))]

for_each_chapter = pytest.mark.parametrize("name", CHAPTERS)
for_each_notebook = pytest.mark.parametrize("name", NOTEBOOKS)


def prose(name):
    """All text of a chapter or page, its Markdown only."""
    if name in NOTEBOOKS:
        cells = NOTEBOOKS[name].cells
        return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return (BOOK / f"{name}.md").read_text(encoding="utf-8")


def code_cells(name):
    return [cell for cell in NOTEBOOKS[name].cells if cell.cell_type == "code"]


def figure_cells(name):
    return [cell for cell in code_cells(name) if "plt.subplots(" in cell.source]


def section(name, title):
    """The cells from one heading to the next of the same level."""
    found, inside = [], False
    for cell in NOTEBOOKS[name].cells:
        if cell.cell_type == "markdown" and re.search(r"^## ", cell.source, re.MULTILINE):
            inside = bool(re.search(rf"^## {title}$", cell.source, re.MULTILINE))
        if inside:
            found.append(cell)
    return found


# --- the contract ------------------------------------------------------------------------------


def test_there_are_chapters():
    assert CHAPTERS[:4] == ["01_dataset", "02_training", "03_reconstruction", "04_sigmoid"]


@for_each_chapter
def test_opens_with_question_goals_requirements_and_minutes(name):
    opening = NOTEBOOKS[name].cells[0].source
    assert re.match(r"# \w.*\n\n\*\*[^*]+\?\*\*\n", opening)
    assert "{admonition} What you will be able to do" in opening
    assert opening.count("\n- ") >= 3
    for word in ("*Necessary:*", "*Helpful:*"):
        assert word in opening
    assert re.search(r"\*Time:\* about \d+ minutes\.", opening)


@for_each_chapter
def test_ends_with_what_can_go_wrong_exercises_summary_and_the_way_on(name):
    headings = re.findall(r"^## (.+)$", prose(name), re.MULTILINE)
    assert headings[-4:] == ["What can go wrong", "Exercises", "Summary", "Where to go next"]
    assert any(cell.cell_type == "code" for cell in section(name, "What can go wrong"))


@for_each_chapter
def test_exercises_have_folded_solutions_that_run(name):
    """Three of them at least: an exercise on the reader's own data has none to run."""
    cells, text, run = NOTEBOOKS[name].cells, prose(name), 0
    for label in re.findall(r":::\{exercise\}.*\n:label: ([\w-]+)", text):
        assert f":::{{solution-start}} {label}\n:class: dropdown" in text, label
        start = next(i for i, c in enumerate(cells) if f"{{solution-start}} {label}" in c.source)
        end = next(i for i in range(start + 1, len(cells)) if "{solution-end}" in cells[i].source)
        run += any(cell.cell_type == "code" for cell in cells[start:end])
    assert run >= 3


@for_each_notebook
def test_code_cells_are_short_and_not_wide(name):
    assert max(len(cell.source.splitlines()) for cell in code_cells(name)) <= 20
    widest = max((line for c in code_cells(name) for line in c.source.splitlines()), key=len)
    assert len(widest) <= 75, widest


@for_each_notebook
def test_what_says_that_it_checks_does(name):
    for cell in code_cells(name):
        if "check" in cell.metadata.get("tags", []):
            assert "assert" in cell.source, cell.source
            assert "code_prompt_show" not in cell.metadata.get("mystnb", {}), cell.source


@for_each_notebook
def test_every_figure_has_number_caption_and_an_alt_text_that_is_a_sentence(name):
    for cell in figure_cells(name):
        options = cell.metadata.get("mystnb", {})
        figure, alt = options.get("figure", {}), options.get("image", {}).get("alt", "")
        assert figure.get("name", "").startswith("fig-"), cell.source
        assert len(figure.get("caption", "").split()) >= 5, cell.source
        assert len(alt.split()) >= 12, cell.source
        assert re.match(r"[A-Z].*\.$", alt), alt


@for_each_chapter
def test_every_figure_is_mentioned_before_it_appears(name):
    assert len(figure_cells(name)) >= 2
    said = ""
    for cell in NOTEBOOKS[name].cells:
        if cell.cell_type == "markdown":
            said += cell.source
        elif cell in figure_cells(name):
            label = cell.metadata["mystnb"]["figure"]["name"]
            assert f"{{numref}}`{label}`" in said, label


@for_each_notebook
def test_outputs_are_stored_where_they_are_compared_and_nowhere_else(name):
    for cell in code_cells(name):
        tags = cell.metadata.get("tags", [])
        assert ("nbval-check-output" in tags) == ("keep_output" in tags) == bool(cell.outputs)
        for output in cell.outputs:
            assert output.output_type == "stream"
            assert output.name == "stdout"


@pytest.mark.parametrize("name", [*CHAPTERS, *PAGES])
def test_the_text_is_plain(name):
    text = re.sub(r"`[^`]*`|\$[^$]*\$", "", prose(name))
    for word in ("simply", "obviously", "in this notebook we will"):
        assert not re.search(rf"\b{word}\b", text, re.IGNORECASE), word
    assert not re.search(r"\w!", text)
    assert not re.search("[\U0001f300-\U0001faff]", text)


def test_chapter_one_needs_no_tensorflow():
    code = "\n".join(cell.source for cell in code_cells("01_dataset"))
    imported = set(re.findall(r"(?:from|import) ([\w.]+)", code))
    assert imported == {
        "matplotlib.pyplot",
        "numpy",
        "helpers",
        "figures",
        "helpers.closed_forms",
        "least_squares",
        "helpers.data",
        "noisy_line",
    }


# --- the numbers -------------------------------------------------------------------------------

NUMBER = re.compile(
    r"(?<![\w.])(\d{1,3}(?:[ \u202f]\d{3})+|\d+)(\.\d+)?"  # 25 000, or 0.4
    r"(?:\s*\\(?:cdot|times)\s*10\^\{?(-?\d+)\}?)?"  # times a power of ten
)

# What looks like a number and was not measured.
NOT_MEASURED = [
    r"(?m)^:.*$",  # directives and their options
    r"\{\w+(?::\w+)?\}`[^`]*`",  # roles: references, terms, citations
    r"`[^`]*`",  # code within a sentence
    r"\]\([^)]*\)",  # targets of links
    r"\(eq-[\w-]+\)",  # labels of equations
    r"\*Time:\* about \d+ minutes",
    r"\b[Cc]hapters? \d+(?: (?:and|to) \d+)?",
    r"\b(?:In|of|February) (?:1[89]|20)\d\d\b|\b\d+ February\b",  # dates
    r"float(?:32|64)|8×8|CC BY 4\.0|Python 3\.\d+ to 3\.\d+",  # names
    r"\\t?frac\d\d?",  # one half, and the like
]


def numbers_in_text(text):
    """Numbers of two or more digits, or with decimals; single digits belong to formulas."""
    for pattern in NOT_MEASURED:
        text = re.sub(pattern, " ", text)
    for match in NUMBER.finditer(text):
        whole, decimals, power = match.groups()
        number = Decimal(re.sub(r"\D", "", whole) + (decimals or "")).scaleb(int(power or 0))
        if decimals or power or number >= 10:
            yield number


def numbers_in_code_and_compared_output(name):
    found = set()
    for cell in code_cells(name):
        for token in tokenize.generate_tokens(io.StringIO(cell.source).readline):
            if token.type == tokenize.NUMBER:
                found.add(Decimal(token.string.replace("_", "").rstrip("j")))
        for output in cell.outputs:
            for text in re.findall(r"\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?", output.text):
                found.add(Decimal(text.replace(",", "")))
    return found


def captions_and_alt_texts(name):
    options = [cell.metadata["mystnb"] for cell in figure_cells(name)]
    return "\n".join(f"{o['figure']['caption']}\n{o['image']['alt']}" for o in options)


@for_each_chapter
def test_every_number_in_the_prose_stands_in_code_or_compared_output(name):
    backed = numbers_in_code_and_compared_output(name)
    text = f"{prose(name)}\n{captions_and_alt_texts(name)}"
    unbacked = [number for number in numbers_in_text(text) if number not in backed]
    assert not unbacked, f"numbers that no code of {name} gives: {unbacked}"


@pytest.mark.parametrize("page", PAGES)
def test_every_number_on_other_pages_stands_in_some_chapter_or_on_the_page(page):
    sources = [*CHAPTERS, page] if page in NOTEBOOKS else CHAPTERS
    backed = set().union(*map(numbers_in_code_and_compared_output, sources))
    unbacked = [number for number in numbers_in_text(prose(page)) if number not in backed]
    assert not unbacked, f"numbers on {page} that no chapter gives: {unbacked}"


def test_the_search_for_numbers_finds_them():
    text = r"""
:label: ex-12
From 25 000 points, $3.1 \cdot 10^{6}$ and $-12.5$; see chapter 14, {numref}`fig-15` and `x[16]`.
$\tfrac12$ and $x_0$ are not measured, nor is 7.
"""
    assert list(numbers_in_text(text)) == [Decimal(25000), Decimal("3.1e6"), Decimal("12.5")]
