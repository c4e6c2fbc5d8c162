"""What lessons ask of the recorded studies: one file is read, without torch, and what is not there is named."""

import builtins
import io
import json
import subprocess
import sys

import pytest

from course_utils.resources import ResourceError, resource_root
from course_utils.results import bench, results


def test_a_study_is_read_from_one_file(monkeypatch):
    opened = []
    real = io.open

    def watched(file, *arguments, **options):
        opened.append(str(file))
        return real(file, *arguments, **options)

    monkeypatch.setattr(io, "open", watched)
    monkeypatch.setattr(builtins, "open", watched)
    assert results("4.3").row("cued", "gsop").mean > 0.5
    assert [path for path in opened if "results" in path] == [str(resource_root() / "results/4.3/summary.json")]


def test_results_need_no_torch():
    code = "import sys; from course_utils.results import results; results('4.2'); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_a_question_without_an_answer_says_what_there_is():
    with pytest.raises(ValueError, match=r"no study with results '4\.33'; did you mean '4\.3"):
        results("4.33")
    found = results("4.2")
    with pytest.raises(ValueError, match=r"no row of study 4.2 for cued, gsop; there are: .*cued, se"):
        found.row("cued", "gsop")
    with pytest.raises(ValueError, match=r"no difference .* for cued, plain, se, accuracy; .*cued, se, plain"):
        found.difference("cued", "plain", "se")
    with pytest.raises(ValueError, match=r"no cost in study 4\.2"):
        found.cost("cued", "se")
    with pytest.raises(ValueError, match="SEBlock"):
        bench("SEBlok")


def test_a_recorded_benchmark_is_shown_as_a_table():
    shown = repr(bench("SEBlock"))
    assert "timm SEModule" in shown and "ours / other" in shown and "{" not in shown
    row = bench("SEBlock").rows[0]
    assert bench("SEBlock").row(row["case"], row["step"]) == row


@pytest.mark.parametrize("change", [{"format": 1}, {"rows": [{"task": "few"}]}, {"costs": 3}, {"surplus": 1}])
def test_a_damaged_summary_names_itself_and_what_to_do(tmp_path, change):
    stored = json.loads((resource_root() / "results/4.2/summary.json").read_text(encoding="utf-8"))
    (tmp_path / "4.2").mkdir()
    (tmp_path / "4.2" / "summary.json").write_text(json.dumps(stored | change), encoding="utf-8")
    with pytest.raises(ResourceError, match=r"summary\.json is not a readable .*python -m experiments report 4\.2"):
        results("4.2", tmp_path)
    (tmp_path / "4.2" / "summary.json").unlink()
    with pytest.raises(ResourceError, match=r"summary\.json.*FileNotFoundError"):
        results("4.2", tmp_path)
