"""A pytest plugin for tools/colab.py: a cell that writes to stderr fails. nbval alone lets a warning pass."""

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    result = yield
    outputs = getattr(item, "test_outputs", None) or []
    words = "".join(output["text"] for output in outputs if output.get("name") == "stderr")
    if words:
        pytest.fail(f"{item.name} wrote on stderr: {words[:2000]}", pytrace=False)
    return result
