"""Quizzes and predictions: every option explained, answers counted in the progress."""

import pytest

from course_utils import check
from course_utils.check import folders
from course_utils.check.session import SESSION

LESSONS = [lesson.number for lesson in folders.lessons()]
PREDICTIONS = [f"{number}/{name}" for number in LESSONS for name in folders.predictions(number)]


pytestmark = pytest.mark.usefixtures("fresh_session")


def right_answers(widget):
    return [question["right"] for question in widget.questions]


@pytest.mark.parametrize("number", LESSONS)
def test_a_quiz_has_three_questions_or_more_with_each_option_explained_once(number):
    widget = check.quiz(number)
    assert len(widget.questions) >= 3
    for question in widget.questions:
        assert len(question["options"]) >= 3
        assert len(set(question["explanations"])) == len(question["options"]) == len(set(question["options"]))


@pytest.mark.parametrize("number", LESSONS)
def test_the_place_of_the_right_option_gives_nothing_away(number):
    questions = *folders.quiz(number), *folders.predictions(number).values()
    places = [list(each.options).index(each.right) for each in questions]
    assert max(map(places.count, places)) <= len(places) / 2


@pytest.mark.parametrize("name", PREDICTIONS)
def test_a_prediction_is_one_question_that_keeps_the_first_choice(name):
    widget = check.predict(name)
    assert widget.key == name and widget.predict and len(widget.questions) == 1


@pytest.mark.parametrize("number", LESSONS)
def test_a_lesson_has_three_predictions_or_more(number):
    assert len(folders.predictions(number)) >= 3


def test_a_quiz_counts_as_tried_at_the_first_answer_and_as_done_when_all_are_right():
    widget = check.quiz("4.1.1")
    assert SESSION.progress.states() == {}
    right = right_answers(widget)
    widget.answered = [right[0], *[None] * (len(right) - 1)]
    assert SESSION.progress.states() == {"4.1.1/quiz": "tried"}
    widget.answered = [1 - right[0] if right[0] < 2 else 0, *right[1:]]
    assert SESSION.progress.states() == {"4.1.1/quiz": "tried"}
    widget.answered = right
    assert SESSION.progress.states() == {"4.1.1/quiz": "done"}
    (row,) = (row for row in check.progress().rows if row.number == "4.1.1")
    assert dict(row.parts)["quiz"] == "done" and row.summary.startswith("1 of ")


def test_a_prediction_is_no_progress():
    widget = check.predict("4.1.1/shuffled")
    widget.answered = [0]
    assert SESSION.progress.states() == {}


def test_an_unknown_quiz_or_prediction_names_those_there_are():
    with pytest.raises(ValueError, match=r"no lesson '4\.9'"):
        check.quiz("4.9")
    with pytest.raises(ValueError, match=r"no prediction 'shufled'; did you mean 'shuffled'\?"):
        check.predict("4.1.1/shufled")
