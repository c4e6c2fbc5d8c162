"""The questions of each lesson, one module a lesson: a quiz for its end and predictions for before the touching."""
