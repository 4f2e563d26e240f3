"""Code that folds: every code cell of a page opens and closes.

MyST-NB folds the cells tagged `hide-input`. This extension knows three kinds:

* `hidden`, tagged `hide-input`: folded, under the title that the cell gives;
* `check`, tagged so, does nothing but check what the text says: one quiet
  line, "checked ✓", that opens. It says so only if the cell has run;
* `shown`, all others: open, and folded with the rest if the reader wants.

`folds.js` opens or folds all of them at once, where scripts run. Without
scripts each still works by itself, as a `<details>`. On paper all code is
open but that of checks, of which the line remains.
"""

from html import escape

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode, HideInputCells
from sphinx.transforms.post_transforms import SphinxPostTransform

CHECKED = "checked ✓"
NOT_CHECKED = "not checked"


def setup(app):
    app.add_post_transform(FoldCode)
    app.add_node(HideCodeCellNode, override=True, html=(begin_fold, end_fold))
    app.add_css_file("folds.css")
    app.add_js_file("folds.js", loading_method="defer")
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class FoldCode(SphinxPostTransform):
    """Have MyST-NB fold each code cell, under a title that fits its kind."""

    default_priority = HideInputCells.default_priority - 1
    formats = ("html",)

    def run(self, **kwargs):
        failure = self.env.failed_chapters.get(self.env.docname)
        for cell in self.document.findall(nodes.container):
            if cell.get("nb_element") != "cell_code":
                continue
            if "tag_check" in cell["classes"]:
                ran = not failure or cell["cell_index"] < failure["cell"]
                kind, show = "check", CHECKED if ran else NOT_CHECKED
            elif "hide_mode" in cell:
                kind, show = "hidden", cell["prompt_show"]
            else:
                kind, show = "shown", "Show the code"
            cell["kind"], cell["hide_mode"] = kind, "input"
            cell["prompt_show"] = show
            cell["prompt_hide"] = show.replace("Show", "Hide", 1)


def begin_fold(self, node):
    kind = node.parent["kind"]
    state = " open" if kind == "shown" else ""
    show, hide = escape(node["prompt_show"]), escape(node["prompt_hide"])
    self.body.append(
        f'<details class="fold {kind}"{state}>\n<summary>'
        f'<span class="when-folded">{show}</span>'
        f'<span class="when-open">{hide}</span></summary>\n'
    )


def end_fold(self, node):
    self.body.append("</details>\n")
