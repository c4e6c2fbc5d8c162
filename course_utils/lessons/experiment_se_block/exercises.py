"""The exercises of lesson 4.2: measure a loss, split data, compare two networks without fooling yourself."""

from collections import Counter
from collections.abc import Callable
from operator import index
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...check.engine import Draw, Inputs
from ...check.tasks import Shown, Task


def epoch_loss(batch_losses: list[float], batch_sizes: list[int]) -> float:
    """Give the mean loss per picture, from each batch's mean loss and its number of pictures."""
    total = sum(loss * size for loss, size in zip(batch_losses, batch_sizes, strict=True))
    return total / sum(batch_sizes)


def loss_from_probabilities(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Give the mean cross entropy of a network that ends in a softmax: (N, classes), (N,) -> one number."""
    return F.nll_loss(probabilities.log(), labels)


def split_within_digit(labels: Tensor, per_digit: int) -> tuple[list[int], list[int]]:
    """Split the indices of sorted labels (n,) in two lists, train and validation; each index goes into exactly one.

    Validation gets `per_digit` places of every digit, train all others.
    """
    train: list[int] = []
    validation: list[int] = []
    for digit in labels.unique():
        places = (labels == digit).nonzero().flatten()
        places = places[torch.randperm(len(places))].tolist()
        validation += places[:per_digit]
        train += places[per_digit:]
    return train, validation


def paired_interval(with_se: np.ndarray, without_se: np.ndarray) -> tuple[float, float, float]:
    """Give the mean gain from SE and its 95 % t interval: accuracies (seeds,), (seeds,) -> (mean, low, high).

    Entry i of both arrays comes from the same seed: the same data, the same order.
    """
    from scipy import stats

    gains = with_se - without_se
    mean = gains.mean()
    error = gains.std(ddof=1) / np.sqrt(len(gains))
    half = stats.t.ppf(0.975, df=len(gains) - 1) * error
    return mean, mean - half, mean + half


def equal_width(parameters: Callable[[int], int], target: int) -> int:
    """Find the width at which a plain network comes nearest to `target` parameters.

    `parameters(width)` counts them for a width of 1, 2, 3, ...; it grows with the width.
    """
    width = 1
    while parameters(width + 1) <= target:
        width += 1
    below, above = target - parameters(width), parameters(width + 1) - target
    return width if below <= above else width + 1


def _draw_epoch(draw: Draw) -> Inputs:
    size = draw.choice((32, 64, 128))
    sizes = [size] * draw.integer(3, 5) + [draw.integer(3, size // 4)]
    return [round(float(value), 3) for value in draw.uniform(len(sizes), low=0.2, high=2.3)], sizes


def _draw_probabilities(draw: Draw) -> Inputs:
    count, classes = draw.integer(5, 8), draw.integer(4, 10)
    labels = torch.tensor([draw.integer(0, classes - 1) for _ in range(count)], device="cpu")
    return draw.normal(count, classes).softmax(dim=1), labels


def _draw_labels(draw: Draw) -> Inputs:
    per_digit = draw.integer(2, 4)
    counts = [draw.integer(3 * per_digit, 4 * per_digit) for _ in range(draw.integer(4, 10))]
    return torch.tensor([d for d, count in enumerate(counts) for _ in range(count)], device="cpu"), per_digit


def _draw_accuracies(draw: Draw) -> Inputs:
    seeds = draw.integer(5, 8)
    seed_luck = draw.uniform(seeds, low=0.60, high=0.80)
    gains = draw.uniform(seeds, low=0.0, high=0.06)
    return (seed_luck + gains).numpy().astype(np.float64), seed_luck.numpy().astype(np.float64)


def _draw_widths(draw: Draw) -> Inputs:
    """A target nearer to the smaller of two widths, one nearer to the larger, and one near the smallest of all."""
    colours, classes = draw.choice((1, 3)), 10
    width = (draw.choice((8, 12, 14, 18, 20, 24, 26, 30)), draw.integer(8, 30), 1)[draw.turn]

    def parameters(width: int) -> int:
        return 9 * colours * width + 9 * width**2 + (width + 1) * classes

    gap = parameters(width + 1) - parameters(width)
    excess = draw.integer(gap // 6, gap // 3)
    return parameters, parameters(width) + (gap - excess if draw.turn == 1 else excess)


def _split_refusal(given: Any, labels: Tensor, per_digit: int) -> str | None:
    lists = _two_lists(given)
    if lists is None:
        return "Your result should be two lists of whole numbers: the places of train, the places of validation."
    train, validation = lists
    outside = _outside(train + validation, labels)
    if outside:
        return f"Place {outside[0]} is in your lists; the labels have places 0 to {len(labels) - 1}."
    seen = Counter((*train, *validation))
    twice = [place for place, times in seen.items() if times > 1]
    if twice:
        return f"Place {min(twice)} stands {seen[min(twice)]} times in your lists; each place stands in one, once."
    found = Counter(labels[validation].tolist())
    for digit in labels.unique().tolist():
        if found[digit] != per_digit:
            return f"Digit {digit} has {found[digit]} places in validation, expected {per_digit}."
    missing = set(range(len(labels))) - set(seen)
    if missing:
        return f"Place {min(missing)} is in neither list ({len(missing)} of {len(labels)} are lost)."
    return None


def _two_lists(given: Any) -> tuple[list[int], list[int]] | None:
    """Two lists, arrays or tensors of whole numbers as lists; None for anything else."""
    try:
        first, second = ([_place(place) for place in part] for part in given)
    except (TypeError, ValueError):
        return None
    return first, second


def _place(given: Any) -> int:
    if isinstance(given, bool):
        raise TypeError("True and False are no places")
    return index(given)


def _outside(places: list[int], labels: Tensor) -> list[int]:
    return [place for place in places if not 0 <= place < len(labels)]


def _counts(places: list[int], labels: Tensor) -> list[int]:
    return [int((labels[places] == digit).sum()) for digit in labels.unique()]


def _shows(rule: Callable[[list[int], list[int], Tensor, int], bool]) -> Callable[[Any, Tensor, int], bool]:
    """A rule on (train, validation, labels, per_digit), asked only where the result is two lists of real places."""

    def shows(given: Any, labels: Tensor, per_digit: int) -> bool:
        lists = _two_lists(given)
        return lists is not None and not _outside(lists[0] + lists[1], labels) and rule(*lists, labels, per_digit)

    return shows


_ALL_AT_ONCE = {"    for": "    per_digit *= len(labels.unique())\n    for", "in labels.unique()": "in [labels]"}

TASKS = (
    Task(
        epoch_loss,
        _draw_epoch,
        mistakes={
            "sum of means over pictures": lambda losses, sizes: sum(losses) / sum(sizes),
            "averaged the batch means": lambda losses, sizes: sum(losses) / len(losses),
            "added the batch means": lambda losses, sizes: sum(losses),
            "did not divide": lambda losses, sizes: np.dot(losses, sizes),
            "sum over the number of batches": lambda losses, sizes: np.dot(losses, sizes) / len(sizes),
            "every batch as full": lambda losses, sizes: np.dot(losses, sizes) / (len(sizes) * sizes[0]),
            "all batches of one size": lambda losses, sizes: sum(losses) * sizes[0] / sum(sizes),
        },
    ),
    Task(
        loss_from_probabilities,
        _draw_probabilities,
        mistakes={
            "cross entropy of probabilities": lambda p, labels: F.cross_entropy(p, labels),
            "left out the logarithm": {".log()": ""},
            "a logarithm to another base": ({".log()": ".log2()"}, {".log()": ".log10()"}),
            "forgot the minus sign": {"return ": "return -"},
            "summed over the pictures": {"labels": 'labels, reduction="sum"'},
            "returned one loss": {"labels": 'labels, reduction="none"'},
            "averaged over the classes": lambda p, labels: F.nll_loss(p.log(), labels) / p.shape[1],
            "averaged the probabilities first": lambda p, labels: -p[torch.arange(len(labels)), labels].mean().log(),
        },
    ),
    Task(
        split_within_digit,
        _draw_labels,
        mistakes={
            "returned the labels": Shown(
                {"+= places[": "+= labels[places]["},
                _shows(lambda train, held, labels, n: sorted(train + held) == sorted(labels.tolist())),
            ),
            "cut at one place": Shown(
                _ALL_AT_ONCE | {"torch.randperm(len(places))": "torch.arange(len(places))"},
                _shows(lambda train, held, labels, n: 2 * _counts(held, labels).count(0) >= len(labels.unique())),
            ),
            "overlap": Shown(
                {"+= places[per_digit:]": "+= places"},
                _shows(lambda train, held, labels, n: not set(train).isdisjoint(held)),
            ),
            "returned validation first": Shown(
                {"return train, validation": "return validation, train"},
                _shows(lambda train, held, labels, n: set(_counts(train, labels)) == {n}),
            ),
            "train lost places": Shown(
                {"per_digit:]": "per_digit::2]"},
                _shows(
                    lambda train, held, labels, n: set(_counts(held, labels)) == {n} and len(train + held) < len(labels)
                ),
            ),
            "split all at once": Shown(
                _ALL_AT_ONCE, _shows(lambda train, held, labels, n: len(set(_counts(held, labels))) > 1)
            ),
            "another number of each digit": Shown(
                {"per_digit": "per_digit + 1"},
                _shows(lambda train, held, labels, n: len(set(_counts(held, labels)) - {n}) == 1),
            ),
        },
        refusal=_split_refusal,
    ),
    Task(
        equal_width,
        _draw_widths,
        mistakes={
            "the last below": {" if below <= above else width + 1": ""},
            "the first above": {"width if below <= above else ": ""},
            "the farther neighbour": {"<= above": "> above"},
            "in proportion to the width": lambda parameters, target: round(target / parameters(1)),
            "returned the parameters": lambda parameters, target: parameters(equal_width(parameters, target)),
        },
    ),
    Task(
        paired_interval,
        _draw_accuracies,
        mistakes={
            "two separate samples": {"gains.std(ddof=1)": "np.sqrt(with_se.var(ddof=1) + without_se.var(ddof=1))"},
            "the normal distribution's 1.96": {"stats.t.ppf(0.975, df=len(gains) - 1)": "1.959964"},
            "n degrees of freedom": {"df=len(gains) - 1": "df=len(gains)"},
            "2 n - 2 degrees of freedom": {"df=len(gains) - 1": "df=2 * len(gains) - 2"},
            "how far the ends are from the mean": {"mean - half, mean + half": "half, half"},
            "divided by n inside": {"ddof=1": "ddof=0"},
            "forgot to divide": {" / np.sqrt(len(gains))": ""},
            "divided by n instead": {"np.sqrt(len(gains))": "len(gains)"},
            "the 95 % point": {"0.975": "0.95"},
            "the other sign": {"with_se - without_se": "without_se - with_se"},
        },
    ),
)
