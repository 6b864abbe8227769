"""Configure Sphinx, which builds this site: make docs."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))  # our extensions

project = "Copycat"
author = "the Copycat contributors"
default_role = "code"  # single backticks in docstrings
smartquotes_action = "De"  # quotes are shown as they are typed
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "mathml", "reference"]
exclude_patterns = ["_ext"]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
html_math_renderer = "mathml"
highlight_language = "text"

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_google_docstring, napoleon_numpy_docstring = True, False
# Without a network, the names of other projects have no page to link to; ours must have one.
nitpick_ignore_regex = [("py:.*", r"(?!copycat\.).*")]

html_theme = "furo"
html_title = "Copycat"
html_static_path = ["_static"]
html_css_files = ["copycat.css"]
html_copy_source = False
html_use_index = False
html_show_sphinx = False
html_show_copyright = False
html_show_search_summary = False  # it fetches pages, which browsers refuse of files
