"""How an exercise was worked on: tries, hints, whether the solution was shown, and when it was last touched.

Kept beside the states in the progress file, for the learner and for a teacher to whom the learner gives the file.
"""

import re
import time
from collections.abc import Mapping

Count = dict[str, int | str]  # "tries", "hints": numbers; "solution": 1 once it was shown; "last": UTC
Counts = dict[str, Count]  # by the item's name, such as "4.1.1/squeeze"

_NUMBERS = ("tries", "hints", "solution")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


def now() -> str:
    """The time as it is kept, such as "2026-01-31T09:30:00Z"."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def joined(first: Mapping[str, Count], second: Mapping[str, Count]) -> Counts:
    """Both, with the larger of two numbers and the later of two times: joining the same again changes nothing."""
    both: Counts = {item: dict(count) for item, count in first.items()}
    for item, count in second.items():
        kept = both.setdefault(item, {})
        for key, value in count.items():
            kept[key] = max(kept.get(key, value), value, key=lambda each: (isinstance(each, str), each))
    return both


def added(counts: Mapping[str, Count], tries: Mapping[str, int]) -> Counts:
    """The counts with further tries."""
    both: Counts = {item: dict(count) for item, count in counts.items()}
    for item, more in tries.items():
        kept = both.setdefault(item, {})
        kept["tries"] = int(kept.get("tries", 0)) + more
    return both


def are_counts(content: object) -> bool:
    """Whether something read from a file is counts, and nothing else."""
    return isinstance(content, dict) and all(
        isinstance(count, dict)
        and all(
            (key in _NUMBERS and type(value) is int and 0 <= value < 1_000_000_000)
            or (key == "last" and isinstance(value, str) and _TIME.fullmatch(value) is not None)
            for key, value in count.items()
        )
        for count in content.values()
    )
