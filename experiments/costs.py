"""What a network costs: parameters, operations, time per step, memory. Measured side by side in one run."""

import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from course_utils.results import Cost
from course_utils.training.metrics import memory_format
from course_utils.training.objective import Batch

from .files import write_whole
from .ledger import StudyError, made_folder, results_folder
from .machine import machine
from .study import Entry, Study, Task

_FILE = "costs.json"
_FORMAT = 1


def measure_costs(
    study: Study,
    out: str | Path | None = None,
    rounds: int = 7,
    threads: int = 1,
    say: Callable[[str], object] = print,
) -> Path:
    """Time and weigh every network of a study, each in its turn in every round, and write costs.json beside the runs.

    Args:
        study: whose networks.
        out: folder of results; by default resource/results.
        rounds: steps that each network is timed for.
        threads: of torch.
        say: called with a line for each network.

    Raises:
        ValueError: for less than one round or thread.
    """
    if rounds < 1 or threads < 1:
        raise ValueError(f"Measuring needs at least 1 round and thread; given {rounds} and {threads}.")
    folder = made_folder(study, out)
    torch.set_num_threads(threads)
    costs = []
    for task in study.tasks:
        batch = _batch(study, task)
        steps = {entry.name: _Step(entry, task, batch) for entry in study.entries}
        times: dict[str, list[float]] = {name: [] for name in steps}
        for _ in range(rounds):
            for name, step in steps.items():
                times[name].append(step.seconds())
        for name, step in steps.items():
            cost = Cost(
                task.name,
                name,
                sum(parameter.numel() for parameter in step.network.parameters()),
                forward_flops(step.network, batch),
                round(statistics.median(times[name]) * 1e3, 2),
                round(step.peak_bytes() / 2**20, 2),
            )
            costs.append(cost)
            say(f"{task.name} {name}: {cost.flops / 1e6:.2f} MFLOP, {cost.step_ms} ms per step, {cost.peak_mb} MB")
    stored = {
        "format": _FORMAT,
        "setting": {**machine(), "torch": torch.__version__, "batch_size": study.batch_size, "rounds": rounds},
        "costs": [asdict(cost) for cost in costs],
    }
    write_whole(folder / _FILE, (json.dumps(stored, indent=1) + "\n").encode())
    return folder / _FILE


def read_costs(study: Study, out: str | Path | None = None) -> tuple[list[Cost], dict[str, Any]]:
    """The measured costs and the setting they were measured in; empty where nothing was measured.

    Raises:
        StudyError: if the file is broken or of another version.
    """
    path = results_folder(study, out) / _FILE
    if not path.exists():
        return [], {}
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["format"] != _FORMAT:
            raise KeyError("format")
        return [Cost(**cost) for cost in stored["costs"]], stored["setting"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudyError(
            f"{path} is not a readable table of costs ({error!r}); `python -m experiments costs {study.name}` makes it."
        ) from error


def forward_flops(network: nn.Module, batch: Batch) -> int:
    """Multiplications and additions of one image's forward pass, in convolutions and matrix products."""
    network.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(batch.images[:1])
    network.train()
    return counter.get_total_flops()


def peak_memory(call: Callable[[], object]) -> int:
    """The most bytes of tensors that a call holds on the processor at one time, beside what was there before it."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # the profiler otherwise reports each start and stop
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        held = call()
    del held
    kineto = recorded.profiler.kineto_results if recorded.profiler else None
    events = [event for event in kineto.events() if event.name() == "[memory]"] if kineto else []
    now = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


class _Step:
    """A network in training: one step at a time."""

    def __init__(self, entry: Entry, task: Task, batch: Batch):
        torch.manual_seed(0)
        device = batch.images.device
        self.network = entry.build(task).train().to(device).to(memory_format=memory_format(device))
        self.objective, self.batch = entry.objective, batch
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-4, fused=True)
        self.seconds()  # the first step also makes room for what stays: gradients and averages

    def seconds(self) -> float:
        """How long one step takes."""
        started = time.perf_counter()
        self.optimizer.zero_grad(set_to_none=False)
        self.objective(self.network, self.batch).backward()
        self.optimizer.step()
        next(self.network.parameters()).sum().item()  # wait for the device
        return time.perf_counter() - started

    def peak_bytes(self) -> int:
        """The most bytes that forward and backward hold at once beside what was there before."""
        device = self.batch.images.device
        if device.type == "cuda":
            before = torch.cuda.memory_allocated(device)
            torch.cuda.reset_peak_memory_stats(device)
            self.objective(self.network, self.batch).backward()
            return torch.cuda.max_memory_allocated(device) - before
        return peak_memory(lambda: self.objective(self.network, self.batch).backward())


def _batch(study: Study, task: Task) -> Batch:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    images = task.images("fit", 0).subset(slice(study.batch_size))
    return Batch.of(images, device, memory_format(device))
