"""Tables as text: for a notebook, and for a terminal or whoever reads the stored lesson without it."""

from collections.abc import Sequence


def markdown_table(heading: str, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """A heading and a Markdown table."""
    lines = [columns, ["---"] * len(columns), *cells]
    return f"**{heading}**\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines)


def plain_table(heading: str, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """A heading and columns kept apart by spaces."""
    widths = [max(len(line[place]) for line in [columns, *cells]) for place in range(len(columns))]
    lines = [
        "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)) for line in [columns, *cells]
    ]
    return "\n".join([heading, *(line.rstrip() for line in lines)])
