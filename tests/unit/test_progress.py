"""What a learner has done survives two notebooks at once, a damaged file, and a place where nothing can be written."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from course_utils import check
from course_utils.check import memory
from course_utils.check.memory import Progress, ProgressError, progress_file
from course_utils.check.session import SESSION
from course_utils.lessons import LESSONS, lesson


@pytest.fixture(autouse=True)
def file(monkeypatch, tmp_path):
    path = tmp_path / "data" / "progress.json"
    monkeypatch.setenv("COURSE_PROGRESS", str(path))
    SESSION.__init__()
    return path


def test_progress_is_there_after_a_restart(file):
    Progress().record("4.1.1/squeeze", "done")
    assert Progress().states() == {"4.1.1/squeeze": "done"}
    written = json.loads(file.read_text())
    assert written["format"] == 1 and written["items"] == {"4.1.1/squeeze": "done"}


def test_what_is_done_stays_done():
    Progress().record("4.1.1/squeeze", "done")
    Progress().record("4.1.1/squeeze", "tried")
    assert Progress().states() == {"4.1.1/squeeze": "done"}


@pytest.mark.faults("writings by two notebooks at once")
def test_what_one_notebook_forgot_another_does_not_bring_back():
    here, there = Progress(), Progress()
    here.record("4.1.1/squeeze", "done")
    there.forget(lambda item: True)
    here.record("4.1.1/scale", "done")
    assert Progress().states() == {"4.1.1/scale": "done"}


@pytest.mark.faults("writings by two notebooks at once")
def test_two_notebooks_writing_at_once_lose_nothing(record_property):
    code = """
        import sys
        from course_utils.check import memory
        memory._LOCK_SECONDS = 60  # what is asked is that nothing is lost, not how fast the disk is
        progress = memory.Progress()
        print("ready", flush=True)
        sys.stdin.readline()
        for i in range(200):
            progress.record(f"{sys.argv[1]}/{i}", "done")
        assert not progress.note, progress.note
    """
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in "ab"
    ]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=240)
        assert writer.returncode == 0
    assert Progress().states() == {f"{name}/{i}": "done" for name in "ab" for i in range(200)}
    record_property("tried", 400)


@pytest.mark.faults("writings to a full disk")
def test_a_reader_never_sees_half_a_file(file, monkeypatch):
    Progress().record("4.1.1/squeeze", "done")
    whole = file.read_text()

    def fail(*paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    progress = Progress()
    progress.record("4.1.1/scale", "done")
    assert file.read_text() == whole
    assert "No space left on device" in progress.note
    assert [path.name for path in file.parent.iterdir() if path.suffix != ".lock"] == ["progress.json"]


@pytest.mark.faults("progress files damaged, locked or out of place")
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[]",
        b"3",
        b'{"format": "1", "items": {}}',
        b'{"format": 1}',
        b'{"format": 1, "items": []}',
        b'{"format": 1, "items": {"4.1.1/squeeze": "maybe"}}',
        b'{"format": 1, "items": {"4.1.1/squeeze": ["done"]}}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_file_is_kept_aside_and_the_notebook_goes_on(file, content):
    file.parent.mkdir()
    file.write_bytes(content)
    card = check.squeeze(check.squeeze.official)
    assert card.kind == "right"
    (aside,) = file.parent.glob("progress.json.damaged-*")
    assert aside.read_bytes() == content
    assert str(aside) in card.lines[-1] and "is damaged" in card.lines[-1]
    assert Progress().states() == {"4.1.1/squeeze": "done"}


@pytest.mark.faults("progress files damaged, locked or out of place")
def test_a_file_of_another_version_is_told_as_such_and_kept_aside(file):
    file.parent.mkdir()
    file.write_text('{"format": 2, "items": {"4.1.1/squeeze": "done"}}')
    card = check.squeeze(check.squeeze.official)
    (aside,) = file.parent.glob("progress.json.damaged-*")
    assert "is of format 2, from another version of the course" in card.lines[-1] and str(aside) in card.lines[-1]
    assert '"format": 2' in aside.read_text()


@pytest.mark.faults("progress files damaged, locked or out of place")
def test_a_file_that_is_far_too_large_is_kept_aside_unread(file, monkeypatch):
    file.parent.mkdir()
    with file.open("wb") as huge:
        huge.truncate(5_000_000_000)  # takes no room: it holds nothing
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail("five gigabytes were read"))
    progress = Progress()
    progress.record("4.1.1/squeeze", "done")
    assert "is damaged: it has 5000 MB" in progress.note and "It was kept as" in progress.note


@pytest.mark.faults("progress files damaged, locked or out of place")
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_or_a_device_is_neither_read_nor_moved_away(file, monkeypatch):
    file.parent.mkdir()
    os.mkfifo(file)
    assert_kept_in_memory("is a device or a pipe")
    assert file.is_fifo()
    SESSION.__init__()
    monkeypatch.setenv("COURSE_PROGRESS", os.devnull)
    monkeypatch.setattr(Path, "rename", lambda *paths: pytest.fail("a device was moved"))
    monkeypatch.setattr(os, "replace", lambda *paths: pytest.fail("a device was replaced"))
    assert "is a device or a pipe" in check.squeeze(check.squeeze.official).lines[-1]


@pytest.mark.faults("progress files damaged, locked or out of place")
def test_a_home_that_cannot_be_written_is_named(monkeypatch, tmp_path):
    """As on a shared machine: no folder can be made in it."""
    monkeypatch.delenv("COURSE_PROGRESS")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: (_ for _ in ()).throw(OSError(30, "Read-only file system")))
    assert_kept_in_memory("could not be made (Read-only file system)")


@pytest.mark.faults("progress files damaged, locked or out of place")
def test_looking_at_a_damaged_file_says_so_and_leaves_it(file):
    file.parent.mkdir()
    file.write_text("{")
    assert "is damaged" in repr(check.progress())
    assert file.read_text() == "{"


def assert_kept_in_memory(reason):
    first, second = check.squeeze(check.squeeze.official), check.scale(check.scale.official)
    assert first.kind == second.kind == "right"
    assert reason in first.lines[-1] and "kept until this notebook closes" in first.lines[-1]
    assert second.lines == (check.scale.takeaway,)  # said once
    assert set(SESSION.progress.states()) == {"4.1.1/squeeze", "4.1.1/scale"}
    assert check.progress().headline.startswith("2 of")
    assert "kept until this notebook closes" in check.progress().note


@pytest.mark.faults("progress files damaged, locked or out of place")
def test_a_file_where_the_folder_should_be_is_named(file):
    file.parent.write_text("I am a file")
    assert_kept_in_memory(f"{file.parent} is a file")
    assert file.parent.read_text() == "I am a file"


@pytest.mark.faults("progress files damaged, locked or out of place")
def test_a_folder_where_the_file_should_be_is_named(file):
    file.mkdir(parents=True)
    assert_kept_in_memory("Is a directory")


@pytest.mark.faults("progress files damaged, locked or out of place")
def test_a_folder_that_cannot_be_written_is_named(file, monkeypatch):
    file.parent.mkdir()

    def refuse(files):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(memory, "write_together", refuse)
    assert_kept_in_memory("Permission denied")


@pytest.mark.faults("progress files damaged, locked or out of place")
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_folder_is_named(file):
    file.parent.mkdir()
    file.parent.chmod(0o500)
    assert_kept_in_memory("Permission denied")


@pytest.mark.faults("progress files damaged, locked or out of place")
def test_what_waited_is_written_once_the_file_can_be_written(file):
    file.parent.write_text("I am a file")
    check.squeeze(check.squeeze.official)
    file.parent.unlink()
    card = check.scale(check.scale.official)
    assert card.lines == (check.scale.takeaway,)
    assert set(Progress().states()) == {"4.1.1/squeeze", "4.1.1/scale"}


@pytest.mark.faults("progress files damaged, locked or out of place")
def test_a_lock_that_is_never_released_does_not_hang_the_notebook(file, monkeypatch):
    monkeypatch.setattr(memory, "_LOCK_SECONDS", 0.05)
    file.parent.mkdir()
    with memory._locked(file):
        progress = Progress()
        progress.record("4.1.1/squeeze", "done")
    assert "Another notebook is holding" in progress.note
    assert progress.states() == {"4.1.1/squeeze": "done"}


def test_a_link_to_a_file_elsewhere_stays_a_link(file, tmp_path):
    target = tmp_path / "drive.json"
    file.parent.mkdir()
    file.symlink_to(target)
    Progress().record("4.1.1/squeeze", "done")
    assert file.is_symlink() and target.exists()


def test_the_default_place_is_the_users_data_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("COURSE_PROGRESS")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    path = progress_file()
    assert path.is_relative_to(tmp_path) and path.parts[-2:] == ("attention-course", "progress.json")


def test_an_exported_copy_comes_back_elsewhere(tmp_path, monkeypatch):
    Progress().record("4.1.1/squeeze", "done")
    assert "copy.json" in repr(check.export_progress(tmp_path / "copy.json"))
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "other.json"))
    Progress().record("4.1.1/scale", "tried")
    assert "1 items were read" in repr(check.import_progress(tmp_path / "copy.json"))
    assert Progress().states() == {"4.1.1/scale": "tried", "4.1.1/squeeze": "done"}


@pytest.mark.faults("progress files damaged, locked or out of place")
def test_an_export_replaces_an_older_copy_but_no_other_file(tmp_path):
    lesson_file, copy = tmp_path / "lesson.ipynb", tmp_path / "copy.json"
    lesson_file.write_text('{"cells": []}')
    assert "holds no progress" in repr(check.export_progress(lesson_file))
    assert lesson_file.read_text() == '{"cells": []}'
    check.export_progress(copy)
    Progress().record("4.1.1/squeeze", "done")
    check.export_progress(copy)
    assert "squeeze" in copy.read_text()


@pytest.mark.faults("progress files damaged, locked or out of place")
@pytest.mark.parametrize("path", ["nowhere/copy.json", "."])
def test_an_export_that_fails_says_why(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert check.export_progress(path).headline == "Nothing was exported."


@pytest.mark.faults("progress files damaged, locked or out of place")
def test_an_import_that_fails_says_why(tmp_path):
    (tmp_path / "notes.txt").write_text("notes")
    assert "There is no file" in repr(check.import_progress(tmp_path / "missing.json"))
    assert "is damaged" in repr(check.import_progress(tmp_path / "notes.txt"))
    with pytest.raises(ProgressError):
        Progress().load(tmp_path / "missing.json")


def test_the_map_lists_every_lesson_with_what_is_done():
    check.squeeze(check.squeeze.official)
    check.scale(lambda x, gates: x)
    shown = check.progress()
    for words in (repr(shown), shown._repr_html_()):
        assert all(each.number in words and each.title in words for each in LESSONS)
    (row,) = (row for row in shown.rows if row.number == "4.1.1")
    assert dict(row.parts)["squeeze"] == "done"
    assert dict(row.parts)["scale"] == "tried"
    assert dict(row.parts)["excite"] is None
    assert "● squeeze" in repr(shown) and "◐ scale" in repr(shown) and "○ excite" in repr(shown)
    assert row.summary == f"1 of {len(row.parts)}"


def test_the_map_says_on_colab_how_long_it_lives(monkeypatch):
    assert "On Colab" not in repr(check.progress())
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    assert "until the session ends" in repr(check.progress()) and "check.export_progress()" in repr(check.progress())


def test_the_lessons_are_in_reading_order_with_their_number_in_the_file_name():
    numbers = [[int(part) for part in each.number.split(".")] for each in LESSONS]
    assert numbers == sorted(numbers)
    assert all(each.notebook.startswith(f"{each.number}_") and each.notebook.endswith(".ipynb") for each in LESSONS)
    assert len({each.title for each in LESSONS}) == len(LESSONS) and all(10 <= each.minutes <= 120 for each in LESSONS)


def test_a_lesson_is_found_by_its_number():
    assert lesson("4.2").notebook == "4.2_experiment_se_block.ipynb"
    with pytest.raises(ValueError, match=r"no lesson '5'; the lessons are 4\.1, 4\.1\.1"):
        lesson("5")


def test_every_notebook_is_in_the_list():
    notebooks = Path(__file__).parents[2] / "notebooks"
    assert {path.name for path in notebooks.glob("*.ipynb")} <= {each.notebook for each in LESSONS}
