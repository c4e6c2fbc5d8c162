"""Cued scenes: what is drawn is what is said, and train and test share nothing."""

import numpy as np
import pytest
import torch

from course_utils.data import DIGIT_PAIRS, cued_scenes, digits
from course_utils.data.scenes import _BACKGROUNDS, COLOURS
from experiments.study_gates import both_digits

INKS = torch.tensor(list(COLOURS.values()))  # (3, 3)
SIDE = 25  # of a digit in a scene of 64 pixels


def cue_of(image, row, column):
    """The index of the colour of one pixel."""
    return int((INKS - image[:, row, column]).abs().sum(1).argmin())


def inked(image, colour):
    """Where a digit of a colour is surely written, (H, W): no background is brighter than a half."""
    return image[colour] > 0.55


def test_scenes_depend_on_the_arguments_and_on_nothing_else():
    torch.manual_seed(0)
    first = cued_scenes(20, seed=3)
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 the global state must not matter
    again = cued_scenes(20, seed=3)
    assert torch.equal(first.images, again.images) and torch.equal(first.masks, again.masks)
    for other in (cued_scenes(20, seed=4), cued_scenes(20, 3, "test"), cued_scenes(20, 3, cues=2)):
        assert not torch.equal(first.images, other.images)


def test_the_border_has_the_colour_of_the_digit_in_the_mask_and_the_label_is_that_digit():
    scenes, known = cued_scenes(30, seed=0), digits("train")
    glyphs = torch.nn.functional.adaptive_avg_pool2d(known.images, SIDE).flatten(1)
    for image, label, mask in zip(scenes.images, scenes.labels, scenes.masks, strict=True):
        cue = cue_of(image, 0, 0)
        assert all(cue_of(image, row, column) == cue for row, column in ((3, 30), (30, 3), (63, 63), (60, 30)))
        assert mask.sum() == SIDE**2
        value, ink = (
            image[cue][mask],
            INKS[cue, cue],
        )  # value = ink * glyph + background * (1 - glyph), background <= 0.5
        least, most = (value - 0.5) / (ink - 0.5), value / ink
        fitting = ((glyphs > least - 1e-4) & (glyphs < most + 1e-4)).all(1)
        assert fitting.sum() < 400 and known.labels[fitting].mode().values == label


def test_with_two_cues_both_halves_of_the_border_name_a_digit():
    scenes = cued_scenes(200, seed=1, cues=2)
    named = both_digits(scenes.labels)
    assert (named.sum(1) == 2).all() and len(scenes.labels.unique()) > 35
    assert scenes.labels.max() < len(DIGIT_PAIRS) == 45
    pair = torch.tensor(DIGIT_PAIRS)[scenes.labels]
    assert named.gather(1, pair).all()
    assert (scenes.masks.sum((1, 2)) == 2 * SIDE**2).all()
    for image, mask in zip(scenes.images, scenes.masks, strict=True):
        upper, lower = cue_of(image, 1, 20), cue_of(image, 62, 40)
        assert upper != lower
        assert cue_of(image, 20, 1) == upper and cue_of(image, 40, 62) == lower
        (other,) = {0, 1, 2} - {upper, lower}
        for colour in (upper, lower):
            assert (inked(image, colour)[4:60, 4:60] & mask[4:60, 4:60]).any()
        assert not (inked(image, other)[4:60, 4:60] & mask[4:60, 4:60]).any()


def test_cues_digits_and_places_are_drawn_evenly():
    scenes = cued_scenes(3000, seed=2)
    assert scenes.labels.bincount(minlength=10).min() > 230
    cues = torch.tensor([cue_of(image, 0, 0) for image in scenes.images[:900]])
    assert cues.bincount().min() > 250
    assert scenes.masks.float().mean(0)[[15, 15, 45, 45], [15, 45, 15, 45]].min() > 0.2


def test_the_splits_share_no_photograph():
    assert not set(_BACKGROUNDS["train"]) & set(_BACKGROUNDS["test"])
    assert not set(_BACKGROUNDS["fit"]) & set(_BACKGROUNDS["validation"])
    assert set(_BACKGROUNDS["fit"]) | set(_BACKGROUNDS["validation"]) == set(_BACKGROUNDS["train"])


def test_scenes_come_in_other_sizes_and_refuse_what_cannot_be():
    assert cued_scenes(2, 0, size=96).masks.shape == (2, 96, 96)
    assert len(cued_scenes(0, seed=0)) == 0
    for wrong, words in (
        ({"size": 20}, "size from 32"),
        ({"size": 200}, "to 160"),
        ({"n": -1}, "n >= 0"),
        ({"cues": 3}, "needs 1 or 2 cues"),
        ({"split": "valid"}, "no split 'valid'"),
    ):
        with pytest.raises(ValueError, match=words):
            cued_scenes(**{"n": 2, "seed": 0, **wrong})
