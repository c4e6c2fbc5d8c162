"""`look` in a browser: its maps are the package's, its keys, its switch, and its words."""

import numpy as np
import pytest
import torch
from PIL import Image

from course_utils.attention import edit_masks, find_tokens, off, record_masks
from course_utils.data import cued_digits, draw_text
from course_utils.models import AttentionCNN, class_token_maps, load_network, rollout
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


def test_keys_move_pin_and_unpin(page):
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
    page.set(off=[[3, 0]])
    every = page.root.get_by_role("button", name="Switch all back on")
    every.press("Enter")
    assert page.state("off") == [] and every.evaluate("(one) => one === document.activeElement"), "the focus is kept"


def test_a_pin_is_shown_on_the_grid_of_every_layer_and_nothing_opens_pinned(page):
    assert page.canvas.get_attribute("data-locked") == "false"
    page.hover(page.canvas, 0.9, 0.1)
    page.page.mouse.down()
    page.page.mouse.up()
    assert page.state("query") == [0, 7] and "row 1, column 8" in page.status
    page.set(layer=1)
    assert page.canvas.get_attribute("data-query") == "0,7" and page.status.startswith("Layer 2, ")


def test_rollout_is_that_of_the_package(page, network, images):
    page.set(head=-2)
    for layer in (1, 3):
        page.set(layer=layer)
        rolled = class_token_maps(rollout(network.attention_weights(images[:1])[:, : layer + 1]))[0].detach().numpy()
        assert np.abs(drawn(page) - rolled).max() < rolled.max() / 250
    assert "rollout up to here: the class token takes most from" in page.status


class Spatial(torch.nn.Module):
    """A gate for each place, made from the mean of the channels, and a class for each half of the picture."""

    def forward(self, x):
        gated = x * torch.sigmoid(4 * x.mean(1, keepdim=True))
        return gated.mean(1).unflatten(2, (2, -1)).sum((1, 3))


def test_spatial_gates_lie_over_the_picture(alone):
    picture = torch.rand(3, 12, 16, generator=torch.Generator().manual_seed(0))
    page = alone(look(Spatial(), picture))
    with torch.no_grad(), record_masks(model := Spatial()) as masks:
        model(picture[None])
    shown = np.array([float(value) for value in page.canvas.get_attribute("data-weights").split(",")])
    assert np.abs(shown - masks[""].flatten().numpy()).max() < 1e-3
    row, column = divmod(int(masks[""].argmax()), 16)
    assert f"the gate is largest at row {row + 1}, column {column + 1}: " in page.status
    page.assert_clean()


def test_a_line_of_text_has_columns_and_its_heads_are_in_the_layers_that_the_lesson_counts(alone):
    page = alone(look(load_network("text_reader"), draw_text("geese")))
    assert page.status.startswith(
        "Layer 2, blocks.1.attention: head 1: the column in the middle takes most from column "
    )
    page.hover(page.canvas, 0.5 / 40, 0.5)
    assert "head 1: column 1 takes most from column " in page.status
    page.set(layer=0)
    assert page.status.startswith("Gates 1, backbone.")
    page.assert_clean()


def test_an_upload_is_asked_of_the_kernel_and_shown(alone, network, tmp_path):
    widget = look(network, [Image.new("RGB", (50, 40), (200, 0, 0))])
    page = alone(widget)
    page.page.evaluate("document.querySelector('main').model.widget_manager = {}")
    Image.new("RGB", (60, 60), (0, 200, 0)).save(tmp_path / "green.png")
    page.root.locator("input[type=file]").set_input_files(tmp_path / "green.png")
    page.page.wait_for_function("() => document.querySelector('main').model.get('request')?.upload")
    widget.request = page.state("request")
    page.set(pictures=widget.pictures, answer=widget.answer)
    assert page.state("picture") == 1 and page.root.get_by_text("green.png, layer 4").is_visible()
    asked = page.state("request")
    assert (asked["picture"], asked["layer"]) == (1, 3)  # its masks are asked for, the layer shown first
    widget.request = asked
    page.set(answer=widget.answer)
    assert "the class token takes most from" in page.status


def test_a_mask_that_cannot_be_made_is_said_and_the_others_are_asked_for(alone, network, images):
    page = alone(look(network, images))
    page.page.evaluate("document.querySelector('main').model.widget_manager = {}")
    page.set(picture=1)
    page.set(answer={"id": page.state("request")["id"], "failed": True})
    assert "the notebook could not make this mask" in page.status
    assert page.state("request")["layer"] == 0


def test_gates_stand_as_cells_and_axe_finds_nothing(alone, page, images):
    gates = alone(look(AttentionCNN(num_classes=10, attention="se"), images))
    assert "gate" in gates.status and "channel 1 of 48" in gates.status
    gates.root.get_by_label("Channel").press("ArrowRight")
    assert gates.state("channel") == 1 and "channel 2 of 48" in gates.status
    for opened in (page, gates):
        for theme in ("light", "dark"):
            opened.theme(theme)
            assert opened.violations() == []
    gates.assert_clean()
