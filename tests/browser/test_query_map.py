"""`query-map` in a browser: its weights are the package's, its gestures and its words."""

import base64
import re

import matplotlib
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from playwright.sync_api import expect

from course_utils.attention import SelfAttention2d, record_masks, scaled_dot_product_attention
from course_utils.data import ImageSet, cued_digits, feature_crop, photograph_features
from course_utils.widgets import QueryMap, explore_query_map
from course_utils.widgets.query_map.explore import picture_features

torch.set_num_threads(1)


class Small(torch.nn.Module):
    """A convolution, then self-attention whose drawn weights make themselves felt."""

    def __init__(self, pool=False):
        super().__init__()
        torch.manual_seed(1)
        self.convolution = torch.nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.attention = SelfAttention2d(16, pool=pool, bias=True)
        for parameter in self.attention.parameters():
            torch.nn.init.normal_(parameter)
        torch.nn.init.constant_(self.attention.gamma, 0.4)

    def forward(self, x):
        return self.attention(self.convolution(x))


@pytest.fixture(scope="module")
def course():
    """The nine photographs; tests that move it take a fresh page, never the widget's traits."""
    return explore_query_map()


def weights(page) -> np.ndarray:
    return np.array([float(w) for w in page.canvas.get_attribute("data-weights").split(",")])


def canvas(page, panel: int):
    return page.root.locator(".cw-panel canvas").nth(panel)


def point(page, row: int, column: int, rows: int = 14, columns: int = 14, panel: int = 0) -> None:
    page.hover(canvas(page, panel), (column + 0.5) / columns, (row + 0.5) / rows)


def choose(page, name: str) -> None:
    page.root.get_by_role("button", name=name, exact=True).click()


def package_weights(name: str, row: int, column: int, temperature: float) -> np.ndarray:
    rows = photograph_features(name).flatten(1).T
    return scaled_dot_product_attention(rows, rows, rows, scale=1 / temperature)[1][row * 14 + column].numpy()


@pytest.mark.parametrize(("name", "temperature"), [("german shepherd", 4.0), ("cow", 1.0), ("chelsea", 9.5)])
def test_the_weights_of_every_hovered_query_are_the_packages(page, name, temperature):
    choose(page, name)
    page.set(temperature=temperature)
    for row, column in np.random.default_rng(0).integers(0, 14, (6, 2)):
        point(page, row, column)
        assert page.canvas.get_attribute("data-query") == f"{row},{column}"
        expected = package_weights(name.replace(" ", "_"), row, column, temperature)
        np.testing.assert_allclose(weights(page), expected, rtol=1e-4, atol=1e-7)
        top = expected.argmax()
        words = f"Query at row {row + 1}, column {column + 1}: it gives most weight, {100 * expected.max():.1f} %, to "
        assert words + f"row {top // 14 + 1}, column {top % 14 + 1}." in page.status
        spread = np.exp(-(expected[expected > 0] * np.log(expected[expected > 0])).sum())
        shared = re.search(r"As if (\w+) of the 196 keys", page.status)[1]
        assert shared == ("one" if round(spread) == 1 else str(round(spread)))


def test_without_a_query_the_mean_over_all_queries_is_shown(page):
    rows = photograph_features("german_shepherd").flatten(1).T
    expected = scaled_dot_product_attention(rows, rows, rows)[1].mean(dim=0)
    np.testing.assert_allclose(weights(page), expected, rtol=1e-4)
    assert page.status.startswith("No query yet: all 196 on average")


@pytest.mark.parametrize("pool", [False, True])
def test_a_networks_weights_and_output_are_its_own(alone, pool):
    network, data = Small(pool).eval(), cued_digits(3, seed=0)
    page = alone(explore_query_map(network, data, source="attention"))
    choose(page, f"picture 2, class {int(data.labels[1])}")
    with torch.no_grad(), record_masks(network) as masks:
        x = network.convolution(data.images)
        output = network.attention(x)
    assert page.state("gamma") == pytest.approx(0.4)
    for row, column in ((0, 0), (7, 12), (19, 3)):
        point(page, row, column, 20, 20)
        expected = masks["attention"][1, row * 20 + column]
        np.testing.assert_allclose(weights(page), expected, rtol=2e-4, atol=1e-7)
        size = 2 if pool else 1  # a pooled key stands for 2 x 2 positions
        cells = expected.view(20 // size, -1).repeat_interleave(size, 0).repeat_interleave(size, 1) / size**2
        share = cells[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3].sum()
        assert float(re.search(r"with ([\d.]+) % of", page.status)[1]) == pytest.approx(100 * float(share), abs=0.06)
    page.page.mouse.move(1, 1)

    shown = colours(page, 20)
    directions = torch.linalg.eigh(x.permute(1, 0, 2, 3).flatten(1).cov())[1].flip(1)[:, :3]
    three = (output - x.mean(dim=(0, 2, 3), keepdim=True))[1].permute(1, 2, 0) @ directions  # (20, 20, 3)
    before = (x - x.mean(dim=(0, 2, 3), keepdim=True))[1].permute(1, 2, 0) @ directions
    expected = 127.5 * (1 + three / full_colour(before, before + (three - before) / 0.4))
    flipped = 255 - expected  # the sign of a direction is not fixed
    for channel in range(3):
        distance = [np.abs(shown[..., channel] - e[..., channel].clamp(0, 255).numpy()) for e in (expected, flipped)]
        assert min(d.max() for d in distance) <= 2
    page.assert_clean()


def full_colour(x, output) -> float:
    """What fills a colour: four deviations of the input, or two of the output at gamma 1."""
    return max(4 * x.square().mean().sqrt(), 2 * output.square().mean().sqrt())


def colours(page, size: int) -> np.ndarray:
    """The middle of each cell of the output panel."""
    drawn = page.pixels(canvas(page, 2))[..., :3].astype(float)
    middle = ((np.arange(size) + 0.5) * drawn.shape[0] / size).astype(int)
    return drawn[np.ix_(middle, middle)]


def test_gamma_adds_what_is_gathered_to_the_input(page):
    features = photograph_features("german_shepherd")
    rows = features.flatten(1).T
    gathered = scaled_dot_product_attention(rows, rows, rows[:, :3])[0].reshape(14, 14, 3)
    x = features[:3].permute(1, 2, 0)
    unit = full_colour(x, x + gathered)
    slider = page.root.get_by_label("γ (gamma)")
    for key, gamma in (("Home", 0.0), ("End", 1.0)):
        slider.press(key)
        expected = (127.5 * (1 + (x + gamma * gathered) / unit)).clamp(0, 255).numpy()
        assert np.abs(colours(page, 14) - expected).max() <= 1
        assert page.state("gamma") == gamma
    assert page.root.get_by_text("Output: x + 1.00 · W_O c").is_visible()
    page.set(gamma=-0.5)
    assert page.root.get_by_text("Output: x − 0.50 · W_O c").is_visible()


def test_the_weights_pixels_are_magma_over_the_picture(page, course):
    drawn = page.pixels(page.canvas)[..., :3].astype(float)
    rows = photograph_features("german_shepherd").flatten(1).T
    expected = scaled_dot_product_attention(rows, rows, rows)[1].mean(dim=0).reshape(14, 14).numpy()
    index = np.clip(np.floor(expected / expected.max() * 256), 0, 255).astype(int)
    table = (matplotlib.colormaps["magma"](index)[..., :3] * 255).round()
    image = course.sources[0]["examples"][0]["image"]
    picture = np.frombuffer(base64.b64decode(image["data"]), np.uint8).reshape(image["shape"])
    side = drawn.shape[0]
    small = np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR)).astype(float)
    place = (np.arange(side) + 0.5) * 14 / side
    cell, clear = np.floor(place).astype(int), np.abs(place - np.rint(place)) > 0.15
    blend = 0.4 * small + 0.6 * table[cell][:, cell]
    inside = np.ix_(clear, clear)
    difference = np.abs(drawn - blend)[inside]
    assert np.median(difference) <= 2 and difference.mean() < 4  # the browser smooths the picture its own way
    ends = page.root.locator(".cw-scale-numbers span").all_inner_texts()
    assert float(ends[0]) == 0 and float(ends[2]) == pytest.approx(expected.max(), rel=5e-3)


@pytest.fixture(scope="module")
def astronaut(tmp_path_factory):
    """A picture file of the size that the page crops to, so that both sides see the same pixels."""
    path = tmp_path_factory.mktemp("own") / "me & you.png"
    pixels = F.interpolate(feature_crop("astronaut")[None], size=512, mode="bicubic")[0].clamp(0, 1)
    Image.fromarray((pixels * 255).round().byte().permute(1, 2, 0).numpy()).save(path)
    return path


def upload(page, path) -> None:
    page.root.locator("input[type=file]").set_input_files(path)
    page.becomes("source", "own")


def test_of_an_own_picture_the_page_makes_the_packages_features_and_weights(page, astronaut):
    page.set(gamma=0.5)
    upload(page, astronaut)
    pixels = torch.from_numpy(np.array(Image.open(astronaut))).permute(2, 0, 1) / 255
    rows = picture_features(pixels)
    assert (page.state("temperature"), page.state("gamma")) == (4.0, 0.0)
    for row, column in ((4, 7), (0, 0), (15, 11)):
        point(page, row, column, 16, 16)
        expected = scaled_dot_product_attention(rows, rows, rows, scale=1 / 4)[1][16 * row + column]
        np.testing.assert_allclose(weights(page), expected, rtol=2e-3, atol=1e-6)
    page.page.mouse.move(1, 1)
    x = rows[:, :3].reshape(16, 16, 3)
    gathered = scaled_dot_product_attention(rows, rows, rows[:, :3], scale=1 / 4)[0].reshape(16, 16, 3)
    expected = (127.5 * (1 + x / full_colour(x, x + gathered))).clamp(0, 255).numpy()
    assert np.abs(colours(page, 16) - expected).max() <= 1.5
    assert "come from the person segmenter's encoder" in page.root.inner_text()

    page.canvas.press("Enter")
    page.root.get_by_role("button", name="Copy the code").click()
    code = page.root.get_by_label("Code").input_value()
    printed: list = []
    exec(code.replace("me & you.png", str(astronaut)), {"print": printed.append})
    np.testing.assert_allclose(printed[0].flatten(), weights(page), rtol=2e-3, atol=1e-6)

    choose(page, "hens")
    assert (page.state("source"), page.state("example")) == ("photographs", 3) and len(weights(page)) == 196
    choose(page, "your picture")
    assert page.state("source") == "own" and len(weights(page)) == 256
    assert page.violations() == []


@pytest.mark.faults("uploads that are no picture, in the page")
def test_an_upload_that_is_no_picture_gets_a_word_and_the_widget_goes_on(page, astronaut, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(astronaut.read_bytes()[:3000])
    text = tmp_path / "notes.png"
    text.write_text("no picture")
    alarm = page.root.locator("[role=alert]")
    for path in (text, broken):
        page.root.locator("input[type=file]").set_input_files(path)
        expect(alarm).to_contain_text(f"{path.name} is not a picture that this browser can read")
        assert page.state("source") == "photographs"
    tiny, shown = tmp_path / "tiny.gif", tmp_path / "grey.png"
    Image.new("P", (1, 1)).save(tiny)
    Image.new("LA", (900, 3), (90, 128)).save(shown)
    for path in (tiny, shown):
        choose(page, "cow")
        upload(page, path)
        expect(alarm).to_be_hidden()
        assert len(weights(page)) == 256 and np.isfinite(weights(page)).all()


def test_arcs_lead_from_the_query_to_the_keys_that_get_most(page):
    before = page.pixels(page.canvas)[..., :3].astype(int)
    point(page, 4, 7)
    side = before.shape[0] / 14
    white = (page.pixels(page.canvas)[..., :3] == 255).all(axis=-1)
    best = [int(key) for key in weights(page).argsort()[::-1] if key != 4 * 14 + 7]

    def reached(key: int) -> bool:
        y, x = (int((place + 0.5) * side) for place in divmod(key, 14))
        return bool(white[y - 1 : y + 2, x - 1 : x + 2].any())

    assert all(reached(key) for key in best[:4]) and not any(reached(key) for key in best[-20:])


@pytest.mark.parametrize(("layers", "box"), [(1, (3, 6, 5, 8)), (3, (1, 4, 7, 10)), (6, (0, 1, 10, 13))])
def test_what_a_stack_of_convolutions_reaches_is_what_its_gradient_says(page, layers, box):
    x = torch.zeros(1, 1, 14, 14, requires_grad=True)
    y = x
    for _ in range(layers):
        y = F.conv2d(y, torch.ones(1, 1, 3, 3), padding=1)
    y[0, 0, 4, 7].backward()
    reached = x.grad[0, 0] > 0
    rows, columns = reached.any(dim=1).nonzero()[[0, -1]].flatten(), reached.any(dim=0).nonzero()[[0, -1]].flatten()
    assert (int(rows[0]), int(columns[0]), int(rows[1]), int(columns[1])) == box

    page.set(layers=layers)
    point(page, 4, 7)
    held = package_weights("german_shepherd", 4, 7, 4.0)[reached.flatten().numpy()].sum()
    stack = f"{layers} layer{'s' if layers > 1 else ''} of 3×3"
    words = f"{int(reached.sum())} of 196 positions, with {100 * held:.1f} % of the weight"
    assert f"In reach of {stack}: {words}." in page.status and page.root.get_by_text(words, exact=True).is_visible()
    drawn = page.pixels(canvas(page, 1))[..., :3].astype(float)
    side = drawn.shape[0]
    middle = ((np.arange(14) + 0.5) * side / 14).astype(int)
    page.page.mouse.move(1, 1)
    whole = page.pixels(canvas(page, 1))[..., :3].astype(float)
    share = drawn[np.ix_(middle, middle)].sum(-1) / whole[np.ix_(middle, middle)].sum(-1)
    assert (share[reached.numpy()] > 0.95).all() and (share[~reached.numpy()] < 0.25).all()


def test_hover_focuses_on_any_panel_click_pins_and_escape_unpins(page):
    point(page, 2, 11, panel=1)
    assert page.canvas.get_attribute("data-query") == "2,11"
    assert page.canvas.get_attribute("data-locked") == "false"
    canvas(page, 2).click(position={"x": 5, "y": 5})
    assert page.canvas.get_attribute("data-query") == "0,0"
    assert page.canvas.get_attribute("data-locked") == "true"
    assert page.state("query") == [0, 0]
    assert page.status.endswith("Pinned; Escape unpins.")
    point(page, 9, 9)
    assert page.canvas.get_attribute("data-query") == "0,0"
    page.canvas.press("ArrowDown")
    assert page.canvas.get_attribute("data-query") == "1,0"
    page.canvas.press("ArrowLeft")
    assert page.status.endswith("Edge.")
    page.canvas.press("Escape")
    assert page.canvas.get_attribute("data-locked") == "false"
    assert page.state("query") == []


def test_temperature_has_two_marked_values_and_sharpens_or_flattens(page):
    page.canvas.press("Enter")
    choose(page, "as SAGAN: 1")
    assert page.state("temperature") == 1
    sharp = weights(page).max()
    choose(page, "as a transformer: √16")
    assert page.state("temperature") == 4
    assert page.root.get_by_text("4 = √16", exact=True).is_visible()
    assert weights(page).max() < sharp
    page.root.get_by_label("Temperature").press("End")
    assert page.state("temperature") == 64
    assert weights(page).max() < 0.01


def test_another_picture_or_source_starts_without_a_query(alone):
    network = Small()
    sources = [
        *explore_query_map(network, cued_digits(2, seed=0)).sources,
        *explore_query_map(picture="cow", query=(6, 6)).sources,
    ]
    widget = explore_query_map(picture="cow", query=(6, 6))
    assert (widget.example, widget.query) == (1, [6, 6])
    widget.sources = sources
    page = alone(widget)
    assert page.canvas.get_attribute("data-query") == "6,6"
    assert page.canvas.get_attribute("data-locked") == "false"
    point(page, 2, 3)
    assert page.canvas.get_attribute("data-query") == "2,3"
    page.canvas.click()
    choose(page, "hens")
    assert page.canvas.get_attribute("data-query") is None
    page.canvas.press("Enter")
    page.root.get_by_label("Features of").select_option("attention")
    assert page.canvas.get_attribute("data-query") is None
    assert (page.state("temperature"), page.state("gamma"), page.state("example")) == (1.0, 0.4, 0)
    assert len(weights(page)) == 400
    page.root.get_by_text("Where queries, keys and values come from").click()
    assert "learned γ = 0.4" in page.root.inner_text()
    page.assert_clean()


@pytest.mark.parametrize("pool", [None, False, True])
def test_copied_code_reproduces_the_map_shown(page, alone, pool):
    scope: dict = {}
    if pool is not None:
        network, data = Small(pool).eval(), cued_digits(3, seed=0)
        page = alone(explore_query_map(network, data))
        scope = {"network": network, "data": data}
    page.canvas.press("Enter")
    page.set(temperature=2.5, gamma=0.7)
    page.root.get_by_role("button", name="Copy the code").click()
    code = page.root.get_by_label("Code").input_value()
    printed: list = []
    exec(code, {**scope, "print": printed.append})
    np.testing.assert_allclose(printed[0].detach().flatten(), weights(page), rtol=3e-4, atol=1e-7)
    page.assert_clean()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(page, theme):
    page.theme(theme)
    page.canvas.press("Enter")
    assert page.violations() == []


@pytest.mark.parametrize("width", [1000, 420])
def test_nothing_needs_sideways_scrolling(alone, course, width):
    page = alone(course, viewport={"width": width, "height": 900})
    assert page.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.assert_clean()


def test_the_saved_picture_holds_the_three_panels(page):
    page.canvas.press("Enter")
    page.assert_saved_picture_shows(*(canvas(page, i) for i in range(3)))


def test_a_finger_that_drags_moves_the_query_and_what_it_showed_stays(alone):
    page = alone(explore_query_map(picture="cow", query=(6, 6)), has_touch=True, is_mobile=True)
    box = page.canvas.bounding_box()
    session = page.page.context.new_cdp_session(page.page)

    def at(cell: int) -> dict[str, float]:
        return {axis: box[axis] + (cell + 0.5) * box["width"] / 14 for axis in ("x", "y")}

    def touch(kind: str, *places: dict[str, float]) -> None:
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(places)})

    def wait_for(query: str, pinned: str, stored: list[int]) -> None:
        page.page.wait_for_selector(f"canvas[data-query='{query}'][data-locked='{pinned}']")
        assert page.state("query") == stored

    touch("touchStart", at(1))
    for cell in range(2, 6):
        touch("touchMove", at(cell))
        wait_for(f"{cell},{cell}", "false", [])
    page.page.wait_for_timeout(100)  # the finger rests: of a flick the browser keeps the next tap for itself
    touch("touchEnd")
    page.page.touchscreen.tap(*at(9).values())
    wait_for("9,9", "true", [9, 9])
    assert "Escape" not in page.root.inner_text()
    page.page.touchscreen.tap(*at(9).values())
    wait_for("9,9", "false", [])
    page.assert_clean()


@pytest.mark.faults("pieces of markup in labels, captions, names and answers")
def test_words_from_outside_stay_text(alone):
    bad = "<img src=x onerror=alert(1)>"
    grid = np.zeros((2, 2, 3))
    arrays = {"query": grid, "key": grid, "value": grid, "shown": grid, "image": np.zeros((4, 4), np.uint8)}
    example = {"label": bad, "code": bad, **arrays}
    source = {"key": bad, "title": bad, "about": bad, "temperature": 1.0, "gamma": 1.0, "examples": [example, example]}
    page = alone(QueryMap([source], label=bad, caption=bad))
    assert page.root.locator("img").count() == 0
    page.assert_clean()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"network": Small()}, "network without data"),
        ({"network": torch.nn.Conv2d(3, 4, 3), "data": cued_digits(1, seed=0)}, "no SelfAttention2d block"),
        ({"network": Small(), "data": ImageSet(torch.zeros(0, 3, 8, 8), torch.zeros(0).long())}, "at least one"),
        ({"picture": "dog"}, "no photograph 'dog'"),
        ({"source": "stage9"}, "no source 'stage9'"),
        ({"query": (14, 0)}, "14 x 14 cells"),
        ({"network": Small(), "data": cued_digits(1, seed=0), "picture": "cow"}, "leave it out"),
    ],
)
def test_what_cannot_be_shown_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        explore_query_map(**arguments)


def test_the_learners_network_stays_as_it_is():
    network = Small().train()
    data = ImageSet(cued_digits(2, seed=0).images, cued_digits(2, seed=0).labels)
    explore_query_map(network, data)
    assert network.training and not network.attention._forward_pre_hooks
