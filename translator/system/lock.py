"""One process at a time: a lock file that names its holder."""

import contextlib
import errno
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from translator.config.errors import TranslatorError

_held: set[int] = set()  # file descriptors
_HELD_ERRORS = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
_FAR = (
    1 << 30
)  # Windows lets nobody read a locked byte, so the one that is locked is beyond the text


@contextmanager
def exclusive(path: Path, what: str) -> Iterator[None]:
    """Holds the lock file `path` while the block runs.

    The operating system frees the lock however the process ends, so a file that a kill left behind
    locks nothing. Processes that are forked meanwhile do not hold it.

    Args:
        path: the lock file, which is removed at the end.
        what: names what is locked, for the error.

    Raises:
        TranslatorError: another process, or another thread of this one, holds it.
        OSError: the file cannot be created.
    """
    handle = _acquire(path, what)
    _held.add(handle)
    try:
        yield
    finally:
        if os.name != "nt":
            path.unlink(missing_ok=True)  # before it is free: nobody else's can be removed
        _held.discard(handle)
        os.close(handle)
        if os.name == "nt":
            with contextlib.suppress(OSError):  # the next one has it already
                path.unlink(missing_ok=True)


def _acquire(path: Path, what: str) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(handle)
            current = os.stat(path)
        except FileNotFoundError:  # the last holder removed it after we opened it
            os.close(handle)
            continue
        except OSError as error:
            holder = os.pread(handle, 200, 0) if hasattr(os, "pread") else os.read(handle, 200)
            os.close(handle)
            if error.errno not in _HELD_ERRORS:
                raise
            name = holder.decode(errors="replace").strip() or "another process"
            raise TranslatorError(
                f"{what} is in use by {name}: wait until it is done, or stop it."
            ) from None
        if os.path.samestat(current, os.fstat(handle)):
            break
        os.close(handle)
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    os.ftruncate(handle, 0)
    os.write(handle, f"process {os.getpid()} on {socket.gethostname()} (since {since})\n".encode())
    return handle


def _lock(handle: int) -> None:
    """Locks an open file without waiting, where the file system can.

    Raises:
        OSError: another process holds it.
    """
    if os.name == "nt":
        import msvcrt

        os.lseek(handle, _FAR, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        os.lseek(handle, 0, os.SEEK_SET)
        return
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD_ERRORS:
            raise
        # Some network file systems have no locks.


def _close_in_child() -> None:
    for handle in _held:
        os.close(handle)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
