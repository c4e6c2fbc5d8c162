"""The exercises of lesson 4.5: build an attention gate, and measure where it looks."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...check.compare import difference
from ...check.engine import Draw, Inputs
from ...check.tasks import Task


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


def _relu_of_each(*inputs: Tensor, only_guide: bool = False) -> Tensor:
    """A ReLU of both projections, or of the guide's in its own size and of the sum."""
    local, guide, w_local, w_guide, phi, bias = inputs
    ours, projected = _conv(local, w_local), _conv(guide, w_guide)
    projected = F.relu(projected) if only_guide else projected
    projected = F.interpolate(projected, size=local.shape[2:], mode="bilinear", align_corners=False)
    return _conv(F.relu(ours + projected) if only_guide else F.relu(ours) + F.relu(projected), phi) + bias


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


def _softmax_over(weights: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """An answer whose softmax runs over something else than all positions of a map."""
    return lambda local, scores, alignment: (
        gate_pool(local, scores, alignment) if alignment == "sigmoid" else _pooled(local, weights(scores), "sum")
    )


def _draw_map(draw: Draw) -> Inputs:
    rows, columns = draw.integer(9, 10), draw.integer(9, 10)  # so large that no share comes near to 0.5
    mask = torch.zeros(rows, columns, dtype=torch.bool, device="cpu")
    top, left = draw.integer(0, rows - 5), draw.integer(0, columns - 5)
    mask[top : top + draw.integer(3, 5), left : left + draw.integer(3, 5)] = True
    map_ = draw.uniform(rows, columns, low=0.35, high=0.8) + 0.15 * mask
    if draw.turn == 0:  # one position of the place reaches the threshold exactly, one almost; none beside it does
        map_ = ((map_ * 64).round() / 64).clamp(0.375, 0.875)
        map_[0, -1], map_[-1, 0] = 0.375, 0.875
        map_[(map_ == 0.625) & ~mask] = 0.75
        map_[top, left], map_[top + 1, left] = 0.625, 0.625 - 2**-12
    return map_, mask, (0.5, draw.choice((0.3, 0.4)), draw.choice((0.6, 0.7)))[draw.turn]


def _share(map_: Tensor, mask: Tensor) -> float:
    return float(map_[mask].sum() / map_.sum())


def _here(map_: Tensor, threshold: float) -> Tensor:
    return (map_ - map_.min()) / (map_.max() - map_.min()) >= threshold


def _iou(here: Tensor, mask: Tensor) -> Tensor:
    return (here & mask).sum() / (here | mask).sum()


def _measured(
    share: Callable[[Tensor, Tensor], Any] = _share,
    here: Callable[[Tensor, float], Tensor] = _here,
    overlap: Callable[[Tensor, Tensor], Any] = _iou,
) -> Callable[..., tuple[float, float]]:
    """`share_and_iou` with another share, other positions of the map, or another overlap with the place."""
    return lambda map_, mask, threshold: (float(share(map_, mask)), float(overlap(here(map_, threshold), mask)))


def _draw_dice(draw: Draw) -> Inputs:
    images, rows, columns = draw.integer(2, 3), draw.integer(4, 5), draw.integer(6, 7)  # no two sizes are equal
    scale = draw.choice((3, 5))
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


TASKS = (
    Task(
        global_vector,
        _draw_last_map,
        mistakes={
            "a window of 7": lambda x: F.avg_pool2d(x, 7).flatten(1)[:, : x.shape[1]],
            "a window of 7 moved by one step": lambda x: F.avg_pool2d(x, 7, stride=1).flatten(1),
            "took the largest value": lambda x: x.amax((2, 3)),
            "summed": lambda x: x.sum((2, 3)),
            "kept the axes": lambda x: x.mean((2, 3), keepdim=True),
            "divided by 49": lambda x: x.sum((2, 3)) / 49,
            "averaged over one axis": lambda x: x.mean(2),
            "averaged over the channels": lambda x: x.mean(1).flatten(1),
        },
    ),
    Task(
        gate_scores,
        _draw_gate,
        mistakes={
            "left out the ReLU": lambda *inputs: _scores(*inputs, activation=torch.clone),
            "took tanh": lambda *inputs: _scores(*inputs, activation=torch.tanh),
            "left out the guide": lambda *inputs: _scores(*inputs, join="local"),
            "multiplied the projections": lambda *inputs: _scores(*inputs, join="product"),
            "interpolated with align_corners=True": lambda *inputs: _scores(*inputs, resize={"align_corners": True}),
            "enlarged the guide": lambda *inputs: _scores(*inputs, resize={"mode": "nearest", "align_corners": None}),
            "ReLU before adding": _relu_of_each,
            "ReLU of the guide before adding": lambda *inputs: _relu_of_each(*inputs, only_guide=True),
            "averaged the guide": lambda *inputs: _scores(inputs[0], inputs[1].mean((2, 3), keepdim=True), *inputs[2:]),
            "left out the bias": lambda *inputs: _scores(*inputs) - inputs[-1],
            "added the bias twice": lambda *inputs: _scores(*inputs) + inputs[-1],
            "took the sigmoid": lambda *inputs: torch.sigmoid(_scores(*inputs)),
        },
    ),
    Task(
        gate_pool,
        _draw_pool,
        mistakes={
            "averaged both": lambda *inputs: _either("mean", "mean", *inputs),
            "summed both": lambda *inputs: _either("sum", "sum", *inputs),
            "the wrong way round": lambda *inputs: _either("sum", "mean", *inputs),
            "divided by the sum of the sigmoids": lambda *inputs: _either("average", "sum", *inputs),
            "softmax along one row": _softmax_over(lambda scores: scores.softmax(3)),
            "softmax along one column": _softmax_over(lambda scores: scores.softmax(2)),
            "softmax over axis 1": _softmax_over(torch.ones_like),
            "softmax over the batch": _softmax_over(lambda scores: scores.flatten().softmax(0).view_as(scores)),
            "left the weights out": lambda local, scores, alignment: local.mean((2, 3)),
            "weighed with the raw scores": lambda local, scores, alignment: _pooled(
                local, scores, "mean" if alignment == "sigmoid" else "sum"
            ),
        },
    ),
    Task(
        share_and_iou,
        _draw_map,
        mistakes={
            "raw map against the threshold": _measured(here=torch.ge),
            "divided by the largest alone": _measured(here=lambda m, t: m / m.max() >= t),
            "intersection over the mask": _measured(overlap=lambda here, mask: (here & mask).sum() / mask.sum()),
            "intersection over the prediction": _measured(overlap=lambda here, mask: (here & mask).sum() / here.sum()),
            "the Dice coefficient": _measured(
                overlap=lambda here, mask: 2 * (here & mask).sum() / (here.sum() + mask.sum())
            ),
            "mean on the object as share": _measured(lambda m, mask: m[mask].mean()),
            "share of the scaled map": _measured(lambda m, mask: _share(m - m.min(), mask)),
            "share of positions": lambda m, mask, t: (
                float((_here(m, t) & mask).sum() / _here(m, t).sum()),
                float(_iou(_here(m, t), mask)),
            ),
            "above the threshold": _measured(here=lambda m, t: (m - m.min()) / (m.max() - m.min()) > t),
            "always one half": _measured(here=lambda m, t: _here(m, 0.5)),
            "union counts the overlap twice": _measured(
                overlap=lambda here, mask: (here & mask).sum() / (here.sum() + mask.sum())
            ),
            "share in per cent": _measured(lambda m, mask: 100 * _share(m, mask)),
            "both in per cent": _measured(
                lambda m, mask: 100 * _share(m, mask), overlap=lambda here, mask: 100 * _iou(here, mask)
            ),
            "returned iou first": lambda m, mask, t: tuple(reversed(share_and_iou(m, mask, t))),
        },
    ),
    Task(
        dice_loss,
        _draw_dice,
        mistakes={
            "returned the Dice coefficient": lambda a, z: 1 - dice_loss(a, z),
            "forgot the factor 2": lambda a, z: 1 - _dice(a, _covered(a, z), factor=1.0),
            "one minus IoU": _jaccard,
            "mean of the pictures' losses": _per_image,
            "squared the denominator": _squared,
            "one loss for each picture": lambda a, z: torch.stack(
                [dice_loss(one[None], mask[None]) for one, mask in zip(a, z, strict=True)]
            ),
            "enlarged the map": lambda a, z: (
                1 - _dice(F.interpolate(a[:, None], size=z.shape[1:], mode="bilinear")[:, 0], z.float())
            ),
            "one pixel for each cell": lambda a, z: 1 - _dice(a, _covered(a, z, "nearest")),
            "any pixel makes a cell": lambda a, z: (
                1 - _dice(a, F.adaptive_max_pool2d(z.float(), (a.shape[1], a.shape[2])))
            ),
        },
    ),
    Task(
        animal_mask,
        _draw_trimap,
        mistakes={
            "bilinear, then not 2": lambda trimap, size: (_resized(trimap, size, "bilinear") != 2).float(),
            "bilinear, then rounded": lambda trimap, size: (_resized(trimap, size, "bilinear").round() != 2).float(),
            "averaged, then not 2": lambda trimap, size: (_resized(trimap, size, "area") != 2).float(),
            "all but the seam": lambda trimap, size: (_resized(trimap, size, "nearest") != 3).float(),
            "without the seam": lambda trimap, size: (_resized(trimap, size, "nearest") == 1).float(),
            "mask of the background": lambda trimap, size: (_resized(trimap, size, "nearest") == 2).float(),
            "True and False": lambda trimap, size: _resized(trimap, size, "nearest") != 2,
            "bilinear mask": lambda trimap, size: _resized((trimap != 2).long(), size, "bilinear"),
            "cut out a corner": lambda trimap, size: (trimap[:size, :size] != 2).float(),
        },
        refusal=_not_a_mask,
    ),
)
