"""A lesson's widget: a network or a block joined to widgets."""

from .branch_weights import explore_branch_weights
from .cbam_steps import explore_cbam_steps
from .channel_gates import explore_channel_gates
from .covariance import explore_covariance
from .gate_maps import explore_gate_maps
from .head_grid import explore_head_grid
from .mask_playground import explore_mask_playground
from .patch_tokens import explore_patch_tokens
from .query_map import explore_query_map
from .score_lab import explore_score_lab
from .space_time import explore_space_time

__all__ = [
    "explore_branch_weights",
    "explore_cbam_steps",
    "explore_channel_gates",
    "explore_covariance",
    "explore_gate_maps",
    "explore_head_grid",
    "explore_mask_playground",
    "explore_patch_tokens",
    "explore_query_map",
    "explore_score_lab",
    "explore_space_time",
]
