"""The lesson's widget on heads: a small vision transformer joined to `HeadGrid`."""

import copy
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from ...attention import Tokens, find_tokens, record_masks
from ...data import ImageSet
from ...models import VisionTransformer
from ...models.page_graph import page_graph
from ...names import check_name
from ..base import both_or_neither
from ..pictures import on_cued_digits
from .widget import MASKS, HeadGrid

_MOST_PICTURES = 6
_MOST_PARAMETERS = 500_000
_MOST_HEADS = 32


def explore_head_grid(
    network: VisionTransformer | None = None,
    data: ImageSet | None = None,
    *,
    picture: int = 0,
    query: Sequence[int] | None = None,
    chosen: Sequence[int] | None = None,
    off: Sequence[Sequence[int]] = (),
    mask: str = "none",
) -> HeadGrid:
    """See what every head of every layer weighs for one query, knock heads out, and switch masks.

    Args:
        network: a small vision transformer; it is copied to the CPU, yours stays as it is. None: the course's own,
            trained on cued digits, with six of its test pictures.
        data: images and labels for `network`; the first six are shown.
        picture: index of the picture shown first.
        query: (row, column) of the patch shown first; the class token unless given.
        chosen: (layer, head), counted from 1, that is shown large; the last unless given.
        off: (layer, head) of every head to knock out.
        mask: who may attend to whom, as in `token_mask`.

    Raises:
        ValueError: if only one of network and data is given, the network is too large for a page, or there is no such
            picture, patch, head or mask.

    Example:
        >>> explore_head_grid(off=[(1, 3), (1, 4)])
        >>> explore_head_grid(network, cued_digits(6, seed=1))
    """
    both_or_neither("explore_head_grid", network=network, data=data)
    if network is None or data is None:
        trained, data, made = on_cued_digits("vit_cued_digits", _MOST_PICTURES, seed=3)
        network = cast(VisionTransformer, trained)
    else:
        made = "network, images = network.eval(), data.images  # network, data: what you gave"
    images = data.images[:_MOST_PICTURES].cpu()
    if not len(images):
        raise ValueError("data holds no picture; give at least one.")
    pictures = [
        {
            "label": f"picture {i + 1}, class {label}",
            "input": image,
            "answer": label,
            "code": f"{made}\nimage = images[{i} : {i + 1}]",
        }
        for i, (image, label) in enumerate(zip(images, data.labels.tolist(), strict=False))
    ]
    network = copy.deepcopy(network).cpu().eval()
    with torch.no_grad(), record_masks(network) as masks:
        network(images[:1])  # which says what is wrong with the pictures
    depth, heads = len(masks), next(iter(masks.values())).shape[1]
    _check_size(network, depth * heads)
    queries = cast(Tokens, next(iter(find_tokens(network, images[:1]).values())).queries)  # a class token and patches
    rows, columns = cast(tuple[int, int], queries.grid)
    return HeadGrid(
        depth,
        heads,
        (rows, columns),
        **page_graph(network),
        pictures=pictures,
        picture=picture,
        query=(rows, 0) if query is None else query,
        chosen=(depth, heads) if chosen is None else chosen,
        off=off,
        mask=mask,
    )


def token_mask(name: str, rows: int, columns: int) -> Tensor | None:
    """The attention masks of the widget, for a class token and rows x columns patches.

    Args:
        name: "none"; "causal", each token sees itself and what comes before it; "window 1", "window 2", "window 3", a
            patch sees patches at most so many rows and columns away, the class token all, and all see it; "padding",
            the lower half of the patches is seen by nobody.
        rows: of patches.
        columns: of patches.

    Returns:
        (L, L) bool with L = 1 + rows * columns, True where a query (first axis) may attend; None for "none".

    Raises:
        ValueError: for another name.
    """
    check_name("mask", name, MASKS)
    length = 1 + rows * columns
    if name == "none":
        return None
    if name == "causal":
        return torch.ones(length, length, dtype=torch.bool).tril()
    mask = torch.ones(length, length, dtype=torch.bool)
    if name == "padding":
        mask[:, 1 + (rows + 1) // 2 * columns :] = False
        return mask
    places = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))  # (rows * columns, 2)
    away = (places[:, None] - places).abs().amax(dim=2)
    mask[1:, 1:] = away <= int(name.removeprefix("window "))
    return mask


def _check_size(network: VisionTransformer, heads: int) -> None:
    parameters = sum(parameter.numel() for parameter in network.parameters())
    if parameters > _MOST_PARAMETERS or heads > _MOST_HEADS:
        raise ValueError(
            f"The page runs the network itself, so it may have {_MOST_PARAMETERS:,} parameters and {_MOST_HEADS} heads "
            f"at most; this one has {parameters:,} and {heads}. `network.attention_weights(images)` gives its weights."
        )
