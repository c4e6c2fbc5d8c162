"""Install the course and run its commands: on Windows, Linux and macOS, with Python alone.

    python course.py lab        install into .venv and open JupyterLab at the first lesson
    python course.py test       install the test tools and run every test
    python course.py            list all commands

The Makefile calls this file, so `make lab` and `python course.py lab` are the same.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
SCRIPTS = VENV / ("Scripts" if os.name == "nt" else "bin")
RUN = str(SCRIPTS / "python")
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PYTEST = [RUN, "-m", "pytest", "-q", "-n", "2", "--dist", "worksteal"]
NBVAL = ["--nbval-sanitize-with=tests/lessons.cfg", "--nbval-cell-timeout=600", "-o", "filterwarnings=default"]
PROSE = ["course_utils", "artwork", "experiments", "notebooks", "docs"]
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"]

# What tells most in little time: blocks against the reference implementations, every exercise's solution and wrong
# answers, the imports, what a widget's base promises, and every control of every widget moved in a browser.
_EXERCISES = "tests/unit/test_check_exercises.py"
_SITE_TESTS = "tests/browser/test_site.py"
QUICK = [
    "tests/parity",
    "--ignore=tests/parity/test_families.py",  # other libraries' networks, in `test`
    "tests/unit/test_packaging.py",
    "tests/unit/test_widgets_base.py",
    "tests/browser/test_every_control.py",
    f"{_EXERCISES}::test_the_official_solution_is_accepted",
    f"{_EXERCISES}::test_each_typical_mistake_is_refused_with_its_own_message",
]

# name: (what it is for, what must be installed, the command lines)
COMMANDS: dict[str, tuple[str, str, list[list[str]]]] = {
    "lint": (
        "style, types, spelling, normalised notebooks, links",
        "test",
        [
            [RUN, "-m", "ruff", "check", "."],
            [RUN, "-m", "ruff", "format", "--check", "."],
            [RUN, "-m", "mypy"],
            [RUN, "-m", "codespell_lib", *PROSE, *PAGES],
            [RUN, "tools/notebooks.py", "check"],
            [RUN, "tools/links.py", "--check"],
        ],
    ),
    "unit": (
        "unit, parity and property tests",
        "test",
        [[*PYTEST, "tests", "--ignore=tests/browser", "--ignore=tests/faults"]],
    ),
    "browser": (
        "widgets alone and lessons in JupyterLab, driven in Chromium (REQUIRE_BROWSER=1 fails where there is none)",
        "test",
        [[*PYTEST, "tests/browser", f"--ignore={_SITE_TESTS}"]],
    ),
    "pages": ("open the pages that `site` built, as a reader does", "test", [[*PYTEST, _SITE_TESTS]]),
    "lessons": (
        "run every notebook under nbval, which also sees what fails inside a widget",
        "test",
        [[*PYTEST[:-1], "loadscope", "--nbval-lax", "--nbval-current-env", *NBVAL, "notebooks"]],
    ),
    "faults": (
        "bring about what goes wrong in real life, and count it by kind",
        "test",
        [[*PYTEST, "-m", "faults", "tests"]],
    ),
    "colab": (
        "run every notebook alone, in Colab's versions (a number such as 4.1.1 runs one)",
        "test",
        [[RUN, "tools/colab.py"]],
    ),
    "notebooks": (
        "execute every notebook, store the widgets' pictures, normalise (4.1.1 for one)",
        "test",
        [[RUN, "tools/notebooks.py", "run"]],
    ),
    "figures": ("redraw every figure into resource/figures", "test", [[RUN, "-m", "artwork"]]),
    "gallery": (
        "write build/gallery.html: every widget alive on one page, without a kernel",
        "lab",
        [[RUN, "tools/gallery.py"]],
    ),
    "links": (
        "write the repository's address (owner/name) and its version into every badge and first cell",
        "",
        [[sys.executable, "tools/links.py"]],
    ),
    "site": ("build build/site: the whole course as pages, every widget alive", "site", [[RUN, "site/assemble.py"]]),
    "bench": (
        "measure ours beside torch, torchvision, timm and entmax, in one run",
        "test",
        [[RUN, "-m", "benchmarks"]],
    ),
    "mutants": ("break each mechanism in known ways and see a test fail", "test", [[RUN, "tools/mutants.py"]]),
    "strict": (
        "wrong versions of each exercise's solution, made from its source: each must be refused in 200 of 200 tries",
        "test",
        [[*PYTEST, "--tries=200", "tests/strict"]],
    ),
    "release": (
        "build the last commit into dist/, install it outside the tree, run 4.1.1",
        "test",
        [[RUN, "tools/release.py"]],
    ),
}
GROUPS = {
    "quick": ("style and types, then the tests that tell most, in under two minutes", ["lint"]),
    "test": ("lint, unit, browser and lessons: everything before a commit", ["lint", "unit", "browser", "lessons"]),
}


def has_nvidia_gpu() -> bool:
    """Whether the driver of an NVIDIA GPU answers."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return False
    try:
        return subprocess.run([tool, "-L"], capture_output=True, timeout=20).stdout.startswith(b"GPU")
    except (OSError, subprocess.SubprocessError):
        return False


def answers(address: str) -> bool:
    """Whether a web address can be reached within a few seconds."""
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def torch_source() -> list[str]:
    """Where pip takes PyTorch from: its small CPU wheels on a Linux machine without an NVIDIA GPU, if they can be had.

    Everywhere else the ordinary wheels are right: those of Windows and macOS hold no CUDA.
    """
    if not sys.platform.startswith("linux"):
        return []
    if has_nvidia_gpu():
        print("An NVIDIA GPU was found: PyTorch with CUDA is installed.")
        return []
    if not answers(f"{CPU_INDEX}/torch/"):
        print(f"No NVIDIA GPU was found, but {CPU_INDEX} cannot be reached: PyTorch comes from pip's ordinary index.")
        return []
    print(f"No NVIDIA GPU was found: PyTorch's small CPU wheels are installed from {CPU_INDEX}.")
    return ["--index-url", CPU_INDEX]


def pip(*arguments: str) -> None:
    """Install packages into .venv."""
    run([RUN, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", *arguments])


def run(command: Sequence[str], **environment: str) -> None:
    """Run one command line in the course's folder; end with its status where it fails.

    Raises:
        SystemExit: if it fails.
    """
    print("+", " ".join("python" if word == RUN else word for word in command), flush=True)
    # Test processes share the cores: more than one thread each makes them wait for one another.
    threads = {"OMP_NUM_THREADS": "1"} if "pytest" in command else {}
    status = subprocess.run(command, cwd=ROOT, env={**threads, **os.environ, **environment}).returncode
    if status:
        raise SystemExit(status)


def install(extra: str) -> None:
    """Make .venv and install the course with one of pyproject.toml's extras, unless that has been done.

    Raises:
        SystemExit: if Python is older than the course needs, or pip fails.
    """
    stamp, project = VENV / f"{extra}.stamp", ROOT / "pyproject.toml"
    if stamp.exists() and stamp.stat().st_mtime >= project.stat().st_mtime:
        return
    if sys.version_info < (3, 11):  # noqa: UP036 - this file is what an older Python is given
        found = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise SystemExit(
            f"The course needs Python 3.11 or newer, but this is {found} ({sys.executable}). "
            "Call a newer one, for example python3.13 course.py lab, or make lab PYTHON=python3.13."
        )
    print(f"Installing the course into {VENV.name}; the first time this takes a few minutes.", flush=True)
    if not Path(RUN).exists() and not Path(RUN + ".exe").exists():
        venv.create(VENV, with_pip=True)
        source = torch_source()
        if source:
            pip(*source, "torch", "torchvision")
    pip("-e", f".[{extra}]")
    # JupyterLab asks no server for news or updates, and asks the learner nothing.
    settings = VENV / "share" / "jupyter" / "lab" / "settings"
    settings.mkdir(parents=True, exist_ok=True)
    quiet = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
    (settings / "overrides.json").write_text(json.dumps(quiet), encoding="utf-8")
    for done in {"test": ("lab", "site", "test")}.get(extra, (extra,)):
        (VENV / f"{done}.stamp").touch()


def lab() -> None:
    """Open JupyterLab at the first lesson; PORT chooses the port, OPEN=0 opens no browser."""
    install("lab")
    first = subprocess.run(
        [RUN, "-c", "from course_utils.lessons import LESSONS; print(LESSONS[0].notebook)"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    options = [f"--port={os.environ.get('PORT', '8888')}", "--port-retries=20", f"--ServerApp.root_dir={ROOT}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--allow-root")
    if os.environ.get("OPEN") == "0":
        options.append("--no-browser")
    run([RUN, "-m", "jupyter", "lab", *options, f"--LabApp.default_url=/lab/tree/notebooks/{first}"])


def perform(name: str, arguments: Sequence[str]) -> None:
    """Run one command of the table, with what it needs installed first."""
    _, needs, lines = COMMANDS[name]
    if needs:
        install(needs)
    with tempfile.TemporaryDirectory() as kept:  # a learner's own progress stays as it is
        environment = {"COURSE_PROGRESS": str(Path(kept) / "progress.json")} if name == "lessons" else {}
        for line in lines:
            run([*line, *arguments], **environment)


def usage() -> str:
    """The commands, a line each."""
    words = {name: text for name, (text, *_) in [*GROUPS.items(), *COMMANDS.items()]}
    first = {
        "lab": "install the course and open JupyterLab at the first lesson (PORT=8888, OPEN=0)",
        "install": "install the course into .venv; `install test` also what its tests and pages need",
    }
    words = {**first, **words}
    return "\n".join(f"  python course.py {name:<10} {text}" for name, text in words.items())


def main(arguments: Sequence[str]) -> None:
    """Run the command named first; the words after it are passed on to its tool."""
    name, rest = (arguments[0], list(arguments[1:])) if arguments else ("help", [])
    began = time.time()
    if name == "lab":
        lab()
    elif name == "install":
        install(rest[0] if rest else "lab")
    elif name in GROUPS:
        if rest:
            raise SystemExit(f"`{name}` takes no further words, but was given {' '.join(rest)!r}; run a part of it.")
        for part in GROUPS[name][1]:
            perform(part, [])
        if name == "quick":
            run([*PYTEST, *QUICK])
        print(f"{name}: {time.time() - began:.0f} s")
    elif name in COMMANDS:
        perform(name, rest)
    else:
        known = "" if name in ("help", "-h", "--help") else f"There is no command {name!r}. There are:\n"
        print(known + usage())
        raise SystemExit(2 if known else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
