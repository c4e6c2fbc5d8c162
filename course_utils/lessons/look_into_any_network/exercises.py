"""The exercises of lesson 4.7: how a map of attention is made, laid on the picture, shown and tested."""

from collections.abc import Callable

import torch
from torch import Tensor

from ...check.engine import Draw, Inputs
from ...check.patches import blanked, draw_picture
from ...check.tasks import Task


def same_scale(maps: Tensor) -> Tensor:
    """Give the maps of several heads one scale: maps (heads, rows, columns) -> brightness of the same shape.

    Black, 0, is a weight of 0; white, 1, is the largest weight of all the maps.
    """
    return maps / maps.max()


def class_map(weights: Tensor, registers: int, grid: tuple[int, int]) -> Tensor:
    """Lay what the class token looks at on the picture: weights (heads, L, L) -> (heads, rows, columns).

    Token 0 is the class token, then come `registers` register tokens, then the patches of `grid`, (rows, columns),
    row after row. A map keeps its weights as they are.
    """
    rows, columns = grid
    return weights[:, 0, 1 + registers :].reshape(-1, rows, columns)


def one_and_average(rows: Tensor) -> tuple[float, float]:
    """Say how many keys one head looks at, and how many the average of the heads: rows (heads, keys) -> two numbers.

    `rows` are the weights of one query, each row more than 0 with the sum 1. A row looks at exp(-sum of w * log(w))
    keys: as many as would have that entropy if they shared the attention equally. The first number is the mean over
    the heads, the second belongs to the mean of the rows.
    """
    mean = rows.mean(dim=0)
    one = torch.exp(-(rows * rows.log()).sum(dim=1))  # (heads,)
    average = torch.exp(-(mean * mean.log()).sum())
    return one.mean().item(), average.item()


def hidden_weights(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Make the weights that a fused kernel does not return: query, key, value (heads, L, d) -> (heads, L, L).

    The kernel returns softmax(query @ key^T / sqrt(d) + bias) @ value; `bias` (heads, L, L) says how far apart two
    tokens are.
    """
    scores = query @ key.mT / query.shape[2] ** 0.5 + bias
    return scores.softmax(dim=2)


def deletion_curve(
    network: Callable[[Tensor], Tensor], image: Tensor, label: int, order: list[int], size: int
) -> Tensor:
    """Blank patches one after another, and note what is left: image (C, H, W) -> (len(order) + 1,) probabilities.

    `network` takes pictures (N, C, H, W) and returns logits (N, classes). Patches are `size` x `size`, counted row
    after row from 0; a blanked patch is 0 and stays blank. The first number is the whole picture's.
    """
    columns = image.shape[2] // size
    pictures = [image]
    for patch in order:
        top, left = patch // columns * size, patch % columns * size
        blanked = pictures[-1].clone()
        blanked[:, top : top + size, left : left + size] = 0
        pictures.append(blanked)
    return network(torch.stack(pictures)).softmax(dim=1)[:, label]


def unshifted_map(weights: Tensor, place: tuple[int, int], grid: tuple[int, int], side: int, shift: int) -> Tensor:
    """Lay one query's weights on the picture: weights (windows, heads, side**2, side**2) -> (heads, rows, columns).

    The network moved its `grid` of patches by `shift` up and to the left (what leaves comes in again on the other
    side), then cut it into windows of side x side, row after row, as the patches within one. `place` is the query's
    (row, column) on the picture; patches outside its window get 0.
    """
    rows, columns = grid
    row, column = (place[0] - shift) % rows, (place[1] - shift) % columns  # where the network moved the query
    window = row // side * (columns // side) + column // side
    token = row % side * side + column % side
    moved = weights.new_zeros(weights.shape[1], rows, columns)
    top, left = row // side * side, column // side * side
    moved[:, top : top + side, left : left + side] = weights[window, :, token].unflatten(1, (side, side))
    return moved.roll((shift, shift), dims=(1, 2))


def rotary_weights(query: Tensor, key: Tensor, angles: Tensor) -> Tensor:
    """Compare queries and keys with rotary positions: query, key (heads, L, d), angles (L, d / 2) -> (heads, L, L).

    Numbers 2i and 2i + 1 of a token are a point in a plane; it is turned by the token's angle i, from the first axis
    towards the second. Then come the scores, divided by sqrt(d), and the softmax over the keys.
    """

    def turned(x: Tensor) -> Tensor:
        first, second = x[..., 0::2], x[..., 1::2]
        pair = first * angles.cos() - second * angles.sin(), first * angles.sin() + second * angles.cos()
        return torch.stack(pair, dim=-1).flatten(-2)

    scores = turned(query) @ turned(key).mT / query.shape[2] ** 0.5
    return scores.softmax(dim=2)


def _laid(row: Tensor, grid: tuple[int, int]) -> Tensor:
    return row[:, : grid[0] * grid[1]].unflatten(1, grid)


def _spread(rows: Tensor) -> Tensor:
    return torch.exp(-(rows * rows.log()).sum(dim=-1))


def _both(rows: Tensor, count: Callable[[Tensor], Tensor]) -> tuple[float, float]:
    """`one_and_average` with keys that are counted in another way."""
    return count(rows).mean().item(), count(rows.mean(dim=0)).item()


def _output(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    return hidden_weights(query, key, value, bias) @ value


def _curve(
    network: Callable[[Tensor], Tensor], image: Tensor, label: int, order: list[int], size: int, **options: bool
) -> Tensor:
    return network(blanked(image, order, size, **options)).softmax(dim=1)[:, label]


def _window(
    weights: Tensor,
    place: tuple[int, int],
    grid: tuple[int, int],
    side: int,
    shift: int,
    *,
    move: int = 1,
    back: int = 1,
    axes: tuple[int, ...] = (1, 2),
    down: bool = False,
    inside: bool = False,
) -> Tensor:
    """The map with the query moved by `move` shifts and the windows moved back by `back`, or with other orders."""
    rows, columns = grid
    row, column = (place[0] - move * shift) % rows, (place[1] - move * shift) % columns
    across, along = rows // side, columns // side
    window = column // side * across + row // side if down else row // side * along + column // side
    token = column % side * side + row % side if inside else row % side * side + column % side
    top, left = row // side * side, column // side * side
    moved = weights.new_zeros(weights.shape[1], rows, columns)
    moved[:, top : top + side, left : left + side] = weights[window, :, token].unflatten(1, (side, side))
    return moved.roll([back * shift] * len(axes), dims=axes)


def _rotary(
    query: Tensor,
    key: Tensor,
    angles: Tensor,
    *,
    asked: float = 1,
    given: float = 1,
    halves: bool = False,
    scale: float | None = None,
    axis: int = 2,
) -> Tensor:
    """The weights with queries and keys turned by some multiple of their angles, or in other pairs."""

    def turned(x: Tensor, by: float) -> Tensor:
        first, second = x.chunk(2, dim=-1) if halves else (x[..., 0::2], x[..., 1::2])
        cos, sin = (by * angles).cos(), (by * angles).sin()
        pair = first * cos - second * sin, first * sin + second * cos
        return torch.cat(pair, dim=-1) if halves else torch.stack(pair, dim=-1).flatten(-2)

    divisor = query.shape[2] ** 0.5 if scale is None else scale
    return (turned(query, asked) @ turned(key, given).mT / divisor).softmax(dim=axis)


def _rows_of(draw: Draw, *shape: int) -> Tensor:
    """Weights that sum to 1, some rows sharper than others."""
    return (draw.normal(*shape) * draw.uniform(*shape[:-1], 1, low=0.5, high=1.5)).softmax(dim=-1)


def _draw_maps(draw: Draw) -> Inputs:
    heads, rows, columns = draw.integer(3, 4), draw.integer(2, 3), draw.integer(4, 5)
    kept = draw.uniform(heads, 1, low=0.4, high=0.9)
    return ((kept * _rows_of(draw, heads, rows * columns)).unflatten(1, (rows, columns)),)


def _draw_tokens(draw: Draw) -> Inputs:
    registers, grid = draw.choice((2, 4)), (3, draw.integer(5, 6))  # no two sizes are equal
    tokens = 1 + registers + grid[0] * grid[1]
    return _rows_of(draw, 7, tokens, tokens), registers, grid


def _draw_attention(draw: Draw) -> Inputs:
    heads, tokens, width = draw.integer(2, 3), draw.integer(6, 7), draw.choice((5, 8))  # 2 is half of 4, and its root
    query, key, value = (draw.normal(heads, tokens, width) for _ in range(3))
    return query, key, value, draw.normal(heads, tokens, tokens, std=0.8)


def _draw_deletion(draw: Draw) -> Inputs:
    network, image, label, size = draw_picture(draw)
    patches = image[0].numel() // size**2
    some = patches if draw.turn == 0 else draw.integer(4, 6)  # some patches tell wrong places from right ones
    return network, image, label, draw.shuffled(range(patches))[:some], size


def _draw_windows(draw: Draw) -> Inputs:
    """Another window in each turn; in the first the query came in over the upper edge, in the second over the left."""
    side, shift = ((3, 1), (4, 1), (5, 2))[draw.turn]
    across, along = ((3, 2), (2, 3), (3, 4))[draw.turn]
    rows, columns = across * side, along * side
    row, column = ((rows - 1, side + 1), (2, columns - 1), (side + 2, 2 * side + 1))[draw.turn]
    weights = _rows_of(draw, across * along, draw.integer(2, 3), side**2, side**2)
    return weights, ((row + shift) % rows, (column + shift) % columns), (rows, columns), side, shift


def _draw_turns(draw: Draw) -> Inputs:
    heads, tokens, width = draw.integer(2, 3), draw.integer(4, 5), draw.choice((6, 8))
    frequencies = 0.9 ** torch.arange(width // 2) * draw.uniform(1, low=0.5, high=0.9)
    return (
        draw.normal(heads, tokens, width, std=1.3),
        draw.normal(heads, tokens, width, std=1.3),
        (torch.arange(tokens)[:, None] + draw.uniform(tokens, 1)) * frequencies,
    )


TASKS = (
    Task(
        same_scale,
        _draw_maps,
        mistakes={
            "each head by its own largest": lambda maps: maps / maps.amax(dim=(1, 2), keepdim=True),
            "each head stretched": lambda maps: (
                (maps - maps.amin(dim=(1, 2), keepdim=True))
                / (maps.amax(dim=(1, 2), keepdim=True) - maps.amin(dim=(1, 2), keepdim=True))
            ),
            "black is the smallest weight": lambda maps: (maps - maps.min()) / (maps.max() - maps.min()),
            "each place by its largest head": lambda maps: maps / maps.amax(dim=0),
            "each head by its sum": lambda maps: maps / maps.sum(dim=(1, 2), keepdim=True),
            "divided by the sum of all": lambda maps: maps / maps.sum(),
            "divided by the mean": lambda maps: maps / maps.mean(),
            "not rescaled": lambda maps: maps.clone(),
        },
    ),
    Task(
        class_map,
        _draw_tokens,
        mistakes={
            "off by the registers": lambda w, registers, grid: _laid(w[:, 0, 1:], grid),
            "off by one": lambda w, registers, grid: _laid(w[:, 0, registers:], grid),
            "off by all that is no patch": lambda w, registers, grid: _laid(w[:, 0], grid),
            "a register asks": lambda w, registers, grid: _laid(w[:, registers, 1 + registers :], grid),
            "the first patch asks": lambda w, registers, grid: _laid(w[:, 1 + registers, 1 + registers :], grid),
            "who looks at the class token": lambda w, registers, grid: _laid(w[:, 1 + registers :, 0], grid),
            "columns before rows": lambda w, registers, grid: _laid(w[:, 0, 1 + registers :], grid[::-1]).mT,
            "rows and columns exchanged": lambda w, registers, grid: class_map(w, registers, grid[::-1]),
            "averaged the heads": lambda *inputs: class_map(*inputs).mean(dim=0),
            "made the map sum to 1": lambda *inputs: (
                class_map(*inputs) / class_map(*inputs).sum(dim=(1, 2), keepdim=True)
            ),
            "left the patches in a row": lambda w, registers, grid: w[:, 0, 1 + registers :],
        },
    ),
    Task(
        one_and_average,
        lambda draw: (_rows_of(draw, draw.integer(3, 5), draw.integer(6, 9)),),
        mistakes={
            "averaged the heads before looking": lambda rows: (_spread(rows.mean(dim=0)).item(),) * 2,
            "never averaged the rows": lambda rows: (_spread(rows).mean().item(),) * 2,
            "in the other order": lambda rows: one_and_average(rows)[::-1],
            "averaged the entropies": lambda rows: (_spread(rows).log().mean().exp().item(), one_and_average(rows)[1]),
            "summed over the heads": lambda rows: (_spread(rows).sum().item(), one_and_average(rows)[1]),
            "the entropies themselves": lambda rows: _both(rows, lambda w: _spread(w).log()),
            "the sign is missing": lambda rows: _both(rows, lambda w: 1 / _spread(w)),
            "log2 with exp": lambda rows: _both(rows, lambda w: torch.exp(-(w * w.log2()).sum(dim=-1))),
            "averaged over the keys": lambda rows: _both(rows, lambda w: torch.exp(-(w * w.log()).mean(dim=-1))),
        },
    ),
    Task(
        hidden_weights,
        _draw_attention,
        mistakes={
            "output times values transposed": lambda q, k, v, bias: _output(q, k, v, bias) @ v.mT,
            "output times values transposed, then softmax": lambda q, k, v, bias: (
                _output(q, k, v, bias) @ v.mT / v.shape[2] ** 0.5
            ).softmax(dim=2),
            "output times the pseudo-inverse": lambda q, k, v, bias: _output(q, k, v, bias) @ torch.linalg.pinv(v),
            "left out the bias": lambda q, k, v, bias: hidden_weights(q, k, v, 0 * bias),
            "added the bias after the softmax": lambda q, k, v, bias: hidden_weights(q, k, v, 0 * bias) + bias,
            "divided the bias too": lambda q, k, v, bias: hidden_weights(q, k, v, bias / q.shape[2] ** 0.5),
            "multiplied by the bias": lambda q, k, v, bias: (q @ k.mT / q.shape[2] ** 0.5 * bias).softmax(dim=2),
            "forgot to divide": lambda q, k, v, bias: (q @ k.mT + bias).softmax(dim=2),
            "divided by d": lambda q, k, v, bias: (q @ k.mT / q.shape[2] + bias).softmax(dim=2),
            "softmax over the queries": lambda q, k, v, bias: (q @ k.mT / q.shape[2] ** 0.5 + bias).softmax(dim=1),
            "keys ask the queries": lambda q, k, v, bias: hidden_weights(k, q, v, bias),
            "the scores": lambda q, k, v, bias: q @ k.mT / q.shape[2] ** 0.5 + bias,
            "the output": _output,
        },
    ),
    Task(
        deletion_curve,
        _draw_deletion,
        mistakes={
            "earlier blanks are taken back": lambda *inputs: _curve(*inputs, keep=False),
            "without the whole picture": lambda *inputs: deletion_curve(*inputs)[1:],
            "the last patch first": lambda network, image, label, order, size: deletion_curve(
                network, image, label, order[::-1], size
            ),
            "logits": lambda network, image, label, order, size: network(blanked(image, order, size))[:, label],
            "patches revealed": lambda *inputs: _curve(*inputs, reveal=True),
            "the likeliest class": lambda network, image, label, order, size: deletion_curve(
                network, image, int(network(image[None]).argmax()), order, size
            ),
            "what was lost": lambda *inputs: deletion_curve(*inputs)[0] - deletion_curve(*inputs),
            "patches down the columns": lambda *inputs: _curve(*inputs, down=True),
            "patches counted from 1": lambda *inputs: _curve(*inputs, from_one=True),
            "the mean of the curve": lambda *inputs: deletion_curve(*inputs).mean(),
        },
    ),
    Task(
        unshifted_map,
        _draw_windows,
        mistakes={
            "windows left where they were moved": lambda *inputs: _window(*inputs, back=0),
            "the query was not moved": lambda *inputs: _window(*inputs, move=0),
            "no shift at all": lambda *inputs: _window(*inputs, move=0, back=0),
            "moved back the wrong way": lambda *inputs: _window(*inputs, back=-1),
            "the other way round": lambda *inputs: _window(*inputs, move=-1, back=-1),
            "rows alone": lambda *inputs: _window(*inputs, axes=(1,)),
            "columns alone": lambda *inputs: _window(*inputs, axes=(2,)),
            "windows down the columns": lambda *inputs: _window(*inputs, down=True),
            "patches down the columns": lambda *inputs: _window(*inputs, inside=True),
            "averaged the heads": lambda *inputs: unshifted_map(*inputs).mean(dim=0),
            "who looks at the query": lambda weights, *rest: unshifted_map(weights.mT, *rest),
        },
    ),
    Task(
        rotary_weights,
        _draw_turns,
        mistakes={
            "forgot the angles": lambda *inputs: _rotary(*inputs, asked=0, given=0),
            "turned the queries alone": lambda *inputs: _rotary(*inputs, given=0),
            "turned the keys alone": lambda *inputs: _rotary(*inputs, asked=0),
            "keys the other way": lambda *inputs: _rotary(*inputs, given=-1),
            "turned the wrong way round": lambda *inputs: _rotary(*inputs, asked=-1, given=-1),
            "pairs of two halves": lambda *inputs: _rotary(*inputs, halves=True),
            "turned twice": lambda *inputs: _rotary(*inputs, asked=2, given=2),
            "forgot to divide": lambda *inputs: _rotary(*inputs, scale=1.0),
            "divided by d": lambda query, key, angles: _rotary(query, key, angles, scale=query.shape[2]),
            "softmax over the queries": lambda *inputs: _rotary(*inputs, axis=1),
            "added the angles": lambda query, key, angles: _rotary(
                query + angles.repeat_interleave(2, dim=1), key + angles.repeat_interleave(2, dim=1), 0 * angles
            ),
        },
    ),
)
