"""torchvision's weights are read as tensors: a poisoned, damaged or missing file gets words and runs nothing."""

import hashlib
import os
import pickle

import pytest
import torch
from breaking_server import Server

from course_utils.models import AttentionVGG16, trained_weights
from course_utils.widgets import explore_channel_gates

pytestmark = pytest.mark.faults("fetched data damaged on the disk")


class Poison:
    """Unpickled, it makes a file."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.mkdir, (str(self.canary),)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """torch's cache of weights, empty; what is not in it cannot be fetched."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", lambda *_: (_ for _ in ()).throw(OSError("no route to host")))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def files(cache, name, canary):
    """A poisoned pickle in both of torch's formats, a file that is cut off, and one that is no weights at all."""
    path = cache / name
    torch.save({"features.0.weight": Poison(canary)}, path)
    yield "poisoned", path
    torch.save({"features.0.weight": Poison(canary)}, path, _use_new_zipfile_serialization=False)
    yield "poisoned, old format", path
    path.write_bytes(pickle.dumps(Poison(canary), protocol=2))
    yield "a bare pickle", path
    torch.save({"features.0.weight": torch.zeros(100)}, path)
    path.write_bytes(path.read_bytes()[:-200])
    yield "cut off", path
    path.write_bytes(b"")
    yield "empty", path
    path.write_bytes(b"<html>404</html>")
    yield "a page", path


def test_a_file_in_torchs_cache_that_is_no_weights_runs_nothing(cache, tmp_path, record_property):
    from torchvision.models import VGG16_BN_Weights

    canary = tmp_path / "executed"
    tried = 0
    for what, path in files(cache, VGG16_BN_Weights.DEFAULT.url.rpartition("/")[2], canary):
        with pytest.raises(ValueError, match="nothing in it was run") as caught:
            AttentionVGG16(2, weights="DEFAULT")
        assert str(path) in str(caught.value) and "Delete it" in str(caught.value), what
        assert "weights_only" not in str(caught.value).replace(str(path), ""), "no advice to run it after all"
        assert not canary.exists(), what
        tried += 1
    record_property("tried", tried)


def test_a_poisoned_file_behind_the_widgets_photographs_gets_a_word_in_the_widget(cache, tmp_path):
    from torchvision.models import MobileNet_V3_Small_Weights

    path = cache / MobileNet_V3_Small_Weights.DEFAULT.url.rpartition("/")[2]
    torch.save({"features.0.weight": Poison(tmp_path / "executed")}, path)
    widget = explore_channel_gates(source="photographs")
    assert "nothing in it was run" in widget.error and widget.source == "people"
    assert not (tmp_path / "executed").exists()


def test_without_a_network_the_address_is_named(cache):
    with pytest.raises(ConnectionError, match=r"https://\S+vgg16_bn\S+ is not in torch's cache.*no route to host"):
        AttentionVGG16(2, weights="DEFAULT")


def test_what_arrives_with_a_wrong_checksum_is_not_kept(tmp_path, monkeypatch):
    from torchvision.models._api import Weights, WeightsEnum

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    page = b"<html>This is not what you asked for</html>"
    whole = tmp_path / "whole.pth"
    torch.save({"weight": torch.ones(2)}, whole)
    digest = hashlib.sha256(whole.read_bytes()).hexdigest()[:8]
    server = Server({"net-12345678.pth": page, f"net-{digest}.pth": whole.read_bytes()})

    def served(name):
        return WeightsEnum("Served", {"DEFAULT": Weights(f"{server.address}/{name}", transforms=None, meta={})}).DEFAULT

    with pytest.raises(ConnectionError, match="invalid hash value"):
        trained_weights(served("net-12345678.pth"))
    assert not [*tmp_path.rglob("*12345678*")]
    assert torch.equal(trained_weights(served(f"net-{digest}.pth"))["weight"], torch.ones(2))
    server.http.shutdown()
    server.http.server_close()
