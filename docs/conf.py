"""How Sphinx builds these pages: ``tox run -e docs``."""

from __future__ import annotations

from importlib.metadata import version as version_of
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "arrowimg"
author = "the arrowimg authors"
release = version = version_of("arrowimg")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"arrowimg {release}"

myst_enable_extensions = ["deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_mock_imports = ["ray"]  # an extra that the pages are built without
autodoc_typehints = "signature"
autodoc_typehints_format = "short"

numpydoc_show_class_members = False  # autodoc lists them

# Building needs no network, so the names of other projects are not links.
nitpick_ignore_regex = [
    (
        r"py:.*",
        r"(abc|builtins|collections|contextlib|datetime|enum|os|pathlib|types|typing)(\..*)?",
    ),
    (r"py:.*", r"(duckdb|msgspec|np|npt|numpy|pa|pandas|pl|polars|pq|pyarrow|ray|xxhash)(\..*)?"),
    (r"py:.*", r"arrowimg\._.*|_?[A-Z]\w*"),  # private names and aliases that a signature shows
    (r"py:(class|exc|obj)", r"[a-z]+"),  # built-in names
    (r"py:class", r"class 'pyarrow\..*'"),  # the parameter of a base class, as Python prints it
]


def _readable_defaults(
    app: Sphinx,
    what: str,
    name: str,
    obj: object,
    options: object,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    """Write a default that is made anew for each object as Python, which Sphinx then can parse."""
    del app, what, name, obj, options
    return signature and signature.replace("<factory>", "..."), returns


def setup(app: Sphinx) -> None:
    """Let Sphinx show the signatures of msgspec's Structs."""
    app.connect("autodoc-process-signature", _readable_defaults)
