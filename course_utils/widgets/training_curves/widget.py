"""Several training runs, drawn as they go."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import traitlets

from ..base import CourseWidget

_NOT_METRICS = ("run", "seed", "epoch", "epochs")
_LONGEST_TAIL = 32


class TrainingCurves(CourseWidget):
    """Curves of one or more runs: the mean over seeds, the band between the lowest and the highest seed, progress.

    A training loop calls `update` once an epoch. Each call sends only the latest epochs; the page draws them at once.

    Args:
        records: epochs that are known already, as for `update`.
        metric: the metric shown first; by default the first that arrives, and accuracy before loss.
        total: how many epochs are to come in all, over all runs and seeds; gives the overall progress.

    Example:
        >>> curves = TrainingCurves(total=2 * 5)
        >>> curves.update({"run": "SE", "seed": 0, "epoch": 1, "epochs": 5, "train_loss": 0.9, "accuracy": 0.71})
    """

    _module = "training_curves"

    label = traitlets.Unicode("Training curves")
    runs = traitlets.List(traitlets.Unicode())
    metrics = traitlets.List(traitlets.Unicode())
    history: "traitlets.List[Any]" = traitlets.List()
    tail: "traitlets.List[Any]" = traitlets.List()
    latest = traitlets.Dict()
    total = traitlets.Int(0, min=0)
    metric = traitlets.Unicode("")
    hidden_runs = traitlets.List(traitlets.Unicode())
    query = traitlets.List(traitlets.Int())

    def __init__(self, records: Iterable[Mapping[str, Any]] = (), **traits: Any) -> None:
        super().__init__(**traits)
        with self.hold_sync():
            for record in records:
                self.update(record)

    def update(self, record: Mapping[str, Any]) -> None:
        """Add one epoch of one run; the same run, seed and epoch again replaces the earlier one.

        Args:
            record: "run" (its name), "epoch" (whole number), optionally "seed" (0 if left out) and "epochs" (how many
                this run will have); every other entry that is not a word is a metric, a number. None and NaN leave a
                gap.

        Raises:
            ValueError: if the run or the epoch is missing, or a metric is not a number.
        """
        run, seed, epoch, epochs = _place(record)
        values = {
            str(name): _number(name, value)
            for name, value in record.items()
            if name not in _NOT_METRICS and not isinstance(value, str)
        }
        if not values:
            raise ValueError(f'The record of run {run!r}, epoch {epoch} holds no metric; add one, such as "accuracy".')
        with self.hold_sync():
            if run not in self.runs:
                self.runs = [*self.runs, run]
            new = [name for name in values if name not in self.metrics]
            if new:
                self.metrics = [*self.metrics, *new]
                if not self.metric:
                    self.metric = next((name for name in self.metrics if "acc" in name), self.metrics[0])
            entry = [self.runs.index(run), seed, epoch, values]
            if len(self.tail) < _LONGEST_TAIL:
                self.tail = [*self.tail, entry]
            else:
                self.history = [*self.history, *self.tail, entry]
                self.tail = []
            self.latest = {"run": run, "seed": seed, "epoch": epoch, "epochs": epochs}


def _place(record: Mapping[str, Any]) -> tuple[str, int, int, int]:
    missing = [name for name in ("run", "epoch") if record.get(name) is None]
    if missing:
        raise ValueError(f"The record {dict(record)} has no {' and no '.join(missing)}; a record needs run and epoch.")
    return str(record["run"]), int(record.get("seed") or 0), int(record["epoch"]), int(record.get("epochs") or 0)


def _number(name: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The metric {name!r} is {value!r}; a metric is one number (or None for a gap).") from error
    return number if math.isfinite(number) else None
