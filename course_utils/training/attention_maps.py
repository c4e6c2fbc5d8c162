"""Where a network looks, held against the true place: maps, their share on the object, their overlap with it.

Yan, Kawahara, Hamarneh. Melanoma Recognition via Visual Attention. IPMI 2019, sections 2 and 3.
Selvaraju et al. Grad-CAM. ICCV 2017, section 3. https://arxiv.org/abs/1610.02391
"""

import functools
from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor, nn

from ..attention import record_masks
from ..attention.recording import evaluating
from ..data import ImageSet
from ..models import AttentionVGG
from .metrics import predict
from .objective import Batch, Objective, cross_entropy

THRESHOLD = 0.5
"""From where on a map counts as "here", between its least value (0) and its largest (1)."""


def stage_names(model: AttentionVGG) -> list[str]:
    """The two stages before the last, whose maps are looked at: "pool3" and "pool4" in VGG16, finer first."""
    return [f"pool{model.stages - 2}", f"pool{model.stages - 1}"]


@torch.no_grad()
def gate_maps(model: AttentionVGG, images: Tensor, batch_size: int = 250) -> dict[str, Tensor]:
    """The masks of both gates in eval mode: images (N, C, H, W) -> {"pool3": (N, h, w), "pool4": ...}.

    Raises:
        ValueError: if the model has no gates.
    """
    if not len(model.gates):
        raise ValueError("This network has no gates (alignment=None): ask grad_cam for its maps.")
    parts, device = [], next(model.parameters()).device
    with evaluating(model):
        for batch in images.split(batch_size):
            with record_masks(model) as masks:
                model(batch.to(device))
            parts.append([mask[:, 0].float().cpu() for mask in masks.values()])
    return _joined(model, parts)


def grad_cam(
    model: AttentionVGG, images: Tensor, classes: Tensor | None = None, batch_size: int = 250
) -> dict[str, Tensor]:
    """Grad-CAM of the same two stages: what of a stage's map speaks for a class.

    The channels of the stage are added up, each weighed by the mean of its gradient over the positions, that of the
    class's logit. What is left below zero speaks against the class and is cut off.

    Args:
        model: with or without gates.
        images: (N, C, H, W).
        classes: (N,), which class is asked for; by default the one that the model names.
        batch_size: images at a time.

    Returns:
        {"pool3": (N, h, w), "pool4": ...}, no value below zero.
    """
    asked = predict(model, images, batch_size).argmax(1) if classes is None else classes
    parts, device = [], next(model.parameters()).device
    with evaluating(model), torch.enable_grad():
        for batch, names in zip(images.split(batch_size), asked.split(batch_size), strict=True):
            logits, maps = _with_maps(model, batch.to(device))
            gradients = torch.autograd.grad(logits.gather(1, names[:, None].to(device)).sum(), maps)
            weights = [gradient.mean(dim=(2, 3), keepdim=True) for gradient in gradients]  # (N, C, 1, 1)
            parts.append([F.relu((w * a).sum(1)).detach().cpu() for w, a in zip(weights, maps, strict=True)])
    return _joined(model, parts)


def share_on_object(maps: Tensor, masks: Tensor, threshold: float = 0.0) -> Tensor:
    """The share of each map's mass that lies on the object, counting only what reaches the threshold.

    Args:
        maps: (N, h, w), no value below zero; each is brought to the size of the masks, bilinearly.
        masks: (N, H, W) bool.
        threshold: between a map's least value, 0, and its largest, 1; 0 counts the whole map.

    Returns:
        (N,), from 0 to 1; 0 for a map that is zero everywhere.
    """
    large = _enlarged(maps, masks)
    mass = large * _reaching(large, threshold)
    return _ratio((mass * masks).sum((1, 2)), mass.sum((1, 2)))


def overlap(maps: Tensor, masks: Tensor, threshold: float = THRESHOLD) -> Tensor:
    """Intersection over union of the object and what reaches the threshold; arguments as for `share_on_object`.

    Returns:
        (N,), from 0 to 1; 0 for a map that has one value everywhere.
    """
    large = _enlarged(maps, masks)
    here = _reaching(large, threshold) & (large.amax((1, 2), True) > large.amin((1, 2), True))
    return _ratio((here & masks).sum((1, 2)).float(), (here | masks).sum((1, 2)).float())


def dice_loss(maps: Tensor, masks: Tensor) -> Tensor:
    """One minus the Dice coefficient of a batch's maps and the true places: 1 - 2 sum(a z) / (sum(a) + sum(z)).

    Args:
        maps: (N, h, w), each value in [0, 1].
        masks: (N, H, W) bool; z is the part of each cell of the map that the object covers.
    """
    covered = F.adaptive_avg_pool2d(masks.float(), (maps.shape[1], maps.shape[2]))  # (N, h, w)
    return 1 - 2 * (maps * covered).sum() / (maps.sum() + covered.sum())


def mask_objective(weights: Sequence[float]) -> Objective:
    """The cross entropy plus, for each gate, a weight times the Dice loss of its map: shows the gates where to look.

    Args:
        weights: one for each gate, finer first.

    Returns:
        `objective(model, batch)`, for `train`; the batch must have masks.
    """
    return functools.partial(_with_masks, tuple(weights))


def _with_masks(weights: Sequence[float], model: nn.Module, batch: Batch) -> Tensor:
    if batch.masks is None:
        raise ValueError("mask_objective needs the true places, but these images come without masks.")
    with record_masks(model) as masks:
        loss = cross_entropy(model, batch)
    for weight, mask in zip(weights, masks.values(), strict=True):
        loss = loss + weight * dice_loss(mask[:, 0].float(), batch.masks)
    return loss


def ranking_scores(logits: Tensor, truth: Tensor) -> dict[str, float]:
    """Average precision and area under the ROC curve, each the mean over the classes.

    Args:
        logits: (N, classes).
        truth: (N, classes) bool; a class that no image or every image has is left out.
    """
    scores, found = logits.numpy(), truth.numpy()
    known = found.any(axis=0) & ~found.all(axis=0)
    return {
        "AP": float(np.mean([average_precision_score(found[:, k], scores[:, k]) for k in np.flatnonzero(known)])),
        "AUC": float(np.mean([roc_auc_score(found[:, k], scores[:, k]) for k in np.flatnonzero(known)])),
    }


def place_scores(model: AttentionVGG, image_set: ImageSet, batch_size: int = 250) -> dict[str, float]:
    """Means over the images of share and overlap at both stages: of the gates, or of Grad-CAM where there are none.

    Args:
        model: with or without gates.
        image_set: images with their true places.
        batch_size: images at a time.

    Raises:
        ValueError: if the true places are not known.
    """
    if image_set.masks is None:
        raise ValueError("place_scores needs to know the true places: this ImageSet has no masks.")
    maps = (gate_maps if len(model.gates) else grad_cam)(model, image_set.images, batch_size=batch_size)
    scores = {}
    for stage, map_ in maps.items():
        scores[f"share {stage}"] = float(share_on_object(map_, image_set.masks).mean())
        scores[f"IoU {stage}"] = float(overlap(map_, image_set.masks).mean())
    return scores


def _with_maps(model: AttentionVGG, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The logits, and what the two stages gave on the way."""
    maps: list[Tensor] = []
    with ExitStack() as hooks:
        for tap in model.taps[:2]:
            hook = model.features[tap].register_forward_hook(lambda part, given, made: maps.append(made))
            hooks.callback(hook.remove)
        return model(images), maps


def _enlarged(maps: Tensor, masks: Tensor) -> Tensor:
    size = tuple(masks.shape[1:])
    return F.interpolate(maps[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]


def _reaching(maps: Tensor, threshold: float) -> Tensor:
    least, largest = maps.amin((1, 2), True), maps.amax((1, 2), True)
    return maps - least >= threshold * (largest - least)


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    return torch.where(whole > 0, part / whole.where(whole > 0, torch.ones_like(whole)), torch.zeros_like(part))


def _joined(model: AttentionVGG, parts: Sequence[Sequence[Tensor]]) -> dict[str, Tensor]:
    return {
        name: torch.cat(list(stage)) for name, stage in zip(stage_names(model), zip(*parts, strict=True), strict=True)
    }
