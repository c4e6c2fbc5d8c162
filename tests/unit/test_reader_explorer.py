"""What `reader` is given, and what it refuses."""

import numpy as np
import pytest

from course_utils.data import draw_text
from course_utils.widgets import explore_reader


def test_the_line_shown_is_the_line_drawn():
    widget = explore_reader("attention", "serif", query=3, off=[(2, 1)])
    np.testing.assert_allclose(widget.picture, draw_text("attention", "serif").numpy(), atol=1e-6)
    assert (widget.words, widget.typeface, widget.query, widget.off) == ("attention", "serif", [3], [[2, 1]])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"words": " "}, "empty line"),
        ({"words": "café"}, "printable ASCII, but was given 'é'"),
        ({"words": "a long line of words " * 4}, "at most 960 pixels"),
        ({"typeface": "gothic"}, "no typeface 'gothic'"),
        ({"query": 40}, r"\(column,\) of the line"),
        ({"chosen": (3, 1)}, r"chosen names \(3, 1\)"),
        ({"off": [(1, 9)]}, r"off names \(1, 9\)"),
    ],
)
def test_what_cannot_be_shown_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        explore_reader(**arguments)
