"""A document that a process of its own reads and writes, so that endless work can be ended.

Some files of a few megabytes keep a parser busy for an hour, and a thread cannot be stopped.
"""

import asyncio
import contextlib
import multiprocessing
import signal
import traceback
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Executor, Future
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from translator.config.errors import TranslatorError
from translator.serve.documents import read_upload

CPU_SECONDS = 60  # for reading and writing
MEMORY = 2 * 2**30  # bytes of address space

# Its server has loaded what reads documents, and no threads: a process is there in milliseconds.
_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
_CONTEXT: Any = multiprocessing.get_context(_METHOD)
_CONTEXT.set_forkserver_preload([__name__])


class DocumentProcess:
    """Reads a document, and writes it with the translations. All methods but `close` wait.

    An unexpected error in there is raised here as a RuntimeError with its traceback.

    Args:
        data, name, most: as for `read_upload`.
        seconds: of CPU time that it may take.
    """

    def __init__(self, data: bytes, name: str, most: int, seconds: int = CPU_SECONDS):
        self._pipe, theirs = _CONTEXT.Pipe()
        arguments = (theirs, data, name, most, seconds)
        self._process = _CONTEXT.Process(target=_work, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    def read(self) -> tuple[str, list[str]]:
        """The ending of its name, and the texts in it, each once.

        Raises:
            TranslatorError: as for `read_upload`, or it takes too much time or memory.
        """
        suffix, texts = self._answer()
        return suffix, texts

    def write(self, translations: Mapping[str, str]) -> bytes:
        """The document with the translation of each text.

        Raises:
            TranslatorError: it takes too much time or memory.
        """
        self._pipe.send(translations)
        return bytes(self._answer())

    def close(self) -> None:
        """Ends it, whatever it does; does not wait for it."""
        self._process.kill()

    def _answer(self) -> Any:
        try:
            found = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            raise TranslatorError(
                "The document takes too much time or memory: send it in parts."
            ) from None
        if isinstance(found, Exception):
            raise found
        return found


@contextlib.asynccontextmanager
async def read_apart(
    pool: Executor, *given: Any
) -> AsyncIterator[tuple[str, list[str], Callable[..., "asyncio.Future[bytes]"]]]:
    """`DocumentProcess` for an event loop: the ending, the texts, and what writes the document.

    Args:
        pool: its threads wait.
        given: as for `DocumentProcess`, which ends with this context.
    """

    def wait(work: Callable[..., Any], *arguments: Any) -> "asyncio.Future[Any]":
        return asyncio.get_running_loop().run_in_executor(pool, work, *arguments)

    starting = pool.submit(DocumentProcess, *given)
    try:
        document = await asyncio.wrap_future(starting)
        suffix, texts = await wait(document.read)
        yield suffix, texts, partial(wait, document.write)
    finally:  # it may still be starting
        starting.add_done_callback(_close)


def _close(started: "Future[DocumentProcess]") -> None:
    if not started.cancelled() and not started.exception():
        started.result().close()


def _work(pipe: Connection, data: bytes, name: str, most: int, seconds: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which finishes
    with contextlib.suppress(ImportError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with contextlib.suppress(EOFError, OSError):  # whoever asked is gone
        try:
            upload = read_upload(data, name, most)
            pipe.send((upload.suffix, upload.texts))
            pipe.send(upload.write(pipe.recv()))
        except TranslatorError as error:
            pipe.send(TranslatorError(str(error)))
        except MemoryError:
            pass  # said by ending
        except Exception:  # a fault of ours
            pipe.send(RuntimeError(traceback.format_exc()))
