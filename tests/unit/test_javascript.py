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


def shared_names() -> set[str]:
    """Every name that a module of page/ exports."""
    words = r"^export (?:async )?(?:function|const|class) (\w+)"
    return {
        name for path in (WIDGETS / "page").glob("*.js") for name in re.findall(words, path.read_text("utf-8"), re.M)
    }


def imports_amiss(source: str, shared: set[str]) -> set[str]:
    """The names that a module imports without using them, and those of page/ that it calls without having them."""
    code = re.sub(r"/\*.*?\*/|//[^\n]*", "", source, flags=re.S)
    imported = {
        n.strip().rsplit(" as ")[-1] for part in re.findall(r"import \{([^}]*)\}", code) for n in part.split(",")
    }
    rest = re.sub(r"import \{[^}]*\} from [^\n]*", "", code)
    unused = {name for name in imported - {""} if not re.search(rf"\b{name}\b", rest)}
    called = {name for name in shared if re.search(rf"(?<![.\w]){name}\(", rest)}
    own = {name for name in called if re.search(rf"\b(?:function|const|let) {name}\b|[{{,(] *{name}\b *[,}})=]", rest)}
    return unused | (called - imported - own)


def test_an_import_that_is_missing_or_not_used_is_found() -> None:
    module = 'import { plot, bars } from "../page/panels.js";\nplot(1);\nnote(2);\nthis.panel();\n'
    assert imports_amiss(module, {"plot", "bars", "note", "panel"}) == {"bars", "note"}


def test_every_module_imports_what_it_uses_and_nothing_else() -> None:
    shared = shared_names()
    assert len(shared) > 50
    amiss = {
        path.relative_to(WIDGETS).as_posix(): imports_amiss(path.read_text("utf-8"), shared)
        for path in WIDGETS.rglob("*.js")
    }
    assert {name: found for name, found in amiss.items() if found} == {}
