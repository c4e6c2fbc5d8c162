"""The widget on patches joined to a network: its numbers are the network's, its questions get the network's answer."""

import base64
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from course_utils.attention import record_masks
from course_utils.data import ImageSet
from course_utils.models import VisionTransformer, rollout
from course_utils.widgets import PatchTokens, explore_patch_tokens

torch.set_num_threads(1)


def network(num_classes=4, in_channels=3):
    torch.manual_seed(0)
    model = VisionTransformer(12, 4, 3, 8, 2, 16, num_classes, in_channels)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model


def pictures(n=2, channels=3):
    return ImageSet(torch.rand(n, channels, 12, 12, generator=torch.Generator().manual_seed(1)), torch.arange(n) % 4)


def decoded(array):
    values = np.frombuffer(base64.b64decode(array["data"]), np.dtype(array["dtype"]).newbyteorder("<"))
    return values.reshape(array["shape"]).astype(np.float32)


def close(array, expected):
    np.testing.assert_allclose(decoded(array), np.asarray(expected), atol=1e-3)


@torch.no_grad()
def test_what_crosses_is_what_the_network_makes():
    model, data = network().eval(), pictures()
    widget = explore_patch_tokens(model, data)
    assert (widget.layer, widget.cut, widget.patch_size, widget.cuts) == (3, 4, 4, [2, 3, 4, 6])
    with record_masks(model) as masks:
        whole = model(data.images).softmax(1)
    weights = model.attention_weights(data.images)
    for i, shown in enumerate(widget.pictures):
        rows = [[masks[f"blocks.{block}.attention"][i, head, 0] for head in range(2)] for block in range(3)]
        close(shown["attention"], rows)
        for layer in range(3):
            np.testing.assert_allclose(
                decoded(shown["rollout"])[layer], rollout(weights[i : i + 1, : layer + 1])[0, 0], atol=1e-3
            )
        close(shown["probabilities"], whole[i])
        assert shown["asked"] == int(data.labels[i]) and shown["classes"] == ["0", "1", "2", "3"]
        for patch in range(9):
            image = data.images[i].clone()
            image[:, patch // 3 * 4 : patch // 3 * 4 + 4, patch % 3 * 4 : patch % 3 * 4 + 4] = 0
            np.testing.assert_allclose(decoded(shown["single"])[patch], model(image[None]).softmax(1)[0], atol=1e-3)
        np.testing.assert_array_equal(decoded(shown["image"]), (data.images[i] * 255).round().permute(1, 2, 0))
    positions = model.positions[0]
    close(widget.similarity, F.cosine_similarity(positions[:, None], positions[None], dim=2))


@torch.no_grad()
def test_a_question_about_several_patches_is_answered_by_the_network():
    model, data = network().eval(), pictures()
    widget = explore_patch_tokens(model, data, level=0.5)
    widget.request = {"id": "1", "picture": 1, "blanked": [8, 0]}
    assert widget.answer == {"id": "1", "done": True} and widget.error == ""
    image = data.images[1].clone()
    image[:, :4, :4] = image[:, 8:, 8:] = 0.5
    assert (widget.answered["picture"], widget.answered["blanked"]) == (1, [0, 8])
    np.testing.assert_allclose(widget.answered["probabilities"], model(image[None]).softmax(1)[0], atol=1e-5)
    widget.request = {"id": "2", "picture": 1, "blanked": [9]}
    assert widget.error == "There is no patch 9 to blank; patches are counted from 0 to 8."
    assert widget.answer == {"id": "2", "failed": True}
    widget.request = {"id": "4", "picture": 0, "blanked": [0, 1]}
    assert widget.error == "" and widget.answered["blanked"] == [0, 1]


@torch.no_grad()
def test_blanks_at_the_start_are_answered_before_a_page_asks():
    model, data = network().eval(), pictures()
    widget = explore_patch_tokens(model, data, blanked=[4, 3, 4], picture=1)
    image = data.images[1].clone()
    image[:, 4:8, :8] = 0
    assert widget.blanked == [3, 4]
    np.testing.assert_allclose(widget.answered["probabilities"], model(image[None]).softmax(1)[0], atol=1e-5)
    json.dumps(widget.answered, allow_nan=False)


@torch.no_grad()
def test_of_many_classes_the_likeliest_and_the_label_are_shown_and_without_labels_the_likeliest_is_asked():
    model, data = network(num_classes=30).eval(), pictures(1)

    def prepare(x):
        return (x - 0.5) / 0.25

    whole = model(prepare(data.images)).softmax(1)[0]
    last = int(whole.argmin())
    names = [f"class {i}" for i in range(30)]
    labelled = ImageSet(data.images, torch.tensor([last]))
    shown = explore_patch_tokens(model, labelled, classes=names, prepare=prepare).pictures[0]
    assert shown["classes"] == [names[i] for i in whole.topk(5).indices] + [names[last]] and shown["asked"] == 5
    close(shown["probabilities"], whole[[*whole.topk(5).indices.tolist(), last]])
    images = pictures(2).images
    images[1] = images[1].flip(0) ** 3
    chosen = model(prepare(images)).softmax(1).topk(5).indices
    assert chosen[0].tolist() != chosen[1].tolist()
    widget = explore_patch_tokens(model, images, prepare=prepare)
    assert (len(widget.pictures[1]["classes"]), widget.pictures[1]["asked"]) == (5, 0)
    widget.request = {"id": "1", "picture": 1, "blanked": [0, 8]}
    image = images[1].clone()
    image[:, :4, :4] = image[:, 8:, 8:] = 0
    expected = model(prepare(image[None])).softmax(1)[0, chosen[1]]
    np.testing.assert_allclose(widget.answered["probabilities"], expected, atol=1e-5)


def test_grey_pictures_are_shown_too():
    shown = explore_patch_tokens(network(in_channels=1), pictures(1, channels=1)).pictures[0]
    assert shown["image"]["shape"] == [12, 12]


def test_the_learners_network_stays_as_it_is():
    model = network().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    widget = explore_patch_tokens(model, pictures())
    widget.request = {"id": "1", "picture": 0, "blanked": [0, 1]}
    assert model.training and all(p.requires_grad for p in model.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_the_courses_own_pictures_hang_on_one_patch_or_on_none():
    widget = explore_patch_tokens()
    falls = [
        decoded(one["probabilities"])[one["asked"]] - decoded(one["single"])[:, one["asked"]] for one in widget.pictures
    ]
    assert max(fall.max() for fall in falls) > 0.9 and min(fall.max() for fall in falls) < 0.1


def vit_b_16_sized(n=1):
    """Rows of 12 layers and 12 heads over 197 tokens, drawn."""
    rng = np.random.default_rng(0)

    def rows(*shape):
        sharp = np.exp(rng.normal(size=shape) * 2)
        return (sharp / sharp.sum(-1, keepdims=True)).astype(np.float32)

    shown = [
        {
            "label": f"picture {i}",
            "image": rng.integers(0, 256, (224, 224, 3), dtype=np.uint8),
            "attention": rows(12, 12, 197),
            "rollout": rows(12, 197),
            "probabilities": np.array([0.6, 0.2, 0.1], np.float32),
            "single": rng.random((196, 3)).astype(np.float32) / 3,
            "classes": ["dog", "cat", "cow"],
            "asked": 0,
            "index": 0,
            "code": "",
        }
        for i in range(n)
    ]
    return PatchTokens(shown, 16, np.eye(197, dtype=np.float32))


def test_twelve_layers_of_twelve_heads_cross_in_less_than_half_a_megabyte(tmp_path):
    widget = vit_b_16_sized()
    state = widget.get_state()
    picture = state["pictures"][0]
    assert len(picture["attention"]["data"]) < 80_000 and len(state["similarity"]["data"]) < 110_000
    beside_the_photo = len(json.dumps(state["pictures"])) - len(picture["image"]["data"])
    assert beside_the_photo + len(json.dumps(state["similarity"])) < 200_000
    assert widget.save_html(tmp_path / "vit.html").stat().st_size < 500_000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"network": network()}, "network without data"),
        ({"data": pictures()}, "data without network"),
        ({"network": network(), "data": torch.rand(1, 3, 12, 16)}, r"reads pictures \(N, 3, 12, 12\)"),
        ({"network": network(), "data": pictures(), "classes": ["a"]}, "1 names for 4 classes"),
        ({"network": network(), "data": pictures(), "level": 2}, "level=2 is no grey"),
        ({"layer": 5}, "layer=5 is not there; it can be 1 to 4"),
        ({"head": 5}, "head=5 is not there; it can be 0 to 4"),
        ({"picture": 6}, "picture=6 is not there; it can be 0 to 5"),
        ({"cut": 7}, "cut=7 is not there; it can be one of"),
        ({"query": (8, 0)}, "8 x 8 cells"),
        ({"cut": 10, "query": (4, 0)}, "4 x 4 cells"),
        ({"blanked": [64]}, "no patch 64 to blank"),
    ],
)
def test_what_cannot_be_shown_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        explore_patch_tokens(**arguments)


@torch.no_grad()
def test_a_learners_picture_joins_the_others_and_a_bad_one_gets_a_word(tmp_path, monkeypatch):
    model = network().eval()
    widget = explore_patch_tokens(model, pictures())
    widget.request = {"id": "a", "upload": base64.b64encode(b"no picture").decode(), "name": "a.txt"}
    assert widget.answer == {"id": "a", "failed": True} and "a.txt is not an image" in widget.error
    assert len(widget.pictures) == 2

    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    Image.fromarray(pixels).save("mine.png")
    sent = base64.b64encode((tmp_path / "mine.png").read_bytes()).decode()
    for index, name in ((2, "mine.png"), (3, "")):
        widget.request = {"id": name, "upload": sent, "name": name}
        assert not widget.error and widget.answer["uploaded"] == index
        added = widget.pictures[index]
        assert added["label"] == (name or "your picture")
        image = torch.from_numpy(pixels).permute(2, 0, 1) / 255
        whole = model(image[None]).softmax(1)[0]
        close(added["probabilities"], whole)
        assert added["asked"] == int(whole.argmax())
        widget.request = {"id": f"{name}2", "picture": index, "blanked": [0, 4]}
        blanked = image.clone()
        blanked[:, :4, :4] = blanked[:, 4:8, 4:8] = 0
        found = widget.answered["probabilities"]
        np.testing.assert_allclose(found, model(blanked[None]).softmax(1)[0], atol=1e-5)
    scope = {"network": model, "data": pictures()}
    exec(widget.pictures[2]["code"], scope)
    np.testing.assert_allclose(decoded(widget.pictures[2]["single"]), scope["single"], atol=1e-5)
