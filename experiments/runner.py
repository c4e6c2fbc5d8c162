"""Doing a study's runs: trials, then seeds; each run is on the disk before its process begins the next.

A run that is there is not done again, so a study that was stopped goes on where it was.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import accelerate

from .ledger import append_run, made_folder, read_runs
from .plan import finished, seed_runs, tuning_runs
from .run import Run, execute, plain_arguments
from .study import Study


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
