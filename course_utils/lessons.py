"""The course's lessons in reading order: the one list that links, progress map and tests read."""

from typing import NamedTuple


class Lesson(NamedTuple):
    """One notebook: its number in the course, its file in notebooks/, its title, and minutes.

    The minutes are those of reading and touching; each exercise says its own.
    """

    number: str
    file: str
    title: str
    minutes: int


LESSONS = (
    Lesson("4.1", "4.1_introduction.ipynb", "What attention is", 40),
    Lesson("4.1.1", "4.1.1_senet.ipynb", "SENet: attention over channels", 30),
    Lesson("4.1.2", "4.1.2_gsop_net.ipynb", "GSoP-Net: attention from covariances", 40),
    Lesson("4.1.3", "4.1.3_self_attention.ipynb", "Self-attention on a feature map", 50),
    Lesson("4.1.4", "4.1.4_multi_head_attention.ipynb", "Multi-head attention", 50),
    Lesson("4.1.5", "4.1.5_vision_transformer.ipynb", "The vision transformer", 50),
    Lesson("4.2", "4.2_experiment_se_block.ipynb", "Experiment: a network with and without SE", 30),
    Lesson("4.3", "4.3_experiment_self_attention.ipynb", "Experiment: self-attention, and a fair league", 35),
    Lesson("4.4", "4.4_scores_and_alignments.ipynb", "Scores and alignments: the general model", 55),
    Lesson("4.5", "4.5_experiment_attention_vgg16.ipynb", "Experiment: VGG16 with attention gates", 45),
    Lesson("4.6", "4.6_beyond_channel_and_space.ipynb", "Beyond channel and space", 40),
)


def lesson(number: str) -> Lesson:
    """The lesson with this number, such as "4.1.1".

    Raises:
        ValueError: if there is none; the message lists the numbers.
    """
    for each in LESSONS:
        if each.number == number:
            return each
    raise ValueError(f"There is no lesson {number!r}; the lessons are {', '.join(each.number for each in LESSONS)}.")
