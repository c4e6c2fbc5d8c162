"""VGG with attention gates: what the last map says decides where the earlier, finer maps are read.

Yan, Kawahara, Hamarneh. Melanoma Recognition via Visual Attention. IPMI 2019, section 2.
https://doi.org/10.1007/978-3-030-20351-1_62 (the paper names VGG-16; its released code, and this, take vgg16_bn)
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from ..attention import AttentionGate
from .trained_weights import trained_weights

if TYPE_CHECKING:
    from torchvision.models import VGG16_BN_Weights


class AttentionVGG(nn.Module):
    """Stages of convolutions, each ending in a pooling; gates on the two stages before the last; one linear layer.

    The global map is what the last pooling gives. Each gate pools the map of its stage under that map's guidance; the
    averaged global map and both gated vectors, side by side, give the logits.

    Args:
        num_classes: number of logits.
        alignment: of both gates, "sigmoid" or "softmax"; None leaves the gates out, and the averaged global map alone
            gives the logits: the network that the gates are compared with.
        widths: channels of each stage, three or more. Each stage halves the picture: three suit 32 pixels, four 64.
        convolutions: how many convolutions each stage has; two each unless given.
        hidden_channels: width in which a gate compares its two maps.
        in_channels: 3 for colour, 1 for grey.

    Shape:
        input (N, in_channels, H, W), both sides at least 2^len(widths) -> logits (N, num_classes). `record_masks`
        gives "gates.0" and "gates.1", of shape (N, 1, h, w) with the height and width of their stage.

    Raises:
        ValueError: if there are fewer than three stages, a number is less than 1, or the input does not fit.
    """

    def __init__(
        self,
        num_classes: int,
        alignment: Literal["sigmoid", "softmax"] | None = "sigmoid",
        widths: Sequence[int] = (32, 64, 128),
        convolutions: Sequence[int] | None = None,
        hidden_channels: int = 256,
        in_channels: int = 3,
    ):
        super().__init__()
        name = type(self).__name__
        convolutions = [2] * len(widths) if convolutions is None else convolutions
        if len(widths) < 3 or len(convolutions) != len(widths):
            raise ValueError(
                f"{name} needs at least three stages, two with a gate and the last, and a number of convolutions for "
                f"each, but was given widths={tuple(widths)} and convolutions={tuple(convolutions)}."
            )
        if min(num_classes, in_channels, *widths, *convolutions) < 1:
            raise ValueError(
                f"{name}(num_classes={num_classes}, widths={tuple(widths)}, convolutions={tuple(convolutions)}, "
                f"in_channels={in_channels}) needs whole numbers of at least 1."
            )
        self.settings = {
            "num_classes": num_classes,
            "alignment": alignment,
            "widths": list(widths),
            "convolutions": list(convolutions),
            "hidden_channels": hidden_channels,
            "in_channels": in_channels,
        }
        layers: list[nn.Module] = []
        channels = in_channels
        for width, count in zip(widths, convolutions, strict=True):
            for _ in range(count):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.in_channels, self.stages = in_channels, len(widths)
        self.features = nn.Sequential(*layers)
        self.taps = [index for index, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)][-3:]
        *gated, final = widths[-3:]
        self.gates = nn.ModuleList()
        if alignment is not None:
            self.gates.extend(AttentionGate(width, final, hidden_channels, alignment) for width in gated)
        self.classifier = nn.Linear(final + sum(gated) * bool(self.gates), num_classes)
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.constant_(layer.get_parameter("bias"), 0.0)

    def forward(self, images: Tensor) -> Tensor:
        """The logits: (N, in_channels, H, W) -> (N, num_classes)."""
        self._check(images)
        maps, x = [], images
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.taps:
                maps.append(x)
        *local_maps, guide = maps  # finest first; the guide is (N, C, H / 2^stages, W / 2^stages)
        pooled = [gate(local, guide) for gate, local in zip(self.gates, local_maps, strict=False)]
        return self.classifier(torch.cat([guide.mean(dim=(2, 3)), *pooled], dim=1))

    def _check(self, images: Tensor) -> None:
        channels, least = self.in_channels, 2**self.stages
        if images.dim() != 4 or images.shape[1] != channels:
            cure = "add the batch axis with images[None]" if images.dim() == 3 else f"give {channels} channels"
            raise ValueError(
                f"{type(self).__name__} needs images (N, {channels}, H, W), but was given {tuple(images.shape)}; "
                f"{cure}."
            )
        if min(images.shape[2:]) < least:
            raise ValueError(
                f"{type(self).__name__} halves a picture {self.stages} times and needs at least {least} x {least} "
                f"pixels, but was given {tuple(images.shape[2:])}; enlarge the pictures or build it with fewer widths."
            )


class AttentionVGG16(AttentionVGG):
    """torchvision's `vgg16_bn` up to its last pooling, with gates after the third and the fourth.

    Args:
        num_classes: number of logits.
        alignment: of both gates, "sigmoid" or "softmax"; None leaves the gates out.
        weights: what `torchvision.models.vgg16_bn` takes, such as "DEFAULT", for trained features; None draws them.

    Shape:
        input (N, 3, H, W), both sides at least 32 -> logits (N, num_classes); masks "gates.0" (N, 1, H / 8, W / 8)
        and "gates.1" (N, 1, H / 16, W / 16).

    Raises:
        ValueError: if alignment is unknown, the input has not three channels or is too small, or torch's cache holds
            a damaged file of weights.
        ConnectionError: if trained weights are asked for and cannot be fetched.
    """

    def __init__(
        self,
        num_classes: int,
        alignment: Literal["sigmoid", "softmax"] | None = "sigmoid",
        weights: "VGG16_BN_Weights | str | None" = None,
    ):
        super().__init__(num_classes, alignment, widths=(64, 128, 256, 512, 512), convolutions=(2, 2, 3, 3, 3))
        if weights is not None:
            from torchvision.models import VGG16_BN_Weights

            # The features have torchvision's names; its classifier is another one.
            self.load_state_dict(trained_weights(VGG16_BN_Weights.verify(weights)), strict=False)
