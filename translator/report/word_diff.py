"""A sentence beside its reference: which words differ, and where its pieces stand."""

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import pairwise

MOST_WORDS = 1000  # what comes after them is not compared: that takes the square of the time
END = "</s>"
_MARKS = re.escape("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~…–—„“”‚‘’«»¿¡،؛؟。、，！？")
# White space, one mark, or a word. An emoji of several characters, or a letter and its accents,
# stay together.
_TOKEN = re.compile(rf"\s+|[{_MARKS}]|[^\s{_MARKS}]+")

Span = tuple[int, int]  # a place in a text: its first character, and the one after its last
Part = tuple[str, int | None]  # a text, and the number of the piece that it belongs to
Run = tuple[bool, list[Part]]  # whether it differs, and its text


def _words(text: str) -> list[Span]:
    """Where its words and marks are."""
    return [match.span() for match in _TOKEN.finditer(text) if not match[0].isspace()]


def common_words(text: str, other: str) -> tuple[set[int], set[int]]:
    """The numbers of the words that both have in one order, in each of them."""
    a, b = ([t[slice(*span)] for span in _words(t)[:MOST_WORDS]] for t in (text, other))
    ours: set[int] = set()
    theirs: set[int] = set()
    for block in SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks():
        ours.update(range(block.a, block.a + block.size))
        theirs.update(range(block.b, block.b + block.size))
    return ours, theirs


def closest(text: str, others: Sequence[str]) -> int:
    """Which of the others has the most words of a text."""
    return max(range(len(others)), key=lambda n: len(common_words(text, others[n])[0]))


def cut(text: str, common: set[int]) -> list[str]:
    """Cuts a text where it begins and ceases to differ.

    Returns:
        Parts that make the text again: those at even places are common, those at odd ones differ.
    """
    words = _words(text)
    ends = [0]
    for n, (start, end) in enumerate(words):
        if n in common or n >= MOST_WORDS:
            continue
        if len(ends) > 1 and n - 1 not in common:
            ends[-1] = end  # the space between two words that differ differs too
        else:
            ends += [start, end]
    return [text[a:b] for a, b in pairwise([*ends, len(text)])]


def piece_spans(text: str, pieces: Sequence[str]) -> list[Span] | None:
    """Where in a text its pieces are; None if they are not those of this text."""
    spans, place = [], 0
    for piece in pieces:
        letters = piece.replace("\u2581", " ").strip()
        if piece == END:
            letters = ""
        elif letters:
            place += len(text[place:]) - len(text[place:].lstrip())
        if not text.startswith(letters, place):
            return None
        spans.append((place, place + len(letters)))
        place += len(letters)
    return None if text[place:].strip() else spans


def runs(parts: Sequence[str], spans: Sequence[Span] = ()) -> list[Run]:
    """Parts of a text, as from `cut`, each cut further into pieces and what is in none."""
    found, place = [], 0
    for n, part in enumerate(parts):
        found.append((n % 2 == 1, list(_with_pieces(part, place, spans))))
        place += len(part)
    return found


def _with_pieces(text: str, place: int, spans: Sequence[Span]) -> Iterator[Part]:
    """A part of a text that begins at `place`: what is in no piece, and the pieces."""
    done = 0
    for n, (start, end) in enumerate(spans):
        start, end = max(start - place, 0), min(end - place, len(text))
        if start < end:
            yield text[done:start], None
            yield text[start:end], n
            done = end
    yield text[done:], None
