"""The results of translation: a line is translated in segments, which are joined again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from translator.text.layout import mark_end
from translator.text.quotes import DOUBLE, match_quotes
from translator.text.terms import TermUse
from translator.translation import confidence as trust
from translator.translation.markup import restore
from translator.translation.units import Unit
from translator.translation.word_alignment import Alignment

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Repair:
    """What a guard found in a translation, and what was done about it."""

    faults: list[str]  # see translator/translation/faults.py; "capitals" are one of the source
    by: str  # "copied", "wider beam", "split", "no repetition", "small letters"; or "nothing"
    left: list[str]  # faults of the result


@dataclass(frozen=True)
class Segment:
    """A sentence of a line, or a part of one too long: what the model reads at once."""

    source: str
    text: str
    score: float
    n_best: list[tuple[str, float]]  # (text, score), best first
    alignment: Alignment | None = None  # of words, if asked for
    repair: Repair | None = None
    confidences: list[float] = field(default_factory=list)  # of each of `n_best`, if asked for
    # What is written in another form in the other language: ("1,234.5", "1.234,5").
    numbers: list[tuple[str, str]] = field(default_factory=list)
    terms: list[TermUse] = field(default_factory=list)  # of a glossary that the source holds

    @property
    def confidence(self) -> float | None:
        """The confidence in `text`, if asked for."""
        return self.confidences[0] if self.confidences else None


@dataclass(frozen=True)
class Translation:
    """The translation of a line. Its score is the sum of the scores of its segments."""

    source: str
    text: str
    score: float
    n_best: list[tuple[str, float]] = field(default_factory=list)  # (text, score), best first
    alignment: Alignment | None = None
    segments: list[Segment] = field(default_factory=list)
    # Of each of `n_best`, if asked for; see `confidence.combine_confidences`.
    confidences: list[float] = field(default_factory=list)
    # For each of `n_best` the text that is withheld, in whose place `n_best` has ""; else None.
    withheld: list[str | None] = field(default_factory=list)

    @property
    def confidence(self) -> float | None:
        """The confidence in `text`, if asked for."""
        return self.confidences[0] if self.confidences else None

    @property
    def terms(self) -> list[TermUse]:
        """The terms of a glossary that the source holds, and whether `text` has them."""
        return [use for segment in self.segments for use in segment.terms]

    def withhold(self, least: float) -> Translation:
        """The same without the texts whose confidence is below `least`; a blank line is kept."""
        if not self.segments:
            return self
        away = [confidence < least for confidence in self.confidences]
        texts = [text for text, _ in self.n_best]
        n_best = [("" if gone else t, s) for (t, s), gone in zip(self.n_best, away, strict=True)]
        withheld = [text if gone else None for text, gone in zip(texts, away, strict=True)]
        return replace(self, text=n_best[0][0], n_best=n_best, withheld=withheld)


def with_quotes(unit: Unit, segment: Segment, language: str) -> Segment:
    """A segment whose best text has the source's kind of quotation marks; `language` is its own."""
    if unit.prefix or any(c in DOUBLE for copy in unit.source.copies for c in copy.text):
        return segment  # these marks are not ours: a user's beginning, or code
    text = match_quotes(unit.text, segment.text, language)
    return replace(segment, text=text, n_best=[(text, segment.score), *segment.n_best[1:]])


def with_markup(unit: Unit, segment: Segment) -> Segment:
    """A segment with the tags, repetitions and marks that the model did not read."""
    numbers = [(span.text, span.written) for span in unit.numbers if span.written in segment.text]
    segment = replace(segment, numbers=numbers)
    if not (unit.elements or unit.marks):
        return segment
    n_best = []
    source, alignment = unit.text, segment.alignment
    for rank, (text, score) in enumerate(segment.n_best):
        marked = restore(unit.text, unit.elements, text, None if rank else segment.alignment)
        n_best.append((mark_end(marked.text, unit.marks), score))
        if not rank:
            source, alignment = mark_end(marked.source, unit.marks), marked.alignment
    return replace(segment, source=source, text=n_best[0][0], n_best=n_best, alignment=alignment)


def join_line(
    line: str,
    parts: Sequence[tuple[Unit, Segment]],
    confidence: bool = False,
    alignments: bool = False,
) -> Translation:
    """Joins the segments of a line again, with what stands around and between them."""
    if not parts:
        alone = [trust.combine_confidences([])] if confidence else []
        links = [(i, i) for i in range(len(line.split()))] if alignments and line.strip() else None
        return Translation(line, line, 0.0, [(line, 0.0)], links, confidences=alone)
    lead = parts[0][0].lead
    n_best = []
    for rank in range(min(len(segment.n_best) for _, segment in parts)):
        chosen = [(*segment.n_best[rank], unit.space) for unit, segment in parts]
        text = "".join(text + space for text, _, space in chosen)
        n_best.append((lead + text, sum(score for _, score, _ in chosen)))
    alignment: Alignment | None = None
    if all(segment.alignment is not None for _, segment in parts):
        alignment = _join_alignments(parts)
    segments = [segment for _, segment in parts]
    ranks = zip(*(segment.confidences for segment in segments), strict=False)  # as `n_best`
    confidences = [trust.combine_confidences(rank) for rank in ranks]
    return Translation(line, *n_best[0], n_best, alignment, segments, confidences)


def _join_alignments(parts: Sequence[tuple[Unit, Segment]]) -> Alignment:
    """Links of the words of a line; what stays where it is links to itself."""
    links: set[tuple[int, int]] = set()
    texts = ["", ""]

    def add(src: str, tgt: str, linked: Alignment) -> None:
        first = []  # the word of each side that the addition begins with
        for side, more in enumerate((src, tgt)):
            # Text that touches the word before it is a part of that.
            touches = texts[side][-1:].strip() and more[:1].strip()
            first.append(len(texts[side].split()) - bool(touches))
            texts[side] += more
        links.update((first[0] + i, first[1] + j) for i, j in linked)

    def keep(text: str) -> None:
        add(text, text, [(k, k) for k in range(len(text.split()))])

    keep(parts[0][0].lead)
    for unit, segment in parts:
        add(segment.source, segment.text, segment.alignment or [])
        keep(unit.space)
    return sorted(links)


@dataclass(frozen=True)
class AttentionMap:
    """Attention in a sentence and its translation; self-attention has the pieces of one side."""

    src_pieces: list[str]  # S pieces that are looked at, the columns
    tgt_pieces: list[str]  # T pieces that look, the rows
    weights: Tensor  # (layers, H, T, S), rows sum to one


def join_lines(
    lines: Sequence[str],
    parts: Sequence[tuple[Unit, Segment]],
    confidence: bool,
    alignments: bool,
) -> list[Translation]:
    """Joins the segments of each line, with their markup."""
    by_line: dict[int, list[tuple[Unit, Segment]]] = {}
    for unit, segment in parts:
        marked = with_markup(unit, segment)
        if not alignments:
            marked = replace(marked, alignment=None)
        by_line.setdefault(unit.line, []).append((unit, marked))
    return [
        join_line(line, by_line.get(i, []), confidence, alignments) for i, line in enumerate(lines)
    ]
