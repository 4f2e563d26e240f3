"""A glimpse of a chapter: one of its figures, as the way to it.

A link such as `[This is a three?](glimpse:fig-three?0-25)` leads to the figure
and shows it, here its first quarter from the left. Nothing is drawn twice: the
picture is the one that the chapter has put out. A page with glimpses is made
again when a chapter is.
"""

import re
from pathlib import Path

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

SIZE = re.compile(
    r'width="[\d.]+pt" height="([\d.]+)pt" viewBox="0 0 ([\d.]+) [\d.]+"'
)


def setup(app):
    app.add_post_transform(ShowGlimpses)
    app.connect("env-get-outdated", pages_that_show_chapters)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class ShowGlimpses(SphinxPostTransform):
    default_priority = 5  # before dark_figures.py, which adds the dark drawing

    def run(self, **kwargs):
        here, figures = self.env.docname, self.env.domains["std"].anonlabels
        for link in list(self.document.findall(nodes.reference)):
            scheme, _, figure = link.get("refuri", "").partition(":")
            if scheme != "glimpse":
                continue
            name, _, part = figure.partition("?")
            chapter, place = figures[name]
            address = self.app.builder.get_relative_uri(here, chapter)
            link["refuri"] = f"{address}#{place}"
            words = nodes.inline("", "", *link.children)
            link.children = []
            link += [self.picture(chapter, place, part), words]
            link.parent.parent.parent["classes"] = ["glimpses"]

    def picture(self, chapter, place, part):
        """The drawing of a figure, as its cell put it out, or a part of it."""
        for figure in self.env.get_doctree(chapter).findall(nodes.figure):
            if place in figure["ids"]:
                break
        else:
            raise LookupError(f"{chapter} has no figure {place} to show")
        images = figure.findall(nodes.image)
        image = next(i for i in images if i["uri"].endswith(".svg")).deepcopy()
        if part:
            path = Path(self.env.srcdir, image["uri"])
            drawing = slice_of(path.read_text(encoding="utf-8"), part)
            path = path.with_name(f"{path.stem}-{part}.svg")
            path.write_text(drawing, encoding="utf-8")
            image["uri"] = path.relative_to(self.env.srcdir).as_posix()
            image["candidates"] = {"*": image["uri"]}
        self.env.images.add_file(self.env.docname, image["uri"])
        return image


def slice_of(drawing, part):
    """The SVG text with a part of its width, such as '0-25' per cent."""
    height, width = map(float, SIZE.search(drawing).groups())
    left, right = (width * float(end) / 100 for end in part.split("-"))
    size = f'width="{right - left:g}pt" height="{height:g}pt"'
    return SIZE.sub(
        f'{size} viewBox="{left:g} 0 {right - left:g} {height:g}"',
        drawing,
        count=1,
    )


def pages_that_show_chapters(app, env, added, changed, removed):
    again = added | changed | set(getattr(env, "failed_chapters", ()))
    return [app.config.root_doc] if again else []
