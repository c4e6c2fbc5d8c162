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
# A long line scrolls, it is not broken within a word. The colours are JupyterLab's own, in its light and dark themes;
# elsewhere, and where style sheets are removed, keywords are bold, texts and comments slanted.
_STYLE = """<style>
div.course-source { margin-bottom: 1em; }
div.course-source summary { font-size: 0.8em; }
div.course-source pre { overflow-x: auto; white-space: pre; margin: 0; }
div.course-source mark { color: inherit; background: rgba(240, 160, 40, 0.16); display: inline-block; min-width: 100%; }
div.course-source b { color: var(--jp-mirror-editor-keyword-color, inherit); }
div.course-source i { color: var(--jp-mirror-editor-comment-color, inherit); }
</style>
"""
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
    return {
        "text/html": _STYLE + "\n".join(_drawn(source, idea) for source in sources),
        "text/plain": "\n\n".join(sources),
    }


def _drawn(source: str, idea: Sequence[str]) -> str:
    plain, coloured, folded = source.splitlines(), _coloured(source), _folded(source)
    parts = []
    for kind, numbers in itertools.groupby(range(len(plain)), key=lambda number: folded.get(number + 1, "")):
        lines = []
        for number in numbers:
            marked = not kind and any(words in plain[number] for words in idea)
            lines.append(f"<mark>{coloured[number]}</mark>" if marked else coloured[number])
        part = "<pre>" + "\n".join(lines) + "\n</pre>"
        parts.append(f"<details><summary>… {kind}</summary>{part}</details>" if kind else part)
    return f'<div class="course-source">{"".join(parts)}</div>'


def _coloured(source: str) -> list[str]:
    """The lines as HTML, with keywords, texts and comments in tags of their own."""
    plain = source.splitlines()
    lines, ends = [""] * len(plain), [0] * len(plain)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        slanted = token.type in (tokenize.STRING, tokenize.COMMENT)
        tag = "b" if keyword.iskeyword(token.string) else "i" if slanted else ""
        for row in range(token.start[0] - 1, token.end[0]) if tag else ():
            first = token.start[1] if row == token.start[0] - 1 else 0
            last = token.end[1] if row == token.end[0] - 1 else len(plain[row])
            before, words = html.escape(plain[row][ends[row] : first]), html.escape(plain[row][first:last])
            lines[row] += f"{before}<{tag}>{words}</{tag}>"
            ends[row] = last
    return [line + html.escape(words[end:]) for line, words, end in zip(lines, plain, ends, strict=True)]


def _folded(source: str) -> dict[int, str]:
    """The numbers of the lines that a reader may skip, each with what it is."""
    folded: dict[int, str] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            words = node.body[0]
            folded |= dict.fromkeys(range(words.lineno + 1, (words.end_lineno or 0) + 1), DESCRIPTION)
        called = ast.unparse(node) if isinstance(node, ast.Expr) else ""
        refused = isinstance(node, ast.If) and isinstance(node.body[-1], ast.Raise) and not node.orelse
        if isinstance(node, ast.Expr | ast.If) and (refused or re.match(r"(self\._)?check\w*\(", called)):
            folded |= dict.fromkeys(range(node.lineno, (node.end_lineno or 0) + 1), CHECKS)
    return folded
