"""A disk that is full at any step of a writing: a word that says so, and what was there before is whole."""

import errno
import io
import os

import pytest
import torch
from breaking_server import Server

from course_utils import check
from course_utils.check.memory import Progress
from course_utils.check.session import SESSION
from course_utils.data import download
from course_utils.data.download import DataError, fetch_archive
from course_utils.models import AttentionCNN, load_network
from course_utils.training.checkpoints import CheckpointError, save_network
from course_utils.widgets import TrainingCurves
from experiments.files import write_whole
from experiments.ledger import FILE, append_run, read_runs

pytestmark = pytest.mark.faults("writings to a full disk")
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
WORDS = "No space left on device"
STEPS = ("open", "write", "fsync", "rename")


class FullAfter(io.FileIO):
    """A file that takes a few bytes more, and then no more."""

    left = 3

    def write(self, data):
        if len(data) > self.left:
            super().write(bytes(data)[: self.left])
            self.left = 0
            raise FULL
        self.left -= len(data)
        return super().write(data)


@pytest.fixture
def disk(monkeypatch):
    """`disk("write")` makes the disk full from that step of a writing on; `disk(None)` makes room again."""
    real = {"open": io.open, "fsync": os.fsync, "replace": os.replace, "rename": os.rename}

    def writes(mode):
        return any(letter in mode for letter in "wax+")

    def fail(*_arguments, **_options):
        raise FULL

    def opened(refuse):
        def open_(file, mode="r", *arguments, **options):
            if not writes(mode) or str(file).endswith(".lock"):
                return real["open"](file, mode, *arguments, **options)
            if refuse:
                raise FULL
            raw = FullAfter(file, mode.replace("b", "").replace("t", ""))
            buffered = io.BufferedWriter(raw)
            if "b" in mode:
                return buffered
            return io.TextIOWrapper(buffered, options.get("encoding") or "utf-8", options.get("errors"))

        return open_

    def fill(step):
        chosen = dict(real)
        if step == "open":
            chosen["open"] = opened(refuse=True)
        elif step == "write":
            chosen["open"] = opened(refuse=False)
        elif step == "fsync":
            chosen["fsync"] = fail
        elif step == "rename":
            chosen |= {"replace": fail, "rename": fail}
        monkeypatch.setattr(io, "open", chosen["open"])
        monkeypatch.setattr("builtins.open", chosen["open"])
        for name in ("fsync", "replace", "rename"):
            monkeypatch.setattr(os, name, chosen[name])

    yield fill
    fill(None)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("step", STEPS)
def test_progress_waits_in_memory_and_is_written_when_there_is_room(disk, step, tmp_path, monkeypatch):
    path = tmp_path / "data" / "progress.json"
    monkeypatch.setenv("COURSE_PROGRESS", str(path))
    SESSION.__init__()
    check.squeeze(check.squeeze.official)
    before = path.read_bytes()
    disk(step)
    card = check.scale(check.scale.official)
    told = card.kind, card.lines[-1]
    waiting = SESSION.progress.states()
    disk(None)
    assert told[0] == "right" and WORDS in told[1] and "kept until this notebook closes" in told[1]
    assert waiting == {"4.1.1/squeeze": "done", "4.1.1/scale": "done"}
    assert path.read_bytes() == before
    assert set(names(path.parent)) - {"progress.json.lock"} == {"progress.json"}
    check.excite(check.excite.official)
    assert set(Progress().states()) == {"4.1.1/squeeze", "4.1.1/scale", "4.1.1/excite"}


@pytest.mark.parametrize("step", STEPS)
def test_an_export_of_progress_says_so_and_keeps_the_older_copy(disk, step, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "data" / "progress.json"))
    SESSION.__init__()
    copy = tmp_path / "copies" / "copy.json"
    copy.parent.mkdir()
    check.squeeze(check.squeeze.official)
    check.export_progress(copy)
    before = copy.read_bytes()
    check.scale(check.scale.official)
    disk(step)
    card = check.export_progress(copy)
    disk(None)
    assert card.headline == "Nothing was exported." and WORDS in repr(card)
    assert copy.read_bytes() == before and names(copy.parent) == ["copy.json"]


@pytest.mark.parametrize("step", STEPS)
def test_a_result_is_replaced_whole_or_not_at_all(disk, step, tmp_path):
    path = tmp_path / "result.json"
    write_whole(path, b"the old result")
    disk(step)
    with pytest.raises(OSError, match=WORDS):
        write_whole(path, b"the new result, which is longer")
    disk(None)
    assert path.read_bytes() == b"the old result" and names(tmp_path) == ["result.json"]


@pytest.mark.parametrize("step", ["open", "write", "fsync"])
def test_a_studys_runs_stay_whole_and_the_next_one_is_added_later(disk, step, tmp_path):
    def run(seed):
        settings = {"study": "tiny", "task": "few", "entry": "plain", "seed": seed, "lr": 0.1, "scored_on": "test"}
        made = {"versions": {}, "machine": {}, "commit": None}
        return {"settings": settings, "parameters": 1, "accuracy": 0.5, "seconds": 1.0, **made}

    append_run(tmp_path, run(0), {"plain": {}})
    before = (tmp_path / FILE).read_bytes()
    disk(step)
    with pytest.raises(OSError, match=f"{WORDS}.*Make room and run again.*{FILE}"):
        append_run(tmp_path, run(1), {"plain": {}})
    disk(None)
    assert [key.seed for key in read_runs(tmp_path)] == [0]
    assert append_run(tmp_path, run(1), {"plain": {}})
    assert (tmp_path / FILE).read_bytes().startswith(before)
    assert [key.seed for key in read_runs(tmp_path)] == [0, 1]


@pytest.mark.parametrize("step", STEPS)
def test_a_saved_network_is_left_with_the_card_that_describes_it(disk, step, tmp_path):
    torch.manual_seed(0)
    old, new = AttentionCNN(10, "se", in_channels=1), AttentionCNN(7, "eca", in_channels=1)
    path = save_network(old, tmp_path / "mine", {"seed": 0})
    disk(step)
    with pytest.raises(CheckpointError, match=rf"mine\.safetensors could not be written \({WORDS}\)"):
        save_network(new, path, {"seed": 1})
    disk(None)
    assert names(tmp_path) == ["mine.json", "mine.safetensors"]
    again = load_network(path).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in old.state_dict().items())


@pytest.mark.parametrize("step", ["open", "write", "rename"])
def test_a_saved_page_is_replaced_whole_or_not_at_all(disk, step, tmp_path):
    path = TrainingCurves(label="old").save_html(tmp_path / "page.html")
    before = path.read_bytes()
    widget = TrainingCurves(label="new")
    disk(step)
    with pytest.raises(OSError, match=f"The page could not be written .*{WORDS}.* is as it was.*page.html"):
        widget.save_html(path)
    disk(None)
    assert path.read_bytes() == before and names(tmp_path) == ["page.html"]


@pytest.mark.parametrize("step", ["open", "write", "rename"])
def test_a_download_says_how_much_room_it_needs_and_goes_on_later(disk, step, tmp_path, monkeypatch, capfd):
    import hashlib
    import tarfile

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo("things/one.bin")
        entry.size = 3000
        archive.addfile(entry, io.BytesIO(os.urandom(3000)))
    server = Server({"things.tar.gz": packed.getvalue()})
    md5 = hashlib.md5(packed.getvalue()).hexdigest()
    monkeypatch.setattr(download, "_ATTEMPTS", 1)

    def fetch():
        fetch_archive(f"{server.address}/things.tar.gz", md5, tmp_path / "data", "things", "less", room="5 GB")

    disk(step)
    with pytest.raises(DataError, match=rf"things\.tar\.gz could not be put into .*{WORDS}.*about 5 GB are needed"):
        fetch()
    disk(None)
    fetch()
    assert (tmp_path / "data" / "things" / "one.bin").stat().st_size == 3000
    assert names(tmp_path / "data") == ["things"], "nothing is left over"
    server.http.shutdown()
    server.http.server_close()
