"""SE, ECA, CBAM and GSoP against timm, torchvision, and a plain port of the second-order release."""

import pytest
import torch
import torchvision
from drawn_state import MODES, assert_block_parity
from timm.layers import EcaModule, SEModule
from timm.layers.cbam import CbamModule
from torch import Tensor, nn
from torch.testing import assert_close
from torchvision.ops import SqueezeExcitation

from course_utils.attention import CBAM, ECABlock, GSoPBlock, SEBlock, covariance_pool, matrix_square_root


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("channels", "reduction"), [(64, 16), (24, 5), (9, 3)])
def test_squeeze_and_excitation_is_that_of_timm(channels, reduction, bias, mode):
    # timm rounds the reduced width to a multiple of 8 unless it is told the width
    reference = SEModule(channels, rd_channels=channels // reduction, bias=bias)
    names = {"reduce": "fc1", "expand": "fc2"}
    x = torch.randn(3, channels, 6, 5)
    assert_block_parity(SEBlock(channels, reduction, bias=bias), reference, names, x, mode)


@pytest.mark.parametrize("mode", MODES)
def test_squeeze_and_excitation_is_that_of_torchvision(mode):
    names = {"reduce": "fc1", "expand": "fc2"}
    assert_block_parity(SEBlock(48, 4), SqueezeExcitation(48, 12), names, torch.randn(2, 48, 3, 9), mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("hidden", [1, 7, 60])
def test_squeeze_and_excitation_with_its_own_width_and_a_hard_sigmoid_is_that_of_timm(hidden, mode):
    reference = SEModule(24, rd_channels=hidden, gate_layer="hard_sigmoid")
    names = {"reduce": "fc1", "expand": "fc2"}
    ours = SEBlock(24, hidden=hidden, gate="hard_sigmoid")
    assert_block_parity(ours, reference, names, 0.3 * torch.randn(3, 24, 6, 5), mode)


def test_se_resnet50_has_the_parameters_of_the_paper():
    """SE-ResNet-50 minus ResNet-50 with r = 16 and biases: one block after each residual branch."""
    resnet = torchvision.models.resnet50(weights=None)
    branches = [b for stage in (resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4) for b in stage]
    added = sum(p.numel() for b in branches for p in SEBlock(b.conv3.out_channels, reduction=16).parameters())
    assert added == 2_530_992


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("channels", [8, 16, 64, 256, 2048])
def test_efficient_channel_attention_is_that_of_timm(channels, mode):
    x = torch.randn(2, channels, 3, 2)
    assert_block_parity(ECABlock(channels), EcaModule(channels), {"conv": "conv"}, x, mode)


@pytest.mark.parametrize(
    ("channels", "kernel"), [(1, 1), (4, 1), (64, 3), (128, 5), (256, 5), (512, 5), (1024, 5), (2048, 7)]
)
def test_efficient_channel_kernel_grows_as_in_the_release(channels, kernel):
    assert ECABlock(channels).conv.kernel_size == (kernel,)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kernel_size", [7, 3])
def test_cbam_is_that_of_timm_with_the_pooled_maps_in_the_order_of_the_release(kernel_size, bias, mode):
    reference = CbamModule(32, rd_channels=4, spatial_kernel_size=kernel_size, mlp_bias=bias)
    reference.spatial.conv.bn.momentum = 0.01
    names = {
        "channel.reduce": "channel.fc1",
        "channel.expand": "channel.fc2",
        "spatial.conv": "spatial.conv.conv",
        "spatial.norm": "spatial.conv.bn",
    }
    ours = CBAM(32, reduction=8, kernel_size=kernel_size, bias=bias)
    x = torch.randn(3, 32, 9, 8)
    assert_block_parity(ours, reference, names, x, mode, flipped=["spatial.conv.weight"])


class ReleasedGSoP(nn.Module):
    """The release step by step: a centring matrix of all positions, a grouped convolution over rows."""

    def __init__(self, channels: int, reduced: int, expansion: int):
        super().__init__()
        self.conv_for_dr = nn.Conv2d(channels, reduced, 1)
        self.bn_for_dr = nn.BatchNorm2d(reduced)
        self.row_bn = nn.BatchNorm2d(reduced)
        self.row_conv_group = nn.Conv2d(reduced, expansion * reduced, (reduced, 1), groups=reduced)
        self.fc_adapt = nn.Conv2d(expansion * reduced, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn_for_dr(self.conv_for_dr(torch.relu(x))))
        n, d, h, w = y.shape
        m = h * w
        centring = torch.eye(m, dtype=x.dtype) / m - torch.ones(m, m, dtype=x.dtype) / m**2
        y = y.reshape(n, d, m)
        covariance = y @ centring @ y.transpose(1, 2)
        z = self.row_conv_group(self.row_bn(covariance.reshape(n, d, d, 1)))
        return x * torch.sigmoid(self.fc_adapt(z))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("channels", "reduced", "expansion"), [(12, 5, 4), (6, 8, 2)])
def test_second_order_pooling_is_that_of_the_release(channels, reduced, expansion, mode):
    names = {
        "reduce": "conv_for_dr",
        "norm": "bn_for_dr",
        "row_norm": "row_bn",
        "row_conv": "row_conv_group",
        "expand": "fc_adapt",
    }
    cancelled = ["reduce.bias"] if mode == "train" else []
    ours, reference = GSoPBlock(channels, reduced, expansion), ReleasedGSoP(channels, reduced, expansion)
    assert_block_parity(ours, reference, names, 2 * torch.randn(3, channels, 4, 7), mode, cancelled=cancelled)


def test_second_order_pooling_keeps_128_channels_and_quadruples_the_rows():
    block = GSoPBlock(256)
    assert block.row_conv.weight.shape == (512, 1, 128, 1)
    assert block.expand.weight.shape == (256, 512)


def test_covariance_is_the_biased_estimate():
    x = torch.randn(3, 5, 4, 6, dtype=torch.float64) + 100
    expected = torch.stack([torch.cov(image.flatten(1), correction=0) for image in x])
    assert_close(covariance_pool(x), expected)


def drawn_covariance(size: int) -> Tensor:
    factor = torch.randn(2, size, 3 * size, dtype=torch.float64)
    return factor @ factor.transpose(1, 2) / (3 * size)


def root_by_eigenvalues(cov: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(cov)
    return vectors @ torch.diag_embed(values.sqrt()) @ vectors.transpose(1, 2)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_square_root_is_that_of_the_eigendecomposition_in_value_and_gradient(scale):
    slope = torch.randn(2, 6, 6, dtype=torch.float64)
    slope = slope + slope.transpose(1, 2)
    drawn = scale * drawn_covariance(6)
    found = []
    for root in (lambda cov: matrix_square_root(cov, iterations=20), root_by_eigenvalues):
        cov = drawn.clone().requires_grad_()
        value = root(cov)
        (gradient,) = torch.autograd.grad(value, cov, slope)
        found.append((value.detach(), (gradient + gradient.transpose(1, 2)) / 2))
    (value, gradient), (expected, expected_gradient) = found
    assert_close(value, expected)
    assert_close(gradient, expected_gradient)
    assert_close(value @ value, drawn)


def test_a_step_of_the_square_root_moves_each_eigenvalue_as_newton_and_schulz_say():
    eigenvalues = torch.tensor([0.5, 2.0, 7.5], dtype=torch.float64)
    y, z = eigenvalues / eigenvalues.sum(), torch.ones(3, dtype=torch.float64)
    for iterations in range(1, 6):
        step = (3 - z * y) / 2
        y, z = y * step, step * z
        found = matrix_square_root(torch.diag(eigenvalues), iterations)
        assert_close(found, torch.diag(y * eigenvalues.sum().sqrt()))


def test_square_root_of_a_constant_image_is_zero_with_a_finite_gradient():
    cov = torch.zeros(2, 4, 4, requires_grad=True)
    root = matrix_square_root(cov)
    root.sum().backward()
    assert_close(root, torch.zeros(2, 4, 4))
    assert cov.grad.isfinite().all()
