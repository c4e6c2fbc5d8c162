"""`score-lab` in a browser: every score and every alignment computed in the page as the package computes it."""

import itertools
import math
import re

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from course_utils.attention import SubsetAgent, align
from course_utils.widgets import explore_score_lab
from course_utils.widgets.score_lab.explore import HIDDEN, WIDTHS, lab_inputs, lab_parameters, lab_score
from course_utils.widgets.score_lab.widget import ALIGNMENT_NAMES, PLANE_STEPS, SCORE_NAMES, ScoreLab

torch.set_num_threads(1)
PAIRS = list(itertools.product(SCORE_NAMES, ALIGNMENT_NAMES))


def noise_picture() -> dict:
    """A picture of 4 x 5 cells whose keys are noise."""
    rng = np.random.default_rng(5)
    return {
        "key": "noise",
        "title": "noise",
        "keys": rng.normal(size=(20, 64)).astype(np.float32),
        "values": rng.random((20, 3)).astype(np.float32),
        "start": (2, 1),
        "steps": (4, 5),
        "rest": None,
        "image": rng.integers(0, 256, (40, 50, 3), np.uint8),
    }


def on_noise(**settings) -> ScoreLab:
    parameters = {width: lab_parameters(width) for width in WIDTHS}
    return ScoreLab([noise_picture()], parameters, **settings)


def shown(page, panel: int) -> dict[str, np.ndarray]:
    names = ("scores", "weights", "gradient", "context")
    strips = page.root.locator("canvas[data-weights]").nth(panel)
    return {name: np.array(strips.evaluate("(one, name) => [...one.result[name]]", name)) for name in names}


def query_of(page) -> list[int]:
    """The (row, column) of the query that is shown."""
    start = {source["key"]: source["start"] for source in page.state("sources")}[page.state("source")]
    return page.state("query") or start


def inputs(page) -> tuple[Tensor, Tensor, Tensor]:
    width, (row, column) = page.state("width"), query_of(page)
    source = noise_picture()
    if page.state("source") != source["key"]:
        return lab_inputs(page.state("source"), width, (row, column))
    keys, values = torch.from_numpy(source["keys"])[None, :, :width], torch.from_numpy(source["values"])[None]
    return keys[:, 5 * row + column][None], keys, values


def options(page, alignment: str, weights: np.ndarray) -> dict:
    if alignment == "local":
        on_plane = page.state("source") == "plane"
        place = [page.state("center")] if on_plane else [query_of(page)]
        shape = {} if on_plane else {"shape": (4, 5)}
        return {
            "center": torch.tensor([place]),
            "window": page.state("window"),
            "gaussian": page.state("gaussian"),
        } | shape
    if alignment == "reinforced":
        return {"keep": torch.from_numpy(weights > 0)[None, None]}
    return {"estimator": page.state("estimator")} if alignment == "hard" else {}


def drawn_alike(scores: Tensor, weights: np.ndarray, **chosen) -> Tensor:
    """The package's hard weights, drawn until it draws the page's key: their gradient may depend on the draw."""
    for seed in range(10_000):
        aligned = align("hard", scores, generator=torch.Generator().manual_seed(seed), **chosen)
        if aligned[0, 0].argmax() == int(weights.argmax()):
            return aligned
    raise AssertionError("The page drew a key that the package does not draw.")


def assert_as_the_package(page) -> None:
    query, keys, values = inputs(page)
    for panel in (0, 1):
        score, alignment = page.state("scores")[panel], page.state("alignments")[panel]
        page_has = shown(page, panel)
        with torch.no_grad():
            scores = lab_score(score, page.state("width"))(query, keys)
        scores.requires_grad_()
        chosen = options(page, alignment, page_has["weights"])
        divided = scores / page.state("temperature")
        if alignment == "hard":
            weights = drawn_alike(divided, page_has["weights"], **chosen)
        else:
            weights = align(alignment, divided, **chosen)
        (gradient,) = torch.autograd.grad(weights[0, 0, page.state("chosen")], scores)
        close = {"rtol": 2e-4, "atol": 2e-5, "err_msg": f"{score}, {alignment}"}
        np.testing.assert_allclose(page_has["scores"], scores[0, 0].detach(), **close)
        np.testing.assert_allclose(page_has["weights"], weights[0, 0].detach(), **close)
        np.testing.assert_allclose(page_has["gradient"], gradient[0, 0], **close)
        np.testing.assert_allclose(page_has["context"], (weights @ values)[0, 0].detach(), **close)


@pytest.mark.parametrize("make", [explore_score_lab, on_noise], ids=["plane", "picture"])
def test_every_score_with_every_alignment_is_what_the_package_computes(alone, make):
    page = alone(make())
    rng = np.random.default_rng(7)
    rows, columns = page.state("sources")[0]["steps"]
    for first, second in zip(PAIRS[::2], PAIRS[1::2], strict=True):
        page.set(
            scores=[first[0], second[0]],
            alignments=[first[1], second[1]],
            width=int(rng.choice(WIDTHS)),
            temperature=round(float(rng.uniform(0.5, 3)), 1),
            window=float(rng.integers(1, 5)),
            gaussian=bool(rng.integers(2)),
            center=float(rng.integers(0, 12)),
            estimator=str(rng.choice(["straight_through", "reinforce"])),
            sample=int(rng.integers(1, 1000)),
            chosen=int(rng.integers(0, 12)),
            query=[int(rng.integers(rows)), int(rng.integers(columns))],
        )
        assert_as_the_package(page)
    page.assert_clean()


def test_every_width_has_its_own_parameters(alone):
    page = alone(explore_score_lab(scores=("general", "concat"), alignments=("softmax", "sparsemax")))
    for width in WIDTHS:
        page.set(width=width)
        assert_as_the_package(page)


def weights_of_samples(page, many: int) -> np.ndarray:
    """(many, K): the weights of A for the samples 1 to many."""
    texts = page.page.evaluate(
        """(many) => Array.from({ length: many }, (_, i) => {
          document.querySelector("main").model.set("sample", many - i);
          return document.querySelector("canvas[data-weights]").dataset.weights;
        })""",
        many,
    )
    return np.array([[float(value) for value in text.split(",")] for text in texts])


def test_hard_draws_each_key_as_often_as_its_chance_says(alone):
    page = alone(explore_score_lab(scores=("scaled_multiplicative",) * 2, alignments=("hard", "softmax")))
    weights = weights_of_samples(page, 400)
    assert set(weights.max(axis=1)) == {1.0} and set(weights.sum(axis=1)) == {1.0}
    chance = shown(page, 1)["weights"]
    assert np.abs(weights.mean(axis=0) - chance).max() < 4 * math.sqrt(0.25 / 400)
    assert (weights.mean(axis=0)[chance > 0.02] > 0).all()


def test_the_agent_keeps_each_key_as_often_as_its_coin_says(alone):
    page = alone(explore_score_lab(alignments=("reinforced", "softmax"), temperature=5.0))
    kept = (weights_of_samples(page, 400) > 0).mean(axis=0)
    query, keys, _ = inputs(page)
    with torch.no_grad():
        agent = SubsetAgent(2, 2, HIDDEN)
        drawn = {name: torch.from_numpy(values) for name, values in lab_parameters(2).items()}
        agent.load_state_dict({name[6:]: values for name, values in drawn.items() if name.startswith("agent.")})
        chance = torch.sigmoid(agent.policy(query, keys))[0, 0].numpy()
    assert np.ptp(chance) > 0.1
    assert np.abs(kept - chance).max() < 4 * math.sqrt(0.25 / 400)


def place(page, row: int, column: int) -> tuple[float, float]:
    box = page.canvas.bounding_box()
    share = [step / (PLANE_STEPS - 1) for step in (column, row)]
    return box["x"] + share[0] * box["width"], box["y"] + share[1] * box["height"]


def test_hover_moves_the_query_and_leaving_brings_it_back(alone):
    page = alone(explore_score_lab())
    page.canvas.scroll_into_view_if_needed()
    before = shown(page, 0)["weights"]
    page.page.mouse.move(*place(page, 45, 12))
    assert page.canvas.get_attribute("data-query") == "45,12"
    assert page.canvas.get_attribute("data-locked") == "false"
    assert page.status.startswith("Query at (-1.8, -1.5).")
    query, keys, _ = lab_inputs("plane", 2, (45, 12))
    expected = lab_score("scaled_multiplicative", 2)(query, keys).softmax(-1)[0, 0]
    np.testing.assert_allclose(shown(page, 0)["weights"], expected, rtol=1e-4, atol=1e-6)
    page.page.mouse.move(5, 5)
    assert page.canvas.get_attribute("data-query") is None
    np.testing.assert_array_equal(shown(page, 0)["weights"], before)
    page.assert_clean()


def test_a_click_pins_the_query_and_it_can_be_dragged_in_either_panel(alone):
    page = alone(explore_score_lab())
    page.canvas.scroll_into_view_if_needed()
    page.page.mouse.click(*place(page, 20, 20))
    assert page.state("query") == [20, 20]
    page.page.mouse.move(*place(page, 40, 40))
    assert page.canvas.get_attribute("data-query") == "20,20"
    other = page.root.locator("canvas.cw-pointed").nth(1)
    box = other.bounding_box()
    page.page.mouse.move(box["x"] + 30, box["y"] + 30)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.25 * box["height"], steps=4)
    page.page.mouse.up()
    assert page.state("query") == [15, 30]
    assert page.canvas.get_attribute("data-query") == "15,30"
    assert "Pinned; Escape unpins." in page.status
    page.page.mouse.click(*place(page, 15, 30))  # a click on the pinned place unpins it
    assert page.state("query") == []
    page.assert_clean()


def test_keys_move_pin_and_unpin_the_query_and_stay_inside(alone):
    page = alone(explore_score_lab(query=(0, 59)))
    assert page.canvas.get_attribute("data-locked") == "false"
    page.page.evaluate("window.heard = []; document.addEventListener('keydown', (event) => heard.push(event.key))")
    page.canvas.focus()
    assert page.canvas.get_attribute("data-query") == "0,59"
    for key in ("ArrowRight", "ArrowRight"):
        page.canvas.press(key)
    assert page.status.endswith("Edge.")
    page.canvas.press("Enter")
    assert page.state("query") == [0, 60]
    page.canvas.press("ArrowDown")
    assert page.state("query") == [1, 60]
    page.canvas.press("Escape")
    assert page.state("query") == []
    assert page.canvas.get_attribute("data-query") is None
    assert page.status.startswith("Query at (0.8, 1)")
    assert page.page.evaluate("heard") == []


@pytest.mark.parametrize("make", [explore_score_lab, on_noise], ids=["plane", "picture"])
def test_every_control_moves_to_both_ends_without_an_error(alone, make):
    page = alone(make(alignments=("local", "hard")))
    assert page.move_every_control() >= 7
    page.set(alignments=["hard", "reinforced"])
    before = page.state("sample")
    page.root.get_by_role("button", name="Sample again").click()
    assert page.state("sample") == before + 1
    assert_as_the_package(page)
    page.assert_clean()


def test_only_controls_that_something_listens_to_are_shown(alone):
    page = alone(explore_score_lab())
    for alignments, names in (
        (["softmax", "sigmoid"], set()),
        (["softmax", "local"], {"Window", "Center", "Gaussian"}),
        (["hard", "softmax"], {"Gradient of hard"}),
    ):
        page.set(alignments=alignments)
        seen = {
            name
            for name in ("Window", "Center", "Gaussian", "Gradient of hard")
            if page.root.get_by_label(name).is_visible()
        }
        assert seen == names
    assert page.root.get_by_role("button", name="Sample again").is_visible()


def test_both_panels_share_one_range_of_weights_unless_each_has_its_own(alone):
    page = alone(explore_score_lab(alignments=("softmax", "sparsemax"), chosen=2))
    tops = [shown(page, panel)["weights"].max() for panel in (0, 1)]

    def ends() -> list[float]:
        scales = page.root.locator(".cw-scale-numbers")
        return [float(scales.nth(panel).locator("span").last.inner_text()) for panel in (0, 1)]

    assert tops[0] != pytest.approx(tops[1], rel=0.1)
    assert ends() == pytest.approx([max(tops)] * 2, rel=5e-3)
    page.root.get_by_label("A and B have their own scales").check()
    assert ends() == pytest.approx(tops, rel=5e-3)


def test_a_click_on_a_bar_chooses_the_key_of_the_gradient(alone):
    page = alone(explore_score_lab())
    bars = page.root.locator("canvas[data-weights]").nth(1)
    bars.scroll_into_view_if_needed()
    box = bars.bounding_box()
    bars.click(position={"x": box["width"] * 7.5 / 12, "y": 30})
    assert page.state("chosen") == 7
    assert_as_the_package(page)


def test_a_key_without_weight_is_hollow_and_one_with_little_is_not(alone):
    page = alone(
        explore_score_lab(scores=("similarity_euclidean",) * 2, alignments=("softmax", "sparsemax"), query=(20, 50))
    )
    weights = shown(page, 1)["weights"]
    far = 7
    assert weights[far] == 0 and shown(page, 0)["weights"][far] > 0
    values = lab_inputs("plane", 2, (0, 0))[2][0, far]
    for panel, hollow in ((0, False), (1, True)):
        canvas = page.root.locator("canvas.cw-pointed").nth(panel)
        pixels = page.pixels(canvas)
        side = pixels.shape[0]
        column, row = (round(float(v) / 6 * side + side / 2) for v in (values[0], -values[1]))
        assert bool(pixels[row + 6, column, :3].mean() > 200) is hollow


@pytest.mark.parametrize("alignments", [("softmax", "local"), ("hard", "reinforced")])
@pytest.mark.parametrize("make", ["plane"])
def test_the_copied_code_makes_what_is_shown(alone, alignments, make):
    page = alone(explore_score_lab(("additive", "general"), alignments, width=8, temperature=0.7, sample=3))
    page.root.get_by_role("button", name="Copy the code").click()
    code = page.root.get_by_label("Code").input_value()
    first, second = code.split("\n# B\n")
    scope: dict = {}
    for part, panel in ((first, 0), (second, 1)):
        exec(part, scope)
        page_has = shown(page, panel)
        np.testing.assert_allclose(page_has["scores"], 0.7 * scope["scores"][0, 0].detach(), rtol=1e-4, atol=1e-5)
        if alignments[panel] != "hard":
            np.testing.assert_allclose(page_has["weights"], scope["weights"][0, 0].detach(), rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(page_has["context"], scope["context"][0, 0].detach(), rtol=1e-4, atol=1e-5)


def test_the_saved_picture_holds_both_panels(alone):
    page = alone(explore_score_lab())
    with page.page.expect_download() as download:
        page.root.get_by_role("button", name="Save the picture").click()
    assert download.value.suggested_filename == "score-lab.png"
    assert download.value.path().stat().st_size > 20_000
    with Image.open(download.value.path()) as saved:
        across = saved.width
    widest = page.root.locator("canvas").evaluate_all("(all) => Math.max(...all.map((one) => one.clientWidth))")
    assert across >= 2 * widest + 3 * 16  # A's panel does not lie under B's


@pytest.mark.parametrize("make", [explore_score_lab, on_noise], ids=["plane", "picture"])
def test_nothing_is_wrong_for_assistive_tools_in_light_and_dark(alone, make):
    page = alone(make(alignments=("local", "hard")))
    page.canvas.focus()
    page.canvas.press("Enter")
    for theme in ("light", "dark"):
        page.theme(theme)
        assert page.violations() == []
    page.assert_clean()


def test_one_key_is_drawn_and_a_title_stays_text(alone):
    label = '<img src=x onerror=alert(1)> "&amp;'
    one = {"key": "one", "title": label, "start": (0, 0), "steps": (1, 1), "rest": None}
    source = {**one, "keys": np.zeros((1, 2)), "values": np.ones((1, 3)), "image": np.zeros((1, 1, 3), np.uint8)}
    page = alone(ScoreLab([source, noise_picture()], {2: lab_parameters(2)}, label=label))
    assert page.root.get_attribute("aria-label") == label and page.root.locator("img").count() == 0
    for score, alignment in PAIRS:
        page.set(scores=[score, score], alignments=[alignment, "softmax"], gaussian=True)
        assert np.isfinite(shown(page, 0)["weights"]).all()
        assert shown(page, 1)["weights"] == 1
    page.canvas.press("Enter")
    assert not re.search("NaN|undefined|Infinity", page.root.inner_text())
    page.assert_clean()


# what is drawn

QUERY, CONTEXT, INK = (11, 98, 184), (184, 74, 0), (26, 32, 41)  # of the light theme


def plane_of(page, panel: int):
    """The pixels of a panel's plane, and where a place lies among them: (row, column)."""
    pixels = page.pixels(page.root.locator("canvas.cw-pointed").nth(panel))[:, :, :3].astype(int)
    side = len(pixels)
    return pixels, lambda x, y: (round((3 - y) / 6 * side), round((x + 3) / 6 * side))


def test_query_context_and_the_chosen_key_stand_at_their_places(alone):
    page = alone(explore_score_lab(query=(55, 5), chosen=9))
    keys = lab_inputs("plane", 2, (55, 5))[1][0]
    for panel in (0, 1):
        pixels, at = plane_of(page, panel)
        assert np.abs(pixels[at(-2.5, -2.5)] - QUERY).max() <= 3
        assert np.abs(pixels[at(*shown(page, panel)["context"])] - CONTEXT).max() <= 3
        for key, ringed in ((9, True), (8, False)):
            row, column = at(*keys[key].tolist())
            ring = np.abs(pixels[row + 13 : row + 16, column] - INK).max(axis=1)
            assert bool(ring.min() <= 30) is ringed


def test_lines_join_the_places_of_one_score(alone):
    page = alone(explore_score_lab(query=(55, 5)))  # B is minus the distance: circles round the query
    pixels, at = plane_of(page, 1)
    farthest, nearest = math.hypot(5.5, 5.5), math.hypot(0.05, 0.05)  # of the 41 x 41 points that are computed

    def radius(n: float) -> float:
        return farthest - (farthest - nearest) * n / 10

    def dark(far: float) -> float:
        """How much of a quarter of a circle round the query is drawn on."""
        turns = np.linspace(0.1, 1.4, 60)
        places = [at(far * math.cos(turn) - 2.5, far * math.sin(turn) - 2.5) for turn in turns]
        return np.mean([pixels[row - 1 : row + 2, column - 1 : column + 2].min() < 225 for row, column in places])

    for n in (4, 5, 6, 7, 8, 9):
        assert dark(radius(n)) > 0.8
        assert dark(radius(n - 0.5)) < 0.5
    page.set(width=8)  # in more numbers than two there are no such lines in the plane
    pixels = plane_of(page, 1)[0]
    assert dark(radius(5)) < 0.5


def test_bars_are_as_tall_as_their_numbers(alone):
    page = alone(explore_score_lab(("general", "similarity_cosine"), ("softmax", "sigmoid"), chosen=3))
    both = [shown(page, panel) for panel in (0, 1)]
    most = {name: max(np.abs(one[name]).max() for one in both) for name in ("weights", "gradient")}
    for panel, numbers in enumerate(both):
        pixels = page.pixels(page.root.locator("canvas[data-weights]").nth(panel)).astype(int)
        drawn = (pixels[:, :, 3] > 0) & (np.abs(pixels[:, :, :3] - (243, 245, 247)).max(axis=2) > 2)
        scores = numbers["scores"]
        rows = {
            "scores": (min(0, scores.min()), max(0, scores.max())),
            "weights": (0, most["weights"]),
            "gradient": (-most["gradient"], most["gradient"]),
        }
        for row, (name, (low, high)) in enumerate(rows.items()):
            top, unit = 68 * row + 18, 46 / (high - low)
            zero = top + high * unit
            for key, value in enumerate(numbers[name]):
                column = round((key + 0.5) * drawn.shape[1] / 12)
                if abs(value) * unit < 5:
                    continue
                assert drawn[round(zero - value * unit / 2), column]
                beyond = round(zero - value * unit - 4 * np.sign(value))
                assert beyond < top or not drawn[beyond, column]


def test_entropy_sum_and_context_are_said_in_words(alone):
    page = alone(explore_score_lab(alignments=("softmax", "sigmoid"), query=(12, 40)))
    for panel in (0, 1):
        weights, context = shown(page, panel)["weights"], shown(page, panel)["context"]
        share = weights / weights.sum()
        bits = -(share * np.log2(share)).sum()
        words = page.root.get_by_text("The weights sum to").nth(panel).locator("xpath=..").inner_text()
        said = [float(number) for number in re.findall(r"-?\d+\.?\d*", words)]
        np.testing.assert_allclose(said, [weights.sum(), *context, bits, round(2**bits), 12], rtol=6e-3, atol=0.0051)


def test_a_photograph_shows_each_panels_weights_and_the_contexts_colour(alone):
    black = {**noise_picture(), "image": np.zeros((40, 50, 3), np.uint8)}
    page = alone(ScoreLab([black], {64: lab_parameters(64)}, alignments=("softmax", "sparsemax"), temperature=3.0))
    assert page.state("own_range") is True
    both = [shown(page, panel) for panel in (0, 1)]
    for panel, numbers in enumerate(both):
        pixels = page.pixels(page.root.locator("canvas.cw-pointed").nth(panel))[:, :, :3].astype(int)
        rows = ((np.arange(4) + 0.5) * pixels.shape[0] / 4).astype(int)
        columns = ((np.arange(5) + 0.5) * pixels.shape[1] / 5).astype(int)
        shares = numbers["weights"] / numbers["weights"].max()
        expected = 0.6 * matplotlib.colormaps["magma"](shares.reshape(4, 5), bytes=True)[:, :, :3]
        assert np.abs(pixels[np.ix_(rows, columns)] - expected).max() <= 6
        swatch = page.root.locator("span[style*='background: rgb']").nth(panel)
        colour = swatch.evaluate("(one) => getComputedStyle(one).backgroundColor.match(/\\d+/g).map(Number)")
        np.testing.assert_allclose(colour, 255 * numbers["context"], atol=1)


def test_a_new_sample_draws_another_key_sooner_or_later(alone):
    page = alone(explore_score_lab(alignments=("hard", "reinforced")))
    drawn, kept = set(), set()
    for _ in range(12):
        page.root.get_by_role("button", name="Sample again").click()
        drawn.add(int(shown(page, 0)["weights"].argmax()))
        kept.add(tuple(shown(page, 1)["weights"] > 0))
    assert len(drawn) > 1 and len(kept) > 1
