"""The page's modules are made of small functions."""

import re
from pathlib import Path

WIDGETS = Path(__file__).parents[2] / "course_utils" / "widgets"
MOST_LINES = 120


def longest_function(source: str) -> int:
    """How many lines the longest function of a module has, by the indentation of its first and last line."""
    lines = source.splitlines()
    longest = 0
    for start, line in enumerate(lines):
        if re.search(r"(\bfunction\b.*|=>\s*)\{$", line) or re.fullmatch(r"}\) \{", line):
            indent = len(line) - len(line.lstrip())
            end = next(i for i in range(start + 1, len(lines)) if re.match(rf" {{{indent}}}}}(?!\) \{{)", lines[i]))
            longest = max(longest, end - start + 1)
    return longest


def test_the_length_of_a_function_is_counted() -> None:
    inner = "  const one = () => {\n    run();\n  };\n"
    assert longest_function(f"function f(a) {{\n{inner}}}\n") == 5
    assert longest_function(f"const f = ({{\n  a, b,\n}}) => {{\n{inner}{inner}}};\n") == 8
    assert longest_function(f"export function f({{\n  a, b,\n}}) {{\n{inner}{inner}{inner}}}\n") == 13


def test_no_function_is_longer_than_a_reader_can_hold() -> None:
    lengths = {
        path.relative_to(WIDGETS).as_posix(): longest_function(path.read_text("utf-8"))
        for path in WIDGETS.rglob("*.js")
    }
    assert len(lengths) > 20
    assert {name for name, length in lengths.items() if length > MOST_LINES} == set()
