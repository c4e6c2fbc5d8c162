"""The study of lesson 4.5: its networks are what their titles say, and its maps are recorded as they were seen."""

import dataclasses
import functools
import itertools
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from course_utils.attention import record_masks
from course_utils.data import DIGIT_PAIRS, cued_scenes
from experiments import maps
from experiments.ledger import StudyError, read_runs
from experiments.report import study_report
from experiments.run import Run, execute
from experiments.runner import run_study
from experiments.small_vgg import SMALL_VGG, EvenGate, TwoDigitsVGG, small_vgg
from experiments.studies import STUDIES
from experiments.study_gates import GATES, GATES_TWO
from experiments.tasks import SCENES, TWO_CUES

torch.set_num_threads(1)


def few(cues, split, seed):
    return cued_scenes(32, seed, split, size=64, cues=cues)


@pytest.mark.parametrize(
    ("study", "task", "classes"),
    [(GATES, SCENES, 10), (GATES_TWO, TWO_CUES, 45)],
    ids=lambda one: getattr(one, "name", ""),
)
def test_every_network_takes_its_task_and_every_pair_is_of_the_study(study, task, classes):
    names = [entry.name for entry in study.entries]
    assert len(set(names)) == len(names) and set(itertools.chain(*study.pairs)) <= set(names)
    for entry in study.entries:
        assert entry.build(task)(torch.rand(2, 3, 64, 64)).shape == (2, classes)
        assert json.dumps(Run(study, task, entry, 0, 1e-3).settings)


def test_an_even_gate_is_the_plain_mean_and_learns_nothing():
    gate, local = EvenGate(), torch.rand(2, 4, 6, 5)
    with record_masks(gate) as masks:
        pooled = gate(local, torch.rand(2, 7, 1, 1))
    torch.testing.assert_close(pooled, local.mean((2, 3)))
    assert masks[""].shape == (2, 1, 6, 5) and (masks[""] == 1).all()
    alone, even, gated = (sum(p.numel() for p in small_vgg(kind).parameters()) for kind in (None, "even", "sigmoid"))
    assert even - alone == 10 * (24 + 48)  # only the wider last layer
    assert gated - even == 32 * (24 + 64) + 32 * (48 + 64) + 2 * 33


def test_the_even_networks_answer_is_that_of_three_averaged_maps():
    network = small_vgg("even").eval()
    images, maps = torch.rand(2, 3, 64, 64), []
    for tap in network.taps:
        network.features[tap].register_forward_hook(lambda part, given, made: maps.append(made.mean((2, 3))))
    logits = network(images)
    torch.testing.assert_close(network.classifier(torch.cat([maps[2], maps[0], maps[1]], 1)), logits)


def test_the_pairs_probabilities_are_ten_independent_answers_of_which_two_are_yes():
    torch.manual_seed(0)
    network = TwoDigitsVGG(10, "softmax", **SMALL_VGG).eval()
    images = torch.rand(1, 3, 64, 64)
    yes = torch.sigmoid(network.digits(images)[0])
    odds = torch.stack(
        [torch.stack([yes[k] if k in pair else 1 - yes[k] for k in range(10)]).prod() for pair in DIGIT_PAIRS]
    )
    torch.testing.assert_close(network(images).softmax(1)[0], odds / odds.sum())


def test_a_run_measures_ranking_and_place(monkeypatch):
    for study, cues in ((GATES, 1), (GATES_TWO, 2)):
        task = dataclasses.replace(study.tasks[0], images=functools.partial(few, cues))
        tiny = dataclasses.replace(study, tasks=(task,), epochs=1, batch_size=16)
        result = execute(Run(tiny, task, study.entries[-1], 0, 6e-3))
        assert set(result["measures"]) == {"AP", "AUC", "share pool2", "IoU pool2", "share pool3", "IoU pool3"}
        assert all(0 <= value <= 1 for value in result["measures"].values())


def test_the_study_is_measured_on_seeds_after_those_that_were_looked_at(monkeypatch, tmp_path):
    assert GATES.first_seed == GATES_TWO.first_seed == 5
    task = dataclasses.replace(SCENES, images=functools.partial(few, 1))
    entries = tuple(entry for entry in GATES.entries if entry.name in ("plain", "even"))
    tiny = dataclasses.replace(
        GATES,
        name="tiny",
        tasks=(task,),
        entries=entries,
        pairs=(("even", "plain"),),
        learning_rates=(6e-3,),
        epochs=1,
        batch_size=16,
    )
    monkeypatch.setitem(STUDIES, "tiny", tiny)
    folder = run_study(tiny, seeds=2, out=tmp_path, say=lambda line: None)
    runs = {key[1:3]: run for key, run in read_runs(folder).items() if run["settings"]["scored_on"] == "test"}
    assert set(runs) == {(name, seed) for name in ("even", "plain") for seed in (5, 6)}
    report = study_report("tiny", tmp_path)
    kept = [runs["plain", seed] for seed in (5, 6)]
    assert report.seeds == 2 and report.row("scenes", "plain").accuracies == [one["accuracy"] for one in kept]
    assert report.row("scenes", "plain").seconds == pytest.approx(sum(one["seconds"] for one in kept) / 2)
    again = dataclasses.replace(tiny, first_seed=6)
    monkeypatch.setitem(STUDIES, "tiny", again)
    with pytest.raises(StudyError, match="holds 1 finished seeds"):
        study_report("tiny", tmp_path)


def test_maps_are_recorded_after_the_epochs_asked_for(monkeypatch, tmp_path):
    task = dataclasses.replace(SCENES, images=functools.partial(few, 1))
    entries = tuple(entry for entry in GATES.entries if entry.name in ("masked", "plain"))
    tiny = dataclasses.replace(GATES, tasks=(task,), entries=entries, epochs=2, batch_size=16)
    monkeypatch.setattr(maps, "SCENES", task)
    monkeypatch.setattr(maps, "GATES", tiny)
    monkeypatch.setattr(maps, "RECORDED_EPOCHS", (1, 2))
    run_study(tiny, seeds=1, out=tmp_path, say=lambda line: None)
    path = maps.record_maps(tmp_path, say=lambda line: None)
    tensors = load_file(path)
    assert tensors["images"].shape == (8, 64, 64, 3) and tensors["places"].sum((1, 2)).tolist() == [625] * 8
    for name in ("masked", "plain"):
        assert tensors[f"{name}/pool2"].shape == (2, 8, 16, 16) and tensors[f"{name}/pool3"].shape == (2, 8, 8, 8)
        assert not torch.equal(tensors[f"{name}/pool3"][0], tensors[f"{name}/pool3"][1])
    with safe_open(path, framework="pt") as stored:
        assert json.loads(stored.metadata()["epochs"]) == [1, 2]
    again = load_file(maps.record_maps(tmp_path, say=lambda line: None))
    assert all(torch.equal(again[name], tensor) for name, tensor in tensors.items())
