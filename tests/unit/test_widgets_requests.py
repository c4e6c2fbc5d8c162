"""Whatever a widget's page may ask of the kernel gets an answer."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from gallery import EXHIBITS


@pytest.mark.parametrize("exhibit", EXHIBITS, ids=lambda exhibit: exhibit.title)
def test_every_question_that_the_page_may_ask_is_answered(exhibit):
    widget = exhibit.widget()
    for number, request in enumerate(widget.requests()):
        widget.request = {**request, "id": str(number)}
        assert not widget.error, request
        assert widget.answer["id"] == str(number) and not widget.answer.get("failed"), request
