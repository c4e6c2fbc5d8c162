"""Global second-order pooling: a mask over channels, made from how the channels vary together.

Gao, Xie, Wang, Li. Global Second-order Pooling Convolutional Networks. CVPR 2019, section 3.
https://arxiv.org/abs/1811.12006
The square root: Li, Xie, Wang, Gao. Towards Faster Training of Global Covariance Pooling Networks by Iterative
Matrix Square Root Normalization. CVPR 2018, section 3.2. https://arxiv.org/abs/1712.01034
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .block import AttentionBlock, check_counts, check_feature_map


class GSoPBlock(AttentionBlock):
    """Scale each channel by a gate that sees the covariances of all channels, not just their means.

    Args:
        channels: C of the input.
        reduced_channels: d, the channels that the covariance is taken over.
        expansion: how many numbers each row of the covariance becomes before the last layer.

    Shape:
        input (N, C, H, W) with at least two positions -> output (N, C, H, W); mask (N, C, 1, 1), each value in (0, 1).

    Raises:
        ValueError: if an argument is not a whole number of at least 1; if the input is not (N, C, H, W), or has a
            single position, which has no covariance.
    """

    def __init__(self, channels: int, reduced_channels: int = 128, expansion: int = 4):
        super().__init__()
        check_counts(type(self).__name__, channels=channels, reduced_channels=reduced_channels, expansion=expansion)
        rows = expansion * reduced_channels
        self.reduce = nn.Conv2d(channels, reduced_channels, 1)
        self.norm = nn.BatchNorm2d(reduced_channels)
        self.row_norm = nn.BatchNorm2d(reduced_channels)
        self.row_conv = nn.Conv2d(reduced_channels, rows, (reduced_channels, 1), groups=reduced_channels)
        self.expand = nn.Linear(rows, channels)  # a 1x1 convolution of a single position

    def mask(self, x: Tensor) -> Tensor:
        """The gate of every channel: (N, C, H, W) -> (N, C, 1, 1)."""
        check_feature_map(self, x, self.reduce.in_channels, positions=2)
        reduced = F.relu(self.norm(self.reduce(F.relu(x))))  # (N, d, H, W)
        covariance = covariance_pool(reduced)  # (N, d, d)
        rows = self.row_norm(covariance[..., None])[..., 0]  # (N, d, d): each row is a channel of the norm
        squeezed = self._convolve_rows(rows)  # (N, expansion * d)
        excitation = torch.sigmoid(self.expand(squeezed))  # (N, C)
        return excitation[:, :, None, None]

    def _convolve_rows(self, rows: Tensor) -> Tensor:
        """`row_conv` on (N, d, d) -> (N, expansion * d), as the small product per row that it is: far quicker."""
        kernels = self.row_conv.weight.view(rows.shape[1], -1, rows.shape[2])  # (d, expansion, d)
        return torch.einsum("nrc,rec->nre", rows, kernels).flatten(1) + cast(Tensor, self.row_conv.bias)


def covariance_pool(x: Tensor) -> Tensor:
    """How the channels vary together over the positions of each image.

    Args:
        x: (N, C, H, W) with at least two positions.

    Returns:
        (N, C, C), symmetric and positive semi-definite: the mean over positions of the products of the deviations
        from the channels' means (the biased estimate, 1 / (H * W)).

    Raises:
        ValueError: if x does not have four axes or has fewer than two positions.
    """
    if x.dim() != 4 or x.shape[2] * x.shape[3] < 2:
        raise ValueError(
            f"covariance_pool needs feature maps (N, C, H, W) with at least two positions, but was given "
            f"{tuple(x.shape)}; use a larger map, or x[None] for a single image."
        )
    features = x.flatten(2)  # (N, C, M)
    positions = features.shape[2]
    deviations = features - features.sum(dim=2, keepdim=True) / positions
    return deviations @ deviations.transpose(1, 2) / positions


def matrix_square_root(cov: Tensor, iterations: int = 5) -> Tensor:
    """The square root of covariances by coupled Newton-Schulz iteration: products only, quick, with a gradient.

    The iteration converges only near the identity: the matrix is divided by its trace before, and the root multiplied
    by the square root of the trace after.

    Args:
        cov: (..., C, C), symmetric and positive semi-definite.
        iterations: more are closer to the root; small eigenvalues need more. GSoP's release takes 3.

    Returns:
        (..., C, C), Y with Y @ Y close to cov.

    Raises:
        ValueError: if cov is not square, or iterations is not a whole number of at least 1.

    Example:
        >>> matrix_square_root(torch.diag(torch.tensor([4.0, 9.0])), iterations=10)
        tensor([[2., 0.],
                [0., 3.]])
    """
    check_counts("matrix_square_root", iterations=iterations)
    if cov.dim() < 2 or cov.shape[-1] != cov.shape[-2]:
        raise ValueError(
            f"matrix_square_root needs square matrices (..., C, C), but was given {tuple(cov.shape)}; "
            "make them with covariance_pool(x)."
        )
    identity = torch.eye(cov.shape[-1], dtype=cov.dtype, device=cov.device)
    trace = cov.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    trace = trace.clamp_min(torch.finfo(cov.dtype).tiny)  # a constant image: the root of zero is zero
    root = cov / trace  # Y, goes to the root
    inverse = identity.expand_as(cov)  # Z, goes to the inverse root
    for _ in range(iterations):
        step = (3 * identity - inverse @ root) / 2
        root, inverse = root @ step, step @ inverse
    return root * trace.sqrt()
