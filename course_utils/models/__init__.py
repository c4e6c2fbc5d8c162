"""Networks made of the blocks that are taught."""

from .attention_cnn import AttentionCNN
from .attention_vgg16 import AttentionVGG, AttentionVGG16
from .trained_weights import trained_weights
from .vision_transformer import VisionTransformer, class_token_maps, rollout

__all__ = [
    "AttentionCNN",
    "AttentionVGG",
    "AttentionVGG16",
    "VisionTransformer",
    "class_token_maps",
    "rollout",
    "trained_weights",
]
