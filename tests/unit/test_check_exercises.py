"""Every exercise of the course, proven by its own wrong answers; and each official solution against another source."""

import functools
import inspect
import json
import re
import secrets
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats

from course_utils import check
from course_utils.attention import SEBlock
from course_utils.check.engine import Draw, Exercise
from course_utils.lessons import LESSONS

ROOT = Path(__file__).resolve().parents[2]
EXERCISES = check.exercises()
MISTAKES = [(exercise, mistake) for exercise in EXERCISES.values() for mistake in exercise.mistakes]
LESSONS_WITH_EXERCISES = sorted({exercise.lesson for exercise in EXERCISES.values()})
SEEDS = range(1000, 1020)


def by_name(exercise):
    return exercise.name


pytestmark = pytest.mark.usefixtures("fresh_session", "one_thread")
draw_rounds = Exercise.rounds


@functools.cache
def rounds_of(exercise):
    return draw_rounds(exercise, secrets.randbits(48))


@pytest.fixture(autouse=True)
def drawn_once(monkeypatch):
    """The rounds of an exercise are drawn once for all its answers; `make strict` draws anew for each of them."""
    monkeypatch.setattr(Exercise, "rounds", lambda exercise, _: rounds_of(exercise))


def spoilt(value):
    """A wrong answer that no mistake foresees: the right one with its last number a little off."""
    if isinstance(value, torch.Tensor):
        result = value.clone(memory_format=torch.contiguous_format)
        if result.dtype == torch.bool:
            result.view(-1)[-1].logical_not_()
        else:
            result.view(-1)[-1] += 0.371
        return result
    if isinstance(value, tuple | list):
        return type(value)([*value[:-1], spoilt(value[-1])]) if value else [-9]
    whole = isinstance(value, int) or (isinstance(value, np.ndarray) and value.dtype.kind == "i")
    return value + 1000 if whole else value * 1.371 + 0.0371


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=by_name)
def test_the_official_solution_is_accepted(exercise):
    card = exercise(exercise.official)
    assert card.kind == "right"
    assert card.lines == (exercise.takeaway,)


@pytest.mark.parametrize(("exercise", "mistake"), MISTAKES, ids=lambda x: getattr(x, "name", None))
def test_each_typical_mistake_is_refused_with_its_own_message(exercise, mistake):
    card = exercise(mistake.wrong)
    assert card.kind == "not yet"
    assert card.lines[0] == mistake.message


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=by_name)
def test_each_exercise_foresees_four_mistakes_or_more_with_messages_of_their_own(exercise):
    messages = [mistake.message for mistake in exercise.mistakes]
    assert len(messages) >= 4
    assert len(set(messages)) == len(messages)


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=by_name)
def test_an_unforeseen_wrong_answer_is_refused_with_index_given_and_expected(exercise):
    card = exercise(lambda *inputs: spoilt(exercise.official(*inputs)))
    assert card.kind == "not yet"
    assert card.lines[0] not in [mistake.message for mistake in exercise.mistakes]
    if exercise.refusal is None:
        assert "ou gave " in card.lines[0] and "expected " in card.lines[0]


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=by_name)
def test_a_wrong_shape_or_kind_is_refused_by_name(exercise):
    for junk in ("text", [], torch.zeros(1, 1, 1, 1, 1), 1e9, np.zeros(3)):
        card = exercise(lambda *inputs, junk=junk: junk)
        assert card.kind == "not yet"
        assert "could not read" not in card.lines[0]


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=by_name)
def test_an_unanswered_stub_runs(exercise):
    names = ", ".join(inspect.signature(exercise.official).parameters)
    scope: dict = {}
    exec(f"def {exercise.name}({names}):\n    '''Your turn.'''\n    ...\n", scope)
    assert exercise(scope[exercise.name]).kind == "not attempted"
    assert exercise(None).kind == "not attempted"


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=by_name)
def test_mistakes_are_told_apart_on_the_first_few_draws(exercise):
    """The engine draws again where two mistakes coincide; that must stay the exception."""
    drawn = []

    def counting(draw):
        drawn.append(draw)
        return exercise.draw(draw)

    watched = type(exercise)(**{f: getattr(exercise, f) for f in exercise.__dataclass_fields__} | {"draw": counting})
    for seed in SEEDS[:8]:
        draw_rounds(watched, seed)
    assert len(drawn) <= 3 * 5 * 8


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=by_name)
def test_the_rules_of_an_exercise(exercise):
    assert exercise.lesson in {lesson.number for lesson in LESSONS}
    assert len(exercise.hints) == 3 and len(set(exercise.hints)) == 3
    assert exercise.minutes >= 2 and exercise.difficulty in (1, 2, 3)
    assert exercise.official.__doc__ and exercise.takeaway


@pytest.mark.parametrize("number", LESSONS_WITH_EXERCISES)
def test_the_headings_of_a_lesson_name_the_minutes_of_its_exercises(number):
    (file,) = [each.notebook for each in LESSONS if each.number == number]
    cells = json.loads((ROOT / "notebooks" / file).read_text(encoding="utf-8"))["cells"]
    headings = re.findall(r'"### [^"]*\((\d+) minutes\)', json.dumps([cell["source"] for cell in cells]))
    own = [exercise.minutes for exercise in EXERCISES.values() if exercise.lesson == number]
    assert sorted(map(int, headings)) == sorted(own), f"{file}: each exercise has a heading '### ... (N minutes)'"


@pytest.mark.parametrize("lesson", LESSONS_WITH_EXERCISES)
def test_a_lesson_has_four_exercises_or_more_from_easy_to_hard(lesson):
    difficulties = [exercise.difficulty for exercise in EXERCISES.values() if exercise.lesson == lesson]
    assert len(difficulties) >= 4
    assert difficulties == sorted(difficulties) and len(set(difficulties)) > 1


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=by_name)
def test_the_solution_shown_is_accepted_when_pasted(exercise):
    scope: dict = {"np": np, "torch": torch, "F": F}
    exec("from collections.abc import Callable\nfrom torch import Tensor\n" + exercise.source(), scope)
    assert exercise(scope[exercise.name]).kind == "right"


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=by_name)
def test_no_answer_shows_the_solution(exercise):
    body = [line.strip() for line in exercise.source().splitlines() if line.strip().startswith("return")]
    shown = [exercise(), exercise(lambda *x: None), exercise(exercise.mistakes[0].wrong), exercise.hint()]
    assert not any(line in repr(card) for card in shown for line in body)


def test_no_gate_and_no_probability_is_drawn_near_its_end():
    for seed in SEEDS:
        gates = check.excite.official(*check.excite.draw(Draw(seed)))
        probabilities, _ = check.loss_from_probabilities.draw(Draw(seed))
        assert gates.min() > 0.02 and gates.max() < 0.98
        assert probabilities.min() > 1e-3 and probabilities.max() < 0.95


def test_a_hidden_unit_is_off_in_each_draw_of_excite():
    for seed in SEEDS:
        squeezed, weight, bias, _, _ = check.excite.draw(Draw(seed))
        assert (F.linear(squeezed, weight, bias) < 0).any()


def test_squeeze_excite_and_scale_make_the_se_block():
    block = SEBlock(8, reduction=2)
    x = torch.randn(2, 8, 5, 4)
    layers = block.reduce.weight, block.reduce.bias, block.expand.weight, block.expand.bias
    gates = check.excite.official(check.squeeze.official(x), *layers)
    torch.testing.assert_close(check.scale.official(x, gates), block(x))


@pytest.mark.parametrize(("channels", "reduction", "bias"), [(64, 16, True), (50, 16, False), (12, 12, True)])
def test_the_count_is_the_blocks_own(channels, reduction, bias):
    block = SEBlock(channels, reduction, bias)
    assert check.count_se_parameters.official(channels, reduction, bias) == sum(p.numel() for p in block.parameters())


def test_the_dead_blocks_are_those_that_the_package_refuses():
    (blocks,) = check.find_dead_blocks.draw(Draw(0))
    for place, (channels, reduction) in enumerate(blocks):
        if place in check.find_dead_blocks.official(blocks):
            with pytest.raises(ValueError, match="0 hidden units"):
                SEBlock(channels, reduction)
        else:
            SEBlock(channels, reduction)


def test_the_epoch_loss_is_the_mean_over_all_images():
    logits, labels = torch.randn(37, 10), torch.randint(0, 10, (37,))
    batches = [slice(0, 16), slice(16, 32), slice(32, 37)]
    losses = [F.cross_entropy(logits[b], labels[b]).item() for b in batches]
    expected = F.cross_entropy(logits, labels).item()
    assert check.epoch_loss.official(losses, [16, 16, 5]) == pytest.approx(expected, rel=1e-5)


def test_the_loss_from_probabilities_is_the_cross_entropy_of_the_logits():
    logits, labels = torch.randn(9, 10), torch.randint(0, 10, (9,))
    loss = check.loss_from_probabilities.official(logits.softmax(1), labels)
    torch.testing.assert_close(loss, F.cross_entropy(logits, labels))


def test_a_log_softmax_before_cross_entropy_is_accepted_since_it_changes_nothing():
    assert check.loss_from_probabilities(lambda p, labels: F.cross_entropy(p.log(), labels)).kind == "right"


@pytest.mark.parametrize("take", [slice(None), slice(None, None, -1)])
def test_any_split_within_the_digits_is_accepted(take):
    def split(labels, per_digit):
        places = [(labels == digit).nonzero().flatten().tolist()[take] for digit in labels.unique()]
        train = [i for each in places for i in each[per_digit:]]
        return torch.tensor(train), np.array([i for each in places for i in each[:per_digit]])

    assert check.split_within_digit(split).kind == "right"


def test_a_split_with_places_that_do_not_exist_is_refused_by_place():
    def from_one(labels, per_digit):
        train, validation = check.split_within_digit.official(labels, per_digit)
        return [i + 1 for i in train], [i + 1 for i in validation]

    assert "the labels have places 0 to" in check.split_within_digit(from_one).lines[0]


def test_the_paired_interval_is_scipys():
    a, b = check.paired_interval.draw(Draw(3))
    interval = stats.ttest_rel(a, b).confidence_interval(0.95)
    np.testing.assert_allclose(check.paired_interval.official(a, b), [(a - b).mean(), interval.low, interval.high])


def test_the_equal_width_is_the_nearest_of_all():
    for seed in SEEDS:
        parameters, target = check.equal_width.draw(Draw(seed))
        nearest = sorted(range(1, 100), key=lambda width: abs(parameters(width) - target))
        assert check.equal_width.official(parameters, target) == nearest[0]
        distances = [abs(parameters(width) - target) for width in nearest[:2]]
        assert distances[0] < distances[1]


def heads_from_one(joined, weight, bias, heads, head):
    return check.knock_out.official(joined, weight, bias, heads, max(head - 1, 0))


def strides_added(kernels, strides):
    side, step = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        side, step = side + (kernel - 1) * step, step + stride - 1
    return side


def place_among_sorted(validation, rates):
    return validation[:, rates.argsort()].mean(2).argmax(1)


def softmax_cut(scores):
    weights = scores.softmax(1).where(scores.softmax(1) > 0.05, 0)
    return weights / weights.sum(1, keepdim=True)


@pytest.mark.parametrize(
    ("exercise", "answer", "named"),
    [
        (check.knock_out, heads_from_one, "counted the heads from 1"),
        (check.receptive_side, strides_added, "added the strides"),
        (check.choose_learning_rates, place_among_sorted, "where the best rate stands"),
        (check.sparsemax_weights, softmax_cut, "small weights of a softmax"),
        (check.share_right, lambda *inputs: float(len(inputs[1]) * check.share_right.official(*inputs)), "number of"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_a_mistake_made_in_another_way_gets_the_same_word(exercise, answer, named):
    (message,) = [each.message for each in exercise.mistakes if named in each.message]
    for _ in range(5):
        assert exercise(answer).lines[0] == message
