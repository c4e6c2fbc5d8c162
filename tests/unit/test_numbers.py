"""The numbers in the lessons' sentences are those of the results: each stands beside the query that gives it.

A cell keeps its proofs in its metadata, `numbers`: a list of {"text": "by 0.25", "query": "results(...)..."}, or
"source" in place of "query" for a number of a paper or a setting. In questions.toml, README.md and docs/ a proof is a
comment, `query: TEXT | QUERY` or `source: TEXT | SOURCE`. A query gives one value for each number of its text, in
their order; or True, for a claim without digits of its own. Where a text has decimals, they count, else whole numbers.
"""

import ast
import json
import math
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from course_utils.resources import resource_root
from course_utils.results import bench, recorded, results

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES = [*sorted((ROOT / "course_utils" / "lessons").glob("*/questions.toml")), ROOT / "README.md"]
PAGES += sorted((ROOT / "docs").glob("*.md"))

DECIMAL = re.compile(r"(?<![\w.])(?<!\w-)-?\d*\.\d+(?!\d|\.\d)")
WHOLE = re.compile(r"(?<![\w.])-?\d[\d,]*")
# What holds digits that are no result: links, tags, code, arXiv numbers, lessons, sections, tables, versions.
NOT_A_RESULT = re.compile(
    r"\]\([^)]*\)|<[a-zA-Z/!][^>]*>|```.*?```|`[^`\n]*`|arXiv:\S+|doi:\S+|\b[Pp]ython 3\.\d+|CC BY 4\.0|\bversion \S+"
    r"|v\d\.\d\.\d|\b4\.[1-7](\.\d)?(?![\d])|^#+ [^\n]*$|\b(sections?|tables?|figures?) \d[\d.]*(( and|,) \d[\d.]*)*",
    re.MULTILINE | re.DOTALL,
)
COMMENT = re.compile(r"^(?:#|<!--) (query|source): (.+) \| (.+?)(?: -->)?$", re.MULTILINE)
CALLED_WITH_WORDS = {"show_plot", "show"}
FUNCTIONS: dict[str, Any] = {
    f.__name__: f for f in (abs, all, any, float, len, math.exp, math.log2, max, min, sorted, sum)
}


class Proof(NamedTuple):
    """A text with its numbers, and the query or the source that they come from."""

    text: str
    query: str | None
    source: str | None


class Piece(NamedTuple):
    """A text that a reader sees, with its proofs."""

    name: str
    words: str
    proofs: list[Proof]
    asked: dict[str, Any]


def card(name: str) -> dict[str, Any]:
    """What is recorded of a trained network."""
    return json.loads((resource_root() / "weights" / f"{name}.json").read_text(encoding="utf-8"))


def printed(notebook: dict[str, Any]) -> Callable[[str, str], list[float]]:
    """`printed(cell, pattern)`: the numbers that the pattern's group finds in what a cell of this notebook printed."""

    def find(cell_id: str, pattern: str) -> list[float]:
        (cell,) = [cell for cell in notebook["cells"] if cell["id"] == cell_id]
        said = "".join("".join(output.get("text", [])) for output in cell["outputs"])
        found = re.findall(pattern, said, re.MULTILINE)
        assert found, f"{cell_id} printed nothing like {pattern!r}: {said[:300]}"
        return [float(one.rstrip("%,").replace(",", "")) for one in found]

    return find


def pieces() -> Iterator[Piece]:
    for path in NOTEBOOKS:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            words = "".join(cell["source"])
            if cell["cell_type"] == "code":
                words = "\n".join(alt_texts(words))
            elif words.startswith("## Sources") or "tags" in cell["metadata"]:
                words = ""
            numbers = cell["metadata"].get("numbers", [])
            proofs = [Proof(one["text"], one.get("query"), one.get("source")) for one in numbers]
            yield Piece(f"{path.stem.partition('_')[0]} {cell['id']}", words, proofs, {"printed": printed(notebook)})
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        proofs = [
            Proof(words, what if kind == "query" else None, what if kind == "source" else None)
            for kind, words, what in COMMENT.findall(text)
        ]
        rest = COMMENT.sub("", text)
        asked = {}
        if path.name == "README.md":  # what tools/links.py writes
            rest = re.sub(r"<!-- (\w+): made by.*?<!-- end of \1 -->", "", rest, flags=re.DOTALL)
        elif path.suffix == ".toml":
            lesson = tomllib.loads((path.parent / "lesson.toml").read_text(encoding="utf-8"))
            notebook = ROOT / "notebooks" / lesson["notebook"]
            asked = {"printed": printed(json.loads(notebook.read_text(encoding="utf-8")))}
        yield Piece(path.relative_to(ROOT).as_posix(), rest, proofs, asked)


def alt_texts(code: str) -> Iterator[str]:
    """The words for people who do not see a figure, where they are typed and not computed."""
    try:
        tree = ast.parse(code)
    except SyntaxError:  # a cell with a magic of IPython
        return
    formats = {id(part) for node in ast.walk(tree) if isinstance(node, ast.FormattedValue) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in CALLED_WITH_WORDS:
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str) and id(part) not in formats:
                    yield part.value


def numbers(text: str) -> list[str]:
    return DECIMAL.findall(text) or WHOLE.findall(text)


def one_line(words: str) -> str:
    return re.sub(r"\s+", " ", words)


def answer(query: str, names: dict[str, Any]) -> Any:
    """What a query gives: it may call the functions above, read attributes, count and compare; nothing else."""
    tree = ast.parse(query, mode="eval")
    bound = {node.target.id for node in ast.walk(tree) if isinstance(node, ast.comprehension)}
    known = {**FUNCTIONS, "results": results, "bench": bench, "card": card, "recorded": recorded, **names}
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Lambda | ast.NamedExpr | ast.Await), f"{query}: no {type(node).__name__}"
        assert not (isinstance(node, ast.Attribute) and node.attr.startswith("_")), f"{query}: no {node.attr}"
        assert not isinstance(node, ast.Name) or node.id in known or node.id in bound, f"{query}: no {node.id}"
    return eval(compile(tree, "a query", "eval"), {"__builtins__": {}, **known})


def shown(value: float, digits: str) -> str:
    places = len(digits.partition(".")[2])
    text = f"{value:.{places}f}"
    return text.replace("0.", ".", 1) if digits.lstrip("-").startswith(".") else text


def wrong(proof: Proof, names: dict[str, Any]) -> str | None:
    """What is wrong with a proof, or None."""
    found = answer(proof.query or "", names)
    if isinstance(found, bool):
        return None if found else f"{proof.text!r}: {proof.query} is False"
    values = [*found] if isinstance(found, list | tuple) else [found]
    digits = [one.replace(",", "") for one in numbers(proof.text)]
    if len(values) != len(digits):
        return f"{proof.text!r} has {len(digits)} numbers, but {proof.query} gives {values}"
    said = [shown(value, one) for value, one in zip(values, digits, strict=True)]
    return None if said == digits else f"{proof.text!r}: {proof.query} gives {', '.join(said)} ({values})"


def unproven(piece: Piece) -> list[str]:
    """The decimals of a text that no proof covers."""
    words = one_line(NOT_A_RESULT.sub(lambda found: "~" * len(found[0].split("\n")), piece.words))
    for proof in piece.proofs:
        if proof.source or not isinstance(answer(proof.query or "", piece.asked), bool):
            words = words.replace(one_line(NOT_A_RESULT.sub("~", proof.text)), "~")
    return [
        f"{found[0]} in {words[max(0, found.start() - 40) : found.end() + 30]!r}" for found in DECIMAL.finditer(words)
    ]


PIECES = list(pieces())


@pytest.mark.parametrize("piece", [one for one in PIECES if one.proofs], ids=lambda one: one.name)
def test_the_numbers_of_a_text_are_those_that_its_queries_give(piece):
    for proof in piece.proofs:
        assert one_line(proof.text) in one_line(piece.words), f"{proof.text!r} stands no longer in {piece.name}"
        assert (proof.query is None) != (proof.source is None), f"{proof.text!r} needs a query or a source"
    found = [said for proof in piece.proofs if proof.query and (said := wrong(proof, piece.asked))]
    assert not found, "\n".join([piece.name, *found])


@pytest.mark.parametrize("piece", [one for one in PIECES if DECIMAL.search(one.words)], ids=lambda one: one.name)
def test_no_decimal_stands_without_a_query_or_a_source(piece):
    found = unproven(piece)
    assert not found, "\n".join([f"{piece.name}: give each a query, or the source of a paper's number", *found])


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("by 0.24", "results('4.2').difference('cued', 'se', 'plain').mean"),
        ("-0.25", "results('4.2').difference('cued', 'se', 'plain').mean"),
        ("0.59 and 0.80", "(min(results('4.2').row('cued', 'plain').accuracies), 0.79)"),
        ("0.59", "(0.59, 0.79)"),
        ("all of them", "results('4.2').row('cued', 'plain').mean > 0.99"),
    ],
)
def test_a_number_that_is_not_what_its_query_gives_is_found(text, query):
    assert wrong(Proof(text, query, None), {})


@pytest.mark.parametrize("query", ["__import__('os')", "results.__globals__", "open('x')", "(lambda: 1)()"])
def test_a_query_asks_results_and_nothing_else(query):
    with pytest.raises(AssertionError, match="no "):
        answer(query, {})


def test_an_uncovered_decimal_is_found_and_what_is_no_result_is_not():
    piece = Piece("x", "In section 3.1 of lesson 4.2 it is 0.25, `0.3`, by 0.5.", [Proof("by 0.5", "1 / 2", None)], {})
    assert [said.split(" ")[0] for said in unproven(piece)] == ["0.25"]
