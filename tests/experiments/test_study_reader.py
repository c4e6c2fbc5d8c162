"""The study of the reader's heads: its measures on weights that are known, and its record."""

import random

import pytest
import torch

from course_utils.data import draw_text
from course_utils.resources import resource_root
from experiments import study_reader
from experiments.ledger import Key, read_runs
from experiments.report import as_json
from experiments.study_reader import columns_of, measured, shares, summary, text_reader


def test_the_columns_of_a_letter_are_where_its_ink_is():
    picture = draw_text("I   I", "mono")
    ink = {int(column) for column in (picture < 0.5).all(dim=0).any(dim=0).nonzero() // 8}
    letters = columns_of("I   I", "mono", picture.shape[2] // 8)
    assert ink == letters[0] | letters[4] or ink - (letters[0] | letters[4]) <= {
        max(letters[0]) + 1,
        min(letters[4]) - 1,
    }
    assert not ink & letters[2]


def test_a_share_is_the_weight_on_that_place():
    text = "to we to"
    letters = [{2 * i, 2 * i + 1} for i in range(len(text))]
    weights = torch.zeros(1, 20, 20)
    weights[0, :, 12:14] = 0.4  # the second t
    weights[0, :, 19] = 0.2  # behind the line
    found = {
        name: {round(float(value), 5) for value in values} for name, values in shares(text, letters, weights).items()
    }
    assert found["same"] == {0.8, 0.0}  # from the first t; from other letters that stand twice
    assert found["empty"] == {0.2}
    assert found["own"] == {0.0, 0.8}
    assert found["left"] == {0.0, 0.8} and found["right"] == {0.0}
    assert found["first"] == found["space"] == {0.0}
    even = shares(text, letters, torch.full((1, 20, 20), 1 / 20))
    assert {round(float(value), 5) for value in even["space"]} == {0.1, 0.2}


def test_the_summary_is_made_from_the_runs():
    assert as_json(summary()) == (resource_root() / "results" / "4.1.4" / "summary.json").read_text()


def test_a_run_done_again_gives_what_is_recorded():
    recorded = read_runs(resource_root() / "results" / "4.1.4")
    for name, found in measured(text_reader(), 0, ["1.8", "all"]).items():
        run = recorded[Key("lines", name, 0, 0.0)]
        for measure, value in {**run["measures"], "accuracy": run["accuracy"]}.items():
            assert found[measure] == pytest.approx(value, abs=0.005), (name, measure)  # a letter may fall otherwise


def test_lines_are_drawn_from_their_seed_alone():
    random.seed(5)
    first = study_reader.drawn_lines(3)
    random.seed(6)
    assert study_reader.drawn_lines(3) == first != study_reader.drawn_lines(4)
