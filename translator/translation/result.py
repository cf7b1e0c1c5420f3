"""The results of translation: a line is translated in segments, which are joined again."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from translator.translation import confidence as trust
from translator.translation.units import Unit
from translator.translation.word_alignment import Alignment


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
    # Of each of `n_best`, if asked for; see `confidence.line_confidence`.
    confidences: list[float] = field(default_factory=list)
    # For each of `n_best` the text that is withheld, in whose place `n_best` has ""; else None.
    withheld: list[str | None] = field(default_factory=list)

    @property
    def confidence(self) -> float | None:
        """The confidence in `text`, if asked for."""
        return self.confidences[0] if self.confidences else None

    def withhold(self, least: float) -> "Translation":
        """The same without the texts whose confidence is below `least`; a blank line is kept."""
        if not self.segments:
            return self
        away = [confidence < least for confidence in self.confidences]
        texts = [text for text, _ in self.n_best]
        n_best = [("" if gone else t, s) for (t, s), gone in zip(self.n_best, away, strict=True)]
        withheld = [text if gone else None for text, gone in zip(texts, away, strict=True)]
        return replace(self, text=n_best[0][0], n_best=n_best, withheld=withheld)


def join_line(
    line: str, parts: Sequence[tuple[Unit, Segment]], confidence: bool = False
) -> Translation:
    """Joins the segments of a line again, within the white space around and between them."""
    if not parts:
        alone = [trust.line_confidence([])] if confidence else []
        return Translation(line, line, 0.0, [(line, 0.0)], confidences=alone)
    head = line[: len(line) - len(line.lstrip())]
    tail = line[len(line.rstrip()) :]
    n_best = []
    for rank in range(min(len(segment.n_best) for _, segment in parts)):
        chosen = [(*segment.n_best[rank], unit.space) for unit, segment in parts]
        text = "".join(text + space for text, _, space in chosen)
        n_best.append((head + text + tail, sum(score for _, score, _ in chosen)))
    alignment: Alignment | None = None
    if all(segment.alignment is not None for _, segment in parts):
        alignment, src_text, tgt_text = [], "", ""
        for unit, segment in parts:
            # A cut inside a word leaves it one word.
            src_start, tgt_start = (
                len(text.split()) - bool(text and not text[-1].isspace())
                for text in (src_text, tgt_text)
            )
            alignment += [(src_start + i, tgt_start + j) for i, j in segment.alignment or ()]
            src_text += unit.text + unit.space
            tgt_text += segment.text + unit.space
        alignment = sorted(set(alignment))
    segments = [segment for _, segment in parts]
    ranks = zip(*(segment.confidences for segment in segments), strict=False)  # as `n_best`
    confidences = [trust.line_confidence(rank) for rank in ranks]
    return Translation(line, *n_best[0], n_best, alignment, segments, confidences)


@dataclass(frozen=True)
class AttentionMap:
    """Cross-attention of a sentence and its translation, for pictures."""

    src_pieces: list[str]  # S pieces, EOS last
    tgt_pieces: list[str]  # T pieces, EOS last
    weights: Tensor  # (layers, H, T, S), rows sum to one
