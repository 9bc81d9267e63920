"""Sphinx configuration of the book. `docs.build` stages the pages that Sphinx reads; nothing is loaded when read."""

import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

import ifmsr
from docs.docstrings import to_restructured_text

project = "ifmsr"
author = "the ifmsr contributors"
release = version = ifmsr.__version__
language = "en"
extensions = ["myst_nb", "sphinx.ext.autodoc"]
default_role = "py:obj"
exclude_patterns = ["tables"]

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_ipywidgets_js = {}

autodoc_default_options = {"members": True, "member-order": "bysource", "show-inheritance": True}
autodoc_typehints_format = "short"
autodoc_mock_imports = ["triton"]
python_maximum_signature_line_length = 88

html_theme = "sphinx_book_theme"
html_title = "ifmsr"
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_favicon = "_static/favicon.svg"
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system
html_math_renderer = "mathml"
html_copy_source = False
html_theme_options = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "navbar_persistent": [],  # the sidebar has the search
    "show_navbar_depth": 1,
    "show_toc_level": 2,
}

log = logging.getLogger(__name__)
# LaTeX that the converter to MathML does not know, and what says the same
SUBSTITUTES = (
    (re.compile(r"\\[bB]igg?[lrm]?(?![a-zA-Z])"), ""),  # sizes of brackets
    (re.compile(r"\\[td]?frac\s*(\d)\s*(\d)"), r"\\frac{\1}{\2}"),
)


def write_math(translator: HTML5Translator, node: nodes.math | nodes.math_block) -> None:
    """Write a formula as MathML, which browsers draw without a script; one that cannot be converted is a warning."""
    block = isinstance(node, nodes.math_block)
    formula = node.astext().strip()
    for pattern, substitute in SUBSTITUTES:
        formula = pattern.sub(substitute, formula)
    try:
        translator.body.append(tex2mathml(formula, as_block=block))
    except MathError as error:
        log.warning("a formula cannot be converted to MathML: %s", error, location=node)
    raise nodes.SkipNode


def convert_docstring(
    app: Sphinx, kind: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    """Convert a docstring in place."""
    lines[:] = to_restructured_text(lines)


def link_within_the_module(app: Sphinx, page: nodes.document) -> None:
    """Let a short name in a signature mean the one of its own module, not any of that name in the package."""
    for reference in page.findall(addnodes.pending_xref):
        reference.attributes.pop("refspecific", None)


def setup(app: Sphinx) -> None:
    """Register the writer of formulas, the converter of docstrings and the rule for short names."""
    app.connect("doctree-read", link_within_the_module)
    app.connect("autodoc-process-docstring", convert_docstring)
    app.add_html_math_renderer("mathml", (write_math, None), (write_math, None))
