"""Networks on disk: weights as safetensors, and beside them a card that says what they are."""

import difflib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from ..models import AttentionCNN, AttentionVGG, VisionTransformer
from ..resources import checksums, resource

NETWORKS: dict[str, type[nn.Module]] = {kind.__name__: kind for kind in (AttentionCNN, AttentionVGG, VisionTransformer)}


class CheckpointError(RuntimeError):
    """Saved weights are missing, broken, or do not fit their card."""


def save_network(network: nn.Module, path: str | Path, card: Mapping[str, Any] | None = None) -> Path:
    """Write weights as NAME.safetensors and a card as NAME.json.

    Both are renamed into place when complete, so that a stopped run leaves no half file.

    Args:
        network: one of `NETWORKS`; its `settings` go into the card, so that it can be built again.
        path: where to; the ending .safetensors is added if it is missing.
        card: what a reader should know: data, command, seed, accuracy, limits.

    Returns:
        The path of the weights.

    Raises:
        ValueError: if the network is none of `NETWORKS`.
        CheckpointError: if it cannot be written; an earlier one of that name is left whole.

    Example:
        >>> save_network(network, "runs/mine", {"data": "6,000 cued digits", "seed": 0})
    """
    kind = type(network).__name__
    if NETWORKS.get(kind) is not type(network):
        raise ValueError(f"save_network knows {', '.join(NETWORKS)}, but was given a {kind}.")
    target = Path(path).with_suffix(".safetensors")
    about = {**(card or {}), "network": {"class": kind, "settings": network.settings}}
    weights = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    described = (json.dumps(about, indent=2) + "\n").encode()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _write_together({target: save(weights), target.with_suffix(".json"): described})
    except OSError as error:
        raise CheckpointError(
            f"{target} could not be written ({error.strerror or error}); what was there before is as it was. "
            "Make room, or choose another folder, and save again."
        ) from error
    return target


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
    shipped = [file.removeprefix("weights/").removesuffix(".json") for file in checksums() if _is_card(file)]
    if str(name) in shipped:
        return resource(f"weights/{name}.safetensors"), resource(f"weights/{name}.json")
    weights = Path(name).with_suffix(".safetensors")
    card = weights.with_suffix(".json")
    missing = [str(file) for file in (weights, card) if not file.is_file()]
    if missing:
        near = difflib.get_close_matches(str(name), shipped, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise CheckpointError(
            f"There is no network {str(name)!r}: {' and '.join(missing)} not found.{hint} "
            f"With the course ship: {', '.join(shipped)}."
        )
    return weights, card


def _is_card(file: str) -> bool:
    return file.startswith("weights/") and file.endswith(".json")


def _read_card(card: Path) -> dict[str, Any]:
    try:
        return json.loads(card.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{card} is not a readable card ({error}).") from error


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its place, then rename it into place: readers see all of it or nothing.

    Raises:
        OSError: if it cannot be written; it names the file and says what to do.
    """
    try:
        _write_together({path: content})
    except OSError as error:
        words = f"{error.strerror or error}; what was there before is as it was. Make room, or choose another folder"
        raise OSError(error.errno, words, str(path)) from error


def _write_together(files: Mapping[Path, bytes]) -> None:
    """Rename no file into place before all of them are on the disk."""
    partials = {path: path.with_name(f".{path.name}.{os.getpid()}.partial") for path in files}
    try:
        for path, partial in partials.items():
            partial.write_bytes(files[path])
            with partial.open("rb+") as written:
                os.fsync(written.fileno())
        for path, partial in partials.items():
            partial.replace(path)
    finally:
        for partial in partials.values():
            partial.unlink(missing_ok=True)
