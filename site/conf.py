"""Sphinx's settings for the static course; `site/assemble.py` calls it."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from assemble import SOURCE  # noqa: E402

project = "Attention in computer vision, by hand"
html_title = project
copyright = "the authors of the course. Text and figures CC BY 4.0, code MIT"

extensions = ["myst_nb", "pages"]
myst_enable_extensions = ["deflist", "dollarmath"]
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_execution_timeout = 600
nb_merge_streams = True
nb_render_markdown_format = "gfm"
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # a script of our own draws the widgets

html_theme = "furo"
pygments_dark_style = "github-dark"
html_math_renderer = "mathml"
html_static_path = [str(SOURCE / "_static")]
html_css_files = ["course.css"]
html_js_files = [("live.js", {"defer": "defer", "priority": 900})]
html_favicon = str(HERE / "icon.svg")
html_copy_source = False
html_use_index = False
html_show_sphinx = False
html_theme_options = {"top_of_page_buttons": []}
