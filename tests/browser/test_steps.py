"""The steps that a lesson offers as buttons: each sets its widget, and its line claims what the widget then shows."""

import ast
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import traitlets
from settle import wait_drawn

from course_utils.data import ImageSet, cued_digits
from course_utils.lessons import LESSONS, lesson, with_steps
from course_utils.widgets import explore_channel_gates, explore_query_map, share_on_place
from course_utils.widgets.mask_playground.explore import deviation_mask, person_mask, playground_input
from course_utils.widgets.score_lab.explore import lab_inputs

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
OFFERED = [(each.number, name) for each in LESSONS for name in each.steps]


# The widgets, as the lessons make them ------------------------------------------------------------------------------


def cells(number: str) -> list[ast.Module]:
    """The code cells of a lesson's notebook."""
    notebook = json.loads((NOTEBOOKS / lesson(number).notebook).read_text(encoding="utf-8"))
    sources = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [ast.parse(source) for source in sources if not source.startswith(("%", "!"))]


def offers(cell: ast.Module) -> list[tuple[str, ...]]:
    """Of each call of `with_steps` in a cell the lesson, and the name of the steps where it is given."""
    calls = [node for node in ast.walk(cell) if isinstance(node, ast.Call)]
    calls = [call for call in calls if getattr(call.func, "id", "") == "with_steps"]
    return [tuple(one.value for one in call.args if isinstance(one, ast.Constant)) for call in calls]


def offered(number: str, name: str) -> Any:
    """The widget of a lesson that has these steps: its cell is run, after the lesson's imports."""
    names: dict[str, Any] = {"data": cued_digits(200, seed=7, split="test")}  # lesson 4.7 makes it some cells before
    for cell in cells(number):
        imports = [line for line in cell.body if isinstance(line, ast.Import | ast.ImportFrom)]
        exec(compile(ast.Module(imports, []), number, "exec"), names)
        if not offers(cell):
            continue
        *before, last = [line for line in cell.body if line not in imports]
        exec(compile(ast.Module(before, []), number, "exec"), names)
        widget = eval(compile(ast.Expression(last.value), number, "eval"), names)
        if widget.steps == lesson(number).steps[name]:
            return widget
    raise AssertionError(f"no cell of {lesson(number).notebook} offers the steps {name!r}")


@pytest.mark.parametrize("number", [each.number for each in LESSONS])
def test_a_lesson_offers_its_steps_and_no_others(number: str) -> None:
    found = [offer for cell in cells(number) for offer in offers(cell)]
    assert {offer[0] for offer in found} <= {number}
    assert len(found) == len(lesson(number).steps)


# What the steps claim -----------------------------------------------------------------------------------------------


def numbers(node: Any, attribute: str) -> np.ndarray:
    return np.array(node.get_attribute(attribute).split(","), dtype=float)


def weights(page) -> np.ndarray:
    return numbers(page.canvas, "data-weights").reshape(14, 14)


def shared_by(page) -> float:
    return float(np.exp(-sum(w * np.log(w) for w in weights(page).ravel() if w)))


def stands_out(page) -> float:
    """How far the mean colour of the cow is from that of the grass below it, in the output."""
    pixels = page.pixels(page.root.locator(".cw-panel canvas").nth(2))[..., :3].astype(float)
    cell = pixels.shape[0] / 14
    cow, grass = (pixels[int(top * cell) : int(end * cell)] for top, end in ((6, 9), (11, 14)))
    middle = slice(int(6 * cell), int(11 * cell))
    return float(np.linalg.norm(cow[:, middle].mean(axis=(0, 1)) - grass[:, middle].mean(axis=(0, 1))))


def cow(page) -> None:
    assert weights(page)[5:10, 2:].sum() > 0.9


def grass(page) -> None:
    shown = weights(page)
    on_cow = shown[5:9, 5:12].mean()
    assert all(on_cow < part.mean() / 2 for part in (shown[10:, :7], shown[10:, 7:], shown[:5]))
    assert shown[10:].sum() > shown[5:9].sum()


def eye(page) -> None:
    shown = weights(page)
    assert round(shown[5:8, 10:12].mean() / shown[4:7, 7:9].mean()) == 5


def undivided(page) -> None:
    assert round(shared_by(page)) == 9 and round(shared_by(page), 1) == 9.5
    page.set(temperature=4.0)
    assert round(shared_by(page)) == 42


def gathered(page) -> None:
    with_context = stands_out(page)
    page.set(gamma=0.0)
    assert with_context > 1.1 * stands_out(page)


def spaces(page) -> None:
    """From the w of saw, twice as much weight as even weights would give lies round the three spaces."""
    shown = numbers(page.canvas, "data-weights")
    assert page.canvas.get_attribute("data-query") == "0,18"
    assert re.search("the “w” in column 19.*lock 1, head 8 gives most weight", page.status)
    assert "to the space in column" in page.status
    assert (shown > 0.05).sum() >= 4


def read(page) -> str:
    """What the network reads now."""
    return re.search("It reads “(.*?)”", page.status)[1]


def other_case(page) -> None:
    assert read(page) != "so we saw zoos"
    assert read(page).lower() == "so we saw zoos"


def no_height(page) -> None:
    assert all(letter in read(page) for letter in "SW0")
    assert read(page).replace(" ", "").lower().replace("0", "o").replace("ss", "s") == "sowesawzoos"


def read_again(page) -> None:
    assert read(page) == "so we saw zoos"


def mask(page, attribute: str) -> float:
    """Of the segmenter's mask: `kept`, the share of the picture, or `overlap` with the untouched mask."""
    return float(page.root.locator("canvas[data-kept]").get_attribute(f"data-{attribute}"))


def one_gate(page) -> None:
    assert "Channel 9 of encoder block 1" in page.status
    assert float(re.search(r"by hand, (\d\.\d+) by the network", page.status)[1]) == 0.23
    assert mask(page, "kept") == pytest.approx(0.001, abs=0.0005)
    page.set(edits={})
    settle(page)
    assert mask(page, "kept") > 0.5


def first_block(page) -> None:
    assert mask(page, "overlap") == pytest.approx(0.39, abs=0.005)


def last_block(page) -> None:
    assert mask(page, "overlap") == pytest.approx(0.96, abs=0.005)


def coffee(page) -> None:
    assert mask(page, "kept") == pytest.approx(0.7, abs=0.03)


def gate(page, channel: int) -> float:
    """The gate of a channel, counted from 1, as the network made it."""
    return float(re.search(rf"Channel {channel} of stage 1.*gate (\d\.\d+)", page.status)[1])


def red_border(page) -> None:
    assert gate(page, 5) == 0.19
    page.set(example=9)
    assert gate(page, 5) == 0.6


def blue_border(page) -> None:
    assert gate(page, 2) == 0.51
    for red_or_green in (6, 9):
        page.set(example=red_or_green)
        assert gate(page, 2) < 0.04


def answer(page) -> tuple[int, float]:
    """The likeliest class, and its probability."""
    shown = page.root.locator(".cw-bar:visible")
    found = [float(bar.get_attribute("data-probability")) for bar in shown.all()]
    return int(np.argmax(found)), max(found)


def another_digit(page) -> None:
    assert answer(page)[0] == 0
    page.set(edits={})
    assert answer(page)[0] == 6


def still_a_six(page) -> None:
    assert answer(page)[0] == 6
    assert round(answer(page)[1], 3) == 0.998
    kernel = explore_channel_gates(source="cued digits")._kernel
    assert all(kernel.probabilities("cued digits", 6, 2, {channel: 0.0})[6] > 0.9975 for channel in range(32))


def through(page) -> float:
    """How much of the picture the mask lets through."""
    return float(re.search(r"([\d.]+) % of the picture gets", page.status)[1]) / 100


def weighs(mask: torch.Tensor, place: torch.Tensor) -> float:
    return float((mask * place).sum() / place.sum())


def shown_mask(page) -> torch.Tensor:
    """The package's mask of what the page shows, (216, 288); the page lets as much through."""
    x = playground_input(page.state("picture"), "spatial")
    made = {"picture": lambda: deviation_mask(x, "spatial"), "trained": lambda: person_mask(x)}
    mask = made[page.state("source")]()[0]
    assert through(page) == pytest.approx(float(mask.mean()), abs=0.002)
    return mask


def found(name: str) -> torch.Tensor:
    """Where the segmenter sees a person or an animal, (216, 288)."""
    return (person_mask(playground_input(name, "spatial"))[0] > 0.5).float()


def spotlight(page) -> torch.Tensor:
    down, across, size = *page.state("spot"), page.state("size")
    rows, columns = (torch.arange(216) + 0.5) / 216, (torch.arange(288) + 0.5) / 288
    far = (rows[:, None] - down) ** 2 + ((columns - across) * 288 / 216) ** 2
    mask = torch.exp(-far / (2 * size**2))
    assert through(page) == pytest.approx(float(mask.mean()), abs=0.002)
    return mask


def on_the_face(page) -> None:
    assert round(through(page), 1) == 0.1
    mask = spotlight(page)
    face = mask[30:75, 225:255]
    assert face.mean() > 0.85


def fixed(page) -> None:
    mask = spotlight(page)
    assert weighs(found("owl"), mask) < 0.25


def made_from_the_owl(page) -> None:
    mask, owl = shown_mask(page), found(page.state("picture"))
    assert weighs(mask, owl) > 2 * weighs(mask, 1 - owl)


def formula_fails(page) -> None:
    mask, person = shown_mask(page), found(page.state("picture"))
    assert weighs(mask, person) < weighs(mask, 1 - person)


def network_finds(page) -> None:
    mask = shown_mask(page)
    assert mask[45:80, 115:150].mean() > 0.98
    assert mask[:60, :40].mean() < 0.02


def read_of(page) -> list[int]:
    """What the network reads of random, fixed and dynamic pixels."""
    panels = page.root.locator("[data-shares]").all()
    return [int(numbers(panel, "data-shares").argmax()) for panel in panels]


def twentieth(page) -> None:
    assert "39 of 784" in page.status
    assert read_of(page)[2] == 7
    assert 7 not in read_of(page)[:2]


def covariances(page) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The covariances, (8, 8), and the gates of SE and of GSoP, (8,)."""
    matrix, *gates = (
        numbers(page.root.locator(f"[data-{key}]"), f"data-{key}") for key in ("covariance", "se", "gsop")
    )
    return matrix.reshape(8, 8), *gates


def correlation(page) -> float:
    matrix = covariances(page)[0]
    return float(matrix[0, 1] / np.sqrt(matrix[0, 0] * matrix[1, 1]))


def rearranged(page) -> tuple[np.ndarray, np.ndarray]:
    """What the slider has changed in the gates of SE, and in those of GSoP."""
    _, se, gsop = covariances(page)
    page.set(turn=0.0)
    _, se_before, gsop_before = covariances(page)
    return se - se_before, gsop - gsop_before


def together(page) -> None:
    assert correlation(page) == pytest.approx(0.52, abs=0.005)


def avoids(page) -> None:
    assert correlation(page) < 0
    se, gsop = rearranged(page)
    assert np.abs(se).max() < 1e-6
    assert np.abs(gsop).max() > 0.3


def follows(page) -> None:
    assert page.state("names")[4] == "edge —"
    assert covariances(page)[2][4] == pytest.approx(0.13, abs=0.005)
    se, gsop = rearranged(page)
    assert np.abs(se).max() < 1e-6
    assert gsop[4] == pytest.approx(0.13 - 0.80, abs=0.01)


def same_place(page) -> None:
    assert correlation(page) == pytest.approx(1, abs=0.005)
    assert np.abs(rearranged(page)[1]).max() == pytest.approx(0.85, abs=0.005)


def other_means(page) -> None:
    _, here, _ = covariances(page)
    page.set(example=0)
    assert np.abs(covariances(page)[1] - here).max() == pytest.approx(0.07, abs=0.005)


def on_digit(page, data: ImageSet) -> float:
    """The share of the map shown that lies on the digit to classify."""
    side = round(numbers(page.canvas, "data-weights").size ** 0.5)
    map_ = numbers(page.canvas, "data-weights").reshape(side, side)
    return share_on_place(map_, data.masks[page.state("picture")])


def transformer_says(page, share: float) -> None:
    assert on_digit(page, cued_digits(6, seed=9, split="test")) == pytest.approx(share, abs=0.005)
    shown = re.search(r"([\d.]+) % of the map lies on the true place", page.root.inner_text())
    assert float(shown[1]) == pytest.approx(100 * share, abs=0.55)


def not_found_yet(page) -> None:
    transformer_says(page, 0.17)
    assert cued_digits(6, seed=9, split="test").masks[1].float().mean() == pytest.approx(0.2, abs=0.005)


def border_alone(page) -> None:
    drop = -numbers(page.canvas, "data-weights").reshape(8, 8)
    edge = np.pad(np.zeros((6, 6), bool), 1, constant_values=True)
    assert drop[edge].max() == pytest.approx(0.08, abs=0.005)
    assert drop[2, 2] > 0.9  # where the digit is


def before_blanking(page) -> int:
    page.set(blanked=[])
    return answer(page)[0]


def dark_patch(page) -> None:
    assert numbers(page.canvas, "data-weights")[54] == pytest.approx(0.005, abs=0.0005)
    assert answer(page)[0] == 1
    assert before_blanking(page) == 3


def brightest_patch(page) -> None:
    shown = numbers(page.canvas, "data-weights")
    assert shown.argmax() == 22
    assert 0.4 < shown[22] < 0.5
    assert answer(page)[0] == 0
    assert before_blanking(page) == 0


def both_weights(page) -> tuple[np.ndarray, np.ndarray]:
    """The weights of A and of B."""
    one, other = (numbers(canvas, "data-weights") for canvas in page.root.locator("canvas[data-weights]").all())
    return one, other


def long_key(page) -> None:
    a, b = both_weights(page)
    source = lab_inputs("plane", 2, tuple(page.state("query")))
    query, keys, _ = (part[0] for part in source)
    assert a.argmax() == 3 == keys.norm(dim=1).argmax()
    assert b.argmax() == 1 == (keys - query).norm(dim=1).argmin()


def direction(page) -> None:
    a, b = both_weights(page)
    assert a[:4].max() - a[:4].min() < 0.002
    assert a[4:].max() < a[:4].min() - 0.01
    assert b[:4].max() > 2 * b[:4].min()


def one_function(page) -> None:
    a, b = both_weights(page)
    assert np.abs(a - b).max() < 1e-6
    assert a.max() > 1.5 / 12


def bias(page) -> None:
    a, b = both_weights(page)
    assert np.abs(a - 1 / 12).max() < 1e-6
    assert b.argmax() == 7
    assert b[7] == pytest.approx(0.45, abs=0.005)


def undivided_by_width(page) -> None:
    a, b = both_weights(page)
    assert a.argmax() == b.argmax()
    assert a.max() == pytest.approx(0.99, abs=0.005)
    assert b.max() == pytest.approx(0.58, abs=0.005)


def two_hens(page) -> None:
    a, b = both_weights(page)
    assert (a > 0).all()
    assert (b > 0).sum() == 6


def short_keys(page) -> None:
    _, b = both_weights(page)
    assert (b > 0).sum() == 22
    _, keys, _ = lab_inputs("hens", 16, (0, 0))
    long = keys[0].norm(dim=1).view(14, 14)
    assert long[11:].mean() < 0.5 * long[4:8, 4:11].mean()


def alone_each(page) -> None:
    a, b = both_weights(page)
    assert a.sum() == pytest.approx(1, abs=1e-3)
    assert b.reshape(14, 14)[5:8, 5:10].min() > 0.95
    assert b.reshape(14, 14)[12:].mean() == pytest.approx(0.4, abs=0.02)


def overlaps(page) -> list[tuple[float, float]]:
    """For each network the share of what reaches the threshold on the place, and the IoU with it."""
    panels = sorted(page.root.locator("[data-iou]").all(), key=lambda one: int(one.get_attribute("data-network")))
    return [(float(one.get_attribute("data-share")), float(one.get_attribute("data-iou"))) for one in panels]


def nothing_found(page) -> None:
    assert max(share for share, _ in overlaps(page)) < 0.25


def few_positions(page) -> None:
    share, iou = overlaps(page)[1]
    assert share > 0.995
    assert iou == pytest.approx(0.09, abs=0.005)


def opposite(page) -> None:
    assert overlaps(page)[0][0] < 0.005


def covered_best(page) -> None:
    assert overlaps(page)[2][1] == pytest.approx(0.78, abs=0.005)
    assert overlaps(page)[2][1] == max(iou for _, iou in overlaps(page))


def afterwards(page) -> None:
    assert overlaps(page)[3][0] == pytest.approx(0.8, abs=0.005)


def answers(digit: int, least: float, most: float = 1.0) -> Callable[[Any], None]:
    def claim(page) -> None:
        assert answer(page)[0] == digit
        assert least <= answer(page)[1] <= most

    return claim


def share_of_5(page) -> np.ndarray:
    """The mean share of 5 x 5 for each size of the digit, in points."""
    rows = page.root.locator("canvas[data-means]").get_attribute("data-means").split(";")
    return 100 * np.array(rows[1].split(","), dtype=float)


def grows(page) -> None:
    assert np.ptp(share_of_5(page)[[0, -1]]) == pytest.approx(10, abs=0.5)
    assert (np.diff(share_of_5(page)) > 0).all()


def falls(page) -> None:
    assert share_of_5(page)[-1] - share_of_5(page)[0] == pytest.approx(-1, abs=0.2)


def one_channel(page) -> None:
    share = "Channel 9, digits of {} pixels: {} % from 5"
    assert share.format(40, 84.6) in page.status
    page.set(query=[0, 0])
    assert share.format(8, 4.2) in page.status


def elsewhere(page) -> dict[str, float]:
    """In % the weight in other frames on the same digit, and that of joint attention in other frames altogether."""
    said = r"get ([\d.]+) % in joint .*?: ([\d.]+) %\), ([\d.]+) % in step 1 \(([\d.]+) %\)"
    found = map(float, re.search(said, page.status).groups())
    return dict(zip(("joint anywhere", "joint", "time anywhere", "time"), found, strict=True))


def moving(page) -> None:
    assert "on the digit that moves" in page.status
    assert round(elsewhere(page)["joint"]) == 70
    assert round(elsewhere(page)["time"]) == 9


def standing(page) -> None:
    assert "on the digit that stands still" in page.status
    assert round(elsewhere(page)["joint"]) == 76
    assert round(elsewhere(page)["time"]) == 82


def sharp(page) -> None:
    assert round(elsewhere(page)["joint anywhere"]) == 24
    assert elsewhere(page)["time anywhere"] < 0.05


def last_mask(page, name: str, share: float) -> None:
    shown = page.state("chosen")
    assert page.state("names")[shown] == name
    assert page.state("shares")[shown] == pytest.approx(share, abs=0.005)
    assert f"{share:.0%}".replace("%", " %") in page.root.inner_text()


def pointed_at(page) -> tuple[str, int, str, float]:
    """Of the eight pictures the one in focus: its border, its label, the colour in focus; and what the mask says."""
    data = cued_digits(8, seed=3, split="test")
    row, column = page.state("query")
    picture = 4 * (row // 40) + column // 40
    border, colour = (
        ("red", "green", "blue")[int(data.images[picture, :, y, x].argmax())]
        for y, x in ((0, 0), brightest(data.images[picture], row % 40, column % 40))
    )
    return border, int(data.labels[picture]), colour, float(re.search(r": (\d)", page.status)[1])


def brightest(image: torch.Tensor, row: int, column: int) -> tuple[int, int]:
    """The brightest pixel within nine pixels of a place: it belongs to the digit that stands there."""
    near = image[:, row - 9 : row + 9, column - 9 : column + 9].amax(dim=0)
    y, x = divmod(int(near.argmax()), near.shape[1])
    return row - 9 + y, column - 9 + x


def unmasked(page) -> None:
    """The first picture's border is green, and as bright as the picture has it: the mask, 0 there, would darken it."""
    bare = page.pixels(page.canvas)[..., :3].astype(float)
    assert bare[3, 3].argmax() == 1
    page.set(opacity=0.5)
    assert page.pixels(page.canvas)[3, 3, 1] < 0.6 * bare[3, 3, 1]


def any_network_says(page, share: float) -> None:
    assert on_digit(page, cued_digits(200, seed=7, split="test")) == pytest.approx(share, abs=0.005)


def one_patch(page) -> None:
    assert numbers(page.canvas, "data-weights").max() == pytest.approx(0.77, abs=0.005)


def paler(page) -> None:
    rolled = numbers(page.canvas, "data-weights")
    assert 0 < rolled.max() < 0.1


Claims = dict[str, Callable[[Any], None]]
CLAIMS: dict[tuple[str, str], Claims] = {
    ("4.1", "mask_playground"): {
        "a spotlight": on_the_face,
        "the owl": fixed,
        "a formula": made_from_the_owl,
        "where it fails": formula_fails,
        "a network": network_finds,
    },
    ("4.1", "pixel_budget"): {
        "5 % of the pixels": twentieth,
        "30 %": lambda page: read_of(page) == [8, 0, 0] or pytest.fail(str(read_of(page))),
        "60 %": lambda page: read_of(page) == [2, 0, 0] or pytest.fail(str(read_of(page))),
    },
    ("4.1.1", "channel_gates"): {
        "one gate": one_gate,
        "all 16 gates": first_block,
        "the last 16": last_block,
        "the coffee": coffee,
    },
    ("4.1.1", "cued digits"): {
        "a red border": red_border,
        "a blue border": blue_border,
        "a gate of stage 1": another_digit,
        "a gate of stage 3": still_a_six,
    },
    ("4.1.3", "query_map"): {
        "the cow": cow,
        "the grass": grass,
        "the cat's eye": eye,
        "the eye, undivided": undivided,
        "γ = 1": gathered,
    },
    ("4.1.4", "reader"): {
        "the spaces": spaces,
        "block 2 off": other_case,
        "all heads off": no_height,
        "all heads on": read_again,
    },
    ("4.1.2", "covariance"): {
        "as it is": together,
        "green avoids red": avoids,
        "green follows red": follows,
        "two spots": same_place,
        "another picture": other_means,
    },
    ("4.1.5", "patch_tokens"): {
        "layer 1": not_found_yet,
        "layer 3": lambda page: transformer_says(page, 0.91),
        "rollout": lambda page: transformer_says(page, 0.33),
    },
    ("4.1.5", "occlusion"): {
        "the border": border_alone,
        "a dark patch": dark_patch,
        "the brightest patch": brightest_patch,
    },
    ("4.2", "attention_map"): {
        "without the mask": unmasked,
        "a green border": lambda page: pointed_at(page) == ("green", 3, "green", 1) or pytest.fail(page.status),
        "the red digit": lambda page: pointed_at(page) == ("green", 3, "red", 0) or pytest.fail(page.status),
        "a red border": lambda page: pointed_at(page) == ("red", 8, "red", 1) or pytest.fail(page.status),
    },
    ("4.3", "attention_map"): {
        "where CBAM looks": lambda page: last_mask(page, "CBAM", 0.22),
        "where self-attention looks": lambda page: last_mask(page, "self-attention", 0.98),
    },
    ("4.4", "score_lab"): {
        "a long key": long_key,
        "direction alone": direction,
        "two names": one_function,
        "a bias": bias,
        "eight numbers": undivided_by_width,
    },
    ("4.4", "hens"): {"two hens": two_hens, "the grass": short_keys, "each alone": alone_each},
    ("4.5", "gate_maps"): {
        "one epoch": nothing_found,
        "softmax": few_positions,
        "sigmoid": opposite,
        "shown the mask": covered_best,
        "Grad-CAM": afterwards,
    },
    ("4.6", "cbam_steps"): {
        "the whole block": answers(3, 0.9955, 0.9965),
        "spatial first": answers(1, 0.265, 0.275),
        "no channel mean": answers(3, 0.9925, 0.9935),
        "no channel max": answers(1, 0.1),
        "no spatial mean": answers(8, 0.99),
    },
    ("4.6", "branch_weights"): {"block 1": grows, "block 3": falls, "one channel": one_channel},
    ("4.6", "space_time"): {"the moving digit": moving, "the standing digit": standing, "sharp weights": sharp},
    ("4.7", "look_into"): {
        "layer 1": lambda page: any_network_says(page, 0.28),
        "layer 3": lambda page: any_network_says(page, 0.95),
        "one head": one_patch,
        "rollout": paler,
    },
}
ELSEWHERE: dict[tuple[str, str], dict[str, Any]] = {
    ("4.1", "mask_playground"): {
        "category": "channel",
        "source": "hand",
        "picture": "kitten",
        "spot": [0.5, 0.5],
        "size": 0.4,
    },
    ("4.1", "pixel_budget"): {"picture": 4, "budget": 0.4, "drawing": True},
    ("4.1.2", "covariance"): {"view": "reduced", "example": 2, "moved": 5, "leader": 4, "turn": 0.5, "query": [2, 3]},
    ("4.1.5", "patch_tokens"): {"picture": 0, "cut": 10, "head": 2, "query": [0, 0]},
    ("4.1.5", "occlusion"): {"picture": 0, "layer": 1, "head": 2, "blanked": [3], "view": "rollout"},
    ("4.2", "attention_map"): {"query": [2, 2], "opacity": 0.9},
    ("4.3", "attention_map"): {"query": [2, 2], "opacity": 0.2},
    ("4.4", "score_lab"): {"source": "sheep", "alignments": ["sparsemax", "hard"], "temperature": 0.5, "width": 8},
    ("4.4", "hens"): {"source": "plane", "scores": ["additive", "similarity_cosine"], "temperature": 0.5, "width": 2},
    ("4.5", "gate_maps"): {"image": 0, "stage": 0, "epoch": 1, "network": 2, "threshold": 0.9},
    ("4.6", "cbam_steps"): {"stage": 1, "picture": 0, "step": 1, "order": "spatial first", "spatial_max": False},
    ("4.6", "branch_weights"): {"stage": 1, "branch": 0, "order": "channel", "query": [1, 1]},
    ("4.6", "space_time"): {"clip": 1, "frame": 5, "query": [5, 0, 0], "temperature": 2.0},
    ("4.7", "look_into"): {"picture": 1, "layer": 1, "head": 2, "token": "", "query": [1, 1], "off": [[0, 1]]},
    ("4.1.1", "channel_gates"): {"example": 3, "stage": 6, "edits": {"1": 0}, "order": "gate"},
    ("4.1.1", "cued digits"): {"example": 0, "stage": 1, "edits": {"3": 1}, "order": "mean"},
    ("4.1.3", "query_map"): {"example": 5, "gamma": 0.5, "temperature": 2.0},
    ("4.1.4", "reader"): {"words": "hello", "typeface": "serif", "chosen": [2, 1]},
}
"""What a learner may have set before a step is pressed: none of it is left where the step's claim rests on it."""


SAID_HEIGHT = "(node, words) => { node.textContent = words; return node.offsetHeight; }"


def settle(page) -> None:
    """Wait until a network that runs in the page has answered."""
    wait_drawn(page.page)
    page.page.wait_for_function("() => !document.querySelector('.cw-stage[aria-busy=true]')")
    wait_drawn(page.page)


@pytest.mark.parametrize(("number", "name"), OFFERED)
def test_each_step_sets_the_widget_and_shows_what_it_says(alone, number: str, name: str) -> None:
    steps, claims = lesson(number).steps[name], CLAIMS[number, name]
    assert [step["label"] for step in steps] == [*claims]
    page = alone(offered(number, name))
    settle(page)
    for step in steps:
        page.set(**ELSEWHERE[number, name])
        page.hover(page.root.locator(".cw-stage canvas:visible").first, 0.9, 0.1)
        settle(page)
        # A learner has pointed somewhere else, and pinned that place.
        if page.canvas.count() and page.canvas.is_visible():
            page.hover(page.canvas, 0.1, 0.9)
            page.canvas.press("Enter")
        settle(page)
        button = page.root.get_by_role("button", name=step["label"], exact=True)
        button.click()
        settle(page)
        assert page.root.locator(".cw-notice").inner_text() == step["notice"]
        assert {trait: page.state(trait) for trait in step["set"]} == step["set"]
        assert button.get_attribute("aria-pressed") == "true"
        claims[step["label"]](page)
    page.set(**ELSEWHERE[number, name])
    assert page.root.locator(".cw-steps [aria-pressed=true]").count() == 0
    page.page.set_viewport_size({"width": 390, "height": 844})
    for step in steps:
        height = page.root.locator(".cw-notice").evaluate(SAID_HEIGHT, step["notice"])
        assert height <= 40, f"more than two lines on a phone: {step['notice']}"
    page.assert_clean()


@pytest.mark.parametrize(
    ("step", "words"),
    [({"label": "a", "set": {}}, "needs `label`"), ({"label": "a", "set": {"colour": 1}, "notice": "b"}, "'colour'")],
)
def test_a_step_that_cannot_be_taken_is_refused(step: dict, words: str) -> None:
    with pytest.raises(traitlets.TraitError, match=words):
        explore_query_map().steps = [step]


def test_a_lesson_without_such_steps_says_which_it_has() -> None:
    with pytest.raises(ValueError, match="has no steps 'query_map'; it has steps for: reader"):
        with_steps("4.1.4", explore_query_map())
