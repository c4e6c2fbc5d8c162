"""Time calls side by side, and say how far each is from what the machine can do.

The contestants run in turn within every round, so a machine that is busy for a while slows all of them equally: a ratio
is the median over the rounds of one time divided by the other time of the same round.
"""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from experiments.costs import peak_memory

THREADS = 2
RESULTS = Path(__file__).parent.parent / "resource" / "results" / "bench"

Call = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """Ours beside one other, in one case: milliseconds, the median ratio, and what the machine would allow.

    `goal` is the ratio to reach (None where nothing was promised), `limit_ms` the time that the bytes or the
    multiply-adds of the case take at the measured rates, `peak_mb` the memory a call needs beside its input.
    """

    block: str
    other: str
    case: str
    step: str
    ours_ms: float
    other_ms: float
    ratio: float
    goal: float | None = None
    limit_ms: float | None = None
    limited_by: str | None = None
    ours_peak_mb: float | None = None
    other_peak_mb: float | None = None


@dataclass(frozen=True)
class Machine:
    """Measured rates: bytes moved a second by a copy, multiply-adds a second by a matrix product.

    `load` is how many other processes wanted to run in the minute before.
    """

    bytes_per_second: float
    multiply_adds_per_second: float
    load: float = 0.0

    def limit(self, bytes_moved: float = 0.0, multiply_adds: float = 0.0) -> tuple[float, str]:
        """The least milliseconds for so much work, and which of the two rates decides."""
        moving = bytes_moved / self.bytes_per_second * 1e3
        counting = multiply_adds / self.multiply_adds_per_second * 1e3
        return (moving, "bytes") if moving >= counting else (counting, "multiply-adds")


def alternate(calls: Mapping[str, Call], rounds: int = 21, seconds: float = 0.01) -> dict[str, list[float]]:
    """Seconds per call of every contestant in every round.

    Args:
        calls: what to time, by name.
        rounds: how often each takes its turn.
        seconds: a turn repeats its call until at least so much time has passed, so that short calls are not noise.
    """
    repeats = {}
    for name, call in calls.items():
        call()
        started = time.perf_counter()
        call()
        repeats[name] = max(1, round(seconds / (time.perf_counter() - started)))
    times: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for turn in range(rounds):
        # The first of a round finds the caches as the last one left them, so they take turns to be first.
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            call, repeat = calls[name], repeats[name]
            started = time.perf_counter()
            for _ in range(repeat):
                call()
            times[name].append((time.perf_counter() - started) / repeat)
    return times


def median_ratio(ours: Sequence[float], other: Sequence[float]) -> float:
    """The median over the rounds of ours divided by the other's time of the same round."""
    return statistics.median(a / b for a, b in zip(ours, other, strict=True))


def milliseconds(times: Sequence[float]) -> float:
    """The median, in milliseconds."""
    return statistics.median(times) * 1e3


def forward_call(module: nn.Module, *inputs: Tensor) -> Call:
    """A forward pass without gradient."""

    def call() -> Tensor:
        with torch.no_grad():
            return module(*inputs)

    return call


def backward_call(module: nn.Module, *inputs: Tensor) -> Call:
    """A forward pass and the gradients of every input and parameter."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    with torch.no_grad():
        seed = torch.randn_like(module(*leaves))
    wanted = [*leaves, *(p for p in module.parameters() if p.requires_grad)]

    def call() -> Sequence[Tensor]:
        return torch.autograd.grad(module(*leaves), wanted, seed)

    return call


def measure_machine() -> Machine:
    """How many bytes per second a large copy moves (read and write), and how fast a large matrix product is."""
    load = os.getloadavg()[0]
    source = torch.rand(16 * 2**20)  # 64 MiB: beyond the caches
    target = torch.empty_like(source)
    a, b = torch.rand(1024, 1024), torch.rand(1024, 1024)
    times = alternate({"copy": lambda: target.copy_(source), "product": lambda: a @ b}, rounds=41, seconds=0.05)
    return Machine(
        bytes_per_second=2 * source.nbytes / min(times["copy"]),
        multiply_adds_per_second=1024**3 / min(times["product"]),
        load=load,
    )


def compare(
    machine: Machine,
    block: str,
    other: str,
    pair: tuple[nn.Module, nn.Module],
    x: Tensor,
    goals: tuple[float | None, float | None] = (None, None),
    rounds: int = 21,
    bytes_moved: float = 0.0,
    multiply_adds: float = 0.0,
) -> Iterator[Row]:
    """Ours and the other on one input: forward as in use, forward and backward as in training.

    Args:
        machine: its measured rates.
        block: our name in the table.
        other: the other's name.
        pair: our module and the other.
        x: what both are given.
        goals: the ratio to reach forward, and forward and backward.
        rounds: how often each takes its turn.
        bytes_moved: the least bytes that forward reads and writes; backward counts as twice forward.
        multiply_adds: the least products of forward; backward counts as twice forward.
    """
    steps = (("forward", forward_call, False, 1), ("forward+backward", backward_call, True, 3))
    case = str(tuple(x.shape)).replace(" ", "")
    for goal, (step, make, training, work) in zip(goals, steps, strict=True):
        calls = tuple(make(module.train(training), x) for module in pair)
        limit = machine.limit(work * bytes_moved, work * multiply_adds)
        yield timed_row((block, other, case, step), (calls[0], calls[1]), goal, limit, rounds)


def timed_row(
    names: tuple[str, str, str, str],
    calls: tuple[Call, Call],
    goal: float | None,
    limit: tuple[float, str],
    rounds: int = 21,
) -> Row:
    """Time two calls in turns: `names` are block, other, case and step; `limit` as `Machine.limit` gives it."""
    ours, theirs = calls
    times = alternate({"ours": ours, "other": theirs}, rounds)
    return Row(
        *names,
        milliseconds(times["ours"]),
        milliseconds(times["other"]),
        median_ratio(times["ours"], times["other"]),
        goal,
        *limit,
        peak_memory(ours) / 2**20,
        peak_memory(theirs) / 2**20,
    )


def save(name: str, measured: Any) -> None:
    """Write what was measured as NAME.json below resource/results/bench; `make links` then writes its checksum."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


def write_results(name: str, machine: Machine, rows: Sequence[Row], notes: Sequence[str] = ()) -> None:
    """Save the rows, and print them as a table with these sentences below it."""
    setting = {
        "torch": torch.__version__,
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        **asdict(machine),
    }
    save(name, {"setting": setting, "rows": [asdict(row) for row in rows], "notes": list(notes)})
    print(
        f"torch {setting['torch']}, {setting['processor']}, {setting['threads']} threads, "
        f"{machine.bytes_per_second / 1e9:.1f} GB/s copied, "
        f"{machine.multiply_adds_per_second / 1e9:.0f} G multiply-adds/s.\n{_warning(machine)}\n{table(rows)}\n"
        + "".join(f"\n{note}\n" for note in notes)
    )


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    head = [
        "block",
        "beside",
        "case",
        "step",
        "ours ms",
        "other ms",
        "ratio",
        "goal",
        "limit ms",
        "ours / limit",
        "peak MB",
    ]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        limit = f"{row.limit_ms:.3f} ({row.limited_by})" if row.limit_ms is not None else ""
        distance = f"{row.ours_ms / row.limit_ms:.1f}" if row.limit_ms else ""
        peak = (
            f"{row.ours_peak_mb:.1f} / {row.other_peak_mb:.1f}"
            if row.ours_peak_mb is not None and row.other_peak_mb is not None
            else ""
        )
        cells = [
            *(row.block, row.other, row.case, row.step),
            *(f"{row.ours_ms:.3f}", f"{row.other_ms:.3f}", f"{row.ratio:.2f}"),
            "" if row.goal is None else f"{row.goal:.2f}",
            *(limit, distance, peak),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _warning(machine: Machine) -> str:
    """A call on two threads waits for the slower: one other busy process is enough to blur what is measured."""
    if machine.load < 0.5:
        return ""
    return f"\n**The machine was busy (load {machine.load:.1f}) when this began: measure again when it is quiet.**\n"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{model} ({os.cpu_count()} cores)"
