"""Trained networks from disk: weights as safetensors, and beside them a card that says what they are."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ..names import suggestion
from ..resources import checksums, resource
from .attention_cnn import AttentionCNN
from .attention_vgg16 import AttentionVGG
from .person_segmenter import PersonSegmenter
from .text_reader import TextReader
from .vision_transformer import VisionTransformer

NETWORKS: dict[str, type[nn.Module]] = {
    kind.__name__: kind for kind in (AttentionCNN, AttentionVGG, PersonSegmenter, TextReader, VisionTransformer)
}


class CheckpointError(RuntimeError):
    """Saved weights are missing, broken, or do not fit their card."""


def load_network(name: str | Path) -> nn.Module:
    """A trained network in eval mode.

    Args:
        name: of weights that ship with the course, such as "se_cued_digits", or the path of saved ones.

    Raises:
        CheckpointError: if there are none of that name, or the file is broken or does not fit its card.

    Example:
        >>> network = load_network("se_cued_digits")
    """
    weights, card = _files(name)
    about = _read_card(card)
    try:
        network = NETWORKS[about["network"]["class"]](**about["network"]["settings"])
        network.load_state_dict(load_file(weights))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{card} does not describe a network of this version of the course: {error!r}."
        ) from error
    except (SafetensorError, RuntimeError, OSError) as error:
        raise CheckpointError(f"{weights} cannot be read, or does not fit {card.name}: {error}") from error
    return network.eval()


def network_card(name: str | Path) -> dict[str, Any]:
    """What is known of saved weights: data, command, seed, accuracy with its interval, limits."""
    return _read_card(_files(name)[1])


def _files(name: str | Path) -> tuple[Path, Path]:
    shipped = [Path(file).stem for file in checksums() if file.startswith("weights/") and file.endswith(".json")]
    if str(name) in shipped:
        return resource(f"weights/{name}.safetensors"), resource(f"weights/{name}.json")
    weights = Path(name).with_suffix(".safetensors")
    card = weights.with_suffix(".json")
    missing = [str(file) for file in (weights, card) if not file.is_file()]
    if missing:
        raise CheckpointError(
            f"There is no network {str(name)!r}: {' and '.join(missing)} not found; of those that ship with the "
            f"course {suggestion(shipped, name)}"
        )
    return weights, card


def _read_card(card: Path) -> dict[str, Any]:
    try:
        return json.loads(card.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{card} is not a readable card ({error}).") from error
