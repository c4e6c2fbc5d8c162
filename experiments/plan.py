"""Which runs a study needs: the same trials for every network, then seeds at the learning rate that they chose."""

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from .ledger import Key, StudyError
from .run import Run
from .study import Entry, Study, Task

Runs = Mapping[Key, dict[str, Any]]


def tuning_runs(study: Study) -> list[Run]:
    """The same learning rates, on the same seeds, for every network on every task."""
    return [
        Run(study, task, entry, seed, lr)
        for seed in study.trial_seeds
        for task in study.tasks
        for entry in study.entries
        for lr in study.learning_rates
    ]


def seed_runs(study: Study, seeds: int, runs: Runs) -> list[Run]:
    """One run for each network and seed, at the learning rate that its trials among `runs` chose."""
    return [
        Run(study, task, entry, seed, chosen_lr(study, task, entry, runs))
        for seed in study.seeds(seeds)
        for task in study.tasks
        for entry in study.entries
    ]


def trial_accuracies(study: Study, task: Task, entry: Entry, runs: Runs) -> dict[float, list[float]]:
    """The validation accuracies of each learning rate, one for each trial.

    Raises:
        StudyError: if trials are missing or made with other settings.
    """
    trials = [run for run in tuning_runs(study) if run.task == task and run.entry == entry]
    found = [(run, finished(run, runs)) for run in trials]
    missing = [run.title for run, result in found if result is None]
    if missing:
        raise StudyError(
            f"runs.jsonl of study {study.name} lacks {', '.join(missing)}; "
            f"`python -m experiments run {study.name}` does them."
        )
    return {lr: [result["accuracy"] for run, result in found if result and run.lr == lr] for lr in study.learning_rates}


def chosen_lr(study: Study, task: Task, entry: Entry, runs: Runs) -> float:
    """The learning rate with the best mean of its trials' validation accuracies; the smaller where two are equal."""
    reached = trial_accuracies(study, task, entry, runs)
    return max(reached, key=lambda lr: (round(fmean(reached[lr]), 6), -lr))


def finished(run: Run, runs: Runs) -> dict[str, Any] | None:
    """The result of a run, or None where it is not there.

    Raises:
        StudyError: if it was made with other settings.
    """
    result = runs.get(run.key)
    if result is not None and result["settings"] != run.settings:
        settings = result["settings"]
        differing = [key for key, value in run.settings.items() if settings.get(key) != value] or [*settings]
        raise StudyError(
            f"The recorded run {run.title} of study {run.study.name} was made with other settings "
            f"({', '.join(differing)}); move its runs.jsonl away, or choose another --out."
        )
    return result
