"""Compares a sentence with its reference: which words differ, and where its pieces are."""

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import pairwise

MOST_WORDS = 1000  # later words are not compared: time grows with the square
END = "</s>"
_MARKS = re.escape("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~…–—„“”‚‘’«»¿¡،؛؟。、，！？")
# White space, one mark, or a word. Emoji of several characters and letters with combining accents
# stay whole.
_TOKEN = re.compile(rf"\s+|[{_MARKS}]|[^\s{_MARKS}]+")

Span = tuple[int, int]  # start and end in a text
Part = tuple[str, int | None]  # a text, and the number of its piece, if any
Run = tuple[bool, list[Part]]  # whether it differs, and its parts


def _find_words(text: str) -> list[Span]:
    """The spans of words and marks."""
    return [match.span() for match in _TOKEN.finditer(text) if not match[0].isspace()]


def find_common_words(text: str, other: str) -> tuple[set[int], set[int]]:
    """The numbers, in each text, of the words that both have in the same order."""
    a, b = ([t[slice(*span)] for span in _find_words(t)[:MOST_WORDS]] for t in (text, other))
    ours: set[int] = set()
    theirs: set[int] = set()
    for block in SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks():
        ours.update(range(block.a, block.a + block.size))
        theirs.update(range(block.b, block.b + block.size))
    return ours, theirs


def find_closest(text: str, others: Sequence[str]) -> int:
    """The number of the text in `others` that shares most words with `text`."""
    return max(range(len(others)), key=lambda n: len(find_common_words(text, others[n])[0]))


def cut(text: str, common: set[int]) -> list[str]:
    """Cuts a text where differences begin and end.

    Returns:
        Parts that join to the text: those at even places are common, those at odd places differ.
    """
    words = _find_words(text)
    ends = [0]
    for n, (start, end) in enumerate(words):
        if n in common or n >= MOST_WORDS:
            continue
        if len(ends) > 1 and n - 1 not in common:
            ends[-1] = end  # the space between two words that differ differs too
        else:
            ends += [start, end]
    return [text[a:b] for a, b in pairwise([*ends, len(text)])]


def locate_pieces(text: str, pieces: Sequence[str]) -> list[Span] | None:
    """The spans of pieces in a text; None if they do not match it."""
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


def split_runs(parts: Sequence[str], spans: Sequence[Span] = ()) -> list[Run]:
    """Splits each part of a text, as from `cut`, into its pieces and the text between them."""
    found, place = [], 0
    for n, part in enumerate(parts):
        found.append((n % 2 == 1, list(_split_pieces(part, place, spans))))
        place += len(part)
    return found


def _split_pieces(text: str, place: int, spans: Sequence[Span]) -> Iterator[Part]:
    """Splits a part of a text, which starts at `place`, into pieces and the text between them."""
    done = 0
    for n, (start, end) in enumerate(spans):
        start, end = max(start - place, 0), min(end - place, len(text))
        if start < end:
            yield text[done:start], None
            yield text[start:end], n
            done = end
    yield text[done:], None
