"""What a token is: which are class, distilled or register tokens, and where on the picture the others lie.

Nothing is guessed from a network's name. One pass is watched in which every number carries the place that it stands
for: what moves numbers moves their places as well (a window partition, a shift, a class token that is put in front),
and convolutions, pooling and the merging of patches make a coarser grid. Where a place gets lost, that is said.
"""

import math
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import sites
from .recording import Masks, Watched, evaluating, nearest
from .sites import bind, tensors

Place = str | tuple[int, int]

_PADDING = -0.5
_CURE = "name them yourself: find_tokens(model, picture, tokens={...: Tokens.named(grid, first=['class'])})."
_WORDS = {
    "dist": "distilled",
    "reg": "register",
    "storage": "register",
    "cls": "class",
    "class": "class",
    "mask": "mask",
}


@dataclass(frozen=True)
class Tokens:
    """The tokens on one side of a mask, window by window: where they lie on the picture, or what else they are.

    Args:
        grid: rows and columns that the patches make of the picture; None if no token is a patch.
        cells: whole numbers (windows, L): row * columns + column of a patch, -1 for another token or padding.
        names: for each window what its tokens are called: "patch", "class", "distilled", "register", "padding", or the
            name of the parameter that the token is. Equal names are counted: "register", "register#2".
    """

    grid: tuple[int, int] | None
    cells: Tensor
    names: tuple[tuple[str, ...], ...]

    @classmethod
    def named(cls, grid: tuple[int, int], first: Sequence[str] = ()) -> "Tokens":
        """Tokens that you know: others first, such as ["class"], then the patches of a grid, row by row."""
        patches = torch.arange(grid[0] * grid[1])
        cells = torch.cat([torch.full((len(first),), -1), patches])[None]
        return cls(grid, cells, ((*first, *["patch"] * len(patches)),))

    @property
    def extra(self) -> list[str]:
        """The names of those that are no patches, in order."""
        return list(dict.fromkeys(name for window in self.names for name in window if name not in ("patch", "padding")))

    def find(self, which: Place) -> tuple[int, int]:
        """The window and the index in it of a token: by its (row, column), or by its name.

        Raises:
            ValueError: if there is no such token, or more than one.
        """
        if isinstance(which, str):
            found = [(w, i) for w, window in enumerate(self.names) for i, name in enumerate(window) if name == which]
            if not found:
                raise ValueError(f"There is no token {which!r}; {nearest(which, [*self.extra, '(row, column)'])}")
        else:
            rows, columns = self.grid or (0, 0)
            row, column = which
            if not (0 <= row < rows and 0 <= column < columns):
                raise ValueError(f"There is no patch {which}: the patches make {rows} rows and {columns} columns.")
            found = [(int(w), int(i)) for w, i in (self.cells == row * columns + column).nonzero()]
            if not found:
                raise ValueError(f"The patch {which} is not among these tokens: the network left it out.")
        if len(found) > 1:
            raise ValueError(
                f"The token {which!r} asks {len(found)} times, in one window or in several: none is its own row."
            )
        return found[0]


@dataclass(frozen=True)
class Layout:
    """What queries and keys of a mask are.

    Args:
        queries: the rows of the weights; None where it is not known.
        keys: the columns of the weights; None where it is not known.
        why: what is not known, and why; empty if all is.
    """

    queries: Tokens | None
    keys: Tokens | None
    why: str = ""

    def look(self, weights: Tensor, query: Place) -> Tensor:
        """Where a query looks, on the picture: its row of the weights with the windows and their shift undone.

        Args:
            weights: (N * windows, heads, Q, K), as recorded; or (N, Q, K).
            query: (row, column) of a patch of `queries`, or the name of another token, such as "class".

        Returns:
            (N, heads, rows, columns), on the grid of `keys`; 0 where the query has no key. A map sums to 1 less what
            goes to tokens that are no patches.

        Raises:
            ValueError: if queries or keys are not known, or have no such token, or the weights have another shape.
        """
        if self.queries is None or self.keys is None or self.keys.grid is None:
            raise ValueError(self.why or "No key of this mask is a patch, so nothing lies on the picture.")
        weights = weights[:, None] if weights.dim() == 3 else weights
        windows, expected = len(self.keys.cells), (self.queries.cells.shape[1], self.keys.cells.shape[1])
        if weights.dim() != 4 or tuple(weights.shape[2:]) != expected or len(weights) % windows:
            raise ValueError(
                f"These tokens belong to weights (N * {windows}, heads, {expected[0]}, {expected[1]}), but was given "
                f"{tuple(weights.shape)}; find the tokens with a picture of the same size, or name them as they are."
            )
        window, index = self.queries.find(query)
        row = weights.unflatten(0, (-1, windows))[:, window, :, index]  # (N, heads, K)
        cells = self.keys.cells[window].to(row.device)
        map_ = row.new_zeros(*row.shape[:2], math.prod(self.keys.grid))
        map_ = map_.index_add(2, cells[cells >= 0], row[..., cells >= 0])
        return map_.unflatten(2, self.keys.grid)


@torch.no_grad()
def find_tokens(model: nn.Module, picture: Any, tokens: Mapping[str, Tokens] | None = None) -> dict[str, Layout]:
    """What the queries and keys of each attention layer are, found by watching one pass in evaluation mode.

    Args:
        model: any module.
        picture: (1, C, H, W), or a dictionary of the model's arguments; its numbers do not matter, its size does.
        tokens: those that you know yourself, by the name of the mask; they stand for queries and keys.

    Returns:
        From the name of each mask of weights, as in `record_masks`, to its `Layout`. Where a side is not known it is
        None, and `why` says the reason; then name it by `tokens`.

    Raises:
        ValueError: if there is more than one picture, or `tokens` names a mask that does not exist.

    Example:
        >>> layout = find_tokens(model, image[None])["blocks.3.attn"]
        >>> layout.queries.extra, layout.queries.grid
        (['class'], (14, 14))
        >>> layout.look(masks["blocks.3.attn"], "class").shape
        torch.Size([1, 12, 14, 14])
    """
    given = tensors(picture)
    if not given or any(len(x) != 1 for x in given if x.dim() == 4):
        shapes = [tuple(x.shape) for x in given]
        raise ValueError(f"find_tokens needs one picture (1, C, H, W), but was given {shapes}; pass pictures[:1].")
    trace = _Trace(model)
    with evaluating(model), Masks(Watched(model, trace=trace)):
        model(**picture) if isinstance(picture, Mapping) else model(picture)
    found = trace.layouts
    for name, own in (tokens or {}).items():
        if name not in found:
            raise ValueError(f"There are no weights {name!r}; {nearest(name, found)}")
        found[name] = Layout(own, own)
    return found


# How places are followed ----------------------------------------------------------------------------------------------


_MOVES = sites.methods(
    *("view", "reshape", "permute", "transpose", "flatten", "unflatten", "squeeze", "unsqueeze", "expand", "expand_as"),
    *("contiguous", "chunk", "split", "unbind", "__getitem__", "roll", "flip", "narrow", "select", "index_select"),
    *("gather", "repeat", "repeat_interleave", "movedim", "moveaxis", "swapaxes", "swapdims", "unfold", "tile"),
    *("pixel_shuffle", "pixel_unshuffle", "split_with_sizes", "tensor_split", "view_as", "reshape_as", "rot90"),
    *("take_along_dim", "broadcast_to", "adjoint", "channel_shuffle", "squeeze_", "unsqueeze_", "transpose_", "t"),
) | {getattr(Tensor, name).__get__ for name in ("T", "mT", "H", "mH")}
_JOINS = sites.methods("cat", "concat", "concatenate", "stack", "hstack", "vstack")
_GRIDS = sites.methods(
    *("conv2d", "conv_transpose2d", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d"),
    *("interpolate", "upsample", "_max_pool2d", "lp_pool2d", "_conv2d"),
) | {F.max_pool2d, F.adaptive_max_pool2d}
_MEET = _JOINS | sites.MATMUL | sites.EINSUM | {F.scaled_dot_product_attention}
_POOLS = sites.methods("mean", "sum", "amax", "amin", "max")
_LOSES = sites.methods("sort", "cumsum", "grid_sample", "fold", "conv1d", "conv3d")


class _Trace:
    """The place of every number: a whole number above 0 for a cell of a grid, -1 and less for a parameter, 0 if lost.

    A cell is known by the grid that it belongs to, so equal grids of one picture have equal places, whatever made them.
    """

    def __init__(self, model: nn.Module) -> None:
        self.places: dict[int, Tensor] = {}
        self.fixed: set[int] = set()  # those of the places that are the same for every picture
        self.parameters = {id(x): name for name, x in (*model.named_parameters(), *model.named_buffers())}
        self.grids: list[tuple[int, int]] = []
        self.starts: list[int] = [1]
        self.learned: list[str] = []
        self.layouts: dict[str, Layout] = {}

    def begin(self, inputs: list[Tensor]) -> None:
        """The pixels of a picture are the first grid."""
        for x in inputs:
            if x.dim() == 4 and x.is_floating_point():
                self.places[id(x)] = self.grid(*x.shape[2:]).expand(x.shape)

    def grid(self, rows: int, columns: int) -> Tensor:
        """The places (rows, columns) of a grid over the whole picture."""
        if (rows, columns) not in self.grids:
            self.grids.append((rows, columns))
            self.starts.append(self.starts[-1] + rows * columns)
        start = self.starts[self.grids.index((rows, columns))]
        return torch.arange(start, start + rows * columns, dtype=torch.float64).view(rows, columns)

    def get(self, x: Tensor, fixed: bool = True) -> Tensor | None:
        """The places of a tensor; None if it has none, or is fixed and those are not asked for."""
        key = id(x)
        if key not in self.places and fixed and key in self.parameters and x.is_floating_point() and 1 <= x.dim() <= 3:
            name = self.parameters[key]
            if "pos" not in name:
                last = name.rsplit(".", 1)[-1]
                kind = next((kind for word, kind in _WORDS.items() if word in last), last)
                rows = x.shape[-2] if x.dim() > 1 else 1
                first, self.learned = len(self.learned), self.learned + [kind] * rows
                labels = -1.0 - torch.arange(first, first + rows, dtype=torch.float64)
                self.places[key] = (labels[:, None] if x.dim() > 1 else labels).expand(x.shape)
                self.fixed.add(key)
        return None if key in self.fixed and not fixed else self.places.get(key)

    # One call ---------------------------------------------------------------------------------------------------------

    def follow(self, func: Any, args: tuple, kwargs: Mapping[str, Any], result: Any) -> None:
        """Give the results of a call the places that their numbers stand for."""
        if func is Tensor.__setitem__:
            self._write(*args)
            return
        outs = tensors(result)
        if not outs:
            return
        inputs = [x for x in tensors((args, kwargs)) if x.is_floating_point()]
        known = [self.get(x, fixed=False) for x in inputs]
        moving, fixed = func in _MOVES or func in _JOINS or func is F.pad, not any(x is not None for x in known)
        if fixed or func in _MEET:
            known = [self.get(x) for x in inputs]  # of a class token, or learned queries
        for out in outs:
            self.places.pop(id(out), None)
            self.fixed.discard(id(out))
        if not any(x is not None for x in known) or not outs[0].is_floating_point():
            return
        if moving:
            moved = self._move(func, args, kwargs, inputs, known)
        else:
            moved = [self._place(func, (args, kwargs), inputs, known, out) for out in outs]
        for out, places in zip(outs, moved, strict=True):
            self.places[id(out)] = places
            weakref.finalize(out, self._forget, id(out), places).atexit = False
            if fixed:
                self.fixed.add(id(out))

    def _forget(self, key: int, places: Tensor) -> None:
        """A tensor is gone; its id may belong to another one by now."""
        if self.places.get(key) is places:
            del self.places[key]

    def _move(self, func: Any, args: tuple, kwargs: Mapping[str, Any], inputs: list, known: list) -> list[Tensor]:
        shadows = {
            id(x): torch.zeros(x.shape, dtype=torch.float64) if places is None else places
            for x, places in zip(inputs, known, strict=True)
        }

        def swapped(x: Any) -> Any:
            if isinstance(x, Tensor):
                return shadows.get(id(x), x)
            return type(x)(map(swapped, x)) if type(x) in (tuple, list) else x

        if func is F.pad and bind(("input", "pad", "mode"), ("constant",), args, kwargs)["mode"] == "constant":
            return [F.pad(swapped(args[0]), bind(("input", "pad"), (), args, kwargs)["pad"], value=_PADDING)]
        if func is F.unfold:  # it fills its borders with 0
            return [F.unfold(swapped(args[0]) - _PADDING, *args[1:], **kwargs) + _PADDING]
        return tensors(func(*map(swapped, args), **{key: swapped(x) for key, x in kwargs.items()}))

    def _write(self, x: Tensor, index: Any, value: Any) -> None:
        places = self.get(x)
        written = self.get(value)
        if places is None and written is None:
            return
        places = torch.zeros(x.shape, dtype=torch.float64) if places is None else places.clone()
        places[index] = 0.0 if written is None else written
        self.places[id(x)] = places

    def _place(self, func: Any, call: tuple, inputs: list[Tensor], known: list[Tensor | None], out: Tensor) -> Tensor:
        nothing = torch.zeros(out.shape, dtype=torch.float64)
        if func in _POOLS and known[0] is not None and out.shape != inputs[0].shape:
            dim, places = bind(("input", "dim", "keepdim"), (None, False), *call)["dim"], known[0]
            if dim is None:
                return nothing
            for axis in (dim,) if isinstance(dim, int) else dim:
                places = self._merged(places, axis)  # the cell that its numbers fill, if they fill one
            return places.reshape(out.shape)
        if func is F.scaled_dot_product_attention:
            return _product(known[0], known[2], out)
        if func is F.linear or (func in sites.MATMUL and (known[1] is None or id(inputs[1]) in self.fixed)):
            return nothing if known[0] is None else self._merged(known[0], -1).expand(out.shape)
        if func in sites.MATMUL:
            return _product(known[0], known[1], out)
        if func in sites.EINSUM:
            return _einsum(sites.einsum_letters(call[0][0]), known, out)
        if func in _GRIDS:
            return nothing if known[0] is None else self._resampled(known[0], out)
        if func in _LOSES:
            return nothing
        there = [places for places in known if places is not None]
        if len(there) > 1:  # a gate that was made from the whole picture takes no part in where a number stands
            there = [places for places in there if not self._whole(places)] or there[:1]
        if len(there) == 1 and there[0].shape == out.shape:
            return there[0]
        found = nothing
        for places in there:
            try:
                here = places.expand(out.shape)
            except RuntimeError:
                return nothing  # neither number by number nor known
            disagree = (found > 0) & (here > 0) & (found != here)
            better = (found == 0) | ((found < 0) & (here > 0))
            found = torch.where(disagree, 0.0, torch.where(better, here, found))
        return found

    def _whole(self, places: Tensor) -> bool:
        """Whether all numbers stand for the whole picture."""
        return (1, 1) in self.grids and bool((places == self.starts[self.grids.index((1, 1))]).all())

    def _resampled(self, places: Tensor, out: Tensor) -> Tensor:
        """What a convolution or pooling makes: the same places if the size stays, else a grid over the picture."""
        if places.dim() < 4 or out.dim() < 4:
            return torch.zeros(out.shape, dtype=torch.float64)
        places = self._merged(places, -3)
        if places.shape[-2:] == out.shape[-2:]:
            return places.expand(out.shape)
        filled = (places > 0).flatten(0, -3).all(0)
        rows, columns = filled.any(1), filled.any(0)
        inner = places[..., rows, :][..., columns]  # without the padding
        if inner.numel() and (inner == self.grid(*inner.shape[-2:])).all():
            return self.grid(*out.shape[-2:]).expand(out.shape)
        return torch.zeros(out.shape, dtype=torch.float64)

    def _merged(self, places: Tensor, axis: int) -> Tensor:
        """One place where a layer mixes numbers along an axis: theirs, or the cell of a coarser grid that they fill."""
        low, high = places.amin(axis, keepdim=True), places.amax(axis, keepdim=True)
        if torch.equal(low, high):
            return low
        nothing = torch.zeros_like(low)
        index = next((i for i, start in enumerate(self.starts[1:]) if (places < start).all()), None)
        if index is None or (places <= -1).any() or (places[places > 0] < self.starts[index]).any():
            return nothing  # not of one grid
        (rows, columns), start = self.grids[index], self.starts[index]
        row = torch.where(places > 0, (places - start) // columns, -1.0)
        column = torch.where(places > 0, (places - start) % columns, -1.0)
        top, left = ((x.where(x >= 0, math.inf)).amin(axis, keepdim=True) for x in (row, column))
        height = int((row.amax(axis, keepdim=True) - top).max()) + 1
        width = int((column.amax(axis, keepdim=True) - left).max()) + 1
        if not top.isfinite().all() or (top % height).any() or (left % width).any():
            return nothing
        coarse = self.grid(-(-rows // height), -(-columns // width))
        return coarse[(top / height).long(), (left / width).long()]

    # One mask ---------------------------------------------------------------------------------------------------------

    def meet(self, name: str, meeting: sites.Meeting) -> None:
        """A mask was made: what its queries and keys are."""
        sides = meeting.sides
        if meeting.gate:
            return
        if sides is None:
            self.layouts[name] = Layout(None, None, "How this network writes its attention is not followed; " + _CURE)
            return
        asking, giving = self.get(sides.queries), self.get(sides.keys)
        asking = asking if asking is None else sides.as_rows(asking)
        giving = giving if giving is None else sides.as_values(giving)
        why = []
        queries = keys = None
        asking, rows, columns = _one(asking, -1), _one(giving, -1), _one(giving, -2)
        if giving is not None and rows is None and columns is not None and giving.shape[-2] > 1:
            why.append(
                "The keys of this mask are channels: it says how much each channel takes from the others, for the "
                "whole picture at once, so it has no map."
            )
        else:
            if asking is not None:
                queries = self._tokens(sides.arrange(asking.expand(sides.shape))[:, 0, :, 0])
            if rows is not None:
                keys = self._tokens(sides.arrange(rows.mT.expand(sides.shape))[:, 0, 0, :])
            for side, words in ((queries, "queries"), (keys, "keys")):
                if side is None:
                    why.append(f"Where the {words} of this mask lie was lost on the way from the picture; {_CURE}")
        self.layouts[name] = Layout(queries, keys, " ".join(why))

    def _tokens(self, places: Tensor) -> Tokens | None:
        """The tokens (windows, L) of places; None where one of them is lost or they are of several grids."""
        if (places == 0).any():
            return None
        patches = places[places > 0]
        grid, start = None, 0
        if len(patches):
            index = next(i for i, begin in enumerate(self.starts[1:]) if patches.max() < begin)
            grid, start = self.grids[index], self.starts[index]
            if patches.min() < start:
                return None
        names = []
        for window in places.tolist():
            counted: dict[str, int] = {}
            row = []
            for place in window:
                kind = "patch" if place > 0 else "padding" if place == _PADDING else self.learned[int(-1 - place)]
                counted[kind] = counted.get(kind, 0) + 1
                plain = kind in ("patch", "padding") or counted[kind] == 1
                row.append(kind if plain else f"{kind}#{counted[kind]}")
            names.append(tuple(row))
        cells = torch.where(places > 0, places - start, -1.0).long()
        return Tokens(grid, cells, tuple(names))


def _one(places: Tensor | None, axis: int) -> Tensor | None:
    """The one place of all numbers along an axis, padding aside; None if there are several, or none is known."""
    if places is None:
        return None
    padding = places == _PADDING
    low = places.masked_fill(padding, math.inf).amin(axis, keepdim=True)
    high = places.masked_fill(padding, -math.inf).amax(axis, keepdim=True)
    low = low.masked_fill(low == math.inf, _PADDING)
    known = (low == high) | (low == _PADDING)
    return low if known.all() and (low != 0).any() else None


def _product(left: Tensor | None, right: Tensor | None, out: Tensor) -> Tensor:
    """A product's rows stand where the left rows stand, if each is of one place; or its columns as the right ones."""
    found = _one(left, -1)
    found = _one(right, -2) if found is None else found
    return torch.zeros(out.shape, dtype=torch.float64) if found is None else found.expand(out.shape)


def _einsum(letters: tuple[list[str], str] | None, known: list[Tensor | None], out: Tensor) -> Tensor:
    """As `_product`, for an einsum of two: an operand's places, where they are one along each axis that is summed."""
    for operand, places in zip(letters[0] if letters else (), known, strict=False):
        left = operand
        for axis in reversed([i for i, letter in enumerate(operand) if letters and letter not in letters[1]]):
            places = _one(places, axis)
            places = places if places is None else places.squeeze(axis)
            left = left[:axis] + left[axis + 1 :]
        if places is not None and letters:
            places = places.permute([left.index(letter) for letter in letters[1] if letter in left])
            for axis, letter in enumerate(letters[1]):
                places = places if letter in left else places.unsqueeze(axis)
            return places.expand(out.shape)
    return torch.zeros(out.shape, dtype=torch.float64)
