"""Count what `make test` runs, for the table in README.md; `make test RECORD=1` does it.

python tools/count_tests.py BEGAN       BEGAN is when the tests began, in seconds since 1970
"""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

from checks import record

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from course_utils import check  # noqa: E402


def collected(*arguments: str) -> int:
    """How many tests pytest finds."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = re.search(r"(?m)^(\d+) tests? collected", done.stdout)
    if done.returncode or not found:
        raise SystemExit(f"pytest could not collect the tests:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return int(found[1])


def code_cells() -> int:
    """How many cells nbval runs."""
    notebooks = (json.loads(path.read_text(encoding="utf-8")) for path in (ROOT / "notebooks").glob("*.ipynb"))
    return sum(cell["cell_type"] == "code" for notebook in notebooks for cell in notebook["cells"])


def main() -> int:
    if len(sys.argv) != 2 or not sys.argv[1].isdigit():
        raise SystemExit(__doc__)
    seconds = time.time() - int(sys.argv[1])
    exercises = check.exercises().values()
    counts = {
        "unit, parity and property tests": collected("tests", "--ignore=tests/browser", "--ignore=tests/faults"),
        "tests in a browser": collected("tests/browser"),
        "cells of notebooks": code_cells(),
        "exercises": len(exercises),
        "wrong answers that get a word of their own": sum(len(each.mistakes) for each in exercises),
    }
    for what, number in counts.items():
        print(f"{number:6,d}  {what}")
    record("tests", "Tests", "make test", counts, seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
