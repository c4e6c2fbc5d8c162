"""Pets: fetched from a server that breaks off, read in every mode, refused by name where something is missing."""

import hashlib
import importlib
import io
import re
import tarfile
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from breaking_server import Server
from PIL import Image

from course_utils.data import DataError, download, pets
from course_utils.training import pets_comparison
from course_utils.training.objective import cross_entropy
from course_utils.training.pets_comparison import PhotographVGG16, compare_on_pets

ROOT = Path(__file__).resolve().parents[2]
module = importlib.import_module("course_utils.data.pets")
# name, kind (1 cat, 2 dog), width x height, mode: as in the true set, most are colour, some are not
TRAIN = (
    ("Abyssinian_1", 1, (60, 40), "RGB"),
    ("Bengal_2", 1, (40, 70), "L"),
    ("beagle_3", 2, (50, 50), "CMYK"),
    ("pug_4", 2, (90, 60), "P"),
    ("boxer_5", 2, (64, 48), "RGBA"),
    ("keeshond_6", 2, (64, 48), "LA"),
)
TEST = (("Persian_7", 1, (48, 64), "RGB"), ("havanese_8", 2, (64, 64), "RGB"))


def picture(width, height, mode):
    """Red on the left half, green on the right; grey modes get light and dark."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = 200
    pixels[:, width // 2 :, 1] = 200
    colour = Image.fromarray(pixels)
    if mode == "P":
        return colour.quantize(8)
    return colour.convert(mode)


def trimap(width, height):
    """The animal on the left third, a seam two pixels wide, background on the right."""
    kinds = np.full((height, width), 2, np.uint8)
    kinds[:, : width // 3] = 1
    kinds[:, width // 3 : width // 3 + 2] = 3
    return Image.fromarray(kinds)


def write_pets(folder):
    """The folder in the authors' own layout; endings are .jpg whatever is inside, as theirs."""
    (folder / "images").mkdir(parents=True)
    (folder / "annotations" / "trimaps").mkdir(parents=True)
    for listed, rows in (("trainval", TRAIN), ("test", TEST)):
        lines = []
        for number, (name, kind, size, mode) in enumerate(rows, start=1):
            kind_of_file = "JPEG" if mode in ("RGB", "L", "CMYK") else "PNG"
            picture(*size, mode).save(folder / "images" / f"{name}.jpg", kind_of_file)
            trimap(*size).save(folder / "annotations" / "trimaps" / f"{name}.png")
            lines.append(f"{name} {number} {kind} {number}")
        (folder / "annotations" / f"{listed}.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def copied(tmp_path):
    """A root whose folder is there already."""
    write_pets(tmp_path / "oxford-iiit-pet")
    return tmp_path


@pytest.fixture
def server(tmp_path, monkeypatch):
    source = write_pets(tmp_path / "source")
    files = {}
    for part in ("annotations", "images"):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            archive.add(source / part, part)
        files[f"{part}.tar.gz"] = packed.getvalue()
    served = Server(files)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(module, "_SOURCE", served.address)
    sums = {name.removesuffix(".tar.gz"): hashlib.md5(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(module, "_MD5", sums)
    yield served
    served.http.shutdown()
    served.http.server_close()


def test_pets_of_every_size_and_mode_come_as_colour_with_their_masks(copied):
    train = pets(copied, size=32)
    assert train.images.shape == (6, 3, 32, 32) and train.masks.shape == (6, 32, 32)
    assert train.labels.bincount().tolist() == [2, 4]
    left, right = train.images[:, :, 4:28, 2:8].mean((2, 3)), train.images[:, :, 4:28, 24:30].mean((2, 3))  # (6, 3)
    grey = (left[:, 0] - left[:, 1]).abs() < 0.05
    assert grey.sum() == 2  # L and LA
    assert (left[~grey, 0] > left[~grey, 1] + 0.3).all() and (right[~grey, 1] > right[~grey, 0] + 0.3).all()


def test_the_mask_is_cut_and_reduced_with_its_photograph_and_holds_the_seam(copied):
    test = pets(copied, split="test", size=64)
    order = test.labels.tolist()
    dog = test.masks[order.index(1)]  # 64 x 64: nothing is cut, nothing reduced
    assert dog[:, : 64 // 3 + 2].all() and not dog[:, 64 // 3 + 2 :].any()
    cat = test.masks[order.index(0)]  # 48 x 64: the middle 48 rows, enlarged
    assert abs(float(cat.float().mean()) - 18 / 48) < 0.03


def test_n_takes_always_the_same_pets(copied):
    few, all_ = pets(copied, n=3, size=32), pets(copied, size=32)
    assert torch.equal(few.images, all_.images[:3]) and torch.equal(few.labels, all_.labels[:3])
    with pytest.raises(ValueError, match="n from 1 to 6"):
        pets(copied, n=7)
    with pytest.raises(ValueError, match="no split 'validation'"):
        pets(copied, split="validation")
    with pytest.raises(ValueError, match="size of at least 1"):
        pets(copied, size=0)


def test_pets_are_fetched_once_with_progress_and_nothing_is_left_over(server, tmp_path, capfd):
    fetched = pets(tmp_path / "root", size=32)
    assert len(fetched) == 6 and "images.tar.gz: 100%" in capfd.readouterr().err
    assert sorted(path.name for path in (tmp_path / "root" / "oxford-iiit-pet").iterdir()) == ["annotations", "images"]
    server.asked.clear()
    assert torch.equal(pets(tmp_path / "root", size=32).images, fetched.images) and not server.asked


@pytest.mark.faults("downloads broken off, wrong or refused")
def test_a_download_that_breaks_off_goes_on_where_it_was(server, tmp_path):
    server.breaks = 3
    assert len(pets(tmp_path, size=32)) == 6
    ranges = [begin for name, begin in server.asked if name == "annotations.tar.gz"]
    size = len(server.files["annotations.tar.gz"])
    assert ranges[:2] == [None, f"bytes={size // 2}-"] and len(ranges) == 4


@pytest.mark.faults("downloads broken off, wrong or refused")
def test_a_download_goes_on_in_the_next_call_too(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_ATTEMPTS", 0)  # the connection breaks, and no second attempt is made
    server.breaks = 1
    with pytest.raises(ConnectionError, match="have come and are kept"):
        pets(tmp_path, size=32)
    monkeypatch.undo()
    kept = (tmp_path / "oxford-iiit-pet" / "annotations.tar.gz.part").stat().st_size
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(module, "_SOURCE", server.address)
    sums = {name.removesuffix(".tar.gz"): hashlib.md5(content).hexdigest() for name, content in server.files.items()}
    monkeypatch.setattr(module, "_MD5", sums)
    assert len(pets(tmp_path, size=32)) == 6
    assert ("annotations.tar.gz", f"bytes={kept}-") in server.asked


@pytest.mark.faults("downloads broken off, wrong or refused")
def test_a_server_that_knows_no_ranges_is_asked_for_everything_again(server, tmp_path):
    server.ranges, server.breaks = False, 1
    assert len(pets(tmp_path, size=32)) == 6


@pytest.mark.faults("downloads broken off, wrong or refused")
def test_another_file_than_the_expected_one_is_refused_and_deleted(server, tmp_path):
    server.files["annotations.tar.gz"] = server.files["annotations.tar.gz"][:-8] + b"12345678"
    with pytest.raises(ConnectionError, match=r"not the file that was expected: md5 \w{32} expected, \w{32} found"):
        pets(tmp_path)
    assert not list((tmp_path / "oxford-iiit-pet").iterdir())


@pytest.mark.faults("downloads broken off, wrong or refused")
def test_without_a_network_one_line_says_what_to_do(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SOURCE", "http://127.0.0.1:9")
    with pytest.raises(ConnectionError, match=r"could not be fetched.*Connect to the internet.*cued_scenes") as caught:
        pets(tmp_path)
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(module, "_SOURCE", f"{server.address}/moved")
    with pytest.raises(ConnectionError, match="Not Found"):
        pets(tmp_path)


@pytest.mark.faults("downloads broken off, wrong or refused")
def test_a_file_where_the_folder_should_be_is_named(server, tmp_path):
    (tmp_path / "oxford-iiit-pet").write_text("a file")
    with pytest.raises(DataError, match="oxford-iiit-pet"):
        pets(tmp_path)


@pytest.mark.faults("fetched data damaged on the disk")
def test_a_half_copied_folder_names_the_first_missing_file(copied):
    folder = copied / "oxford-iiit-pet"
    (folder / "annotations" / "trimaps" / "pug_4.png").unlink()
    with pytest.raises(DataError, match=r"line 4 names 'pug_4', but its trimap .*pug_4\.png is not there .1 of 6"):
        pets(copied)
    for name in ("Bengal_2", "beagle_3"):
        (folder / "images" / f"{name}.jpg").unlink()
    with pytest.raises(DataError, match=r"line 2 names 'Bengal_2', but its photograph .*Bengal_2\.jpg .*2 of 6"):
        pets(copied)
    (folder / "annotations" / "trainval.txt").unlink()
    with pytest.raises(DataError, match=r"trainval\.txt cannot be read"):
        pets(copied)


@pytest.mark.faults("fetched data damaged on the disk")
def test_a_cut_off_photograph_is_named_with_its_size(copied):
    cut = copied / "oxford-iiit-pet" / "images" / "Abyssinian_1.jpg"
    cut.write_bytes(cut.read_bytes()[:300])
    with pytest.raises(DataError, match=r"Abyssinian_1\.jpg \(300 bytes\) is not a whole picture"):
        pets(copied)
    cut.write_bytes(b"")
    with pytest.raises(DataError, match=r"Abyssinian_1\.jpg \(0 bytes\)"):
        pets(copied)


@pytest.mark.faults("fetched data damaged on the disk")
@pytest.mark.parametrize(
    "line", ["Abyssinian_1 1 3 1", "Abyssinian_1 1 1", "Abyssinian_1 one 1 1", "", "Abyssinian 1 1 1 1"]
)
def test_a_label_that_is_none_is_shown_with_its_line(copied, line):
    listed = copied / "oxford-iiit-pet" / "annotations" / "trainval.txt"
    listed.write_text(listed.read_text() + line + "\n")
    with pytest.raises(DataError, match=r"line 7 is .*expected a name and three numbers"):
        pets(copied)
    listed.write_text("")
    with pytest.raises(DataError, match="is empty"):
        pets(copied)


@pytest.mark.faults("fetched data damaged on the disk")
def test_labels_that_match_no_image_are_refused(copied):
    listed = copied / "oxford-iiit-pet" / "annotations" / "trainval.txt"
    listed.write_text("tiger_9 1 1 1\n" + listed.read_text())
    with pytest.raises(DataError, match=r"line 1 names 'tiger_9'.*is of other photographs"):
        pets(copied)


@pytest.mark.faults("fetched data damaged on the disk")
def test_a_trimap_of_another_photograph_is_refused(copied):
    trimap(20, 20).save(copied / "oxford-iiit-pet" / "annotations" / "trimaps" / "pug_4.png")
    with pytest.raises(DataError, match=r"90 x 60 pixels, but its trimap .* 20 x 20 pixels"):
        pets(copied)


def test_the_lessons_switch_compares_four_networks_on_pets(copied, capsys):
    lesson = nbformat.read(ROOT / "notebooks" / "4.5_experiment_attention_vgg16.ipynb", as_version=4)
    setup = next(cell.source for cell in lesson.cells if cell.source.startswith("import importlib"))
    (cell,) = [cell.source for cell in lesson.cells if "pets" in cell.metadata.get("tags", [])]
    assert cell.startswith("EPOCHS = 3") and "PETS = False" in cell
    settings = 'ROOT, WEIGHTS, MANY, SIZE = None, "DEFAULT", 1000, 160'
    assert settings in cell
    cell = cell.replace("EPOCHS = 3", "EPOCHS = 2").replace("PETS = False", "PETS = True")
    cell = cell.replace(settings, "WEIGHTS, MANY, SIZE = None, 2, 32")
    shown: list = []
    scope = {"ROOT": copied, "display": shown.append}
    exec(setup, scope)
    exec(cell, scope)

    titles = ["VGG alone (Grad-CAM)", "gates by sigmoid", "gates by softmax", "sigmoid, shown the mask"]
    measures = ["accuracy", "AP", "AUC", "share pool3", "IoU pool3", "share pool4", "IoU pool4"]
    (heading,), header, *rows = [re.split("  +", line.strip()) for line in capsys.readouterr().out.strip().splitlines()]
    assert header == ["network", *measures] and heading == "One seed each" and [row[0] for row in rows] == titles
    found = scope["on_pets"]
    for title, row in zip(titles, rows, strict=True):
        assert row[1:] == [f"{found.scores[title][measure]:.3f}" for measure in measures]
        assert all(0 <= value <= 1 for value in found.scores[title].values())

    widget = shown[0]
    assert [one["title"] for one in widget.series] == titles
    assert widget.stages == ["pool3", "pool4"] and widget.epochs == [1, 2] and len(widget.names) == 2
    for title, one in zip(titles, widget.series, strict=True):
        assert [stage["shape"] for stage in one["maps"]] == [[2, 2, 4, 4], [2, 2, 2, 2]]
        assert all({*row} <= {"cat", "dog"} and len(row) == 2 for row in one["answers"])
        assert not torch.equal(found.maps[title][0][0], found.maps[title][0][1])
    softmax = found.maps["gates by softmax"][0]
    torch.testing.assert_close(softmax.sum((2, 3)), torch.ones(2, 2), atol=5e-3, rtol=0)
    sigmoid, masked = found.maps["gates by sigmoid"][0], found.maps["sigmoid, shown the mask"][0]
    assert not torch.equal(sigmoid[1], masked[1])  # the same first weights, another loss


def test_the_networks_of_the_photographs_see_them_as_their_trained_features_did():
    torch.manual_seed(0)
    network = PhotographVGG16(2, "sigmoid").eval()
    seen = []
    network.features[0].register_forward_pre_hook(lambda layer, given: seen.append(given[0]))
    network(torch.full((1, 3, 32, 32), 0.456))
    expected = torch.tensor([-0.029 / 0.229, 0.0, 0.05 / 0.225])
    torch.testing.assert_close(seen[0][0, :, 5, 5], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("epochs", "kept"), [(1, [1]), (6, [1, 5, 6])])
def test_maps_are_kept_after_the_first_the_fifth_and_the_last_epoch(copied, monkeypatch, epochs, kept):
    monkeypatch.setattr(pets_comparison, "ON_PETS", {"gates": ("sigmoid", cross_entropy)})
    train_set, test_set = pets(copied, n=2, size=32), pets(copied, "test", size=32)
    found = compare_on_pets(train_set, test_set, epochs=epochs, weights=None)
    (maps,) = found.maps.values()
    assert found.epochs == kept and [len(map_) for map_ in maps] == [len(kept)] * 2
