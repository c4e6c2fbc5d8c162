"""The steps that a lesson offers as buttons: each sets its widget, and its line claims what the widget then shows."""

import ast
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import traitlets
from settle import wait_drawn

from course_utils.lessons import LESSONS, lesson, with_steps
from course_utils.widgets import explore_channel_gates, explore_query_map

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
OFFERED = [(each.number, name) for each in LESSONS for name in each.steps]


# The widgets, as the lessons make them ------------------------------------------------------------------------------


def cells(number: str) -> list[ast.Module]:
    """The code cells of a lesson's notebook."""
    notebook = json.loads((NOTEBOOKS / lesson(number).notebook).read_text(encoding="utf-8"))
    sources = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [ast.parse(source) for source in sources if not source.startswith(("%", "!"))]


def offers(cell: ast.Module) -> list[tuple[str, ...]]:
    """Of each call of `with_steps` in a cell the lesson, and the name of the steps where it is given."""
    calls = [node for node in ast.walk(cell) if isinstance(node, ast.Call)]
    calls = [call for call in calls if getattr(call.func, "id", "") == "with_steps"]
    return [tuple(one.value for one in call.args if isinstance(one, ast.Constant)) for call in calls]


def offered(number: str, name: str) -> Any:
    """The widget of a lesson that has these steps: its cell is run, after the lesson's imports."""
    names: dict[str, Any] = {}
    for cell in cells(number):
        imports = [line for line in cell.body if isinstance(line, ast.Import | ast.ImportFrom)]
        exec(compile(ast.Module(imports, []), number, "exec"), names)
        if not offers(cell):
            continue
        *before, last = [line for line in cell.body if line not in imports]
        exec(compile(ast.Module(before, []), number, "exec"), names)
        widget = eval(compile(ast.Expression(last.value), number, "eval"), names)
        if widget.steps == lesson(number).steps[name]:
            return widget
    raise AssertionError(f"no cell of {lesson(number).notebook} offers the steps {name!r}")


@pytest.mark.parametrize("number", [each.number for each in LESSONS])
def test_a_lesson_offers_its_steps_and_no_others(number: str) -> None:
    found = [offer for cell in cells(number) for offer in offers(cell)]
    assert {offer[0] for offer in found} <= {number}
    assert len(found) == len(lesson(number).steps)


# What the steps claim -----------------------------------------------------------------------------------------------


def numbers(node: Any, attribute: str) -> np.ndarray:
    return np.array(node.get_attribute(attribute).split(","), dtype=float)


def weights(page) -> np.ndarray:
    return numbers(page.canvas, "data-weights").reshape(14, 14)


def shared_by(page) -> float:
    return float(np.exp(-sum(w * np.log(w) for w in weights(page).ravel() if w)))


def stands_out(page) -> float:
    """How far the mean colour of the cow is from that of the grass below it, in the output."""
    pixels = page.pixels(page.root.locator(".cw-panel canvas").nth(2))[..., :3].astype(float)
    cell = pixels.shape[0] / 14
    cow, grass = (pixels[int(top * cell) : int(end * cell)] for top, end in ((6, 9), (11, 14)))
    middle = slice(int(6 * cell), int(11 * cell))
    return float(np.linalg.norm(cow[:, middle].mean(axis=(0, 1)) - grass[:, middle].mean(axis=(0, 1))))


def cow(page) -> None:
    assert weights(page)[5:10, 2:].sum() > 0.9


def grass(page) -> None:
    shown = weights(page)
    on_cow = shown[5:9, 5:12].mean()
    assert all(on_cow < part.mean() / 2 for part in (shown[10:, :7], shown[10:, 7:], shown[:5]))
    assert shown[10:].sum() > shown[5:9].sum()


def eye(page) -> None:
    shown = weights(page)
    assert round(shown[5:8, 10:12].mean() / shown[4:7, 7:9].mean()) == 5


def undivided(page) -> None:
    assert round(shared_by(page), 1) == 9.5
    page.set(temperature=4.0)
    assert round(shared_by(page)) == 42


def gathered(page) -> None:
    with_context = stands_out(page)
    page.set(gamma=0.0)
    assert with_context > 1.1 * stands_out(page)


def spaces(page) -> None:
    """From the w of saw, twice as much weight as even weights would give lies round the three spaces."""
    shown = numbers(page.canvas, "data-weights")
    assert page.canvas.get_attribute("data-query") == "0,18"
    assert "the “w” in column 19, block 1, head 8 gives most weight" in page.status
    assert "to the space in column" in page.status
    assert (shown > 0.05).sum() >= 4


def read(page) -> str:
    """What the network reads now."""
    return re.search("It reads “(.*?)”", page.status)[1]


def other_case(page) -> None:
    assert read(page) != "so we saw zoos"
    assert read(page).lower() == "so we saw zoos"


def no_height(page) -> None:
    assert all(letter in read(page) for letter in "SW0")
    assert read(page).replace(" ", "").lower().replace("0", "o").replace("ss", "s") == "sowesawzoos"


def read_again(page) -> None:
    assert read(page) == "so we saw zoos"


def mask(page, attribute: str) -> float:
    """Of the segmenter's mask: `kept`, the share of the picture, or `overlap` with the untouched mask."""
    return float(page.root.locator("canvas[data-kept]").get_attribute(f"data-{attribute}"))


def one_gate(page) -> None:
    assert "Channel 9 of encoder block 1" in page.status
    assert float(re.search(r"by hand, (\d\.\d+) by the network", page.status)[1]) < 0.25
    assert mask(page, "kept") < 0.001
    page.set(edits={})
    settle(page)
    assert mask(page, "kept") > 0.5


def first_block(page) -> None:
    assert mask(page, "overlap") == pytest.approx(0.4, abs=0.02)


def last_block(page) -> None:
    assert mask(page, "overlap") == pytest.approx(0.96, abs=0.005)


def coffee(page) -> None:
    assert mask(page, "kept") == pytest.approx(0.72, abs=0.005)


def gate(page, channel: int) -> float:
    """The gate of a channel, counted from 1, as the network made it."""
    return float(re.search(rf"Channel {channel} of stage 1.*gate (\d\.\d+)", page.status)[1])


def red_border(page) -> None:
    assert gate(page, 5) == 0.19
    page.set(example=9)
    assert gate(page, 5) == 0.6


def blue_border(page) -> None:
    assert gate(page, 2) == 0.51
    for red_or_green in (6, 9):
        page.set(example=red_or_green)
        assert gate(page, 2) < 0.04


def answer(page) -> tuple[int, float]:
    """The likeliest class, and its probability."""
    shown = page.root.locator(".cw-bar:visible")
    found = [float(bar.get_attribute("data-probability")) for bar in shown.all()]
    return int(np.argmax(found)), max(found)


def another_digit(page) -> None:
    assert answer(page)[0] == 0
    page.set(edits={})
    assert answer(page)[0] == 6


def still_a_six(page) -> None:
    assert answer(page)[0] == 6
    assert round(answer(page)[1], 3) == 0.998
    kernel = explore_channel_gates(source="cued digits")._kernel
    assert all(kernel.probabilities("cued digits", 6, 2, {channel: 0.0})[6] > 0.9975 for channel in range(32))


Claims = dict[str, Callable[[Any], None]]
CLAIMS: dict[tuple[str, str], Claims] = {
    ("4.1.1", "channel_gates"): {
        "one gate": one_gate,
        "all 16 gates": first_block,
        "the last 16": last_block,
        "the coffee": coffee,
    },
    ("4.1.1", "cued digits"): {
        "a red border": red_border,
        "a blue border": blue_border,
        "a gate of stage 1": another_digit,
        "a gate of stage 3": still_a_six,
    },
    ("4.1.3", "query_map"): {
        "the cow": cow,
        "the grass": grass,
        "the cat's eye": eye,
        "the eye, undivided": undivided,
        "γ = 1": gathered,
    },
    ("4.1.4", "reader"): {
        "the spaces": spaces,
        "block 2 off": other_case,
        "all heads off": no_height,
        "all heads on": read_again,
    },
}
ELSEWHERE: dict[tuple[str, str], dict[str, Any]] = {
    ("4.1.1", "channel_gates"): {"example": 3, "stage": 6, "edits": {"1": 0}, "order": "gate"},
    ("4.1.1", "cued digits"): {"example": 0, "stage": 1, "edits": {"3": 1}, "order": "mean"},
    ("4.1.3", "query_map"): {"example": 5, "gamma": 0.5, "temperature": 2.0},
    ("4.1.4", "reader"): {"words": "hello", "typeface": "serif", "chosen": [2, 1]},
}
"""What a learner may have set before a step is pressed: none of it is left where the step's claim rests on it."""


SAID_HEIGHT = "(node, words) => { node.textContent = words; return node.offsetHeight; }"


def settle(page) -> None:
    """Wait until a network that runs in the page has answered."""
    wait_drawn(page.page)
    page.page.wait_for_function("() => !document.querySelector('.cw-stage[aria-busy=true]')")
    wait_drawn(page.page)


@pytest.mark.parametrize(("number", "name"), OFFERED)
def test_each_step_sets_the_widget_and_shows_what_it_says(alone, number: str, name: str) -> None:
    steps, claims = lesson(number).steps[name], CLAIMS[number, name]
    assert [step["label"] for step in steps] == [*claims]
    page = alone(offered(number, name))
    settle(page)
    for step in steps:
        page.set(**ELSEWHERE[number, name])
        page.hover(page.canvas, 0.9, 0.1)  # a learner has pointed somewhere else
        settle(page)
        button = page.root.get_by_role("button", name=step["label"], exact=True)
        button.click()
        settle(page)
        assert page.root.locator(".cw-notice").inner_text() == step["notice"]
        assert {trait: page.state(trait) for trait in step["set"]} == step["set"]
        assert button.get_attribute("aria-pressed") == "true"
        claims[step["label"]](page)
    page.set(**ELSEWHERE[number, name])
    assert page.root.locator(".cw-steps [aria-pressed=true]").count() == 0
    page.page.set_viewport_size({"width": 390, "height": 844})
    for step in steps:
        height = page.root.locator(".cw-notice").evaluate(SAID_HEIGHT, step["notice"])
        assert height <= 40, f"more than two lines on a phone: {step['notice']}"
    page.assert_clean()


@pytest.mark.parametrize(
    ("step", "words"),
    [({"label": "a", "set": {}}, "needs `label`"), ({"label": "a", "set": {"colour": 1}, "notice": "b"}, "'colour'")],
)
def test_a_step_that_cannot_be_taken_is_refused(step: dict, words: str) -> None:
    with pytest.raises(traitlets.TraitError, match=words):
        explore_query_map().steps = [step]


def test_a_lesson_without_such_steps_says_which_it_has() -> None:
    with pytest.raises(ValueError, match="has no steps 'query_map'; it has steps for: reader"):
        with_steps("4.1.4", explore_query_map())
