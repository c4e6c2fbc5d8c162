"""Run every benchmark, each in its own Python: `python -m benchmarks`; or some: `python -m benchmarks attention`."""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def main(wanted: list[str]) -> int:
    known = [path.stem.removeprefix("bench_") for path in sorted(FOLDER.glob("bench_*.py"))]
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        print(f"There is no benchmark {', '.join(unknown)}; there are {', '.join(known)}.")
        return 1
    ended = [
        subprocess.run([sys.executable, "-m", f"benchmarks.bench_{name}"], cwd=FOLDER.parent, check=False).returncode
        for name in wanted or known
    ]
    return max(ended)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
