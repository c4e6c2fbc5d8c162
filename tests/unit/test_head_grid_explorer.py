"""What `head-grid` is given: a network small enough for a page, its pictures, and masks that mean what they say."""

import pytest
import torch

from course_utils.data import ImageSet, cued_digits
from course_utils.models import VisionTransformer
from course_utils.widgets import explore_head_grid
from course_utils.widgets.head_grid.explore import token_mask


def small(**changes):
    settings = {
        "image_size": 8,
        "patch_size": 4,
        "depth": 1,
        "embed_dim": 4,
        "num_heads": 2,
        "mlp_dim": 4,
        "num_classes": 3,
    }
    return VisionTransformer(**{**settings, **changes})


def pictures(size=8):
    return ImageSet(torch.rand(2, 3, size, size), torch.tensor([0, 2]))


def test_the_window_is_what_a_3x3_convolution_reaches_and_the_class_token_sees_all():
    mask = token_mask("window 1", 3, 4)
    for i in range(12):
        x = torch.zeros(1, 1, 3, 4, requires_grad=True)
        torch.nn.functional.conv2d(x, torch.ones(1, 1, 3, 3), padding=1).flatten()[i].backward()
        assert torch.equal(mask[1 + i, 1:], x.grad.flatten() > 0)
    assert mask[0].all() and mask[:, 0].all()


def test_causal_sees_nothing_later_and_padding_hides_the_lower_half_from_all():
    assert torch.equal(token_mask("causal", 2, 2), torch.arange(5)[:, None] >= torch.arange(5))
    assert torch.equal(token_mask("padding", 4, 3).all(dim=0), torch.arange(13) < 7)
    assert torch.equal(token_mask("padding", 3, 2).any(dim=0), torch.arange(7) < 5)
    assert token_mask("none", 2, 2) is None
    with pytest.raises(ValueError, match="no mask 'causl'; did you mean 'causal'"):
        token_mask("causl", 2, 2)


def test_the_learners_network_stays_as_it_is():
    network = small().train()
    explore_head_grid(network, pictures())
    assert network.training


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"network": small()}, "network without data"),
        ({"data": pictures()}, "data without network"),
        ({"network": small(), "data": pictures(12)}, r"images \(N, 3, 8, 8\)"),
        (
            {"network": small(), "data": ImageSet(torch.rand(0, 3, 8, 8), torch.zeros(0, dtype=torch.int64))},
            "at least one",
        ),
        ({"network": small(depth=17), "data": pictures()}, "32 heads at most; this one has .* and 34"),
        ({"network": small(embed_dim=512, mlp_dim=2048), "data": pictures()}, "500,000 parameters"),
        ({"picture": 6}, "picture=6, but there are 6"),
        ({"query": (8, 1)}, r"query=\(8, 1\) is neither"),
        ({"query": (0, 8)}, "8 x 8 patches"),
        ({"chosen": (0, 1)}, r"chosen names \(0, 1\), which is no \(layer, head\) of 4 layers with 4 heads"),
        ({"off": [(1, 5)]}, r"off names \(1, 5\)"),
        ({"mask": "window"}, "no mask 'window'"),
    ],
)
def test_what_cannot_be_shown_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        explore_head_grid(**arguments)


def test_the_courses_network_opens_on_its_class_token():
    widget = explore_head_grid()
    assert (widget.layers, widget.heads, widget.grid, widget.query, widget.chosen) == (4, 4, [8, 8], [8, 0], [4, 4])
    labels = cued_digits(6, seed=3, split="test").labels
    assert [picture["answer"] for picture in widget.pictures] == labels.tolist()
