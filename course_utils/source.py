"""Source code as a lesson shows it: coloured, the lines of the idea marked, what a reader may skip folded away."""

import ast
import html
import inspect
import io
import itertools
import keyword
import re
import textwrap
import tokenize
from collections.abc import Sequence
from typing import Any

_REMARK = re.compile(r"  # (?:type: ignore|noqa).*")  # for the type checker and the linter, not for a reader
_KINDS = {tokenize.STRING: "string", tokenize.COMMENT: "comment", tokenize.NUMBER: "number"}
# The colours are JupyterLab's own, in its light and dark themes; elsewhere the words keep the colour of the page.
_STYLE = "color: var(--jp-mirror-editor-{}-color, inherit); "
_EXTRA = {"keyword": "font-weight: 600", "comment": "font-style: italic"}
_MARK = "color: inherit; background: rgba(240, 160, 40, 0.25); display: inline-block; min-width: 100%"
_LINES = "margin: 0; overflow-x: auto; white-space: pre"  # a long line scrolls, it is not broken within a word
DESCRIPTION, CHECKS = "the rest of the description", "checks of what is given"


def show_source(*shown: Any, idea: Sequence[str] = ()) -> None:
    """Show the source of classes and functions under a notebook's cell.

    Args:
        shown: classes and functions.
        idea: each line that holds one of these words is marked.

    Raises:
        ValueError: if no line holds one of the words.
    """
    from IPython.display import display

    display(source_bundle(*shown, idea=idea), raw=True)


def source_bundle(*shown: Any, idea: Sequence[str] = ()) -> dict[str, str]:
    """The output that `show_source` stores, by media type: HTML, and plain text."""
    sources = [textwrap.dedent(_REMARK.sub("", inspect.getsource(each))).rstrip() for each in shown]
    for words in idea:
        if not any(words in source for source in sources):
            raise ValueError(f"No line of the source holds {words!r}; name words of the lines that are to be marked.")
    return {"text/html": "\n".join(_drawn(source, idea) for source in sources), "text/plain": "\n\n".join(sources)}


def _drawn(source: str, idea: Sequence[str]) -> str:
    plain, coloured, folded = source.splitlines(), _coloured(source), _folded(source)
    parts = []
    for kind, numbers in itertools.groupby(range(len(plain)), key=lambda number: folded.get(number + 1, "")):
        lines = []
        for number in numbers:
            marked = not kind and any(words in plain[number] for words in idea)
            lines.append(f'<mark style="{_MARK}">{coloured[number]}</mark>' if marked else coloured[number])
        part = f'<pre style="{_LINES}">' + "\n".join(lines) + "\n</pre>"
        parts.append(f"<details><summary>… {kind}</summary>{part}</details>" if kind else part)
    return f'<div style="max-width: 860px; margin-bottom: 1em">{"".join(parts)}</div>'


def _coloured(source: str) -> list[str]:
    """The lines as HTML, each keyword, text, number and comment in its colour."""
    plain = source.splitlines()
    lines, ends = [""] * len(plain), [0] * len(plain)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind = "keyword" if keyword.iskeyword(token.string) else _KINDS.get(token.type, "")
        for row in range(token.start[0] - 1, token.end[0]) if kind else ():
            first = token.start[1] if row == token.start[0] - 1 else 0
            last = token.end[1] if row == token.end[0] - 1 else len(plain[row])
            style = _STYLE.format(kind) + _EXTRA.get(kind, "")
            words = html.escape(plain[row][first:last])
            lines[row] += f'{html.escape(plain[row][ends[row] : first])}<span style="{style}">{words}</span>'
            ends[row] = last
    return [line + html.escape(words[end:]) for line, words, end in zip(lines, plain, ends, strict=True)]


def _folded(source: str) -> dict[int, str]:
    """The numbers of the lines that a reader may skip, each with what it is."""
    folded = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            words = node.body[0]
            folded |= dict.fromkeys(range(words.lineno + 1, (words.end_lineno or 0) + 1), DESCRIPTION)
        called = ast.unparse(node) if isinstance(node, ast.Expr) else ""
        refused = isinstance(node, ast.If) and isinstance(node.body[-1], ast.Raise) and not node.orelse
        if isinstance(node, ast.Expr | ast.If) and (refused or re.match(r"(self\._)?check\w*\(", called)):
            folded |= dict.fromkeys(range(node.lineno, (node.end_lineno or 0) + 1), CHECKS)
    return folded
