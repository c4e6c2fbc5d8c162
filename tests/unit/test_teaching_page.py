"""What the teacher's page says can be done as it is written."""

import importlib
import re
import sys
from pathlib import Path

import pytest

from course_utils import check
from course_utils.check.collect import COLUMNS, write_table
from course_utils.check.session import SESSION

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(?s)```python\n(.*?)```", PAGE)


def block(start):
    (found,) = [code for code in BLOCKS if start in code]
    return found


@pytest.fixture
def exercise(monkeypatch, tmp_path):
    """The page's exercise, imported from the file that it names."""
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.json"))
    monkeypatch.syspath_prepend(tmp_path)
    SESSION.__init__()
    (tmp_path / "our_exercises.py").write_text(block("KEEP_STRONGEST = Exercise("), encoding="utf-8")
    importlib.invalidate_caches()
    yield importlib.import_module("our_exercises").KEEP_STRONGEST
    sys.modules.pop("our_exercises")


def test_the_exercise_of_the_page_proves_itself_as_the_page_says(exercise):
    exec(block("assert KEEP_STRONGEST("), {})
    assert len(exercise.mistakes) >= 4 and len(exercise.hints) == 3


def test_an_exercise_of_ones_own_is_known_to_hints_solutions_and_the_table(exercise, tmp_path):
    exercise(lambda weights: weights)
    assert exercise.hints[0] in repr(check.hint())
    assert "weights.amax(dim=2" in check.solution().code
    with (tmp_path / "class.csv").open("w", newline="") as file:
        assert write_table([tmp_path / "progress.json"], file) == []
    last = (tmp_path / "class.csv").read_text().splitlines()[-1].split(",")
    assert last[2:8] == ["ours", "keep_strongest", "tried", "1", "1", "yes"]


def test_every_column_of_the_table_is_described():
    described = (
        PAGE.replace("\n", " ").replace("hints taken", "hints").replace("the solution was shown", "solution shown")
    )
    for column in COLUMNS:
        assert column in described, column


def test_the_page_is_linked_where_teachers_look():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    teachers = readme.split("## For teachers")[1].split("\n## ")[0]
    assert "(docs/teaching.md)" in teachers
