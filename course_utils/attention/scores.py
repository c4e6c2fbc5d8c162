"""Scores: how well a key answers a query, in the eight ways of the general attention model.

Brauwers, Frasincar. A General Survey on Attention Mechanisms in Deep Learning. IEEE TKDE 35(4), 2023, section 3.2.1.
https://arxiv.org/abs/2203.14263

For a query q of width dq and a key k of width dk. Three formulas are often printed with a slip; here they read so:

- biased general is k^T (W q + b): b is a vector of width dk that meets the key. In k^T W q + b it could only be a
  number, which a softmax would cancel.
- activated general is act(k^T W q + b): its b is a number, since k^T W q is one.
- the euclidean similarity is MINUS the distance: what is near must score high.

Additive and concat are one function when W = [W_1 W_2]; concat makes the long vectors [q; k], additive does not.
"""

import difflib
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def score(name: str, query_dim: int, key_dim: int, hidden_dim: int | None = None) -> "Score":
    """Build a score function by its name.

    Args:
        name: additive, concat, multiplicative, scaled_multiplicative, general, biased_general, activated_general,
            similarity_euclidean or similarity_cosine.
        query_dim: dq, the width of a query.
        key_dim: dk, the width of a key.
        hidden_dim: dw, the width in which additive and concat compare; key_dim unless given.

    Returns:
        A module, (N, Q, dq), (N, K, dk) -> (N, Q, K).

    Raises:
        ValueError: if the name is unknown, a width is less than 1, the score needs equal widths, or hidden_dim is
            given to a score that has none.

    Example:
        >>> score("general", query_dim=16, key_dim=8)(torch.randn(2, 5, 16), torch.randn(2, 7, 8)).shape
        torch.Size([2, 5, 7])
    """
    if name not in SCORES:
        near = difflib.get_close_matches(name, SCORES, n=1)
        meant = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"There is no score {name!r}; {meant}The scores are {', '.join(SCORES)}.")
    if min(query_dim, key_dim, 1 if hidden_dim is None else hidden_dim) < 1:
        raise ValueError(
            f"score({name!r}, query_dim={query_dim}, key_dim={key_dim}, hidden_dim={hidden_dim}) needs widths of at "
            "least 1."
        )
    if name in ("additive", "concat"):
        return SCORES[name](query_dim, key_dim, key_dim if hidden_dim is None else hidden_dim)
    if hidden_dim is not None:
        raise ValueError(f"The score {name!r} has no hidden width; leave hidden_dim={hidden_dim} out.")
    return SCORES[name](query_dim, key_dim)


class Score(nn.Module):
    """What all scores share: they compare each of Q queries with each of K keys.

    Shape:
        query (N, Q, dq), keys (N, K, dk) -> scores (N, Q, K).

    Raises:
        ValueError: if an input has not three axes, another width than the score was built for, or the batch differs.
    """

    def __init__(self, query_dim: int, key_dim: int):
        super().__init__()
        self.query_dim, self.key_dim = query_dim, key_dim

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Every query against every key."""
        for name, x, width in (("query", query, self.query_dim), ("keys", keys, self.key_dim)):
            if x.dim() != 3 or x.shape[2] != width:
                cure = "add the batch axis with x[None]" if x.dim() == 2 else f"build the score for its {x.shape[-1]}"
                raise ValueError(
                    f"{type(self).__name__} needs its {name} as (N, length, {width}), but was given {tuple(x.shape)}; "
                    f"{cure}."
                )
        if len(query) != len(keys):
            raise ValueError(
                f"{type(self).__name__} needs one batch size, but was given query {tuple(query.shape)} and keys "
                f"{tuple(keys.shape)}; repeat the smaller batch with expand."
            )
        return self.compare(query, keys)

    def compare(self, query: Tensor, keys: Tensor) -> Tensor:
        """The formula of the score."""
        raise NotImplementedError(f"{type(self).__name__} must say how it compares: write compare(self, query, keys)")


class Additive(Score):
    """w^T tanh(W_1 q + W_2 k + b): `query` is W_1, `key` is W_2 with b, `vector` is w."""

    def __init__(self, query_dim: int, key_dim: int, hidden_dim: int):
        super().__init__(query_dim, key_dim)
        self.query = nn.Linear(query_dim, hidden_dim, bias=False)
        self.key = nn.Linear(key_dim, hidden_dim)
        self.vector = nn.Linear(hidden_dim, 1, bias=False)

    def compare(self, query: Tensor, keys: Tensor) -> Tensor:
        """Project both, add each pair, squash, weigh."""
        pairs = self.query(query)[:, :, None] + self.key(keys)[:, None]  # (N, Q, 1, dw) + (N, 1, K, dw)
        return self.vector(torch.tanh(pairs)).squeeze(3)


class Concat(Score):
    """w^T tanh(W [q; k] + b): `joint` is W with b, `vector` is w."""

    def __init__(self, query_dim: int, key_dim: int, hidden_dim: int):
        super().__init__(query_dim, key_dim)
        self.joint = nn.Linear(query_dim + key_dim, hidden_dim)
        self.vector = nn.Linear(hidden_dim, 1, bias=False)

    def compare(self, query: Tensor, keys: Tensor) -> Tensor:
        """Put each query beside each key, project the pair, squash, weigh."""
        size = (-1, query.shape[1], keys.shape[1], -1)
        pairs = torch.cat([query[:, :, None].expand(size), keys[:, None].expand(size)], dim=3)  # (N, Q, K, dq + dk)
        return self.vector(torch.tanh(self.joint(pairs))).squeeze(3)


class Multiplicative(Score):
    """q^T k, the dot product; needs dq = dk."""

    def __init__(self, query_dim: int, key_dim: int):
        super().__init__(query_dim, key_dim)
        if query_dim != key_dim:
            raise ValueError(
                f"{type(self).__name__} compares number by number, but was given query_dim={query_dim} and "
                f'key_dim={key_dim}; use "general", whose W turns one width into the other.'
            )

    def compare(self, query: Tensor, keys: Tensor) -> Tensor:
        """The dot product of each pair."""
        return query @ keys.transpose(1, 2)


class ScaledMultiplicative(Multiplicative):
    """q^T k / sqrt(dk), where dk is the width of each key; needs dq = dk."""

    def compare(self, query: Tensor, keys: Tensor) -> Tensor:
        """The dot product of each pair, kept from growing with the width."""
        return super().compare(query * self.key_dim**-0.5, keys)


class General(Score):
    """k^T W q: `weight` is W of shape (dk, dq)."""

    bias = False

    def __init__(self, query_dim: int, key_dim: int):
        super().__init__(query_dim, key_dim)
        self.weight = nn.Linear(query_dim, key_dim, bias=self.bias)

    def compare(self, query: Tensor, keys: Tensor) -> Tensor:
        """Turn the query into the keys' space, then the dot product."""
        return self.weight(query) @ keys.transpose(1, 2)


class BiasedGeneral(General):
    """k^T (W q + b): `weight` is W of shape (dk, dq), with b of shape (dk,)."""

    bias = True


class ActivatedGeneral(General):
    """tanh(k^T W q + b): `weight` is W of shape (dk, dq), `scalar` is the number b."""

    def __init__(self, query_dim: int, key_dim: int):
        super().__init__(query_dim, key_dim)
        self.scalar = nn.Parameter(torch.zeros(()))

    def compare(self, query: Tensor, keys: Tensor) -> Tensor:
        """The general score, shifted and squashed into (-1, 1)."""
        return torch.tanh(super().compare(query, keys) + self.scalar)


class EuclideanSimilarity(Multiplicative):
    """-|q - k|: minus the (unsquared) distance, so that the nearest key scores highest; needs dq = dk."""

    def compare(self, query: Tensor, keys: Tensor) -> Tensor:
        """Minus the distance of each pair, exact where they meet."""
        exact = torch.promote_types(query.dtype, torch.float32)
        distance = torch.cdist(query.to(exact), keys.to(exact), compute_mode="donot_use_mm_for_euclid_dist")
        return -distance.to(query.dtype)


class CosineSimilarity(Multiplicative):
    """q^T k / (|q| |k|), in [-1, 1]; 0 for a vector of zeros; needs dq = dk."""

    def compare(self, query: Tensor, keys: Tensor) -> Tensor:
        """The dot product of each pair's directions."""
        exact = torch.promote_types(query.dtype, torch.float32)
        directions = F.normalize(query.to(exact), dim=2), F.normalize(keys.to(exact), dim=2)
        return super().compare(*directions).to(query.dtype)


SCORES: dict[str, Callable[..., Score]] = {
    "additive": Additive,
    "concat": Concat,
    "multiplicative": Multiplicative,
    "scaled_multiplicative": ScaledMultiplicative,
    "general": General,
    "biased_general": BiasedGeneral,
    "activated_general": ActivatedGeneral,
    "similarity_euclidean": EuclideanSimilarity,
    "similarity_cosine": CosineSimilarity,
}
