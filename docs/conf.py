"""The documentation as a site: `make docs`. The pages stay plain Markdown; the order of the pages is here.

Invariant: the site loads nothing from outside, and every page stands in `PAGES` exactly once (Sphinx
warns of one that does not, and warnings are errors).
"""

from importlib.metadata import version as installed

from pygments.lexers.data import JsonLexer
from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

PAGES = {
    "Start": ["tutorial", "concepts", "cli", "formats"],
    "Measure": ["lm-eval", "judge", "benchmarks", "stepwise", "tournaments"],
    "Show": ["report", "figures"],
    "Models": ["models", "judges", "engines", "performance"],
    "Train": ["sft", "sft-sweep"],
    "Reproduce": ["reproduce/reasonflux", "reproduce/rrm"],
    "Extend": ["write-a-plugin", "hooks", "add-a-family", "decisions/index"],
}

project = "prm-eval"
author = "the authors of prm-eval"
version = release = installed("prm-eval")
extensions = ["myst_parser", "sphinx_copybutton"]
root_doc = "index"
myst_heading_anchors = 4
html_theme = "furo"
html_title = "prm-eval"
html_copy_source = html_show_sourcelink = html_show_copyright = False
html_show_search_summary = False  # it would fetch the pages found, which a browser forbids on disk
html_static_path = ["static"]
html_css_files = ["prm-eval.css"]
pygments_style, pygments_dark_style = "tango", "github-dark"
# what is copied of a console block is what one types, over all its continued lines
copybutton_prompt_text = "$ "
copybutton_line_continuation_character = "\\"
copybutton_selector = "div:not(.highlight-output) > div.highlight > pre"


def setup(app: Sphinx) -> None:
    """Add what Markdown alone does not say: the table of contents, and that `jsonl` is JSON."""
    app.add_lexer("jsonl", JsonLexer)
    app.add_lexer("output", TextLexer)  # Pygments' own sets it in italics
    app.connect("source-read", add_contents)


def add_contents(_app: Sphinx, name: str, source: list[str]) -> None:
    """Append the navigation to the first page, and the list of decisions to theirs."""
    if name == "index":
        trees = (f"```{{toctree}}\n:hidden:\n:caption: {part}\n\n" + "\n".join(pages) + "\n```\n"
                 for part, pages in PAGES.items())  # fmt: skip
        source[0] += "\n" + "\n".join(trees)
    elif name == "decisions/index":
        source[0] += "\n```{toctree}\n:glob:\n\n[0-9]*\n```\n"
