"""Source as a lesson shows it: nothing of it is lost, what may be skipped is folded, the idea is marked."""

import html
import re

import pytest

from course_utils.attention import SEBlock
from course_utils.lessons import Lesson
from course_utils.source import source_bundle


def sample(x, width: int = 2):
    """Say the idea.

    Args:
        x: <b>bold</b>.
    """
    if width < 1:
        raise ValueError("no & width")
    check_counts("sample", width=width)
    return [x] * width if x else "<i>none</i>"  # type: ignore[return-value]


def check_counts(name, **counts):
    return counts


def words_of(markup: str) -> str:
    return html.unescape(re.sub(r"<(style|summary)>.*?</\1>|<[^>]*>", "", markup, flags=re.DOTALL))


@pytest.mark.parametrize("shown", [sample, SEBlock, Lesson], ids=lambda one: one.__name__)
def test_shown_source_is_whole_in_html_and_in_plain_text(shown):
    bundle = source_bundle(shown)
    assert words_of(bundle["text/html"]).strip() == bundle["text/plain"]
    assert "type: ignore" not in bundle["text/plain"]


def test_what_a_reader_can_skip_is_folded_and_the_idea_is_marked():
    markup = source_bundle(sample, idea=["return [x]"])["text/html"]
    folded = [words_of(part) for part in re.findall(r"<details>.*?</details>", markup, re.DOTALL)]
    assert ["Args:" in part for part in folded] == [True, False]
    assert "no & width" in folded[1] and 'check_counts("sample"' in folded[1]
    assert [words_of(part).strip() for part in re.findall(r"<mark>.*?</mark>", markup)] == [
        'return [x] * width if x else "<i>none</i>"'
    ]
    assert "<i>none" not in markup and "<b>bold" not in markup


def test_words_that_no_line_holds_are_named():
    with pytest.raises(ValueError, match="holds 'excitation = torch'"):
        source_bundle(sample, idea=["excitation = torch"])
