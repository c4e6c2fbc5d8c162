"""A lesson is a notebook and a folder; a missing or damaged file says which it is and what to do."""

import shutil

import pytest

from course_utils import lessons
from course_utils.check import folders
from course_utils.lessons import HERE, LESSONS, LessonFileError, _read_lesson


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(HERE / "senet", tmp_path / "senet")


def damage(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_a_folder_is_named_as_its_notebook_without_the_number():
    for lesson in LESSONS:
        assert lesson.notebook == f"{lesson.number}_{lesson.folder.name}.ipynb"


def test_a_new_folder_is_a_new_lesson(folder):
    damage(folder / "lesson.toml", 'number = "4.1.1"', 'number = "4.9"')
    lesson = _read_lesson(folder)
    assert lesson.number == "4.9" and {term.lesson for term in lesson.words} == {"4.9"}


@pytest.mark.faults("damaged and missing files")
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('title = "', 'heading = "', "`title` is missing"),
        ("minutes = 30", 'minutes = "half an hour"', "`minutes` is 'half an hour'"),
        ("minutes = 30", "minutes = ", "Invalid value"),
        ("minutes = 30", "minutes = 30\nhours = 1", "unknown key `hours`"),
        ("meaning = ", "means = ", "The word .* `meaning` is missing"),
    ],
)
def test_a_damaged_lesson_names_its_file_what_was_expected_and_what_to_do(folder, old, new, said):
    damage(folder / "lesson.toml", old, new)
    with pytest.raises(LessonFileError, match=rf"{said}.*Expected: .*git checkout") as error:
        _read_lesson(folder)
    assert str(folder / "lesson.toml") in str(error.value)


@pytest.mark.faults("damaged and missing files")
def test_a_missing_lesson_names_its_file(folder):
    (folder / "lesson.toml").unlink()
    with pytest.raises(LessonFileError, match=r"lesson\.toml is missing\. Expected: `number`"):
        _read_lesson(folder)


@pytest.mark.faults("damaged and missing files")
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("quiz", "test", "`quiz` is missing"),
        ("right = ", "correct = ", "A question in .*`right` is missing"),
        ('text = "', "text = ", "is damaged"),
    ],
)
def test_damaged_questions_name_their_file(folder, monkeypatch, old, new, said):
    path = folder / "questions.toml"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    monkeypatch.setattr(lessons, "lesson", lambda number: _read_lesson(folder))
    with pytest.raises(LessonFileError, match=said) as error:
        folders.quiz("4.1.1")
    assert "questions.toml" in str(error.value) and "git checkout" in str(error.value)


@pytest.mark.faults("damaged and missing files")
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[scale]", "[scales]", "the unknown key `scales`"),
        ("takeaway = ", "summary = ", "The exercise 'squeeze' in .*`takeaway` is missing"),
        (
            '"summed over the positions" = ',
            '"summed" = ',
            "The mistakes of exercise 'squeeze' .*`summed over the positions`",
        ),
    ],
)
def test_damaged_words_of_an_exercise_name_their_file(folder, monkeypatch, old, new, said):
    path = folder / "exercises.toml"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(LessonFileError, match=said) as error:
        list(folders._exercises(_read_lesson(folder)))
    assert str(path) in str(error.value) and "git checkout" in str(error.value)
