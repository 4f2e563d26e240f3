"""Figures for the dark page: the same drawing, in the colours made for it.

A chapter draws each figure once, in the colours of `helpers.figures.LIGHT`.
This extension writes a second SVG in which they are exchanged for those of
`DARK`, and sets both; `book.css` shows the one that fits the page. Live
figures take their colours from a style sheet that is written here, too.
"""

import re
from pathlib import Path

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

from helpers.figures import DARK, LIGHT

STYLES = "figure-colours.css"
IN_THE_DARK = {LIGHT[name]: DARK[name] for name in LIGHT}
COLOUR = re.compile("|".join(IN_THE_DARK))


def setup(app):
    app.add_post_transform(DrawForTheDark)
    app.add_css_file(STYLES)
    app.connect("build-finished", write_styles)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class DrawForTheDark(SphinxPostTransform):
    """Set a dark variant beside each SVG that a cell has put out."""

    default_priority = 10  # when MyST-NB has chosen the SVG among the outputs
    formats = ("html",)

    def run(self, **kwargs):
        for light in list(self.document.findall(is_drawing)):
            path = Path(self.env.srcdir, light["uri"])
            drawing = path.read_text(encoding="utf-8")
            dark_path = path.with_name(f"{path.stem}-dark.svg")
            dark_path.write_text(for_the_dark(drawing), encoding="utf-8")

            dark = light.deepcopy()
            folder = Path(light["uri"]).parent
            dark["uri"] = (folder / dark_path.name).as_posix()
            dark["candidates"] = {"*": dark["uri"]}
            self.env.images.add_file(self.env.docname, dark["uri"])
            # The theme leaves alone what is called dark-light.
            light["classes"] += ["drawn-light", "dark-light"]
            dark["classes"] += ["drawn-dark", "dark-light"]
            light.parent.insert(light.parent.index(light) + 1, dark)


def is_drawing(node):
    uri = node.get("uri", "") if isinstance(node, nodes.image) else ""
    return "jupyter_execute" in uri and uri.endswith(".svg")


def for_the_dark(drawing):
    """The SVG text with each of the book's colours exchanged."""
    return COLOUR.sub(lambda match: IN_THE_DARK[match[0]], drawing)


def write_styles(app, exception):
    if exception or app.builder.format != "html":
        return
    colours = "".join(f"  --figure-{k}: {v};\n" for k, v in DARK.items())
    styles = f'@media screen {{ html[data-theme="dark"] {{\n{colours}}} }}\n'
    path = Path(app.outdir) / "_static" / STYLES
    path.write_text(styles, encoding="utf-8")
