"""One training loop, for a processor, a GPU, or several of either by `accelerate launch` or `torchrun`.

Nothing here names a device: Accelerate finds it. The images are held as one tensor and batches are taken by index,
so that no time goes into a data loader; under several processes each takes its share of every batch, and the step is
that of the whole batch. (Batch norm is the exception: each process takes its statistics over its own share.)
"""

import math
import time
import traceback
from collections.abc import Callable
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from tqdm.auto import tqdm

from ..data import ImageSet
from .metrics import evaluate, memory_format
from .objective import Batch, Objective, cross_entropy
from .precision import Autocast, choose_precision

Epoch = dict[str, Any]


class TrainingError(RuntimeError):
    """The loss or a weight is no longer a number, or a batch does not fit into the GPU's memory."""


def train(
    model: nn.Module,
    train_set: ImageSet,
    eval_set: ImageSet | None = None,
    *,
    epochs: int = 8,
    batch_size: int = 128,
    lr: float = 6e-3,
    weight_decay: float = 0.01,
    seed: int = 0,
    run: str = "network",
    precision: str = "auto",
    progress: bool = True,
    objective: Objective = cross_entropy,
    on_epoch: Callable[[Epoch], object] | None = None,
) -> list[Epoch]:
    """Train a classifier in place: AdamW, the learning rate rising and falling in one cycle.

    Each epoch takes the images in a new order and leaves out what does not fill a batch.

    Args:
        model: images (N, C, H, W) -> logits (N, classes); it comes back on the processor, in train mode.
        train_set: what to learn from.
        eval_set: if given, the accuracy on it is measured after each epoch.
        epochs: how often to see all images.
        batch_size: images a step, of all processes together.
        lr: the highest learning rate of the cycle.
        weight_decay: of AdamW.
        seed: order of the images and dropout; the model's first weights were drawn when it was built.
        run: a name for this run, given back in every epoch's record.
        precision: "float32", "bfloat16" (autocast), or "auto": bfloat16 where a short measurement shows a gain.
        progress: whether to draw a progress bar.
        objective: (model, batch) -> the loss to lower; the batch carries masks where train_set has them.
        on_epoch: called after each epoch with its record, for instance to draw a curve.

    Returns:
        A record for each epoch: run, seed, epoch, epochs, train_loss, accuracy (None without eval_set), seconds and
        images_per_second of the training alone, and the precision used.

    Raises:
        ValueError: if there is nothing to train on, or the batch does not divide among the processes.
        TrainingError: if the loss or a weight is not finite, or a batch does not fit into the GPU's memory (the message
            says which would); the model is then as it was after the last good epoch.

    Example:
        >>> history = train(AttentionCNN(10, "se"), cued_digits(6000, seed=0), epochs=8)
    """
    accelerator = Accelerator()
    processes = accelerator.num_processes
    batch_size = min(batch_size, len(train_set))
    if batch_size < 2 or batch_size % processes or epochs < 1:
        raise ValueError(
            f"train needs at least one epoch and batches of at least 2 images that divide among the processes; given "
            f"epochs={epochs}, batches of {batch_size} from {len(train_set)} images, {processes} process(es)."
        )
    steps = len(train_set) // batch_size
    torch.manual_seed(seed + accelerator.process_index)
    shuffle = torch.Generator().manual_seed(seed)

    layout = memory_format(accelerator.device)
    model.train().to(accelerator.device).to(memory_format=layout)
    data = Batch.of(train_set, accelerator.device, layout)
    autocast = choose_precision(precision, model, data.take(slice(batch_size)), objective, accelerator)
    fused = accelerator.device.type in ("cpu", "cuda")
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay, fused=fused)
    network, optimizer = accelerator.prepare(model, optimizer)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer.optimizer, max_lr=lr, total_steps=epochs * steps)

    def descend(batch: Batch) -> float:
        """One step down, unless the loss is no number; the loss of the whole batch, the same in every process."""
        with autocast():
            loss = objective(network, batch)
        value = float(accelerator.reduce(loss.detach(), "mean"))
        if math.isfinite(value):
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
        return value

    history: list[Epoch] = []
    bar = tqdm(total=epochs * steps, desc=run, disable=not (progress and accelerator.is_main_process))
    try:
        for epoch in range(1, epochs + 1):
            last_good = {name: value.clone() for name, value in model.state_dict().items()}
            started = time.perf_counter()
            total = 0.0
            order = torch.randperm(len(train_set), generator=shuffle)[: steps * batch_size]
            for step, batch in enumerate(order.view(steps, batch_size), start=1):
                value = descend(data.take(batch[accelerator.process_index :: processes].to(accelerator.device)))
                if not math.isfinite(value):
                    raise TrainingError(
                        f"The loss of {run!r} became {value} in epoch {epoch} of {epochs}, step {step} of {steps}: "
                        f"lower the learning rate (lr={lr:g}) or look for values in the images that are not finite. "
                        f"The network was put back to where epoch {epoch - 1} left it."
                    )
                total += value
                schedule.step()
                bar.update()
            # A loss can be a number and its gradient none; then the weights are none after the step.
            if not all(torch.isfinite(value).all() for value in model.state_dict().values()):
                raise TrainingError(
                    f"The weights of {run!r} are no longer finite after epoch {epoch} of {epochs}, though its losses "
                    f"were: lower the learning rate (lr={lr:g}) or look for a gradient that is not finite, such as "
                    f"that of a square root at 0. The network was put back to where epoch {epoch - 1} left it."
                )
            seconds = time.perf_counter() - started
            accuracy = None if eval_set is None else evaluate(model, eval_set).accuracy
            model.train()
            history.append(
                {
                    "run": run,
                    "seed": seed,
                    "epoch": epoch,
                    "epochs": epochs,
                    "train_loss": total / steps,
                    "accuracy": accuracy,
                    "seconds": seconds,
                    "images_per_second": steps * batch_size / seconds,
                    "precision": autocast.name,
                }
            )
            if on_epoch is not None and accelerator.is_main_process:
                on_epoch(history[-1])
    except TrainingError:
        model.load_state_dict(last_good)
        raise
    except torch.OutOfMemoryError as error:
        traceback.clear_frames(error.__traceback__)
        advice = _fitting_batch(model, data.take(slice(batch_size // processes)), objective, autocast, processes)
        model.load_state_dict(last_good)
        raise TrainingError(
            f"A batch of {batch_size} images of {run!r} does not fit into the memory of the {accelerator.device.type} "
            f"device; {advice} The network was put back to where epoch {epoch - 1} left it."
        ) from error
    finally:
        bar.close()
        model.to("cpu").to(memory_format=torch.contiguous_format)
    return history


def _fitting_batch(model: nn.Module, batch: Batch, objective: Objective, autocast: Autocast, processes: int) -> str:
    """In words: the largest of the halves of a process's batch that goes through forward and backward."""
    size = len(batch.labels) // 2
    while size >= 2:
        model.zero_grad()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        try:
            with autocast():
                loss = objective(model, batch.take(slice(size)))
            loss.backward()
        except torch.OutOfMemoryError:
            size //= 2
        else:
            model.zero_grad()
            return f"one of {size * processes} does: give batch_size={size * processes}."
    return "nor does any smaller one: make the network or the images smaller."
