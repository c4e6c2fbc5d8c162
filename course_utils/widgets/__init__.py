"""What is touched: the Python side of each widget. Takes arrays, knows no network."""

from .attention_map import AttentionMap, image_bytes, share_on_place
from .base import CourseWidget, as_array, encode, standalone_page, sweep
from .covariance import Covariance
from .gate_maps import GateMaps, MapSeries
from .head_grid import HeadGrid, TokenPicture
from .mask_playground import MaskPlayground, PlaygroundPicture
from .patch_tokens import PatchPicture, PatchTokens
from .query_map import QueryExample, QueryMap, QuerySource
from .quiz import Question, Quiz
from .sentence_attention import SENTENCES, Sentence, SentenceAttention
from .training_curves import TrainingCurves

__all__ = [
    "SENTENCES",
    "AttentionMap",
    "CourseWidget",
    "Covariance",
    "GateMaps",
    "HeadGrid",
    "MapSeries",
    "MaskPlayground",
    "PatchPicture",
    "PatchTokens",
    "PlaygroundPicture",
    "QueryExample",
    "QueryMap",
    "QuerySource",
    "Question",
    "Quiz",
    "Sentence",
    "SentenceAttention",
    "TokenPicture",
    "TrainingCurves",
    "as_array",
    "encode",
    "image_bytes",
    "share_on_place",
    "standalone_page",
    "sweep",
]
