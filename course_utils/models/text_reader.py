"""A network that reads a line of text: convolutions make one token for every eight pixels, and the tokens attend.

PP-OCRv4's mobile recogniser. https://github.com/PaddlePaddle/PaddleOCR
Du et al. SVTR: Scene Text Recognition with a Single Visual Model. IJCAI 2022, section 3. https://arxiv.org/abs/2205.00159
Graves et al. Connectionist Temporal Classification. ICML 2006, section 3.2 (best path decoding).
https://www.cs.toronto.edu/~graves/icml_2006.pdf
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..attention import MultiHeadAttention, SEBlock
from .pictures import check_pictures

HEIGHT = 48
CHARACTERS = "".join(chr(code) for code in range(32, 127))  # printable ASCII; in the logits they follow the blank
_RESIZE = "Resize a line of text to a height of 48 pixels, and pad it on the right to a width that 8 divides"


class TextReader(nn.Module):
    """Read a line of text, printable ASCII from left to right.

    `load_network("text_reader")` gives it with its trained weights.

    Shape:
        pictures (N, 3, 48, W) in [0, 1], red first, W a multiple of 8 -> logits (N, W / 8, 96): the blank, then the
        characters from space to tilde. `record_masks` gives "blocks.0.attention" and "blocks.1.attention",
        (N, 8, W / 8, W / 8), and the gates of two SE blocks, "backbone.10.gate" and "backbone.11.gate".

    Raises:
        ValueError: if the pictures have another shape or range.

    Example:
        >>> load_network("text_reader").read(draw_text("attention")[None])
        ['attention']
    """

    def __init__(self) -> None:
        super().__init__()
        self.settings: dict[str, object] = {}
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.backbone = nn.Sequential(
            Separable(16, 32, 3),  # 24 x W / 2
            Separable(32, 64, 3),
            Separable(64, 64, 3),
            Separable(64, 128, 3, stride=(2, 1)),  # 12 x W / 2
            Separable(128, 128, 3),
            Separable(128, 240, 3, stride=(1, 2)),  # 12 x W / 4
            *(Separable(240, 240, 5) for _ in range(4)),
            Separable(240, 480, 5, stride=(2, 1), gate=60),  # 6 x W / 4
            Separable(480, 480, 5, gate=120),
            Separable(480, 480, 5, stride=(2, 1)),  # 3 x W / 4
            Separable(480, 480, 5),
        )
        self.narrow = nn.Conv2d(480, 60, (1, 3), padding=(0, 1))
        self.embed = nn.Conv2d(60, 120, 1)
        self.blocks = nn.ModuleList(ReaderBlock(120, 8, 240) for _ in range(2))
        self.norm = nn.LayerNorm(120, eps=1e-6)
        self.widen = nn.Conv2d(120, 480, 1)
        self.mix = nn.Conv2d(960, 60, (1, 3), padding=(0, 1))
        self.project = nn.Conv2d(60, 120, 1)
        self.head = nn.Linear(120, 1 + len(CHARACTERS))

    def forward(self, pictures: Tensor) -> Tensor:
        """The logits of every column: (N, 3, 48, W) -> (N, W / 8, 96)."""
        check_pictures("TextReader", pictures, HEIGHT, None, _RESIZE)
        if pictures.shape[3] % 8:
            raise ValueError(
                f"TextReader needs a width W that 8 divides, but was given {pictures.shape[3]}. {_RESIZE}."
            )
        x = self.backbone(self.stem(pictures * 2 - 1))
        x = F.avg_pool2d(x, kernel_size=(3, 2))  # (N, 480, 1, W / 8)
        tokens = F.silu(self.embed(F.silu(self.narrow(x)))).squeeze(2).transpose(1, 2)  # (N, W / 8, 120)
        for block in self.blocks:
            tokens = block(tokens)
        seen = self.norm(tokens).transpose(1, 2)[:, :, None]  # (N, 120, 1, W / 8): a map again
        x = torch.cat([x, F.silu(self.widen(seen))], dim=1)  # what convolutions saw, and what attention brought
        x = F.silu(self.project(F.silu(self.mix(x))))
        return self.head(x.squeeze(2).transpose(1, 2))

    def read(self, pictures: Tensor) -> list[str]:
        """The text in each picture: (N, 3, 48, W) -> N strings; "" where nothing is read."""
        with torch.no_grad():
            return decode(self(pictures))


def decode(logits: Tensor) -> list[str]:
    """The best path: the likeliest character of each column, repeats merged, blanks and spaces at the ends dropped."""
    texts = []
    for line in logits.argmax(dim=2).tolist():
        merged = [now for before, now in zip([0, *line], line, strict=False) if now != before]
        texts.append("".join(CHARACTERS[index - 1] for index in merged if index).strip())
    return texts


class Separable(nn.Module):
    """Mix neighbours channel by channel, gate the channels where there is a gate, mix the channels."""

    def __init__(
        self, before: int, after: int, kernel_size: int, stride: tuple[int, int] = (1, 1), gate: int | None = None
    ):
        super().__init__()
        self.depthwise = nn.Conv2d(before, before, kernel_size, stride, padding=kernel_size // 2, groups=before)
        self.depthwise_scale = ScaledHardSwish()
        self.gate = SEBlock(before, hidden=gate, gate="hard_sigmoid") if gate else None
        self.pointwise = nn.Conv2d(before, after, 1)
        self.pointwise_scale = ScaledHardSwish()

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) -> (N, after, H / stride, W / stride)."""
        x = self.depthwise_scale(self.depthwise(x))
        if self.gate is not None:
            x = self.gate(x)
        return self.pointwise_scale(self.pointwise(x))


class ScaledHardSwish(nn.Module):
    """hardswish(x) * scale + shift, two learned numbers for the whole map."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.shift = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """A map of any shape, changed number by number."""
        return torch.addcmul(self.shift, F.hardswish(x), self.scale)


class ReaderBlock(nn.Module):
    """A transformer block: columns attend to one another, then each is changed alone; both steps normalise first."""

    def __init__(self, embed_dim: int, num_heads: int, mlp_dim: int):
        super().__init__()
        self.attention_norm = nn.LayerNorm(embed_dim)
        self.attention = MultiHeadAttention(embed_dim, num_heads)
        self.mlp_norm = nn.LayerNorm(embed_dim)
        self.widen = nn.Linear(embed_dim, mlp_dim)
        self.narrow = nn.Linear(mlp_dim, embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, embed_dim) -> (N, T, embed_dim)."""
        x = x + self.attention(self.attention_norm(x))
        return x + self.narrow(F.silu(self.widen(self.mlp_norm(x))))
