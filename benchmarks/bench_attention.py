"""The channel, spatial and branch blocks beside timm and plain ports, and self-attention's growth with the image."""

from collections.abc import Iterator
from statistics import mean

import timm.layers
import torch
import torch.nn.functional as F
from timm.layers.cbam import CbamModule
from torch import Tensor, nn

from benchmarks.timing import (
    THREADS,
    Machine,
    Row,
    compare,
    measure_machine,
    write_results,
)
from course_utils.attention import CBAM, ECABlock, GSoPBlock, SEBlock, SelectiveKernel, SelfAttention2d

SIDES = (16, 24, 32, 48, 64)


class PlainGSoP(nn.Module):
    """The released computation: 1x1 convolutions, a centring matrix of all positions, a grouped convolution."""

    def __init__(self, channels: int, reduced: int = 128, expansion: int = 4):
        super().__init__()
        self.reduce = nn.Sequential(nn.Conv2d(channels, reduced, 1), nn.BatchNorm2d(reduced), nn.ReLU())
        self.row_norm = nn.BatchNorm2d(reduced)
        self.row_conv = nn.Conv2d(reduced, expansion * reduced, (reduced, 1), groups=reduced)
        self.expand = nn.Conv2d(expansion * reduced, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.reduce(F.relu(x)).flatten(2)  # (N, d, M)
        n, d, m = features.shape
        centring = torch.eye(m) / m - torch.ones(m, m) / m**2
        covariance = features.bmm(centring.expand(n, m, m)).bmm(features.transpose(1, 2))
        rows = self.row_conv(self.row_norm(covariance.view(n, d, d, 1)))
        return x * torch.sigmoid(self.expand(rows))


class TextbookSelfAttention(nn.Module):
    """Product, softmax, product: the matrix of all weights stands in memory."""

    def __init__(self, channels: int):
        super().__init__()
        self.key, self.query = (nn.Conv2d(channels, channels // 8, 1, bias=False) for _ in range(2))
        self.value = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.output = nn.Conv2d(channels // 2, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (layer(x).flatten(2) for layer in (self.query, self.key, self.value))
        weights = torch.softmax(torch.bmm(query.transpose(1, 2), key), dim=2)  # (N, M, M)
        context = torch.bmm(value, weights.transpose(1, 2)).view(x.shape[0], -1, *x.shape[2:])
        return self.gamma * self.output(context) + x


def gate_rows(machine: Machine) -> Iterator[Row]:
    """Gates read the input twice, since the mask needs all of it, and write once; CBAM reads it three times."""
    for shape in ((16, 64, 56, 56), (16, 256, 14, 14), (16, 512, 7, 7)):
        x, channels = torch.randn(shape), shape[1]
        timm_se = timm.layers.SEModule(channels, rd_channels=channels // 16)
        pair = (SEBlock(channels), timm_se)
        yield from compare(machine, "SEBlock", "timm SEModule", pair, x, (0.80, 0.80), bytes_moved=3 * x.nbytes)
        pair = (ECABlock(channels), timm.layers.EcaModule(channels))
        yield from compare(machine, "ECABlock", "timm EcaModule", pair, x, bytes_moved=3 * x.nbytes)


def cbam_rows(machine: Machine) -> Iterator[Row]:
    for shape in ((16, 64, 56, 56), (16, 256, 14, 14)):
        x, channels = torch.randn(shape), shape[1]
        pair = (CBAM(channels), CbamModule(channels, rd_channels=channels // 16, mlp_bias=True))
        yield from compare(machine, "CBAM", "timm CbamModule", pair, x, bytes_moved=4 * x.nbytes)


def gsop_rows(machine: Machine) -> Iterator[Row]:
    for shape in ((4, 256, 28, 28), (4, 512, 14, 14), (4, 256, 56, 56)):
        x, channels, positions = torch.randn(shape), shape[1], shape[2] * shape[3]
        products = shape[0] * (128 * channels * positions + 128**2 * positions + 4 * 128**2 + 4 * 128 * channels)
        pair = (GSoPBlock(channels), PlainGSoP(channels))
        yield from compare(
            machine, "GSoPBlock", "plain port", pair, x, bytes_moved=3 * x.nbytes, multiply_adds=products
        )


def self_attention_rows(machine: Machine) -> Iterator[Row]:
    for side in SIDES:
        x, channels, positions = torch.randn(4, 64, side, side), 64, side**2
        wide, narrow = channels // 2, channels // 8
        products = 4 * positions * (2 * channels * (wide + narrow) + positions * (wide + narrow))
        yield from compare(
            machine,
            "SelfAttention2d",
            "textbook",
            (SelfAttention2d(channels), TextbookSelfAttention(channels)),
            x,
            (0.40, 0.35) if side == 64 else (None, None),
            rounds=9,
            bytes_moved=2 * x.nbytes,
            multiply_adds=products,
        )


def selective_kernel_rows(machine: Machine) -> Iterator[Row]:
    for shape in ((8, 128, 28, 28), (8, 256, 14, 14)):
        x, channels, positions = torch.randn(shape), shape[1], shape[2] * shape[3]
        theirs = timm.layers.SelectiveKernel(channels, groups=32, rd_channels=32, split_input=False)
        pair = (SelectiveKernel(channels), theirs)
        products = shape[0] * 2 * positions * 9 * channels**2 // 32
        yield from compare(
            machine, "SelectiveKernel", "timm", pair, x, bytes_moved=2 * x.nbytes, multiply_adds=products
        )


def with_means(rows: list[Row], goal: float) -> list[Row]:
    """The rows, and for each step their mean over the cases, which has to reach the goal."""
    means = []
    for step in dict.fromkeys(row.step for row in rows):
        same = [row for row in rows if row.step == step]
        ours, other, ratio = (mean(getattr(row, name) for row in same) for name in ("ours_ms", "other_ms", "ratio"))
        means.append(Row(same[0].block, same[0].other, "mean of these", step, ours, other, ratio, goal))
    return rows + means


def notes(rows: list[Row]) -> list[str]:
    """What the table does not say by itself."""
    peaks = {
        row.case: (row.ours_peak_mb, row.other_peak_mb)
        for row in rows
        if row.block == "SelfAttention2d" and row.step == "forward"
    }
    ours, other = (large / small for small, large in zip(peaks["(4,64,32,32)"], peaks["(4,64,64,64)"], strict=True))
    return [
        f"Memory of self-attention beside its input, 64x64 against 32x32: ours grows {ours:.1f} times (at most 4.5), "
        f"the textbook {other:.1f} times.",
        "The limit counts the least bytes at the measured rate of a copy, or the least multiply-adds at the measured "
        "rate of a matrix product: a gate reads its input twice and writes once, CBAM reads three times; "
        "self-attention counts its projections and its two products, not the exponentials. Backward counts as twice "
        "forward.",
    ]


def main() -> None:
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    machine = measure_machine()
    rows = [
        *gate_rows(machine),
        *with_means(list(cbam_rows(machine)), 0.85),
        *with_means(list(gsop_rows(machine)), 0.45),
        *self_attention_rows(machine),
        *selective_kernel_rows(machine),
    ]
    write_results("attention", machine, rows, notes(rows))


if __name__ == "__main__":
    main()
