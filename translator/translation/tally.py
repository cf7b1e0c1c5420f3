"""Counts what translations had to keep, and whether they did."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from translator.text.layout import TAG, split_tags
from translator.text.numbers import lost_numbers
from translator.text.protected import protected_spans
from translator.translation.result import Translation

# White space and signs that part or mark text.
_MARKS = re.compile(r"\s{2,}|[\t|♪♫•◦▪→←★✓]|[!?]{2,}|\.{4,}")
_DIGITS = re.compile(r"\d+(?:[.,:]\d+)*")
KINDS = ("placeholders", "tags", "marks", "numbers")


@dataclass
class Tally:
    """What has been counted; `add` takes one line after the other."""

    lines: int = 0
    held: Counter[str] = field(default_factory=Counter)  # how many of each kind the sources have
    lost: Counter[str] = field(default_factory=Counter)  # how many the translations lack
    extra: Counter[str] = field(default_factory=Counter)  # how many came too often
    terms: int = 0  # of a glossary that the sources hold
    lost_terms: Counter[str] = field(default_factory=Counter)  # that their translations lack

    def add(self, found: Translation) -> list[str]:
        """Counts a line; returns what is wrong in it, in words."""
        self.lines += 1
        for use in found.terms:
            self.terms += 1
            self.lost_terms[use.source] += use.used is None
        text = (found.withheld and found.withheld[0]) or found.text
        wrong = []
        for kind, held, lost, extra in _compare(found.source, text):
            self.held[kind] += held
            self.lost[kind] += len(lost)
            self.extra[kind] += len(extra)
            wrong += [f'"{part}" is missing' for part in lost]
            wrong += [f'"{part}" is there too often' for part in extra]
        return wrong

    def state(self) -> dict[str, Any]:
        """All counts, for JSON."""
        return dict(vars(self))

    def resume(self, state: dict[str, Any]) -> None:
        """Goes on from the `state` of another tally."""
        for name, value in state.items():
            setattr(self, name, Counter(value) if isinstance(value, dict) else value)

    @property
    def n_wrong(self) -> int:
        """How much did not come out as often as it went in."""
        return self.lost.total() + self.extra.total()

    @property
    def said_terms(self) -> str:
        """How many terms of a glossary were used, and which were not."""
        line = f"{self.terms - self.lost_terms.total():,} of {self.terms:,} terms used"
        missing = [f"{term} ({n})" for term, n in self.lost_terms.most_common() if n]
        return f"{line}; not: {', '.join(missing)}." if missing else f"{line}."

    @property
    def said_kinds(self) -> str:
        """How many of what had to be kept were kept."""
        kinds = [
            f"{self.held[k] - self.lost[k]:,} of {self.held[k]:,} {k}"
            + (f" ({self.extra[k]:,} too many)" if self.extra[k] else "")
            for k in KINDS
        ]
        return f"{self.lines:,} line{'s'[: self.lines != 1]}; kept: {', '.join(kinds)}."


def _compare(source: str, translation: str) -> Iterator[tuple[str, int, list[str], list[str]]]:
    """For each kind how many the source holds, which are lost, and which come too often."""
    parts = zip(KINDS, _parts(source), _parts(translation), strict=False)
    for kind, before, after in parts:
        lost = [
            part for part in (before - after).elements() if translation.count(part) < before[part]
        ]
        # What a source does not hold as such may be another way to write it: 10 to 20, 10-20.
        extra = [part for part in (after - before).elements() if part in before or kind == "tags"]
        if kind == "tags" and not (lost or extra) and _unclosed(source) != _unclosed(translation):
            extra = ["a tag in another order"]
        yield kind, before.total(), lost, extra
    yield "numbers", len(_DIGITS.findall(source)), lost_numbers(source, translation), []


def _parts(text: str) -> Iterator[Counter[str]]:
    """The placeholders, tags and marks of a text, and how often each occurs."""
    plain, tags = split_tags(text)
    yield Counter(plain[start:end] for start, end in protected_spans(plain))
    yield Counter(tag.text for tag in tags if tag.text.strip())
    yield Counter(_MARKS.findall(TAG.sub("\0", text)))


def _unclosed(text: str) -> tuple[list[str], list[str]]:
    """The tags that are opened and not closed, and those that are closed and were not open."""
    waiting: list[str] = []
    stray: list[str] = []
    for tag in split_tags(text)[1]:
        if tag.kind == "open":
            waiting.append(tag.name)
        elif tag.kind == "close" and waiting[-1:] == [tag.name]:
            waiting.pop()
        elif tag.kind == "close":
            stray.append(tag.name)
    return waiting, stray
