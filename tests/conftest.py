"""What tests of all folders share."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


def pytest_addoption(parser: pytest.Parser) -> None:
    """How often tests/strict tries each wrong version of a solution."""
    parser.addoption("--tries", type=int, default=5, help="tries of each wrong version of a solution; make strict: 200")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let the report of a test that brings a fault about say which kind it is."""
    for mark in item.iter_markers("faults"):
        item.user_properties.append(("fault", mark.args[0]))
        break


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """After `make faults`: how many faults were tried, by kind; a test counts as one, or as `tried` says."""
    if config.option.markexpr != "faults":
        return
    kinds: Counter[str] = Counter()
    for report in terminalreporter.stats.get("passed", []):
        said = dict(report.user_properties)
        if report.when == "call" and "fault" in said:
            kinds[said["fault"]] += int(said.get("tried", 1))
    for kind, count in sorted(kinds.items()):
        terminalreporter.write_line(f"{count:6,d}  {kind}")
    terminalreporter.write_line(f"{kinds.total():6,d}  faults in all")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Keep torch to one thread where all tensors are tiny: threads would only wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def fresh_session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A learner who has done nothing yet, and whose progress is kept nowhere else."""
    from course_utils.check.session import SESSION

    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.json"))
    SESSION.__init__()


@pytest.fixture
def cell(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """The source of the one code cell that holds some words, in the lesson that the test file names as LESSON."""

    def source(words: str) -> str:
        cells = json.loads((NOTEBOOKS / request.module.LESSON).read_text(encoding="utf-8"))["cells"]
        texts = ["".join(one["source"]) for one in cells if one["cell_type"] == "code"]
        (found,) = [text for text in texts if words in text]
        return found

    return source
