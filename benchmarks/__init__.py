"""Ours beside torch, torchvision, timm, entmax and plain ports, in one run."""

import os

# Before torch is loaded: its memory profiler otherwise reports on standard error that it starts and stops.
os.environ.setdefault("KINETO_LOG_LEVEL", "6")
