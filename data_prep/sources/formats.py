"""Parallel text in files, pair by pair: two plain files, TSV, CSV, JSON, Parquet, TMX.

All but Parquet may be compressed: `.gz`, `.bz2`, `.xz`, `.zst`. Only JSON arrays are held whole in
memory. Every error is one line that names the file and, where possible, the line in it.
"""

import csv
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from xml.parsers import expat

from translator.config.errors import TranslatorError
from translator.text.language import identify, language_code
from translator.text.lines import (
    MAX_LINE,
    NUL_BYTE,
    PACKINGS,
    TOO_LONG,
    TextPair,
    open_bytes,
    say_once,
    text_lines,
)

CHECKED = 100  # pairs of a table without a header whose languages are checked

Source = Callable[[], Iterator[TextPair]]  # opens a split: each call reads it from its start


def iterate_pairs(src_file: Path, tgt_file: Path) -> Iterator[TextPair]:
    """Reads two files of equally many lines, pair by pair.

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


def iterate_tsv(path: Path, src: str, tgt: str) -> Iterator[TextPair]:
    """Reads source TAB target; a first line with the language codes names the columns instead.

    Quotes have no meaning. Blank lines are skipped.

    Raises:
        TranslatorError: as `text_lines`, or a line has other columns.
    """
    return _iterate_table((line.split("\t") for line in text_lines(path)), path, src, tgt)


def iterate_csv(path: Path, src: str, tgt: str) -> Iterator[TextPair]:
    """Like `iterate_tsv`, with commas between columns, and quotes as spreadsheets write them.

    Raises:
        TranslatorError: as `iterate_tsv`, or a field is too long.
    """
    rows = csv.reader(f"{line}\n" for line in text_lines(path))
    try:
        yield from _iterate_table(rows, path, src, tgt)
    except csv.Error as error:
        raise TranslatorError(f"{path}, line {rows.line_num}: broken CSV ({error}).") from None


def _iterate_table(rows: Iterable[list[str]], path: Path, src: str, tgt: str) -> Iterator[TextPair]:
    columns: list[int] | None = None  # of source and target
    n_columns = 2
    first: list[TextPair] = []  # pairs to check the languages by, if there is no header
    n_blank = 0
    for number, fields in enumerate(rows, start=1):
        if not "".join(fields).strip() and len(fields) < 2:
            n_blank += 1
            continue
        codes = [language_code(field) for field in fields]
        if number - n_blank == 1 and src in codes and tgt in codes:
            n_columns, columns = len(fields), [codes.index(src), codes.index(tgt)]
            continue
        if len(fields) != n_columns:
            raise TranslatorError(
                f"{path}, line {number}: {len(fields)} columns instead of {n_columns}. If there "
                f'are more than two, the first line must name them: "{src}", "{tgt}", ...'
            )
        place = f"{path}, line {number}"
        pair = tuple(_cell(fields[column], place) for column in columns or (0, 1))
        if columns is None and len(first) < CHECKED:
            first.append((pair[0], pair[1]))
            if len(first) == CHECKED:
                _warn_if_swapped(first, path, src, tgt)
        yield pair[0], pair[1]
    if len(first) < CHECKED:
        _warn_if_swapped(first, path, src, tgt)
    _log_blank_lines(n_blank, path)


def _warn_if_swapped(pairs: Sequence[TextPair], path: Path, src: str, tgt: str) -> None:
    languages = [(identify(first), identify(second)) for first, second in pairs]
    swapped, straight = languages.count((tgt, src)), languages.count((src, tgt))  # type: ignore[arg-type]
    if swapped > straight:
        say_once(
            f"{path}: the first column looks like {tgt}, the second like {src}. Without a header "
            f'the first one is the source: put a first line "{tgt}", "{src}" there to name them.'
        )


def _log_blank_lines(n_blank: int, path: Path) -> None:
    if n_blank:
        say_once(f"{path}: {n_blank:,} blank line{'s' * (n_blank > 1)} skipped.")


def iterate_jsonl(path: Path, src: str, tgt: str) -> Iterator[TextPair]:
    """Reads one JSON object per line: `{"en": ..., "de": ...}` or `{"translation": {"en": ...}}`.

    Blank lines are skipped.

    Raises:
        TranslatorError: as `text_lines`, broken JSON, or a language is missing.
    """
    n_blank = 0
    for number, line in enumerate(text_lines(path), start=1):
        if not line.strip():
            n_blank += 1
            continue
        place = f"{path}, line {number}"
        yield _object_pair(_parse_json(line, place), place, src, tgt)
    _log_blank_lines(n_blank, path)


def iterate_json(path: Path, src: str, tgt: str) -> Iterator[TextPair]:
    """Reads a JSON array of objects like those of `iterate_jsonl`; it is held in memory.

    Raises:
        TranslatorError: as `iterate_jsonl`, or no array.
    """
    rows = _parse_json("\n".join(text_lines(path)), str(path))
    if not isinstance(rows, list):
        raise TranslatorError(f"{path}: no array of objects; an object a line is .jsonl.")
    for number, row in enumerate(rows, start=1):
        place = f"{path}, object {number}"
        yield _object_pair(row, place, src, tgt)


def _parse_json(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise TranslatorError(f"{place}: broken JSON ({error}).") from None
    except RecursionError:
        raise TranslatorError(f"{place}: broken JSON (too deep).") from None


def _object_pair(row: Any, place: str, src: str, tgt: str) -> TextPair:
    if isinstance(row, dict) and not {src, tgt} <= set(map(language_code, row)):
        row = row.get("translation", row)
    sides = (
        {language_code(key): value for key, value in row.items()} if isinstance(row, dict) else {}
    )
    if not {src, tgt} <= sides.keys():
        found = f"has {', '.join(row) or 'nothing'}" if isinstance(row, dict) else "has no keys"
        raise TranslatorError(f"{place}: {found}; {_needed(src, tgt)}.")
    return _cell(sides[src], place), _cell(sides[tgt], place)


def _needed(src: str, tgt: str) -> str:
    return f'needed are "{src}" and "{tgt}", or "translation" with those keys'


def _cell(value: Any, place: str) -> str:
    """Turns a field of a table into one line of text; a missing value is an empty line."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TranslatorError(f"{place}: {value!r:.40} is no text.")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:  # half a surrogate pair, from a JSON escape
        raise TranslatorError(f"{place}: not Unicode text.") from None
    if size >= MAX_LINE:
        raise TranslatorError(f"{place}: {TOO_LONG}.")
    if "\0" in value:
        raise TranslatorError(f"{place}: {NUL_BYTE}.")
    return value.removesuffix("\r").replace("\n", " ")


def iterate_arrow(batches: Iterable[Any], src: str, tgt: str, name: str) -> Iterator[TextPair]:
    """Reads Arrow batches or tables whose columns are like the keys of `iterate_jsonl`.

    Raises:
        TranslatorError: a column is missing or is not text; the message begins with `name`.
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
    """Reads a Parquet file whose columns are like the keys of `iterate_jsonl`.

    Raises:
        TranslatorError: the file is cut short or not Parquet, or as `iterate_arrow`.
    """
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        # Mapped and not read ahead: pyarrow would hold all columns of the file, compressed.
        with ParquetFile(path, memory_map=True, pre_buffer=False) as file:
            names = file.schema_arrow.names  # other columns need not be decompressed
            wanted = [src, tgt] if src in names and tgt in names else ["translation"]
            batches = file.iter_batches(1000, columns=wanted if wanted[-1] in names else None)
            yield from iterate_arrow(batches, src, tgt, str(path))
    except (pyarrow.ArrowException, OSError):
        raise TranslatorError(f"{path} is cut short or no Parquet file: get it again.") from None


class _Units:
    """Collects translation units while a TMX file is parsed; `done` holds the complete ones."""

    CODE = frozenset(("bpt", "ept", "it", "ph", "ut"))  # markup of other programs, not text

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
        """Refuses entities, which can grow to gigabytes or read files; no TMX file needs any."""
        raise TranslatorError(f"{self.place()}: entities of its own are not read.")

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag == "tu":
            self.languages = {}
        elif tag == "tuv":
            full = attributes.get("xml:lang") or attributes.get("lang", "")
            self.language = language_code(full)
        elif tag == "seg":
            self.text = []
            self.parser.CharacterDataHandler = self.text.append
        elif tag in self.CODE:
            self.parser.CharacterDataHandler = None

    def end(self, tag: str) -> None:
        if tag == "seg":
            self.parser.CharacterDataHandler = None
            # The first one counts if there are two variants of a language (en-GB, en-US).
            self.languages.setdefault(self.language, "".join(self.text))
        elif tag in self.CODE:
            self.parser.CharacterDataHandler = self.text.append
        elif tag == "tu":
            for side in (self.src, self.tgt):
                if side not in self.languages:
                    found = ", ".join(self.languages) or "nothing"
                    raise TranslatorError(
                        f'{self.place()}: a unit without "{side}"; it has {found}.'
                    )
            src, tgt = (_cell(self.languages[side], self.place()) for side in (self.src, self.tgt))
            self.done.append((src, tgt))


def iterate_tmx(path: Path, src: str, tgt: str) -> Iterator[TextPair]:
    """Reads a translation memory (TMX 1.4): units with a segment per language; "en-GB" is "en".

    Raises:
        TranslatorError: the XML is broken, defines entities, or a unit lacks a language.
    """
    units = _Units(str(path), src, tgt)
    unfinished = 0  # bytes since the last whole unit
    with open_bytes(path) as file:
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
                raise TranslatorError(f"{units.place()}: a unit {TOO_LONG}.")
            yield from units.done
            units.done.clear()


READERS: dict[str, Callable[[Path, str, str], Iterator[TextPair]]] = {
    "tsv": iterate_tsv,
    "csv": iterate_csv,
    "jsonl": iterate_jsonl,
    "json": iterate_json,
    "parquet": iterate_parquet,
    "tmx": iterate_tmx,
}


def split_name(name: str) -> tuple[str, str]:
    """Splits a file's name into its stem and its format or language: `train`, `tsv`.

    The ending of a packed file is left out; `train.en-US` and `train.EN` are English.
    """
    packed = Path(name).suffix
    name = name.removesuffix(packed) if packed.lower() in PACKINGS else name
    stem, _, ending = name.rpartition(".")
    return stem, language_code(ending)


def iterate_file(path: Path, src: str, tgt: str) -> Iterator[TextPair]:
    """Reads the pairs of a file whose format, a key of `READERS`, is the ending of its name."""
    return READERS[split_name(path.name)[1]](path, src, tgt)


def check_sides(pairs: Iterable[TextPair], name: str, src: str, tgt: str) -> Iterator[TextPair]:
    """Passes pairs on.

    Raises:
        TranslatorError: at the end, if there were pairs but no text on one side.
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
