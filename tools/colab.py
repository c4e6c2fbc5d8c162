"""Run the lessons as Google Colab would: its versions, an empty folder, nothing but the notebook.

    python tools/colab.py [4.1.1 ...]     make the environment if it is missing or out of date, then run the lessons

The environment, .venv-colab, has the versions of tests/colab/colab-versions.txt. Only PyTorch and what it needs are
shared with the Python that runs this file, by links, so nothing else of this Python can be imported there. A stand-in
plays google.colab. Each notebook is copied alone into an empty folder; its first cell fetches the course from the
published address, and git is told to find the last commit of this clone there, under the version's tag.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import Distribution, distributions
from pathlib import Path

from links import project
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
INSIDE = ROOT / "tests" / "colab"
VERSIONS = INSIDE / "colab-versions.txt"
ENVIRONMENT = ROOT / ".venv-colab"
PYTHON = ENVIRONMENT / "bin" / "python"
BOOTSTRAP_SECONDS = 5.0
# The unit tests of what draws or answers in the browser, which must hold with Colab's ipywidgets too.
UNIT_TESTS = ("widgets_base", "*explorer*", "quizzes", "images", "check_engine", "progress")
# Colab's own ipywidgets and, on Python 3.13, its jupyter_client give these warnings; any other warning fails a test.
OWN_WARNINGS = ("Deprecated in traitlets 4.1:DeprecationWarning", "datetime.datetime.utcnow:DeprecationWarning")


def installed() -> dict[str, Distribution]:
    """What this Python has installed, by name."""
    return {canonicalize_name(each.metadata["Name"]): each for each in reversed(list(distributions()))}


def needed_by(name: str, there: dict[str, Distribution], extra: str = "") -> set[str]:
    """A distribution with all that it needs here, and what one of its extras needs."""
    found = {name}
    for needed in map(Requirement, there[name].requires or []):
        if needed.marker is None or needed.marker.evaluate({"extra": extra}):
            found.update(*(needed_by(canonicalize_name(needed.name), there, each) for each in ("", *needed.extras)))
    return found


def link(chosen: set[str], there: dict[str, Distribution], folder: Path) -> None:
    """Link the top of each path that the chosen distributions own into a folder."""
    folder.mkdir(parents=True)
    for name in chosen:
        for top in {file.parts[0] for file in there[name].files or []} - {"..", "__pycache__"}:
            if not (folder / top).exists():
                (folder / top).symlink_to(Path(str(there[name].locate_file(top))).resolve())


def make_environment() -> None:
    """Make the environment, unless it is there and as it should be."""
    there = installed()
    pinned = {canonicalize_name(line.partition("==")[0]) for line in VERSIONS.read_text().splitlines() if "==" in line}
    shared = needed_by("torchvision", there) - pinned  # torch is among what it needs
    versions = [f"{name} {there[name].version}" for name in sorted(shared)]
    state = "\n".join([sys.version, VERSIONS.read_text(), *versions])
    made = ENVIRONMENT / "made.txt"
    if made.exists() and made.read_text(encoding="utf-8") == state:
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", ENVIRONMENT], check=True)
    link(shared, there, ENVIRONMENT / "shared")
    # This path comes after site-packages: of a package that is in both, Colab's version is imported.
    (site,) = ENVIRONMENT.glob("lib/python*/site-packages")
    (site / "shared.pth").write_text(f"{ENVIRONMENT / 'shared'}\n", encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--python", PYTHON, "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "-qq", "--no-warn-script-location", "-r", VERSIONS], check=True)
    subprocess.run([*pip, "check"], check=True)
    made.write_text(state, encoding="utf-8")


def publish(folder: Path, tag: str) -> Path:
    """A repository that holds the last commit of this clone under a tag."""
    repository = folder / "published.git"
    subprocess.run(["git", "init", "-q", "--bare", repository], check=True)
    fetch = ["git", "-C", repository, "fetch", "-q", "--depth=1", ROOT.as_uri(), f"HEAD:refs/tags/{tag}"]
    subprocess.run(fetch, check=True)
    if subprocess.check_output(["git", "-C", ROOT, "status", "--porcelain"]):
        print("Only what is committed is run; changed and new files are left out.", flush=True)
    return repository


def surroundings(folder: Path, repository: Path) -> dict[str, str]:
    """The environment variables of a Colab-like process whose home is a folder of its own."""
    startup = folder / "home" / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    # On Colab the kernel is google.colab's own, so the package is loaded before the first cell.
    (startup / "colab.py").write_text("import google.colab\n", encoding="utf-8")
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": str(folder / "home"),
        "IPYTHONDIR": str(folder / "home" / "ipython"),
        "JUPYTER_PLATFORM_DIRS": "1",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYTHONPATH": os.pathsep.join([str(INSIDE / "stand_in"), str(INSIDE / "plugins")]),
        "PYTHONNOUSERSITE": "1",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        "COLAB_CALLS": str(folder / "colab-calls.txt"),
        # git finds the published address here, and can reach nothing else.
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{repository.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": project()[0],
        "GIT_ALLOW_PROTOCOL": "file",
    }


def pytest(python: Path, arguments: list[str | Path], folder: Path, settings: dict[str, str]) -> str:
    """Run pytest in a folder; what it printed if something failed."""
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no", *arguments]
    done = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout[-20_000:] + done.stderr[-2000:]


def run_lesson(notebook: Path, folder: Path, repository: Path, python: Path = PYTHON) -> list[str]:
    """Run one notebook, alone in an empty folder, under nbval, which also sees errors in callbacks; what went wrong."""
    alone = folder / "content"
    alone.mkdir(parents=True)
    shutil.copy(notebook, alone)
    settings = surroundings(folder, repository)
    report = folder / "report.xml"
    options = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=300", "-p", "quiet_cells"]
    options += [f"--nbval-sanitize-with={INSIDE.with_name('lessons.cfg')}"]
    options += [f"--junitxml={report}", "-o", "junit_duration_report=call"]
    said = pytest(python, [*options, notebook.name], alone, settings)
    faults = [said] if said else []
    cells = [cell for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    first = next(i for i, cell in enumerate(cells) if "bootstrap" in cell["metadata"].get("tags", []))
    cases = list(ElementTree.parse(report).iter("testcase"))
    times = [float(case.get("time", "nan")) for case in cases if case.get("name", "").endswith(f"Cell {first}")]
    seconds = max(times, default=float("nan"))
    if not seconds <= BOOTSTRAP_SECONDS:
        faults.append(f"its first cell took {seconds:.1f} s, more than {BOOTSTRAP_SECONDS:.0f} s")
    home = alone / project()[0].rsplit("/", 1)[1]
    if not (home / "course_utils").is_dir():
        faults.append(f"its first cell did not fetch the course into {home.name}")
    if any("explore_" in "".join(cell["source"]) for cell in cells) and not Path(settings["COLAB_CALLS"]).exists():
        faults.append("its widgets did not switch on Colab's manager of custom widgets, so they would not be shown")
    print(f"{notebook.stem:40} first cell {seconds:.2f} s, {len(cases)} cells", flush=True)
    return faults


def run_units(checkout: Path, settings: dict[str, str]) -> list[str]:
    """Run the tests of the environment itself, and the unit tests of the widgets in it."""
    files = {file for pattern in UNIT_TESTS for file in (checkout / "tests" / "unit").glob(f"test_{pattern}.py")}
    warnings = [word for warning in OWN_WARNINGS for word in ("-W", f"ignore:{warning}")]
    configured = ["-c", checkout / "pyproject.toml", *warnings]
    inside = checkout / INSIDE.relative_to(ROOT) / "inside_colab.py"
    said = pytest(PYTHON, [*configured, inside, *sorted(files)], checkout, settings)
    print(f"{'the environment and the widgets':40} {'failed' if said else 'passed'}", flush=True)
    return [said] if said else []


def main(only: list[str]) -> int:
    make_environment()
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(2) as pool:
        folder = Path(scratch)
        tag = f"v{project()[1]}"
        repository, checkout = publish(folder, tag), folder / "checkout"
        subprocess.run(["git", "-c", "advice.detachedHead=false", "clone", "-q", "-b", tag, repository, checkout])
        notebooks = sorted((checkout / "notebooks").glob("*.ipynb"))
        notebooks = [path for path in notebooks if not only or path.name.partition("_")[0] in only]
        if not notebooks:
            raise SystemExit(f"No committed notebook is numbered {', '.join(only)}.")
        runs = {"units": pool.submit(run_units, checkout, surroundings(folder / "units", repository))}
        for path in notebooks:
            runs[path.stem] = pool.submit(run_lesson, path, folder / path.stem, repository)
        faults = [f"FAILED {name}: {fault}" for name, run in runs.items() for fault in run.result()]
    print("\n".join(faults) or f"{len(notebooks)} lessons run in Colab's versions.")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
