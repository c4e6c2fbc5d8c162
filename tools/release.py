"""Build the release from what is committed, and prove it where nothing of this clone is to be seen.

    python tools/release.py        leaves dist/*.whl, dist/*.tar.gz and build/release-notes.md

From a clean checkout of the last commit it builds the sdist and the wheel, builds the wheel again from the sdist and
compares every byte, and looks into both. Then it installs the wheel into an empty environment outside this folder,
which shares only the packages that the course needs, finds every shipped file there by its checksum, and runs lesson
4.1.1, copied alone into an empty folder. TAG=v0.1.0 must be the version's tag, where it is set.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Iterable
from pathlib import Path

from colab import installed, link, needed_by
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
NOTES = ROOT / "build" / "release-notes.md"
LESSON = "4.1.1_senet.ipynb"
RUNNERS = ("ipykernel", "nbclient")  # what opens a notebook; the course itself does not bring them

LOOK = """
import json, sys, course_utils
from course_utils.resources import checksums, damaged, resource
paths = [resource(name) for name in checksums()]
print(json.dumps({"home": course_utils.__file__, "version": course_utils.__version__, "files": len(paths),
                  "outside": [str(path) for path in paths if not path.is_relative_to(sys.prefix)],
                  "damaged": damaged()}))
"""
RUN = """
import sys, time, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
cells[-1].source += "\\nimport course_utils; print('from', course_utils.__file__)"
start = time.perf_counter()
NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
said = [out for cell in cells for out in cell.outputs if out.get("name") == "stderr"]
assert not said, said
print(len(cells), round(time.perf_counter() - start, 1), cells[-1].outputs[-1]["text"].strip())
"""


def main() -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = project["version"]
    tag = os.environ.get("TAG")
    if tag and tag != f"v{version}":
        raise SystemExit(f"The tag is {tag}, but pyproject.toml says version {version}: needed is v{version}.")
    with tempfile.TemporaryDirectory(prefix="release-") as place:
        scratch = Path(place)
        checkout = clean_checkout(scratch / "checkout")
        run([sys.executable, "tools/links.py", "--check"], checkout)
        wheel, sdist = build(checkout, "wheel"), build(checkout, "sdist")
        look_into(wheel, sdist, checkout)
        again = build(unpacked(sdist, scratch / "sdist"), "wheel")
        if again.read_bytes() != wheel.read_bytes():
            raise SystemExit(f"The sdist builds another wheel: {', '.join(differing(wheel, again))}.")
        print(f"The sdist ({megabytes(sdist)}) builds the same wheel ({megabytes(wheel)}), byte for byte.", flush=True)

        python = empty_environment(scratch / "environment", wheel, project["dependencies"])
        found = json.loads(run([python, "-P", "-c", LOOK], scratch))
        problems = found["damaged"] + found["outside"]
        if found["version"] != version or problems or not found["home"].startswith(str(scratch)):
            raise SystemExit(f"The installed package is not what was built: {found}")
        print(f"Installed outside the tree: version {version}, {found['files']} listed files found whole.", flush=True)
        print(lesson_alone(python, checkout / "notebooks" / LESSON, scratch / "alone"), flush=True)

        shutil.rmtree(DIST, ignore_errors=True)
        DIST.mkdir()
        for made in (wheel, sdist):
            shutil.copy(made, DIST)
    NOTES.parent.mkdir(exist_ok=True)
    NOTES.write_text(release_notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), version), encoding="utf-8")
    print(f"Left in dist/: {', '.join(sorted(path.name for path in DIST.iterdir()))}")
    return 0


def run(command: list[str | Path], folder: Path, **environment: str) -> str:
    """Run a command; its output, or an end with what it said."""
    done = subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        words = " ".join(str(word) for word in command[:4])
        raise SystemExit(f"`{words} ...` failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def clean_checkout(folder: Path) -> Path:
    """The last commit in a folder of its own."""
    run(["git", "clone", "-q", "--no-hardlinks", "--depth=1", ROOT.as_uri(), folder], ROOT)
    changed = run(["git", "status", "--porcelain"], ROOT).splitlines()
    if changed:
        print(f"Only what is committed is released: {len(changed)} changed or new files are left out.", flush=True)
    return folder


def build(folder: Path, kind: str) -> Path:
    """Build one kind of distribution in a folder with hatchling alone."""
    run([sys.executable, "-m", "hatchling", "build", "-t", kind], folder)
    (made,) = (folder / "dist").glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return made


def unpacked(sdist: Path, folder: Path) -> Path:
    with tarfile.open(sdist) as packed:
        packed.extractall(folder, filter="data")
    (inside,) = folder.iterdir()
    return inside


def look_into(wheel: Path, sdist: Path, checkout: Path) -> None:
    """The wheel holds the package and resource/, whole, and nothing else; the sdist what is committed."""
    tracked = run(["git", "ls-files", "-z"], checkout).rstrip("\0").split("\0")
    package = {name for name in tracked if name.startswith("course_utils/")}
    package |= {f"course_utils/{name}" for name in tracked if name.startswith("resource/")}
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    if held != package:
        raise SystemExit(f"{wheel.name} and what is committed differ in: {', '.join(sorted(held ^ package))}.")
    with tarfile.open(sdist) as packed:
        held = {name.partition("/")[2] for name in packed.getnames()} - {"PKG-INFO"}
    wanted = {name for name in tracked if not name.startswith((".ci/", ".github/"))}
    if held != wanted:
        raise SystemExit(f"{sdist.name} and what is committed differ in: {', '.join(sorted(held ^ wanted))}.")


def differing(first: Path, second: Path) -> list[str]:
    """The names of the files in which two wheels differ."""
    one, other = zipfile.ZipFile(first), zipfile.ZipFile(second)
    names = {*one.namelist(), *other.namelist()}
    held = [{name: wheel.read(name) for name in wheel.namelist()} for wheel in (one, other)]
    return sorted(name for name in names if held[0].get(name) != held[1].get(name)) or ["the order of their files"]


def empty_environment(folder: Path, wheel: Path, dependencies: Iterable[str]) -> Path:
    """Install the wheel where nothing is but what it needs, shared with this environment by links; its Python."""
    run([sys.executable, "-m", "venv", "--without-pip", folder], ROOT)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    site = Path(run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], ROOT).strip())
    there = installed()
    names = [canonicalize_name(Requirement(line).name) for line in (*dependencies, *RUNNERS)]
    link(needed_by(names, there), there, folder / "shared")
    (site / "shared.pth").write_text(f"{folder / 'shared'}\n", encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    run([*pip, "install", "--no-index", "--no-deps", wheel], folder)
    run([*pip, "check"], folder)
    return python


def lesson_alone(python: Path, notebook: Path, folder: Path) -> str:
    """Run a notebook from an empty folder by the installed package; what to say of it."""
    folder.mkdir()
    shutil.copy(notebook, folder)
    start = time.perf_counter()
    home = folder.parent / "home"
    home.mkdir()
    settings = {"HOME": str(home), "COURSE_PROGRESS": str(home / "progress.json"), "PYTHONPATH": ""}
    settings |= {"JUPYTER_PATH": "", "IPYTHONDIR": str(home / "ipython"), "MPLCONFIGDIR": str(home / "matplotlib")}
    cells, seconds, _, origin = run([python, "-P", "-c", RUN, folder / notebook.name], folder, **settings).split()
    if not Path(origin).resolve().is_relative_to(python.parents[1].resolve()):
        raise SystemExit(f"{notebook.name} did not run by the installed package, but by {origin}.")
    left = sorted(path.name for path in folder.iterdir())
    if left != [notebook.name]:
        raise SystemExit(f"{notebook.name} left something behind in its folder: {', '.join(left)}.")
    whole = time.perf_counter() - start
    return f"{notebook.name}, alone in an empty folder: {cells} cells in {seconds} s, {whole:.0f} s in all."


def release_notes(changelog: str, version: str) -> str:
    """What the changelog says of one version."""
    found = re.search(rf"(?ms)^## \[{re.escape(version)}\][^\n]*\n(.*?)(?=^## \[|^<!--)", changelog)
    if not found or not found[1].strip():
        raise SystemExit(f"CHANGELOG.md says nothing of version {version}.")
    return found[1].strip() + "\n"


def megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"


if __name__ == "__main__":
    sys.exit(main())
