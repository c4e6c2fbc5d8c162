"""What `make colab` holds of its own environment; collected only there, by tools/colab.py."""

import importlib.util
import json
import os
import sys
from importlib import metadata
from pathlib import Path

import pytest

# Tools of the first environment that no lesson may lean on.
HIDDEN = os.environ["COLAB_HIDDEN"].split()
PINS = json.loads(os.environ["COLAB_PINS"])


def test_what_only_the_first_environment_has_cannot_be_imported():
    assert {"captum", "entmax", "jupyterlab", "timm"} <= set(HIDDEN), "the first environment lacks the test tools"
    leaked = [name for name in HIDDEN if importlib.util.find_spec(name)]
    assert not leaked


@pytest.mark.parametrize("name", PINS)
def test_colab_versions_are_the_ones_that_count(name):
    assert metadata.version(name) == PINS[name]


@pytest.mark.parametrize("name", ["matplotlib", "numpy", "PIL", "traitlets", "ipywidgets", "anywidget"])
def test_what_is_imported_is_this_environment_s_own(name):
    assert Path(importlib.util.find_spec(name).origin).is_relative_to(sys.prefix)


def test_pytorch_is_shared():
    import torch

    assert Path(torch.__file__).is_relative_to(Path(sys.prefix) / "shared")
    assert not (Path(sys.prefix) / "shared" / "torch").resolve().is_relative_to(sys.prefix)
