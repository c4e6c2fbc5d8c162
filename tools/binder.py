"""Do with environment.yml what Binder does with it, short of conda: install, start the server, run lessons in it.

    python tools/binder.py [4.1.1 ...]     lesson 4.1.1, or those named
    python tools/binder.py --record        write the seconds and the memory to resource/results/checks/binder.json too

repo2docker takes Python and Jupyter from conda and the rest from the list under `pip:`, installed in a clean clone.
Here that list is installed in a clean clone too, into a fresh environment; only PyTorch is shared with the Python that
runs this file, so that nothing large is downloaded twice. The server is JupyterLab's, asked over its REST interface.
"""

import argparse
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import checks
import psutil
import websocket
import yaml
from colab import SHARED, SITE, installed, link, needed_by, python

ROOT = Path(__file__).resolve().parents[1]
LESSONS = ("4.1.1",)
CELL_SECONDS = 300
# How repo2docker finds the version of Python: a line such as python=3.12. Anything else leaves it to its own default.
PYTHON_LINE = re.compile(r"python\s*=+\s*([\d.]*)")


@dataclass(frozen=True)
class Environment:
    """What repo2docker reads from environment.yml."""

    python: str
    pip: tuple[str, ...]


def read_environment(root: Path) -> Environment:
    """Read environment.yml by repo2docker's rules; what it would not do as meant is refused."""
    for folder in ("binder", ".binder"):
        if (root / folder).is_dir():
            raise SystemExit(f"There is a folder {folder}/: repo2docker looks only there, not at environment.yml.")
    content = yaml.safe_load((root / "environment.yml").read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not isinstance(content.get("dependencies"), list):
        raise SystemExit("environment.yml must be a mapping with a list of dependencies.")
    version = ""
    pip: list[str] = []
    for line in content["dependencies"]:
        if isinstance(line, dict):
            pip = line.get("pip", [])
        elif not version and (found := PYTHON_LINE.match(line)):
            version = ".".join(found[1].split(".")[:2])
    if version.count(".") != 1:
        raise SystemExit("environment.yml must name Python as python=3.12 does; repo2docker reads no other form.")
    if not any(line.startswith("-e .") for line in pip):
        raise SystemExit("environment.yml must list `-e .[lab]` under pip: repo2docker does not read pyproject.toml.")
    return Environment(version, tuple(pip))


def install(environment: Path, clone: Path) -> float:
    """Install the list under pip: into a fresh environment, in a clean clone; returns seconds."""
    subprocess.run(["git", "clone", "-q", "--depth=1", ROOT.as_uri(), clone], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    site = Path(subprocess.check_output([python(environment), "-c", SITE], text=True).strip())
    there = installed()
    link(needed_by(SHARED, there), there, environment / "shared")
    (site / "shared.pth").write_text(f"{environment / 'shared'}\n", encoding="utf-8")
    # PyTorch is here already, so the index of its CPU wheels need not be asked.
    lines = [line for line in read_environment(clone).pip if not line.startswith("--extra-index-url")]
    wanted = environment / "requirements.txt"
    wanted.write_text("\n".join(lines) + "\n", encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--python", str(python(environment)), "--disable-pip-version-check"]
    started = time.perf_counter()
    subprocess.run([*pip, "install", "-qq", "-r", str(wanted)], cwd=clone, check=True)
    subprocess.run([*pip, "check"], check=True)
    return time.perf_counter() - started


class Server:
    """A running JupyterLab, asked over its REST interface and a kernel's socket."""

    def __init__(self, port: int, token: str):
        self.address, self.token = f"127.0.0.1:{port}", token

    def ask(self, path: str, content: dict[str, Any] | None = None, method: str | None = None) -> Any:
        """The answer to a request, as JSON."""
        data = None if content is None else json.dumps(content).encode()
        headers = {"Authorization": f"token {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"http://{self.address}/{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    @contextmanager
    def kernel(self, notebook: str) -> Iterator[websocket.WebSocket]:
        """The socket of a notebook's own kernel, which ends with the context."""
        content = {"path": notebook, "name": notebook, "type": "notebook", "kernel": {"name": "python3"}}
        session = self.ask("api/sessions", content)
        address = f"ws://{self.address}/api/kernels/{session['kernel']['id']}/channels?token={self.token}"
        channel = websocket.create_connection(address, timeout=CELL_SECONDS)
        try:
            yield channel
        finally:
            channel.close()
            self.ask(f"api/sessions/{session['id']}", method="DELETE")


def execute(channel: websocket.WebSocket, code: str) -> None:
    """Run one cell; what goes wrong in it, or is written on stderr, ends this program."""
    name = uuid.uuid4().hex
    header = {"msg_id": name, "msg_type": "execute_request", "username": "", "session": name, "version": "5.3"}
    content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
    channel.send(json.dumps(message))
    replied = idle = False
    while not (replied and idle):
        received = json.loads(channel.recv())
        if received["parent_header"].get("msg_id") != name:
            continue
        kind, content = received["msg_type"], received["content"]
        if kind == "error" or (kind == "stream" and content["name"] == "stderr"):
            words = content.get("text") or "\n".join(content["traceback"])
            raise SystemExit(f"This cell went wrong:\n{code}\n\n{words}")
        replied = replied or kind == "execute_reply"
        idle = idle or (kind == "status" and content["execution_state"] == "idle")


@contextmanager
def serving(environment: Path, clone: Path, home: Path) -> Iterator[tuple[Server, psutil.Process, float]]:
    """JupyterLab in the clone, as Binder starts it: the server, its process, and the seconds until it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Server(port, secrets.token_hex(16))
    command = [python(environment), "-m", "jupyter", "lab", "--no-browser", "--allow-root", f"--port={port}"]
    command += ["--ServerApp.ip=127.0.0.1", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={clone}"]
    # The token is not on the command line, where every user of the machine could read it.
    settings = {"PATH": f"{python(environment).parent}{os.pathsep}{os.environ['PATH']}", "LANG": "C.UTF-8"}
    settings |= {"HOME": str(home), "JUPYTER_TOKEN": server.token, "PYTHONNOUSERSITE": "1"}
    home.mkdir()
    started = time.perf_counter()
    with (home / "server.log").open("w+") as log:
        process = subprocess.Popen(command, env=settings, cwd=clone, stdout=log, stderr=subprocess.STDOUT)
        try:
            while True:
                try:
                    server.ask("api/status")
                    break
                except (urllib.error.URLError, ConnectionError) as error:
                    if process.poll() is not None or time.perf_counter() - started > 120:
                        log.seek(0)
                        raise SystemExit(f"JupyterLab did not start: {error}\n{log.read()}") from error
                    time.sleep(0.05)
            yield server, psutil.Process(process.pid), time.perf_counter() - started
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def watched(process: psutil.Process) -> Iterator[dict[str, int]]:
    """The memory of a process and those it started, in bytes: the most seen, and the last."""
    seen = {"most": 0, "last": 0}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.2):
            total = 0
            for each in [process, *process.children(recursive=True)]:
                try:
                    total += each.memory_info().rss
                except psutil.Error:
                    continue
            seen.update(most=max(seen["most"], total), last=total)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
        time.sleep(0.5)
    finally:
        over.set()
        watcher.join()


def run_lesson(server: Server, process: psutil.Process, path: Path) -> dict[str, Any]:
    """Open a notebook through the server and run it from top to bottom in a kernel of its own."""
    opened = server.ask(f"api/contents/notebooks/{path.name}")["content"]
    cells = [cell for cell in opened["cells"] if cell["cell_type"] == "code"]
    with watched(process) as memory:
        started = time.perf_counter()
        with server.kernel(f"notebooks/{path.name}") as channel:
            first = 0.0
            for cell in cells:
                execute(channel, "".join(cell["source"]))
                if "bootstrap" in cell["metadata"].get("tags", []):
                    first = time.perf_counter() - started
            seconds = time.perf_counter() - started
            time.sleep(0.5)
            after = memory["last"]
    return {
        "lesson": path.stem,
        "cells": len(cells),
        "kernel_and_first_cell_seconds": round(first, 2),
        "seconds": round(seconds, 1),
        "memory_after_mb": round(after / 1e6),
        "memory_most_mb": round(memory["most"] / 1e6),
    }


def record(lessons: list[dict[str, Any]], start: float, installing: float, seconds: float) -> None:
    """Write what was measured where the course's documents read it."""
    counts = {
        "lessons in JupyterLab": len(lessons),
        "cells": sum(lesson["cells"] for lesson in lessons),
        "seconds until JupyterLab answers": round(start, 1),
        "MB of server and kernel at most": max(lesson["memory_most_mb"] for lesson in lessons),
    }
    numbers = " ".join(lesson["lesson"].partition("_")[0] for lesson in lessons)
    path = checks.record("binder", "Binder's environment", f"make binder ONLY='{numbers}'", counts, seconds)
    content = json.loads(path.read_text(encoding="utf-8"))
    content |= {"start_seconds": round(start, 1), "install_seconds": round(installing), "lessons": lessons}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="*", default=LESSONS, help="numbers of lessons, such as 4.1.1")
    parser.add_argument("--record", action="store_true", help="write resource/results/checks/binder.json")
    arguments = parser.parse_args()
    started = time.perf_counter()
    wanted = read_environment(ROOT)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        environment, clone = folder / "environment", folder / "attention-course"
        installing = install(environment, clone)
        print(f"environment.yml: Python {wanted.python}, {len(wanted.pip)} lines under pip: in {installing:.0f} s")
        paths = [path for number in arguments.only for path in sorted(clone.glob(f"notebooks/{number}_*.ipynb"))]
        if not paths:
            raise SystemExit(f"No committed notebook is numbered {', '.join(arguments.only)}.")
        with serving(environment, clone, folder / "home") as (server, process, start):
            print(f"JupyterLab answers after {start:.1f} s", flush=True)
            lessons = []
            for path in paths:
                lessons.append(run_lesson(server, process, path))
                print(
                    "{lesson}: {cells} cells in {seconds} s; first cell after {kernel_and_first_cell_seconds} s; "
                    "server and kernel {memory_after_mb} MB, at most {memory_most_mb} MB".format(**lessons[-1]),
                    flush=True,
                )
        left = subprocess.check_output(["git", "-C", clone, "status", "--porcelain"], text=True)
        if left:
            raise SystemExit(f"Installing and running changed the clone:\n{left}")
    if arguments.record:
        record(lessons, start, installing, time.perf_counter() - started)
    return 0


if __name__ == "__main__":
    sys.exit(main())
