"""What all formats share: pieces of text with their places, and how translations get there."""

import bisect
import html as entities
import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from translator.config.errors import TranslatorError

Place = tuple[int, int]  # start and end in the text of a document


class BrokenDocument(TranslatorError):
    """A file is not what its format says; the message names the line and the reason."""


@dataclass(frozen=True)
class Piece:
    """A text to translate: one line, which may stand in several places."""

    text: str
    places: list[Place]  # a sentence that runs over several lines or cues has several
    write: Callable[[str], str] = field(default=str)  # a translation in the syntax of the format
    # Where the translation goes, if not in the place of the text (PO: msgstr beside msgid).
    targets: list[Place] = field(default_factory=list)


@dataclass(frozen=True)
class Document:
    """The text of a file, its pieces in order, and what is inserted if a piece is translated."""

    text: str
    pieces: list[Piece]
    # (where, what, number of a piece): written if that piece is.
    insertions: list[tuple[int, str, int]] = field(default_factory=list)

    def line(self, piece: Piece) -> int:
        """The line on which a piece begins, from 1."""
        return self.text.count("\n", 0, piece.places[0][0]) + 1

    def fill(self, translations: Sequence[str]) -> str:
        """The text with the translation of each piece in its place.

        A piece that is its own translation is left as it is, to the byte.
        """
        changes: list[tuple[int, int, str]] = []
        for piece, translation in zip(self.pieces, translations, strict=True):
            if piece.targets:
                changes += [(*target, piece.write(translation)) for target in piece.targets]
            elif translation != piece.text:
                lengths = [end - start for start, end in piece.places]
                shares = share(translation, lengths)
                for place, part in zip(piece.places, shares, strict=True):
                    changes.append((*place, piece.write(part)))
        changes += [(where, where, what) for where, what, _ in self.insertions]
        filled, position = [], 0
        for start, end, part in sorted(changes, key=lambda change: change[:2]):
            filled += [self.text[position:start], part]
            position = end
        return "".join([*filled, self.text[position:]])

    def write(self, translations: Sequence[str]) -> bytes:
        """The file with the translation of each piece, see `fill`."""
        return self.fill(translations).encode()


def share(text: str, lengths: Sequence[int]) -> list[str]:
    """`text` cut at blanks into as many parts as there are lengths, and in their proportion.

    A cut behind a punctuation mark is preferred to one that fits a little better.
    """
    gaps = [match.start() for match in re.finditer(r" (?=\S)(?![^<>]*>)", text)]  # in no tag
    total, done, start = max(sum(lengths), 1), 0, 0
    parts: list[str] = []
    for i, length in enumerate(lengths[:-1]):
        done += length
        aim = len(text) * done / total
        first = bisect.bisect_left(gaps, start)
        last = len(gaps) - (len(lengths) - 2 - i)  # the parts behind it get a word each
        places = gaps[first:last]
        if not places:
            parts.append(text[start:] if start < len(text) and not parts else "")
            start = len(text) if parts[-1] else start
            continue
        cut = min(places, key=lambda gap: abs(gap - aim) - 6 * (text[gap - 1] in ",.;:!?"))
        parts.append(text[start:cut])
        start = cut + 1
    return [*parts, text[start:]]


def line_places(text: str, start: int = 0) -> Iterable[Place]:
    """The lines of `text`, without what ends them ("\\n", "\\r\\n"), as places from `start` on."""
    for match in re.finditer(r"[^\n]*\n?", text):
        line = match[0].removesuffix("\n")
        if match[0]:
            yield start + match.start(), start + match.start() + len(line.removesuffix("\r"))


def trimmed(text: str, place: Place) -> Place:
    """A place without the white space at its ends."""
    part = text[slice(*place)]
    start = place[0] + len(part) - len(part.lstrip())
    return start, max(start, place[0] + len(part.rstrip()))


_TAGS = re.compile(r"</?[A-Za-z][^<>]*>|\{\\[^{}]*\}")
_ENDS = re.compile(r"[.!?…:;][\"'”“’‘»«)\]]*$")
_BEGINS = re.compile(r"[-–—*•♪>#\[(]|\d+[.)]\s|\w\)\s")


def goes_on(before: str, after: str) -> bool:
    """Whether the sentence of one line or cue goes on in the next."""
    before = _TAGS.sub("", before).rstrip()
    after = _TAGS.sub("", after).lstrip()
    if not before or not after or _ENDS.search(before) or _BEGINS.match(after):
        return False
    # What is in brackets is a sentence of its own: [DOOR OPENS]
    open_end = not before[-1].isalnum() and before[-1] not in ")]♪♫"
    return after[0].islower() or open_end


def group(places: Iterable[Place], follows: Callable[[Place, Place], bool]) -> list[list[Place]]:
    """Places in groups: each place is with the one before it if it `follows` that."""
    groups: list[list[Place]] = []
    for place in places:
        if groups and follows(groups[-1][-1], place):
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


def join(text: str, places: Iterable[Place]) -> list[list[Place]]:
    """Lines of a document as groups, each a sentence that runs over them."""
    return group(places, lambda a, b: goes_on(text[slice(*a)], text[slice(*b)]))


class Marks:
    """Inline syntax of a format, which travels as tags that a translator carries to their words.

    `show` puts the syntax back.

    Args:
        text: its own tags are avoided.
        others: their letters are avoided too.
    """

    def __init__(self, text: str, others: "Marks | None" = None):
        taken: set[str] = {others._letters} if others else set()
        names = (
            "".join(c) for n in itertools.count(1) for c in itertools.product("xqzjkv", repeat=n)
        )
        self._letters: str = next(
            name
            for name in names
            if name not in taken and f"<{name}" not in text and f"{{{name}" not in text
        )
        self._hidden: dict[str, str] = {}

    def pair(self, opening: str, inner: str, closing: str) -> str:
        """`inner` between tags that stand for `opening` and `closing`."""
        name = f"{self._letters}{len(self._hidden)}"
        self._hidden |= {f"<{name}>": opening, f"</{name}>": closing}
        return f"<{name}>{inner}</{name}>"

    def point(self, syntax: str) -> str:
        """A tag without text."""
        name = f"<{self._letters}{len(self._hidden)}/>"
        self._hidden[name] = syntax
        return name

    def word(self, syntax: str) -> str:
        """A word that is carried over."""
        name = f"{{{self._letters}{len(self._hidden)}}}"
        self._hidden[name] = syntax
        return name

    def show(self, text: str) -> str:
        """The syntax in the place of its tags."""
        for name, syntax in reversed(self._hidden.items()):  # what holds others was hidden last
            text = text.replace(name, syntax)
        return text


def plain_pieces(text: str, groups: Iterable[Sequence[Place]]) -> list[Piece]:
    """Pieces of groups of lines; blank ones are none."""
    found = []
    for group in groups:
        places = [place for place in (trimmed(text, p) for p in group) if place[0] < place[1]]
        if places:
            found.append(Piece(" ".join(text[slice(*place)] for place in places), places))
    return found


def with_text(piece: Piece, marks: Marks, text: str) -> Piece:
    """The piece with its inline syntax hidden."""
    write = piece.write
    return replace(piece, text=text, write=lambda part: write(marks.show(part)))


def hide_references(text: str, marks: Marks) -> str:
    """`text` with its character references: letters read as such, others words carried over."""

    def hide(match: re.Match[str]) -> str:
        letter = entities.unescape(match[0])
        return letter if letter.isalpha() or letter in ("'", "’") else marks.word(match[0])

    return re.sub(r"&(?:#\d+|#[xX][0-9A-Fa-f]+|[A-Za-z]\w*);", hide, text)
