"""Run the lessons as Google Colab would: its versions, an empty folder, nothing but the notebook.

    python tools/colab.py [4.1.1 ...]     make the environment where it is missing or old, then run the lessons
    python tools/colab.py --record        write the seconds to resource/results/checks/colab.json too

The environment, .venv-colab, has the versions of tests/colab/colab-versions.txt and shares PyTorch with the Python
that runs this file: of that one's packages only PyTorch's own and what they need are linked into it. A stand-in plays
google.colab. Each notebook is copied alone into an empty folder; its first cell fetches the course from the published
address, and git is told to find there the last commit of this clone, under the version's tag.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from itertools import chain
from pathlib import Path

import checks
from links import project
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
INSIDE = ROOT / "tests" / "colab"
VERSIONS = INSIDE / "colab-versions.txt"
SHARED = ("torch", "torchvision")
BOOTSTRAP_SECONDS = 5.0
# What draws or answers in the browser must do so with Colab's ipywidgets too.
UNIT_TESTS = (
    "test_widgets_base.py",
    "test_*explorer*.py",
    "test_quizzes.py",
    "test_sweep.py",
    "test_images.py",
    "test_check_engine.py",
    "test_progress.py",
)
# What Colab's own ipywidgets and, on Python 3.13, its jupyter_client warn of; every other warning fails a test.
OWN_WARNINGS = (
    "ignore:Deprecated in traitlets 4.1:DeprecationWarning",
    "ignore:datetime.datetime.utcnow:DeprecationWarning",
)


def pins(text: str) -> dict[str, str]:
    """The versions of a requirements file by name; every line that is no remark must be name==version."""
    found = {}
    for line in text.splitlines():
        line = line.partition("#")[0].strip()
        if line:
            name, exact, version = line.partition("==")
            if not exact:
                raise SystemExit(f"{VERSIONS.name} holds the line {line!r}; each must be name==version.")
            found[canonicalize_name(name)] = version
    return found


def installed(path: Iterable[str] | None = None) -> dict[str, metadata.Distribution]:
    """The distributions on a path (by default this Python's) by name; the first of a name counts."""
    found: dict[str, metadata.Distribution] = {}
    for each in metadata.distributions(**({} if path is None else {"path": list(path)})):
        found.setdefault(canonicalize_name(each.metadata["Name"]), each)
    return found


def needed_by(names: Iterable[str], there: dict[str, metadata.Distribution]) -> set[str]:
    """The named distributions, with all that they need here."""
    found: dict[str, set[str]] = {}  # with the extras that are asked for
    waiting: list[tuple[str, set[str]]] = [(name, set()) for name in names]
    while waiting:
        name, extras = waiting.pop()
        if name in found and extras <= found[name]:
            continue
        if name not in there:
            raise SystemExit(f"{name} is not installed in {sys.prefix}; run `make lab` first.")
        found[name] = found.get(name, set()) | extras
        for line in there[name].requires or []:
            requirement = Requirement(line)
            if requirement.marker is None or any(requirement.marker.evaluate({"extra": e}) for e in ("", *extras)):
                waiting.append((canonicalize_name(requirement.name), set(requirement.extras)))
    return set(found)


def link(chosen: set[str], there: dict[str, metadata.Distribution], folder: Path) -> None:
    """Link what the chosen distributions own into a folder, and nothing that belongs to another."""
    folder.mkdir(parents=True)
    entries: dict[str, set[str]] = {}  # the top of each installed path -> who owns something below it
    homes: dict[str, Path] = {}
    for name, distribution in there.items():
        for file in distribution.files or []:
            top = file.parts[0]
            if top not in ("..", "__pycache__"):
                entries.setdefault(top, set()).add(name)
                if name in chosen:
                    homes[top] = Path(str(distribution.locate_file(top)))
    for top, home in homes.items():
        others = entries[top] - chosen
        if others:
            raise SystemExit(
                f"{top} belongs to {', '.join(sorted(others))} too, which Colab's environment must not see."
            )
        (folder / top).symlink_to(home.resolve())


def make(environment: Path) -> None:
    """Make the environment, unless it is there and as it should be."""
    there = installed()
    wanted = VERSIONS.read_text(encoding="utf-8")
    chosen = needed_by(SHARED, there) - set(pins(wanted))
    made = environment / "made.json"
    state = {
        "python": sys.version,
        "host": sys.prefix,
        "pins": pins(wanted),
        "shared": {name: there[name].version for name in sorted(chosen)},
    }
    if made.exists() and json.loads(made.read_text(encoding="utf-8")) == state:
        return
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", environment], check=True)
    site = Path(subprocess.check_output([python(environment), "-c", SITE], text=True).strip())
    link(chosen, there, environment / "shared")
    # Behind site-packages on the path: where a name is in both, Colab's version is the one that counts.
    (site / "shared.pth").write_text(f"{environment / 'shared'}\n", encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--python", str(python(environment)), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "-qq", "--no-warn-script-location", "-r", str(VERSIONS)], check=True)
    subprocess.run([*pip, "check"], check=True)
    made.write_text(json.dumps(state, indent=1), encoding="utf-8")
    print(f"{environment.name}: made in {time.perf_counter() - started:.0f} s", flush=True)


SITE = "import sysconfig; print(sysconfig.get_path('purelib'))"


def python(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def versions(environment: Path, settings: dict[str, str]) -> dict[str, str]:
    """What is installed in the environment, as its own Python sees it."""
    code = "import json; from importlib.metadata import distributions as d; " + (
        "print(json.dumps(sorted((x.metadata['Name'], x.version) for x in d())))"
    )
    seen = subprocess.check_output([python(environment), "-c", code], text=True, env=settings)
    return dict(json.loads(seen))


def modules_of(names: Iterable[str], there: dict[str, metadata.Distribution]) -> set[str]:
    """The modules and packages that distributions bring to the top level."""
    found = set()
    for name in names:
        for file in there[name].files or []:
            top = file.parts[0]
            if len(file.parts) > 1 and top.isidentifier() and file.suffix == ".py":
                found.add(top)
            elif len(file.parts) == 1 and file.suffix == ".py":
                found.add(file.stem)
    return found - {"__pycache__"}


def publish(folder: Path, tag: str) -> Path:
    """A repository that holds the last commit of this clone under a tag."""
    repository = folder / "published.git"
    subprocess.run(["git", "init", "-q", "--bare", repository], check=True)
    fetch = ["git", "-C", str(repository), "fetch", "-q", "--depth=1", ROOT.as_uri(), f"HEAD:refs/tags/{tag}"]
    subprocess.run(fetch, check=True)
    changed = subprocess.check_output(["git", "-C", str(ROOT), "status", "--porcelain"], text=True).splitlines()
    if changed:
        print(f"Only what is committed is run: {len(changed)} changed or new files are left out.", flush=True)
    return repository


def surroundings(folder: Path, repository: Path) -> dict[str, str]:
    """The environment variables of a Colab-like process whose home is a folder of its own."""
    home = folder / "home"
    startup = home / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    # On Colab the kernel is google.colab's own, so the package is loaded before the first cell.
    (startup / "colab.py").write_text("import google.colab\n", encoding="utf-8")
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_PLATFORM_DIRS": "1",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MPLCONFIGDIR": str(folder.parent / "matplotlib"),
        "PYTHONPATH": os.pathsep.join([str(INSIDE / "stand_in"), str(INSIDE / "plugins")]),
        "PYTHONNOUSERSITE": "1",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        "COLAB_CALLS": str(folder / "colab-calls.txt"),
        "COURSE_SWEEP": "1",
        # git finds the published address here, and can reach nothing else.
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{repository.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": project()[0],
        "GIT_ALLOW_PROTOCOL": "file",
        "GIT_TERMINAL_PROMPT": "0",
    }


@dataclass(frozen=True)
class Run:
    """One lesson, run once."""

    lesson: str
    cells: int
    bootstrap: float
    seconds: float
    faults: tuple[str, ...]


def run_lesson(environment: Path, notebook: Path, folder: Path, repository: Path) -> Run:
    """Run one notebook, alone in an empty folder, under nbval, which also sees what fails inside a widget."""
    folder.mkdir(parents=True)
    settings = surroundings(folder, repository)
    alone = folder / "content"
    alone.mkdir()
    shutil.copy(notebook, alone)
    report = folder / "report.xml"
    command = [str(python(environment)), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no", "--nbval-lax"]
    command += ["--nbval-current-env", "--nbval-cell-timeout=300", "-p", "quiet_cells", f"--junitxml={report}"]
    command += ["-o", "junit_duration_report=call", notebook.name]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=alone, env=settings, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    faults = [] if done.returncode == 0 else [done.stdout[-20_000:] + done.stderr[-2000:]]
    cells = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []
    code = [cell for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    (first,) = [i for i, cell in enumerate(code) if "bootstrap" in cell["metadata"].get("tags", [])]
    times = {cell.get("name", "").split("::")[-1]: float(cell.get("time", "nan")) for cell in cells}
    bootstrap = times.get(f"Cell {first}", float("nan"))
    if not bootstrap <= BOOTSTRAP_SECONDS:
        faults.append(f"its first cell took {bootstrap:.1f} s, more than {BOOTSTRAP_SECONDS:.0f} s")
    home = alone / project()[0].rsplit("/", 1)[1]
    if not (home / "course_utils").is_dir():
        faults.append(f"its first cell did not fetch the course into {home.name}")
    if shows_widgets(code) and not Path(settings["COLAB_CALLS"]).exists():
        faults.append("its widgets did not switch on Colab's manager of custom widgets, so they would not be shown")
    return Run(notebook.stem, len(cells), bootstrap, seconds, tuple(faults))


def shows_widgets(code: list[dict]) -> bool:
    """Whether a notebook shows a widget of the course."""
    return any(re.search(r"\bexplore_|\bcheck\.(quiz|predict)\(", "".join(cell["source"])) for cell in code)


def unit_tests(environment: Path, checkout: Path, settings: dict[str, str]) -> tuple[str, bool]:
    """The tests of the environment itself, and those of the widgets, in it."""
    files = sorted({file for pattern in UNIT_TESTS for file in (checkout / "tests" / "unit").glob(pattern)})
    command = [str(python(environment)), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no"]
    command += chain(*(["-W", warning] for warning in OWN_WARNINGS))
    command += ["-c", str(checkout / "pyproject.toml"), str(INSIDE / "inside_colab.py")]
    command += map(str, files)
    done = subprocess.run(command, cwd=checkout, env=settings, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines() or [""]
    return (lines[-1], True) if done.returncode == 0 else (done.stdout[-8000:] + done.stderr[-2000:], False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="*", help="numbers of lessons, such as 4.1.1")
    parser.add_argument("--environment", type=Path, default=ROOT / ".venv-colab", help="where the environment is")
    parser.add_argument("--record", action="store_true", help="write resource/results/checks/colab.json")
    arguments = parser.parse_args()
    environment = arguments.environment.absolute()
    started = time.perf_counter()
    make(environment)

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        tag = f"v{project()[1]}"
        repository = publish(folder, tag)
        checkout = folder / "checkout"
        subprocess.run(
            ["git", "clone", "-q", f"--branch={tag}", "-c", "advice.detachedHead=false", repository, checkout]
        )
        notebooks = sorted((checkout / "notebooks").glob("*.ipynb"))
        if arguments.only:
            notebooks = [path for path in notebooks if path.name.partition("_")[0] in arguments.only]
        if not notebooks:
            raise SystemExit(f"No committed notebook is numbered {', '.join(arguments.only)}.")

        settings = surroundings(folder / "units", repository)
        hidden = set(installed()) - {canonicalize_name(name) for name in versions(environment, settings)}
        there = installed()
        foreign = modules_of(hidden, there) - modules_of(set(there) - hidden, there)
        settings |= {"COLAB_HIDDEN": " ".join(sorted(foreign)), "COLAB_PINS": json.dumps(pins(VERSIONS.read_text()))}
        before = versions(environment, settings)
        failed = 0
        with ThreadPoolExecutor(2) as pool:
            units = pool.submit(unit_tests, environment, checkout, settings)
            runs = [
                pool.submit(run_lesson, environment, notebook, folder / notebook.stem, repository)
                for notebook in notebooks
            ]
            words, passed = units.result()
            print(f"in Colab's versions, the environment and the widgets: {words}", flush=True)
            failed += not passed
            print(f"{'lesson':40} {'first cell':>10} {'all':>8} {'cells':>6}")
            for run in (each.result() for each in runs):
                print(f"{run.lesson:40} {run.bootstrap:8.2f} s {run.seconds:6.1f} s {run.cells:6}", flush=True)
                for fault in run.faults:
                    print(f"FAILED {run.lesson}: {fault}", flush=True)
                failed += bool(run.faults)
        after = versions(environment, settings)
        if after != before:
            changes = sorted(set(before.items()) ^ set(after.items()))
            print(f"FAILED: the lessons changed what is installed: {changes}")
            failed += 1
        else:
            print(f"{len(before)} installed versions are the same before and after")
        if arguments.record and not failed:
            record([each.result() for each in runs], before, words, time.perf_counter() - started)
    return int(failed > 0)


def record(runs: list[Run], seen: dict[str, str], words: str, seconds: float) -> None:
    """Write what was measured where the course's documents read it."""
    counts = {
        "lessons alone in an empty folder": len(runs),
        "cells": sum(run.cells for run in runs),
        "tests of widgets and checks": int(re.search(r"(\d+) passed", words)[1]),
        "installed versions left unchanged": len(seen),
        "seconds of the slowest first cell": round(max(run.bootstrap for run in runs), 1),
    }
    path = checks.record("colab", "Colab's versions", "make colab", counts, seconds)
    shown = {canonicalize_name(name): version for name, version in seen.items()}
    content = json.loads(path.read_text(encoding="utf-8"))
    content["versions"] = {name: shown[name] for name in sorted({*SHARED, *pins(VERSIONS.read_text(encoding="utf-8"))})}
    content["lessons"] = [
        {
            "lesson": run.lesson,
            "cells": run.cells,
            "first_cell_seconds": round(run.bootstrap, 2),
            "seconds": round(run.seconds, 1),
        }
        for run in runs
    ]
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
