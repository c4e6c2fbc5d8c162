"""The lowest versions are read from pyproject.toml, every one of them."""

import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from lowest import lowest  # noqa: E402

MADE = """
[project]
name = "made"
dependencies = ["torch>=2.6", "ipywidgets>=7.7.1"]
[project.optional-dependencies]
lab = ["jupyterlab>=4.2"]
test = ["made[lab]", "pytest-xdist>=3.6.1", "torch>=2.6"]
"""


def test_every_bound_becomes_an_exact_version():
    assert lowest(MADE) == ["ipywidgets==7.7.1", "jupyterlab==4.2", "pytest-xdist==3.6.1", "torch==2.6"]


@pytest.mark.parametrize("loose", ["torch", "torch==2.6", "torch>=2.6,<3"])
def test_what_has_no_lower_bound_alone_is_refused(loose):
    with pytest.raises(SystemExit, match=re.escape(loose)):
        lowest(MADE.replace('"torch>=2.6", "ip', f'"{loose}", "ip'))


def test_the_command_names_every_dependency_of_the_course():
    done = subprocess.run([sys.executable, ROOT / "tools" / "lowest.py"], capture_output=True, text=True, check=True)
    named = {line.partition("==")[0] for line in done.stdout.splitlines()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = chain(project["dependencies"], *project["optional-dependencies"].values())
    assert named == {line.partition(">=")[0] for line in asked if ">=" in line} and {"torch", "jupyterlab"} <= named
