"""An evaluation as a page that needs nothing else: scores, charts, and every sentence.

The page is written here, with its charts (translator/charts.py), and can be read without a script.
report.js adds what needs one: attention under the pointer, and a table of all sentences.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

from data_prep.page import Html, element, joined, page, table
from translator import charts
from translator.charts import Bars, Curve, percent, plain, signed
from translator.listing import Line, all_sentences, examples, read_lines, sentence_data

METRICS = {
    "bleu": "BLEU",
    "chrf": "chrF2",
    "ter": "TER",
    "multi30k_bleu": "BLEU of Multi30k papers",
}
FEW = 50  # sentences; the score of fewer says little
SIGNIFICANT = 0.05
_LESS_IS_BETTER = {"ter"}
_NOTES = {
    "ter": "Of TER less is better.",
    "multi30k_bleu": "Papers on Multi30k compare text in lower case, normalised and tokenised as "
    "Moses does: never compare that figure with the first BLEU.",
}
_FAULTS = {
    "empty": "nothing, or nothing but punctuation",
    "loop": "says a phrase again and again",
    "length": "far longer or shorter than its source",
    "numbers": "lacks a number of its source",
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
    title = " and ".join(_names(first))
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
    curves = [
        result["learning_curve"] for result in splits.values() if result.get("learning_curve")
    ]
    if curves:  # one model has one, whatever it is tested on
        parts.append(_section("training", "Training", _learning_curve(curves[0])))
        contents.append(("training", "Training", []))
    if any(lines):
        parts.append(_section("sentences", "All sentences", all_sentences(splits)))
        contents.append(("sentences", "All sentences", []))
        parts += map(sentence_data, splits, splits.values(), lines)
    return page(
        title,
        charts.hatching(),
        _contents(contents),
        element("main", *(joined("\n", part) for part in parts)),
        style=_file("report.css"),
        script=_file("report.js"),
    )


def _file(name: str) -> str:
    return files("translator").joinpath(name).read_text(encoding="utf-8")


def _finite(value: Any) -> Any:
    """The same without numbers that JSON and charts do not have."""
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _names(result: Result) -> list[str]:
    """Of the system, and of the one that it is compared with."""
    name = (result.get("model") or {}).get("name") or "the given translations"
    return [name, result["compare"]["name"]] if result.get("compare") else [name]


def _legend(result: Result) -> list[str]:
    """The systems as charts call them."""
    names = (
        name if len(name) <= 24 else f"{name[:10]}\u2026{name[-13:]}" for name in _names(result)
    )
    return [f"{letter.upper()} {name}" for letter, name in zip(charts.SYSTEMS, names, strict=False)]


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
    model = first.get("model") or {}
    names = _names(first)
    parameters = f", {model['parameters']:,} parameters" if model.get("parameters") else ""
    rows = [("system" if len(names) == 1 else _key(0), names[0] + parameters)]
    if len(names) > 1:
        rows.append((_key(1), names[1]))
    if model.get("direction"):
        rows.append(("direction", " to ".join(model["direction"])))
    sets = [f"{name} ({result['sentences']:,} sentences)" for name, result in splits.items()]
    rows.append(("test sets" if len(sets) > 1 else "test set", ", ".join(sets)))
    for name, settings in (("search", first.get("search")), ("training", model.get("training"))):
        if text := _settings(settings or {}):
            rows.append((name, text))
    if first.get("sentences_per_second"):
        rows.append(("speed", f"{first['sentences_per_second']:,.1f} sentences a second"))
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
    scores = _scrolling("Scores on all test sets", table(rows, head, numbers=len(metrics) + 1))
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
    legend = _legend(next(iter(splits.values())))
    return element("div", _figure(f"{unit} and its 95% intervals", chart, legend), class_="charts")


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
        text = "Small figures: 95% intervals, by bootstrap: where the score of another test set "
        parts.append(element("p", text + "of this kind and size would be.", class_="note"))
    notes = [_NOTES[metric] for metric in result["scores"] if metric in _NOTES]
    if notes:
        parts.append(element("p", " ".join(notes), class_="note"))
    parts.append(_signatures(result["scores"]))
    if compare:
        parts.append(_intervals({"": result}))
    clean = result.get("clean_part")
    if clean and clean["scores"]:
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
            interval = [signed(end) for end in delta.get("interval") or ()]
            between = element("small", " to ".join(interval)) if interval else ""
            difference = [joined(signed(delta["delta"], 2), between), _p(delta.get("p"))]
        rows.append((names[metric], _score(score), _score(other) if other else "", *difference))
    head = ["", _key(0), _key(1), "A \u2212 B", "p"]
    return _scrolling("Scores", table(rows, head, numbers=4))


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
    analysis = result.get("analysis") or {}
    yield "scores", "Scores", _scores(result)
    if analysis.get("breakdown"):
        yield "breakdown", "By kind of sentence", _breakdown(result)
    if analysis.get("robustness"):
        yield "robustness", "Changed sources", _robustness(analysis["robustness"])
    if analysis.get("guards"):
        yield "faults", "Faults", _guards(analysis["guards"], result["sentences"])
    if analysis.get("confidence"):
        yield "confidence", "Confidence", _confidence(analysis["confidence"])
    if lines:
        yield "examples", "Examples", examples(number, result, lines)


def _figure(
    title: str,
    chart: Html,
    legend: Sequence[str] = (),
    note: str = "",
    kinds: Sequence[str] = charts.SYSTEMS,
    figures: Html | None = None,
) -> Html:
    """A chart with its title, what its colours mean, and its figures to unfold."""
    shown = zip(kinds, legend, strict=False) if len(legend) > 1 else ()
    keys = [element("span", name, class_=f"key {kind}") for kind, name in shown]
    parts = [element("figcaption", element("b", title), element("p", note) if note else "")]
    if keys:
        parts.append(element("p", *keys, class_="legend"))
    parts.append(chart)
    if figures:
        folded = _scrolling(f"Figures: {title}", figures)
        parts.append(element("details", element("summary", "Figures"), folded))
    return element("figure", *parts)


def _scrolling(label: str, content: Html) -> Html:
    """What may be wider than a telephone."""
    return element("div", content, class_="scroll", tabindex=0, role="region", aria_label=label)


def _breakdown(result: Result) -> Html:
    """Scores of groups of sentences, of both systems if there are two."""
    compare = result.get("compare") or {}
    others = {
        (part["by"], group["group"]): group["scores"]
        for part in (compare.get("analysis") or {}).get("breakdown") or ()
        for group in part["groups"]
    }
    drawn = []
    for part in result["analysis"]["breakdown"]:
        groups = part["groups"]
        metrics = list(dict.fromkeys(metric for group in groups for metric in group["scores"]))
        if not metrics:
            continue
        bars, rows = [], []
        for group in groups:
            systems = [
                group["scores"],
                *([others.get((part["by"], group["group"]), {})] * bool(others)),
            ]
            few, n = group["sentences"] < FEW, group["sentences"]
            label = f"{group['group']} \u00b7 {n:,} sentence{'s' * (n != 1)}{' (few)' * few}"
            bars.append(Bars(label, [scores.get(metrics[0]) for scores in systems], few))
            cells = [_cell(scores.get(metric)) for metric in metrics for scores in systems]
            rows.append((group["group"], f"{n:,}", *cells))
        letters = ["", ""] if not others else [" A", " B"]
        columns = [
            METRICS.get(m, m) + letter for m in metrics for letter in letters[: 1 + bool(others)]
        ]
        figures = table(rows, ["", "sentences", *columns], numbers=len(columns) + 1)
        unit = METRICS.get(metrics[0], metrics[0])
        said = "; ".join(f"{bar.label}: {' and '.join(map(_cell, bar.values))}" for bar in bars)
        chart = charts.bar_chart(f"{unit} by {part['by']}. {said}", bars)
        title = part["by"][0].upper() + part["by"][1:]
        drawn.append(_figure(f"{title}: {unit}", chart, _legend(result), figures=figures))
    few = element(
        "p", f"Pale bars are of fewer than {FEW} sentences: chance rules them.", class_="note"
    )
    return joined(element("div", *drawn, class_="charts"), few)


def _cell(value: float | None) -> str:
    return "\u2013" if value is None else f"{value:.1f}"


def _robustness(slices: Sequence[Result]) -> Html:
    """What is lost where sources are written otherwise."""
    metric = next(iter(slices[0]["clean"]))
    bars, rows = [], []
    for part in slices:
        differences = {m: part["changed"][m] - clean for m, clean in part["clean"].items()}
        few = part["sentences"] < FEW
        label = f"{part['slice']} \u00b7 {part['sentences']:,} sentences{' (few)' * few}"
        bars.append(Bars(label, [differences[metric]], few))
        pairs = [
            f"{clean:.1f} \u2192 {part['changed'][m]:.1f}" for m, clean in part["clean"].items()
        ]
        kept = "" if part.get("kept") is None else f" {part['kept']:.0%} of the emoji came through."
        what = _named(part["slice"], f"{part['what']}{kept}")
        rows.append((what, f"{part['sentences']:,}", *pairs))
    unit = METRICS.get(metric, metric)
    said = "; ".join(f"{bar.label}: {signed(bar.values[0] or 0)}" for bar in bars)
    chart = charts.difference_chart(f"{unit}, changed minus clean sources. {said}", bars)
    names = [METRICS.get(name, name) for name in slices[0]["clean"]]
    figures = table(rows, ["", "sentences", *names], numbers=1 + len(names))
    drawn = _figure(f"{unit}: changed minus clean sources", chart)
    return element("div", drawn, _scrolling("Changed sources", figures), class_="beside")


def _named(name: str, what: str) -> Html:
    return joined(name, element("small", what))


def _guards(guards: Mapping[str, Result], sentences: int) -> Html:
    rows = [
        (_named(name, _FAULTS.get(name, "")), f"{found['sentences']:,}", f"{found['share']:.2%}")
        for name, found in guards.items()
    ]
    note = f"Translations with a fault that can be seen without a reference, of {sentences:,}."
    made = table(rows, ["the translation", "sentences", "share"], numbers=2)
    return joined(element("p", note, class_="note"), made)


# --- curves --------------------------------------------------------------------------------------


def _confidence(found: Result) -> Html:
    """Is a translation as good as the system believes?"""
    event, base = found["event"], found["base_rate"]
    said = [f"Confidence is the chance of a {event}, as the system sees it. "]
    said.append(f"It came true for {base:.1%} of the sentences.")
    items = []
    if found.get("auc") is not None:
        text = f"Of two translations of which only one has a {event}, that one has the higher "
        text += f"confidence in {found['auc']:.0%} of the cases (AUC {found['auc']:.3f}"
        other = found.get("auc_log_prob")
        text += "" if other is None else f"; of the log-probability alone: {other:.3f}"
        items.append(element("li", text + "). 50% would be chance."))
    if found.get("calibration_error") is not None:
        error = found["calibration_error"]
        text = f"Confidence is {100 * error:.1f} points from the truth on average "
        items.append(element("li", text + f"(calibration error {error:.3f})."))
    drawn = []
    if bins := [part for part in found.get("bins") or () if part["sentences"]]:
        drawn.append(_reliability(bins, event))
    if curve := found.get("risk_coverage"):
        drawn.append(_risk_coverage(curve, event, base))
    text = element("p", *said)
    return joined(text, element("ul", *items), element("div", *drawn, class_="charts"))


def _reliability(bins: Sequence[Result], event: str) -> Html:
    points = [(part["confidence"], part["right"]) for part in bins]
    said = "; ".join(f"{p['sentences']} near {p['confidence']:.2f}: {p['right']:.0%}" for p in bins)
    chart = charts.curve_chart(
        f"Share with a {event} by confidence. Sentences {said}",
        [Curve("a", points, marked=True)],
        ("confidence", f"share with a {event}"),
        limits=((0, 1), (0, 1)),
        forms=(percent, percent),
        guide=[(0, 0), (1, 1)],
        counts=[((part["low"] + part["high"]) / 2, part["sentences"]) for part in bins],
    )
    rows = [
        (
            f"{part['low']:.0%} to {part['high']:.0%}",
            *(f"{part['sentences']:,}", f"{part['confidence']:.1%}", f"{part['right']:.1%}"),
        )
        for part in bins
    ]
    figures = table(rows, ["confidence", "sentences", "mean", "came true"], numbers=3)
    note = "On the straight line it is neither too sure nor too modest. Below: sentences."
    return _figure("Does it come true?", chart, note=note, figures=figures)


def _risk_coverage(curve: Sequence[Result], event: str, base: float) -> Html:
    points = [(part["coverage"], part["risk"]) for part in curve]
    top = max([1 - base, *(risk for _, risk in points)])
    chart = charts.curve_chart(
        f"Share without a {event} among the most confident translations: "
        + "; ".join(f"of {x:.0%}: {y:.0%}" for x, y in points[:: max(1, len(points) // 8)]),
        [Curve("a", points)],
        ("most confident share of the translations", f"share without a {event}"),
        limits=((0, 1), (0, min(1.0, 1.1 * top) or 1)),
        forms=(percent, percent),
        guide=[(0, 1 - base), (1, 1 - base)],
    )
    rows = [(f"{p['coverage']:.0%}", f"{p['threshold']:.3f}", f"{p['risk']:.1%}") for p in curve]
    figures = table(rows, ["kept", "confidence from", "risk"], numbers=2)
    note = "If only the most confident ones are kept. Straight line: if chance chose them."
    return _figure("What does choosing gain?", chart, note=note, figures=figures)


def _learning_curve(curve: Result) -> Html:
    """Loss in training and on the validation set, and BLEU on the latter."""
    drawn = []
    train, valid = curve.get("train") or [], curve.get("valid") or []
    # The steep beginning would press all the rest flat.
    later = [y for points in (train, valid) for x, y in points if x >= points[-1][0] / 10]
    limit = max(later, default=0) * 1.05
    losses = [[point for point in points if point[1] <= limit] for points in (train, valid)]
    if any(losses):
        curves = [Curve("other", losses[0]), Curve("a", losses[1], marked=len(losses[1]) <= 40)]
        ends = [
            f"{name} {p[-1][1]:.3f}" for name, p in (("training", train), ("valid", valid)) if p
        ]
        chart = charts.curve_chart(
            f"Loss by step, at the end: {', '.join(ends)}",
            [one for one in curves if one.points],
            ("step", "loss, nats a token"),
        )
        legend = ["training", "validation"]
        drawn.append(_figure("Loss", chart, legend, kinds=("other", "a")))
    if bleu := curve.get("bleu"):
        step, best = max(bleu, key=lambda point: point[1])
        chart = charts.curve_chart(
            f"BLEU on the validation set by step, best {best:.2f} at step {step:,}",
            [Curve("a", bleu, marked=len(bleu) <= 40)],
            ("step", "BLEU"),
        )
        drawn.append(_figure("BLEU on valid", chart, note=f"Best: {best:.2f} at step {step:,}."))
    return element("div", *drawn, class_="charts")
