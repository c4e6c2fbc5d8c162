"""`patch-tokens` in a browser: its numbers are the network's, its gestures and its words."""

import re

import matplotlib
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.data import ImageSet
from course_utils.models import VisionTransformer, class_token_maps, rollout
from course_utils.widgets import PatchTokens, explore_patch_tokens
from course_utils.widgets.patch_tokens.explore import occlude

torch.set_num_threads(1)
SIDE = 6


def drawn_network():
    torch.manual_seed(3)
    model = VisionTransformer(24, 4, 3, 8, 2, 16, 4)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    nn.init.normal_(model.patches.weight, std=1.0)
    nn.init.normal_(model.class_token, std=0.05)
    nn.init.normal_(model.positions, std=0.2)  # so that the patches' contents count
    for block in model.blocks:
        nn.init.normal_(block.attention.query.weight, std=1.5)
        nn.init.normal_(block.attention.key.weight, std=1.5)
        nn.init.normal_(block.attention.value.weight, std=1.5)
    return model.eval().requires_grad_(False)


NETWORK = drawn_network()
COLOURS = torch.rand(3, 3, 6, 6, generator=torch.Generator().manual_seed(2))  # one a patch, so that patches differ
NOISE = torch.rand(3, 3, 24, 24, generator=torch.Generator().manual_seed(5))
DATA = ImageSet(0.8 * F.interpolate(COLOURS, scale_factor=4) + 0.2 * NOISE, torch.tensor([1, 0, 3]))
WEIGHTS = NETWORK.attention_weights(DATA.images)
WHOLE = NETWORK(DATA.images).softmax(1)
SINGLE = torch.stack([occlude(NETWORK, image) for image in DATA.images])


@pytest.fixture
def page(alone):
    opened = alone(explore_patch_tokens(NETWORK, DATA))
    yield opened
    opened.assert_clean()


def part(page, words):
    return page.root.locator(f"canvas[aria-label*='{words}']")


def numbers(node, name):
    return np.array([float(value) for value in node.get_attribute(f"data-{name}").split(",")])


def point(page, row, column, side=SIDE):
    page.hover(page.canvas, (column + 0.5) / side, (row + 0.5) / side)


def click(page, row, column):
    box = page.canvas.bounding_box()
    page.canvas.click(position={"x": (column + 0.5) / SIDE * box["width"], "y": (row + 0.5) / SIDE * box["height"]})


def choose(page, name):
    page.root.get_by_role("button", name=name, exact=True).click()


def fall(picture):
    label = int(DATA.labels[picture])
    return (WHOLE[picture, label] - SINGLE[picture, :, label]).numpy()


def answers(page):
    return [float(one) for one in page.root.locator("[data-probability]").evaluate_all(
        "(all) => all.map((one) => one.dataset.probability)"
    )]  # fmt: skip


def title(page):
    return page.root.locator("figcaption").first.inner_text()


def test_every_layer_and_head_shows_the_networks_row_and_its_correlation(page):
    for picture, layer, head in ((0, 1, 0), (0, 3, 2), (2, 2, 1), (1, 3, 0)):
        page.set(picture=picture, layer=layer, head=head)
        rows = class_token_maps(WEIGHTS)[picture, layer - 1].flatten(1)
        expected = (rows.mean(0) if head == 0 else rows[head - 1]).numpy()
        np.testing.assert_allclose(numbers(page.canvas, "weights"), expected, atol=1e-3)
        top = expected.argmax()
        by = f"head {head}" if head else "mean of the heads"
        said = re.match(
            rf"Layer {layer}, {by}: the class token gives ([\d.]+) % to patches, "
            rf"most to row {top // SIDE + 1}, column {top % SIDE + 1}: ([\d.]+) %\.",
            page.status,
        )
        shares = [float(share) for share in said.groups()]
        assert shares == pytest.approx([100 * expected.sum(), 100 * expected.max()], abs=0.11)  # float16 crosses
        r = float(re.search(r"Correlation with the drop by occlusion: (-?[\d.]+)\.", page.status)[1])
        assert r == pytest.approx(np.corrcoef(expected, fall(picture))[0, 1], abs=0.007)


def test_occlusion_shows_what_blanking_each_patch_alone_changes(page):
    for picture in (0, 2):
        page.set(picture=picture, view="occlusion")
        np.testing.assert_allclose(numbers(page.canvas, "weights"), -fall(picture), atol=1e-3)
        most = int(fall(picture).argmax())
        assert f"Blanking row {most // SIDE + 1}, column {most % SIDE + 1} matters most" in page.status


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_the_rollout_of_the_first_layers_is_the_packages(page, layer):
    choose(page, "Rollout")
    page.set(layer=layer)
    expected = class_token_maps(rollout(WEIGHTS[:1, :layer]))[0].flatten().numpy()
    np.testing.assert_allclose(numbers(page.canvas, "weights"), expected, atol=1e-3)
    assert f"of the class token: {100 * expected.sum():.1f} % comes from patches" in page.status
    assert (
        page.root.get_by_role("slider", name="Head").count() == 0
        and page.root.get_by_role("slider", name="Layer").is_visible()
    )


def test_positions_are_compared_with_the_one_in_focus(page):
    choose(page, "Positions")
    positions = NETWORK.positions[0]
    cosine = F.cosine_similarity(positions[:, None], positions[None], dim=2)
    np.testing.assert_allclose(numbers(page.canvas, "weights"), cosine[0, 1:], atol=2e-3)
    assert "Point at a patch" in page.status
    point(page, 4, 1)
    np.testing.assert_allclose(numbers(page.canvas, "weights"), cosine[4 * SIDE + 2, 1:], atol=2e-3)
    others = cosine[4 * SIDE + 2, 1:].clone()
    others[4 * SIDE + 1] = -1
    row, column = divmod(int(others.argmax()), SIDE)
    assert f"is most like that of row {row + 1}, column {column + 1}: {float(others.max()):.2f} of 1." in page.status
    assert "Correlation" not in page.status
    assert title(page).endswith("positions like that at row 5, column 2")
    ends = page.root.locator(".cw-scale-numbers").first.locator("span").all_inner_texts()
    assert [float(end) for end in ends] == [-1, 0, 1]


def test_a_focused_patch_says_its_token_its_weight_and_what_blanking_it_does(page):
    expected = class_token_maps(WEIGHTS)[0, 2].mean(0)
    point(page, 2, 3)
    assert page.canvas.get_attribute("data-query") == "2,3"
    before, after = (100 * float(value) for value in (WHOLE[0, 1], SINGLE[0, 2 * SIDE + 3, 1]))
    assert f"Token 16 of 36, at row 3, column 4: weight {100 * expected[2, 3]:.1f} %." in page.status
    assert f"Blanking it alone takes P(1) from {before:.1f} % to {after:.1f} %." in page.status
    page.page.mouse.move(1, 1)
    assert page.canvas.get_attribute("data-query") is None
    choose(page, "Sequence")
    strip = part(page, "The sequence")
    box = strip.bounding_box()
    page.page.mouse.move(box["x"] + 16.5 * min(28, box["width"] / min(37, box["width"] // 20)), box["y"] + 5)
    assert page.canvas.get_attribute("data-query") == "2,3"
    page.page.mouse.move(box["x"] + 5, box["y"] + 5)  # the class token is no patch
    assert page.canvas.get_attribute("data-query") is None


def test_one_blanked_patch_is_answered_without_a_kernel(page):
    np.testing.assert_allclose(answers(page), WHOLE[0], atol=1e-3)
    page.root.get_by_label("A click blanks patches").check()
    click(page, 3, 2)
    assert page.state("blanked") == [20] and page.state("query") == []
    expected = SINGLE[0, 20]
    assert (expected - WHOLE[0]).abs().max() > 0.1
    np.testing.assert_allclose(answers(page), expected, atol=1e-3)
    assert f"1 patch blanked: 1 has {100 * expected[1]:.1f} % instead of {100 * WHOLE[0, 1]:.1f} %" in page.status
    assert f"most likely is {int(expected.argmax())} with" in page.status
    click(page, 3, 2)
    assert page.state("blanked") == []
    np.testing.assert_allclose(answers(page), WHOLE[0], atol=1e-3)
    page.root.get_by_label("A click blanks patches").uncheck()
    click(page, 3, 2)
    assert page.state("blanked") == [] and page.state("query") == [3, 2], "a click pins, as in every widget"


def test_of_several_blanked_patches_it_says_that_a_kernel_is_needed(page):
    page.set(blanking=True)
    click(page, 0, 0)
    click(page, 3, 5)
    assert page.state("blanked") == [0, 23]
    np.testing.assert_allclose(answers(page), WHOLE[0], atol=1e-3)
    assert page.root.get_by_text("Class probabilities of the whole picture").is_visible()
    assert "2 patches blanked: this needs a running notebook; here only single patches are known." in page.status
    button = page.root.get_by_role("button", name="Show all patches")
    button.press("Enter")
    assert page.state("blanked") == [] and "blanked:" not in page.status
    assert button.evaluate("node => node === document.activeElement")


def test_the_kernels_answer_is_shown_for_the_patches_that_it_is_for(alone):
    page = alone(explore_patch_tokens(NETWORK, DATA, blanked=[20, 3], picture=2, blanking=True))
    image = DATA.images[2].clone()
    image[:, :4, 12:16] = image[:, 12:16, 8:12] = 0
    expected = NETWORK(image[None]).softmax(1)[0]
    np.testing.assert_allclose(answers(page), expected, atol=1e-4)
    assert f"2 patches blanked: 3 has {100 * expected[3]:.1f} %" in page.status
    click(page, 5, 5)  # another set: the answer is no longer for it
    assert "needs a running notebook" in page.status
    page.set(answered={"picture": 2, "blanked": [35, 3, 20], "probabilities": [0.1, 0.2, 0.3, 0.4]})
    np.testing.assert_allclose(answers(page), [0.1, 0.2, 0.3, 0.4])
    page.set(answered={"picture": 0, "blanked": [35, 3, 20], "probabilities": [0.1, 0.2, 0.3, 0.4]})
    assert "needs a running notebook" in page.status
    page.assert_clean()


def test_while_patches_are_blanked_it_says_that_the_map_is_of_the_whole_picture(page):
    before = numbers(page.canvas, "weights")
    words = page.root.get_by_text("The map is of the whole picture.", exact=False)
    assert words.count() == 0
    page.set(blanked=[20])
    np.testing.assert_array_equal(numbers(page.canvas, "weights"), before)
    for view in ("Attention", "Rollout", "Occlusion"):
        choose(page, view)
        assert words.first.is_visible()
    choose(page, "Positions")
    assert words.count() == 0


def test_a_drag_blanks_what_it_meets_and_a_drag_from_a_blank_shows_it_again(page):
    page.set(blanking=True)
    box = page.canvas.bounding_box()

    def drag(first, last, row):
        y = box["y"] + (row + 0.5) / SIDE * box["height"]
        page.page.mouse.move(box["x"] + (first + 0.5) / SIDE * box["width"], y)
        page.page.mouse.down()
        for column in range(first, last + 1):
            page.page.mouse.move(box["x"] + (column + 0.5) / SIDE * box["width"], y)
        page.page.mouse.up()

    drag(1, 4, 2)
    page.page.mouse.move(box["x"] + 5, box["y"] + 5)  # lifted: the pointer no longer blanks
    assert page.state("blanked") == [13, 14, 15, 16]
    drag(3, 5, 2)  # begins on a blank: it shows, and leaves the patch that is shown already
    assert page.state("blanked") == [13, 14]


def test_a_blanked_patch_is_hatched_in_the_picture_and_in_the_sequence(page):
    page.set(view="occlusion")
    before = page.pixels(page.canvas)[..., :3].astype(int)
    page.set(blanked=[15])  # row 2, column 3
    after = page.pixels(page.canvas)[..., :3].astype(int)
    side = after.shape[0] / SIDE
    changed = np.abs(after - before).max(axis=2) > 8
    top, left, far = (round(place * side) for place in (2, 3, 1))
    assert changed[top : top + far, left : left + far].mean() > 0.7
    changed[top - 2 : top + far + 2, left - 2 : left + far + 2] = False
    assert not changed.any()
    page.set(view="sequence")
    strip = page.pixels(part(page, "The sequence"))
    page.set(blanked=[])
    assert (page.pixels(part(page, "The sequence")) != strip).any()


def test_arcs_go_from_the_class_token_to_the_patches_that_it_takes_most_from(page):
    page.set(layer=2, head=1)
    drawn = page.pixels(page.canvas)[..., :3].astype(int)
    page.set(blanking=True)  # without arcs
    page.set(blanking=False)
    side = drawn.shape[0] / SIDE
    row = class_token_maps(WEIGHTS)[0, 1, 0].flatten()
    for patch in row.topk(3).indices.tolist():
        y, x = (round((place + 0.5) * side) for place in divmod(patch, SIDE))
        assert (drawn[y - 2 : y + 3, x - 2 : x + 3] > 240).all(axis=2).any(), f"no arc ends at patch {patch}"


def test_the_strongest_of_the_map_are_blanked_together(page):
    choose(page, "Blank the 8 strongest")
    expected = class_token_maps(WEIGHTS)[0, 2].mean(0).flatten()
    assert page.state("blanked") == sorted(expected.topk(8).indices.tolist())
    choose(page, "Positions")
    assert page.root.get_by_role("button", name="Blank the 8 strongest").is_disabled()


def test_pointing_at_the_grid_of_heads_shows_that_head_and_a_click_keeps_it(page):
    grid = part(page, "layers and")
    grid.scroll_into_view_if_needed()
    box = grid.bounding_box()
    cell = (box["width"] - 18) / 3
    expected = class_token_maps(WEIGHTS)[0].flatten(2)
    page.page.mouse.move(box["x"] + 18 + 2.5 * cell, box["y"] + 18 + 0.5 * cell)
    np.testing.assert_allclose(numbers(page.canvas, "weights"), expected[0, 1], atol=1e-3)
    assert page.status.startswith("Layer 1, head 2:") and page.state("layer") == 3
    page.page.mouse.move(1, 1)
    assert page.status.startswith("Layer 3, mean of the heads:")
    page.page.mouse.click(box["x"] + 18 + 1.5 * cell, box["y"] + 18 + 1.5 * cell)
    assert (page.state("layer"), page.state("head")) == (2, 1)
    page.page.mouse.move(1, 1)
    np.testing.assert_allclose(numbers(page.canvas, "weights"), expected[1, 0], atol=1e-3)


def test_maps_have_the_colours_of_one_range_that_is_shown(page):
    rows = class_token_maps(WEIGHTS)[0]
    every = torch.cat([rows, rows.mean(1, keepdim=True)], dim=1)
    for own, high in ((False, float(every.max())), (True, float(rows[2, 1].max()))):
        page.set(head=2, own_range=own)
        end = page.root.locator(".cw-scale-numbers").first.locator("span").last.inner_text()
        assert float(end) == pytest.approx(high, rel=6e-3)
        grid = page.pixels(part(page, "layers and"))[..., :3].astype(int)
        cell = (grid.shape[1] - 18) / 3
        map_ = (rows[2, 1] / high).numpy()
        table = (matplotlib.colormaps["magma"]((map_ * 256).clip(0, 255).astype(int))[..., :3] * 255).round()
        middle = (18 + 1 + (np.arange(SIDE) + 0.5) * (cell - 2) / SIDE).astype(int)
        drawn = grid[np.ix_((2 * cell + middle).astype(int), (2 * cell + middle).astype(int))]
        assert np.abs(drawn - table).max() <= 6  # a level of the table, where float16 rounded


def test_the_drop_by_occlusion_is_red_and_centred_on_zero(page):
    page.set(view="occlusion")
    with_map = page.pixels(page.canvas)[..., :3].astype(float)
    size = float(np.abs(fall(0)).max())
    index = np.clip((-fall(0) / size + 1) / 2 * 256, 0, 255).astype(int).reshape(SIDE, SIDE)
    table = 255 * matplotlib.colormaps["RdBu"](index)[..., :3]
    image = DATA.images[0].permute(1, 2, 0).numpy() * 255
    middle = ((np.arange(SIDE) + 0.44) * with_map.shape[0] / SIDE).astype(int)
    pixel = (middle * 24 / with_map.shape[0]).astype(int)
    expected = 0.6 * table + 0.4 * image[np.ix_(pixel, pixel)]
    assert np.abs(with_map[np.ix_(middle, middle)] - expected).max() <= 16  # the picture is smoothed
    ends = page.root.locator(".cw-scale-numbers").first.locator("span").all_inner_texts()
    assert [float(end) for end in ends] == pytest.approx([-size, 0, size], abs=2e-3)


def test_a_page_that_is_squeezed_to_nothing_for_a_moment_draws_the_sequence_again(page):
    page.set(cut=12)
    shown = page.pixels(part(page, "The sequence"))
    for width in ("12px", "auto"):
        page.page.evaluate("(width) => { document.querySelector('main').style.width = width; }", width)
        page.set(picture=1)
        page.set(picture=0)
    np.testing.assert_array_equal(page.pixels(part(page, "The sequence")), shown)


def test_another_patch_size_shows_the_cut_and_its_count(page):
    choose(page, "Sequence")
    page.root.get_by_role("combobox", name="Patch").select_option("8")
    assert page.status.startswith(
        "9 patches of 3 · 8 · 8 = 192 numbers. With the class token 10 tokens, so 100 weights per head. "
        "The network was trained with 4 × 4."
    )
    assert page.root.get_by_role("slider", name="Layer").count() == 0
    point(page, 2, 1, side=3)
    assert page.canvas.get_attribute("data-query") == "2,1" and "Token 8 of 9, at row 3, column 2." in page.status
    page.canvas.press("b")
    assert page.state("blanked") == []
    page.root.get_by_role("combobox", name="Patch").select_option("2")
    assert "145 tokens, so 21,025 weights per head" in page.status
    choose(page, "Occlusion")
    assert page.state("cut") == 4 and "matters most: P(" in page.status


def test_click_pins_arrows_move_b_blanks_and_escape_unpins(page):
    assert page.canvas.get_attribute("data-locked") == "false"
    click(page, 0, 1)
    assert (page.canvas.get_attribute("data-query"), page.canvas.get_attribute("data-locked")) == ("0,1", "true")
    assert page.state("query") == [0, 1] and page.status.endswith("Pinned; Escape unpins.")
    point(page, 4, 4)
    assert page.canvas.get_attribute("data-query") == "0,1"
    page.canvas.press("ArrowRight")
    assert page.canvas.get_attribute("data-query") == "0,2"
    page.canvas.press("b")
    assert page.state("blanked") == [2]
    page.canvas.press("b")
    assert page.state("blanked") == []
    page.canvas.press("ArrowUp")
    assert page.status.endswith("Edge.")
    page.canvas.press("Escape")
    assert page.canvas.get_attribute("data-locked") == "false" and page.state("query") == []


def test_a_patch_shown_first_gives_way_to_the_pointer(alone):
    page = alone(explore_patch_tokens(NETWORK, DATA, query=(1, 1)))
    assert page.canvas.get_attribute("data-query") == "1,1"
    point(page, 3, 4)
    assert page.canvas.get_attribute("data-query") == "3,4"
    page.assert_clean()


def test_another_picture_starts_without_blanks_and_without_a_lock(page):
    page.set(blanked=[7])
    click(page, 3, 3)
    choose(page, "picture 3, class 3")
    assert (page.state("picture"), page.state("blanked"), page.state("query")) == (2, [], [])
    np.testing.assert_allclose(answers(page), WHOLE[2], atol=1e-3)


@pytest.mark.parametrize(
    ("view", "layer", "head"),
    [("attention", 2, 1), ("attention", 3, 0), ("rollout", 2, 0), ("positions", 1, 0), ("occlusion", 1, 0)],
)
@pytest.mark.parametrize("own", [True, False])
def test_copied_code_reproduces_the_map_shown(alone, own, view, layer, head):
    scope = {"network": NETWORK, "data": DATA} if own else {}
    widget = explore_patch_tokens(*scope.values(), view=view, layer=layer, head=head, picture=1, query=(2, 3))
    page = alone(widget)
    choose(page, "Copy the code")
    printed: list = []
    exec(page.root.get_by_label("Code").input_value(), {**scope, "print": printed.append})
    np.testing.assert_allclose(printed[0].flatten(), numbers(page.canvas, "weights"), atol=2e-3)
    assert printed[1][0] == printed[0].numel()
    page.assert_clean()


def test_copied_code_of_another_cut_makes_its_patches(page):
    page.set(cut=8)
    choose(page, "Copy the code")
    printed: list = []
    exec(page.root.get_by_label("Code").input_value(), {"network": NETWORK, "data": DATA, "print": printed.append})
    assert printed == [(1, 9, 192)]


def picture(label, image, attention, rollout, probabilities, single, classes):
    """What the explorer makes of one picture, from drawn arrays; its code is its label."""
    rows = {"attention": attention, "rollout": rollout, "probabilities": probabilities, "single": single}
    return {"label": label, "image": image, **rows, "classes": classes, "asked": 0, "index": 0, "code": label}


def test_what_is_left_of_many_classes_is_one_bar(alone):
    image = np.zeros((4, 4), np.uint8)
    rows = np.full((1, 1, 5), 0.2)
    shown = picture("one", image, rows, rows[0], np.array([0.5, 0.2]), np.full((4, 2), 0.3), ["a", "b"])
    page = alone(PatchTokens([shown], 2, np.eye(5)))
    assert answers(page) == pytest.approx([0.5, 0.2, 0.3], abs=1e-6)
    assert page.root.get_by_text("all others").is_visible()
    page.set(blanked=[0])
    assert answers(page) == pytest.approx([0.3, 0.3, 0.4], abs=1e-6)
    assert "Correlation" not in page.status  # a flat map has none
    page.assert_clean()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(page, theme):
    page.theme(theme)
    page.canvas.press("Enter")
    page.set(blanked=[3])
    assert page.violations() == []
    page.set(cut=8)
    assert page.violations() == []


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (390, 844)])
def test_picture_and_answer_are_in_view_together(alone, width, height):
    page = alone(explore_patch_tokens(NETWORK, DATA), viewport={"width": width, "height": height})
    assert page.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    picture, last = page.canvas.bounding_box(), page.root.locator("[data-probability]").last.bounding_box()
    assert picture["width"] >= 320 and picture["y"] + picture["height"] <= height
    assert last["y"] + last["height"] <= height
    page.assert_clean()


def test_the_saved_picture_holds_the_panels(page):
    page.canvas.press("Enter")
    page.assert_saved_picture_shows(page.canvas)


def test_words_from_outside_stay_text(alone):
    bad = "<img src=x onerror=alert(1)>"
    image = np.zeros((4, 4), np.uint8)
    rows = np.full((1, 1, 5), 0.2)
    one = picture(bad, image, rows, rows[0], np.ones(1), np.ones((4, 1)), [bad])
    page = alone(PatchTokens([one, one], 2, np.eye(5), label=bad, caption=bad))
    assert page.root.locator("img").count() == 0
    page.assert_clean()


def test_twelve_layers_of_twelve_heads_answer_a_hover_at_once(alone):
    """Against the course's own goal of 5 ms with room for a busy machine; the bench measures it by itself."""
    rng = np.random.default_rng(0)
    rows = rng.random((12, 12, 197)).astype(np.float32) / 100
    noise = rng.integers(0, 256, (224, 224, 3), dtype=np.uint8)
    shown = picture("noise", noise, rows, rows[0], np.ones(1), rng.random((196, 1)), ["a"])
    page = alone(PatchTokens([shown], 16, np.eye(197)))
    times = page.page.evaluate(
        """async () => {
          const target = document.querySelector("canvas[tabindex='0']");
          const canvases = [...document.querySelectorAll("canvas")];
          const box = target.getBoundingClientRect(), times = [];
          for (let i = 0; i < 120; i++) {
            const [x, y] = [(i * 0.37) % 1, (i * 0.61) % 1];
            const at = { clientX: box.left + box.width * x, clientY: box.top + box.height * y };
            const start = performance.now();
            target.dispatchEvent(new PointerEvent("pointermove", { ...at, pointerId: 1, bubbles: true }));
            for (const canvas of canvases) canvas.getContext("2d").getImageData(0, 0, 1, 1);
            times.push(performance.now() - start);
            if (i % 10 === 0) await new Promise((done) => setTimeout(done));
          }
          return times;
        }"""
    )
    assert np.median(times) < 10
    page.assert_clean()


def test_other_pictures_take_the_place_of_those_before(alone):
    page = alone(explore_patch_tokens(NETWORK, DATA))
    page.set(pictures=page.state("pictures")[1:])
    assert page.root.get_by_role("group", name="Pictures").get_by_role("button").count() == 2
    page.assert_clean()


def test_after_a_failed_answer_the_status_says_so_until_something_else_is_asked(alone):
    page = alone(explore_patch_tokens(NETWORK, DATA))
    page.page.evaluate("() => { document.querySelector('main').model.widget_manager = {}; }")
    page.set(blanked=[3, 4])
    assert "asking the network" in page.status
    page.set(answer={"id": page.state("request")["id"], "failed": True})
    assert "2 patches blanked: the notebook could not answer; its message stands below." in page.status
    page.set(blanked=[3, 4, 5])
    assert "3 patches blanked: asking the network." in page.status
    page.assert_clean()
