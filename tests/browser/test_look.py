"""`look` in a browser: its maps are the package's, its keys, its switch, and its words."""

import numpy as np
import pytest
import torch

from course_utils.attention import edit_masks, find_tokens, off, record_masks
from course_utils.data import cued_digits
from course_utils.models import AttentionCNN, load_network
from course_utils.widgets import look

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def network():
    return load_network("vit_cued_digits").eval()


@pytest.fixture(scope="module")
def images():
    return cued_digits(2, seed=3, split="test").images


@pytest.fixture
def page(alone, network, images):
    opened = alone(look(network, images))
    yield opened
    opened.assert_clean()


def drawn(page):
    return np.array([float(value) for value in page.canvas.get_attribute("data-weights").split(",")]).reshape(8, 8)


def expected(network, images, name, query, head):
    with torch.no_grad(), record_masks(network) as masks:
        network(images[:1])
    return find_tokens(network, images[:1])[name].look(masks[name], query)[0, head].numpy()


def test_maps_are_those_of_the_package(page, network, images):
    own = expected(network, images, "blocks.3.attention", "class", 0)
    assert page.canvas.get_attribute("data-query") is None and np.abs(drawn(page) - own).max() < own.max() / 250
    page.set(layer=1, head=2)
    page.hover(page.canvas, (5 + 0.5) / 8, (2 + 0.5) / 8)
    own = expected(network, images, "blocks.1.attention", (2, 5), 2)
    assert page.canvas.get_attribute("data-query") == "2,5" and np.abs(drawn(page) - own).max() < own.max() / 250
    page.set(head=-1)
    own = expected(network, images, "blocks.1.attention", (2, 5), slice(None)).mean(0)
    assert np.abs(drawn(page) - own).max() < own.max() / 250


def test_keys_move_pin_and_release(page):
    page.set(layer=0)
    page.canvas.focus()
    page.page.keyboard.press("ArrowRight")
    page.page.keyboard.press("Enter")
    page.page.keyboard.press("ArrowDown")
    assert page.canvas.get_attribute("data-locked") == "true" and page.state("query") == [4, 3]
    page.page.keyboard.press("Escape")
    assert page.canvas.get_attribute("data-locked") == "false" and page.state("query") == []


def test_switching_a_head_off_asks_the_kernel_and_shows_its_answer(page, network, images):
    widget = look(network, images)
    page.page.evaluate("document.querySelector('main').model.widget_manager = {}")
    page.root.get_by_role("button", name="Switch this head off").click()
    widget.request = page.state("request")
    page.set(answer=widget.answer)
    with torch.no_grad(), edit_masks(network, {"blocks.3.attention": off([0])}):
        after = network(images[:1]).softmax(1)[0]
    shown = page.root.locator("[data-probability]").evaluate_all("(all) => all.map((one) => +one.dataset.probability)")
    assert shown == pytest.approx([after[k].item() for k, *_ in widget.answer["edited"]], abs=1e-5)
    assert "The answer is now" in page.status
    page.root.get_by_role("button", name="Switch this head back on").click()
    assert "The answer is class" in page.status


def test_gates_stand_as_cells_and_axe_finds_nothing(alone, page, images):
    gates = alone(look(AttentionCNN(num_classes=10, attention="se"), images))
    assert "gate" in gates.status and "channel 0 of 48" in gates.status
    for opened in (page, gates):
        for theme in ("light", "dark"):
            opened.theme(theme)
            assert opened.violations() == []
    gates.assert_clean()
