"""The base of the widgets: arrays as text, errors in the widget, one copy a cell, a page that runs alone."""

import base64
import gc
import json
import re
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import traitlets

from course_utils.widgets import AttentionMap, Quiz, TrainingCurves, as_array, base, encode, standalone_page


def _values(coded: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(coded["data"]), coded["dtype"]).reshape(coded["shape"])


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.arange(6, dtype=np.uint8).reshape(2, 3), "uint8"),
        (np.linspace(0, 1, 7), "float16"),
        (np.array([1e-9, 2e-9]), "float32"),
        (np.array([70000.0, 1.0]), "float32"),
        (np.zeros((0, 3)), "float16"),
    ],
)
def test_the_smallest_type_that_keeps_the_values_is_chosen(array: np.ndarray, dtype: str) -> None:
    coded = encode(array)
    assert coded["dtype"] == dtype
    np.testing.assert_allclose(_values(coded), array, rtol=1e-3)


def test_strides_and_byte_order_do_not_matter() -> None:
    array = np.arange(12, dtype=">f4").reshape(3, 4).T[::-1]
    np.testing.assert_array_equal(_values(encode(array, exact=True)), array)


def test_tensors_come_off_their_graph_and_half_types_are_widened() -> None:
    tensor = torch.linspace(0, 1, 5, requires_grad=True)
    np.testing.assert_array_equal(as_array(tensor), tensor.detach().numpy())
    assert as_array(tensor.to(torch.bfloat16)).dtype == np.float32
    assert as_array(torch.zeros(2, dtype=torch.uint8)).dtype == np.uint8


def test_a_value_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match=r"index \(0, 1\) is inf"):
        encode(np.array([[0, np.inf]]))


def test_a_failing_callback_is_told_in_the_widget_and_a_good_one_clears_it() -> None:
    widget = TrainingCurves()
    assert widget.guarded(lambda: {}["size"]) is None
    assert widget.error == "KeyError: 'size'"
    assert widget.guarded(widget.update, {"run": "SE", "loss": 1}) is None
    assert "no epoch" in widget.error
    assert not widget.error.startswith("ValueError")
    assert widget.guarded(lambda one, two: one + two, 1, two=2) == 3
    assert widget.error == ""


def test_a_request_is_answered_by_its_id_and_a_failure_too() -> None:
    widget = TrainingCurves()
    widget.set_state({"request": {"id": "a", "value": 1}})
    assert widget.answer == {}  # nobody answers yet
    widget.answer_with(lambda request: {"twice": 2 * request["value"]})
    widget.set_state({"request": {"id": "b", "value": 21}})
    assert widget.answer == {"id": "b", "twice": 42}
    widget.set_state({"request": {"id": "c"}})
    assert widget.answer == {"id": "c", "failed": True}
    assert widget.error == "KeyError: 'value'"
    widget.set_state({"request": {"id": "d", "value": 2}})
    assert (widget.answer, widget.error) == ({"id": "d", "twice": 4}, "")


class Shell:
    """A notebook's shell as far as the base looks at it."""

    def __init__(self) -> None:
        self.parent_header: dict[str, Any] = {}
        self.user_ns: dict[str, Any] = {"_oh": {}}
        self.user_ns_hidden: dict[str, Any] = {}

    def execute(self, execution: str, code: str, cell: str | None = None, kind: str = "execute_request") -> None:
        self.parent_header = {
            "header": {"msg_type": kind, "msg_id": execution},
            "metadata": {"cellId": cell} if cell else {},
            "content": {"code": code},
        }


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Shell:
    shell = Shell()
    monkeypatch.setattr(base, "get_ipython", lambda: shell)
    monkeypatch.setattr(base, "_shown", {})
    return shell


def _closed(*widgets: TrainingCurves) -> list[bool]:
    return [widget.comm is None for widget in widgets]


@pytest.mark.parametrize("cell", ["cell-1", None])
def test_a_rerun_cell_closes_all_that_its_last_run_made(cell: str | None, shell: Shell) -> None:
    shell.execute("run 1", "a = TrainingCurves()", cell)
    first, second = TrainingCurves(), TrainingCurves()
    assert _closed(first, second) == [False, False]
    shell.execute("run 2", "a = TrainingCurves()", cell)
    third = TrainingCurves()
    assert _closed(first, second, third) == [True, True, False]
    shell.execute("run 3", "other", "cell-2" if cell else None)
    fourth = TrainingCurves()
    assert _closed(third, fourth) == [False, False]


def test_a_replaced_widget_is_freed_at_once_and_leaves_other_results_alone(shell: Shell) -> None:
    shell.execute("run 1", "TrainingCurves()", "cell-1")

    def show() -> "weakref.ref[TrainingCurves]":
        widget = TrainingCurves()
        widget.answer_with(lambda request: {"same": widget.label == request["label"]})
        shell.user_ns |= {"_oh": {3: widget, 4: 5}, "_3": widget, "_4": 5}
        shell.user_ns_hidden |= {"_3": widget, "_4": 5}
        return weakref.ref(widget)

    gone = show()
    gc.disable()
    try:
        shell.execute("run 2", "TrainingCurves()", "cell-1")
        second = TrainingCurves()
        assert gone() is None
    finally:
        gc.enable()
    assert _closed(second) == [False]
    assert shell.user_ns == {"_oh": {4: 5}, "_4": 5}
    assert shell.user_ns_hidden == {"_4": 5}


def test_an_edited_cell_is_the_same_cell(shell: Shell) -> None:
    shell.execute("run 1", "r = 2", "cell-1")
    first = TrainingCurves()
    shell.execute("run 2", "r = 4", "cell-1")
    second = TrainingCurves()
    assert _closed(first, second) == [True, False]


def test_outside_a_cell_nothing_is_closed(shell: Shell) -> None:
    made = []
    for execution in ("1", "2"):
        shell.execute(execution, "", kind="comm_msg")
        made.append(TrainingCurves())
    shell.parent_header = {}
    made.append(TrainingCurves())
    assert _closed(*made) == [False, False, False]


@pytest.mark.faults("pieces of markup in labels, captions, names and answers")
def test_the_saved_page_is_one_file_that_names_no_address(tmp_path: Path) -> None:
    widget = TrainingCurves([{"run": "</script><!-- <b>", "epoch": 1, "loss": 1}], label="<b> & </title>")
    path = widget.save_html(tmp_path / "curves.html")
    page = path.read_text(encoding="utf-8")
    assert set(re.findall(r"[a-z]+://[^\"\\\\' ]+", page)) <= {"http://www.w3.org/2000/svg"}
    assert re.findall(r"(?:src|href)=", page) == []
    assert "<!--" not in page
    assert page.count("</script") == 2
    assert "<title>&lt;b&gt; &amp; &lt;/title&gt;</title>" in page
    stored = json.loads(re.search(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)[1])
    assert stored["shown"][0]["state"]["runs"] == ["</script><!-- <b>"]
    assert "default-src 'none'" in page
    assert "unsafe" not in page


def test_a_page_is_made_from_stored_widget_state_alone() -> None:
    widget = TrainingCurves([{"run": "SE", "epoch": 1, "loss": 1}])
    state = json.loads(json.dumps(widget.get_state() | {"layout": "IPY_MODEL_1"}))
    page = standalone_page(state["_esm"], state["_css"], state, title="Curves")
    stored = json.loads(re.search(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)[1])
    assert "layout" not in stored["shown"][0]["state"]
    assert not any(name.startswith("_") for name in stored["shown"][0]["state"])
    assert stored["shown"][0]["state"]["tail"] == [[0, 0, 1, {"loss": 1}]]


def test_the_module_is_one_file_with_one_default_export() -> None:
    joined = base.join_module("training_curves")
    assert re.findall(r"^import\b", joined, re.MULTILINE) == []
    assert re.findall(r"^export .*", joined, re.MULTILINE) == ["export default { render };"]


def test_a_widget_says_what_it_is_where_no_widget_can_be_shown() -> None:
    assert repr(TrainingCurves(label="SE and plain")) == "<training-curves: SE and plain>"


@pytest.mark.parametrize(
    ("kind", "hot"),
    [
        (TrainingCurves, {"request", "metric", "hidden_runs", "query"}),
        (Quiz, {"request", "answered"}),
        (AttentionMap, {"request", "chosen", "opacity", "table", "smooth", "own_range", "query"}),
    ],
)
def test_settings_that_the_page_sends_are_not_echoed(kind: type[base.CourseWidget], hot: set[str]) -> None:
    quiet = {name for name, trait in kind.class_traits().items() if trait.metadata.get("echo_update") is False}
    assert quiet >= hot


def test_fields_are_encoded_at_any_depth():
    third = np.full(2, 1 / 3)
    fields = {"label": "a", "stages": [{"mask": third, "weight": torch.from_numpy(third)}], "image": np.uint8([7])}
    made = base.encode_fields(fields, exact={"weight"})
    assert made["label"] == "a"
    assert made["stages"] == [{"mask": encode(third), "weight": encode(third, exact=True)}]
    assert [made["stages"][0][name]["dtype"] for name in ("mask", "weight")] == ["float16", "float32"]
    assert made["image"] == encode(np.uint8([7]))


class Indexed(base.CourseWidget):
    """Pictures, one of which is shown."""

    pictures: traitlets.List = traitlets.List().tag(exact=("input",))
    picture = traitlets.Int(0).tag(of="pictures")


def test_a_widget_encodes_its_arrays_and_refuses_an_index_of_nothing():
    third = np.full(2, 1 / 3)
    shown = Indexed(pictures=[{"input": third, "map": third}], picture=0)
    assert shown.pictures == [{"input": encode(third, exact=True), "map": encode(third)}]
    with pytest.raises(ValueError, match="picture=1, but there are 1; give a number from 0 to 0"):
        Indexed(pictures=[{"input": third}], picture=1)


def test_one_of_two_arguments_that_belong_together_is_refused():
    assert base.both_or_neither("f", network=1, data=2)
    assert not base.both_or_neither("f", network=None, data=None)
    with pytest.raises(ValueError, match="f was given data without network; give both, or neither"):
        base.both_or_neither("f", network=None, data=2)
