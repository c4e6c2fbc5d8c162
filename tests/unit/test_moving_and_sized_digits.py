"""Digits of every size, and digits that move: what the pictures promise is what they hold."""

import pytest
import torch

from course_utils.data import ImageSet, digit_sides, moving_digits, sized_digits

torch.set_num_threads(1)


def test_a_seed_gives_the_same_pictures_and_another_seed_others():
    first, again, other = (sized_digits(5, seed) for seed in (0, 0, 1))
    assert torch.equal(first.images, again.images) and torch.equal(first.labels, again.labels)
    assert not torch.equal(first.images, other.images)
    clips, same, others = (moving_digits(3, seed) for seed in (0, 0, 1))
    assert torch.equal(clips.clips, same.clips) and torch.equal(clips.moving, same.moving)
    assert not torch.equal(clips.clips, others.clips)


def test_every_size_is_drawn_and_the_ink_stands_in_its_square():
    pictures = sized_digits(600, seed=0, sides=(8, 12))
    sides = digit_sides(pictures)
    assert set(sides.tolist()) == set(range(8, 13))
    ink = pictures.images[:, 0] > 0.2  # above the noise
    assert not (ink & ~pictures.masks).any()
    assert (ink & pictures.masks).flatten(1).any(dim=1).all()


def test_the_same_digits_are_drawn_at_every_size():
    labels = [sized_digits(20, seed=3, split="test", sides=(side, side)).labels for side in (8, 20, 40)]
    assert torch.equal(labels[0], labels[1]) and torch.equal(labels[1], labels[2])


def test_sizes_that_do_not_fit_are_refused():
    for options in ({"sides": (8, 41)}, {"sides": (12, 8)}, {"sides": (3, 8)}):
        with pytest.raises(ValueError, match="4 <= smallest <= largest <= size"):
            sized_digits(2, seed=0, **options)
    with pytest.raises(ValueError, match="no split 'tests'"):
        sized_digits(2, seed=0, split="tests")
    with pytest.raises(ValueError, match="use sized_digits"):
        digit_sides(ImageSet(torch.rand(1, 1, 8, 8), torch.zeros(1, dtype=torch.int64)))


def test_one_digit_moves_away_and_the_other_stands_still():
    data = moving_digits(40, seed=2, frames=5)
    assert data.clips.shape == (40, 5, 1, 40, 40) and data.clips.min() >= 0 and data.clips.max() <= 1
    assert (data.moving.flatten(2).sum(2) == 14**2).all() and (data.standing.flatten(1).sum(1) == 14**2).all()
    assert not (data.moving[:, 0] & data.moving[:, -1]).any(), "the digit still covers a part of its first place"
    assert not (data.moving & data.standing[:, None]).any(), "the digits meet"
    ink = data.clips[:, :, 0] > 0.2
    assert not (ink & ~data.moving & ~data.standing[:, None]).any()
    standing = (ink & data.standing[:, None]).float()
    assert (standing.std(dim=1) == 0).all(), "the standing digit changes"


def test_the_noise_is_drawn_anew_for_every_frame():
    data = moving_digits(1, seed=0)
    empty = ~data.moving[0].any(0) & ~data.standing[0]
    assert not torch.equal(data.clips[0, 0, 0][empty], data.clips[0, 1, 0][empty])


def test_clips_that_cannot_be_are_refused():
    for options in ({"frames": 1}, {"size": 39}):
        with pytest.raises(ValueError, match="at least 2 frames and size >= 40"):
            moving_digits(2, seed=0, **options)
