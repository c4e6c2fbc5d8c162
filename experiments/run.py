"""One run: a network, a seed and a learning rate, trained and scored."""

import time
from dataclasses import dataclass
from typing import Any

import accelerate
import torch

from course_utils.training.loop import train
from course_utils.training.metrics import evaluate

from .ledger import Key
from .machine import commit, machine, versions
from .study import Entry, Study, Task


@dataclass(frozen=True)
class Run:
    """One network, one seed, one learning rate; a tuning run is scored on validation images, others on the test."""

    study: Study
    task: Task
    entry: Entry
    seed: int
    lr: float

    @property
    def tuning(self) -> bool:
        """Whether this run only helps to choose a learning rate."""
        return self.seed in self.study.trial_seeds

    @property
    def key(self) -> Key:
        """What distinguishes it from the other runs of its study."""
        return Key(self.task.name, self.entry.name, self.seed, self.lr)

    @property
    def title(self) -> str:
        """What it is called in messages."""
        last = f"trial {self.seed} lr {self.lr:g}" if self.tuning else f"seed {self.seed}"
        return f"{self.task.name} {self.entry.name} {last}"

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides the result, besides versions and machine."""
        return {
            "study": self.study.name,
            "task": self.task.name,
            "entry": self.entry.name,
            "arguments": plain_arguments(self.entry),
            "seed": self.seed,
            "lr": self.lr,
            "epochs": self.study.epochs,
            "batch_size": self.study.batch_size,
            "precision": "float32",
            "scored_on": "validation" if self.tuning else "test",
        }


def plain_arguments(entry: Entry) -> dict[str, Any]:
    """An entry's arguments as JSON has them."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in sorted(entry.arguments.items())}


def execute(run: Run, threads: int = 1) -> dict[str, Any]:
    """Train and score one network; gives the run as `read_runs` does."""
    torch.set_num_threads(threads)
    learn, score = ("fit", "validation") if run.tuning else ("train", "test")
    train_set = run.task.images(learn, run.seed)
    torch.manual_seed(run.seed)
    network = run.entry.build(run.task)
    started = time.perf_counter()
    history = train(
        network,
        train_set,
        epochs=run.study.epochs,
        batch_size=run.study.batch_size,
        lr=run.lr,
        seed=run.seed,
        run=run.title,
        precision="float32",
        progress=False,
        objective=run.entry.objective,
    )
    seconds = time.perf_counter() - started
    score_set = run.task.images(score, run.seed)
    reached = evaluate(network, score_set)
    measures = run.study.measure(network, score_set) if run.study.measure and not run.tuning else {}
    return {
        "settings": run.settings,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "train_images": len(train_set),
        "scored_images": len(score_set),
        "accuracy": reached.accuracy,
        "confusion": reached.confusion.tolist(),
        "measures": {name: round(value, 6) for name, value in measures.items()},
        "train_loss": [round(epoch["train_loss"], 6) for epoch in history],
        "seconds": round(seconds, 2),
        "versions": versions(),
        "machine": {**machine(), "processes": accelerate.PartialState().num_processes},
        "commit": commit(),
    }
