"""How the diagrams of the course are drawn; their sizes, alt texts and captions are in course_utils/figures.toml.

    python -m artwork            # draw all of them into resource/figures
    python -m artwork --check    # are the shipped pictures what the code draws?

`sketch("se_block", "dark").figure` is a matplotlib Figure.
"""

from __future__ import annotations

from . import channel, dot_product, experiment, gates, overview  # noqa: F401  each enters its drawing functions
from .registry import DRAWN, sketch

__all__ = ["DRAWN", "sketch"]
