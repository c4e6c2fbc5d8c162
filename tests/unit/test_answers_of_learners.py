"""Answers as a learner may write them: another right way is taken, a near miss is refused with words that fit it."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats

from course_utils import check

pytestmark = pytest.mark.usefixtures("fresh_session")


def split_by_loops(labels, per_digit):
    """Lists of tensors of one number each, as a loop over a tensor gives them."""
    train, validation = [], []
    for digit in labels.unique():
        places = torch.where(labels == digit)[0]
        validation.extend(places[:per_digit])
        train.extend(places[per_digit:])
    return train, validation


def verdicts(first, second, ddof=1, point=0.975):
    gaps = first - second
    seeds = gaps.shape[1]
    half = stats.t.ppf(point, seeds - 1) * gaps.std(axis=1, ddof=ddof) / seeds**0.5
    mean = gaps.mean(axis=1)
    return np.sign(mean) * (abs(mean) > half)  # -1.0, 0.0 and 1.0


def resized(trimap, size, mode):
    return F.interpolate(trimap[None, None].float(), size=(size, size), mode=mode)[0, 0]


def part_of_the_animal(trimap, size):
    return resized((trimap != 2).long(), size, "bilinear")


def weights_not_transposed(x, key_weight, query_weight, value_weight, output_weight, gamma):
    key, query, value = (F.conv2d(x, weight).flatten(2) for weight in (key_weight, query_weight, value_weight))
    weights = (query.transpose(1, 2) @ key).softmax(dim=2)
    return gamma * F.conv2d((value @ weights).unflatten(2, x.shape[2:]), output_weight) + x


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("split_within_digit", split_by_loops),
        ("claims", verdicts),
        ("claims", lambda first, second: [int(each) for each in verdicts(first, second)]),
        ("claims", lambda first, second: torch.tensor(verdicts(first, second))),
        ("animal_mask", lambda trimap, size: (resized(trimap, size, "nearest-exact") != 2).float()),
        ("animal_mask", lambda trimap, size: (part_of_the_animal(trimap, size) > 0.5).float()),
        ("animal_mask", lambda trimap, size: (resized((trimap != 2).long(), size, "area") >= 0.5).float()),
    ],
)
def test_another_right_way_is_taken(exercise, answer):
    assert getattr(check, exercise)(answer).kind == "right"


@pytest.mark.parametrize(
    ("exercise", "answer", "words"),
    [
        (
            "find_fixed_masks",
            lambda masks: [i for i, mask in enumerate(masks) if (mask - mask[0]).max() < 1e-4],
            "left out `.abs()`",
        ),
        ("claims", lambda first, second: verdicts(first, second, ddof=0), "a sample needs n - 1"),
        ("claims", lambda first, second: verdicts(first, second, point=0.95), "take the 97.5 % point"),
        ("claims", lambda first, second: verdicts(first, second) == 1, "True and False"),
        ("claims", lambda first, second: verdicts(first, second).tolist()[:-1], "has shape (11,)"),
        (
            "choose_learning_rates",
            lambda trials, rates: rates[trials.mean(2).argmax(dim=1)],
            "the one that stands first",
        ),
        ("split_within_digit", lambda labels, n: (labels, labels[:0]), "returned the labels"),
        ("sagan_attention", weights_not_transposed, "transpose the weights in `value @ weights`"),
        ("animal_mask", part_of_the_animal, "values between 0 and 1"),
        ("animal_mask", lambda trimap, size: torch.zeros(size, size), "For `animal_mask(size="),
    ],
)
def test_a_near_miss_reads_what_is_wrong_with_it(exercise, answer, words):
    card = getattr(check, exercise)(answer)
    assert card.kind == "not yet"
    assert words in card.lines[0]
