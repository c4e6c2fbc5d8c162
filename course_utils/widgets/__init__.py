"""What is touched: one folder per widget.

In each folder `view.js` draws the widget in the page, `widget.py` sends it arrays, and `explore.py`, where a network is
involved, makes the arrays. A name below is imported when it is first used: the arrays' side needs no torch.
"""

import importlib
from typing import Any

_WHERE = {
    "base": ("CourseWidget", "as_array", "encode", "image_bytes", "standalone_page"),
    "attention_map.widget": ("AttentionMap", "share_on_place"),
    "branch_weights.explore": ("explore_branch_weights",),
    "cbam_steps.explore": ("explore_cbam_steps",),
    "channel_gates.explore": ("explore_channel_gates",),
    "covariance.explore": ("explore_covariance",),
    "covariance.widget": ("Covariance",),
    "gate_maps.explore": ("explore_gate_maps",),
    "gate_maps.widget": ("GateMaps", "MapSeries"),
    "head_grid.explore": ("explore_head_grid",),
    "head_grid.widget": ("HeadGrid",),
    "look_into.explore": ("look",),
    "look_into.widget": ("Look",),
    "mask_playground.explore": ("explore_mask_playground",),
    "mask_playground.widget": ("MaskPlayground",),
    "patch_tokens.explore": ("explore_patch_tokens",),
    "patch_tokens.widget": ("PatchTokens",),
    "pixel_budget.explore": ("explore_pixel_budget",),
    "query_map.explore": ("explore_query_map",),
    "query_map.widget": ("QueryMap",),
    "quiz.widget": ("Question", "Quiz"),
    "reader.explore": ("explore_reader",),
    "score_lab.explore": ("explore_score_lab",),
    "sentence_attention.widget": ("SENTENCES", "Sentence", "SentenceAttention"),
    "space_time.explore": ("explore_space_time",),
    "training_curves.widget": ("TrainingCurves",),
}
_MODULES = {name: module for module, names in _WHERE.items() for name in names}

__all__ = [*_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
