"""The attention map in Chromium: its numbers are numpy's, its pixels matplotlib's colours."""

import ast
import re
from collections.abc import Callable

import matplotlib
import numpy as np
import pytest

from course_utils.widgets import AttentionMap, image_bytes, share_on_place


def _image(height: int = 28, width: int = 28, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def _masks(many: int = 3, height: int = 7, width: int = 7, seed: int = 1) -> np.ndarray:
    masks = np.random.default_rng(seed).gamma(0.7, size=(many, height, width)) * np.arange(1, many + 1)[:, None, None]
    return (masks / masks.sum()).astype(np.float16).astype(np.float64)


def _colours(values: np.ndarray, table: str, low: float, high: float) -> np.ndarray:
    index = np.clip(np.floor((values - low) / (high - low) * 256), 0, 255).astype(int)
    return matplotlib.colormaps[table](index, bytes=True)[..., :3].astype(float)


def _cells(size: int, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """For each pixel its cell, and whether it lies clear of the cell's edge."""
    place = (np.arange(size) + 0.5) * cells / size
    clear = np.abs(place - np.rint(place)) > cells / size
    return np.floor(place).astype(int), clear


def test_every_hovered_cell_reads_its_value_and_its_share(alone: Callable) -> None:
    masks = _masks()
    page = alone(AttentionMap(_image(), masks, ["a", "b", "c"], chosen=2))
    for row, column in np.random.default_rng(3).integers(0, 7, (8, 2)):
        page.hover(page.canvas, (column + 0.4) / 7, (row + 0.4) / 7)
        value = masks[2, row, column]
        share = 100 * value / masks[2].sum()
        assert page.status == (
            f"c, row {row + 1}, column {column + 1}: {float(f'{value:.3g}'):g}, {share:.1f} % of the map."
        )
        assert page.canvas.get_attribute("data-query") == f"{row},{column}"
        assert page.canvas.get_attribute("data-locked") == "false"
    page.page.mouse.move(2, 2)
    row, column = np.unravel_index(masks[2].argmax(), (7, 7))
    assert f"strongest at row {row + 1}, column {column + 1}" in page.status
    assert page.canvas.get_attribute("data-query") is None
    page.assert_clean()


@pytest.mark.parametrize("table", ["viridis", "magma", "cividis", "RdBu"])
def test_blocky_pixels_are_the_tables_colours_and_the_overlay_their_blend(table: str, alone: Callable) -> None:
    image, masks = _image(), _masks(2)
    page = alone(AttentionMap(image, masks, table=table, opacity=0.4))
    over, raw = (page.pixels(page.root.locator("canvas").nth(i))[..., :3].astype(float) for i in (0, 1))
    low, high = (-masks.max(), masks.max()) if table == "RdBu" else (0, masks.max())
    cell, clear = _cells(raw.shape[0], 7)
    expected = _colours(masks[0], table, low, high)[cell][:, cell]
    pixel, clear_pixel = _cells(raw.shape[0], 28)
    inside = np.ix_(clear, clear)
    np.testing.assert_array_equal(raw[inside], expected[inside])
    blend = 0.6 * image[pixel][:, pixel] + 0.4 * expected
    inside = np.ix_(clear & clear_pixel, clear & clear_pixel)
    assert np.abs(over[inside] - blend[inside]).max() <= 2


def test_smooth_pixels_are_bilinear_values_coloured(alone: Callable) -> None:
    masks = _masks(1)
    page = alone(AttentionMap(_image(), masks, smooth=True, table="viridis"))
    raw = page.pixels(page.root.locator("canvas").nth(1))[..., :3]
    place = np.clip((np.arange(raw.shape[0]) + 0.5) * 7 / raw.shape[0] - 0.5, 0, 6)
    along = np.array([np.interp(place, np.arange(7), row) for row in masks[0]])
    values = np.array([np.interp(place, np.arange(7), column) for column in along.T]).T
    difference = np.abs(raw - _colours(values, "viridis", 0, masks.max()))
    assert (difference.max(axis=2) == 0).mean() > 0.99
    assert difference.max() <= 6  # a rounding may reach the neighbouring row of the table, never further


def test_the_range_is_shared_until_each_map_may_have_its_own(alone: Callable) -> None:
    masks = _masks(3)
    page = alone(AttentionMap(_image(), masks))
    numbers = page.root.locator(".cw-scale-numbers span")

    def ends() -> tuple[float, float]:
        texts = numbers.all_inner_texts()
        return float(texts[0]), float(texts[-1])

    assert ends() == pytest.approx((0, masks.max()), rel=5e-3)
    page.root.get_by_label("Each map in its own colours").check()
    assert ends() == pytest.approx((masks[0].min(), masks[0].max()), rel=5e-3)
    page.root.get_by_role("combobox", name="Map", exact=True).select_option("2")
    assert ends() == pytest.approx((masks[2].min(), masks[2].max()), rel=5e-3)
    assert page.state("chosen") == 2
    assert page.state("own_range") is True


def test_thumbnails_choose_the_map_and_say_which_is_chosen(alone: Callable) -> None:
    page = alone(AttentionMap(_image(), _masks(3), ["left", "middle", "right"]))
    page.root.get_by_role("button", name="right").click()
    assert page.state("chosen") == 2
    page.root.get_by_role("button", name="right").focus()
    page.set(own_range=True)
    assert page.page.evaluate("document.activeElement.title") == "right"  # redrawn, not replaced
    assert page.root.locator(".cw-thumbnails button[tabindex='-1']").count() == 3
    pressed = page.root.locator(".cw-thumbnails button").evaluate_all("(all) => all.map((b) => b.ariaPressed)")
    assert pressed == ["false", "false", "true"]
    assert page.status.startswith("right: strongest at")


def test_keys_move_pin_and_unpin_and_stay_inside_the_widget(alone: Callable) -> None:
    page = alone(AttentionMap(_image(), _masks(1, 5, 4)))
    page.page.evaluate("window.heard = []; document.addEventListener('keydown', (event) => heard.push(event.key))")
    page.canvas.focus()
    page.canvas.press("ArrowDown")  # the first key puts the focus in the middle
    assert page.canvas.get_attribute("data-query") == "2,1"
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowLeft", "ArrowLeft"):
        page.canvas.press(key)
    assert page.canvas.get_attribute("data-query") == "4,0"
    assert page.status.endswith("Edge.")
    page.canvas.press("Enter")
    assert page.canvas.get_attribute("data-locked") == "true"
    assert page.state("query") == [4, 0]
    page.hover(page.canvas, 0.9, 0.1)
    assert page.canvas.get_attribute("data-query") == "4,0"
    assert page.status.endswith("Pinned; Escape unpins.")
    page.canvas.press("Escape")
    assert page.canvas.get_attribute("data-locked") == "false"
    assert page.state("query") == []
    assert page.page.evaluate("heard") == []
    page.canvas.press("Tab")
    assert page.page.evaluate("heard") == ["Tab"]


def test_keys_begin_where_they_left_off_and_leaving_is_not_spoken(alone: Callable) -> None:
    page = alone(AttentionMap(_image(), _masks(1, 5, 4)))
    status = page.root.locator("[role=status]")
    for key in ("ArrowDown", "ArrowUp"):
        page.canvas.press(key)
    assert page.canvas.get_attribute("data-query") == "1,1"
    assert status.get_attribute("aria-live") == "polite"
    page.canvas.press("Tab")
    assert page.canvas.get_attribute("data-query") is None
    assert "strongest at" in page.status
    assert status.get_attribute("aria-live") == "off"
    page.canvas.press("Enter")
    assert page.canvas.get_attribute("data-query") == "1,1"
    assert page.canvas.get_attribute("data-locked") == "true"
    assert status.get_attribute("aria-live") == "polite"
    assert page.root.get_by_text("Point, or press the arrow keys").is_visible()


def test_unpinning_is_heard_as_pinning_was(alone: Callable) -> None:
    page = alone(AttentionMap(_image(), _masks()))
    page.canvas.focus()
    for key in ("ArrowDown", "Enter"):
        page.page.keyboard.press(key)
    assert page.status.endswith(" of the map. Pinned; Escape unpins.")
    page.page.keyboard.press("Enter")
    assert page.status.endswith(" of the map. Unpinned.")
    page.page.keyboard.press("ArrowDown")
    assert page.status.endswith(" of the map.")


def test_what_a_button_did_is_said_behind_what_the_map_shows(alone: Callable) -> None:
    page = alone(AttentionMap(_image(), _masks()))
    shown = page.status
    for _ in range(2):
        with page.page.expect_download():
            page.root.get_by_role("button", name="Save the picture").click()
        page.says(f"^{re.escape(shown)} Saved as attention-map\\.png\\.$")


def test_a_click_pins_and_a_second_click_on_the_cell_unpins(alone: Callable) -> None:
    page = alone(AttentionMap(_image(), _masks(1)))
    raw = page.root.locator("canvas").nth(1)
    raw.click(position={"x": 5, "y": 5})
    assert page.canvas.get_attribute("data-query") == "0,0"
    assert page.canvas.get_attribute("data-locked") == "true"
    raw.click(position={"x": 5, "y": 5})
    assert page.canvas.get_attribute("data-locked") == "false"


def test_the_share_on_the_true_place_is_told_and_is_the_part_of_the_mass(alone: Callable) -> None:
    masks = _masks(1)
    place = np.zeros((28, 28), bool)
    place[2:13, 9:27] = True
    fine = np.kron(masks[0], np.ones((4, 4)))
    expected = fine[place].sum() / fine.sum()
    widget = AttentionMap(_image(), masks, place=place)
    assert widget.shares == [pytest.approx(expected)]
    page = alone(widget)
    assert f"{100 * expected:.1f} % of it lies on the true place." in page.status
    raw = page.pixels(page.root.locator("canvas").nth(1))[..., :3].astype(int)
    top = round(2 / 28 * raw.shape[0])
    assert np.abs(raw[top, raw.shape[1] // 2] - (255, 212, 59)).max() < 60  # the outline


def test_shares_count_the_covered_part_of_each_cell() -> None:
    mask, place = np.array([[1.0, 3.0]]), np.array([[True, False, False]])
    assert share_on_place(mask, place) == pytest.approx((2 / 3) * 1 / 4)
    assert share_on_place(np.zeros((2, 2)), np.ones((4, 4))) == 0


def test_copied_code_makes_the_same_widget(alone: Callable) -> None:
    image, masks = _image(), _masks(3)
    page = alone(AttentionMap(image, masks, code="image, masks = mine()"))
    page.root.get_by_role("combobox", name="Map", exact=True).select_option("1")
    page.set(table="cividis", smooth=True)
    page.canvas.click(position={"x": 3, "y": 3})
    page.root.get_by_role("button", name="Copy the code").click()
    code = page.root.get_by_label("Code").input_value()
    assert code.startswith("image, masks = mine()\n")
    call = ast.parse(code).body[-1].value
    settings = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
    again = AttentionMap(image, masks, **settings)
    assert (again.chosen, again.table, again.smooth, again.query) == (1, "cividis", True, [0, 0])


def test_the_saved_picture_holds_both_panels(alone: Callable) -> None:
    page = alone(AttentionMap(_image(), _masks(1)))
    page.assert_saved_picture_shows(*page.root.locator(".cw-panel canvas").all())


def test_negative_values_make_a_signed_map_centred_on_zero(alone: Callable) -> None:
    page = alone(AttentionMap(_image(), np.array([[-1.0, 0.5], [0.0, 0.25]])))
    assert page.state("table") == "RdBu"
    assert page.root.locator(".cw-scale-numbers span").all_inner_texts() == ["-1", "0", "1"]
    page.hover(page.canvas, 0.75, 0.25)
    assert page.status == "map, row 1, column 2: 0.5."


@pytest.mark.parametrize(
    ("image", "shape"),
    [
        (np.zeros((4, 5)), (4, 5)),
        (np.zeros((1, 4, 5)), (4, 5)),
        (np.zeros((3, 4, 5)), (4, 5, 3)),
        (np.zeros((4, 5, 1), np.uint8), (4, 5)),
        (np.zeros((4, 5, 3), np.uint8), (4, 5, 3)),
    ],
)
def test_images_of_the_usual_layouts_are_taken(image: np.ndarray, shape: tuple[int, ...]) -> None:
    assert image_bytes(image).shape == shape


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"image": np.zeros((2, 3, 4, 5))}, "one image at a time"),
        ({"image": np.full((4, 4), 2.5)}, "undo that first"),
        ({"masks": np.zeros(5)}, "give one map"),
        ({"masks": np.zeros((2, 0, 5))}, "none of them empty"),
        ({"masks": np.array([[0, np.nan]])}, r"index \(0, 0, 1\) is nan"),
        ({"labels": ["one"]}, "3 maps but 1 labels"),
        ({"place": np.zeros((3, 3))}, "must have the size"),
        ({"chosen": 3}, "from 0 to 2"),
        ({"query": (7, 0)}, "not a .row, column."),
    ],
)
def test_what_cannot_be_shown_is_refused_with_its_cure(arguments: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        AttentionMap(**{"image": _image(), "masks": _masks(3), **arguments})
