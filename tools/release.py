"""Build the release from what is committed, and prove it where nothing of this clone can be seen.

    python tools/release.py        leaves dist/*.whl, dist/*.tar.gz and build/release-notes.md

From a clean checkout of the last commit it builds the sdist and the wheel, and looks into both. Then it installs the
wheel elsewhere, compares every shipped file there with its checksum, and runs lesson 4.1.1 alone in an empty folder.
TAG=v0.1.0 must be the version's tag, if it is set. (That the wheel needs nothing but what pyproject.toml names is shown
by `make colab`, where nothing else is installed.)
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LESSON = "4.1.1_senet.ipynb"


def run(*command: str | Path, folder: Path, **environment: str) -> str:
    """Run a command; its output, or an end with what it said."""
    settings = os.environ | environment
    done = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"`{' '.join(map(str, command[:4]))} ...` failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def look_into(wheel: Path, sdist: Path, tracked: list[str]) -> None:
    """The wheel holds the package and resource/, whole, and nothing else; the sdist what is committed."""
    package = {name for name in tracked if name.startswith("course_utils/")}
    package |= {f"course_utils/{name}" for name in tracked if name.startswith("resource/")}
    in_wheel = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    with tarfile.open(sdist) as packed:
        in_sdist = {name.partition("/")[2] for name in packed.getnames()} - {"PKG-INFO"}
    source = {name for name in tracked if not name.startswith((".ci/", ".github/"))}
    for path, held, wanted in ((wheel, in_wheel, package), (sdist, in_sdist, source)):
        if held != wanted:
            raise SystemExit(f"{path.name} and what is committed differ in: {', '.join(sorted(held ^ wanted))}.")


def release_notes(changelog: str, version: str) -> str:
    """What the changelog says of one version."""
    found = re.search(rf"(?ms)^## {re.escape(version)}\b[^\n]*\n(.*?)(?=^## |\Z)", changelog)
    if not found or not found[1].strip():
        raise SystemExit(f"CHANGELOG.md says nothing of version {version}.")
    return found[1].strip() + "\n"


def main() -> int:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    tag = os.environ.get("TAG")
    if tag and tag != f"v{version}":
        raise SystemExit(f"The tag is {tag}, but pyproject.toml says version {version}: needed is v{version}.")
    notes = release_notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), version)
    with tempfile.TemporaryDirectory(prefix="release-") as place:
        scratch = Path(place).resolve()
        checkout, installed, alone = scratch / "checkout", scratch / "installed", scratch / "alone"
        run("git", "clone", "-q", "--no-hardlinks", "--depth=1", ROOT.as_uri(), checkout, folder=ROOT)
        if run("git", "status", "--porcelain", folder=ROOT):
            print("Only what is committed is released; changed and new files are left out.", flush=True)
        run(sys.executable, "-m", "hatchling", "build", folder=checkout)
        (wheel,), (sdist,) = (checkout / "dist").glob("*.whl"), (checkout / "dist").glob("*.tar.gz")
        look_into(wheel, sdist, run("git", "ls-files", "-z", folder=checkout).rstrip("\0").split("\0"))
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-index", "--no-deps"]
        run(*pip, "--target", installed, wheel, folder=scratch)
        away = {"PYTHONPATH": str(installed), "COURSE_PROGRESS": str(scratch / "progress.json")}
        found = run(sys.executable, "-P", "-m", "course_utils.resources", folder=scratch, **away)
        if str(installed) not in found:
            raise SystemExit(f"The installed package takes its files from elsewhere: {found}")
        print(found, end="")
        alone.mkdir()
        shutil.copy(checkout / "notebooks" / LESSON, alone)
        run(sys.executable, "-m", "jupyter", "execute", "--timeout=300", LESSON, folder=alone, **away)
        print(f"{LESSON} ran alone in an empty folder.")
        if left := [path.name for path in alone.iterdir() if path.name != LESSON]:
            raise SystemExit(f"{LESSON} left something behind in its folder: {', '.join(left)}.")
        shutil.rmtree(ROOT / "dist", ignore_errors=True)
        for made in shutil.copytree(checkout / "dist", ROOT / "dist").iterdir():
            print(f"dist/{made.name}: {made.stat().st_size / 1e6:.1f} MB")
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "release-notes.md").write_text(notes, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
