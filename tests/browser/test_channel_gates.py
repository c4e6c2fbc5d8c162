"""`channel-gates` in a browser: its numbers, its gestures, its words; without a kernel and with one."""

import re

import matplotlib
import nbformat
import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import expect
from settle import wait_drawn

from course_utils.models import AttentionCNN
from course_utils.widgets import explore_channel_gates
from course_utils.widgets.channel_gates.widget import ChannelGates

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def course():
    """The course's own networks; tests that move it take a fresh page, never the widget's traits."""
    return explore_channel_gates()


@pytest.fixture
def page(alone, course):
    opened = alone(course)
    yield opened
    opened.assert_clean()


def probabilities(page) -> np.ndarray:
    return np.array([float(p) for p in bars(page).get_attribute("data-probabilities").split(",")])


def bars(page):
    return page.root.locator("canvas[data-by]")


def columns(page) -> int:
    """How the maps of the stage shown are laid out: about square, every row full where it can be."""
    channels = shape(page)[0]
    least = max(4, int(np.ceil(np.sqrt(1.2 * channels))))
    return next((c for c in range(least, int(1.5 * least) + 1) if channels % c == 0), least)


def shape(page) -> list[int]:
    """(C, h, w) of the stage shown."""
    source = next(one for one in page.state("sources") if one["key"] == page.state("source"))
    return source["examples"][0]["stages"][page.state("stage")]["maps"]["shape"]


def centre(page, index: int, part: str) -> tuple[float, float]:
    """Where the map, or the right end of its gate's bar, of the tile at an index is in the window."""
    page.canvas.scroll_into_view_if_needed()
    box = page.canvas.bounding_box()
    across = columns(page)
    side = (box["width"] - 4 - 6 * (across - 1)) // across
    step = (box["height"] - 2) / -(-shape(page)[0] // across)
    left, top = box["x"] + 2 + (index % across) * (side + 6), box["y"] + 2 + index // across * step
    return (left + side / 2, top + side / 2) if part == "map" else (left + side - 1, top + side + 6)


def serve(page, widget) -> None:
    """Be the kernel: hand the page's question to the widget, and what the widget changed to the page."""
    request = page.state("request")
    widget.request = request
    page.set(sources=widget.sources, own=widget.own, error=widget.error, answer=widget.answer)


def upload(page, path) -> None:
    """Choose a file, and wait until the page has sent it on."""
    before = page.state("request")
    page.root.locator("input[type=file]").set_input_files(path)
    page.page.wait_for_function(
        "(before) => JSON.stringify(document.querySelector('main').model.get('request')) !== JSON.stringify(before)",
        arg=before,
    )


def with_kernel(page) -> None:
    page.page.evaluate("() => { document.querySelector('main').model.widget_manager = {}; }")


@pytest.mark.parametrize("source", ["digits", "cued digits"])
def test_the_pages_probabilities_are_the_networks(page, course, source):
    page.root.get_by_label("Images from").select_option(source)
    rng = np.random.default_rng(0)
    for example in (0, 7):
        page.set(example=example)
        np.testing.assert_allclose(probabilities(page), course._kernel.probabilities(source, example, 2, {}), atol=1e-5)
        moved = {int(channel): round(float(rng.random()), 2) for channel in rng.permutation(shape(page)[0])[:20]}
        page.set(edits={str(channel): gate for channel, gate in moved.items()})
        expected = course._kernel.probabilities(source, example, 2, moved)
        np.testing.assert_allclose(probabilities(page), expected, atol=1e-5)
        assert bars(page).get_attribute("data-by") == "page"
        assert "20 gates moved" in page.status
        assert "Computed exactly in this page" in page.status
        page.set(edits={})


@pytest.mark.parametrize("head", [{"head": "hidden", "hidden": (20,)}, {"head": "flatten", "image_size": 28}])
def test_a_head_with_a_hidden_layer_is_computed_in_the_page_too(alone, head):
    from course_utils.data import digits

    torch.manual_seed(1)
    network = AttentionCNN(10, "se", in_channels=1, widths=(8, 12, 24), **head)
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm1d):
            torch.nn.init.normal_(part.running_mean, std=0.1)
            torch.nn.init.uniform_(part.running_var, 0.01, 0.1)
            torch.nn.init.uniform_(part.weight, 1, 3)
            torch.nn.init.normal_(part.bias)
    widget = explore_channel_gates(network, digits("test").subset(list(range(0, 1000, 100))))
    page = alone(widget)
    moved = {channel: round(0.04 * channel, 2) for channel in range(0, 24, 2)}
    page.set(example=3, edits={str(channel): gate for channel, gate in moved.items()})
    expected = widget._kernel.probabilities("yours", 3, 2, moved)
    np.testing.assert_allclose(probabilities(page), expected, atol=1e-5)
    assert np.abs(expected - widget._kernel.probabilities("yours", 3, 2, {})).max() > 1e-4
    page.assert_clean()


def test_dragging_a_bar_moves_its_gate_and_the_answer(page, course):
    page.page.mouse.move(*centre(page, 13, "bar"))
    page.page.mouse.down()
    x, y = centre(page, 13, "bar")
    for step in range(10, 45, 5):
        page.page.mouse.move(x - step, y + step)
    page.page.mouse.up()
    edits = page.state("edits")
    assert list(edits) == ["13"]
    assert 0.1 < edits["13"] < 0.5
    assert page.canvas.get_attribute("data-channel") == "13"
    assert page.canvas.get_attribute("data-locked") == "true"
    assert f"gate {edits['13']:.2f} by hand" in page.status
    expected = course._kernel.probabilities("digits", 0, 2, {13: edits["13"]})
    np.testing.assert_allclose(probabilities(page), expected, atol=1e-5)

    x, y = centre(page, 9, "bar")
    page.page.mouse.move(x, y)
    page.page.mouse.down()
    page.page.mouse.move(x - 600, y)
    page.page.mouse.up()
    assert page.state("edits") == {"9": 0, "13": edits["13"]}


def test_hover_focuses_click_locks_and_escape_releases(page):
    page.page.mouse.move(*centre(page, 10, "map"))
    query = f"{10 // columns(page)},{10 % columns(page)}"
    assert page.canvas.get_attribute("data-query") == query
    assert page.canvas.get_attribute("data-locked") == "false"
    assert page.status.startswith("Channel 10 of stage3 (0 to 31): mean ")
    page.page.mouse.down()
    page.page.mouse.up()
    page.page.mouse.move(*centre(page, 21, "map"))
    assert page.canvas.get_attribute("data-query") == query
    assert page.canvas.get_attribute("data-locked") == "true"
    assert page.status.endswith("Pinned; Escape unpins.")
    page.canvas.press("Escape")
    assert page.canvas.get_attribute("data-query") is None
    assert "Pinned" not in page.status


def test_keys_begin_at_the_chosen_channel_and_an_edge_is_told(page):
    page.set(channel=9)
    page.canvas.focus()
    page.canvas.press("Enter")
    assert page.canvas.get_attribute("data-query") == f"{9 // columns(page)},{9 % columns(page)}"
    assert page.canvas.get_attribute("data-locked") == "true"
    page.canvas.press("Escape")
    for _ in range(shape(page)[0]):
        page.canvas.press("ArrowLeft")
    page.says(r"Edge\.$")
    page.canvas.press("ArrowRight")
    assert "Edge." not in page.status
    page.root.get_by_label("Sort channels").select_option("gate")
    page.page.mouse.move(*centre(page, 2, "map"))
    assert "(3rd of 32 by gate)" in page.status


def test_a_moving_slider_is_told_once_when_it_rests_and_a_gesture_at_once(page):
    page.page.evaluate(
        """() => {
          window.told = [];
          const note = () => told.push(document.querySelector("[role=status]").textContent);
          const line = document.querySelector("[role=status]");
          new MutationObserver(note).observe(line, { childList: true, subtree: true });
        }"""
    )
    gate = page.root.get_by_label(re.compile("^Gate of channel"))
    for key in ("Home", "ArrowRight", "ArrowRight"):
        gate.press(key)
    page.page.wait_for_function("() => told.length")
    told = page.page.evaluate("told")
    assert len(told) == 1
    assert "gate 0.02 by hand" in told[0]
    gate.press("ArrowRight")
    page.page.mouse.move(*centre(page, 10, "map"))
    assert page.status.startswith("Channel 10 of stage3")


def test_names_say_which_channel_they_mean_and_maps_say_their_range(page, course):
    page.set(channel=5)
    assert page.root.get_by_role("slider", name="Gate of channel 5").count() == 1
    assert page.root.get_by_role("button", name="Knock out channel 5").inner_text() == "Knock out"
    shown = course._kernel._shown["digits"]
    values = shown.gated.read(shown.inputs[:1])[0][2][0][5].numpy()
    words = page.root.locator("canvas[aria-label^='map of channel 5: ']").get_attribute("aria-label")
    found = [float(one) for one in re.findall(r"[\d.]+", words.partition(": ")[2])]
    assert found[:2] == list(values.shape)
    step = float(shown.gated.read(shown.inputs[:1])[0][2].max()) / 255
    np.testing.assert_allclose(found[2:4], [values.min(), values.max()], atol=step, rtol=6e-3)
    assert values[int(found[4]), int(found[5])] >= values.max() - step
    page.root.get_by_role("button", name="Knock out").click()
    words = page.root.locator("canvas[aria-label^='gate times map of channel 5: ']").get_attribute("aria-label")
    assert words.endswith("from 0 to 0")


def test_keyboard_alone_knocks_a_channel_out_and_moves_a_gate(page, course):
    page.canvas.focus()
    page.canvas.press("ArrowRight")
    page.canvas.press("ArrowRight")
    page.canvas.press("ArrowDown")
    page.canvas.press("Enter")
    channel = int(page.canvas.get_attribute("data-channel"))
    page.canvas.press("Delete")
    assert "1 gate moved" in page.status
    np.testing.assert_allclose(
        probabilities(page), course._kernel.probabilities("digits", 0, 2, {channel: 0.0}), atol=1e-5
    )
    page.canvas.press("Delete")
    assert "no gate is moved" in page.status
    gate = page.root.get_by_label(re.compile("^Gate of channel"))
    gate.focus()
    gate.press("Home")
    for _ in range(30):
        gate.press("ArrowRight")
    page.becomes("edits", {str(channel): 0.3})
    np.testing.assert_allclose(
        probabilities(page), course._kernel.probabilities("digits", 0, 2, {channel: 0.3}), atol=1e-5
    )


def test_double_click_and_button_knock_out_and_bring_back(page):
    page.page.mouse.dblclick(*centre(page, 20, "map"))
    page.becomes("edits", {"20": 0})
    page.root.get_by_role("button", name="Bring back").click()
    page.becomes("edits", {})
    page.root.get_by_role("button", name="Knock out").click()
    assert "gate 0.00 by hand" in page.status


def test_reset_gives_the_network_its_own_gates_back(page):
    before = probabilities(page)
    reset = page.root.get_by_role("button", name="Reset all gates")
    assert reset.is_disabled()
    page.set(edits={str(channel): 0 for channel in range(20)})
    assert np.abs(probabilities(page) - before).max() > 0.01
    reset.press("Enter")
    assert page.root.locator("input[type=range]").evaluate("(slider) => slider === document.activeElement")
    np.testing.assert_array_equal(probabilities(page), before)
    assert page.state("edits") == {}


def test_moved_gates_stay_for_the_next_image_and_go_with_the_stage(page):
    page.set(edits={"3": 0})
    page.root.get_by_role("button", name="Picture 5").click()
    assert page.state("edits") == {"3": 0}
    page.root.get_by_label("Gates of").select_option("0")
    assert page.state("edits") == {}


@pytest.mark.parametrize("order", ["gate", "mean"])
def test_sorting_puts_the_largest_first(page, course, order):
    gated = course._kernel._shown["digits"]
    maps, gates, _ = gated.gated.read(gated.inputs[:1])
    page.root.get_by_label("Gates of").select_option("0")
    page.root.get_by_label("Sort channels").select_option(order)
    values = gates[0][0] if order == "gate" else maps[0][0].mean((1, 2))
    expected = values.argsort(descending=True, stable=True)
    for place in (0, 5, 11):
        page.page.mouse.move(*centre(page, place, "map"))
        assert page.canvas.get_attribute("data-channel") == str(int(expected[place]))


def test_a_maps_pixels_are_viridis_of_its_values(page, course):
    shown = course._kernel._shown["digits"]
    maps = shown.gated.read(shown.inputs[:1])[0][2][0].numpy()
    channel = int(maps.mean((1, 2)).argmax())
    levels = np.rint(maps[channel] / maps.max() * 255).astype(int)
    page.page.mouse.move(*centre(page, channel, "map"))
    lens = page.root.get_by_role("img", name=re.compile(f"^map of channel {channel}:"))
    pixels = page.pixels(lens)
    side = maps.shape[-1]
    places = ((np.arange(side) + 0.5) * pixels.shape[0] / side).astype(int)
    expected = matplotlib.colormaps["viridis"](levels, bytes=True)[:, :, :3].astype(int)
    assert np.abs(pixels[np.ix_(places, places)][:, :, :3].astype(int) - expected).max() <= 4


def test_without_a_kernel_the_page_says_what_needs_one(page):
    before = page.state("source")
    page.root.get_by_label("Images from").select_option("photographs")
    assert "photographs need a running notebook" in page.status
    assert page.state("source") == before
    assert page.root.get_by_label("Images from").input_value() == before
    for name in ("Draw a digit", "Upload a picture"):
        page.root.get_by_role("button", name=name).click()
        assert "needs a running notebook" in page.status
    page.root.get_by_label("Gates of").select_option("0")
    page.root.get_by_role("button", name="Knock out").click()
    assert "the answer needs a running notebook" in page.status
    assert bars(page).get_attribute("data-by") == "nobody"
    assert bars(page).get_attribute("data-probabilities") == ""
    assert bars(page).get_attribute("aria-label") == "Class probabilities: not known; the notebook must compute them"


def test_an_early_stage_is_answered_by_the_kernel(page, course):
    with_kernel(page)
    page.root.get_by_label("Images from").select_option("cued digits")
    page.root.get_by_label("Gates of").select_option("0")
    page.root.get_by_role("button", name="Knock out").click()
    assert "the notebook is asked" in page.status
    serve(page, course)
    assert "Computed by the notebook" in page.status
    assert bars(page).get_attribute("data-by") == "kernel"
    channel = int(page.canvas.get_attribute("data-channel"))
    expected = course._kernel.probabilities("cued digits", 0, 0, {channel: 0.0})
    np.testing.assert_allclose(probabilities(page), expected, atol=1e-6)


def test_an_answer_from_before_does_not_pass_for_the_present_one(page, course):
    with_kernel(page)
    page.root.get_by_label("Gates of").select_option("0")
    page.root.get_by_role("button", name="Knock out").click()
    page.set(example=4)
    serve(page, course)
    assert bars(page).get_attribute("data-by") == "nobody"
    serve(page, course)
    assert bars(page).get_attribute("data-by") == "kernel"
    expected = course._kernel.probabilities("digits", 4, 0, {0: 0.0})
    np.testing.assert_allclose(probabilities(page), expected, atol=1e-6)


def test_a_bad_upload_gets_a_word_and_the_next_one_works(page, tmp_path):
    widget = explore_channel_gates()
    with_kernel(page)
    chooser = page.root.locator("input[type=file]")
    bad = tmp_path / "<b>notes.png"
    bad.write_text("no picture")
    upload(page, bad)
    serve(page, widget)
    alarm = page.root.locator("[role=alert]")
    assert "<b>notes.png is not an image that can be read" in alarm.inner_text()

    huge = tmp_path / "huge.bin.png"
    huge.write_bytes(b"0" * 7_100_000)
    chooser.set_input_files(huge)
    expect(alarm).to_contain_text("huge.bin.png has 7.1 MB, at most 7 MB")

    seven = np.full((90, 60, 3), 255, np.uint8)
    seven[10:20, 10:50] = seven[10:80, 40:50] = 0
    good = tmp_path / "seven.png"
    Image.fromarray(seven).save(good)
    upload(page, good)
    serve(page, widget)
    assert not alarm.is_visible()
    assert page.root.get_by_role("button", name="your picture").get_attribute("aria-pressed") == "true"
    np.testing.assert_allclose(probabilities(page), widget._kernel.probabilities("digits", -1, 2, {}), atol=1e-5)
    page.root.get_by_role("button", name="Knock out").click()
    np.testing.assert_allclose(probabilities(page), widget._kernel.probabilities("digits", -1, 2, {0: 0.0}), atol=1e-5)


def test_a_message_stays_and_nothing_is_asked_again_after_a_failure(page, tmp_path, monkeypatch):
    widget = explore_channel_gates()
    with_kernel(page)
    page.root.get_by_label("Gates of").select_option("0")
    page.root.get_by_role("button", name="Knock out").click()
    serve(page, widget)
    (tmp_path / "notes.png").write_text("no picture")
    upload(page, tmp_path / "notes.png")
    asked = page.state("request")
    assert asked["want"] == "picture"
    serve(page, widget)
    assert page.state("request") == asked
    assert page.root.locator("[role=alert]").is_visible()
    assert bars(page).get_attribute("data-by") == "kernel"

    monkeypatch.setattr(widget._kernel, "probabilities", lambda *arguments: 1 / 0)
    page.root.get_by_role("button", name="Bring back").click()
    page.root.get_by_role("button", name="Picture 4").click()
    page.root.get_by_role("button", name="Knock out").click()
    asked = page.state("request")
    serve(page, widget)
    assert page.state("request") == asked
    assert "could not answer" in page.status
    assert "ZeroDivisionError" in page.root.locator("[role=alert]").inner_text()


def test_a_drawn_digit_goes_through_the_network(page):
    widget = explore_channel_gates()
    with_kernel(page)
    button = page.root.get_by_role("button", name="Draw a digit")
    button.click()
    assert button.get_attribute("aria-expanded") == "true"
    box = page.root.get_by_role("img", name=re.compile("Drawing pad")).bounding_box()
    page.page.mouse.move(box["x"] + 84, box["y"] + 30)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + 84, box["y"] + 140, steps=5)
    page.page.mouse.up()
    serve(page, widget)
    assert page.root.get_by_role("button", name="your drawing").get_attribute("aria-pressed") == "true"
    drawn = widget._kernel.picture("digits", -1)[0]
    assert drawn[:, 10:18].sum() > 0.9 * drawn.sum()
    assert "input: your drawing" in page.root.inner_text()
    np.testing.assert_allclose(probabilities(page), widget._kernel.probabilities("digits", -1, 2, {}), atol=1e-5)


def test_photographs_arrive_when_they_are_asked_for(page, monkeypatch):
    from torchvision import models

    network = models.mobilenet_v3_small(weights=None)
    stored = network.state_dict()
    monkeypatch.setattr("torchvision.models.MobileNet_V3_Small_Weights.get_state_dict", lambda *_, **options: stored)
    widget = explore_channel_gates()
    with_kernel(page)
    page.root.get_by_label("Images from").select_option("photographs")
    assert "Asking the notebook for the photographs" in page.status
    serve(page, widget)
    assert page.state("source") == "photographs"
    assert page.root.get_by_label("Gates of").locator("option").count() == 3
    assert "Channel 0 of features.11.block.2" in page.status
    assert page.root.get_by_role("button", name="Picture 1: german shepherd").count() == 1


def test_copied_code_reproduces_what_is_shown(page):
    page.root.get_by_label("Images from").select_option("cued digits")
    for stage, moved in ((2, {"5": 0.25, "16": 0, "21": 0.5}), (1, {})):
        page.set(stage=stage, edits=moved, example=2)
        page.page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('closed')); }")
        page.root.get_by_role("button", name="Copy the code").click()
        code = page.root.get_by_label("Code").input_value()
        names: dict = {}
        exec(code, names)
        shown = names["moved"] if moved else names["untouched"]
        np.testing.assert_allclose(probabilities(page), shown[0].numpy(), atol=1e-5)
        assert len(names["masks"][f"stage{stage + 1}.attention"].flatten()) == shape(page)[0]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(page, theme):
    page.theme(theme)
    page.set(edits={"3": 0, "4": 0.5})
    assert page.violations() == []
    with_kernel(page)
    page.root.get_by_role("button", name="Draw a digit").click()
    assert page.violations() == []


@pytest.mark.parametrize("width", [420, 700, 1000])
def test_nothing_needs_sideways_scrolling(alone, course, width):
    page = alone(course, viewport={"width": width, "height": 800})
    for stage in (0, 2):
        page.set(stage=stage)
        assert page.page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")


def test_the_picture_can_be_saved(page, tmp_path):
    page.set(edits={"3": 0})
    with page.page.expect_download() as download:
        page.root.get_by_role("button", name="Save the picture").click()
    download.value.save_as(tmp_path / "saved.png")
    saved = np.asarray(Image.open(tmp_path / "saved.png").convert("RGB"))
    assert saved.shape[1] > 700
    assert len(np.unique(saved.reshape(-1, 3), axis=0)) > 100


def test_words_from_outside_stay_text(alone):
    nasty = "<img src=x onerror=\"document.title='broken'\">"
    rng = np.random.default_rng(0)
    maps = {"maps": rng.integers(0, 256, (4, 3, 3), np.uint8), "low": 0.0, "high": 1.0, "means": rng.random(4)}
    example = {
        "label": nasty,
        "image": rng.integers(0, 256, (8, 8), np.uint8),
        "stages": [{**maps, "gates": rng.random(4)}],
        "probabilities": np.array([0.3, 0.7]),
        "contributions": rng.random((4, 2)),
        "code": nasty,
    }
    words = {"key": "a", "title": nasty, "classes": [nasty, "y"], "stages": [nasty], "code": nasty, "pending": ""}
    tail = {"bias": np.zeros(2), "weight": None, "output_bias": None}
    page = alone(ChannelGates([{**words, "examples": [example], "tail": tail}]))
    page.page.mouse.move(500, 400)
    assert page.page.title() != "broken"
    assert page.page.locator(".course-widget img").count() == 0
    assert nasty in page.root.inner_text()
    page.assert_clean()


def test_in_jupyterlab_the_kernel_answers_drawings_uploads_and_early_stages(lab, tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    source = (
        "from course_utils.widgets import explore_channel_gates\nwidget = explore_channel_gates()\n"
        "widget.observe(lambda _: setattr(widget, 'caption', f'{widget.edits} {widget.example}'), 'edits')\nwidget"
    )
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source)],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    nbformat.write(notebook, folder / "gates.ipynb")
    server = lab(folder)
    page = server.open("gates.ipynb")
    server.run_all()
    root = page.locator("[data-widget=channel-gates]")
    root.wait_for(timeout=60_000)
    root.scroll_into_view_if_needed()

    root.get_by_label("Gates of").select_option("0")
    gate = root.get_by_label(re.compile("^Gate of channel"))
    gate.focus()
    for key in ["Home"] + ["ArrowRight"] * 10:  # a flood of questions: the last one counts
        gate.press(key)
    expected = explore_channel_gates()._kernel.probabilities("digits", 0, 0, {0: 0.1})
    page.wait_for_function(
        """(expected) => {
          const { by, probabilities = "" } = document.querySelector("canvas[data-by]").dataset;
          const found = probabilities.split(",").map(Number);
          return by === "kernel" && expected.every((one, i) => Math.abs(one - found[i]) < 1e-5);
        }""",
        arg=[float(one) for one in expected],
    )

    bad = tmp_path / "notes.png"
    bad.write_text("no picture")
    root.locator("input[type=file]").set_input_files(bad)
    root.locator("[role=alert]", has_text="notes.png is not an image that can be read").wait_for(timeout=60_000)
    root.get_by_role("button", name="Draw a digit").click()
    box = root.get_by_role("img", name=re.compile("Drawing pad")).bounding_box()
    page.mouse.move(box["x"] + 84, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + 84, box["y"] + 140, steps=5)
    page.mouse.up()
    root.get_by_role("button", name="your drawing").wait_for(timeout=60_000)
    assert not root.locator("[role=alert]").is_visible()
    cells = page.locator(".jp-Notebook .jp-Cell").count()
    root.locator("canvas[tabindex='0']").press("Delete")
    wait_drawn(page)
    assert page.locator(".jp-Notebook .jp-Cell").count() == cells

    root.locator(".cw-caption", has_text="{'0': 0} -1").wait_for()
    assert server.console_errors == []
    assert server.requests_off == []


def draw_digit(page, widget, x):
    """A stroke on the open pad, and the kernel's answer to it."""
    box = page.root.get_by_role("img", name=re.compile("Drawing pad")).bounding_box()
    page.page.mouse.move(box["x"] + x, box["y"] + 30)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + x, box["y"] + 140, steps=5)
    page.page.mouse.up()
    serve(page, widget)


def test_gates_that_stay_moved_are_asked_anew_for_each_drawing(page):
    widget = explore_channel_gates()
    with_kernel(page)
    page.root.get_by_label("Gates of").select_option("0")
    page.root.get_by_role("button", name="Knock out").click()
    serve(page, widget)
    page.root.get_by_role("button", name="Draw a digit").click()
    for x in (84, 40):
        draw_digit(page, widget, x)
        assert page.state("request")["want"] == "probabilities"
        assert bars(page).get_attribute("data-by") == "nobody"  # what was answered of the drawing before is not shown
        serve(page, widget)
        assert bars(page).get_attribute("data-by") == "kernel"
        expected = widget._kernel.probabilities("digits", -1, 0, {0: 0.0})
        np.testing.assert_allclose(probabilities(page), expected, atol=1e-6)


def test_moved_gates_do_not_pass_to_another_network_with_a_late_picture(page):
    widget = explore_channel_gates()
    with_kernel(page)
    page.root.get_by_role("button", name="Draw a digit").click()
    box = page.root.get_by_role("img", name=re.compile("Drawing pad")).bounding_box()
    page.page.mouse.move(box["x"] + 84, box["y"] + 30)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + 84, box["y"] + 140, steps=5)
    page.page.mouse.up()
    page.root.get_by_label("Images from").select_option("cued digits")
    page.root.get_by_label("Gates of").select_option("0")
    page.root.get_by_role("button", name="Knock out").click()
    serve(page, widget)
    assert page.state("source") == "digits"
    assert page.state("edits") == {} and page.state("stage") == 2


def test_a_cancelled_stroke_ends_and_only_the_main_button_draws(page):
    with_kernel(page)
    page.root.get_by_role("button", name="Draw a digit").click()
    pad = page.root.get_by_role("img", name=re.compile("Drawing pad"))
    box = pad.bounding_box()
    page.page.mouse.move(box["x"] + 84, box["y"] + 30)
    page.page.mouse.down(button="right")
    page.page.mouse.move(box["x"] + 84, box["y"] + 90)
    page.page.mouse.up(button="right")
    assert page.pixels(pad)[..., :3].max() == 0
    page.page.mouse.down()
    pad.dispatch_event("pointercancel")
    before = page.pixels(pad)
    page.page.mouse.move(box["x"] + 20, box["y"] + 140)
    np.testing.assert_array_equal(page.pixels(pad), before)


def test_a_release_by_enter_is_said(page):
    page.canvas.focus()
    page.canvas.press("Enter")
    assert "Pinned" in page.status
    page.canvas.press("Enter")
    assert "Unpinned." in page.status


def test_what_was_wrong_with_a_file_is_gone_when_the_next_one_is_taken(page, tmp_path):
    widget = explore_channel_gates()
    with_kernel(page)
    chooser = page.root.locator("input[type=file]")
    (tmp_path / "huge.png").write_bytes(b"0" * 7_100_000)
    chooser.set_input_files(tmp_path / "huge.png")
    page.root.locator("[role=alert]").wait_for()
    one = np.full((60, 60), 255, np.uint8)
    one[10:50, 25:35] = 0
    Image.fromarray(one).save(tmp_path / "small.png")
    upload(page, tmp_path / "small.png")
    serve(page, widget)
    assert not page.root.locator("[role=alert]").is_visible()
