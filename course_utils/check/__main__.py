"""The command line of the checks: a class's progress as one table.

python -m course_utils.check export submissions/ > class.csv
"""

import io
import sys

from .collect import write_table


def main(command: str = "", *files: str) -> int:
    """Run a command; returns 0, or 1 where a file was left out."""
    if command != "export" or not files:
        raise SystemExit("Usage: python -m course_utils.check export FILE ...: progress files, or folders of them.")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="")
    left_out = write_table(files, sys.stdout)
    for line in left_out:
        print(line, file=sys.stderr)
    return int(bool(left_out))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
