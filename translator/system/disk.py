"""Files and folders that are written whole or not at all."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from translator.config.errors import TranslatorError


@contextmanager
def open_whole(path: Path) -> Iterator[BinaryIO]:
    """Opens a file for writing that appears, or replaces the one that is there, once it is whole.

    It is written to a hidden file beside it, flushed to the disk and renamed. A symbolic link is
    followed, and permissions are kept. After an error or a kill the old content is still there.

    Raises:
        OSError: the disk cannot be written.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():  # a device, a pipe
        with open(path, "wb") as file:
            yield file
        return
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            sync(file)
        if path.exists():
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_file(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all, see `open_whole`."""
    with open_whole(path) as file:
        file.write(data)


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented UTF-8 JSON, whole or not at all."""
    write_file(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def sync(file: BinaryIO) -> None:
    """Waits until all that was written to an open file is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def read_file(path: Path, digest: str | None = None) -> bytes:
    """What a file of a model holds.

    Raises:
        TranslatorError: it cannot be read, or has not the SHA-256 `digest`.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TranslatorError(f"{path} cannot be read: {error.strerror}.") from None
    if digest is not None and sha256(data) != digest:
        raise damaged(path)
    return data


def damaged(path: Path) -> TranslatorError:
    """What is wrong with a file that has not its SHA-256."""
    return TranslatorError(f"{path} is damaged (its SHA-256 is wrong): copy the model again.")


def discard(folder: Path) -> None:
    """Removes a checkpoint: first out of sight, so that a kill leaves no half of it as a whole."""
    if folder.exists():
        hidden = folder.with_name(f".{folder.name}.old.tmp")
        shutil.rmtree(hidden, ignore_errors=True)
        os.replace(folder, hidden)
        shutil.rmtree(hidden, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # some systems cannot sync a folder
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def drop_from_cache(folder: Path) -> None:
    """Lets the next read of the files come from the disk instead of memory, where that can be."""
    if hasattr(os, "posix_fadvise"):
        for path in folder.iterdir():
            with open(path, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def file_sha256(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise TranslatorError(f"{path} cannot be read: {error.strerror}.") from None


@contextmanager
def writing(folder: Path, then: str = "continues where it stopped") -> Iterator[None]:
    """Turns a failing disk into a TranslatorError that names the file, else `folder`.

    `then` is what the same command does once the disk is well.
    """
    try:
        yield
    except OSError as error:
        raise TranslatorError(
            f"{error.filename or folder} cannot be written: {error.strerror}. Check the disk; the "
            f"same command {then}."
        ) from None


def cache_root() -> Path:
    """Where what can be made again is kept: $TRANSLATOR_CACHE, or a folder of the user's."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("TRANSLATOR_CACHE") or caches / "translator")
