"""`mask-playground` in Chromium: its masks are the package's and numpy's, and they follow the pointer."""

import contextlib
import io
import re

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from course_utils.widgets import explore_mask_playground
from course_utils.widgets.mask_playground.explore import PICTURES, deviation_mask, person_mask, playground_input
from course_utils.widgets.mask_playground.widget import CATEGORIES

torch.set_num_threads(1)
NUMBER = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"


@pytest.fixture(scope="module")
def course():
    return explore_mask_playground()


def canvases(page):
    return [page.root.locator(f"canvas[data-panel={name}]") for name in ("x", "mask", "output")]


def settled(page):
    """Wait for the mask of the network."""
    page.page.wait_for_selector(".cw-stage[aria-busy=false]")


def hand_mask(page, shape: tuple[int, ...]) -> np.ndarray:
    """The mask of the settings that the page holds, by numpy; `shape` is that of x."""
    names = ("category", "gates", "spot", "size", "moment", "window", "fine")
    category, gates, spot, size, moment, window, fine = (page.state(name) for name in names)
    if category == "branch":
        return np.array([fine, 1 - fine])[:, None, None, None]
    rows, columns = shape[-2:]
    mask = np.ones((1, 1, 1))
    if "spatial" in category:
        down, along = np.arange(rows)[:, None] - (spot[0] * rows - 0.5), np.arange(columns) - (spot[1] * columns - 0.5)
        mask = mask * np.exp(-(down**2 + along**2) / (2 * (size * rows) ** 2))
    if "channel" in category:
        mask = mask * np.array(gates)[:, None, None]
    if "temporal" in category:
        mask = mask * np.exp(-((np.arange(9) - moment) ** 2) / (2 * window**2))[:, None, None, None]
    return mask


def applied(x: np.ndarray, mask: np.ndarray, category: str) -> np.ndarray:
    return (mask * x).sum(0) if category == "branch" else mask * x


def said(page) -> tuple[int, int, int, list[float]]:
    """Frame, row, column, and all numbers of the sentence about the focus, in its order."""
    frame, row, column, rest = re.search(
        r"(?:Frame (\d+), r|R)ow (\d+) of \d+, column (\d+) of \d+: (.*?)\.(?:$| Pinned)", page.status
    ).groups()
    return int(frame or 1) - 1, int(row) - 1, int(column) - 1, [float(n) for n in re.findall(NUMBER, rest)]


def check_focus(page, x: np.ndarray, mask: np.ndarray, category: str) -> None:
    frame, row, column, numbers = said(page)
    output = applied(x, mask, category)
    if category == "branch":
        wanted = [*mask.ravel(), *x[0, :, row, column], *x[1, :, row, column], *output[:, row, column]]
    else:
        full = np.broadcast_to(mask, x.shape)
        weights = full[..., row, column] if "channel" in category else full[..., :1, row, column]
        pick = (lambda values: values[frame]) if "temporal" in category else (lambda values: values)
        wanted = [*pick(weights), *pick(x[..., row, column]), *pick(output[..., row, column])]
    np.testing.assert_allclose(numbers, wanted, rtol=6e-3, atol=6e-5)


def test_a_mask_from_the_picture_is_the_packages(page):
    for category, name in zip(CATEGORIES, [*PICTURES, *PICTURES][1:7], strict=True):
        page.set(category=category, source="picture", picture=name)
        x = playground_input(name, category)
        mask = deviation_mask(x, category)
        assert f"g(x): {' × '.join(map(str, mask.shape))}" in page.root.inner_text()
        assert f"Made from this picture ({PICTURES[name]})." in page.status
        if category != "branch":
            through = float(re.search(r"([\d.]+) % of the picture gets", page.status)[1])
            assert through == pytest.approx(100 * mask.mean().item(), abs=0.051)
        for x_place, y_place in ((0.1, 0.3), (0.44, 0.6), (0.9, 0.4)):
            page.hover(canvases(page)[0], x_place, y_place)
            check_focus(page, x.numpy(), mask.numpy(), category)


def test_a_mask_by_hand_is_that_of_its_settings_whatever_the_picture(page):
    page.set(gates=[0.9, 0.35, 0.2], size=0.3, window=2.3, fine=0.65, moment=4, spot=[0.4, 0.6])
    for category in CATEGORIES:
        page.set(category=category)
        statuses = set()
        for name in PICTURES:
            page.root.get_by_role("combobox", name="Picture").select_option(name)
            statuses.add(page.status)
            x = playground_input(name, category).numpy()
            page.hover(canvases(page)[0], 0.43, 0.52)
            page.page.mouse.down()  # a press keeps what the pointer previews
            page.page.mouse.up()
            check_focus(page, x, hand_mask(page, x.shape), category)
            page.canvas.press("Escape")
            page.page.mouse.move(2, 2)
            page.set(spot=[0.4, 0.6], moment=4)
        assert len(statuses) == 1
        assert statuses.pop().endswith("Set by hand: fixed, the same for every picture.")


def coarse(values: np.ndarray) -> np.ndarray:
    """(rows, columns, 3) as the means of 6 x 6 parts."""
    bands = np.array_split(values, 6)
    return np.array([[part.mean((0, 1)) for part in np.array_split(band, 6, axis=1)] for band in bands])


def test_the_copied_code_makes_the_output_that_is_drawn(page):
    page.set(gates=[0.8, 0.4, 0.6], window=1.7)
    for category in CATEGORIES:
        for source in ("hand", "picture"):
            page.set(category=category, source=source)
            page.root.get_by_role("button", name="Copy the code").click()
            scope: dict = {}
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(page.root.locator("textarea").input_value(), scope)
            assert f"mask {tuple(scope['mask'].shape)}" in printed.getvalue()
            output = scope["output"].movedim(-3, -1).numpy()
            drawn = page.pixels(canvases(page)[2])[..., :3] / 255
            across = 3 if output.ndim == 4 else 1
            side = (1 - (across - 1) * 0.02) / across
            high, wide = (int(side * length) for length in drawn.shape[:2])
            for number, sheet in enumerate(output if output.ndim == 4 else output[None]):
                top, left = (
                    round(place * (side + 0.02) * length)
                    for place, length in zip(divmod(number, across), drawn.shape[:2], strict=True)
                )
                shown = drawn[top : top + high, left : left + wide]
                assert np.abs(coarse(shown) - coarse(sheet)).mean() < 0.02


def test_each_panel_of_the_mask_has_the_colours_of_its_weights(page):
    page.set(gates=[0.9, 0.35, 0.1], size=0.4, window=2.3, fine=0.65, moment=3, spot=[0.4, 0.7], picture="owl")
    for category in CATEGORIES:
        for source in ("hand", "picture"):
            page.set(category=category, source=source)
            x = playground_input("owl", category)
            made = hand_mask(page, tuple(x.shape)) if source == "hand" else deviation_mask(x, category).numpy()
            maps = made.reshape(-1, *made.shape[-2:])  # one for each frame, branch or channel
            if category == "channel":
                boxes = [(c / 3, 0, 0.3, 1) for c in range(3)]
            elif category == "branch":
                boxes = [(0.2, 0.51 * i, 0.49, 0.49) for i in range(2)]
            else:
                step, side = {1: (0, 1), 3: (0.51, 0.49), 9: (1.02 / 3, 0.96 / 3)}[len(maps)]
                across = {1: 1, 3: 2, 9: 3}[len(maps)]
                boxes = [(step * (i // across), step * (i % across), side, side) for i in range(len(maps))]
            drawn = page.pixels(canvases(page)[1])[..., :3] / 255
            for weights, (top, left, high, wide) in zip(maps, boxes, strict=True):
                for down, along in ((0.85, 0.06), (0.85, 0.94)):  # beside the words and numbers
                    pixel = drawn[
                        int((top + down * high) * drawn.shape[0]), int((left + along * wide) * drawn.shape[1])
                    ]
                    weight = weights[int(down * weights.shape[0]), int(along * weights.shape[1])]
                    wanted = matplotlib.colormaps["magma"](float(weight))[:3]
                    np.testing.assert_allclose(pixel, wanted, atol=0.06, err_msg=f"{category}, {source}")


def test_the_mask_follows_the_pointer_and_a_click_keeps_it(page):
    before = page.state("spot")
    page.hover(canvases(page)[0], 0.25, 0.75)
    assert page.state("spot") == before
    assert said(page)[3][0] == 1  # the weight under the pointer is the largest
    page.page.mouse.move(2, 2)
    page.hover(canvases(page)[0], 0.25, 0.75)
    page.page.mouse.down()
    page.page.mouse.up()
    np.testing.assert_allclose(page.state("spot"), [0.75, 0.25], atol=0.03)
    assert page.canvas.get_attribute("data-locked") == "true"
    assert page.status.endswith("Pinned; Escape unpins.")
    page.hover(canvases(page)[0], 0.9, 0.1)
    np.testing.assert_allclose(page.state("spot"), [0.75, 0.25], atol=0.03)
    page.canvas.press("Escape")
    assert page.canvas.get_attribute("data-locked") == "false"


def test_the_mask_is_dragged_over_any_panel(page):
    for canvas in canvases(page):
        page.hover(canvas, 0.2, 0.3)
        page.page.mouse.down()
        page.hover(canvas, 0.5, 0.4)
        page.hover(canvas, 0.7, 0.6)
        page.page.mouse.up()
        np.testing.assert_allclose(page.state("spot"), [0.6, 0.7], atol=0.03)
        assert page.canvas.get_attribute("data-locked") == "true"
        page.canvas.press("Escape")


def test_arrows_carry_the_spotlight_and_an_edge_is_told(page):
    page.canvas.focus()
    page.canvas.press("Enter")
    row, column = map(int, page.canvas.get_attribute("data-query").split(","))
    page.canvas.press("ArrowDown")
    page.canvas.press("ArrowLeft")
    assert page.canvas.get_attribute("data-query") == f"{row + 1},{column - 1}"
    np.testing.assert_allclose(page.state("spot"), [(row + 1.5) / 54, (column - 0.5) / 72], atol=0.01)
    for _ in range(row + 3):
        page.canvas.press("ArrowUp")
    page.says(r"Edge\.$")


def test_over_a_clip_the_pointer_says_where_and_when(page):
    page.root.get_by_role("combobox", name="Category").select_option("spatial & temporal")
    page.hover(canvases(page)[0], 0.5, 0.85)
    page.page.mouse.down()
    page.page.mouse.up()
    assert page.state("moment") == 7
    assert page.status.find("Frame 8, row") > 0
    assert page.root.get_by_role("slider", name="When").input_value() == "7"
    page.root.get_by_role("combobox", name="Category").select_option("temporal")
    page.root.get_by_role("slider", name="When").press("Home")
    assert page.state("moment") == 0
    page.hover(canvases(page)[0], 0.33, 0.5)
    assert page.canvas.get_attribute("data-query") is None  # between two frames there is nothing


def test_every_control_moves_and_only_those_of_the_mask_are_shown(page):
    shown = {
        "channel": 3, "spatial": 1, "channel & spatial": 4, "temporal": 2, "spatial & temporal": 3, "branch": 1,
    }  # fmt: skip
    heights = set()
    for category, sliders in shown.items():
        page.set(category=category, source="hand")
        assert page.root.locator("input[type=range]:visible").count() == sliders
        for slider in page.root.locator("input[type=range]:visible").all():
            ends = []
            for key in ("Home", "End"):
                slider.press(key)
                ends.append([page.state(name) for name in ("gates", "size", "moment", "window", "fine")])
            assert ends[0] != ends[1]
        heights.add(page.root.bounding_box()["height"])
    page.set(source="picture")
    assert page.root.locator("input[type=range]:visible").count() == 0
    heights.add(page.root.bounding_box()["height"])
    assert len(heights) == 1
    page.set(category="spatial", source="hand")
    assert page.move_every_control() == 5


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_for_axe_to_complain_about(alone, course, theme):
    page = alone(course)
    page.theme(theme)
    for category in CATEGORIES:
        page.set(category=category, source="picture" if category == "branch" else "hand")
        assert page.violations() == []
    page.assert_clean()


def test_two_copies_do_not_meet_and_the_picture_is_saved(page):
    page.second_copy()
    roots = page.page.locator(".course-widget")
    page.hover(roots.nth(1).locator("canvas[tabindex='0']"), 0.3, 0.3)
    assert roots.nth(0).locator("canvas[tabindex='0']").get_attribute("data-query") is None
    with page.page.expect_download() as download:
        roots.nth(0).get_by_role("button", name="Save the picture").click()
    assert download.value.suggested_filename == "mask-playground.png"


def test_a_picture_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="There is no picture 'b'; there are: astronaut"):
        explore_mask_playground(picture="b")


def test_a_trained_mask_asked_for_where_there_is_none_is_refused():
    with pytest.raises(ValueError, match='use category="spatial"'):
        explore_mask_playground(source="trained", category="channel")


@pytest.mark.parametrize("rest", ["dark", "blurred", "replaced"])
def test_a_trained_mask_is_torchs_and_keeps_the_person(page, rest):
    page.set(source="trained", category="spatial", rest=rest, picture="astronaut")
    settled(page)
    x = playground_input("astronaut", "spatial")
    mask = person_mask(x)
    through = float(re.search(r"([\d.]+) % of the picture gets", page.status)[1])
    assert through == pytest.approx(100 * mask.mean().item(), abs=0.1)
    page.root.get_by_role("button", name="Copy the code").click()
    scope: dict = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(page.root.locator("textarea").input_value(), scope)
    drawn = page.pixels(canvases(page)[2])[..., :3] / 255
    assert np.abs(coarse(drawn) - coarse(scope["output"].movedim(-3, -1).numpy())).mean() < 0.02
    assert np.abs(coarse(drawn) - coarse((x * mask).movedim(0, -1).numpy())).mean() > (0.02 if rest != "dark" else -1)


def test_another_category_leaves_the_trained_mask_for_the_formula(page):
    page.root.get_by_role("combobox", name="Mask").select_option("trained")
    settled(page)
    page.root.get_by_role("combobox", name="Category").select_option("channel")
    assert page.state("source") == "picture"
    page.root.get_by_role("combobox", name="Mask").select_option("trained")
    assert page.state("category") == "spatial"


def test_a_picture_of_ones_own_goes_through_every_g_and_stays_in_the_page(page, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (200, 500, 3), np.uint8)
    noise[:, 250:] = 30
    Image.fromarray(noise).save(tmp_path / "own.png")
    page.root.locator("input[type=file]").set_input_files(tmp_path / "own.png")
    page.root.locator("canvas[aria-label^='your picture']").first.wait_for()
    for source in ("picture", "trained"):
        page.set(source=source)
        settled(page)
        assert "Made from this picture (your picture)" in page.status
    page.set(source="picture", category="temporal")
    assert len(page.state("pictures")) == len(PICTURES)
    (tmp_path / "notes.png").write_text("no picture")
    page.root.locator("input[type=file]").set_input_files(tmp_path / "notes.png")
    page.root.locator("[role=alert]", has_text="is not a picture that this browser can read").wait_for()
