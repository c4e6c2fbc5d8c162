"""Cells run in any order, again, and after a restart: a reader meets a missing name, never a dead kernel."""

import ast
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))

pytestmark = pytest.mark.faults("cells run out of order, twice, after a restart")


def code_cells(path: Path) -> nbformat.NotebookNode:
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return notebook


@contextmanager
def kernel(notebook: nbformat.NotebookNode) -> Iterator[NotebookClient]:
    client = NotebookClient(notebook, timeout=240, kernel_name="python3", allow_errors=True)
    client.resources = {"metadata": {"path": str(ROOT / "notebooks")}}
    with client.setup_kernel(cwd=str(ROOT / "notebooks")):
        yield client


def failure(client: NotebookClient, index: int) -> tuple[str, str] | None:
    """Run a cell; the error's name and words, or None."""
    cell = client.nb.cells[index]
    client.execute_cell(cell, index)
    for output in cell.outputs:
        if output.output_type == "error":
            return output.ename, output.evalue
    return None


def bound(notebook: nbformat.NotebookNode) -> set[str]:
    """The names that the notebook's cells make."""
    names = set()
    for cell in notebook.cells:
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.alias):
                names.add((node.asname or node.name).split(".")[0])
    return names


class Names(ast.NodeVisitor):
    """What a cell reads before it has made it, and what it makes."""

    def __init__(self, source: str) -> None:
        self.read: set[str] = set()
        self.made: set[str] = set()
        self.visit(ast.parse(source))

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self.made.add(node.id)
        elif node.id not in self.made:
            self.read.add(node.id)

    def visit_Assign(self, node: ast.Assign) -> None:
        for part in (node.value, *node.targets):
            self.visit(part)

    def visit_For(self, node: ast.For) -> None:
        for part in (node.iter, node.target, *node.body, *node.orelse):
            self.visit(part)

    def own(self, names: set[str], *parts: ast.AST) -> None:
        before = set(self.made)
        self.made |= names
        for part in parts:
            self.visit(part)
        self.made = before

    def visit_comprehension_of(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        own = {name.id for each in node.generators for name in ast.walk(each.target) if isinstance(name, ast.Name)}
        self.visit(node.generators[0].iter)
        last = (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,)
        self.own(own, *(part for each in node.generators for part in (each.iter, *each.ifs)), *last)

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = visit_comprehension_of

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.made.add(node.name)
        stored = {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
        inner = {part.name for part in ast.walk(node) if isinstance(part, ast.FunctionDef)}
        arguments = {part.arg for part in ast.walk(node) if isinstance(part, ast.arg)}
        self.own(stored | inner | arguments, *node.body)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.own({part.arg for part in ast.walk(node.args) if isinstance(part, ast.arg)}, node.body)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.made.add(node.name)
        self.own(set(), *node.bases, *node.body)


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem.partition("_")[0])
def test_a_name_that_a_cell_takes_from_another_is_made_by_one_cell_only(path):
    """In whatever order cells are run, the name means one thing or is not there yet."""
    cells = [Names(cell.source) for cell in code_cells(path).cells]
    for number, cell in enumerate(cells):
        for name in cell.read:
            makers = [other for other, each in enumerate(cells) if name in each.made and other != number]
            assert len(makers) <= 1, f"cell {number} reads {name}, which cells {makers} make: give one another name"


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem.partition("_")[0])
def test_a_lesson_survives_any_order_and_passes_in_order_afterwards(path, tmp_path, monkeypatch, record_property):
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.json"))
    notebook = code_cells(path)
    names = bound(notebook)
    draw = random.Random(path.stem)
    order = list(range(len(notebook.cells)))
    tried = 0
    trains = "experiment" in path.name  # for long: there each cell runs until it has run well once
    for _ in ("at first",) if trains else ("at first", "after a restart"):
        with kernel(notebook) as client:
            draw.shuffle(order)
            without_names = set()
            for index in order:
                failed = failure(client, index)
                tried += 1
                if failed:
                    missing = re.match(r"name '(\w+)' is not defined", failed[1])
                    expected = failed[0] == "NameError" and missing and missing[1] in names
                    assert expected, (notebook.cells[index].source, failed)
                    without_names.add(index)
            for index in sorted(without_names) if trains else range(len(notebook.cells)):
                assert failure(client, index) is None, notebook.cells[index].source
                tried += 1
    record_property("tried", tried)
