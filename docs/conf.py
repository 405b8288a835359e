"""Sphinx configuration: ``sphinx-build -W -b html docs docs/_build/html``."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

from ot_solvers import __version__  # noqa: E402

project = "ot_solvers"
author = "The ot_solvers developers"
copyright = author
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_parser",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sphinxcontrib.bibtex",
    "ot_docs",
]
exclude_patterns = ["_build", "gallery", "gallery_built/**/*.ipynb", "gallery_built/*.py"]
nitpicky = False

# --- text -----------------------------------------------------------------------------------------------------

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
# Single backticks in docstrings are names of objects where they resolve, and code where they do not.
default_role = "py:obj"
rst_prolog = """
.. role:: python(code)
   :language: python
"""

# --- reference ------------------------------------------------------------------------------------------------

autosummary_generate = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
numpydoc_show_class_members = False
python_maximum_signature_line_length = 90
add_module_names = False
toc_object_entries_show_parents = "hide"

bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"
bibtex_default_style = "plain"

# --- gallery --------------------------------------------------------------------------------------------------

sphinx_gallery_conf = {
    "examples_dirs": ["gallery"],
    "gallery_dirs": ["gallery_built"],
    "filename_pattern": r"plot_",
    "within_subsection_order": "ot_docs.NumberSortKey",
    "thumbnail_size": (480, 270),
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 3600,
    "remove_config_comments": True,
    "reset_modules": ("matplotlib",),
    "nested_sections": False,
}

# --- html -----------------------------------------------------------------------------------------------------

html_theme = "furo"
html_title = f"ot_solvers {__version__}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_copy_source = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#20567a", "color-brand-content": "#20567a"},
    "dark_css_variables": {"color-brand-primary": "#8ec3e6", "color-brand-content": "#8ec3e6"},
}
pygments_style = "friendly"
pygments_dark_style = "github-dark"
