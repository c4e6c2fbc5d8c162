"""The joiner: modules see what they import and nothing else, and what cannot be joined is refused with a reason."""

import shutil
import subprocess
from pathlib import Path

import pytest

from course_utils.widgets import base
from course_utils.widgets.joiner import join

VIEWS = sorted(path.parent.name for path in Path(base.__file__).parent.glob("*/view.js"))
NODE = pytest.mark.skipif(shutil.which("node") is None, reason="needs node")


def write(folder: Path, **sources: str) -> Path:
    for name, source in sources.items():
        (folder / f"{name}.js").write_text(source, encoding="utf-8")
    return folder / "view.js"


def node(source: str, *arguments: str) -> str:
    command = ["node", "--input-type=module", *arguments]
    return subprocess.run(command, input=source, capture_output=True, text=True, check=True).stdout.strip()


@NODE
def test_a_module_is_joined_once_and_keeps_its_own_names_to_itself(tmp_path: Path) -> None:
    view = write(
        tmp_path,
        view='import { one as first } from "./a.js";\nimport { twice } from "./b.js";\nconst own = 3;\n'
        "console.log(first(), twice(), own);\n",
        a='console.log("a starts");\nconst own = 1;\nexport function one() { return own; }\n',
        b='import { one } from "./a.js";\nconst own = 2;\nexport const twice = () => own * one();\n',
    )
    assert node(join(view)) == "a starts\n1 2 3"


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ({"view": 'import { one } from "./gone.js";\n'}, r"no module .*gone\.js, imported by view\.js"),
        ({"view": 'import { two } from "./a.js";\n', "a": "export const one = 1;\n"}, 'imports "two" from a.js'),
        (
            {
                "view": 'import { one } from "./a.js";\n',
                "a": 'import { two } from "./b.js";\nexport const one = 1;\n',
                "b": 'import { one } from "./a.js";\nexport const two = 2;\n',
            },
            r"circle: a\.js -> b\.js -> a\.js",
        ),
        ({"view": 'import * as a from "./a.js";\n'}, "cannot be joined"),
        (
            {"view": 'import { one } from "./a.js";\n', "a": "const one = 1;\nexport { one };\n"},
            "cannot be joined",
        ),
    ],
    ids=["missing file", "missing name", "circle", "import of everything", "list of exports"],
)
def test_what_cannot_be_joined_is_refused_with_a_reason(tmp_path: Path, sources: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        join(write(tmp_path, **sources))


def test_two_modules_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    write(tmp_path / "other", a="export const two = 2;\n")
    view = write(
        tmp_path,
        view='import { one } from "./a.js";\nimport { two } from "./other/a.js";\n',
        a="export const one = 1;\n",
    )
    with pytest.raises(ValueError, match="have the same name"):
        join(view)


@NODE
@pytest.mark.parametrize("name", VIEWS)
def test_every_widget_parses_when_joined(name: str, tmp_path: Path) -> None:
    joined = tmp_path / "joined.mjs"
    joined.write_text(base.join_module(name), encoding="utf-8")
    subprocess.run(["node", "--check", str(joined)], check=True)


def test_no_text_goes_over_several_lines_where_it_would_lose_its_spaces() -> None:
    over = [
        f"{path.parent.name}/{path.name}: {line}"
        for path in Path(base.__file__).parent.rglob("*.js")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.replace('"`"', "").count("`") % 2
    ]
    assert over == []
