"""The colour tables of the page, made from matplotlib's.

`python -m artwork.tables` writes them into `course_utils/widgets/page/paint.js`; a test holds the two equal.
"""

import base64
import re
from pathlib import Path

from course_utils.widgets.attention_map.widget import TABLES

_BLOCK = re.compile(r"(const COLOUR_TABLES = \{\n).*?(\n\};)", re.DOTALL)
_PAINT = Path(__file__).parents[1] / "course_utils" / "widgets" / "page" / "paint.js"


def table_base64(name: str) -> str:
    """One of matplotlib's colour tables as base64 text: 256 rows of red, green, blue in bytes."""
    import matplotlib

    rows = matplotlib.colormaps[name](range(256), bytes=True)[:, :3]  # (256, 3)
    return base64.b64encode(rows.tobytes()).decode("ascii")


def write_tables() -> None:
    """Replace the tables inside the page's module by those of the installed matplotlib."""
    rows = "\n".join(f'  {name}: "{table_base64(name)}",' for name in TABLES)
    source = _PAINT.read_text(encoding="utf-8")
    _PAINT.write_text(_BLOCK.sub(lambda block: block[1] + rows + block[2], source), encoding="utf-8")


if __name__ == "__main__":
    write_tables()
