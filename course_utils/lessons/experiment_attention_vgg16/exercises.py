"""The exercises of lesson 4.5: build an attention gate, and measure where it looks."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...check.compare import difference
from ...check.engine import Draw, Exercise, Inputs, Mistake


def global_vector(x: Tensor) -> Tensor:
    """Average the last map over all its positions, however many there are: (N, C, h, w) -> (N, C)."""
    return x.mean(dim=(2, 3))


def gate_scores(local: Tensor, guide: Tensor, w_local: Tensor, w_guide: Tensor, phi: Tensor, bias: Tensor) -> Tensor:
    """Score each position of a local map by the guide: (N, C, H, W), (N, G, h, w) -> (N, 1, H, W).

    w_local (D, C), w_guide (D, G) and phi (1, D) are the weights of convolutions of size 1, bias (1,) belongs to phi.
    """
    projected = F.conv2d(guide, w_guide[:, :, None, None])  # (N, D, h, w)
    projected = F.interpolate(projected, size=local.shape[2:], mode="bilinear", align_corners=False)
    hidden = F.relu(F.conv2d(local, w_local[:, :, None, None]) + projected)  # (N, D, H, W)
    return F.conv2d(hidden, phi[:, :, None, None], bias)


def gate_pool(local: Tensor, scores: Tensor, alignment: str) -> Tensor:
    """Turn scores into weights and pool the local map: (N, C, H, W), (N, 1, H, W) -> (N, C).

    alignment is "sigmoid", whose gated features are averaged, or "softmax" over the positions, whose are summed.
    """
    if alignment == "sigmoid":
        return (local * torch.sigmoid(scores)).mean(dim=(2, 3))
    weights = scores.flatten(2).softmax(dim=2).view_as(scores)
    return (local * weights).sum(dim=(2, 3))


def share_and_iou(map_: Tensor, mask: Tensor, threshold: float) -> tuple[float, float]:
    """Hold a map (H, W), not negative, against the true place (H, W), bool: -> (share, iou).

    share is the part of the map's sum that lies on the place. iou is intersection over union of the place and the
    positions where the map, brought to run from 0 to 1, is at least `threshold`.
    """
    share = map_[mask].sum() / map_.sum()
    scaled = (map_ - map_.min()) / (map_.max() - map_.min())
    here = scaled >= threshold
    iou = (here & mask).sum() / (here | mask).sum()
    return float(share), float(iou)


def dice_loss(maps: Tensor, masks: Tensor) -> Tensor:
    """Give one minus the Dice coefficient of a batch: maps (N, h, w) in [0, 1], masks (N, H, W) bool -> one number.

    z is the part of each cell of the map that the mask covers; the loss is 1 - 2 sum(a z) / (sum(a) + sum(z)), each
    sum over the whole batch. H is a multiple of h, W of w.
    """
    covered = F.adaptive_avg_pool2d(masks.float(), (maps.shape[1], maps.shape[2]))  # (N, h, w)
    return 1 - 2 * (maps * covered).sum() / (maps.sum() + covered.sum())


def animal_mask(trimap: Tensor, size: int) -> Tensor:
    """Make a mask of a trimap (H, W) with 1 the animal, 2 background, 3 the seam: -> (size, size), 1.0 or 0.0.

    The seam belongs to the animal. The trimap may have any size.
    """
    kinds = F.interpolate(trimap[None, None].float(), size=(size, size), mode="nearest")[0, 0]
    return (kinds != 2).float()


def _draw_last_map(draw: Draw) -> Inputs:
    return (draw.normal(draw.integer(2, 3), draw.integer(3, 5), draw.integer(8, 10), draw.integer(11, 12)),)


def _draw_gate(draw: Draw) -> Inputs:
    images, c, g, d = draw.integer(1, 2), draw.integer(3, 5), draw.integer(4, 6), draw.integer(6, 8)
    rows, columns = draw.integer(5, 7), draw.integer(8, 9)
    return (
        draw.normal(images, c, rows, columns),
        draw.normal(images, g, draw.integer(2, 3), draw.integer(3, 4)),
        draw.normal(d, c, std=0.6),
        draw.normal(d, g, std=0.6),
        draw.normal(1, d, std=0.6),
        draw.normal(1),
    )


def _scores(*inputs: Tensor, **changes: Any) -> Tensor:
    """`gate_scores` with one of its choices changed."""
    local, guide, w_local, w_guide, phi, bias = inputs
    how = {"mode": "bilinear", "align_corners": False} | changes.get("resize", {})
    ours, projected = _conv(local, w_local), F.interpolate(_conv(guide, w_guide), size=local.shape[2:], **how)
    joined = {"sum": ours + projected, "product": ours * projected, "local": ours}[changes.get("join", "sum")]
    return _conv(changes.get("activation", F.relu)(joined), phi) + bias


def _conv(x: Tensor, weight: Tensor) -> Tensor:
    return torch.einsum("nchw,dc->ndhw", x, weight)


def _draw_pool(draw: Draw) -> Inputs:
    images, rows, columns = draw.integer(2, 3), draw.integer(3, 4), draw.integer(5, 6)
    local = draw.normal(images, draw.integer(3, 5), rows, columns, mean=0.5)
    return local, draw.normal(images, 1, rows, columns), draw.choice(("sigmoid", "softmax"))


def _pooled(local: Tensor, weights: Tensor, how: str) -> Tensor:
    summed = (local * weights).sum((2, 3))
    return {"sum": summed, "mean": summed / weights[0, 0].numel(), "average": summed / weights.sum((2, 3))}[how]


def _soft(scores: Tensor) -> Tensor:
    return scores.flatten(2).softmax(2).view_as(scores)


def _either(sigmoid: str, softmax: str, local: Tensor, scores: Tensor, alignment: str) -> Tensor:
    """Pool in one way after a sigmoid and in another after a softmax."""
    if alignment == "sigmoid":
        return _pooled(local, torch.sigmoid(scores), sigmoid)
    return _pooled(local, _soft(scores), softmax)


def _row_softmax(local: Tensor, scores: Tensor, alignment: str) -> Tensor:
    if alignment == "sigmoid":
        return gate_pool(local, scores, alignment)
    return _pooled(local, scores.softmax(3), "sum")


def _draw_map(draw: Draw) -> Inputs:
    rows, columns = draw.integer(8, 10), draw.integer(8, 10)
    mask = torch.zeros(rows, columns, dtype=torch.bool, device="cpu")
    top, left = draw.integer(0, rows - 5), draw.integer(0, columns - 5)
    mask[top : top + draw.integer(3, 5), left : left + draw.integer(3, 5)] = True
    map_ = draw.uniform(rows, columns, low=0.35, high=0.8) + 0.15 * mask
    return map_, mask, draw.choice((0.4, 0.5, 0.6))


def _share(map_: Tensor, mask: Tensor) -> float:
    return float(map_[mask].sum() / map_.sum())


def _here(map_: Tensor, threshold: float) -> Tensor:
    return (map_ - map_.min()) / (map_.max() - map_.min()) >= threshold


def _iou(here: Tensor, mask: Tensor) -> float:
    return float((here & mask).sum() / (here | mask).sum())


def _draw_dice(draw: Draw) -> Inputs:
    images, rows, columns, scale = draw.integer(2, 4), draw.integer(3, 4), draw.integer(4, 5), draw.choice((3, 5))
    masks = torch.zeros(images, rows * scale, columns * scale, dtype=torch.bool, device="cpu")
    for mask in masks:
        top, left = draw.integer(0, 4), draw.integer(0, 5)
        mask[top : top + draw.integer(4, 8), left : left + draw.integer(4, 8)] = True
    return draw.uniform(images, rows, columns, low=0.05, high=0.95), masks


def _dice(maps: Tensor, covered: Tensor, factor: float = 2.0) -> Tensor:
    return factor * (maps * covered).sum() / (maps.sum() + covered.sum())


def _covered(maps: Tensor, masks: Tensor, mode: str = "area") -> Tensor:
    return F.interpolate(masks[:, None].float(), size=tuple(maps.shape[1:]), mode=mode)[:, 0]


def _jaccard(maps: Tensor, masks: Tensor) -> Tensor:
    covered = _covered(maps, masks)
    both = (maps * covered).sum()
    return 1 - both / (maps.sum() + covered.sum() - both)


def _per_image(maps: Tensor, masks: Tensor) -> Tensor:
    return torch.stack([dice_loss(a[None], z[None]) for a, z in zip(maps, masks, strict=True)]).mean()


def _squared(maps: Tensor, masks: Tensor) -> Tensor:
    covered = _covered(maps, masks)
    return 1 - 2 * (maps * covered).sum() / ((maps**2).sum() + (covered**2).sum())


def _draw_trimap(draw: Draw) -> Inputs:
    rows, columns = draw.integer(18, 26), draw.integer(18, 26)
    trimap = torch.full((rows, columns), 2, device="cpu")
    top, left = draw.integer(2, 4), draw.integer(2, 4)
    bottom, right = rows - draw.integer(4, 6), columns - draw.integer(4, 6)
    trimap[top:bottom, left:right] = 3
    trimap[top + 2 : bottom - 2, left + 2 : right - 2] = 1
    return trimap, draw.integer(9, 13)


def _resized(trimap: Tensor, size: int, mode: str) -> Tensor:
    return F.interpolate(trimap[None, None].float(), size=(size, size), mode=mode)[0, 0]


def _not_a_mask(given: Any, trimap: Tensor, size: int) -> str | None:
    """How a mask differs from the one it comes nearest to, of those made without averaging names."""
    masks = [animal_mask(trimap, size), (_resized(trimap, size, "nearest-exact") != 2).float()]
    for mode in ("bilinear", "area"):
        part = _resized((trimap != 2).long(), size, mode)
        masks += [(part >= 0.5).float(), (part > 0.5).float()]
    nearest = masks[0]
    if isinstance(given, Tensor) and given.shape == nearest.shape:
        nearest = min(masks, key=lambda mask: int((mask != given).sum()))
    found = difference(given, nearest, ("row", "column"))
    return found and f"For `animal_mask(size={size})`: {found[0].lower()}{found[1:]}"


GLOBAL_VECTOR = Exercise(
    lesson="4.5",
    official=global_vector,
    draw=_draw_last_map,
    axes=("picture", "channel"),
    minutes=4,
    difficulty=1,
    hints=(
        "VGG16 halves a picture five times: 224 pixels leave 7 x 7 positions, 256 leave 8 x 8.",
        "Whatever the size, one number a channel should be left: the mean over both axes of positions.",
        "`x.mean(dim=...)` takes several axes at once; or pool adaptively to 1 x 1 and flatten.",
    ),
    takeaway="A pooling of fixed size ties a network to one size of picture. Written for any size, the same network "
    "takes 64 pixels and 256.",
    mistakes=(
        Mistake(
            "You pooled with a window of 7 x 7 and the stride that follows from it: with more positions, those beyond "
            "the first window are lost without a word.",
            lambda x: F.avg_pool2d(x, 7).flatten(1)[:, : x.shape[1]],
        ),
        Mistake(
            "You moved a window of 7 x 7 by one step and flattened: with more than 7 x 7 positions there are several "
            "numbers a channel, and the next layer does not fit. This is the mistake of the release.",
            lambda x: F.avg_pool2d(x, 7, stride=1).flatten(1),
        ),
        Mistake("You took the largest value; the release averages.", lambda x: x.amax((2, 3))),
        Mistake("You summed; divide by the number of positions.", lambda x: x.sum((2, 3))),
        Mistake(
            "You averaged over one axis of positions only; (N, C) is left when both are gone.",
            lambda x: x.mean(2),
        ),
        Mistake("You averaged over the channels; they stay, the positions go.", lambda x: x.mean(1).flatten(1)),
    ),
)

GATE_SCORES = Exercise(
    lesson="4.5",
    official=gate_scores,
    draw=_draw_gate,
    axes=("picture", "score", "row", "column"),
    minutes=12,
    difficulty=2,
    hints=(
        "Both maps first go to the same number of channels, D, by their own convolution of size 1. Then to one size.",
        "`F.conv2d(guide, w_guide[:, :, None, None])` projects the guide; `F.interpolate(..., size=local.shape[2:], "
        'mode="bilinear", align_corners=False)` brings it to the size of the local map.',
        "Add the two, take the ReLU, and let phi with its bias make one number of the D. No sigmoid yet.",
    ),
    takeaway="This is the additive score of lesson 4.4 with a ReLU for the tanh: the guide is the query, every "
    "position of the local map a key.",
    mistakes=(
        Mistake(
            "You left out the ReLU: without it guide and position only add up, and the guide would shift every "
            "position's score without regard to what is there.",
            lambda *inputs: _scores(*inputs, activation=torch.clone),
        ),
        Mistake(
            "You took tanh, as the additive score usually has it; this gate has a ReLU.",
            lambda *inputs: _scores(*inputs, activation=torch.tanh),
        ),
        Mistake("You left out the guide.", lambda *inputs: _scores(*inputs, join="local")),
        Mistake(
            "You multiplied the projections; the gate adds them.", lambda *inputs: _scores(*inputs, join="product")
        ),
        Mistake(
            "You interpolated with align_corners=True, which pins the corners' centres; the gate takes False.",
            lambda *inputs: _scores(*inputs, resize={"align_corners": True}),
        ),
        Mistake(
            "You enlarged the guide by repeating its nearest value; the gate interpolates bilinearly.",
            lambda *inputs: _scores(*inputs, resize={"mode": "nearest", "align_corners": None}),
        ),
        Mistake("You left out the bias of phi.", lambda *inputs: _scores(*inputs) - inputs[-1]),
        Mistake(
            "You took the sigmoid already; scores come first, the alignment is the next step.",
            lambda *inputs: torch.sigmoid(_scores(*inputs)),
        ),
    ),
)

GATE_POOL = Exercise(
    lesson="4.5",
    official=gate_pool,
    draw=_draw_pool,
    axes=("picture", "channel"),
    minutes=8,
    difficulty=2,
    hints=(
        "Weights that sum to 1 make an average when you add up. Those of a sigmoid do not sum to 1.",
        "A softmax over the positions: `scores.flatten(2)` puts them on one axis, `.view_as(scores)` puts them back.",
        "`local * weights` broadcasts over the channels; then a mean over (2, 3) for sigmoid, a sum for softmax.",
    ),
    takeaway="The softmax makes the positions rivals: what one gains, the others lose. The sigmoid judges each alone, "
    "so the whole object may be open, or all of the picture, or nothing.",
    mistakes=(
        Mistake(
            "You averaged after the softmax too: its weights sum to 1 already, so the result is H * W times too small.",
            lambda *inputs: _either("mean", "mean", *inputs),
        ),
        Mistake(
            "You summed after the sigmoid too: the result grows with the number of positions.",
            lambda *inputs: _either("sum", "sum", *inputs),
        ),
        Mistake(
            "You have the two the wrong way round: mean for sigmoid, sum for softmax.",
            lambda *inputs: _either("sum", "mean", *inputs),
        ),
        Mistake(
            "You divided by the sum of the sigmoids; the gate divides by the number of positions, so that an open gate "
            "gives more than one half open.",
            lambda *inputs: _either("average", "sum", *inputs),
        ),
        Mistake(
            "You took the softmax along one row; it must run over all positions of the map.",
            _row_softmax,
        ),
        Mistake(
            "Your softmax runs over axis 1, which has length 1, so every weight is 1; flatten the positions first.",
            lambda local, scores, alignment: (
                gate_pool(local, scores, alignment) if alignment == "sigmoid" else local.sum((2, 3))
            ),
        ),
        Mistake(
            "Your softmax shares out over the whole batch; each picture has a weight of 1 of its own.",
            lambda local, scores, alignment: (
                gate_pool(local, scores, alignment)
                if alignment == "sigmoid"
                else _pooled(local, scores.flatten().softmax(0).view_as(scores), "sum")
            ),
        ),
        Mistake(
            "You left the weights out: that is plain average pooling.",
            lambda local, scores, alignment: local.mean((2, 3)),
        ),
        Mistake(
            "You weighed with the raw scores; sigmoid or softmax comes first.",
            lambda local, scores, alignment: _pooled(local, scores, "mean" if alignment == "sigmoid" else "sum"),
        ),
    ),
)

SHARE_AND_IOU = Exercise(
    lesson="4.5",
    official=share_and_iou,
    draw=_draw_map,
    parts=("share", "iou"),
    minutes=10,
    difficulty=2,
    hints=(
        "The share needs no threshold: what of the map's sum stands where the mask is True?",
        "For the iou, bring the map to run from 0 to 1: take off its least value, divide by what is then its largest.",
        "`here & mask` is the intersection and `here | mask` the union; count both.",
    ),
    takeaway="The two can disagree: a single bright spot on the object has a share of 1 and next to no overlap; a "
    "gate that is open everywhere covers the object and has a small share.",
    mistakes=(
        Mistake(
            "You compared the raw map with the threshold; bring it to run from 0 to 1 first: weights of a softmax are "
            "so small that none would ever reach 0.5.",
            lambda m, mask, t: (_share(m, mask), _iou(m >= t, mask)),
        ),
        Mistake(
            "You divided by the largest value but did not take off the least: an open gate would count everywhere.",
            lambda m, mask, t: (_share(m, mask), _iou(m / m.max() >= t, mask)),
        ),
        Mistake(
            "You divided the intersection by the mask: a map that counts everywhere would have a perfect 1. "
            "Divide by the union.",
            lambda m, mask, t: (_share(m, mask), float((_here(m, t) & mask).sum() / mask.sum())),
        ),
        Mistake(
            "You divided the intersection by what reaches the threshold: one lucky position would have a perfect 1. "
            "Divide by the union.",
            lambda m, mask, t: (_share(m, mask), float((_here(m, t) & mask).sum() / _here(m, t).sum())),
        ),
        Mistake(
            "You have the Dice coefficient for the iou: twice the intersection over the sum of both sizes.",
            lambda m, mask, t: (
                _share(m, mask),
                float(2 * (_here(m, t) & mask).sum() / (_here(m, t).sum() + mask.sum())),
            ),
        ),
        Mistake(
            "Your share is the map's mean on the object; divide the sum on the object by the sum of the whole map.",
            lambda m, mask, t: (float(m[mask].mean()), _iou(_here(m, t), mask)),
        ),
        Mistake(
            "You took the share of the scaled map; only the iou is taken of it, the share is of the map as it is.",
            lambda m, mask, t: (_share(m - m.min(), mask), _iou(_here(m, t), mask)),
        ),
        Mistake(
            "Your share counts positions, not weight.",
            lambda m, mask, t: (float((_here(m, t) & mask).sum() / _here(m, t).sum()), _iou(_here(m, t), mask)),
        ),
        Mistake(
            "You returned iou first; share comes first.", lambda m, mask, t: tuple(reversed(share_and_iou(m, mask, t)))
        ),
    ),
)

DICE_LOSS = Exercise(
    lesson="4.5",
    official=dice_loss,
    draw=_draw_dice,
    minutes=10,
    difficulty=3,
    hints=(
        "A mask is finer than a map: first find, for each cell of the map, which part of it the mask covers.",
        "`F.adaptive_avg_pool2d(masks.float(), maps.shape[1:])` averages the mask's pixels within each cell.",
        "Three sums over the whole batch: of a * z, of a, of z. One minus twice the first over the other two.",
    ),
    takeaway="The loss has a gradient at every cell: up where the object is, down where it is not. It compares sizes "
    "too, so a map that covers everything is punished as well as one that covers nothing.",
    mistakes=(
        Mistake(
            "You returned the Dice coefficient itself, which is 1 where all is right; a loss falls: 1 - Dice.",
            lambda a, z: 1 - dice_loss(a, z),
        ),
        Mistake(
            "You forgot the factor 2: a perfect map would have a loss of 1/2.",
            lambda a, z: 1 - _dice(a, _covered(a, z), factor=1.0),
        ),
        Mistake(
            "That is one minus intersection over union (Jaccard): take the sizes' sum without taking off the overlap.",
            _jaccard,
        ),
        Mistake(
            "You took the loss of each picture and averaged; here the sums run over the whole batch.",
            _per_image,
        ),
        Mistake("You squared the values in the denominator, as another form of Dice has it.", _squared),
        Mistake(
            "You picked one pixel of the mask for each cell; a cell that the object covers by a third counts a third.",
            lambda a, z: 1 - _dice(a, _covered(a, z, "nearest")),
        ),
        Mistake(
            "You called a cell the object's as soon as one pixel of it is; take the part that is covered.",
            lambda a, z: 1 - _dice(a, F.adaptive_max_pool2d(z.float(), (a.shape[1], a.shape[2]))),
        ),
    ),
)

ANIMAL_MASK = Exercise(
    lesson="4.5",
    official=animal_mask,
    draw=_draw_trimap,
    refusal=_not_a_mask,
    minutes=6,
    difficulty=3,
    hints=(
        "1, 2 and 3 are names, not amounts. What does a resizing that averages make of a 1 beside a 3?",
        "Resize so that each new pixel takes the name of one old pixel, then ask which are not background.",
        '`F.interpolate` wants four axes and floats: `trimap[None, None].float()`, `mode="nearest"`.',
    ),
    takeaway="Between animal (1) and seam (3) an average says 2: a thin line of background inside the animal, which "
    "nobody drew. Labels are resized by the nearest, or after they have become a mask of 0 and 1.",
    mistakes=(
        Mistake(
            "You resized the numbers bilinearly and asked for what is not 2: no mixed pixel is exactly 2, and "
            "background at the edge became animal.",
            lambda trimap, size: (_resized(trimap, size, "bilinear") != 2).float(),
        ),
        Mistake(
            "You resized the numbers bilinearly and rounded: between 1 and 3 lies 2, so a line of background runs "
            "through the animal's edge.",
            lambda trimap, size: (_resized(trimap, size, "bilinear").round() != 2).float(),
        ),
        Mistake(
            "You took 1 alone for the animal; the seam, 3, belongs to it here.",
            lambda trimap, size: (_resized(trimap, size, "nearest") == 1).float(),
        ),
        Mistake(
            "Your mask is that of the background: 2 is what lies behind the animal.",
            lambda trimap, size: (_resized(trimap, size, "nearest") == 2).float(),
        ),
        Mistake(
            "You made the mask first, which is right, but then resized it bilinearly: its edge has values between 0 "
            'and 1. Use mode="nearest".',
            lambda trimap, size: _resized((trimap != 2).long(), size, "bilinear"),
        ),
        Mistake(
            "You cut out the upper left corner; the whole trimap is to be made smaller.",
            lambda trimap, size: (trimap[:size, :size] != 2).float(),
        ),
    ),
)

EXERCISES = (GLOBAL_VECTOR, GATE_SCORES, GATE_POOL, SHARE_AND_IOU, DICE_LOSS, ANIMAL_MASK)
