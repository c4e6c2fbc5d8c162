"""The page's arithmetic, run in node, equals numpy's."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from course_utils.widgets import base

MATHS = Path(base.__file__).parent / "page" / "maths.js"
pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="needs node")


def page(expression: str, given: Any) -> Any:
    """The value of an expression in which `maths` is the module and `x` what is given."""
    script = (
        f"const maths = await import({json.dumps(MATHS.as_uri())}); "
        f"const x = {json.dumps(given)}; console.log(JSON.stringify({expression}));"
    )
    command = ["node", "--input-type=module"]
    return json.loads(subprocess.run(command, input=script, capture_output=True, text=True, check=True).stdout)


def test_softmax_and_sigmoid_hold_large_scores() -> None:
    scores = np.random.default_rng(0).normal(size=20) * 300
    powers = np.exp(scores - scores.max())
    np.testing.assert_allclose(page("maths.softmax(x)", scores.tolist()), powers / powers.sum(), rtol=1e-12)
    small = scores / 100
    np.testing.assert_allclose(page("x.map(maths.sigmoid)", small.tolist()), 1 / (1 + np.exp(-small)), rtol=1e-12)


def test_numbers_are_written_with_three_figures() -> None:
    values = np.random.default_rng(3).normal(size=50) * 10.0 ** np.arange(-3, 7).repeat(5)[:50]
    values = values[(abs(values) >= 1e-4) & (abs(values) < 1e6)]
    words = page("x.map(maths.number)", values.tolist())
    np.testing.assert_allclose([float(word) for word in words], [float(f"{value:.3g}") for value in values])
