"""The repository's address and version stand once."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def clone(tmp_path):
    """The files that hold links, in a folder of their own."""
    for name in ("README.md", "CITATION.cff", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    for folder in ("notebooks", "tools"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    shutil.copytree(ROOT / "resource" / "results", tmp_path / "resource" / "results")
    for name in ("LICENSES.md", "SHA256SUMS"):
        shutil.copy(ROOT / "resource" / name, tmp_path / "resource")
    shutil.copytree(ROOT / "course_utils" / "lessons", tmp_path / "course_utils" / "lessons")
    for path in (ROOT / "course_utils").glob("*.py"):
        shutil.copy(path, tmp_path / "course_utils")
    return tmp_path


def links(clone, *arguments):
    command = [sys.executable, str(clone / "tools" / "links.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_committed_links_agree(clone):
    assert links(clone, "--check").returncode == 0


def test_a_new_address_reaches_every_badge_and_first_cell(clone):
    old = tomllib.loads((clone / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
    assert links(clone, "somewhere/else").returncode == 0
    assert links(clone, "--check").returncode == 0
    for path in (*clone.glob("*.*"), *clone.glob("notebooks/*")):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            assert old.split("github.com/")[1] not in text, path
            assert path.name == "README.md" or "somewhere/else" in text, path


def test_a_new_version_reaches_every_badge_and_first_cell(clone):
    project = clone / "pyproject.toml"
    project.write_text(project.read_text().replace('\nversion = "', '\nversion = "9.'))
    assert links(clone, "--check").returncode == 1
    assert links(clone).returncode == 0
    for path in (clone / "notebooks").glob("*.ipynb"):
        assert "--branch=v9." in path.read_text(encoding="utf-8")


def test_a_changed_bootstrap_is_found(clone):
    path = next((clone / "notebooks").glob("*.ipynb"))
    path.write_text(
        path.read_text(encoding="utf-8").replace("import importlib.util", "import importlib"), encoding="utf-8"
    )
    checked = links(clone, "--check")
    assert checked.returncode == 1 and path.name in checked.stdout


def test_a_changed_result_is_found_by_its_checksum(clone):
    path = next((clone / "resource" / "results").glob("*/*.json"))
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    checked = links(clone, "--check")
    assert checked.returncode == 1 and "SHA256SUMS" in checked.stdout


def test_an_address_that_is_none_is_refused(clone):
    refused = links(clone, "https://github.com/a/b")
    assert refused.returncode != 0 and "owner/name" in refused.stderr


def bootstrap_of(path: Path) -> str:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    (cell,) = [cell for cell in cells if "bootstrap" in cell["metadata"].get("tags", [])]
    return "".join(cell["source"])


@pytest.fixture(params=[True, False], ids=["with the tag", "without a tag"])
def published(tmp_path, request):
    """A git repository that answers under the course's address, with a package worth finding."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    repository = tmp_path / "published"
    (repository / "course_utils").mkdir(parents=True)
    (repository / "course_utils" / "__init__.py").write_text("FETCHED = True\n")
    git = ["git", "-c", "user.name=course", "-c", "user.email=course@example.org", "-C", str(repository)]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, *command], check=True)
    if request.param:
        subprocess.run([*git, "tag", f"v{project['version']}"], check=True)
        (repository / "course_utils" / "__init__.py").write_text("FETCHED = 'what came after the tag'\n")
        subprocess.run([*git, "commit", "-qam", "two"], check=True)
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{repository.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": project["urls"]["Repository"],
    }


def run_alone(cell: str, folder: Path, settings: dict[str, str]):
    """Run a first cell as on Colab: in an empty folder, by a Python that does not have the course."""
    folder.mkdir(exist_ok=True)
    show = "\nimport course_utils\nprint(course_utils.FETCHED, 'torch' in sys.modules)"
    environment = os.environ | settings | {"GIT_TERMINAL_PROMPT": "0", "PYTHONPATH": ""}
    code = cell + "\n" + cell + show
    command = [sys.executable, "-S", "-P", "-c", code]  # -S: without site-packages
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_first_cell_alone_fetches_the_package_once_and_twice_without_harm(published, tmp_path):
    path = next((ROOT / "notebooks").glob("*.ipynb"))
    done = run_alone(bootstrap_of(path), tmp_path / "empty", published)
    assert (done.stdout, done.stderr) == ("True False\n", "")


def test_the_first_cell_without_network_says_what_to_do(tmp_path):
    path = next((ROOT / "notebooks").glob("*.ipynb"))
    address = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
    nowhere = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{(tmp_path / 'nothing').as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": address,
    }
    done = run_alone(bootstrap_of(path), tmp_path / "empty", nowhere)
    assert done.returncode != 0 and "Is there a network?" in done.stderr
