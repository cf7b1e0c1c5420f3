"""Translations of lines -> what a request is answered."""

import math
from collections.abc import Sequence
from typing import Any

from translator.translation.alternatives import Alternative
from translator.translation.confidence import combine_confidences
from translator.translation.result import Segment, Translation


def joined(lines: Sequence[Translation]) -> str:
    """The text of a translation."""
    return "\n".join(line.text for line in lines)


def alternatives_of(lines: Sequence[Translation], n: int) -> list[str]:
    """At most `n` other translations of a text, each line with its next best one."""
    ranks = range(1, max((len(line.n_best) for line in lines), default=0))
    found = ["\n".join(_ranked(line, rank)[0] for line in lines) for rank in ranks]
    return [text for text in dict.fromkeys(found) if text != joined(lines)][:n]


def n_best_of(lines: Sequence[Translation], n: int) -> list[dict[str, Any]]:
    """The `n` best translations of a text with their scores."""
    found = []
    for rank in range(min(n, max((len(line.n_best) for line in lines), default=0))):
        chosen = [_ranked(line, rank) for line in lines]
        score = sum(score for _, score in chosen)
        text = "\n".join(text for text, _ in chosen)
        found.append({"text": text, "score": round(score, 4) if math.isfinite(score) else None})
    return found


def _ranked(line: Translation, rank: int) -> tuple[str, float]:
    return line.n_best[min(rank, len(line.n_best) - 1)]


def confidence_of(lines: Sequence[Translation]) -> float | None:
    """That of the weakest line; None if the model cannot tell."""
    known = [line.confidence for line in lines if line.confidence is not None]
    return round(combine_confidences(known), 4) if len(known) == len(lines) else None


def alignments_of(lines: Sequence[Translation]) -> list[list[int]]:
    """Pairs of a word of the source and one of the translation, counted through all lines."""
    found = []
    first = [0, 0]
    for line in lines:
        found += [[first[0] + i, first[1] + j] for i, j in line.alignment or []]
        first = [first[0] + len(line.source.split()), first[1] + len(line.text.split())]
    return found


def segments_of(lines: Sequence[Translation]) -> list[dict[str, Any]]:
    """The sentences of a text and what stands between them, in the form of page.js."""
    found: list[dict[str, Any]] = []
    between = ""
    for number, line in enumerate(lines):
        between += "\n" * bool(number)
        position = 0
        for segment in line.segments:
            start = line.text.find(segment.text, position)
            if start < 0:  # it was changed when the line was joined
                continue
            between += line.text[position:start]
            if found:
                found[-1]["after"], between = between, ""
            found.append({**segment_dict(segment), "before": between, "after": ""})
            between, position = "", start + len(segment.text)
        between += line.text[position:]
    if found:
        found[-1]["after"] = between
        return found
    text = joined(lines)
    alone = Segment(text, text, 0.0, [], [(i, i) for i in range(len(text.split()))])
    return [{**segment_dict(alone), "before": "", "after": ""}]


def segment_dict(segment: Segment) -> dict[str, Any]:
    """A sentence in the form of page.js, without what stands around it."""
    origins: dict[int, list[int]] = {}
    for src, tgt in segment.alignment or []:
        origins.setdefault(tgt, []).append(src)
    confidence = segment.confidence
    return {
        "source": segment.source,
        "translation": segment.text,
        "confidence": None if confidence is None else round(confidence, 4),
        "sourceWords": segment.source.split(),
        "words": [
            {"text": word, "from": origins.get(i, [])}
            for i, word in enumerate(segment.text.split())
        ],
    }


def continuations_of(found: Sequence[Alternative]) -> list[dict[str, Any]]:
    """Alternatives in the form of page.js."""
    around = {"before": "", "after": ""}
    return [{"word": a.word, "segment": {**segment_dict(a.segment), **around}} for a in found]
