"""The command line of the checks: a class's progress as one table.

python -m course_utils.check export submissions/ > class.csv
"""

import argparse
import io
import sys
from collections.abc import Sequence

from .collect import write_table


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns 0, or 1 where a file was left out."""
    parser = argparse.ArgumentParser(prog="python -m course_utils.check", description="For teachers.")
    commands = parser.add_subparsers(dest="command", required=True)
    export = commands.add_parser("export", help="write a table of learners' progress files to the standard output")
    export.add_argument("files", nargs="+", metavar="FILE", help="what check.export_progress wrote, or a folder of it")
    options = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="")
    left_out = write_table(options.files, sys.stdout)
    for line in left_out:
        print(line, file=sys.stderr)
    return int(bool(left_out))


if __name__ == "__main__":
    sys.exit(main())
