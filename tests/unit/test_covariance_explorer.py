"""The channels with names, the rearranging, the task that no mean can solve, and what the widget refuses."""

import numpy as np
import pytest
import torch
from traitlets import TraitError

from course_utils.attention import GSoPBlock, SEBlock, covariance_pool
from course_utils.widgets import explore_covariance
from course_utils.widgets.covariance.explore import (
    CHANNELS,
    EXAMPLES,
    colour_pairs,
    example_channels,
    named_channels,
    rearrange,
    train_on_pairs,
    trained_blocks,
)

torch.set_num_threads(1)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_has_eight_channels_that_vary(name):
    maps = example_channels(name)
    assert maps.shape == (len(CHANNELS), 40, 40)
    assert maps.min() >= 0 and maps.max() <= 1
    assert (maps.flatten(1).std(1) > 1e-3).all()


def lines(slope: str) -> torch.Tensor:
    """A picture of stripes, four pixels wide."""
    row, column = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    along = {"edge —": row, "edge |": column, "edge /": row + column, "edge \\": row - column}[slope]
    return ((along // 4) % 2).float().expand(3, -1, -1)


@pytest.mark.parametrize("name", CHANNELS[4:])
def test_an_edge_channel_answers_most_to_stripes_of_its_own_direction(name):
    answers = named_channels(lines(name))[4:].mean(dim=(1, 2))
    assert CHANNELS[4 + int(answers.argmax())] == name


def test_rearranging_moves_values_and_changes_none():
    x = example_channels("coffee")[None]
    for turn in (-1, -0.3, 0.45, 1):
        y = rearrange(x, moved=1, leader=0, turn=turn)
        assert torch.equal(y[0, 1].flatten().sort().values, x[0, 1].flatten().sort().values)
        assert not torch.equal(y, x)
        others = [c for c in range(8) if c != 1]
        assert torch.equal(y[:, others], x[:, others])
    assert torch.equal(rearrange(x, moved=1, leader=0, turn=0), x)


def test_the_covariance_rises_with_the_turn_and_the_variances_stay():
    x = example_channels("hens")[None]
    matrices = [covariance_pool(rearrange(x, 1, 0, turn))[0] for turn in np.linspace(-1, 1, 9)]
    values = [matrix[0, 1].item() for matrix in matrices]
    assert values == sorted(values) and values[0] < 0 < values[-1]
    for matrix in matrices:
        torch.testing.assert_close(matrix.diagonal(), matrices[0].diagonal())


def test_each_image_of_a_batch_may_have_its_own_turn():
    x = torch.rand(3, 8, 5, 6)
    turns = torch.tensor([-1, 0.2, 0.7])
    together = rearrange(x, 2, 5, turns)
    for one, alone, turn in zip(together, x, turns, strict=True):
        assert torch.equal(one, rearrange(alone[None], 2, 5, turn.item())[0])


def test_the_two_of_a_pair_have_equal_means_and_different_answers():
    x, answers = colour_pairs(30, seed=4)
    first, second = x[::2], x[1::2]
    torch.testing.assert_close(first.mean(dim=(2, 3)), second.mean(dim=(2, 3)))
    assert torch.equal(answers[::2, 0], answers[1::2, 0])
    assert (answers[::2, 1] == 0).all() and (answers[1::2, 1] == 1).all()
    assert (covariance_pool(first)[:, 0, 1] < covariance_pool(second)[:, 0, 1]).all()
    assert answers[:, 0].mean().item() == pytest.approx(0.5, abs=0.04)


def test_only_means_answer_the_first_question_for_se_and_nothing_the_second():
    state = torch.get_rng_state()
    torch.manual_seed(3)
    se, gsop = SEBlock(8, reduction=1), GSoPBlock(8, reduced_channels=6)
    before = torch.get_rng_state()
    bright, together = train_on_pairs(se)
    assert bright > 0.85 and together == 0.5
    assert not se.training
    _, together = train_on_pairs(gsop)
    assert together > 0.9
    assert torch.equal(torch.get_rng_state(), before)  # the learner's random state is left alone
    torch.set_rng_state(state)


def test_the_trained_blocks_do_what_the_lesson_says():
    se, gsop = trained_blocks()
    for name in ("hens", "coffee", "two spots"):
        flees, follows = (rearrange(example_channels(name)[None], 1, 0, turn) for turn in (-1, 1))
        torch.testing.assert_close(se.mask(flees), se.mask(follows))
        assert (gsop.mask(flees) - gsop.mask(follows)).abs().max() > 0.4
    hens, kitten = (se.mask(example_channels(name)[None]) for name in ("hens", "kitten"))
    assert (hens - kitten).abs().max() > 0.1  # SE's mask does depend on the picture


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"se": SEBlock(8, 1)}, "se without gsop; give both, or neither"),
        ({"se": SEBlock(8, 1), "gsop": GSoPBlock(9, 4)}, "GSoPBlock was built for 9 channels, but there are 8"),
        ({"example": "cats"}, "no example 'cats'; there are: hens"),
        ({"moved": "pink"}, "no moved 'pink'; there are: red"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        explore_covariance(**arguments)


def test_what_is_no_number_is_refused():
    se, gsop = SEBlock(8, 1), GSoPBlock(8, 4)
    torch.nn.init.constant_(se.expand.bias, torch.nan)
    with pytest.raises(ValueError, match=r"index \(0,\) is nan; every value must be a finite number"):
        explore_covariance(se, gsop)


def test_settings_that_do_not_exist_are_refused():
    widget = explore_covariance(SEBlock(8, 1), GSoPBlock(8, 4))
    for name, value in (("turn", 1.5), ("view", "all")):
        with pytest.raises(TraitError):
            setattr(widget, name, value)
