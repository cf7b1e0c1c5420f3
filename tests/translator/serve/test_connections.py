"""Connections: none is kept for nothing, and none waits for nothing."""

import asyncio
import signal
import socket
import time

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from translator.serve.run import impatient_protocol, run
from translator.serve.settings import ServeSettings

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] != "/early":
        await asyncio.sleep(1.0)  # longer than a client may be silent
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})


async def talk(port: int, *parts: bytes) -> tuple[bytes, float]:
    """What comes back until the server closes, and after how many seconds it does."""
    start = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await asyncio.sleep(0.1)
    found = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    return found, time.monotonic() - start


def test_silent_clients_are_disconnected_and_waiting_ones_are_not() -> None:
    early = b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"  # and one byte

    async def talk_to_it() -> list[tuple[bytes, float]]:
        protocol = impatient_protocol(0.3)
        config = uvicorn.Config(
            answer, port=0, http=protocol, ws="none", lifespan="off", log_config=None
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server._serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        talks = (
            *(talk(port), talk(port, REQUEST[:-2]), talk(port, REQUEST)),
            talk(port, early, b"x"),
        )
        found = await asyncio.gather(*talks)
        server.should_exit = True
        await serving
        return found

    silent, slow, patient, unfinished = asyncio.run(talk_to_it())
    assert silent[0] == slow[0] == b""
    assert b"done" in patient[0] and patient[1] >= 1.0
    assert b"done" in unfinished[0]


@pytest.mark.parametrize("behind_proxy", [False, True])
def test_forwarded_addresses_are_trusted_only_behind_a_proxy(
    monkeypatch: pytest.MonkeyPatch, behind_proxy: bool
) -> None:
    made: list[uvicorn.Config] = []
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: made.append(self.config))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    run(answer, "127.0.0.1", 0, ServeSettings(behind_proxy=behind_proxy, timeout=0.5))
    assert made[0].proxy_headers is behind_proxy
    assert (made[0].timeout_graceful_shutdown or 0) >= 0.5


def test_no_answer_waits_for_an_acknowledgement(monkeypatch: pytest.MonkeyPatch) -> None:
    """Head and body of an answer are two writes, of which the second one must not be held back."""
    delayed: list[int] = []

    def look(server: uvicorn.Server, sockets: list[socket.socket]) -> None:
        port = sockets[0].getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = sockets[0].accept()
            with accepted:
                delayed.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr(uvicorn.Server, "run", look)
    before = signal.getsignal(signal.SIGTERM)
    try:
        run(answer, "127.0.0.1", 0, ServeSettings())
    finally:
        signal.signal(signal.SIGTERM, before)
    assert delayed and delayed[0] != 0
