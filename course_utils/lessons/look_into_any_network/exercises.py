"""The exercises of lesson 4.7: how a map of attention is made, laid on the picture, shown and tested."""

from collections.abc import Callable

import torch
from torch import Tensor

from ...check.engine import Draw, Inputs
from ...check.patches import draw_picture
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
            "each head stretched": {
                "return ": "maps = maps - maps.amin(dim=(1, 2), keepdim=True)\n    return ",
                "maps.max()": "maps.amax(dim=(1, 2), keepdim=True)",
            },
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
            "off by the registers": {"1 + registers :": "1 : 1 + rows * columns"},
            "off by one": {"1 + registers :": "registers : registers + rows * columns"},
            "off by all that is no patch": {"1 + registers :": ": rows * columns"},
            "a register asks": {"0, 1": "registers, 1"},
            "the first patch asks": {"0, 1": "1 + registers, 1"},
            "who looks at the class token": {"0, 1 + registers :": "1 + registers :, 0"},
            "columns before rows": {"rows, columns)": "columns, rows).mT"},
            "rows and columns exchanged": {"rows, columns)": "columns, rows)"},
            "averaged the heads": {"columns)": "columns).mean(dim=0)"},
            "made the map sum to 1": {"columns)": "columns) / weights[:, 0, 1 + registers :].sum(1)[:, None, None]"},
            "left the patches in a row": {".reshape(-1, rows, columns)": ""},
        },
    ),
    Task(
        one_and_average,
        lambda draw: (_rows_of(draw, draw.integer(3, 5), draw.integer(6, 9)),),
        mistakes={
            "averaged the heads before looking": {"one.mean()": "average"},
            "never averaged the rows": {"average.item()": "one.mean().item()"},
            "in the other order": lambda rows: one_and_average(rows)[::-1],
            "averaged the entropies": {"one.mean()": "one.log().mean().exp()"},
            "summed over the heads": {"one.mean()": "one.sum()"},
            "the entropies themselves": {"torch.exp": ""},
            "the sign is missing": {"-(": "("},
            "log2 with exp": {".log()": ".log2()"},
            "averaged over the keys": {".sum(": ".mean("},
        },
    ),
    Task(
        hidden_weights,
        _draw_attention,
        mistakes={
            "output times values transposed": {"dim=2)": "dim=2) @ value @ value.mT"},
            "output times values transposed, then softmax": lambda q, k, v, bias: (
                hidden_weights(q, k, v, bias) @ v @ v.mT / v.shape[2] ** 0.5
            ).softmax(dim=2),
            "output times the pseudo-inverse": {"dim=2)": "dim=2) @ value @ torch.linalg.pinv(value)"},
            "left out the bias": {" + bias": ""},
            "added the bias after the softmax": {" + bias": "", "dim=2)": "dim=2) + bias"},
            "divided the bias too": {"+ bias": "+ bias / query.shape[2] ** 0.5"},
            "multiplied by the bias": {"+ bias": "* bias"},
            "forgot to divide": {" / query.shape[2] ** 0.5": ""},
            "divided by d": {" ** 0.5": ""},
            "softmax over the queries": {"dim=2": "dim=1"},
            "keys ask the queries": {"query @ key.mT": "key @ query.mT"},
            "the scores": {".softmax(dim=2)": ""},
            "the output": {"dim=2)": "dim=2) @ value"},
        },
    ),
    Task(
        deletion_curve,
        _draw_deletion,
        mistakes={
            "earlier blanks are taken back": {"pictures[-1].clone()": "image.clone()"},
            "without the whole picture": {"[:, label]": "[1:, label]"},
            "the last patch first": {"in order": "in order[::-1]"},
            "logits": {".softmax(dim=1)": ""},
            "patches revealed": {
                "[image]": "[0 * image]",
                "size] = 0": "size] = image[:, top : top + size, left : left + size]",
            },
            "the likeliest class": {"[:, label]": "[:, network(image[None])[0].argmax()]"},
            "what was lost": {"    return": "    answers =", "label]": "label]\n    return answers[0] - answers"},
            "patches down the columns": {
                "    columns": "    rows = image.shape[1] // size\n    columns",
                "patch // columns * size, patch % columns": "patch % rows * size, patch // rows",
            },
            "patches counted from 1": {"in order": "in [(i - 1) % (image[0].numel() // size**2) for i in order]"},
            "the mean of the curve": {"[:, label]": "[:, label].mean()"},
        },
    ),
    Task(
        unshifted_map,
        _draw_windows,
        mistakes={
            "windows left where they were moved": {".roll((shift, shift), dims=(1, 2))": ""},
            "the query was not moved": {"] - shift": "]"},
            "no shift at all": {"] - shift": "]", ".roll((shift, shift), dims=(1, 2))": ""},
            "moved back the wrong way": {"(shift, shift)": "(-shift, -shift)"},
            "the other way round": {"] - shift": "] + shift", "(shift, shift)": "(-shift, -shift)"},
            "rows alone": {"(shift, shift)": "(shift, 0)"},
            "columns alone": {"(shift, shift)": "(0, shift)"},
            "windows down the columns": {
                "row // side * (columns // side) + column // side": "column // side * (rows // side) + row // side"
            },
            "patches down the columns": {"row % side * side + column % side": "column % side * side + row % side"},
            "averaged the heads": {"dims=(1, 2))": "dims=(1, 2)).mean(dim=0)"},
            "who looks at the query": {"weights[window": "weights.mT[window"},
        },
    ),
    Task(
        rotary_weights,
        _draw_turns,
        mistakes={
            "forgot the angles": {"turned(query) @ turned(key)": "query @ key"},
            "turned the queries alone": {"turned(key)": "key"},
            "turned the keys alone": {"turned(query)": "query"},
            "keys the other way": {"(x: Tensor)": "(x, angles=angles)", "turned(key)": "turned(key, -angles)"},
            "turned the wrong way round": {"angles.sin()": "-angles.sin()"},
            "pairs of two halves": {
                "x[..., 0::2], x[..., 1::2]": "x.chunk(2, dim=-1)",
                "torch.stack(pair, dim=-1).flatten(-2)": "torch.cat(pair, dim=-1)",
            },
            "turned twice": {"angles.": "(2 * angles)."},
            "forgot to divide": {" / query.shape[2] ** 0.5": ""},
            "divided by d": {" ** 0.5": ""},
            "softmax over the queries": {"softmax(dim=2)": "softmax(dim=1)"},
            "added the angles": {"torch.stack(pair, dim=-1).flatten(-2)": "x + angles.repeat_interleave(2, dim=1)"},
        },
    ),
)
