"""The quiz in Chromium: nothing is given away, every option has its say, no kernel is needed."""

import re
from collections.abc import Callable

import pytest

from course_utils.widgets import Question, Quiz

FIRST = Question(
    "What does `x.mean((2, 3))` keep?",
    {"One number a channel": "All positions count alike.", "The largest value": "That is max pooling.", "All": "No."},
    right="One number a channel",
)
SECOND = Question(
    "Where do gates lie?",
    {"Anywhere": "Those are logits.", "Between 0 and 1": "The sigmoid sees to it."},
    right="Between 0 and 1",
)


def test_no_explanation_and_no_mark_is_on_the_page_before_a_choice(alone: Callable) -> None:
    page = alone(Quiz([FIRST, SECOND]))
    rendered = page.root.evaluate("(root) => root.outerHTML")
    for question in (FIRST, SECOND):
        for explanation in question.options.values():
            assert explanation not in rendered
    assert "data-mark" not in rendered
    page.root.get_by_label("The largest value").check()  # choosing is not checking
    assert "max pooling" not in page.root.inner_text()


@pytest.mark.parametrize("index", [0, 1, 2])
def test_every_option_has_its_own_explanation(index: int, alone: Callable) -> None:
    page = alone(Quiz([FIRST, SECOND]))
    page.root.locator("fieldset").first.locator("input").nth(index).check()
    page.root.get_by_role("button", name="Check").first.click()
    verdict = page.root.locator(".cw-verdict").first.inner_text()
    others = [text for i, text in enumerate(FIRST.options.values()) if i != index]
    assert list(FIRST.options.values())[index] in verdict
    assert not any(text in verdict for text in others)
    assert verdict.startswith("Right." if index == 0 else "Not yet.")
    assert page.state("answered") == [index, None]
    assert page.status == f"1 of 2 answered, {int(index == 0)} right."
    page.assert_clean()


def test_another_try_replaces_the_first(alone: Callable) -> None:
    page = alone(Quiz([FIRST]))
    check = page.root.get_by_role("button", name="Check")
    page.root.get_by_label("All").check()
    check.click()
    page.root.get_by_label("One number a channel").check()
    check.click()
    assert page.root.locator(".cw-verdict").inner_text() == "Right. All positions count alike."
    assert page.root.locator("[data-mark]").count() == 1
    assert page.root.locator(".cw-mark:visible").all_text_contents() == [": your choice, right"]
    marked = page.root.get_by_role("radio", name=re.compile("One number a channel ?: your choice, right"))
    assert marked.is_checked()
    assert page.status == "1 of 1 answered, 1 right."


def test_checking_without_a_choice_asks_for_one(alone: Callable) -> None:
    page = alone(Quiz([FIRST, SECOND]))
    page.root.get_by_role("button", name="Check").nth(1).click()
    assert page.status == "Question 2: choose an option first."
    assert page.state("answered") == [None, None]


def test_a_second_press_writes_the_same_words_anew(alone: Callable) -> None:
    page = alone(Quiz([FIRST]))
    page.page.evaluate(
        """() => {
          window.written = 0;
          const note = (all) => { for (const one of all) if (one.target.textContent) written += 1; };
          const line = document.querySelector("[role=status]");
          new MutationObserver(note).observe(line, { childList: true, subtree: true });
        }"""
    )
    check = page.root.get_by_role("button", name="Check")
    for presses, words in ((1, "Choose an option first."), (2, "Choose an option first.")):
        check.click()
        page.page.wait_for_function("(presses) => written >= presses", arg=presses)
        assert page.status == words
        assert page.page.evaluate("written") == presses
    page.root.get_by_label("The largest value").check()
    for words in ("1 of 1 answered, 0 right.", "The same choice: not yet."):
        check.click()
        assert page.status == words


def test_a_prediction_is_kept_and_then_what_is_right_shows(alone: Callable) -> None:
    page = alone(Quiz([FIRST], predict=True))
    page.root.get_by_label("The largest value").check()
    page.root.get_by_role("button", name="Keep this prediction").click()
    verdict = page.root.locator(".cw-verdict").inner_text()
    assert "That is max pooling." in verdict
    assert "One number a channel: All positions count alike." in verdict
    assert page.root.locator("input:disabled").count() == 3
    assert page.state("answered") == [1]
    assert page.root.locator(".cw-verdict").evaluate("(verdict) => verdict === document.activeElement")
    marks = page.root.locator(".cw-mark").all_text_contents()
    assert marks == [": right", ": your choice", ""]


def test_the_keyboard_is_enough(alone: Callable) -> None:
    page = alone(Quiz([SECOND]))
    page.page.keyboard.press("Tab")
    page.page.keyboard.press("ArrowDown")
    page.page.keyboard.press("Tab")
    page.page.keyboard.press("Enter")
    assert page.state("answered") == [1]
    assert page.root.locator(".cw-verdict").inner_text() == "Right. The sigmoid sees to it."


def test_questions_are_groups_with_names_and_options_have_labels(alone: Callable) -> None:
    page = alone(Quiz([FIRST, SECOND]))
    group = page.root.get_by_role("group", name="What does x.mean((2, 3)) keep?")
    assert group.get_by_role("radio").count() == 3
    assert group.locator("code").inner_text() == "x.mean((2, 3))"
    assert page.root.locator(".cw-verdict[aria-live=polite]").count() == 2


def test_earlier_answers_come_back(alone: Callable) -> None:
    widget = Quiz([FIRST, SECOND], key="4.1.1/end", answered=[0, 0])
    assert (widget.score, widget.key) == (1, "4.1.1/end")
    page = alone(widget)
    assert page.status == "2 of 2 answered, 1 right."
    assert page.root.get_by_label("Anywhere").is_checked()
    assert "Those are logits." in page.root.inner_text()


def test_python_hears_each_answer() -> None:
    widget = Quiz([FIRST, SECOND])
    heard = []
    widget.observe(lambda change: heard.append(change["new"]), names="answered")
    widget.set_state({"answered": [None, 1]})
    assert heard == [[None, 1]]
    assert widget.score == 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Question("Q", {"a": "x"}, right="a"), "at least two options"),
        (lambda: Question("Q", {"a": "x", "b": " "}, right="a"), "'b' has no explanation"),
        (lambda: Question("Q", {"a": "x", "b": "y"}, right="c"), "'c' is not among"),
        (lambda: Quiz([]), "at least one question"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused(make: Callable, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()
