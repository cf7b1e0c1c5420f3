"""An evaluation as a page that needs nothing else: scores, charts, and every sentence.

The page is written here, with its charts (charts.py), and can be read without a script.
evaluation_page.js adds what needs one: attention under the pointer, and a table of all sentences.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

from translator.report import charts
from translator.report.charts import plain, signed
from translator.report.elements import Html, element, joined, page, table
from translator.report.examples import Line, all_sentences, examples, read_lines, sentence_data
from translator.report.sections import (
    METRICS,
    breakdown,
    confidence,
    figure,
    guards,
    legend,
    of_systems,
    robustness,
    scrolling,
    system_names,
)

SIGNIFICANT = 0.05
_LESS_IS_BETTER = {"ter"}
_NOTES = {
    "ter": "Of TER less is better.",
    "multi30k_bleu": "Papers on Multi30k compare text in lower case, normalised and tokenised as "
    "Moses does: never compare that figure with the first BLEU.",
}
Result = Mapping[str, Any]
Entry = tuple[str, str, Sequence[tuple[str, str]]]  # of the contents: key, heading, those below


def evaluation_html(results: Mapping[str, Any]) -> str:
    """What `translator evaluate --json` prints, with --analyse, as a page.

    Args:
        results: of one split, or {"splits": {name: of one}}.
    """
    results = _finite(results)
    splits: dict[str, Result] = results.get("splits") or {results.get("split", "test"): results}
    first = next(iter(splits.values()))
    title = " and ".join(system_names(first))
    parts = [element("header", element("h1", f"Evaluation: {title}"), _facts(splits))]
    contents: list[Entry] = []
    if len(splits) > 1:
        parts.append(_section("all", "All test sets", _overview(splits)))
        contents.append(("all", "All test sets", []))
    lines = [read_lines(result) for result in splits.values()]
    for n, (name, result) in enumerate(splits.items()):
        sections = [
            (f"split-{n}-{s}", heading, body) for s, heading, body in _sections(n, result, lines[n])
        ]
        below = [_section(key, heading, body, level=3) for key, heading, body in sections]
        count = element("small", f"{result['sentences']:,} sentences")
        parts.append(_section(f"split-{n}", joined(name, " ", count), *below))
        contents.append((f"split-{n}", name, [(key, heading) for key, heading, _ in sections]))
    if any(lines):
        parts.append(_section("sentences", "All sentences", all_sentences(splits)))
        contents.append(("sentences", "All sentences", []))
        parts += map(sentence_data, splits, splits.values(), lines)
    return page(
        title,
        charts.hatching(),
        _contents(contents),
        element("main", *(joined("\n", part) for part in parts)),
        style=_file("evaluation_page.css"),
        script=_file("evaluation_page.js"),
    )


def _file(name: str) -> str:
    return files("translator.report").joinpath(name).read_text(encoding="utf-8")


def _finite(value: Any) -> Any:
    """The same without numbers that JSON and charts do not have."""
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _section(key: str, heading: str, *body: str, level: int = 2) -> Html:
    return element("section", element(f"h{level}", heading), *body, id=key)


def _contents(entries: Sequence[Entry]) -> Html:
    def links(items: Sequence[Entry]) -> Html:
        made = [
            element(
                "li",
                element("a", heading, href=f"#{key}"),
                links([(*item, ()) for item in below]) if below else "",
            )
            for key, heading, below in items
        ]
        return element("ul", *made)

    return element("nav", links(entries), aria_label="Contents")


# --- head ----------------------------------------------------------------------------------------


def _facts(splits: Mapping[str, Result]) -> Html:
    """Which systems, what they were tested on, and how they searched."""
    first = next(iter(splits.values()))
    compare = first.get("compare")
    systems = [first, *([compare] if compare else [])]
    models = [system.get("model") or {} for system in systems]
    rows = []
    for n, (name, model) in enumerate(zip(system_names(first), models, strict=True)):
        parameters = f", {model['parameters']:,} parameters" if model.get("parameters") else ""
        rows.append((_key(n) if compare else "system", name + parameters))
    if directions := [model["direction"] for model in models if model.get("direction")]:
        rows.append(("direction", " to ".join(directions[0])))
    sets = [f"{name} ({result['sentences']:,} sentences)" for name, result in splits.items()]
    rows.append(("test sets" if len(sets) > 1 else "test set", ", ".join(sets)))
    for n, (system, model) in enumerate(zip(systems, models, strict=True)):
        of = f" of {'AB'[n]}" if compare else ""
        speed = system.get("sentences_per_second")
        for name, text in (
            ("search", _settings(system.get("search") or {})),
            ("training", _settings(model.get("training") or {})),
            ("speed", f"{speed:,.1f} sentences a second" if speed else ""),
        ):
            if text:
                rows.append((name + of, text))
    items = [joined(element("dt", name), element("dd", text)) for name, text in rows]
    return element("dl", *items)


def _settings(settings: Mapping[str, Any]) -> str:
    said = []
    for key, value in settings.items():
        if isinstance(value, str | int | float):
            text = value if isinstance(value, str | bool) else plain(value)
            said.append(f"{key.replace('_', ' ')} {text}")
    return ", ".join(said)


def _key(system: int) -> Html:
    """The letter of a system, with its colour."""
    letter = charts.SYSTEMS[system]
    return element("span", letter.upper(), class_=f"key {letter}")


# --- scores --------------------------------------------------------------------------------------


def _overview(splits: Mapping[str, Result]) -> Html:
    """The scores on all test sets, and a chart of the first metric if chance is known."""
    metrics = list(dict.fromkeys(metric for r in splits.values() for metric in r["scores"]))
    rows = []
    for name, result in splits.items():
        cells = [_overview_cell(result, metric) for metric in metrics]
        rows.append((name, f"{result['sentences']:,}", *cells))
    head = ["", "sentences", *(METRICS.get(metric, metric) for metric in metrics)]
    scores = scrolling("Scores on all test sets", table(rows, head, numbers=len(metrics) + 1))
    return joined(scores, _verdicts(splits), _intervals(splits))


def _overview_cell(result: Result, metric: str) -> str:
    systems = [result, *([result["compare"]] if result.get("compare") else [])]
    found = [system["scores"][metric] for system in systems if metric in system["scores"]]
    if len(systems) == 1:
        return _score(found[0]) if found else ""
    said = [joined(_key(n), " ", _score(score)) for n, score in enumerate(found)]
    return joined(*(element("div", text) for text in said))


def _verdicts(splits: Mapping[str, Result]) -> Html:
    items = []
    for name, result in splits.items():
        said = list(_comparison(result))
        if said:
            items.append(element("li", element("b", name), ": ", " ".join(said)))
    return element("ul", *items, class_="verdict") if items else joined()


def _intervals(splits: Mapping[str, Result]) -> Html:
    """A chart of the first metric with its intervals, where there is something to compare."""
    metric = next(iter(next(iter(splits.values()))["scores"]), None)
    rows = []
    for name, result in splits.items():
        systems = [result, *([result["compare"]] if result.get("compare") else [])]
        scores = [system["scores"].get(metric) or {} for system in systems]
        if all(score.get("interval") for score in scores):
            rows.append((name, [(score["score"], *score["interval"]) for score in scores]))
    if not metric or sum(len(systems) for _, systems in rows) < 2:
        return joined()
    unit = METRICS.get(metric, metric)
    said = [f"{n} {' and '.join(f'{s:.1f}' for s, *_ in systems)}" for n, systems in rows]
    chart = charts.interval_chart(f"{unit}: {'; '.join(said)}", rows, unit)
    keys = legend(next(iter(splits.values())))
    return element("div", figure(f"{unit} and its 95% intervals", chart, keys), class_="charts")


def _score(score: Result, digits: int = 2) -> Html:
    """With its interval below."""
    said = joined(element("b", f"{score['score']:.{digits}f}"))
    if score.get("interval"):
        low, high = score["interval"]
        said = joined(said, element("small", f"{low:.1f} to {high:.1f}"))
    return said


def _scores(result: Result) -> Html:
    """The scores of a split: of one system, or of two with what is between them."""
    compare = result.get("compare")
    parts = []
    if compare:
        said = [element("li", text) for text in _comparison(result)]
        parts.append(element("ul", *said, class_="verdict"))
    parts.append(_score_table(result))
    if any(score.get("interval") for score in result["scores"].values()):
        text = "Small figures: 95% intervals, by bootstrap over the sentences: so far may chance "
        parts.append(
            element("p", text + "in the choice of the sentences move a score.", class_="note")
        )
    notes = [_NOTES[metric] for metric in result["scores"] if metric in _NOTES]
    if notes:
        parts.append(element("p", " ".join(notes), class_="note"))
    parts.append(_signatures(result["scores"]))
    if compare:
        parts.append(_intervals({"": result}))
    clean = result.get("clean_part")
    if clean and clean["scores"] and clean["sentences"] < result["sentences"]:
        text = f"On the {clean['sentences']:,} of {result['sentences']:,} sentences of which the "
        parts.append(element("p", text + "training data have neither side, nor nearly:"))
        parts.append(_score_table(clean))
    return joined(*parts)


def _score_table(result: Result) -> Html:
    names = METRICS | {metric: metric for metric in result["scores"] if metric not in METRICS}
    compare = result.get("compare")
    if not compare:
        rows = [(names[metric], _score(score)) for metric, score in result["scores"].items()]
        return table(rows, ["", "score"], numbers=1)
    rows = []
    for metric, score in result["scores"].items():
        other, delta = compare["scores"].get(metric), compare["delta"].get(metric)
        difference: list[str] = ["", ""]
        if delta:
            difference = [signed(delta["delta"], 2), _p(delta.get("p"))]
        rows.append((names[metric], _score(score), _score(other) if other else "", *difference))
    head = ["", _key(0), _key(1), "A \u2212 B", "p"]
    return scrolling("Scores", table(rows, head, numbers=4))


def _p(p: float | None) -> str:
    return "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _comparison(result: Result) -> Iterator[str]:
    """Which system is better, in words, for each metric."""
    compare = result.get("compare") or {"delta": {}}
    for metric, found in compare["delta"].items():
        ahead = -found["delta"] if metric in _LESS_IS_BETTER else found["delta"]
        name, size, p = METRICS.get(metric, metric), f"{abs(ahead):.2f}", _p(found.get("p"))
        chance = "p\u00a0<\u00a00.001" if p.startswith("<") else f"p\u00a0=\u00a0{p}"
        winner = "AB"[ahead < 0]
        if found.get("p") is not None and found["p"] < SIGNIFICANT and ahead:
            yield f"{winner} is better by {size} {name} ({chance})."
        elif found.get("p") is None:
            yield f"{winner} is ahead by {size} {name}; whether by chance was not tested."
        else:
            between = (
                f"{winner} is ahead by {size}, {chance}" if ahead else f"both are equal, {chance}"
            )
            yield f"No difference in {name} that this test set can show ({between})."


def _signatures(scores: Mapping[str, Result]) -> Html:
    items = [
        element("li", METRICS.get(metric, metric), " ", element("code", score["signature"]))
        for metric, score in scores.items()
        if score.get("signature")
    ]
    return element("ul", *items, class_="signatures", aria_label="Signatures")


# --- what a split's section holds ----------------------------------------------------------------


def _sections(
    number: int, result: Result, lines: Sequence[Line]
) -> Iterator[tuple[str, str, Html]]:
    """(key, heading, body) of all that is known about a split."""
    analysis, keys = result.get("analysis") or {}, legend(result)
    yield "scores", "Scores", _scores(result)
    if analysis.get("breakdown"):
        yield "breakdown", "By kind of sentence", breakdown(result)
    if found := of_systems(result, "robustness"):
        yield "robustness", "Changed sources", robustness(found, keys)
    if found := of_systems(result, "guards"):
        yield "faults", "Faults", guards(found, result["sentences"], bool(keys))
    if found := of_systems(result, "confidence"):
        yield "confidence", "Confidence", confidence(found, keys)
    if lines:
        yield "examples", "Examples", examples(number, result, lines)
