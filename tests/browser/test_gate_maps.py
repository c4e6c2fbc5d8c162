"""`gate-maps` in a browser: its shares and overlaps are the package's, its gestures and words those of every widget."""

import ast
from collections.abc import Callable

import matplotlib
import numpy as np
import pytest
import torch

from course_utils.training.attention_maps import overlap, share_on_object
from course_utils.widgets.gate_maps.widget import GateMaps, MapSeries

torch.set_num_threads(1)
EPOCHS, STAGES, TITLES = (1, 5, 8), ("pool3", "pool4"), ("gates by sigmoid", "gates by softmax", "Grad-CAM")


def drawn(seed: int = 0, size: int = 24) -> tuple[np.ndarray, np.ndarray, list[list[np.ndarray]]]:
    """Images (4, 3, size, size), places, and for each of three networks its maps at two stages, in float16's values."""
    random = np.random.default_rng(seed)
    images = random.random((4, 3, size, size)).astype(np.float32)
    places = np.zeros((4, size, size), bool)
    for place in places:
        row, column = random.integers(0, size // 2, 2)
        place[row : row + size // 2, column : column + size // 2] = True
    maps = [
        [random.gamma(0.5, scale, (3, 4, side, side)).astype(np.float16).astype(np.float32) for side in (6, 3)]
        for scale in (1, 0.02, 30)
    ]
    return images, places, maps


def widget(**traits: object) -> GateMaps:
    images, places, maps = drawn()
    answers = [[str(epoch + image) for image in range(4)] for epoch in range(3)]
    series = [MapSeries(title, one, answers) for title, one in zip(TITLES, maps, strict=True)]
    return GateMaps(images, places, series, EPOCHS, STAGES, **traits)


def found(page: object) -> np.ndarray:
    """Share and overlap of every panel, (networks, 2)."""
    panels = page.root.locator("[data-network]").all()  # type: ignore[attr-defined]
    return np.array([[float(panel.get_attribute(f"data-{name}")) for name in ("share", "iou")] for panel in panels])


def expected(image: int, stage: int, epoch: int, threshold: float) -> np.ndarray:
    _, places, maps = drawn()
    mask = torch.tensor(places[image : image + 1])
    one = [torch.tensor(network[stage][epoch, image : image + 1]) for network in maps]
    return np.array([[float(share_on_object(m, mask, threshold)), float(overlap(m, mask, threshold))] for m in one])


def test_shares_and_overlaps_answer_every_threshold_as_the_package_does(alone: Callable) -> None:
    page = alone(widget())
    for image, stage, epoch in ((0, 0, 0), (3, 1, 2), (1, 0, 2)):
        page.root.get_by_label("Picture").select_option(str(image))
        page.root.get_by_label("Stage").select_option(str(stage))
        page.root.get_by_label("After epoch").select_option(str(epoch))
        for threshold in (0.0, 0.13, 0.5, 0.9, 1.0):
            page.root.get_by_label("Threshold").fill(str(threshold))
            np.testing.assert_allclose(found(page), expected(image, stage, epoch, threshold), atol=2e-6)
            assert page.state("threshold") == threshold
            words = found(page)[1]
            framed = f"{100 * words[0]:.1f} % of the weight framed white"
            assert f"gates by softmax: {framed} is on the answer" in page.status
            assert f"{STAGES[stage]}, after epoch {EPOCHS[epoch]}, threshold {threshold:.2f}" in page.status
    page.assert_clean()


def test_a_map_with_one_value_everywhere_overlaps_nothing(alone: Callable) -> None:
    images, places, _ = drawn()
    flat = MapSeries("flat", [np.full((1, 4, 4, 4), 0.25), np.zeros((1, 4, 2, 2))])
    page = alone(GateMaps(images, places, [flat], [8], STAGES))
    np.testing.assert_allclose(found(page), [[0.25, 0]], atol=1e-6)
    page.root.get_by_label("Stage").select_option("1")
    np.testing.assert_allclose(found(page), [[0, 0]])
    assert page.root.get_by_label("After epoch").is_hidden()


def test_the_map_alone_has_the_tables_colours_on_the_networks_own_range(alone: Callable) -> None:
    page = alone(widget(stage=1, image=2))
    _, places, maps = drawn()
    for own in (False, True):
        page.set(own_range=own, opacity=1, smooth=False, threshold=0)
        for k, network in enumerate(maps):
            map_ = network[1][0, 2]
            high = map_.max() if own else network[1].max()
            low = map_.min() if own else 0.0
            index = np.clip(np.floor((map_ - low) / (high - low) * 256), 0, 255).astype(int)
            colours = matplotlib.colormaps["magma"](index, bytes=True)[..., :3].astype(float)
            panel = page.root.locator("[data-network]").nth(k)
            shown = page.pixels(panel.locator("canvas"))
            at = ((np.arange(24) + 0.5) * shown.shape[0] / 24).astype(int)
            near_edge = np.zeros((24, 24), bool)
            edges = places[2] ^ np.roll(places[2], 1, 0) | places[2] ^ np.roll(places[2], 1, 1)
            for shift in ((0, 0), (-1, 0), (0, -1), (-1, -1), (1, 0), (0, 1)):
                near_edge |= np.roll(edges, shift, (0, 1))
            large = np.kron(np.arange(9).reshape(3, 3), np.ones((8, 8), int))
            found_colours, wanted = shown[np.ix_(at, at)][..., :3].astype(float), colours.reshape(9, 3)[large]
            assert np.abs(found_colours - wanted)[~near_edge].max() <= 2
            panel.get_by_role("button").click()
            numbers = page.root.locator(".cw-scale-numbers span").all_inner_texts()
            assert float(numbers[2]) == pytest.approx(high, rel=5e-3)
    page.assert_clean()


def test_hover_click_arrows_and_escape_read_one_cell_of_every_network(alone: Callable) -> None:
    page = alone(widget())
    _, _, maps = drawn()
    page.hover(page.canvas, 0.55, 0.2)
    assert page.canvas.get_attribute("data-query") == "1,3"
    assert page.canvas.get_attribute("data-locked") == "false"
    for title, network in zip(TITLES, maps, strict=True):
        assert f"{title} {float(f'{network[0][0, 0, 1, 3]:.3g}'):g}" in page.status
    page.page.mouse.move(2, 2)
    assert page.canvas.get_attribute("data-query") is None and "threshold" in page.status

    second = page.root.locator("[data-network]").nth(2).locator("canvas")
    box = second.bounding_box()
    page.page.mouse.click(box["x"] + 0.95 * box["width"], box["y"] + 0.95 * box["height"])
    assert page.canvas.get_attribute("data-query") == "5,5" and page.state("query") == [5, 5]
    page.canvas.focus()
    page.page.keyboard.press("ArrowLeft")
    assert page.canvas.get_attribute("data-query") == "5,4"
    page.page.keyboard.press("ArrowDown")
    assert page.status.endswith("Edge.")
    page.page.keyboard.press("Escape")
    assert page.state("query") == [] and page.canvas.get_attribute("data-locked") == "false"
    page.page.keyboard.press("Enter")
    assert page.canvas.get_attribute("data-locked") == "true"
    page.root.get_by_label("Stage").select_option("1")
    assert page.canvas.get_attribute("data-query") is None and page.state("query") == []
    page.assert_clean()


def test_every_control_moves_and_axe_finds_nothing_in_light_and_dark(alone: Callable) -> None:
    page = alone(widget(caption="What to notice."))
    for theme in ("light", "dark"):
        page.theme(theme)
        assert page.move_every_control() == 6
        assert page.violations() == []
    page.assert_clean()


def test_the_code_makes_what_is_shown_and_the_picture_holds_every_panel(alone: Callable) -> None:
    page = alone(widget(), permissions=["clipboard-read", "clipboard-write"])
    page.root.get_by_label("After epoch").select_option("2")
    page.root.get_by_label("Threshold").fill("0.25")
    page.root.get_by_role("button", name="Copy the code").click()
    page.page.wait_for_function("() => document.querySelector('textarea').value !== ''")
    code = page.root.locator("textarea").input_value()
    settings = {
        statement.targets[0].attr: ast.literal_eval(statement.value)
        for statement in ast.parse(code).body
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Attribute)
    }
    again = widget()
    for name, value in settings.items():
        setattr(again, name, value)
    assert (again.epoch, again.threshold, again.stage) == (2, 0.25, 0)
    page.assert_saved_picture_shows(*page.root.locator(".cw-panel canvas").all())


def test_what_cannot_be_shown_is_refused_with_its_cure() -> None:
    images, places, maps = drawn()
    series = [MapSeries("one", maps[0])]
    for arguments, words in (
        ({"places": places[:3]}, "the images need"),
        ({"names": ["a"]}, "one name for"),
        ({"series": []}, "at least one network"),
        ({"epochs": (1, 5)}, "epochs, images, rows, columns"),
        ({"series": [MapSeries("one", maps[0][:1])]}, "one for each stage"),
        ({"series": [MapSeries("one", [-maps[0][0], maps[0][1]])]}, "below zero"),
        ({"series": [MapSeries("one", maps[0], [["3"] * 3])]}, "needs an answer"),
        ({"image": 4}, "from 0 to 3"),
    ):
        given = {"images": images, "places": places, "series": series, "epochs": EPOCHS, "stages": STAGES, **arguments}
        with pytest.raises(ValueError, match=words):
            GateMaps(**given)
