"""The weekly visit to the course's links sees every one of them; links inside the repository hold at once."""

import importlib.util
import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[2]


def tool(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


addresses = tool("addresses")
PAGES = dict(addresses.texts(ROOT))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("See https://arxiv.org/abs/1709.01507.", {"https://arxiv.org/abs/1709.01507"}),
        ("[SE](https://arxiv.org/abs/1709.01507), and", {"https://arxiv.org/abs/1709.01507"}),
        ("(https://e.org/Sheep_(1).jpg)", {"https://e.org/Sheep_(1).jpg"}),
        ("`https://e.org/a` <https://e.org/b>", {"https://e.org/a", "https://e.org/b"}),
        ("[![b](https://e.org/b.svg)](https://e.org/c)", {"https://e.org/b.svg", "https://e.org/c"}),
        ('"http://www.w3.org/2000/svg"', set()),
        ("https://github.com/OWNER/attention-course", set()),
        ("**https://e.org/x?y=1&z=2**", {"https://e.org/x?y=1&z=2"}),
    ],
)
def test_an_address_is_found_without_the_marks_round_it(text, found):
    assert addresses.addresses(text) == found


def test_notebooks_documents_and_docstrings_are_all_read(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / "course_utils").mkdir()
    cells = [
        {"cell_type": "markdown", "source": ["[a](https://e.org/", "markdown)"]},
        {"cell_type": "code", "source": ["x = 'https://e.org/code'"], "outputs": [{"text": ["https://e.org/output"]}]},
    ]
    (tmp_path / "notebooks" / "1.ipynb").write_text(json.dumps({"cells": cells}))
    (tmp_path / "docs" / "a.md").write_text("https://e.org/docs")
    (tmp_path / "README.md").write_text("https://e.org/docs and https://e.org/readme")
    (tmp_path / "CITATION.cff").write_text("url: https://e.org/cite")
    (tmp_path / "course_utils" / "a.py").write_text('"""https://e.org/py"""')
    lines = addresses.page(tmp_path).splitlines()
    assert lines == [
        "- <https://e.org/cite> in CITATION.cff",
        "- <https://e.org/code> in notebooks/1.ipynb",
        "- <https://e.org/docs> in README.md, docs/a.md",
        "- <https://e.org/markdown> in notebooks/1.ipynb",
        "- <https://e.org/py> in course_utils/a.py",
        "- <https://e.org/readme> in README.md",
    ]


def test_the_papers_of_the_lessons_are_on_the_page():
    page = addresses.page(ROOT)
    for paper in ("1709.01507", "1706.03762", "1805.08318"):
        assert f"<https://arxiv.org/abs/{paper}> in " in page
    assert "OWNER" not in page and "w3.org" not in page


@pytest.mark.parametrize("name", [name for name in PAGES if name.endswith((".md", ".ipynb"))])
def test_a_link_to_a_file_of_the_course_leads_to_it(name):
    text = PAGES[name]
    if name.endswith(".ipynb"):
        cells = json.loads((ROOT / name).read_text(encoding="utf-8"))["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    text = re.sub(r"(?s)```.*?```|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]*\$", "", text)
    for link in re.findall(r"\]\(([^()\s]+(?:\([^()\s]*\)[^()\s]*)*)\)", text):
        if not re.match(r"[a-z]+:|#", link):
            target = (ROOT / name).parent / unquote(link.partition("#")[0])
            assert target.exists(), f"{name} points to {link}"
