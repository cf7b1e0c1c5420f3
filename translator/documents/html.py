"""HTML: the text between block elements, with the inline ones inside it, and some attributes."""

import bisect
import html as entities
import re
from collections import Counter
from collections.abc import Sequence
from html.parser import HTMLParser

from translator.documents.document import (
    BrokenDocument,
    Document,
    Marks,
    Piece,
    Place,
    hide_references,
    trimmed,
    with_text,
)

_NAMES = {
    "inline": "a abbr b bdi bdo big cite data del dfn em font i ins label mark q s small span "
    "strike strong sub sup time tt u wbr",
    "words": "code kbd samp var img svg math input",
    "opaque": "script style pre template noscript iframe object",
    "void": "area base br col embed hr img input link meta source track wbr",
}
_INLINE, _WORDS, _OPAQUE, _VOID = (frozenset(names.split()) for names in _NAMES.values())
_ATTRIBUTES = re.compile(
    r"\s(?:alt|title|placeholder|aria-label)\s*=\s*(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)')",
    re.IGNORECASE,
)
# What opens something, and what closes it; html.parser reads on to the end for each that is open.
_BRACKETS = ((r"<[A-Za-z/!?]", ">"), ("<!--", "-->"), (r"<!\[", "]>"))
_MOST_OPEN = 50


_Item = tuple[str, int, int]  # "text", "tag", ...; where it starts and ends


class _Reader(HTMLParser):
    """Collects runs of text and inline elements, by their places in the source."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=False)
        self.text = text
        self._starts = [0, *(m.end() for m in re.finditer("\n", text))]
        self.runs: list[list[_Item]] = [[]]
        self.attributes: list[Place] = []
        self._opaque: list[str] = []  # elements open inside one that stays, itself first
        self._counts: Counter[str] = Counter()  # of these
        self._opaque_start = 0
        self._opaque_inline = False

    def place(self) -> int:
        line, column = self.getpos()
        return self._starts[line - 1] + column

    def break_run(self) -> None:
        if self.runs[-1]:
            self.runs.append([])

    def add(self, kind: str, start: int, end: int) -> None:
        if not self._opaque:
            self.runs[-1].append((kind, start, end))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        start = self.place()
        raw = self.get_starttag_text() or ""
        if self._opaque:
            if tag not in _VOID and not raw.endswith("/>"):
                self._opaque.append(tag)
                self._counts[tag] += 1
            return
        # Quotes may be escaped, in HTML that was taken from a program or a database.
        named = any(name == "translate" and (v or "").strip("\\\"'") == "no" for name, v in attrs)
        stays = named or tag in _OPAQUE or tag in _WORDS
        if not named and (not stays or tag in _VOID):
            for match in _ATTRIBUTES.finditer(raw):
                name = "double" if match["double"] is not None else "single"
                self.attributes.append((start + match.start(name), start + match.end(name)))
        inline = tag in _INLINE or tag in _WORDS
        if stays and tag not in _VOID and not raw.endswith("/>"):
            if not inline:
                self.break_run()
            self._opaque, self._opaque_start, self._opaque_inline = [tag], start, inline
            self._counts = Counter(self._opaque)
        elif stays and inline:
            self.add("word", start, start + len(raw))
        elif inline:
            self.add("tag", start, start + len(raw))
        else:
            self.break_run()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        start = self.place()
        end = self.text.find(">", start) + 1 or len(self.text)
        if self._opaque:
            while self._counts[tag]:
                closed = self._opaque.pop()
                self._counts[closed] -= 1
                if closed == tag:
                    break
            if not self._opaque and self._opaque_inline:
                self.add("word", self._opaque_start, end)
            elif not self._opaque:
                self.break_run()
        elif tag in _INLINE:
            self.add("tag", start, end)
        else:
            self.break_run()

    def handle_data(self, data: str) -> None:
        self.add("text", self.place(), self.place() + len(data))

    def handle_entityref(self, name: str) -> None:
        self._reference(f"&{name}")

    def handle_charref(self, name: str) -> None:
        self._reference(f"&#{name}")

    def _reference(self, raw: str) -> None:
        start = self.place()
        end = start + len(raw) + self.text.startswith(";", start + len(raw))
        self.add("reference", start, end)

    def handle_comment(self, data: str) -> None:
        self.add("tag", self.place(), self.text.find("-->", self.place()) + 3)

    def handle_decl(self, decl: str) -> None:
        self.break_run()

    def handle_pi(self, data: str) -> None:
        self.break_run()


def read_html(text: str) -> Document:
    """The runs of text, each one piece whose inline elements are tags; `translate="no"` stays.

    Raises:
        BrokenDocument: tag after tag is never closed.
    """
    for opening, closing in _BRACKETS:
        rest = max(text.rfind(closing), 0)
        if len(re.findall(opening, text[rest:])) > _MOST_OPEN:
            line = text.count("\n", 0, rest) + 1
            raise BrokenDocument(f'line {line}: no "{closing}" closes what is opened behind it')
    reader = _Reader(text)
    reader.feed(text)
    reader.close()
    attributes = [place for place in reader.attributes if text[slice(*place)].strip()]
    pieces = [piece for run in reader.runs if (piece := _piece(text, run, attributes))]
    taken = [piece.places[0] for piece in pieces]
    for place in attributes:  # `taken` is in order
        start, end = trimmed(text, place)
        before = bisect.bisect_left(taken, (end,))
        if not (before and taken[before - 1][1] > start):  # those inside have been read
            pieces.append(Piece(_plain(text[start:end]), [(start, end)], entities.escape))
    return Document(text, sorted(pieces, key=lambda piece: piece.places[0]))


def _plain(raw: str) -> str:
    return " ".join(entities.unescape(raw).split())


def _with_their_tags(text: str, run: list[_Item], first: int, last: int) -> tuple[int, int]:
    """From which item to which: with the tags that are closed, or opened, between the two."""
    balance = lowest = 0
    for kind, start, end in run[first : last + 1]:
        if kind == "tag" and not text.startswith("<!", start):
            balance += -1 if text.startswith("</", start) else not text.endswith("/>", start, end)
            lowest = min(lowest, balance)
    while lowest < 0 and first and run[first - 1][0] == "tag":
        first, lowest, balance = first - 1, lowest + 1, balance + 1
    while balance > 0 and last + 1 < len(run) and run[last + 1][0] == "tag":
        last, balance = last + 1, balance - 1
    return first, last


def _piece(text: str, run: list[_Item], attributes: Sequence[Place]) -> Piece | None:
    """A run without the white space and the tags around it.

    The attributes inside it are further lines of the piece.
    """

    def is_text(item: _Item) -> bool:
        blank = item[0] == "text" and not text[item[1] : item[2]].strip()
        return item[0] != "tag" and not blank

    there = [i for i, item in enumerate(run) if is_text(item)]
    if all(run[i][0] == "word" for i in there):
        return None
    first, last = _with_their_tags(text, run, there[0], there[-1])
    start, end = trimmed(text, (run[first][1], run[last][2]))
    marks = Marks(text[start:end])
    slot = Marks(text[start:end], marks).word
    slots: dict[str, str] = {}  # what stands for an attribute, and its text

    def hide(a: int, b: int) -> str:
        """text[a:b], a tag, with slots for its attributes."""
        hidden = ""
        for first, last in attributes[bisect.bisect(attributes, (a,)) :]:
            if first >= b:
                break
            slots[name := slot(text[first:last])] = text[first:last]
            hidden += text[a:first] + name
            a = last
        return hidden + text[a:b]

    parts = []
    for kind, a, b in run[first : last + 1]:
        raw = text[max(a, start) : min(b, end)]
        if kind == "tag":
            raw = marks.point(raw) if raw.startswith("<!") else hide(a, b)
        elif kind == "word":
            raw = marks.word(hide(a, b))
        elif kind == "reference":
            raw = hide_references(raw, marks)
        else:
            raw = re.sub(r"\s+", " ", raw)
        parts.append(raw)
    said = [_plain(raw) for raw in slots.values()]

    def write(translation: str) -> str:
        """The sentence, with its attributes in their slots."""
        sentence, *values = translation.split("\n")
        for (slot, raw), old, value in zip(slots.items(), said, values, strict=True):
            sentence = sentence.replace(slot, raw if value == old else entities.escape(value))
        return sentence

    piece = Piece(text[start:end], [(start, end)], write)
    return with_text(piece, marks, "\n".join(["".join(parts), *said]))
