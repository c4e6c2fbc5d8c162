"""The small modules that choose where an alignment looks: a center for "local", a subset for "reinforced".

Luong, Pham, Manning. Effective Approaches to Attention-based Neural Machine Translation. EMNLP 2015, section 3.2.
https://arxiv.org/abs/1508.04025
Shen et al. Reinforced Self-Attention Network. IJCAI 2018, section 3. https://arxiv.org/abs/1801.10296
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .scores import score


class PredictiveCenter(nn.Module):
    """p = S * sigmoid(w^T tanh(W_p q)): each query says where among the keys it wants to look.

    The keys inside the window follow from p by comparison, so p learns only through `gaussian=True`. (The other
    center of the paper, monotonic, learns nothing: p = t is `torch.arange(Q)`.)

    Args:
        query_dim: dq.
        hidden_dim: rows of W_p; query_dim unless given.
        axes: 1 for keys on a line, 2 for the positions of a picture.

    Shape:
        query (N, Q, dq) -> (N, Q) with one axis, (N, Q, 2) as (row, column) with two.

    Raises:
        ValueError: if axes is not 1 or 2, a width is less than 1, or the input or size does not fit.
    """

    def __init__(self, query_dim: int, hidden_dim: int | None = None, axes: int = 1):
        super().__init__()
        hidden_dim = query_dim if hidden_dim is None else hidden_dim
        if axes not in (1, 2) or min(query_dim, hidden_dim) < 1:
            raise ValueError(
                f"PredictiveCenter(query_dim={query_dim}, hidden_dim={hidden_dim}, axes={axes}) needs widths of at "
                "least 1, and axes=1 for a line or axes=2 for a picture."
            )
        self.project = nn.Linear(query_dim, hidden_dim, bias=False)  # W_p
        self.vector = nn.Linear(hidden_dim, axes, bias=False)  # w, one for each axis

    def forward(self, query: Tensor, size: int | tuple[int, int]) -> Tensor:
        """The centers of the queries, where `size` is S, the number of keys, or (H, W) on a picture."""
        extents = (size,) if isinstance(size, int) else tuple(size)
        axes, width = self.vector.out_features, self.project.in_features
        if len(extents) != axes or query.dim() != 3 or query.shape[2] != width:
            raise ValueError(
                f"PredictiveCenter with axes={axes} needs query (N, Q, {width}) and the size as "
                f"{'a number of keys' if axes == 1 else '(H, W)'}, but was given {tuple(query.shape)} and {size}."
            )
        share = torch.sigmoid(self.vector(torch.tanh(self.project(query))))  # (N, Q, axes), in (0, 1)
        centers = share * torch.tensor(extents, device=share.device, dtype=share.dtype)
        return centers.squeeze(2) if axes == 1 else centers


class SubsetAgent(nn.Module):
    """Choose, for each query, which keys take part: each one kept or dropped by a coin of its own bias.

    The bias is the sigmoid of an additive score. In training the coins are tossed; in evaluation a key stays if it is
    more likely kept than not. A choice has no gradient, so the agent learns from `log_probability` by REINFORCE.

    Args:
        query_dim: dq.
        key_dim: dk.
        hidden_dim: width of the additive score; key_dim unless given.

    Shape:
        query (N, Q, dq), keys (N, K, dk) -> boolean (N, Q, K).

    Raises:
        ValueError: if a width is less than 1, or an input does not fit.

    Example:
        >>> keep = agent(query, keys)
        >>> losses = task_loss(align("reinforced", scores, keep=keep) @ values)   # (N, Q)
        >>> advantage = losses.detach() - baseline
        >>> (losses + advantage * agent.log_probability(query, keys, keep)).mean().backward()
    """

    def __init__(self, query_dim: int, key_dim: int, hidden_dim: int | None = None):
        super().__init__()
        self.policy = score("additive", query_dim, key_dim, hidden_dim)

    def forward(self, query: Tensor, keys: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The choice: True where a key is kept."""
        chance = torch.sigmoid(self.policy(query, keys).detach().float())
        if not self.training:
            return chance > 0.5
        return torch.rand(chance.shape, generator=generator, device=chance.device) < chance

    def log_probability(self, query: Tensor, keys: Tensor, keep: Tensor) -> Tensor:
        """The log-probability of a choice, with its gradient: keep (N, Q, K) -> (N, Q)."""
        logits = self.policy(query, keys)
        return -F.binary_cross_entropy_with_logits(logits, keep.to(logits.dtype), reduction="none").sum(dim=-1)
