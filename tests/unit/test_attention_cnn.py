import pytest
import torch

from course_utils.attention import record_masks
from course_utils.models import AttentionCNN
from course_utils.models.attention_cnn import ATTENTION


def parameters(*args, **options):
    return sum(parameter.numel() for parameter in AttentionCNN(10, *args, **options).parameters())


def test_parameters_are_those_of_the_published_layouts():
    assert parameters() == 32_482
    assert parameters("se") == 35_224
    assert parameters(head="hidden") == 39_682
    original = 1 * 12 * 9 + 12 * 24 * 36 + 24 * 32 * 36 + 2 * (12 + 24 + 32) + 32 * 49 * 200 + 2 * 200 + 200 * 10 + 10
    assert parameters(in_channels=1, layout="original", image_size=28) == original


def test_masks_are_recorded_by_stage():
    network = AttentionCNN(10, "se")
    with record_masks(network) as masks:
        network(torch.rand(2, 3, 40, 40))
    assert {name: tuple(mask.shape) for name, mask in masks.items()} == {
        "stage1.attention": (2, 24, 1, 1),
        "stage2.attention": (2, 48, 1, 1),
        "stage3.attention": (2, 48, 1, 1),
    }
    with record_masks(AttentionCNN(10)) as masks:
        assert masks == {}


def test_the_block_stands_after_the_relu_and_before_the_pooling():
    network = AttentionCNN(10, "se").eval()
    stage = network.stages()[0]
    x = torch.randn(2, 3, 40, 40)
    features = stage.norm(stage.convolution(x)).relu()
    assert features.min() == 0 and features.shape == (2, 24, 40, 40)
    expected = torch.nn.functional.max_pool2d(stage.attention(features), 2)
    torch.testing.assert_close(stage(x), expected)


def test_the_masks_change_the_answer():
    network = AttentionCNN(10, "se").eval()
    x = torch.rand(2, 3, 40, 40)
    before = network(x)
    torch.nn.init.constant_(network.stages()[1].attention.expand.bias, -9.0)
    assert not torch.allclose(before, network(x))


@pytest.mark.parametrize("options", [{}, {"head": "hidden"}, {"layout": "original", "head": "linear"}])
def test_pooled_heads_take_images_of_any_size(options):
    network = AttentionCNN(7, "se", in_channels=1, **options)
    assert network(torch.rand(2, 1, 28, 28)).shape == (2, 7)
    assert network(torch.rand(2, 1, 33, 41)).shape == (2, 7)


def test_the_original_layout_shrinks_28_pixels_to_7():
    network = AttentionCNN(10, in_channels=1, layout="original", image_size=28)
    assert network.head.layers[0].in_features == 32 * 7 * 7
    assert network(torch.rand(2, 1, 28, 28)).shape == (2, 10)


def test_the_same_network_can_be_built_again_from_its_settings():
    first = AttentionCNN(10, "se", layout="original", widths=(12, 25, 32), hidden=(50, 20), image_size=40)
    again = AttentionCNN(**first.settings)
    again.load_state_dict(first.state_dict())
    assert again.settings == first.settings


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match="no attention 'sse'; did you mean 'se'"):
        AttentionCNN(10, "sse")
    with pytest.raises(ValueError, match="no layout 'orginal'; did you mean 'original'"):
        AttentionCNN(10, layout="orginal")
    with pytest.raises(ValueError, match="no head 'mlp'; there are: linear"):
        AttentionCNN(10, head="mlp")


def test_images_that_leave_nothing_are_refused():
    with pytest.raises(ValueError, match=r"too small.*\[3, 1, 0\]"):
        AttentionCNN(10)(torch.rand(2, 3, 40, 7))
    with pytest.raises(ValueError, match="too small"):
        AttentionCNN(10, image_size=7)
    assert AttentionCNN(10)(torch.rand(2, 3, 8, 8)).shape == (2, 10)


def test_wrong_images_say_what_is_needed():
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\).*images\[None\]"):
        AttentionCNN(10)(torch.rand(3, 40, 40))
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\)"):
        AttentionCNN(10)(torch.rand(2, 1, 40, 40))
    network = AttentionCNN(10, layout="original", image_size=40)
    with pytest.raises(ValueError, match="built for 40 x 40 images, but was given 28 x 28"):
        network(torch.rand(2, 3, 28, 28))


def test_arguments_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match="image_size=28"):
        AttentionCNN(10, head="flatten")
    with pytest.raises(ValueError, match="must name 3 stages"):
        AttentionCNN(10, widths=(8, 8))
    with pytest.raises(ValueError, match="use head='hidden'"):
        AttentionCNN(10, head="linear", hidden=(20,))
    with pytest.raises(ValueError, match="need a block"):
        AttentionCNN(10, attention_options={"reduction": 2})
    with pytest.raises(ValueError, match="0 hidden units"):
        AttentionCNN(10, "se", attention_options={"reduction": 64})


@pytest.mark.parametrize("layout", ["course", "original"])
@pytest.mark.parametrize("attention", sorted(ATTENTION))
def test_every_block_fits_every_layout_and_learns(attention, layout):
    torch.manual_seed(0)
    network = AttentionCNN(10, attention, layout=layout, image_size=40)
    images, labels = torch.rand(4, 3, 40, 40), torch.arange(4)
    with record_masks(network) as masks:
        torch.nn.functional.cross_entropy(network(images), labels).backward()
    stages = {name.split(".")[0] for name in masks}
    assert stages == {"stage1", "stage2", "stage3"} - ({"stage1"} if attention == "self_attention" else set())
    assert all(mask.isfinite().all() and mask.shape[0] == 4 for mask in masks.values())
    blocks = [stage.attention for stage in network.stages() if stage.attention is not None]
    assert all(any(p.grad is not None and p.grad.abs().sum() > 0 for p in block.parameters()) for block in blocks)
