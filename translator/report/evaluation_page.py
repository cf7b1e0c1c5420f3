"""An evaluation as a self-contained page: scores, charts, and every sentence.

The page can be read without scripts: templates/evaluation.html lays out what is chosen here, with
its charts (charts.py). evaluation.js adds what needs one: attention under the pointer, and a table
of all sentences.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from translator.report import charts, sections
from translator.report.charts import format_p, format_plain
from translator.report.examples import (
    Compared,
    choose_examples,
    compare_lines,
    describe_sentence_table,
    encode_sentences,
)
from translator.report.pages import render
from translator.report.results import SplitResult
from translator.report.sections import Figure, find_analyses, name_systems, name_systems_shortly
from translator.storage.scores import METRIC_NAMES, SplitScores

SIGNIFICANT = 0.05
_LESS_IS_BETTER = {"ter"}
_NOTES = {
    "ter": "Lower TER is better.",
    "multi30k_bleu": "Papers on Multi30k score text in lower case, normalised and tokenised by "
    "Moses: never compare that figure with the first BLEU.",
}


@dataclass(frozen=True)
class Scores:
    """What templates/scores.html shows besides the scores of a split."""

    comparison: list[str]
    has_intervals: bool
    notes: list[str]
    intervals: Figure | None
    clean: SplitScores | None


@dataclass(frozen=True)
class Split:
    """A split: its sections as (id, heading, content), and its sentences for the script."""

    result: SplitResult
    scores: Scores
    sections: list[tuple[str, str, Any]]
    data: Markup | None


def render_evaluation(results: Mapping[str, SplitResult]) -> str:
    """Renders the results of an evaluation, by split, as a page."""
    found = [SplitResult.from_dict(_keep_finite(result.to_dict())) for result in results.values()]
    splits = [_describe_split(n, result, only=len(found) == 1) for n, result in enumerate(found)]
    metrics = list(dict.fromkeys(metric for result in found for metric in result.scores))
    several = len(found) > 1
    has_sentences = any(split.data for split in splits)
    contents: list[tuple[str, str, list[tuple[str, str]]]] = [
        (f"split-{n}", split.result.split, [(f"split-{n}-{id}", h) for id, h, _ in split.sections])
        for n, split in enumerate(splits)
    ]
    if several:
        contents.insert(0, ("all", "All test sets", []))
    if has_sentences:
        contents.append(("sentences", "All sentences", []))
    return render(
        "evaluation.html",
        title=" and ".join(name_systems(found[0])),
        contents=contents,
        facts=list(_facts(found)),
        several=several,
        metrics=metrics,
        intervals=_draw_intervals(found) if several else None,
        splits=splits,
        all_sentences=describe_sentence_table(found) if has_sentences else None,
    )


def _keep_finite(value: Any) -> Any:
    """Replaces numbers that are not finite, which JSON and charts lack, by None."""
    if isinstance(value, Mapping):
        return {key: _keep_finite(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_keep_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _describe_split(number: int, result: SplitResult, only: bool) -> Split:
    found = find_analyses(result)
    lines = compare_lines(found)
    scores = _describe_scores(result, only)
    parts = [("scores", "Scores", scores), *_sections(number, result, lines)]
    return Split(result, scores, parts, encode_sentences(result, lines) if found else None)


def _sections(
    number: int, result: SplitResult, lines: Sequence[Compared]
) -> Iterator[tuple[str, str, Any]]:
    """(id, heading, content) of everything that the analysis found."""
    found, keys = find_analyses(result), name_systems_shortly(result)
    if found and (groups := sections.describe_breakdown(result, found)):
        yield "breakdown", "By kind of sentence", groups
    if changed := {kind: one.robustness for kind, one in found.items() if one.robustness}:
        yield "robustness", "Changed sources", sections.describe_robustness(changed, keys)
    if rates := {kind: one.guards for kind, one in found.items() if one.guards}:
        yield "faults", "Faults", sections.describe_faults(rates, result.sentences, keys)
    if trust := {kind: one.confidence for kind, one in found.items() if one.confidence}:
        yield "confidence", "Confidence", sections.describe_confidence(trust, keys)
    if lines:
        yield "examples", "Examples", choose_examples(number, result, lines)


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
        f"{key.replace('_', ' ')} {value if isinstance(value, str | bool) else format_plain(value)}"
        for key, value in settings.items()
    )


# --- scores --------------------------------------------------------------------------------------


def _describe_scores(result: SplitResult, only: bool) -> Scores:
    clean = result.clean_part
    return Scores(
        comparison=list(_comparison(result)),
        has_intervals=any(score.interval for score in result.scores.values()),
        notes=[_NOTES[metric] for metric in result.scores if metric in _NOTES],
        intervals=_draw_intervals([result]) if only else None,  # else one chart shows all splits
        clean=clean if clean and clean.scores and clean.sentences < result.sentences else None,
    )


def _draw_intervals(results: Sequence[SplitResult]) -> Figure | None:
    """Draws the first metric with its intervals, if there is something to compare."""
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
    chart = charts.draw_intervals(f"{unit}: {'; '.join(said)}", rows, unit)
    return Figure(f"{unit} and its 95 % intervals", chart, name_systems_shortly(results[0]))


def _comparison(result: SplitResult) -> Iterator[str]:
    """Which system is better, in words, for each metric."""
    for metric, found in result.compare.delta.items() if result.compare else ():
        ahead = -found.delta if metric in _LESS_IS_BETTER else found.delta
        name, size, p = METRIC_NAMES[metric], f"{abs(ahead):.2f}", format_p(found.p)
        said = "p\u00a0<\u00a00.001" if p.startswith("<") else f"p\u00a0=\u00a0{p}"
        winner = "AB"[ahead < 0]
        if found.p is None:
            yield f"{winner} is ahead by {size} {name}; whether by chance was not tested."
        elif found.p < SIGNIFICANT and ahead:
            yield f"{winner} is better by {size} {name} ({said})."
        else:
            between = f"{winner} is ahead by {size}, {said}" if ahead else f"both are equal, {said}"
            yield f"No difference in {name} that this test set can show ({between})."
