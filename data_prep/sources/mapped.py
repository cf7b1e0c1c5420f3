"""Prepared pairs on disk, mapped into memory: reading any number of them takes no memory.

Rows of different lengths are stored in two files: `NAME.rows` has all rows one after the other, and
`NAME.ends` the end of each one in 8 bytes. Only used pages are read, the system may drop them, and
all processes share them.
"""

import json
import mmap
import os
from array import array
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from translator.config.errors import TranslatorError
from translator.system.disk import sync

if TYPE_CHECKING:
    from torch import Tensor


Row = TypeVar("Row")
Item = Literal["B", "H"]  # bytes, or ids
MAX_VOCAB = 1 << 16  # ids are stored in two bytes
MANIFEST = "manifest.json"  # written last: if it exists, everything does


def _map(path: Path) -> memoryview:
    """Maps a file into memory; its bytes are read on use."""
    try:
        with open(path, "rb") as file:
            if not os.fstat(file.fileno()).st_size:
                return memoryview(b"")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise TranslatorError(
            f"{path} cannot be read ({error.strerror}): remove its folder, then it is made again."
        ) from None


class Rows(Sequence[Row], Generic[Row]):
    """The rows of one side, read only.

    Args:
        path: the path without its ending.
        item: the type of the items of a row.
        decode: converts a row to what is returned.
    """

    def __init__(self, path: Path, item: Item, decode: Callable[[memoryview], Row]):
        self._made_from = path, item, decode
        self.decode = decode
        values, ends = (_map(path.with_name(path.name + ending)) for ending in (".rows", ".ends"))
        whole = len(values) % array(item).itemsize == len(ends) % 8 == 0
        if whole:
            self.values, self.ends = values.cast(item), ends.cast("q")
            whole = len(self.values) == (self.ends[-1] if len(self.ends) else 0)
        if not whole:
            raise TranslatorError(f"{path} is cut short: remove its folder, then it is made again.")

    def __reduce__(self):  # type: ignore[no-untyped-def]
        return Rows, self._made_from  # another process maps the files itself

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, i):  # type: ignore[no-untyped-def]
        if isinstance(i, slice):
            return [self[k] for k in range(*i.indices(len(self)))]
        i = range(len(self))[i]
        return self.decode(self.values[self.ends[i - 1] if i else 0 : self.ends[i]])

    @property
    def lengths(self) -> "Tensor":
        """`(N,)`, the number of items of each row."""
        import torch  # imported here to keep `prepare --list` fast

        if not len(self):
            return torch.zeros(0, dtype=torch.int32)
        ends = torch.frombuffer(bytearray(self.ends), dtype=torch.int64)
        return torch.diff(ends, prepend=ends.new_zeros(1)).int()


def text_rows(path: Path) -> Rows[str]:
    """Lines of text."""
    return Rows(path, "B", _text)


def id_rows(path: Path) -> Rows[list[int]]:
    """Lines as ids."""
    return Rows(path, "H", memoryview.tolist)


def _text(row: memoryview) -> str:
    return str(row, "utf-8")


class Pairs(Sequence[tuple[Row, Row]], Generic[Row]):
    """Two sides, row n of one belonging to row n of the other."""

    def __init__(self, src: Rows[Row], tgt: Rows[Row]):
        self.src, self.tgt = src, tgt
        if len(src) != len(tgt):
            raise TranslatorError("A prepared corpus has sides of different lengths: remove it.")

    def __len__(self) -> int:
        return len(self.src)

    def __getitem__(self, i):  # type: ignore[no-untyped-def]
        if isinstance(i, slice):
            return list(zip(self.src[i], self.tgt[i], strict=True))
        return self.src[i], self.tgt[i]

    @property
    def lengths(self) -> "Tensor":
        """`(2, N)`, the number of items of each row of both sides."""
        import torch

        return torch.stack([self.src.lengths, self.tgt.lengths])


def text_pairs(folder: Path, split: str, src: str, tgt: str) -> Pairs[str]:
    """The text of a split of a prepared corpus."""
    return Pairs(*(text_rows(folder / f"{split}.{language}") for language in (src, tgt)))


def is_prepared(folder: Path) -> bool:
    """Whether a folder is a complete prepared corpus, or a complete part of one."""
    return (folder / MANIFEST).is_file()


def read_manifest(folder: Path, *keys: str) -> dict[str, Any]:
    """Reads a manifest, which must have these keys."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
        if manifest.keys() >= set(keys):
            return manifest
    except (OSError, ValueError, AttributeError):
        pass
    raise TranslatorError(
        f"{folder / MANIFEST} is damaged: remove its folder, then it is made again."
    )


class Writer:
    """Writes rows, any number at a time.

    Args:
        path: the path without its ending.
        item: as in `Rows`.
    """

    def __init__(self, path: Path, item: Item = "B"):
        self.rows = open(path.with_name(path.name + ".rows"), "wb")  # noqa: SIM115
        self.ends = open(path.with_name(path.name + ".ends"), "wb")  # noqa: SIM115
        self.item_size = array(item).itemsize
        self.end = 0

    def extend(self, rows: Iterable[bytes]) -> None:
        """Appends rows, given as their bytes."""
        ends = array("q")
        for row in rows:
            self.rows.write(row)
            self.end += len(row) // self.item_size
            ends.append(self.end)
        self.ends.write(ends.tobytes())

    def close(self) -> None:
        """Closes the files, after everything is safe on disk."""
        for file in (self.rows, self.ends):
            sync(file)
            file.close()
