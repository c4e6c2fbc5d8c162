"""What `make faults` counts is what was tried, by kind."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import faults  # noqa: E402

TESTS = """
import pytest

@pytest.mark.faults("one kind")
@pytest.mark.parametrize("n", [1, 2])
def test_each_counts(n):
    pass

@pytest.mark.faults("one kind")
def test_many(record_property):
    record_property("tried", 40)

class TestOther:
    pytestmark = pytest.mark.faults("another kind")

    def test_it(self):
        pass

    @pytest.mark.skip
    def test_left_out(self):
        pass

def test_no_fault():
    pass
"""


def test_tests_count_once_or_as_often_as_they_say_and_those_left_out_do_not(tmp_path):
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text(encoding="utf-8"))
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = faults(kind): one\n")
    report = tmp_path / "report.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        "faults",
        "-o",
        "junit_family=xunit1",
        f"--junitxml={report}",
    ]
    subprocess.run([*command, str(tmp_path)], cwd=tmp_path, check=True, capture_output=True)
    kinds, left_out = faults.counted(report)
    assert kinds == {"one kind": 42, "another kind": 1} and left_out == 1


def test_a_kind_has_one_name_and_a_clear_one():
    marks = re.compile(r'mark\.faults\("([^"]*)"\)')
    sources = {path: path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")}
    named = [kind for path, text in sources.items() if path != Path(__file__) for kind in marks.findall(text)]
    assert sum(text.count("mark.faults(") for path, text in sources.items() if path != Path(__file__)) == len(named)
    kinds = set(named)
    assert all(len(kind.split()) >= 2 for kind in kinds)
    assert len({tuple(kind.lower().split()[:2]) for kind in kinds}) == len(kinds), f"two names for one kind: {kinds}"
