"""The tool that plays Colab: what it lets in, and what it calls a failure."""

import json
import os
import subprocess
import sys
import textwrap
from importlib.metadata import distributions
from pathlib import Path

import colab
import pytest

ROOT = Path(__file__).resolve().parents[2]


def install(site, name, requires=()):
    """Install a distribution with one module into a folder."""
    (site / name).mkdir(parents=True)
    (site / name / "__init__.py").write_text("")
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}")
    (info / "RECORD").write_text(f"{name}/__init__.py,,\n{name}-1.0.dist-info/METADATA,,\n../../bin/{name},,\n")


def test_only_what_torch_needs_can_be_imported(tmp_path):
    site = tmp_path / "site"
    install(site, "torchlike", ['numlike>=1; python_version > "3"', 'never; python_version < "3"', "kit[gpu]"])
    install(site, "numlike")
    install(site, "kit", ['driver; extra == "gpu"', 'other; extra == "else"'])
    install(site, "driver")
    install(site, "lablike", ["numlike"])
    there = {each.metadata["Name"]: each for each in distributions(path=[str(site)])}
    chosen = colab.needed_by("torchlike", there)
    assert chosen == {"torchlike", "numlike", "kit", "driver"}
    colab.link(chosen, there, tmp_path / "shared")
    code = "import importlib.util as u; print([bool(u.find_spec(n)) for n in ('torchlike', 'driver', 'lablike')])"
    environment = {"PYTHONPATH": str(tmp_path / "shared"), "PATH": os.environ["PATH"]}
    seen = subprocess.run([sys.executable, "-S", "-c", code], env=environment, capture_output=True, text=True)
    assert seen.stdout == "[True, True, False]\n"


def test_the_stand_in_is_what_makes_a_widget_switch_on_colabs_manager(tmp_path):
    calls = tmp_path / "calls.txt"
    code = """
        import sys
        import google.colab
        from course_utils.widgets import TrainingCurves
        data, metadata = TrainingCurves()._repr_mimebundle_()
        print(metadata["application/vnd.jupyter.widget-view+json"]["colab"]["custom_widget_manager"])
    """
    path = os.pathsep.join([str(ROOT / "tests" / "colab" / "stand_in"), str(ROOT)])
    environment = os.environ | {"PYTHONPATH": path, "COLAB_CALLS": str(calls)}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert shown.stdout == "{'url': 'stand-in'}\n"
    assert calls.read_text() == "enable_custom_widget_manager\n"


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A small published repository in place of the course's."""
    clone = tmp_path / "clone"
    (clone / "course_utils").mkdir(parents=True)
    (clone / "course_utils" / "__init__.py").write_text("")
    git = ["git", "-c", "user.name=course", "-c", "user.email=course@example.org", "-C", str(clone)]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, *command], check=True)
    (clone / "course_utils" / "new.py").write_text("")
    monkeypatch.setattr(colab, "ROOT", clone)
    return colab.publish(tmp_path, "v1.2.3")


FETCH = """
import pathlib, subprocess
home = pathlib.Path.cwd() / "attention-course"
subprocess.run(["git", "clone", "-q", "--depth=1", "--branch=v1.2.3", ADDRESS, str(home)], check=True)
"""


def run(tmp_path, repository, *sources):
    """Run a notebook of these cells, the first of them the bootstrap cell, with this Python as if it were Colab's."""
    cells = [
        {
            "cell_type": "code",
            "execution_count": 1,
            "id": f"cell-{number}",
            "metadata": {"tags": ["bootstrap"] if number == 0 else []},
            "outputs": [],
            "source": source.splitlines(keepends=True),
        }
        for number, source in enumerate(sources)
    ]
    notebook = tmp_path / "9.9_made.ipynb"
    metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    notebook.write_text(json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}))
    return colab.run_lesson(notebook, tmp_path / "run", repository, Path(sys.executable))


def test_a_lesson_that_works_has_no_fault_and_gets_what_is_committed(repository, tmp_path):
    fetch = FETCH.replace("ADDRESS", repr(colab.project()[0]))
    alone = "assert sorted(p.name for p in home.parent.iterdir()) == ['9.9_made.ipynb', 'attention-course']"
    committed = "assert [p.name for p in (home / 'course_utils').iterdir()] == ['__init__.py']"
    assert run(tmp_path, repository, fetch, alone, committed) == []


def test_every_kind_of_failure_is_seen(repository, tmp_path):
    callback = "import ipywidgets\ns = ipywidgets.IntSlider()\ns.observe(lambda c: 1 / 0, names='value')\ns.value = 3"
    faults = run(
        tmp_path,
        repository,
        "import time\ntime.sleep(5.2)",
        "raise OSError('cell goes wrong')",
        callback,
        "import sys\nprint('a warning', file=sys.stderr)",
        "import subprocess\nsubprocess.run(['git', 'ls-remote', 'https://github.com/a/b'], check=True)",
        "explore_nothing = 1  # stands for explore_channel_gates()",
    )
    words = "\n".join(faults)
    for seen in (
        "cell goes wrong",
        "ZeroDivisionError",
        "a warning",
        "Cell 4",
        "more than 5 s",
        "did not fetch the course",
        "did not switch on",
    ):
        assert seen in words, seen
