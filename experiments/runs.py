"""Running a study: its trials, then its seeds; each run is on the disk before its process begins the next.

A run that is there is not done again, so a study that was stopped goes on where it was.
"""

import os
import platform
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import Any

import accelerate
import numpy as np
import torch

import course_utils
from course_utils.resources import resource_root
from course_utils.training.loop import train
from course_utils.training.metrics import evaluate

from .ledger import Key, StudyError, append_run, read_runs
from .study import Entry, Study, Task

Runs = Mapping[Key, dict[str, Any]]


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


def results_folder(study: Study, out: str | Path | None = None) -> Path:
    """The study's folder below `out`; by default below resource/results, or below runs where it does not ship."""
    default = resource_root() / "results" if study.shipped else Path("runs")
    return (default if out is None else Path(out)) / study.name


def made_folder(study: Study, out: str | Path | None = None) -> Path:
    """The study's folder below `out`, made where it is missing.

    Raises:
        StudyError: if it cannot be made.
    """
    folder = results_folder(study, out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(
            f"{folder} cannot be made a folder ({error.strerror}); choose another one by --out."
        ) from error
    return folder


def run_study(
    study: Study,
    seeds: int = 5,
    out: str | Path | None = None,
    jobs: int = 1,
    threads: int = 1,
    say: Callable[[str], object] = print,
) -> Path:
    """Do every run of a study that is not there yet: first the trials for the learning rates, then the seeds.

    Args:
        study: what to compare.
        seeds: how many seeds, counted from the study's `first_seed`.
        out: folder of results; by default resource/results, or runs for a study that does not ship.
        jobs: processes that work side by side; results do not depend on it.
        threads: threads of each; the last digits of a result depend on it.
        say: called with a line after each run.

    Returns:
        The study's folder, whose runs.jsonl holds the runs.

    Raises:
        ValueError: for less than one seed, job or thread, and for a launch that does not suit a study.
        StudyError: if a result that is there was made with other settings, or the folder cannot be made.
        TrainingError: if a network could not be trained; those that were under way beside it are finished and kept.
    """
    if seeds < 1 or jobs < 1 or threads < 1:
        raise ValueError(f"A study needs at least 1 seed, job and thread; given {seeds}, {jobs} and {threads}.")
    launch = accelerate.Accelerator()
    if jobs > 1 and launch.num_processes > 1:
        raise ValueError(
            f"{jobs} jobs under a launch of {launch.num_processes} processes would train different networks as if they "
            "were one: give --jobs 1, since the processes share each network's batches, or leave out accelerate launch."
        )
    if launch.mixed_precision != "no":
        raise ValueError(
            f"Studies are float32 throughout, but this launch asks for {launch.mixed_precision}: launch with "
            "--mixed_precision no, and without ACCELERATE_MIXED_PRECISION."
        )
    folder = made_folder(study, out)
    _finish(tuning_runs(study), folder, jobs, threads, say)
    _finish(seed_runs(study, seeds, read_runs(folder)), folder, jobs, threads, say)
    return folder


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
        "versions": {
            "course": course_utils.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "accelerate": accelerate.__version__,
            "numpy": np.__version__,
            "scikit-learn": metadata.version("scikit-learn"),
        },
        "machine": {**machine(), "processes": accelerate.PartialState().num_processes},
        "commit": _commit(),
    }


def machine() -> dict[str, Any]:
    """What a measurement ran on, without names of its own."""
    return {
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "processor": _processor(),
        "threads": torch.get_num_threads(),
    }


def _finish(runs: Sequence[Run], folder: Path, jobs: int, threads: int, say: Callable[[str], object]) -> None:
    recorded = read_runs(folder)
    open_runs = [run for run in runs if finished(run, recorded) is None]
    done = len(runs) - len(open_runs)
    for run, result in _results(open_runs, folder, jobs, threads):
        done += 1
        reached = f"{run.settings['scored_on']} accuracy {result['accuracy']:.3f}, {result['seconds']} s"
        if accelerate.PartialState().is_main_process:
            say(f"[{done}/{len(runs)}] {run.title}: {reached}")
    accelerate.PartialState().wait_for_everyone()


def execute_and_keep(run: Run, folder: Path, threads: int) -> dict[str, Any]:
    """Do a run and append it to the study's runs.jsonl, unless another runner has done it by now."""
    state = accelerate.PartialState()
    if state.num_processes == 1 and (result := finished(run, read_runs(folder))):
        return result
    result = execute(run, threads)
    if state.is_main_process:
        append_run(folder, result, {entry.name: plain_arguments(entry) for entry in run.study.entries})
    return result


def _results(runs: Sequence[Run], folder: Path, jobs: int, threads: int) -> Iterator[tuple[Run, dict[str, Any]]]:
    if jobs == 1:
        for run in runs:
            yield run, execute_and_keep(run, folder, threads)
        return
    failed = None
    with ProcessPoolExecutor(jobs, get_context("spawn"), initializer=_end_with, initargs=(os.getpid(),)) as pool:
        pending = {pool.submit(execute_and_keep, run, folder, threads): run for run in runs}
        try:
            for ended in as_completed(pending):
                if ended.cancelled():
                    continue
                if error := ended.exception():
                    failed = failed or error
                    for waiting in pending:
                        waiting.cancel()
                else:
                    yield pending[ended], ended.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    if failed:
        raise failed


def _end_with(parent: int) -> None:
    """Let this process end when the one that started it is gone, even where that was killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str | None:
    """The commit of the code, with a mark where the code has been changed since; None outside a clone."""
    root = Path(__file__).parents[1]
    code = ("experiments", *(f"course_utils/{part}" for part in ("training", "data", "models", "attention")))
    # A run may be killed at any moment, and must then leave no lock in the repository.
    changed = ["git", "--no-optional-locks", "status", "--porcelain", "--untracked-files=no", "--", *code]
    commands = (["git", "rev-parse", "HEAD"], changed)
    try:
        commit, changes = (
            subprocess.run(command, cwd=root, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
            for command in commands
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + (" with changes" if changes else "")
