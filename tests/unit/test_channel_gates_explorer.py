"""The explorer of channel gates: what the page computes is what the network computes, and bad input gets a word."""

import base64
import io
import json
import urllib.error

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from traitlets import TraitError

from course_utils.attention import record_masks
from course_utils.data import ImageSet, digits
from course_utils.models import AttentionCNN
from course_utils.widgets import explore_channel_gates
from course_utils.widgets.channel_gates.explore import GatedNetwork
from course_utils.widgets.channel_gates.widget import ChannelGates

torch.set_num_threads(1)


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter and running statistic drawn."""
    torch.manual_seed(seed)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias)
            nn.init.normal_(part.running_mean, std=0.1)
            nn.init.uniform_(part.running_var, 0.01, 0.1)
        elif isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.normal_(part.bias)
    return network


@torch.no_grad()
def lively(network: nn.Module) -> nn.Module:
    """Batch norm in step with the weights, as after training: else nothing of the image reaches the end."""
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None
    network.train()(torch.rand(8, 3, 224, 224, generator=torch.Generator().manual_seed(0)))
    return network.eval()


def small(**options) -> nn.Module:
    return randomised(AttentionCNN(10, "se", in_channels=1, widths=(6, 8, 9), **options))


def images(count: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 1, 28, 28, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def forward_with_gates(network: nn.Module, block: str, image: torch.Tensor, gates: torch.Tensor) -> np.ndarray:
    """The real thing: the block's g is replaced by the given gates."""
    network = network.eval()
    network.get_submodule(block).mask = lambda x: gates[None, :, None, None]
    try:
        return network(image[None]).softmax(1)[0].numpy()
    finally:
        del network.get_submodule(block).mask


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_kernel_answers_as_the_network_with_the_gates_replaced(stage):
    network = small()
    gated = GatedNetwork(network, images(1))
    picture = images(1, seed=3)[0]
    maps, all_gates, _ = gated.read(picture[None])
    gates, strongest = all_gates[stage][0], int(maps[stage][0].mean((1, 2)).argmax())
    moved = {strongest: 0.0, (strongest + 1) % 6: 0.9}
    for channel, gate in moved.items():
        gates[channel] = gate
    true = forward_with_gates(network, f"stage{stage + 1}.attention", picture, gates)
    np.testing.assert_allclose(gated.answer(picture, stage, moved).softmax(0).numpy(), true, atol=1e-6)
    assert np.abs(true - network.eval()(picture[None]).softmax(1)[0].detach().numpy()).max() > 1e-4


def test_maps_and_gates_are_those_of_the_forward_pass():
    network = small().eval()
    pictures = images()
    maps, gates, logits = GatedNetwork(network, pictures[:1]).read(pictures)
    with torch.no_grad(), record_masks(network) as masks:
        expected = network(pictures)
        first = network.stage1.norm(network.stage1.convolution(pictures)).relu()
    torch.testing.assert_close(logits, expected)
    torch.testing.assert_close(maps[0], first)
    torch.testing.assert_close(gates[2], masks["stage3.attention"].flatten(1))
    assert [tuple(m.shape[1:]) for m in maps] == [(6, 28, 28), (8, 14, 14), (9, 7, 7)]


def some_data() -> ImageSet:
    return digits("test").subset(torch.arange(0, 1000, 50))


def source_of(widget: ChannelGates) -> dict:
    return widget.sources[0]


def test_the_learners_network_stays_as_it_is():
    network = small(head="flatten", image_size=28).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    explore_channel_gates(network, some_data())
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in network.modules())
    assert all(parameter.requires_grad for parameter in network.parameters())


def decoded(encoded: dict) -> np.ndarray:
    kinds = {"uint8": "u1", "float32": "<f4", "float16": "<f2"}
    raw = np.frombuffer(base64.b64decode(encoded["data"]), kinds[encoded["dtype"]])
    return raw.reshape(encoded["shape"])


def test_what_is_sent_is_what_the_network_saw_within_one_step_of_colour():
    network = randomised(AttentionCNN(10, "eca", in_channels=1, widths=(6, 8, 9))).eval()  # the page cannot run it
    widget = explore_channel_gates(network, some_data())
    assert source_of(widget)["graph"] is None
    example = source_of(widget)["examples"][3]
    maps, gates, logits = GatedNetwork(network, images(1)).read(
        torch.from_numpy(widget._kernel.picture("yours", 3))[None]
    )
    stage = example["stages"][1]
    shown = decoded(stage["maps"]) / 255 * (stage["high"] - stage["low"]) + stage["low"]
    assert np.abs(shown - maps[1][0].numpy()).max() <= (stage["high"] - stage["low"]) / 500
    np.testing.assert_allclose(decoded(stage["means"]), maps[1][0].mean((1, 2)).numpy(), atol=1e-6)
    np.testing.assert_allclose(decoded(stage["gates"]), gates[1][0].numpy(), atol=1e-6)
    np.testing.assert_allclose(decoded(example["probabilities"]), logits.softmax(1)[0].numpy(), atol=1e-6)


def test_the_courses_own_pages_hold_their_networks_and_stay_small(tmp_path):
    for source, count, most in (("people", 6, 1_100_000), ("digits", 10, 2_500_000)):
        widget = explore_channel_gates(source=source)
        assert [one["key"] for one in widget.sources] == ["people", "digits", "cued digits", "photographs"]
        shown = next(one for one in widget.sources if one["key"] == source)
        assert len(shown["examples"]) == count
        assert shown["graph"]["steps"] and all(example["input"] is None for example in shown["examples"])
        assert widget.save_html(tmp_path / "gates.html").stat().st_size < most


def test_the_segmenter_has_ten_stages_with_the_sizes_of_their_maps():
    source = explore_channel_gates().sources[0]
    assert source["stages"][0] == "encoder.0.gate" and source["stages"][6] == "head"
    assert [size[0] for size in source["sizes"]] == [16, 96, 128, 128, 96, 96, 128, 24, 16, 16]
    assert source["sizes"][9] == [16, 128, 128]


def test_what_the_page_is_given_of_a_picture_is_what_the_network_was_given():
    data = some_data()
    widget = explore_channel_gates(small(), ImageSet(data.images * 0.999, data.labels))
    example = source_of(widget)["examples"][2]
    np.testing.assert_array_equal(decoded(example["input"]), widget._kernel.picture("yours", 2))


def test_the_stage_shown_first_can_be_chosen():
    assert explore_channel_gates(small(), some_data()).stage == 2
    assert explore_channel_gates(small(), some_data(), stage=1).stage == 0


def ask(widget: ChannelGates, **question) -> dict:
    widget.request = {"id": f"test-{np.random.default_rng().integers(10**9)}", **question}
    return widget.answer


def png(image: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def stroke() -> np.ndarray:
    image = np.zeros((168, 168, 3), np.uint8)
    image[30:140, 80:95] = 255
    return image


@pytest.fixture(scope="module")
def own_network():
    return small()


@pytest.fixture
def widget(own_network):
    return explore_channel_gates(own_network, some_data())


def test_a_drawing_becomes_an_example_that_the_kernel_knows(widget):
    ask(widget, want="picture", source="yours", drawn=True, name="The drawing", data=png(stroke()))
    assert widget.error == ""
    assert "data" not in widget.get_state()["request"]  # a saved page holds no upload
    assert widget.own["yours"]["label"] == "your drawing"
    widget.example = -1
    assert widget.picture.shape == (1, 28, 28)
    answer = ask(widget, want="probabilities", source="yours", example=-1, stage=0, edits={"2": 0.0})
    expected = widget._kernel._shown["yours"].gated.answer(torch.from_numpy(widget.picture), 0, {2: 0.0}).softmax(0)
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (base64.b64encode(b"no picture at all").decode(), "notes.txt is not an image that can be read"),
        ("***", "notes.txt arrived as text that is no base64"),
        (png(np.full((30, 30, 3), 255, np.uint8)), "The picture holds no digit"),
    ],
)
def test_a_bad_upload_gets_a_word_and_the_widget_goes_on(widget, data, message):
    answer = ask(widget, want="picture", source="yours", drawn=False, name="notes.txt", data=data)
    assert answer["failed"]
    assert message in widget.error
    assert "yours" not in widget.own
    ask(widget, want="picture", source="yours", drawn=False, name="one.png", data=png(stroke()))
    assert widget.error == ""
    assert widget.own["yours"]["label"] == "your picture"


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"want": "probabilities", "source": "yours", "example": -1, "stage": 0, "edits": {}}, "No picture was drawn"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused_in_words(widget, question, message):
    assert ask(widget, **question)["failed"]
    assert message in widget.error


def test_photographs_without_a_network_to_be_had_get_one_line(monkeypatch):
    def unreachable(weights, **options):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("torchvision.models.MobileNet_V3_Small_Weights.get_state_dict", unreachable)
    widget = explore_channel_gates(source="photographs")
    assert "mobilenet_v3_small" in widget.error and "could not be fetched (no route to host)" in widget.error
    assert "\n" not in widget.error
    assert widget.source == "people"
    assert ask(widget, want="source", source="photographs")["failed"]
    ask(widget, want="source", source="digits")
    assert widget.error == "" and widget.answer["source"] == "digits"


def test_photographs_go_through_torchvisions_se_blocks(monkeypatch):
    from torchvision import models

    network = lively(models.mobilenet_v3_small(weights=None))
    stored = network.state_dict()
    monkeypatch.setattr("torchvision.models.MobileNet_V3_Small_Weights.get_state_dict", lambda *_, **options: stored)
    widget = explore_channel_gates(source="photographs")
    assert widget.error == ""
    assert widget.source == "photographs"
    assert len(json.dumps(widget.get_state()["sources"])) < 1_950_000
    source = widget.sources[-1]
    assert source["graph"] is None
    assert len(source["classes"]) == 1000
    assert [len(decoded(stage["gates"])) for stage in source["examples"][0]["stages"]] == [16, 120, 576]

    widget.example = 1
    picture = torch.from_numpy(widget.picture)[None]
    block = network.eval().get_submodule(source["stages"][1])
    seen = []
    hook = block.register_forward_hook(lambda block, inputs, output: seen.append((inputs[0], output)))
    with torch.no_grad():
        network(picture)
    hook.remove()
    given, made = seen[0]
    gates = torch.from_numpy(decoded(source["examples"][1]["stages"][1]["gates"]).copy())
    torch.testing.assert_close(made[0], given[0] * gates[:, None, None], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"network": AttentionCNN(10, "se", in_channels=1)}, "network without data; give both"),
        ({"data": ImageSet(torch.zeros(1, 1, 28, 28), torch.zeros(1, dtype=torch.int64))}, "data without network"),
        ({"stage": 11}, "no stage 11; give a number from 1 to 10"),
        ({"source": "cats"}, "no source 'cats'; there are: people, digits, cued digits, photographs"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        explore_channel_gates(**arguments)


def test_a_network_without_gates_is_refused():
    with pytest.raises(ValueError, match=r'no block with channel gates.*attention="se"'):
        explore_channel_gates(AttentionCNN(10, in_channels=1), some_data())
    with pytest.raises(ValueError, match="leave it out with a network"):
        explore_channel_gates(small(), some_data(), source="digits")


def array_source() -> dict:
    rng = np.random.default_rng(0)
    stage = {"maps": np.zeros((4, 3, 3), np.uint8), "low": 0.0, "high": 1.0, "means": rng.random(4)}
    example = {
        "label": "noise",
        "image": rng.integers(0, 256, (8, 8), np.uint8),
        "stages": [{**stage, "gates": rng.random(4)}],
        "probabilities": np.array([0.3, 0.7]),
    }
    return {"key": "a", "classes": ["x", "y"], "stages": ["s"], "examples": [example], "graph": None, "pending": ""}


def test_a_source_that_is_not_there_is_refused():
    widget = ChannelGates([array_source()], kernel=None)
    with pytest.raises(TraitError, match="no source 'b' to show; there are: 'a'"):
        widget.source = "b"
