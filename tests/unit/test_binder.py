"""environment.yml is read by repo2docker's rules, and what it would not do as meant is refused."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from binder import read_environment  # noqa: E402

GOOD = "dependencies:\n  - python=3.12\n  - pip\n  - pip:\n      - torch>=2.6\n      - -e .[lab]\n"


def test_the_courses_environment_is_one_that_repo2docker_reads():
    read = read_environment(ROOT)
    assert tuple(map(int, read.python.split("."))) >= (3, 11)
    assert read.pip[0] == "--extra-index-url https://download.pytorch.org/whl/cpu", "Binder has no GPU"
    assert read.pip[-1] == "-e .[lab]"


def test_version_and_list_are_read(tmp_path):
    (tmp_path / "environment.yml").write_text(GOOD.replace("3.12", "3.12.4"))
    read = read_environment(tmp_path)
    assert (read.python, read.pip) == ("3.12", ("torch>=2.6", "-e .[lab]"))


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("python=3.12", "python>=3.11", "python=3.12"),
        ("python=3.12", "python", "python=3.12"),
        ("python=3.12", "python=3", "python=3.12"),
        ("      - -e .[lab]\n", "", "-e .[lab]"),
        ("dependencies:\n", "- a\n- ", "mapping"),
    ],
)
def test_what_repo2docker_would_not_do_as_meant_is_refused(tmp_path, old, new, word):
    text = "- one\n- two\n" if word == "mapping" else GOOD.replace(old, new)
    (tmp_path / "environment.yml").write_text(text)
    with pytest.raises(SystemExit) as refused:
        read_environment(tmp_path)
    assert word in str(refused.value)


@pytest.mark.parametrize("folder", ["binder", ".binder"])
def test_a_folder_that_would_hide_the_file_is_refused(tmp_path, folder):
    (tmp_path / "environment.yml").write_text(GOOD)
    (tmp_path / folder).mkdir()
    with pytest.raises(SystemExit, match=f"{folder}/"):
        read_environment(tmp_path)
