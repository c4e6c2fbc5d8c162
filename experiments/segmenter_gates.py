"""Which of the person segmenter's ten gates matter: its mask with the gates of one block held, shuffled or opened.

`python -m experiments.segmenter_gates` runs it on the photographs in resource/photos and writes
resource/results/segmenter_gates/runs.jsonl, one line for each photograph, block and way, and summary.json.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from course_utils.attention import edit_masks, record_masks
from course_utils.data import photograph, photograph_names
from course_utils.models import load_network
from course_utils.resources import resource_root
from course_utils.widgets.channel_gates.explore import person_input

from .files import write_whole
from .intervals import mean_interval

WAYS = {
    "mean": "held at their mean over the photographs",
    "shuffled": "shuffled among the block's channels",
    "open": "set to 1",
}
SHUFFLES = 5


def overlap(one: Tensor, other: Tensor) -> float:
    """How far two masks agree, from 0 to 1: the sum of the smaller of each two weights over that of the larger."""
    return (torch.minimum(one, other).sum() / torch.maximum(one, other).sum()).item()


def edits(gates: Tensor, mean: Tensor, way: str) -> list[Callable[[Tensor], Tensor]]:
    """The changes of one block's gates, (1, C, 1, 1), that a way makes: several where chance has a part in it."""
    if way == "mean":
        return [lambda mask: mean.expand_as(mask)]
    if way == "open":
        return [torch.ones_like]
    orders = [torch.randperm(gates.shape[1], generator=torch.Generator().manual_seed(seed)) for seed in range(SHUFFLES)]
    return [lambda mask, order=order: mask[:, order] for order in orders]


@torch.no_grad()
def measure(names: Iterable[str]) -> list[dict[str, Any]]:
    """The runs: for each photograph, block and way the overlap with the untouched network's own mask."""
    names = list(names)
    network = load_network("person_segmenter")
    pictures = [person_input(photograph(name))[None] for name in names]
    untouched, recorded = [], []
    for picture in pictures:
        with record_masks(network) as masks:
            untouched.append(network(picture))
        recorded.append(dict(masks))
    runs = []
    for block in recorded[0]:
        mean = torch.cat([masks[block] for masks in recorded]).mean(0, keepdim=True)
        for way in WAYS:
            for name, picture, masks, own in zip(names, pictures, recorded, untouched, strict=True):
                found = []
                for edit in edits(masks[block], mean, way):
                    with edit_masks(network, {block: edit}):
                        found.append(overlap(network(picture), own))
                run = {"block": block, "way": way, "photograph": name, "overlap": round(sum(found) / len(found), 4)}
                runs.append({**run, "kept": round((own > 0.5).float().mean().item(), 4)})
    return runs


def summary(runs: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """From the runs: what the untouched mask keeps of each photograph; the mean overlap for each block and way.

    The overlap has the 95 % interval over the photographs; "lowest_on" counts those on which no block's is lower.
    """
    runs = list(runs)
    values: dict[str, dict[str, list[float]]] = {}
    for run in runs:
        values.setdefault(run["block"], {}).setdefault(run["way"], []).append(run["overlap"])
    least = {way: [min(one) for one in zip(*(ways[way] for ways in values.values()), strict=True)] for way in WAYS}
    blocks = {
        block: {way: _estimate(found, least[way]) for way, found in ways.items()} for block, ways in values.items()
    }
    kept = {run["photograph"]: run["kept"] for run in runs}
    return {"study": "segmenter_gates", "ways": WAYS, "kept": kept, "blocks": blocks}


def _estimate(values: list[float], least: list[float]) -> dict[str, Any]:
    mean, low, high = (round(min(max(end, 0), 1), 4) for end in mean_interval(values))
    lowest = sum(value == low for value, low in zip(values, least, strict=True))
    return {"mean": mean, "low": low, "high": high, "lowest_on": lowest, "values": values}


def read_runs(path: Path) -> list[dict[str, Any]]:
    """The runs of runs.jsonl; its first line says with which torch they were made.

    Raises:
        ValueError: if the file is missing or damaged; the message names it.
    """
    try:
        _, *runs = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}); restore it with `git checkout -- {path}`, or measure again with "
            "`python -m experiments.segmenter_gates`."
        ) from error
    return runs


def main() -> None:
    """Measure, and write both files."""
    folder = resource_root() / "results" / "segmenter_gates"
    folder.mkdir(parents=True, exist_ok=True)
    runs = measure(photograph_names())
    lines = [json.dumps({"study": "segmenter_gates", "torch": torch.__version__, "shuffles": SHUFFLES})]
    lines += [json.dumps(run) for run in runs]
    write_whole(folder / "runs.jsonl", ("\n".join(lines) + "\n").encode())
    write_whole(folder / "summary.json", (json.dumps(summary(runs), indent=1) + "\n").encode())
    for block, ways in summary(runs)["blocks"].items():
        print(f"{block:18s}" + "  ".join(f"{way} {found['mean']:.3f}" for way, found in ways.items()))


if __name__ == "__main__":
    main()
