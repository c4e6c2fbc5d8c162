"""A stand-in for google.colab: what anywidget and the course touch of it, and no more."""

from . import output as output
