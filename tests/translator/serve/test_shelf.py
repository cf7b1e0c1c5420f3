"""Documents that wait to be fetched, and what is refused before it is read."""

import asyncio
import io
import multiprocessing
import tracemalloc
import zipfile
from typing import Any

import pytest
from hostile import BOMB
from starlette.testclient import TestClient

from translator.config.errors import TranslatorError
from translator.serve.app import create_app
from translator.serve.document_process import DocumentProcess
from translator.serve.documents import Shelf, read_upload
from translator.serve.translators import Translators


def test_a_document_is_kept_under_a_name_of_its_own() -> None:
    shelf = Shelf()
    names = [shelf.put(b"text", ".txt") for _ in range(2)]
    assert len(set(names)) == 2
    for name in names:
        path = shelf.find(name)
        assert path and path.read_bytes() == b"text" and path.name == name
    folder = path.parent
    assert shelf.find("other.txt") is None and shelf.find("../x") is None
    shelf.close()
    assert not folder.exists()


def test_old_ones_go() -> None:
    shelf = Shelf(seconds=0.0)
    assert shelf.find(shelf.put(b"text", ".txt")) is None
    shelf.close()


def test_the_oldest_go_when_there_are_too_many() -> None:
    shelf = Shelf(most=1000)
    names = [shelf.put(b"x" * 300, ".txt") for _ in range(5)]
    paths = [shelf.find(name) for name in names]
    assert [path is not None for path in paths] == [False, False, True, True, True]
    last = next(path for path in paths if path)
    assert len(list(last.parent.iterdir())) == 3
    large = shelf.put(b"x" * 5000, ".txt")
    assert shelf.find(large)  # the newest can be fetched
    shelf.close()


def test_a_bomb_is_not_unpacked() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("word/document.xml", bytes(1_000_000))
    assert len(packed.getvalue()) < 2000
    with pytest.raises(TranslatorError, match="unpacks to 1,000,000 bytes"):
        read_upload(packed.getvalue(), "a.docx", 10_000)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_bomb_that_lies_about_its_size_is_not_unpacked(method: int) -> None:
    size = 50_000_000
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as package:
        package.writestr("word/document.xml", bytes(size))
    data = packed.getvalue().replace(size.to_bytes(4, "little"), (100).to_bytes(4, "little"))
    tracemalloc.start()
    with pytest.raises(TranslatorError, match="no Word document"):
        read_upload(data, "a.docx", 10_000)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2_000_000


def test_a_document_is_written_apart() -> None:
    document = DocumentProcess(b"The dog\n\nThe man\n", "a.TXT", 100)
    assert document.read() == (".txt", ["The dog", "The man"])
    written = document.write({"The dog": "Der Hund", "The man": "Der Mann"})
    assert written == b"Der Hund\n\nDer Mann\n"
    document.close()


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.md", b"[" * 4_000_000, "too much time"),
        ("a.exe", b"x", "ends in none of"),
        ("a.xliff", BOMB, "The document"),
    ],
)
def test_a_hostile_document_ends(name: str, data: bytes, said: str) -> None:
    document = DocumentProcess(data, name, 5_000_000, seconds=1)
    try:
        with pytest.raises(TranslatorError, match=said) as error:
            document.read()
        assert "\n" not in str(error.value)
    finally:
        document.close()


def test_a_fault_of_ours_is_not_said_to_be_the_documents() -> None:
    document = DocumentProcess(None, "a.txt", 100)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="(?s)Traceback.*read_upload"):
        document.read()
    document.close()


def test_reading_a_document_has_a_time_limit_too(serve: Any) -> None:
    endless = {"file": ("a.md", b"[" * 4_000_000)}
    with serve(file_timeout=0.5) as client:
        answer = client.post(
            "/translate_file", data={"source": "en", "target": "de"}, files=endless
        )
        assert answer.status_code == 504 and "error" in answer.json()
    assert not multiprocessing.active_children()  # its work has ended


def test_reading_ends_when_the_client_hangs_up(translators: Translators) -> None:
    kind = b"multipart/form-data; boundary=x"
    part = b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
    fields = ((b"source", b"", b"en"), (b"target", b"", b"de"))
    rows = [*fields, (b"file", b'; filename="a.md"', b"[" * 4_000_000)]
    body = b"".join(part % row for row in rows) + b"--x--\r\n"
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": body}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        while not multiprocessing.active_children():
            await asyncio.sleep(0.05)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        assert message.get("status", 499) == 499

    with TestClient(create_app(translators)) as client:
        scope: dict[str, Any] = {
            "type": "http",
            "method": "POST",
            "path": "/translate_file",
            "query_string": b"",
        }
        scope["headers"] = [(b"content-type", kind)]
        assert client.portal
        client.portal.call(client.app, scope, receive, send)
    assert not multiprocessing.active_children()
