"""The exercises of lesson 4.1.2: covariance, what SE cannot see, row-wise convolution, the square root of a matrix."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ...check.compare import difference, number
from ...check.engine import Draw, Exercise, Inputs, Mistake


def channel_covariance(x: Tensor) -> Tensor:
    """Say how the channels of each picture vary together: (N, C, H, W) -> (N, C, C), the mean over all positions of the
    products of two channels' deviations from their means.
    """
    features = x.flatten(2)  # (N, C, M)
    deviations = features - features.mean(dim=2, keepdim=True)
    return deviations @ deviations.transpose(1, 2) / features.shape[2]


def fool_se(x: Tensor, first: int, second: int) -> Tensor:
    """Make an input that SE cannot tell from x: (N, C, H, W) -> (N, C, H, W), with the mean of every channel as in x,
    but another covariance of the channels `first` and `second`.
    """
    y = x.clone()
    y[:, second] = x[:, second].flip(1)  # upside down: the same values at other places
    return y


def row_wise_convolution(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Turn each row of a matrix into e numbers by e kernels of its own: rows (N, d, d) -> (N, e * d).

    The weight has the shape that `nn.Conv2d(d, e * d, (d, 1), groups=d)` gives it, (e * d, 1, d, 1): the e kernels of
    row 0 come first, then those of row 1. The bias is (e * d,).
    """
    return F.conv2d(rows[..., None], weight, bias, groups=rows.shape[1]).flatten(1)


def position_covariance(x: Tensor) -> Tensor:
    """Say how the positions of each picture vary together: (N, C, H, W) -> (N, M, M) with M = H * W, the mean over all
    channels of the products of two positions' deviations from their means over the channels.
    """
    features = x.flatten(2)  # (N, C, M)
    deviations = features - features.mean(dim=1, keepdim=True)
    return deviations.transpose(1, 2) @ deviations / features.shape[1]


def count_gsop_parameters(channels: int, reduced: int, expansion: int) -> int:
    """Count the parameters of GSoPBlock(channels, reduced, expansion): its three convolutions have biases, its two
    batch norms a scale and a shift for each of the `reduced` channels.
    """
    reduce = reduced * channels + reduced
    norms = 2 * 2 * reduced
    row_conv = expansion * reduced * reduced + expansion * reduced
    expand = channels * expansion * reduced + channels
    return reduce + norms + row_conv + expand


def newton_schulz_root(cov: Tensor, iterations: int) -> Tensor:
    """Take the square root of each covariance by matrix products alone: (N, C, C) -> (N, C, C).

    Divide by the trace; start from Y = that matrix and Z = I; with T = (3 I - Z Y) / 2 let Y become Y T and Z become
    T Z, `iterations` times; multiply Y by the square root of the trace.
    """
    identity = torch.eye(cov.shape[1])
    trace = cov.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]  # (N, 1, 1)
    y, z = cov / trace, identity
    for _ in range(iterations):
        t = (3 * identity - z @ y) / 2
        y, z = y @ t, t @ z
    return y * trace.sqrt()


def _draw_map(draw: Draw) -> Inputs:
    return (draw.normal(draw.integer(2, 3), draw.integer(4, 5), draw.integer(3, 4), draw.integer(6, 7), mean=0.5),)


def _draw_related(draw: Draw) -> Inputs:
    """Maps in which two channels rise and fall together."""
    channels = draw.integer(4, 5)
    first, second = draw.shuffled(range(channels))[:2]
    x = draw.normal(2, channels, draw.integer(6, 7), draw.integer(8, 9)) + draw.normal(1, channels, 1, 1, std=2)
    x[:, second] = 0.9 * x[:, first] + 0.3 * x[:, second] + 1
    return x, first, second


def _draw_rows(draw: Draw) -> Inputs:
    side, expansion = draw.integer(4, 5), draw.integer(2, 3)
    return (
        draw.normal(draw.integer(2, 3), side, side),
        draw.normal(expansion * side, 1, side, 1, std=side**-0.5),
        draw.normal(expansion * side, std=0.5),
    )


def _draw_count(draw: Draw) -> Inputs:
    return draw.integer(40, 300), draw.integer(8, 30), draw.integer(3, 6)


def _draw_covariance(draw: Draw) -> Inputs:
    batch, channels = draw.integer(2, 3), draw.integer(3, 4)
    turned = torch.linalg.qr(draw.normal(batch, channels, channels)).Q
    values = draw.uniform(batch, channels, low=0.2, high=1.7)
    return turned @ torch.diag_embed(values) @ turned.transpose(1, 2), draw.integer(3, 5)


def _with_channel(x: Tensor, channel: int, values: Tensor) -> Tensor:
    y = x.clone()
    y[:, channel] = values
    return y


def _flip_both(x: Tensor, first: int, second: int) -> Tensor:
    y = x.clone()
    y[:, [first, second]] = x[:, [first, second]].flip(2)
    return y


def _keeps_covariances(given: Tensor, x: Tensor) -> bool:
    same = [difference(f(given), f(x)) is None for f in (lambda m: m.mean(dim=(2, 3)), channel_covariance)]
    return all(same) and difference(given, x) is not None


def _not_fooled(given: object, x: Tensor, first: int, second: int) -> str | None:
    """Why SE would see a change, or GSoP would see none."""
    if not isinstance(given, Tensor) or given.shape != x.shape or given.dtype != x.dtype:
        return difference(given, x)
    if not given.isfinite().all():
        return "Your result holds a value that is not finite; move values, and make no new ones."
    before, after = x.mean(dim=(2, 3)), given.mean(dim=(2, 3))
    picture, channel = divmod(int((after - before).abs().argmax()), x.shape[1])
    if (after - before).abs().max() > 1e-4:
        return (
            f"The mean of channel {channel} in picture {picture} was {number(before[picture, channel].item())} and is "
            f"{number(after[picture, channel].item())}: SE sees that. Every mean must stay as it was."
        )
    old, new = (channel_covariance(maps)[:, first, second] for maps in (x, given))
    spread = x[:, first].flatten(1).std(1) * x[:, second].flatten(1).std(1)
    picture = int(((new - old).abs() / spread).argmin())
    if ((new - old).abs() < 0.1 * spread).any():
        return (
            f"In picture {picture} the covariance of the channels {first} and {second} was "
            f"{number(old[picture].item())} and is {number(new[picture].item())}: too little to be seen. Move the "
            "values of one of the two."
        )
    return None


def _root_of(cov: Tensor, iterations: int, before: Tensor, after: Tensor | float) -> Tensor:
    y, z = cov / before, torch.eye(cov.shape[1]).expand_as(cov)
    for _ in range(iterations):
        t = (3 * torch.eye(cov.shape[1]) - z @ y) / 2
        y, z = y @ t, t @ z
    return y * after


def _trace(cov: Tensor) -> Tensor:
    return cov.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]


def _exact_root(cov: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(cov)
    return vectors @ torch.diag_embed(values.clamp_min(0).sqrt()) @ vectors.transpose(1, 2)


def _inverse_root(cov: Tensor, iterations: int) -> Tensor:
    y, z = cov / _trace(cov), torch.eye(cov.shape[1]).expand_as(cov)
    for _ in range(iterations):
        t = (3 * torch.eye(cov.shape[1]) - z @ y) / 2
        y, z = y @ t, t @ z
    return z * _trace(cov).sqrt()


def _one_after_the_other(cov: Tensor, iterations: int) -> Tensor:
    y, z, identity = cov / _trace(cov), torch.eye(cov.shape[1]).expand_as(cov), torch.eye(cov.shape[1])
    for _ in range(iterations):
        y = y @ (3 * identity - z @ y) / 2
        z = (3 * identity - z @ y) / 2 @ z
    return y * _trace(cov).sqrt()


def _with_one_factor(cov: Tensor, iterations: int) -> Tensor:
    y, identity = cov / _trace(cov), torch.eye(cov.shape[1])
    t = (3 * identity - y) / 2
    for _ in range(iterations):
        y = y @ t
    return y * _trace(cov).sqrt()


def _centred(x: Tensor, dim: int) -> Tensor:
    features = x.flatten(2)
    return features - features.mean(dim=dim, keepdim=True)


def _released(x: Tensor, first: int | None = None) -> Tensor:
    """The covariance of positions with the release's mistake, or with another count in its first term."""
    features = x.flatten(2)  # (N, C, M)
    channels, positions = features.shape[1:]
    centring = torch.eye(channels) / (first or positions) - torch.ones(channels, channels) / positions**2
    return features.transpose(1, 2) @ centring @ features


def _product(features: Tensor) -> Tensor:
    return features @ features.transpose(1, 2)


COVARIANCE = Exercise(
    lesson="4.1.2",
    official=channel_covariance,
    draw=_draw_map,
    minutes=6,
    difficulty=1,
    axes=("picture", "channel", "channel"),
    hints=(
        "Bring the positions into one axis with `x.flatten(2)`: (N, C, M). What must be taken off each channel first?",
        "With deviations of shape (N, C, M), one matrix product gives all C x C sums: (N, C, M) times (N, M, C).",
        "deviations = features - features.mean(dim=2, keepdim=True); then deviations @ deviations.transpose(1, 2) / M.",
    ),
    takeaway="The diagonal holds the variances, the rest says which channels are large at the same positions.",
    mistakes=(
        Mistake(
            "You did not take off the means: that is the mean of the products, not of the products of deviations.",
            lambda x: _product(x.flatten(2)) / x[0, 0].numel(),
        ),
        Mistake(
            "You divided by M - 1, the unbiased estimate; GSoP divides by the number of positions, M.",
            lambda x: _product(_centred(x, 2)) / (x[0, 0].numel() - 1),
        ),
        Mistake(
            "You summed over the positions; divide by their number, so that a larger map has no larger covariance.",
            lambda x: _product(_centred(x, 2)),
        ),
        Mistake(
            "You divided by the number of channels; the mean goes over the positions.",
            lambda x: _product(_centred(x, 2)) / x.shape[1],
        ),
        Mistake(
            "You took off the mean over the channels, axis 1; take off each channel's mean over its positions.",
            lambda x: _product(_centred(x, 1)) / x[0, 0].numel(),
        ),
        Mistake(
            "You used one mean for all pictures of the batch; each picture has its own.",
            lambda x: _product(x.flatten(2) - x.mean(dim=(0, 2, 3))[:, None]) / x[0, 0].numel(),
        ),
        Mistake(
            "You divided by the standard deviations: that is the correlation. GSoP keeps the covariance.",
            lambda x: torch.stack([torch.corrcoef(one) for one in x.flatten(2)]),
        ),
        Mistake(
            "Your matrix compares positions, M x M; it should compare channels, C x C: swap the factors.",
            lambda x: _centred(x, 2).transpose(1, 2) @ _centred(x, 2) / x[0, 0].numel(),
        ),
    ),
)

FOOL_SE = Exercise(
    lesson="4.1.2",
    official=fool_se,
    draw=_draw_related,
    minutes=6,
    difficulty=2,
    hints=(
        "A mean does not know where a value stands. What can you do to a map that changes no value?",
        "Move the values of one of the two channels to other places, and leave the other channel alone.",
        "y = x.clone(), then give y[:, second] the map of x[:, second] upside down: `.flip(1)`.",
    ),
    takeaway="Every mean is as it was, so SE makes the same mask of both. Their covariances differ.",
    refusal=_not_fooled,
    mistakes=(
        Mistake("You returned x as it is: neither SE nor GSoP sees a difference.", lambda x, first, second: x.clone()),
        Mistake(
            "You moved all channels alike, so each pair is still large at the same positions, if at others; move one "
            "channel alone.",
            lambda x, first, second: x.flip(2),
            shows=lambda given, x, first, second: _keeps_covariances(given, x),
        ),
        Mistake("You moved both channels alike, so they still rise and fall together; move one of them.", _flip_both),
        Mistake(
            "You exchanged the two channels: each now has the other's mean, and SE sees that.",
            lambda x, first, second: _with_channel(_with_channel(x, first, x[:, second]), second, x[:, first]),
        ),
        Mistake(
            "You put one channel's map in the other's place, and with it another mean.",
            lambda x, first, second: _with_channel(x, second, x[:, first]),
        ),
        Mistake(
            "You scaled a channel: its covariances changed, but its mean did too.",
            lambda x, first, second: _with_channel(x, second, x[:, second] * 2),
        ),
        Mistake(
            "You turned a channel's sign: its covariances changed, but its mean did too.",
            lambda x, first, second: _with_channel(x, second, -x[:, second]),
        ),
        Mistake(
            "You took the maps of another picture of the batch, and with them other means: `flip(0)` turns the batch.",
            lambda x, first, second: _with_channel(x, second, x[:, second].flip(0)),
        ),
    ),
)

ROW_WISE = Exercise(
    lesson="4.1.2",
    official=row_wise_convolution,
    draw=_draw_rows,
    minutes=7,
    difficulty=2,
    axes=("picture", "number"),
    hints=(
        "For a convolution the rows are the channels: (N, d, d) needs one more axis to be (N, d, d, 1).",
        "Each row must see its own kernels only. `F.conv2d` does that with `groups=`.",
        "`F.conv2d(rows[..., None], weight, bias, groups=d)` is (N, e * d, 1, 1); `flatten(1)` takes two axes off.",
    ),
    takeaway="Row i says how channel i varies with every other; its own kernels read that, and no row is mixed with "
    "another before the last layer.",
    mistakes=(
        Mistake(
            "You kept two axes of length 1; take them off with `flatten(1)`.",
            lambda rows, w, b: F.conv2d(rows[..., None], w, b, groups=rows.shape[1]),
        ),
        Mistake(
            "You left out the bias.",
            lambda rows, w, b: F.conv2d(rows[..., None], w, groups=rows.shape[1]).flatten(1),
        ),
        Mistake(
            "You took the columns for rows. A covariance is symmetric, but after the batch norm it no longer is.",
            lambda rows, w, b: row_wise_convolution(rows.transpose(1, 2), w, b),
        ),
        Mistake(
            "You averaged the rows first, so all kernels see the same row; each row has its own kernels.",
            lambda rows, w, b: F.linear(rows.mean(dim=1), w[:, 0, :, 0], b),
        ),
        Mistake(
            "You let every kernel see every row and added up, as a convolution without groups does; use `groups=d`.",
            lambda rows, w, b: F.linear(rows.sum(dim=1), w[:, 0, :, 0], b),
        ),
        Mistake(
            "Your numbers are in another order: first come all kernels of row 0, then those of row 1.",
            lambda rows, w, b: row_wise_convolution(rows, w, b).unflatten(1, (rows.shape[1], -1)).mT.flatten(1),
        ),
        Mistake(
            "You gave kernel k to row k % d; it belongs to row k // e: the kernels of one row stand together.",
            lambda rows, w, b: (
                torch.einsum("nrc,erc->ner", rows, w[:, 0, :, 0].unflatten(0, (-1, rows.shape[1]))).flatten(1) + b
            ),
        ),
        Mistake(
            "You put a ReLU at the end; in the channel block none stands between the two layers.",
            lambda rows, w, b: F.relu(row_wise_convolution(rows, w, b)),
        ),
    ),
)

POSITIONS = Exercise(
    lesson="4.1.2",
    official=position_covariance,
    draw=_draw_map,
    minutes=7,
    difficulty=2,
    axes=("picture", "position", "position"),
    hints=(
        "Over what does the sum run now, over the positions or over the channels? The mean must run over the same.",
        "Each position has C values, one for each channel: its mean goes over axis 1 of (N, C, M).",
        "deviations = features - features.mean(dim=1, keepdim=True); then deviations.transpose(1, 2) @ deviations / C.",
    ),
    takeaway="What is averaged over and what is divided by must be the same axis. Where they differ, variances can "
    "come out below zero.",
    mistakes=(
        Mistake(
            "That is still the code with the mistake: its centring matrix is for sums over C channels, but it divides "
            "by the number of positions, M.",
            _released,
        ),
        Mistake(
            "Only the first term of the centring matrix is mended; the second holds the same count, squared: C**2.",
            lambda x: _released(x, first=x.shape[1]),
        ),
        Mistake(
            "The means are right now, but you divide by the number of positions; the sum runs over the C channels.",
            lambda x: _centred(x, 1).transpose(1, 2) @ _centred(x, 1) / x[0, 0].numel(),
        ),
        Mistake(
            "You took off each channel's mean over the positions; here each position's mean over the channels goes.",
            lambda x: _centred(x, 2).transpose(1, 2) @ _centred(x, 2) / x.shape[1],
        ),
        Mistake(
            "You did not take off any mean.",
            lambda x: x.flatten(2).transpose(1, 2) @ x.flatten(2) / x.shape[1],
        ),
        Mistake(
            "You summed over the channels; divide by their number.",
            lambda x: _centred(x, 1).transpose(1, 2) @ _centred(x, 1),
        ),
        Mistake(
            "You divided by C - 1; the estimate here is the biased one, divided by C.",
            lambda x: _centred(x, 1).transpose(1, 2) @ _centred(x, 1) / (x.shape[1] - 1),
        ),
        Mistake(
            "Your matrix compares channels, C x C; this one compares positions, M x M.",
            lambda x: _product(_centred(x, 1)) / x.shape[1],
        ),
        Mistake("That is the covariance of the channels; here positions are compared.", channel_covariance),
    ),
)

COUNT = Exercise(
    lesson="4.1.2",
    official=count_gsop_parameters,
    draw=_draw_count,
    minutes=8,
    difficulty=2,
    hints=(
        "There are five layers with parameters: a 1x1 convolution, two batch norms, the row-wise one, the last layer.",
        "The row-wise convolution has e * d kernels, and each sees one row of d numbers.",
        "(C d + d) + 4 d + (e d * d + e d) + (e d * C + C).",
    ),
    takeaway="With d fixed at 128, most parameters are about (e + 1) C d: they grow with C, not with its square.",
    mistakes=(
        Mistake(
            "You left out the two batch norms: a scale and a shift for each of d channels, twice.",
            lambda c, d, e: c * d + d + e * d * d + e * d + e * d * c + c,
        ),
        Mistake(
            "You counted one batch norm; there are two, one before the covariance and one over its rows.",
            lambda c, d, e: c * d + d + 2 * d + e * d * d + e * d + e * d * c + c,
        ),
        Mistake(
            "You counted the running means and variances of the batch norms; they are buffers, not parameters.",
            lambda c, d, e: c * d + d + 8 * d + e * d * d + e * d + e * d * c + c,
        ),
        Mistake(
            "You let each row-wise kernel see all d rows: d * d numbers. With groups it sees one row, d numbers.",
            lambda c, d, e: c * d + d + 4 * d + e * d * d * d + e * d + e * d * c + c,
        ),
        Mistake(
            "You counted one row's kernels; each of the d rows has e kernels of its own.",
            lambda c, d, e: c * d + d + 4 * d + e * d + e * d + e * d * c + c,
        ),
        Mistake(
            "You left out the biases of the three convolutions.",
            lambda c, d, e: c * d + 4 * d + e * d * d + e * d * c,
        ),
        Mistake(
            "Your last layer sees d numbers; the row-wise convolution hands it e * d.",
            lambda c, d, e: c * d + d + 4 * d + e * d * d + e * d + d * c + c,
        ),
    ),
)

ROOT = Exercise(
    lesson="4.1.2",
    official=newton_schulz_root,
    draw=_draw_covariance,
    minutes=10,
    difficulty=3,
    axes=("picture", "row", "column"),
    hints=(
        "Three parts: divide by the trace, iterate, multiply by the square root of the trace.",
        "`cov.diagonal(dim1=1, dim2=2).sum(1)` is the trace of each matrix; give it two more axes to divide by it.",
        "Start from y = cov / trace, z = identity. In the loop: t = (3 * identity - z @ y) / 2; y, z = y @ t, t @ z.",
    ),
    takeaway="Products alone, so a GPU does it quickly and the gradient comes for free. An eigenvalue near zero needs "
    "more steps.",
    mistakes=(
        Mistake(
            "You did not divide by the trace first; away from the identity the iteration may not converge.",
            lambda cov, k: _root_of(cov, k, torch.ones(1), 1.0),
        ),
        Mistake(
            "You left out the last step: the root of cov / trace must be multiplied by the square root of the trace.",
            lambda cov, k: _root_of(cov, k, _trace(cov), 1.0),
        ),
        Mistake(
            "You multiplied by the trace at the end; the root needs the square root of the trace.",
            lambda cov, k: _root_of(cov, k, _trace(cov), _trace(cov)),
        ),
        Mistake(
            "You returned Z, which goes to the inverse of the root; Y goes to the root.",
            _inverse_root,
        ),
        Mistake(
            "You took the root of each entry; the root of a matrix is a matrix whose product with itself is `cov`.",
            lambda cov, k: cov.clamp_min(0).sqrt(),
        ),
        Mistake(
            "You stopped one step early; take as many steps as `iterations` says.",
            lambda cov, k: _root_of(cov, k - 1, _trace(cov), _trace(cov).sqrt()),
        ),
        Mistake(
            "You made Z with the new Y: compute T once in each step, then Y and Z from the old ones.",
            _one_after_the_other,
        ),
        Mistake(
            "You computed T once, before the loop; it changes with Y and Z, so compute it in each step.",
            _with_one_factor,
        ),
        Mistake(
            "You divided by the Frobenius norm; that converges too, but this exercise asks for the trace.",
            lambda cov, k: _root_of(
                cov,
                k,
                torch.linalg.matrix_norm(cov, keepdim=True),
                torch.linalg.matrix_norm(cov, keepdim=True).sqrt(),
            ),
        ),
        Mistake(
            "You used one trace for all matrices of the batch; each has its own.",
            lambda cov, k: _root_of(cov, k, _trace(cov).sum(), _trace(cov).sum().sqrt()),
        ),
        Mistake(
            "That is the exact root, from eigenvalues: right, but slow on a GPU. Here the iteration is asked for.",
            lambda cov, k: _exact_root(cov),
        ),
    ),
)

EXERCISES = (COVARIANCE, FOOL_SE, ROW_WISE, POSITIONS, COUNT, ROOT)
