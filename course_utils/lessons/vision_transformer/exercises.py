"""The exercises of lesson 4.1.5: patches, tokens, rollout, occlusion, and a port to mend."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from ...check.engine import Draw, Exercise, Inputs, Mistake
from ...check.port import port_mistakes


def cut_patches(images: Tensor, size: int) -> Tensor:
    """Cut pictures into patches, a row a patch: images (N, C, H, W) -> (N, P, C * size * size).

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


def mended_vit(
    tokens: Tensor, in_weight: Tensor, out_weight: Tensor, widen: Tensor, narrow: Tensor, head: Tensor, heads: int
) -> Tensor:
    """Compute one block and the head as torchvision's ViT does: tokens (N, L, E) -> logits (N, classes).

    `in_weight` (3 * E, E) holds query, key, value; `out_weight` (E, E); `widen` (M, E); `narrow` (E, M); `head`
    (classes, E). The class token is token 0. No bias, and layer norms without learned numbers, to keep it short.
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
    keep: bool = False,
    read: Callable[[Tensor], Tensor] = lambda logits: logits.softmax(dim=1),
) -> tuple[Tensor, Tensor]:
    """What the network says of the whole picture, and with each patch blanked; `keep` leaves earlier blanks in."""
    rows, columns = image.shape[1] // size, image.shape[2] // size
    answers = []
    blanked = image.clone()
    for patch in range(rows * columns):
        blanked = blanked if keep else image.clone()
        top, left = patch // columns * size, patch % columns * size
        blanked[:, top : top + size, left : left + size] = 0
        answers.append(read(network(blanked[None]))[0, label])
    return read(network(image[None]))[0, label], torch.stack(answers).view(rows, columns)


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
    """One block and the head, departing from torchvision's as published ports do, or as people do who mend them."""
    width = tokens.shape[2]

    def norm(x: Tensor) -> Tensor:
        return F.layer_norm(x, (width,), eps=1e-6)

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
    return F.linear(x.mean(dim=1) if "pooling" in faults else x[:, 0], head)


# The places where the port departs; the first of each is the port's own, the others are made when mending it.
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
    {"pooling": "the head reads the mean of all tokens; it reads the class token, token 0"},
)
_AS_IT_WAS = "This is the port as it was, with all four. Begin at the scores: what are they divided by?"


def _draw_pictures(draw: Draw) -> Inputs:
    size = draw.integer(2, 3)
    rows, columns = draw.choice(((2, 3), (3, 2), (2, 4)))
    return draw.normal(draw.integer(2, 3), 3, rows * size, columns * size), size


def _draw_patches(draw: Draw) -> Inputs:
    images, count, numbers, width = draw.integer(2, 3), draw.integer(4, 5), draw.integer(6, 8), draw.integer(3, 4)
    return (
        draw.normal(images, count, numbers),
        draw.normal(width, numbers, std=numbers**-0.5),
        draw.normal(width),
        draw.normal(1, 1, width),
        draw.normal(1, count + 1, width),
    )


def _draw_weights(draw: Draw) -> Inputs:
    length = draw.integer(4, 5)
    return (draw.normal(draw.integer(3, 4), draw.integer(2, 3), length, length, std=1.5).softmax(dim=-1),)


class _Linear:
    """A network of one linear layer on all pixels, so that every patch counts."""

    def __init__(self, weight: Tensor):
        self.weight = weight

    def __call__(self, images: Tensor) -> Tensor:
        return F.linear(images.flatten(1), self.weight)


def _draw_picture(draw: Draw) -> Inputs:
    size, rows, columns, classes = 2, draw.integer(2, 3), draw.integer(4, 5), draw.integer(3, 4)
    numbers = 3 * rows * columns * size * size
    image = 0.5 + 0.5 * draw.uniform(3, rows * size, columns * size)
    network = _Linear(draw.normal(classes, numbers, std=2.5 * numbers**-0.5))
    with torch.no_grad():
        label = int(network(image[None])[0].argsort(descending=True)[1])  # not the likeliest class
    return network, image, label, size


def _draw_port(draw: Draw) -> Inputs:
    heads, each = draw.choice((2, 3)), 4
    width, hidden = heads * each, 2 * heads * each
    return (
        draw.normal(draw.integer(2, 3), draw.integer(4, 5), width, std=1.5),
        draw.normal(3 * width, width, std=1.5 * width**-0.5),
        draw.normal(width, width, std=width**-0.5),
        draw.normal(hidden, width, std=2 * width**-0.5),
        draw.normal(width, hidden, std=3 * hidden**-0.5),
        draw.normal(draw.integer(3, 4), width, std=2.0),
        heads,
    )


CUT = Exercise(
    lesson="4.1.5",
    official=cut_patches,
    draw=_draw_pictures,
    minutes=6,
    difficulty=1,
    axes=("picture", "patch", "number"),
    hints=(
        "Split the height into (rows, size) and the width into (columns, size): `unflatten` does it. Split the last "
        "axis first, so that the numbers of the others stay.",
        "You then have (N, C, rows, size, columns, size). Which order must the axes have before you flatten?",
        "`permute(0, 2, 4, 1, 3, 5)`: picture, row, column of the patch, then channel, row, column within it. Flatten "
        "the last three, then the two of the patch.",
    ),
    takeaway="Each patch is now a row of C * size * size numbers, and one linear layer can read them all.",
    mistakes=(
        Mistake(
            "You reshaped straight to (N, P, C * size * size). The shape is right, but a row now holds a strip of the "
            "picture, not a square: split height and width first.",
            lambda images, size: images.reshape(len(images), -1, images.shape[1] * size * size),
        ),
        Mistake(
            "Your patches go down the columns first; row after row is asked for.",
            lambda images, size: _cut(images, size, (0, 4, 2, 1, 3, 5)),
        ),
        Mistake(
            "Within a patch your channels come last, as in an array of a picture file; here the channel comes first.",
            lambda images, size: _cut(images, size, (0, 2, 4, 3, 5, 1)),
        ),
        Mistake(
            "Within a patch you went down the columns first.",
            lambda images, size: _cut(images, size, (0, 2, 4, 1, 5, 3)),
        ),
        Mistake(
            "You took every size-th pixel: a patch is made of neighbours. The inner axes of your split are the size.",
            lambda images, size: (
                images.unflatten(3, (size, -1)).unflatten(2, (size, -1)).permute(0, 3, 5, 1, 2, 4).flatten(3)
            ).flatten(1, 2),
        ),
        Mistake(
            "Your patches are columns; a row a patch is asked for, (N, P, C * size * size): swap the last two axes.",
            lambda images, size: cut_patches(images, size).transpose(1, 2),
        ),
        Mistake(
            "You kept rows and columns of patches apart; make one axis of them.",
            lambda images, size: cut_patches(images, size).unflatten(1, (-1, images.shape[3] // size)),
        ),
    ),
)

TOKENS = Exercise(
    lesson="4.1.5",
    official=make_tokens,
    draw=_draw_patches,
    minutes=6,
    difficulty=1,
    axes=("picture", "token", "number"),
    hints=(
        "Three steps: project the patches, put the class token in front, add the positions.",
        "`F.linear(patches, weight, bias)` projects. The class token is one for all pictures: `expand` it to N.",
        "torch.cat([class_token.expand(len(patches), -1, -1), projected], dim=1) + positions",
    ),
    takeaway="The class token goes in the same for every picture; whatever it says at the end, it has gathered.",
    mistakes=(
        Mistake(
            "You put the class token last. In ViT it is token 0; with released weights every position would be off by "
            "one.",
            lambda patches, weight, bias, token, positions: (
                torch.cat([F.linear(patches, weight, bias), token.expand(len(patches), -1, -1)], dim=1) + positions
            ),
        ),
        Mistake(
            "You did not add the positions.",
            lambda patches, weight, bias, token, positions: make_tokens(
                patches, weight, bias, token, torch.zeros_like(positions)
            ),
        ),
        Mistake(
            "The class token has a position too: add positions after you have put it in front, all P + 1 of them.",
            lambda patches, weight, bias, token, positions: make_tokens(
                patches, weight, bias, token, torch.cat([torch.zeros_like(token), positions[:, 1:]], dim=1)
            ),
        ),
        Mistake(
            "You gave patch 0 the class token's position, and so on: positions[:, 0] belongs to the class token.",
            lambda patches, weight, bias, token, positions: make_tokens(
                patches, weight, bias, token, torch.cat([torch.zeros_like(token), positions[:, :-1]], dim=1)
            ),
        ),
        Mistake(
            "You left out the bias of the projection.",
            lambda patches, weight, bias, token, positions: make_tokens(
                patches, weight, torch.zeros_like(bias), token, positions
            ),
        ),
        Mistake(
            "You sent the class token through the projection's bias too; it is a token already.",
            lambda patches, weight, bias, token, positions: make_tokens(patches, weight, bias, token + bias, positions),
        ),
        Mistake(
            "You multiplied by the positions; they are added.",
            lambda patches, weight, bias, token, positions: (
                make_tokens(patches, weight, bias, token, torch.zeros_like(positions)) * positions
            ),
        ),
        Mistake(
            "You left out the class token itself, and put zeros in its place.",
            lambda patches, weight, bias, token, positions: make_tokens(
                patches, weight, bias, torch.zeros_like(token), positions
            ),
        ),
    ),
)

ROLLOUT = Exercise(
    lesson="4.1.5",
    official=attention_rollout,
    draw=_draw_weights,
    minutes=8,
    difficulty=2,
    axes=("token", "source"),
    hints=(
        "For each layer: the mean over its heads, half of it plus half of the identity. That matrix says what of each "
        "token comes from which.",
        "Layer 2 reads what layer 1 has made. With rows as readers that is the matrix product: second @ first.",
        "Start with the identity; for each layer, from the first: rolled = (0.5 * layer + 0.5 * identity) @ rolled.",
    ),
    takeaway="Every row still sums to 1. Rollout assumes that values are only mixed: it knows nothing of the value "
    "projections, the MLPs, or the class that is asked.",
    mistakes=(
        Mistake(
            "You multiplied in the other order. Rows are readers: the later layer stands left of the earlier one.",
            lambda weights: _roll(weights, backwards=True),
        ),
        Mistake(
            "You left out the identity: the residual hands half of each token on as it was.",
            lambda weights: _roll(weights, kept=0.0),
        ),
        Mistake(
            "You added the whole identity to the whole attention; take half of each, so that rows sum to 1.",
            lambda weights: 2 ** len(weights) * _roll(weights),
        ),
        Mistake("You took the largest of the heads; take their mean.", lambda weights: _roll(weights, heads="max")),
        Mistake("You summed the heads; take their mean.", lambda weights: _roll(weights, heads="sum")),
        Mistake(
            "You averaged the layers; what has passed one layer goes through the next: multiply them.",
            lambda weights: _roll(weights, added=True),
        ),
        Mistake("Only the last layer is in your result; all are multiplied.", lambda weights: _roll(weights[-1:])),
        Mistake(
            "You mixed the layers of each head and averaged at the end; average the heads of each layer first.",
            lambda weights: torch.stack([_roll(one[:, None]) for one in weights.unbind(dim=1)]).mean(dim=0),
        ),
        Mistake(
            "Your rows are the sources; row t says where token t has its content from.",
            lambda weights: _roll(weights).mT,
        ),
    ),
)

OCCLUSION = Exercise(
    lesson="4.1.5",
    official=occlusion_map,
    draw=_draw_picture,
    minutes=8,
    difficulty=2,
    axes=("row", "column"),
    hints=(
        "First the probability of `label` for the whole picture. Then, for each patch, of a copy with it set to 0.",
        "`network` gives logits: take the softmax over the classes, then column `label`. One batch of all copies is "
        "quickest.",
        "The fall is whole minus blanked; bring the P numbers to (rows, columns) with `.view(rows, columns)`.",
    ),
    takeaway="Occlusion asks the network itself, one question a patch. It costs P forward passes, and it sees one "
    "patch at a time: what two patches carry together escapes it.",
    mistakes=(
        Mistake(
            "You returned what is left of the probability; the fall is asked for: whole minus blanked.",
            lambda *inputs: _occluded(*inputs)[1],
        ),
        Mistake(
            "Your sign is turned: a patch that mattered makes the probability fall, so its number is positive.",
            lambda *inputs: -occlusion_map(*inputs),
        ),
        Mistake(
            "You compared logits; the softmax over the classes makes probabilities of them.",
            lambda network, image, label, size: torch.sub(
                *_occluded(network, image, label, size, read=lambda logits: logits)
            ),
        ),
        Mistake(
            "Your earlier blanks stay in the picture. Begin with a fresh copy for each patch.",
            lambda network, image, label, size: torch.sub(*_occluded(network, image, label, size, keep=True)),
        ),
        Mistake(
            "You followed the likeliest class; the label is asked for, right or not.",
            lambda network, image, label, size: occlusion_map(network, image, int(network(image[None]).argmax()), size),
        ),
        Mistake(
            "Rows and columns are swapped: patch 1 stands right of patch 0.",
            lambda network, image, label, size: (
                occlusion_map(network, image, label, size).T.contiguous().view(image.shape[1] // size, -1)
            ),
        ),
        Mistake(
            "Your patches are (columns, rows); the map has (rows, columns), as the picture.",
            lambda *inputs: occlusion_map(*inputs).T,
        ),
        Mistake(
            "You divided by the whole picture's probability; the plain difference is asked for.",
            lambda *inputs: occlusion_map(*inputs) / _occluded(*inputs)[0],
        ),
        Mistake(
            "You left one axis of patches; bring them to (rows, columns).",
            lambda *inputs: occlusion_map(*inputs).flatten(),
        ),
    ),
)

PORT = Exercise(
    lesson="4.1.5",
    official=mended_vit,
    draw=_draw_port,
    minutes=12,
    difficulty=3,
    axes=("picture", "class"),
    hints=(
        "The port departs from torchvision's in four places: the scores, the order of the norms, the MLP, and what the "
        "head reads.",
        "Divide by the root of a head's width. Normalise before attention, before the MLP, and once before the head; "
        "add to what was not normalised.",
        "`query.shape[3] ** 0.5`; `x = tokens + attention(norm(tokens))`, then `x = x + mlp(norm(x))`; `F.gelu` "
        "without `approximate`; `norm(x)[:, 0]` goes to the head.",
    ),
    takeaway="With any of the four the network runs, keeps every shape and can be trained. Loaded with torchvision's "
    "weights, each gives other logits, without an error.",
    mistakes=(
        *port_mistakes(_PLACES, _ported, "departure", _AS_IT_WAS),
        Mistake(
            "The residuals are left out: each step adds to what it was given.",
            partial(_ported, faults=("residual",)),
        ),
    ),
)

EXERCISES = (CUT, TOKENS, ROLLOUT, OCCLUSION, PORT)
