"""What surrounds a model: spans that are carried over unchanged, and white space.

A span that the vocabulary cannot spell (an emoji, a Greek word), or that no translation may change
(an address, a placeholder, code: translator/text/protected.py), is masked by one stand-in
character, which becomes a placeholder `<copy_i>` among the ids. The model puts the placeholder in
its place (data_prep/augmentation/copy_placeholders.py trains that), and the span returns there.
"""

import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from translator.text.protected import Span, protected_spans
from translator.text.tokenizer import N_COPY, Tokenizer

STAND_IN = "\ue000"  # private use: never in a vocabulary, so always spelled in bytes
# Typographic marks that a corpus may lack, and what stands for them then.
_PLAIN_MARKS = {"’": "'", "‘": "'", "“": '"', "”": '"', "„": '"', "–": "-", "—": "-", "…": "..."}
# Joiners, variation selectors and combining marks belong to the character before them.
_TAIL = "\u200d\ufe0e\ufe0f\u20e3"
# Invisible characters that only say where a line may break or which way it runs.
_INVISIBLE = re.compile(r"[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
# Joiners between Latin letters, which join nothing there; emoji and other scripts need theirs.
_IDLE_JOINER = re.compile(r"(?<=[A-Za-zÀ-ɏ])[\u200c\u200d]+|[\u200c\u200d]+(?=[A-Za-zÀ-ɏ])")
# Where letters and digits lie that are others in another form: ligatures, full width, bold.
_COMPATIBLE = itertools.chain(
    *[range(0x132, 0x134), range(0x1C4, 0x1CD), range(0x2100, 0x2150), range(0xFB00, 0xFB07)],
    *[range(0xFF01, 0xFF5F), range(0x1D400, 0x1D800)],
)
_FOLDED = {
    chr(code): plain
    for code in _COMPATIBLE
    if (plain := unicodedata.normalize("NFKC", chr(code))) != chr(code)
    and (unicodedata.category(chr(code))[0] in "LN" or 0xFF01 <= code <= 0xFF5E)
}
_RUN = re.compile(r"\w+|[^\w\s]+")


@dataclass(frozen=True)
class CopySpan:
    """A span of the source, and whether white space or a word touches it there."""

    text: str
    space_before: bool
    glued_after: bool  # a letter or digit follows at once
    written: str  # what replaces it in the translation: the same, or a number in its new form


@dataclass(frozen=True)
class Source:
    """A text for the model: `ids` without EOS, and the spans its placeholders stand for."""

    ids: list[int]
    copies: list[CopySpan]


def normalise(text: str) -> str:
    """What the model reads: NFC, every run of white space one space, nothing invisible."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", _IDLE_JOINER.sub("", _INVISIBLE.sub("", text)))
    return " ".join(text.split())


def fold(text: str) -> str:
    """`text` with plain letters for those in another form: ligatures, full width, bold."""
    return text if text.isascii() else "".join(_FOLDED.get(c, c) for c in text)


def _unknown_spans(
    text: str, alphabet: frozenset[str], known: Iterable[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """Words with, or runs of, characters outside `alphabet` and the `known` spans."""
    if alphabet.issuperset(text):  # most sentences
        return
    covered = {i for start, end in known for i in range(start, end)}
    for match in _RUN.finditer(text):
        start, end = match.span()
        unknown = [i for i in range(start, end) if text[i] not in alphabet and i not in covered]
        if not unknown:
            continue
        if text[start].isalnum() or text[start] == "_":  # half a word cannot be translated
            yield start, end
        else:
            yield from ((i, i + 1) for i in unknown)


def _merge(spans: list[tuple[int, int]], text: str) -> list[tuple[int, int]]:
    """Joins spans that touch or have only white space or a tail character between them."""
    merged: list[tuple[int, int]] = []
    for start, end in spans:
        while end < len(text) and (text[end] in _TAIL or unicodedata.combining(text[end])):
            end += 1
        if merged and not text[merged[-1][1] : start].strip():
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def mask(
    text: str, alphabet: frozenset[str], chosen: Iterable[Span] = ()
) -> tuple[str, list[CopySpan]]:
    """`text` with a stand-in for each span that is to be carried over, and those spans.

    These are the spans that no translation may change, those `chosen` that overlap with none of
    them, and those that the alphabet cannot spell.
    """
    masked, copies, position = [], [], 0
    spans = protected_spans(text)
    rewritten = []
    for span in chosen:
        if all(span.end <= start or end <= span.start for start, end in spans):
            spans.append((span.start, span.end))
            rewritten.append(span)
    spans += _unknown_spans(text, alphabet, spans)
    for start, end in _merge(sorted(spans), text):
        glued = end < len(text) and text[end].isalnum()
        space_before = start == 0 or text[start - 1].isspace()
        copied = written = text[start:end]
        for span in reversed([s for s in rewritten if start <= s.start < end]):
            written = written[: span.start - start] + span.written + written[span.end - start :]
        copies.append(CopySpan(copied, space_before, glued, written))
        masked += [text[position:start], STAND_IN, " " if glued else ""]
        position = end
    return "".join([*masked, text[position:]]), copies


class TextCodec:
    """Text -> ids with placeholders -> text, for one tokenizer."""

    def __init__(self, tokenizer: Tokenizer):
        self.tokenizer = tokenizer
        space_and_bytes = tokenizer.encode(STAND_IN)
        self._space, self._stand_in = space_and_bytes[:-3], space_and_bytes[-3:]
        marks = {m: plain for m, plain in _PLAIN_MARKS.items() if m not in tokenizer.alphabet}
        folded = {
            letter: plain
            for letter, plain in _FOLDED.items()
            if letter not in tokenizer.alphabet and tokenizer.alphabet.issuperset(plain)
        }
        self._plain = str.maketrans(marks | folded)
        self._known = tokenizer.alphabet | marks.keys() | folded.keys()

    def spells(self, text: str) -> bool:
        """Whether there is a letter in `text` that is not merely carried over."""
        return text.isascii() or any(map(str.isalpha, mask(text, self._known)[0]))

    def encode(self, text: str, chosen: Iterable[Span] = ()) -> Source:
        """A normalised text -> its ids. Copy placeholder i stands for the i-th span.

        Marks and letters that the vocabulary lacks are read as plainer ones.

        Args:
            text: what is encoded.
            chosen: further spans that are to be carried over; in order, apart.
        """
        masked, copies = mask(text, self._known, chosen)
        placeholders = itertools.cycle(self.tokenizer.copy_ids)
        return Source(self.encode_masked(masked.translate(self._plain), placeholders), copies)

    def encode_masked(self, masked: str, placeholders: Iterator[int | None]) -> list[int]:
        """The ids of a text, with the next placeholder for each stand-in; None leaves that one."""
        ids: list[int] = []
        for piece in self.tokenizer.encode(masked):
            ids.append(piece)
            if ids[-3:] == self._stand_in and (placeholder := next(placeholders)) is not None:
                del ids[-3:]
                if self._space and ids[-1:] == self._space:
                    del ids[-1:]  # the space before it, which no word carries
                ids.append(placeholder)
        return ids

    def decode(self, ids: Sequence[int], source: Source) -> str:
        """The model's ids -> text, each placeholder of the source once, strange ones dropped."""
        left = dict(zip(self.tokenizer.copy_ids, source.copies, strict=False))
        text = ""
        glued = False  # to the span before
        for copied, group in itertools.groupby(ids, lambda piece: piece in self.tokenizer.copy_ids):
            if not copied:
                part = self._spell(list(group), first=not text)
                text += part.lstrip() if glued else part
                glued = False
                continue
            for span in filter(None, (left.pop(piece, None) for piece in group)):
                text += " " if span.space_before and text and not text[-1].isspace() else ""
                text += span.written
                glued = span.glued_after
        return text

    def _spell(self, ids: list[int], first: bool) -> str:
        """Ids without placeholders -> one line of text."""
        text = self.tokenizer.decode(ids).replace("\n", " ")
        return text if first or not self.tokenizer.starts_word[ids[0]] else f" {text}"

    def missing(self, ids: Sequence[int], source: Source) -> list[int]:
        """The placeholders of the source that `ids` lacks."""
        return [i for i in self.tokenizer.copy_ids[: len(source.copies)] if i not in ids]


def target_ids(codec: TextCodec, text: str, source: Source) -> list[int]:
    """A normalised translation of `source` -> its ids, as the model would have written them.

    What `TextCodec.decode` would make of a placeholder becomes that placeholder again: each span
    that the source carries over, where `text` has it, once. White space beside it is not the
    model's to write. All else is spelled in pieces, and in bytes where the vocabulary ends.
    """
    copies = source.copies[:N_COPY]  # there are no placeholders for more
    masked, position = "", 0
    stands_for: list[int | None] = []  # for each stand-in its placeholder; None for a user's own
    for start, end, i in sorted(_copied_spans(text, copies)):
        between = text[position:start]
        stands_for += [*[None] * between.count(STAND_IN), codec.tokenizer.copy_ids[i]]
        # A word that touches the span is read, and written, as if it were a word of its own.
        glued = copies[i].glued_after and text[end : end + 1].isalnum()
        masked += between + STAND_IN + (" " if glued else "")
        position = end
    stands_for += [None] * text[position:].count(STAND_IN)
    return codec.encode_masked(masked + text[position:], iter(stands_for))


def _copied_spans(text: str, copies: Sequence[CopySpan]) -> Iterator[tuple[int, int, int]]:
    """Where the spans of a source occur in its translation: (start, end, which), apart.

    Each at most once and long ones first, for a short one may be a part of them; then in the order
    of the source. Parts of longer words are the last choice.
    """
    taken: dict[int, tuple[int, int]] = {}
    longest_first = sorted(range(len(copies)), key=lambda i: -len(copies[i].written))
    for inside_words in (False, True):
        for i in longest_first:
            if i in taken:
                continue
            for match in re.finditer(re.escape(copies[i].written), text):
                start, end = match.span()
                if any(start < e and s < end for s, e in taken.values()):
                    continue
                if inside_words or not _cuts_word(text, start, end, copies[i]):
                    taken[i] = (start, end)
                    yield start, end, i
                    break


def _cuts_word(text: str, start: int, end: int, span: CopySpan) -> bool:
    """Whether `text` goes on with letters or digits where the source's word began or ended."""
    before, first = text[start - 1 : start], text[start]
    last, after = text[end - 1], text[end : end + 1]
    return (span.space_before and before.isalnum() and first.isalnum()) or (
        last.isalnum() and after.isalnum()
    )
