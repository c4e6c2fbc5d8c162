"""The exercises of lesson 4.3: read a self-attention layer, count its cost, and run a fair league."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...check.compare import difference
from ...check.engine import Draw, Exercise, Inputs, Mistake


def share_right(network: torch.nn.Module, images: Tensor, labels: Tensor, batch_size: int) -> float:
    """Give the share of pictures that a trained network names rightly: images (N, C, H, W), labels (N,) -> one number.

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
        self.norm = torch.nn.BatchNorm1d(len(mean), affine=False)
        self.norm.running_mean, self.norm.running_var = mean, variance
        self.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.flatten(1)) @ self.weight


def _draw_test(draw: Draw) -> Inputs:
    batch_size = draw.integer(6, 9)
    count, features, classes = 3 * batch_size + draw.integer(2, 4), 12, draw.integer(4, 6)
    images = draw.normal(count, 3, 2, 2, mean=0.5)
    network = _Tested(draw.normal(features), draw.uniform(features, low=0.5, high=2.0), draw.normal(features, classes))
    with torch.no_grad():
        labels = network.eval()(images).argmax(dim=1)
    wrong = torch.tensor([draw.uniform().item() < 0.4 for _ in range(count)], device="cpu")
    return network.train(), images, (labels + wrong) % classes, batch_size


def _batches(network: torch.nn.Module, images: Tensor, labels: Tensor, batch_size: int) -> list[tuple[int, int]]:
    """Right answers and pictures of each batch, in the mode that the network is in."""
    found = []
    with torch.no_grad():
        for batch, truth in zip(images.split(batch_size), labels.split(batch_size), strict=True):
            found.append((int((network(batch).argmax(dim=1) == truth).sum()), len(batch)))
    return found


def _share(batches: list[tuple[int, int]]) -> float:
    return sum(right for right, _ in batches) / sum(count for _, count in batches)


def _draw_scores(draw: Draw) -> Inputs:
    """Queries that repeat one another, exactly or at another scale, and some that reverse the order."""
    keys = draw.integer(4, 5)
    first, second = draw.normal(keys), draw.normal(keys)
    rows = [first, first, 2.0 * first, -first, second, second - 0.5, second.flip(0), first + 1.0]
    return (torch.stack(draw.shuffled(rows[: draw.integer(6, 8)])),)


def _draw_sizes(draw: Draw) -> Inputs:
    keys = draw.integer(2, 6)
    return draw.integer(5, 9), draw.integer(10, 14), draw.choice((24, 48, 64)), keys, keys + draw.integer(3, 20)


def _draw_weights(draw: Draw) -> Inputs:
    height, width = draw.integer(2, 3), draw.integer(4, 5)
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
    luck = draw.normal(9, seeds, std=0.05).numpy().astype(np.float64)
    noise = draw.normal(9, seeds, std=0.01).numpy().astype(np.float64)
    noise -= noise.mean(axis=1, keepdims=True)
    error = noise.std(axis=1, ddof=1, keepdims=True) / np.sqrt(seeds)
    # Means in standard errors: beyond all doubt, beyond t (2.8 or 2.6), below t by less than a wrong `ddof` takes off
    # it, above the 95 % point of t, between that point and 1.96, above 1, below 1.
    t, one_sided = (2.776, 2.132) if seeds == 5 else (2.571, 2.015)
    means = np.array(draw.shuffled([60.0, -8.0, 4.0, 0.95 * t, -2.3, (1.96 + one_sided) / 2, 1.5, -0.4, 0.5]))[:, None]
    second = 0.7 + luck
    return second + noise + means * error, second


def _verdicts(first: np.ndarray, second: np.ndarray, factor: float) -> np.ndarray:
    gaps = first - second
    half = factor * gaps.std(axis=1, ddof=1) / np.sqrt(gaps.shape[1])
    mean = gaps.mean(axis=1)
    return (mean - half > 0).astype(int) - (mean + half < 0).astype(int)


def _one_sided(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    from scipy import stats

    return _verdicts(first, second, stats.t.ppf(0.95, df=first.shape[1] - 1))


def _biased(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Claims from a standard deviation that is divided by n."""
    from scipy import stats

    seeds = first.shape[1]
    return _verdicts(first, second, stats.t.ppf(0.975, df=seeds - 1) * np.sqrt((seeds - 1) / seeds))


def _verdicts_differ(given: Any, expected: np.ndarray) -> str | None:
    """How a list, an array or a tensor of verdicts differs; 1.0 is as good as 1."""
    if isinstance(given, Tensor | list | tuple):
        given = np.asarray(given)
    if isinstance(given, np.ndarray) and given.dtype.kind in "if":
        given = given.astype(float)
    return difference(given, expected.astype(float), ("pair",))


def _claims_refused(given: Any, first: np.ndarray, second: np.ndarray) -> str | None:
    return _verdicts_differ(given, claims(first, second))


def _claims_mistake(message: str, wrong: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Mistake:
    return Mistake(message, wrong, shows=lambda given, a, b: _verdicts_differ(given, wrong(a, b)) is None)


def _unpaired(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Claims where the two intervals do not overlap."""
    from scipy import stats

    seeds = first.shape[1]
    t = stats.t.ppf(0.975, df=seeds - 1) / np.sqrt(seeds)
    half = t * (first.std(axis=1, ddof=1) + second.std(axis=1, ddof=1))
    gap = first.mean(axis=1) - second.mean(axis=1)
    return (gap > half).astype(int) - (gap < -half).astype(int)


def _whole_spread(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    from scipy import stats

    return _verdicts(first, second, stats.t.ppf(0.975, df=first.shape[1] - 1) * np.sqrt(first.shape[1]))


SHARE_RIGHT = Exercise(
    lesson="4.3",
    official=share_right,
    draw=_draw_test,
    minutes=8,
    difficulty=2,
    hints=(
        "Batch norm and dropout behave differently in training. Which method of a module switches that?",
        "Count right answers over all batches, and divide once, by the number of pictures.",
        "`network.eval()`, then `with torch.no_grad()`, then a loop over `images[start : start + batch_size]`.",
    ),
    takeaway="Left in train mode, this network's answers hang on who shares a batch with a picture, and its dropout "
    "of 60 % would still be at work: a comparison of two such numbers compares luck.",
    mistakes=(
        Mistake(
            "The network was left in train mode: its batch norm took the statistics of your test batches. "
            "Call `network.eval()` first.",
            lambda network, x, y, size: _share(_batches(network.train(), x, y, size)),
        ),
        Mistake(
            "The network was left in train mode, and saw all pictures as one batch, whose statistics its batch norm "
            "took. Call `network.eval()` first.",
            lambda network, x, y, size: _share(_batches(network.train(), x, y, len(x))),
        ),
        Mistake(
            "The network was left in train mode, and you averaged the batches' shares, of which the last is smaller.",
            lambda network, x, y, size: float(
                np.mean([right / count for right, count in _batches(network.train(), x, y, size)])
            ),
        ),
        Mistake(
            "You averaged the batches' shares; the last batch is smaller, and its pictures count too much that way.",
            lambda network, x, y, size: float(
                np.mean([right / count for right, count in _batches(network.eval(), x, y, size)])
            ),
        ),
        Mistake(
            "You left out the last, smaller batch.",
            lambda network, x, y, size: _share(_batches(network.eval(), x, y, size)[:-1]),
        ),
        Mistake(
            "You counted every batch as full; the last one is smaller.",
            lambda network, x, y, size: (
                sum(right for right, _ in _batches(network.eval(), x, y, size)) / (-(-len(x) // size) * size)
            ),
        ),
        Mistake(
            "You returned the number of right answers; divide by the number of pictures.",
            lambda network, x, y, size: sum(right for right, _ in _batches(network.eval(), x, y, size)),
        ),
        Mistake(
            "You returned the share of wrong answers.",
            lambda network, x, y, size: 1 - _share(_batches(network.eval(), x, y, size)),
        ),
    ),
)

RANKINGS = Exercise(
    lesson="4.3",
    official=rankings,
    draw=_draw_scores,
    minutes=6,
    difficulty=2,
    hints=(
        "An order is a list of keys. `argsort` along which axis gives each query's list?",
        "Two rows are the same order if all entries agree: `unique(dim=0)` keeps one of each.",
        "`len(scores.argsort(dim=1, descending=True).unique(dim=0))`.",
    ),
    takeaway="With one key channel a score is a product of two numbers: however many queries there are, they can only "
    "rank the keys one way, or exactly the other way round. With 12 channels and C // 8, that is what one gets.",
    mistakes=(
        Mistake(
            "You counted the different favourites, the best key of each query; count whole orders.",
            lambda scores: len(scores.argmax(dim=1).unique()),
        ),
        Mistake(
            "You counted different rows of scores; rows that are shifted or scaled rank alike.",
            lambda scores: len(scores.unique(dim=0)),
        ),
        Mistake(
            "You gave as many as there are keys, or ranked the queries for each key; rank the keys for each query, and "
            "compare whole rows: `unique(dim=0)`.",
            lambda scores: len(scores.T.argsort(dim=1, descending=True).unique(dim=0)),
        ),
        Mistake(
            "You took an order and its reverse for the same; they are opposite opinions.",
            lambda scores: len(
                {min(tuple(o), tuple(o[::-1])) for o in scores.argsort(dim=1, descending=True).tolist()}
            ),
        ),
        Mistake("You counted the queries; some of them rank alike.", lambda scores: len(scores)),
        Mistake(
            "You returned the orders; return how many there are.",
            lambda scores: scores.argsort(dim=1, descending=True).unique(dim=0),
        ),
    ),
)

MULTIPLY_ADDS = Exercise(
    lesson="4.3",
    official=attention_multiply_adds,
    draw=_draw_sizes,
    minutes=8,
    difficulty=2,
    hints=(
        "A 1x1 convolution from A to B channels costs A * B at each position.",
        "Every query meets every key: D multiply-adds for each of L * L pairs. And the weights meet the values.",
        "L * C * (2 D + 2 V) for the convolutions, L * L * (D + V) for the products.",
    ),
    takeaway="The first part grows with the number of positions, the second with its square: on a picture of twice the "
    "side it is sixteen times as large. That is why the course puts self-attention after the first halving.",
    mistakes=(
        Mistake(
            "You left out the products: every query meets every key, and every weight a value.",
            lambda h, w, c, d, v: h * w * c * (2 * d + 2 * v),
        ),
        Mistake(
            "You counted the scores, but not the product of weights and values.",
            lambda h, w, c, d, v: h * w * c * (2 * d + 2 * v) + (h * w) ** 2 * d,
        ),
        Mistake(
            "You counted the products, but not the four 1x1 convolutions.",
            lambda h, w, c, d, v: (h * w) ** 2 * (d + v),
        ),
        Mistake(
            "You left out the output layer, from value_channels back to channels.",
            lambda h, w, c, d, v: h * w * c * (2 * d + v) + (h * w) ** 2 * (d + v),
        ),
        Mistake(
            "Your output layer has channels inputs; it goes from value_channels back to channels.",
            lambda h, w, c, d, v: h * w * c * (2 * d + v + c) + (h * w) ** 2 * (d + v),
        ),
        Mistake(
            "There are height * width positions, so the products cost their square; you took height * width once.",
            lambda h, w, c, d, v: h * w * c * (2 * d + 2 * v) + h * w * (d + v),
        ),
        Mistake(
            "You counted multiplications and additions apart; a multiply-add is one.",
            lambda h, w, c, d, v: 2 * attention_multiply_adds(h, w, c, d, v),
        ),
        Mistake(
            "The products run over all channels in your count; they run over key_channels and value_channels.",
            lambda h, w, c, d, v: h * w * c * (2 * d + 2 * v) + (h * w) ** 2 * 2 * c,
        ),
    ),
)

LOOKED_AT = Exercise(
    lesson="4.3",
    official=looked_at,
    draw=_draw_weights,
    axes=("picture", "row", "column"),
    minutes=5,
    difficulty=1,
    hints=(
        "A row of the weights belongs to a query, a column to a key. Who is looked at?",
        "Average over the queries, dim 1; that leaves (N, keys).",
        "`weights.mean(dim=1).reshape(len(weights), height, width)`.",
    ),
    takeaway="Each query's weights sum to 1, so this map sums to 1 too: it can be read as shares, and compared with "
    "the place of the answer.",
    mistakes=(
        Mistake(
            "You averaged over the keys: a query's weights sum to 1, so the mean is the same everywhere.",
            lambda weights, h, w: weights.mean(dim=2).reshape(len(weights), h, w),
        ),
        Mistake(
            "You added up the queries; take their mean, so that the map sums to 1.",
            lambda weights, h, w: weights.sum(dim=1).reshape(len(weights), h, w),
        ),
        Mistake(
            "You show what the first query looks at; take the mean over all.",
            lambda weights, h, w: weights[:, 0].reshape(len(weights), h, w),
        ),
        Mistake(
            "The keys run row by row; you laid them out column by column.",
            lambda weights, h, w: weights.mean(dim=1).reshape(len(weights), w, h).transpose(1, 2),
        ),
        Mistake(
            "You took the strongest query at each key; take the mean over all.",
            lambda weights, h, w: weights.amax(dim=1).reshape(len(weights), h, w),
        ),
    ),
)

CHOOSE = Exercise(
    lesson="4.3",
    official=choose_learning_rates,
    draw=_draw_trials,
    axes=("network",),
    minutes=6,
    difficulty=2,
    hints=(
        "First the mean over the trials, dim=2. Then each network has its own best rate: look along its row.",
        "`means.argmax(dim=1)` gives the place of the best; `rates` tells what stands there. And ties?",
        "Sort the rates first, and the columns with them; then the first of the best is the smaller rate.",
    ),
    takeaway="Every network had as many trials as every other. A league in which only the favourite was tuned "
    "measures the patience of its author; and one that goes by single trials, its luck.",
    mistakes=(
        Mistake(
            "You gave all networks the rate that is best on average; each may have its own.",
            lambda v, rates: rates[v.mean(dim=(0, 2)).argmax()].expand(len(v)),
        ),
        Mistake(
            "You gave all networks the best rate of the first one: that favours the first.",
            lambda v, rates: choose_learning_rates(v[:1], rates).expand(len(v)),
        ),
        Mistake(
            "You returned where the best rate stands, not the rate.",
            lambda v, rates: v.mean(dim=2).argmax(dim=1),
        ),
        Mistake(
            "You went by the best single trial of a rate: that rewards luck. Take the mean of its trials.",
            lambda v, rates: choose_learning_rates(v.amax(dim=2, keepdim=True), rates),
        ),
        Mistake(
            "You went by the worst trial of a rate; the task asks for the mean of its trials.",
            lambda v, rates: choose_learning_rates(v.amin(dim=2, keepdim=True), rates),
        ),
        Mistake(
            "You went by the middle one of a rate's trials; the task asks for their mean.",
            lambda v, rates: choose_learning_rates(v.median(dim=2, keepdim=True).values, rates),
        ),
        Mistake(
            "You used the first trial only; take the mean of all.",
            lambda v, rates: choose_learning_rates(v[:, :, :1], rates),
        ),
        Mistake(
            "You took the rate that does worst.",
            lambda v, rates: choose_learning_rates(-v, rates),
        ),
        Mistake(
            "Of equal trials you took the larger rate; the task asks for the smaller.",
            lambda v, rates: choose_learning_rates(v.flip(1), -rates.flip(0)).neg(),
        ),
        Mistake(
            "Where two rates do equally well you took the one that stands first; the task asks for the smaller.",
            lambda v, rates: rates[v.mean(dim=2).argmax(dim=1)],
            shows=_a_best_rate,
        ),
        Mistake(
            "You returned the best mean accuracy; return the rate that reached it.",
            lambda v, rates: v.mean(dim=2).amax(dim=1),
        ),
        Mistake(
            "You took the rates as if they were sorted; they stand in the order of the columns.",
            lambda v, rates: rates.sort().values[v.mean(dim=2).argmax(dim=1)],
        ),
    ),
)

CLAIMS = Exercise(
    lesson="4.3",
    official=claims,
    draw=_draw_league,
    refusal=_claims_refused,
    minutes=10,
    difficulty=3,
    hints=(
        "It is the interval of lesson 4.2 for each row: subtract seed by seed, then take means along axis 1.",
        "half = t * s / sqrt(n), with t = `stats.t.ppf(0.975, df=n - 1)` and s = `gaps.std(axis=1, ddof=1)`.",
        "1 where mean - half > 0, -1 where mean + half < 0; `(a > 0).astype(int)` turns truth into 0 and 1.",
    ),
    takeaway="A 0 does not say that two networks are equal: only that these seeds do not tell. And of twenty claims at "
    "95 % one is expected to be wrong, so a single narrow win in a large league is no great news.",
    mistakes=(
        _claims_mistake(
            "You went by the sign of the mean alone: any luck becomes a claim.",
            lambda a, b: np.sign((a - b).mean(axis=1)).astype(int),
        ),
        _claims_mistake(
            "You asked whether two separate intervals overlap. The seeds are shared: subtract seed by seed first.",
            _unpaired,
        ),
        _claims_mistake(
            "You used the normal distribution's 1.96; with so few seeds take Student's t.",
            lambda a, b: _verdicts(a, b, 1.959964),
        ),
        _claims_mistake(
            "You took the 95 % point of t, which leaves 5 % on each side; take the 97.5 % point.",
            _one_sided,
        ),
        _claims_mistake(
            "You divided by n inside the standard deviation (NumPy's default); a sample needs n - 1: `ddof=1`.",
            _biased,
        ),
        _claims_mistake(
            "You took one standard error, about a 68 % interval; the task asks for 95 %.",
            lambda a, b: _verdicts(a, b, 1.0),
        ),
        _claims_mistake(
            "You forgot to divide by the square root of the number of seeds.",
            _whole_spread,
        ),
        _claims_mistake(
            "You subtracted the other way round: 1 is where the first is higher.",
            lambda a, b: claims(b, a),
        ),
    ),
)

EXERCISES = (LOOKED_AT, CHOOSE, RANKINGS, SHARE_RIGHT, MULTIPLY_ADDS, CLAIMS)
