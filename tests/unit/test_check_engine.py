"""The exercise engine on small exercises of its own: what a learner is told, whatever is handed in."""

import inspect
import os
import random
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from course_utils import check
from course_utils.check.card import _LOOKS, Card
from course_utils.check.changes import changed
from course_utils.check.compare import difference
from course_utils.check.engine import Exercise, Mistake
from course_utils.check.session import SESSION


def double(x):
    """Double every value: (N, C) -> (N, C)."""
    return 2 * x


DOUBLE = Exercise(
    lesson="4.1.1",
    official=double,
    draw=lambda draw: (draw.uniform(draw.integer(2, 3), 4, low=0.2, high=1.8),),
    mistakes=(
        Mistake("You squared.", lambda x: x**2),
        Mistake("You added 2.", lambda x: x + 2),
    ),
    hints=("Think of two.", "Think of times.", "2 * x"),
    minutes=2,
    difficulty=1,
    takeaway="Twice as much.",
    axes=("image", "channel"),
)


pytestmark = pytest.mark.usefixtures("fresh_session")


def test_the_right_answer_is_accepted_with_what_to_take_away():
    card = DOUBLE(lambda x: x + x)
    assert card.kind == "right"
    assert repr(card) == "✓ Right. Twice as much."


@pytest.mark.parametrize(("wrong", "message"), [(lambda x: x * x, "You squared."), (lambda x: x + 2, "You added 2.")])
def test_a_foreseen_mistake_is_named_with_index_given_and_expected(wrong, message):
    card = DOUBLE(wrong)
    assert card.kind == "not yet"
    assert card.lines[0] == message
    assert "At [0, 0] (image 0, channel 0) you gave" in card.lines[1] and "expected" in card.lines[1]
    assert card.lines[2] == "Hint 1 of 3: `check.hint()`"


def test_an_unforeseen_wrong_value_is_refused_at_its_index():
    def nearly(x):
        result = 2 * x
        result[1, 2] += 0.5
        return result

    card = DOUBLE(nearly)
    assert card.kind == "not yet"
    assert card.lines[0].startswith("At [1, 2] (image 1, channel 2) you gave ")
    assert card.lines[0].endswith("values differ).")


def test_an_answer_that_is_right_on_some_draws_only_is_refused():
    calls = []

    def sometimes(x):
        calls.append(x)
        return 2 * x if len(calls) < 3 else 3 * x

    assert DOUBLE(sometimes).kind == "not yet"
    assert len(calls) == 3


def test_inputs_are_drawn_afresh_for_each_check():
    seen = []
    for _ in range(2):
        DOUBLE(lambda x: seen.append(x.clone()) or 2 * x)
    assert not any(torch.equal(a, b) for a in seen[:3] for b in seen[3:] if a.shape == b.shape)


def stub_with_dots(x):
    """Double."""
    ...  # noqa: PIE790


def stub_with_pass(x):
    pass


def stub_with_none(x):
    """Double."""
    return None


def stub_that_raises(x):
    raise NotImplementedError


def stub_that_raises_words(x):
    raise NotImplementedError("your code here")


def stub_that_returns_dots(x):
    result = ...
    return result


def stub_half_filled(x):
    result = ...
    return 2 * result


@pytest.mark.parametrize(
    "answer",
    [
        None,
        ...,
        stub_with_dots,
        stub_with_pass,
        stub_with_none,
        stub_that_raises,
        stub_that_raises_words,
        stub_that_returns_dots,
        stub_half_filled,
    ],
)
def test_an_untouched_stub_is_not_attempted_and_leaves_no_trace(answer):
    card = DOUBLE(answer)
    assert card.kind == "not attempted"
    assert "Write `double(x)`; it takes about 2 minutes, difficulty 1 of 3." in card.lines
    assert SESSION.progress.states() == {}


def test_a_forgotten_return_is_told_from_a_stub():
    def forgot(x):
        y = 2 * x  # noqa: F841

    card = DOUBLE(forgot)
    assert card.kind == "not yet"
    assert card.lines[0] == "Your function returns None. Does it end with `return`?"


@pytest.mark.faults("hostile answers to an exercise")
def test_an_error_names_the_learners_line_and_what_was_raised():
    def broken(x):
        y = x.mean(dim=7)
        return y

    line = inspect.getsourcelines(broken)[1] + 1
    card = DOUBLE(broken)
    assert card.kind == "not yet"
    assert card.lines[0].startswith(f"In line {line}, `y = x.mean(dim=7)`, your function raised IndexError: Dimension")


def test_an_error_deep_inside_torch_still_names_the_learners_line():
    def broken(x):
        return torch.nn.functional.one_hot(x)

    assert "`return torch.nn.functional.one_hot(x)`" in DOUBLE(broken).lines[0]


def test_torch_saying_not_implemented_is_no_stub():
    def broken(x):
        return torch.empty(2, device="meta").tolist() or x

    card = DOUBLE(broken)
    assert card.kind == "not yet"
    assert "NotImplementedError" in card.lines[0]


@pytest.mark.faults("hostile answers to an exercise")
def test_leaving_the_program_is_only_an_error():
    assert DOUBLE(lambda x: sys.exit(1)).kind == "not yet"


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no words")


class Hostile(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def raise_hostile(x):
    raise Hostile


@pytest.mark.faults("hostile answers to an exercise")
@pytest.mark.parametrize(
    "answer",
    [
        3,
        "double",
        torch.zeros(2),
        lambda x: Unprintable(),
        lambda x: [Unprintable()],
        lambda x: "2x",
        lambda x: 2.0,
        lambda x: {"x": x},
        lambda x: (2 * x).to_sparse(),
        lambda x: (2 * x).numpy(),
        lambda x: (2 * x).to(torch.bfloat16),
        lambda x: (2 * x).to("meta"),
        lambda x: x * float("nan"),
        lambda x: torch.zeros(0),
        raise_hostile,
        Unprintable,
        torch.sigmoid,
        torch.nn.Identity(),
    ],
)
def test_a_check_never_raises(answer):
    card = DOUBLE(answer)
    assert card.kind == "not yet"
    assert repr(card) and card._repr_html_()


def test_a_result_instead_of_a_function_is_told_so():
    assert DOUBLE(torch.zeros(2)).lines[0] == "Pass the function itself, without calling it: `check.double(double)`."


def test_a_function_with_other_arguments_is_told_which_are_needed():
    card = DOUBLE(lambda x, factor: x * factor)
    assert card.lines[0] == "Your function is `<lambda>(x, factor)`; the exercise asks for `double(x)`."


@pytest.mark.faults("hostile answers to an exercise")
def test_a_change_in_place_is_told_even_where_the_values_are_right():
    def in_place(x):
        x *= 2
        return x

    card = DOUBLE(in_place)
    assert card.kind == "not yet"
    assert "changes its input `x` in place" in card.lines[0]


def test_a_result_that_carries_gradients_is_compared():
    weight = torch.full((), 2.0, requires_grad=True)
    assert DOUBLE(lambda x: weight * x).kind == "right"


def test_hints_come_one_by_one_and_the_last_one_stays():
    DOUBLE(lambda x: x)
    shown = [check.hint() for _ in range(4)]
    assert [card.headline for card in shown] == ["Hint 1 of 3.", "Hint 2 of 3.", "Hint 3 of 3.", "Hint 3 of 3."]
    assert [card.lines[0] for card in shown] == [*DOUBLE.hints, DOUBLE.hints[-1]]
    assert DOUBLE(lambda x: x).lines[-1] == "All hints are given: `check.solution()`"


def test_a_result_points_to_the_next_hint():
    DOUBLE(lambda x: x)
    check.hint()
    assert DOUBLE(lambda x: x).lines[-1] == "Hint 2 of 3: `check.hint()`"


def test_the_solution_is_shown_after_an_attempt():
    assert "return 2 * x" not in repr(DOUBLE(lambda x: x))
    assert "return 2 * x" in check.solution().code


def test_before_an_attempt_the_solution_must_be_asked_for_twice():
    DOUBLE()
    first, second = check.solution(), check.solution()
    assert "You have not tried `double` yet." in repr(first) and not first.code
    assert second.code.startswith("def double(x):")


def test_asking_before_any_check_says_what_to_do():
    for card in (check.hint(), check.solution()):
        assert card.kind == "note" and "check.squeeze(squeeze)" in repr(card)


def test_reset_forgets_an_exercise_a_lesson_or_all():
    exercises = check.exercises()
    for name in ("squeeze", "scale", "epoch_loss"):
        exercises[name](exercises[name].official)
    check.squeeze.hint()
    assert "4.1.1/squeeze" in repr(check.reset("squeeze"))
    assert set(SESSION.progress.states()) == {"4.1.1/scale", "4.2/epoch_loss"}
    assert check.squeeze.hint().headline == "Hint 1 of 3."
    check.reset("4.1.1")
    assert set(SESSION.progress.states()) == {"4.2/epoch_loss"}
    check.reset("all")
    assert SESSION.progress.states() == {}


def test_a_reset_of_nothing_known_changes_nothing():
    check.squeeze(check.squeeze.official)
    assert "did you mean 'squeeze'?" in repr(check.reset("sqeeze"))
    assert "Nothing was reset." in repr(check.reset())
    assert set(SESSION.progress.states()) == {"4.1.1/squeeze"}


def test_a_lesson_number_does_not_reset_the_lessons_below_it():
    check.squeeze(check.squeeze.official)
    check.reset("4.1")
    assert set(SESSION.progress.states()) == {"4.1.1/squeeze"}


def test_an_unknown_exercise_suggests_the_nearest():
    with pytest.raises(AttributeError, match=r"no exercise 'sqeeze'; did you mean 'check\.squeeze'\?"):
        _ = check.sqeeze


def test_exercises_are_listed_and_describe_themselves():
    assert {"squeeze", "hint", "progress"} <= set(dir(check))
    assert "Exercise squeeze(x), lesson 4.1.1" in repr(check.squeeze)


def test_no_exercise_hides_a_module_or_a_function_of_the_engine():
    exercises = check.exercises()
    assert not set(exercises) & {name for name in vars(check) if not name.startswith("__")}


def test_global_random_states_are_left_as_they_were():
    def draws(x):
        torch.rand(3), np.random.rand(3), random.random()  # noqa: NPY002
        return 2 * x

    before = torch.get_rng_state(), np.random.get_state()[1], random.getstate()  # noqa: NPY002
    DOUBLE(draws)
    check.split_within_digit(check.split_within_digit.official)
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()  # noqa: NPY002
    assert before[2] == random.getstate()


def test_checks_import_no_matplotlib_and_the_package_of_checks_no_torch(tmp_path):
    code = """
        import sys
        from course_utils import check
        assert "torch" not in sys.modules
        check.squeeze(lambda x: x.mean((2, 3)))
        check.progress()
        assert "matplotlib" not in sys.modules and "anywidget" not in sys.modules
    """
    env = {**os.environ, "COURSE_PROGRESS": str(tmp_path / "progress.json"), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, env=env)


def test_a_draw_that_cannot_tell_mistakes_apart_is_reported():
    twins = Exercise(
        **{
            **{field: getattr(DOUBLE, field) for field in DOUBLE.__dataclass_fields__},
            "mistakes": (Mistake("One.", lambda x: x + 1), Mistake("Other.", lambda x: 1 + x)),
        }
    )
    with pytest.raises(RuntimeError, match=r"4\.1\.1/double.*apart"):
        twins.rounds(0)


@pytest.mark.faults("pieces of markup in labels, captions, names and answers")
def test_words_reach_the_page_as_text():
    def broken(x):
        raise ValueError("<script>alert(1)</script> & `<b>`")

    html = DOUBLE(broken)._repr_html_()
    assert "<script>" not in html and "<b>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; <code>&lt;b&gt;</code>" in html
    assert "<b>" not in Card("solution", "<b>", ("<b>",), code="<b>")._repr_html_()


@pytest.mark.parametrize("background", [1.0, 0.0056])  # the luminance of white and of #111111
def test_every_accent_stands_out_on_light_and_dark(background):
    for _, accent in _LOOKS.values():
        channels = [int(accent[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        lighter, darker = max(luminance, background), min(luminance, background)
        assert (lighter + 0.05) / (darker + 0.05) >= 3, accent


@pytest.mark.parametrize(
    ("given", "expected", "words"),
    [
        (torch.zeros(2, 3), torch.zeros(3, 2), "Your result has shape (2, 3); it should be (3, 2)."),
        (torch.zeros(5), torch.zeros(()), "Your result has shape (5,); it should be a single number, shape ()."),
        (torch.zeros(2).long(), torch.zeros(2), "Your result has dtype torch.int64; it should be torch.float32."),
        (
            np.zeros(2),
            torch.zeros(2),
            "Your result is a NumPy array of shape (2,); it should be a tensor of shape (2,).",
        ),
        (torch.tensor([1.0, torch.nan]), torch.ones(2), "At [1] you gave nan, expected 1 (1 of 2 values differ)."),
        (torch.tensor(1.0), torch.tensor(2.0), "You gave 1, expected 2."),
        (torch.tensor([1.00021]), torch.ones(1), "At [0] you gave 1.00021, expected 1."),
        (3.0, 3, "Your result is 3.0, a float; a count is a whole number: divide with `//`."),
        (4, 3, "You gave 4, expected 3."),
        (True, 1, "Your result is a bool; it should be a number, 1."),
        (None, 0.5, "Your result is None; it should be a number, 0.5."),
        ([1, 2], [1, 2, 5], "Your result has 2 entries, [1, 2]; it should have 3 entries, [1, 2, 5]."),
        ([1, 3], [1, 2], "Entry [1]: you gave 3, expected 2."),
        (7, [1, 2], "Your result is an int; it should be a list."),
        (1, True, "Your result is 1; it should be True."),
        ("soft", "hard", "Your result is 'soft'; it should be 'hard'."),
    ],
)
def test_a_difference_is_said_in_words(given, expected, words):
    assert difference(given, expected) == words


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.000001])),
        (torch.tensor(3), 3),
        (np.float64(0.5), 0.5),
        (torch.tensor([1, 2]), [1, 2]),
        ((1, 2), [1, 2]),
        (float("nan") * torch.ones(1), torch.full((1,), torch.nan)),
    ],
)
def test_answers_that_agree_have_no_difference(given, expected):
    assert difference(given, expected) is None


def test_the_parts_of_a_tuple_are_named():
    assert difference((1.0, 3.0), (1.0, 2.0), parts=("mean", "low")) == "`low`: you gave 3, expected 2."
    assert difference((1.0,), (1.0, 2.0), parts=("mean", "low")) == (
        "Your result has 1 entry; it should have 2 entries (mean, low)."
    )


def doubled(x):
    """Give 2 * x."""
    y = 2 * x
    return y  # 2 * x


def test_a_mistake_written_as_changes_is_the_solution_with_these_changes():
    tripled = changed(doubled, {"2 *": "3 *", "return y": "return y + 1"})
    assert (tripled(5), doubled(5)) == (16, 10)
    assert tripled.__doc__ == doubled.__doc__


def test_a_change_of_text_that_does_not_stand_in_the_solution_is_refused():
    with pytest.raises(ValueError, match=r"'Give' does not stand in the body of doubled"):
        changed(doubled, {"Give": "Take"})
