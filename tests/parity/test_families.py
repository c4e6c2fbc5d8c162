"""A fast part of what `python -m experiments.families` sweeps: every way in which networks write attention."""

import pytest
import timm.models._registry
import torch
import torchvision
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformerBlockV2

from experiments.families import (
    NOT_SEEN,
    TIMM,
    TRANSFORMERS,
    check,
    kind_of,
    timm_row,
    torchvision_reference,
    torchvision_reference_of_all,
    transformers_row,
)

WITH_WEIGHTS = [
    *("convit", "crossvit", "efficientvit_msra", "eva", "levit", "maxxvit", "mobilevit", "shvit"),
    *("vision_transformer", "vision_transformer_relpos"),
]
WITH_GATES = ["byobnet", "efficientnet", "ghostnet", "mobilenetv3", "nfnet", "vovnet"]
WITHOUT = ["convnext", "mambaout", "starnet", "efficientvit_mit"]


def checked(row):
    assert row.exact, "the recorded pass gave another output"
    assert row.distance is None or row.distance < 1e-5
    return row


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", [*WITH_WEIGHTS, *WITH_GATES])
def test_masks_of_timm_are_those_of_the_reference(family):
    row = checked(timm_row(family))
    assert row.masks
    assert not row.unseen
    kinds = {kind_of(mask) for mask in row.masks.values()}
    assert ("weights" if family in WITH_WEIGHTS else "gates") in kinds


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("family", "kind"), [("sknet", "branches"), ("swiftformer", "gates")])
def test_choices_between_branches_and_gates_on_tokens(family, kind):
    assert {kind_of(mask) for mask in checked(timm_row(family)).masks.values()} == {kind}


@pytest.mark.parametrize("family", WITHOUT)
def test_networks_of_timm_without_masks_give_nothing(family):
    row = checked(timm_row(family))
    assert row.masks == {}
    assert not row.unseen or f"timm/{family}" in NOT_SEEN


def test_every_file_of_timm_is_in_the_sweep():
    assert set(timm.models._registry._module_to_models) <= set(TIMM)
    assert len(NOT_SEEN) <= 3


SMALL = {
    "torchvision's vision transformer": (
        lambda: torchvision.models.VisionTransformer(48, 8, 2, 2, 16, 32),
        (48, 48),
        2,
    ),
    "torchvision's Swin": (lambda: torchvision.models.SwinTransformer([4, 4], 24, [2, 2], [2, 2], [4, 4]), (48, 80), 4),
    "torchvision's SwinV2": (
        lambda: torchvision.models.SwinTransformer(
            [4, 4], 24, [2], [2], [4, 4], block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2
        ),
        (48, 80),
        2,
    ),
    "torchvision's MobileNetV3": (torchvision.models.mobilenet_v3_small, (96, 96), 9),
    "torchvision's ResNet": (torchvision.models.resnet18, (64, 64), 0),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SMALL)
def test_masks_of_torchvision_are_those_of_the_reference(name):
    build, size, masks = SMALL[name]
    torch.manual_seed(0)
    row = checked(check("torchvision", name, build().eval(), torch.randn(2, 3, *size), torchvision_reference))
    assert row.compared == len(row.masks) == masks


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", TRANSFORMERS)
def test_masks_of_transformers_are_those_of_eager_attention(family):
    row = checked(transformers_row(family))
    assert row.compared >= 2
    assert all(layout.keys is not None and layout.queries is not None for layout in row.layouts.values())
    first = next(iter(row.layouts.values())).keys.extra
    expected = {
        "DeiT": ["class", "distilled"],
        "DINOv2 with registers": ["class", "register", "register#2", "register#3", "register#4"],
        "DINOv3": ["class", "register", "register#2", "register#3", "register#4"],
    }
    plain = [] if family in ("Swin", "SwinV2", "SigLIP", "SAM's encoder") else ["class"]
    assert first == expected.get(family, plain)


def test_masks_of_open_clip_are_those_of_the_reference():
    transformer = pytest.importorskip("open_clip.transformer")
    torch.manual_seed(0)
    model = transformer.VisionTransformer(32, 8, width=32, layers=2, heads=4, mlp_ratio=2.0, output_dim=16).eval()
    row = checked(check("open_clip", "pictures", model, torch.randn(2, 3, 32, 32), torchvision_reference_of_all))
    assert row.compared == len(row.masks) == 2
