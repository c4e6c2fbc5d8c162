"""The lesson's lab for scores: the package's own modules with drawn parameters, and what cannot be shown."""

import pytest
import torch
from traitlets import TraitError

from course_utils.data import photograph_features
from course_utils.widgets import explore_score_lab
from course_utils.widgets.score_lab.explore import WIDTHS, lab_inputs, lab_score
from course_utils.widgets.score_lab.widget import SCORE_NAMES


@pytest.mark.parametrize("width", WIDTHS)
def test_additive_and_concat_are_one_function_in_the_lab(width):
    query, keys, _ = lab_inputs("plane", width, (12, 40))
    torch.testing.assert_close(lab_score("additive", width)(query, keys), lab_score("concat", width)(query, keys))


def test_the_general_scores_share_their_matrix_and_differ():
    query, keys, _ = lab_inputs("plane", 4, (12, 40))
    general, biased = lab_score("general", 4), lab_score("biased_general", 4)
    difference = biased(query, keys) - general(query, keys)
    torch.testing.assert_close(difference[0, 0], keys[0] @ biased.weight.bias)
    activated = lab_score("activated_general", 4)
    torch.testing.assert_close(activated(query, keys), torch.tanh(general(query, keys) + activated.scalar))


@pytest.mark.parametrize("name", SCORE_NAMES)
def test_every_name_of_the_lab_is_a_score_of_the_package(name):
    query, keys, _ = lab_inputs("plane", 2, (0, 0))
    assert lab_score(name, 2)(query, keys).shape == (1, 1, 12)


def test_a_place_of_the_plane_is_what_the_query_begins_with():
    query, keys, values = lab_inputs("plane", 8, (0, 0))
    assert query[0, 0, :2].tolist() == [-3.0, 3.0]
    assert (keys.shape, values.shape) == ((1, 12, 8), (1, 12, 2))
    torch.testing.assert_close(keys[..., :2], values)
    assert lab_inputs("plane", 2, (60, 35))[0][0, 0].tolist() == [0.5, -3.0]


def test_a_photographs_query_is_the_key_of_its_cell_and_its_values_are_colours():
    query, keys, values = lab_inputs("hens", 16, (6, 4))
    torch.testing.assert_close(query[0, 0], photograph_features("hens")[:, 6, 4])
    torch.testing.assert_close(keys[0, 6 * 14 + 4], query[0, 0])
    assert values.shape == (1, 196, 3) and values.min() >= 0 and values.max() <= 1


def test_the_page_holds_everything_in_less_than_a_megabyte(tmp_path):
    widget = explore_score_lab()
    assert [source["key"] for source in widget.sources] == ["plane", "hens", "sheep", "german_shepherd"]
    assert widget.save_html(tmp_path / "lab.html").stat().st_size < 1_000_000


def test_the_first_width_is_two_in_the_plane_and_all_numbers_on_a_photograph():
    assert explore_score_lab().width == 2
    assert explore_score_lab(source="sheep").width == 16
    assert explore_score_lab(source="sheep", query=(1, 2)).chosen == 16


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": "cats"}, "no source 'cats'; there are: plane, hens"),
        ({"width": 3}, "width=3 is not possible for 'plane'"),
        ({"width": 64, "source": "hens"}, "its keys have 16 numbers"),
        ({"chosen": 12}, "chosen=12, but there are 12; give a number from 0 to 11"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"window": float("nan")}, "window=nan"),
        ({"query": (14, 0), "source": "hens"}, "14 x 14 cells"),
    ],
)
def test_what_cannot_be_shown_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        explore_score_lab(**arguments)


@pytest.mark.parametrize("arguments", [{"scores": ("additive", "cosine")}, {"alignments": ("softmax",)}])
def test_two_known_scores_and_alignments_are_needed(arguments):
    with pytest.raises(TraitError, match=r"scores|alignments"):
        explore_score_lab(**arguments)


def test_inputs_of_an_unknown_source_are_refused():
    with pytest.raises(ValueError, match="no source 'cats'; there are: plane, hens"):
        lab_inputs("cats", 2, (0, 0))
