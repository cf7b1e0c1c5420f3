"""Tables (.csv, .tsv): the cells of chosen columns, or all that hold words."""

import contextlib
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from translator.config.errors import TranslatorError
from translator.documents.document import BrokenDocument, Document, Piece, Place


@dataclass(frozen=True)
class TableReader:
    """Reads tables whose cells `delimiter` parts; for "" it is found out."""

    delimiter: str
    columns: Sequence[str] = ()  # names in the first row, or numbers from 1; none: all

    def __call__(self, text: str) -> Document:
        """The cells below the names of chosen columns.

        Raises:
            BrokenDocument: a quote that is never closed.
            TranslatorError: there is no such column.
        """
        delimiter = self.delimiter or _find_delimiter(text)
        rows = [*_rows(text, delimiter)]
        chosen, begin = self._choose(
            [_value(text[slice(*cell)], delimiter) for cell in rows[0]] if rows else []
        )
        pieces = []
        for row in rows[begin:]:
            for number, cell in enumerate(row):
                raw = text[slice(*cell)]
                value = _value(raw, delimiter)
                if (chosen is None or number in chosen) and value.strip():
                    quoted = raw.lstrip().startswith('"')
                    pieces.append(Piece(value, [cell], partial(_quote, delimiter, quoted)))
        return Document(text, pieces)

    def _choose(self, names: Sequence[str]) -> tuple[set[int] | None, int]:
        """The numbers of the chosen columns from 0, and the first row that is translated."""
        if not self.columns:
            return None, 0
        chosen = set()
        begin = 0
        for column in self.columns:
            if column in names:
                chosen.add(names.index(column))
                begin = 1
            elif column.isdigit() and 0 < int(column) <= max(len(names), 1):
                chosen.add(int(column) - 1)
            else:
                known = ", ".join(names)
                raise TranslatorError(f'There is no column "{column}"; there are: {known}.')
        return chosen, begin


def _quote(delimiter: str, always: bool, text: str) -> str:
    if delimiter == "\t":  # which knows no quotes
        return " ".join(text.split())
    if always or any(c in text for c in f'{delimiter}"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def _value(raw: str, delimiter: str) -> str:
    if delimiter == "\t" or not raw.startswith('"'):
        return raw
    return raw[1:-1].replace('""', '"')


def _find_delimiter(text: str) -> str:
    """The delimiter that parts most rows into as many cells, and not one, as the first row has.

    Of several the rarest in texts: commas are in numbers too.
    """

    def fit(delimiter: str) -> tuple[float, int]:
        widths = []
        with contextlib.suppress(BrokenDocument):  # said when the table is read
            for row in itertools.islice(_rows(text, delimiter), 200):
                widths.append(len(row))
        width = widths[0] if widths else 1
        return (widths.count(width) / len(widths), width) if width > 1 else (0, 0)

    best = max("\t;,", key=fit)
    return best if any(fit(best)) else ","


def _rows(text: str, delimiter: str) -> Iterator[list[Place]]:
    # Tabs part cells that know no quotes.
    pattern = "" if delimiter == "\t" else rf'"(?:[^"]|"")*"(?=[{delimiter}\r\n]|$)|'
    cell = re.compile(pattern + rf"[^{delimiter}\r\n]*")
    position, row = len(text) - len(text.removeprefix("\ufeff")), []
    while position <= len(text):
        match = cell.match(text, position)
        assert match
        if pattern and match[0].startswith('"') and (len(match[0]) < 2 or match[0][-1] != '"'):
            line = text.count("\n", 0, position) + 1
            raise BrokenDocument(f"line {line}: a quote that is never closed")
        row.append(match.span())
        position = match.end()
        if text.startswith(delimiter, position):
            position += 1
            continue
        yield row
        row = []
        newline = re.compile(r"\r?\n|\r").match(text, position)
        if not newline:
            return
        position = newline.end()
