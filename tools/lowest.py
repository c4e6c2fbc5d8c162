"""The lowest versions that pyproject.toml allows, as constraints for pip.

    python tools/lowest.py > lowest.txt
    python -m pip install --constraint lowest.txt -e ".[test]"

What the course promises to work with is tried once a week with exactly these; see .github/workflows/drift.yml.
Needs nothing but Python.
"""

import re
import tomllib
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def lowest(pyproject: str) -> list[str]:
    """One line name==version for each name>=version of a pyproject.toml; a requirement without a bound is refused."""
    project = tomllib.loads(pyproject)["project"]
    lines = set()
    for requirement in chain(project["dependencies"], *project["optional-dependencies"].values()):
        if re.match(rf"{re.escape(project['name'])}\[", requirement):
            continue
        bounded = re.fullmatch(r"([A-Za-z0-9._-]+)>=([0-9.]+)", requirement)
        if bounded is None:
            raise SystemExit(f"pyproject.toml asks for {requirement!r}; needed is name>=version.")
        lines.add("{}=={}".format(*bounded.groups()))
    return sorted(lines)


if __name__ == "__main__":
    print("\n".join(lowest((ROOT / "pyproject.toml").read_text(encoding="utf-8"))))
