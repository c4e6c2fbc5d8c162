"""The diagrams: every word can be read, nothing is cut off or crossed, the shipped files are what the code draws."""

import hashlib
import itertools
import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from artwork import DRAWN, files, sketch, style
from artwork.experiment import cued_examples, stage_shapes
from artwork.opening import opening, stored
from course_utils import resources
from course_utils.figures import diagram, diagrams

EVERY = [pytest.param(name, theme, id=f"{name}-{theme}") for name in diagrams() for theme in style.THEMES]
MARGIN = 5.0
CLEAR = 1.5


@pytest.fixture(scope="module")
def sketches():
    return {(name, theme): sketch(name, theme) for name in diagrams() for theme in style.THEMES}


def words_of(drawn):
    """Each line of words with its box in units, y downwards."""
    scale = style.DOTS_PER_UNIT
    boxes = []
    for artist, _ in drawn.words:
        extent = artist.get_window_extent()
        boxes.append(
            (
                artist.get_text(),
                style.Box(
                    extent.x0 / scale, drawn.height - extent.y1 / scale, extent.width / scale, extent.height / scale
                ),
            )
        )
    return boxes


def apart(a, b, room):
    return a.x1 + room <= b.x or b.x1 + room <= a.x or a.y1 + room <= b.y or b.y1 + room <= a.y


def within(inner, outer, room):
    return (
        inner.x >= outer.x + room
        and inner.x1 <= outer.x1 - room
        and inner.y >= outer.y + room
        and inner.y1 <= outer.y1 - room
    )


def crosses(start, end, box):
    """Whether a straight piece of line runs through the inside of a box (Liang and Barsky's clipping)."""
    (x0, y0), (x1, y1) = start, end
    low, high = 0.0, 1.0
    for delta, near, far in ((x1 - x0, box.x - x0, box.x1 - x0), (y1 - y0, box.y - y0, box.y1 - y0)):
        if delta == 0:
            if near >= 0 or far <= 0:
                return False
            continue
        first, last = sorted((near / delta, far / delta))
        low, high = max(low, first), min(high, last)
    return low < high


@pytest.mark.parametrize(("name", "theme"), EVERY)
def test_words_lie_inside_the_figure(sketches, name, theme):
    drawn = sketches[name, theme]
    page = style.Box(0, 0, drawn.width, drawn.height)
    cut = [words for words, box in words_of(drawn) if not within(box, page, MARGIN)]
    assert not cut


@pytest.mark.parametrize(("name", "theme"), EVERY)
def test_words_do_not_cover_each_other(sketches, name, theme):
    pairs = itertools.combinations(words_of(sketches[name, theme]), 2)
    assert not [(first, second) for (first, a), (second, b) in pairs if not apart(a, b, 0)]


@pytest.mark.parametrize(("name", "theme"), EVERY)
def test_words_cross_no_border(sketches, name, theme):
    drawn = sketches[name, theme]
    borders = [*drawn.solids, *drawn.frames]
    crossed = [
        (words, border)
        for words, box in words_of(drawn)
        for border in borders
        if not (apart(box, border, CLEAR) or within(box, border, CLEAR))
    ]
    assert not crossed


@pytest.mark.parametrize(("name", "theme"), EVERY)
def test_lines_run_through_no_word_and_no_box(sketches, name, theme):
    drawn = sketches[name, theme]
    obstacles = [*words_of(drawn), *(("a box", box) for box in drawn.solids)]
    hit = [
        (what, piece)
        for route in drawn.lines
        for piece in itertools.pairwise(route)
        for what, box in obstacles
        if crosses(*piece, box)
    ]
    assert not hit


@pytest.mark.parametrize(("name", "theme"), EVERY)
def test_arrows_are_straight_and_long_enough_to_see(sketches, name, theme):
    for route in sketches[name, theme].lines:
        length = sum(abs(x1 - x0) + abs(y1 - y0) for (x0, y0), (x1, y1) in itertools.pairwise(route))
        assert length >= style.HEAD
        for (x0, y0), (x1, y1) in itertools.pairwise(route):
            short, long = sorted((abs(x1 - x0), abs(y1 - y0)))
            assert short < 1e-9 or short / long > 0.05, f"{route} is nearly straight"


@pytest.mark.parametrize(("name", "theme"), EVERY)
def test_words_stand_out_from_what_they_stand_on(sketches, name, theme):
    faint = [
        (artist.get_text(), style.contrast(artist.get_color(), surface))
        for artist, surface in sketches[name, theme].words
        if style.contrast(artist.get_color(), surface) < 4.5
    ]
    assert not faint


@pytest.mark.parametrize(("name", "theme"), EVERY)
def test_no_word_is_smaller_than_half_size_allows(sketches, name, theme):
    sizes = [artist.get_fontsize() / style.POINTS_PER_UNIT for artist, _ in sketches[name, theme].words]
    assert min(sizes) >= style.SMALL - 1e-9


@pytest.mark.parametrize("theme", style.THEMES.values(), ids=style.THEMES)
def test_palette_is_legible_on_its_own_surfaces(theme):
    assert style.contrast("#000000", "#ffffff") == pytest.approx(21)
    for words in (theme.ink, theme.muted):
        assert style.contrast(words, theme.background) >= 4.5
    for family in theme.families.values():
        assert style.contrast(family.text, theme.background) >= 4.5
        assert style.contrast(family.text, family.fill) >= 4.5
        assert style.contrast(family.strong, theme.background) >= 3


# Machado, Oliveira, Fernandes 2009: what is seen without the long-, middle- or short-wave cones.
DEFICIENCIES = {
    "none": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def seen(color, matrix):
    """CIE L*a*b* of a colour as it is seen with a deficiency."""
    rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.clip(np.array(matrix) @ np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4), 0, 1)
    to_xyz = np.array(((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505)))
    x, y, z = np.cbrt(to_xyz @ linear / (0.9505, 1.0, 1.089))
    return np.array((116 * y - 16, 500 * (x - y), 200 * (y - z)))


@pytest.mark.parametrize("matrix", DEFICIENCIES.values(), ids=DEFICIENCIES)
@pytest.mark.parametrize("theme", style.THEMES.values(), ids=style.THEMES)
def test_colours_differ_for_every_kind_of_sight(theme, matrix):
    hues = {family.strong for family in theme.families.values()}
    assert len(hues) == 6
    distances = {
        pair: float(np.linalg.norm(seen(pair[0], matrix) - seen(pair[1], matrix)))
        for pair in itertools.combinations(sorted(hues), 2)
    }
    assert min(distances.values()) >= 15, min(distances, key=distances.get)


def test_every_diagram_is_drawn_and_every_drawing_is_described():
    assert set(DRAWN) == set(diagrams())


def test_an_unknown_theme_is_refused():
    with pytest.raises(ValueError, match="theme='sepia' is not one of 'light', 'dark'"):
        sketch("se_block", theme="sepia")


def test_a_reader_s_own_settings_neither_change_a_diagram_nor_are_changed():
    import matplotlib

    plain = files.png_bytes(sketch("se_residual"))
    with matplotlib.rc_context({"font.family": "serif", "lines.linewidth": 9, "figure.facecolor": "red"}):
        before = dict(matplotlib.rcParams)
        assert files.png_bytes(sketch("se_residual")) == plain
        assert dict(matplotlib.rcParams) == before


def test_drawing_leaves_pyplot_alone():
    code = "import sys, artwork; artwork.sketch('se_block'); print('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_drawing_twice_gives_the_same_bytes():
    assert files.png_bytes(sketch("se_block")) == files.png_bytes(sketch("se_block"))
    first, second = (files.svg_text("se_block", "dark") for _ in range(2))
    assert first == second
    assert "<dc:date>" not in first


def test_shipped_files_are_what_the_code_draws():
    assert files.check() == []


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A resource folder of its own, with one diagram, drawn and listed there."""
    monkeypatch.setattr(files, "resource_root", lambda: tmp_path)
    monkeypatch.setattr(files, "diagrams", lambda: {"se_residual": diagram("se_residual")})
    (tmp_path / "LICENSES.md").write_text("# Assets\n\n## Figures\n\nold rows\n\n## Other\n\nkept\n", encoding="utf-8")
    files.ship()
    return tmp_path


def test_drawing_lists_every_file_with_its_checksum_and_keeps_the_other_lists(elsewhere):
    text = (elsewhere / "LICENSES.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(figures/[^`]+)`.*\| `([0-9a-f]{64})` \|$", text, re.MULTILINE)
    assert len(rows) == 1
    for name, digest in rows:
        assert hashlib.sha256((elsewhere / name).read_bytes()).hexdigest() == digest
    assert "old rows" not in text
    assert text.endswith("## Other\n\nkept\n")
    files.ship()
    assert (elsewhere / "LICENSES.md").read_text(encoding="utf-8") == text


def test_check_names_what_is_missing_changed_or_left_over(elsewhere):
    assert files.check() == []
    place = elsewhere / "figures"
    (place / "old.png").write_bytes(b"")
    with Image.open(place / "se_residual.png") as image:
        image.save(place / "se_residual.png", compress_level=1)
    assert files.check() == ["se_residual.png is not what the code draws", "old.png is drawn by no code"]
    (place / "se_residual.png").unlink()
    assert files.check() == ["se_residual.png is missing", "old.png is drawn by no code"]


def test_another_version_is_held_to_the_same_picture_not_to_the_same_bytes(elsewhere, monkeypatch):
    place = elsewhere / "figures" / "se_residual.png"
    with Image.open(place) as image:
        image.save(place, compress_level=1)
    monkeypatch.setattr(files, "drawn_with", lambda: "another version")
    assert files.check() == []
    moved = sketch("se_residual")
    moved.words[0][0].set_x(moved.words[0][0].get_position()[0] + 12)
    place.write_bytes(files.png_bytes(moved))
    assert files.check() == ["se_residual.png looks different from what the code draws"]


@pytest.mark.parametrize("name", diagrams())
def test_pictures_are_small_and_whole(name):
    path = resources.resource(diagram(name).file)
    assert path.stat().st_size <= 60_000
    with Image.open(path) as image:
        assert image.size == tuple(2 * side for side in diagram(name).size)
        assert not image.info.keys() & {"Software", "Creation Time"}


@pytest.mark.parametrize("name", ["original_network", "cued_digits_task"])
def test_svg_carries_its_alt_text_and_asks_for_nothing(name):
    text = files.svg_text(name, "dark")
    root = ElementTree.fromstring(text)
    assert root.attrib["role"] == "img"
    assert root.find("{http://www.w3.org/2000/svg}title").text == diagram(name).alt
    assert not re.findall(r'(?:href|src)="(?!#|data:)', text)


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 40)])
def test_shapes_of_the_original_network_are_those_of_the_model(channels, size):
    import torch

    from course_utils.models import AttentionCNN

    model = AttentionCNN(10, "se", layout="original", in_channels=channels, image_size=size).eval()
    shapes = [(channels, size, size)]
    for name, stage in model.named_children():
        if name.startswith("stage"):
            stage.register_forward_hook(lambda _module, _inputs, output: shapes.append(tuple(output.shape[1:])))
    model(torch.zeros(1, channels, size, size))
    assert len(shapes) == 4
    assert stage_shapes(channels, size) == shapes
    for shape in shapes:
        assert " × ".join(map(str, shape)) in diagram("original_network").alt


def test_alt_text_of_the_cued_digits_states_the_answer_of_the_picture_drawn():
    pictures, cues = cued_examples()
    answer = f"the border is {cues[0]}, so the label is the {cues[0]} digit, {int(pictures.labels[0])},"
    assert answer in diagram("cued_digits_task").alt


def test_lesson_41_opens_with_what_the_segmenter_and_the_blur_make_of_the_photograph():
    drawn, shown = (np.asarray(picture, dtype=float)[..., :3] for picture in (opening(), stored()))
    assert shown.shape == drawn.shape
    for column in range(0, 640, 216):
        assert np.abs(drawn - shown)[:, column : column + 208].mean() < 6, "`make figures` draws it again"
