"""What a study found, from its runs: accuracies, differences seed by seed, costs; kept as summary.json."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from course_utils.results import ACCURACY, FORMAT, Difference, Estimate, Results, Row

from .costs import read_costs
from .files import write_whole
from .intervals import mean_interval
from .ledger import FILE, StudyError, read_runs, results_folder
from .plan import Runs, chosen_lr, finished, seed_runs, trial_accuracies, tuning_runs
from .studies import study
from .study import Study, Task


def study_report(name: str, out: str | Path | None = None) -> Results:
    """What a study found, from its runs and the measured costs.

    Args:
        name: of the study, such as "4.2".
        out: folder of results; by default those that ship with the course.

    Raises:
        ValueError: for an unknown study.
        StudyError: if runs are missing, broken or made with other settings.
    """
    chosen = study(name)
    recorded = read_runs(results_folder(chosen, out))
    seeds = _finished_seeds(chosen, recorded, results_folder(chosen, out))
    results = {
        (run.task.name, run.entry.name, run.seed): result
        for run in seed_runs(chosen, seeds, recorded)
        if (result := finished(run, recorded))
    }

    def values(task: Task, entry_name: str, measure: str) -> list[float] | None:
        """A number of every seed; None where the network does not have it."""
        runs = [results[task.name, entry_name, seed] for seed in chosen.seeds(seeds)]
        if measure == ACCURACY:
            return [run["accuracy"] for run in runs]
        return [_measured(run)[measure] for run in runs] if all(measure in _measured(run) for run in runs) else None

    rows = []
    differences = []
    for task in chosen.tasks:
        measures = list(
            dict.fromkeys(
                name for (task_name, *_), run in results.items() if task_name == task.name for name in _measured(run)
            )
        )
        for entry in chosen.entries:
            accuracies = values(task, entry.name, ACCURACY) or []
            mean, low, high, _ = estimate(accuracies)
            rows.append(
                Row(
                    task=task.name,
                    network=entry.name,
                    parameters=results[task.name, entry.name, chosen.first_seed]["parameters"],
                    lr=chosen_lr(chosen, task, entry, recorded),
                    accuracies=accuracies,
                    mean=mean,
                    low=low,
                    high=high,
                    seconds=sum(results[task.name, entry.name, seed]["seconds"] for seed in chosen.seeds(seeds))
                    / seeds,
                    trials={
                        f"{lr:g}": reached for lr, reached in trial_accuracies(chosen, task, entry, recorded).items()
                    },
                    measures={name: estimate(found) for name in measures if (found := values(task, entry.name, name))},
                )
            )
        for measure in (ACCURACY, *measures):
            for first, second in chosen.pairs:
                ours, theirs = values(task, first, measure), values(task, second, measure)
                if ours and theirs:
                    paired = mean_interval([one - other for one, other in zip(ours, theirs, strict=True)])
                    differences.append(Difference(task.name, first, second, *paired, measure))
    tasks = {task.name: task.title for task in chosen.tasks}
    networks = {entry.name: entry.title for entry in chosen.entries}
    return Results(chosen.name, chosen.title, seeds, tasks, networks, rows, differences, *read_costs(chosen, out))


def provenance(name: str, out: str | Path | None = None) -> str:
    """In words: with which versions, on what and from which commits the runs of a report were made.

    Args:
        name: of the study, such as "4.2".
        out: folder of results; by default those that ship with the course.
    """
    chosen = study(name)
    folder = results_folder(chosen, out)
    recorded = read_runs(folder)
    runs = [*tuning_runs(chosen), *seed_runs(chosen, _finished_seeds(chosen, recorded, folder), recorded)]
    results = [result for run in runs if (result := finished(run, recorded))]

    def counted(values: Iterable[str]) -> str:
        found = Counter(values)
        return ", ".join(f"{value} ({number})" if len(found) > 1 else value for value, number in found.most_common())

    libraries = dict.fromkeys(library for result in results for library in result.get("versions", {}))
    made = [f"{name} {counted(str(result.get('versions', {}).get(name)) for result in results)}" for name in libraries]
    where = counted(_machine_words(result.get("machine", {})) for result in results)
    commits = Counter(str(result.get("commit"))[:7] for result in results)
    touched = sum(str(result.get("commit")).endswith("with changes") for result in results)
    sources = f"{len(commits)} commits" if len(commits) > 3 else " and ".join(commits)
    changed = f"{touched} runs with uncommitted changes"
    return f"{len(results)} runs, by {'; '.join(made)}; on {where}; from {sources}, {changed}."


def _machine_words(machine: dict[str, Any]) -> str:
    name = machine.get("processor") if machine.get("device") == "cpu" else machine.get("device")
    return f"{name}, {machine.get('threads')} thread(s) in {machine.get('processes', 1)} process(es)"


def as_json(report: Results) -> str:
    """The text of summary.json, one line for each row, difference and cost."""
    named = {"format": FORMAT, **{k: getattr(report, k) for k in ("study", "title", "seeds", "tasks", "networks")}}
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in named.items()]
    for name in ("rows", "differences", "costs"):
        body = ",".join(f"\n  {json.dumps(asdict(item))}" for item in getattr(report, name))
        lines.append(f"{json.dumps(name)}: [{body}]")
    lines.append(f'"cost_setting": {json.dumps(report.cost_setting)}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def write_summary(report: Results, out: str | Path | None = None) -> Path:
    """Write what a study found as summary.json beside its runs, where `course_utils.results` reads it."""
    path = results_folder(study(report.study), out) / "summary.json"
    write_whole(path, as_json(report).encode())
    return path


def estimate(values: list[float]) -> Estimate:
    """The mean over seeds with its interval, cut at 0 and 1."""
    mean, low, high = mean_interval(values)
    return Estimate(mean, max(low, 0.0), min(high, 1.0), values)


def _measured(result: dict[str, Any]) -> dict[str, float]:
    """What was measured besides the accuracy; studies that measure nothing else have results without it."""
    return result.get("measures", {})


def _finished_seeds(chosen: Study, recorded: Runs, folder: Path) -> int:
    """How many seeds every network has finished, counted from the study's first."""
    seeds = 0
    while all(finished(run, recorded) for run in seed_runs(chosen, seeds + 1, recorded)[-_networks(chosen) :]):
        seeds += 1
    if seeds < 2:
        raise StudyError(f"{folder / FILE} holds {seeds} finished seeds of {chosen.name}; a report needs at least two.")
    return seeds


def _networks(chosen: Study) -> int:
    return len(chosen.tasks) * len(chosen.entries)
