"""`look` sends the masks that `record_masks` records, for networks of three libraries, and explains what it refuses."""

import base64

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification

from course_utils.attention import edit_masks, off, record_masks, scale
from course_utils.data import draw_text
from course_utils.models import AttentionCNN, load_network
from course_utils.widgets import look

torch.set_num_threads(1)


def tiny():
    return ViTForImageClassification(
        ViTConfig(
            hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, image_size=32,
            patch_size=8, id2label={0: "cat", 1: "dog", 2: "owl"},
        )
    )  # fmt: skip


NETWORKS = {
    "vit": (lambda: timm.create_model("vit_tiny_patch16_224", img_size=48, depth=2, num_classes=5), 48),
    "registers": (lambda: timm.create_model("vit_small_patch14_reg4_dinov2", img_size=56, depth=2), 56),
    "windows": (
        lambda: timm.create_model(
            "swin_tiny_patch4_window7_224", img_size=56, depths=(2, 2), num_heads=(2, 4), embed_dim=16, num_classes=5
        ),
        56,
    ),
    "gates": (lambda: timm.create_model("legacy_seresnet18", num_classes=5), 64),
    "torchvision": (
        lambda: torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 16, num_classes=5),
        32,
    ),
    "transformers": (tiny, 32),
    "ours": (lambda: AttentionCNN(num_classes=5, attention="se"), 32),
}


def decoded(field):
    return np.frombuffer(base64.b64decode(field["data"]), field["dtype"]).reshape(field["shape"])


@pytest.fixture(scope="module", params=NETWORKS)
def opened(request):
    torch.manual_seed(0)
    make, side = NETWORKS[request.param]
    model = make().train()
    picture = torch.rand(2, 3, side, side)
    widget = look(model, picture)
    assert model.training
    return model.eval(), picture, widget


def output(model, x):
    found = model(x)
    return getattr(found, "logits", found)


def test_masks_are_those_that_are_recorded(opened):
    model, pictures, widget = opened
    with torch.no_grad(), record_masks(model) as masks:
        model(pictures[1:])
    assert [layer["name"] for layer in widget.layers] == list(masks)
    for i, (layer, mask) in enumerate(zip(widget.layers, masks.values(), strict=True)):
        widget.request = {"id": str(i), "picture": 1, "layer": i}
        assert not widget.error
        sent = widget.answer["mask"]
        values = decoded(sent["values"]).astype(np.float64)
        if layer["kind"] == "weights":
            high = decoded(sent["high"])[..., None]
            assert np.abs(values * high / 255 - mask.numpy()).max() <= high.max() / 500
        else:
            assert np.abs(values - mask.numpy().reshape(-1)).max() <= 1e-3
        assert f"1/{i}" in widget.get_state()["masks"]  # which save_html stores


def test_answer_under_edits_is_that_of_edit_masks(opened):
    model, pictures, widget = opened
    last = len(widget.layers) - 1
    name = widget.layers[last]["name"]
    weights = widget.layers[last]["kind"] == "weights"
    edit = off([1]) if weights else scale(3, 0.5)
    with torch.no_grad(), edit_masks(model, {name: edit}):
        expected = output(model, pictures[:1]).softmax(1)[0]
    question = {"off": [[last, 1]], "gates": []} if weights else {"off": [], "gates": [[last, 3, 0.5]]}
    widget.request = {"id": "edit", "picture": 0, **question}
    assert not widget.error
    for k, _, probability in widget.answer["edited"]:
        assert probability == pytest.approx(expected[k].item(), abs=1e-6)


def test_file_is_prepared_and_named_by_what_the_model_carries(tmp_path):
    model = timm.create_model("vit_tiny_patch16_224", depth=1)
    Image.new("RGB", (300, 200), (200, 30, 30)).save(tmp_path / "red.png")
    widget = look(model, tmp_path / "red.png")
    entry = widget.pictures[0]
    assert entry["label"] == "red.png" and entry["image"]["shape"] == [224, 224, 3]
    assert np.abs(decoded(entry["image"]).reshape(-1, 3).mean(0) - [200, 30, 30]).max() < 2
    assert not entry["answer"][0][1].startswith("class ")
    assert {name for _, name, _ in look(tiny(), torch.rand(3, 32, 32)).pictures[0]["answer"]} == {"cat", "dog", "owl"}


def test_our_networks_take_photographs_and_lines_of_text_as_they_are():
    photo = Image.new("RGB", (300, 200), (90, 60, 30))
    segmenter = look(load_network("person_segmenter"), photo)
    assert (
        segmenter.uploads and len(segmenter.layers) == 10 and segmenter.pictures[0]["image"]["shape"] == [256, 256, 3]
    )
    line = Image.fromarray((draw_text("maps").permute(1, 2, 0) * 255).round().byte().numpy())
    reader = look(load_network("text_reader"), line.resize((line.width * 2, 96)))
    assert [layer["kind"] for layer in reader.layers] == ["channels", "channels", "weights", "weights"]
    assert reader.layers[3]["grid"] == [1, line.width // 8]
    vit = look(load_network("vit_cued_digits"), photo)
    assert vit.pictures[0]["image"]["shape"] == [40, 40, 3] and vit.layers[0]["grid"] == [8, 8]


def test_what_is_shown_first_is_sent_first():
    torch.manual_seed(0)
    model = timm.create_model("vit_base_patch16_224", img_size=208, embed_dim=48, depth=12, num_classes=5)
    widget = look(model, torch.rand(3, 208, 208))
    assert widget.layer == 11 and "0/11" in widget.masks and "0/10" not in widget.masks
    widget.request = {"id": "one", "picture": 0, "layer": 10}
    assert not widget.error and widget.answer["name"] == "0/10"


def test_upload_that_is_no_picture_gets_a_word_and_a_good_one_is_added(tmp_path):
    widget = look(tiny(), np.zeros((40, 60, 3), np.uint8), prepare=torchvision.transforms.Compose(
        [torchvision.transforms.Resize((32, 32)), torchvision.transforms.ToTensor()]
    ))  # fmt: skip
    widget.request = {"id": "a", "upload": base64.b64encode(b"no picture").decode(), "name": "a.txt"}
    assert "a.txt is not an image" in widget.error and len(widget.pictures) == 1
    Image.new("RGB", (9, 9)).save(tmp_path / "b.png")
    widget.request = {
        "id": "b",
        "upload": base64.b64encode((tmp_path / "b.png").read_bytes()).decode(),
        "name": "b.png",
    }
    assert not widget.error and widget.answer["uploaded"] == 1 and widget.pictures[1]["label"] == "b.png"


def broken():
    model = tiny()
    torch.nn.init.constant_(next(p for n, p in model.named_parameters() if n.endswith("weight")), float("nan"))
    return model


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: look(torchvision.models.resnet18(), torch.rand(3, 64, 64)), "made no mask"),
        (lambda: look(tiny(), Image.new("RGB", (32, 32))), "pass prepare"),
        (lambda: look(tiny(), torch.rand(3, 40, 40)), r"\(N, 3, 32, 32\).*pass prepare"),
        (lambda: look(tiny(), (one for one in [torch.rand(3, 32, 32)])), "pass a list"),
        (lambda: look(broken(), torch.rand(3, 32, 32)), "NaN"),
        (lambda: look(tiny(), torch.rand(3, 32, 32), classes=["cat"]), "holds 1 names"),
        (lambda: look("vit", torch.rand(3, 32, 32)), "needs a torch.nn.Module"),
        (lambda: look(tiny(), []), "1 to 24 pictures"),
    ],
)
def test_what_is_refused_is_explained(ask, words):
    with pytest.raises((ValueError, TypeError), match=f"(?s){words}"):
        ask()
