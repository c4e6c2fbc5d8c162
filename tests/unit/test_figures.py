"""The diagrams as a lesson shows them: with their words, from the shipped files."""

import base64
import io
import re
import subprocess
import sys

import pytest
from PIL import Image

from course_utils import figures
from course_utils.figures import diagram, diagrams


def test_an_unknown_name_gets_the_nearest_as_advice():
    with pytest.raises(KeyError, match="did you mean 'se_block'"):
        figures.show("se_blok")


@pytest.mark.parametrize("name", diagrams())
def test_every_diagram_says_in_words_what_it_shows(name):
    alt, caption = diagram(name).alt, diagram(name).caption
    assert 60 <= len(alt) <= 420
    assert 40 <= len(caption) <= 320
    assert alt.endswith(".") and caption.endswith(".")
    assert alt != caption


def test_importing_loads_nothing_heavy():
    code = (
        "import sys, course_utils.figures; print({'matplotlib', 'torch', 'numpy', 'PIL'} & {*sys.modules} or 'light')"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "light\n"


def test_show_stores_html_with_alt_text_beside_the_picture(monkeypatch):
    import IPython.display

    shown = []
    monkeypatch.setattr(IPython.display, "display", lambda data, raw: shown.append(data))
    figures.show("se_block")
    (data,) = shown
    assert set(data) == {"text/html", "image/png", "text/plain"}
    source = re.search(r'<img alt="([^"]+)" src="data:image/png;base64,([^"]+)"', data["text/html"])
    assert source[1] == diagram("se_block").alt
    assert source[2] == data["image/png"]
    with Image.open(io.BytesIO(base64.b64decode(source[2]))) as image:
        assert image.format == "PNG"


def test_a_plot_of_a_lesson_is_shown_once_with_its_words(monkeypatch):
    from matplotlib import pyplot

    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    figure, panel = pyplot.subplots()
    panel.plot([0, 1])
    figures.show_plot(figure, 'a line <from> "0" to 1')
    assert pyplot.get_fignums() == []
    (data,) = shown
    assert 'alt="a line &lt;from&gt; &quot;0&quot; to 1"' in data["text/html"]
    assert data["image/png"] in data["text/html"] and data["text/plain"].startswith("a line")
    with pytest.raises(ValueError, match="words"):
        figures.show_plot(figure, " ")
