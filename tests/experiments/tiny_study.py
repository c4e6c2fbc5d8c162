"""A study of a few seconds, in which everything happens that happens in a large one."""

import torch

from course_utils.data import digits
from experiments.ledger import read_runs
from experiments.study import Study, Task, cnn


def few_digits(split, seed):
    images = digits(split)
    generator = torch.Generator().manual_seed(seed)
    return images.subset(torch.randperm(len(images), generator=generator)[:128])


TINY = Study(
    name="tiny",
    title="Two small networks on a few digits",
    tasks=(Task("few", "A few digits", few_digits, in_channels=1, image_size=28),),
    entries=(
        cnn("plain", "plain", widths=(4, 4, 8)),
        cnn("se", "with SE", widths=(4, 4, 8), attention="se"),
    ),
    pairs=(("se", "plain"),),
    learning_rates=(1e-2, 2e-3),
    epochs=1,
    batch_size=32,
)


def quiet(line):
    pass


def numbers(folder):
    kept = ("settings", "parameters", "accuracy", "confusion", "train_loss")
    return {key: {name: run[name] for name in kept} for key, run in read_runs(folder).items()}
