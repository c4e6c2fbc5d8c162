"""The exercises of lesson 4.1.5: patches, tokens, rollout, occlusion, and a port to fix."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ...check.engine import Draw, Inputs
from ...check.patches import draw_picture
from ...check.tasks import Task


def cut_patches(images: Tensor, size: int) -> Tensor:
    """Cut pictures into patches, one row per patch: images (N, C, H, W) -> (N, P, C * size * size).

    Patches come row after row of the picture. Within one, all numbers of the first channel come first, row after row.
    """
    cut = images.unflatten(3, (-1, size)).unflatten(2, (-1, size))  # (N, C, rows, size, columns, size)
    return cut.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def make_tokens(patches: Tensor, weight: Tensor, bias: Tensor, class_token: Tensor, positions: Tensor) -> Tensor:
    """Make the tokens that the first block reads: patches (N, P, D) -> (N, P + 1, E).

    `weight` (E, D) and `bias` (E,) project each patch; `class_token` (1, 1, E) stands first; `positions` (1, P + 1, E).
    """
    projected = F.linear(patches, weight, bias)  # (N, P, E)
    first = class_token.expand(len(patches), -1, -1)  # (N, 1, E)
    return torch.cat([first, projected], dim=1) + positions


def attention_rollout(weights: Tensor) -> Tensor:
    """Multiply the attention of all layers through: weights (depth, heads, L, L) of one picture -> (L, L).

    Of each layer half is the mean of its heads and half the identity; the first layer stands rightmost.
    """
    length = weights.shape[-1]
    rolled = torch.eye(length)
    for layer in weights.mean(dim=1):
        rolled = (0.5 * layer + 0.5 * torch.eye(length)) @ rolled
    return rolled


def occlusion_map(network: Callable[[Tensor], Tensor], image: Tensor, label: int, size: int) -> Tensor:
    """Find how far the probability of `label` falls when each patch is set to 0: image (C, H, W) -> (rows, columns).

    `network` takes pictures (N, C, H, W) and returns logits (N, classes); patches are `size` x `size`.
    """
    rows, columns = image.shape[1] // size, image.shape[2] // size
    pictures = image.repeat(1 + rows * columns, 1, 1, 1)  # the whole picture first
    for patch in range(rows * columns):
        top, left = patch // columns * size, patch % columns * size
        pictures[1 + patch, :, top : top + size, left : left + size] = 0
    answers = network(pictures).softmax(dim=1)[:, label]
    return (answers[0] - answers[1:]).view(rows, columns)


def fixed_vit(
    tokens: Tensor, in_weight: Tensor, out_weight: Tensor, widen: Tensor, narrow: Tensor, head: Tensor, heads: int
) -> Tensor:
    """Compute one block and the head as torchvision's ViT does: tokens (N, L, E) -> logits (N, classes).

    `in_weight` (3 * E, E) holds query, key, value; `out_weight` (E, E); `widen` (hidden, E); `narrow` (E, hidden);
    `head` (classes, E). The class token is token 0. No bias, and layer norms without learned numbers (eps is 1e-6), to
    keep it short.
    """
    width = tokens.shape[2]
    normed = F.layer_norm(tokens, (width,), eps=1e-6)
    query, key, value = F.linear(normed, in_weight).unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    weights = (query @ key.mT / query.shape[3] ** 0.5).softmax(dim=3)  # (N, heads, L, L)
    x = tokens + F.linear((weights @ value).transpose(1, 2).flatten(2), out_weight)
    hidden = F.gelu(F.linear(F.layer_norm(x, (width,), eps=1e-6), widen))
    x = x + F.linear(hidden, narrow)
    return F.linear(F.layer_norm(x, (width,), eps=1e-6)[:, 0], head)


_ATTENTION = {"x = tokens +": "x = normed +"}
_MLP = {"x + F.linear(hidden": "F.layer_norm(x, (width,), eps=1e-6) + F.linear(hidden"}
# The places where the port departs; the first of each is the port's own, the others are made when fixing it.
_FAULTS = (
    {"scale": {"query.shape[3] **": "width **"}},
    {
        "norm": {
            "F.linear(normed,": "F.linear(tokens,",
            "    hidden": "    x = F.layer_norm(x, (width,), eps=1e-6)\n    hidden",
            "F.linear(F.layer_norm(x, (width,), eps=1e-6), widen": "F.linear(x, widen",
        },
        "last": {"F.layer_norm(x, (width,), eps=1e-6)[": "x["},
        "attention": _ATTENTION,
        "mlp": _MLP,
        "both": _ATTENTION | _MLP,
    },
    {"gelu": {"widen))": "widen), approximate='tanh')"}},
    {"pooling": {"[:, 0], head": ".mean(dim=1), head"}, "last token": {"[:, 0], head": "[:, -1], head"}},
)


def _draw_pictures(draw: Draw) -> Inputs:
    size = draw.integer(2, 3)
    rows, columns = draw.shuffled([4, 5 - size])
    return draw.normal(draw.integer(2, 3), 3, rows * size, columns * size), size


def _draw_patches(draw: Draw) -> Inputs:
    images, count, numbers, width = draw.integer(2, 3), draw.integer(6, 7), draw.integer(9, 10), draw.integer(4, 5)
    return (
        draw.normal(images, count, numbers),
        draw.normal(width, numbers, std=numbers**-0.5),
        draw.normal(width),
        draw.normal(1, 1, width),
        draw.normal(1, count + 1, width),
    )


def _draw_port(draw: Draw) -> Inputs:
    heads, each = draw.choice((2, 4)), 5  # no two sizes are equal, and 5 is no square
    width, hidden = heads * each, 2 * heads * each
    small = 4e-3 if draw.turn == 2 else 1.0  # then what a layer norm sees is so small that its eps matters
    return (
        draw.normal(3, draw.integer(6, 7), width, std=1.5 * small),
        draw.normal(3 * width, width, std=1.5 * width**-0.5),
        draw.normal(width, width, std=small * width**-0.5),
        draw.normal(hidden, width, std=2 * width**-0.5),
        draw.normal(width, hidden, std=3 * small * hidden**-0.5),
        draw.normal(8, width, std=2.0),
        heads,
    )


TASKS = (
    Task(
        cut_patches,
        _draw_pictures,
        mistakes={
            "reshaped straight": lambda images, size: images.reshape(len(images), -1, images.shape[1] * size * size),
            "columns of patches first": {"0, 2, 4, 1": "0, 4, 2, 1"},
            "colours last": {"1, 3, 5)": "3, 5, 1)"},
            "pixels column by column": {"3, 5)": "5, 3)"},
            "took every size-th pixel": {"(-1, size)": "(size, -1)", "0, 2, 4, 1, 3, 5": "0, 3, 5, 1, 2, 4"},
            "patches as columns": lambda images, size: cut_patches(images, size).transpose(1, 2),
            "two axes of patches": {".flatten(1, 2)": ""},
        },
    ),
    Task(
        make_tokens,
        _draw_patches,
        mistakes={
            "class token last": {"[first, projected]": "[projected, first]"},
            "without positions": {" + positions": ""},
            "class token without a position": {"projected], dim=1) + positions": "projected + positions[:, 1:]], 1)"},
            "positions from 0 for patches": (
                {"projected], dim=1) + positions": "projected + positions[:, :-1]], dim=1)"},
                {"+ positions": "+ positions.roll(1, 1)"},
            ),
            "left out the bias": {", bias": ""},
            "added the bias twice": {"bias": "2 * bias"},
            "class token through the projection": {"class_token.expand": "(class_token + bias).expand"},
            "multiplied by the positions": {"+ positions": "* positions"},
            "without the class token": {"class_token.expand": "(0 * class_token).expand"},
        },
    ),
    Task(
        attention_rollout,
        lambda draw: (draw.normals(("l h L L", 1.5), l=(3, 4), h=(2, 3), L=(5, 6))[0].softmax(dim=-1),),
        mistakes={
            "the other order": {"(0.5 * layer": "rolled @ (0.5 * layer", ") @ rolled": ")"},
            "left out the identity": {"(0.5 * layer + 0.5 * torch.eye(length))": "layer"},
            "the whole identity": {"0.5 * ": ""},
            "the largest head": {"weights.mean": "weights.amax"},
            "sum of the heads": {"weights.mean": "weights.sum"},
            "mean of the layers": {"return rolled": "return 0.5 * weights.mean(dim=(0, 1)) + 0.5 * torch.eye(length)"},
            "only the last layer": {"weights.mean": "weights[-1:].mean"},
            "mixed the layers": {"weights.mean(dim=1)": "weights", "return rolled": "return rolled.mean(dim=0)"},
            "transposed": {"return rolled": "return rolled.mT"},
        },
    ),
    Task(
        occlusion_map,
        draw_picture,
        mistakes={
            "what is left": {"answers[0] - ": ""},
            "the other sign": {"return ": "return -"},
            "the distance": {"answers[1:])": "answers[1:]).abs()"},
            "logits": {".softmax(dim=1)": ""},
            "earlier blanks stay": {"[1 + patch,": "[1 + patch :,"},
            "the likeliest class": {"[:, label]": "[:, network(image[None])[0].argmax()]"},
            "rows and columns exchanged": {"view(rows, columns)": "view(rows, columns).T.reshape(rows, columns)"},
            "width before height": {"view(rows, columns)": "view(rows, columns).T"},
            "relative fall": {"answers[1:])": "answers[1:]).div(answers[0])"},
            "one axis of patches": {".view(rows, columns)": ""},
        },
    ),
    Task(
        fixed_vit,
        _draw_port,
        faults=_FAULTS,
        mistakes={
            "residuals are left out": {"tokens + ": "", "x + F": "F"},
            "another eps": {"eps=1e-6": "eps=1e-5"},
        },
    ),
)
