"""The engine in the page against torch, in node: what each network answers, every mask, and what an edit changes."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import course_utils.widgets
from course_utils.attention import edit_masks, record_masks
from course_utils.data import draw_text, photograph
from course_utils.models import AttentionCNN, PersonFeatures, VisionTransformer, load_network
from course_utils.models.page_graph import page_graph

ENGINE = Path(course_utils.widgets.__file__).with_name("page") / "network.js"
SCRIPT = """
import {readFileSync, writeFileSync} from "node:fs";
import {createNetwork} from %s;
const told = JSON.parse(readFileSync(process.argv[2]));
const network = createNetwork(told.graph, told.weights);
const input = {shape: told.shape, data: Float32Array.from(told.data)};
const plain = network.run(input);
const masks = Object.fromEntries(told.masks.map((name) => [name, [...plain.values[name].data]]));
const edit = {[told.edited]: (data) => data.map(() => 0)};
const edited = network.run(null, edit);
const again = network.run(null, edit);
const restored = network.run(null);
const fails = (call) => { try { call(); return ""; } catch (error) { return error.message; } };
writeFileSync(process.argv[3], JSON.stringify({
  output: [...plain.output.data], masks, edited: [...edited.output.data], restored: [...restored.output.data],
  computed: [plain.computed, edited.computed, again.computed],
  unknown: fails(() => network.run(null, {nothing: (data) => data})),
  shape: fails(() => network.run({shape: [1, 2, 3], data: new Float32Array(6)})),
  early: fails(() => createNetwork(told.graph, told.weights).run(null)),
}));
"""

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node runs the page's engine")


def run_in_node(network: nn.Module, picture: Tensor, masks: list[str], edited: str, folder: Path) -> dict:
    graph, weights = page_graph(network).values()
    told = {"graph": graph, "weights": weights, "shape": list(picture.shape), "data": picture.flatten().tolist()}
    (folder / "told.json").write_text(json.dumps({**told, "masks": masks, "edited": edited}))
    (folder / "run.mjs").write_text(SCRIPT % json.dumps(ENGINE.as_uri()))
    subprocess.run(["node", "run.mjs", "told.json", "found.json"], cwd=folder, check=True, timeout=120)
    return json.loads((folder / "found.json").read_text())


def drawn(network: nn.Module) -> nn.Module:
    """Every parameter and running statistic drawn, so that nothing agrees because it is 0 or 1."""
    torch.manual_seed(3)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2.0)
            elif tensor.is_floating_point():
                tensor.copy_(0.2 * torch.randn_like(tensor) + 0.02)
    return network.eval()


def portrait() -> Tensor:
    picture = photograph("astronaut")[None]
    return nn.functional.interpolate(picture, (256, 256), mode="bilinear", antialias=True)[0].clamp(0, 1)


NETWORKS = {
    "segmenter": (lambda: load_network("person_segmenter"), portrait, "decoder.1.gate", 2e-4),
    "features": (
        lambda: PersonFeatures(load_network("person_segmenter"), torch.rand(2, 3, 256, 256)),
        portrait,
        "segmenter.encoder.4.gate",
        2e-3,
    ),
    "reader": (lambda: load_network("text_reader"), lambda: draw_text("see the mask"), "blocks.1.attention", 2e-3),
    "cnn": (lambda: load_network("se_cued_digits"), lambda: torch.rand(3, 40, 40), "stage2.attention", 1e-3),
    "vit": (lambda: load_network("vit_cued_digits"), lambda: torch.rand(3, 40, 40), "blocks.3.attention", 1e-3),
    "drawn cnn": (
        lambda: drawn(AttentionCNN(5, "se", in_channels=2, head="hidden")),
        lambda: torch.rand(2, 19, 23),
        "stage1.attention",
        1e-5,
    ),
    "drawn vit": (
        lambda: drawn(VisionTransformer(12, 4, 2, 9, 3, 11, 7, in_channels=1)),
        lambda: torch.rand(1, 12, 12),
        "blocks.0.attention",
        1e-3,
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_page_computes_what_torch_does(name, tmp_path):
    build, draw, edited, tolerance = NETWORKS[name]
    torch.manual_seed(0)
    network, picture = build(), draw()
    with torch.no_grad(), record_masks(network) as masks:
        output = network(picture[None])
    with torch.no_grad(), edit_masks(network, {edited: torch.zeros_like}):
        changed = network(picture[None])
    found = run_in_node(network, picture, list(masks), edited, tmp_path)

    def error(values: list[float], expected: Tensor) -> float:
        return float((torch.tensor(values) - expected.flatten()).abs().max())

    assert error(found["output"], output) < tolerance
    assert error(found["edited"], changed) < tolerance
    assert (output - changed).abs().max() > 10 * tolerance
    assert found["restored"] == found["output"]
    for mask, expected in masks.items():
        assert error(found["masks"][mask], expected) < 1e-4, mask
    plain, after, again = found["computed"]
    assert 0 < after < plain
    assert again == 0
    assert "no step" in found["unknown"]
    assert "was given 1,2,3" in found["shape"]
    assert "give run a first one" in found["early"]


def test_weights_travel_in_the_precision_that_ships():
    graph, weights = page_graph(load_network("person_segmenter")).values()
    assert all(tensor["half"] for tensor in graph["tensors"])
    assert len(weights) < 320_000
    assert len(page_graph(load_network("text_reader"))["weights"]) < 6_100_000


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: nn.Linear(2, 2).eval(), "page_graph knows PersonSegmenter"),
        (lambda: load_network("person_segmenter").train(), "use network.eval()"),
        (lambda: load_network("eca_cued_digits"), "given a ECABlock"),
    ],
)
def test_a_network_that_the_page_cannot_run_is_refused_in_words(build, words):
    with pytest.raises(ValueError) as caught:
        page_graph(build())
    assert words in str(caught.value)
