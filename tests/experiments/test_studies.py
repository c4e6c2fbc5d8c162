"""Studies: fair trials, runs that can be stopped and repeated, claims that need an interval, and the command line."""

import importlib
import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny_study import TINY, few_digits, numbers, quiet

from course_utils.resources import resource_root
from course_utils.results import results
from experiments import __main__ as command_line
from experiments.costs import measure_costs, peak_memory
from experiments.ledger import Key, StudyError, append_run, read_runs
from experiments.plan import chosen_lr, finished, seed_runs, tuning_runs
from experiments.report import as_json, study_report
from experiments.run import Run, execute, plain_arguments
from experiments.runner import run_study
from experiments.studies import STUDIES, study
from experiments.study import FIRST_TRIAL_SEED
from experiments.tasks import CUED, DIGITS

torch.set_num_threads(1)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(STUDIES, "tiny", TINY)
    return TINY


def pretend(run, folder, accuracy, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    result = {"settings": run.settings, "accuracy": accuracy, "parameters": 100, "seconds": 1.0}
    made = {"versions": {"course": "0"}, "machine": {}, "commit": None}
    arguments = {entry.name: plain_arguments(entry) for entry in run.study.entries}
    assert append_run(folder, result | made | changes, arguments)


def forget(folder, *keys):
    """Take runs out of a study's runs.jsonl."""
    path = folder / "runs.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    kept = [line for line in lines if "study" in line or tuple(line[name] for name in Key._fields) not in keys]
    assert len(kept) == len(lines) - len(keys)
    path.write_text("".join(json.dumps(line) + "\n" for line in kept))


def seed_runs_at(chosen, seeds, lr=2e-3):
    """The runs of a study whose trials were all equal: the smaller learning rate is taken."""
    return [
        Run(chosen, task, entry, seed, lr) for seed in range(seeds) for task in chosen.tasks for entry in chosen.entries
    ]


def test_a_study_keeps_one_line_for_each_run_and_goes_on_where_it_was(tiny, tmp_path):
    said = []
    folder = run_study(TINY, seeds=2, out=tmp_path, say=said.append)
    before = numbers(folder)
    trials = {Key("few", entry, 1000, lr) for entry in ("plain", "se") for lr in (1e-2, 2e-3)}
    assert trials < set(before) and {key[1:3] for key in set(before) - trials} == {
        (entry, seed) for entry in ("plain", "se") for seed in (0, 1)
    }
    assert len(said) == len(before) == 8
    assert len((folder / "runs.jsonl").read_text().splitlines()) == 1 + 8  # one block
    forget(folder, next(key for key in before if key[1:3] == ("se", 1)))
    said.clear()
    torch.manual_seed(99)
    run_study(TINY, seeds=2, out=tmp_path, say=said.append)
    assert len(said) == 1 and "few se seed 1" in said[0]
    assert numbers(folder) == before


def test_a_result_says_how_it_was_made_and_nothing_private(tiny, tmp_path):
    run = Run(TINY, TINY.tasks[0], TINY.entries[0], seed=0, lr=1e-2)
    result = execute(run)
    assert set(result["versions"]) >= {"course", "python", "torch", "numpy", "accelerate", "scikit-learn"}
    assert set(result["machine"]) == {"device", "processor", "threads", "processes"}
    assert sum(map(sum, result["confusion"])) == result["scored_images"] == 128
    assert result["settings"]["scored_on"] == "test" and len(result["train_loss"]) == 1
    text = json.dumps(result)
    assert os.uname().nodename not in text and str(Path.home()) not in text


def test_test_images_are_read_once_and_only_after_the_settings_are_chosen(tmp_path):
    read = []

    def watched(split, seed):
        read.append((split, seed))
        return few_digits(split, seed)

    watching = replace(TINY, tasks=(replace(TINY.tasks[0], images=watched),))
    run_study(watching, seeds=1, out=tmp_path, say=quiet)
    assert read == [("fit", FIRST_TRIAL_SEED), ("validation", FIRST_TRIAL_SEED)] * 4 + [("train", 0), ("test", 0)] * 2


def test_every_network_has_the_same_trials_and_the_same_data_by_seed():
    for chosen in STUDIES.values():
        trials = tuning_runs(chosen)
        for task in chosen.tasks:
            for entry in chosen.entries:
                lrs = [run.lr for run in trials if run.task == task and run.entry == entry]
                assert lrs == list(chosen.learning_rates) * chosen.trials
        assert {run.seed for run in trials}.isdisjoint(chosen.seeds(100))
    for task in (DIGITS, CUED):
        first, again, other = task.images("train", 0), task.images("train", 0), task.images("train", 1)
        assert torch.equal(first.images, again.images)
        assert not torch.equal(first.images, other.images)


def test_the_best_mean_of_trials_chooses_the_learning_rate_and_not_the_best_trial(tmp_path):
    thrice = replace(TINY, trials=3)
    for run in tuning_runs(thrice):
        pretend(run, tmp_path, {1e-2: [0.95, 0.95, 0.4], 2e-3: [0.8, 0.7, 0.9]}[run.lr][run.seed - FIRST_TRIAL_SEED])
    assert chosen_lr(thrice, TINY.tasks[0], TINY.entries[0], read_runs(tmp_path)) == 2e-3
    forget(tmp_path, ("few", "plain", 1002, 1e-2))
    with pytest.raises(StudyError, match=r"runs\.jsonl of study tiny lacks few plain trial 1002 lr 0\.01"):
        chosen_lr(thrice, TINY.tasks[0], TINY.entries[0], read_runs(tmp_path))


def test_the_best_trial_chooses_the_learning_rate(tmp_path):
    task, entry = TINY.tasks[0], TINY.entries[0]
    for run in tuning_runs(TINY):
        pretend(run, tmp_path / "one", {1e-2: 0.7, 2e-3: 0.6}[run.lr])
        pretend(run, tmp_path / "equal", 0.7)
    assert chosen_lr(TINY, task, entry, read_runs(tmp_path / "one")) == 1e-2
    assert chosen_lr(TINY, task, entry, read_runs(tmp_path / "equal")) == 2e-3


def test_a_run_made_with_other_settings_is_refused_by_name(tmp_path):
    run = Run(TINY, TINY.tasks[0], TINY.entries[0], seed=0, lr=1e-2)
    assert finished(run, read_runs(tmp_path)) is None
    pretend(run, tmp_path, 0.5)
    assert finished(run, read_runs(tmp_path))["accuracy"] == 0.5
    longer = replace(run, study=replace(TINY, epochs=50))
    with pytest.raises(StudyError, match=r"few plain seed 0 of study tiny was made with other settings \(epochs\)"):
        finished(longer, read_runs(tmp_path))


def pretend_study(folder, plain, se):
    (folder / "runs.jsonl").unlink(missing_ok=True)
    for run in tuning_runs(TINY):
        pretend(run, folder, 0.5)
    for run in seed_runs(TINY, len(plain), read_runs(folder)):
        pretend(run, folder, {"plain": plain, "se": se}[run.entry.name][run.seed])


def test_further_measures_are_reported_with_intervals_where_a_network_has_them(tiny, tmp_path):
    folder = tmp_path / "tiny"
    for run in tuning_runs(TINY):
        pretend(run, folder, 0.5)
    shares = {0: 0.4, 1: 0.6, 2: 0.5}
    for run in seed_runs(TINY, 3, read_runs(folder)):
        other = {"share": 0.1} if run.entry.name == "plain" else {"share": shares[run.seed], "overlap": 0.3}
        pretend(run, folder, 0.5, measures=other)
    report = study_report("tiny", tmp_path)
    share = report.row("few", "se").measures["share"]
    assert share.mean == pytest.approx(0.5) and share.low < 0.4 and share.high > 0.6
    assert set(report.row("few", "plain").measures) == {"share"}
    assert report.row("few", "se").trials == {"0.01": [0.5], "0.002": [0.5]}
    gap = report.difference("few", "se", "plain", "share")
    assert gap.mean == pytest.approx(0.4) and gap.verdict == "higher"
    assert report.difference("few", "se", "plain").verdict == "no difference shown"
    text = repr(report)  # what a notebook shows where it cannot show a table
    assert "A few digits: differences of share, seed by seed" in text and "differences of overlap" not in text
    assert "0.500 (0.2" in text and "–" in text


def test_what_a_study_measures_is_in_its_results_but_not_in_its_trials(tmp_path):
    measuring = replace(TINY, measure=lambda network, images: {"images": float(len(images))})
    run = Run(measuring, TINY.tasks[0], TINY.entries[0], seed=0, lr=1e-2)
    assert execute(run)["measures"] == {"images": 128.0}
    assert execute(replace(run, seed=FIRST_TRIAL_SEED))["measures"] == {}


def test_costs_are_counted_timed_and_shown_beside_the_accuracies(tiny, tmp_path):
    folder = tmp_path / "tiny"
    for run in [*tuning_runs(TINY), *seed_runs_at(TINY, 2)]:
        pretend(run, folder, 0.5)
    assert study_report("tiny", tmp_path).costs == []
    path = measure_costs(TINY, tmp_path, rounds=2, say=quiet)
    report = study_report("tiny", tmp_path)
    plain, se = report.cost("few", "plain"), report.cost("few", "se")
    assert plain.parameters == 4 * 9 + 4 * 4 * 9 + 8 * 4 * 9 + 2 * 16 + 8 * 10 + 10
    # Each convolution at its own size, and the head: two operations a multiply-add.
    assert plain.flops == 2 * (784 * 4 * 9 + 196 * 4 * 4 * 9 + 49 * 8 * 4 * 9 + 8 * 10)
    assert se.parameters > plain.parameters and se.flops > plain.flops and se.peak_mb > plain.peak_mb > 0
    assert plain.step_ms > 0 and "cost of a training step on 32 images" in str(report)
    path.write_text("{}")
    with pytest.raises(StudyError, match="costs tiny"):
        study_report("tiny", tmp_path)


def test_peak_memory_counts_what_stands_at_once():
    def call():
        first = torch.empty(1_000_000)
        del first
        return torch.empty(2_000_000), torch.empty(500_000)

    assert peak_memory(call) == pytest.approx(4 * 2_500_000, rel=0.01)


def test_a_claim_needs_an_interval_that_leaves_out_zero(tiny, tmp_path):
    pretend_study(tmp_path / "tiny", plain=[0.60, 0.70, 0.80], se=[0.65, 0.76, 0.84])
    report = study_report("tiny", tmp_path)
    pair = report.difference("few", "se", "plain")
    assert pair.mean == pytest.approx(0.05) and pair.low == pytest.approx(0.05 - 4.30265 * 0.01 / 3**0.5, abs=1e-5)
    assert pair.verdict == "higher"
    assert report.row("few", "plain").mean == pytest.approx(0.7)
    pretend_study(tmp_path / "tiny", plain=[0.60, 0.70, 0.80], se=[0.65, 0.66, 0.84])
    assert study_report("tiny", tmp_path).difference("few", "se", "plain").verdict == "no difference shown"
    pretend_study(tmp_path / "tiny", plain=[0.60, 0.70, 0.80], se=[0.50, 0.61, 0.70])
    assert study_report("tiny", tmp_path).difference("few", "se", "plain").verdict == "lower"


def test_a_report_counts_only_seeds_that_every_network_has_finished(tiny, tmp_path):
    pretend_study(tmp_path / "tiny", plain=[0.6, 0.7, 0.8], se=[0.6, 0.7, 0.8])
    forget(tmp_path / "tiny", ("few", "se", 2, 2e-3))
    report = study_report("tiny", tmp_path)
    assert report.seeds == 2
    assert "| with SE | 100 | 0.650 | 0.015 to 1.000 |" in report._repr_markdown_()
    forget(tmp_path / "tiny", ("few", "se", 1, 2e-3))
    with pytest.raises(StudyError, match="1 finished seeds"):
        study_report("tiny", tmp_path)


def test_the_command_line_runs_lists_and_reports(tiny, tmp_path, capsys):
    pretend_study(tmp_path / "tiny", plain=[0.6, 0.7, 0.8], se=[0.7, 0.8, 0.9001])
    assert command_line.main(["run", "tiny", "--seeds", "3", "--out", str(tmp_path)]) == 0
    assert command_line.main(["report", "tiny", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "+0.100" in printed and "higher" in printed
    found = results("tiny", tmp_path)
    assert found.differences[0].verdict == "higher" and found.seeds == 3
    assert command_line.main(["list"]) == 0
    assert "4.2" in capsys.readouterr().out


def test_one_command_recomputes_every_shipped_study_its_costs_and_its_maps(tmp_path, monkeypatch, capsys):
    called = []
    monkeypatch.setattr(command_line, "STUDIES", {"tiny": TINY, "far": replace(TINY, name="far", shipped=False)})
    monkeypatch.setitem(STUDIES, "tiny", TINY)
    monkeypatch.setattr(command_line, "LEAGUE", TINY)
    monkeypatch.setattr(command_line, "record_maps", lambda out: called.append(out) or "maps")
    assert command_line.main(["all", "--seeds", "2", "--out", str(tmp_path)]) == 0
    assert {"summary.json", "costs.json", "runs.jsonl"} <= {file.name for file in (tmp_path / "tiny").iterdir()}
    assert results("tiny", tmp_path).cost("few", "se").parameters > 0
    assert called == [str(tmp_path)] and not (tmp_path / "far").exists()
    assert str(tmp_path / "tiny" / "costs.json") in capsys.readouterr().out


def test_the_command_line_says_in_one_line_what_is_wrong(tiny, tmp_path, capsys):
    assert command_line.main(["run", "4.22"]) == 2
    assert "Did you mean '4.2'" in capsys.readouterr().err
    (tmp_path / "tiny").write_text("a file")
    assert command_line.main(["run", "tiny", "--out", str(tmp_path)]) == 2
    assert "cannot be made a folder" in capsys.readouterr().err
    assert command_line.main(["report", "tiny", "--out", str(tmp_path)]) == 2
    assert "tiny is not a folder of results, but a file" in capsys.readouterr().err
    assert command_line.main(["costs", "tiny", "--out", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert "cannot be made a folder" in said.err and not said.out  # nothing was measured for it
    assert command_line.main(["weights", "se_digits", "--out", str(tmp_path / "tiny")]) == 2
    assert "cannot be made a folder" in capsys.readouterr().err
    assert command_line.main(["weights", "se_digit", "--out", str(tmp_path)]) == 2
    assert "did you mean 'se_digits'" in capsys.readouterr().err
    assert command_line.main(["run", "tiny", "--seeds", "0", "--out", str(tmp_path / "new")]) == 2
    assert "at least 1" in capsys.readouterr().err
    assert command_line.main(["run", "4.1.4", "--jobs", "2", "--out", str(tmp_path / "new")]) == 2
    assert "one process with one thread" in capsys.readouterr().err and not (tmp_path / "new").exists()
    assert command_line.main(["costs", "4.1.4"]) == 2
    assert "trains nothing" in capsys.readouterr().err


def test_a_study_that_needs_a_download_says_so_without_a_network(tmp_path, monkeypatch, capsys):
    cifar = importlib.import_module("course_utils.data.cifar")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(cifar, "_SOURCE", "http://127.0.0.1:9/cifar-10-binary.tar.gz")
    monkeypatch.setattr(cifar, "CACHE", tmp_path / "cache")
    assert command_line.main(["run", "4.3-cifar10", "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "could not be fetched" in said and "Connect to the internet" in said


def test_an_unknown_study_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"Did you mean '4\.2'"):
        study("4.2.")
    for asked, meant in (("leage", "4.3"), ("vgg", "4.5"), ("squeeze-excitation", "4.2")):
        with pytest.raises(ValueError, match=f"Did you mean {meant!r} "):
            study(asked)


def test_a_short_study_trains_the_same_networks_and_is_kept_apart(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command_line.main(["run", "4.3-original-short", "--seeds", "2"]) == 0
    assert command_line.main(["report", "4.3-original-short"]) == 0
    said = capsys.readouterr().out
    assert "with self-attention" in said and "6 runs, by course" in said and "1 thread(s) in 1 process(es)" in said
    folder = tmp_path / "runs" / "4.3-original-short"
    (result,) = [run for key, run in read_runs(folder).items() if key.seed == 6 and key.entry == "plain"]
    assert (result["train_images"], len(result["train_loss"])) == (640, 2)
    whole, brief = study("4.3-original"), study("4.3-original-short")
    assert (brief.entries, brief.pairs, brief.shipped) == (whole.entries, whole.pairs, False)
    assert "runs" not in {path.name for path in resource_root().iterdir()}


@pytest.mark.parametrize(
    ("launch", "words"),
    [
        ({"num_processes": 2, "mixed_precision": "no"}, "give --jobs 1"),
        ({"num_processes": 1, "mixed_precision": "bf16"}, "float32 throughout, but this launch asks for bf16"),
    ],
)
def test_a_launch_that_would_change_the_numbers_is_refused(tmp_path, monkeypatch, launch, words):
    runs = importlib.import_module("experiments.runner")
    monkeypatch.setattr(runs.accelerate, "Accelerator", lambda: SimpleNamespace(**launch))
    with pytest.raises(ValueError, match=words):
        run_study(TINY, seeds=1, out=tmp_path, jobs=2, say=quiet)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def recorded():
    return study_report("4.2")


@pytest.mark.parametrize("name", sorted(name for name, chosen in STUDIES.items() if chosen.shipped))
def test_a_recorded_study_has_five_seeds_and_its_summary_is_made_from_its_runs(name):
    report = study_report(name)
    assert report.seeds >= 5
    stored = (resource_root() / "results" / name / "summary.json").read_text()
    assert _to_twelve_digits(stored) == _to_twelve_digits(as_json(report))


def _to_twelve_digits(text):
    """What JSON holds, without the digits in which versions of scipy differ."""
    return json.loads(text, parse_float=lambda number: round(float(number), 12))


def test_compared_networks_have_as_many_parameters_as_is_said(recorded):
    for task in ("digits", "cued"):
        se, wider, plain = (recorded.row(task, name).parameters for name in ("se", "wider", "plain"))
        assert plain < se <= wider < 1.005 * se
        assert recorded.row(task, "deeper").parameters > se


def test_a_recorded_run_can_be_made_again(recorded):
    chosen = study("4.2")
    recorded = read_runs(resource_root() / "results" / "4.2")
    (run,) = [
        run
        for run in seed_runs(chosen, 1, recorded)
        if (run.task.name, run.entry.name, run.seed) == ("digits", "pooled", chosen.first_seed)
    ]
    stored, again = finished(run, recorded), execute(run)
    assert again["parameters"] == stored["parameters"]
    assert again["train_loss"][0] == pytest.approx(stored["train_loss"][0], rel=0.02)
    assert abs(again["accuracy"] - stored["accuracy"]) <= 0.015
