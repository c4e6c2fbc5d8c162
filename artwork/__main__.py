"""`python -m artwork` draws every diagram into resource/figures, and the picture that opens lesson 4.1.

With `--check` it only compares the diagrams.
"""

import argparse
import sys

from .files import check, drawn_with, ship
from .opening import write_opening


def main() -> int:
    """Draw or compare; the exit status is 1 if something differs."""
    parser = argparse.ArgumentParser(prog="python -m artwork", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare resource/figures with what the code draws")
    if not parser.parse_args().check:
        write_opening()
        written = ship()
        size = sum(path.stat().st_size for path in written) / 1e6
        print(f"{len(written)} files drawn with {drawn_with()}, {size:.1f} MB")
        return 0
    problems = check()
    print("\n".join(problems) or "resource/figures is what the code draws")
    if problems:
        print("Draw them again with `make figures`.", file=sys.stderr)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
