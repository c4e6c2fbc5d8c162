"""The tool that plays Colab: what it lets in, what it keeps out, and what it calls a failure."""

import json
import os
import subprocess
import sys
import textwrap
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import colab  # noqa: E402


def distribution(site, name, requires=(), top=None):
    """Install a distribution of one package with one module into a folder."""
    package = top or name
    (site / package).mkdir(parents=True, exist_ok=True)
    (site / package / f"{name}_module.py").write_text(f"NAME = {name!r}\n")
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}")
    (info / "RECORD").write_text(f"{package}/{name}_module.py,,\n{name}-1.0.dist-info/METADATA,,\n../../bin/{name},,\n")


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    distribution(folder, "torchlike", ['numlike>=1; python_version > "3"', 'never; python_version < "3"', "kit[gpu]"])
    distribution(folder, "numlike")
    distribution(folder, "kit", ['driver; extra == "gpu"', 'other; extra == "else"'])
    distribution(folder, "driver")
    distribution(folder, "lablike", ["numlike"])
    return folder


def test_what_torch_needs_is_found_with_its_extras_and_nothing_else(site):
    there = colab.installed([str(site)])
    assert colab.needed_by(["torchlike"], there) == {"torchlike", "numlike", "kit", "driver"}


def test_what_is_not_linked_cannot_be_imported(site, tmp_path):
    there = colab.installed([str(site)])
    chosen = colab.needed_by(["torchlike"], there)
    colab.link(chosen, there, tmp_path / "shared")
    found = {each.metadata["Name"] for each in metadata.distributions(path=[str(tmp_path / "shared")])}
    assert found == chosen
    code = "import importlib.util as u; print([bool(u.find_spec(n)) for n in ('torchlike', 'driver', 'lablike')])"
    environment = {"PYTHONPATH": str(tmp_path / "shared"), "PATH": os.environ["PATH"]}
    seen = subprocess.run([sys.executable, "-S", "-c", code], env=environment, capture_output=True, text=True)
    assert seen.stdout == "[True, True, False]\n"


def test_a_folder_that_another_distribution_shares_is_not_linked(site, tmp_path):
    distribution(site, "spy", top="driver")
    there = colab.installed([str(site)])
    with pytest.raises(SystemExit, match="driver belongs to spy too"):
        colab.link(colab.needed_by(["torchlike"], there), there, tmp_path / "shared")


def test_modules_are_named_as_they_are_imported(site):
    assert colab.modules_of(["lablike", "kit"], colab.installed([str(site)])) == {"lablike", "kit"}
    here = colab.installed()
    assert {"jupyterlab", "timm", "typing_extensions"} <= colab.modules_of(
        ["jupyterlab", "timm", "typing-extensions"], here
    )


def test_pins_are_exact():
    assert colab.pins("# words\nA_b==1.2  # why\n\nc==3\n") == {"a-b": "1.2", "c": "3"}
    with pytest.raises(SystemExit, match="c>=3"):
        colab.pins("c>=3")


def test_the_pins_hold_what_colab_is_known_for():
    held = colab.pins(colab.VERSIONS.read_text(encoding="utf-8"))
    for name, version in {"ipywidgets": "7.7.1", "anywidget": "0.9.21", "traitlets": "5.7.1", "numpy": "2.1.3"}.items():
        assert held[name] == version
    assert not {"torch", "torchvision", "jupyterlab", "hypothesis"} & set(held)


def test_the_stand_in_is_what_makes_a_widget_switch_on_colabs_manager(tmp_path):
    calls = tmp_path / "calls.txt"
    code = """
        import sys
        import google.colab
        from course_utils.widgets import TrainingCurves
        first, second = TrainingCurves(), TrainingCurves()
        data, metadata = first._repr_mimebundle_()
        second._repr_mimebundle_()
        print(metadata["application/vnd.jupyter.widget-view+json"]["colab"]["custom_widget_manager"])
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tests" / "colab" / "stand_in"), "COLAB_CALLS": str(calls)}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert shown.stdout == "{'url': 'stand-in'}\n"
    assert calls.read_text() == "enable_custom_widget_manager\n"


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A repository of its own, in place of the course's."""
    folder = tmp_path / "clone"
    (folder / "course_utils").mkdir(parents=True)
    (folder / "course_utils" / "__init__.py").write_text("")
    git = ["git", "-c", "user.name=course", "-c", "user.email=course@example.org", "-C", str(folder)]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, *command], check=True)
    monkeypatch.setattr(colab, "ROOT", folder)
    return folder


def test_what_is_published_is_the_last_commit_under_the_tag(clone, tmp_path, capsys):
    (clone / "course_utils" / "new.py").write_text("")
    repository = colab.publish(tmp_path, "v1.2.3")
    assert "1 changed or new files are left out" in capsys.readouterr().out
    got = tmp_path / "got"
    subprocess.run(["git", "clone", "-q", "--depth=1", "--branch=v1.2.3", repository.as_uri(), got], check=True)
    assert sorted(path.name for path in (got / "course_utils").iterdir()) == ["__init__.py"]


def cell(source, *tags):
    return {
        "cell_type": "code",
        "execution_count": 1,
        "id": f"c{abs(hash(source))}",
        "metadata": {"tags": list(tags)},
        "outputs": [],
        "source": source.splitlines(keepends=True),
    }


FETCH = """
import pathlib, subprocess
home = pathlib.Path.cwd() / "attention-course"
subprocess.run(["git", "clone", "-q", "--depth=1", "--branch=v1.2.3", ADDRESS, str(home)], check=True)
"""


def run(tmp_path, repository, *cells):
    """Run a notebook of these cells by this Python, as if it were Colab's."""
    notebook = tmp_path / "9.9_made.ipynb"
    metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    content = {"cells": list(cells), "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    notebook.write_text(json.dumps(content))
    return colab.run_lesson(Path(sys.prefix), notebook, tmp_path / "run", repository)


def test_a_lesson_that_works_has_no_fault(clone, tmp_path):
    repository = colab.publish(tmp_path, "v1.2.3")
    fetch = cell(FETCH.replace("ADDRESS", repr(colab.project()[0])), "bootstrap")
    alone = cell("assert sorted(p.name for p in home.parent.iterdir()) == ['9.9_made.ipynb', 'attention-course']")
    ran = run(tmp_path, repository, fetch, alone)
    assert ran.faults == () and ran.cells == 2 and 0 < ran.bootstrap < colab.BOOTSTRAP_SECONDS


def test_every_kind_of_failure_is_seen(clone, tmp_path):
    repository = colab.publish(tmp_path, "v1.2.3")
    callback = "import ipywidgets\ns = ipywidgets.IntSlider()\ns.observe(lambda c: 1 / 0, names='value')\ns.value = 3"
    ran = run(
        tmp_path,
        repository,
        cell("import time\ntime.sleep(5.2)", "bootstrap"),
        cell("raise OSError('cell goes wrong')"),
        cell(callback),
        cell("import sys\nprint('a warning', file=sys.stderr)"),
        cell("import subprocess\nsubprocess.run(['git', 'ls-remote', 'https://github.com/a/b'], check=True)"),
        cell("explore_nothing = 1  # stands for explore_channel_gates()"),
    )
    words = "\n".join(ran.faults)
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
