"""Bring about what goes wrong in real life, and count it by kind: `make faults`.

    python tools/faults.py --record    keep the counts in resource/results/checks/faults.json too

Runs every test marked `faults`, those that need a browser last. A test counts as one fault, or as many as it
says with `record_property("tried", n)`.
"""

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

from checks import record

ROOT = Path(__file__).resolve().parents[1]
PARTS = (
    ["-n", "2", "--dist", "worksteal", "tests", "--ignore=tests/browser"],
    ["tests/browser"],
)


def counted(report: Path) -> tuple[Counter[str], int]:
    """How many faults were tried, by kind, and how many tests were left out."""
    kinds: Counter[str] = Counter()
    skipped = 0
    for case in ElementTree.parse(report).iter("testcase"):
        said = {each.get("name"): each.get("value", "") for each in case.iter("property")}
        if case.find("skipped") is not None:
            skipped += 1
        elif "fault" in said:
            kinds[said["fault"]] += int(said.get("tried", 1))
    return kinds, skipped


def main(arguments: list[str]) -> int:
    kinds: Counter[str] = Counter()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for number, part in enumerate(PARTS):
            report = Path(folder) / f"{number}.xml"
            command = [sys.executable, "-m", "pytest", "-q", "-m", "faults", "-o", "junit_family=xunit1"]
            done = subprocess.run([*command, f"--junitxml={report}", *part], cwd=ROOT, check=False)
            if done.returncode:
                return done.returncode
            found, skipped = counted(report)
            kinds += found
            if skipped:
                print(f"{skipped} tests were left out; what they would have tried is not counted.")
    seconds = time.perf_counter() - started
    for kind, count in sorted(kinds.items()):
        print(f"{count:6,d}  {kind}")
    print(f"{kinds.total():6,d}  faults in {seconds:.0f} s, on {os.cpu_count()} cores")
    if "--record" in arguments:
        record("faults", "Faults brought about", "make faults", dict(sorted(kinds.items())), seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
