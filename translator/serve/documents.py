"""Documents of requests: read, and kept in a folder of our own until they are fetched."""

import io
import secrets
import tempfile
import time
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from translator.config.errors import TranslatorError
from translator.documents.formats import ENDINGS, Readable, list_lines, read_document, write_lines

KEPT_SECONDS = 3600.0
KEPT_BYTES = 200_000_000
_UNPACKED = 20  # times the size that a request may have: the text in a Word document


@dataclass(frozen=True)
class Upload:
    """A document and the texts in it, each once."""

    document: Readable
    suffix: str
    texts: list[str]

    def write(self, translations: Mapping[str, str]) -> bytes:
        """The document with the translation of each text."""
        return write_lines(self.document, translations)


def read_upload(data: bytes, name: str, most: int) -> Upload:
    """Reads a document; of the client's name only the ending counts.

    Args:
        data: its bytes.
        name: as the client gave it.
        most: bytes that a document may have; packed ones may unpack to a multiple of that.

    Raises:
        TranslatorError: an unknown format, a broken file, or one that unpacks to too much.
    """
    suffix = f".{name.lower().rpartition('.')[2]}"
    chosen = ENDINGS.get(suffix)
    if chosen is None:
        raise TranslatorError(f"The document ends in none of {', '.join(ENDINGS)}.")
    if chosen == "docx":
        _check_unpacked(data, most)
    try:
        document = read_document(data, chosen, "The document")
    except RecursionError:
        raise TranslatorError("The document is nested too deeply.") from None
    return Upload(document, suffix, list_lines(document))


def _check_unpacked(data: bytes, most: int) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as package:
            size = sum(info.file_size for info in package.infolist())
    except (zipfile.BadZipFile, ValueError, OverflowError):
        raise TranslatorError("The document is no Word document.") from None
    if size > _UNPACKED * most:
        raise TranslatorError(f"The document unpacks to {size:,} bytes: too many.")


class Shelf:
    """Translated documents, each under a name that nobody can guess, for an hour.

    Args:
        seconds: how long one is kept.
        most: bytes of all; beyond that the oldest go.
    """

    def __init__(self, seconds: float = KEPT_SECONDS, most: int = KEPT_BYTES):
        self._folder = tempfile.TemporaryDirectory(prefix="translator-serve-")
        self._seconds = seconds
        self._most = most
        self._kept: OrderedDict[str, tuple[float, int]] = OrderedDict()  # (when, bytes), by name

    def put(self, data: bytes, suffix: str) -> str:
        """Keeps a document. Returns its name."""
        name = secrets.token_urlsafe(24) + suffix
        (Path(self._folder.name) / name).write_bytes(data)
        self._kept[name] = (time.monotonic(), len(data))
        self._clear()
        return name

    def find(self, name: str) -> Path | None:
        """The file of a name that `put` gave, if it is still there."""
        self._clear()
        return Path(self._folder.name) / name if name in self._kept else None

    def close(self) -> None:
        """Deletes all."""
        self._folder.cleanup()

    def _clear(self) -> None:
        total = sum(size for _, size in self._kept.values())
        while self._kept:
            name, (when, size) = next(iter(self._kept.items()))
            newest = len(self._kept) == 1
            too_old = time.monotonic() - when > self._seconds
            if not too_old and (total <= self._most or newest):
                return
            total -= size
            del self._kept[name]
            (Path(self._folder.name) / name).unlink(missing_ok=True)
