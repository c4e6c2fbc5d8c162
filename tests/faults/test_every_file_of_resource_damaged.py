"""Each shipped file is damaged in turn, in a copy: who reads it says so by its name, and the rest goes on."""

import hashlib
import itertools
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from course_utils import figures, resources
from course_utils.data import digits, handwritten, photograph, photograph_features, photographs
from course_utils.models import load_network
from course_utils.resources import checksums, damaged
from course_utils.results import bench, recorded, results
from course_utils.widgets import explore_gate_maps
from experiments import segmenter_gates, study_reader
from experiments.report import study_report

REAL = resources.resource_root()
FILES = sorted(p.relative_to(REAL).as_posix() for p in REAL.rglob("*") if p.is_file() and not p.name.startswith("."))
SHOWN = {each.file for each in figures.diagrams().values()}

pytestmark = pytest.mark.faults("files of resource/ damaged or missing")

Reader = Callable[[], object]
_ticks = itertools.count(1_000_000_000)


class Poison:
    """Unpickled, it makes a folder."""

    def __reduce__(self):
        return os.mkdir, (os.environ["CANARY"],)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A copy of resource/, where the package looks for it while these tests run."""
    place = tmp_path_factory.mktemp("install")
    shutil.copytree(REAL, place / "resource", ignore=shutil.ignore_patterns(".*"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resources, "_PACKAGE", place / "course_utils")
        patch.setenv("CANARY", str(place / "executed"))
        forget()
        yield place / "resource"
    forget()


def forget() -> None:
    """What a fresh kernel does not know yet."""
    for kept in (checksums, handwritten._shipped, photographs._features, resources._digest):
        kept.cache_clear()


def write(path: Path, content: bytes) -> None:
    """Write a file with a time of its own: within one tick of the clock a change of equal length has the same."""
    path.write_bytes(content)
    os.utime(path, ns=(next(_ticks) * 1_000, next(_ticks) * 1_000))


def readers() -> dict[str, Reader]:
    """What a lesson calls that opens a file, by the file; the files that no code of the package opens are not here."""
    found: dict[str, Reader] = {
        "LICENSES.md": damaged,
        "SHA256SUMS": damaged,
        "data/mnist_5k.npz": digits,
        "features/photographs.safetensors": lambda: photograph_features("owl"),
        "results/4.5/maps.safetensors": explore_gate_maps,
        "results/4.1.4/runs.jsonl": study_reader.summary,
        "results/segmenter_gates/runs.jsonl": lambda: segmenter_gates.read_runs(
            resources.resource_root() / "results" / "segmenter_gates" / "runs.jsonl"
        ),
        "results/segmenter_gates/summary.json": lambda: recorded("segmenter_gates"),
    }
    for name in (name for name in FILES if name not in found):
        folder, _, rest = name.partition("/")
        stem = Path(rest).stem
        if folder == "photos":
            found[name] = lambda stem=stem: photograph(stem)
        elif folder == "weights":
            found[name] = lambda stem=stem: load_network(stem)
        elif name in SHOWN:
            found[name] = lambda stem=stem: figures.bundle(stem)
        elif name.startswith("results/bench/") and name.endswith(".json"):
            found[name] = lambda: bench("no such block")
        elif name.endswith("/summary.json"):
            found[name] = lambda study=Path(rest).parent.name: results(study)
        elif name.endswith(("/runs.jsonl", "/costs.json")):
            found[name] = lambda study=Path(rest).parent.name: study_report(study)
    return found


READERS = readers()
UNREAD = [name for name in FILES if name not in READERS]


def damages(whole: bytes) -> dict[str, bytes]:
    """The ways in which a file is damaged here."""
    middle = len(whole) // 2
    return {
        "a byte flipped": whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :],
        "cut off": whole[:middle],
        "empty": b"",
        "replaced by a pickle": pickle.dumps(Poison()),
    }


def said_by(reader: Reader, name: str) -> str:
    """What a reader says: its error, or what the tool that compares checksums found."""
    try:
        result = reader()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "\n".join(result) if READERS[name] is damaged else ""


def test_only_these_files_are_opened_by_no_code_of_the_package():
    """The tool that compares checksums finds these: pages, plots and records for people."""
    for name in UNREAD:
        for_people = name.endswith((".md", ".png")) or name in ("features/photographs.json", "results/text_reader.json")
        assert for_people, f"{name}: give it a reader here"


@pytest.mark.parametrize("kind", ["a byte flipped", "cut off", "empty", "replaced by a pickle"])
def test_whoever_reads_a_damaged_file_names_it_and_runs_nothing(root, kind, record_property):
    tried = 0
    for name in (name for name in FILES if name in READERS):
        path = root / name
        whole = path.read_bytes()
        write(path, damages(whole)[kind])
        forget()
        said = said_by(READERS[name], name)
        assert path.name in said, f"{name}, {kind}: {said or 'read without a word'}"
        assert "Traceback" not in said and not said.startswith(
            ("KeyError", "TypeError", "AttributeError", "IndexError")
        )
        assert path.read_bytes() == damages(whole)[kind], "a damaged file is left for its owner to look at"
        write(path, whole)
        tried += 1
    assert not (root.parent / "executed").exists()
    forget()
    assert damaged() == [], "nothing else was touched"
    assert digits("test") and photograph("owl").shape[0] == 3, "once the files are back, all goes on"
    record_property("tried", tried)


@pytest.mark.parametrize("kind", ["a byte flipped", "cut off", "empty", "missing"])
def test_one_command_names_every_damaged_file(root, kind, record_property):
    wholes = {name: (root / name).read_bytes() for name in FILES if name not in ("LICENSES.md", "SHA256SUMS")}
    for name, whole in wholes.items():
        if kind == "missing":
            (root / name).unlink()
        elif whole:
            write(root / name, damages(whole)[kind])
    found = {line.partition(" ")[0] for line in damaged()}
    for name, whole in wholes.items():
        write(root / name, whole)
    assert found == set(wholes)
    assert damaged() == []
    record_property("tried", len(wholes))


def test_one_damaged_file_leaves_the_others_readable(root, record_property):
    spoilt = ["photos/owl.jpg", "weights/se_digits.safetensors", "figures/se_block.png", "data/mnist_5k.npz"]
    wholes = {name: (root / name).read_bytes() for name in spoilt}
    for name in spoilt:
        write(root / name, b"")
    forget()
    assert photograph("cow").shape[0] == 3
    assert load_network("se_cued_digits")
    assert figures.bundle("cbam")
    assert results("4.2").seeds == 5
    assert bench("SEBlock").rows
    for name in spoilt:
        write(root / name, wholes[name])
    forget()
    record_property("tried", len(spoilt))


@pytest.mark.parametrize("bit", (0, 3, 6))
def test_a_letter_changed_in_a_result_is_refused_or_found_by_its_checksum(root, bit, record_property):
    """One bit of one letter: mostly JSON no longer, else other words or numbers, of which a reader cannot know."""
    tried = 0
    for name in (
        name for name in FILES if name.startswith("results/") and name.endswith((".json", ".jsonl")) and name in READERS
    ):
        path = root / name
        whole = path.read_bytes()
        place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % len(whole)
        write(path, whole[:place] + bytes([whole[place] ^ (1 << bit)]) + whole[place + 1 :])
        try:
            for line in path.read_bytes().splitlines() if path.suffix == ".jsonl" else [path.read_bytes()]:
                json.loads(line)
            readable = True
        except ValueError:
            readable = False
        said = said_by(READERS[name], name)
        unharmed = said == "" or said.startswith("ValueError: No benchmark of 'no such block'")
        assert path.name in said or (readable and unharmed), f"{name}: {said or 'read without a word'}"
        write(path, whole)
        tried += 1
    record_property("tried", tried)


def test_data_that_would_unpickle_is_refused_even_where_its_checksum_is_the_listed_one(root):
    """Whoever can change a file can change the list too: the readers themselves run nothing."""
    import numpy as np

    listing, path = root / "LICENSES.md", root / "data" / "mnist_5k.npz"
    whole, rows = path.read_bytes(), listing.read_text(encoding="utf-8")
    with path.open("wb") as file:
        np.savez(file, images=np.array([Poison()], dtype=object), labels=np.zeros(1))
    spoilt = hashlib.sha256(path.read_bytes()).hexdigest()
    write(listing, rows.replace(hashlib.sha256(whole).hexdigest(), spoilt).encode())
    forget()
    with pytest.raises(ValueError, match="allow_pickle=False"):
        digits()
    write(path, whole)
    write(listing, rows.encode())
    forget()
    assert not (root.parent / "executed").exists()
