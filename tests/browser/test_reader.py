"""`reader` in a browser: the page reads what the package reads, head by head, and says what it cannot read."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from course_utils.attention import edit_masks, off, record_masks
from course_utils.data import draw_text
from course_utils.models import load_network
from course_utils.widgets import explore_reader

torch.set_num_threads(1)
ALL = [[block, head] for block in (1, 2) for head in range(1, 9)]


@pytest.fixture(scope="module")
def reader():
    return load_network("text_reader").eval()


@pytest.fixture
def page(alone):
    opened = alone(explore_reader())
    wait_for(opened, "so we saw zoos")
    yield opened
    opened.assert_clean()


def wait_for(page, words: str) -> None:
    page.page.wait_for_function(
        "words => document.querySelector('.cw-reading').textContent === words", arg=words, timeout=30_000
    )


def reading(page) -> str:
    return page.root.locator(".cw-reading").inner_text()


def shown_line(page) -> torch.Tensor:
    """The line that the page shows, as Python's side is told: (1, 3, 48, W)."""
    line = page.state("line")
    pixels = np.frombuffer(base64.b64decode(line["data"]), np.uint8).reshape(line["shape"])
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 255


@torch.no_grad()
def package(reader, picture, heads=()):
    edits = {}
    for block, head in heads:
        edits.setdefault(f"blocks.{block - 1}.attention", []).append(head - 1)
    changes = {name: off(found) for name, found in edits.items()}
    with edit_masks(reader, changes), record_masks(reader) as masks:
        read = reader.read(picture)[0]
    return read, torch.stack([masks[f"blocks.{i}.attention"][0] for i in (0, 1)])


def weights(page) -> np.ndarray:
    return np.array([float(one) for one in page.canvas.get_attribute("data-weights").split(",")])


@pytest.mark.parametrize("heads", [[], [[1, 3], [2, 1], [2, 8]], ALL])
def test_the_page_reads_and_weighs_as_the_package_does(page, reader, heads):
    page.set(off=heads)
    read, expected = package(reader, shown_line(page), heads)
    wait_for(page, read)
    for block, head, column in ((1, 6, 4), (2, 2, 20), (2, 5, 39)):
        page.set(chosen=[block, head])
        page.hover(page.canvas, (column + 0.5) / 40, 0.5)
        assert page.canvas.get_attribute("data-query") == f"0,{column}"
        np.testing.assert_allclose(weights(page), expected[block - 1, head - 1, column], atol=1e-3)
    page.set(chosen=[])
    on = [(block, head) for block, head in ALL if [block, head] not in heads]
    if on:
        mean = torch.stack([expected[block - 1, head - 1, 39] for block, head in on]).mean(dim=0)
        np.testing.assert_allclose(weights(page), mean, atol=1e-3)


def test_heads_go_off_one_by_one_and_by_the_block_and_the_reading_breaks(page):
    page.root.get_by_label("Block 2, head 3 takes part").uncheck()
    assert page.state("off") == [[2, 3]]
    page.root.get_by_role("button", name="All heads off").click()
    wait_for(page, "S0We SaW zoos")
    assert "With all heads: so we saw zoos" in page.root.inner_text()
    page.root.get_by_role("button", name="All heads on").click()
    wait_for(page, "so we saw zoos")


def test_a_typed_line_is_read_and_its_picture_reaches_python(page, reader):
    page.root.get_by_label("Type a line").fill("Try me")
    wait_for(page, "Try me")
    assert package(reader, shown_line(page))[0] == "Try me"
    difference = (shown_line(page) - draw_text("Try me")[None]).abs().mean()
    assert difference < 0.05  # the page's letters stand where the package's do


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("   ", "The line is empty"),
        ("naïve 東京", ": ï 東 京"),
        ("a very long line of words that nobody can read at once, and then some", "letters; about"),
    ],
)
def test_a_line_that_cannot_be_read_is_explained_and_the_widget_goes_on(page, typed, words):
    page.root.get_by_label("Type a line").fill(typed)
    alarm = page.root.get_by_role("alert")
    alarm.wait_for(state="visible")
    assert words in alarm.inner_text()
    assert reading(page) == "so we saw zoos"
    page.root.get_by_label("Type a line").fill("ok now")
    wait_for(page, "ok now")
    assert not alarm.is_visible()


def png(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def word(text: str = "Mask 17") -> Image.Image:
    pixels = (255 * draw_text(text)).byte().permute(1, 2, 0).numpy()
    return Image.fromarray(pixels[:, :144])


def upload(page, data: bytes, name: str) -> None:
    page.root.locator("input[type=file]").set_input_files(
        {"name": name, "mimeType": "application/octet-stream", "buffer": data}
    )


def transparent(picture: Image.Image) -> Image.Image:
    alpha = picture.convert("L").point(lambda level: 255 if level < 128 else 0)
    picture = picture.convert("RGBA")
    picture.putalpha(alpha)
    return picture


def turned(picture: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return png(picture.rotate(90, expand=True), "JPEG", exif=exif, quality=95)


PICTURES = {
    "large.png": lambda: png(word().resize((1440, 480))),
    "small.png": lambda: png(word().resize((96, 32))),
    "grey.png": lambda: png(word().convert("L")),
    "palette.gif": lambda: png(word().convert("P"), "GIF"),
    "moving.gif": lambda: png(word(), "GIF", save_all=True, append_images=[word("other")], loop=0),
    "clear.png": lambda: png(transparent(word())),
    "turned.jpg": lambda: turned(word()),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_of_any_kind_is_read(page, name):
    upload(page, PICTURES[name](), name)
    wait_for(page, "Mask 17")
    assert page.state("words") == ""


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"no picture at all", "not a picture that this browser can read"),
        (png(Image.new("RGB", (2000, 20))), "100 times as wide as it is high"),
    ],
)
def test_a_bad_picture_gets_a_word_and_the_widget_goes_on(page, data, words):
    upload(page, data, "bad.png")
    alarm = page.root.get_by_role("alert")
    alarm.wait_for(state="visible")
    assert words in alarm.inner_text()
    upload(page, png(word()), "good.png")
    wait_for(page, "Mask 17")
    assert not alarm.is_visible()


def test_copied_code_reproduces_the_weights_of_the_drawn_line(page):
    page.set(chosen=[2, 4], query=[11], off=[[1, 2]])
    page.root.get_by_text("1.2 off").wait_for()
    page.root.get_by_role("button", name="Copy the code").click()
    printed: list = []
    exec(page.root.get_by_label("Code").input_value(), {"print": printed.append})
    assert printed[0] == [reading(page)]
    np.testing.assert_allclose(printed[1], weights(page), atol=0.02)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(page, theme):
    page.set(off=[[1, 2]], query=[4])
    page.theme(theme)
    assert page.violations() == []


@pytest.mark.parametrize("viewport", [{"width": 1280, "height": 720}, {"width": 390, "height": 844}])
def test_the_line_and_its_reading_are_in_view_together(alone, viewport):
    page = alone(explore_reader(query=3), viewport=viewport)
    wait_for(page, "so we saw zoos")
    answer = page.root.locator(".cw-reading").bounding_box()
    assert answer["y"] + answer["height"] < viewport["height"]
    assert page.canvas.bounding_box()["width"] >= 320
    assert page.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
