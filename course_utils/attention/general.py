"""The general attention model: any score, any alignment, one context.

Brauwers, Frasincar. A General Survey on Attention Mechanisms in Deep Learning. IEEE TKDE 35(4), 2023, section 2.
https://arxiv.org/abs/2203.14263
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from .alignments import align, check_alignment
from .block import AttentionBlock


class GeneralAttention(AttentionBlock):
    """Score each key for each query, align the scores to weights, and sum the values by weight.

    Args:
        score: (N, Q, dq), (N, K, dk) -> (N, Q, K), such as `score("general", dq, dk)`.
        alignment: a name that `align` knows, or a function (scores, attn_mask) -> weights.
        **options: those of the named alignment. Instead of a fixed tensor, `center` may be a `PredictiveCenter` and
            `keep` a `SubsetAgent`; they then choose again in each pass, and are trained with the block.

    Shape:
        query (N, Q, dq), keys (N, K, dk), values (N, K, dv) -> context (N, Q, dv); mask (N, Q, K).

    Raises:
        ValueError: if the alignment or an option is unknown, or a shape does not fit.

    With alignment="hard" and estimator="reinforce" no gradient runs from the context into the draw; the
    score-function term is the sum over the keys of the recorded mask (see `align`).

    Example:
        >>> attention = GeneralAttention(score("additive", 16, 8), "local", center=PredictiveCenter(16), window=3)
        >>> attention(torch.randn(2, 5, 16), torch.randn(2, 9, 8), torch.randn(2, 9, 4)).shape
        torch.Size([2, 5, 4])
    """

    def __init__(
        self,
        score: Callable[[Tensor, Tensor], Tensor],
        alignment: str | Callable[[Tensor, Tensor | None], Tensor],
        **options: Any,
    ):
        super().__init__()
        if isinstance(alignment, str):
            check_alignment(alignment, options)
        elif options:
            raise ValueError(
                f"The options {', '.join(options)} belong to a named alignment, but this one is a function; bind them "
                "to it with functools.partial."
            )
        self.score, self.alignment = score, alignment
        self.choosers = nn.ModuleDict(
            {name: option for name, option in options.items() if isinstance(option, nn.Module)}
        )
        self.options = {name: option for name, option in options.items() if name not in self.choosers}

    def mask(self, query: Tensor, keys: Tensor, attn_mask: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """The weights of each query's keys: (N, Q, dq), (N, K, dk) -> (N, Q, K)."""
        scores = self.score(query, keys)
        if not isinstance(self.alignment, str):
            return self.alignment(scores, attn_mask)
        chosen = {}
        if "center" in self.choosers:
            chosen["center"] = self.choosers["center"](query, self.options.get("shape") or keys.shape[1])
        if "keep" in self.choosers:
            chosen["keep"] = self.choosers["keep"](query, keys)
        return align(self.alignment, scores, attn_mask, **self.options, **chosen)

    def forward(self, query: Tensor, keys: Tensor, values: Tensor, attn_mask: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """The context of each query: (N, Q, dv)."""
        if values.dim() != 3 or values.shape[:2] != keys.shape[:2]:
            raise ValueError(
                f"GeneralAttention needs a value for every key: keys {tuple(keys.shape)} need values "
                f"{(*keys.shape[:2], 'dv')}, but were given {tuple(values.shape)}."
            )
        weights = self.record(self.mask(query, keys, attn_mask))
        if self.options.get("estimator") == "reinforce":
            weights = weights.detach()
        return weights @ values
