"""Studies that are killed, share their runs, or fail in one network: what was finished stays, once."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_study import TINY, numbers, quiet

from course_utils.training import TrainingError
from experiments.ledger import read_runs
from experiments.runner import run_study

torch.set_num_threads(1)

STUDY = str(Path(sys.modules["tiny_study"].__file__).parent)
KILLED = """
import sys
sys.path.insert(0, sys.argv[2])
import tiny_study
from experiments.runner import run_study
if __name__ == "__main__":
    run_study(tiny_study.TINY, seeds=2, out=sys.argv[1], jobs=int(sys.argv[3]))
"""


@pytest.mark.faults("saved networks and studies damaged or stopped")
def test_a_killed_study_ends_with_the_same_numbers(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(KILLED)
    stopped = tmp_path / "stopped"
    process = subprocess.Popen(
        [sys.executable, str(script), str(stopped), STUDY, "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while len(read_runs(stopped / "tiny")) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = len(read_runs(stopped / "tiny"))
    assert 2 <= done <= 8
    said = []
    run_study(TINY, seeds=2, out=stopped, say=said.append)
    assert len(said) == 8 - done
    run_study(TINY, seeds=2, out=tmp_path / "whole", say=quiet)
    assert numbers(stopped / "tiny") == numbers(tmp_path / "whole" / "tiny")


@pytest.mark.faults("saved networks and studies damaged or stopped")
def test_two_runners_on_one_study_share_its_runs(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(KILLED)
    command = [sys.executable, str(script), str(tmp_path / "both"), STUDY, "1"]
    runners = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [runner.wait(timeout=240) for runner in runners] == [0, 0]
    run_study(TINY, seeds=2, out=tmp_path / "alone", say=quiet)
    assert numbers(tmp_path / "both" / "tiny") == numbers(tmp_path / "alone" / "tiny")
    lines = (tmp_path / "both" / "tiny" / "runs.jsonl").read_text().splitlines()
    assert len([line for line in lines if "study" not in json.loads(line)]) == 8  # beside what a block says once


def failing(task):
    time.sleep(2)
    raise TrainingError("the weights are no longer finite")


@pytest.mark.faults("saved networks and studies damaged or stopped")
def test_a_network_that_fails_leaves_those_beside_it_finished(tmp_path):
    broken = replace(TINY.entries[1], build=failing)
    chosen = replace(TINY, entries=(TINY.entries[0], broken), learning_rates=(1e-2,))
    with pytest.raises(TrainingError, match="no longer finite"):
        run_study(chosen, out=tmp_path, jobs=2, say=quiet)
    assert list(read_runs(tmp_path / "tiny")) == [("few", "plain", 1000, 1e-2)]


@pytest.mark.faults("saved networks and studies damaged or stopped")
def test_the_helpers_of_a_killed_study_end(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(KILLED)
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "out"), STUDY, "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    group = f"/proc/{process.pid}/task/{process.pid}/children"
    if not Path(group).exists():
        process.kill()
        pytest.skip("this system does not list a process's children")
    deadline = time.monotonic() + 120
    while not read_runs(tmp_path / "out" / "tiny") and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    helpers = [int(number) for number in Path(group).read_text().split()]
    process.kill()  # the parent alone
    process.wait()
    assert len(helpers) >= 2
    while any(Path(f"/proc/{helper}").exists() for helper in helpers) and time.monotonic() < deadline:
        time.sleep(0.1)
    left = [helper for helper in helpers if Path(f"/proc/{helper}").exists()]
    for helper in left:
        os.kill(helper, signal.SIGKILL)
    assert not left
