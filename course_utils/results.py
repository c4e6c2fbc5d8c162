"""What the recorded studies and benchmarks found: `results("4.3").difference("cued", "gsop", "plain").mean`.

A study's results come from one file, resource/results/STUDY/summary.json; `python -m experiments report STUDY` makes it
from the study's runs. A lesson shows them as tables, and the query beside a number in a sentence asks for it here.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from .names import check_name
from .resources import ResourceError, resource_root
from .tables import markdown_table, plain_table

ACCURACY = "accuracy"
FORMAT = 2


class Estimate(NamedTuple):
    """A mean over seeds, its 95 % interval cut at 0 and 1, and the value of each seed in their order."""

    mean: float
    low: float
    high: float
    values: list[float]

    def __str__(self) -> str:
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class Row:
    """One network on one task: test accuracy of each seed, their mean and its 95 % interval, cut at 0 and 1.

    `lr` is the learning rate that its trials chose, and `trials` holds their validation accuracies by rate, such as
    "0.006"; `seconds` is the mean time of a training; `measures` holds what else the study measures, by name.
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "measures", {name: Estimate(*found) for name, found in self.measures.items()})


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
        """A claim only where the interval excludes zero."""
        if self.low > 0:
            return "higher"
        return "lower" if self.high < 0 else "no difference shown"


@dataclass(frozen=True)
class Cost:
    """What one network costs on one task.

    flops counts a multiplication and an addition as two, in convolutions and matrix products of one image's forward
    pass; step_ms is the median time of a training step (forward, backward, AdamW) on a batch; peak_mb is the most
    memory that forward and backward of that batch hold at once, beside weights, gradients and the batch itself.
    """

    task: str
    network: str
    parameters: int
    flops: int
    step_ms: float
    peak_mb: float


@dataclass(frozen=True, repr=False)
class Results:
    """What one study found; as the last line of a notebook's cell it is shown as tables.

    `tasks` and `networks` are titles by name; `seeds` says how many there are; `costs` is empty if none were measured.
    """

    study: str
    title: str
    seeds: int
    tasks: dict[str, str]
    networks: dict[str, str]
    rows: list[Row]
    differences: list[Difference]
    costs: list[Cost] = field(default_factory=list)
    cost_setting: dict[str, Any] = field(default_factory=dict)

    def row(self, task: str, network: str) -> Row:
        """The accuracies, trials and measures of one network on one task.

        Raises:
            ValueError: if there is none; the message lists what there is. So do `difference` and `cost`.
        """
        found = {(row.task, row.network): row for row in self.rows}
        return _known(found, (task, network), f"row of study {self.study}")

    def difference(self, task: str, first: str, second: str, measure: str = ACCURACY) -> Difference:
        """The difference of two networks on one task, seed by seed."""
        found = {(d.task, d.first, d.second, d.measure): d for d in self.differences}
        return _known(found, (task, first, second, measure), f"difference in study {self.study}")

    def cost(self, task: str, network: str) -> Cost:
        """What one network costs on one task."""
        found = {(cost.task, cost.network): cost for cost in self.costs}
        return _known(found, (task, network), f"cost in study {self.study}")

    def tables(self) -> list[tuple[str, list[str], list[list[str]]]]:
        """For each task: its tables, each a heading, column names and cells."""
        tables = []
        for task, title in self.tasks.items():
            rows = [row for row in self.rows if row.task == task]
            names = list(dict.fromkeys(name for row in rows for name in row.measures))
            cells = []
            for row in rows:
                accuracy = f"{row.mean:.3f}", f"{row.low:.3f} to {row.high:.3f}"
                measured = [str(row.measures.get(name, "–")) for name in names]
                cells.append([self.networks[row.network], f"{row.parameters:,}", *accuracy, *measured])
            columns = ["network", "parameters", "accuracy", "95 % interval", *names]
            tables.append((f"{title}: test accuracy, {self.seeds} seeds", columns, cells))
            columns = ["first", "minus second", "difference", "95 % interval", "the first is"]
            for measure in (ACCURACY, *names):
                cells = []
                for pair in self.differences:
                    if (pair.task, pair.measure) == (task, measure):
                        found = f"{pair.mean:+.3f}", f"{pair.low:+.3f} to {pair.high:+.3f}", pair.verdict
                        cells.append([self.networks[pair.first], self.networks[pair.second], *found])
                if cells:
                    tables.append((f"{title}: differences of {measure}, seed by seed", columns, cells))
            cells = []
            for cost in self.costs:
                if cost.task == task:
                    measured = [f"{cost.flops / 1e6:.2f}", f"{cost.step_ms:.0f}", f"{cost.peak_mb:.0f}"]
                    cells.append([self.networks[cost.network], f"{cost.parameters:,}", *measured])
            if cells:
                columns = ["network", "parameters", "MFLOP per image", "ms per step", "peak memory, MB"]
                where = "{processor}, {threads} thread(s)".format(**self.cost_setting)
                images = self.cost_setting["batch_size"]
                tables.append((f"{title}: cost of a training step on {images} images; {where}", columns, cells))
        return tables

    def _repr_markdown_(self) -> str:
        return "\n\n".join(markdown_table(*table) for table in self.tables())

    def __repr__(self) -> str:
        return "\n\n".join(plain_table(*table) for table in self.tables())


def results(study: str, out: str | Path | None = None) -> Results:
    """What a study found.

    Args:
        study: its name, such as "4.2".
        out: folder of results; by default those that ship with the course.

    Raises:
        ValueError: for a study without results; the message lists those that have some.
        ResourceError: if summary.json is damaged; the message names it.

    Example:
        >>> results("4.2").difference("cued", "se", "plain").verdict
        'higher'
    """
    root = resource_root() / "results" if out is None else Path(out)
    path = root / study / "summary.json"
    if not path.parent.is_dir() or "/" in study:
        check_name("study with results", study, sorted(each.parent.name for each in root.glob("*/summary.json")))
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored.pop("format") != FORMAT:
            raise ValueError(f"it is not of format {FORMAT}")
        rows = [Row(**row) for row in stored.pop("rows")]
        differences = [Difference(**pair) for pair in stored.pop("differences")]
        costs = [Cost(**cost) for cost in stored.pop("costs")]
        return Results(**stored, rows=rows, differences=differences, costs=costs)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResourceError(
            f"{path} is not a readable summary of a study ({error!r}); restore it with `git checkout -- {path}` in a "
            f"clone, or install the course again. `python -m experiments report {study}` makes it from the runs."
        ) from error


def recorded(name: str) -> dict[str, Any]:
    """What a measurement that is no study of training runs found: results/NAME/summary.json as it is.

    Args:
        name: such as "segmenter_gates".

    Raises:
        ResourceError: if the file is missing or damaged; the message names it.
    """
    path = resource_root() / "results" / name / "summary.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ResourceError(
            f"{path} cannot be read ({error!r}); restore it with `git checkout -- {path}` in a clone, or install the "
            "course again."
        ) from error


@dataclass(frozen=True, repr=False)
class Bench:
    """The recorded times of one block beside other implementations; a notebook shows it as a table."""

    block: str
    setting: dict[str, Any]
    rows: list[dict[str, Any]]

    def row(self, case: str, step: str) -> dict[str, Any]:
        """The times of one input and one pass, such as ("(32,64,56,56)", "forward").

        Raises:
            ValueError: if it was not measured; the message lists what was.
        """
        return _known({(row["case"], row["step"]): row for row in self.rows}, (case, step), f"case of {self.block}")

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


def bench(block: str) -> Bench:
    """The recorded times of a block beside other implementations, as `make bench` measured them.

    Args:
        block: name of the class or function, such as "SEBlock".

    Raises:
        ValueError: if nothing was measured of that name; the message lists the names.
        ResourceError: if a record is damaged; the message names it.

    Example:
        >>> bench("SEBlock")
    """
    known = set()
    for path in sorted((resource_root() / "results" / "bench").glob("*.json")):
        try:
            recorded = json.loads(path.read_text(encoding="utf-8"))
            rows = recorded.get("rows", [])
            known |= {row["block"] for row in rows}
            if chosen := [row for row in rows if row["block"] == block]:
                return Bench(block, recorded["setting"], chosen)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ResourceError(
                f"{path} is not a readable record of times ({error!r}); restore it, or measure again by `make bench`."
            ) from error
    raise ValueError(f"No benchmark of {block!r} is recorded; there are: {', '.join(sorted(known))}.")


def _known(found: dict[Any, Any], wanted: Any, what: str) -> Any:
    if wanted not in found:
        raise ValueError(f"There is no {what} for {', '.join(wanted)}; there are: {'; '.join(map(', '.join, found))}.")
    return found[wanted]
