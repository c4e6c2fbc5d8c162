"""What a trained network reaches: accuracy and confusion matrix."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import accuracy_score, confusion_matrix
from torch import Tensor, nn

from ..attention.recording import evaluating
from ..data import ImageSet


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a network reaches on a set of images.

    accuracy lies in [0, 1]; confusion is (classes, classes), the row is the true class and the column the predicted
    one; predictions is (N,).
    """

    accuracy: float
    confusion: np.ndarray
    predictions: np.ndarray


def memory_format(device: torch.device) -> torch.memory_format:
    """How feature maps lie in memory: channels last where convolutions are known to be right and faster with it."""
    return torch.channels_last if device.type in ("cpu", "cuda") else torch.contiguous_format


@torch.inference_mode()
def predict(model: nn.Module, images: Tensor, batch_size: int = 256) -> Tensor:
    """Logits in eval mode, on the processor: images (N, C, H, W) -> (N, classes). The model's mode is put back."""
    if len(images) == 0:
        raise ValueError("predict needs at least one image, but was given none.")
    device = next(model.parameters()).device
    layout = memory_format(device)
    with evaluating(model):
        batches = images.split(batch_size)
        return torch.cat([model(batch.to(device, memory_format=layout)).float().cpu() for batch in batches])


def evaluate(model: nn.Module, image_set: ImageSet, batch_size: int = 256) -> Evaluation:
    """Accuracy and confusion matrix of a classifier, by scikit-learn.

    Example:
        >>> evaluate(network, cued_digits(1000, seed=1, split="test")).accuracy
    """
    logits = predict(model, image_set.images, batch_size)
    predictions = logits.argmax(dim=1).numpy()
    truth = image_set.labels.numpy()
    return Evaluation(
        accuracy=float(accuracy_score(truth, predictions)),
        confusion=confusion_matrix(truth, predictions, labels=np.arange(logits.shape[1])),
        predictions=predictions,
    )
