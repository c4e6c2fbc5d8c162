"""`covariance` in a browser: its numbers against the package's, its gestures, its words; it needs no kernel."""

import matplotlib
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import place_of

from course_utils.attention import GSoPBlock, SEBlock, covariance_pool
from course_utils.widgets import explore_covariance
from course_utils.widgets.covariance.explore import EXAMPLES, example_channels, gsop_weights, rearrange, se_weights
from course_utils.widgets.covariance.widget import Covariance

torch.set_num_threads(1)
HEAD = 80  # the margin of the matrix, in CSS pixels


@pytest.fixture(scope="module")
def blocks():
    """Blocks with lively batch norms: nothing of them is at its first value."""
    torch.manual_seed(5)
    se, gsop = SEBlock(8, reduction=2), GSoPBlock(8, reduced_channels=5, expansion=3)
    for part in gsop.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(part.running_var, 0.2, 1)
            for values, scale in ((part.running_mean, 0.3), (part.weight, 1.0), (part.bias, 0.5)):
                torch.nn.init.normal_(values, std=scale)
    torch.nn.init.uniform_(gsop.row_norm.running_var, 1e-5, 1e-4)  # covariances are small: so they move the gates
    torch.nn.init.normal_(gsop.row_norm.running_mean, std=0.005)
    return se.eval().requires_grad_(False), gsop.eval().requires_grad_(False)


@pytest.fixture
def page(alone, blocks):
    opened = alone(explore_covariance(*blocks))
    yield opened
    opened.assert_clean()


def numbers(node, name: str) -> np.ndarray:
    return np.array([float(one) for one in node.get_attribute(name).split(",")])


def matrix(page) -> np.ndarray:
    flat = numbers(page.canvas, "data-covariance")
    side = round(len(flat) ** 0.5)
    return flat.reshape(side, side)


def gates(page, block: str) -> np.ndarray:
    return numbers(page.root.locator(f"[data-{block}]"), f"data-{block}")


def hover(page, row: int, column: int) -> None:
    box = page.canvas.bounding_box()
    side = (box["width"] - HEAD) / len(matrix(page))
    page.hover(page.canvas, (HEAD + (column + 0.5) * side) / box["width"], (HEAD + (row + 0.5) * side) / box["height"])


def squares(page, canvas) -> np.ndarray:
    """The colours of a 40 x 40 map's squares as they are drawn, (40, 40, 3)."""
    pixels = page.pixels(canvas)
    rows, columns = (((np.arange(40) + 0.5) * size / 40).astype(int) for size in pixels.shape[:2])
    return pixels[np.ix_(rows, columns)][:, :, :3].astype(int)


def coloured(table: str, values: np.ndarray) -> np.ndarray:
    """Values from 0 to 1 in matplotlib's colours."""
    levels = np.clip(np.floor(values * 256), 0, 255).astype(int)
    return matplotlib.colormaps[table](levels, bytes=True)[:, :, :3].astype(int)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_pages_covariances_and_masks_are_the_packages(page, blocks, name):
    se, gsop = blocks
    page.root.get_by_role("combobox", name="Picture").select_option(label=name)
    for moved, leader, turn in ((1, 0, 0.0), (1, 0, 0.65), (5, 3, -0.35), (0, 7, 1.0), (2, 2, 0.5)):
        page.set(moved=moved, leader=leader, turn=turn)
        x = rearrange(example_channels(name)[None], moved, leader, turn)
        np.testing.assert_allclose(matrix(page), covariance_pool(x)[0].numpy(), atol=1e-6)
        np.testing.assert_allclose(gates(page, "se"), se.mask(x).flatten(), atol=1e-5)
        np.testing.assert_allclose(gates(page, "gsop"), gsop.mask(x).flatten(), atol=1e-5)


def test_the_reduced_channels_are_those_inside_the_block(page, blocks):
    _, gsop = blocks
    page.root.get_by_role("combobox", name="Covariances of").select_option("reduced")
    page.set(turn=-0.5)
    x = rearrange(example_channels("hens")[None], 1, 0, -0.5)
    reduced = F.relu(gsop.norm(gsop.reduce(F.relu(x))))
    np.testing.assert_allclose(matrix(page), covariance_pool(reduced)[0].numpy(), atol=1e-6)
    hover(page, 1, 3)
    assert "reduced 2 and reduced 4" in page.status


def test_any_maps_and_weights_are_computed_alike(alone):
    torch.manual_seed(1)
    maps = torch.randn(5, 6, 9)  # negative values too, and not square
    se, gsop = SEBlock(5, reduction=2, bias=False), GSoPBlock(5, reduced_channels=3, expansion=2).eval()
    widget = Covariance(
        examples=[{"label": "drawn", "maps": maps.numpy(), "code": "x"}],
        names=list("abcde"),
        se=se_weights(se),
        gsop=gsop_weights(gsop),
    )
    page = alone(widget)
    page.set(moved=3, leader=4, turn=0.8)
    x = rearrange(maps[None], 3, 4, 0.8)
    np.testing.assert_allclose(matrix(page), covariance_pool(x)[0].numpy(), atol=1e-6)
    with torch.no_grad():
        np.testing.assert_allclose(gates(page, "se"), se.mask(x).flatten(), atol=1e-5)
        np.testing.assert_allclose(gates(page, "gsop"), gsop.mask(x).flatten(), atol=1e-5)
    page.assert_clean()


def test_the_slider_moves_gsops_mask_and_leaves_ses_alone(page):
    before = {block: gates(page, block) for block in ("se", "gsop")}
    diagonal = matrix(page).diagonal()
    slider = page.root.get_by_role("slider")
    slider.press("End")
    np.testing.assert_allclose(gates(page, "se"), before["se"], atol=1e-6)
    assert np.abs(gates(page, "gsop") - before["gsop"]).max() > 1e-3
    np.testing.assert_allclose(matrix(page).diagonal(), diagonal, atol=1e-6)
    assert "no gate of SE moves; GSoP's gate of" in page.status
    page.page.wait_for_function("() => document.querySelector('main').model.get('turn') === 1")
    page.root.get_by_role("button", name="Put back").press("Enter")
    assert slider.evaluate("(slider) => slider === document.activeElement")
    np.testing.assert_allclose(gates(page, "gsop"), before["gsop"], atol=1e-7)
    assert page.root.get_by_role("button", name="Put back").is_disabled()
    assert page.state("turn") == 0


def test_hover_shows_the_product_whose_mean_is_the_covariance(page):
    x = example_channels("hens").numpy()
    hover(page, 4, 1)
    assert page.canvas.get_attribute("data-query") == "4,1"
    assert page.canvas.get_attribute("data-locked") == "false"
    deviations = x - x.mean(axis=(1, 2), keepdims=True)
    product = deviations[4] * deviations[1]
    shown = page.root.locator("canvas[data-mean]")
    assert float(shown.get_attribute("data-mean")) == pytest.approx(product.mean(), abs=1e-6)
    correlation = product.mean() / (x[4].std() * x[1].std())
    assert f"correlation {correlation:+.2f}".replace("-", "−") in page.status
    limit = np.abs(product).max()
    assert np.abs(squares(page, shown) - coloured("RdBu", (product + limit) / (2 * limit))).max() <= 8
    maps = page.root.locator("canvas[aria-label^='Map of']")  # the row's channel first, then the column's
    for place, (channel, name) in enumerate(((4, "edge —"), (1, "green"))):
        assert maps.nth(place).get_attribute("aria-label").startswith(f"Map of {name}:")
        assert np.abs(squares(page, maps.nth(place)) - coloured("viridis", x[channel])).max() <= 8


def test_the_picture_shows_the_moved_colour(page):
    page.set(turn=0.6)
    colours = rearrange(example_channels("hens")[None], 1, 0, 0.6)[0, :3].permute(1, 2, 0).numpy()
    picture = page.root.get_by_label("The picture, green rearranged")
    assert np.abs(squares(page, picture) - 255 * colours).max() <= 2


def test_a_bar_ends_at_its_gate_and_the_mark_stays_where_the_gate_was(alone):
    page = alone(explore_covariance())  # trained blocks: their gates move far
    before = gates(page, "gsop")
    page.set(turn=-0.8)
    after = gates(page, "gsop")
    inside = (after > 0.02) & (after < 0.98)
    assert inside.sum() >= 4 and np.abs(after - before)[inside].max() > 0.2
    for c in np.flatnonzero(inside):
        track = page.root.locator("[data-gsop] .cw-bar-track").nth(c)
        start, end = (track.bounding_box()[key] for key in ("x", "width"))
        fill = track.locator(".cw-bar-fill")
        page.page.wait_for_function("(bar) => bar.getAnimations().length === 0", arg=fill.element_handle())
        assert fill.bounding_box()["width"] / end == pytest.approx(after[c], abs=0.02)
        mark = track.locator(".cw-bar-before").bounding_box()
        assert (mark["x"] + mark["width"] / 2 - start) / end == pytest.approx(before[c], abs=0.02)
    page.assert_clean()


def test_a_cells_colour_is_its_covariance(page):
    values = matrix(page)
    limit = np.abs(values).max()
    pixels = page.pixels(page.canvas)
    scale = pixels.shape[1] / page.canvas.bounding_box()["width"]
    side = (page.canvas.bounding_box()["width"] - HEAD) / 8
    for i, j in ((0, 3), (5, 1), (7, 7)):
        row, column = (int((HEAD + k * side + 4) * scale) for k in (i, j))
        level = min(255, int((values[i, j] + limit) / (2 * limit) * 256))
        expected = np.array(matplotlib.colormaps["RdBu"](level, bytes=True)[:3], int)
        assert np.abs(pixels[row, column, :3].astype(int) - expected).max() <= 3


def test_click_pins_and_escape_unpins(page):
    hover(page, 2, 6)
    page.page.mouse.down()
    page.page.mouse.up()
    assert page.state("query") == [2, 6]
    hover(page, 0, 0)
    assert page.canvas.get_attribute("data-query") == "2,6"
    assert page.status.endswith("Pinned; Escape unpins.")
    page.canvas.press("Escape")
    assert page.canvas.get_attribute("data-query") is None
    assert page.state("query") == []
    page.set(query=[3, 1])
    assert page.canvas.get_attribute("data-query") == "3,1"
    assert page.canvas.get_attribute("data-locked") == "false"
    assert "spots and green" in page.status


def test_keys_begin_at_the_slider_s_pair_and_an_edge_is_told(page):
    page.canvas.focus()
    page.canvas.press("ArrowRight")
    assert page.canvas.get_attribute("data-query") == "0,1"
    page.canvas.press("ArrowDown")
    page.canvas.press("Enter")
    assert page.canvas.get_attribute("data-query") == "1,1"
    assert page.canvas.get_attribute("data-locked") == "true"
    assert page.status.startswith("Variance of green")
    for _ in range(8):
        page.canvas.press("ArrowLeft")
    page.says(r"Edge\.$")


def test_outside_the_cells_nothing_is_in_focus(page):
    page.hover(page.canvas, 0.02, 0.5)
    assert page.canvas.get_attribute("data-query") is None


def test_a_channel_cannot_follow_itself(page):
    page.set(moved=4, leader=4, turn=0.5)
    assert "Edge — follows itself: choose two channels" in page.status


def test_a_constant_channel_has_no_correlation(alone, blocks):
    maps = example_channels("hens").numpy().copy()
    maps[2] = 0.25
    widget = Covariance(
        examples=[{"label": "flat blue", "maps": maps, "code": "x"}],
        names=list("rgbspqtu"),
        se=se_weights(blocks[0]),
        gsop=gsop_weights(blocks[1]),
    )
    page = alone(widget)
    hover(page, 0, 2)
    assert "no correlation: one of them is constant" in page.status
    page.assert_clean()


def test_a_moving_slider_is_heard_once_when_it_rests(page):
    page.page.evaluate(
        """() => {
          window.heard = [];
          const line = document.querySelector("[role=status]");
          new MutationObserver(() => heard.push(line.getAttribute("aria-live"))).observe(
            line, { childList: true, subtree: true, characterData: true });
        }"""
    )
    slider = page.root.get_by_role("slider")
    at_once = slider.evaluate(
        """async (slider) => {
          for (const value of [-1, -0.95, -0.9]) {
            slider.value = value;
            slider.dispatchEvent(new Event("input", { bubbles: true }));
            await null;  // the observer hears of each
          }
          return [document.querySelector("[role=status]").innerText, heard];
        }"""
    )
    assert "−0.90" in at_once[0]  # seen at once
    assert set(at_once[1]) == {"off"}
    page.page.wait_for_function("() => heard.includes('polite')")
    assert page.page.evaluate("heard").count("polite") <= 2


def test_copied_code_reproduces_what_is_shown(alone):
    page = alone(explore_covariance(example="coffee", moved="spots", leader="blue", turn=0.4))
    page.page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('closed')); }")
    page.root.get_by_role("button", name="Copy the code").click()
    names: dict = {}
    exec(page.root.get_by_label("Code", exact=True).input_value(), names)
    np.testing.assert_allclose(matrix(page), covariance_pool(names["x"])[0].numpy(), atol=1e-6)
    for block in ("se", "gsop"):
        mask = names[block].mask(names["x"]).flatten().detach()
        np.testing.assert_allclose(gates(page, block), mask, atol=1e-5)
    page.assert_clean()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(page, theme):
    page.theme(theme)
    page.set(turn=0.5, query=[2, 3])
    assert page.violations() == []


@pytest.mark.parametrize("width", [420, 700, 1000])
def test_nothing_needs_sideways_scrolling(alone, blocks, width):
    page = alone(explore_covariance(*blocks), viewport={"width": width, "height": 800})
    assert page.page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")


def test_the_saved_picture_holds_the_matrix_and_the_maps(page):
    page.set(turn=0.5)
    picture = page.saved_picture()
    pixels = page.pixels(page.canvas)
    side = round((page.canvas.bounding_box()["width"] - HEAD) / 8)
    for row, column in ((0, 0), (1, 0), (5, 7)):
        top, left = HEAD + row * side, HEAD + column * side
        assert place_of(picture, pixels[top : top + side - 1, left : left + side - 1, :3])
    for canvas in page.root.locator(".cw-lenses canvas").all():
        assert place_of(picture, page.pixels(canvas)[..., :3])


@pytest.mark.faults("pieces of markup in labels, captions, names and answers")
def test_names_from_outside_stay_text(alone, blocks):
    names = ["<b>red</b>", *"gbspqtu"]
    maps = example_channels("hens").numpy()
    widget = Covariance(
        examples=[{"label": "<i>hens</i>", "maps": maps, "code": "x"}],
        names=names,
        se=se_weights(blocks[0]),
        gsop=gsop_weights(blocks[1]),
    )
    page = alone(widget)
    hover(page, 0, 1)
    assert "<b>red</b> and g" in page.status
    assert page.root.locator("b, i").count() == 0
    page.assert_clean()
