"""What Sphinx, MyST-NB and furo do not do by themselves: formulas without a script, pictures as files, live widgets.

Formulas become MathML, which browsers draw and screen readers read. A picture in an output becomes a file beside the
page, a diagram its light and its dark drawing. A widget is drawn by the same module as in a notebook, from its traits.
"""

import base64
import hashlib
import html
import io
import json
import re
from pathlib import Path
from typing import Any

from assemble import widget_modules
from docutils import nodes
from latex2mathml.converter import convert
from myst_nb.core.render import WIDGET_VIEW_MIMETYPE
from myst_nb.sphinx_ import NbMetadataCollector
from PIL import Image
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from artwork.files import svg_text
from course_utils.figures import diagrams
from course_utils.resources import resource
from course_utils.widgets.base import own_state
from notebooks import webp

VIEW = re.compile(rf'<script type="{re.escape(WIDGET_VIEW_MIMETYPE)}">(.*?)</script>')
PICTURE = re.compile(r'<img alt="([^"]*)" src="data:image/png;base64,([A-Za-z0-9+/=\s]+)"[^>]*>')
EMPTY_HEAD = re.compile(r"<th[^>]*><p></p></th>")
SPACED = (
    (re.compile(r"<mo>&#x0002F;</mo>"), '<mo lspace="0.1em" rspace="0.1em">/</mo>'),
    (re.compile(r"<mo>&#x02202;</mo>"), "<mi>∂</mi>"),
    (re.compile(r"<mo>&#x02016;</mo>"), '<mo stretchy="false" lspace="0" rspace="0">‖</mo>'),
    (re.compile(r"<mo>(max|min)</mo>"), r"<mi>\1</mi>"),
    (re.compile(r"(<mo[^>]*>(?:&#x00028;|\[)</mo>)<mo>&#x02212;</mo>"), r'\1<mo form="prefix">−</mo>'),
)


def mathml(formula: str, display: str) -> str:
    """A formula in LaTeX as MathML, with the spaces that TeX would set."""
    drawn = convert(formula, display=display)
    for found, written in SPACED:
        drawn = found.sub(written, drawn)
    return drawn


def visit_math(self: Any, node: nodes.math) -> None:
    self.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def visit_math_block(self: Any, node: nodes.math_block) -> None:
    self.body.append(f'<div class="math">{mathml(node.astext(), "block")}</div>\n')
    raise nodes.SkipNode


def pictures_as_files(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Write the pictures of a page's outputs beside it; their words stay."""
    drawn_by_us = {resource(each.file).read_bytes(): name for name, each in diagrams().items()}
    folder = Path(app.outdir) / "_images"
    folder.mkdir(parents=True, exist_ok=True)
    up = "../" * docname.count("/")

    def picture(found: re.Match[str]) -> str:
        words, data = found[1], base64.b64decode(found[2])
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
            name = drawn_by_us.get(data)
            if name is None:
                file = f"{hashlib.sha256(data).hexdigest()[:16]}.webp"
                (folder / file).write_bytes(webp(data))
                return tag(words, f"{up}_images/{file}", width, height)
        drawn = []
        for theme in ("light", "dark"):
            file = f"{name}-{theme}.svg"
            (folder / file).write_text(svg_text(name, theme), encoding="utf-8")
            drawn.append(tag(words, f"{up}_images/{file}", width // 2, height // 2, f"only-{theme}"))
        return "".join(drawn)

    for node in doctree.findall(nodes.raw):
        if "data:image/png" in node.astext():
            node.children = [nodes.Text(PICTURE.sub(picture, node.astext()))]
            node.rawsource = node.astext()


def tag(words: str, address: str, width: int, height: int, kind: str = "") -> str:
    """A picture; its words are markup already."""
    named = f' class="{kind}"' if kind else ""
    return f'<img{named} alt="{words}" src="{address}" width="{width}" height="{height}" loading="lazy">'


def live_widgets(app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Give a page what its widgets are drawn from: the traits of each, and the modules beside the page.

    A value that several traits hold, as when two widgets show the same network, stands in the page once.
    """
    held = NbMetadataCollector.get_js_files(app.env, pagename).pop("ipywidgets_state", None)
    if held is None:
        return
    every = json.loads(held[1]["body"])["state"]
    modules = widget_modules()
    shown: dict[str, Any] = {}
    values: dict[str, int] = {}
    for view in VIEW.findall(context["body"]):
        key = json.loads(html.unescape(view))["model_id"]
        state = every[key]["state"]
        kind = state.get("_anywidget_id", state["_model_name"])  # course_utils.widgets.<folder>.widget.<Class>
        name = kind.removeprefix("course_utils.widgets.").partition(".")[0]
        if name not in modules:
            raise ExtensionError(f"{pagename} shows a {kind}, which is no widget of the course: no page can draw it.")
        texts = {trait: json.dumps(value, allow_nan=False) for trait, value in own_state(state).items()}
        traits = {trait: values.setdefault(text, len(values)) for trait, text in texts.items()}
        shown[key] = {"widget": name, "traits": traits}
    for name in sorted({one["widget"] for one in shown.values()}):
        app.add_js_file(f"widgets/{name}.js", loading_method="defer", priority=600)
    data = f'{{"values":[{",".join(values)}],"widgets":{json.dumps(shown)}}}'.replace("<", "\\u003c")
    app.add_js_file(None, body=data, type="application/json", id="course-widgets", priority=600)


def assistive(app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Correct what assistive tools complain of: navigation headings without a level, empty column headers."""
    headed = context["furo_navigation_tree"].replace('role="heading"', 'role="heading" aria-level="2"')
    context["furo_navigation_tree"] = headed
    if "body" in context:
        context["body"] = EMPTY_HEAD.sub("<td></td>", context["body"])


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    app.connect("doctree-resolved", pictures_as_files)
    app.connect("html-page-context", live_widgets, priority=400)  # before MyST-NB, which would put every module in
    app.connect("html-page-context", assistive, priority=900)  # after furo
    return {"parallel_read_safe": True, "parallel_write_safe": True}
