"""The exercises of lesson 4.5: build an attention gate, and measure where it looks."""

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


def _draw_pool(draw: Draw) -> Inputs:
    images, rows, columns = draw.integer(2, 3), draw.integer(3, 4), draw.integer(5, 6)
    local = draw.normal(images, draw.integer(3, 5), rows, columns, mean=0.5)
    return local, draw.normal(images, 1, rows, columns), draw.choice(("sigmoid", "softmax"))


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


def _draw_dice(draw: Draw) -> Inputs:
    images, rows, columns = draw.integer(2, 3), draw.integer(4, 5), draw.integer(6, 7)  # no two sizes are equal
    scale = draw.choice((3, 5))
    masks = torch.zeros(images, rows * scale, columns * scale, dtype=torch.bool, device="cpu")
    for mask in masks:
        top, left = draw.integer(0, 4), draw.integer(0, 5)
        mask[top : top + draw.integer(4, 8), left : left + draw.integer(4, 8)] = True
    return draw.uniform(images, rows, columns, low=0.05, high=0.95), masks


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
        lambda draw: draw.normals("N C H W", N=(2, 3), C=(3, 5), H=(8, 10), W=(11, 12)),
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
        lambda draw: draw.normals(
            *("N C H W", "N G h w", ("D C", 0.6), ("D G", 0.6), ("1 D", 0.6), "1"),
            N=(1, 2),
            C=(3, 5),
            G=(4, 6),
            D=(6, 8),
            H=(5, 7),
            W=(8, 9),
            h=(2, 3),
            w=(3, 4),
        ),
        mistakes={
            "left out the ReLU": {"F.relu": ""},
            "took tanh": {"F.relu": "torch.tanh"},
            "left out the guide": {" + projected": ""},
            "multiplied the projections": {"+ projected": "* projected"},
            "interpolated with align_corners=True": {"False": "True"},
            "enlarged the guide": {'"bilinear", align_corners=False': '"nearest"'},
            "ReLU before adding": {" + projected)": ") + F.relu(projected)"},
            "ReLU of the guide before adding": {"F.interpolate(projected": "F.interpolate(F.relu(projected)"},
            "averaged the guide": {"(guide": "(guide.mean((2, 3), keepdim=True)"},
            "left out the bias": {", bias": ""},
            "added the bias twice": {"bias": "2 * bias"},
            "took the sigmoid": {"return F": "return torch.sigmoid(F", "bias)": "bias))"},
        },
    ),
    Task(
        gate_pool,
        _draw_pool,
        mistakes={
            "averaged both": {".sum(": ".mean("},
            "summed both": {".mean(": ".sum("},
            "the wrong way round": {"(scores)).mean": "(scores)).sum", "weights).sum": "weights).mean"},
            "divided by the sum of the sigmoids": {
                ".mean(dim=(2, 3))": ".sum(dim=(2, 3)) / torch.sigmoid(scores).sum(dim=(2, 3))"
            },
            "softmax along one row": {"flatten(2).softmax(dim=2)": "softmax(dim=3)"},
            "softmax along one column": {"flatten(2).softmax(dim=2)": "softmax(dim=2)"},
            "softmax over axis 1": {"flatten(2).softmax(dim=2)": "softmax(dim=1)"},
            "softmax over the batch": {"flatten(2).softmax(dim=2)": "flatten().softmax(dim=0)"},
            "left the weights out": lambda local, scores, alignment: local.mean((2, 3)),
            "weighed with the raw scores": {"torch.sigmoid(scores)": "scores", ".softmax(dim=2)": ""},
        },
    ),
    Task(
        share_and_iou,
        _draw_map,
        mistakes={
            "raw map against the threshold": {"scaled >=": "map_ >="},
            "divided by the largest alone": {"(map_ - map_.min()) / (map_.max() - map_.min())": "map_ / map_.max()"},
            "intersection over the mask": {"(here | mask)": "mask"},
            "intersection over the prediction": {"(here | mask)": "here"},
            "the Dice coefficient": {"iou = (": "iou = 2 * (", "(here | mask).sum()": "(here.sum() + mask.sum())"},
            "mean on the object as share": {"map_[mask].sum() / map_.sum()": "map_[mask].mean()"},
            "share of the scaled map": {"    share": "    map_ = map_ - map_.min()\n    share"},
            "share of positions": {"float(share)": "float((here & mask).sum() / here.sum())"},
            "above the threshold": {">=": ">"},
            "always one half": {"threshold": "0.5"},
            "union counts the overlap twice": {"(here | mask).sum()": "(here.sum() + mask.sum())"},
            "share in per cent": {"float(share)": "100 * float(share)"},
            "both in per cent": {"float(": "100 * float("},
            "returned iou first": {"float(share), float(iou)": "float(iou), float(share)"},
        },
    ),
    Task(
        dice_loss,
        _draw_dice,
        mistakes={
            "returned the Dice coefficient": {"1 - 2": "2"},
            "forgot the factor 2": {"2 * ": ""},
            "one minus IoU": {"2 * ": "", "+ covered.sum()": "+ covered.sum() - (maps * covered).sum()"},
            "mean of the pictures' losses": lambda a, z: torch.stack(
                [dice_loss(*each) for each in zip(a[:, None], z[:, None], strict=True)]
            ).mean(),
            "squared the denominator": {"maps.sum() + covered.sum()": "(maps**2).sum() + (covered**2).sum()"},
            "one loss for each picture": {".sum()": ".sum(dim=(1, 2))"},
            "enlarged the map": lambda a, z: dice_loss(
                F.interpolate(a[:, None], z.shape[1:], mode="bilinear")[:, 0], z
            ),
            "one pixel for each cell": {
                "adaptive_avg_pool2d(masks": "interpolate(masks[:, None]",
                "2]))": "2]))[:, 0]",
            },
            "any pixel makes a cell": {"avg": "max"},
        },
    ),
    Task(
        animal_mask,
        _draw_trimap,
        mistakes={
            "bilinear, then not 2": {"nearest": "bilinear"},
            "bilinear, then rounded": {"nearest": "bilinear", "kinds != 2": "kinds.round() != 2"},
            "averaged, then not 2": {"nearest": "area"},
            "all but the seam": {"!= 2": "!= 3"},
            "without the seam": {"!= 2": "== 1"},
            "mask of the background": {"!= 2": "== 2"},
            "True and False": {".float()\n": "\n"},
            "bilinear mask": lambda trimap, size: _resized((trimap != 2).long(), size, "bilinear"),
            "cut out a corner": lambda trimap, size: (trimap[:size, :size] != 2).float(),
        },
        refusal=_not_a_mask,
    ),
)
