"""What the static course makes of a lesson before Sphinx reads it, and what Sphinx is taught."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import nbformat
import pytest

from course_utils.lessons import glossary, lesson

ROOT = Path(__file__).resolve().parents[2]
SENET = lesson("4.1.1")


def load(name: str) -> ModuleType:
    """A module of site/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "site" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


assemble = load("assemble")
pages = load("pages")


def code(source: str, *tags: str):
    return nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)})


def text(source: str, *tags: str):
    return nbformat.v4.new_markdown_cell(source, metadata={"tags": list(tags)})


def shown(*cells):
    notebook = nbformat.v4.new_notebook(cells=list(cells))
    return assemble.page_of(notebook, SENET, {f"notebooks/{SENET.notebook}"}).cells


def test_hidden_cells_go_and_the_badges_become_words_and_links():
    kept = shown(text("# T"), text("<img>", "badges"), code("fetch", "bootstrap"), code("1 + 1"))
    assert [cell.source for cell in kept if cell.cell_type == "code"] == ["1 + 1"]
    assert "<img" not in kept[1].source
    assert "](https://colab.research.google.com/" in kept[1].source
    assert "](https://mybinder.org/" in kept[1].source


def test_an_exercise_is_shown_without_its_verdict_and_leads_to_colab():
    exercise, words, other = shown(
        code("def squeeze(x):\n    ...\n\n\ncheck.squeeze(squeeze)"), code("check.quiz('4.1.1')")
    )
    assert "remove-output" in exercise.metadata["tags"]
    assert "[Open the lesson in Colab](https://colab.research.google.com/" in words.source
    assert "remove-output" not in other.metadata["tags"]


def test_a_heading_whose_cell_went_goes_too():
    cells = (
        text("Words"),
        text("### Your way through the course"),
        code("check.progress()"),
        text("## Sources\n\nA book."),
    )
    assert [cell.source for cell in shown(*cells)] == ["Words", "## Sources\n\nA book."]


def test_a_folded_cell_is_folded_on_the_page_too():
    folded = code("plt.plot()")
    folded.metadata["jupyter"] = {"source_hidden": True}
    assert [cell.metadata["tags"] for cell in shown(folded, code("print(1)"))] == [["hide-input"], []]


@pytest.mark.parametrize(
    ("link", "target"),
    [
        (f"[a]({SENET.notebook})", f"[a]({SENET.notebook})"),
        (f"[a]({SENET.notebook}#3-excitation)", f"[a]({SENET.notebook}#3-excitation)"),
        ("[a](https://arxiv.org/abs/1709.01507)", "[a](https://arxiv.org/abs/1709.01507)"),
        ("[a](#here)", "[a](#here)"),
        ("[a](../resource/LICENSES.md)", "[a]({address}/blob/v{version}/resource/LICENSES.md)"),
        ("[a](../CONTRIBUTING.md#tests)", "[a]({address}/blob/v{version}/CONTRIBUTING.md#tests)"),
    ],
)
def test_a_link_to_what_is_no_page_leads_to_the_repository(link, target):
    address, version = assemble.project()
    made = assemble.outward(link, ROOT / "notebooks", {f"notebooks/{SENET.notebook}"})
    assert made == target.format(address=address, version=version)


def test_the_glossary_page_holds_every_word_and_none_of_its_signs_is_markup():
    page = assemble.glossary_page()
    for term in glossary().terms:
        assert f"\n{term.word}\n:   " in page
    assert assemble.escaped("a*b_c[d]<e>") == r"a\*b\_c\[d\]\<e\>"


def test_a_widgets_module_becomes_a_script_that_leaves_one_name():
    for name, module in assemble.widget_modules().items():
        script = assemble.classic(name, module)
        assert script.startswith('"use strict";\n(() => {')
        assert f"(window.courseWidgets ??= {{}}).{name} = " in script
        assert not any(line.startswith(("export ", "import ")) for line in script.splitlines()), name


@pytest.mark.parametrize(
    ("formula", "part"),
    [
        (r"\lVert q \rVert", '<mo stretchy="false" lspace="0" rspace="0">‖</mo><mi>q</mi>'),
        (r"C / r", '<mo lspace="0.1em" rspace="0.1em">/</mo>'),
        (r"\exp(-e)", '<mo form="prefix">−</mo>'),
        (r"[-1, 1]", '<mo form="prefix">−</mo>'),
        (r"\partial a", "<mi>∂</mi>"),
        (r"\max(a, 0)", "<mi>max</mi>"),
    ],
)
def test_formulas_are_spaced_as_in_print(formula, part):
    assert part in pages.mathml(formula, "inline")


def test_a_minus_between_two_terms_keeps_its_room():
    assert 'form="prefix"' not in pages.mathml("a - b", "inline")
