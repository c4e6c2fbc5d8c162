"""Break each mechanism in the ways that popular ports are wrong, and see a test fail.

    python tools/mutants.py [WORD ...]

The breaks are listed in tools/mutants/*.toml. Each names the `tests` that watch over it and a list of `[[mutant]]`:
`file` below course_utils/, the `original` text (it must stand there exactly once), the `broken` text, and `why`; a
mutant may name its own `tests`. With words, only the mutants run whose table, file or reason contains one of them.

A mutant is applied to a copy in a temporary folder, never to the working tree. It is killed when a test fails there,
and survives when all pass: then a test is missing.
"""

import importlib
import multiprocessing.connection
import os
import shutil
import sys
import tempfile
import time
import tomllib
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TABLES = ROOT / "tools" / "mutants"
SECONDS = 900
LOADED_ONCE = ("torch", "torch._dynamo", "torch.export", "torchvision", "timm.layers", "entmax")


@dataclass(frozen=True)
class Mutant:
    """One way to be wrong."""

    table: str
    file: str
    original: str
    broken: str
    why: str
    tests: tuple[str, ...]

    def problem(self) -> str | None:
        """Why it cannot be applied, or None."""
        source = ROOT / "course_utils" / self.file
        if not source.is_file():
            return f"course_utils/{self.file} does not exist"
        count = source.read_text(encoding="utf-8").count(self.original)
        if count != 1:
            return f"the original text stands {count} times in course_utils/{self.file}, it should stand once"
        missing = [test for test in self.tests if not (ROOT / test.split("::")[0]).is_file()]
        if missing or not self.tests:
            return f"there is no test file {', '.join(missing) or 'named for it'}"
        if self.original == self.broken:
            return "the broken text equals the original"
        return None


def read_mutants(folder: Path = TABLES) -> list[Mutant]:
    """Every mutant of every table."""
    mutants = []
    for path in sorted(folder.glob("*.toml")):
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        for entry in table["mutant"]:
            tests = tuple(entry.pop("tests", table["tests"]))
            mutants.append(Mutant(table=path.stem, tests=tests, **entry))
    return mutants


class Run:
    """The tests on a copy of the package, broken by the mutant if there is one, in a process forked from this one.

    A fork has torch loaded already: a mutant costs its tests and not their imports.
    """

    def __init__(self, tests: Sequence[str], mutant: Mutant | None = None):
        self.mutant = mutant
        self.folder = tempfile.TemporaryDirectory(prefix="mutant-")
        copy = Path(self.folder.name)
        leave = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "course_utils", copy / "course_utils", ignore=leave)
        shutil.copytree(ROOT / "tests", copy / "tests", ignore=leave)
        shutil.copy(ROOT / "pyproject.toml", copy)
        (copy / "resource").symlink_to(ROOT / "resource")
        if mutant:
            source = copy / "course_utils" / mutant.file
            text = source.read_text(encoding="utf-8")
            source.write_text(text.replace(mutant.original, mutant.broken), encoding="utf-8")
        self.output = copy / "output.txt"
        self.started = time.monotonic()
        self.process = multiprocessing.get_context("fork").Process(target=self._test, args=(copy, tests))
        self.process.start()

    def _test(self, copy: Path, tests: Sequence[str]) -> None:
        code = 9  # none of pytest's: something went wrong around it
        try:
            with self.output.open("w") as output:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
            os.chdir(copy)
            os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # plugins cannot be rewritten once they are loaded
            sys.path.insert(0, str(copy))
            said = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--tb=line", *tests])
            if Path(sys.modules["course_utils"].__file__ or "").is_relative_to(copy):
                code = int(said)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)

    def verdict(self) -> str | None:
        """None while it runs; "killed", "SURVIVED", or what went wrong."""
        if self.process.is_alive():
            if time.monotonic() - self.started < SECONDS:
                return None
            self.process.kill()
            return "killed"
        # pytest: 0 all passed, 1 some failed
        return {0: "SURVIVED", 1: "killed"}.get(self.process.exitcode, f"NOT RUN ({self.process.exitcode})")

    def finish(self) -> str:
        """What was printed; the copy is gone afterwards."""
        self.process.join()
        text = self.output.read_text(encoding="utf-8")
        self.folder.cleanup()
        return text


def run_all(mutants: Sequence[Mutant]) -> int:
    """Run every mutant, as many at a time as there are processors; the number that were not killed."""
    waiting, running, failed = list(mutants), [], 0
    while waiting or running:
        while waiting and len(running) < (os.cpu_count() or 1):
            mutant = waiting.pop(0)
            running.append(Run(mutant.tests, mutant))
        multiprocessing.connection.wait([run.process.sentinel for run in running], timeout=SECONDS)
        for run in [run for run in running if run.verdict()]:
            running.remove(run)
            said = run.verdict()
            text = run.finish()
            failed += said != "killed"
            print(f"{said:9} {run.mutant.why}", flush=True)
            if said not in ("killed", "SURVIVED"):
                print(text)
    return failed


def main(words: Sequence[str]) -> int:
    """Apply the mutants that are asked for; 0 if every one was killed."""
    mutants = read_mutants()
    if words:
        mutants = [m for m in mutants if any(word in f"{m.table} {m.file} {m.why}" for word in words)]
    if not mutants:
        print(f"No mutant matches {' '.join(words)!r}; the tables are in tools/mutants.")
        return 1
    problems = [f"{m.table}: {m.why}: {problem}" for m in mutants if (problem := m.problem())]
    if problems:
        print(*problems, sep="\n")
        return 1
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a fork cannot use its parent's threads
    for name in LOADED_ONCE:
        importlib.import_module(name)
    plain = Run(sorted({test for mutant in mutants for test in mutant.tests}))
    text = plain.finish()
    if plain.process.exitcode:
        print(f"The tests fail on the unbroken package, so they can tell nothing:\n{text}")
        return 1
    failed = run_all(mutants)
    print(f"{len(mutants) - failed} of {len(mutants)} mutants killed.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
