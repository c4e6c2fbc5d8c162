"""CIFAR-10: fetched in its own format, split, and refused by name where something is wrong."""

import hashlib
import importlib
import io
import tarfile

import numpy as np
import pytest
import torch
from breaking_server import Server

from course_utils.data import DataError, cifar10

module = importlib.import_module("course_utils.data.cifar")
FOLDER = "cifar-10-batches-bin"


def records(count, seed):
    """Images whose red plane holds ten times the label, in the binary format."""
    generator = np.random.default_rng(seed)
    stored = generator.integers(0, 256, (count, 3073), dtype=np.uint8)
    stored[:, 0] = np.arange(count) % 10
    stored[:, 1:1025] = 10 * stored[:, :1]
    return stored


@pytest.fixture
def copied(tmp_path):
    folder = tmp_path / FOLDER
    folder.mkdir()
    for number in range(1, 6):
        records(20, number).tofile(folder / f"data_batch_{number}.bin")
    records(30, 9).tofile(folder / "test_batch.bin")
    return tmp_path


def test_images_and_labels_are_read_plane_by_plane(copied):
    test = cifar10("test", root=copied)
    assert test.images.shape == (30, 3, 32, 32) and test.labels.bincount().tolist() == [3] * 10
    assert torch.allclose(test.images[:, 0] * 255, 10.0 * test.labels[:, None, None].expand(-1, 32, 32))
    stored = records(30, 9)[7, 1:].reshape(3, 32, 32)
    assert torch.equal((test.images[7] * 255).round().byte(), torch.from_numpy(stored))


def test_fit_and_validation_share_out_the_training_images(copied):
    train, fit, validation = (cifar10(split, root=copied) for split in ("train", "fit", "validation"))
    assert [len(part) for part in (train, fit, validation)] == [100, 80, 20]
    known = {image.numpy().tobytes() for image in train.images}
    parts = [{image.numpy().tobytes() for image in part.images} for part in (fit, validation)]
    assert parts[0] | parts[1] == known and not parts[0] & parts[1]


def test_a_seed_draws_its_own_images(copied):
    few, again, others = (cifar10("train", n=40, seed=seed, root=copied) for seed in (0, 0, 1))
    assert torch.equal(few.images, again.images) and not torch.equal(few.labels, others.labels)
    with pytest.raises(ValueError, match="n from 1 to 100"):
        cifar10("train", n=101, root=copied)
    with pytest.raises(ValueError, match="no split 'valid'"):
        cifar10("valid", root=copied)


def test_it_is_fetched_from_an_archive_in_the_same_format(copied, tmp_path, monkeypatch, capfd):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(copied / FOLDER, FOLDER)
    served = Server({"cifar-10-binary.tar.gz": packed.getvalue()})
    served.breaks = 1
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(module, "_SOURCE", f"{served.address}/cifar-10-binary.tar.gz")
    monkeypatch.setattr(module, "_MD5", hashlib.md5(packed.getvalue()).hexdigest())
    try:
        fetched = cifar10("test", root=tmp_path / "elsewhere")
    finally:
        served.http.shutdown()
        served.http.server_close()
    assert torch.equal(fetched.images, cifar10("test", root=copied).images)
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == [FOLDER]
    assert "cifar-10-binary.tar.gz" in capfd.readouterr().err


@pytest.mark.faults("downloads broken off, wrong or refused")
def test_without_a_network_the_message_says_what_works(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(module, "_SOURCE", "http://127.0.0.1:9/cifar-10-binary.tar.gz")
    with pytest.raises(ConnectionError, match=r"could not be fetched.*cued_digits\(\)"):
        cifar10("test", root=tmp_path)


@pytest.mark.faults("fetched data damaged on the disk")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.unlink(), r"test_batch.bin cannot be read \(No such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "5,000 bytes, no whole number of images"),
        (lambda path: path.write_bytes(b""), "0 bytes"),
        (lambda path: path.write_bytes(b"\x0c" + path.read_bytes()[1:]), "image 0 has the label 12"),
    ],
)
def test_a_broken_copy_names_the_file(copied, change, message):
    change(copied / FOLDER / "test_batch.bin")
    with pytest.raises(DataError, match=message):
        cifar10("test", root=copied)
