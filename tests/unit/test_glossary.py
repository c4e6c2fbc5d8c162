"""The glossary: every lesson has its words, and each word says something once."""

import re

import pytest

from course_utils.glossary import TERMS, Glossary, Term, glossary
from course_utils.lessons import LESSONS


def test_every_lesson_has_words_and_every_word_a_lesson():
    assert {term.lesson for term in TERMS} == {lesson.number for lesson in LESSONS}


def test_each_word_is_explained_once_in_one_or_two_sentences():
    words = [term.word.lower() for term in TERMS]
    assert len(set(words)) == len(words)
    for term in TERMS:
        assert term.meaning.endswith((".", "?")), term.word
        assert 20 <= len(term.meaning) <= 130, term.word
        assert len(re.findall(r"[.?](?= |$)", term.meaning)) <= 2, term.word


def test_words_stand_in_the_order_of_the_lessons_and_are_shown_by_the_alphabet():
    order = [lesson.number for lesson in LESSONS]
    places = [order.index(term.lesson) for term in TERMS]
    assert places == sorted(places)
    shown = [term.word.lower() for term in glossary().terms]
    assert shown == sorted(shown) and len(shown) == len(TERMS)


def test_a_lesson_shows_its_own_words_and_an_unknown_one_says_which_there_are():
    assert {term.lesson for term in glossary("4.1.1").terms} == {"4.1.1"}
    with pytest.raises(ValueError, match=r"no word of lesson '4.9'; there are words of 4.1, 4.1.1,"):
        glossary("4.9")


@pytest.mark.faults("pieces of markup in labels, captions, names and answers")
def test_the_table_has_a_row_a_word_with_everything_escaped():
    shown = Glossary((Term("a <b>", "Less < more.", "x", "(N,)", "4.1"), Term("c", "Nothing.", "", "", "4.2")))
    table = shown._repr_html_()
    assert table.count("<tr") == 3 and table.count("<td") == 8
    assert "a &lt;b&gt;" in table and "<b>" not in table
    assert repr(shown) == "a <b>: Less < more. (symbol x; shape (N,); lesson 4.1)\nc: Nothing. (lesson 4.2)"
