"""The recorded measurement of the segmenter's gates: its summary is that of its runs, and a run comes out again."""

import json

import pytest

from course_utils.data import photograph_names
from course_utils.resources import resource_root
from experiments.segmenter_gates import WAYS, measure, read_runs, summary

FOLDER = resource_root() / "results" / "segmenter_gates"


def test_the_summary_is_that_of_the_runs():
    runs = read_runs(FOLDER / "runs.jsonl")
    assert len(runs) == 10 * len(WAYS) * len(photograph_names())
    assert json.loads((FOLDER / "summary.json").read_text()) == summary(runs)


def test_a_measurement_on_one_photograph_comes_out_again():
    recorded = {(run["block"], run["way"], run["photograph"]): run for run in read_runs(FOLDER / "runs.jsonl")}
    for run in measure(["coffee"]):
        if run["way"] == "mean":  # the mean of one photograph's gates is these gates
            assert run["overlap"] == pytest.approx(1, abs=1e-4)
        else:
            wanted = recorded[run["block"], run["way"], "coffee"]
            assert (run["overlap"], run["kept"]) == pytest.approx((wanted["overlap"], wanted["kept"]), abs=2e-3)
