"""Write build/gallery.html: every widget of the course alive on one page, without a kernel and without a request.

    python tools/gallery.py

Each widget holds what its lesson gives it. Its ES module stands in the page once, however often it is shown.
"""

import html
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "site"
GALLERY = ROOT / "build" / "gallery.html"
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from links import project  # noqa: E402

from course_utils import check, widgets  # noqa: E402
from course_utils.attention import record_masks  # noqa: E402
from course_utils.data import cued_digits  # noqa: E402
from course_utils.lessons import Lesson, lesson, with_steps  # noqa: E402
from course_utils.models import load_network  # noqa: E402
from course_utils.widgets import AttentionMap, CourseWidget, TrainingCurves  # noqa: E402
from course_utils.widgets.base import page_document  # noqa: E402
from experiments.ledger import read_runs  # noqa: E402


class Exhibit(NamedTuple):
    """A widget of site/gallery.toml."""

    title: str
    lesson: str
    words: str
    make: str

    def widget(self) -> CourseWidget:
        """Make it, by the names of course_utils.widgets and those below, with the steps that its lesson has for it."""
        names = {name: getattr(widgets, name) for name in widgets.__all__}
        here = (last_masks, recorded_losses, cued_digits, load_network)
        made = eval(self.make, names | {"check": check} | {each.__name__: each for each in here})
        return with_steps(self.lesson, made) if made._module in lesson(self.lesson).steps else made


EXHIBITS = [Exhibit(**entry) for entry in tomllib.loads((SITE / "gallery.toml").read_text(encoding="utf-8"))["exhibit"]]


def last_masks() -> AttentionMap:
    """Where the last attention of two trained networks lies on a test picture, beside the true place."""
    shown = cued_digits(1, seed=5, split="test")
    maps = []
    for name in ("cbam_cued_digits", "self_attention_cued_digits"):
        network = load_network(name)
        with torch.no_grad(), record_masks(network) as masks:
            network(shown.images)
        maps.append(list(masks.values())[-1].mean(dim=1).view(10, 10))  # over channels, or over queries
    label, names = "Where two trained networks look on cued digits", ["CBAM", "self-attention"]
    picture, place = shown.images[0].permute(1, 2, 0), shown.masks[0]
    return AttentionMap(picture, torch.stack(maps), names, place=place, own_range=True, chosen=1, label=label)


def recorded_losses() -> TrainingCurves:
    """The training losses of lesson 4.2's recorded runs on cued digits, five seeds for each network."""
    titles = {"plain": "plain", "se": "with SE"}
    records = [
        {"run": titles[key.entry], "seed": key.seed, "epoch": epoch, "training loss": loss}
        for key, run in sorted(read_runs(ROOT / "resource" / "results" / "4.2").items())
        if key.task == "cued" and key.entry in titles and run["settings"]["scored_on"] == "test"
        for epoch, loss in enumerate(run["train_loss"], 1)
    ]
    return TrainingCurves(records, label="Training on cued digits")


def on_github(shown: Lesson) -> str:
    """A lesson's page in the repository."""
    address, version = project()
    return f"{address}/blob/v{version}/notebooks/{shown.notebook}"


def gallery(link: Callable[[Lesson], str] = on_github) -> str:
    """The page; `link` says where a lesson is read."""
    shown, sections, places = [], [], []
    for index, exhibit in enumerate(EXHIBITS):
        widget = exhibit.widget()
        shown.append((str(widget._esm), widget.get_state()))
        title, words, about = html.escape(exhibit.title), html.escape(exhibit.words), lesson(exhibit.lesson)
        where = f'<a href="{html.escape(link(about))}">Lesson {about.number}: {html.escape(about.title)}</a>'
        places.append(f'<a href="#exhibit-{index}">{title}</a>')
        heading = f'<section id="exhibit-{index}"><h2>{title}</h2><p>{words} {where}</p>'
        sections.append(f'{heading}<div data-shown="{index}"></div></section>')
    title = "Attention in computer vision: the widgets"
    heading = (
        f"<h1>{title}</h1><p>Every widget of the course, alive without Python. Point at it, click to pin, use the "
        "arrow keys, Escape to unpin. What only a network can compute needs the lesson.</p>"
    )
    body = f"<main>{heading}<nav aria-label='Widgets'>{''.join(places)}</nav>{''.join(sections)}</main>"
    style = str(widget._css) + (SITE / "gallery.css").read_text(encoding="utf-8")
    return page_document(title, style, body, shown)


def main() -> None:
    GALLERY.parent.mkdir(exist_ok=True)
    GALLERY.write_text(gallery(), encoding="utf-8")
    print(f"{GALLERY.relative_to(ROOT)}: {len(EXHIBITS)} widgets, {GALLERY.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
