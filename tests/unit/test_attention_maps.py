"""Maps and what is measured of them: held against loops, against captum, against scikit-learn."""

import functools
import math
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from course_utils.attention import record_masks
from course_utils.data import ImageSet, cued_scenes
from course_utils.models import AttentionVGG, AttentionVGG16
from course_utils.training import train
from course_utils.training.attention_maps import (
    dice_loss,
    gate_maps,
    grad_cam,
    mask_objective,
    overlap,
    place_scores,
    ranking_scores,
    share_on_object,
    stage_names,
)
from course_utils.training.objective import Batch

small = functools.partial(AttentionVGG, 10, widths=(4, 6, 8, 10), hidden_channels=5)


def drawn(network, seed=0):
    """Every parameter and buffer drawn, so that nothing is zero or one by chance of its beginning."""
    generator = torch.Generator().manual_seed(seed)
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator) - 0.4)
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_var.uniform_(0.5, 1.5, generator=generator)
    return network


def test_the_maps_are_those_of_the_forward_pass_in_eval_mode_whatever_the_batch():
    network, images = drawn(small()).train(), cued_scenes(7, 0).images
    found = gate_maps(network, images, batch_size=3)
    assert network.training and list(found) == stage_names(network) == ["pool2", "pool3"]
    with torch.no_grad(), record_masks(network.eval()) as masks:
        network(images)
    torch.testing.assert_close(found["pool2"], masks["gates.0"][:, 0])
    torch.testing.assert_close(found["pool3"], masks["gates.1"][:, 0])
    assert stage_names(AttentionVGG16(2)) == ["pool3", "pool4"]


def test_vgg_alone_has_no_gate_and_asks_for_grad_cam():
    alone = small(alignment=None)
    assert len(alone.gates) == 0 and alone.classifier.in_features == 10
    images = torch.rand(2, 3, 64, 64)
    drawn(alone).eval()
    torch.testing.assert_close(alone(images), alone.classifier(alone.features(images).mean((2, 3))))
    with pytest.raises(ValueError, match="ask grad_cam"):
        gate_maps(alone, torch.rand(1, 3, 64, 64))


@pytest.mark.parametrize("alignment", [None, "sigmoid"])
def test_grad_cam_is_captums(alignment):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from captum.attr import LayerGradCam
    network, images = drawn(small(alignment=alignment)).eval(), cued_scenes(5, 1).images
    classes = torch.tensor([3, 0, 9, 3, 7])
    found = grad_cam(network, images, classes, batch_size=2)
    for stage, tap in zip(("pool2", "pool3"), network.taps, strict=False):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = LayerGradCam(network, network.features[tap]).attribute(images, classes, relu_attributions=True)
        assert theirs.max() > 0
        torch.testing.assert_close(found[stage], theirs[:, 0].detach())
    assert all(parameter.grad is None for parameter in network.parameters())
    named = grad_cam(network, images)["pool3"]
    with torch.no_grad():
        chosen = network(images).argmax(1)
    torch.testing.assert_close(named, grad_cam(network, images, chosen)["pool3"])


def bilinear(map_, size):
    """Pixel by pixel: centres at half steps, the edge held."""
    h, w = map_.shape
    large = np.zeros((size, size))
    for row in range(size):
        for column in range(size):
            y = min(max((row + 0.5) * h / size - 0.5, 0), h - 1)
            x = min(max((column + 0.5) * w / size - 0.5, 0), w - 1)
            top, left = int(y), int(x)
            below, right = min(top + 1, h - 1), min(left + 1, w - 1)
            upper = map_[top, left] * (1 - x + left) + map_[top, right] * (x - left)
            lower = map_[below, left] * (1 - x + left) + map_[below, right] * (x - left)
            large[row, column] = upper * (1 - y + top) + lower * (y - top)
    return large


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 1.0])
def test_share_and_overlap_are_what_a_loop_over_pixels_counts(threshold):
    random = np.random.default_rng(0)
    maps, masks = random.random((3, 4, 5)), random.random((3, 12, 12)) < 0.3
    shares = share_on_object(torch.tensor(maps, dtype=torch.float64), torch.tensor(masks), threshold)
    overlaps = overlap(torch.tensor(maps, dtype=torch.float64), torch.tensor(masks), threshold)
    for map_, mask, share, found in zip(maps, masks, shares, overlaps, strict=True):
        large = bilinear(map_, 12)
        here = large >= large.min() + threshold * (large.max() - large.min())
        assert math.isclose(share, large[here & mask].sum() / large[here].sum(), abs_tol=1e-9)
        assert math.isclose(found, (here & mask).sum() / (here | mask).sum(), abs_tol=1e-6)


def test_a_map_without_any_difference_overlaps_nothing_and_spreads_evenly():
    masks = torch.zeros(2, 8, 8, dtype=torch.bool)
    masks[:, :2] = True
    even = torch.stack([torch.full((4, 4), 0.3), torch.zeros(4, 4)])
    assert overlap(even, masks).tolist() == [0, 0]
    torch.testing.assert_close(share_on_object(even, masks), torch.tensor([0.25, 0.0]))


def test_the_dice_loss_is_zero_on_the_place_and_one_away_from_it():
    masks = torch.zeros(2, 8, 8, dtype=torch.bool)
    masks[:, 2:6, 4:] = True
    right = F.adaptive_avg_pool2d(masks.float(), 4)
    assert dice_loss(right, masks) == 0 and dice_loss(1 - right, masks) == 1
    half = 0.5 * torch.ones(2, 4, 4)  # a = 1/2 on 16 cells, of which 4 are the place
    torch.testing.assert_close(dice_loss(half, masks), torch.tensor(1 - 2 * 2 / (8 + 4)))


def test_the_objective_adds_the_weighed_dice_loss_of_each_gate():
    network, scenes = drawn(small()), cued_scenes(6, 0)
    network.train()
    batch = Batch(scenes.images, scenes.labels, scenes.masks)
    with record_masks(network) as masks:
        alone = F.cross_entropy(network(scenes.images), scenes.labels)
    expected = alone + 0.3 * dice_loss(masks["gates.0"][:, 0], scenes.masks)
    expected = expected + 2 * dice_loss(masks["gates.1"][:, 0], scenes.masks)
    torch.testing.assert_close(mask_objective((0.3, 2))(network, batch), expected)
    with pytest.raises(ValueError, match="without masks"):
        mask_objective((1, 1))(network, batch._replace(masks=None))


def test_a_gate_that_is_shown_the_place_finds_it():
    scenes = cued_scenes(256, 0, size=32)
    found = []
    for weights in ((0, 0), (1, 1)):
        torch.manual_seed(0)
        network = AttentionVGG(10, widths=(4, 6, 8), hidden_channels=5)
        settings = {"epochs": 8, "batch_size": 32, "lr": 2e-2, "precision": "float32", "progress": False}
        train(network, scenes, objective=mask_objective(weights), **settings)
        maps = gate_maps(network, scenes.images)
        found.append(float(dice_loss(maps["pool2"], scenes.masks)))
    assert found[1] < found[0] - 0.02


def test_ranking_scores_are_the_means_over_the_classes():
    logits = torch.tensor([[2.0, 0, 0], [1, 3, 0], [0, 1, 0], [3, 0, 1]])
    truth = torch.tensor([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0]]).bool()  # the third class: nobody's
    found = ranking_scores(logits, truth)
    # class 0 ranks image 3 (wrong), 0 (right), 1 (wrong), 2 (right); class 1 ranks 1 (right), 2, then 0 and 3 together
    assert math.isclose(found["AP"], np.mean([(1 / 2 + 2 / 4) / 2, (1 + 2 / 4) / 2]))
    assert math.isclose(found["AUC"], np.mean([1 / 4, (2 + 0.5) / 4]))


def test_place_scores_take_gates_or_else_grad_cam():
    scenes = cued_scenes(6, 0)
    gated, alone = drawn(small()), drawn(small(alignment=None))
    maps = gate_maps(gated, scenes.images)["pool3"]
    found = place_scores(gated, scenes)
    assert math.isclose(found["share pool3"], share_on_object(maps, scenes.masks).mean(), rel_tol=1e-6)
    assert math.isclose(found["IoU pool3"], overlap(maps, scenes.masks).mean(), rel_tol=1e-6)
    maps = grad_cam(alone, scenes.images)["pool2"]
    assert math.isclose(place_scores(alone, scenes)["IoU pool2"], overlap(maps, scenes.masks).mean(), rel_tol=1e-6)
    with pytest.raises(ValueError, match="no masks"):
        place_scores(gated, ImageSet(scenes.images, scenes.labels))
