"""A sentence beside its reference: which words differ, and where its pieces stand."""

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import pairwise

from translator.report.elements import Html, element, joined

MOST_WORDS = 1000  # what comes after them is not compared: that takes the square of the time
END = "</s>"
_MARKS = re.escape("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~…–—„“”‚‘’«»¿¡،؛؟。、，！？")
# White space, one mark, or a word. An emoji of several characters, or a letter and its accents,
# stay together.
_TOKEN = re.compile(rf"\s+|[{_MARKS}]|[^\s{_MARKS}]+")

Span = tuple[int, int]  # a place in a text: its first character, and the one after its last


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


def marked(parts: Sequence[str], mark: str, spans: Sequence[Span] = ()) -> Html:
    """Parts of a text, the odd ones in an element `mark`, each piece in a span with its number."""
    html, place = [], 0
    for n, part in enumerate(parts):
        inner = joined(*_with_pieces(part, place, spans))
        html.append(element(mark, inner) if n % 2 else inner)
        place += len(part)
    return joined(*html)


def _with_pieces(text: str, place: int, spans: Sequence[Span]) -> Iterator[str]:
    """A part of a text that begins at `place`: what is in no piece, and the pieces."""
    done = 0
    for n, (start, end) in enumerate(spans):
        start, end = max(start - place, 0), min(end - place, len(text))
        if start < end:
            yield text[done:start]
            yield piece(text[start:end], n)
            done = end
    yield text[done:]


def piece(text: str, number: int) -> Html:
    """A piece that can be pointed at."""
    return element("span", text, class_="piece", data_piece=number)
