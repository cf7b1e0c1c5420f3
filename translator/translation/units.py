"""A line -> the units that a model translates one at a time: sentences, or parts of long ones."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from translator.config.errors import TranslatorError
from translator.config.schema import SearchConfig
from translator.text.codec import Source, TextCodec, normalise, target_ids
from translator.text.layout import (
    Tag,
    calm_end,
    chunks,
    core,
    has_words,
    points,
    repetitions,
    split_tags,
)
from translator.text.protected import Span, protected_spans, rewritten_numbers
from translator.text.sentences import split_long, split_sentences
from translator.text.terms import TermMatch
from translator.text.tokenizer import N_COPY
from translator.translation.markup import Element, collapse, nest

# But not before a word that joins two such halves: Vor- und Nachteile.
_PARTED = re.compile(
    r"\b([^\W\d_]{2,})- (?!(?:and|or|to|und|oder|bis|sowie|bzw|als|wie)\b)"
    r"([^\W\d_A-ZÄÖÜ][^\W\d_]+)\b"
)
# Dashes that touch words, which a vocabulary without them reads as hyphens.
_DASH = re.compile(r"(?<=[^\W\d_])—(?=[^\W\d_])")
SPLITS = ("sentences", "long", "never")


@dataclass(frozen=True)
class Unit:
    """A segment before it is translated."""

    line: int
    text: str  # normalised, without tags
    source: Source
    prefix: list[int]  # what its translation begins with
    space: str  # what stands between this segment and the next: white space, marks, columns
    lead: str = ""  # the text before the first segment of a line
    elements: list[Element] = field(default_factory=list)  # tags inside it
    marks: str = ""  # at its end, if there are several
    numbers: list[Span] = field(default_factory=list)  # that are written in another form
    n_parts: int = 1  # into which its sentence was cut
    terms: list[TermMatch] = field(default_factory=list)  # of a glossary that it holds
    chosen: list[Span] = field(default_factory=list)  # carried over beside what always is


@dataclass(frozen=True)
class Reader:
    """What a text becomes before a model reads it, on its way between two languages."""

    codec: TextCodec
    src: str
    tgt: str

    def read(self, unit: "Unit", text: str) -> "Unit":
        """The unit with another text in place of its own."""
        numbers = rewritten_numbers(text, self.src, self.tgt)
        source = self.codec.encode(text)
        return replace(unit, text=text, source=source, numbers=numbers, chosen=[])

    def fits(self, text: str, search: SearchConfig) -> bool:
        """Whether a model can read a text at once."""
        source = self.codec.encode(normalise(text))
        return len(source.ids) <= search.max_pieces and len(source.copies) <= N_COPY


def cut_line(
    reader: Reader, line: int, text: str, search: SearchConfig, split: str
) -> Iterator[Unit]:
    """The units of a line; with any `split` but "never" of at most `max_pieces` each.

    With "never" a line is one unit, whatever it holds. Otherwise what holds no words is no unit.
    """
    if not text.strip():
        return
    if split == "never":
        part = normalise(text)
        head, tail = text[: -len(text.lstrip())], text[len(text.rstrip()) :]
        yield Unit(line, part, reader.codec.encode(part), [], tail, head)
        return
    plain, ranges, left = _without_tags(text)
    found = [p for part in ranges for p in _places(reader, plain, part, search, split)]
    places = [place for place, _ in found]
    owned = []  # for each unit the tags inside it
    for place in places:
        inside = _tags_inside(left, *place)
        owned.append(left[inside])
        del left[inside]
    edges = [0, *(edge for place in places for edge in place), len(plain)]
    gaps = [_written(plain, left, a, b) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    for i, ((start, end), own) in enumerate(zip(places, owned, strict=True)):
        unit = _unit(reader, line, plain[start:end], [t.moved(-start) for t in own])
        lead = "" if i else gaps[0]
        yield replace(unit, space=gaps[i + 1], lead=lead, n_parts=found[i][1])


def _without_tags(text: str) -> tuple[str, list[tuple[int, int]], list[Tag]]:
    """A line without inline tags, where its parts are in it (`chunks`), and these tags."""
    plain, position = "", 0
    ranges: list[tuple[int, int]] = []
    tags: list[Tag] = []
    for start, end in chunks(text):
        plain += text[position:start]
        part, found = split_tags(text[start:end])
        tags += [tag.moved(len(plain)) for tag in found]
        ranges.append((len(plain), len(plain) + len(part)))
        plain += part
        position = end
    return plain + text[position:], ranges, tags


def _places(
    reader: Reader, text: str, part: tuple[int, int], search: SearchConfig, split: str
) -> Iterator[tuple[tuple[int, int], int]]:
    """Where the units of a part of `text` stand, and of how many parts each is one."""
    for start, end in _inside(part, points(text[slice(*part)])):
        stripped = text[start:end].strip()
        start += text[start:end].index(stripped)
        sentences = [(stripped, "")]
        if split == "sentences" and stripped:
            sentences = split_sentences(stripped, reader.src)
        for sentence, space in sentences:
            for first, last in _inside((start, 0), [core(sentence)]):
                if not reader.codec.spells(text[first:last]):
                    continue
                for word in _inside((first, 0), repetitions(text[first:last])):
                    yield from _short_enough(reader, text, word, search)
            start += len(sentence) + len(space)


def _inside(outer: tuple[int, int], inner: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Places within a part, as places in the whole; without empty ones."""
    return ((outer[0] + start, outer[0] + end) for start, end in inner if start < end)


def _short_enough(
    reader: Reader, text: str, part: tuple[int, int], search: SearchConfig
) -> Iterator[tuple[tuple[int, int], int]]:
    start = part[0]
    pieces = split_long(text[slice(*part)], lambda piece: reader.fits(piece, search))
    for piece, space in pieces:
        if len(pieces) == 1 or has_words(piece):
            yield (start, start + len(piece)), len(pieces)
        start += len(piece) + len(space)


def _tags_inside(tags: Sequence[Tag], start: int, end: int) -> slice:
    """Which tags are the unit's from `start` to `end`; those around all of it are not.

    Some in a row, so that their order with those around it holds.
    """
    touching = _touching(tags, start, end)
    near = tags[touching]
    waiting: list[int] = []
    inside = {i for i, tag in enumerate(near) if start < tag.position < end}
    for i, tag in enumerate(near):
        if tag.kind == "open":
            waiting.append(i)
        elif tag.kind == "close":
            same = next((j for j in reversed(waiting) if near[j].name == tag.name), None)
            if same is None:
                continue
            waiting.remove(same)
            opened = near[same].position
            if opened < end and tag.position > start and (opened, tag.position) != (start, end):
                inside |= {same, i}
    first = touching.start
    return slice(first + min(inside), first + max(inside) + 1) if inside else slice(0)


def _touching(tags: Sequence[Tag], start: int, end: int) -> slice:
    """Which tags, in order, stand from `start` to `end`."""

    def position(tag: Tag) -> int:
        return tag.position

    return slice(bisect_left(tags, start, key=position), bisect_right(tags, end, key=position))


def _written(text: str, tags: Sequence[Tag], start: int, end: int) -> str:
    """text[start:end] with its tags."""
    written = ""
    for tag in tags[_touching(tags, start, end)]:
        written += text[start : tag.position] + tag.text
        start = tag.position
    return written + text[start:end]


def _unit(reader: Reader, line: int, text: str, tags: Sequence[Tag]) -> Unit:
    """The unit of a text without tags; the places of `tags` count in this text."""
    part, marks = calm_end(_normalise(text))
    if tags:
        # Normalising may have shortened the text before them.
        places = [min(len(_normalise(text[: tag.position] + "x")) - 1, len(part)) for tag in tags]
        moved = [tag.moved(place - tag.position) for tag, place in zip(tags, places, strict=True)]
        elements = nest(moved)
    else:
        if "—" not in reader.codec.tokenizer.alphabet:
            part = _DASH.sub(" — ", part)
        part, elements = collapse(_join_split_words(reader.codec, part))
    unit = Unit(line, part, Source([], []), [], "", elements=elements, marks=marks)
    return reader.read(unit, part)


def _join_split_words(codec: TextCodec, text: str) -> str:
    """Joins the halves of words that the end of a printed line has parted: exam- ple.

    Only where the vocabulary knows the whole better than the halves, which two- and three-year-olds
    are not.
    """

    def join(match: re.Match[str]) -> str:
        halves = [len(codec.tokenizer.encode(half)) for half in match.groups()]
        whole = match[1] + match[2]
        return whole if len(codec.tokenizer.encode(whole)) < sum(halves) else match[0]

    return _PARTED.sub(join, text) if "- " in text else text


def _normalise(text: str) -> str:
    """As `normalise`, but what is carried over stays as it is."""
    spans = [(a, b) for a, b in protected_spans(text) if normalise(text[a:b]) != text[a:b]]
    parts, position = [], 0
    for start, end in [*spans, (len(text), len(text))]:
        parts += [normalise(f"x{text[position:start]}x")[1:-1], text[start:end]]
        position = end
    return "".join(parts).strip()


def cut_lines(
    reader: Reader,
    lines: Sequence[str],
    search: SearchConfig,
    split: str,
    prefix: str,
) -> list[Unit]:
    """The units of all lines; the prefix goes to the first unit of each line.

    Raises:
        TranslatorError: an unknown way to split.
    """
    if split not in SPLITS:
        raise TranslatorError(f'Unknown split "{split}"; there are: {", ".join(SPLITS)}.')
    found = []
    for i, line in enumerate(lines):
        units = list(cut_line(reader, i, line, search, split))
        if prefix and units:
            ids = target_ids(reader.codec, normalise(prefix), units[0].source)
            units[0] = replace(units[0], prefix=ids)
        found += units
    return found
