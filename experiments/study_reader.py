"""Lesson 4.1.4: what each head of the text reader looks at, and how it reads without it.

`python -m experiments run 4.1.4 --seeds 10` does the runs that are missing, `report 4.1.4` writes their summary.
A run is 30 drawn lines read by the network with one change; a seed draws its own lines. Shares of weight are those of
the unchanged network, for the columns that show letters: "same" is the same letter elsewhere, not beside it; "first"
and "end" are the first and the last letter, for letters at least two away; "space" lies between words, "empty" before
and after the line. "spread" is the share of all columns over which equal weights would be as spread out.
"""

import itertools
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import ImageFont
from torch import Tensor, nn

from course_utils.attention import edit_masks, off, record_masks, uniform
from course_utils.attention.recording import Edit
from course_utils.data.text_lines import MARGIN, TYPEFACES, draw_text, typeface_file
from course_utils.models import TextReader, load_network
from course_utils.results import Difference, Results, Row

from .convert_reader import distance
from .files import write_whole
from .intervals import mean_interval
from .ledger import FILE, StudyError, append_run, made_folder, read_runs, results_folder
from .machine import commit, machine, versions
from .report import as_json, estimate
from .study import Study

STUDY = Study(
    name="4.1.4",
    title="The heads of a network that reads",
    tasks=(),
    entries=(),
    pairs=(),
    learning_rates=(),
    epochs=0,
    batch_size=1,
)
BLOCKS = ("blocks.0.attention", "blocks.1.attention")
HEADS = 8
LINES, SIZE = 30, 30
COURSE = "attention,query,key,value,head,mask,gate,score,weight,softmax,token"
TWINS = "success,zoos,vows,wow,cocoa,voxels,saw,so,we,us,cow,process,curve,source,focus,swiss"
"""Words of letters whose small form looks like the large one."""
SHARES = ("own", "left", "right", "same", "first", "end", "space", "empty")
NETWORKS = {
    "whole": "all heads on",
    **{f"{b}.{h}": f"block {b}, head {h} off" for b in (1, 2) for h in range(1, HEADS + 1)},
    "block 1": "block 1 off",
    "block 2": "block 2 off",
    "all": "all heads off",
    "even": "all heads with even weights",
}


MAPS = [*(name for name in NETWORKS if "." in name), "even"]


def drawn_lines(seed: int) -> list[tuple[str, str]]:
    """Lines with their typefaces: words of this course, letters at random, and words of letters with a twin."""
    generator = random.Random(seed)
    cases = (str.lower, str.capitalize, str.upper)
    lines = []
    for number in range(LINES):
        if number % 3 == 0:
            text = " ".join(generator.sample(COURSE.split(","), generator.randint(1, 3)))
        elif number % 3 == 1:
            text = "".join(generator.choices("abcdefghijklmnopqrstuvwxyz", k=generator.randint(3, 10)))
            text = generator.choice(cases)(text)
        else:
            text = generator.choice(cases)(" ".join(generator.sample(TWINS.split(","), generator.randint(2, 4))))
        lines.append((text, generator.choice(list(TYPEFACES))))
    return lines


def columns_of(text: str, typeface: str, columns: int) -> list[set[int]]:
    """For each letter, the columns of 8 pixels whose middle it covers; at least the nearest one."""
    font = ImageFont.truetype(str(typeface_file(typeface)), SIZE)
    start = MARGIN - font.getbbox(text)[0]
    edges = [start + font.getlength(text[:i]) for i in range(len(text) + 1)]
    found = []
    for left, right in itertools.pairwise(edges):
        inside = {k for k in range(columns) if left <= 8 * k + 4 < right}
        found.append(inside or {min(int((left + right) / 16), columns - 1)})
    return found


def shares(text: str, letters: Sequence[set[int]], weights: Tensor) -> dict[str, list[Tensor]]:
    """Weights (maps, T, T) of one line -> for each place, the share of each letter's column."""
    columns = weights.shape[2]
    last = len(text) - 1
    found: dict[str, list[Tensor]] = {name: [] for name in SHARES}
    for i, letter in enumerate(text):
        if letter == " ":
            continue
        others = {j for j in range(len(text)) if abs(j - i) > 1}
        places = {
            "own": {i},
            "left": {i - 1} if i and text[i - 1] != " " else set(),
            "right": {i + 1} if i < last and text[i + 1] != " " else set(),
            "same": {j for j in others if text[j] == letter},
            "first": {0} & others,
            "end": {last} & others,
            "space": {j for j in others if text[j] == " "},
        }
        keys = {name: sorted(set().union(*(letters[j] for j in where))) for name, where in places.items()}
        keys["empty"] = sorted(set(range(columns)) - set().union(*letters))
        for query in letters[i]:
            for name, where in keys.items():
                if where:
                    found[name].append(weights[:, query, where].sum(dim=1))
    return found


def edits_of(name: str) -> Mapping[str, Edit]:
    """What one network of the study changes."""
    everyone = off(range(HEADS))
    if "." in name:
        block, head = (int(part) for part in name.split("."))
        return {BLOCKS[block - 1]: off(head - 1)}
    if name.startswith("block "):
        return {BLOCKS[int(name[-1]) - 1]: everyone}
    return {"whole": {}, "all": dict.fromkeys(BLOCKS, everyone), "even": dict.fromkeys(BLOCKS, uniform())}[name]


class Kept(nn.Module):
    """The convolutions, which keep what they made of the last picture: every network of a line begins with it."""

    def __init__(self, backbone: nn.Module) -> None:
        """Wrap the backbone."""
        super().__init__()
        self.backbone = backbone
        self.kept = torch.empty(0), torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        """What the backbone gives."""
        if not torch.equal(x, self.kept[0]):
            self.kept = x, self.backbone(x)
        return self.kept[1]


def text_reader() -> TextReader:
    """The network, whose convolutions run once for each line."""
    reader = load_network("text_reader").eval()
    assert isinstance(reader, TextReader)
    reader.backbone = Kept(reader.backbone)  # type: ignore[assignment]
    return reader


@torch.no_grad()
def measured(reader: TextReader, seed: int, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """For each network its accuracy, its mistakes in letter case and at spaces, and where its weights lie.

    The accuracy is 1 minus Levenshtein's distance for each character; mistakes are counted for each character too.
    """
    lines = drawn_lines(seed)
    characters = sum(len(text) for text, _ in lines)
    wrong = {name: dict.fromkeys(("all", "case", "space"), 0) for name in names}
    found: dict[str, list[Tensor]] = {share: [] for share in (*SHARES, "spread")}
    for text, typeface in lines:
        picture = draw_text(text, typeface, SIZE)[None]
        with record_masks(reader, BLOCKS) as masks:
            reader(picture)
        for name in names:
            with edit_masks(reader, edits_of(name)):
                read = reader.read(picture)[0]
            missed = distance(read, text)
            wrong[name]["all"] += missed
            wrong[name]["case"] += missed - distance(read.lower(), text.lower())
            wrong[name]["space"] += max(0, missed - distance(read.replace(" ", ""), text.replace(" ", "")))
        weights = torch.cat([masks[block][0] for block in BLOCKS])  # (16, T, T)
        weights = torch.cat([weights, torch.full_like(weights[:1], 1 / weights.shape[2])])
        letters = columns_of(text, typeface, weights.shape[2])
        for share, values in shares(text, letters, weights).items():
            found[share] += values
        entropy = torch.special.entr(weights[:, sorted(set().union(*letters))]).sum(dim=2)
        found["spread"] += [*(entropy.exp() / weights.shape[2]).T]
    means = {share: torch.stack(values).mean(dim=0) for share, values in found.items()}  # each (17,)
    answers = {}
    for name in names:
        counts = {kind: count / characters for kind, count in wrong[name].items()}
        answers[name] = {
            "accuracy": 1 - counts["all"],
            "case mistakes": counts["case"],
            "space mistakes": counts["space"],
        }
        if name in MAPS:
            answers[name] |= {share: float(values[MAPS.index(name)]) for share, values in means.items()}
    return answers


def do_runs(seeds: int, out: str | Path | None = None) -> Path:
    """Do the runs that are missing, a seed after the other; each is appended to runs.jsonl."""
    folder = made_folder(STUDY, out)
    reader = text_reader()
    done = {(key.entry, key.seed) for key in read_runs(folder)}
    for seed in range(seeds):
        if missing := [name for name in NETWORKS if (name, seed) not in done]:
            started = time.perf_counter()
            found = measured(reader, seed, missing)
            seconds = round((time.perf_counter() - started) / len(missing), 2)
            for name, values in found.items():
                append_run(folder, _run(reader, name, seed, values, seconds), {network: {} for network in NETWORKS})
        print(f"seed {seed} is done")
    return folder


def _run(reader: TextReader, name: str, seed: int, values: dict[str, float], seconds: float) -> dict[str, Any]:
    settings = {"study": STUDY.name, "task": "lines", "entry": name, "arguments": {}, "seed": seed, "lr": 0.0}
    return {
        "settings": {**settings, "scored_on": "test", "lines": LINES, "size": SIZE},
        "parameters": sum(parameter.numel() for parameter in reader.parameters()),
        "accuracy": round(values["accuracy"], 6),
        "measures": {measure: round(value, 6) for measure, value in values.items() if measure != "accuracy"},
        "seconds": seconds,
        "versions": versions(),
        "machine": machine(),
        "commit": commit(),
    }


def summary(out: str | Path | None = None) -> Results:
    """What the runs found: means over the seeds with their 95 % intervals, and differences.

    Accuracy and mistakes are compared with the whole network, a head's shares with those of even weights.

    Raises:
        StudyError: if runs are missing or broken.
    """
    folder = results_folder(STUDY, out)
    runs = read_runs(folder)
    seeds = 1 + max((key.seed for key in runs), default=-1)
    if seeds < 2 or len(runs) != seeds * len(NETWORKS):
        raise StudyError(
            f"{folder / FILE} holds {len(runs)} runs; a report needs each of {len(NETWORKS)} for at least two seeds: "
            f"`python -m experiments run {STUDY.name} --seeds {max(2, seeds)}` does those that are missing."
        )
    values: dict[str, dict[str, list[float]]] = {name: {} for name in NETWORKS}
    for key in sorted(runs, key=lambda key: key.seed):
        for measure, value in {"accuracy": runs[key]["accuracy"], **runs[key]["measures"]}.items():
            values[key.entry].setdefault(measure, []).append(value)
    for name, measure, each in ((name, *one) for name, found in values.items() for one in found.items()):
        if len(each) != seeds:
            raise StudyError(
                f"{folder / FILE} has {measure!r} of {name!r} for {len(each)} of {seeds} seeds; restore the file, or "
                f"delete it and do the runs again by `python -m experiments run {STUDY.name} --seeds {seeds}`."
            )
    rows, differences = [], []
    for name, found in values.items():
        results = [run for key, run in runs.items() if key.entry == name]
        estimates = {measure: estimate(each) for measure, each in found.items()}
        accuracies, seconds = found["accuracy"], sum(run["seconds"] for run in results) / seeds
        reached = estimates.pop("accuracy")[:3]
        rows.append(Row("lines", name, results[0]["parameters"], 0.0, accuracies, *reached, seconds, {}, estimates))
        for measure, each in found.items():
            other = "whole" if measure in values["whole"] else "even"
            if name != other:
                paired = mean_interval([a - b for a, b in zip(each, values[other][measure], strict=True)])
                differences.append(Difference("lines", name, other, *paired, measure))
    return Results(STUDY.name, STUDY.title, seeds, {"lines": "drawn lines"}, NETWORKS, rows, differences)


def write_report(out: str | Path | None = None) -> Path:
    """Write what the runs found as summary.json beside them."""
    path = results_folder(STUDY, out) / "summary.json"
    write_whole(path, as_json(summary(out)).encode())
    return path
