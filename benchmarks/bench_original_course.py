"""Seconds per epoch: the course's training and the earlier course's loop, network and data reading, in one run.

That course kept each image as a PNG with a text file for its label and read both again in every epoch; its network
ends in a softmax, and the loss then applies another one. Here it is written again from its description, on the
digits that ship with the course. OpenCV read its files, here Pillow does; the data loader has no workers.

Both are compared with a lower bound: the network's multiply-adds at the rate of a large matrix product on the same
machine, as if nothing else took time.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, random_split
from torch.utils.flop_counter import FlopCounterMode

from course_utils.data import ImageSet, digits
from course_utils.models import AttentionCNN
from course_utils.training import train
from experiments.machine import machine

from .timing import measure_machine, save

BATCH, LR, GOAL = 128, 1e-3, 0.2


class Files(Dataset):
    """One PNG and one text file with the label for each image."""

    def __init__(self, folder: Path):
        self.pictures = sorted(folder.glob("*.png"))

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        path = self.pictures[index]
        picture = np.asarray(Image.open(path).convert("L"), dtype=np.float32)[None] / 255
        label = np.zeros(10, dtype=np.float32)
        label[int(path.with_suffix(".txt").read_text(encoding="utf-8"))] = 1
        return torch.from_numpy(picture), torch.from_numpy(label)


class ConstantGate(nn.Module):
    """What an SE block with C // r = 0 hidden units does: every channel is halved."""

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.sigmoid(torch.zeros(x.shape[:2], device=x.device))
        return x * weights[:, :, None, None]


class TextbookAttention(nn.Module):
    """Self-attention with the matrix of all weights, and no output layer."""

    def __init__(self, channels: int):
        super().__init__()
        self.query, self.key = (nn.Conv2d(channels, max(channels // 8, 1), 1) for _ in range(2))
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (layer(x).flatten(2) for layer in (self.query, self.key, self.value))
        weights = torch.softmax(torch.bmm(query.transpose(1, 2), key), dim=-1)
        return self.gamma * torch.bmm(value, weights.transpose(1, 2)).view_as(x) + x


def earlier_network(attention: str) -> nn.Sequential:
    """Three convolutions with batch norm of fixed scale and attention, then two linear layers."""
    layers: list[nn.Module] = []
    for before, width, kernel, stride in ((1, 12, 3, 1), (12, 24, 6, 2), (24, 32, 6, 2)):
        norm = nn.BatchNorm2d(width)
        norm.weight.requires_grad_(False)
        layers += [nn.Conv2d(before, width, kernel, stride, padding=2, bias=False), norm, nn.ReLU()]
        layers.append(ConstantGate() if attention == "se" else TextbookAttention(width))
    layers += [nn.Flatten(), nn.Linear(32 * 7 * 7, 200, bias=False), nn.BatchNorm1d(200), nn.ReLU(), nn.Dropout(0.6)]
    return nn.Sequential(*layers, nn.Linear(200, 10), nn.LogSoftmax(dim=1))


def earlier_epochs(network: nn.Module, loader: DataLoader) -> Iterator[float]:
    """Seconds of one epoch after another."""
    optimizer = torch.optim.Adam((p for p in network.parameters() if p.requires_grad), lr=LR)
    criterion = nn.CrossEntropyLoss()
    while True:
        started = time.perf_counter()
        network.train()
        total = 0.0
        for images, labels in loader:
            optimizer.zero_grad()
            loss = criterion(network(images), labels)
            loss.backward()
            optimizer.step()
            total += loss.item()
        yield time.perf_counter() - started


def multiply_adds(network: nn.Module, images: int) -> float:
    """Of the convolutions, linear layers and products of one epoch, forward and backward."""
    batch = torch.rand(BATCH, 1, 28, 28)
    with FlopCounterMode(display=False) as counter:
        network(batch).sum().backward()
    return counter.get_total_flops() / 2 / BATCH * images


def measure(attention: str, images: ImageSet, folder: Path, epochs: int) -> dict[str, Any]:
    """Both on as many images, an epoch each in turn."""
    torch.manual_seed(0)
    files = Files(folder)
    share = len(files) * 5 // 6  # 50,000 of 60,000 there
    learned, _ = random_split(files, [share, len(files) - share], torch.Generator().manual_seed(0))
    earlier = earlier_epochs(earlier_network(attention), DataLoader(learned, BATCH, shuffle=True))
    next(earlier)
    theirs: list[float] = []
    options = {"reduction": 4} if attention == "se" else None
    network = AttentionCNN(10, attention, in_channels=1, layout="original", image_size=28, attention_options=options)
    history = train(
        network,
        images.subset(slice(share)),
        epochs=epochs,
        batch_size=BATCH,
        lr=LR,
        progress=False,
        on_epoch=lambda epoch: theirs.append(next(earlier)),
    )
    ours = [epoch["seconds"] for epoch in history]
    least = multiply_adds(earlier_network(attention), share) / measure_machine().multiply_adds_per_second
    return {
        "attention": attention,
        "images": share,
        "precision": history[-1]["precision"],
        "ours seconds per epoch": round(statistics.median(ours), 3),
        "earlier course's": round(statistics.median(theirs), 3),
        "ratio": round(statistics.median(a / b for a, b in zip(ours, theirs, strict=True)), 3),
        "at most": GOAL,
        "least seconds": round(least, 3),
        "least ratio": round(least / statistics.median(theirs), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    images = digits()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for i, (image, label) in enumerate(zip(images.images, images.labels, strict=True)):
            Image.fromarray((image[0] * 255).byte().numpy()).save(folder / f"{i:05d}.png")
            (folder / f"{i:05d}.txt").write_text(str(int(label)), encoding="utf-8")
        rows = [measure(attention, images, folder, options.epochs) for attention in ("se", "self_attention")]
    summary = {"setting": {**machine(), "torch": torch.__version__}, "epochs": rows}
    save("original_course", summary)
    for row in rows:
        print(", ".join(f"{name} {value}" for name, value in row.items()))


if __name__ == "__main__":
    main()
