"""Images a second of the course's training loop beside an ordinary one: float32, contiguous, the same network and data.

Epochs of the two take turns, so a machine that is busy for a while slows both; both run to the end, so that their
accuracy can be compared too. The ordinary loop takes its batches by index as well: a data loader would be slower.
"""

import argparse
import statistics
import time
from typing import Any

import torch
import torch.nn.functional as F

from course_utils.data import ImageSet, cued_digits
from course_utils.models import AttentionCNN
from course_utils.training import evaluate, train

from .timing import save

BATCH, LR, GOAL = 128, 6e-3, 2.0


class OrdinaryLoop:
    def __init__(self, network: AttentionCNN, train_set: ImageSet, epochs: int):
        self.network, self.train_set = network, train_set
        self.steps = len(train_set) // BATCH
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=LR)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, max_lr=LR, total_steps=epochs * self.steps)

    def images_per_second(self) -> float:
        """Train for one epoch."""
        started = time.perf_counter()
        self.network.train()
        order = torch.randperm(len(self.train_set))
        for batch in order[: self.steps * BATCH].view(self.steps, BATCH):
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.network(self.train_set.images[batch]), self.train_set.labels[batch])
            loss.backward()
            self.optimizer.step()
            self.schedule.step()
            loss.item()
        return self.steps * BATCH / (time.perf_counter() - started)


def measure(seed: int, epochs: int, images: int) -> dict[str, Any]:
    """Both loops on the same data from the same first weights, an epoch each in turn."""
    train_set, test_set = cued_digits(images, seed), cued_digits(2000, seed, split="test")
    torch.manual_seed(seed)
    ours, other = AttentionCNN(10), AttentionCNN(10)
    other.load_state_dict(ours.state_dict())
    ordinary = OrdinaryLoop(other, train_set, epochs)
    others: list[float] = []
    history = train(
        ours,
        train_set,
        epochs=epochs,
        batch_size=BATCH,
        lr=LR,
        seed=seed,
        progress=False,
        on_epoch=lambda epoch: others.append(ordinary.images_per_second()),
    )
    speeds = [epoch["images_per_second"] for epoch in history]
    return {
        "seed": seed,
        "precision": history[-1]["precision"],
        "ours_images_per_second": speeds,
        "ordinary_images_per_second": others,
        "ours_accuracy": evaluate(ours, test_set).accuracy,
        "ordinary_accuracy": evaluate(other, test_set).accuracy,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    runs = [measure(seed, options.epochs, options.images) for seed in range(options.seeds)]
    ours = [speed for run in runs for speed in run["ours_images_per_second"]]
    other = [speed for run in runs for speed in run["ordinary_images_per_second"]]
    ratio = statistics.median(a / b for a, b in zip(ours, other, strict=True))
    summary = {
        "threads": options.threads,
        "precision": sorted({run["precision"] for run in runs}),
        "ours images/s": round(statistics.median(ours)),
        "ordinary images/s": round(statistics.median(other)),
        "ratio": round(ratio, 3),
        "at least": GOAL,
        "ours accuracy by seed": [run["ours_accuracy"] for run in runs],
        "ordinary accuracy by seed": [run["ordinary_accuracy"] for run in runs],
    }
    save("training", summary)
    for name, value in summary.items():
        print(f"{name:28s} {value}")


if __name__ == "__main__":
    main()
