import hashlib
import shutil

import numpy as np
import pytest

from course_utils import resources
from course_utils.data import digits, handwritten
from course_utils.resources import ResourceError, checksums, resource, resource_root

ASSETS = ("data", "photos", "weights", "features", "figures")


@pytest.fixture
def copied_root(tmp_path, monkeypatch):
    """A copy of the small part of resource/ that these tests break."""
    root = tmp_path / "resource"
    (root / "data").mkdir(parents=True)
    for name in ("LICENSES.md", "data/mnist_5k.npz"):
        shutil.copy(resource_root() / name, root / name)
    monkeypatch.setattr(resources, "resource_root", lambda: root)
    checksums.cache_clear()
    handwritten._shipped.cache_clear()
    yield root
    checksums.cache_clear()
    handwritten._shipped.cache_clear()


def test_every_shipped_asset_is_listed_with_its_checksum():
    shipped = {
        path.relative_to(resource_root()).as_posix()
        for folder in ASSETS
        for path in (resource_root() / folder).rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }
    listed = {name for name in checksums() if name.split("/")[0] in ASSETS}
    assert shipped == listed
    for name, expected in checksums().items():
        assert hashlib.sha256((resource_root() / name).read_bytes()).hexdigest() == expected, name


def test_every_asset_has_a_source_an_author_and_a_licence():
    rows = [
        line for line in (resource_root() / "LICENSES.md").read_text(encoding="utf-8").splitlines() if "` |" in line
    ]
    assert len(rows) == len(checksums())
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells) == 6 and all(cells), row


def test_the_shipped_digits_are_500_of_each():
    with np.load(resource("data/mnist_5k.npz")) as stored:
        assert stored["images"].shape == (5000, 28, 28) and stored["images"].dtype == np.uint8
        assert np.bincount(stored["labels"]).tolist() == [500] * 10


@pytest.mark.faults("files of resource/ damaged or missing")
def test_a_changed_file_is_named_with_both_checksums_and_a_cure(copied_root):
    path = copied_root / "data" / "mnist_5k.npz"
    expected = checksums()["data/mnist_5k.npz"]
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    found = hashlib.sha256(content).hexdigest()
    with pytest.raises(ResourceError) as caught:
        digits()
    for word in ("mnist_5k.npz", expected, found, "git checkout -- resource/data/mnist_5k.npz"):
        assert word in str(caught.value)


@pytest.mark.faults("files of resource/ damaged or missing")
def test_a_missing_file_is_named_with_a_cure(copied_root):
    (copied_root / "data" / "mnist_5k.npz").unlink()
    with pytest.raises(ResourceError, match=r"mnist_5k\.npz cannot be read \(No such file.*restore it with"):
        digits()


@pytest.mark.faults("files of resource/ damaged or missing")
def test_a_file_changed_while_python_runs_is_noticed(copied_root):
    path = resource("data/mnist_5k.npz")
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(ResourceError, match="is not the file that was shipped"):
        resource("data/mnist_5k.npz")


def test_an_unlisted_name_suggests_the_nearest(copied_root):
    with pytest.raises(ResourceError, match=r"did you mean 'data/mnist_5k\.npz'"):
        resource("data/mnist5k.npz")


@pytest.mark.faults("files of resource/ damaged or missing")
def test_a_missing_list_is_named(copied_root):
    (copied_root / "LICENSES.md").unlink()
    checksums.cache_clear()
    with pytest.raises(ResourceError, match=r"LICENSES\.md cannot be read"):
        resource("data/mnist_5k.npz")


@pytest.mark.faults("files of resource/ damaged or missing")
def test_no_folder_at_all_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "course_utils")
    with pytest.raises(ResourceError, match="clone or install the course again"):
        resource_root()
