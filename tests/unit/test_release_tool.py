"""The tool that builds a release refuses what is not one."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import release  # noqa: E402

CHANGELOG = """# Changelog

## [Unreleased]

## [0.2.0] - 2027-01-02

### Fixed

- One thing.

## [0.1.0] - 2026-11-22

### Added

- All.

<!-- links: made by `make links` -->
"""


@pytest.mark.parametrize(
    ("version", "words"), [("0.2.0", "### Fixed\n\n- One thing.\n"), ("0.1.0", "### Added\n\n- All.\n")]
)
def test_the_notes_of_a_release_are_its_part_of_the_changelog(version, words):
    assert release.release_notes(CHANGELOG, version) == words


@pytest.mark.parametrize("version", ["0.3.0", "Unreleased"])
def test_a_version_without_a_word_in_the_changelog_is_refused(version):
    with pytest.raises(SystemExit, match="says nothing of version"):
        release.release_notes(CHANGELOG, version)


def test_a_tag_of_another_version_is_refused_before_anything_is_built():
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "release.py"],
        env=os.environ | {"TAG": "v99.0.0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0 and "The tag is v99.0.0" in done.stderr


@pytest.fixture
def built(tmp_path):
    """A small checkout, and a wheel and an sdist that hold it."""
    checkout = tmp_path / "checkout"
    files = ("course_utils/__init__.py", "resource/LICENSES.md", "tests/test_one.py", ".ci/run")
    for name in files:
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text(name)
    subprocess.run(["git", "init", "-q"], cwd=checkout, check=True)
    subprocess.run(["git", "add", "."], cwd=checkout, check=True)
    wheel, sdist = tmp_path / "a.whl", tmp_path / "a.tar.gz"

    def make(in_wheel=(), in_sdist=()):
        with zipfile.ZipFile(wheel, "w") as held:
            for name in (
                "course_utils/__init__.py",
                "course_utils/resource/LICENSES.md",
                "a.dist-info/METADATA",
                *in_wheel,
            ):
                held.writestr(name, name)
        with tarfile.open(sdist, "w:gz") as held:
            for name in (*files[:3], "pyproject.toml", *in_sdist):
                if (checkout / name).exists():
                    held.add(checkout / name, f"a-1/{name}")
        return wheel, sdist, checkout

    return make


def test_distributions_that_hold_what_is_committed_pass(built):
    release.look_into(*built())


def test_a_test_or_a_notebook_in_the_wheel_is_refused(built):
    with pytest.raises(SystemExit, match=r"a\.whl and what is committed differ in: notebooks/4\.1\.ipynb"):
        release.look_into(*built(in_wheel=["notebooks/4.1.ipynb"]))


def test_the_machinery_of_the_repository_in_the_sdist_is_refused(built):
    with pytest.raises(SystemExit, match=r"a\.tar\.gz and what is committed differ in: \.ci/run"):
        release.look_into(*built(in_sdist=[".ci/run"]))


def test_two_wheels_that_differ_name_the_file(tmp_path):
    paths = []
    for number, words in enumerate(("one", "other")):
        paths.append(tmp_path / f"{number}.whl")
        with zipfile.ZipFile(paths[-1], "w") as held:
            held.writestr("same.py", "same")
            held.writestr("differs.py", words)
    assert release.differing(*paths) == ["differs.py"]
