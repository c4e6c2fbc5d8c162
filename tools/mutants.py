"""Break each mechanism in the ways that popular ports are wrong, and see a test fail.

    python tools/mutants.py [WORD ...]

The breaks are listed in tools/mutants/*.toml. Each names the `tests` that watch over it and a list of `[[mutant]]`:
`file` below course_utils/, the `original` text (it must stand there exactly once), the `broken` text, and `why`; a
mutant may name its own `tests`. With words, only the mutants run whose table, file or reason contains one of them.

A mutant is applied to a copy in a temporary folder, never to the working tree. It is killed when a test fails there,
and survives when all pass: then a test is missing.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
TABLES = ROOT / "tools" / "mutants"
SECONDS = 900
VERDICTS = {0: "SURVIVED", 1: "killed"}  # pytest: 0 all passed, 1 some failed


class Mutant(NamedTuple):
    """One way to be wrong."""

    table: str
    file: str
    original: str
    broken: str
    why: str
    tests: tuple[str, ...]

    def problem(self) -> str | None:
        """Why it cannot be applied, or None."""
        count = (ROOT / "course_utils" / self.file).read_text(encoding="utf-8").count(self.original)
        if count != 1:
            return f"the original text stands {count} times in course_utils/{self.file}, it should stand once"
        return "the broken text equals the original" if self.original == self.broken else None


def read_mutants(folder: Path = TABLES) -> list[Mutant]:
    """Every mutant of every table."""
    tables = {path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.toml"))}
    entries = [(name, {"tests": table["tests"]} | entry) for name, table in tables.items() for entry in table["mutant"]]
    return [Mutant(**{**entry, "table": name, "tests": tuple(entry["tests"])}) for name, entry in entries]


def run_tests(tests: Sequence[str], mutant: Mutant | None = None) -> tuple[int, str]:
    """Run tests on a copy of the package, broken by the mutant if there is one; pytest's exit status and words."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy = Path(folder)
        for name in ("course_utils", "tests"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        (copy / "resource").symlink_to(ROOT / "resource")
        if mutant:
            source = copy / "course_utils" / mutant.file
            text = source.read_text(encoding="utf-8")
            source.write_text(text.replace(mutant.original, mutant.broken), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--tb=line", *tests]
        settings = {"OMP_NUM_THREADS": "1"} | os.environ | {"PYTHONPATH": folder, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        try:
            done = subprocess.run(command, cwd=copy, env=settings, capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return 1, f"The tests did not end within {SECONDS} seconds."
    return done.returncode, done.stdout + done.stderr


def main(words: Sequence[str]) -> int:
    """Apply the mutants that are asked for; 0 if every one was killed."""
    chosen = [m for m in read_mutants() if not words or any(word in f"{m.table} {m.file} {m.why}" for word in words)]
    if not chosen:
        raise SystemExit(f"No mutant matches {' '.join(words)!r}; the tables are in tools/mutants.")
    if problems := [f"{m.table}: {m.why}: {problem}" for m in chosen if (problem := m.problem())]:
        raise SystemExit("\n".join(problems))
    code, said = run_tests(sorted({test for mutant in chosen for test in mutant.tests}))
    if code:
        raise SystemExit(f"The tests fail on the unbroken package, so they can tell nothing:\n{said}")
    killed = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = {pool.submit(run_tests, mutant.tests, mutant): mutant for mutant in chosen}
        for run in as_completed(runs):
            code, said = run.result()
            killed += code == 1
            verdict = VERDICTS.get(code, f"NOT RUN\n{said}\n")
            print(f"{verdict:9} {runs[run].why}", flush=True)
    print(f"{killed} of {len(chosen)} mutants killed.")
    return int(killed < len(chosen))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
