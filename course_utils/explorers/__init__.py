"""A lesson's widget: a network or a block joined to widgets."""

from .channel_gates import explore_channel_gates
from .mask_playground import explore_mask_playground

__all__ = ["explore_channel_gates", "explore_mask_playground"]
