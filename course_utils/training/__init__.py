"""How networks learn here: one loop, what they reach, and the experiments that compare them."""

from .checkpoints import CheckpointError, load_network, network_card, save_network
from .loop import TrainingError, train
from .metrics import Evaluation, evaluate, predict
from .report import BenchReport, StudyReport, bench_report, study_report
from .runs import StudyError, run_study
from .studies import study

__all__ = [
    "BenchReport",
    "CheckpointError",
    "Evaluation",
    "StudyError",
    "StudyReport",
    "TrainingError",
    "bench_report",
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
