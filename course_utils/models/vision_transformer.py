"""The vision transformer: a picture is a sentence of patches, read by self-attention alone.

Dosovitskiy et al. An Image is Worth 16x16 Words. ICLR 2021, section 3.1. https://arxiv.org/abs/2010.11929
Abnar, Zuidema. Quantifying Attention Flow in Transformers. ACL 2020, section 3. https://arxiv.org/abs/2005.00928
"""

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..attention import MultiHeadAttention, record_masks

if TYPE_CHECKING:
    import torchvision


class TransformerBlock(nn.Module):
    """Tokens talk to one another, then each thinks alone; both steps normalise first and add what they found.

    Args:
        embed_dim: width of a token.
        num_heads: number of heads; must divide embed_dim.
        mlp_dim: width of the hidden layer in which each token thinks.

    Shape:
        input (N, L, embed_dim) -> output (N, L, embed_dim), or (N, read, embed_dim).

    Raises:
        ValueError: if num_heads does not divide embed_dim.
    """

    def __init__(self, embed_dim: int, num_heads: int, mlp_dim: int):
        super().__init__()
        self.attention_norm = nn.LayerNorm(embed_dim, eps=1e-6)
        self.attention = MultiHeadAttention(embed_dim, num_heads)
        self.mlp_norm = nn.LayerNorm(embed_dim, eps=1e-6)
        self.widen = nn.Linear(embed_dim, mlp_dim)
        self.narrow = nn.Linear(mlp_dim, embed_dim)

    def forward(self, x: Tensor, read: int | None = None) -> Tensor:
        """The tokens after both steps; only the first `read` of them, if it is given."""
        x = x[:, :read] + self.attention(self.attention_norm(x), read=read)
        return x + self.narrow(F.gelu(self.widen(self.mlp_norm(x))))


class VisionTransformer(nn.Module):
    """Cut a picture into patches, add a class token and positions, let `depth` blocks attend, and ask the class token.

    ViT-B/16 is `VisionTransformer(224, 16, depth=12, embed_dim=768, num_heads=12, mlp_dim=3072, num_classes=1000)`.
    The head starts at zero, so an untrained network gives every class the same logit.

    Args:
        image_size: height and width of the picture.
        patch_size: height and width of a patch; must divide image_size.
        depth: number of blocks.
        embed_dim: width of a token.
        num_heads: heads of each block; must divide embed_dim.
        mlp_dim: hidden width of each block's two-layer network.
        num_classes: number of logits.
        in_channels: 3 for colour, 1 for grey.

    Shape:
        input (N, in_channels, image_size, image_size) -> logits (N, num_classes). `record_masks` gives
        "blocks.0.attention", ... of shape (N, num_heads, L, L) with L = 1 + (image_size // patch_size)^2.

    Raises:
        ValueError: if patch_size does not divide image_size, num_heads does not divide embed_dim, a number is less
            than 1, or the input has another size.
    """

    def __init__(
        self,
        image_size: int,
        patch_size: int,
        depth: int,
        embed_dim: int,
        num_heads: int,
        mlp_dim: int,
        num_classes: int,
        in_channels: int = 3,
    ):
        super().__init__()
        self.settings = {
            "image_size": image_size,
            "patch_size": patch_size,
            "depth": depth,
            "embed_dim": embed_dim,
            "num_heads": num_heads,
            "mlp_dim": mlp_dim,
            "num_classes": num_classes,
            "in_channels": in_channels,
        }
        if min(self.settings.values()) < 1:
            given = ", ".join(f"{name}={value}" for name, value in self.settings.items())
            raise ValueError(f"VisionTransformer({given}) needs whole numbers of at least 1.")
        if image_size % patch_size:
            fitting = [size for size in range(1, image_size + 1) if image_size % size == 0]
            raise ValueError(
                f"patch_size={patch_size} does not divide image_size={image_size}: {image_size % patch_size} pixels "
                f"would be left over; use one of {fitting}."
            )
        self.image_size, self.in_channels = image_size, in_channels
        places = (image_size // patch_size) ** 2
        self.patches = nn.Conv2d(in_channels, embed_dim, kernel_size=patch_size, stride=patch_size)
        self.class_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        self.positions = nn.Parameter(torch.empty(1, places + 1, embed_dim).normal_(std=0.02))
        self.blocks = nn.ModuleList(TransformerBlock(embed_dim, num_heads, mlp_dim) for _ in range(depth))
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6)
        self.head = nn.Linear(embed_dim, num_classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        """The logits: (N, in_channels, image_size, image_size) -> (N, num_classes)."""
        x = self.embed(images)
        *blocks, last = self.blocks
        for block in blocks:
            x = block(x)
        x = last(x, read=1)  # the head reads the class token alone
        return self.head(self.norm(x[:, 0]))

    def embed(self, images: Tensor) -> Tensor:
        """The tokens that the first block reads: class token first, then the patches row by row: (N, L, embed_dim)."""
        expected = (self.in_channels, self.image_size, self.image_size)
        if images.dim() != 4 or images.shape[1:] != expected:
            cure = "add the batch axis with images[None]" if images.dim() == 3 else "resize or crop the pictures"
            raise ValueError(
                f"VisionTransformer needs images (N, {', '.join(map(str, expected))}), but was given "
                f"{tuple(images.shape)}; {cure}."
            )
        patches = self.patches(images).flatten(2).transpose(1, 2)  # (N, places, embed_dim)
        return torch.cat([self.class_token.expand(len(images), -1, -1), patches], dim=1) + self.positions

    def attention_weights(self, images: Tensor) -> Tensor:
        """Who looked at whom in one forward pass: every layer and head, (N, depth, num_heads, L, L)."""
        with record_masks(self) as masks:
            self(images)
        return torch.stack([masks[f"blocks.{index}.attention"] for index in range(len(self.blocks))], dim=1)

    @classmethod
    def from_torchvision(cls, model: "torchvision.models.VisionTransformer") -> "VisionTransformer":
        """The same network from torchvision's: the same numbers, and the same logits in evaluation mode.

        Args:
            model: such as `torchvision.models.vit_b_16(weights="DEFAULT")`.

        Raises:
            ValueError: if its head is more than one linear layer, or its patches come from more than one convolution.
        """
        if len(model.heads) != 1 or not isinstance(model.conv_proj, nn.Conv2d):
            raise ValueError(
                "from_torchvision reads networks with one convolution for the patches and one linear layer as head, "
                "built without conv_stem_configs and representation_size, such as vit_b_16()."
            )
        layers = list(model.encoder.layers)
        block, head = layers[0], model.heads.head
        ours = cls(
            image_size=model.image_size,
            patch_size=model.patch_size,
            depth=len(layers),
            embed_dim=model.hidden_dim,
            num_heads=block.num_heads,
            mlp_dim=model.mlp_dim,
            num_classes=head.out_features,
            in_channels=model.conv_proj.in_channels,
        )
        theirs = model.state_dict()
        tensors = {"class_token": theirs["class_token"], "positions": theirs["encoder.pos_embedding"]}
        for kind in ("weight", "bias"):
            tensors[f"patches.{kind}"] = theirs[f"conv_proj.{kind}"]
            tensors[f"norm.{kind}"] = theirs[f"encoder.ln.{kind}"]
            tensors[f"head.{kind}"] = theirs[f"heads.head.{kind}"]
            for index in range(len(layers)):
                source, target = f"encoder.layers.encoder_layer_{index}", f"blocks.{index}"
                rows = theirs[f"{source}.self_attention.in_proj_{kind}"].chunk(3)
                for name, part in zip(("query", "key", "value"), rows, strict=True):
                    tensors[f"{target}.attention.{name}.{kind}"] = part
                tensors[f"{target}.attention.output.{kind}"] = theirs[f"{source}.self_attention.out_proj.{kind}"]
                tensors[f"{target}.attention_norm.{kind}"] = theirs[f"{source}.ln_1.{kind}"]
                tensors[f"{target}.mlp_norm.{kind}"] = theirs[f"{source}.ln_2.{kind}"]
                tensors[f"{target}.widen.{kind}"] = theirs[f"{source}.mlp.0.{kind}"]
                tensors[f"{target}.narrow.{kind}"] = theirs[f"{source}.mlp.3.{kind}"]
        ours.load_state_dict(tensors)
        return ours.to(theirs["class_token"]).train(model.training)


def class_token_maps(weights: Tensor) -> Tensor:
    """What the class token looks at: its row of the weights, laid out as the picture's patches.

    Args:
        weights: (..., L, L), such as (N, depth, num_heads, L, L), or a rollout (N, L, L).

    Returns:
        (..., rows, columns). A map sums to 1 less what the class token gives itself.

    Raises:
        ValueError: if L - 1 is no square number.
    """
    side = math.isqrt(weights.shape[-1] - 1)
    if weights.shape[-2:] != (side**2 + 1, side**2 + 1):
        raise ValueError(
            f"class_token_maps needs weights (..., L, L), L = 1 + side * side, but was given {tuple(weights.shape)}; "
            "`model.attention_weights(images)` gives them."
        )
    return weights[..., 0, 1:].unflatten(-1, (side, side))


def rollout(weights: Tensor) -> Tensor:
    """How much of each patch has reached each token after all layers, if values were only mixed.

    A layer passes on half of what a token was (the residual) and half of what its heads, averaged, brought; the
    layers are multiplied, the first one rightmost.

    Args:
        weights: (N, depth, num_heads, L, L).

    Returns:
        (N, L, L), rows sum to 1.

    Raises:
        ValueError: if weights has not five axes.
    """
    if weights.dim() != 5:
        raise ValueError(
            f"rollout needs weights (N, depth, num_heads, L, L), but was given {tuple(weights.shape)}; "
            "`model.attention_weights(images)` gives them."
        )
    layers = weights.mean(dim=2)  # (N, depth, L, L)
    mixed = torch.eye(layers.shape[-1], device=weights.device, dtype=weights.dtype).expand_as(layers[:, 0])
    for layer in layers.unbind(dim=1):
        mixed = (layer @ mixed + mixed) / 2
    return mixed
