"""Puts the tags of a sentence, which the model does not read, around the translated words.

Pairs stay pairs: a tag is always closed within the element that opened it, whatever the alignment.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from translator.text.layout import Tag
from translator.translation.word_alignment import Alignment

_WORD = re.compile(r"\S+")
_WORD_REPEATED = re.compile(r"\b([^\W\d_]+)((?:,?\s)\1)\2+(?!\w)", re.IGNORECASE)


@dataclass
class Element:
    """A span of text between two tags, or the position of a single tag."""

    start: int
    end: int
    before: str
    after: str = ""
    times: int = 1  # how often the words occur: "very very very" is read as "very"
    between: str = ""
    small: bool = False  # all but the first begin with a small letter
    inner: list["Element"] = field(default_factory=list)


@dataclass(frozen=True)
class Marked:
    """A sentence and its translation with their tags."""

    source: str
    text: str
    alignment: Alignment | None  # of the words with tags


def nest(tags: Sequence[Tag]) -> list[Element]:
    """Nests tags into elements; a tag without its partner becomes a position."""
    partner: dict[int, int] = {}
    waiting: list[int] = []
    for i, tag in enumerate(tags):
        if tag.kind == "open":
            waiting.append(i)
        elif tag.kind == "close":
            same = [j for j in waiting if tags[j].name == tag.name]
            if same:
                partner[same[-1]] = i
                del waiting[waiting.index(same[-1]) :]
    closing = set(partner.values())

    def build(first: int, last: int) -> list[Element]:
        found, i = [], first
        while i < last:
            tag, close = tags[i], partner.get(i)
            if close is not None:
                element = Element(tag.position, tags[close].position, tag.text, tags[close].text)
                element.inner = build(i + 1, close)
                found.append(element)
                i = close
            elif i not in closing:
                found.append(Element(tag.position, tag.position, tag.text))
            i += 1
        return found

    return build(0, len(tags))


def collapse(text: str) -> tuple[str, list[Element]]:
    """Reduces words that occur three or more times in a row to one; returns text and such words."""
    found, plain, position, length = [], [], 0, 0
    for match in _WORD_REPEATED.finditer(text):
        plain.append(text[position : match.end(1)])
        length += match.end(1) - position
        between = match[2][: len(match[2]) - len(match[1])]
        times = 1 + (len(match[0]) - len(match[1])) // len(match[2])
        start = length - len(match[1])
        small = match[1][0].isupper() and match[2].lstrip(", ")[:1].islower()
        found.append(Element(start, length, "", times=times, between=between, small=small))
        position = match.end()
    return "".join([*plain, text[position:]]), found


def restore(
    source: str, elements: Sequence[Element], text: str, alignment: Alignment | None
) -> Marked:
    """Puts the elements of a source into its translation.

    Args:
        source: the source without tags.
        elements: the elements of the source.
        text: the translation without tags.
        alignment: of their words; without it, elements are placed proportionally.
    """
    placed = [*elements] if text == source else _Projection(source, text, alignment).place(elements)
    marked_source, marked_text = _write(source, elements), _write(text, placed)
    if alignment is not None:
        src, tgt = _moved_words(source, elements), _moved_words(text, placed)
        alignment = sorted({(src[i], tgt[j]) for i, j in alignment})
    return Marked(marked_source, marked_text, alignment)


def _write(text: str, elements: Iterable[Element]) -> str:
    return "".join(part for part, _ in _parts(text, elements, 0, len(text)))


def _parts(
    text: str, elements: Iterable[Element], start: int, end: int
) -> Iterator[tuple[str, bool]]:
    """The parts of text[start:end] with its elements; True for parts of the text itself."""
    for element in elements:
        yield text[start : element.start], True
        yield element.before, False
        yield from _parts(text, element.inner, element.start, element.end)
        said = text[element.start : element.end]
        again = said[:1].lower() + said[1:] if element.small else said
        yield (element.between + again) * (element.times - 1) * bool(said), False
        yield element.after, False
        start = element.end
    yield text[start:end], True


def _moved_words(text: str, elements: Sequence[Element]) -> list[int]:
    """The number of each word of `text` among the words of the text with elements."""
    whole = ""
    places: list[int] = []  # the position of each character of `text` in the whole
    for part, is_text in _parts(text, elements, 0, len(text)):
        if is_text:
            places += range(len(whole), len(whole) + len(part))
        whole += part
    number = {k: i for i, word in enumerate(_WORD.finditer(whole)) for k in range(*word.span())}
    return [number[places[word.start()]] for word in _WORD.finditer(text)]


class _Projection:
    """Maps places in a source to places in its translation."""

    def __init__(self, source: str, text: str, alignment: Alignment | None):
        self.source, self.text = source, text
        self.src = [match.span() for match in _WORD.finditer(source)]
        self.tgt = [match.span() for match in _WORD.finditer(text)]
        self.widened: set[int] = set()  # gaps that already have an extra space
        self.links: dict[int, set[int]] = {}
        for i, j in alignment or ():
            self.links.setdefault(i, set()).add(j)

    def place(
        self, elements: Sequence[Element], lo: int = 0, hi: int | None = None
    ) -> list[Element]:
        """Places elements within characters `lo` to `hi` of the translation."""
        hi = len(self.text) if hi is None else hi
        free = [j for j, (a, b) in enumerate(self.tgt) if lo < b and a < hi]
        ranges: list[tuple[int, int, Element]] = []
        for element in elements:
            words = self._words_of(element, free) or self._nearest(element, free, lo, hi)
            if words:
                free = [j for j in free if j not in words]
                start, end = self._characters(element, words)
            else:
                start = end = self._point(element, lo, hi)
            ranges.append((max(start, lo), max(min(end, hi), lo), element))
        # A single tag inside an element moves behind it: pairs must not cross.
        spans = [(a, b) for a, b, _ in ranges if a < b]
        placed = []
        for start, end, element in ranges:
            if start >= end:
                start = end = next((b for a, b in spans if a < start < b), start)
            new = Element(**{**vars(element), "start": start, "end": end})
            new.inner = self.place(element.inner, start, end)
            placed.append(new)
        # A stable sort: elements at the same place keep the order of the source.
        return sorted(placed, key=lambda e: (e.start, e.end))

    def _words_of(self, element: Element, free: Sequence[int]) -> set[int]:
        """The consecutive words that translate an element: the run with most of its links."""
        if element.start == element.end:
            return set()
        own = {i for i, (a, b) in enumerate(self.src) if a < element.end and element.start < b}
        linked = {j for i in own for j in self.links.get(i, ())} & set(free)
        foreign = {j for i, found in self.links.items() if i not in own for j in found} - linked
        if not linked:
            return set()
        rows: list[list[int]] = [[]]
        for j in range(min(linked), max(linked) + 1):
            if j in free and j not in foreign:
                rows[-1].append(j)
            else:
                rows.append([])
        best = max(rows, key=lambda row: len(linked & set(row)))
        kept = linked & set(best)
        return set(range(min(kept), max(kept) + 1))

    def _nearest(self, element: Element, free: Sequence[int], lo: int, hi: int) -> set[int]:
        """A word for an element that no word translates: one that is free, where it would stand."""
        if element.start == element.end or not free:
            return set()
        place = self._point(element, lo, hi)
        return {min(free, key=lambda j: abs(self.tgt[j][0] - place))}

    def _characters(self, element: Element, words: set[int]) -> tuple[int, int]:
        """The characters of some words, with marks at the ends only if the element has them."""
        start, end = self.tgt[min(words)][0], self.tgt[max(words)][1]
        if element.end > element.start:
            first, last = self.source[element.start], self.source[element.end - 1]
            while start < end - 1 and first.isalnum() and not self.text[start].isalnum():
                start += 1
            while end > start + 1 and last.isalnum() and not self.text[end - 1].isalnum():
                end -= 1
        return start, end

    def _point(self, element: Element, lo: int, hi: int) -> int:
        """The place of a single tag: beside the next or the previous word, or proportional."""
        before = [i for i, (_, b) in enumerate(self.src) if b <= element.start]
        behind = [i for i, (a, _) in enumerate(self.src) if a >= element.start]
        touches = element.start > 0 and not self.source[element.start - 1].isspace()
        if behind and (found := self.links.get(behind[0])) and not (touches and before):
            place = self.tgt[min(found)][0]
        elif before and (found := self.links.get(before[-1])):
            place = self.tgt[max(found)][1]
        elif not before or not self.tgt:
            place = lo
        elif not behind:
            place = hi
        else:
            place = self.tgt[min(len(before) * len(self.tgt) // len(self.src), len(self.tgt) - 1)][
                0
            ]
        if element.before.isspace():  # an extra space between two words
            gaps = [a for a, _ in self.tgt[1:]]
            free = [gap for gap in gaps if gap not in self.widened]  # two in one gap would merge
            place = min(free or gaps, key=lambda gap: abs(gap - place), default=place)
            self.widened.add(place)
        return max(lo, min(place, hi))
