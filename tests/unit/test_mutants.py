"""The tool that breaks the package: its tables stay true, and it can tell a killed mutant from a surviving one."""

import subprocess
import sys
from pathlib import Path

import mutants
import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_every_original_text_still_stands_once_in_its_file():
    listed = mutants.read_mutants()
    assert listed
    assert [f"{m.why}: {problem}" for m in listed if (problem := m.problem())] == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"original": "no such line"}, "stands 0 times"),
        ({"original": "return"}, "it should stand once"),
        ({"broken": "return size if size % 2 else size + 1"}, "the broken text equals the original"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mutant_that_cannot_be_applied_says_why(changes, words):
    whole = {
        "table": "channel",
        "file": "attention/efficient_channel.py",
        "original": "return size if size % 2 else size + 1",
        "broken": "return size",
        "why": "an even kernel",
        "tests": ("tests/unit/test_mutants.py",),
    }
    assert mutants.Mutant(**whole).problem() is None
    assert words in mutants.Mutant(**whole | changes).problem()


def test_words_that_match_no_mutant_are_an_error():
    with pytest.raises(SystemExit, match="No mutant matches 'nothing like it'"):
        mutants.main(["nothing like it"])


def test_a_harmless_change_survives_and_a_break_is_killed(tmp_path):
    (tmp_path / "table.toml").write_text(
        """
tests = ["tests/unit/test_block_errors.py::test_the_dead_squeeze_is_refused"]

[[mutant]]
why = "harmless"
file = "attention/squeeze_excitation.py"
original = "squeezed = spatial_mean(x)  # (N, C): squeeze"
broken = "squeezed = spatial_mean(x)"

[[mutant]]
why = "a break"
file = "attention/squeeze_excitation.py"
original = "if channels // reduction == 0:"
broken = "if False:"
""",
        encoding="utf-8",
    )
    code = (
        "import pathlib, sys, mutants; listed = mutants.read_mutants(pathlib.Path(sys.argv[1]));"
        "mutants.read_mutants = lambda: listed; sys.exit(mutants.main([]))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT / "tools", capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1, ran.stderr
    assert "SURVIVED  harmless" in ran.stdout
    assert "killed    a break" in ran.stdout
    assert "1 of 2 mutants killed" in ran.stdout
