"""A network that cuts people out of a picture, as video calls do; ten gates decide which channels pass.

MediaPipe's selfie segmentation, the general model. https://developers.google.com/mediapipe/solutions/vision/image_segmenter
Howard et al. Searching for MobileNetV3. ICCV 2019, sections 5 and 6.4 (squeeze-and-excitation, LR-ASPP).
https://arxiv.org/abs/1905.02244
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..attention import AttentionBlock, SEBlock
from ..attention.block import spatial_mean
from .pictures import check_pictures

SIDE = 256
FEATURES = 16
_NARROWER = "Bring pictures of another size to it with F.interpolate(pictures, (256, 256), mode='bilinear')"


class PersonSegmenter(nn.Module):
    """Give each pixel the probability that it belongs to a person.

    The encoder halves the picture four times. The decoder goes back up three steps, and at each a gate decides how much
    of the encoder's map of that size joins. `load_network("person_segmenter")` gives it with its trained weights.

    Shape:
        pictures (N, 3, 256, 256) in [0, 1], red first -> probabilities (N, 1, 256, 256). `record_masks` gives ten
        gates (N, C, 1, 1): six of SE blocks, "head", and three of the decoder, "decoder.0.gate" to "decoder.2.gate".

    Raises:
        ValueError: if the pictures have another shape or range.
    """

    def __init__(self) -> None:
        super().__init__()
        self.settings: dict[str, object] = {}
        self.stem = SamePadding(3, 16, 3, stride=2)
        self.encoder = nn.ModuleList(
            [
                #        in, wide, out, kernel, stride, activation, gate's hidden units
                Residual(16, 16, 16, 3, 2, F.relu, 8),  # 64 x 64
                Residual(16, 72, 24, 3, 2, F.relu),  # 32 x 32
                Residual(24, 88, 24, 3, 1, F.relu),
                Residual(24, 96, 32, 5, 2, F.hardswish, 24),  # 16 x 16
                Residual(32, 128, 32, 5, 1, F.hardswish, 32),
                Residual(32, 128, 32, 5, 1, F.hardswish, 32),
                Residual(32, 96, 32, 5, 1, F.hardswish, 24),
                Residual(32, 96, 32, 5, 1, F.hardswish, 24),
            ]
        )
        self.head = GatedHead(32, 128)
        self.decoder = nn.ModuleList([DecoderStep(128, 24), DecoderStep(24, 16), DecoderStep(16, 16)])
        self.output = nn.ConvTranspose2d(16, 1, kernel_size=2, stride=2)
        self.to(memory_format=torch.channels_last)  # the original's layout, of weights as of maps

    def forward(self, pictures: Tensor) -> Tensor:
        """The probabilities: (N, 3, 256, 256) -> (N, 1, 256, 256)."""
        maps = self.encode(pictures)
        x = self.head(maps[-1])
        for step, finer in zip(self.decoder, (maps[3], maps[1], maps[0]), strict=True):  # of 32, 64, 128 pixels
            x = step(x, finer)
        return torch.sigmoid(self.output(x))

    def encode(self, pictures: Tensor) -> list[Tensor]:
        """The encoder's maps: (N, 16, 128, 128), then one after each of its blocks; the last is (N, 32, 16, 16)."""
        check_pictures("PersonSegmenter", pictures, SIDE, SIDE, _NARROWER)
        x = F.hardswish(self.stem(pictures.contiguous(memory_format=torch.channels_last)))  # the original's layout
        maps = [x]
        for block in self.encoder:
            maps.append(block(maps[-1]))
        return maps


class PersonFeatures(nn.Module):
    """What the segmenter's encoder makes of a picture, brought to features that can be compared by their products.

    Over all positions of the photographs given, its 32 channels are brought to mean 0 and variance 1, reduced to their
    first 16 principal components, and these to variance 1 again. Then every position is brought to mean 0 and variance
    1 over its 16 numbers: without that, positions on a person, of which few photographs show one, outweigh all others.

    Args:
        segmenter: in evaluation mode, with its trained weights.
        photographs: (N, 3, 256, 256) in [0, 1], over which the features are standardised.

    Shape:
        pictures (N, 3, 256, 256) in [0, 1] -> (N, 256, 16), the 16 x 16 positions row after row.

    Raises:
        ValueError: if the pictures have another shape or range.
    """

    @torch.no_grad()
    def __init__(self, segmenter: PersonSegmenter, photographs: Tensor):
        super().__init__()
        self.segmenter = segmenter
        last = segmenter.encode(photographs)[-1]
        self.project = nn.Conv2d(last.shape[1], FEATURES, 1)
        self.norm = nn.LayerNorm(FEATURES)
        rows = last.permute(0, 2, 3, 1).flatten(0, 2).double()
        mean, deviation = rows.mean(dim=0), rows.std(dim=0)
        _, sizes, directions = torch.linalg.svd((rows - mean) / deviation, full_matrices=False)
        signs = directions.gather(1, directions.abs().argmax(dim=1, keepdim=True)).sign()  # else they are arbitrary
        matrix = (signs * directions / sizes[:, None])[:FEATURES] * len(rows) ** 0.5 / deviation
        self.project.weight.copy_(matrix[:, :, None, None])
        assert self.project.bias is not None
        self.project.bias.copy_(-matrix @ mean)
        self.eval().requires_grad_(False)

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, 256, 256) -> (N, 256, 16)."""
        return self.norm(self.project(self.segmenter.encode(pictures)[-1]).flatten(2).transpose(1, 2))


class SamePadding(nn.Conv2d):
    """A convolution padded as TensorFlow does: where the padding is odd, the extra zero comes at the end."""

    def __init__(self, before: int, after: int, kernel_size: int, stride: int = 1, groups: int = 1):
        even = (kernel_size - stride) % 2 == 0
        padding = (kernel_size - stride) // 2 if even else 0
        super().__init__(before, after, kernel_size, stride, padding, groups=groups)
        self.extra = 0 if even else kernel_size - stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H / stride, W / stride)."""
        first, last = self.extra // 2, self.extra - self.extra // 2
        return super().forward(F.pad(x, (first, last, first, last)) if self.extra else x)


class Residual(nn.Module):
    """Widen each position, mix neighbours channel by channel, gate the channels, narrow; add the input if it fits."""

    def __init__(
        self,
        before: int,
        wide: int,
        after: int,
        kernel_size: int,
        stride: int,
        activation: Callable[[Tensor], Tensor],
        gate: int | None = None,
    ):
        super().__init__()
        self.widen = nn.Conv2d(before, wide, 1)
        self.mix = SamePadding(wide, wide, kernel_size, stride, groups=wide)
        self.gate = SEBlock(wide, hidden=gate) if gate else None
        self.narrow = nn.Conv2d(wide, after, 1)
        self.activation = activation
        self.adds = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) -> (N, after, H / stride, W / stride)."""
        wide = self.activation(self.mix(self.activation(self.widen(x))))
        narrow = self.narrow(wide if self.gate is None else self.gate(wide))
        return x + narrow if self.adds else narrow


class GatedHead(AttentionBlock):
    """relu(W x) scaled by a gate from the mean of x: the mask is made on a branch of its own."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.value = nn.Conv2d(before, after, 1)
        self.gate = nn.Linear(before, after)

    def mask(self, x: Tensor) -> Tensor:
        """(N, before, H, W) -> (N, after, 1, 1)."""
        return torch.sigmoid(self.gate(spatial_mean(x)))[:, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) -> (N, after, H, W)."""
        return F.relu(self.value(x)) * self.record(self.mask(x))


class SkipGate(SEBlock):
    """How much of a finer map joins a coarser one of the same size: gate(finer + coarser) * finer + coarser."""

    def __init__(self, channels: int):
        super().__init__(channels, hidden=channels)

    def mask(self, finer: Tensor, coarser: Tensor) -> Tensor:  # type: ignore[override]
        """Two maps (N, C, H, W) -> (N, C, 1, 1)."""
        return super().mask(finer + coarser)

    def forward(self, finer: Tensor, coarser: Tensor) -> Tensor:  # type: ignore[override]
        """Two maps (N, C, H, W) -> (N, C, H, W)."""
        return torch.addcmul(coarser, finer, self.record(self.mask(finer, coarser)))


class DecoderStep(nn.Module):
    """Narrow and enlarge the coarser map, let the gate join the finer one, and mix neighbours."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.narrow = nn.Conv2d(before, after, 1)
        self.gate = SkipGate(after)
        self.value = nn.Conv2d(after, after, 1)
        self.mix = SamePadding(after, after, 3, groups=after)

    def forward(self, coarser: Tensor, finer: Tensor) -> Tensor:
        """(N, before, H, W) and (N, after, 2H, 2W) -> (N, after, 2H, 2W)."""
        # The original enlarges first; a 1x1 convolution gives the same numbers on a quarter of the positions.
        enlarged = F.interpolate(self.narrow(coarser), scale_factor=2, mode="bilinear", align_corners=False)
        x = F.relu(self.value(self.gate(finer, enlarged)))
        return x + F.relu(self.mix(x))
