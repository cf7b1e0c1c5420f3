"""The server as a process: a socket, signals, and connections that say nothing."""

import logging
import math
import signal
import socket
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from translator.serve.settings import ServeSettings

log = logging.getLogger("translator.serve")


def run(app: ASGIApp, host: str, port: int, settings: ServeSettings) -> None:
    """Serves until SIGTERM or Ctrl-C, and finishes what it is at then.

    Raises:
        OSError: the address cannot be had.
        KeyboardInterrupt: it was Ctrl-C.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=1024) as server:
        # Connections inherit it; asyncio sets it only on sockets that it has made. Without it the
        # body of each answer waits 40 ms for the client to acknowledge the head.
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        config = uvicorn.Config(
            app,
            http=impatient_protocol(settings.read_timeout),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=settings.behind_proxy,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=math.ceil(settings.timeout),
        )
        shown = f"[{host}]" if family == socket.AF_INET6 else host
        log.info("Serving on http://%s:%d/ (Ctrl-C stops).", shown, server.getsockname()[1])
        # uvicorn raises the signal that ended it again, which is no failure.
        signal.signal(signal.SIGTERM, lambda *_: None)
        for name in ("uvicorn.error", "python_multipart"):  # they could log a text
            logging.getLogger(name).setLevel(logging.CRITICAL)
        uvicorn.Server(config).run(sockets=[server])


def impatient_protocol(seconds: float) -> type[H11Protocol]:
    """HTTP/1.1 that closes connections on which nothing is answered or arrives for so long."""

    class Impatient(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._last: object = None
            self.loop.call_later(seconds, self._check)

        def _check(self) -> None:
            if self.transport.is_closing():
                return
            answering = self.cycle is not None and not self.cycle.response_complete
            if not answering and self.cycle is self._last:
                self.transport.close()
                return
            self._last = self.cycle
            self.loop.call_later(seconds, self._check)

    return Impatient
