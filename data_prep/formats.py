"""Parallel text in files, pair by pair: two plain files, TSV, JSON lines, Parquet, TMX.

All but Parquet may be packed: `.gz`, `.xz`, `.zst`. Memory does not grow with a file. What is wrong
with one is a single line that names the file, and the line in it where there is one.
"""

import gzip
import io
import itertools
import json
import logging
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any
from xml.parsers import expat

from translator.config import TranslatorError

TextPair = tuple[str, str]
Source = Callable[[], Iterator[TextPair]]  # opens a split: each call reads it from its start
PACKINGS = (".gz", ".xz", ".zst")
# Bytes. No sentence is as long: such a "line" is a file without line ends, or no text at all.
MAX_LINE = 10_000_000

log = logging.getLogger("translator")


# --- lines ------------------------------------------------------------------------------------


@contextmanager
def _opened(path: Path) -> Iterator[io.BufferedReader]:
    """The bytes of a file, unpacked. What goes wrong while it is open is a TranslatorError."""
    packing = path.suffix if path.suffix in PACKINGS else ""
    try:
        with open(path, "rb") as raw, _unpacked(raw, packing) as file:
            if packing and not raw.peek(1):
                raise EOFError  # even nothing has a header when it is compressed
            yield file if file is raw else io.BufferedReader(file)
    except FileNotFoundError:
        raise TranslatorError(f"There is no file {path}.") from None
    except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise TranslatorError(f"{path} cannot be read: {error.strerror}.") from None
        # gzip and pyarrow tell of broken content by an OSError without a number.
        raise TranslatorError(
            f"{path} is cut short or no {packing[1:]} file: get it again."
        ) from None


def _unpacked(raw: io.BufferedReader, packing: str) -> Any:
    if packing == ".gz":
        return gzip.open(raw)
    if packing == ".xz":
        return lzma.open(raw)
    if packing == ".zst":
        import pyarrow  # comes with datasets; it sees a truncated file, and a wrong checksum

        return pyarrow.input_stream(raw, compression="zstd")
    return raw


def read_lines(path: Path) -> list[str]:
    """All lines of a text file, see `iterate_lines`."""
    return list(iterate_lines(path))


def iterate_lines(path: Path, limit: int = -1) -> Iterator[str]:
    """The lines of a UTF-8 text file, plain or packed, one by one. Only "\\n" ends a line.

    Raises:
        TranslatorError: not there, not UTF-8 (names the line), damaged, or a line has `limit`
            bytes or more.
    """
    name = str(path)
    with _opened(path) as file:
        for number, raw in enumerate(iter(partial(file.readline, limit), b""), start=1):
            if len(raw) == limit:
                raise TranslatorError(f"{name}, line {number}: {_TOO_LONG}.")
            yield decode_line(raw, name, number)


_TOO_LONG = f"longer than {MAX_LINE // 10**6} MB, which is no sentence"


def decode_line(raw: bytes, name: str, number: int) -> str:
    """A line of bytes -> its text without the "\\n"; `name` and `number` are for the error."""
    try:
        return raw.decode("utf-8").removesuffix("\n")
    except UnicodeDecodeError:
        raise TranslatorError(
            f"{name}, line {number}: not UTF-8. Convert the file first."
        ) from None


@cache
def _say_once(text: str) -> None:
    log.warning(text)


def text_lines(path: Path) -> Iterator[str]:
    """Lines to learn from: without the marks that Windows leaves, which are no text.

    Raises:
        TranslatorError: as `iterate_lines`, or there is a NUL byte.
    """
    for number, line in enumerate(iterate_lines(path, MAX_LINE), start=1):
        if number == 1 and line.startswith("\ufeff"):
            _say_once(f"{path} begins with a byte order mark, which is left out.")
            line = line[1:]
        if line.endswith("\r"):
            _say_once(f"{path} has Windows line endings, which are left out.")
            line = line[:-1]
        if "\0" in line:
            raise TranslatorError(f"{path}, line {number}: {_NUL}.")
        yield line


_NUL = "a NUL byte, so this is no text (or UTF-16: convert it to UTF-8)"


# --- pairs ------------------------------------------------------------------------------------


def iterate_pairs(src_file: Path, tgt_file: Path) -> Iterator[TextPair]:
    """Two files of equally many lines, pair by pair.

    Raises:
        TranslatorError: as `text_lines`, or the line counts differ.
    """
    sides = text_lines(src_file), text_lines(tgt_file)
    for count, (src, tgt) in enumerate(itertools.zip_longest(*sides)):
        if src is None or tgt is None:
            longer = count + 1 + sum(1 for _ in sides[src is None])
            n_src, n_tgt = (count, longer) if src is None else (longer, count)
            raise TranslatorError(
                f"{src_file} has {n_src} lines but {tgt_file} has {n_tgt}: "
                "line n of one must translate line n of the other."
            )
        yield src, tgt


def read_pairs(src_file: Path, tgt_file: Path) -> list[TextPair]:
    """All pairs of two files, see `iterate_pairs`."""
    return list(iterate_pairs(src_file, tgt_file))


def iterate_tsv(path: Path, src: str, tgt: str) -> Iterator[TextPair]:
    """Source TAB target. A first line with the languages in it names the columns instead.

    Quotes have no meaning.

    Raises:
        TranslatorError: as `text_lines`, or a line has other columns.
    """
    n_columns, src_column, tgt_column = 2, 0, 1
    for number, line in enumerate(text_lines(path), start=1):
        fields = line.split("\t")
        if number == 1 and src in fields and tgt in fields:
            n_columns, src_column, tgt_column = len(fields), fields.index(src), fields.index(tgt)
        elif len(fields) == n_columns:
            yield fields[src_column], fields[tgt_column]
        else:
            raise TranslatorError(
                f"{path}, line {number}: columns between tabs: {len(fields)} instead of "
                f'{n_columns}. If there are more than two, the first line must name them: "{src}", '
                f'"{tgt}", ...'
            )


def iterate_jsonl(path: Path, src: str, tgt: str) -> Iterator[TextPair]:
    """One JSON object a line: `{"en": ..., "de": ...}` or `{"translation": {"en": ...}}`.

    Raises:
        TranslatorError: as `text_lines`, broken JSON, or a language is missing.
    """
    for number, line in enumerate(text_lines(path), start=1):
        place = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise TranslatorError(f"{place}: broken JSON ({error}).") from None
        except RecursionError:
            raise TranslatorError(f"{place}: broken JSON (too deep).") from None
        if isinstance(row, dict) and not (src in row and tgt in row):
            row = row.get("translation", row)
        if not (isinstance(row, dict) and src in row and tgt in row):
            found = f"has {', '.join(row) or 'nothing'}" if isinstance(row, dict) else "has no keys"
            raise TranslatorError(f"{place}: {found}; {_needed(src, tgt)}.")
        yield _cell(row[src], place), _cell(row[tgt], place)


def _needed(src: str, tgt: str) -> str:
    return f'needed are "{src}" and "{tgt}", or "translation" with those keys'


def _cell(value: Any, place: str) -> str:
    """A field of a table -> one line of text; nothing there is an empty line."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TranslatorError(f"{place}: {value!r:.40} is no text.")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:  # half a surrogate pair, from a JSON escape
        raise TranslatorError(f"{place}: not Unicode text.") from None
    if size >= MAX_LINE:
        raise TranslatorError(f"{place}: {_TOO_LONG}.")
    if "\0" in value:
        raise TranslatorError(f"{place}: {_NUL}.")
    return value.removesuffix("\r").replace("\n", " ")


def iterate_arrow(batches: Iterable[Any], src: str, tgt: str, name: str) -> Iterator[TextPair]:
    """The pairs of Arrow batches or tables with columns as `iterate_jsonl` has keys.

    Raises:
        TranslatorError: a column is missing, or holds no text. `name` says of what.
    """
    rows = itertools.count(1)
    for batch in batches:
        try:
            sides = [side.to_pylist() for side in _arrow_sides(batch, src, tgt, name)]
        except UnicodeDecodeError:
            raise TranslatorError(f"{name}: not UTF-8.") from None
        for row, pair in zip(rows, zip(*sides, strict=True), strict=False):
            place = f"{name}, row {row}"
            yield _cell(pair[0], place), _cell(pair[1], place)


def _arrow_sides(batch: Any, src: str, tgt: str, name: str) -> list[Any]:
    import pyarrow
    from pyarrow import compute

    columns = batch.schema.names
    if src in columns and tgt in columns:
        return [batch.column(src), batch.column(tgt)]
    if "translation" in columns:
        pairs = batch.column("translation")
        columns = [f.name for f in pairs.type] if pyarrow.types.is_struct(pairs.type) else []
        if src in columns and tgt in columns:
            return [compute.struct_field(pairs, [side]) for side in (src, tgt)]
    raise TranslatorError(f"{name} has the columns {', '.join(columns)}; {_needed(src, tgt)}.")


def iterate_parquet(path: Path, src: str, tgt: str) -> Iterator[TextPair]:
    """A Parquet file with columns as `iterate_jsonl` has keys.

    Raises:
        TranslatorError: no whole Parquet file, or as `iterate_arrow`.
    """
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        # Mapped and not read ahead: pyarrow would hold all of a file's columns, packed.
        with ParquetFile(path, memory_map=True, pre_buffer=False) as file:
            there = file.schema_arrow.names  # the others need not be unpacked
            wanted = [src, tgt] if src in there and tgt in there else ["translation"]
            batches = file.iter_batches(1000, columns=wanted if wanted[-1] in there else None)
            yield from iterate_arrow(batches, src, tgt, str(path))
    except (pyarrow.ArrowException, OSError):
        raise TranslatorError(f"{path} is cut short or no Parquet file: get it again.") from None


class _Units:
    """What a parser tells of a TMX file, put together: `done` holds the units that are whole."""

    CODE = frozenset(("bpt", "ept", "it", "ph", "ut"))  # mark-up of another program, no text

    def __init__(self, name: str, src: str, tgt: str):
        self.name, self.src, self.tgt = name, src, tgt
        self.done: list[TextPair] = []
        self.languages: dict[str, str] = {}  # of the unit that is being read
        self.language = ""
        self.text: list[str] = []
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.EntityDeclHandler = self.refuse

    def place(self) -> str:
        return f"{self.name}, line {self.parser.CurrentLineNumber}"

    def refuse(self, *_: Any) -> None:
        """Entities can grow to gigabytes, and name files; no TMX needs its own."""
        raise TranslatorError(f"{self.place()}: entities of its own are not read.")

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag == "tu":
            self.languages = {}
        elif tag == "tuv":
            full = attributes.get("xml:lang") or attributes.get("lang", "")
            self.language = full.replace("_", "-").partition("-")[0].lower()
        elif tag == "seg":
            self.text = []
            self.parser.CharacterDataHandler = self.text.append
        elif tag in self.CODE:
            self.parser.CharacterDataHandler = None

    def end(self, tag: str) -> None:
        if tag == "seg":
            self.parser.CharacterDataHandler = None
            # Of two variants of a language (en-GB, en-US) the first.
            self.languages.setdefault(self.language, "".join(self.text))
        elif tag in self.CODE:
            self.parser.CharacterDataHandler = self.text.append
        elif tag == "tu":
            for side in (self.src, self.tgt):
                if side not in self.languages:
                    found = ", ".join(self.languages) or "nothing"
                    raise TranslatorError(f'{self.place()}: a unit without "{side}"; has {found}.')
            src, tgt = (_cell(self.languages[side], self.place()) for side in (self.src, self.tgt))
            self.done.append((src, tgt))


def iterate_tmx(path: Path, src: str, tgt: str) -> Iterator[TextPair]:
    """A translation memory (TMX 1.4): units with a segment in each language; "en-GB" is "en".

    Raises:
        TranslatorError: broken or cut XML, entities of its own, or a unit lacks a language.
    """
    units = _Units(str(path), src, tgt)
    unfinished = 0  # bytes since the last whole unit
    with _opened(path) as file:
        for chunk in itertools.chain(iter(partial(file.read, 1 << 16), b""), [b""]):
            try:
                units.parser.Parse(chunk, not chunk)
            except expat.ExpatError as error:
                reason = expat.errors.messages[error.code]
                raise TranslatorError(
                    f"{path}, line {error.lineno}: broken XML ({reason})."
                ) from None
            unfinished = 0 if units.done else unfinished + len(chunk)
            if unfinished >= MAX_LINE:
                raise TranslatorError(f"{units.place()}: a unit {_TOO_LONG}.")
            yield from units.done
            units.done.clear()


# --- files ------------------------------------------------------------------------------------

READERS: dict[str, Callable[[Path, str, str], Iterator[TextPair]]] = {
    "tsv": iterate_tsv,
    "jsonl": iterate_jsonl,
    "parquet": iterate_parquet,
    "tmx": iterate_tmx,
}


def split_name(name: str) -> tuple[str, str]:
    """A file's name -> what stands before its format or language, and that: `train`, `tsv`.

    What says how it is packed belongs to neither.
    """
    for packing in PACKINGS:
        name = name.removesuffix(packing)
    stem, _, ending = name.rpartition(".")
    return stem, ending


def iterate_file(path: Path, src: str, tgt: str) -> Iterator[TextPair]:
    """The pairs of a file, whose format is the ending of its name: a key of `READERS`."""
    return READERS[split_name(path.name)[1]](path, src, tgt)


def check_sides(pairs: Iterable[TextPair], name: str, src: str, tgt: str) -> Iterator[TextPair]:
    """Hands pairs on.

    Raises:
        TranslatorError: at the end, if there were pairs, but no text on one side.
    """
    pairs = iter(pairs)
    seen_src = seen_tgt = False
    count = 0
    for count, pair in enumerate(pairs, start=1):  # noqa: B007
        seen_src, seen_tgt = seen_src or bool(pair[0].strip()), seen_tgt or bool(pair[1].strip())
        yield pair
        if seen_src and seen_tgt:
            yield from pairs
            return
    if count:
        empty = tgt if seen_src else src
        raise TranslatorError(f'{name}: the side "{empty}" is empty, in all of its {count} lines.')
