"""From a chapter to the helpers that it calls.

The first time that a chapter names a helper in a sentence, and the first time
that it calls it in its code, the name becomes a link to the helper's place on
the pages of the helpers. What a name stands for is read from the chapter's
own imports, so that nobody's `fit` is taken for ours.
"""

import ast
from pathlib import Path

import nbformat
from bs4 import BeautifulSoup
from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform


class LinkedCode(nodes.literal_block):
    """Code in which some calls are links. Its `places`: {name: address}."""


def setup(app):
    app.add_node(LinkedCode, html=(visit_code, None))
    app.add_post_transform(LinkNames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class LinkNames(SphinxPostTransform):
    default_priority = 900
    formats = ("html",)

    def run(self, **kwargs):
        places = helpers_of(self.app, self.env.docname)
        named, called = dict(places), dict(places)
        for literal in list(self.document.findall(nodes.literal)):
            place = named.pop(literal.astext(), None)
            if place and not isinstance(literal.parent, nodes.reference):
                link = nodes.reference("", "", refuri=place, internal=True)
                literal.replace_self(link)
                link += literal
        for code in list(self.document.findall(nodes.literal_block)):
            first = calls(code.astext()) & set(called) if called else set()
            if first:
                told = {"places": {name: called.pop(name) for name in first}}
                said = code.rawsource, *code.children
                code.replace_self(LinkedCode(*said, **code.attributes, **told))


def calls(code):
    """The names that a piece of code calls, such as `objectives.units`."""
    try:
        tree = ast.parse(code)
    except SyntaxError:  # it is no Python
        return set()
    return {
        ast.unparse(call.func)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
    }


def visit_code(self, node):
    try:
        self.visit_literal_block(node)
    except nodes.SkipNode:  # the code is written, in its colours
        self.body[-1] = with_links(self.body[-1], node["places"])
        raise


def with_links(code, places):
    """Coloured code whose first call of each name is a link."""
    code, places = BeautifulSoup(code, "html.parser"), dict(places)
    for end in code.select("span.p"):
        parts, part = [], end.previous_sibling
        while part and part.name and set(part.get("class", ())) & {"n", "o"}:
            parts.insert(0, part)
            part = part.previous_sibling
        place = places.pop("".join(part.text for part in parts), None)
        if place and end.text.startswith("("):
            link = code.new_tag("a", href=place)
            parts[0].insert_before(link)
            link.extend(parts)
    return str(code)


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
