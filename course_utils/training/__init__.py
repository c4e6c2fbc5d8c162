"""How networks learn here: one loop, what they reach, and the experiments that compare them."""

from .checkpoints import CheckpointError, load_network, network_card, save_network
from .loop import TrainingError, train
from .metrics import Evaluation, evaluate, predict
from .report import StudyReport, study_report
from .runs import StudyError, run_study
from .studies import study

__all__ = [
    "CheckpointError",
    "Evaluation",
    "StudyError",
    "StudyReport",
    "TrainingError",
    "evaluate",
    "load_network",
    "network_card",
    "predict",
    "run_study",
    "save_network",
    "study",
    "study_report",
    "train",
]
