"""How networks learn here: one loop, what they reach, and the experiments that compare them."""

from .loop import TrainingError, train
from .metrics import Evaluation, evaluate, predict

__all__ = ["Evaluation", "TrainingError", "evaluate", "predict", "train"]
