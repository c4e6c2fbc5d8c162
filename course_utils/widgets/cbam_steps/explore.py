"""The lesson's widget on CBAM: a trained network joined to `CBAMSteps`, and the same switches for experiments."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...attention import CBAM
from ...data import cued_digits
from ...models import AttentionCNN, load_network
from ...models.page_graph import folded_norm
from ..base import image_bytes
from ..limits import check_stage
from .widget import ORDERS, CBAMSteps

NETWORK = "cbam_cued_digits"
POOLS = ("max", "mean")
_PICTURES = 'cued_digits(100, seed=4, split="test")'
_CODE = f"""import torch

from course_utils.attention import record_masks
from course_utils.data import cued_digits
from course_utils.widgets.cbam_steps.explore import switched
from course_utils.models import load_network

network = load_network("{NETWORK}")"""


def explore_cbam_steps(
    network: AttentionCNN | None = None, picture: int = 0, stage: int = 1, step: int = 5
) -> CBAMSteps:
    """Step through the CBAM blocks of a trained network; swap their order, switch their pools off.

    Args:
        network: `AttentionCNN(10, "cbam")` for colour pictures; by default the trained one that ships with the course.
        picture: which of the ten pictures is shown first.
        stage: the number of the stage whose block is shown first, from 1.
        step: how many of the five steps are shown.

    Raises:
        ValueError: if the network is of another kind, or there is no such picture or stage.

    Example:
        >>> explore_cbam_steps(stage=2, step=1)
    """
    shown = load_network(NETWORK) if network is None else network.eval()
    stages = _stages(shown)
    check_stage(stage, len(stages))
    return CBAMSteps(
        stages=stages,
        head=_layer(shown.get_submodule("head.layers.0")),
        pictures=_pictures(),
        picture=picture,
        stage=stage - 1,
        step=step,
        code=_CODE,
    )


@contextmanager
def switched(
    block: CBAM, order: str = ORDERS[0], channel_pools: Sequence[str] = POOLS, spatial_pools: Sequence[str] = POOLS
) -> Iterator[None]:
    """Let a trained CBAM block work in another order, or without some of its pools; nothing is trained again.

    The masks that `record_masks` collects meanwhile are those of the changed block.

    Args:
        block: a block inside a network, or alone.
        order: "channel first" or "spatial first".
        channel_pools: of "mean" and "max"; without either the channel part lets everything pass.
        spatial_pools: of "max" and "mean"; without either the spatial part lets everything pass.

    Raises:
        ValueError: for an order or a pool of another name.

    Example:
        >>> with torch.no_grad(), switched(network.stage1.attention, spatial_pools=("mean",)):
        ...     logits = network(images)
    """
    if order not in ORDERS or not {*channel_pools, *spatial_pools} <= {*POOLS}:
        raise ValueError(
            f"switched knows the orders {' and '.join(map(repr, ORDERS))} and the pools 'mean' and 'max', but was "
            f"given order={order!r}, channel_pools={tuple(channel_pools)}, spatial_pools={tuple(spatial_pools)}."
        )

    def run(x: Tensor) -> Tensor:
        if order == ORDERS[0]:
            channel = block.channel.record(_channel_mask(block, x, channel_pools))
            spatial = block.spatial.record(_spatial_mask(block, x * channel, spatial_pools))
        else:
            spatial = block.spatial.record(_spatial_mask(block, x, spatial_pools))
            channel = block.channel.record(_channel_mask(block, x * spatial, channel_pools))
        return x * block.record(channel * spatial)

    block.forward = run  # type: ignore[method-assign]
    try:
        yield
    finally:
        del block.forward


def _channel_mask(block: CBAM, x: Tensor, pools: Sequence[str]) -> Tensor:
    part = block.channel
    pooled = {"mean": lambda: x.mean(dim=(2, 3)), "max": lambda: x.amax(dim=(2, 3))}
    if not pools:
        return x.new_ones(*x.shape[:2], 1, 1)
    logits = [part.expand(F.relu(part.reduce(pooled[name]()))) for name in pools]
    return torch.stack(logits).sum(dim=0).sigmoid()[:, :, None, None]


def _spatial_mask(block: CBAM, x: Tensor, pools: Sequence[str]) -> Tensor:
    if not pools:
        return x.new_ones(len(x), 1, *x.shape[2:])
    maps = {"max": x.amax(dim=1), "mean": x.mean(dim=1)}
    pooled = torch.stack([maps[name] if name in pools else torch.zeros_like(maps[name]) for name in POOLS], dim=1)
    return torch.sigmoid(block.spatial.norm(block.spatial.conv(pooled)))


@torch.no_grad()
def _stages(network: nn.Module) -> list[dict[str, Any]]:
    made = []
    parts = network.stages() if isinstance(network, AttentionCNN) else []
    for name, stage in zip(getattr(network, "stage_names", ()), parts, strict=True):
        block, convolution = stage.attention, stage.convolution
        if not isinstance(block, CBAM) or convolution.kernel_size != (3, 3) or block.channel.reduce.bias is None:
            break
        made.append(
            {
                "name": f"{name}.attention",
                "convolution": _folded(convolution, stage.norm),
                "reduce": _layer(block.channel.reduce),
                "expand": _layer(block.channel.expand),
                "spatial": _folded(block.spatial.conv, block.spatial.norm),
                "pool": stage.pool,
            }
        )
    settings: dict[str, Any] = getattr(network, "settings", {})
    if not made or len(made) < len(parts) or settings.get("head") != "linear":
        raise ValueError(
            f"explore_cbam_steps needs a network such as AttentionCNN(10, 'cbam'): CBAM in every stage, 3x3 "
            f"convolutions, a linear head; but was given {type(network).__name__} with {settings or 'no settings'}."
        )
    return made


def _layer(layer: Any) -> dict[str, Tensor]:
    return {"weight": layer.weight, "bias": layer.bias}


def _folded(convolution: Any, norm: Any) -> dict[str, Tensor]:
    """A convolution without bias and the batch norm after it as one convolution."""
    gain, shift = folded_norm(norm)
    return {"weight": convolution.weight * gain[:, None, None, None], "bias": shift}


def _pictures() -> list[dict[str, Any]]:
    """The first picture of each answer, from 0 to 9."""
    data = cued_digits(100, seed=4, split="test")
    first = [int((data.labels == digit).nonzero()[0]) for digit in range(10)]
    return [
        {
            "label": f"the right answer is {digit}",
            "image": image_bytes(data.images[index]),
            "code": f"image = ({_PICTURES}.images[{index}][None] * 255).round() / 255",
        }
        for digit, index in enumerate(first)
    ]
