"""The steps that a lesson offers as buttons: each sets its widget, and its line claims what the widget then shows."""

import numpy as np
import pytest
import traitlets

from course_utils.lessons import LESSONS, lesson
from course_utils.widgets import explore_query_map

OFFERED = [(each.number, widget) for each in LESSONS for widget in each.steps]
MAKE = {("4.1.3", "query_map"): lambda steps: explore_query_map(picture="cow", query=(6, 6), steps=steps)}


def weights(page) -> np.ndarray:
    return np.array(page.canvas.get_attribute("data-weights").split(","), dtype=float).reshape(14, 14)


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


CLAIMS = {
    ("4.1.3", "query_map"): {
        "the cow": cow,
        "the grass": grass,
        "the cat's eye": eye,
        "the eye, undivided": undivided,
        "γ = 1": gathered,
    }
}


@pytest.mark.parametrize(("number", "widget"), OFFERED)
def test_each_step_sets_the_widget_and_shows_what_it_says(alone, number: str, widget: str) -> None:
    steps = lesson(number).steps[widget]
    claims = CLAIMS[number, widget]
    assert [step["label"] for step in steps] == [*claims]
    page = alone(MAKE[number, widget](steps))
    for step in [*steps, *reversed(steps)]:
        page.hover(page.canvas, 0.9, 0.1)  # a learner has pointed somewhere else
        page.root.get_by_role("button", name=step["label"], exact=True).click()
        assert page.status == step["notice"]
        assert {name: page.state(name) for name in step["set"]} == step["set"]
        claims[step["label"]](page)
    page.assert_clean()


@pytest.mark.parametrize(
    ("step", "words"),
    [({"label": "a", "set": {}}, "needs `label`"), ({"label": "a", "set": {"colour": 1}, "notice": "b"}, "'colour'")],
)
def test_a_step_that_cannot_be_taken_is_refused(step: dict, words: str) -> None:
    with pytest.raises(traitlets.TraitError, match=words):
        explore_query_map(steps=[step])
