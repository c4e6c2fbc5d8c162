"""Multi-head attention: several small attentions side by side, each with its own view of queries, keys and values.

Vaswani et al. Attention Is All You Need. NeurIPS 2017, section 3.2.2. https://arxiv.org/abs/1706.03762
"""

from torch import Tensor, nn

from .block import AttentionBlock
from .dot_product import attention_weights, fused_attention


class MultiHeadAttention(AttentionBlock):
    """Let each of `num_heads` heads attend in its own slice of the width, then mix the heads.

    Head h works in columns h * d to (h + 1) * d of the three projections, d = embed_dim // num_heads, and divides its
    scores by sqrt(d): the width of a head, not of the model. A plain pass takes torch's fused kernel; the weights are
    made only when `mask`, `need_weights` or `record_masks` asks for them.

    Args:
        embed_dim: width of queries, keys, values and output.
        num_heads: number of heads; must divide embed_dim.
        bias: whether the four layers have biases.

    Shape:
        query (N, Q, embed_dim), key and value (N, K, embed_dim) -> output (N, Q, embed_dim);
        mask (N, num_heads, Q, K), rows sum to 1.

    Raises:
        ValueError: if num_heads does not divide embed_dim.
    """

    def __init__(self, embed_dim: int, num_heads: int, bias: bool = True):
        super().__init__()
        if embed_dim < 1 or num_heads < 1 or embed_dim % num_heads:
            fitting = [heads for heads in range(1, embed_dim + 1) if embed_dim % heads == 0]
            raise ValueError(
                f"{type(self).__name__}(embed_dim={embed_dim}, num_heads={num_heads}) cannot share {embed_dim} columns "
                f"equally among {num_heads} heads; use a num_heads that divides embed_dim: {fitting}."
            )
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.query = nn.Linear(embed_dim, embed_dim, bias=bias)
        self.key = nn.Linear(embed_dim, embed_dim, bias=bias)
        self.value = nn.Linear(embed_dim, embed_dim, bias=bias)
        self.output = nn.Linear(embed_dim, embed_dim, bias=bias)

    def mask(self, query: Tensor, key: Tensor | None = None, attn_mask: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """The weights of every head: query (N, Q, embed_dim), key (N, K, embed_dim) -> (N, num_heads, Q, K)."""
        key = query if key is None else key
        self._check(query, key, key)
        return attention_weights(self._split(self.query(query)), self._split(self.key(key)), self._spread(attn_mask))

    def forward(  # type: ignore[override]
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        attn_mask: Tensor | None = None,
        need_weights: bool = False,
        read: int | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Self-attention of `query` alone, or cross-attention to `key` and `value`.

        Args:
            query: (N, Q, embed_dim).
            key: (N, K, embed_dim); the queries themselves unless given.
            value: (N, K, embed_dim); the keys themselves unless given.
            attn_mask: boolean, True means "may attend" (`nn.MultiheadAttention` has it the other way round); of shape
                (Q, K), (N, Q, K) for all heads alike, or (N, num_heads, Q, K), where any axis may be 1. A query with
                every key masked gets a zero context, so its output is the bias of `output`.
            need_weights: whether to return the weights too.
            read: make the output of the first `read` queries alone; the recorded weights are those of all.

        Returns:
            output (N, Q, embed_dim), or (output, weights) with weights (N, num_heads, Q, K).

        Raises:
            ValueError: if a width, a length or the mask does not fit.
        """
        key = query if key is None else key
        value = key if value is None else value
        context, weights = self._attend(query, key, value, attn_mask, need_weights, read)
        return (context, weights) if need_weights and weights is not None else context

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None,
        need_weights: bool,
        read: int | None = None,
        windows: tuple[int, ...] = (),
    ) -> tuple[Tensor, Tensor | None]:
        """The output, and the weights if they were made; `windows` is what the first axis of the recorded mask is."""
        self._check(query, key, value)
        attn_mask = self._spread(attn_mask)
        asked = None if self.followed else read
        q = self._split(self.query(query[:, :asked]))
        k, v = self._split(self.key(key)), self._split(self.value(value))
        weights, changed = None, False
        if need_weights or self.recording:
            asking = q if asked is None else self._split(self.query(query))
            mask = attention_weights(asking, k, attn_mask)
            recorded = mask.unflatten(0, windows) if windows else mask
            used = self.record(recorded)
            changed = used is not recorded
            weights = used.flatten(0, 1) if windows else used
        if weights is not None and (need_weights or changed):
            context = weights[:, :, :read] @ v
        else:
            context = fused_attention(q, k, v, attn_mask if attn_mask is None else attn_mask[..., :asked, :])
            context = context[:, :, :read]
        merged = context.transpose(1, 2).flatten(2)  # (N, heads, Q, d) -> (N, Q, embed_dim)
        return self.output(merged), weights

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)  # (N, L, embed_dim) -> (N, heads, L, d)

    @staticmethod
    def _spread(attn_mask: Tensor | None) -> Tensor | None:
        return attn_mask[:, None] if attn_mask is not None and attn_mask.dim() == 3 else attn_mask

    def _check(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        for name, x in (("query", query), ("key", key), ("value", value)):
            if x.dim() != 3 or x.shape[2] != self.embed_dim:
                cure = {2: "add the batch axis with x[None]", 4: "flatten a map with x.flatten(2).transpose(1, 2)"}
                other = f"project it to width {self.embed_dim} or build the block for its own"
                raise ValueError(
                    f"{type(self).__name__} needs its {name} as (N, length, {self.embed_dim}), but was given "
                    f"{tuple(x.shape)}; {cure.get(x.dim(), other)}."
                )
        if not len(query) == len(key) == len(value) or key.shape[1] != value.shape[1]:
            raise ValueError(
                f"{type(self).__name__} needs one batch size and a value for every key, but was given query "
                f"{tuple(query.shape)}, key {tuple(key.shape)}, value {tuple(value.shape)}."
            )
