"""A network that goes away, lies or sends traps: a word that says what to do, what came is kept, nothing escapes."""

import hashlib
import io
import os
import socket
import tarfile

import pytest
from breaking_server import Server

from course_utils.data import download
from course_utils.data.download import DataError, fetch_archive

pytestmark = pytest.mark.faults("downloads broken off, wrong or refused")
CONTENT = os.urandom(300_000)


def archive(*others: tarfile.TarInfo) -> bytes:
    """things/one.bin, and what else is given."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as made:
        entry = tarfile.TarInfo("things/one.bin")
        entry.size = len(CONTENT)
        made.addfile(entry, io.BytesIO(CONTENT))
        for other in others:
            other.size = 0 if other.type != tarfile.REGTYPE else 4
            made.addfile(other, io.BytesIO(b"trap"))
    return packed.getvalue()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "_ATTEMPTS", 2)
    monkeypatch.setattr(download, "_PATIENCE", 0.5)
    served = Server({"things.tar.gz": archive()})
    yield served
    served.http.shutdown()
    served.http.server_close()


def fetch(server, folder, content=None):
    md5 = hashlib.md5(content or server.files["things.tar.gz"]).hexdigest()
    fetch_archive(f"{server.address}/things.tar.gz", md5, folder, "things", "shipped_things()", room="5 GB")


def test_a_network_that_goes_away_again_and_again_loses_no_byte(server, tmp_path):
    server.breaks = 6
    fetch(server, tmp_path)
    assert (tmp_path / "things" / "one.bin").read_bytes() == CONTENT
    starts = [int(begin[6:-1]) for _, begin in server.asked if begin]
    assert len(starts) == 6 and starts == sorted(set(starts)), "each time it goes on where it was"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["things"]


def test_a_network_that_stays_away_keeps_what_came_for_the_next_call(server, tmp_path, monkeypatch):
    whole = server.files["things.tar.gz"]
    part = tmp_path / "things.tar.gz.part"
    part.write_bytes(whole[:100_000])
    address, server.address = server.address, "http://127.0.0.1:9"  # nobody listens there
    with pytest.raises(ConnectionError, match=r"0\.1 MB have come and are kept.*shipped_things\(\), which needs no"):
        fetch(server, tmp_path)
    assert part.read_bytes() == whole[:100_000]
    server.address = address
    fetch(server, tmp_path)
    assert server.asked == [("things.tar.gz", "bytes=100000-")]


def test_a_page_that_says_not_found_with_the_status_of_success_is_not_taken_for_data(server, tmp_path):
    whole = server.files["things.tar.gz"]
    server.files["things.tar.gz"] = b"<!doctype html><title>404 Not Found</title>" + b" " * 400
    with pytest.raises(ConnectionError, match=r"is not the file that was expected.*What came was deleted"):
        fetch(server, tmp_path, whole)
    assert list(tmp_path.iterdir()) == []
    server.files["things.tar.gz"] = whole
    fetch(server, tmp_path)


def test_a_page_behind_a_download_that_broke_off_does_not_spoil_it_for_ever(server, tmp_path):
    """As in a hotel: first the network goes, then a page for guests answers everything."""
    whole = server.files["things.tar.gz"]
    (tmp_path / "things.tar.gz.part").write_bytes(whole[:1000])
    server.files["things.tar.gz"] = b"<html>Welcome, dear guest</html>" * 400
    with pytest.raises(ConnectionError, match="is not the file that was expected"):
        fetch(server, tmp_path, whole)
    server.files["things.tar.gz"] = whole
    fetch(server, tmp_path)
    assert (tmp_path / "things" / "one.bin").read_bytes() == CONTENT


def test_an_address_that_is_gone_is_named_with_its_answer(server, tmp_path):
    whole = server.files.pop("things.tar.gz")
    with pytest.raises(ConnectionError, match=r"/things\.tar\.gz could not be fetched \(Not Found\)"):
        fetch(server, tmp_path, whole)


def test_a_server_that_says_nothing_is_left_after_the_patience(server, tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        server.address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ConnectionError, match=r"could not be fetched \(timed out\)"):
            fetch(server, tmp_path)


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, link, 0o4777
    return made


@pytest.mark.parametrize(
    "trap",
    [
        member("../escaped"),
        member("things/../../escaped"),
        member("things/link", tarfile.SYMTYPE, "../../escaped"),
        member("things/link", tarfile.SYMTYPE, "/etc"),
        member("things/link", tarfile.LNKTYPE, "../../escaped"),
        member("things/device", tarfile.CHRTYPE),
        member("things/pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda trap: f"{trap.name} {trap.linkname}".strip(),
)
def test_an_archive_with_a_trap_is_refused_and_nothing_leaves_its_folder(trap, server, tmp_path):
    """Even one with the right checksum, which whoever publishes it could make."""
    server.files["things.tar.gz"] = archive(trap)
    place = tmp_path / "data"
    with pytest.raises(DataError, match=r"things\.tar\.gz could not be put into"):
        fetch(server, place)
    assert not (place / "things").exists() and not list(tmp_path.rglob("escaped"))
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_member_with_an_absolute_name_stays_in_the_folder(server, tmp_path):
    target = tmp_path / "outside"
    server.files["things.tar.gz"] = archive(member(str(target)))
    fetch(server, tmp_path / "data")
    assert not target.exists() and (tmp_path / "data" / "things" / "one.bin").exists()
