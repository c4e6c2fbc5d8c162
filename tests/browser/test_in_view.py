"""Cause beside effect: a widget's main picture and what it answers are seen together, and nothing is cut off."""

import sys
from pathlib import Path

import pytest
from settle import wait_drawn

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from gallery import EXHIBITS  # noqa: E402

INSTRUMENTS = [exhibit for exhibit in EXHIBITS if exhibit.title != "Quiz"]  # which has no picture
SIZES = {"a laptop beside the file browser": (1280, 720, 900), "a phone": (390, 844, 390)}
LEAST = 320  # pixels of the main picture
MEASURE = """
(root) => {
  const box = (node) => node.getBoundingClientRect().toJSON();
  const whole = box(root);
  const outside = [...root.querySelectorAll("*")].filter((node) => {
    if (!node.checkVisibility({ visibilityProperty: true }) || node.closest(".cw-heard, svg *")) return false;
    const { left, right } = node.getBoundingClientRect();
    return left < whole.left - 1 || right > whole.right + 1;
  });
  const words = [...root.querySelectorAll("button, label, p, figcaption, summary, select")];
  const cut = words.filter((node) => node.checkVisibility() && !node.closest(".cw-heard")
    && node.clientWidth > 0 && node.scrollWidth > node.clientWidth + 1);
  return {
    main: box(root.querySelector(".cw-main")), picture: box(root.querySelector(".cw-main canvas")),
    answer: box(root.querySelector(".cw-answer").firstElementChild), height: root.offsetHeight,
    outside: outside.map((node) => node.outerHTML.slice(0, 120)), cut: cut.map((node) => node.outerHTML.slice(0, 120)),
    sideways: document.documentElement.scrollWidth - window.innerWidth,
  };
}
"""


def faults(alone, exhibit, size: str) -> list[str]:
    """What is wrong with where the parts of an exhibit stand, in words; nothing if all is well."""
    width, height, widest = SIZES[size]
    page = alone(exhibit.widget(), viewport={"width": width, "height": height})
    page.page.evaluate("(widest) => { document.querySelector('main').style.maxWidth = `${widest}px`; }", widest)
    wait_drawn(page.page)
    if not page.root.locator(".cw-main canvas").count() or not page.root.locator(".cw-answer > *").count():
        return ["there is no main picture with an answer beside it"]
    found = page.root.evaluate(MEASURE)
    wrong = [f"{words} is cut off" for words in found["outside"] + found["cut"]]
    if found["picture"]["width"] < LEAST:
        wrong.append(f"the main picture is {found['picture']['width']} pixels wide")
    together = [found["main"], found["answer"]]
    tall = max(box["bottom"] for box in together) - min(box["top"] for box in together)
    if tall > height:
        wrong.append(f"the main picture and its answer need {tall} pixels of {height}")
    if found["sideways"] > 0:
        wrong.append("the page scrolls sideways")
    if widest > 2 * LEAST:
        page.hover(page.root.locator(".cw-main canvas").first, 0.4, 0.6)
        wait_drawn(page.page)
        after = page.root.evaluate("(root) => root.offsetHeight")
        if after != found["height"]:
            wrong.append(f"pointing at it changes its height from {found['height']} to {after}")
    return wrong


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("exhibit", INSTRUMENTS, ids=lambda exhibit: exhibit.title)
def test_the_main_picture_and_its_answer_are_in_view_together(alone, exhibit, size: str) -> None:
    assert faults(alone, exhibit, size) == []
