"""The tool that builds a release refuses what is not one."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import release

ROOT = Path(__file__).resolve().parents[2]

CHANGELOG = "## Unreleased\n\n## 0.2.0 - 2027-01-02\n\n### Fixed\n\n- One thing.\n"
TRACKED = ["course_utils/__init__.py", "resource/LICENSES.md", "tests/test_one.py", ".ci/run"]


def test_the_notes_of_a_release_are_its_part_of_the_changelog():
    assert release.release_notes(CHANGELOG, "0.2.0") == "### Fixed\n\n- One thing.\n"
    for version in ("0.3.0", "Unreleased"):
        with pytest.raises(SystemExit, match="says nothing of version"):
            release.release_notes(CHANGELOG, version)


def test_a_tag_of_another_version_is_refused_before_anything_is_built():
    environment = os.environ | {"TAG": "v99.0.0"}
    command = [sys.executable, ROOT / "tools" / "release.py"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "The tag is v99.0.0" in done.stderr


@pytest.mark.parametrize(
    ("in_wheel", "in_sdist", "words"),
    [
        ([], [], None),
        (["notebooks/4.1.ipynb"], [], r"a\.whl and what is committed differ in: notebooks/4\.1\.ipynb"),
        ([], [".ci/run"], r"a\.tar\.gz and what is committed differ in: \.ci/run"),
    ],
    ids=["as it should be", "a notebook in the wheel", "machinery in the sdist"],
)
def test_a_distribution_holds_what_it_should_and_nothing_else(tmp_path, in_wheel, in_sdist, words):
    wheel, sdist = tmp_path / "a.whl", tmp_path / "a.tar.gz"
    with zipfile.ZipFile(wheel, "w") as held:
        for name in (TRACKED[0], f"course_utils/{TRACKED[1]}", "a.dist-info/METADATA", *in_wheel):
            held.writestr(name, name)
    with tarfile.open(sdist, "w:gz") as held:
        for name in (*TRACKED[:3], "PKG-INFO", *in_sdist):
            held.addfile(tarfile.TarInfo(f"a-1/{name}"))
    if words is None:
        release.look_into(wheel, sdist, TRACKED)
    else:
        with pytest.raises(SystemExit, match=words):
            release.look_into(wheel, sdist, TRACKED)
