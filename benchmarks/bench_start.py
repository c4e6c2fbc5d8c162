"""How long a learner waits before the first line of a lesson: the import, and the first cell as on Colab."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

from benchmarks.timing import save

ROOT = Path(__file__).resolve().parents[1]


def import_milliseconds() -> float:
    """The median of `import course_utils` in a fresh Python, beside a Python that imports nothing."""
    code = "import time; t = time.perf_counter(); import course_utils; print((time.perf_counter() - t) * 1e3)"
    taken = [
        float(subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout)
        for _ in range(9)
    ]
    return statistics.median(taken)


def bootstrap_seconds() -> tuple[float, float]:
    """The first cell in an empty folder, from this repository's HEAD cloned by git on this machine; then once again."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    notebook = json.loads(next((ROOT / "notebooks").glob("*.ipynb")).read_text(encoding="utf-8"))
    (cell,) = [c for c in notebook["cells"] if "bootstrap" in c["metadata"].get("tags", [])]
    with tempfile.TemporaryDirectory() as scratch:
        published = Path(scratch) / "published"
        subprocess.run(["git", "clone", "-q", "--no-local", str(ROOT), str(published)], check=True)
        subprocess.run(
            ["git", "-C", str(published), "tag", "-f", f"v{project['version']}"], check=True, capture_output=True
        )
        settings = {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{published.as_uri()}.insteadOf",
            "GIT_CONFIG_VALUE_0": project["urls"]["Repository"],
        }
        folder = Path(scratch) / "empty"
        folder.mkdir()
        command = [sys.executable, "-S", "-P", "-c", "".join(cell["source"]) + "\nimport course_utils"]
        taken = []
        for _ in range(2):
            started = time.perf_counter()
            subprocess.run(command, cwd=folder, env=os.environ | settings, check=True, capture_output=True)
            taken.append(time.perf_counter() - started)
    return taken[0], taken[1]


def main() -> None:
    fresh, again = bootstrap_seconds()
    rows = {
        "import course_utils, ms": (import_milliseconds(), 50),
        "first cell, nothing there yet, s": (fresh, 5),
        "first cell again, s": (again, 5),
    }
    measured = {name: {"measured": round(value, 3), "at most": goal} for name, (value, goal) in rows.items()}
    save("start", measured)
    for name, (value, goal) in rows.items():
        print(f"{name:36s} {value:8.2f}   at most {goal}")


if __name__ == "__main__":
    main()
