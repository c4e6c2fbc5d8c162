"""Tables as text: Markdown for a notebook, plain columns for a terminal."""

from collections.abc import Sequence


def markdown_table(heading: str, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """A heading and a Markdown table."""
    lines = [columns, ["---"] * len(columns), *cells]
    return f"**{heading}**\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines)


def plain_table(heading: str, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """A heading, and columns with spaces between them."""
    widths = [max(len(line[place]) for line in [columns, *cells]) for place in range(len(columns))]
    lines = [
        "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)) for line in [columns, *cells]
    ]
    return "\n".join([heading, *(line.rstrip() for line in lines)])
