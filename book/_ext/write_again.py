"""Write all pages again when what gives them their looks has changed.

Sphinx writes a page when its source or the configuration has changed, and
copies style sheets only when it writes a page. Here a digest of the style
sheets, templates and extensions joins the configuration. Nothing is executed
for it.
"""

from pathlib import Path

from execute_chapters import digest

LOOKS = ("_ext", "_static", "_templates")


def setup(app):
    app.add_config_value("digest_of_looks", "", "html", str)
    app.connect("config-inited", watch_looks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def watch_looks(app, config):
    book = Path(app.srcdir) / "book"
    config.digest_of_looks = digest(book, *(book / name for name in LOOKS))
