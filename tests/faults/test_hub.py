"""The hub of trained networks breaks off, lies, or is away: what came is kept, and a word says what to do."""

import functools
import socket

import huggingface_hub
import pytest
import timm
import torch
from breaking_server import Server
from safetensors.torch import save

from course_utils.data import download
from course_utils.data.download import DataError, hub_weights
from course_utils.resources import resource
from course_utils.widgets import look

LESSON = "4.7_look_into_any_network.ipynb"
NAME = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
FILE = f"timm/{NAME}/resolve/main/model.safetensors"
hub_address = huggingface_hub.hf_hub_url

pytestmark = pytest.mark.faults("downloads broken off, wrong or refused")


@pytest.fixture(scope="module")
def content():
    """A network's weights in the hub's format, drawn at random."""
    torch.manual_seed(1)
    return save(timm.create_model(NAME).state_dict())


@pytest.fixture
def hub(content, monkeypatch, tmp_path):
    monkeypatch.setattr(download, "_ATTEMPTS", 2)
    monkeypatch.setattr(download, "_PATIENCE", 0.5)
    monkeypatch.setattr(download, "CACHE", tmp_path)
    server = Server({FILE: content})
    monkeypatch.setattr("huggingface_hub.hf_hub_url", functools.partial(hub_address, endpoint=server.address))
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def nobody(monkeypatch, tmp_path):
    """A hub at which nobody listens."""
    monkeypatch.setattr(download, "CACHE", tmp_path)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setattr("huggingface_hub.hf_hub_url", functools.partial(hub_address, endpoint=address))


def test_weights_whose_download_breaks_off_arrive_whole_and_are_read_by_timm(hub, content):
    hub.breaks = 4
    path = hub_weights(f"timm/{NAME}")
    assert path.read_bytes() == content
    starts = [int(begin[6:-1]) for _, begin in hub.asked if begin]
    assert len(starts) == 4 and starts == sorted(set(starts)), "each time it goes on where it was"
    model = timm.create_model(NAME, pretrained=True, pretrained_cfg_overlay={"file": str(path)})
    assert save(model.state_dict()) == content
    assert {name for name, _ in hub.asked} == {FILE}, "no other format is asked for"


def test_what_came_is_kept_for_the_next_call(hub, content, tmp_path):
    (tmp_path / "networks").mkdir()
    digest = hub.promised[FILE][:16]
    (tmp_path / "networks" / f"timm-{NAME}-{digest}.safetensors.part").write_bytes(content[:100_000])
    assert hub_weights(f"timm/{NAME}").read_bytes() == content
    assert hub.asked == [(FILE, "bytes=100000-")]
    assert hub_weights(f"timm/{NAME}").read_bytes() == content and len(hub.asked) == 1, (
        "a kept file is not fetched again"
    )


def test_a_file_that_is_not_what_the_hub_promised_is_refused(hub, content, tmp_path):
    hub.files[FILE] = content[:-1] + bytes([content[-1] ^ 1])
    with pytest.raises(ConnectionError, match=r"is not the file that was expected: sha256 .*What came was deleted"):
        hub_weights(f"timm/{NAME}")
    assert list((tmp_path / "networks").iterdir()) == []


def test_a_kept_file_that_was_damaged_is_refused_and_fetched_again(hub, content):
    path = hub_weights(f"timm/{NAME}")
    path.write_bytes(content[:-7])
    with pytest.raises(DataError, match=r"was damaged.*It was deleted; run this again"):
        hub_weights(f"timm/{NAME}")
    assert hub_weights(f"timm/{NAME}").read_bytes() == content


def test_a_hub_without_a_checksum_is_not_believed(hub):
    hub.promised[FILE] = "0" * 40
    with pytest.raises(ConnectionError, match="without a SHA-256"):
        hub_weights(f"timm/{NAME}")
    assert hub.asked == []


def test_a_repository_that_is_not_there_and_a_hub_that_is_not_there_are_named(hub, nobody):
    with pytest.raises(ConnectionError, match=r"timm/none.*could not be reached.*load_network.*needs no download"):
        hub_weights("timm/none")


def test_a_kept_file_needs_no_network(hub, content, monkeypatch):
    hub_weights(f"timm/{NAME}")
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", lambda _: pytest.fail("the hub was asked"))
    assert hub_weights(f"timm/{NAME}").read_bytes() == content


def ran(source, name, look=look):
    """The lesson's cell with a name in its switch: what it shows."""
    shown = []
    scope = {"timm": timm, "hub_weights": hub_weights, "look": look, "resource": resource, "display": shown.append}
    exec(source.replace('FETCH = ""', f"FETCH = {name!r}"), scope | {"DataError": DataError})
    return shown


def test_the_lessons_cell_opens_a_fetched_network_over_photographs(hub, cell):
    (widget,) = ran(cell("FETCH = "), NAME)
    assert len(widget.pictures) == 3 and len(widget.layers) == 12
    assert widget.layers[0]["grid"] == [14, 14] and len(widget.pictures[0]["answer"]) == 5


@pytest.mark.parametrize("name", ["vit_small_patch16_224.dino", "vit_small_patch14_reg4_dinov2.lvd142m"])
def test_the_other_networks_of_the_table_are_read_in_the_hubs_format(name, hub, cell):
    made = timm.create_model(name)
    hub.add(f"timm/{name}/resolve/main/model.safetensors", save(made.state_dict()))
    (model,) = ran(cell("FETCH = "), name, look=lambda model, pictures: model)
    for key, value in model.state_dict().items():
        assert key == "pos_embed" or torch.equal(value, made.state_dict()[key]), key
    with torch.no_grad():
        assert model(torch.rand(1, 3, 224, 224)).isfinite().all()


def test_the_lessons_cell_says_a_word_without_a_network_and_without_a_name(nobody, cell, capsys):
    assert ran(cell("FETCH = "), NAME) == [] and "could not be reached" in capsys.readouterr().out
    assert ran(cell("FETCH = "), "") == [] and "Nothing was fetched" in capsys.readouterr().out
