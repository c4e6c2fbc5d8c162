"""runs.jsonl: whatever stops a runner, no finished run is lost or doubled, and a damaged line names itself."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from experiments.ledger import FILE, Key, StudyError, append_run, read_runs

ARGUMENTS = {"plain": {"widths": [4, 8]}}


def run_of(seed, **changes):
    settings = {"study": "tiny", "task": "few", "entry": "plain", "arguments": ARGUMENTS["plain"], "seed": seed}
    settings |= {"lr": 0.002, "epochs": 1, "batch_size": 32, "precision": "float32", "scored_on": "test"}
    made = {"versions": {"torch": "2.6"}, "machine": {"threads": 1}, "commit": "abc"}
    found = {"parameters": 100, "accuracy": 0.1 + 0.2, "train_loss": [2.3, 1 / 3], "seconds": 1.5}
    return {"settings": settings, **found, **made, **changes}


def seeds(folder):
    return [key.seed for key in read_runs(folder)]


def test_a_run_is_read_as_it_was_written_and_what_runs_share_stands_once(tmp_path):
    other = run_of(2, commit="def")
    for result in (run_of(0), run_of(1), other, run_of(3)):
        assert append_run(tmp_path, result, ARGUMENTS)
    runs = read_runs(tmp_path)
    assert runs[Key("few", "plain", 1, 0.002)] == run_of(1)
    assert runs[Key("few", "plain", 2, 0.002)] == other and list(runs) == [run_key(seed) for seed in range(4)]
    assert len((tmp_path / FILE).read_text().splitlines()) == 2 + 4


def run_key(seed):
    return Key("few", "plain", seed, 0.002)


def test_a_run_that_is_there_is_left_as_it_is(tmp_path):
    assert append_run(tmp_path, run_of(0), ARGUMENTS)
    assert not append_run(tmp_path, run_of(0, accuracy=0.9), ARGUMENTS)
    assert read_runs(tmp_path)[run_key(0)]["accuracy"] == 0.1 + 0.2


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_ledger
first, count = int(sys.argv[3]), int(sys.argv[4])
folder = Path(sys.argv[1])
for seed in range(first, first + count):
    test_ledger.append_run(folder, test_ledger.run_of(seed, filling="x" * 300_000), test_ledger.ARGUMENTS)
    print(seed, flush=True)
"""


def writer(folder, first, count):
    command = [sys.executable, "-c", WRITER, str(folder), os.path.dirname(__file__), str(first), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.faults("saved networks and studies damaged or stopped")
def test_a_writer_killed_at_any_moment_loses_no_run_that_it_had_finished(tmp_path, record_property):
    said = []
    for turn in range(6):
        process = writer(tmp_path, 100 * turn, 100)
        said.append(int(process.stdout.readline()))
        time.sleep(0.005 * turn)
        process.send_signal(signal.SIGKILL)
        rest = process.communicate()[0]
        said += [int(line) for line in rest.splitlines()]
        found = seeds(tmp_path)
        assert set(said) <= set(found), "what was reported as finished is there"
        assert len(found) == len(set(found))
    append_run(tmp_path, run_of(1000), ARGUMENTS)
    assert seeds(tmp_path)[-1] == 1000 and set(said) <= set(seeds(tmp_path))
    record_property("tried", 6)


@pytest.mark.faults("saved networks and studies damaged or stopped")
def test_a_line_torn_at_any_byte_is_dropped_and_its_run_done_again(tmp_path, record_property):
    append_run(tmp_path, run_of(0), ARGUMENTS)
    before = (tmp_path / FILE).read_bytes()
    append_run(tmp_path, run_of(1, commit="def"), ARGUMENTS)  # a block's line and a run's
    whole = (tmp_path / FILE).read_bytes()
    for length in range(len(before), len(whole)):
        (tmp_path / FILE).write_bytes(whole[:length])
        assert seeds(tmp_path) == [0]
        assert append_run(tmp_path, run_of(1, commit="def"), ARGUMENTS)
        assert (tmp_path / FILE).read_bytes() == whole
    record_property("tried", len(whole) - len(before))


@pytest.mark.faults("saved networks and studies damaged or stopped")
def test_two_writers_at_once_lose_and_double_nothing(tmp_path):
    writers = [writer(tmp_path, 0, 25), writer(tmp_path, 10, 25)]
    assert [len(process.communicate()[0].splitlines()) for process in writers] == [25, 25]
    assert all(process.returncode == 0 for process in writers)
    assert sorted(seeds(tmp_path)) == list(range(35))
    assert sum('"study"' in line for line in (tmp_path / FILE).read_text().splitlines()) == 1


FULL = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_ledger
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a file that may not grow gives an error, as on a full disk
size = (Path(sys.argv[1]) / test_ledger.FILE).stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, size + 100))
try:
    test_ledger.append_run(Path(sys.argv[1]), test_ledger.run_of(1), test_ledger.ARGUMENTS)
except OSError as error:
    print(error)
"""


@pytest.mark.faults("writings to a full disk")
def test_a_file_that_cannot_grow_keeps_its_runs_and_says_so(tmp_path):
    append_run(tmp_path, run_of(0), ARGUMENTS)
    before = (tmp_path / FILE).read_bytes()
    command = [sys.executable, "-c", FULL, str(tmp_path), os.path.dirname(__file__)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Make room and run again" in said and FILE in said
    assert (tmp_path / FILE).read_bytes() == before
    assert append_run(tmp_path, run_of(1), ARGUMENTS) and seeds(tmp_path) == [0, 1]


@pytest.mark.faults("saved networks and studies damaged or stopped")
@pytest.mark.parametrize(
    ("number", "change", "words"),
    [
        (1, {"format": 99}, "of format 99"),
        (1, {"settings": None}, "line 2"),
        (2, {"block": 7}, "no line before it opens block 7"),
        (2, {"accuracy": 7}, "accuracy is 7"),
        (2, {"parameters": "many"}, "parameters is 'many'"),
        (2, {"entry": "unknown"}, "unknown"),
        (3, {"seed": 0}, "an earlier line holds the same run"),
    ],
)
def test_a_broken_line_names_the_file_and_its_number(tmp_path, number, change, words):
    for seed in (0, 1):
        append_run(tmp_path, run_of(seed), ARGUMENTS)
    lines = (tmp_path / FILE).read_text().splitlines()
    lines[number - 1] = json.dumps(json.loads(lines[number - 1]) | change)
    (tmp_path / FILE).write_text("\n".join(lines) + "\n")
    with pytest.raises(StudyError, match=r"runs\.jsonl, line \d.*Restore the file") as said:
        read_runs(tmp_path)
    assert words in str(said.value)
    with pytest.raises(StudyError, match="Restore the file"):
        append_run(tmp_path, run_of(5), ARGUMENTS)
