"""Whether bfloat16 makes training faster on this machine: measured, since on some processors it is ruinous."""

import copy
import functools
import time
from typing import NamedTuple

import torch
from accelerate import Accelerator
from torch import nn

from .objective import Batch, Objective

PRECISIONS = ("auto", "float32", "bfloat16")
_GAIN = 1.1
_ROUNDS = 8
_measured: dict[object, bool] = {}


class Autocast(NamedTuple):
    """Calling it gives the context in which the forward pass runs."""

    device: str
    enabled: bool

    @property
    def name(self) -> str:
        """What the matrix products are computed in."""
        return "bfloat16" if self.enabled else "float32"

    def __call__(self) -> torch.autocast:
        """The context of one forward pass."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.enabled)


def choose_precision(
    precision: str, model: nn.Module, batch: Batch, objective: Objective, accelerator: Accelerator
) -> Autocast:
    """The autocast context for a training run.

    "auto" times a few steps of a copy of the model both ways, once in a process for each kind of network and batch,
    and takes bfloat16 only where it is clearly faster. Under several processes, or where `accelerate launch` was
    given a mixed precision of its own, "auto" leaves the choice to the launch.

    Raises:
        ValueError: for a precision of another name.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"There is no precision {precision!r}; choose one of {', '.join(map(repr, PRECISIONS))}.")
    device = accelerator.device.type
    if precision != "auto":
        return Autocast(device, precision == "bfloat16")
    if accelerator.num_processes > 1 or accelerator.mixed_precision != "no":
        return Autocast(device, False)
    shapes = tuple(tuple(parameter.shape) for parameter in model.parameters())
    key = (device, torch.get_num_threads(), shapes, tuple(batch.images.shape))
    if key not in _measured:
        with torch.random.fork_rng([accelerator.device] if device == "cuda" else []):
            _measured[key] = _gain(device, model, batch, objective) > _GAIN
    return Autocast(device, _measured[key])


def _gain(device: str, model: nn.Module, batch: Batch, objective: Objective) -> float:
    """Seconds of a step in float32 over seconds in bfloat16; the best of several, taken in turns."""
    trial = copy.deepcopy(model)
    step = functools.partial(_step_seconds, trial, batch, objective)
    plain, reduced = Autocast(device, False), Autocast(device, True)
    try:
        step(plain)
        usual = step(plain)
        # The first step also prepares kernels, and any one step may be disturbed.
        if step(reduced) > 5 * usual + 2 or min(step(reduced), step(reduced)) > 3 * usual:
            return 0.0
        times = [(step(plain), step(reduced)) for _ in range(_ROUNDS)]
    except RuntimeError:  # a device without bfloat16
        return 0.0
    return min(pair[0] for pair in times) / min(pair[1] for pair in times)


def _step_seconds(model: nn.Module, batch: Batch, objective: Objective, autocast: Autocast) -> float:
    started = time.perf_counter()
    with autocast():
        loss = objective(model, batch)
    loss.backward()
    float(next(parameter.grad.sum() for parameter in model.parameters() if parameter.grad is not None))
    return time.perf_counter() - started
