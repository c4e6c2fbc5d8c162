"""Write build/gallery.html: every widget of the course alive on one page, without a kernel and without a request.

    python tools/gallery.py

Each widget holds what its lesson gives it. Its ES module stands in the page once, however often it is shown.
"""

import html
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

ROOT = Path(__file__).resolve().parents[1]
GALLERY = ROOT / "build" / "gallery.html"
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from links import project  # noqa: E402

from course_utils import check, widgets  # noqa: E402
from course_utils.attention import record_masks  # noqa: E402
from course_utils.data import cued_digits  # noqa: E402
from course_utils.lessons import Lesson, lesson  # noqa: E402
from course_utils.models import load_network  # noqa: E402
from course_utils.widgets import AttentionMap, CourseWidget, SentenceAttention, TrainingCurves  # noqa: E402
from course_utils.widgets.base import STAND_IN, own_state, page_document  # noqa: E402
from experiments.ledger import read_runs  # noqa: E402

RESULTS = ROOT / "resource" / "results" / "4.2"


class Exhibit(NamedTuple):
    """A widget with its title, what one does with it, and the lesson that shows it."""

    title: str
    words: str
    lesson: str
    make: Callable[[], CourseWidget]


def last_masks() -> AttentionMap:
    """Where the last attention of two trained networks lies on four test pictures, beside the true place."""
    shown = cued_digits(4, seed=5, split="test")
    maps = []
    for name in ("cbam_cued_digits", "self_attention_cued_digits"):
        network = load_network(name)
        with torch.no_grad(), record_masks(network) as masks:
            network(shown.images)
        mask = list(masks.values())[-1].mean(dim=1)  # over channels, or over queries
        maps.append(mask.view(4, 10, 10))
    return AttentionMap(
        side_by_side(shown.images.permute(0, 2, 3, 1)),
        torch.stack([side_by_side(map_) for map_ in maps]),
        ["CBAM", "self-attention"],
        place=side_by_side(shown.masks),
        own_range=True,
        chosen=1,
        label="Where two trained networks look on four cued digits",
    )


def side_by_side(pictures: torch.Tensor) -> torch.Tensor:
    """Pictures (N, H, W, ...) as one, (H, N * W, ...)."""
    return torch.cat(list(pictures), dim=1)


def recorded_losses() -> TrainingCurves:
    """The training losses of lesson 4.2's recorded runs on cued digits, five seeds a network."""
    curves = TrainingCurves(label="Training on cued digits")
    titles = {"plain": "plain", "se": "with SE"}
    for key, run in sorted(read_runs(RESULTS).items()):
        if key.task == "cued" and key.entry in titles and run["settings"]["scored_on"] == "test":
            losses = run["train_loss"]
            at = {"run": titles[key.entry], "seed": key.seed, "epochs": len(losses)}
            for epoch, loss in enumerate(losses, 1):
                curves.update({**at, "epoch": epoch, "training loss": loss})
    return curves


EXHIBITS = (
    Exhibit(
        "Mask playground",
        "Choose what a mask may weigh, channels, places or frames, and watch g(x) and f(g(x), x) change.",
        "4.1",
        lambda: widgets.explore_mask_playground(category="spatial"),
    ),
    Exhibit(
        "Sentence attention",
        "Take a word as the query, and see scores, weights and context step by step.",
        "4.1",
        lambda: SentenceAttention(word=[8]),
    ),
    Exhibit(
        "Channel gates",
        "Look at each channel's gate in a trained network, move it, and see the answer change.",
        "4.1.1",
        lambda: widgets.explore_channel_gates(source="cued digits"),
    ),
    Exhibit(
        "Covariance",
        "Rearrange one channel: its mean stays, its covariances do not, and two blocks tell you what they see.",
        "4.1.2",
        lambda: widgets.explore_covariance(turn=-0.8),
    ),
    Exhibit(
        "Query map",
        "Point at a position of a feature map, and see whom it attends to.",
        "4.1.3",
        lambda: widgets.explore_query_map(picture="cow", query=(6, 6)),
    ),
    Exhibit(
        "Head grid",
        "Point at one place, and every head of a small transformer shows whom it asks; switch heads off, close keys.",
        "4.1.4",
        lambda: widgets.explore_head_grid(picture=3, chosen=(3, 3)),
    ),
    Exhibit(
        "Patch tokens",
        "Cut a picture into patches, follow the class token through the layers, blank what you like.",
        "4.1.5",
        lambda: widgets.explore_patch_tokens(layer=3, head=1, picture=1),
    ),
    Exhibit(
        "Training curves",
        "Follow several runs: the mean over seeds, and the band between the lowest and the highest.",
        "4.2",
        recorded_losses,
    ),
    Exhibit(
        "Attention map",
        "Lay a map over its picture, and read how much of it lies on the true place.",
        "4.3",
        last_masks,
    ),
    Exhibit(
        "Score lab",
        "Move a query among keys, and compare two pairs of a score and an alignment.",
        "4.4",
        lambda: widgets.explore_score_lab(("scaled_multiplicative", "similarity_euclidean"), chosen=2),
    ),
    Exhibit(
        "Gate maps",
        "See where networks look while they learn, and how much of it lies on the answer.",
        "4.5",
        lambda: widgets.explore_gate_maps(stage=1, epoch=2),
    ),
    Exhibit(
        "CBAM steps",
        "Step through a block that asks first what, then where; swap the order, switch a pool off.",
        "4.6",
        lambda: widgets.explore_cbam_steps(stage=1, picture=3),
    ),
    Exhibit(
        "Branch weights",
        "See how the choice between two kernels moves as the digits grow.",
        "4.6",
        lambda: widgets.explore_branch_weights(stage=1),
    ),
    Exhibit(
        "Space and time",
        "Point at a cell of a frame: what does it look at, in all frames at once, or over time and then over space?",
        "4.6",
        widgets.explore_space_time,
    ),
    Exhibit(
        "Quiz",
        "Answer, and read why it is right or what one may have been thinking.",
        "4.1.1",
        lambda: check.quiz("4.1.1"),
    ),
)

STYLE = """
main { max-width: 920px; color: light-dark(#1a2029, #e8ebef); font: 16px/24px system-ui, -apple-system, "Segoe UI",
  Roboto, "Helvetica Neue", Arial, sans-serif; }
body[data-theme="dark"] { color-scheme: dark; }
body[data-theme="light"] { color-scheme: light; }
main h1 { margin: 16px 0 8px; font-size: 32px; line-height: 40px; }
main h2 { margin: 0 0 4px; font-size: 22px; line-height: 28px; }
main > p, section > p { max-width: 640px; margin: 0 0 16px; }
main > nav { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 16px 0 0; }
main a { color: light-dark(#0b62b8, #74b4f5); }
main a:focus-visible { outline: 2px solid; outline-offset: 2px; }
section { margin-top: 48px; scroll-margin-top: 16px; }
"""

START = """
const page = JSON.parse(document.querySelector("script[type='application/json']").textContent);
const loaded = new Map();
function load(name) {
  if (!loaded.has(name)) {
    loaded.set(name, import(URL.createObjectURL(new Blob([page.modules[name]], { type: "text/javascript" }))));
  }
  return loaded.get(name);
}
for (const host of document.querySelectorAll("[data-exhibit]")) {
  const { widget, state } = page.exhibits[host.dataset.exhibit];
  show(host, () => load(widget), state);
}
"""


def on_github(shown: Lesson) -> str:
    """A lesson's page in the repository."""
    address, version = project()
    return f"{address}/blob/v{version}/notebooks/{shown.notebook}"


def gallery(link: Callable[[Lesson], str] = on_github) -> str:
    """The page; `link` says where a lesson is read."""
    modules: dict[str, str] = {}
    shown, sections, places = [], [], []
    for index, exhibit in enumerate(EXHIBITS):
        widget = exhibit.make()
        name = type(widget)._module
        modules[name] = str(widget._esm)
        shown.append({"widget": name, "state": own_state(widget.get_state())})
        title, words, about = html.escape(exhibit.title), html.escape(exhibit.words), lesson(exhibit.lesson)
        where = f'<a href="{html.escape(link(about))}">Lesson {about.number}: {html.escape(about.title)}</a>'
        places.append(f'<a href="#exhibit-{index}">{title}</a>')
        sections.append(
            f'<section id="exhibit-{index}"><h2>{title}</h2><p>{words} {where}</p>'
            f'<div data-exhibit="{index}"></div></section>'
        )
    css = str(widget._css)
    heading = (
        "<h1>Attention in computer vision: the widgets</h1><p>Every widget of the course, alive without Python. Point, "
        "click to keep, take the arrow keys, Escape to let go. What only a network can compute needs the lesson.</p>"
    )
    body = f"<main>{heading}<nav aria-label='Widgets'>{''.join(places)}</nav>{''.join(sections)}</main>"
    data = {"modules": modules, "exhibits": shown}
    return page_document("Attention in computer vision: the widgets", css + STYLE, body, data, STAND_IN + START)


def main() -> None:
    GALLERY.parent.mkdir(exist_ok=True)
    GALLERY.write_text(gallery(), encoding="utf-8")
    print(f"{GALLERY.relative_to(ROOT)}: {len(EXHIBITS)} widgets, {GALLERY.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
