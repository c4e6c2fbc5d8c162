"""Whatever a widget's page may ask of the kernel gets an answer."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from gallery import EXHIBITS

from course_utils.data import cued_digits
from course_utils.models import load_network
from course_utils.widgets import CourseWidget, explore_channel_gates
from course_utils.widgets.base import image_file


def of_channel_gates(widget: CourseWidget) -> Iterator[dict[str, Any]]:
    """The first gate of every stage moved to both ends, and every image once more as the learner's own."""
    for key, source in widget._ready.items():
        for stage in range(len(source["stages"])) if not source["graph"] else ():
            for gate in (0.0, 1.0):
                asked = {"source": key, "example": len(source["examples"]) - 1, "stage": stage, "edits": {"0": gate}}
                yield {"want": "probabilities", **asked}
        for example in source["examples"] if source["upload"] == "kernel" else ():
            data = base64.b64encode(image_file(example["image"], "PNG")).decode()
            asked = {"source": key, "drawn": source["draw"], "name": example["label"], "data": data}
            yield {"want": "picture", **asked}


def of_look(widget: CourseWidget) -> Iterator[dict[str, Any]]:
    """Each mask once, then the answer with one head off or one gate closed, for each layer that can be changed."""
    for i, layer in enumerate(widget.layers):
        yield {"picture": 0, "layer": i}
        if layer["editable"]:
            weights = layer["kind"] == "weights"
            yield {"picture": 0, "off": [[i, 0]] if weights else [], "gates": [] if weights else [[i, 0, 0.0]]}


def of_patch_tokens(widget: CourseWidget) -> Iterator[dict[str, Any]]:
    """The first two patches of each picture blanked."""
    yield from ({"picture": i, "blanked": [0, 1]} for i in range(len(widget.pictures)))


REQUESTS = {"channel_gates": of_channel_gates, "look_into": of_look, "patch_tokens": of_patch_tokens}
MAKERS = {exhibit.title: exhibit.widget for exhibit in EXHIBITS} | {
    "digits": lambda: explore_channel_gates(source="cued digits"),
    "a network that the page cannot run": lambda: explore_channel_gates(
        load_network("gsop_cued_digits"), cued_digits(40, seed=4, split="test")
    ),
}


@pytest.mark.parametrize("name", MAKERS)
def test_every_question_that_the_page_may_ask_is_answered(name):
    widget = MAKERS[name]()
    assert not widget._compute or widget._module in REQUESTS, "add to REQUESTS what the widget's page may ask"
    asked = REQUESTS[widget._module](widget) if widget._compute else ()
    for number, request in enumerate(asked):
        widget.request = {**request, "id": str(number)}
        assert not widget.error, request
        assert widget.answer["id"] == str(number) and not widget.answer.get("failed"), request
