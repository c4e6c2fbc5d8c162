"""What a release promises in words: one version, a changelog, a citation, licences, and a page on security."""

import ast
import datetime
import hashlib
import importlib
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import course_utils
from course_utils import resources
from course_utils.resources import checksums, damaged

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
CODE = sorted((ROOT / "course_utils").rglob("*.py"))

RELEASES = re.findall(r"(?m)^## (\d+\.\d+\.\d+) - (\d{4}-\d{2}-\d{2})$", CHANGELOG)
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_version_is_the_same_wherever_it_stands(monkeypatch):
    version = PROJECT["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert CITATION["version"] == version
    assert RELEASES[0][0] == version

    def nowhere(_name):
        from importlib.metadata import PackageNotFoundError

        raise PackageNotFoundError

    monkeypatch.setattr("importlib.metadata.version", nowhere)
    assert course_utils.__version__ == version, "in a clone that is not installed"


def test_an_install_says_its_own_version():
    assert course_utils.__version__ == PROJECT["version"], "install the clone again: `make lab`"


def test_the_changelog_has_every_release_once_newest_first_and_dated():
    headings = re.findall(r"(?m)^## (.*)$", CHANGELOG)
    assert headings == ["Unreleased", *(f"{version} - {date}" for version, date in RELEASES)]
    order = [tuple(map(int, version.split("."))) for version, _ in RELEASES]
    assert order == sorted(set(order), reverse=True)
    dates = [datetime.date.fromisoformat(date) for _, date in RELEASES]
    assert dates == sorted(dates, reverse=True)
    assert set(re.findall(r"(?m)^### (.*)$", CHANGELOG)) <= KINDS


def test_the_citation_holds_what_its_schema_asks_for():
    assert CITATION["cff-version"] == "1.2.0"
    needed = {"cff-version", "title", "message", "authors"}
    known = needed | {"abstract", "type", "version", "date-released", "license", "repository-code", "keywords"}
    assert needed <= set(CITATION) <= known
    assert all(isinstance(CITATION[key], str) and CITATION[key] for key in ("title", "message", "abstract"))
    assert CITATION["type"] in ("software", "dataset")
    assert isinstance(CITATION["date-released"], datetime.date)
    assert CITATION["date-released"].isoformat() == RELEASES[0][1]
    assert CITATION["license"] == PROJECT["license"]
    assert CITATION["repository-code"] == PROJECT["urls"]["Repository"]
    assert CITATION["authors"] and all(set(author) == {"name"} for author in CITATION["authors"])
    assert len(set(CITATION["keywords"])) == len(CITATION["keywords"]) > 0


PICTURES = (".png", ".jpg", ".jpeg", ".svg", ".webp", ".gif", ".ico", ".woff2", ".ttf", ".npz", ".safetensors")


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("no clone: the files of an sdist were listed when it was made")
    return listed.stdout.rstrip("\0").split("\0")


def test_every_picture_font_array_and_network_of_the_repository_is_listed_with_its_licence():
    sums = (ROOT / "resource" / "SHA256SUMS").read_text(encoding="utf-8")
    results = {line.split("  ", 1)[1] for line in sums.splitlines()}
    listing = (ROOT / "resource" / "LICENSES.md").read_text(encoding="utf-8")
    for name in tracked():
        if name.endswith(PICTURES) or name.startswith("resource/"):
            below = name.removeprefix("resource/")
            rows = {*checksums(), *results, "SHA256SUMS"} if below != name else set(re.findall("`([^`]+)`", listing))
            assert below in rows, f"{name} stands not in resource/LICENSES.md"


def test_each_kind_of_work_has_a_licence_file_that_the_readme_names():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in (*PROJECT["license-files"], "resource/LICENSES.md"):
        assert (ROOT / name).is_file() and f"({name})" in readme, name
    listing = (ROOT / "resource" / "LICENSES.md").read_text(encoding="utf-8")
    assert "`SHA256SUMS`" in listing and "under MIT" in listing


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of resource/ without most of its weight, that may be broken."""
    root = tmp_path / "resource"
    keep = {"LICENSES.md", "SHA256SUMS", "figures", "results"}
    shutil.copytree(
        resources.resource_root(),
        root,
        ignore=lambda folder, names: {*names} - keep if Path(folder) == ROOT / "resource" else (),
    )
    rows = (root / "LICENSES.md").read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [row for row in rows if not row.startswith("| `") or row.startswith(("| `figures/", "| `results/"))]
    (root / "LICENSES.md").write_text("".join(kept), encoding="utf-8")
    whole, short = (hashlib.sha256("".join(text).encode()).hexdigest() for text in (rows, kept))
    sums = (root / "SHA256SUMS").read_text(encoding="utf-8")
    (root / "SHA256SUMS").write_text(sums.replace(whole, short), encoding="utf-8")
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "course_utils")
    checksums.cache_clear()
    yield root
    checksums.cache_clear()


def test_every_file_is_as_it_was_shipped():
    assert damaged() == []


@pytest.mark.faults("files of resource/ damaged or missing")
def test_what_is_changed_missing_or_in_no_list_is_named(copied):
    assert damaged() == []
    changed = next((copied / "results" / "4.2").glob("*.json"))
    changed.write_text(changed.read_text(encoding="utf-8").replace("0", "1", 1), encoding="utf-8")
    (copied / "figures" / "se_block.png").unlink()
    (copied / "figures" / "extra.png").write_bytes(b"")
    sums = copied / "SHA256SUMS"
    sums.write_text(sums.read_text(encoding="utf-8") + "no checksum\n", encoding="utf-8")
    found = "\n".join(damaged())
    for words in (
        f"results/4.2/{changed.name} is not the file that was shipped",
        "figures/se_block.png cannot be read",
        "figures/extra.png stands neither in LICENSES.md nor in SHA256SUMS",
        "is no checksum with a path",
    ):
        assert words in found
    assert len(found.splitlines()) == 4


def test_the_command_compares_every_file_and_says_how_to_restore_them(copied, capsys):
    assert resources._main() == 0
    (copied / "figures" / "se_block.png").write_bytes(b"")
    assert resources._main() == 1
    said = capsys.readouterr().out
    assert "as it was shipped" in said and "figures/se_block.png" in said and "git checkout" in said


def weights_in_lessons() -> list:
    """torchvision's trained weights that a lesson names."""
    from torchvision import models

    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "notebooks").glob("*.ipynb"))
    named = sorted(set(re.findall(r"(\w+_Weights)\.(\w+)", sources)))
    return [getattr(models, family)[name] for family, name in named]


def addresses_asked() -> dict[str, str]:
    """Each address that the package can fetch, with the checksum that it is compared with."""
    from torchvision import models
    from torchvision.datasets import MNIST

    pets, cifar = (importlib.import_module(f"course_utils.data.{name}") for name in ("pets", "cifar"))
    asked = {f"{pets._SOURCE}/{part}.tar.gz": digest for part, digest in pets._MD5.items()}
    asked[cifar._SOURCE] = cifar._MD5
    for mirror in MNIST.mirrors:
        asked |= {mirror + name: digest for name, digest in MNIST.resources}
    for weights in (models.MobileNet_V3_Small_Weights.DEFAULT, models.VGG16_BN_Weights.DEFAULT, *weights_in_lessons()):
        address = weights.url
        asked[address] = re.search(r"-([0-9a-f]{8})\.pth$", address)[1]
    (lesson,) = (ROOT / "notebooks").glob("4.7_*.ipynb")
    for name in re.findall(r"\| `([\w.]+)` \|", lesson.read_text(encoding="utf-8")):
        asked[f"https://huggingface.co/timm/{name}/resolve/main/model.safetensors"] = "the SHA-256 that the hub names"
    return asked


def test_the_page_on_security_lists_each_address_with_its_checksum_and_no_other():
    rows = [line for line in SECURITY.splitlines() if line.startswith("| ") and "https://" in line]
    asked = addresses_asked()
    listed = {}
    for row in rows:
        digest = re.search(r"(?:`([0-9a-f]{8,})`|\| (the SHA-256 that .*)) \|$", row)
        listed |= dict.fromkeys(re.findall(r"https?://[^\s,|]+", row), digest[1] or digest[2])
    assert listed == asked


# What reaches the network, by the last part of the call's name; and the files that may do so.
FETCHING = {"urlopen": {"data/download.py"}, "fetch_archive": {"data/pets.py", "data/cifar.py"}}
FETCHING |= {"get_state_dict": {"models/trained_weights.py"}, "MNIST": {"data/handwritten.py"}}
FETCHING |= {"get_hf_file_metadata": {"data/download.py"}, "hub_weights": set(), "hf_hub_download": set()}
FETCHING |= {name: set() for name in ("urlretrieve", "load_state_dict_from_url", "download_url", "snapshot_download")}
NETWORK_MODULES = {"socket", "requests", "httpx", "aiohttp", "ftplib", "smtplib", "telnetlib", "xmlrpc", "websockets"}


def calls(tree: ast.AST):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            yield name, ast.unparse(node.func), {key.arg: ast.unparse(key.value) for key in node.keywords}


def modules(tree: ast.AST):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").split(".")[0]


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.relative_to(ROOT / "course_utils").as_posix())
def test_nothing_is_unpickled_run_as_code_or_fetched_but_where_the_page_says(path):
    name = path.relative_to(ROOT / "course_utils").as_posix()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = set(modules(tree))
    assert not imported & {"marshal", "shelve", "dill", "cloudpickle", "joblib", "runpy", "code"}
    if "pickle" in imported:
        names = {
            alias.name
            for n in ast.walk(tree)
            if isinstance(n, ast.ImportFrom) and n.module == "pickle"
            for alias in n.names
        }
        assert names == {"UnpicklingError"}, "only the error may be named"
    assert "subprocess" not in imported
    network = imported & NETWORK_MODULES
    assert not network or (name, network) == ("widgets/channel_gates/explore.py", {"socket"}), "it sets a patience"
    for last, whole, options in calls(tree):
        if last in FETCHING and "hasattr" not in whole:
            assert name in FETCHING[last], f"{whole} fetches"
        if (name, whole) != ("check/changes.py", "exec"):  # the course's own solutions with a known mistake in them
            assert whole not in ("eval", "exec", "compile", "__import__", "os.system", "os.popen"), whole
        assert whole not in ("torch.load", "torch.jit.load", "yaml.load", "torch.hub.load"), whole
        assert options.get("allow_pickle", "False") == "False" and options.get("shell", "False") == "False", whole
        if last == "get_state_dict" and name.startswith("models/"):
            assert options["weights_only"] == options["check_hash"] == "True"
        if last == "extractall":
            assert options["filter"] == "'data'"


def test_no_address_stands_in_the_code_but_those_and_papers():
    known = {re.match(r"https?://[^/]+", address)[0] for address in addresses_asked()}
    for path in CODE:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documented = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented:
                hosts = set(re.findall(r"https?://[\w.-]+", node.value))
                assert hosts <= known | {"http://www.w3.org", "https://arxiv.org", "https://doi.org"}, path


def test_only_what_was_tested_is_released():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))
    assert workflow[True]["push"]["tags"] == ["v*"]  # YAML reads the key `on` as True
    runs = [step.get("run", "") for step in workflow["jobs"]["release"]["steps"]]
    order = [
        next(i for i, run in enumerate(runs) if word in run) for word in ("make test", "make release", "gh release")
    ]
    assert order == sorted(order)
