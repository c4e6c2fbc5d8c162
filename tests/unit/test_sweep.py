"""The sweep at the end of a notebook finds what fails in a widget's callback, and leaves a learner's widgets alone."""

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

WIDGET = """
from course_utils.widgets import AttentionMap, sweep


class Asking(AttentionMap):
    def requests(self):
        return [{"number": 1}, {"number": 0}]


widget = Asking([[0.0, 1.0]], [[0.0, 1.0]])
widget.answer_with(ANSWER)
"""
GOOD = "lambda request: {'twice': 2 * request['number']}"
BAD = "lambda request: {'share': 1 / request['number']}"


def run(answer):
    cells = [nbformat.v4.new_code_cell(WIDGET.replace("ANSWER", answer)), nbformat.v4.new_code_cell("sweep()")]
    cells += [nbformat.v4.new_code_cell("print(widget.answer)")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    return notebook.cells[-1].outputs[0].text


def test_a_failing_callback_fails_the_cell(monkeypatch):
    monkeypatch.setenv("COURSE_SWEEP", "1")
    with pytest.raises(CellExecutionError, match="division by zero"):
        run(BAD)


def test_every_request_is_answered(monkeypatch):
    monkeypatch.setenv("COURSE_SWEEP", "1")
    assert "'twice': 0" in run(GOOD)


def test_nothing_happens_to_a_learner(monkeypatch):
    monkeypatch.delenv("COURSE_SWEEP", raising=False)
    assert run(BAD) == "{}\n"
