"""The stand-in for google.colab.output: writes down that the manager of custom widgets was switched on."""

import os
from pathlib import Path


class _Widgets:
    _installed_url: str | None = None


_widgets = _Widgets()


def enable_custom_widget_manager() -> None:
    _widgets._installed_url = "stand-in"
    with Path(os.environ["COLAB_CALLS"]).open("a", encoding="utf-8") as calls:
        calls.write("enable_custom_widget_manager\n")
