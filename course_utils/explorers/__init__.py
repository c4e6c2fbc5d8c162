"""A lesson's widget: a network or a block joined to widgets."""

from .channel_gates import explore_channel_gates

__all__ = ["explore_channel_gates"]
