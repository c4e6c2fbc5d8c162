"""A network as a list of steps and one text of weights, which widgets/page/network.js runs in the page."""

import base64
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..attention import MultiHeadAttention, SEBlock
from .attention_cnn import AttentionCNN
from .person_segmenter import PersonFeatures, PersonSegmenter, SamePadding
from .text_reader import HEIGHT, TextReader
from .vision_transformer import VisionTransformer


def page_graph(network: nn.Module) -> dict[str, Any]:
    """What the page runs a network from: its `graph`, to be sent as JSON, and its `weights`, in base64.

    A tensor goes in half precision where that loses nothing. Steps that can be edited have the name under which
    `record_masks` knows the mask: a gate (C,), or the weights of all heads (heads, L, L).

    Args:
        network: a `PersonSegmenter`, `PersonFeatures`, a `TextReader`, a `VisionTransformer`, or an `AttentionCNN`
            with SE blocks or without attention, in eval mode.

    Raises:
        ValueError: for another network; for one in train mode, whose batch norms depend on the batch.
    """
    if network.training:
        raise ValueError("page_graph was given a network in train mode; use network.eval().")
    for kind, export in _EXPORTS.items():
        if isinstance(network, kind):
            graph = _Graph(network)
            output = export(graph, network)
            described = {"input": graph.input, "steps": graph.steps, "tensors": graph.tensors, "output": output}
            return {"graph": described, "weights": base64.b64encode(bytes(graph.weights)).decode()}
    known = ", ".join(kind.__name__ for kind in _EXPORTS)
    raise ValueError(f"page_graph knows {known}, but was given a {type(network).__name__}.")


def folded_norm(norm: Any) -> tuple[Tensor, Tensor]:
    """A batch norm in eval mode as a scale and a shift of each channel."""
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return gain, norm.bias - norm.running_mean * gain


class _Graph:
    def __init__(self, network: nn.Module) -> None:
        self.names = {module: name for name, module in network.named_modules()}
        self.input: list[int | None] = []
        self.steps: list[dict[str, Any]] = []
        self.tensors: list[dict[str, Any]] = []
        self.weights = bytearray()

    def add(
        self, op: str, *inputs: str, name: str = "", tensors: dict[str, Tensor] | None = None, **options: Any
    ) -> str:
        name = name or f"step {len(self.steps)}"
        kept = {key: self._keep(tensor) for key, tensor in (tensors or {}).items()}
        self.steps.append({"name": name, "op": op, "inputs": list(inputs), "tensors": kept, **options})
        return name

    def _keep(self, tensor: Tensor) -> int:
        full = tensor.detach().float().cpu().flatten()
        half = bool(torch.equal(full.half().float(), full))
        self.weights += bytes(-len(self.weights) % 4)
        self.tensors.append({"offset": len(self.weights), "length": len(full), "half": half})
        self.weights += (full.half() if half else full).numpy().tobytes()
        return len(self.tensors) - 1

    def activation(self, x: str, kind: str, name: str = "") -> str:
        return self.add("activation", x, kind=kind, name=name)

    def convolution(self, x: str, layer: nn.Conv2d, norm: nn.BatchNorm2d | None = None) -> str:
        weight, bias = layer.weight, layer.bias
        if bias is None:
            bias = torch.zeros(len(weight))
        if norm is not None:
            gain, shift = folded_norm(norm)
            weight, bias = weight * gain[:, None, None, None], bias * gain + shift
        top, left = layer.padding  # type: ignore[misc, str-unpack]
        padding = [top, left, top, left]
        if isinstance(layer, SamePadding) and layer.extra:
            first, last = layer.extra // 2, layer.extra - layer.extra // 2
            padding = [first, first, last, last]
        return self.add(
            "convolution" if layer.groups == 1 else "depthwise",
            x,
            tensors={"weight": weight, "bias": bias},
            kernel=list(layer.kernel_size),
            stride=list(layer.stride),
            padding=padding,
            outputs=layer.out_channels,
        )

    def linear(self, x: str, layer: nn.Linear) -> str:
        tensors = {"weight": layer.weight} if layer.bias is None else {"weight": layer.weight, "bias": layer.bias}
        return self.add("linear", x, tensors=tensors, outputs=layer.out_features)

    def norm(self, x: str, layer: nn.LayerNorm) -> str:
        return self.add("layer_norm", x, tensors={"weight": layer.weight, "bias": layer.bias}, epsilon=layer.eps)

    def gate(self, squeezed: str, block: Any, kind: str = "sigmoid") -> str:
        hidden = self.activation(self.linear(squeezed, block.reduce), "relu")
        return self.activation(self.linear(hidden, block.expand), kind, self.names[block])

    def squeeze_excitation(self, x: str, block: SEBlock) -> str:
        return self.add("gate", x, self.gate(self.add("mean", x), block, block.gate))

    def attention(self, x: str, block: MultiHeadAttention) -> str:
        query, key, value = (self.linear(x, layer) for layer in (block.query, block.key, block.value))
        weights = self.add("attention_weights", query, key, heads=block.num_heads, name=self.names[block])
        return self.linear(self.add("attend", weights, value), block.output)

    def transformer(self, x: str, block: Any, activation: str) -> str:
        x = self.add("add", x, self.attention(self.norm(x, block.attention_norm), block.attention))
        wide = self.activation(self.linear(self.norm(x, block.mlp_norm), block.widen), activation)
        return self.add("add", x, self.linear(wide, block.narrow))


def _encoder(graph: _Graph, network: Any) -> list[str]:
    graph.input = [3, 256, 256]
    kinds = {F.relu: "relu", F.hardswish: "hard_swish"}
    maps = [graph.activation(graph.convolution("input", network.stem), "hard_swish")]
    for block in network.encoder:
        kind = kinds[block.activation]
        x = graph.activation(graph.convolution(maps[-1], block.widen), kind)
        x = graph.activation(graph.convolution(x, block.mix), kind)
        x = x if block.gate is None else graph.squeeze_excitation(x, block.gate)
        x = graph.convolution(x, block.narrow)
        maps.append(graph.add("add", x, maps[-1]) if block.adds else x)
    return maps


def _features(graph: _Graph, network: Any) -> str:
    last = _encoder(graph, network.segmenter)[-1]
    return graph.norm(graph.add("to_tokens", graph.convolution(last, network.project)), network.norm)


def _segmenter(graph: _Graph, network: Any) -> str:
    maps = _encoder(graph, network)
    head = network.head
    gate = graph.activation(graph.linear(graph.add("mean", maps[-1]), head.gate), "sigmoid", graph.names[head])
    x = graph.add("gate", graph.activation(graph.convolution(maps[-1], head.value), "relu"), gate)
    for step, finer in zip(network.decoder, (maps[3], maps[1], maps[0]), strict=True):
        coarser = graph.add("resize", graph.convolution(x, step.narrow), factor=2)
        gate = graph.gate(graph.add("mean", graph.add("add", finer, coarser)), step.gate)
        joined = graph.add("add", graph.add("gate", finer, gate), coarser)
        x = graph.activation(graph.convolution(joined, step.value), "relu")
        x = graph.add("add", x, graph.activation(graph.convolution(x, step.mix), "relu"))
    tensors = {"weight": network.output.weight, "bias": network.output.bias}
    return graph.activation(graph.add("enlarge", x, tensors=tensors, outputs=1), "sigmoid")


def _reader(graph: _Graph, network: Any) -> str:
    graph.input = [3, HEIGHT, None]

    def scaled(x: str, layer: Any) -> str:
        x = graph.activation(x, "hard_swish")
        return graph.add("affine", x, scale=layer.scale.item(), shift=layer.shift.item())

    x = graph.convolution(graph.add("affine", "input", scale=2, shift=-1), network.stem)
    for block in network.backbone:
        x = scaled(graph.convolution(x, block.depthwise), block.depthwise_scale)
        x = x if block.gate is None else graph.squeeze_excitation(x, block.gate)
        x = scaled(graph.convolution(x, block.pointwise), block.pointwise_scale)
    x = graph.add("pool", x, kernel=[3, 2], kind="mean")

    def silu(x: str, layer: nn.Conv2d) -> str:
        return graph.activation(graph.convolution(x, layer), "silu")

    tokens = graph.add("to_tokens", silu(silu(x, network.narrow), network.embed))
    for block in network.blocks:
        tokens = graph.transformer(tokens, block, "silu")
    seen = silu(graph.add("to_map", graph.norm(tokens, network.norm)), network.widen)
    x = silu(silu(graph.add("concatenate", x, seen), network.mix), network.project)
    return graph.linear(graph.add("to_tokens", x), network.head)


def _cnn(graph: _Graph, network: Any) -> str:
    graph.input = [network.in_channels, network._image_size, network._image_size]
    x = "input"
    for stage in network.stages():
        x = graph.activation(graph.convolution(x, stage.convolution, stage.norm), "relu")
        if isinstance(stage.attention, SEBlock):
            x = graph.squeeze_excitation(x, stage.attention)
        elif stage.attention is not None:
            raise ValueError(f"page_graph runs SE blocks, but was given a {type(stage.attention).__name__}.")
        if stage.pool > 1:
            x = graph.add("pool", x, kernel=[stage.pool, stage.pool], kind="max")
    x = graph.add("mean" if network.head.pooled else "flatten", x)
    for layer in network.head.layers:
        if isinstance(layer, nn.Linear):
            x = graph.linear(x, layer)
        elif isinstance(layer, nn.BatchNorm1d):
            gain, shift = folded_norm(layer)
            folded = nn.Linear(layer.num_features, layer.num_features)
            folded.weight.data, folded.bias.data = torch.diag(gain), shift
            x = graph.linear(x, folded)
        elif isinstance(layer, nn.ReLU):
            x = graph.activation(x, "relu")
    return x


def _transformer(graph: _Graph, network: Any) -> str:
    graph.input = [network.in_channels, network.image_size, network.image_size]
    tokens = graph.add("to_tokens", graph.convolution("input", network.patches))
    places = {"token": network.class_token, "positions": network.positions}
    x = graph.add("with_class_token", tokens, tensors=places)
    for block in network.blocks:
        x = graph.transformer(x, block, "gelu")
    return graph.linear(graph.norm(graph.add("first_token", x), network.norm), network.head)


_EXPORTS: dict[type[nn.Module], Callable[[_Graph, Any], str]] = {
    PersonSegmenter: _segmenter,
    PersonFeatures: _features,
    TextReader: _reader,
    AttentionCNN: _cnn,
    VisionTransformer: _transformer,
}
