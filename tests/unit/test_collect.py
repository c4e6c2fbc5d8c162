"""A class's files become one table; what is broken or hostile in them does no harm."""

import csv
import io
import json
import os
import subprocess
import sys

import pytest

from course_utils import check
from course_utils.check.collect import COLUMNS, cell, write_table
from course_utils.check.folders import items
from course_utils.check.memory import Progress, read_progress
from course_utils.check.session import SESSION

COURSE = {item for names in items().values() for item in names}


@pytest.fixture(autouse=True)
def file(monkeypatch, tmp_path):
    path = tmp_path / "own" / "progress.json"
    monkeypatch.setenv("COURSE_PROGRESS", str(path))
    SESSION.__init__()
    return path


def table(*files):
    written = io.StringIO(newline="")
    left_out = write_table(files, written)
    return list(csv.DictReader(io.StringIO(written.getvalue()))), left_out


def row(rows, exercise):
    (found,) = [each for each in rows if each["exercise"] == exercise]
    return found


def submission(path, items, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"format": 1, "items": items, **more}))
    return path


def test_what_a_learner_did_is_counted(file):
    right = check.squeeze.official
    check.squeeze(lambda x: x)
    check.hint()
    check.hint()
    check.squeeze(right)
    check.scale(lambda x, mask: x)
    check.solution()
    rows, left_out = table(file)
    assert not left_out
    squeeze, scale, excite = (row(rows, name) for name in ("squeeze", "scale", "excite"))
    assert (squeeze["state"], squeeze["tries"], squeeze["hints"], squeeze["solution shown"]) == ("done", "2", "2", "")
    assert (scale["state"], scale["tries"], scale["hints"], scale["solution shown"]) == ("tried", "1", "", "yes")
    assert squeeze["last touched"].endswith("Z") and squeeze["lesson"] == "4.1.1" and squeeze["learner"] == "own"
    assert (excite["state"], excite["tries"], excite["last touched"]) == ("not begun", "", "")


def test_every_exercise_and_quiz_has_its_row_for_every_learner(tmp_path):
    files = [submission(tmp_path / f"{name}.json", {}) for name in ("anna", "ben")]
    rows, _ = table(*files)
    assert len(rows) == 2 * len(COURSE) and {each["learner"] for each in rows} == {"anna", "ben"}
    exercises = {each.item for each in check.exercises().values()}
    assert exercises < COURSE and "4.1.1/quiz" in COURSE


def test_a_folder_is_read_whole_and_a_file_of_the_courses_own_name_is_its_folders(tmp_path):
    submission(tmp_path / "class" / "anna" / "progress.json", {"4.1.1/squeeze": "done"})
    submission(tmp_path / "class" / "ben.json", {})
    submission(tmp_path / "class" / "cleo" / ".local" / "share" / "attention-course" / "progress.json", {})
    rows, left_out = table(tmp_path / "class")
    assert {each["learner"] for each in rows} == {"anna", "ben", "cleo"} and not left_out


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"format": 1, "items": {"a": "maybe"}}',
        b'{"format": 1, "items": {}, "counts": []}',
        b'{"format": 1, "items": {}, "counts": {"a": {"tries": "=1+1"}}}',
        b'{"format": 1, "items": {}, "counts": {"a": {"tries": true}}}',
        b'{"format": 1, "items": {}, "counts": {"a": {"tries": -1}}}',
        b'{"format": 1, "items": {}, "counts": {"a": {"last": "=cmd()"}}}',
        b'{"format": 1, "items": {}, "counts": {"a": {"else": 1}}}',
        b'{"format": 1, "items": {}, "counts": {"a": {"tries": ' + b"9" * 5000 + b"}}}",
    ],
)
def test_a_broken_file_is_named_and_the_others_are_read(tmp_path, content):
    good = submission(tmp_path / "anna.json", {"4.1.1/squeeze": "done"})
    broken = tmp_path / "broken.json"
    broken.write_bytes(content)
    rows, left_out = table(broken, good)
    assert {each["learner"] for each in rows} == {"anna"} and row(rows, "squeeze")["state"] == "done"
    (line,) = left_out
    assert str(broken) in line and "damaged" in line


def test_a_file_that_is_not_there_is_named(tmp_path):
    rows, (line,) = table(tmp_path / "nobody.json")
    assert not rows and "nobody.json" in line


def test_a_pipe_does_not_make_the_table_wait(tmp_path):
    os.mkfifo(tmp_path / "anna.json")
    rows, (line,) = table(tmp_path / "anna.json")
    assert not rows and "anna.json" in line


@pytest.mark.parametrize("start", ["=", "+", "-", "@", " =", "\t=", "\r=", "\n=", "＝"])
def test_no_cell_is_a_formula(tmp_path, start):
    formula = f'{start}HYPERLINK("http://example.org";"x")'
    name = f"{start.strip()}cmd.json"
    hostile = submission(tmp_path / "in" / name, {f"{formula}/{formula}": "done"}, counts={formula: {"tries": 1}})
    rows, left_out = table(hostile)
    assert not left_out
    cells = [text for each in rows for text in each.values()]
    assert any("HYPERLINK" in text for text in cells) and any("cmd" in text for text in cells)
    for text in cells:
        assert not text.lstrip().startswith(("=", "+", "-", "@", "＝")) and text.isprintable()


def test_a_plain_cell_stays_as_it_is():
    assert cell("Zoë 4.1.1") == "Zoë 4.1.1"


def test_the_command_writes_text_that_any_name_survives(tmp_path):
    hostile = submission(tmp_path / "ben.json", {"4.1.1/\ud800\u0000x": "done", "4.1.1/squeeze": "tried"})
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    command = [sys.executable, "-m", "course_utils.check", "export", str(hostile), str(broken)]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    rows = list(csv.DictReader(io.StringIO(done.stdout.decode("utf-8"))))
    assert tuple(rows[0]) == COLUMNS and row(rows, "squeeze")["state"] == "tried"
    assert done.returncode == 1 and b"broken.json is left out" in done.stderr and b"Traceback" not in done.stderr


def test_counts_travel_with_an_exported_file_and_reading_it_twice_counts_nothing_twice(file, tmp_path, monkeypatch):
    check.squeeze(lambda x: x)
    check.squeeze(lambda x: x)
    check.hint()
    copy = Progress().export(tmp_path / "copy.json")
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "elsewhere.json"))
    here = Progress()
    here.load(copy)
    here.load(copy)
    kept = read_progress(tmp_path / "elsewhere.json").counts["4.1.1/squeeze"]
    assert (kept["tries"], kept["hints"]) == (2, 1)
    here.record("4.1.1/squeeze", "tried")
    assert read_progress(tmp_path / "elsewhere.json").counts["4.1.1/squeeze"]["tries"] == 3


def test_a_forgotten_exercise_is_forgotten_with_its_counts(file):
    check.squeeze(lambda x: x)
    check.scale(lambda x, mask: x)
    check.excite.hint()
    check.reset("squeeze")
    check.reset("excite")
    assert set(read_progress(file).counts) == {"4.1.1/scale"}


def test_tries_that_could_not_be_written_are_counted_later(file, tmp_path, monkeypatch):
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    monkeypatch.setenv("COURSE_PROGRESS", str(blocked / "progress.json"))
    progress = Progress()
    progress.record("4.1.1/squeeze", "tried")
    progress.record("4.1.1/squeeze", "done")
    assert progress.note
    monkeypatch.setenv("COURSE_PROGRESS", str(file))
    progress.count("4.1.1/squeeze", hints=2)
    kept = read_progress(file)
    assert kept.states == {"4.1.1/squeeze": "done"}
    assert (kept.counts["4.1.1/squeeze"]["tries"], kept.counts["4.1.1/squeeze"]["hints"]) == (2, 2)


def test_progress_of_before_there_were_counts_is_read(file):
    submission(file, {"4.1.1/squeeze": "done"})
    check.squeeze(lambda x: x)
    kept = read_progress(file)
    assert kept.states["4.1.1/squeeze"] == "done" and kept.counts["4.1.1/squeeze"]["tries"] == 1


@pytest.mark.parametrize("closed", ["off", "OFF", "no", "0"])
def test_a_teacher_closes_the_solutions(monkeypatch, closed):
    monkeypatch.setenv("COURSE_SOLUTIONS", closed)
    check.squeeze(lambda x: x)
    for _ in range(3):
        card = check.solution()
        assert card.kind == "note" and not card.code and "COURSE_SOLUTIONS" in repr(card)
    last = [check.hint() for _ in check.squeeze.hints][-1]
    assert "check.solution()" not in repr(last) + repr(check.squeeze(lambda x: x))


@pytest.mark.parametrize("opened", ["", "on", "1"])
def test_otherwise_the_solutions_are_open(monkeypatch, opened):
    monkeypatch.setenv("COURSE_SOLUTIONS", opened)
    check.squeeze(lambda x: x)
    assert check.solution().code
