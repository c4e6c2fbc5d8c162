"""Self-attention on a feature map: every position gathers values from all the others.

Zhang, Goodfellow, Metaxas, Odena. Self-Attention Generative Adversarial Networks. ICML 2019, section 3.
https://arxiv.org/abs/1805.08318
As in the paper there is no 1 / sqrt(d). Its release also pools keys and values and puts spectral norm on all four
convolutions: pooling is an option here, spectral norm is left to the GAN.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .block import AttentionBlock, check_counts, check_feature_map


class SelfAttention2d(AttentionBlock):
    """Add to each position what it gathers from all positions, weighted by how well its query meets their keys.

    The paper's letters: `key` is f, `query` is g, `value` is h, `output` is v. `gamma` starts at 0, so that a new
    block changes nothing until training asks for it.

    Args:
        channels: C of the input.
        key_channels: width of queries and keys; C // 8 by default.
        value_channels: width of the values; C // 2 by default.
        pool: whether keys and values are max-pooled 2x2, which leaves a quarter of the keys.
        bias: whether the four 1x1 convolutions have biases.

    Shape:
        input (N, C, H, W) -> output (N, C, H, W); mask (N, H*W, keys): row i holds the weights with which position i
        gathers, each in [0, 1], sum 1. There are H*W keys, with pool (H // 2) * (W // 2).

    Raises:
        ValueError: if a width is not a whole number of at least 1 (C // 8 is 0 below 8 channels); if the input is not
            (N, C, H, W), or too small to pool.
    """

    def __init__(
        self,
        channels: int,
        key_channels: int | None = None,
        value_channels: int | None = None,
        pool: bool = False,
        bias: bool = False,
    ):
        super().__init__()
        name = type(self).__name__
        check_counts(name, channels=channels)
        key_channels = channels // 8 if key_channels is None else key_channels
        value_channels = channels // 2 if value_channels is None else value_channels
        check_counts(name, key_channels=key_channels, value_channels=value_channels)
        self.pool = pool
        self.key = nn.Conv2d(channels, key_channels, 1, bias=bias)
        self.query = nn.Conv2d(channels, key_channels, 1, bias=bias)
        self.value = nn.Conv2d(channels, value_channels, 1, bias=bias)
        self.output = nn.Conv2d(value_channels, channels, 1, bias=bias)
        self.gamma = nn.Parameter(torch.zeros(1))

    def mask(self, x: Tensor) -> Tensor:
        """The weights: (N, C, H, W) -> (N, H*W, keys), softmax over the keys."""
        query, key, _ = self._project(x)
        return self._weights(query, key)

    def forward(self, x: Tensor) -> Tensor:
        """gamma * v(gathered values) + x, by torch's fused path; the weights are made only while someone records."""
        query, key, value = self._project(x)
        weights = self._weights(query, key) if self.recording else None
        used = weights if weights is None else self.record(weights)
        context = _fused(query, key, value) if used is None or used is weights else used @ value
        context = context.transpose(1, 2).unflatten(2, x.shape[2:])  # (N, value_channels, H, W)
        return torch.addcmul(x, self.gamma, self.output(context))

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The queries (N, H*W, key_channels), keys (N, keys, key_channels) and values (N, keys, value_channels)."""
        check_feature_map(self, x, self.query.in_channels)
        # With channels last each convolution gives rows, one a position, that need no copy to become a matrix.
        x = x.contiguous(memory_format=torch.channels_last)
        query, key, value = self.query(x), self.key(x), self.value(x)
        if self.pool:
            if min(x.shape[2:]) < 2:
                raise ValueError(
                    f"SelfAttention2d(pool=True) needs H and W of at least 2, but was given {tuple(x.shape)}; "
                    "use a larger map or pool=False."
                )
            key, value = F.max_pool2d(key, 2), F.max_pool2d(value, 2)
        query, key, value = (rows.flatten(2).transpose(1, 2) for rows in (query, key, value))
        return query, key, value

    @staticmethod
    def _weights(query: Tensor, key: Tensor) -> Tensor:
        return torch.softmax(query @ key.transpose(1, 2), dim=2)


def _fused(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(query @ key^T) @ value without the matrix of weights, (N, Q, d), (N, K, d), (N, K, v) -> (N, Q, v).

    On CPU torch fuses only where queries, keys and values are equally wide: zeros change no product, so they fill up.
    """
    width = max(query.shape[2], value.shape[2])
    query, key, wide = (F.pad(rows, (0, width - rows.shape[2]))[:, None] for rows in (query, key, value))
    context = F.scaled_dot_product_attention(query, key, wide, scale=1.0)  # (N, 1, Q, width): a single head
    return context[:, 0, :, : value.shape[2]]
