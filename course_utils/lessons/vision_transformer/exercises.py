"""The exercises of lesson 4.1.5: patches, tokens, rollout, occlusion, and a port to fix."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from ...check.engine import Draw, Inputs
from ...check.patches import blanked, draw_picture
from ...check.port import port_mistakes
from ...check.tasks import Task, any_of


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

    `in_weight` (3 * E, E) holds query, key, value; `out_weight` (E, E); `widen` (M, E); `narrow` (E, M); `head`
    (classes, E). The class token is token 0. No bias, and layer norms without learned numbers (eps is 1e-6), to keep it
    short.
    """
    width = tokens.shape[2]
    normed = F.layer_norm(tokens, (width,), eps=1e-6)
    query, key, value = F.linear(normed, in_weight).unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    weights = (query @ key.mT / query.shape[3] ** 0.5).softmax(dim=3)  # (N, heads, L, L)
    x = tokens + F.linear((weights @ value).transpose(1, 2).flatten(2), out_weight)
    hidden = F.gelu(F.linear(F.layer_norm(x, (width,), eps=1e-6), widen))
    x = x + F.linear(hidden, narrow)
    return F.linear(F.layer_norm(x, (width,), eps=1e-6)[:, 0], head)


def _cut(images: Tensor, size: int, order: Sequence[int]) -> Tensor:
    cut = images.unflatten(3, (-1, size)).unflatten(2, (-1, size))
    return cut.permute(*order).flatten(3).flatten(1, 2)


def _roll(
    weights: Tensor, kept: float = 0.5, heads: str = "mean", backwards: bool = False, added: bool = False
) -> Tensor:
    """The rollout with another share of the identity, other heads, the other order, or sums instead of products."""
    layers = weights.amax(dim=1) if heads == "max" else weights.sum(dim=1) if heads == "sum" else weights.mean(dim=1)
    eye = torch.eye(weights.shape[-1])
    steps = [(1 - kept) * layer + kept * eye for layer in layers]
    if added:
        return torch.stack(steps).mean(dim=0)
    rolled = eye
    for step in steps:
        rolled = rolled @ step if backwards else step @ rolled
    return rolled


def _occluded(
    network: Callable[[Tensor], Tensor],
    image: Tensor,
    label: int,
    size: int,
    *,
    keep: bool = False,
    softmax: bool = True,
) -> tuple[Tensor, Tensor]:
    """What the network says of the whole picture, and with each patch blanked; `keep` leaves earlier blanks in."""
    rows, columns = image.shape[1] // size, image.shape[2] // size
    logits = network(blanked(image, range(rows * columns), size, keep=keep))
    answers = (logits.softmax(dim=1) if softmax else logits)[:, label]
    return answers[0], answers[1:].view(rows, columns)


def _ported(
    tokens: Tensor,
    in_weight: Tensor,
    out_weight: Tensor,
    widen: Tensor,
    narrow: Tensor,
    head: Tensor,
    heads: int,
    faults: Sequence[str] = (),
) -> Tensor:
    """One block and the head, departing from torchvision's as published ports do, or as attempts to fix them do."""
    width = tokens.shape[2]

    def norm(x: Tensor) -> Tensor:
        return F.layer_norm(x, (width,), eps=1e-5 if "eps" in faults else 1e-6)

    def attend(x: Tensor) -> Tensor:
        query, key, value = F.linear(x, in_weight).unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)
        divisor = width if "scale" in faults else query.shape[3]
        weights = (query @ key.mT / divisor**0.5).softmax(dim=3)
        return F.linear((weights @ value).transpose(1, 2).flatten(2), out_weight)

    def think(x: Tensor) -> Tensor:
        curve = "tanh" if "gelu" in faults else "none"
        return F.linear(F.gelu(F.linear(x, widen), approximate=curve), narrow)

    x = tokens
    if "residual" in faults:
        x = norm(think(norm(attend(norm(x)))))
    elif "norm" in faults:
        x = norm(x + attend(x))
        x = norm(x + think(x))
    else:
        for step, kept in ((attend, "attention"), (think, "mlp")):
            normed = norm(x)
            x = (normed if kept in faults or "both" in faults else x) + step(normed)
        x = x if "last" in faults else norm(x)
    read = x.mean(dim=1) if "pooling" in faults else x[:, -1 if "last token" in faults else 0]
    return F.linear(read, head)


# The places where the port departs; the first of each is the port's own, the others are made when fixing it.
_PLACES = (
    {"scale": "the scores are divided by the square root of the whole width E; the width of one head counts"},
    {
        "norm": "the layer norms stand after the additions; a vision transformer normalises what goes into each step, "
        "and once more before the head",
        "last": "the layer norm before the head is missing",
        "attention": "what attention found is added to the normalised tokens; add it to the tokens as they came",
        "mlp": "what the MLP found is added to its normalised input; add it to x as it was before the norm",
        "both": "both steps add to what was normalised; each adds to what it was given, as it was before the norm",
    },
    {"gelu": "the GELU is the tanh approximation, as in the paper's own code; torchvision's is the exact one"},
    {
        "pooling": "the head reads the mean of all tokens; it reads the class token, token 0",
        "last token": "the head reads the last token; it reads the class token, which is the first, token 0",
    },
)
_AS_IT_WAS = "This is the port as it was, with all four. Begin at the scores: what are they divided by?"


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


def _draw_weights(draw: Draw) -> Inputs:
    length = draw.integer(5, 6)
    return (draw.normal(draw.integer(3, 4), draw.integer(2, 3), length, length, std=1.5).softmax(dim=-1),)


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
            "columns of patches first": lambda images, size: _cut(images, size, (0, 4, 2, 1, 3, 5)),
            "colours last": lambda images, size: _cut(images, size, (0, 2, 4, 3, 5, 1)),
            "pixels column by column": lambda images, size: _cut(images, size, (0, 2, 4, 1, 5, 3)),
            "took every size-th pixel": lambda images, size: (
                images.unflatten(3, (size, -1)).unflatten(2, (size, -1)).permute(0, 3, 5, 1, 2, 4).flatten(3)
            ).flatten(1, 2),
            "patches as columns": lambda images, size: cut_patches(images, size).transpose(1, 2),
            "two axes of patches": lambda images, size: cut_patches(images, size).unflatten(
                1, (-1, images.shape[3] // size)
            ),
        },
    ),
    Task(
        make_tokens,
        _draw_patches,
        mistakes={
            "class token last": lambda x, w, b, token, places: (
                torch.cat([F.linear(x, w, b), token.expand(len(x), -1, -1)], dim=1) + places
            ),
            "without positions": lambda x, w, b, token, places: make_tokens(x, w, b, token, 0 * places),
            "class token without a position": lambda x, w, b, token, places: make_tokens(
                x, w, b, token - places[:, :1], places
            ),
            "positions from 0 for patches": any_of(
                lambda x, w, b, token, places: make_tokens(x, w, b, token - places[:, -1:], places.roll(1, 1)),
                lambda x, w, b, token, places: make_tokens(x, w, b, token, places.roll(1, 1)),
            ),
            "left out the bias": lambda x, w, b, token, places: make_tokens(x, w, 0 * b, token, places),
            "added the bias twice": lambda x, w, b, token, places: make_tokens(x, w, 2 * b, token, places),
            "class token through the projection": lambda x, w, b, token, places: make_tokens(
                x, w, b, token + b, places
            ),
            "multiplied by the positions": lambda x, w, b, token, places: (
                make_tokens(x, w, b, token, 0 * places) * places
            ),
            "without the class token": lambda x, w, b, token, places: make_tokens(x, w, b, 0 * token, places),
        },
    ),
    Task(
        attention_rollout,
        _draw_weights,
        mistakes={
            "the other order": lambda weights: _roll(weights, backwards=True),
            "left out the identity": lambda weights: _roll(weights, kept=0.0),
            "the whole identity": lambda weights: 2 ** len(weights) * _roll(weights),
            "the largest head": lambda weights: _roll(weights, heads="max"),
            "sum of the heads": lambda weights: _roll(weights, heads="sum"),
            "mean of the layers": lambda weights: _roll(weights, added=True),
            "only the last layer": lambda weights: _roll(weights[-1:]),
            "mixed the layers": lambda weights: torch.stack(
                [_roll(one[:, None]) for one in weights.unbind(dim=1)]
            ).mean(dim=0),
            "transposed": lambda weights: _roll(weights).mT,
        },
    ),
    Task(
        occlusion_map,
        draw_picture,
        mistakes={
            "what is left": lambda *inputs: _occluded(*inputs)[1],
            "the other sign": lambda *inputs: -occlusion_map(*inputs),
            "the distance": lambda *inputs: occlusion_map(*inputs).abs(),
            "logits": lambda *inputs: torch.sub(*_occluded(*inputs, softmax=False)),
            "earlier blanks stay": lambda *inputs: torch.sub(*_occluded(*inputs, keep=True)),
            "the likeliest class": lambda network, image, label, size: occlusion_map(
                network, image, int(network(image[None]).argmax()), size
            ),
            "rows and columns exchanged": lambda network, image, label, size: (
                occlusion_map(network, image, label, size).T.contiguous().view(image.shape[1] // size, -1)
            ),
            "width before height": lambda *inputs: occlusion_map(*inputs).T,
            "relative fall": lambda *inputs: occlusion_map(*inputs) / _occluded(*inputs)[0],
            "one axis of patches": lambda *inputs: occlusion_map(*inputs).flatten(),
        },
    ),
    Task(
        fixed_vit,
        _draw_port,
        mixtures=port_mistakes(_PLACES, _ported, "departure", _AS_IT_WAS),
        mistakes={
            "residuals are left out": partial(_ported, faults=("residual",)),
            "another eps": partial(_ported, faults=("eps",)),
        },
    ),
)
