import json

import numpy as np
import pytest
import torch
from torch import nn

from course_utils.data import ImageSet, digits
from course_utils.models import AttentionCNN, CheckpointError, load_network, network_card
from course_utils.training import TrainingError, evaluate, predict, save_network, train
from course_utils.training import precision as precision_module

torch.set_num_threads(1)


def small_network(attention=None, seed=0):
    torch.manual_seed(seed)
    return AttentionCNN(10, attention, in_channels=1, widths=(8, 8, 16))


@pytest.fixture(scope="module")
def few():
    return digits("train").subset(slice(0, 384))


def quietly(network, images, **options):
    options = {"epochs": 2, "batch_size": 64, "precision": "float32", "progress": False, **options}
    return train(network, images, **options)


def test_training_learns_digits():
    train_set, test_set = digits("train").subset(slice(0, 1500)), digits("test").subset(slice(0, 300))
    torch.manual_seed(0)
    network = AttentionCNN(10, "se", in_channels=1, layout="original", widths=(8, 8, 16), image_size=28)
    history = quietly(network, train_set, eval_set=test_set, epochs=4)
    assert history[-1]["train_loss"] < 0.6 * history[0]["train_loss"]
    assert history[-1]["accuracy"] > 0.8
    assert evaluate(network, test_set).accuracy == history[-1]["accuracy"]


def test_the_same_seed_gives_the_same_weights_and_another_gives_others(few):
    def weights(seed):
        network = AttentionCNN(10, in_channels=1, layout="original", image_size=28, hidden=(10,))  # it has dropout
        torch.manual_seed(0)
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.05)
        quietly(network, few, seed=seed)
        return torch.cat([value.flatten().float() for value in network.state_dict().values()])

    first = weights(3)
    assert torch.equal(first, weights(3))
    assert not torch.allclose(first, weights(4))


def test_a_callback_gets_a_record_for_each_epoch(few):
    seen = []
    history = quietly(small_network(), few, epochs=3, run="plain", seed=5, on_epoch=seen.append)
    assert seen == history
    assert [record["epoch"] for record in seen] == [1, 2, 3]
    first = seen[0]
    assert (first["run"], first["seed"], first["epochs"], first["accuracy"]) == ("plain", 5, 3, None)
    assert first["seconds"] > 0 and first["images_per_second"] > 0
    json.dumps(seen)


def test_progress_can_be_switched_off(few, capfd):
    quietly(small_network(), few, epochs=1)
    assert capfd.readouterr().err == ""
    quietly(small_network(), few, epochs=1, progress=True, run="visible")
    assert "visible" in capfd.readouterr().err


def test_each_epoch_sees_the_images_in_a_new_order(few):
    seen = []

    class Watching(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(28 * 28, 10)

        def forward(self, x):
            seen.append(x.flatten(1).sum(dim=1))
            return self.layer(x.flatten(1))

    quietly(Watching(), few, epochs=2, batch_size=96)
    first, second = torch.cat(seen[:4]), torch.cat(seen[4:])
    assert not torch.equal(first, second)
    expected = few.images.flatten(1).sum(dim=1).sort().values
    torch.testing.assert_close(first.sort().values, expected)
    torch.testing.assert_close(second.sort().values, expected)


@pytest.mark.faults("saved networks and studies damaged or stopped")
def test_a_loss_that_is_no_number_stops_and_leaves_the_last_good_state(few):
    network = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 10))
    good = []
    calls = []

    def break_after_the_first_epoch(module, inputs, output):
        calls.append(1)
        return output * float("nan") if len(calls) == 9 else output  # 6 steps an epoch

    network[1].register_forward_hook(break_after_the_first_epoch)
    with pytest.raises(
        TrainingError, match=r"'shaky' became nan in epoch 2 of 3, step 3 of 6: lower the learning rate"
    ):
        quietly(network, few, epochs=3, run="shaky", on_epoch=lambda _: good.append(network[1].weight.detach().clone()))
    assert torch.equal(network[1].weight, good[0])


@pytest.mark.faults("saved networks and studies damaged or stopped")
@pytest.mark.parametrize("step", [12, 18])
def test_a_gradient_that_is_no_number_in_an_epochs_last_step_is_found_too(few, step):
    network = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 10))
    good = []
    calls = []

    def break_the_gradient(gradient):
        calls.append(1)
        return gradient * float("nan") if len(calls) == step else gradient  # 6 steps an epoch

    network[1].weight.register_hook(break_the_gradient)
    with pytest.raises(TrainingError, match=f"weights of 'shaky' are no longer finite after epoch {step // 6} of 3"):
        quietly(network, few, epochs=3, run="shaky", on_epoch=lambda _: good.append(network[1].weight.detach().clone()))
    assert torch.equal(network[1].weight, good[-1]) and len(good) == step // 6 - 1


class SmallMemory(torch.nn.Module):
    """Holds no more than eight images at once."""

    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm2d(1)
        self.linear = torch.nn.Linear(28 * 28, 10)

    def forward(self, x):
        x = self.norm(x).flatten(1)
        if self.training and len(x) > 8:
            raise torch.OutOfMemoryError("no room")
        return self.linear(x)


@pytest.mark.faults("saved networks and studies damaged or stopped")
def test_too_little_memory_says_which_batch_fits_and_leaves_the_last_good_state(few):
    network = SmallMemory()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(TrainingError, match=r"batch of 32 images.* one of 8 does: give batch_size=8"):
        train(network, few, epochs=1, batch_size=32, precision="float32", progress=False)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not any(p.grad is not None and p.grad.any() for p in network.parameters())
    train(network, few, epochs=1, batch_size=8, precision="float32", progress=False)


def test_no_batch_that_fits_is_said_too(few):
    network = SmallMemory()
    network.linear.register_forward_hook(lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("no room")))
    with pytest.raises(TrainingError, match="nor does any smaller one"):
        train(network, few, epochs=1, batch_size=32, precision="float32", progress=False)


def test_an_objective_is_given_the_masks_of_its_images():
    masks = torch.zeros(64, 28, 28, dtype=torch.bool)
    labels = torch.arange(64) % 10
    masks[torch.arange(64), labels] = True
    data = ImageSet(masks[:, None].float(), labels, masks)
    network, seen = AttentionCNN(10, in_channels=1), []

    def objective(model, batch):
        assert torch.equal(batch.images[:, 0] > 0.5, batch.masks)
        assert torch.equal(batch.masks.any(2).long().argmax(1), batch.labels)
        seen.append(len(batch.labels))
        return model(batch.images).square().mean()

    history = train(network, data, epochs=2, batch_size=32, precision="float32", progress=False, objective=objective)
    assert seen == [32] * 4 and history[-1]["train_loss"] < history[0]["train_loss"]


def test_training_on_nothing_is_refused(few):
    with pytest.raises(ValueError, match="0 images"):
        quietly(small_network(), few.subset([]))
    with pytest.raises(ValueError, match="epochs=0"):
        quietly(small_network(), few, epochs=0)


def test_the_network_comes_back_contiguous_and_in_train_mode(few):
    network = quietly_trained(few)
    assert network.training
    assert all(parameter.is_contiguous() for parameter in network.parameters())


def quietly_trained(images):
    network = small_network("se")
    quietly(network, images)
    return network


def test_evaluation_counts_rows_by_truth_and_keeps_the_mode(few):
    class Shift(nn.Module):
        """Names the digit after the true one, which stands in the first pixel."""

        def __init__(self):
            super().__init__()
            self.unused = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            assert not self.training
            truth = (x[:, 0, 0, 0] * 10).round().long()
            return nn.functional.one_hot((truth + 1) % 10, 10).float()

    labels = torch.arange(20) % 10
    images = torch.zeros(20, 1, 4, 4)
    images[:, 0, 0, 0] = labels / 10
    network = Shift()
    reached = evaluate(network, ImageSet(images, labels), batch_size=7)
    assert reached.accuracy == 0
    assert network.training
    assert np.array_equal(reached.confusion, 2 * np.roll(np.eye(10, dtype=int), 1, axis=1))
    with pytest.raises(ValueError, match="given none"):
        predict(network, images[:0])


def test_a_saved_network_is_loaded_with_the_same_answers(few, tmp_path):
    network = quietly_trained(few)
    path = save_network(network, tmp_path / "mine", {"data": "384 digits", "seed": 0})
    loaded = load_network(path)
    assert not loaded.training
    torch.testing.assert_close(predict(loaded, few.images[:50]), predict(network, few.images[:50]))
    assert network_card(tmp_path / "mine")["data"] == "384 digits"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["mine.json", "mine.safetensors"]


@pytest.mark.faults("saved networks and studies damaged or stopped")
def test_broken_or_missing_weights_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="did you mean 'se_cued_digits'"):
        load_network("se_cued_digit")
    path = save_network(small_network(), tmp_path / "mine")
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(CheckpointError, match=r"mine\.safetensors cannot be read"):
        load_network(path)
    save_network(small_network("se"), tmp_path / "other")
    (tmp_path / "other.safetensors").replace(path)
    with pytest.raises(CheckpointError, match=r"does not fit mine\.json"):
        load_network(path)
    path.with_suffix(".json").write_text('{"network": {"class": "Unknown", "settings": {}}}')
    with pytest.raises(CheckpointError, match="does not describe a network"):
        load_network(path)
    path.with_suffix(".json").write_text("half a c")
    with pytest.raises(CheckpointError, match="not a readable card"):
        load_network(path)
    with pytest.raises(ValueError, match="given a Linear"):
        save_network(nn.Linear(2, 2), tmp_path / "line")


@pytest.mark.parametrize(("float32", "bfloat16", "chosen"), [(0.10, 0.05, "bfloat16"), (0.10, 0.095, "float32")])
def test_bfloat16_is_used_only_where_it_is_clearly_faster(few, monkeypatch, float32, bfloat16, chosen):
    monkeypatch.setattr(precision_module, "_measured", {})
    measured = []

    def step_seconds(model, images, labels, autocast):
        measured.append(autocast.enabled)
        return bfloat16 if autocast.enabled else float32

    monkeypatch.setattr(precision_module, "_step_seconds", step_seconds)
    history = quietly(small_network(), few, epochs=1, precision="auto")
    assert history[0]["precision"] == chosen
    steps = len(measured)
    quietly(small_network(), few, epochs=1, precision="auto")
    assert len(measured) == steps  # measured once in a process


def test_a_processor_on_which_bfloat16_is_ruinous_is_left_alone_at_once(few, monkeypatch):
    monkeypatch.setattr(precision_module, "_measured", {})
    spent = []

    def step_seconds(model, images, labels, autocast):
        spent.append(30.0 if autocast.enabled else 0.1)
        return spent[-1]

    monkeypatch.setattr(precision_module, "_step_seconds", step_seconds)
    assert quietly(small_network(), few, epochs=1, precision="auto")[0]["precision"] == "float32"
    assert spent.count(30.0) == 1


def test_a_slow_first_step_in_bfloat16_does_not_decide(few, monkeypatch):
    monkeypatch.setattr(precision_module, "_measured", {})
    spent = []

    def step_seconds(model, images, labels, autocast):
        spent.append(autocast.enabled)
        if not autocast.enabled:
            return 0.1
        return 1.0 if spent.count(True) == 1 else 0.05  # kernels are prepared once

    monkeypatch.setattr(precision_module, "_step_seconds", step_seconds)
    assert quietly(small_network(), few, epochs=1, precision="auto")[0]["precision"] == "bfloat16"


def test_measuring_the_precision_changes_neither_weights_nor_chance(few, monkeypatch):
    monkeypatch.setattr(precision_module, "_measured", {})
    monkeypatch.setattr(precision_module, "_GAIN", float("inf"))
    measured, plain = (AttentionCNN(10, in_channels=1, layout="original", image_size=28) for _ in range(2))
    plain.load_state_dict(measured.state_dict())  # they have dropout
    quietly(measured, few, precision="auto")
    quietly(plain, few, precision="float32")
    assert all(torch.equal(a, b) for a, b in zip(measured.parameters(), plain.parameters(), strict=True))


def test_an_unknown_precision_is_refused(few):
    with pytest.raises(ValueError, match="no precision 'half'"):
        quietly(small_network(), few, precision="half")


def test_bfloat16_trains_too(few):
    history = quietly(small_network(), few, epochs=3, precision="bfloat16")
    assert history[-1]["precision"] == "bfloat16"
    assert history[-1]["train_loss"] < history[0]["train_loss"]
