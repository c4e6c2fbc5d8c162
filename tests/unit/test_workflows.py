"""The workflows: nothing runs that was not chosen, and nothing on a commit that depends on other people's servers."""

import re
from pathlib import Path

import pytest
import yaml

import course

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = {*course.COMMANDS, *course.GROUPS, "lab", "install", "links"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_workflow_has_few_permissions_limits_pinned_actions_and_targets_that_exist(path):
    text = path.read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    assert content["permissions"] == {"contents": "read"}
    assert set(re.findall(r"secrets\.(\w+)", text)) <= {"GITHUB_TOKEN"}
    for line in re.findall(r"uses: (.*)", text):
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", line), line
    for name, job in content["jobs"].items():
        assert job["timeout-minutes"] <= 120, name
        for command in (step.get("run", "") for step in job["steps"]):
            assert "${{" not in command, "values reach the shell only through the environment"
            for words in re.findall(r"(?m)^\s*(?:make ([^=\n]*)|python course.py (\S+))", command):
                assert set(" ".join(words).split()) <= TARGETS, f"{path.name}: {words}"


@pytest.mark.parametrize("name", ["drift", "links"])
def test_what_depends_on_others_runs_once_a_week_and_never_on_a_commit(name):
    content = yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text(encoding="utf-8"))
    assert set(content[True]) == {"schedule", "workflow_dispatch"}  # YAML 1.1 reads the key `on` as true
