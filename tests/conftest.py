"""Of each test that brings a fault about, its report says which kind it is: `make faults` counts them."""

import pytest


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("faults"):
        item.user_properties.append(("fault", mark.args[0]))
        break
