"""An evaluation as a page that needs nothing else: scores, charts, and every sentence.

The page can be read without a script: templates/evaluation.html lays out what is chosen here, with
its charts (charts.py). evaluation.js adds what needs one: attention under the pointer, and a table
of all sentences.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from translator.report import charts, sections
from translator.report.charts import chance, plain
from translator.report.examples import (
    Compared,
    compare_lines,
    examples,
    sentence_data,
    sentence_table,
)
from translator.report.pages import render
from translator.report.results import SplitResult
from translator.report.sections import Figure, analyses, legend, system_names
from translator.storage.scores import METRIC_NAMES, SplitScores

SIGNIFICANT = 0.05
_LESS_IS_BETTER = {"ter"}
_NOTES = {
    "ter": "Of TER less is better.",
    "multi30k_bleu": "Papers on Multi30k compare text in lower case, normalised and tokenised as "
    "Moses does: never compare that figure with the first BLEU.",
}


@dataclass(frozen=True)
class Scores:
    """What stands beside the scores of a split: see templates/scores.html."""

    comparison: list[str]
    has_intervals: bool
    notes: list[str]
    intervals: Figure | None
    clean: SplitScores | None


@dataclass(frozen=True)
class Overview:
    """The scores on all test sets, and a chart of the first metric if chance is known."""

    metrics: list[str]
    intervals: Figure | None


@dataclass(frozen=True)
class Split:
    """A split: its sections as (id, heading, content), and its sentences for the script."""

    result: SplitResult
    scores: Scores
    sections: list[tuple[str, str, Any]]
    data: Markup | None


def evaluation_html(results: Mapping[str, SplitResult]) -> str:
    """The results of an evaluation, by split, as a page."""
    found = [SplitResult.from_dict(_finite(result.to_dict())) for result in results.values()]
    splits = [_split(n, result, len(found) == 1) for n, result in enumerate(found)]
    metrics = list(dict.fromkeys(metric for result in found for metric in result.scores))
    overview = Overview(metrics, _intervals(found)) if len(found) > 1 else None
    has_sentences = any(split.data for split in splits)
    contents: list[tuple[str, str, list[tuple[str, str]]]] = [
        (f"split-{n}", split.result.split, [(f"split-{n}-{id}", h) for id, h, _ in split.sections])
        for n, split in enumerate(splits)
    ]
    if overview:
        contents.insert(0, ("all", "All test sets", []))
    if has_sentences:
        contents.append(("sentences", "All sentences", []))
    return render(
        "evaluation.html",
        title=" and ".join(system_names(found[0])),
        contents=contents,
        facts=list(_facts(found)),
        overview=overview,
        splits=splits,
        all_sentences=sentence_table(found) if has_sentences else None,
    )


def _finite(value: Any) -> Any:
    """The same without numbers that JSON and charts do not have."""
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _split(number: int, result: SplitResult, alone: bool) -> Split:
    found = analyses(result)
    lines = compare_lines(found)
    scores = _scores(result, alone)
    parts = [("scores", "Scores", scores), *_sections(number, result, lines)]
    return Split(result, scores, parts, sentence_data(result, lines) if found else None)


def _sections(
    number: int, result: SplitResult, lines: Sequence[Compared]
) -> Iterator[tuple[str, str, Any]]:
    """(id, heading, content) of all that was found by analysis."""
    found, keys = analyses(result), legend(result)
    if found and (groups := sections.breakdown(result, found)):
        yield "breakdown", "By kind of sentence", groups
    if changed := {kind: one.robustness for kind, one in found.items() if one.robustness}:
        yield "robustness", "Changed sources", sections.robustness(changed, keys)
    if rates := {kind: one.guards for kind, one in found.items() if one.guards}:
        yield "faults", "Faults", sections.faults(rates, result.sentences, keys)
    if trust := {kind: one.confidence for kind, one in found.items() if one.confidence}:
        yield "confidence", "Confidence", sections.confidence(trust, keys)
    if lines:
        yield "examples", "Examples", examples(number, result, lines)


# --- head ----------------------------------------------------------------------------------------


def _facts(results: Sequence[SplitResult]) -> Iterator[tuple[str, int | None, str]]:
    """(name, number of the system if there are two, text): systems, test sets, searches."""
    first = results[0]
    compared = first.compare is not None
    names = [first.model.name if first.model else "the given translations"]
    names += [first.compare.name] if first.compare else []
    systems = list(enumerate(first.systems))
    for n, system in systems:
        size = system.model.parameters if system.model else None
        text = names[n] + (f", {size:,} parameters" if size else "")
        yield ("", n, text) if compared else ("system", None, text)
    for _, system in systems:
        if system.model and system.model.direction:
            yield "direction", None, " to ".join(system.model.direction)
            break
    sets = [f"{result.split} ({result.sentences:,} sentences)" for result in results]
    yield "test sets" if len(sets) > 1 else "test set", None, ", ".join(sets)
    for n, system in systems:
        training = system.model.training if system.model else None
        speed = system.sentences_per_second
        for name, text in (
            ("search", _settings(system.search or {})),
            ("training", _settings(training.to_dict()) if training else ""),
            ("speed", f"{speed:,.1f} sentences a second" if speed else ""),
        ):
            if text:
                yield name, n if compared else None, text


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key.replace('_', ' ')} {value if isinstance(value, str | bool) else plain(value)}"
        for key, value in settings.items()
    )


# --- scores --------------------------------------------------------------------------------------


def _scores(result: SplitResult, alone: bool) -> Scores:
    clean = result.clean_part
    return Scores(
        comparison=list(_comparison(result)),
        has_intervals=any(score.interval for score in result.scores.values()),
        notes=[_NOTES[metric] for metric in result.scores if metric in _NOTES],
        intervals=_intervals([result]) if alone else None,  # else one chart shows all splits
        clean=clean if clean and clean.scores and clean.sentences < result.sentences else None,
    )


def _intervals(results: Sequence[SplitResult]) -> Figure | None:
    """A chart of the first metric with its intervals, where there is something to compare."""
    metric = next(iter(results[0].scores), None)
    if metric is None:
        return None
    rows = []
    for result in results:
        scores = [system.scores.get(metric) for system in result.systems]
        ends = [(score.score, *score.interval) for score in scores if score and score.interval]
        if len(ends) == len(scores):
            rows.append((result.split if len(results) > 1 else "", ends))
    if sum(len(systems) for _, systems in rows) < 2:
        return None
    unit = METRIC_NAMES[metric]
    said = [f"{n} {' and '.join(f'{s:.1f}' for s, *_ in systems)}" for n, systems in rows]
    chart = charts.interval_chart(f"{unit}: {'; '.join(said)}", rows, unit)
    return Figure(f"{unit} and its 95 % intervals", chart, legend(results[0]))


def _comparison(result: SplitResult) -> Iterator[str]:
    """Which system is better, in words, for each metric."""
    for metric, found in result.compare.delta.items() if result.compare else ():
        ahead = -found.delta if metric in _LESS_IS_BETTER else found.delta
        name, size, p = METRIC_NAMES[metric], f"{abs(ahead):.2f}", chance(found.p)
        said = "p\u00a0<\u00a00.001" if p.startswith("<") else f"p\u00a0=\u00a0{p}"
        winner = "AB"[ahead < 0]
        if found.p is None:
            yield f"{winner} is ahead by {size} {name}; whether by chance was not tested."
        elif found.p < SIGNIFICANT and ahead:
            yield f"{winner} is better by {size} {name} ({said})."
        else:
            between = f"{winner} is ahead by {size}, {said}" if ahead else f"both are equal, {said}"
            yield f"No difference in {name} that this test set can show ({between})."
