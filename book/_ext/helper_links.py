"""From a chapter to the helpers that it calls.

The first time that a chapter names a helper in a sentence, and the first time
that it calls it in its code, the name becomes a link to the helper's place on
the pages of the helpers. What a name stands for is read from the chapter's
own imports, so that nobody's `fit` is taken for ours.
"""

import ast
import html
import re
from pathlib import Path

import nbformat
from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

DOT = r'<span class="o">\.</span>'


def setup(app):
    app.add_post_transform(LinkNames)
    app.connect("html-page-context", link_calls)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class LinkNames(SphinxPostTransform):
    default_priority = 900
    formats = ("html",)

    def run(self, **kwargs):
        places = helpers_of(self.app, self.env.docname)
        for literal in list(self.document.findall(nodes.literal)):
            place = places.get(literal.astext())
            if place and not isinstance(literal.parent, nodes.reference):
                del places[literal.astext()]
                link = nodes.reference("", "", refuri=place, internal=True)
                literal.replace_self(link)
                link += literal


def link_calls(app, pagename, templatename, context, doctree):
    if doctree is None:
        return
    for name, place in helpers_of(app, pagename).items():
        spans = (f'<span class="n">{part}</span>' for part in name.split("."))
        call = re.compile(
            r'(?<!<span class="o">\.</span>)'  # not a method of that name
            rf'({DOT.join(spans)})(?=<span class="p">\()'
        )
        link = rf'<a href="{html.escape(place)}">\1</a>'
        context["body"] = call.sub(link, context["body"], count=1)


def helpers_of(app, pagename):
    """{name in a chapter's code: address} of the helpers it imports."""
    path = Path(app.env.doc2path(pagename))
    if path.suffix != ".ipynb":
        return {}
    cells = nbformat.read(path, as_version=nbformat.NO_CONVERT).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    imported = {
        alias.asname or alias.name: f"{statement.module}.{alias.name}"
        for statement in ast.walk(ast.parse(code))
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    places = {}
    for full, entry in app.env.domains["py"].objects.items():
        address = app.builder.get_relative_uri(pagename, entry.docname)
        for name, origin in imported.items():
            if full == origin or full.startswith(f"{origin}."):
                short = name + full.removeprefix(origin)
                places[short] = f"{address}#{entry.node_id}"
    return places
