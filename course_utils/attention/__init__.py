"""What is taught: one file a mechanism, each readable alone."""

from .block import AttentionBlock, record_masks
from .squeeze_excitation import SEBlock

__all__ = ["AttentionBlock", "SEBlock", "record_masks"]
