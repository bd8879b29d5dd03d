"""Sphinx configuration of the documentation; `make docs` builds it, and a warning is an error."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE / "_extensions")]

import stubs  # noqa: E402

# Before anything imports cpapi_fast: compiled modules are documented from their stubs, which have the signatures.
stubs.install()

import cpapi_fast  # noqa: E402

stubs.copy_docstrings()

_project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = "cpapi_fast"
author = "the cpapi_fast contributors"
project_copyright = "the cpapi_fast contributors"
release = version = cpapi_fast.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "generated"]
exclude_patterns = ["_build", "_extensions"]

# Markdown. `repo:PATH` links to a file of the repository, whose address is in pyproject.toml only.
myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 3
myst_url_schemes = {
    "http": None,
    "https": None,
    "repo": {"url": _project["urls"]["Repository"] + "/blob/main/{{path}}", "classes": ["external"]},
}

# The API reference.
add_module_names = False
python_use_unqualified_type_names = True
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_use_ivar = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"cpapi_fast {release}"
html_static_path = ["_static"]
html_css_files = ["cpapi_fast.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {"top_of_page_buttons": []}
