"""Networks made of the blocks that are taught."""

from .attention_cnn import AttentionCNN

__all__ = ["AttentionCNN"]
