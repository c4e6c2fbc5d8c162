"""Questions of lesson 4.5."""

from ...widgets.quiz import Question

PREDICTIONS: dict[str, Question] = {}
QUIZ: tuple[Question, ...] = ()
