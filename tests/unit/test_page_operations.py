"""Every operation of the page's engine against torch's own, with drawn parameters, in node."""

import base64
import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import course_utils.widgets

ENGINE = Path(course_utils.widgets.__file__).with_name("page") / "network.js"
SCRIPT = """
import {readFileSync, writeFileSync} from "node:fs";
import {createNetwork} from %s;
const found = JSON.parse(readFileSync("told.json")).map(({graph, weights, shape, data}) => {
  const network = createNetwork(graph, weights);
  const input = {shape, data: Float32Array.from(data)};
  const first = [...network.run(input).output.data];
  const twice = network.run({shape, data: input.data.slice()}).output; // into the arrays of the first run
  return {shape: twice.shape, first, data: [...twice.data]};
});
writeFileSync("found.json", JSON.stringify(found));
"""

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node runs the page's engine")


class Case(NamedTuple):
    """An operation on a drawn input: its options and tensors in the page, and what torch makes of the same."""

    name: str
    op: str
    shape: tuple[int, ...]
    expected: Callable[..., Tensor]
    tensors: Mapping[str, tuple[int, ...]] = MappingProxyType({})
    options: Mapping[str, Any] = MappingProxyType({})
    inputs: int = 1


def convolved(stride: list[int], padding: list[int], groups: bool = False) -> Callable[..., Tensor]:
    def run(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        top, left, bottom, right = padding
        around = F.pad(x[None], (left, right, top, bottom))
        return F.conv2d(around, weight, bias, stride, groups=len(x) if groups else 1)[0]

    return run


def convolution(name: str, shape: tuple, out: int, kernel: list, stride: list, padding: list) -> Case:
    tensors = {"weight": (out, shape[0], *kernel), "bias": (out,)}
    options = {"kernel": kernel, "stride": stride, "padding": padding, "outputs": out}
    return Case(name, "convolution", shape, convolved(stride, padding), tensors, options)


def depthwise(name: str, shape: tuple, kernel: list, stride: list, padding: list) -> Case:
    tensors = {"weight": (shape[0], 1, *kernel), "bias": (shape[0],)}
    options = {"kernel": kernel, "stride": stride, "padding": padding, "outputs": shape[0]}
    return Case(name, "depthwise", shape, convolved(stride, padding, groups=True), tensors, options)


def attention(x: Tensor, heads: int) -> Tensor:
    split = x.unflatten(1, (heads, -1)).transpose(0, 1)
    return (split @ split.transpose(1, 2) / split.shape[2] ** 0.5).softmax(2)


ACTIVATIONS = {
    "relu": F.relu,
    "hard_swish": F.hardswish,
    "hard_sigmoid": F.hardsigmoid,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "gelu": F.gelu,
}
CASES = [
    convolution("1x1", (5, 7, 9), 6, [1, 1], [1, 1], [0, 0, 0, 0]),
    convolution("1x1 of an odd number of places and outputs", (3, 5, 7), 7, [1, 1], [1, 1], [0, 0, 0, 0]),
    convolution("1x1 with stride", (4, 6, 8), 4, [1, 1], [2, 2], [0, 0, 0, 0]),
    convolution("3x3", (3, 11, 8), 5, [3, 3], [1, 1], [1, 1, 1, 1]),
    convolution("3x3 padded at the end alone", (3, 12, 10), 8, [3, 3], [2, 2], [0, 0, 1, 1]),
    convolution("1x3", (6, 1, 21), 4, [1, 3], [1, 1], [0, 1, 0, 1]),
    depthwise("depthwise 3x3", (5, 9, 7), [3, 3], [1, 1], [1, 1, 1, 1]),
    depthwise("depthwise 3x3 padded at the end alone", (4, 8, 10), [3, 3], [2, 2], [0, 0, 1, 1]),
    depthwise("depthwise 5x5 with two strides", (3, 12, 11), [5, 5], [2, 1], [2, 2, 2, 2]),
    depthwise("depthwise 2x4", (3, 9, 9), [2, 4], [1, 2], [0, 1, 1, 2]),
    Case(
        "enlarge",
        "enlarge",
        (3, 5, 4),
        lambda x, weight, bias: F.conv_transpose2d(x[None], weight, bias, stride=2)[0],
        {"weight": (3, 2, 2, 2), "bias": (2,)},
        {"outputs": 2},
    ),
    *(
        Case(
            f"resize by {factor}",
            "resize",
            (2, 5, 6),
            lambda x, factor=factor: F.interpolate(x[None], scale_factor=factor, mode="bilinear")[0],
            options={"factor": factor},
        )
        for factor in (2, 3)
    ),
    Case("mean pool", "pool", (3, 7, 9), lambda x: F.avg_pool2d(x, (3, 2)), options={"kernel": [3, 2], "kind": "mean"}),
    Case("max pool", "pool", (3, 7, 9), lambda x: F.max_pool2d(x, 2), options={"kernel": [2, 2], "kind": "max"}),
    Case("mean", "mean", (4, 5, 6), lambda x: x.mean((1, 2))),
    Case("linear", "linear", (7, 9), F.linear, {"weight": (6, 9), "bias": (6,)}, {"outputs": 6}),
    Case("linear without bias", "linear", (9,), F.linear, {"weight": (5, 9)}, {"outputs": 5}),
    Case(
        "layer norm",
        "layer_norm",
        (6, 10),
        lambda x, weight, bias: F.layer_norm(x, (10,), weight, bias, 1e-3),
        {"weight": (10,), "bias": (10,)},
        {"epsilon": 1e-3},
    ),
    *(
        Case(kind, "activation", (4, 5, 6), lambda x, call=call: call(x), options={"kind": kind})
        for kind, call in ACTIVATIONS.items()
    ),
    Case("affine", "affine", (2, 3, 4), lambda x: x * 1.5 - 0.25, options={"scale": 1.5, "shift": -0.25}),
    Case("add", "add", (2, 3, 4), lambda x: x + x, inputs=2),
    Case("concatenate", "concatenate", (2, 3, 4), lambda x: torch.cat([x, x]), inputs=2),
    Case("flatten", "flatten", (2, 3, 4), lambda x: x.flatten()),
    Case("to tokens", "to_tokens", (3, 4, 5), lambda x: x.flatten(1).T),
    Case("to map", "to_map", (6, 4), lambda x: x.T[:, None]),
    Case("first token", "first_token", (6, 4), lambda x: x[0]),
    Case(
        "with class token",
        "with_class_token",
        (6, 4),
        lambda x, token, positions: torch.cat([token, x]) + positions,
        {"token": (1, 4), "positions": (7, 4)},
    ),
    Case("attention weights", "attention_weights", (7, 12), lambda x: attention(x, 3), options={"heads": 3}, inputs=2),
]


def drawn(case: Case, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    x = 3 * torch.randn(case.shape, generator=generator)
    return x, {name: torch.randn(shape, generator=generator) for name, shape in case.tensors.items()}


def as_graph(case: Case, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """The graph of this one operation: even tensors in half precision, as they ship, odd ones in full."""
    data, described = bytearray(), []
    for i, (name, tensor) in enumerate(tensors.items()):
        tensors[name] = tensor.half().float() if i % 2 == 0 else tensor
        data += bytes(-len(data) % 4)
        described.append({"offset": len(data), "length": tensor.numel(), "half": i % 2 == 0})
        data += (tensor.half() if i % 2 == 0 else tensor).numpy().tobytes()
    step = {"name": "step", "op": case.op, "inputs": ["input"] * case.inputs, **case.options}
    step["tensors"] = {name: i for i, name in enumerate(tensors)}
    graph = {"input": list(case.shape), "steps": [step], "tensors": described, "output": "step"}
    return {"graph": graph, "weights": base64.b64encode(bytes(data)).decode()}


@pytest.fixture(scope="module")
def answers(tmp_path_factory) -> list[tuple[dict, Tensor]]:
    """What node found for all cases, in one run, beside what torch found."""
    told, expected = [], []
    for seed, case in enumerate(CASES):
        x, tensors = drawn(case, seed)
        told.append({**as_graph(case, tensors), "shape": list(x.shape), "data": x.flatten().tolist()})
        expected.append(case.expected(x, *tensors.values()))
    folder = tmp_path_factory.mktemp("operations")
    (folder / "told.json").write_text(json.dumps(told))
    (folder / "run.mjs").write_text(SCRIPT % json.dumps(ENGINE.as_uri()))
    subprocess.run(["node", "run.mjs"], cwd=folder, check=True, timeout=60)
    return list(zip(json.loads((folder / "found.json").read_text()), expected, strict=True))


@pytest.mark.parametrize("index", range(len(CASES)), ids=[case.name for case in CASES])
def test_an_operation_is_torchs(index, answers):
    found, expected = answers[index]
    assert found["shape"] == list(expected.shape)
    for data in (found["first"], found["data"]):
        torch.testing.assert_close(torch.tensor(data), expected.flatten(), atol=2e-5, rtol=1e-5)


def test_every_operation_of_the_engine_is_tried():
    table = ENGINE.read_text().partition("function operations() {")[2].partition("};")[0]
    tried = {case.op for case in CASES} | {"gate", "attend"}  # of two different inputs: tried within whole networks
    names = {name.partition(":")[0].strip() for name in table.replace("return {", "").split(",") if name.strip()}
    assert names == tried
