"""Networks written to disk: weights as safetensors, and beside them a card that says what they are."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import nn

from ..files import write_together
from ..models.loading import NETWORKS, CheckpointError


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
        write_together({target: save(weights), target.with_suffix(".json"): described})
    except OSError as error:
        raise CheckpointError(
            f"{target} could not be written ({error.strerror or error}); what was there before is as it was. "
            "Make room, or choose another folder, and save again."
        ) from error
    return target
