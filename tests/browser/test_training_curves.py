"""The training curves in Chromium: means, bands and progress are those of the records."""

import ast
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from settle import wait_drawn

from course_utils.widgets import TrainingCurves


def _records(seeds: int = 3, epochs: int = 5) -> list[dict[str, Any]]:
    draw = np.random.default_rng(0)
    return [
        {
            "run": run,
            "seed": seed,
            "epoch": epoch,
            "epochs": epochs,
            "train_loss": float(np.exp(-epoch / 3) + draw.random() / 10),
            "val_accuracy": float(gain - np.exp(-epoch / 2) / 2 + draw.random() / 20),
        }
        for run, gain in (("plain", 0.85), ("SE", 0.92))
        for seed in range(seeds)
        for epoch in range(1, epochs + 1)
    ]


def _three(value: float) -> str:
    return f"{float(f'{value:.3g}'):g}"


def _column(epoch: int, epochs: int = 5, width: float = 886) -> float:
    """Where on the canvas an epoch stands, from 0 to 1: the plot leaves 56 pixels left and 16 right."""
    return (56 + (epoch - 1) / (epochs - 1) * (width - 72)) / width


def test_hover_reads_the_mean_and_the_band_over_seeds(alone: Callable) -> None:
    records = _records()
    page = alone(TrainingCurves(records))
    width = page.canvas.bounding_box()["width"]
    for epoch in (1, 3, 5):
        page.hover(page.canvas, _column(epoch, width=width), 0.5)
        assert page.canvas.get_attribute("data-query").endswith(f",{epoch - 1}")
        for row, run in enumerate(("plain", "SE")):
            values = [one["val_accuracy"] for one in records if one["run"] == run and one["epoch"] == epoch]
            mean, low, high = map(_three, (np.mean(values), min(values), max(values)))
            assert f"{run} {mean}" in page.status
            while page.canvas.get_attribute("data-query") != f"{row},{epoch - 1}":
                page.canvas.press("ArrowUp" if row == 0 else "ArrowDown")
            assert f"{run} {mean} ({low} to {high}, 3 seeds)" in page.status
        assert page.status.startswith(f"Epoch {epoch} of 5, validation accuracy: ")
    page.root.get_by_label("Metric").select_option("train_loss")
    page.hover(page.canvas, _column(2, width=width), 0.4)
    values = [one["train_loss"] for one in records if one["run"] == "SE" and one["epoch"] == 2]
    assert f"SE {_three(np.mean(values))}" in page.status
    page.assert_clean()


def test_lines_are_drawn_where_the_means_are(alone: Callable) -> None:
    records = [
        {"run": "one", "epoch": epoch, "epochs": 3, "loss": loss} for epoch, loss in ((1, 2.0), (2, 1.5), (3, 1.0))
    ]
    page = alone(TrainingCurves(records))
    pixels = page.pixels(page.canvas).astype(int)
    height, width, _ = pixels.shape
    blue = np.abs(pixels[..., :3] - (11, 98, 184)).max(axis=2) < 40
    top, bottom = 16, height - 40
    low, high = 1 - 0.06, 2 + 0.06
    for epoch, loss in ((1.2, 1.9), (2, 1.5), (2.8, 1.1)):
        column = round(_column(epoch, 3, width) * width)
        row = top + (1 - (loss - low) / (high - low)) * (bottom - top)
        assert np.flatnonzero(blue[:, column]).mean() == pytest.approx(row, abs=1.5)


def test_the_legend_hides_runs_and_tells_them_apart_without_colour(alone: Callable) -> None:
    page = alone(TrainingCurves(_records()))
    samples = [page.pixels(one)[..., 3] for one in page.root.locator(".cw-legend canvas").all()]
    assert len(samples) == 2 and (samples[0] != samples[1]).any() and all(one.any() for one in samples)
    page.root.get_by_role("checkbox", name="plain").uncheck()
    assert page.state("hidden_runs") == ["plain"]
    assert "plain" not in page.status
    assert "SE" in page.status
    page.root.get_by_role("checkbox", name="SE").uncheck()
    assert page.status == "Every run is hidden; tick a run."
    page.root.get_by_role("checkbox", name="plain").check()
    assert "plain" in page.status


@pytest.mark.parametrize("hidden", [False, True], ids=["in sight", "hidden for a moment"])
def test_the_chart_is_drawn_again_in_the_colours_of_a_new_theme(hidden: bool, alone: Callable) -> None:
    page = alone(TrainingCurves(_records(1)))
    page.page.evaluate(
        """(hidden) => {
          const host = document.querySelector("main");
          if (hidden) host.style.display = "none";
          document.body.dataset.jpThemeLight = "false";
          return Promise.resolve().then(() => { host.style.display = ""; });
        }""",
        hidden,
    )
    wait_drawn(page.page)
    pixels = page.pixels(page.canvas)[..., :3].astype(int)
    assert (np.abs(pixels - (116, 180, 245)).max(axis=2) < 8).any()
    assert not (np.abs(pixels - (11, 98, 184)).max(axis=2) < 8).any()


def test_keys_walk_over_epochs_and_runs(alone: Callable) -> None:
    page = alone(TrainingCurves(_records()))
    page.canvas.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        page.canvas.press(key)
    assert page.canvas.get_attribute("data-query") == "1,3"
    assert page.status.startswith("Epoch 4 of 5, validation accuracy: SE ")
    page.canvas.press("Enter")
    assert page.state("query") == [1, 3]
    page.canvas.press("Escape")
    assert page.state("query") == []


def test_epochs_appear_as_they_come_and_progress_is_told_in_words(alone: Callable) -> None:
    widget = TrainingCurves(total=4)
    page = alone(widget, locale="en-US")
    page.page.clock.install()
    assert page.status == "No epoch has ended yet."
    words = page.root.locator(".cw-progress")
    assert not words.is_visible()

    def send(run: str, epoch: int, accuracy: float) -> None:
        widget.update({"run": run, "seed": 1, "epoch": epoch, "epochs": 2, "accuracy": accuracy})
        page.set(**{name: getattr(widget, name) for name in ("runs", "metrics", "metric", "history", "tail", "latest")})

    send("plain", 1, 0.5)
    assert words.inner_text() == "plain, seed 1: epoch 1 of 2; 1 of 4 epochs in all."
    heard = page.root.locator(".cw-heard")
    assert heard.text_content() == ""
    assert page.root.locator("[role=status]").get_attribute("aria-live") == "off"
    assert page.status == "Latest accuracy: plain 0.5 at epoch 1."
    send("plain", 2, 0.75)
    first = "plain, seed 1: all 2 epochs are done. Latest accuracy: plain 0.75 at epoch 2."
    assert heard.text_content() == first
    send("SE", 1, 0.625)
    assert page.root.locator("progress").evaluate("(bar) => bar.value / bar.max") == 0.75
    assert page.status == "Latest accuracy: plain 0.75 at epoch 2; SE 0.625 at epoch 1."
    send("SE", 2, 0.875)
    assert words.inner_text() == "All 4 epochs are done."
    assert heard.text_content() == first  # at most one line in 15 seconds
    page.page.clock.fast_forward(15_000)
    assert heard.text_content() == f"All 4 epochs are done. {page.status}"
    assert not page.root.locator("progress").is_visible()
    page.assert_clean()


def test_a_long_run_is_whole_in_the_page_and_no_update_sends_it_all() -> None:
    widget = TrainingCurves()
    sent: list[int] = []
    widget.observe(lambda change: sent.append(len(change["new"])), names=["tail", "history"])
    for epoch in range(500):
        widget.update({"run": "one", "epoch": epoch, "loss": 1 / (epoch + 1)})
    assert [entry[2] for entry in [*widget.history, *widget.tail]] == list(range(500))
    assert sum(sent) < 500 * 33
    assert sorted(sent)[-16:][0] > 16  # now and then the whole history goes over, so that a late view has it


def test_a_repeated_epoch_replaces_the_earlier_one_and_a_gap_is_left_out(alone: Callable) -> None:
    widget = TrainingCurves()
    widget.update({"run": "one", "epoch": 1, "loss": 9})
    widget.update({"run": "one", "epoch": 1, "loss": 3})
    widget.update({"run": "one", "epoch": 2, "loss": float("nan")})
    widget.update({"run": "one", "epoch": 3, "loss": np.float32(1)})
    page = alone(widget)
    assert page.status == "Latest loss: one 1 at epoch 3."
    page.canvas.focus()
    page.canvas.press("ArrowLeft")
    assert page.status == "Epoch 1 of 3, loss: one 3."


def test_accuracy_is_shown_before_loss_unless_a_metric_is_named() -> None:
    records = _records(1, 1)
    assert TrainingCurves(records).metric == "val_accuracy"
    assert TrainingCurves(records, metric="train_loss").metric == "train_loss"


def test_copied_code_names_the_metric_that_is_shown(alone: Callable) -> None:
    page = alone(TrainingCurves(_records(), code="records = mine()"))
    page.root.get_by_label("Metric").select_option("train_loss")
    page.root.get_by_role("button", name="Copy the code").click()
    call = ast.parse(page.root.get_by_label("Code").input_value()).body[-1].value
    assert {word.arg: word.value.value for word in call.keywords} == {"metric": "train_loss"}


def test_the_saved_picture_is_a_png_with_the_chart(alone: Callable) -> None:
    page = alone(TrainingCurves(_records()))
    with page.page.expect_download() as download:
        page.root.get_by_role("button", name="Save the picture").click()
    assert download.value.suggested_filename == "training-curves.png"
    assert download.value.path().read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"epoch": 1, "loss": 1}, "no run"),
        ({"run": "one", "loss": 1}, "no epoch"),
        ({"run": "one", "epoch": 1}, "holds no metric"),
        ({"run": "one", "epoch": 1, "loss": "low"}, "holds no metric"),
        ({"run": "one", "epoch": 1, "loss": [1, 2]}, "a metric is one number"),
    ],
)
def test_a_record_that_cannot_be_drawn_is_refused(record: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TrainingCurves().update(record)


def test_the_records_of_the_training_loop_are_drawn_as_they_are():
    from course_utils.data import digits
    from course_utils.models import AttentionCNN
    from course_utils.training import train

    curves = TrainingCurves()
    small = digits("validation").subset(range(64))
    network = AttentionCNN(10, in_channels=1)
    train(network, small, small, epochs=2, batch_size=32, progress=False, run="plain", on_epoch=curves.update)
    assert [entry[2] for entry in curves.tail] == [1, 2]
    assert {"accuracy", "train_loss"} <= set(curves.metrics) and "precision" not in curves.metrics
    assert curves.metric == "accuracy"


def test_a_query_on_a_run_that_is_hidden_since_does_not_stop_the_widget(alone: Callable) -> None:
    widget = TrainingCurves(_records())
    widget.query, widget.hidden_runs = [1, 3], ["SE"]
    page = alone(widget)
    assert page.status.startswith("Latest validation accuracy: plain")
    page.assert_clean()


def test_another_metric_keeps_the_epoch_or_forgets_the_query(alone: Callable) -> None:
    records = _records(seeds=1, epochs=6)
    for record in records:
        if record["epoch"] % 3:
            record["val_accuracy"] = None  # measured every third epoch only
    widget = TrainingCurves(records, metric="train_loss")
    widget.query = [0, 5]
    page = alone(widget)
    assert page.status.startswith("Epoch 6 of 6, training loss")
    page.root.get_by_label("Metric").select_option("val_accuracy")
    assert page.status.startswith("Epoch 6 of 6, validation accuracy")
    assert page.state("query") == [0, 1]
    page.root.get_by_label("Metric").select_option("train_loss")
    page.set(query=[0, 3])
    page.root.get_by_label("Metric").select_option("val_accuracy")
    assert page.status.startswith("Latest validation accuracy") and page.state("query") == []
    page.assert_clean()


def test_values_that_differ_by_rounding_alone_are_drawn(alone: Callable) -> None:
    records = [{"run": "one", "epoch": epoch, "loss": loss} for epoch, loss in ((1, 1.0), (2, 1.0000000000000002))]
    page = alone(TrainingCurves(records))
    assert "Latest loss: one 1 at epoch 2" in page.status
    page.assert_clean()
