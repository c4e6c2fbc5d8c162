"""course.py: what it installs, and what it says where it cannot."""

import re
import stat
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

import course

ROOT = Path(course.__file__).parent


@pytest.mark.parametrize(
    ("gpu", "reached", "index", "word"),
    [
        (True, True, False, "with CUDA"),
        (False, True, True, "small CPU wheels"),
        (False, False, False, "cannot be reached"),
    ],
)
def test_linux_takes_the_small_wheels_only_without_a_gpu_and_where_they_can_be_had(
    gpu: bool,
    reached: bool,
    index: bool,
    word: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(course, "has_nvidia_gpu", lambda: gpu)
    monkeypatch.setattr(course, "answers", lambda address: reached)
    assert course.torch_source() == (["--index-url", course.CPU_INDEX] if index else [])
    assert word in capsys.readouterr().out


@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_other_systems_take_the_ordinary_wheels(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(course, "answers", lambda address: pytest.fail("nothing needs to be asked"))
    assert course.torch_source() == []


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for nvidia-smi is a shell script")
@pytest.mark.parametrize(
    ("script", "found"), [("echo 'GPU 0: one'", True), ("exit 9", False), ("echo no devices", False)]
)
def test_a_gpu_counts_when_its_driver_answers(
    script: str, found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert course.has_nvidia_gpu() is found


def test_an_address_that_does_not_answer_is_no_error() -> None:
    assert course.answers("http://127.0.0.1:9/") is False


def test_an_old_python_is_told_what_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(course, "VENV", tmp_path)
    monkeypatch.setattr(sys, "version_info", type("V", (tuple,), {"major": 3, "minor": 9})((3, 9, 1)))
    with pytest.raises(SystemExit, match=r"3\.11 or newer, but this is 3\.9"):
        course.install("lab")


def test_a_failing_command_ends_with_its_status() -> None:
    with pytest.raises(SystemExit) as ended:
        course.run([sys.executable, "-c", "raise SystemExit(7)"])
    assert ended.value.code == 7


def test_an_unknown_command_is_told_what_there_is() -> None:
    asked = [sys.executable, str(ROOT / "course.py"), "tests"]
    said = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert said.returncode == 2
    assert "no command 'tests'" in said.stdout and "course.py test " in said.stdout


def test_make_knows_the_same_commands() -> None:
    named = re.search(r"(?m)^COMMANDS := (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert named is not None
    assert set(named[1].split()) == {"lab", *course.COMMANDS, *course.GROUPS}


@pytest.mark.parametrize(("said", "fails"), [("0.25", False), ("0.75", True)])
def test_a_lesson_run_compares_what_is_said_beside_a_plot_and_not_its_bits(
    said: str, fails: bool, tmp_path: Path
) -> None:
    plot = '<img alt="Three heads" src="data:image/{}">'
    cell = nbformat.v4.new_code_cell(
        f"print('0.25')\ndisplay({{'text/html': '{plot.format('png;base64,AAAA')}'}}, raw=True)",
        execution_count=1,
        metadata={"tags": ["nbval-check-output"]},
    )
    cell.outputs = [
        nbformat.v4.new_output("stream", text=f"{said}\n"),
        nbformat.v4.new_output("display_data", {"text/html": plot.format("webp;base64,BBBB")}),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "lesson.ipynb")
    options = [word for word in course.COMMANDS["lessons"][2][0] if word.startswith("--nbval")]
    asked = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, str(tmp_path / "lesson.ipynb")]
    ran = subprocess.run(asked, capture_output=True, text=True, check=False, cwd=ROOT)
    assert ("1 failed" if fails else "1 passed") in ran.stdout


def test_a_group_takes_no_further_words() -> None:
    asked = [sys.executable, str(ROOT / "course.py"), "test", "4.1.1"]
    said = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert said.returncode != 0 and "takes no further words" in said.stderr
