"""torchvision's trained weights, read as tensors and nothing else."""

from http.client import HTTPException
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum


def trained_weights(weights: "WeightsEnum") -> dict[str, Tensor]:
    """The tensors of one of torchvision's trained networks; fetched once, into torch's cache.

    What arrives is compared with the checksum in its name. Of the file only tensors are taken: a file that was put into
    the cache by someone else runs nothing.

    Args:
        weights: such as `torchvision.models.VGG16_BN_Weights.DEFAULT`.

    Raises:
        ConnectionError: if they are neither in torch's cache nor to be had.
        ValueError: if the file in torch's cache is damaged or holds anything but tensors.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]
    try:
        return weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, HTTPException, RuntimeError, EOFError, UnpicklingError) as error:
        reason = str(getattr(error, "reason", error)).partition("\n")[0] or type(error).__name__
        if isinstance(error, UnpicklingError):  # whose own words tell the reader to run the file after all
            reason = "it holds something other than tensors"
        if path.is_file():
            raise ValueError(
                f"{path} is not the file of weights that torchvision names ({reason}): nothing in it was run. "
                "Delete it and run this again."
            ) from error
        raise ConnectionError(
            f"{weights.url} is not in torch's cache and could not be fetched ({reason}). Connect to the internet and "
            "run this again."
        ) from error
