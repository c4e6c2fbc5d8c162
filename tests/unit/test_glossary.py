"""The glossary: every lesson has its words, and each word says something once."""

import re

import pytest

from course_utils.lessons import LESSONS, Glossary, Term, glossary


def test_every_lesson_has_words():
    for lesson in LESSONS:
        assert glossary(lesson.number).terms
        assert {term.lesson for term in glossary(lesson.number).terms} == {lesson.number}


def test_each_word_is_explained_once_in_one_or_two_sentences():
    words = [term.word.lower() for term in glossary().terms]
    assert len(set(words)) == len(words)
    for term in glossary().terms:
        assert term.meaning.endswith((".", "?")), term.word
        assert 20 <= len(term.meaning) <= 130, term.word
        assert len(re.findall(r"[.?](?= |$)", term.meaning)) <= 2, term.word


def test_all_words_are_shown_by_the_alphabet():
    shown = [term.word.lower() for term in glossary().terms]
    assert shown == sorted(shown) and len(shown) == sum(len(lesson.words) for lesson in LESSONS)


def test_an_unknown_lesson_says_which_there_are():
    with pytest.raises(ValueError, match=r"no lesson '4.9'; the lessons are 4.1, 4.1.1,"):
        glossary("4.9")


@pytest.mark.faults("pieces of markup in labels, captions, names and answers")
def test_the_table_has_a_row_for_each_word_with_everything_escaped():
    shown = Glossary((Term("a <b>", "Less < more.", "x", "(N,)", "4.1"), Term("c", "Nothing.", "", "", "4.2")))
    table = shown._repr_html_()
    assert table.count("<tr") == 3 and table.count("<td") == 8
    assert "a &lt;b&gt;" in table and "<b>" not in table
    assert repr(shown) == "a <b>: Less < more. (symbol x; shape (N,); lesson 4.1)\nc: Nothing. (lesson 4.2)"
