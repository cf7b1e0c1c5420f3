"""Sentences on the page of an evaluation: examples to read, and the data of all for the script."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from markupsafe import Markup

from translator.report.charts import format_signed
from translator.report.results import Analysis, AttentionMap, Line, SplitResult
from translator.report.word_diff import (
    END,
    Part,
    Run,
    cut,
    find_closest,
    find_common_words,
    locate_pieces,
    split_runs,
)

MOST_DIFFERENT = 5  # lines to show where either of two systems is better by most
_LISTS = {
    "worst": "Worst, by chrF",
    "best": "Best, by chrF",
    "random": "Chosen at random",
    "first": "A better than B by most chrF",
    "second": "B better than A by most chrF",
}
_SEEN = {
    "both sides": "source and reference are in the training data, or nearly so",
    "source": "the source is in the training data, or nearly so",
    "target": "the reference is in the training data, or nearly so",
    "no": "not in the training data",
}


@dataclass(frozen=True)
class Compared:
    """A sentence with its texts cut where they differ (see `word_diff.cut`)."""

    line: Line  # of the first system
    other: Line | None  # of the second
    hypotheses: list[list[str]]
    references: list[list[str]]

    @property
    def delta(self) -> float | None:
        """The chrF of the first system minus that of the second."""
        return None if self.other is None else self.line.chrf - self.other.chrf


def compare_lines(found: Mapping[str, Analysis]) -> list[Compared]:
    """The sentences of a split, each hypothesis compared with the reference closest to it."""
    others = {line.n: line for line in found["b"].lines} if "b" in found else {}
    return [_compare(line, others.get(line.n)) for line in found["a"].lines] if found else []


def _compare(line: Line, other: Line | None) -> Compared:
    shared: list[set[int]] = [set() for _ in line.references]  # words that a hypothesis has
    hypotheses = []
    for text in [line.hypothesis, *([other.hypothesis] if other else [])]:
        near = find_closest(text, line.references) if len(line.references) > 1 else 0
        ours, theirs = find_common_words(text, line.references[near]) if shared else (set(), set())
        hypotheses.append(cut(text, ours))
        if shared:
            shared[near] |= theirs
    # A reference that no hypothesis was compared with has no marks.
    references = [
        cut(text, common) if common or len(shared) == 1 else [text]
        for text, common in zip(line.references, shared, strict=True)
    ]
    return Compared(line, other, hypotheses, references)


def _languages(result: SplitResult) -> tuple[str, str]:
    """The codes of source and target language; empty if unknown."""
    direction = result.model.direction if result.model else None
    return (direction[0], direction[1]) if direction else ("", "")


# --- examples ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Text:
    """A text on the card of a sentence.

    Attributes:
        name: "source", "reference" or "hypothesis".
        language: the code of its language, or empty.
        runs: the text, see `word_diff.split_runs`.
        mark: the HTML element that marks differences.
        system: 0 or 1 if the card has hypotheses of two systems.
        side: "src" or "tgt" if the pieces react to the pointer.
        end: the number of its last piece if that is EOS.
        pieces: pieces that do not match the text and are therefore shown after it.
    """

    name: str
    language: str
    runs: list[Run]
    mark: str
    system: int | None = None
    side: str | None = None
    end: int | None = None
    pieces: Sequence[Part] = ()


@dataclass(frozen=True)
class Card:
    """A sentence: facts about it, and its source, references and hypotheses."""

    split: int
    n: int
    about: list[str]
    rows: list[Text]
    attention: bool


@dataclass(frozen=True)
class Examples:
    """Lists of cards with their headings, and whether attention can be shown."""

    attention: bool
    lists: list[tuple[str, list[Card]]]


def choose_examples(number: int, result: SplitResult, lines: Sequence[Compared]) -> Examples:
    """The sentences of split `number` to show, readable without a script."""
    assert result.analysis
    maps = result.analysis.attention or {}
    by_number = {compared.line.n: compared for compared in lines}
    chosen = dict(result.analysis.shown or {})
    different = sorted((x.delta, n) for n, x in by_number.items() if x.delta is not None)
    chosen["first"] = [n for d, n in different[::-1][:MOST_DIFFERENT] if d > 0]
    chosen["second"] = [n for d, n in different[:MOST_DIFFERENT] if d < 0]

    @cache
    def card(n: int) -> Card:
        return _card(number, by_number[n], _languages(result), maps.get(str(n)))

    lists = [
        (_LISTS.get(name, name), [card(n) for n in numbers if n in by_number])
        for name, numbers in chosen.items()
    ]
    return Examples(bool(maps), [(heading, cards) for heading, cards in lists if cards])


def _card(
    number: int, compared: Compared, languages: tuple[str, str], attention: AttentionMap | None
) -> Card:
    line, pieces = compared.line, attention or AttentionMap([], [], [])
    source, target = languages
    rows = []
    if line.source:
        rows.append(_text("source", source, [line.source], "ins", pieces.src, "src"))
    rows += [_text("reference", target, parts, "del") for parts in compared.references]
    for n, parts in enumerate(compared.hypotheses):
        system = n if compared.other else None
        own = [] if n else pieces.tgt
        rows.append(_text("hypothesis", target, parts, "ins", own, "tgt", system))
    return Card(number, line.n, list(_list_facts(compared)), rows, attention is not None)


def _text(
    name: str,
    language: str,
    parts: Sequence[str],
    mark: str,
    pieces: Sequence[str] = (),
    side: str | None = None,
    system: int | None = None,
) -> Text:
    spans = locate_pieces("".join(parts), pieces) if pieces else []
    if spans is None:  # the pieces do not match the text
        shown = [(piece.replace("\u2581", " "), n) for n, piece in enumerate(pieces)]
        plain = split_runs(parts)
        return Text(name, language, plain, mark, system, side, pieces=shown)
    end = len(pieces) - 1 if pieces and pieces[-1] == END else None
    return Text(
        name, language, split_runs(parts, spans), mark, system, side if pieces else None, end
    )


def _list_facts(compared: Compared) -> Iterator[str]:
    line, other, delta = compared.line, compared.other, compared.delta
    yield f"line {line.n + 1:,}"
    if other is None or delta is None:
        yield f"chrF {line.chrf:.1f}"
        yield f"BLEU {line.bleu:.1f}"
    else:
        yield f"chrF {line.chrf:.1f} and {other.chrf:.1f} ({format_signed(delta)})"
        yield f"BLEU {line.bleu:.1f} and {other.bleu:.1f}"
    systems = [line, *([other] if other else [])]
    if any(one.confidence is not None for one in systems):
        shown = ["\u2013" if x.confidence is None else f"{x.confidence:.2f}" for x in systems]
        yield f"confidence {' and '.join(shown)}"
    for letter, one in zip("AB", systems, strict=False):
        if one.faults:
            yield f"faults{f' of {letter}' if other else ''}: {', '.join(one.faults)}"
    if line.seen in _SEEN and line.seen != "no":
        yield _SEEN[line.seen]


# --- all of them ---------------------------------------------------------------------------------


def encode_sentences(result: SplitResult, lines: Sequence[Compared]) -> Markup:
    """All sentences of a split, with the attention of some, as JSON for the script."""
    maps = (result.analysis.attention if result.analysis else None) or {}
    source, target = _languages(result)
    data = {
        "name": result.split,
        "src": source,
        "tgt": target,
        "lines": [_to_data(compared) for compared in lines],
        "attention": {n: one.weights for n, one in maps.items()},
    }
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))  # ASCII, so also no U+2028
    return Markup(text.replace("<", r"\u003c"))  # so that no text can end the element


def _to_data(compared: Compared) -> dict[str, Any]:
    line = compared.line
    data = {
        "n": line.n + 1,
        "source": line.source,
        "references": compared.references,
        "hypotheses": compared.hypotheses,
        "length": len((line.source or line.hypothesis).split()),
        "chrf": line.chrf,
        "confidence": line.confidence,
        "delta": compared.delta,
        "faults": line.faults,
        "seen": line.seen,
    }
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in data.items()}


@dataclass(frozen=True)
class SentenceTable:
    """The table of all sentences: columns (key, heading), and filters (key, label, choices)."""

    columns: list[tuple[str, str]]
    choices: list[tuple[str, str, dict[str, str]]]


def describe_sentence_table(results: Sequence[SplitResult]) -> SentenceTable:
    """Describes the table of all sentences, which the script fills."""
    lines = [line for result in results if result.analysis for line in result.analysis.lines]
    columns = [("n", "line"), ("", "sentence"), ("length", "words"), ("chrf", "chrF")]
    if any(line.confidence is not None for line in lines):
        columns.append(("confidence", "confidence"))
    if any(result.compare for result in results):
        columns.append(("delta", "A \u2212 B"))
    choices = []
    if len(results) > 1:
        sets = {str(n): result.split for n, result in enumerate(results)}
        choices.append(("split", "test set", {"": "all", **sets}))
    if found := sorted({fault for line in lines for fault in line.faults}):
        named = {fault: fault for fault in found}
        choices.append(("fault", "fault", {"": "any or none", "any": "any", **named}))
    if any(line.seen for line in lines):
        choices.append(("seen", "training data", {"": "all", **_SEEN}))
    return SentenceTable(columns, choices)
