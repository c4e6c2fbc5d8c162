"""`sentence-attention` in Chromium: its weights are the package's, its tables can be typed into."""

import contextlib
import io

import matplotlib
import numpy as np
import pytest
import torch
from settle import wait_drawn

from course_utils.attention import scaled_dot_product_attention
from course_utils.widgets import SENTENCES, Sentence, SentenceAttention


def drawn(words=5, features=3, seed=0) -> Sentence:
    """Words with features drawn at random: what a page computes by chance for zeros and ones shows here."""
    rng = np.random.default_rng(seed)
    table, looks_for = (rng.normal(0, 2, (rows, features)).round(2).tolist() for rows in (words, features))
    return Sentence(
        "drawn", [f"w{i}" for i in range(words)], [f"f{i}" for i in range(features)], table, looks_for, word=words - 1
    )


def expected(page, sharpness=1.0, own=False):
    """(contexts, weights) by the package from the numbers that the page holds."""
    table, looks_for = (torch.tensor(page.state(name), dtype=torch.float32) for name in ("table", "looks_for"))
    query = table if own else table @ looks_for
    return scaled_dot_product_attention(query, table, table, scale=sharpness * table.shape[1] ** -0.5)


def weights(page) -> np.ndarray:
    flat = page.root.locator("canvas[data-weights]").get_attribute("data-weights").split(",")
    side = round(len(flat) ** 0.5)
    return np.array([float(value) for value in flat]).reshape(side, side)


def context(page) -> list[float]:
    cells = page.root.locator("table").first.locator("tbody tr").last.locator("td").all_inner_texts()
    return [float(cell) for cell in cells if cell]


@pytest.fixture
def page(alone):
    opened = alone(SentenceAttention())
    yield opened
    opened.assert_clean()


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("sharpness", [0, 1, 3.7])
def test_the_pages_weights_and_contexts_are_the_packages(alone, own, sharpness):
    projection = "itself" if own else "looks for"
    page = alone(SentenceAttention([drawn(7, 4, seed=5)], projection=projection, sharpness=sharpness))
    contexts, true = expected(page, sharpness, own)
    np.testing.assert_allclose(weights(page), true, atol=1e-6)
    for word in (0, 6):
        page.hover(page.canvas, 0.9, (word + 0.5) / 7)
        np.testing.assert_allclose(context(page), contexts[word], atol=0.0051)
    page.assert_clean()


@pytest.mark.parametrize("sentence", range(len(SENTENCES)))
def test_the_courses_sentences_mean_what_the_lesson_says(alone, sentence):
    page = alone(SentenceAttention(sentence=sentence))
    words = list(SENTENCES[sentence].words)
    true = expected(page)[1]
    np.testing.assert_allclose(weights(page), true, atol=1e-6)
    if "it" in words:
        assert true[words.index("it"), words.index("dog")] > 0.75
        brown = true[words.index("brown")]
        assert brown[words.index("dog")] == pytest.approx(float(brown[words.index("grass")]))
        assert true[words.index("the")].tolist() == pytest.approx([0.1] * 10)
    else:
        water, money = expected(page)[0][words.index("bank"), 2:].tolist()
        assert water > 3 * money if "river" in words else money > 3 * water


def test_the_table_and_the_picture_of_all_weights_show_the_packages(alone):
    page = alone(SentenceAttention([drawn(6, 3, seed=2)], sharpness=0.2))
    true = expected(page, 0.2)[1].numpy()
    table, looks_for = (np.array(page.state(name)) for name in ("table", "looks_for"))
    queries = table @ looks_for
    page.hover(page.canvas, 0.9, 1.5 / 6)
    rows = page.root.locator("table").first.locator("tbody tr")
    score, weight = ([float(rows.nth(i).locator("td").nth(k).inner_text()) for i in range(1, 7)] for k in (3, 4))
    np.testing.assert_allclose(score, 0.2 * queries[1] @ table.T / 3**0.5, atol=0.0051)
    np.testing.assert_allclose(weight, true[1], atol=0.0051)
    query = [float(cell) for cell in rows.first.locator("td").all_inner_texts() if cell]
    np.testing.assert_allclose(query, queries[1], rtol=6e-3)
    shown = page.pixels(page.root.locator("canvas[data-weights]"))
    middle = (60 + (np.arange(6) + 0.5) * (shown.shape[0] - 60) / 6).astype(int)  # 60 pixels hold the words
    colours = matplotlib.colormaps["cividis"](true.astype(float))[..., :3]
    np.testing.assert_allclose(shown[np.ix_(middle, middle)][..., :3] / 255, colours, atol=0.03)


def test_a_number_that_is_typed_changes_weights_and_a_reset_brings_it_back(page):
    before = weights(page)
    box = page.root.get_by_label("pants, word 10: being")
    box.fill("1.5")
    assert page.state("table")[9][0] == 1.5
    np.testing.assert_allclose(weights(page), expected(page)[1], atol=1e-6)
    page.root.get_by_text("W_Q: what each word looks for").click()
    page.root.get_by_label("W_Q: refers looks for action").fill("-3")
    assert page.state("looks_for")[4][1] == -3
    np.testing.assert_allclose(weights(page), expected(page)[1], atol=1e-6)
    assert np.abs(weights(page) - before).max() > 0.1
    box.fill("")  # half typed: the last number holds
    assert page.state("table")[9][0] == 1.5
    box.fill("99")
    box.press("Tab")
    assert page.state("table")[9][0] == 9
    assert box.input_value() == "9"
    page.root.get_by_role("button", name="Reset the numbers").click()
    np.testing.assert_array_equal(weights(page), before)
    assert box.input_value() == "0"


def test_every_number_of_both_tables_can_be_moved_to_both_ends(alone):
    page = alone(SentenceAttention([drawn(3, 2)]))
    page.root.get_by_text("W_Q: what each word looks for").click()
    boxes = page.root.locator("input[type=number]")
    assert boxes.count() == 3 * 2 + 2 * 2
    for box in boxes.all():
        for value in ("-9", "9"):
            box.fill(value)
    assert {value for row in page.state("table") + page.state("looks_for") for value in row} == {9}
    np.testing.assert_allclose(weights(page), expected(page)[1], atol=1e-6)
    assert page.move_every_control() == 3
    assert page.state("sharpness") == 8
    page.assert_clean()


def test_hover_asks_click_pins_arrows_move_escape_unpins(page):
    assert page.canvas.get_attribute("data-query") is None
    assert page.status.startswith("Query “it”, word 9 of 10: largest weight 0.80 on “dog”.")
    page.hover(page.canvas, 0.9, 0.15)
    assert page.canvas.get_attribute("data-query") == "1,0"
    assert page.status.startswith("Query “brown”, word 2 of 10: largest weight 0.45 on “dog”, 0.45 on “grass”.")
    page.page.mouse.down()
    page.page.mouse.up()
    page.hover(page.canvas, 0.9, 0.55)
    assert page.canvas.get_attribute("data-query") == "1,0"
    assert page.canvas.get_attribute("data-locked") == "true"
    assert page.state("word") == [1]
    page.canvas.press("ArrowUp")
    page.canvas.press("ArrowUp")
    page.says(r"the same weight on every word, 0\.10\..*Edge\.$")
    assert page.state("word") == [0]
    page.canvas.press("Escape")
    assert page.canvas.get_attribute("data-locked") == "false"
    assert page.state("word") == []
    picture = page.root.locator("canvas[data-weights]")
    height = picture.bounding_box()["height"]
    page.hover(picture, 0.5, (60 + 2.5 * (height - 60) / 10) / height)  # in the third row, below the words
    assert page.canvas.get_attribute("data-query") == "2,0"


def test_a_word_given_at_the_start_is_shown_until_the_learner_points(alone):
    page = alone(SentenceAttention(word=[1]))
    assert page.status.startswith("Query “brown”")
    assert page.canvas.get_attribute("data-locked") == "false"
    page.hover(page.canvas, 0.9, 0.25)
    assert page.status.startswith("Query “dog”")


def test_another_sentence_brings_its_own_table_and_forgets_the_pin(page):
    page.canvas.focus()
    page.canvas.press("Enter")
    page.root.get_by_role("combobox", name="Sentence").select_option("2")
    assert page.state("word") == []
    assert len(page.state("table")) == 5
    assert page.status.startswith("Query “bank”, word 2 of 5")
    page.set(sentence=0, table=[list(row) for row in SENTENCES[0].table])
    assert page.status.startswith("Query “bank”")  # as long as W_Q is that of the other sentence
    page.set(looks_for=[list(row) for row in SENTENCES[0].looks_for])
    assert page.status.startswith("Query “it”, word 9 of 10")
    np.testing.assert_allclose(weights(page), expected(page)[1], atol=1e-6)


def test_the_copied_code_prints_what_the_page_shows(page):
    page.root.get_by_label("dog, word 3: being").fill("0.5")
    page.root.get_by_label("Sharpness").press("End")
    page.root.get_by_role("button", name="Copy the code").click()
    code = page.root.get_by_label("Code").input_value()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    shown = [line.split() for line in printed.getvalue().splitlines()]
    assert [word for word, _ in shown] == list(SENTENCES[0].words)
    np.testing.assert_allclose([float(value) for _, value in shown], weights(page)[8], atol=0.0051)


def test_lines_are_as_thick_as_their_weights(page):
    ink = []
    for key in ("Home", "End"):
        page.root.get_by_label("Sharpness").press(key)
        shown = page.pixels(page.canvas)[..., 3]
        column = shown[:, shown.shape[1] - 60 - 2]  # just left of the words, where the lines end
        ink.append((column[: len(column) // 10 * 10].reshape(10, -1) > 0).sum(1))
    others = np.delete(np.array(ink), 8, axis=1)  # all lines begin at the query
    assert np.ptp(others[0]) <= 3
    assert others[1][2] > 10 and others[1][2] > 4 * np.delete(others[1], 2).max()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_for_axe_to_complain_about(alone, theme):
    page = alone(SentenceAttention(word=[8]))
    page.theme(theme)
    assert page.violations() == []
    page.page.set_viewport_size({"width": 420, "height": 800})
    page.root.get_by_role("combobox", name="Query").select_option("itself")
    wait_drawn(page.page)
    assert page.violations() == []
    page.assert_clean()


def test_two_copies_do_not_meet_and_the_picture_is_saved(page, tmp_path):
    page.second_copy()
    roots = page.page.locator(".course-widget")
    assert roots.count() == 2
    page.hover(roots.nth(1).locator("canvas[tabindex='0']"), 0.9, 0.25)
    assert roots.nth(0).locator("canvas[tabindex='0']").get_attribute("data-query") is None
    with page.page.expect_download() as download:
        roots.nth(0).get_by_role("button", name="Save the picture").click()
    assert download.value.suggested_filename == "sentence-attention.png"


def test_shapes_that_do_not_fit_are_refused_with_what_is_needed():
    with pytest.raises(
        ValueError, match=r"table of 'two' has shape \(1, 2\); 2 words with 2 features need .* \(2, 2\)"
    ):
        Sentence("two", ["a", "b"], ["x", "y"], [[1, 2]], [[1, 0], [0, 1]])
    with pytest.raises(ValueError, match=r"looks_for of 'two'"):
        Sentence("two", ["a", "b"], ["x", "y"], [[1, 2], [3, 4]], [[1, 0]])
    with pytest.raises(ValueError, match="word=2, but there are 2; give a number from 0 to 1"):
        Sentence("two", ["a", "b"], ["x", "y"], [[1, 2], [3, 4]], [[1, 0], [0, 1]], word=2)
    with pytest.raises(ValueError, match="sentence=7"):
        SentenceAttention(sentence=7)


def test_another_sentence_chosen_from_python_brings_its_own_numbers():
    widget = SentenceAttention()
    widget.sentence = 1
    assert np.shape(widget.table) == (len(widget.sentences[1]["words"]), len(widget.sentences[1]["features"]))
    assert widget.table == widget.sentences[1]["table"] and widget.looks_for == widget.sentences[1]["looks_for"]
