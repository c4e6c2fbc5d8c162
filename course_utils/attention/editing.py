"""Change a network's masks during a pass, to find out whether the network needs them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .recording import Edit, Masks, Watched, evaluating, record_masks

Indices = int | Sequence[int]


def edit_masks(model: nn.Module, edits: Mapping[str, Edit]) -> Masks:
    """Change masks by name while the model runs; each pass then uses the changed ones.

    A layer whose mask is changed applies it in plain steps and leaves its fused kernel, so that an edit which changes
    nothing stays within float accuracy of the untouched network. The gradient of the output at a mask is had by an
    edit that returns its mask: the dictionary holds the very tensor that was applied. Open `record_masks` as well to
    see the other masks.

    Args:
        model: any module.
        edits: from the name of a mask, or a pattern such as "blocks.*.attn", to a function that is given the mask and
            returns one of the same shape: `off`, `only`, `uniform`, `temperature`, `scale`, or one of your own. Where
            several names fit a mask, the edits are made in their order.

    Yields:
        A dictionary with the changed masks as they were applied, named and shaped as by `record_masks`.

    Raises:
        TypeError: if the model is not a module, or an edit cannot be called.
        ValueError: if a name fits no module or no mask of the pass; if an edit changes the shape; see `record_masks`.

    Example:
        >>> with edit_masks(model, {"blocks.3.attn": off(heads=[2])}):
        ...     logits = model(images)
    """
    for name, edit in edits.items():
        if not callable(edit):
            raise TypeError(
                f"The edit of {name!r} must be a function of the mask, such as off(heads=[0]), but is a "
                f"{type(edit).__name__}."
            )
    return Masks(Watched(model, edits=dict(edits)))


def off(heads: Indices) -> Edit:
    """Switch heads off: their weights become 0, so that they bring nothing.

    Args:
        heads: one head or several, counted from 0.

    Returns:
        An edit of weights (N, ..., heads, Q, K).
    """

    def edit(weights: Tensor) -> Tensor:
        _needs_weights(weights, "off(heads)", least=4)
        return weights.index_fill(-3, _indices(heads, weights, -3, "heads"), 0.0)

    return edit


def only(keys: Indices) -> Edit:
    """Let every query attend to some keys alone; their weights are divided by their sum, so that it is 1 again.

    Args:
        keys: one key or several, counted from 0.

    Returns:
        An edit of weights (N, heads, Q, K) or (N, Q, K); a query that gave these keys nothing gets nothing.
    """

    def edit(weights: Tensor) -> Tensor:
        _needs_weights(weights, "only(keys)")
        wanted = _indices(keys, weights, -1, "keys")
        kept = torch.zeros_like(weights[:1, ..., :1, :]).index_fill(-1, wanted, 1.0) * weights
        total = kept.sum(dim=-1, keepdim=True)
        return kept / total.masked_fill(total == 0, 1.0)

    return edit


def uniform() -> Edit:
    """Give every key the same weight, 1 / K: what a head brings without its choice.

    Returns:
        An edit of weights (N, heads, Q, K) or (N, Q, K); keys that the network closes are opened too.
    """

    def edit(weights: Tensor) -> Tensor:
        _needs_weights(weights, "uniform()")
        return torch.full_like(weights, 1 / weights.shape[-1])

    return edit


def temperature(t: float) -> Edit:
    """Sharpen the choice (t < 1) or flatten it (t > 1): what a softmax gives whose scores are divided by t.

    Args:
        t: more than 0; 1 changes nothing.

    Returns:
        An edit of weights (N, heads, Q, K) or (N, Q, K); a weight of 0 stays 0.

    Raises:
        ValueError: if t is not more than 0.
    """
    if not t > 0:
        raise ValueError(f"temperature divides the scores by t, which must be more than 0, but was given {t!r}.")

    def edit(weights: Tensor) -> Tensor:
        _needs_weights(weights, "temperature(t)")
        least = torch.finfo(weights.dtype).tiny
        logits = (weights.clamp_min(least).log() / t).masked_fill(weights <= 0, -torch.inf)
        empty = (weights <= 0).all(dim=-1, keepdim=True)
        return logits.masked_fill(empty, 0.0).softmax(dim=-1).masked_fill(empty, 0.0)

    return edit


def scale(channels: Indices, by: float) -> Edit:
    """Multiply the gates of some channels.

    Args:
        channels: one channel or several, counted from 0.
        by: 0 closes them; 1 changes nothing.

    Returns:
        An edit of gates (N, C, 1, 1) or branches (N, branches, C, 1, 1).
    """

    def edit(gates: Tensor) -> Tensor:
        if gates.dim() not in (4, 5) or gates.shape[-2:] != (1, 1):
            raise ValueError(
                f"scale(channels, by) needs gates of channels, (N, C, 1, 1), but this mask has shape "
                f"{tuple(gates.shape)}; for weights use off, only, uniform or temperature."
            )
        index = _indices(channels, gates, -3, "channels")
        return gates.index_copy(-3, index, gates.index_select(-3, index) * by)

    return edit


class Effect(NamedTuple):
    """What an edit does to the answer: the answers without and with it, both as the model gives them."""

    before: Tensor
    after: Tensor

    @property
    def change(self) -> Tensor:
        """after - before, in the shape of the answer."""
        return self.after - self.before

    def __repr__(self) -> str:
        """The size of the change in words: an answer can have a thousand numbers per picture."""
        change, size = self.change.abs().max().item(), self.before.abs().max().item()
        return (
            f"Effect on an answer of shape {tuple(self.before.shape)}: it changes by {change:.3g} at most, "
            f"where the largest value was {size:.3g}. See .before, .after and .change."
        )


def effect(model: nn.Module, pictures: Any, name: str, edit: Edit) -> Effect:
    """Whether a network needs a mask: its answer without and with an edit, in evaluation mode and without gradient.

    Args:
        model: any module that returns a tensor, or an output that has `logits` or begins with a tensor.
        pictures: what the model is called with: a tensor, or a dictionary of its arguments.
        name: the mask, as in `record_masks`, or a pattern.
        edit: such as `off(heads=[0])`.

    Returns:
        `.before`, `.after` and `.change`, each in the shape of the answer.

    Raises:
        TypeError: if the model's output holds no answer.
        ValueError: if the answer is not finite before the edit; if the name or the edit does not fit, as `edit_masks`.

    Example:
        >>> effect(model, images, "blocks.3.attn", off(heads=[2])).change.abs().max()
    """
    with evaluating(model), torch.no_grad():
        with record_masks(model, layers=name):  # an error in the name or the pictures is explained
            before = _answered(model, pictures)
        if not before.isfinite().all():
            raise ValueError(f"The answer is not finite without any edit: {_first_broken(model, pictures)}")
        with edit_masks(model, {name: edit}):
            return Effect(before, _answered(model, pictures))


def answer_of(output: Any) -> Tensor:
    """The answer in what a model returned: the tensor itself, its `logits`, or the first part of a tuple or dictionary.

    Raises:
        TypeError: if it holds no tensor in any of these places.
    """
    found = output if isinstance(output, Tensor) else getattr(output, "logits", None)
    if found is None and isinstance(output, Sequence | Mapping) and len(output):
        found = next(iter(output.values() if isinstance(output, Mapping) else output))
    if not isinstance(found, Tensor):
        raise TypeError(
            f"The model returned {type(output).__name__}, which holds no answer to compare; wrap it in a module that "
            "returns one tensor."
        )
    return found


def _answered(model: nn.Module, pictures: Any) -> Tensor:
    return answer_of(model(**pictures) if isinstance(pictures, Mapping) else model(pictures)).clone()


def _first_broken(model: nn.Module, pictures: Any) -> str:
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if not tensor.isfinite().all():
            return f"{name!r} holds NaN or infinite numbers; load the weights again."
    given = pictures.values() if isinstance(pictures, Mapping) else [pictures]
    if any(isinstance(x, Tensor) and not x.isfinite().all() for x in given):
        return "the pictures hold NaN or infinite numbers."
    return "weights and pictures are finite, so a layer overflows; try model.float()."


def _needs_weights(weights: Tensor, what: str, least: int = 3) -> None:
    if weights.dim() < least or weights.shape[-2:] == (1, 1):
        axes = "(N, heads, Q, K)" if least == 4 else "(N, heads, Q, K) or (N, Q, K)"
        raise ValueError(
            f"{what} needs attention weights {axes}, but this mask has shape {tuple(weights.shape)}; for gates use "
            "scale(channels, by) or a function of your own."
        )


def _indices(given: Indices, mask: Tensor, axis: int, what: str) -> Tensor:
    wanted = [given] if isinstance(given, int) else list(given)
    size = mask.shape[axis]
    for index in wanted:
        if not -size <= index < size:
            raise ValueError(
                f"There is no {what[:-1]} {index}: this mask {tuple(mask.shape)} has {size} {what}, 0 to {size - 1}."
            )
    return torch.tensor([index % size for index in wanted], dtype=torch.long, device=mask.device)
