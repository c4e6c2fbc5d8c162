"""`head-grid` in a browser: the network in the page is the package's, in every head, with heads off and masks on."""

import functools

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from course_utils.attention import edit_masks, off, record_masks
from course_utils.data import ImageSet
from course_utils.models import VisionTransformer
from course_utils.widgets import explore_head_grid
from course_utils.widgets.head_grid.explore import token_mask

torch.set_num_threads(1)

MASKS = ("none", "causal", "window 1", "window 2", "window 3", "padding")
ROWS, LAYERS, HEADS, WIDTH = 4, 2, 3, 12


def drawn() -> VisionTransformer:
    """A small network whose every parameter is drawn, so that every part makes itself felt."""
    torch.manual_seed(3)
    network = VisionTransformer(16, 4, LAYERS, WIDTH, HEADS, mlp_dim=20, num_classes=5)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return network.eval()


@pytest.fixture(scope="module")
def network():
    return drawn()


@pytest.fixture(scope="module")
def data():
    torch.manual_seed(4)
    return ImageSet(torch.rand(3, 3, 16, 16), torch.tensor([2, 0, 4]))


@pytest.fixture
def page(alone, network, data):
    opened = alone(explore_head_grid(network, data))
    yield opened
    opened.assert_clean()


@torch.no_grad()
def package(data, picture=0, mask="none", heads=()):
    """What the package makes of a picture: weights (layers, heads, L, L), queries and keys a layer, probabilities."""
    network, inputs = drawn(), []
    edits = {"blocks.0.attention": [], "blocks.1.attention": []}
    for layer, head in heads:
        edits[f"blocks.{layer - 1}.attention"].append(head - 1)
    for block in network.blocks:
        block.attention.register_forward_pre_hook(lambda part, given: inputs.append(given[0]))
        if mask != "none":
            block.attention.forward = functools.partial(block.attention.forward, attn_mask=token_mask(mask, ROWS, ROWS))
    changes = {name: off(found) for name, found in edits.items() if found}
    with edit_masks(network, changes), record_masks(network) as masks:
        probabilities = network(data.images[picture : picture + 1]).softmax(1)[0]
    parts = [
        (block.attention.query(x)[0], block.attention.key(x)[0])
        for block, x in zip(network.blocks, inputs, strict=True)
    ]
    return torch.stack([weights[0] for weights in masks.values()]), parts, probabilities


def token(row: int, column: int) -> int:
    return 0 if row == ROWS else 1 + row * ROWS + column


def point(page, row: int, column: int, canvas=None) -> None:
    page.hover(page.canvas if canvas is None else canvas, (column + 0.5) / ROWS, (row + 0.5) / (ROWS + 1))


def panel(page, layer: int, head: int):
    return page.root.locator(".cw-heads-cell canvas").nth((layer - 1) * HEADS + head - 1)


def panels(page) -> np.ndarray:
    """The row of weights that every head's map shows, (layers, heads, tokens)."""
    rows = page.root.locator(".cw-heads-cell canvas").evaluate_all("(all) => all.map((one) => [...one.weights])")
    return np.array(rows).reshape(LAYERS, HEADS, -1)


def probabilities(page) -> np.ndarray:
    return np.array([float(bar.get_attribute("data-probability")) for bar in page.root.locator(".cw-bar").all()])


@pytest.mark.parametrize("mask", MASKS)
def test_one_hover_shows_the_packages_weights_in_every_head_under_every_mask(page, data, mask):
    page.root.get_by_label("Attention mask").select_option(mask)
    page.canvas.press("Escape")
    weights, _, expected = package(data, mask=mask)
    for row, column in ((0, 0), (2, 3), (ROWS, 0)):
        point(page, row, column)
        assert page.canvas.get_attribute("data-query") == f"{row},{column}"
        np.testing.assert_allclose(panels(page), weights[:, :, token(row, column)], rtol=1e-3, atol=2e-6)
    np.testing.assert_allclose(probabilities(page), expected, rtol=1e-3, atol=2e-6)
    page.page.mouse.move(1, 1)
    np.testing.assert_allclose(panels(page), weights.mean(dim=2), rtol=1e-3, atol=2e-6)


@pytest.mark.parametrize(("picture", "heads"), [(1, [(1, 2)]), (2, [(1, 1), (2, 3)]), (0, [(2, 1), (2, 2), (2, 3)])])
def test_a_head_without_its_tick_is_out_of_the_network_and_back_with_all_heads_on(page, data, picture, heads):
    page.root.get_by_role("button", name=f"picture {picture + 1},").click()
    page.canvas.press("Escape")
    for layer, head in heads:
        page.root.get_by_label(f"Layer {layer}, head {head} takes part").uncheck()
    weights, _, expected = package(data, picture, heads=heads)
    whole = package(data, picture)[2]
    assert (expected - whole).abs().max() > 0.02
    np.testing.assert_allclose(probabilities(page), expected, rtol=1e-3, atol=2e-6)
    np.testing.assert_allclose(panels(page), weights.mean(dim=2), rtol=1e-3, atol=2e-6)
    said, first = int(expected.argmax()), int(whole.argmax())
    assert f"The network says {said} with {100 * expected[said]:.1f} %" in page.status
    assert f"untouched it says {first} with {100 * whole[first]:.1f} %" in page.status
    assert ("which is right" in page.status) == (said == int(data.labels[picture]))
    every = page.root.get_by_role("button", name="All heads on")
    every.press("Enter")
    assert every.evaluate("node => node === document.activeElement")
    np.testing.assert_allclose(probabilities(page), whole, rtol=1e-3, atol=2e-6)
    assert page.state("off") == []


def test_entropy_and_distance_are_those_of_the_weights(page, data):
    weights = package(data)[0].double()
    entropy = torch.special.entr(weights).sum(dim=3) / np.log(2)  # (layers, heads, queries)
    places = torch.cartesian_prod(torch.arange(4.0), torch.arange(4.0)).double()
    patches = weights[:, :, 1:, 1:]
    distance = (patches * torch.cdist(places, places)).sum(dim=3) / patches.sum(dim=3)
    page.set(chosen=[2, 2])
    point(page, 3, 1)
    shown = [cell.inner_text() for cell in page.root.locator(".cw-heads-numbers").all()]
    assert shown == [f"{bits:.1f}" for bits in entropy[:, :, token(3, 1)].flatten()]
    bits, away = entropy[1, 1, token(3, 1)], distance[1, 1, token(3, 1) - 1]
    assert f"{bits:.2f} bits, {away:.1f} patches away on average" in page.status
    point(page, ROWS, 0)  # the class token stands nowhere
    assert "away" not in page.status


@pytest.mark.parametrize("mask", ["none", "window 1"])
def test_the_products_behind_a_weight_are_the_packages_term_by_term(page, data, mask):
    page.set(mask=mask)
    page.canvas.press("Escape")
    point(page, 1, 2)
    page.canvas.click(position={"x": 2.5 * page.canvas.bounding_box()["width"] / 4, "y": 60})
    row, column = (int(part) for part in page.canvas.get_attribute("data-query").split(","))
    weights, parts, _ = package(data, mask=mask)
    page.root.get_by_text("Why this weight").click()
    for layer, head, key in ((2, 3, (2, 1)), (1, 1, (ROWS, 0)), (2, 2, (0, 3))):
        page.root.get_by_label("Shown large").select_option(f"{layer},{head}")
        page.root.locator("details select").select_option(f"{key[0]},{key[1]}")
        query_vectors, key_vectors = parts[layer - 1]
        columns = slice((head - 1) * 4, head * 4)
        terms = query_vectors[token(row, column), columns] * key_vectors[token(*key), columns]
        shown = page.root.locator("canvas[data-terms]").get_attribute("data-terms").split(",")
        np.testing.assert_allclose([float(term) for term in shown], terms, rtol=1e-3, atol=1e-5)
        weight = weights[layer - 1, head - 1, token(row, column), token(*key)]
        words = "closed by the mask" if weight == 0 else f"weight {100 * weight:.1f} %"
        assert words in page.root.inner_text()
    page.root.locator("details select").select_option("")
    page.root.get_by_label("Shown large").select_option("1,2")
    top = int(weights[0, 1, token(row, column)].argmax())
    terms = (parts[0][0][token(row, column)] * parts[0][1][top])[4:8]
    shown = page.root.locator("canvas[data-terms]").get_attribute("data-terms").split(",")
    np.testing.assert_allclose([float(term) for term in shown], terms, rtol=1e-3, atol=1e-5)
    assert f"÷ √4 = {float(f'{terms.sum() / 2:.3g}'):g}" in page.root.inner_text()


def test_a_click_on_a_head_shows_it_large_and_keeps_its_key(page):
    box = panel(page, 2, 1).bounding_box()
    panel(page, 2, 1).click(position={"x": 2.5 * box["width"] / 4, "y": 1.5 * box["height"] / 5})
    assert (page.state("chosen"), page.state("key")) == ([2, 1], [1, 2])
    assert "Layer 2, head 1: weights of the class token" in page.root.inner_text()
    assert page.root.locator("details select").input_value() == "1,2"


def test_nothing_opens_pinned_hover_points_click_pins_arrows_move_and_escape_unpins(page):
    assert page.canvas.get_attribute("data-query") == f"{ROWS},0"
    assert page.canvas.get_attribute("data-locked") == "false"
    page.canvas.press("Enter")
    assert page.canvas.get_attribute("data-locked") == "true"
    page.canvas.press("ArrowUp")
    assert page.canvas.get_attribute("data-query") == f"{ROWS - 1},0"
    assert page.state("query") == [ROWS - 1, 0]
    page.canvas.press("ArrowLeft")
    assert page.status.endswith("Edge.")
    page.canvas.press("ArrowRight")
    page.canvas.press("ArrowDown")  # the class token is one cell, below all columns
    assert (page.canvas.get_attribute("data-query"), page.state("query")) == (f"{ROWS},0", [ROWS, 0])
    page.canvas.press("Escape")
    assert page.canvas.get_attribute("data-query") is None
    assert page.state("query") == []
    assert page.status.startswith("No query yet, so the mean over all.")
    point(page, ROWS, 2)  # all of the last row is the class token
    assert page.canvas.get_attribute("data-query") == f"{ROWS},0"
    assert "Query: the class token." in page.status
    page.canvas.click(position={"x": 5, "y": 5})
    assert (page.canvas.get_attribute("data-query"), page.canvas.get_attribute("data-locked")) == ("0,0", "true")


def test_the_colours_are_magma_up_to_the_chosen_weight(page, data):
    page.root.get_by_label("Colours end at").press("End")
    page.page.mouse.move(1, 1)
    weights = package(data)[0][:, :, 0]
    for limit in (1.0, 0.125):
        page.set(limit=limit)
        for layer, head in ((1, 2), (2, 3)):
            drawn = page.pixels(panel(page, layer, head))[..., :3].astype(float)
            cell = drawn.shape[0] / (ROWS + 1)
            weight = float(weights[layer - 1, head - 1, 1 + 2 * ROWS + 1])  # the patch in row 2, column 1
            colour = 255 * np.array(matplotlib.colormaps["magma"](min(int(weight / limit * 256), 255))[:3])
            picture = 255 * data.images[0, :, 10, 6].numpy()  # the pixel in the middle of that patch
            at = drawn[int(2.6 * cell), int(1.6 * cell)]
            np.testing.assert_allclose(at, 0.72 * colour + 0.28 * picture.round(), atol=2.5)
            class_weight = float(weights[layer - 1, head - 1, 0])
            colour = 255 * np.array(matplotlib.colormaps["magma"](min(int(class_weight / limit * 256), 255))[:3])
            np.testing.assert_allclose(drawn[int(4.5 * cell), int(0.5 * cell)], colour, atol=2.5)
        assert page.root.locator(".cw-scale-numbers span").last.inner_text() == f"{limit:g}"


@pytest.mark.parametrize(("mask", "heads"), [("none", []), ("none", [(1, 3), (2, 1)]), ("window 1", [(2, 2)])])
def test_copied_code_reproduces_what_is_shown(page, network, data, mask, heads):
    page.set(mask=mask, off=[list(one) for one in heads], chosen=[2, 3])
    page.root.get_by_role("button", name="Copy the code").click()
    printed: list = []
    given = {"network": drawn(), "data": data}
    exec(page.root.get_by_label("Code").input_value(), {**given, "print": printed.append})
    np.testing.assert_allclose(printed[0], probabilities(page), rtol=1e-3, atol=2e-6)
    np.testing.assert_allclose(printed[1], panels(page)[1, 2], rtol=1e-3, atol=2e-6)


def test_the_courses_own_network_says_in_the_page_what_it_says_in_the_package(alone):
    page = alone(explore_head_grid(off=[(1, 3), (1, 4)], picture=3))
    assert "The network says 7 with" in page.status and "which is wrong: it is 2; untouched it says 2" in page.status
    scope: dict = {}
    page.root.get_by_role("button", name="Copy the code").click()
    exec(
        page.root.get_by_label("Code").input_value(),
        {**scope, "print": lambda value: scope.setdefault(len(scope), value)},
    )
    np.testing.assert_allclose(probabilities(page), scope[0], atol=1e-5)
    page.assert_clean()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(page, theme):
    page.set(off=[[1, 2]])
    page.theme(theme)
    assert page.violations() == []


@pytest.mark.parametrize("width", [1000, 420])
def test_nothing_needs_sideways_scrolling(alone, width):
    page = alone(explore_head_grid(), viewport={"width": width, "height": 900})
    assert page.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.assert_clean()


def test_the_saved_picture_holds_every_map_in_its_place(page, tmp_path):
    with page.page.expect_download() as download:
        page.root.get_by_role("button", name="Save the picture").click()
    download.value.save_as(tmp_path / "picture.png")
    picture = np.asarray(Image.open(tmp_path / "picture.png").convert("RGB"))
    stage = page.root.locator(".cw-stage").bounding_box()
    for canvas in (page.canvas, panel(page, 1, 1), panel(page, 2, 3)):
        box, pixels = canvas.bounding_box(), page.pixels(canvas)[..., :3]
        y, x = round(box["y"] - stage["y"] + 16), round(box["x"] - stage["x"] + 16)
        np.testing.assert_array_equal(picture[y : y + pixels.shape[0], x : x + pixels.shape[1]], pixels)


def test_words_from_outside_stay_text(alone, network, data):
    widget = explore_head_grid(network, data)
    bad = "<img src=x onerror=alert(1)>"
    widget.label = widget.caption = bad
    widget.pictures = [{**picture, "label": bad, "code": bad} for picture in widget.pictures]
    page = alone(widget)
    assert page.root.locator("img").count() == 0
    page.assert_clean()
