"""The book to take home: a zip of the notebooks, and the PDF when it is there.

A link such as `[one zip](take-home:notebooks.zip)` leads to a file beside the
pages. The zip is written by every build; the PDF is made from the finished
pages by `make pdf`, and until then its link is plain text that says so.
"""

import zipfile
from pathlib import Path

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

ZIP = "notebooks.zip"
README = """\
With Python 3.11 to 3.13, type: python -m pip install -r requirements.txt
Then start the notebooks here, in this folder: python -m jupyter lab
"""


def setup(app):
    app.add_post_transform(LinkFiles)
    app.connect("env-get-outdated", pages_whose_links_changed)
    app.connect("build-finished", write_zip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class LinkFiles(SphinxPostTransform):
    default_priority = 900

    def run(self, **kwargs):
        for link in list(self.document.findall(nodes.reference)):
            scheme, _, name = link.get("refuri", "").partition(":")
            if scheme == "take-home":
                if name == ZIP or (Path(self.app.outdir) / name).is_file():
                    link["refuri"] = "../" * self.env.docname.count("/") + name
                else:
                    how = nodes.Text(" once "), nodes.literal("", "make pdf")
                    made = nodes.Text(" has made it")
                    link.replace_self([*link.children, *how, made])


def pages_whose_links_changed(app, env, added, changed, removed):
    """The title page, when a PDF has come or gone."""
    there = sorted(path.name for path in Path(app.outdir).glob("*.pdf"))
    before, env.pdfs = getattr(env, "pdfs", there), there
    return [app.config.root_doc] if before != there else []


def write_zip(app, exception):
    if exception or app.builder.format != "html":
        return
    root, out = Path(app.srcdir), Path(app.outdir)
    lock = (root / "requirements.txt").read_text(encoding="utf-8")
    needed = [line for line in lock.splitlines() if line != "-e ."]
    folder = Path(app.config.project.replace(" ", "-").lower())
    with zipfile.ZipFile(out / ZIP, "w", zipfile.ZIP_DEFLATED) as pack:

        def add(name, text):
            pack.writestr(zipfile.ZipInfo(str(folder / name)), text)

        add("README.txt", README)
        add("requirements.txt", "\n".join(needed) + "\n")
        add("LICENSE", (root / "LICENSE").read_text(encoding="utf-8"))
        for path in sorted((root / "book").glob("*.ipynb")):
            add(path.name, path.read_bytes())
        for path in sorted((root / "helpers").rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                add(path.relative_to(root), path.read_bytes())
