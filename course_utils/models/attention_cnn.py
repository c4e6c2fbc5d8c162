"""A small convolutional network with an attention block after each stage, or with none.

Two layouts: "course" halves the picture by max-pooling after each of its 3x3 convolutions; "original" is the network
of an earlier course on attention for MNIST, with one 3x3 and two strided 6x6 convolutions.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..attention import CBAM, ECABlock, GSoPBlock, SEBlock, SelectiveKernel, SelfAttention2d
from ..names import check_name


class Placement(NamedTuple):
    """How a block is put into the network: its class, the options that suit small networks, its first stage."""

    block: Callable[..., nn.Module]
    options: Mapping[str, Any]
    first_stage: int = 1


ATTENTION: dict[str, Placement] = {
    "se": Placement(SEBlock, {"reduction": 4}),
    "eca": Placement(ECABlock, {}),
    "cbam": Placement(CBAM, {"reduction": 4}),
    "gsop": Placement(GSoPBlock, {"reduced_channels": 16}),
    "sk": Placement(SelectiveKernel, {"groups": 4}),
    # At the full size of the picture every position would look at hundreds of others, of few channels each.
    "self_attention": Placement(SelfAttention2d, {}, first_stage=2),
}


class _Convolution(NamedTuple):
    kernel_size: int
    stride: int
    padding: int
    pool: int


class _Layout(NamedTuple):
    convolutions: tuple[_Convolution, ...]
    widths: tuple[int, ...]
    head: str


_LAYOUTS = {
    "course": _Layout((_Convolution(3, 1, 1, 2),) * 3, (24, 48, 48), "linear"),
    "original": _Layout(
        (_Convolution(3, 1, 2, 1), _Convolution(6, 2, 2, 1), _Convolution(6, 2, 2, 1)), (12, 24, 32), "flatten"
    ),
}
_HIDDEN: dict[str, tuple[int, ...]] = {"linear": (), "hidden": (128,), "flatten": (200,)}
_DROPOUT = 0.6


class AttentionCNN(nn.Module):
    """Three stages of convolution, batch norm, ReLU and attention, then a head.

    Args:
        num_classes: how many logits.
        attention: the block after each ReLU: None or a name in `ATTENTION`, such as "se".
        in_channels: 3 for colour, 1 for grey.
        layout: "course" or "original".
        widths: channels of the three stages; by default (24, 48, 48) or, in the original layout, (12, 24, 32).
        head: "linear" puts one layer on each channel's mean, "hidden" puts a hidden layer with batch norm between,
            "flatten" keeps every position and puts hidden layers with batch norm and dropout on them; by default
            "linear" or, in the original layout, "flatten".
        hidden: widths of the head's hidden layers; by default (128,) for "hidden" and (200,) for "flatten".
        image_size: height and width of the images; only "flatten" needs it.
        attention_options: arguments of the block in place of those in `ATTENTION`, such as {"reduction": 8}.

    Shape:
        input (N, in_channels, H, W) -> logits (N, num_classes).

    Raises:
        ValueError: for an unknown name, for images that are too small, for a head without the size it needs.

    Example:
        >>> network = AttentionCNN(10, attention="se")
        >>> with record_masks(network) as masks:
        ...     logits = network(cued_digits(8, seed=0).images)
        >>> list(masks)
        ['stage1.attention', 'stage2.attention', 'stage3.attention']
    """

    def __init__(
        self,
        num_classes: int,
        attention: str | None = None,
        *,
        in_channels: int = 3,
        layout: str = "course",
        widths: Sequence[int] | None = None,
        head: str | None = None,
        hidden: Sequence[int] | None = None,
        image_size: int | None = None,
        attention_options: Mapping[str, Any] | None = None,
    ):
        super().__init__()
        check_name("layout", layout, _LAYOUTS)
        if attention is not None:
            check_name("attention", attention, ATTENTION)
        plan = _LAYOUTS[layout]
        head = plan.head if head is None else head
        check_name("head", head, _HIDDEN)
        channels = tuple(plan.widths if widths is None else widths)
        units = tuple(_HIDDEN[head] if hidden is None else hidden)
        if len(channels) != len(plan.convolutions):
            raise ValueError(f"widths={channels} must name {len(plan.convolutions)} stages, as {plan.widths} does.")
        if attention_options and attention is None:
            raise ValueError(f"attention_options={dict(attention_options)} need a block; say which by attention=...")
        if head == "linear" and units:
            raise ValueError(f"The linear head has no hidden layer, but hidden={units}; use head='hidden'.")
        if head == "flatten" and image_size is None:
            raise ValueError(
                "The flatten head has weights for each position, so it must know how large the images are; "
                "say image_size=28 for digits, image_size=40 for cued digits."
            )
        self.settings: dict[str, Any] = {
            "num_classes": num_classes,
            "attention": attention,
            "in_channels": in_channels,
            "layout": layout,
            "widths": list(channels),
            "head": head,
            "hidden": list(units),
            "image_size": image_size if head == "flatten" else None,
            "attention_options": dict(attention_options or {}) or None,
        }
        self.in_channels = in_channels
        self.num_classes = num_classes
        self._plan = plan
        self._image_size = self.settings["image_size"]

        self.stage_names = tuple(f"stage{number}" for number in range(1, len(channels) + 1))
        before = in_channels
        for number, (name, width, convolution) in enumerate(
            zip(self.stage_names, channels, plan.convolutions, strict=True), start=1
        ):
            block = _block(attention, attention_options, width, number)
            self.add_module(name, Stage(before, width, convolution, block))
            before = width
        if image_size is not None:
            self._sides(image_size)
        positions = self._sides(image_size)[-1] ** 2 if head == "flatten" and image_size is not None else 1
        self.head = _Head(head, before * positions, units, num_classes)

    def stages(self) -> list["Stage"]:
        """The stages in order."""
        return [self.get_submodule(name) for name in self.stage_names]  # type: ignore[misc]

    def forward(self, x: Tensor) -> Tensor:
        """Logits: (N, in_channels, H, W) -> (N, num_classes)."""
        if x.dim() != 4 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"AttentionCNN needs images (N, {self.in_channels}, H, W), but was given {tuple(x.shape)}; "
                "add a missing axis with images[None] or build the network with another in_channels."
            )
        if self._image_size is not None and tuple(x.shape[2:]) != (self._image_size,) * 2:
            raise ValueError(
                f"This network's flatten head was built for {self._image_size} x {self._image_size} images, but was "
                f"given {x.shape[2]} x {x.shape[3]}; build it with the right image_size, or use head='linear'."
            )
        self._sides(min(x.shape[2:]))
        for stage in self.stages():
            x = stage(x)
        return self.head(x)

    def _sides(self, side: int) -> list[int]:
        """The side of the feature map after each stage, refused where nothing is left."""
        sides = []
        for _, convolution in zip(self.stage_names, self._plan.convolutions, strict=True):
            after = side + 2 * convolution.padding - convolution.kernel_size
            side = 0 if after < 0 else (after // convolution.stride + 1) // convolution.pool
            sides.append(side)
        if sides[-1] < 1:
            raise ValueError(
                f"These images are too small: after the stages their sides are {sides}; "
                "make them larger, or take a layout with fewer halvings."
            )
        return sides


class Stage(nn.Module):
    """Convolution, batch norm, ReLU, attention, and max-pooling where the layout has it.

    Shape:
        input (N, C_in, H, W) -> output (N, C_out, h, w).
    """

    def __init__(self, before: int, width: int, convolution: _Convolution, attention: nn.Module | None):
        super().__init__()
        kernel_size, stride, padding, self.pool = convolution
        self.convolution = nn.Conv2d(before, width, kernel_size, stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.attention = attention

    def forward(self, x: Tensor) -> Tensor:
        """Run the stage."""
        x = F.relu(self.norm(self.convolution(x)), inplace=True)
        if self.attention is not None:
            x = self.attention(x)
        return F.max_pool2d(x, self.pool) if self.pool > 1 else x


class _Head(nn.Module):
    """Pool or flatten, then the linear layers; (N, C, h, w) -> (N, num_classes)."""

    def __init__(self, kind: str, before: int, units: tuple[int, ...], num_classes: int):
        super().__init__()
        self.pooled = kind != "flatten"
        layers: list[nn.Module] = []
        for width in units:
            layers += [nn.Linear(before, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()]
            if not self.pooled:
                layers.append(nn.Dropout(_DROPOUT))
            before = width
        self.layers = nn.Sequential(*layers, nn.Linear(before, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.mean(dim=(2, 3)) if self.pooled else torch.flatten(x, 1))


def _block(attention: str | None, options: Mapping[str, Any] | None, width: int, stage: int) -> nn.Module | None:
    if attention is None or stage < ATTENTION[attention].first_stage:
        return None
    placement = ATTENTION[attention]
    return placement.block(width, **{**placement.options, **(options or {})})
