"""`pixel-budget` in a browser: what the page's network reads is what the package reads; drawing, words."""

import numpy as np
import pytest
import torch

from course_utils.data import digits
from course_utils.models import load_network
from course_utils.widgets import explore_pixel_budget


@pytest.fixture(scope="module")
def course():
    return explore_pixel_budget(budget=0.1)


def shares(page) -> np.ndarray:
    """What the page's network gives each class, under the masks random, fixed and dynamic: (3, 10)."""
    texts = page.root.locator("[data-shares]").evaluate_all("(nodes) => nodes.map((node) => node.dataset.shares)")
    return np.array([[float(share) for share in text.split(",")] for text in texts])


@pytest.mark.parametrize(("picture", "budget"), [(0, 0.01), (3, 0.1), (8, 0.37), (9, 0.6)])
def test_the_three_answers_are_the_packages(page, picture, budget):
    page.set(picture=picture, budget=budget)
    test = digits("test")
    shown = (test.images[test.labels == picture][0, 0] * 255).round() / 255
    wanted = {
        "random": torch.rand(28, 28, generator=torch.Generator().manual_seed(0)),
        "fixed": digits("train").images.mean(dim=(0, 1)),
        "dynamic": shown,
    }
    network = load_network("se_digits").eval()
    rows = []
    for scores in wanted.values():
        kept = scores.flatten().argsort(descending=True, stable=True)[: int(budget * 784)]
        masked = torch.zeros(784).scatter(0, kept, shown.flatten()[kept]).view(1, 1, 28, 28)
        with torch.no_grad():
            rows.append(network(masked).softmax(dim=1)[0].numpy())
    np.testing.assert_allclose(shares(page), np.stack(rows), atol=1e-4)


def test_a_larger_budget_shows_more_and_the_slider_says_how_many(page):
    page.set(picture=7, budget=0.02)
    few = shares(page)
    slider = page.root.get_by_label("Pixels kept")
    slider.focus()
    page.page.keyboard.press("End")
    page.becomes("budget", 0.6)
    page.says("It sees 470 of 784 pixels")
    assert slider.get_attribute("aria-valuetext") == "60 %: 470 of 784"
    assert shares(page)[2, 7] > few[2, 7]


def draw(page, *places: tuple[float, float]) -> None:
    box = page.root.locator(".cw-main canvas").bounding_box()
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
    page.page.mouse.move(*at[0])
    page.page.mouse.down()
    for place in at[1:]:
        page.page.mouse.move(*place, steps=6)
    page.page.mouse.up()


def test_a_drawn_seven_is_read_wherever_and_however_large_it_is_drawn(alone, course):
    page = alone(course)
    for left, top, size in ((0.3, 0.2, 0.5), (0.05, 0.05, 0.25)):
        page.set(drawing=True, strokes=[], budget=0.3)
        page.says("The drawing is empty")
        draw(page, (left, top), (left + size * 0.7, top), (left + size * 0.25, top + size))
        page.page.wait_for_function("() => document.querySelector('main').model.get('strokes').length === 1")
        page.says("7 in dynamic ones")
    page.root.get_by_role("button", name="Clear the drawing").click()
    page.says("The drawing is empty")
    page.root.get_by_role("button", name="A 4").click()
    page.says("pixels of a 4")
    assert page.state("drawing") is False and page.state("strokes") == []
    page.assert_clean()


def test_nothing_is_drawn_while_a_picture_is_shown(page):
    page.set(drawing=False, strokes=[], picture=2)
    draw(page, (0.3, 0.3), (0.7, 0.7))
    assert page.state("strokes") == []


def test_the_saved_picture_shows_all_four(page):
    page.assert_saved_picture_shows(*page.root.locator(".cw-panel canvas").all())


def test_a_picture_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match="picture=10, but there are 10"):
        explore_pixel_budget(picture=10)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(page, theme):
    page.theme(theme)
    assert page.violations() == []
