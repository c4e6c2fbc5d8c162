"""Keep what a check of the whole course counted, so that README.md can show it.

    record("faults", title="Faults", command="make faults", counts={"uploads": 31}, seconds=40.2)

writes resource/results/checks/faults.json; `make links` puts it into README.md. A check does so when it is run with
RECORD=1, so that running it leaves no change behind otherwise.
"""

import json
import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "resource" / "results" / "checks"


def environment() -> dict[str, str | int]:
    """What a check ran on, without names of its own."""
    return {
        "python": platform.python_version(),
        "torch": metadata.version("torch").partition("+")[0],
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count() or 1,
    }


def record(
    name: str,
    title: str,
    command: str,
    counts: Mapping[str, float],
    seconds: float,
    folder: Path = FOLDER,
) -> Path:
    """Write what a check counted, as `readme_checks` in tools/links.py reads it.

    Args:
        name: of the file, without its ending.
        title: of the row in README.md.
        command: that counts it again.
        counts: numbers by what they count, in the order in which they are shown.
        seconds: how long the check took.
        folder: where the files lie.
    """
    path = folder / f"{name}.json"
    made = {
        "title": title,
        "command": command,
        "counts": dict(counts),
        "seconds": round(seconds, 1),
        "environment": environment(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    print(f"Recorded in {path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}; `make links` shows it.")
    return path
