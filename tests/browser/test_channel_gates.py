"""`channel-gates` in a browser: its numbers, its gestures, its words; computed in the page, or by a kernel."""

import re

import matplotlib
import nbformat
import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import expect
from settle import wait_drawn

from course_utils.attention import edit_masks
from course_utils.data import cued_digits, digits
from course_utils.models import AttentionCNN, load_network
from course_utils.widgets import explore_channel_gates
from course_utils.widgets.channel_gates.widget import ChannelGates

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def course():
    """The networks for digits; tests that move it take a fresh page, never the widget's traits."""
    return explore_channel_gates(source="digits")


@pytest.fixture(scope="module")
def people():
    return explore_channel_gates()


@pytest.fixture
def portrait(alone, people):
    opened = alone(people)
    yield opened
    opened.assert_clean()


@pytest.fixture
def asking():
    """A network that the page cannot run."""
    return explore_channel_gates(load_network("gsop_cued_digits"), cued_digits(100, seed=4, split="test"), stage=1)


def upload(page, path) -> None:
    """Choose a file, and wait until the page has sent it on."""
    before = page.state("request")
    page.root.locator("input[type=file]").set_input_files(path)
    page.page.wait_for_function(
        "(before) => JSON.stringify(document.querySelector('main').model.get('request')) !== JSON.stringify(before)",
        arg=before,
    )


def settled(page) -> None:
    """Wait until what is shown belongs to the traits."""
    wait_drawn(page.page)
    page.page.wait_for_selector(".cw-stage[aria-busy=false]")


def probabilities(page) -> np.ndarray:
    settled(page)
    shown = page.root.locator(".cw-bar")
    return np.array(shown.evaluate_all("(bars) => bars.map((bar) => Number(bar.dataset.probability))"))


def by(page) -> str:
    """Who gave the answer."""
    settled(page)
    return page.root.locator(".cw-stage").get_attribute("data-by")


def columns(page) -> int:
    return int(page.canvas.get_attribute("data-columns"))


def shape(page) -> list[int]:
    """(C, h, w) of the stage shown."""
    source = next(one for one in page.state("sources") if one["key"] == page.state("source"))
    return source["sizes"][page.state("stage")]


def centre(page, index: int, part: str) -> tuple[float, float]:
    """Where the map, or the right end of its gate's bar, of the tile at an index is in the window."""
    settled(page)
    page.canvas.scroll_into_view_if_needed()
    box = page.canvas.bounding_box()
    across = columns(page)
    gap = 3 if across > 9 else 6
    side = (box["width"] - 4 - gap * (across - 1)) // across
    step = (box["height"] - 2) / -(-shape(page)[0] // across)
    left, top = box["x"] + 2 + (index % across) * (side + gap), box["y"] + 2 + index // across * step
    return (left + side / 2, top + side / 2) if part == "map" else (left + side - 1, top + side + 5)


def serve(page, widget) -> None:
    """Be the kernel: hand the page's question to the widget, and what the widget changed to the page."""
    settled(page)
    widget.request = page.state("request")
    page.set(sources=widget.sources, own=widget.own, error=widget.error, answer=widget.answer)
    settled(page)


def with_kernel(page) -> None:
    page.page.evaluate("() => { document.querySelector('main').model.widget_manager = {}; }")


def choose(page, source: str) -> None:
    """Another network, in its last stage."""
    page.root.get_by_label("Network").select_option(source)
    settled(page)


# The segmenter ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", range(10))
def test_the_mask_in_the_page_is_torchs_at_every_gate(portrait, people, stage):
    gated = people._kernel._shown["people"].gated
    image = torch.from_numpy(people._kernel.picture("people", 1))
    portrait.set(example=1, stage=stage)
    settled(portrait)
    name, moved = gated.stages[stage], {c: (0.0, 1.0)[c % 2] for c in range(0, shape(portrait)[0], 2)}
    portrait.set(edits={str(c): gate for c, gate in moved.items()})
    settled(portrait)

    def change(mask):
        mask = mask.clone()
        for c, gate in moved.items():
            mask[:, c] = gate
        return mask

    with torch.no_grad():
        before = gated.network(image[None]) > 0.5
        with edit_masks(gated.network, {name: change}):
            after = gated.network(image[None]) > 0.5
    canvas = portrait.root.locator("canvas[data-kept]")
    assert abs(float(canvas.get_attribute("data-kept")) - after.float().mean().item()) < 2e-3
    overlap = ((before & after).sum() / (before | after).sum()).item()
    assert abs(float(canvas.get_attribute("data-overlap")) - overlap) < 5e-3
    assert by(portrait) == "page"
    assert (
        f"{len(moved)} gates moved: the mask keeps {after.float().mean():.1%}".replace("%", "")[:-2] in portrait.status
    )


def test_the_person_stays_and_the_background_darkens(portrait):
    settled(portrait)
    pixels = portrait.pixels(portrait.root.locator("canvas[data-kept]")).astype(float)[..., :3]
    side = len(pixels)
    face = pixels[side // 6 : side // 4, int(0.46 * side) : int(0.54 * side)]
    assert face.mean() > 120
    assert pixels[side // 4 : side // 2, : side // 20].mean() < 60


def test_a_picture_of_ones_own_stays_in_the_page(portrait, tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (300, 200, 3), np.uint8)).save(tmp_path / "noise.png")
    portrait.root.locator("input[type=file]").set_input_files(tmp_path / "noise.png")
    portrait.root.get_by_role("button", name="your picture").wait_for()
    settled(portrait)
    assert portrait.state("example") == -1
    assert portrait.state("own") == {} and portrait.state("request") in ({}, None)
    assert portrait.root.locator("canvas[data-kept]").get_attribute("aria-label").startswith("your picture")

    (tmp_path / "notes.png").write_text("no picture")
    portrait.root.locator("input[type=file]").set_input_files(tmp_path / "notes.png")
    alarm = portrait.root.locator("[role=alert]", has_text="notes.png is not a picture that this browser can read")
    alarm.wait_for()
    portrait.root.locator("input[type=file]").set_input_files(tmp_path / "noise.png")
    alarm.wait_for(state="hidden")


def test_copied_code_of_the_segmenter_gives_the_mask_shown(portrait):
    portrait.set(stage=6, edits={"5": 0, "16": 1})
    settled(portrait)
    names = run_copied(portrait)
    kept = float(portrait.root.locator("canvas[data-kept]").get_attribute("data-kept"))
    assert abs(kept - (names["moved"] > 0.5).float().mean().item()) < 0.01
    assert len(names["masks"]["head"].flatten()) == 128


def run_copied(page) -> dict:
    page.page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('closed')); }")
    page.root.get_by_role("button", name="Copy the code").click()
    names: dict = {}
    exec(page.root.get_by_role("textbox", name="Code").input_value(), names)
    return names


# Classifiers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["digits", "cued digits"])
def test_the_pages_probabilities_are_the_networks(page, course, source):
    choose(page, source)
    rng = np.random.default_rng(0)
    for example, stage in ((0, 2), (7, 0)):
        page.set(example=example, stage=stage)
        expected = course._kernel.probabilities(source, example, stage, {})
        np.testing.assert_allclose(probabilities(page), expected, atol=1e-4)
        moved = {int(channel): round(float(rng.random()), 2) for channel in rng.permutation(shape(page)[0])[:10]}
        page.set(edits={str(channel): gate for channel, gate in moved.items()})
        expected = course._kernel.probabilities(source, example, stage, moved)
        np.testing.assert_allclose(probabilities(page), expected, atol=1e-4)
        assert by(page) == "page"
        assert "10 gates moved" in page.status
        page.set(edits={})


def test_a_network_of_ones_own_is_computed_in_the_page_too(alone):
    torch.manual_seed(1)
    network = AttentionCNN(10, "se", in_channels=1, widths=(8, 12, 24), head="hidden", hidden=(20,))
    widget = explore_channel_gates(network, digits("test").subset(list(range(0, 1000, 100))))
    page = alone(widget)
    moved = {channel: round(0.04 * channel, 2) for channel in range(0, 24, 2)}
    page.set(example=3, edits={str(channel): gate for channel, gate in moved.items()})
    np.testing.assert_allclose(probabilities(page), widget._kernel.probabilities("yours", 3, 2, moved), atol=1e-5)
    page.assert_clean()


def test_dragging_a_bar_moves_its_gate_and_the_answer(page, course):
    x, y = centre(page, 13, "bar")
    page.page.mouse.move(x, y)
    page.page.mouse.down()
    for step in range(5, 30, 5):
        page.page.mouse.move(x - step, y + step)
    page.page.mouse.up()
    edits = page.state("edits")
    assert list(edits) == ["13"]
    assert 0.1 < edits["13"] < 0.5
    assert page.canvas.get_attribute("data-channel") == "13"
    assert page.canvas.get_attribute("data-locked") == "true"
    settled(page)
    assert f"gate {edits['13']:.2f} by hand" in page.status
    expected = course._kernel.probabilities("digits", 0, 2, {13: edits["13"]})
    np.testing.assert_allclose(probabilities(page), expected, atol=1e-4)

    x, y = centre(page, 9, "bar")
    page.page.mouse.move(x, y)
    page.page.mouse.down()
    page.page.mouse.move(x - 600, y)
    page.page.mouse.up()
    assert page.state("edits") == {"9": 0, "13": edits["13"]}


def test_hover_focuses_click_pins_and_escape_unpins(page):
    page.page.mouse.move(*centre(page, 10, "map"))
    query = f"{10 // columns(page)},{10 % columns(page)}"
    assert page.canvas.get_attribute("data-query") == query
    assert page.canvas.get_attribute("data-locked") == "false"
    assert page.status.startswith("Channel 11 of stage 3: ")
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
    page.root.get_by_label("Sort").select_option("gate")
    page.page.mouse.move(*centre(page, 2, "map"))
    assert "place 3 of 32 by gate" in page.status


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
    assert page.status.startswith("Channel 11 of stage 3")


def test_names_say_which_channel_they_mean_and_maps_say_their_range(page, course):
    page.set(channel=5)
    assert page.root.get_by_role("slider", name="Gate of channel 6").count() == 1
    assert page.root.get_by_role("button", name="Knock out channel 6").inner_text() == "Knock out"
    shown = course._kernel._shown["digits"]
    values = shown.gated.read(shown.inputs[:1])[0][2][0][5].numpy()
    words = page.root.locator("canvas[aria-label^='map of channel 6: ']").get_attribute("aria-label")
    found = [float(one) for one in re.findall(r"[\d.]+", words.partition(": ")[2])]
    assert found[:2] == list(values.shape)
    np.testing.assert_allclose(found[2:4], [values.min(), values.max()], atol=1e-3, rtol=6e-3)
    assert values[int(found[4]) - 1, int(found[5]) - 1] >= values.max() - 1e-3
    page.root.get_by_role("button", name="Knock out").click()
    words = page.root.locator("canvas[aria-label^='gate times map of channel 6: ']").get_attribute("aria-label")
    assert words.endswith("from 0 to 0")


def test_keyboard_alone_knocks_a_channel_out_and_moves_a_gate(page, course):
    page.canvas.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "Enter"):
        page.canvas.press(key)
    channel = int(page.canvas.get_attribute("data-channel"))
    page.canvas.press("Delete")
    expected = course._kernel.probabilities("digits", 0, 2, {channel: 0.0})
    np.testing.assert_allclose(probabilities(page), expected, atol=1e-4)
    assert "1 gate moved" in page.status
    page.canvas.press("Delete")
    settled(page)
    assert "The network answers" in page.status
    gate = page.root.get_by_label(re.compile("^Gate of channel"))
    gate.focus()
    gate.press("Home")
    for _ in range(30):
        gate.press("ArrowRight")
    assert page.state("edits") == {str(channel): 0.3}
    expected = course._kernel.probabilities("digits", 0, 2, {channel: 0.3})
    np.testing.assert_allclose(probabilities(page), expected, atol=1e-4)


def test_double_click_and_button_knock_out_and_bring_back(page):
    page.page.mouse.dblclick(*centre(page, 20, "map"))
    assert page.state("edits") == {"20": 0}
    page.root.get_by_role("button", name="Bring back").click()
    assert page.state("edits") == {}
    page.root.get_by_role("button", name="Knock out").click()
    settled(page)
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
    page.root.get_by_label("Sort").select_option(order)
    values = gates[0][0] if order == "gate" else maps[0][0].mean((1, 2))
    expected = values.argsort(descending=True, stable=True)
    for place in (0, 5, 11):
        page.page.mouse.move(*centre(page, place, "map"))
        assert page.canvas.get_attribute("data-channel") == str(int(expected[place]))


@pytest.mark.parametrize("own", [False, True])
def test_a_maps_pixels_are_viridis_of_its_values(page, course, own):
    shown = course._kernel._shown["digits"]
    maps = shown.gated.read(shown.inputs[:1])[0][2][0].numpy()
    channel = int(maps.mean((1, 2)).argsort()[-3])
    page.set(own_colours=own, channel=channel)
    settled(page)
    whole = maps[channel] if own else maps
    low = min(0, whole.min())
    levels = ((maps[channel] - low) / (whole.max() - low) * 256).clip(0, 255).astype(int)
    pixels = page.pixels(page.root.get_by_role("img", name=re.compile(f"^map of channel {channel + 1}:")))
    side = maps.shape[-1]
    places = ((np.arange(side) + 0.5) * pixels.shape[0] / side).astype(int)
    expected = matplotlib.colormaps["viridis"](levels, bytes=True)[:, :, :3].astype(int)
    assert np.abs(pixels[np.ix_(places, places)][:, :, :3].astype(int) - expected).max() <= 4


def test_without_a_kernel_the_page_says_what_needs_one(page, alone, asking):
    for network in ("photographs", "people"):
        page.root.get_by_label("Network").select_option(network)
        page.says("needs a running notebook")
        assert page.state("source") == "digits"
        assert page.root.get_by_label("Network").input_value() == "digits"
    page.root.get_by_role("button", name="Draw a digit").click()
    page.says("needs a running notebook")
    other = alone(asking)
    other.root.get_by_role("button", name="Knock out").click()
    settled(other)
    assert "run this cell in a notebook" in other.status
    assert by(other) == "nobody"


def test_a_network_that_the_page_cannot_run_is_answered_by_the_kernel(alone, asking):
    page = alone(asking)
    with_kernel(page)
    page.root.get_by_role("button", name="Knock out").click()
    settled(page)
    assert "waiting for the notebook" in page.status
    page.set(example=4)  # an answer from before does not pass for the present one
    serve(page, asking)
    assert by(page) == "nobody"
    serve(page, asking)
    assert by(page) == "kernel"
    expected = asking._kernel.probabilities("yours", 4, 0, {0: 0.0})
    np.testing.assert_allclose(probabilities(page), expected, atol=1e-5)
    page.assert_clean()


def test_a_failure_is_told_and_nothing_is_asked_again_after_it(alone, asking, monkeypatch):
    page = alone(asking)
    with_kernel(page)
    monkeypatch.setattr(asking._kernel, "probabilities", lambda *arguments: 1 / 0)
    page.root.get_by_role("button", name="Knock out").click()
    settled(page)
    asked = page.state("request")
    serve(page, asking)
    assert "could not answer" in page.status
    page.set(channel=3)
    settled(page)
    assert page.state("request") == asked
    assert "ZeroDivisionError" in page.root.locator("[role=alert]").inner_text()


def test_a_bad_upload_gets_a_word_and_the_next_one_works(page, tmp_path):
    widget = explore_channel_gates(source="digits")
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
    Image.fromarray(seven).save(tmp_path / "seven.png")
    upload(page, tmp_path / "seven.png")
    serve(page, widget)
    assert not alarm.is_visible()
    assert page.root.get_by_role("button", name="your picture").get_attribute("aria-pressed") == "true"
    page.root.get_by_role("button", name="Knock out").click()
    np.testing.assert_allclose(probabilities(page), widget._kernel.probabilities("digits", -1, 2, {0: 0.0}), atol=1e-4)


def stroke(page, x: int) -> None:
    box = page.root.get_by_role("img", name=re.compile("Drawing pad")).bounding_box()
    page.page.mouse.move(box["x"] + x, box["y"] + 30)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + x, box["y"] + 140, steps=5)
    page.page.mouse.up()


def test_a_drawn_digit_goes_through_the_network_stroke_by_stroke(page):
    widget = explore_channel_gates(source="digits")
    with_kernel(page)
    page.set(edits={"0": 0})
    button = page.root.get_by_role("button", name="Draw a digit")
    button.click()
    assert button.get_attribute("aria-expanded") == "true"
    for x in (84, 40):
        stroke(page, x)
        serve(page, widget)
        expected = widget._kernel.probabilities("digits", -1, 2, {0: 0.0})
        np.testing.assert_allclose(probabilities(page), expected, atol=1e-4)
    assert page.root.get_by_role("button", name="your drawing").get_attribute("aria-pressed") == "true"
    assert "Input: your drawing" in page.root.inner_text()


def test_moved_gates_do_not_pass_to_another_network_with_a_late_picture(page):
    widget = explore_channel_gates(source="digits")
    with_kernel(page)
    page.root.get_by_role("button", name="Draw a digit").click()
    stroke(page, 84)
    choose(page, "cued digits")
    page.root.get_by_role("button", name="Knock out").click()
    serve(page, widget)
    assert page.state("source") == "digits"
    assert page.state("edits") == {} and page.state("stage") == 2


def test_a_cancelled_stroke_ends_and_only_the_main_button_draws(page):
    with_kernel(page)
    page.root.get_by_role("button", name="Draw a digit").click()
    pad = page.root.get_by_role("img", name=re.compile("Drawing pad"))
    box = pad.bounding_box()
    blank = page.pixels(pad)
    page.page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.page.mouse.down(button="right")
    page.page.mouse.move(box["x"] + 90, box["y"] + 90)
    page.page.mouse.up(button="right")
    np.testing.assert_array_equal(page.pixels(pad), blank)
    page.page.mouse.down()
    pad.dispatch_event("pointercancel")
    before = page.pixels(pad)
    page.page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.page.mouse.up()
    np.testing.assert_array_equal(page.pixels(pad), before)


def test_networks_that_wait_arrive_when_they_are_asked_for(page, monkeypatch):
    from torchvision import models

    network = models.mobilenet_v3_small(weights=None)
    stored = network.state_dict()
    monkeypatch.setattr("torchvision.models.MobileNet_V3_Small_Weights.get_state_dict", lambda *_, **options: stored)
    widget = explore_channel_gates(source="digits")
    with_kernel(page)
    page.root.get_by_label("Network").select_option("photographs")
    assert "Asking the notebook for photographs" in page.status
    serve(page, widget)
    assert page.state("source") == "photographs"
    expect(page.root.get_by_label("Gates of").locator("option")).to_have_count(3)
    expect(page.root.locator("[role=status]")).to_contain_text("Channel 1 of features.11.block.2")
    assert page.root.get_by_role("button", name="Picture 1: german shepherd").count() == 1
    page.root.get_by_label("Network").select_option("people")
    serve(page, widget)
    expect(page.root.get_by_label("Gates of").locator("option")).to_have_count(10)


def test_copied_code_reproduces_what_is_shown(page):
    choose(page, "cued digits")
    for stage, moved in ((2, {"5": 0.25, "16": 0, "21": 0.5}), (1, {})):
        page.set(stage=stage, edits=moved, example=2)
        settled(page)
        names = run_copied(page)
        shown = names["moved"] if moved else names["untouched"]
        np.testing.assert_allclose(probabilities(page), shown[0].numpy(), atol=1e-4)
        assert len(names["masks"][f"stage{stage + 1}.attention"].flatten()) == shape(page)[0]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("shown", ["course", "people"])
def test_axe_finds_nothing(alone, request, shown, theme):
    page = alone(request.getfixturevalue(shown))
    page.theme(theme)
    page.set(edits={"3": 0, "4": 0.5})
    settled(page)
    assert page.violations() == []
    with_kernel(page)
    if shown == "course":
        page.root.get_by_role("button", name="Draw a digit").click()
        assert page.violations() == []


@pytest.mark.parametrize("shown", ["course", "people"])
@pytest.mark.parametrize("width", [390, 700, 1000])
def test_nothing_needs_sideways_scrolling(alone, request, shown, width):
    page = alone(request.getfixturevalue(shown), viewport={"width": width, "height": 800})
    for stage in (0, 2):
        page.set(stage=stage)
        settled(page)
        assert page.page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize(("size", "least"), [((900, 620), 320), ((390, 844), 150)])
def test_the_gates_their_slider_and_the_mask_are_seen_together(alone, people, size, least):
    page = alone(people, viewport={"width": size[0], "height": size[1]})
    settled(page)
    mask = page.root.locator("canvas[data-kept]").bounding_box()
    slider = page.root.get_by_label(re.compile("^Gate of channel")).bounding_box()
    maps = page.canvas.bounding_box()
    assert mask["width"] >= least
    assert maps["width"] >= 320
    ends = [box["y"] + box["height"] for box in (mask, slider, maps)]
    assert min(mask["y"], maps["y"]) >= 0 and max(ends) <= size[1]


def test_the_picture_can_be_saved(page, tmp_path):
    page.set(edits={"3": 0})
    settled(page)
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
        "code": nasty,
    }
    words = {"key": "a", "title": nasty, "classes": [nasty, "y"], "stages": [nasty], "code": nasty, "pending": ""}
    source = {**words, "sizes": [[4, 3, 3]], "examples": [example], "graph": None, "weights": "", "upload": ""}
    page = alone(ChannelGates([{**source, "draw": False}], kernel=None))
    page.page.mouse.move(500, 400)
    assert page.page.title() != "broken"
    assert page.page.locator(".course-widget img").count() == 0
    assert nasty in page.root.inner_text()
    page.assert_clean()


def test_in_jupyterlab_the_page_answers_and_the_kernel_draws(lab, tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    source = (
        "from course_utils.widgets import explore_channel_gates\nwidget = explore_channel_gates(source='digits')\n"
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
    for key in ["Home"] + ["ArrowRight"] * 10:
        gate.press(key)
    expected = explore_channel_gates(source="digits")._kernel.probabilities("digits", 0, 0, {0: 0.1})
    page.wait_for_function(
        """(expected) => {
          const found = [...document.querySelectorAll(".cw-bar")].map((bar) => Number(bar.dataset.probability));
          return found.length === 10 && expected.every((one, i) => Math.abs(one - found[i]) < 1e-4);
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
    root.locator(".cw-caption", has_text="{'0': 0} -1").wait_for()
    assert page.locator(".jp-Notebook .jp-Cell").count() == cells
    assert server.console_errors == []
    assert server.requests_off == []
