"""The server as a process: clients of all kinds, and how it ends."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from browser import open_page
from libretranslatepy import LibreTranslateAPI
from typer.testing import CliRunner

from translator.cli.main import app
from translator.translation.translator import Translator

pytestmark = pytest.mark.slow
TEXT = "The dog runs here."
LONG = "\n".join([TEXT] * 100)


@dataclass
class Running:
    """A server process and its address."""

    process: subprocess.Popen[str]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, text: str) -> str:
        return str(LibreTranslateAPI(self.url).translate(text, "en", "de", timeout=60))

    def waiting(self) -> int:
        with urllib.request.urlopen(f"{self.url}/health", timeout=10) as answer:
            return int(json.load(answer)["waiting"])

    def raw(self, data: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        connection.sendall(data)
        return connection


def post(text: str) -> bytes:
    body = json.dumps({"q": text, "source": "en", "target": "de"}).encode()
    head = f"POST /translate HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@pytest.fixture(scope="module")
def running(model_folder: Path, subprocess_environment: dict[str, str]) -> Iterator[Running]:
    command = [sys.executable, "-m", "translator", "serve", "--model", str(model_folder)]
    process = subprocess.Popen(
        [*command, "--port", "0", "--threads", "1"],
        stderr=subprocess.PIPE,
        text=True,
        env=subprocess_environment,
    )
    assert process.stderr
    line = process.stderr.readline()
    address = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
    assert address, line
    yield Running(process, int(address[1]))
    process.kill()
    process.wait()


def test_a_client_library_of_libretranslate(running: Running, model_folder: Path) -> None:
    client = LibreTranslateAPI(running.url)
    assert client.translate(TEXT, "en", "de") == Translator.load(model_folder).translate(TEXT)
    (detected,) = client.detect("The dog is not here today.")
    assert detected["language"] == "en"
    assert [language["code"] for language in client.languages()] == ["en"]
    with pytest.raises(urllib.error.HTTPError, match="400"):
        client.translate(TEXT, "en", "fr")


def test_slow_and_silent_clients_delay_nobody(running: Running) -> None:
    silent = [running.raw(b"") for _ in range(50)]
    slow = [running.raw(post(TEXT)[:-5]) for _ in range(50)]
    heads = [running.raw(b"POST /translate HTTP/1.1\r\nHo") for _ in range(50)]
    start = time.monotonic()
    assert running.ask(TEXT)
    assert time.monotonic() - start < 20
    for connection in silent + slow + heads:
        connection.close()
    assert running.ask(TEXT)


def test_the_work_for_a_client_that_hangs_up_is_freed(running: Running) -> None:
    running.ask(LONG)
    start = time.monotonic()
    running.ask(LONG)
    each = time.monotonic() - start
    gone = [running.raw(post(LONG)) for _ in range(20)]
    deadline = time.monotonic() + 5 * each
    most = 0
    while most < 15 and time.monotonic() < deadline:
        most = max(most, running.waiting())
    assert most >= 15
    for connection in gone:
        connection.close()
    start = time.monotonic()
    while running.waiting() > 1 and time.monotonic() < start + 60:
        time.sleep(0.01)
    assert running.waiting() <= 1  # the batch under way
    assert running.ask(TEXT)
    assert time.monotonic() - start < 7 * each + 1  # and not 15


def test_its_page_in_a_browser(running: Running, tmp_path: Path) -> None:
    expected = running.ask(TEXT).split()
    page, complaints = open_page(f"{running.url}/#text=The%20dog%20runs%20here.", tmp_path)
    assert not complaints
    assert re.findall(r'class="word"[^>]*>([^<]*)<', page) == expected
    (docs, _) = open_page(f"{running.url}/docs", tmp_path)
    assert "POST /translate_file" in docs


def test_a_taken_port_is_one_line(running: Running, model_folder: Path) -> None:
    command = ["serve", "--model", str(model_folder), "--port", str(running.port)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ") and "in use" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_missing_library_is_one_line(
    subprocess_environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "uvicorn.py").write_text("raise ImportError(name='uvicorn')")
    path = os.pathsep.join([str(tmp_path), subprocess_environment["PYTHONPATH"]])
    done = subprocess.run(
        [sys.executable, "-m", "translator", "serve"],
        env={**subprocess_environment, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == "Error: The server needs uvicorn: pip install 'small-nmt[serve]'\n"


def test_sigterm_finishes_pending_requests(running: Running) -> None:
    running.ask(TEXT)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(running.ask, LONG)
        deadline = time.monotonic() + 30
        while not running.waiting() and time.monotonic() < deadline:
            time.sleep(0.01)
        running.process.send_signal(signal.SIGTERM)
        assert len(answer.result(60).split("\n")) == 100
    assert running.process.wait(30) == 0
    assert running.process.stderr and not running.process.stderr.read()
