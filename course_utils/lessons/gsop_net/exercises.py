"""The exercises of lesson 4.1.2: covariance, what SE cannot see, row-wise convolution, the square root of a matrix."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from ...check.compare import difference, number
from ...check.engine import Draw, Inputs
from ...check.tasks import Shown, Task


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


def _draw_covariance(draw: Draw) -> Inputs:
    batch, channels = draw.choice((2, 5)), draw.integer(3, 4)
    turned = torch.linalg.qr(draw.normal(batch, channels, channels)).Q
    values = draw.uniform(batch, channels, low=0.05, high=1.7)
    return turned @ torch.diag_embed(values) @ turned.transpose(1, 2), (3, 4, 5)[draw.turn]


def _keeps_covariances(given: Tensor, x: Tensor) -> bool:
    same = [difference(f(given), f(x)) is None for f in (lambda m: m.mean(dim=(2, 3)), channel_covariance)]
    return all(same) and difference(given, x) is not None


def _not_fooled(given: object, x: Tensor, first: int, second: int) -> str | None:
    """Why SE would see a change, or GSoP would see none."""
    if not isinstance(given, Tensor) or given.shape != x.shape or not given.is_floating_point():
        return difference(given, x)
    given = given.to(x.dtype)  # float64 is as good
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


def _exact_root(cov: Tensor, iterations: int) -> Tensor:
    values, vectors = torch.linalg.eigh(cov)
    return vectors @ torch.diag_embed(values.clamp_min(0).sqrt()) @ vectors.transpose(1, 2)


def _dealt_out(rows: Tensor, weight: Tensor, bias: Tensor, order: str) -> Tensor:
    """Kernel k for row k % d, the numbers in either order."""
    kernels = weight[:, 0, :, 0].unflatten(0, (-1, rows.shape[1]))
    return torch.einsum(f"nrc,erc->{order}", rows, kernels).flatten(1) + bias


def _released(x: Tensor, first: int | None = None) -> Tensor:
    """The covariance of positions with the release's mistake, or with another count in its first term."""
    features = x.flatten(2)  # (N, C, M)
    channels, positions = features.shape[1:]
    centring = torch.eye(channels) / (first or positions) - torch.ones(channels, channels) / positions**2
    return features.transpose(1, 2) @ centring @ features


TASKS = (
    Task(
        channel_covariance,
        _draw_map,
        mistakes={
            "means not subtracted": {" - features.mean(dim=2, keepdim=True)": ""},
            "divided by M - 1": {"features.shape[2]": "(features.shape[2] - 1)"},
            "summed over the positions": {" / features.shape[2]": ""},
            "divided by the channels": {"shape[2]": "shape[1]"},
            "means over the channels": {"mean(dim=2": "mean(dim=1"},
            "one mean for the batch": {"mean(dim=2, keepdim=True)": "mean(dim=(0, 2))[:, None]"},
            "one mean for the picture": {"mean(dim=2": "mean(dim=(1, 2)"},
            "the correlation": lambda x: torch.stack([torch.corrcoef(one) for one in x.flatten(2)]),
            "compared positions": {"deviations @ deviations.transpose(1, 2)": "deviations.mT @ deviations"},
        },
    ),
    Task(
        fool_se,
        _draw_related,
        mistakes={
            "unchanged": {".flip(1)": ""},
            "moved all channels alike": Shown(
                lambda x, first, second: x.flip(2), lambda given, x, first, second: _keeps_covariances(given, x)
            ),
            "moved both channels alike": {"second": "[first, second]", "flip(1)": "flip(2)"},
            "exchanged the two channels": {"x[:, second].flip(1)": "x[:, first]\n    y[:, first] = x[:, second]"},
            "put one channel's map": {"x[:, second].flip(1)": "x[:, first]"},
            "scaled a channel": {".flip(1)": " * 2"},
            "the other sign": {"= x[": "= -x[", ".flip(1)": ""},
            "maps of another picture": {"flip(1)": "flip(0)"},
        },
        refusal=_not_fooled,
    ),
    Task(
        row_wise_convolution,
        lambda draw: draw.normals("N d d", ("e*d 1 d 1", 0.5), ("e*d", 0.5), N=(2, 3), d=(4, 5), e=(2, 3)),
        mistakes={
            "kept two axes": {".flatten(1)": ""},
            "left out the bias": {", bias": ""},
            "added the bias twice": {"bias": "2 * bias"},
            "columns for rows": {"rows[..., None]": "rows.mT[..., None]"},
            "averaged the rows first": lambda rows, w, b: F.linear(rows.mean(dim=1), w[:, 0, :, 0], b),
            "every kernel sees every row": lambda rows, w, b: F.linear(rows.sum(dim=1), w[:, 0, :, 0], b),
            "another order": {".flatten(1)": ".flatten(1).unflatten(1, (rows.shape[1], -1)).mT.flatten(1)"},
            "kernel k to row k % d": (partial(_dealt_out, order="ner"), partial(_dealt_out, order="nre")),
            "flipped kernels": {"weight": "weight.flip(2)"},
            "kernels of a row in reverse": {".flatten(1)": ".unflatten(1, (rows.shape[1], -1)).flip(2).flatten(1)"},
            "a ReLU at the end": lambda rows, w, b: F.relu(row_wise_convolution(rows, w, b)),
        },
    ),
    Task(
        position_covariance,
        _draw_map,
        mistakes={
            "the code as it was": _released,
            "only the first term corrected": lambda x: _released(x, first=x.shape[1]),
            "divided by the positions": {"shape[1]": "shape[2]"},
            "each channel's means": {"dim=1": "dim=2"},
            "means not subtracted": {" - features.mean(dim=1, keepdim=True)": ""},
            "did not divide": {" / features.shape[1]": ""},
            "divided by C - 1": {"features.shape[1]": "(features.shape[1] - 1)"},
            "compared channels": {"deviations.transpose(1, 2) @ deviations": "deviations @ deviations.transpose(1, 2)"},
            "covariance of the channels": channel_covariance,
        },
    ),
    Task(
        count_gsop_parameters,
        lambda draw: (draw.integer(40, 300), draw.integer(8, 30), draw.integer(3, 6)),
        mistakes={
            "left out both batch norms": lambda c, d, e: c * d + d + e * d * d + e * d + e * d * c + c,
            "counted one batch norm": lambda c, d, e: c * d + d + 2 * d + e * d * d + e * d + e * d * c + c,
            "counted the buffers": lambda c, d, e: c * d + d + 8 * d + e * d * d + e * d + e * d * c + c,
            "each kernel sees all rows": lambda c, d, e: c * d + d + 4 * d + e * d * d * d + e * d + e * d * c + c,
            "counted one row's kernels": lambda c, d, e: c * d + d + 4 * d + e * d + e * d + e * d * c + c,
            "left out the biases": lambda c, d, e: c * d + 4 * d + e * d * d + e * d * c,
            "last layer from d": lambda c, d, e: c * d + d + 4 * d + e * d * d + e * d + d * c + c,
        },
    ),
    Task(
        newton_schulz_root,
        _draw_covariance,
        mistakes={
            "not divided by the trace": {"cov / trace": "cov", " * trace.sqrt()": ""},
            "left out the last step": {" * trace.sqrt()": ""},
            "multiplied by the whole trace": {"trace.sqrt()": "trace"},
            "returned Z": {"return y": "return z"},
            "root of each entry": lambda cov, k: cov.clamp_min(0).sqrt(),
            "stopped one step early": {"range(iterations)": "range(iterations - 1)"},
            "one step too many": {"range(iterations)": "range(iterations + 1)"},
            "Z from the new Y": {"y, z = y @ t, t @ z": "y = y @ t; z = (3 * identity - z @ y) / 2 @ z"},
            "T computed once": {
                "        t = (3 * identity - z @ y) / 2\n": "",
                "    for": "    t = (3 * identity - y) / 2\n    for",
            },
            "the Frobenius norm": {"diagonal(dim1=1, dim2=2).sum(1)[:, None, None]": "norm(dim=(1, 2), keepdim=True)"},
            "one trace for the batch": {"sum(1)[:, None, None]": "sum()"},
            "the exact root": _exact_root,
        },
    ),
)
