"""The exercises of lesson 4.3: read a self-attention layer, count its cost, and run a fair league."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...check.compare import difference
from ...check.engine import Draw, Inputs
from ...check.tasks import Shown, Task


def share_right(network: torch.nn.Module, images: Tensor, labels: Tensor, batch_size: int) -> float:
    """The share of pictures that a network classifies correctly: images (N, C, H, W), labels (N,) -> one number.

    The network gives logits (n, classes) for a batch of n pictures; the last batch may be smaller than `batch_size`.
    """
    network.eval()
    right = 0
    with torch.no_grad():
        for start in range(0, len(images), batch_size):
            logits = network(images[start : start + batch_size])
            right += int((logits.argmax(dim=1) == labels[start : start + batch_size]).sum())
    return right / len(images)


def rankings(scores: Tensor) -> int:
    """Count the different orders in which the queries rank the keys: scores (queries, keys) -> a whole number.

    Two queries rank alike if their keys, from the highest score to the lowest, are the same list.
    """
    orders = scores.argsort(dim=1, descending=True)
    return len(orders.unique(dim=0))


def attention_multiply_adds(height: int, width: int, channels: int, key_channels: int, value_channels: int) -> int:
    """Count the multiply-adds of one self-attention layer on one picture: four 1x1 convolutions and two products.

    The convolutions make keys, queries (key_channels each), values (value_channels) and, from these, the output
    (channels). The products are those of queries with keys and of weights with values.
    """
    positions = height * width
    convolutions = positions * channels * (2 * key_channels + 2 * value_channels)
    return convolutions + positions**2 * (key_channels + value_channels)


def looked_at(weights: Tensor, height: int, width: int) -> Tensor:
    """Give how much each position is looked at, on average over all queries: (N, queries, keys) -> (N, H, W).

    The keys are the positions row by row.
    """
    return weights.mean(dim=1).reshape(len(weights), height, width)


def choose_learning_rates(validation: Tensor, rates: Tensor) -> Tensor:
    """Choose each network's learning rate by its trials: (networks, rates, trials), (rates,) -> (networks,).

    validation[i, j, k] is the validation accuracy of network i trained with rates[j] and the k-th seed. The rate with
    the best mean is taken; where two do equally well, the smaller.
    """
    order = rates.argsort()
    means = validation.mean(dim=2)[:, order]
    first = (means == means.amax(dim=1, keepdim=True)).long().argmax(dim=1)
    return rates[order][first]


def claims(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Say what may be claimed of each pair: accuracies (pairs, seeds), (pairs, seeds) -> (pairs,) of -1, 0 and 1.

    1 where the 95 % t interval of the mean difference, first minus second and seed by seed, lies above zero; -1 where
    it lies below; 0 where it holds zero.
    """
    from scipy import stats

    gaps = first - second
    seeds = gaps.shape[1]
    half = stats.t.ppf(0.975, df=seeds - 1) * gaps.std(axis=1, ddof=1) / np.sqrt(seeds)
    mean = gaps.mean(axis=1)
    return (mean - half > 0).astype(int) - (mean + half < 0).astype(int)


class _Tested(torch.nn.Module):
    """A small trained network: its batch norm has seen other pictures than those of a test."""

    def __init__(self, mean: Tensor, variance: Tensor, weight: Tensor):
        super().__init__()
        self.mean, self.variance, self.weight = mean, variance, weight

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        mean, variance = (x.mean(0), x.var(0, correction=0)) if self.training else (self.mean, self.variance)
        return (x - mean) / (variance + 1e-5).sqrt() @ self.weight


def _draw_test(draw: Draw) -> Inputs:
    batch_size = draw.choice((6, 8)) if draw.turn == 0 else draw.integer(6, 9)  # first an odd number of pictures
    count, features, classes = 3 * batch_size + (1 if draw.turn == 0 else draw.integer(2, 4)), 12, draw.integer(4, 6)
    images = draw.normal(count, 3, 2, 2, mean=0.5)
    network = _Tested(
        draw.normal(features, mean=0.5, std=0.5),
        draw.uniform(features, low=0.5, high=2.0),
        draw.normal(features, classes),
    )
    with torch.no_grad():
        labels = network.eval()(images).argmax(dim=1)
    wrong = torch.tensor([draw.integer(1, classes - 1) for _ in range(count)]) * (draw.uniform(count) < 0.4)
    above, below = (labels[2:-1] < classes - 1).nonzero()[-1:] + 2, (labels[2:-1] > 0).nonzero()[:1] + 2
    wrong[above], wrong[below] = 1, classes - 1  # one label above the network's answer, one below it
    wrong[:2] = wrong[-1] = 0  # a loop that begins too late or ends too early misses right answers
    return network.train(), images, (labels + wrong) % classes, batch_size


def _draw_scores(draw: Draw) -> Inputs:
    """Queries that repeat one another, exactly or at another scale, and some that reverse the order.

    They make four orders at most, so that the number of keys is never right.
    """
    keys = draw.integer(5, 6)
    first, second = draw.uniform(2, keys, low=-2, high=2)  # no two keys tie
    rows = [first, first, 2.0 * first, -first, second, second - 0.5, second.flip(0), first + 1.0]
    return (torch.stack(draw.shuffled(rows[: draw.integer(6, 8)])),)


def _draw_weights(draw: Draw) -> Inputs:
    height, width = draw.integer(4, 5), draw.integer(6, 7)
    return draw.normal(draw.integer(2, 3), height * width, height * width).softmax(dim=2), height, width


def _draw_trials(draw: Draw) -> Inputs:
    """Networks that disagree on the best rate; others have the best single, middle or worst trial.

    The first and the last network do equally well with two rates.
    """
    rates = torch.tensor(draw.shuffled([7e-4, 2e-3, 6e-3, 1.8e-2, 5.4e-2]), device="cpu")
    networks = draw.integer(4, 6)
    accuracies = (draw.uniform(networks, 5, 3, low=0.1, high=0.5) * 100).round() / 100
    for row in range(networks):
        good, lucky, middling, steady, other = draw.shuffled([0, 1, 2, 3, 4])
        level = draw.integer(-5, 0) / 100
        accuracies[row, good] = level + torch.tensor(draw.shuffled([0.80, 0.90, 0.94]), device="cpu")
        accuracies[row, lucky] = level + torch.tensor(draw.shuffled([0.98, 0.30, 0.40]), device="cpu")
        accuracies[row, middling] = level + torch.tensor(draw.shuffled([0.92, 0.92, 0.40]), device="cpu")
        accuracies[row, steady] = level + torch.tensor([0.84, 0.84, 0.84], device="cpu")
        if row in (0, networks - 1):
            accuracies[row, other] = accuracies[row, good]
    return accuracies, rates


def _a_best_rate(given: Tensor, validation: Tensor, rates: Tensor) -> bool:
    """Whether each network got a rate at which it did best, the smaller of two or not."""
    means = validation.mean(dim=2)
    reached = (rates == given[:, None]).long().argmax(dim=1, keepdim=True)
    known = (rates == given[:, None]).any(dim=1).all()
    return bool(known and (means.gather(1, reached) == means.amax(dim=1, keepdim=True)).all())


def _draw_league(draw: Draw) -> Inputs:
    """Pairs of all kinds: clear gains and losses, nothing, and gains that only pairing or only luck would show."""
    seeds = draw.integer(5, 6)
    luck = draw.normal(12, seeds, std=0.05).numpy().astype(np.float64)
    noise = draw.normal(12, seeds, std=0.01).numpy().astype(np.float64)
    noise -= noise.mean(axis=1, keepdims=True)
    noise[-1] = 0  # two networks of equal accuracy on each seed
    error = noise.std(axis=1, ddof=1, keepdims=True) / np.sqrt(seeds)
    # Means in standard errors: beyond all doubt, a little above and below t (2.8 or 2.6), above the 95 % point of t,
    # between that point and 1.96, above 1, below 1.
    t, one_sided = (2.776, 2.132) if seeds == 5 else (2.571, 2.015)
    near = [1.03 * t, -1.03 * t, 0.97 * t, 0.91 * t]  # a wrong `ddof` takes more off t than a wrong `df`
    means = np.array(draw.shuffled([60.0, -8.0, 4.0, *near, -2.3, (1.96 + one_sided) / 2, 1.5, -0.4, 0.5]))[:, None]
    second = 0.7 + luck
    return second + noise + means * error, second


def _verdicts_differ(given: Any, expected: Any, axes: Sequence[str] = (), parts: Sequence[str] = ()) -> str | None:
    """How a list, an array or a tensor of verdicts differs; 1.0 is as good as 1."""
    if isinstance(given, Tensor | list | tuple):
        given = np.asarray(given)
    if isinstance(given, np.ndarray) and given.dtype.kind in "bU":
        return "You returned words or True and False; each pair has one of three numbers: 1, -1, or 0 for no claim."
    if isinstance(given, np.ndarray) and given.dtype.kind in "if":
        given = given.astype(float)
    return difference(given, expected.astype(float), axes)


_MEAN_OF_BATCHES = {
    "right += int(": "right += float(",
    ".sum()": ".float().mean()",
    "/ len(images)": "/ len(images.split(batch_size))",
}

TASKS = (
    Task(
        looked_at,
        _draw_weights,
        mistakes={
            "averaged over the keys": lambda weights, h, w: weights.mean(dim=2).reshape(len(weights), h, w),
            "added up the queries": lambda weights, h, w: weights.sum(dim=1).reshape(len(weights), h, w),
            "the first query alone": lambda weights, h, w: weights[:, 0].reshape(len(weights), h, w),
            "column by column": lambda weights, h, w: weights.mean(dim=1).reshape(len(weights), w, h).transpose(1, 2),
            "the strongest query": lambda weights, h, w: weights.amax(dim=1).reshape(len(weights), h, w),
        },
    ),
    Task(
        choose_learning_rates,
        _draw_trials,
        mistakes={
            "one rate for all": lambda v, rates: rates[v.mean(dim=(0, 2)).argmax()].expand(len(v)),
            "the first network's rate for all": lambda v, rates: choose_learning_rates(v[:1], rates).expand(len(v)),
            "returned the place": (
                lambda v, rates: v.mean(dim=2).argmax(dim=1),
                lambda v, rates: (rates == choose_learning_rates(v, rates)[:, None]).long().argmax(dim=1),
                lambda v, rates: v[:, rates.argsort()].mean(dim=2).argmax(dim=1),
            ),
            "the best trial": lambda v, rates: choose_learning_rates(v.amax(dim=2, keepdim=True), rates),
            "the worst trial": lambda v, rates: choose_learning_rates(v.amin(dim=2, keepdim=True), rates),
            "the middle trial": lambda v, rates: choose_learning_rates(v.median(dim=2, keepdim=True).values, rates),
            "the first trial": lambda v, rates: choose_learning_rates(v[:, :, :1], rates),
            "the worst rate": lambda v, rates: choose_learning_rates(-v, rates),
            "the larger of equals": lambda v, rates: choose_learning_rates(v.flip(1), -rates.flip(0)).neg(),
            "the first of equals": Shown(lambda v, rates: rates[v.mean(dim=2).argmax(dim=1)], _a_best_rate),
            "returned the best mean": lambda v, rates: v.mean(dim=2).amax(dim=1),
            "rates taken as sorted": lambda v, rates: rates.sort().values[v.mean(dim=2).argmax(dim=1)],
        },
    ),
    Task(
        rankings,
        _draw_scores,
        mistakes={
            "counted the different favourites": lambda scores: len(scores.argmax(dim=1).unique()),
            "counted different rows": lambda scores: len(scores.unique(dim=0)),
            "ranked the queries for each key": {"scores.argsort": "scores.T.argsort"},
            "an order and its reverse as one": lambda scores: len(
                {min(tuple(o), tuple(o[::-1])) for o in scores.argsort(dim=1, descending=True).tolist()}
            ),
            "counted the queries": lambda scores: len(scores),
            "returned the orders": {"len(orders.unique(dim=0))": "orders.unique(dim=0)"},
        },
    ),
    Task(
        share_right,
        _draw_test,
        mistakes={
            "train mode": {"eval": "train"},
            "train mode, one batch": {"eval()": "train()\n    batch_size = len(images)"},
            "train mode, mean of the batches": _MEAN_OF_BATCHES | {"eval": "train"},
            "mean of the batches": _MEAN_OF_BATCHES,
            "left out the last batch": {
                "right = 0": "right, images = 0, images[: len(images) // batch_size * batch_size]"
            },
            "every batch as full": {"/ len(images)": "/ (batch_size * len(images.split(batch_size)))"},
            "returned the number right": {"right / len(images)": "float(right)"},
            "per cent": {"return right": "return 100 * right"},
            "returned the share wrong": {"return right": "return 1 - right"},
        },
    ),
    Task(
        attention_multiply_adds,
        lambda draw: tuple(draw.integer(*ends) for ends in ((7, 9), (10, 14), (48, 64), (3, 6), (15, 26))),
        mistakes={
            "left out the products": lambda h, w, c, d, v: h * w * c * (2 * d + 2 * v),
            "only the product for the scores": lambda h, w, c, d, v: h * w * c * (2 * d + 2 * v) + (h * w) ** 2 * d,
            "convolutions at one position": lambda h, w, c, d, v: c * (2 * d + 2 * v) + (h * w) ** 2 * (d + v),
            "only the products": lambda h, w, c, d, v: (h * w) ** 2 * (d + v),
            "left out the output": lambda h, w, c, d, v: h * w * c * (2 * d + v) + (h * w) ** 2 * (d + v),
            "output layer from channels": lambda h, w, c, d, v: h * w * c * (2 * d + v + c) + (h * w) ** 2 * (d + v),
            "products not squared": lambda h, w, c, d, v: h * w * c * (2 * d + 2 * v) + h * w * (d + v),
            "counted multiplications and additions": lambda h, w, c, d, v: 2 * attention_multiply_adds(h, w, c, d, v),
            "products over all channels": lambda h, w, c, d, v: h * w * c * (2 * d + 2 * v) + (h * w) ** 2 * 2 * c,
        },
    ),
    Task(
        claims,
        _draw_league,
        mistakes={
            "the sign of the mean": lambda a, b: np.sign((a - b).mean(axis=1)),
            "two separate intervals": {
                "gaps.std(axis=1, ddof=1)": "(first.std(axis=1, ddof=1) + second.std(axis=1, ddof=1))"
            },
            "the normal distribution's 1.96": {"stats.t.ppf(0.975, df=seeds - 1)": "1.959964"},
            "the 95 % point": {"0.975": "0.95"},
            "divided by n inside": {"ddof=1": "ddof=0"},
            "n degrees of freedom": {"seeds - 1": "seeds"},
            "one standard error": {"stats.t.ppf(0.975, df=seeds - 1) * ": ""},
            "spread of one seed": {" / np.sqrt(seeds)": ""},
            "the other sign": {"first - second": "second - first"},
        },
        compare=_verdicts_differ,
    ),
)
