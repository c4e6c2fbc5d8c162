"""The workflows: what runs when, and that nothing that depends on other people's servers runs on a commit."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def workflow(name):
    return yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text(encoding="utf-8"))


def triggers(content):
    return content[True]  # YAML 1.1 reads the key `on` as true


def commands(content):
    return "\n".join(step.get("run", "") for job in content["jobs"].values() for step in job["steps"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_workflow_names_its_permissions_its_limits_and_targets_that_exist(path):
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert content["permissions"]
    for name, job in content["jobs"].items():
        assert job["timeout-minutes"] <= 120, name
        for step in job["steps"]:
            assert re.fullmatch(r"[\w.-]+/[\w./-]+@v\d+(\.\d+)*", step.get("uses", "some/action@v1")), step
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"(?m)^([a-z-]+):", makefile))
    for line in re.findall(r"(?m)^\s*make (.*)$", commands(content)):
        for word in line.split():
            assert "=" in word or word.startswith(".venv/") or word in targets, f"{path.name}: make {word}"
    for tool in re.findall(r"\b(tools/\w+\.py)", commands(content)):
        assert (ROOT / tool).exists(), tool


@pytest.mark.parametrize("name", ["drift", "links"])
def test_what_depends_on_others_runs_once_a_week_and_never_on_a_commit(name):
    when = triggers(workflow(name))
    assert set(when) == {"schedule", "workflow_dispatch"}
    (schedule,) = when["schedule"]
    minute, hour, day, month, weekday = schedule["cron"].split()
    assert minute.isdigit() and hour.isdigit() and weekday.isdigit() and (day, month) == ("*", "*")


def test_the_newest_versions_are_really_taken():
    newest = workflow("drift")["jobs"]["newest"]
    (upgrade,) = [step["run"] for step in newest["steps"] if "--upgrade" in step.get("run", "")]
    for word in ("--no-cache-dir", "--upgrade-strategy eager", '-e ".[test]"'):
        assert word in upgrade
    assert not any("cache" in step.get("with", {}) for step in newest["steps"])
    assert "make test" in commands({"jobs": {"newest": newest}})


def test_the_lowest_versions_are_those_of_the_tool():
    steps = workflow("drift")["jobs"]["lowest"]["steps"]
    (named,) = [i for i, step in enumerate(steps) if "tools/lowest.py | tee lowest.txt" in step.get("run", "")]
    (installs,) = [i for i, step in enumerate(steps) if "PIP_CONSTRAINT" in step.get("env", {})]
    assert named < installs and steps[installs]["env"]["PIP_CONSTRAINT"].endswith("/lowest.txt")
    assert steps[1]["with"]["python-version"] == "3.11", "the lowest Python too"
    assert "unit" in steps[-1]["run"] and "lessons" in steps[-1]["run"]


def test_colabs_versions_are_tried_on_the_lowest_python_and_on_colabs():
    content = workflow("test")
    (job,) = [job for job in content["jobs"].values() if any("make colab" in s.get("run", "") for s in job["steps"])]
    assert set(job["strategy"]["matrix"]["python"]) == {"3.11", "3.13"}


def test_the_links_that_are_visited_are_all_of_the_courses():
    steps = workflow("links")["jobs"]["links"]["steps"]
    (made,) = [i for i, step in enumerate(steps) if "tools/addresses.py > addresses.md" in step.get("run", "")]
    (visited,) = [i for i, step in enumerate(steps) if "lychee" in step.get("uses", "")]
    assert made < visited and steps[visited]["with"]["args"].endswith("addresses.md")
    assert steps[visited]["with"]["fail"] is True
