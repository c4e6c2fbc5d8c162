"""Exercises: draw inputs, run an answer, name the mistake.

An exercise is an official function, a way to draw its inputs, and typical wrong answers as functions of the same
inputs. An answer is right if it agrees with the official one on every draw; if it agrees with a wrong one instead, the
learner reads that mistake's message; any other answer is refused with index, given and expected.
"""

import copy
import dis
import inspect
import linecache
import math
import os
import random
import secrets
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .card import Card, Kind
from .compare import difference
from .memory import State
from .session import SESSION

ROUNDS = 3  # draws of one check, of different shapes
_DRAWS = 100  # attempts at a draw that separates all mistakes
_IDLE = {"RESUME", "NOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE"}  # the bytecode of an untouched stub

Inputs = tuple[Any, ...]
Difference = Callable[..., str | None]
"""Says how a result differs from another, as `difference` does; None where it does not."""


class Draw:
    """Random inputs from a generator of its own: the learner's random state is never touched.

    Attributes:
        turn: which round of a check this is, from 0: what a check must always meet is drawn in a turn of its own.
    """

    def __init__(self, seed: int, turn: int = 0):
        self.turn = turn
        self._generator = torch.Generator(device="cpu").manual_seed(seed)

    def normal(self, *shape: int, mean: float = 0.0, std: float = 1.0) -> Tensor:
        """Normal values cut at two standard deviations, so that no sigmoid or softmax after them saturates."""
        values = torch.randn(shape, generator=self._generator, device="cpu", dtype=torch.float32)
        return mean + std * values.clamp(-2, 2)

    def normals(self, *shapes: str | tuple[str, float], **sizes: tuple[int, int]) -> Inputs:
        """A normal tensor for each shape, such as "2 Q d", or ("2 Q d", 0.5) with its standard deviation.

        Args:
            shapes: sizes of the axes, each a number, a letter, or a product such as "H*W".
            sizes: for each letter the smallest and the largest size; it is the same in all shapes.
        """
        drawn = {letter: self.integer(*ends) for letter, ends in sizes.items()}
        pairs = [(shape, 1.0) if isinstance(shape, str) else shape for shape in shapes]
        tensors = []
        for shape, std in pairs:
            axes = ([drawn[part] if part in drawn else int(part) for part in axis.split("*")] for axis in shape.split())
            tensors.append(self.normal(*map(math.prod, axes), std=std))
        return tuple(tensors)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Even values in [low, high)."""
        values = torch.rand(shape, generator=self._generator, device="cpu", dtype=torch.float32)
        return low + (high - low) * values

    def integer(self, low: int, high: int) -> int:
        """A whole number, low <= n <= high."""
        return int(torch.randint(low, high + 1, (), generator=self._generator, device="cpu"))

    def choice(self, options: Sequence[Any]) -> Any:
        """One of the options."""
        return options[self.integer(0, len(options) - 1)]

    def shuffled(self, items: Sequence[Any]) -> list[Any]:
        """The items in another order."""
        return [items[i] for i in torch.randperm(len(items), generator=self._generator, device="cpu")]


@dataclass(frozen=True)
class Mistake:
    """A typical wrong answer.

    Attributes:
        message: what went wrong, said to the learner.
        wrong: the wrong answer as a function of the exercise's inputs.
        shows: whether a result shows this mistake, `shows(given, *inputs)`; where it is None, a result shows the
            mistake if the exercise's `compare` finds no difference to what `wrong` returns.
    """

    message: str
    wrong: Callable[..., Any]
    shows: Callable[..., bool] | None = None


@dataclass(frozen=True)
class Round:
    """Inputs of one draw, with what the official solution and each mistake make of them."""

    inputs: Inputs
    right: Any
    wrongs: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Exercise:
    """One exercise; calling it with an answer checks the answer.

    Attributes:
        lesson: the lesson's number.
        official: the solution; its name is the exercise's, its docstring the task, its source what `solution()` shows.
        draw: makes the inputs of one round.
        mistakes: typical wrong answers; where a result shows two of them, the first is named.
        hints: from a nudge to nearly the answer.
        minutes: how long it takes.
        difficulty: 1 to 3.
        takeaway: one or two sentences for a learner who got it right.
        axes: what the axes of a resulting tensor count.
        parts: the names of a resulting tuple's elements.
        compare: how a result differs from the official one or a mistake's, for results that are more than numbers.
        refusal: for an exercise with many right answers, says why a result is refused, `refusal(given, *inputs)`,
            or returns None; where it is None itself, a result must equal the official one.
    """

    lesson: str
    official: Callable[..., Any]
    draw: Callable[[Draw], Inputs]
    mistakes: tuple[Mistake, ...]
    hints: tuple[str, ...]
    minutes: int
    difficulty: int
    takeaway: str
    axes: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    compare: Difference = difference
    refusal: Callable[..., str | None] | None = None

    @property
    def name(self) -> str:
        """The name of the function that is asked for."""
        return self.official.__name__

    @property
    def item(self) -> str:
        """The exercise's name in the progress file."""
        return f"{self.lesson}/{self.name}"

    @property
    def call(self) -> str:
        """The function with its arguments, such as "squeeze(x)"."""
        return f"{self.name}({', '.join(inspect.signature(self.official).parameters)})"

    def __repr__(self) -> str:
        task = inspect.cleandoc(self.official.__doc__ or "")
        return f"Exercise {self.call}, lesson {self.lesson}, {self._effort()}.\n{task}"

    def __call__(self, answer: Any = None) -> Card:
        """Check an answer: the function that was asked for. The answer is never trusted and never raises."""
        SESSION.last = self
        try:
            with _random_state_kept():
                kind, lines = self._judge(answer)
        except Exception as error:
            kind = "not yet"
            lines = [f"The check could not read your result ({type(error).__name__}: {_words(error)})."]
        if kind == "not attempted":
            lines += [f"Write `{self.call}`; it takes {self._effort()}."]
        else:
            state: State = "done" if kind == "right" else "tried"
            SESSION.progress.record(self.item, state)
        if kind == "right":
            lines += [self.takeaway]
        else:
            lines += [self._next_help()]
        return Card(kind, f"{kind.capitalize()}.", tuple(lines)).adding(SESSION.new_note())

    def hint(self) -> Card:
        """The next hint; after the last one, the last again."""
        SESSION.last = self
        number = min(SESSION.hints_given.get(self.item, 0) + 1, len(self.hints))
        SESSION.hints_given[self.item] = number
        SESSION.progress.count(self.item, hints=number)
        card = Card("hint", f"Hint {number} of {len(self.hints)}.", (self.hints[number - 1],))
        if number < len(self.hints):
            return card
        return card.adding("That was the last one." + ("" if _solutions_closed() else " `check.solution()` is there."))

    def solution(self) -> Card:
        """The official solution; before a first attempt only when it is asked for twice.

        A teacher closes solutions with the environment variable COURSE_SOLUTIONS=off.
        """
        SESSION.last = self
        if _solutions_closed():
            words = "The person who set up the course closed them (COURSE_SOLUTIONS); `check.hint()` still works."
            return Card("note", "Solutions are closed here.", (words,))
        if self.item not in SESSION.progress.states() and self.item not in SESSION.warned:
            SESSION.warned.add(self.item)
            words = "A hint may be enough: `check.hint()`. To see the solution now, ask again: `check.solution()`."
            return Card("note", f"You have not tried `{self.name}` yet.", (words,))
        SESSION.progress.count(self.item, solution=1)
        return Card("solution", f"One solution of `{self.name}`:", code=self.source())

    def source(self) -> str:
        """The source of the official solution."""
        return textwrap.dedent(inspect.getsource(self.official)).rstrip()

    def rounds(self, seed: int) -> list[Round]:
        """The rounds of one check, drawn until every mistake differs from the solution and from the others."""
        for attempt in range(_DRAWS):
            rounds = [self._round(Draw(seed + ROUNDS * attempt + i, turn=i)) for i in range(ROUNDS)]
            found = [self._diagnose([each.wrongs[i] for each in rounds], rounds) for i in range(len(self.mistakes))]
            if all(each and each[0] is mistake for each, mistake in zip(found, self.mistakes, strict=True)):
                return rounds
        raise RuntimeError(f"{self.item}: no draw in {_DRAWS} keeps its mistakes apart; correct the exercise")

    def _round(self, draw: Draw) -> Round:
        inputs = self.draw(draw)
        right, *wrongs = (
            answer(*copy.deepcopy(inputs)) for answer in (self.official, *(mistake.wrong for mistake in self.mistakes))
        )
        return Round(inputs, right, tuple(wrongs))

    def _judge(self, answer: Any) -> tuple[Kind, list[str]]:
        if answer is None or answer is ...:
            return "not attempted", []
        if not callable(answer):
            return "not yet", [f"Pass the function itself, without calling it: `check.{self.name}({self.name})`."]
        rounds = self.rounds(secrets.randbits(48))
        unfit = _unfit(answer, rounds[0].inputs)
        if unfit:
            return "not yet", [f"{unfit}; the exercise asks for `{self.call}`."]
        outputs = []
        for inputs in (each.inputs for each in rounds):
            copies = copy.deepcopy(inputs)
            try:
                given = answer(*copies)
            except (Exception, SystemExit) as error:
                return _explain_error(answer, error)
            if given is ... or (given is None and _is_stub(answer)):
                return "not attempted", []
            if given is None:
                return "not yet", ["Your function returns None. Does it end with `return`?"]
            changed = self.changed(inputs, copies)
            if changed:
                return "not yet", [
                    f"Your function changes its input {' and '.join(changed)} in place, so its caller loses the "
                    "original. Make a new value instead, for example `y = x * 2` for `x *= 2`."
                ]
            outputs.append(given)
        found = self._diagnose(outputs, rounds)
        if found is None:
            return "right", []
        mistake, reason = found
        return "not yet", [mistake.message, reason] if mistake else [reason]

    def _diagnose(self, outputs: Sequence[Any], rounds: Sequence[Round]) -> tuple[Mistake | None, str] | None:
        """None if the outputs are right, else the mistake that explains them, if one does, and the difference."""
        pairs = list(zip(outputs, rounds, strict=True))
        reason = next(filter(None, (self.reason(given, each) for given, each in pairs)), None)
        if reason is None:
            return None
        for i, mistake in enumerate(self.mistakes):
            if all(self._explains(mistake, given, each.wrongs[i], each.inputs) for given, each in pairs):
                return mistake, reason
        return None, reason

    def _explains(self, mistake: Mistake, given: Any, wrong: Any, inputs: Inputs) -> bool:
        if mistake.shows is None:
            return self.compare(given, wrong) is None
        try:
            return mistake.shows(given, *inputs)
        except Exception:  # a result of another kind shows nothing
            return False

    def changed(self, before: Inputs, after: Inputs) -> list[str]:
        """The names of the inputs that an answer has changed in place."""
        return [
            f"`{name}`"
            for name, old, new in zip(inspect.signature(self.official).parameters, before, after, strict=True)
            if not callable(old) and difference(new, old) is not None
        ]

    def reason(self, given: Any, drawn: Round) -> str | None:
        """Why a result is refused in one round, or None."""
        if self.refusal is not None:
            return self.refusal(given, *drawn.inputs)
        reason = self.compare(given, drawn.right, self.axes, self.parts)
        if reason is None:
            return None
        shown = [
            f"{name}={text}"
            for name, value in zip(inspect.signature(self.official).parameters, drawn.inputs, strict=True)
            if not callable(value) and not _holds_tensor(value) and len(text := repr(value)) <= 120
        ]
        return f"For `{self.name}({', '.join(shown)})`: {reason[0].lower()}{reason[1:]}" if shown else reason

    def _next_help(self) -> str:
        given = SESSION.hints_given.get(self.item, 0)
        if given < len(self.hints):
            return f"Hint {given + 1} of {len(self.hints)}: `check.hint()`"
        return "All hints are given." if _solutions_closed() else "All hints are given: `check.solution()`"

    def _effort(self) -> str:
        return f"about {self.minutes} minutes, difficulty {self.difficulty} of 3"


def _holds_tensor(value: Any) -> bool:
    """Whether a value is a tensor, an array, or a list of these: too long to show, and slow to write out."""
    return isinstance(value, Tensor | np.ndarray) or (isinstance(value, list) and any(map(_holds_tensor, value)))


def _solutions_closed() -> bool:
    return os.environ.get("COURSE_SOLUTIONS", "").strip().lower() in ("off", "no", "false", "0")


def _unfit(answer: Callable[..., Any], inputs: Inputs) -> str | None:
    """Why the answer cannot be called with these inputs, if its signature can be read."""
    try:
        signature = inspect.signature(answer)
    except (TypeError, ValueError):
        return None
    try:
        signature.bind(*inputs)
    except TypeError:
        name = getattr(answer, "__name__", type(answer).__name__)
        return f"Your function is `{name}{signature}`"
    return None


def _explain_error(answer: Callable[..., Any], error: BaseException) -> tuple[Kind, list[str]]:
    line = _line_of(answer, error.__traceback__)
    where, text = line or (0, "")
    if isinstance(error, NotImplementedError) and (not line or text.startswith("raise NotImplementedError")):
        return "not attempted", []
    place = f"In line {where}, `{text}`, your function" if line else "Your function"
    if "ellipsis" in str(error).lower():
        return "not attempted", [f"{place} still meets a `...`."]
    words = f"{type(error).__name__}: {_words(error)}".rstrip(": ")
    return "not yet", [f"{place} raised {words}"]


def _words(error: BaseException) -> str:
    try:
        text = " ".join(str(error).split())
    except Exception:
        return ""
    return text if len(text) <= 300 else f"{text[:300]} ..."


def _line_of(answer: Callable[..., Any], traceback: TracebackType | None) -> tuple[int, str] | None:
    """The innermost line of the learner's own file or cell that the error passed through."""
    code = getattr(inspect.unwrap(answer), "__code__", None)
    found = None
    while traceback is not None and code is not None:
        if traceback.tb_frame.f_code.co_filename == code.co_filename:
            found = traceback.tb_lineno, linecache.getline(code.co_filename, traceback.tb_lineno).strip()
        traceback = traceback.tb_next
    return found


def _is_stub(answer: Callable[..., Any]) -> bool:
    """Whether a function does nothing yet: its bytecode only returns a constant."""
    code = getattr(answer, "__code__", None)
    return code is not None and all(step.opname in _IDLE for step in dis.get_instructions(code))


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """Put the global random states back, whatever an answer draws."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        random.setstate(states[2])
