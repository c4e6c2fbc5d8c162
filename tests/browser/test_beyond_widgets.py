"""`cbam-steps`, `branch-weights` and `space-time` in a browser: their numbers, gestures and words."""

import base64
import re

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image
from settle import wait_drawn

from course_utils.attention import record_masks
from course_utils.data import moving_digits
from course_utils.models import AttentionCNN
from course_utils.widgets.branch_weights.explore import SIDES, explore_branch_weights, pictures_of
from course_utils.widgets.branch_weights.widget import BranchWeights
from course_utils.widgets.cbam_steps.explore import explore_cbam_steps, switched
from course_utils.widgets.cbam_steps.widget import CBAMSteps
from course_utils.widgets.space_time import explore as space_time_explorer
from course_utils.widgets.space_time.explore import explore_space_time, identity_attention
from course_utils.widgets.space_time.widget import SpaceTime

torch.set_num_threads(1)


def drawn(attention: str, **options) -> AttentionCNN:
    """A small network in which every parameter and statistic is drawn, so that none can be forgotten unseen."""
    torch.manual_seed(0)
    network = AttentionCNN(10, attention, **options)
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(part.weight, 0.5, 1.5)
            torch.nn.init.normal_(part.bias, std=0.3)
            torch.nn.init.normal_(part.running_mean, std=0.1)
            torch.nn.init.uniform_(part.running_var, 0.05, 0.5)
    torch.nn.init.normal_(network.head.layers[-1].weight)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def cbam_network():
    return drawn("cbam", widths=(8, 8, 12))


@pytest.fixture(scope="module")
def cbam(cbam_network):
    return explore_cbam_steps(cbam_network, stage=2)


@pytest.fixture(scope="module")
def branches():
    return explore_branch_weights(drawn("sk", in_channels=1, widths=(8, 8, 12)), stage=2)


@pytest.fixture(scope="module")
def clips():
    patch = pytest.MonkeyPatch()
    network = drawn("sk", in_channels=1, widths=(4, 8, 8))
    patch.setattr(space_time_explorer, "_network", lambda: network)
    space_time_explorer._clips.cache_clear()
    yield explore_space_time()
    space_time_explorer._clips.cache_clear()
    patch.undo()


@pytest.fixture
def page(request, alone):
    opened = alone(request.getfixturevalue(request.param))
    yield opened
    opened.assert_clean()


def on(*names):
    return pytest.mark.parametrize("page", names, indirect=True)


EVERY = on("cbam", "branches", "clips")


def data(page, name: str, split: str = ",") -> np.ndarray:
    """The numbers that a canvas carries in one of its data attributes."""
    return np.array(page.root.locator(f"canvas[data-{name}]").get_attribute(f"data-{name}").split(split), dtype=float)


# cbam-steps


def probabilities(page) -> np.ndarray:
    bars = page.root.locator("[data-probability]").evaluate_all("(all) => all.map((one) => one.dataset.probability)")
    return np.array(bars, dtype=float)


@on("cbam")
@pytest.mark.parametrize(
    ("settings", "order", "channel_pools", "spatial_pools"),
    [
        ({}, "channel first", ("mean", "max"), ("max", "mean")),
        ({"order": "spatial first"}, "spatial first", ("mean", "max"), ("max", "mean")),
        ({"channel_mean": False}, "channel first", ("max",), ("max", "mean")),
        ({"channel_max": False, "spatial_max": False}, "channel first", ("mean",), ("mean",)),
        ({"order": "spatial first", "spatial_mean": False}, "spatial first", ("mean", "max"), ("max",)),
        ({"channel_mean": False, "channel_max": False}, "channel first", (), ("max", "mean")),
        ({"spatial_mean": False, "spatial_max": False}, "channel first", ("mean", "max"), ()),
    ],
)
def test_the_pages_network_is_the_packages(page, cbam_network, settings, order, channel_pools, spatial_pools):
    image = torch.from_numpy(decoded(page, 4)).permute(2, 0, 1)[None].float() / 255
    for stage, part in enumerate(cbam_network.stages()):
        page.set(picture=4, stage=stage, **settings)
        with switched(part.attention, order, channel_pools, spatial_pools), record_masks(part.attention) as masks:
            expected = cbam_network(image).softmax(1)[0]
        np.testing.assert_allclose(probabilities(page), expected, atol=1e-5)
        np.testing.assert_allclose(data(page, "gates"), masks["channel"].flatten(), rtol=1e-4)
        spatial = masks["spatial"].flatten()[:400]
        np.testing.assert_allclose(data(page, "mask"), spatial, rtol=1e-3)


def decoded(page, index: int) -> np.ndarray:
    array = page.state("pictures")[index]["image"]
    return np.frombuffer(base64.b64decode(array["data"]), np.uint8).reshape(array["shape"]).copy()


@on("cbam")
def test_the_spatial_masks_pixels_are_magma_of_its_values(page):
    page.set(stage=2)
    mask = data(page, "mask").reshape(10, 10)
    pixels = page.pixels(page.root.locator("canvas[data-mask]"))
    places = ((np.arange(10) + 0.5) * pixels.shape[0] / 10).astype(int)
    expected = matplotlib.colormaps["magma"](mask, bytes=True)[:, :, :3].astype(int)
    assert np.abs(pixels[np.ix_(places, places)][:, :, :3].astype(int) - expected).max() <= 4


@on("cbam")
def test_steps_appear_one_after_another_in_the_order_of_the_block(page):
    def visible() -> list[str]:
        names = page.root.locator(".cw-panel-name", has_text=re.compile("^[1-5] ·"))
        return [one.inner_text() for one in names.all() if one.is_visible()]

    step = page.root.get_by_label("Step")
    step.press("Home")
    assert visible() == ["1 · x"]
    for _ in range(2):
        step.press("ArrowRight")
    assert visible() == ["1 · x", "2 · 8 gates", "3 · max", "3 · mean, own scale"]
    page.root.get_by_label("Order").select_option("spatial first")
    assert visible() == ["1 · x", "2 · max", "2 · mean, own scale", "3 · spatial mask"]


@on("cbam")
def test_a_changed_block_is_named_and_can_be_undone(page):
    before = probabilities(page)
    undo = page.root.get_by_role("button", name="Back to CBAM")
    assert undo.is_disabled()
    page.root.get_by_label("max in the spatial part").click()
    assert "With this block changed the network answers" in page.status
    assert np.abs(probabilities(page) - before).max() > 1e-4
    undo.press("Enter")
    wait_drawn(page.page)
    np.testing.assert_array_equal(probabilities(page), before)
    assert page.root.get_by_label("Order").evaluate("(select) => select === document.activeElement")


@on("cbam")
def test_the_code_of_cbam_steps_reproduces_its_numbers(page, cbam_network, monkeypatch):
    page.set(stage=1, order="spatial first", channel_max=False, picture=7)
    names = run_code(page, monkeypatch, cbam_network)
    np.testing.assert_allclose(probabilities(page), names["probabilities"][0], atol=1e-5)
    np.testing.assert_allclose(data(page, "gates"), names["masks"]["stage2.attention.channel"].flatten(), rtol=1e-4)


BAR = (11, 98, 184)  # of the light theme
INKS = (BAR, (184, 74, 0))


@on("cbam")
def test_gates_and_probabilities_are_bars_as_long_as_their_numbers(page):
    page.set(channel_mean=False, stage=0)
    canvas = page.root.locator("canvas[data-gates]")
    gates = data(page, "gates")
    pixels = page.pixels(canvas)[:, :, :3].astype(int)
    for channel, gate in enumerate(gates):
        row = pixels[int((channel + 0.3) * len(pixels) / len(gates))]
        assert (np.abs(row - BAR).max(axis=1) <= 3).mean() == pytest.approx(gate, abs=0.05)
    wait_drawn(page.page)
    lengths = page.root.locator(".cw-bar-fill").evaluate_all(
        "(all) => all.map((one) => one.getBoundingClientRect().width / one.parentElement.clientWidth)"
    )
    np.testing.assert_allclose(lengths, probabilities(page), atol=0.01)


@on("cbam")
def test_a_change_is_said_and_the_trained_gate_is_marked(page):
    before, own = probabilities(page), data(page, "gates")
    page.set(channel_mean=False)
    said = [text.partition("%")[2].strip() for text in page.root.locator(".cw-bar-value").all_inner_texts()]
    moved = 100 * (probabilities(page) - before)
    np.testing.assert_allclose([float(one.replace("−", "-") or 0) for one in said], moved, atol=0.051)
    assert np.abs(moved).max() > 0.1
    channel = int(np.abs(data(page, "gates") - own).argmax())
    pixels = page.pixels(page.root.locator("canvas[data-gates]"))[:, :, :3].astype(int)
    row = pixels[int((channel + 0.3) * len(pixels) / len(own))]
    assert row[round(own[channel] * pixels.shape[1] - 0.5)].max() < 60  # a dark mark


@on("cbam")
def test_the_strongest_channel_and_the_frame_of_a_gate_are_drawn_where_they_are(page, cbam_network):
    part = list(cbam_network.stages())[1]
    seen = []
    hook = part.attention.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    cbam_network(torch.from_numpy(decoded(page, 0)).permute(2, 0, 1)[None].float() / 255)
    hook.remove()
    strongest = seen[0][0].amax(dim=0).numpy()  # (20, 20)
    mean = (seen[0] * part.attention.channel.mask(seen[0]))[0].mean(dim=0).numpy()
    page.set(stage=1, picture=0, query=[12, 6], spatial_max=False)
    tiles = {
        name: page.pixels(
            page.root.locator("figure", has=page.page.get_by_text(f"· {name}", exact=False)).last.locator("canvas")
        )
        for name in ("x", "max", "mean")
    }
    side = tiles["x"].shape[0]
    places = ((np.arange(20) + 0.5) * side / 20).astype(int)
    for name, values in (("x", strongest), ("mean", mean)):
        expected = matplotlib.colormaps["viridis"](values / values.max(), bytes=True)[:, :, :3].astype(int)
        off = np.abs(tiles[name][np.ix_(places, places)][:, :, :3].astype(int) - expected).max(axis=2)
        off[8:17, 2:11] = 0  # under the frames
        assert off.max() <= 8
    places = [round(place * side / 20) for place in (9, 12.5, 16, 3, 6.5, 10)]  # 7 x 7 places round row 12, column 6
    top, middle_row, bottom, left, middle_column, right = places
    for row, column in ((top, middle_column), (bottom, middle_column), (middle_row, left), (middle_row, right)):
        near = tiles["max"][row - 1 : row + 2, column - 1 : column + 2, :3]
        assert near.min(axis=2).max() == 255
    was = re.search(r"its mask here is ([\d.]+) \(CBAM's own: ([\d.]+)\)", page.status)
    page.set(spatial_max=True)
    assert float(was[2]) == pytest.approx(data(page, "mask")[12 * 20 + 6], abs=0.006)


def run_code(page, monkeypatch, network) -> dict:
    """Run what "Copy the code" gives, with a small network in place of the one that ships."""
    page.page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('closed')); }")
    page.root.get_by_role("button", name="Copy the code").click()
    monkeypatch.setattr("course_utils.models.load_network", lambda name: network)
    names: dict = {}
    exec(page.root.get_by_label("Code").input_value(), names)
    return names


# branch-weights


@on("branches")
def test_the_means_drawn_are_those_of_the_network(page):
    network = drawn("sk", in_channels=1, widths=(8, 8, 12))
    expected = []
    for side in SIDES:
        with record_masks(network) as masks:
            network(pictures_of(side).images)
        expected.append(masks["stage2.attention"].mean(dim=(0, 2, 3, 4)))
    shown = page.root.locator("canvas[data-means]").get_attribute("data-means").split(";")
    found = np.array([[float(value) for value in line.split(",")] for line in shown])  # (branches, sizes)
    np.testing.assert_allclose(found, torch.stack(expected, dim=1), atol=1e-3)
    assert f"digits of {SIDES[0]} to {SIDES[-1]} pixels" in page.status


BEFORE_TABLE = 18, 24  # pixels above and left of the cells, for their words


@on("branches")
def test_the_table_is_sorted_and_coloured_by_the_share(page, branches):
    first = branches.stages[1]["shares"]
    shares = np.frombuffer(base64.b64decode(first["data"]), "<f2").reshape(first["shape"]).astype(float)
    share = shares[:, 1].T  # (C, sizes) of the 5 x 5 kernel
    order = np.argsort(share[:, 0] - share[:, -1], kind="stable")
    page.hover(page.canvas, 0.1, 0.18)  # in the first cell
    assert page.canvas.get_attribute("data-channel") == str(order[0])
    page.page.mouse.move(5, 5)
    values = share[order] - 0.5
    pixels = page.pixels(page.canvas)
    (top, left), (height, width) = BEFORE_TABLE, pixels.shape[:2]
    rows = (top + (np.arange(len(order)) + 0.5) * (height - top) / len(order)).astype(int)
    columns = (left + (np.arange(len(SIDES)) + 0.5) * (width - left) / len(SIDES)).astype(int)
    most = np.abs(values).max()
    expected = matplotlib.colormaps["RdBu"]((values + most) / (2 * most), bytes=True)[:, :, :3].astype(int)
    assert np.abs(pixels[np.ix_(rows, columns)][:, :, :3].astype(int) - expected).max() <= 6
    page.root.get_by_label("Sort channels").select_option("channel")
    page.hover(page.canvas, 0.1, 0.18)  # in the first cell
    assert page.canvas.get_attribute("data-channel") == "0"


@on("branches")
def test_the_lines_and_the_dot_stand_at_the_means(page):
    page.set(query=[0, 6])
    canvas = page.root.locator("canvas[data-means]")
    means = np.array([line.split(",") for line in canvas.get_attribute("data-means").split(";")], dtype=float)
    pixels = page.pixels(canvas).astype(int)
    across = [40 + (pixels.shape[1] - 96) * (side - SIDES[0]) / (SIDES[-1] - SIDES[0]) for side in SIDES]

    def inked(branch: int, i: int) -> np.ndarray:
        """The rows in which the branch's own ink stands at a size."""
        column = pixels[:, round(across[i])]
        return np.flatnonzero((np.abs(column[:, :3] - INKS[branch]).max(axis=1) <= 3) & (column[:, 3] == 255))

    solid = [i for i in range(len(SIDES)) if len(inked(0, i)) and i != 6]
    slope, start = np.polyfit(means[0, solid], [inked(0, i).mean() for i in solid], 1)
    assert len(solid) >= 6 and slope < -100
    for branch in (0, 1):
        rows = [(i, inked(branch, i)) for i in range(len(SIDES)) if len(inked(branch, i))]
        assert len(rows) >= 3  # the second line is dashed
        for i, found in rows:
            assert found.mean() == pytest.approx(start + slope * means[branch, i], abs=6)
        assert len(inked(branch, 6)) >= 7  # the dot of the size in focus


def branch_stage(name, kernels, shares, spread, example_shares):
    measured = {"shares": shares, "spread": spread, "example_shares": example_shares}
    return {"name": name, "kernels": kernels, "stride": 1, **measured}


def branch_widget(sizes: tuple[int, ...], stage: dict, pictures: np.ndarray, **traits: object) -> BranchWeights:
    """A table of one stage and of pictures (sizes, examples, H, W)."""
    squares = np.ones((*pictures.shape[:2], 3), int).tolist()
    counts = [pictures.shape[1]] * len(sizes)
    return BranchWeights(sizes=sizes, counts=counts, pictures=pictures, squares=squares, stages=[stage], **traits)


def test_the_band_of_a_line_is_its_deviation(alone):
    mean = np.array([0.3, 0.4, 0.5])
    shares = np.stack([mean, 1 - mean], axis=1)[:, :, None]
    stage = branch_stage("s", (3, 5), shares, np.full((3, 2), 0.05), shares[:, None])
    page = alone(branch_widget((8, 16, 24), stage, np.zeros((3, 1, 8, 8), np.uint8), query=(0, 2)))
    pixels = page.pixels(page.root.locator("canvas[data-means]")).astype(int)
    column = pixels[:, 42]  # at the first size
    lines = [float(np.flatnonzero(np.abs(column[:, :3] - ink).max(axis=1) <= 3).mean()) for ink in INKS]
    unit = (lines[0] - lines[1]) / 0.4  # pixels for a share of 1
    for line in lines:
        for part, filled in ((0.8, True), (1.2, False)):
            for side in (-1, 1):
                assert bool(column[round(line + side * part * 0.05 * unit), 3] > 0) is filled


@on("branches")
def test_the_picture_shown_has_the_chosen_size_and_squares_of_the_kernels_reach(page, branches):
    page.set(query=[0, 7], example=2, stage=1)
    json = branches.pictures
    every = np.frombuffer(base64.b64decode(json["data"]), np.uint8).reshape(json["shape"])
    canvas = page.root.get_by_label("A digit whose square has", exact=False)
    pixels = page.pixels(canvas)[:, :, :3].astype(int)
    unit = len(pixels) / every.shape[2]
    places = ((np.arange(every.shape[2]) + 0.5) * unit).astype(int)
    shown = pixels[np.ix_(places, places)].mean(axis=2).ravel()

    def alike(size: int, example: int) -> float:
        return float(np.corrcoef(shown, every[size, example].ravel())[0, 1])

    assert alike(7, 2) > 0.9 > max(alike(7, 1), alike(6, 2))
    row, column, side = branches.squares[7][2]
    middle = (row + side / 2) * unit
    for kernel, colour in ((3, (158, 203, 255)), (5, (255, 176, 102))):
        edge = (column + side / 2 - kernel * 2 / 2) * unit  # the stride of the second block's input is 2
        near = pixels[round(middle) - 8 : round(middle) + 9, round(edge) - 1 : round(edge) + 2]
        assert np.abs(near - colour).max(axis=2).min() <= 8


@pytest.mark.parametrize("channels", [24, 48])
def test_rows_have_their_numbers_where_they_fit_else_the_ends_and_some_between(alone, channels):
    shares = np.full((2, 2, channels), 0.5)
    stage = branch_stage("s", (3, 5), shares, np.zeros((2, 2)), shares[:, None])
    page = alone(branch_widget((8, 16), stage, np.zeros((2, 1, 8, 8), np.uint8), order="channel"))
    pixels = page.pixels(page.canvas)
    top, left = BEFORE_TABLE
    inked = (pixels[top:, : left - 2, 3] > 60).any(axis=1)
    starts, ends = (np.flatnonzero(np.diff(inked.astype(int), prepend=0, append=0) == one) for one in (1, -1))
    step = (pixels.shape[0] - top) / channels
    named = ((starts + ends) / 2 / step).astype(int)
    every = list(range(channels)) if channels == 24 else [*range(0, 46, 2), 47]
    assert named.tolist() == every
    page.assert_clean()


def test_words_of_a_picture_are_those_of_the_one_shown(alone):
    shares = np.full((2, 2, 1), 0.5)
    own = np.array(
        [[[[0.1], [0.9]], [[0.2], [0.8]]], [[[0.3], [0.7]], [[0.4], [0.6]]]]
    )  # (sizes, examples, branches, 1)
    stage = branch_stage("s", (3, 5), shares, np.zeros((2, 2)), own)
    page = alone(branch_widget((8, 16), stage, np.zeros((2, 2, 8, 8), np.uint8)))
    for size, example, small, large in ((0, 0, 10, 90), (0, 1, 20, 80), (1, 0, 30, 70), (1, 1, 40, 60)):
        page.set(query=[0, size], example=example)
        words = page.status.replace("\u00a0", " ")
        assert f"in the picture shown, 3 × 3: {small}.0 %, 5 × 5: {large}.0 %." in words


@on("branches")
def test_words_of_a_stage_say_the_change_and_the_count(page, branches):
    means = page.root.locator("canvas[data-means]").get_attribute("data-means").split(";")[1].split(",")
    change = re.search(r"changes by (−?[\d.]+) points", page.status)[1].replace("−", "-")
    assert float(change) == pytest.approx(100 * (float(means[-1]) - float(means[0])), abs=0.06)
    assert f"{branches.counts[4]} pictures" in page.status


@on("branches")
def test_the_code_of_branch_weights_reproduces_a_picture(page, monkeypatch):
    page.set(stage=2, example=2, query=[0, 4])
    network = drawn("sk", in_channels=1, widths=(8, 8, 12))
    own = re.search(r"in the picture shown, 3\s×\s3: ([\d.]+) %, 5\s×\s5: ([\d.]+) %", page.status)
    names = run_code(page, monkeypatch, network)
    shares = names["shares"].mean(dim=1)
    np.testing.assert_allclose([float(own[1]), float(own[2])], 100 * shares, atol=0.11)


# space-time


def film(page):
    """The canvas with the strips."""
    return page.root.locator("canvas[data-weights]")


def film_panels(page, pixels: np.ndarray):
    """The side of a panel, and `panel(line, frame)`, its pixels: 8 between panels, 18 above each line of them."""
    side = (pixels.shape[1] - 5 * 8) // 6

    def panel(line: int, frame: int) -> np.ndarray:
        top, left = 18 + line * (side + 26), frame * (side + 8)
        return pixels[top : top + side, left : left + side]

    return side, panel


@on("clips")
@pytest.mark.parametrize("query", [(0, 0, 0), (2, 4, 3), (5, 9, 9)])
def test_the_weights_are_those_of_the_blocks(page, clips, query):
    page.set(query=list(query), clip=1, temperature=0.75)
    array = clips.clips[1]["tokens"]
    tokens = torch.from_numpy(
        np.frombuffer(base64.b64decode(array["data"]), "<f2").reshape(array["shape"]).astype("f4")
    )
    frames, places, width = tokens.shape
    t, s = query[0], 10 * query[1] + query[2]
    joint = identity_attention(width, "joint", 0.75).mask(tokens[None])[0, 0, t * places + s]
    temporal, spatial = identity_attention(width, "divided", 0.75).mask(tokens[None])
    time = torch.zeros(frames, places)
    time[:, s] = temporal[0, s, 0, t]
    space = torch.zeros(frames, places)
    space[t] = spatial[0, t, 0, s]
    both = spatial[0, t, 0, s] * temporal[0, :, 0, t].T
    expected = {"joint": joint, "time": time.flatten(), "space": space.flatten(), "both": both.flatten()}
    for one in film(page).get_attribute("data-weights").split(";"):
        name, best, value = one.split()
        assert expected[name][int(best)].item() == pytest.approx(float(value), rel=1e-4)
        assert expected[name].max().item() == pytest.approx(float(value), rel=1e-4)
    others = [frame for frame in range(frames) if frame != t]
    words = f"get {100 * joint.view(frames, places)[others].sum().item():.1f} % in joint attention"
    assert words in page.status, page.status


@on("clips")
def test_arrows_walk_into_the_next_frame_and_the_slider_keeps_the_place(page):
    page.set(query=[1, 3, 9])
    assert page.canvas.get_attribute("data-query") == "3,19"
    page.canvas.press("ArrowRight")
    assert "Query: frame 3, row 4, column 1" in page.status
    page.canvas.press("ArrowRight")
    page.canvas.press("Enter")
    slider = page.root.get_by_label("Frame of the query")
    slider.press("End")
    assert page.state("query") == [5, 3, 1]
    assert page.canvas.get_attribute("data-locked") == "true"
    page.canvas.press("Escape")
    assert page.state("query") == []
    slider.press("Home")
    assert page.state("query") == [] and page.canvas.get_attribute("data-locked") == "false"
    assert page.status.startswith("Query: frame 1,")
    page.hover(page.canvas, 0.05, 0.05)
    assert page.status.startswith("Query: frame 1, row 1, column 1,")


@on("clips")
def test_cells_that_a_step_does_not_look_at_are_grey(page):
    page.set(query=[2, 5, 5])
    _, panel = film_panels(page, page.pixels(film(page))[:, :, :3].astype(int))
    first, time, space, both = (panel(line, 5)[3, 3] for line in (1, 2, 3, 4))
    assert np.ptp(time) < 20 and time.min() > 180
    np.testing.assert_array_equal(space, time)
    assert (first < 60).all() and (both < 60).all()


@on("clips")
@pytest.mark.parametrize("own_range", [True, False])
def test_frames_and_weights_are_drawn_in_their_panels(page, clips, own_range):
    query = (3, 6, 4)
    page.set(query=list(query), clip=1, own_range=own_range)
    json = clips.clips[1]
    frames = np.frombuffer(base64.b64decode(json["frames"]["data"]), np.uint8).reshape(json["frames"]["shape"])
    tokens = np.frombuffer(base64.b64decode(json["tokens"]["data"]), "<f2").reshape(json["tokens"]["shape"])
    tokens = torch.from_numpy(tokens.astype("f4"))
    t, s = query[0], 10 * query[1] + query[2]
    warmth = page.state("temperature")
    joint = identity_attention(tokens.shape[2], "joint", warmth).mask(tokens[None])[0, 0, 100 * t + s].view(6, 100)
    temporal, spatial = identity_attention(tokens.shape[2], "divided", warmth).mask(tokens[None])
    space, both = spatial[0, t, 0, s], spatial[0, t, 0, s] * temporal[0, :, 0, t].T
    tops = [float(one.max()) for one in (joint, temporal[0, s, 0, t], space, both)]
    if not own_range:
        tops = [max(tops)] * 4

    side, panel = film_panels(page, page.pixels(film(page))[:, :, :3].astype(int))
    cells = ((np.arange(10) + 0.5) * side / 10).astype(int)

    def assert_drawn(line: int, frame: int, weights: torch.Tensor) -> None:
        shares = weights.view(10, 10).numpy() / tops[line - 1]
        expected = matplotlib.colormaps["magma"](shares, bytes=True)[:, :, :3].astype(int)
        off = np.abs(panel(line, frame)[np.ix_(cells, cells)] - expected).max(axis=2)
        if frame == t:
            off[query[1] - 1 : query[1] + 2, query[2] - 1 : query[2] + 2] = 0  # under the outline
        assert off.max() <= 5

    places = ((np.arange(40) + 0.5) * side / 40).astype(int)
    for frame in range(6):
        shown = panel(0, frame)[np.ix_(places, places)].mean(axis=2).ravel()
        alike = [np.corrcoef(shown, other.ravel())[0, 1] for other in frames]
        assert int(np.argmax(alike)) == frame and alike[frame] > 0.75
        assert_drawn(1, frame, joint[frame])
        assert_drawn(4, frame, both[frame])
        if frame != t:
            over_time = float(temporal[0, s, 0, t, frame]) / tops[1]
            expected = np.array(matplotlib.colormaps["magma"](over_time, bytes=True)[:3], int)
            assert np.abs(panel(2, frame)[cells[query[1]], cells[query[2]]] - expected).max() <= 5
    assert_drawn(3, t, space)


@on("clips")
def test_words_name_the_strongest_other_cell_and_the_weight_on_the_digit(page, clips):
    json = clips.clips[0]
    moving = np.frombuffer(base64.b64decode(json["moving"]["data"]), np.uint8).reshape(6, 100) / 255
    tokens = np.frombuffer(base64.b64decode(json["tokens"]["data"]), "<f2").reshape(json["tokens"]["shape"])
    tokens = torch.from_numpy(tokens.astype("f4"))
    s = int(np.flatnonzero(moving[2] > 0.9)[0])
    page.set(clip=0, query=[2, s // 10, s % 10])
    joint = identity_attention(tokens.shape[2], "joint", page.state("temperature")).mask(tokens[None])[0, 0, 200 + s]
    weights = joint.view(6, 100).numpy().copy()
    others = [0, 1, 3, 4, 5]
    same = (weights * moving)[others].sum()
    anywhere = f"other frames get {100 * weights[others].sum():.1f} % in joint attention"
    assert f"{anywhere} (this digit: {100 * same:.1f} %)" in page.status
    weights[2, s] = 0
    frame, place = divmod(int(weights.argmax()), 100)
    words = f"joint frame {frame + 1}, row {place // 10 + 1}, column {place % 10 + 1} with {100 * weights.max():.1f} %"
    assert words in page.status


@on("clips")
def test_at_rest_the_middle_of_what_moves_in_the_middle_frame_is_shown(page, clips):
    moving = np.frombuffer(base64.b64decode(clips.clips[0]["moving"]["data"]), np.uint8).reshape(6, 10, 10)[2]
    rows, columns = np.indices(moving.shape)
    row, column = (round(float((moving * axis).sum() / moving.sum())) for axis in (rows, columns))
    assert page.status.startswith(f"Query: frame 3, row {row + 1}, column {column + 1}, on the digit that moves.")


@on("clips")
def test_the_code_of_space_time_reproduces_the_weights(page, monkeypatch):
    page.set(query=[3, 2, 6], clip=2)
    names = run_code(page, monkeypatch, None)
    weights = {
        "joint": names["all_at_once"],
        "time": names["over_time"],
        "space": names["over_space"],
        "both": names["both"],
    }
    for one in film(page).get_attribute("data-weights").split(";"):
        name, _, value = one.split()
        assert weights[name].max().item() == pytest.approx(float(value), rel=1e-4)


def test_the_clips_shown_are_those_of_the_code(clips):
    data_set = moving_digits(40, seed=5, split="test")
    words = [f"clip {i + 1}: a {int(data_set.labels[i])} moves" for i in range(3)]
    assert [clip["label"] for clip in clips.clips] == words


# all three


@EVERY
def test_hover_focuses_click_pins_arrows_move_escape_unpins(page):
    canvas = page.canvas
    at_rest = page.status
    page.hover(canvas, 0.62, 0.59)  # inside a cell
    query = canvas.get_attribute("data-query")
    assert query and canvas.get_attribute("data-locked") == "false" and page.status != at_rest
    page.page.mouse.down()
    page.page.mouse.up()
    assert canvas.get_attribute("data-locked") == "true" and "Pinned" in page.status
    stored = page.state("query")
    assert stored
    canvas.press("ArrowDown")
    row, column = query.split(",")
    assert canvas.get_attribute("data-query") == f"{int(row) + 1},{column}"
    canvas.press("Escape")
    assert canvas.get_attribute("data-query") is None and page.state("query") == []
    canvas.press("Enter")
    assert canvas.get_attribute("data-locked") == "true"
    for _ in range(60):
        canvas.press("ArrowUp")
    page.says(r"Edge\.$")


@EVERY
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(page, theme):
    page.theme(theme)
    assert page.violations() == []


@EVERY
def test_nothing_needs_sideways_scrolling(page):
    for width in (420, 700):
        page.page.set_viewport_size({"width": width, "height": 800})
        wait_drawn(page.page)
        assert page.page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")


@EVERY
def test_the_picture_can_be_saved(page, tmp_path):
    with page.page.expect_download() as download:
        page.root.get_by_role("button", name="Save the picture").click()
    download.value.save_as(tmp_path / "saved.png")
    saved = np.asarray(Image.open(tmp_path / "saved.png").convert("RGB"))
    assert saved.shape[1] > 500 and len(np.unique(saved.reshape(-1, 3), axis=0)) > 50


# what is hard to draw


def tiny_cbam(label: str) -> CBAMSteps:
    shapes = {"convolution": (1, 1, 3, 3), "reduce": (1, 1), "expand": (1, 1), "spatial": (1, 2, 7, 7)}
    layers = {name: {"weight": np.ones(shape), "bias": np.zeros(1)} for name, shape in shapes.items()}
    stage = {"name": label, "pool": 1, **layers}
    picture = {"label": label, "image": np.full((1, 1), 255, np.uint8), "code": ""}
    head = {"weight": np.ones((2, 1)), "bias": np.zeros(2)}
    return CBAMSteps(stages=[stage], head=head, pictures=[picture], label=label)


def tiny_branches(label: str) -> BranchWeights:
    stage = branch_stage(label, (3,), np.ones((2, 1, 1)), np.zeros((2, 1)), np.ones((2, 1, 1, 1)))
    return branch_widget((1, 2), stage, np.zeros((2, 1, 1, 1), np.uint8), label=label, branch=0)


def tiny_clip(label: str) -> SpaceTime:
    dark = np.zeros((1, 1, 1), np.uint8)
    clip = {"label": label, "frames": dark, "tokens": np.ones((1, 1, 1)), "moving": dark, "standing": dark, "code": ""}
    return SpaceTime([clip], label=label)


@pytest.mark.parametrize("make", [tiny_cbam, tiny_branches, tiny_clip])
def test_one_pixel_is_drawn_and_a_label_stays_text(alone, make):
    label = '<img src=x onerror=alert(1)> "&amp;'
    page = alone(make(label))
    assert page.root.get_attribute("aria-label") == label and page.root.locator("img").count() == 0
    page.move_every_control()
    page.hover(page.canvas, 0.5, 0.5)
    page.canvas.press("Enter")
    assert page.canvas.get_attribute("data-locked") == "true"
    assert not re.search("NaN|undefined|Infinity", page.root.inner_text())
    page.assert_clean()
