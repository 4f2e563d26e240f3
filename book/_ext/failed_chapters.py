"""The page of a chapter that failed: it says so, at its top and at the cell.

`execute_chapters.py` keeps what ran before the failure. This extension sets
two notes on the page, with the error's name and message and what to do. Where
a figure was not drawn, an empty one keeps its number, so that what refers to
it holds.
"""

import re

from docutils import nodes
from nbformat.v4 import new_output

from helpers.figures import LIGHT

# A path, of which the last part is kept: the others belong to a machine.
PATH = re.compile(r"(?:\b[A-Za-z]:|~)?(?:[\\/][\w.@+-]+)+[\\/](?=[\w.@+<-])")

NOT_DRAWN = f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 460 120"
 width="460pt" height="120pt">
<rect x="1" y="1" width="458" height="118" fill="none"
 stroke="{LIGHT["data"]}" stroke-dasharray="6 4"/>
<text x="230" y="65" text-anchor="middle" font-family="serif" font-size="15"
 fill="{LIGHT["ink"]}">Not drawn: the chapter failed before this figure.</text>
</svg>"""


def setup(app):
    app.connect("doctree-read", tell)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def fit_for_the_page(notebook, failure):
    """Take out traces and warnings; keep the place of figures not drawn."""
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        cell.outputs = [
            output
            for output in cell.outputs
            if output.output_type != "error" and output.get("name") != "stderr"
        ]
        if "figure" in cell.metadata.get("mystnb", {}):
            drawn = any("data" in output for output in cell.outputs)
            half = index == failure["cell"] and failure["name"] != "stderr"
            if half or not drawn:
                data = {"image/svg+xml": NOT_DRAWN}
                cell.outputs = [new_output("display_data", data)]
    failure["message"] = PATH.sub("", failure["message"])


def tell(app, doctree):
    failure = app.env.failed_chapters.get(app.env.docname)
    if failure is None:
        return
    error = f"{failure['name']}: {failure['message']}".strip()
    for cell in doctree.findall(nodes.container):
        if cell.get("cell_index") == failure["cell"]:
            here = note("This cell failed on this machine", error)
            here["ids"].append("failed-cell")
            cell.parent.insert(cell.parent.index(cell) + 1, here)
            break
    cell = nodes.reference("", "one cell", refid="failed-cell", internal=True)
    whole = nodes.paragraph(
        "",
        "",
        nodes.Text("When this page was built, "),
        cell,
        nodes.Text(
            " of the chapter failed on this machine. What comes after it has "
            "no results. The fault may lie with the machine or the book."
        ),
    )
    advice = nodes.paragraph(
        "",
        "Build the book again: this chapter is then executed again, and no "
        "other. If it fails once more, please report it, with the message "
        "and the kind of your processor.",
    )
    top = note("This chapter did not run to its end", error, whole, advice)
    first = next(doctree.findall(nodes.section))
    first.insert(first.first_child_matching_class(nodes.title) + 1, top)


def note(title, error, *paragraphs):
    return nodes.admonition(
        "",
        nodes.title("", title),
        *paragraphs,
        nodes.literal_block(error, error, language="text"),
        classes=["failed-chapter", "error"],
    )
