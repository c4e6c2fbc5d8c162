"""The normaliser: one form for every committed notebook, and a word for each departure from it."""

import base64
import io
import re

import nbformat
import numpy as np
import pytest
from PIL import Image

import notebooks as tool


def notebook():
    code = nbformat.v4.new_code_cell("1 + 1", execution_count=1)
    code.outputs = [nbformat.v4.new_output("execute_result", {"text/plain": "2"}, execution_count=1)]
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A lesson"), code])
    tool.normalise(made)
    return made


@pytest.fixture
def saved(tmp_path):
    def save(made):
        path = tmp_path / "lesson.ipynb"
        path.write_text(tool.dumped(made), encoding="utf-8")
        return path

    return save


def test_a_normalised_notebook_has_no_fault(saved):
    assert list(tool.faults(saved(notebook()))) == []


def test_normalising_twice_changes_nothing():
    once = notebook()
    text = tool.dumped(once)
    tool.normalise(once)
    assert tool.dumped(once) == text


def broken_count(made):
    made.cells[1].execution_count = 7


def broken_metadata(made):
    made.metadata["widgets"] = {tool.STATE: {}}


def broken_timing(made):
    made.cells[1].metadata["execution"] = {"iopub.status.idle": "now"}


def broken_error(made):
    made.cells[1].outputs = [nbformat.v4.new_output("error", ename="ValueError", evalue="no", traceback=[])]


def broken_stderr(made):
    made.cells[1].outputs = [nbformat.v4.new_output("stream", name="stderr", text="a warning")]


def broken_widget(made):
    data = {tool.VIEW: {"model_id": "1"}, "text/plain": "Widget()"}
    made.cells[1].outputs = [nbformat.v4.new_output("display_data", data)]


def broken_size(made):
    made.cells[1].outputs = [nbformat.v4.new_output("display_data", {"image/png": "A" * 1_000_001})]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (broken_count, "top to bottom"),
        (broken_metadata, "not normalised"),
        (broken_timing, "not normalised"),
        (broken_error, "ValueError"),
        (broken_stderr, "stderr"),
        (broken_widget, "not normalised"),
        (broken_size, "bytes"),
    ],
)
def test_each_departure_gets_a_word(saved, spoil, words):
    made = notebook()
    spoil(made)
    assert any(words in fault for fault in tool.faults(saved(made)))


def test_normalising_does_not_pass_a_cell_off_as_executed(saved):
    made = notebook()
    made.cells[1].execution_count, made.cells[1].outputs = None, []
    tool.normalise(made)
    assert any("top to bottom" in fault for fault in tool.faults(saved(made)))


def test_a_widget_view_beside_a_picture_leaves_the_picture():
    output = nbformat.v4.new_output("display_data", {tool.VIEW: {"model_id": "1"}, "image/png": "AAAA"})
    assert set(tool.kept(output).data) == {"image/png"}


def test_pictures_in_html_become_smaller_and_stay_the_same():
    pixels = np.random.default_rng(0).integers(0, 4, (40, 60, 3), dtype=np.uint8) * 60
    drawn = io.BytesIO()
    Image.fromarray(pixels).save(drawn, "PNG")
    picture = base64.b64encode(drawn.getvalue()).decode()
    tag = f'<img alt="dots" src="data:image/png;base64,{picture}" style="max-width:100%">'
    made = notebook()
    made.cells[1].outputs = [nbformat.v4.new_output("display_data", {"text/html": tag, "image/png": picture})]
    tool.normalise(made)
    data = made.cells[1].outputs[0].data
    assert data["image/png"] == picture and len(data["text/html"]) < len(tag)
    kept = re.fullmatch(
        r'<img alt="dots" src="data:image/webp;base64,([^"]+)" style="max-width:100%">', data["text/html"]
    )
    with Image.open(io.BytesIO(base64.b64decode(kept[1]))) as shown:
        assert np.array_equal(np.asarray(shown), pixels)
    once = data["text/html"]
    tool.normalise(made)
    assert made.cells[1].outputs[0].data["text/html"] == once
