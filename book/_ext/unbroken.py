"""No line begins with a comma: a formula keeps the punctuation behind it.

For a browser a formula is a box, and a line may break on either side of it.
"""

import re

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

PUNCTUATION = re.compile(r"[^\w\s]+")


def setup(app):
    app.add_post_transform(KeepTogether)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class KeepTogether(SphinxPostTransform):
    """Join each formula in a text with the punctuation that follows it."""

    default_priority = 900
    formats = ("html",)

    def run(self, **kwargs):
        for formula in list(self.document.findall(nodes.math)):
            text = formula.next_node(descend=False, siblings=True)
            found = isinstance(text, nodes.Text) and PUNCTUATION.match(text)
            if found:
                rest = nodes.Text(text[found.end() :])
                text.parent.replace(text, rest)
                whole = nodes.inline("", classes=["unbroken"])
                formula.replace_self(whole)
                whole += [formula, nodes.Text(found[0])]
