"""What a measurement was made on: the machine, the versions, the commit; nothing private."""

import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import accelerate
import numpy as np
import torch

import course_utils


def versions() -> dict[str, str]:
    """Of the course, Python and the libraries that decide the numbers."""
    return {
        "course": course_utils.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "accelerate": accelerate.__version__,
        "numpy": np.__version__,
        "scikit-learn": metadata.version("scikit-learn"),
    }


def machine() -> dict[str, Any]:
    """What a measurement ran on, without names of its own."""
    return {
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "processor": _processor(),
        "threads": torch.get_num_threads(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def commit() -> str | None:
    """The commit of the code, with a mark where the code has been changed since; None outside a clone."""
    root = Path(__file__).parents[1]
    code = ("experiments", *(f"course_utils/{part}" for part in ("training", "data", "models", "attention")))
    # A run may be killed at any moment, and must then leave no lock in the repository.
    changed = ["git", "--no-optional-locks", "status", "--porcelain", "--untracked-files=no", "--", *code]
    commands = (["git", "rev-parse", "HEAD"], changed)
    try:
        commit, changes = (
            subprocess.run(command, cwd=root, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
            for command in commands
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + (" with changes" if changes else "")
