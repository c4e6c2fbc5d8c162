"""Lessons as a learner meets them: opened in JupyterLab, run, touched, typed into.

`make lessons` runs every cell of every lesson, on all the pictures that it trains on. Here a lesson runs up to the last
cell that is touched, on fewer: the cells with a widget or a check, and those that they need. It ends with its quiz and
the learner's progress.
"""

import ast
import base64
import json
import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from playwright.sync_api import expect

from course_utils.attention import covariance_pool, edit_masks, off, record_masks, scaled_dot_product_attention
from course_utils.data import cued_digits, photograph_features
from course_utils.models import class_token_maps, load_network
from course_utils.training.attention_maps import overlap, share_on_object
from course_utils.widgets import SENTENCES, explore_channel_gates, explore_gate_maps
from course_utils.widgets.cbam_steps.explore import switched
from course_utils.widgets.covariance.explore import example_channels, rearrange
from course_utils.widgets.mask_playground.explore import deviation_mask, person_mask, playground_input
from course_utils.widgets.patch_tokens.explore import blank_patches, occlude
from course_utils.widgets.score_lab.explore import lab_inputs, lab_score

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
torch.set_num_threads(1)


TOUCHED = re.compile(r"explore_|\blook\(|SentenceAttention\(|AttentionMap\(|curves|check\.")


def with_what_they_need(sources, wanted):
    """Of cells in order, the first, the wanted, and each that makes a name which a later one of these uses."""
    needed, kept = set(), []
    for place, source in reversed(list(enumerate(sources))):
        made, used = set(), set()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Name):
                (used if isinstance(node.ctx, ast.Load) else made).add(node.id)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                made |= {(one.asname or one.name).split(".")[0] for one in node.names}
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                made.add(node.name)
        if place == 0 or wanted(source) or made & needed:
            kept.append(place)
            needed = (needed - made) | used
    return kept[::-1]


@pytest.fixture
def lesson(lab, tmp_path):
    """`lesson(name, last, seconds)` runs a copy up to the cell with `last`; afterwards nothing may have gone wrong.

    Further arguments are pairs of words: the first stands in the copy, and is replaced by the second.
    """
    opened = []

    def open_lesson(name, last, seconds, *smaller):
        folder = tmp_path / "notebooks"
        folder.mkdir()
        text = (NOTEBOOKS / name).read_text(encoding="utf-8")
        for words, fewer in smaller:
            assert words in text
            text = text.replace(words, fewer)
        notebook = json.loads(text)
        code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        sources = ["".join(cell["source"]) for cell in code]
        end = next(i for i, source in enumerate(sources) if last in source) + 1
        kept = with_what_they_need(sources[:end], TOUCHED.search)
        kept += [i for i in range(end, len(code)) if re.search(r"check\.(quiz|progress)\(", sources[i])]
        notebook["cells"] = [code[i] for i in kept]
        (folder / name).write_text(json.dumps(notebook), encoding="utf-8")
        server = lab(folder)
        server.open(name)
        server.run_all()
        server.wait_idle(seconds)
        opened.append(server)
        return server

    yield open_lesson
    for server in opened:
        page = server.page
        assert page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
        assert page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
        assert page.locator(".course-widget [role=alert]:visible").count() == 0
        assert server.console_errors == []
        assert server.requests_off == []


def widget(page, name):
    root = page.locator(f".course-widget[data-widget={name}]").first
    root.scroll_into_view_if_needed()
    root.wait_for()
    return root


def test_the_introduction_is_pointed_at_slid_and_typed_into(lesson):
    server = lesson("4.1_introduction.ipynb", "check.fix_self_attention(", 180)
    page = server.page

    # A trained mask; then a spotlight by hand, which follows the pointer; what is said of them the package computes.
    first = widget(page, "mask-playground")
    mask = person_mask(playground_input("astronaut", "spatial"))
    said = first.locator("[role=status]")
    expect(said).to_contain_text(f"{100 * mask.mean():.1f} % of the picture gets through. Made from")
    root = page.locator("[data-widget=mask-playground]").nth(1)
    root.scroll_into_view_if_needed()
    canvas = root.locator("canvas[tabindex='0']")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    expect(canvas).to_have_attribute("data-query", "27,36")
    status = root.locator("[role=status]")
    expect(status).to_contain_text("Row 111 of 216, column 147 of 288: mask 1.")
    root.get_by_label("Spotlight").press("End")
    page.mouse.move(2, 2)
    wide = torch.exp(
        -((torch.arange(216)[:, None] - 0.24 * 216 + 0.5) ** 2 + (torch.arange(288) - 0.82 * 288 + 0.5) ** 2)
        / (2 * (0.6 * 216) ** 2)
    )
    expect(status).to_contain_text(f"{100 * wide.mean():.1f} % of the picture gets through. Set by hand")
    root.get_by_role("combobox", name="Mask").select_option("picture")
    root.get_by_role("combobox", name="Picture").select_option("owl")
    made = deviation_mask(playground_input("owl", "spatial"), "spatial")
    expect(status).to_contain_text(f"{100 * made.mean():.1f} % of the picture gets through. Made from this picture")

    # Words: another query, and another number in the table.
    root = widget(page, "sentence-attention")
    canvas = root.locator("canvas[tabindex='0']")
    canvas.scroll_into_view_if_needed()
    root.get_by_label("pants, word 10: being").fill("2")
    table = torch.tensor(SENTENCES[0].table).float()
    table[9, 0] = 2
    expected = scaled_dot_product_attention(table @ torch.tensor(SENTENCES[0].looks_for).float(), table, table)[1]
    shown = root.locator("canvas[data-weights]").get_attribute("data-weights").split(",")
    np.testing.assert_allclose([float(weight) for weight in shown], expected.flatten(), atol=1e-6)
    for _ in range(2):  # the first begins at the word that is shown
        canvas.press("ArrowDown")
    expect(root.locator("[role=status]")).to_contain_text("Query “pants”, word 10 of 10")

    # Type: weights over the wrong axis are named, the mended function is right.
    cell = page.locator(".jp-CodeCell", has_text="check.fix_self_attention(fix_self_attention)").first
    for axis, word in ((1, "Not yet."), (2, "Right.")):
        cell.locator(".cm-content").click()
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.insert_text(
            "def fix_self_attention(query, key, value):\n"
            f"    weights = (query.mT @ key).softmax(dim={axis})\n"
            "    return value @ weights.mT\n\n\ncheck.fix_self_attention(fix_self_attention)"
        )
        page.keyboard.press("Shift+Enter")
        cell.get_by_text(word, exact=False).first.wait_for(timeout=60_000)


def test_senet_is_hovered_dragged_and_typed_into(lesson):
    server = lesson("4.1.1_senet.ipynb", "check.squeeze(", 90)
    page = server.page
    same = explore_channel_gates(source="cued digits", stage=1)  # the numbers that the page must show
    root = page.locator("[data-widget=channel-gates]:has(.cw-bar)").first
    canvas = root.locator("canvas[tabindex='0']")

    # Hover: the map under the pointer is the one that is named, and its pixels are numpy's.
    canvas.hover(position={"x": 20, "y": 20})
    expect(canvas).to_have_attribute("data-query", "0,0")
    shown = same._kernel._shown["cued digits"]
    values = shown.gated.read(shown.inputs[:1])[0][0][0, 0].numpy()
    expect(root.locator("[role=status]")).to_contain_text(f"mean is {values.mean():.3f}")
    low = min(0, values.min())
    expected = matplotlib.colormaps["viridis"](((values - low) / (values.max() - low) * 256).clip(0, 255).astype(int))
    lens = pixels(root.locator("canvas[aria-label^='map of channel 1:']").first)
    rows = ((np.arange(len(values)) + 0.5) * lens.shape[0] / len(values)).astype(int)
    columns = ((np.arange(values.shape[1]) + 0.5) * lens.shape[1] / values.shape[1]).astype(int)
    assert np.abs(lens[np.ix_(rows, columns)][..., :3] - (expected[..., :3] * 255).round()).max() <= 4

    # A channel knocked out: the page itself answers, with the network's numbers, in every stage.
    for stage in (2, 0):
        root.get_by_label("Gates of").select_option(index=stage)
        root.get_by_role("button", name="Knock out").click()
        root.locator(".cw-stage[data-by=page][aria-busy=false]").wait_for()
        shown_bars = root.locator(".cw-bar").evaluate_all(
            "(bars) => bars.map((bar) => Number(bar.dataset.probability))"
        )
        edits = {int(canvas.get_attribute("data-channel")): 0.0}
        np.testing.assert_allclose(shown_bars, same._kernel.probabilities("cued digits", 0, stage, edits), atol=1e-4)

    # Type: a wrong answer is named, the right one is right.
    cell = page.locator(".jp-CodeCell", has_text="check.squeeze(squeeze)").first
    for body, word in (("x.sum(dim=(2, 3))", "Not yet."), ("x.mean(dim=(2, 3))", "Right.")):
        editor = cell.locator(".cm-content")
        editor.click()
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.insert_text(f"def squeeze(x):\n    return {body}\n\n\ncheck.squeeze(squeeze)")
        page.keyboard.press("Shift+Enter")
        cell.get_by_text(word, exact=False).first.wait_for(timeout=60_000)


def decoded(array):
    return base64.b64decode(array["data"])


def pixels(canvas):
    """(height, width, 4) of a canvas."""
    height, width, flat = canvas.evaluate(
        "(c) => [c.height, c.width, btoa(Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data,"
        " (v) => String.fromCharCode(v)).join(''))]"
    )
    return np.frombuffer(base64.b64decode(flat), np.uint8).reshape(height, width, 4).astype(int)


def test_self_attention_shows_the_packages_weights_at_each_position(lesson):
    server = lesson("4.1.3_self_attention.ipynb", "explore_query_map(source=", 180)
    page = server.page
    root = widget(page, "query-map")
    canvas = root.locator("canvas[tabindex='0']")
    expect(canvas).to_have_attribute("data-query", "6,6")
    canvas.press("Escape")
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 3.5 / 14 * box["width"], box["y"] + 4.5 / 14 * box["height"])
    expect(canvas).to_have_attribute("data-query", "4,3")
    rows = photograph_features("cow").flatten(1).T
    expected = scaled_dot_product_attention(rows, rows, rows)[1][4 * 14 + 3].numpy()
    shown = [float(weight) for weight in canvas.get_attribute("data-weights").split(",")]
    np.testing.assert_allclose(shown, expected, rtol=1e-4, atol=1e-7)
    expect(root.locator("[role=status]")).to_contain_text(f"it gives most weight, {100 * expected.max():.1f} %")

    # The output at gamma 1: the pixels in the middle of the cells are numpy's.
    root.get_by_label("γ (gamma)").press("End")
    x = photograph_features("cow")[:3].permute(1, 2, 0)
    gathered = scaled_dot_product_attention(rows, rows, rows[:, :3])[0].view(14, 14, 3)
    full = max(4 * x.square().mean().sqrt(), 2 * (x + gathered).square().mean().sqrt())
    drawn = pixels(root.locator(".cw-panel canvas").nth(2))
    middle = ((np.arange(14) + 0.5) * drawn.shape[0] / 14).astype(int)
    values = (127.5 * (1 + (x + gathered) / full)).clamp(0, 255).numpy()
    off = np.abs(drawn[np.ix_(middle, middle)][..., :3] - values).max(axis=2)
    assert np.sort(off.flatten())[-4] <= 2  # the outline of the query may hide a few

    trained = page.locator(".course-widget[data-widget=query-map]").nth(1)
    trained.scroll_into_view_if_needed()
    expect(trained).to_contain_text("learned γ")


def test_heads_are_hovered_knocked_out_masked_and_typed_into(lesson):
    server = lesson("4.1.4_multi_head_attention.ipynb", "explore_head_grid(", 240)
    page = server.page
    root = widget(page, "head-grid")
    canvas = root.locator("canvas[tabindex='0']")
    expect(canvas).to_have_attribute("data-query", "8,0")  # the class token
    network = load_network("vit_cued_digits").eval()
    image = cued_digits(6, seed=3, split="test").images[3:4]
    with torch.no_grad():
        weights = network.attention_weights(image)[0].flatten(0, 1)  # (16, 65, 65)
    canvas.press("Escape")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 6.5 / 8 * box["width"], box["y"] + 5.5 / 9 * box["height"])
    expect(canvas).to_have_attribute("data-query", "5,6")
    maps = root.locator(".cw-heads-cell canvas")
    for number in (2, 10, 15):
        shown = maps.nth(number).evaluate("(one) => [...one.weights]")
        np.testing.assert_allclose(shown, weights[number, 1 + 5 * 8 + 6], rtol=1e-3, atol=1e-6)

    # Without two heads the network no longer knows which digit is meant; with the causal mask it sees no picture.
    status = root.locator("[role=status]")
    for head in (3, 4):
        root.get_by_label(f"Layer 1, head {head} takes part").uncheck()
    with torch.no_grad():
        network.blocks[0].attention.output.weight[:, 32:] = 0
        expected = network(image).softmax(1)[0]
    expect(status).to_contain_text(f"The network says 7 with {100 * expected[7]:.1f} %, which is wrong: it is 2")
    root.get_by_role("button", name="All heads on").click()
    expect(status).to_contain_text("The network says 2")
    root.get_by_label("Attention mask").select_option("causal")
    expect(status).to_contain_text("The network says 1")

    cell = page.locator(".jp-CodeCell", has_text="check.split_heads(split_heads)").first
    for body, word in (
        ("x.reshape(len(x), num_heads, x.shape[1], -1)", "Not yet."),
        ("x.unflatten(2, (num_heads, -1)).transpose(1, 2)", "Right."),
    ):
        cell.locator(".cm-content").click()
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.insert_text(
            f"def split_heads(x, num_heads):\n    return {body}\n\n\ncheck.split_heads(split_heads)"
        )
        page.keyboard.press("Shift+Enter")
        cell.get_by_text(word, exact=False).first.wait_for(timeout=60_000)


def test_the_experiment_trains_and_draws_its_curves(lesson):
    fewer = ("cued_digits(4000", "cued_digits(200"), ("cued_digits(1000", "cued_digits(100")
    server = lesson("4.2_experiment_se_block.ipynb", "train(trained[run]", 240, *fewer)
    curves = widget(server.page, "training-curves")
    status = curves.locator("[role=status]").first
    for words in ("plain", "SE", "epoch 6"):
        expect(status).to_contain_text(words, timeout=60_000)  # a widget draws itself when it comes into view


def test_gate_maps_are_weighed_in_the_lesson_as_the_package_weighs_them(lesson):
    server = lesson("4.5_experiment_attention_vgg16.ipynb", "explore_gate_maps(stage=1", 240)
    page = server.page
    same = explore_gate_maps(stage=1, epoch=2)
    root = widget(page, "gate-maps")
    root.get_by_label("Threshold").fill("0.3")
    place = torch.from_numpy(np.frombuffer(decoded(same.places), np.uint8).reshape(same.places["shape"])[:1] > 0)
    for number, series in enumerate(same.series):
        stored = series["maps"][1]
        maps = np.frombuffer(decoded(stored), {"float16": "<f2", "float32": "<f4"}[stored["dtype"]])
        one = torch.from_numpy(maps.reshape(stored["shape"])[2, :1].astype(np.float32))
        panel = root.locator(f"[data-network='{number}']")
        found = [float(panel.get_attribute(f"data-{name}")) for name in ("share", "iou")]
        expected = [float(share_on_object(one, place, 0.3)), float(overlap(one, place, 0.3))]
        np.testing.assert_allclose(found, expected, atol=1e-5)
    expect(root.locator("[role=status]")).to_contain_text("threshold 0.30")


def test_beyond_channel_and_space_is_switched_hovered_and_typed_into(lesson):
    server = lesson("4.6_beyond_channel_and_space.ipynb", "explore_space_time(", 240)
    page = server.page

    # CBAM without the mean of its spatial part: the page computes what the package computes.
    network = load_network("cbam_cued_digits")
    root = widget(page, "cbam-steps")
    root.get_by_label("mean in the spatial part").click()
    expect(root.locator("[role=status]")).to_contain_text("With this block changed")
    data = cued_digits(100, seed=4, split="test")
    image = (data.images[int((data.labels == 3).nonzero()[0])][None] * 255).round() / 255
    with torch.no_grad(), switched(network.stage1.attention, spatial_pools=("max",)):
        expected = network(image).softmax(1)[0].numpy()
    shown = root.locator("[data-probability]").evaluate_all("(all) => all.map((one) => one.dataset.probability)")
    np.testing.assert_allclose([float(p) for p in shown], expected, atol=1e-5)

    # Branches: the table answers to the pointer.
    table = widget(page, "branch-weights").locator("canvas[tabindex='0']")
    table.scroll_into_view_if_needed()
    box = table.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(table).to_have_attribute("data-query", re.compile(r"\d+,\d+"))

    # A clip: the strip takes the keyboard, and JupyterLab leaves it the arrows.
    root = widget(page, "space-time")
    strip = root.locator("canvas[tabindex='0']")
    strip.focus()
    for key in ("Enter", "ArrowRight"):
        page.keyboard.press(key)
    expect(strip).to_have_attribute("data-locked", "true")
    expect(root.locator("[role=status]")).to_contain_text("Query: frame 3")

    cell = page.locator(".jp-CodeCell", has_text="check.pool_channels(pool_channels)").first
    cell.locator(".cm-content").click()
    page.keyboard.press("ControlOrMeta+a")
    body = "torch.stack([x.mean(dim=1), x.amax(dim=1)], dim=1)"
    page.keyboard.insert_text(f"def pool_channels(x):\n    return {body}\n\n\ncheck.pool_channels(pool_channels)")
    page.keyboard.press("Shift+Enter")
    cell.get_by_text("You stacked [mean, max]", exact=False).first.wait_for(timeout=60_000)


def test_any_network_is_looked_into_and_its_head_switched_off(lesson):
    server = lesson("4.7_look_into_any_network.ipynb", "check.class_map(", 240)
    page = server.page

    # torchvision's network: the kernel answers without a head, as edit_masks does for the same numbers in ours.
    network, image = load_network("vit_cued_digits").eval(), cued_digits(200, seed=7, split="test").images[4:5]
    widget(page, "look-into")
    root = page.locator(".course-widget[data-widget=look-into]").nth(1)
    root.scroll_into_view_if_needed()
    expect(root.locator("[role=status]")).to_contain_text("encoder.layers.encoder_layer_3.self_attention")
    root.get_by_role("button", name="Switch this head off").click()
    expect(root.locator("[role=status]")).to_contain_text("The answer is now", timeout=20_000)
    with torch.no_grad(), edit_masks(network, {"blocks.3.attention": off(0)}):
        after = network(image).softmax(1)[0]
    shown = root.locator("[data-probability]").evaluate_all("(all) => all.map((one) => +one.dataset.probability)")
    assert max(shown) == pytest.approx(after.max().item(), abs=1e-4)

    # Type: the lie is named, the right function is right.
    cell = page.locator(".jp-CodeCell", has_text="check.class_map(class_map)").first
    for start, word in (("1 : 1 + grid[0] * grid[1]", "off by the registers"), ("1 + registers :", "Right.")):
        cell.locator(".cm-content").click()
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.insert_text(
            f"def class_map(weights, registers, grid):\n    return weights[:, 0, {start}].unflatten(1, grid)\n\n\n"
            "check.class_map(class_map)"
        )
        page.keyboard.press("Shift+Enter")
        cell.get_by_text(word, exact=False).first.wait_for(timeout=20_000)


def test_scores_are_dragged_aligned_and_typed_into(lesson):
    server = lesson("4.4_scores_and_alignments.ipynb", "check.fixed_weights(", 240)
    page = server.page
    root = widget(page, "score-lab")
    canvas = root.locator("canvas[tabindex='0']")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.75 * box["height"])
    expect(canvas).to_have_attribute("data-query", "45,15")
    expect(root.locator("[role=status]")).to_contain_text("Query at (-1.5, -1.5)")
    query, keys, _ = lab_inputs("plane", 2, (45, 15))
    expected = lab_score("scaled_multiplicative", 2)(query, keys).softmax(dim=2)[0, 0]
    shown = [
        float(weight) for weight in root.locator("canvas[data-weights]").first.get_attribute("data-weights").split(",")
    ]
    np.testing.assert_allclose(shown, expected, rtol=1e-4, atol=1e-6)

    # The disc of the heaviest key has the last colour of the table: both panels share one range.
    weights = [
        [float(weight) for weight in bars.get_attribute("data-weights").split(",")]
        for bars in root.locator("canvas[data-weights]").all()
    ]
    panel = int(np.argmax([max(each) for each in weights]))
    x, y = keys[0, int(np.argmax(weights[panel]))].tolist()
    drawn = pixels(root.locator("canvas").nth(3 * panel))
    side = drawn.shape[0]
    at = drawn[round((0.5 - y / 6) * side) + round(7 * side / box["width"]), round((0.5 + x / 6) * side)]
    assert np.abs(at[:3] - 255 * np.array(matplotlib.colormaps["magma"](255)[:3])).max() <= 3

    # Type: the silent faults are named, the mended function is right.
    cell = page.locator(".jp-CodeCell", has_text="check.fixed_weights(fixed_weights)").first
    for axis, word in ((1, "Not yet."), (2, "Right.")):
        editor = cell.locator(".cm-content")
        editor.click()
        page.keyboard.press("ControlOrMeta+a")
        body = f"(query @ keys.mT / keys.shape[2] ** 0.5).softmax(dim={axis})"
        page.keyboard.insert_text(
            f"def fixed_weights(query, keys):\n    return {body}\n\n\ncheck.fixed_weights(fixed_weights)"
        )
        page.keyboard.press("Shift+Enter")
        cell.get_by_text(word, exact=False).first.wait_for(timeout=60_000)


def test_covariances_are_hovered_and_turned_in_the_lesson(lesson):
    server = lesson("4.1.2_gsop_net.ipynb", "explore_covariance(", 150)
    root = widget(server.page, "covariance")
    canvas = root.locator("canvas[tabindex='0']")
    root.get_by_role("slider").press("End")
    expect(root.locator("[role=status]")).to_contain_text("no gate of SE moves; GSoP's gate of")
    shown = np.array([float(one) for one in canvas.get_attribute("data-covariance").split(",")]).reshape(8, 8)
    expected = covariance_pool(rearrange(example_channels("hens")[None], 1, 0, 1.0))[0].numpy()
    np.testing.assert_allclose(shown, expected, atol=1e-6)
    canvas.focus()
    server.page.keyboard.press("ArrowDown")
    expect(canvas).to_have_attribute("data-query", "0,1")
    server.page.keyboard.press("Enter")
    expect(canvas).to_have_attribute("data-locked", "true")


def test_the_league_shows_where_masks_lie_and_checks_a_claim(lesson):
    fewer = ("slice(0, 400)", "slice(0, 100)"), ("slice(0, 2000)", "slice(0, 400)")
    server = lesson("4.3_experiment_self_attention.ipynb", "AttentionMap(", 240, *fewer)
    page = server.page
    curves = widget(page, "training-curves")
    expect(curves.locator("[role=status]")).to_contain_text("self-attention 0.")

    # A network that was trained a moment ago: its last stage, then a position.
    trained = widget(page, "query-map")
    trained.get_by_role("combobox", name="Features of").select_option(index=1)
    canvas = trained.locator("canvas[tabindex='0']")
    canvas.focus()
    page.keyboard.press("ArrowDown")
    expect(canvas).to_have_attribute("data-query", re.compile(r"\d,\d"))

    # The shipped networks: each cell is the mask of the last stage, averaged as the lesson says.
    network = load_network("cbam_cued_digits")
    with torch.no_grad(), record_masks(network) as recorded:
        network(cued_digits(4, seed=5, split="test").images)
    mask = torch.cat(list(list(recorded.values())[-1].mean(1)), 1)  # (10, 40)
    root = widget(page, "attention-map")
    root.get_by_role("combobox", name="Map").select_option("CBAM")
    status = root.locator("[role=status]")
    expect(status).to_contain_text("10 × 40 values")
    canvas = root.locator("canvas[tabindex='0']")
    canvas.focus()
    page.keyboard.press("ArrowDown")
    row, column = (int(n) for n in canvas.get_attribute("data-query").split(","))
    said = re.search(r"[-+]?\d*\.\d+", status.inner_text().split("column", 1)[1])
    assert float(said[0]) == pytest.approx(float(mask[row, column]), rel=0.01)


def test_patches_are_pointed_at_and_blanked_and_the_network_answers(lesson):
    server = lesson("4.1.5_vision_transformer.ipynb", "blanked=edge", 240)
    page = server.page
    network, data = load_network("vit_cued_digits").eval(), cued_digits(6, seed=9, split="test")
    widget(page, "patch-tokens")
    cut, heads, blanked = (page.locator(".course-widget[data-widget=patch-tokens]").nth(i) for i in range(3))
    expect(cut.locator("[role=status]")).to_contain_text("16 patches of 3 · 10 · 10 = 300 numbers")

    # Layer 3, head 1 of the second picture, and one of its patches.
    heads.scroll_into_view_if_needed()
    canvas = heads.locator("canvas[tabindex='0']")
    with torch.no_grad():
        expected = class_token_maps(network.attention_weights(data.images[1:2]))[0, 2, 0].numpy()
    shown = [float(weight) for weight in canvas.get_attribute("data-weights").split(",")]
    np.testing.assert_allclose(shown, expected.flatten(), atol=1e-3)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 6.5 / 8 * box["width"], box["y"] + 4.5 / 8 * box["height"])
    expect(canvas).to_have_attribute("data-query", "4,6")
    expect(heads.locator("[role=status]")).to_contain_text(
        f"Token 39 of 64, at row 5, column 7: weight {100 * expected[4, 6]:.1f} %"
    )

    # The border of the third picture is blank. Without it two patches by hand: the kernel answers as the package does.
    blanked.scroll_into_view_if_needed()
    bars = blanked.locator("[data-probability]")
    expect(blanked.locator("[role=status]")).to_contain_text("28 patches blanked: 7 has 0.0 %")
    blanked.get_by_role("button", name="Show all patches").click()
    expect(blanked.get_by_text("Class probabilities", exact=True)).to_be_visible()
    blanked.get_by_label("A click blanks patches").check()
    picture = blanked.locator("canvas[tabindex='0']")
    side = picture.bounding_box()["width"] / 8
    for row, column in ((5, 2), (1, 6)):
        picture.click(position={"x": (column + 0.5) * side, "y": (row + 0.5) * side})
    expect(blanked.locator("[role=status]")).to_contain_text("2 patches blanked: 7 has", timeout=60_000)
    with torch.no_grad():
        answer = network(blank_patches(data.images[2], [42, 14], 5)[None]).softmax(1)[0].numpy()
    shown = bars.evaluate_all("(all) => all.map((one) => +one.dataset.probability)")
    np.testing.assert_allclose(shown, answer, atol=1e-4)

    # The occlusion map is that of the package.
    with torch.no_grad():
        whole = network(data.images[2:3]).softmax(1)[0, data.labels[2]]
    change = (occlude(network, data.images[2])[:, data.labels[2]] - whole).numpy()
    blanked.get_by_role("button", name="Occlusion").click()
    shown = [float(value) for value in picture.get_attribute("data-weights").split(",")]
    np.testing.assert_allclose(shown, change, atol=1e-3)

    # Type: the silent fault is named, the right function is right.
    cell = page.locator(".jp-CodeCell", has_text="check.attention_rollout(attention_rollout)").first
    for product, word in (("rolled @ step", "Not yet."), ("step @ rolled", "Right.")):
        editor = cell.locator(".cm-content")
        editor.click()
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.insert_text(
            "def attention_rollout(weights):\n    rolled = eye = torch.eye(weights.shape[-1])\n"
            "    for layer in weights.mean(dim=1):\n        step = (layer + eye) / 2\n"
            f"        rolled = {product}\n    return rolled\n\n\ncheck.attention_rollout(attention_rollout)"
        )
        page.keyboard.press("Shift+Enter")
        cell.get_by_text(word, exact=False).first.wait_for(timeout=60_000)
