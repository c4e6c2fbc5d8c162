"""How networks learn here: one loop, what they reach, and how they are saved."""

from .checkpoints import save_network
from .loop import TrainingError, train
from .metrics import Evaluation, evaluate, predict
