"""What is taught: one file a mechanism, each readable alone."""

from .alignments import align
from .block import AttentionBlock, record_masks
from .dot_product import scaled_dot_product_attention
from .gate import AttentionGate
from .general import GeneralAttention
from .learned_alignments import PredictiveCenter, SubsetAgent
from .multi_head import MultiHeadAttention
from .scores import score
from .space_time import SpaceTimeAttention, TemporalAttention
from .squeeze_excitation import SEBlock

__all__ = [
    "AttentionBlock",
    "AttentionGate",
    "GeneralAttention",
    "MultiHeadAttention",
    "PredictiveCenter",
    "SEBlock",
    "SpaceTimeAttention",
    "SubsetAgent",
    "TemporalAttention",
    "align",
    "record_masks",
    "scaled_dot_product_attention",
    "score",
]
