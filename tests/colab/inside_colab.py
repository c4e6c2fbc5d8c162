"""What `make colab` expects of its own environment; collected only there, by tools/colab.py."""

import importlib.util
import sys
from importlib import metadata
from pathlib import Path

import pytest

VERSIONS = Path(__file__).with_name("colab-versions.txt").read_text(encoding="utf-8")
PINS = dict(line.split("==") for line in VERSIONS.splitlines() if "==" in line)


@pytest.mark.parametrize("name", ["captum", "entmax", "jupyterlab", "timm", "hypothesis"])
def test_what_a_lesson_may_not_need_cannot_be_imported(name):
    assert importlib.util.find_spec(name) is None


@pytest.mark.parametrize("name", PINS)
def test_colab_versions_are_the_ones_that_count(name):
    assert metadata.version(name) == PINS[name]


@pytest.mark.parametrize("name", ["matplotlib", "numpy", "PIL", "traitlets", "ipywidgets", "anywidget"])
def test_what_is_imported_is_this_environment_s_own(name):
    assert Path(importlib.util.find_spec(name).origin).is_relative_to(sys.prefix)


def test_only_pytorch_is_shared():
    import torch

    assert Path(torch.__file__).is_relative_to(Path(sys.prefix) / "shared")
