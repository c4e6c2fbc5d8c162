"""What a study found: a table of accuracies, and differences taken pair by pair."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ..resources import ResourceError, resource_root
from .checkpoints import write_whole
from .comparison import Study, Task
from .costs import Cost, read_costs
from .runs import FORMAT, StudyError, chosen_lr, read_result, results_folder, seed_runs, trial_accuracies, tuning_runs
from .statistics import mean_interval
from .studies import study
from .tables import markdown_table, plain_table

ACCURACY = "accuracy"


class Estimate(NamedTuple):
    """A mean over seeds and its 95 % interval, cut at 0 and 1."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class Row:
    """One network on one task: mean test accuracy over seeds with its 95 % interval, cut at 0 and 1.

    `trials` holds the validation accuracies from which its learning rate was chosen, by rate; `measures` what else the
    study measures of this network, by name.
    """

    task: str
    network: str
    parameters: int
    lr: float
    accuracies: list[float]
    mean: float
    low: float
    high: float
    seconds: float
    trials: dict[str, list[float]]
    measures: dict[str, Estimate] = field(default_factory=dict)


@dataclass(frozen=True)
class Difference:
    """A measure of the first network minus the second's on the same data, seed by seed, with its 95 % interval."""

    task: str
    first: str
    second: str
    mean: float
    low: float
    high: float
    measure: str = ACCURACY

    @property
    def verdict(self) -> str:
        """A claim only where the interval leaves out zero."""
        if self.low > 0:
            return "higher"
        return "lower" if self.high < 0 else "no difference shown"


@dataclass(frozen=True, repr=False)
class StudyReport:
    """The tables of a study; a notebook shows it as such when it is a cell's last line."""

    name: str
    title: str
    seeds: int
    rows: list[Row]
    differences: list[Difference]
    costs: list[Cost] = field(default_factory=list)
    cost_setting: dict[str, Any] = field(default_factory=dict)

    def row(self, task: str, network: str) -> Row:
        """The row of one network on one task."""
        return next(row for row in self.rows if (row.task, row.network) == (task, network))

    def difference(self, task: str, first: str, second: str, measure: str = ACCURACY) -> Difference:
        """The paired difference of two networks on one task."""
        wanted = (task, first, second, measure)
        return next(d for d in self.differences if (d.task, d.first, d.second, d.measure) == wanted)

    def cost(self, task: str, network: str) -> Cost:
        """What one network costs on one task."""
        return next(cost for cost in self.costs if (cost.task, cost.network) == (task, network))

    def summary(self) -> dict[str, Any]:
        """The report as plain data; costs have their own file."""
        chosen = study(self.name)
        return {
            "format": FORMAT,
            "study": self.name,
            "title": self.title,
            "seeds": self.seeds,
            "tasks": {task.name: task.title for task in chosen.tasks},
            "networks": {entry.name: entry.title for entry in chosen.entries},
            "rows": [asdict(row) for row in self.rows],
            "differences": [{**asdict(pair), "verdict": pair.verdict} for pair in self.differences],
        }

    def tables(self) -> list[tuple[str, list[str], list[list[str]]]]:
        """For each task: its two tables, each a heading, column names and cells."""
        titles = {entry.name: entry.title for entry in study(self.name).entries}
        tables = []
        for task in study(self.name).tasks:
            rows = [row for row in self.rows if row.task == task.name]
            names = list(dict.fromkeys(name for row in rows for name in row.measures))
            tables.append(
                (
                    f"{task.title}: test accuracy, {self.seeds} seeds",
                    ["network", "parameters", "accuracy", "95 % interval", *names],
                    [
                        [
                            titles[row.network],
                            f"{row.parameters:,}",
                            f"{row.mean:.3f}",
                            f"{row.low:.3f} to {row.high:.3f}",
                            *(str(row.measures.get(name, "–")) for name in names),
                        ]
                        for row in rows
                    ],
                )
            )
            for measure in (ACCURACY, *names):
                cells = [
                    [
                        titles[pair.first],
                        titles[pair.second],
                        f"{pair.mean:+.3f}",
                        f"{pair.low:+.3f} to {pair.high:+.3f}",
                        pair.verdict,
                    ]
                    for pair in self.differences
                    if (pair.task, pair.measure) == (task.name, measure)
                ]
                columns = ["first", "minus second", "difference", "95 % interval", "the first is"]
                if cells:
                    tables.append((f"{task.title}: differences of {measure}, seed by seed", columns, cells))
            costs = [cost for cost in self.costs if cost.task == task.name]
            if costs:
                setting = self.cost_setting
                tables.append(
                    (
                        f"{task.title}: cost of a training step on {setting['batch_size']} images; "
                        f"{setting['processor']}, {setting['threads']} thread(s)",
                        ["network", "parameters", "MFLOP an image", "ms a step", "peak memory, MB"],
                        [
                            [
                                titles[cost.network],
                                f"{cost.parameters:,}",
                                f"{cost.flops / 1e6:.2f}",
                                f"{cost.step_ms:.0f}",
                                f"{cost.peak_mb:.0f}",
                            ]
                            for cost in costs
                        ],
                    )
                )
        return tables

    def _repr_markdown_(self) -> str:
        return "\n\n".join(markdown_table(*table) for table in self.tables())

    def __repr__(self) -> str:
        return "\n\n".join(plain_table(*table) for table in self.tables())


def study_report(name: str, out: str | Path | None = None) -> StudyReport:
    """The tables of a study, from the results of its runs.

    Args:
        name: of the study, such as "4.2".
        out: folder of results; by default those that ship with the course.

    Raises:
        ValueError: for an unknown study.
        StudyError: if runs are missing, broken or made with other settings.

    Example:
        >>> study_report("4.2").difference("cued", "se", "plain").verdict
        'higher'
    """
    chosen = study(name)
    folder = results_folder(chosen, out)
    seeds = _finished_seeds(chosen, folder)
    results = {
        (run.task.name, run.entry.name, run.seed): result
        for run in seed_runs(chosen, seeds, folder)
        if (result := read_result(run, folder))
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
            mean, low, high = _cut(*mean_interval(accuracies))
            rows.append(
                Row(
                    task=task.name,
                    network=entry.name,
                    parameters=results[task.name, entry.name, chosen.first_seed]["parameters"],
                    lr=chosen_lr(chosen, task, entry, folder),
                    accuracies=accuracies,
                    mean=mean,
                    low=low,
                    high=high,
                    seconds=sum(results[task.name, entry.name, seed]["seconds"] for seed in chosen.seeds(seeds))
                    / seeds,
                    trials={
                        f"{lr:g}": reached for lr, reached in trial_accuracies(chosen, task, entry, folder).items()
                    },
                    measures={
                        name: _cut(*mean_interval(found))
                        for name in measures
                        if (found := values(task, entry.name, name))
                    },
                )
            )
        for measure in (ACCURACY, *measures):
            for first, second in chosen.pairs:
                ours, theirs = values(task, first, measure), values(task, second, measure)
                if ours and theirs:
                    paired = mean_interval([one - other for one, other in zip(ours, theirs, strict=True)])
                    differences.append(Difference(task.name, first, second, *paired, measure))
    return StudyReport(chosen.name, chosen.title, seeds, rows, differences, *read_costs(chosen, out))


def provenance(name: str, out: str | Path | None = None) -> str:
    """In words: with which versions, on what and from which commits the runs of a report were made.

    Args:
        name: of the study, such as "4.2".
        out: folder of results; by default those that ship with the course.
    """
    chosen = study(name)
    folder = results_folder(chosen, out)
    runs = [*tuning_runs(chosen), *seed_runs(chosen, _finished_seeds(chosen, folder), folder)]
    results = [result for run in runs if (result := read_result(run, folder))]

    def counted(values: Iterable[str]) -> str:
        found = Counter(values)
        return ", ".join(f"{value} ({number})" if len(found) > 1 else value for value, number in found.most_common())

    libraries = dict.fromkeys(library for result in results for library in result.get("versions", {}))
    made = [f"{name} {counted(str(result.get('versions', {}).get(name)) for result in results)}" for name in libraries]
    where = counted(_machine_words(result.get("machine", {})) for result in results)
    commits = Counter(str(result.get("commit"))[:7] for result in results)
    touched = sum(str(result.get("commit")).endswith("with changes") for result in results)
    whence = f"{len(commits)} commits" if len(commits) > 3 else " and ".join(commits)
    changed = f"{touched} runs with uncommitted changes"
    return f"{len(results)} runs, by {'; '.join(made)}; on {where}; from {whence}, {changed}."


def _machine_words(machine: dict[str, Any]) -> str:
    name = machine.get("processor") if machine.get("device") == "cpu" else machine.get("device")
    return f"{name}, {machine.get('threads')} thread(s) in {machine.get('processes', 1)} process(es)"


def write_summary(report: StudyReport, out: str | Path | None = None) -> Path:
    """Write the report as summary.json beside the runs."""
    path = results_folder(study(report.name), out) / "summary.json"
    write_whole(path, (json.dumps(report.summary(), indent=1) + "\n").encode())
    return path


def _cut(mean: float, low: float, high: float) -> Estimate:
    return Estimate(mean, max(low, 0.0), min(high, 1.0))


def _measured(result: dict[str, Any]) -> dict[str, float]:
    """What was measured besides the accuracy; studies that measure nothing else have results without it."""
    return result.get("measures", {})


def _finished_seeds(chosen: Study, folder: Path) -> int:
    """How many seeds every network has finished, counted from the study's first."""
    seeds = 0
    while all(read_result(run, folder) for run in seed_runs(chosen, seeds + 1, folder)[-_networks(chosen) :]):
        seeds += 1
    if seeds < 2:
        raise StudyError(f"{folder} holds {seeds} finished seeds of {chosen.name}; a report needs at least two.")
    return seeds


def _networks(chosen: Study) -> int:
    return len(chosen.tasks) * len(chosen.entries)


@dataclass(frozen=True, repr=False)
class BenchReport:
    """What the benchmark measured of one block beside others; a notebook shows it as a table."""

    block: str
    setting: dict[str, Any]
    rows: list[dict[str, Any]]

    def table(self) -> tuple[str, list[str], list[list[str]]]:
        """Heading, columns and cells."""
        cells = []
        for row in self.rows:
            times = [f"{row['ours_ms']:.2f}", f"{row['other_ms']:.2f}", f"{row['ratio']:.2f}"]
            cells.append([row["other"], row["case"], row["step"], *times])
        setting = f"{self.setting['processor']}, {self.setting['threads']} threads, torch {self.setting['torch']}"
        heading = f"{self.block}: {setting}; each column is its own median over the rounds"
        return heading, ["beside", "input", "pass", "ours, ms", "other, ms", "ours / other"], cells

    def _repr_markdown_(self) -> str:
        return markdown_table(*self.table())

    def __repr__(self) -> str:
        return plain_table(*self.table())


def bench_report(block: str) -> BenchReport:
    """The recorded times of a block beside other implementations, as `python -m benchmarks` measured them.

    Args:
        block: name of the class or function, such as "SEBlock".

    Raises:
        ValueError: if nothing was measured of that name; the message lists the names.
        ResourceError: if a record is damaged; the message names it.

    Example:
        >>> bench_report("SEBlock")
    """
    known = set()
    for path in sorted((resource_root() / "results" / "bench").glob("*.json")):
        try:
            recorded = json.loads(path.read_text(encoding="utf-8"))
            rows = recorded.get("rows", [])
            known |= {row["block"] for row in rows}
            if chosen := [row for row in rows if row["block"] == block]:
                return BenchReport(block, recorded["setting"], chosen)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ResourceError(
                f"{path} is not a readable record of times ({error!r}); restore it, or measure again by `make bench`."
            ) from error
    raise ValueError(f"No benchmark of {block!r} is recorded; there are: {', '.join(sorted(known))}.")
