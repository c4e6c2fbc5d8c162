"""What an installer, Binder and a first import rely on."""

import ast
import graphlib
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from itertools import chain
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))

# B may import A for every A listed beside B; resources may be imported wherever files are read.
ARROWS = {
    "attention": set(),
    "models": {"attention", "names", "resources"},
    "data": {"names", "resources"},
    "training": {"models", "data", "attention", "files", "tables"},
    "widgets": {"models", "data", "training", "attention", "files", "names", "resources"},
    "check": {"files", "names", "widgets"},  # it finds the lessons by their folders' names
    "figures": {"names", "resources"},
    "files": set(),
    "names": set(),
    "results": {"names", "resources", "tables"},
    "source": set(),
    "tables": set(),
    "resources": set(),
    "lessons": {"check", "attention", "widgets"},
}


def imported_by(path: Path) -> set[str]:
    """The names that a file imports, wherever in the file it does so, in full: "torch.nn", "course_utils.data.pets".

    What it imports for its types alone is left out.
    """
    package = path.relative_to(ROOT).with_suffix("").parts
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in list(ast.walk(tree)):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body.clear()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


def parts_of(names: set[str]) -> set[str]:
    """The parts of course_utils among imported names."""
    return {name.split(".")[1] for name in names if name.startswith("course_utils.")}


@pytest.mark.parametrize("part", ARROWS)
def test_imports_run_one_way(part):
    home = ROOT / "course_utils" / part
    for path in home.rglob("*.py") if home.is_dir() else [home.with_suffix(".py")]:
        backwards = parts_of(imported_by(path)) - ARROWS[part] - {part}
        assert not backwards, f"{path.relative_to(ROOT)} imports {sorted(backwards)}"


def test_the_package_imports_nothing_that_stands_beside_it():
    beside = {path.name for path in ROOT.iterdir() if path.is_dir()} - {"course_utils"}
    for path in (ROOT / "course_utils").rglob("*.py"):
        assert not {name.split(".")[0] for name in imported_by(path)} & beside, path


def test_what_sends_arrays_to_the_page_knows_no_network():
    for path in (ROOT / "course_utils" / "widgets").glob("*/widget.py"):
        names = imported_by(path)
        assert not {name.split(".")[0] for name in names} & {"torch", "torchvision"}, path
        assert parts_of(names) <= {"widgets", "data", "names"}, path
        assert not [name for name in names if ".explore" in name], path


def test_no_modules_import_each_other_in_a_circle():
    files = {}
    for path in (
        path for folder in ("course_utils", "artwork", "experiments") for path in ROOT.glob(f"{folder}/**/*.py")
    ):
        files[".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")] = path

    def module(name: str) -> str | None:
        while name and name not in files:
            name = name.rpartition(".")[0]
        return name or None

    graph = {name: {module(one) for one in imported_by(path)} - {None, name} for name, path in files.items()}
    try:
        tuple(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        pytest.fail(f"These import each other: {' <- '.join(error.args[1])}")


def test_every_part_has_its_arrows():
    parts = {p.stem for p in (ROOT / "course_utils").iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert parts - {"__init__"} == set(ARROWS)


def test_first_import_is_light():
    heavy = "sorted({'torch', 'matplotlib', 'numpy', 'ipywidgets', 'sklearn'} & set(sys.modules))"
    code = f"import sys, course_utils; print({heavy})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_subpackages_load_on_first_use():
    code = "import sys, course_utils; course_utils.attention.SEBlock; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "True\n"


def test_widgets_and_attention_need_nothing_heavy_of_each_other():
    code = "import sys, course_utils.widgets; print('torch' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_dependencies_have_lower_bounds_only():
    for requirement in chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()):
        assert re.fullmatch(r"[a-z0-9-]+(\[lab,site\]|>=[\d.]+)", requirement), requirement


def test_everything_imported_comes_with_a_declared_dependency():
    """Wherever it is imported, also within a function: an install has nothing else.

    A learner's own model comes with its library, which `look` asks how that model wants its pictures.
    """
    owners = metadata.packages_distributions()
    declared = {re.match(r"[\w-]+", each)[0] for each in PROJECT["dependencies"]}
    for path in (ROOT / "course_utils").rglob("*.py"):
        for top in {name.split(".")[0] for name in imported_by(path)} - {*sys.stdlib_module_names, "course_utils"}:
            if path.match("look_into/explore.py") and top in ("timm", "transformers"):
                continue
            found = {owner.lower().replace("_", "-") for owner in owners.get(top, [])}
            assert found & declared, f"{path.relative_to(ROOT)} imports {top}, which pyproject.toml does not name"


def test_environment_agrees_with_pyproject():
    conda = [line for line in ENVIRONMENT["dependencies"] if isinstance(line, str)]
    (pip,) = [line["pip"] for line in ENVIRONMENT["dependencies"] if isinstance(line, dict)]
    assert "pip" in conda
    assert "-e .[lab]" in pip, "repo2docker does not install pyproject by itself"
    for line in pip:
        if not line.startswith("-"):
            assert line in PROJECT["dependencies"], f"{line} is not what pyproject asks for"


def test_wheel_holds_code_modules_and_resources(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = subprocess.run(["git", "ls-files", "resource", "course_utils"], cwd=ROOT, capture_output=True, text=True)
    for name in shipped.stdout.split():
        assert (f"course_utils/{name}" if name.startswith("resource/") else name) in names, name
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = "from course_utils.resources import resource; print(resource('data/mnist_5k.npz'))"
    environment = {"PYTHONPATH": str(tmp_path / "site"), "PATH": ""}
    found = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.startswith(str(tmp_path / "site" / "course_utils" / "resource"))
