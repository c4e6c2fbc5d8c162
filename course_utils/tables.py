"""Tables as text: Markdown for a notebook, plain columns for a terminal."""

from collections.abc import Sequence


def markdown_table(heading: str, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """A heading and a Markdown table."""
    lines = [columns, ["---"] * len(columns), *cells]
    return f"**{heading}**\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines)


def plain_table(heading: str, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """A heading, and columns with spaces between them."""
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    lines = ("  ".join(map(str.ljust, line, widths)).rstrip() for line in (columns, *cells))
    return "\n".join([heading, *lines])
