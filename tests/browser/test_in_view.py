"""Cause beside effect: a widget's main picture and what it answers are seen together, and nothing is cut off."""

import pytest
from gallery import EXHIBITS
from settle import wait_drawn

INSTRUMENTS = [exhibit for exhibit in EXHIBITS if exhibit.title != "Quiz"]  # which has no picture
SIZES = {"a laptop beside the file browser": (1280, 720, 900), "a phone": (390, 844, 390)}
LEAST = 320  # pixels of the main picture
MOST_LINES = 2  # of the status line
SAID = """((status) => {
  const style = getComputedStyle(status);
  const [top, bottom, line] = [style.paddingTop, style.paddingBottom, style.lineHeight].map(parseFloat);
  status.style.minHeight = 0;
  const lines = Math.round((status.clientHeight - top - bottom) / line);
  status.style.minHeight = "";
  return lines;
})"""
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
    sideways: document.documentElement.scrollWidth - window.innerWidth, said: SAID(root.querySelector("[role=status]")),
  };
}
""".replace("SAID", SAID)


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
    page.hover(page.root.locator(".cw-main canvas").first, 0.4, 0.6)
    page.page.mouse.down()
    page.page.mouse.up()
    wait_drawn(page.page)
    after = page.root.evaluate(MEASURE)
    if after["height"] != found["height"]:
        wrong.append(f"pointing at it changes its height from {found['height']} to {after['height']}")
    for when, measured in (("at first", found), ("after a click", after)):
        if measured["said"] > MOST_LINES:
            wrong.append(f"{when} the status line has {measured['said']} lines: {page.status}")
    return wrong


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("exhibit", INSTRUMENTS, ids=lambda exhibit: exhibit.title)
def test_the_main_picture_and_its_answer_are_in_view_together(alone, exhibit, size: str) -> None:
    assert faults(alone, exhibit, size) == []


@pytest.mark.parametrize("title", ["Channel gates", "Pixel budget"])
def test_the_answer_stands_beside_what_the_hand_moves_in_a_narrow_column_too(alone, title: str) -> None:
    exhibit = next(one for one in INSTRUMENTS if one.title == title)
    page = alone(exhibit.widget(), viewport={"width": 900, "height": 700})
    page.page.evaluate("() => { document.querySelector('main').style.maxWidth = '434px'; }")
    wait_drawn(page.page)
    main, answer = (page.root.locator(f".cw-{part}").bounding_box() for part in ("main", "answer"))
    slider = page.root.locator("input[type=range]").first.bounding_box()
    assert answer["x"] > main["x"] + 150 and answer["y"] == main["y"]
    assert slider["y"] + slider["height"] < 700
