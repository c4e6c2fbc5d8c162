"""Ours beside torch, torchvision, timm, entmax and plain ports, in one run."""
