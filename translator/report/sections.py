"""Charts of an evaluation with their titles, legends and figures, as parts of a page."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from translator.report import charts
from translator.report.charts import Bars, Curve, percent, signed
from translator.report.elements import Html, element, joined, table

METRICS = {
    "bleu": "BLEU",
    "chrf": "chrF2",
    "ter": "TER",
    "multi30k_bleu": "BLEU of Multi30k papers",
}
FEW = 50  # sentences; the score of fewer says little
_FAULTS = {
    "empty": "nothing, or nothing but punctuation",
    "loop": "says a phrase again and again",
    "length": "far longer or shorter than its source",
    "numbers": "lacks a number of its source",
    "names": "lacks a rare name of its source",
}

Result = Mapping[str, Any]


def system_names(result: Result) -> list[str]:
    """Of the system, and of the one that it is compared with."""
    name = (result.get("model") or {}).get("name") or "the given translations"
    return [name, result["compare"]["name"]] if result.get("compare") else [name]


def legend(result: Result) -> list[tuple[str, str]]:
    """The systems as charts call them, each with its kind; nothing of one alone."""
    names = [
        name if len(name) <= 24 else f"{name[:10]}\u2026{name[-13:]}"
        for name in system_names(result)
    ]
    named = zip(charts.SYSTEMS, names, strict=False) if len(names) > 1 else ()
    return [(kind, f"{kind.upper()} {name}") for kind, name in named]


def of_systems(result: Result, key: str) -> dict[str, Any]:
    """What the analysis of each system has under a key, by the system's kind, where it has some."""
    systems = zip(charts.SYSTEMS, (result, result.get("compare") or {}), strict=True)
    found = {kind: (system.get("analysis") or {}).get(key) for kind, system in systems}
    return {kind: value for kind, value in found.items() if value}


def figure(
    title: str,
    chart: Html,
    legend: Sequence[tuple[str, str]] = (),
    note: str = "",
    figures: Html | None = None,
) -> Html:
    """A chart with its title, what its colours mean (kinds and names), its figures to unfold."""
    keys = [element("span", name, class_=f"key {kind}") for kind, name in legend]
    parts = [element("figcaption", element("b", title), element("p", note) if note else "")]
    if keys:
        parts.append(element("p", *keys, class_="legend"))
    parts.append(chart)
    if figures:
        folded = scrolling(f"Figures: {title}", figures)
        parts.append(element("details", element("summary", "Figures"), folded))
    return element("figure", *parts)


def scrolling(label: str, content: Html) -> Html:
    """What may be wider than a telephone."""
    return element("div", content, class_="scroll", tabindex=0, role="region", aria_label=label)


def breakdown(result: Result) -> Html:
    """Scores of groups of sentences, of both systems if there are two."""
    compare = result.get("compare") or {}
    others = {
        (part["by"], group["group"]): group["scores"]
        for part in (compare.get("analysis") or {}).get("breakdown") or ()
        for group in part["groups"]
    }
    parts = [
        part for part in result["analysis"]["breakdown"] if any(g["scores"] for g in part["groups"])
    ]
    drawn = [_breakdown_figure(part, others, legend(result)) for part in parts]
    note = f"Pale bars are of fewer than {FEW} sentences: chance rules them."
    return joined(element("div", *drawn, class_="charts"), element("p", note, class_="note"))


def _breakdown_figure(
    part: Result,
    others: Mapping[tuple[str, str], Mapping[str, float]],
    keys: Sequence[tuple[str, str]],
) -> Html:
    """A chart of the first metric; the others are among the figures."""
    by, groups = part["by"], part["groups"]
    metrics = list(dict.fromkeys(metric for group in groups for metric in group["scores"]))
    letters = [" A", " B"] if others else [""]
    bars, rows = [], []
    for group in groups:
        name, n = group["group"], group["sentences"]
        systems = [group["scores"], others.get((by, name), {})][: len(letters)]
        label = f"{name} \u00b7 {n:,} sentence{'s' * (n != 1)}{' (few)' * (n < FEW)}"
        bars.append(Bars(label, [scores.get(metrics[0]) for scores in systems], n < FEW))
        cells = [_cell(scores.get(metric)) for metric in metrics for scores in systems]
        rows.append((name, f"{n:,}", *cells))
    columns = [METRICS.get(metric, metric) + letter for metric in metrics for letter in letters]
    figures = table(rows, ["", "sentences", *columns], numbers=len(columns) + 1)
    unit = METRICS.get(metrics[0], metrics[0])
    said = "; ".join(f"{bar.label}: {' and '.join(map(_cell, bar.values))}" for bar in bars)
    chart = charts.bar_chart(f"{unit} by {by}. {said}", bars)
    return figure(f"{by[:1].upper()}{by[1:]}: {unit}", chart, keys, figures=figures)


def _cell(value: float | None) -> str:
    return "\u2013" if value is None else f"{value:.1f}"


def robustness(found: Mapping[str, Sequence[Result]], keys: Sequence[tuple[str, str]]) -> Html:
    """What is lost where sources are written otherwise, of each system that was asked."""
    slices = {kind: {part["slice"]: part for part in parts} for kind, parts in found.items()}
    first = next(iter(slices.values()))
    metrics = list(next(iter(first.values()))["clean"])
    bars, rows = [], []
    for name, part in first.items():
        few = part["sentences"] < FEW
        systems = {kind: parts[name] for kind, parts in slices.items()}
        values = [_change(systems[kind], metrics[0]) if kind in systems else None for kind in "ab"]
        label = f"{name} \u00b7 {part['sentences']:,} sentences{' (few)' * few}"
        bars.append(Bars(label, values[: 2 if "b" in found else 1], few))
        pairs = [
            f"{one['clean'][m]:.1f} \u2192 {one['changed'][m]:.1f}"
            for m in metrics
            for one in systems.values()
        ]
        kept = [f"{one['kept']:.0%}" for one in systems.values() if one.get("kept") is not None]
        what = f"{part['what']}; {' and '.join(kept)} of the emoji came through" * bool(kept)
        rows.append((_named(name, what or part["what"]), f"{part['sentences']:,}", *pairs))
    unit = METRICS.get(metrics[0], metrics[0])
    said = "; ".join(
        f"{bar.label}: {' and '.join(signed(value) for value in bar.values if value is not None)}"
        for bar in bars
    )
    chart = charts.difference_chart(f"{unit}, changed minus clean sources. {said}", bars)
    letters = [f" {kind.upper()}" for kind in found] if keys else [""]
    columns = [METRICS.get(m, m) + letter for m in metrics for letter in letters]
    figures = table(rows, ["", "sentences", *columns], numbers=1 + len(columns))
    drawn = figure(f"{unit}: changed minus clean sources", chart, _those(keys, found))
    place = "beside" if len(found) == 1 else None  # twice the columns want the whole width
    return element("div", drawn, scrolling("Changed sources", figures), class_=place)


def _change(part: Result, metric: str) -> float:
    change: float = part["changed"][metric] - part["clean"][metric]
    return change


def _those(
    keys: Sequence[tuple[str, str]], found: Mapping[str, object]
) -> Sequence[tuple[str, str]]:
    return [(kind, name) for kind, name in keys if kind in found]


def _named(name: str, what: str) -> Html:
    return joined(name, element("small", what))


def guards(found: Mapping[str, Mapping[str, Result]], sentences: int, compared: bool) -> Html:
    """How often translations have faults, of each system."""
    rows = []
    for name in dict.fromkeys(name for rates in found.values() for name in rates):
        cells = []
        for rates in found.values():
            rate = rates.get(name)  # a file of translations has no vocabulary that tells names
            cells += [f"{rate['sentences']:,}", f"{rate['share']:.2%}"] if rate else ["\u2013"] * 2
        rows.append((_named(name, _FAULTS.get(name, "")), *cells))
    letters = [f" {kind.upper()}" for kind in found] if compared else [""]
    head = [column + letter for letter in letters for column in ("sentences", "share")]
    note = f"Translations with a fault that can be seen without a reference, of {sentences:,}."
    made = table(rows, ["the translation", *head], numbers=len(head))
    return joined(element("p", note, class_="note"), scrolling("Faults", made))


# --- curves --------------------------------------------------------------------------------------


def confidence(found: Mapping[str, Result], keys: Sequence[tuple[str, str]]) -> Html:
    """Is a translation as good as each system believes?"""
    event = next(iter(found.values()))["event"]
    text = element("p", f"Confidence is the chance of a {event}, as the system sees it.")
    items = [
        element("li", f"{kind.upper()}: " * bool(keys), said)
        for kind, one in found.items()
        for said in _measures(one)
    ]
    keys = _those(keys, found)
    bins = {
        kind: [p for p in one.get("bins") or () if p["sentences"]] for kind, one in found.items()
    }
    curves = {kind: one.get("risk_coverage") or [] for kind, one in found.items()}
    drawn = []
    if any(bins.values()):
        drawn.append(_reliability(bins, event, keys))
    if any(curves.values()):
        bases = {kind: one["base_rate"] for kind, one in found.items()}
        drawn.append(_risk_coverage(curves, event, bases, keys))
    return joined(text, element("ul", *items), element("div", *drawn, class_="charts"))


def _measures(found: Result) -> Iterator[str]:
    yield f"It came true for {found['base_rate']:.1%} of the sentences."
    if found.get("auc") is not None:
        text = f"Of two translations of which only one has a {found['event']}, that one has the "
        text += f"higher confidence in {found['auc']:.0%} of the cases (AUC {found['auc']:.3f}"
        other = found.get("auc_log_prob")
        text += "" if other is None else f"; of the log-probability alone: {other:.3f}"
        yield text + "). 50% would be chance."
    if found.get("calibration_error") is not None:
        error = found["calibration_error"]
        text = f"Confidence is {100 * error:.1f} points from the truth on average "
        yield text + f"(calibration error {error:.3f})."


def _reliability(
    bins: Mapping[str, Sequence[Result]], event: str, keys: Sequence[tuple[str, str]]
) -> Html:
    parts = [(kind, part) for kind, some in bins.items() for part in some]
    said = "; ".join(
        f"{p['sentences']} near {p['confidence']:.2f}: {p['right']:.0%}" for _, p in parts
    )
    alone = next(iter(bins.values())) if len(bins) == 1 else ()
    chart = charts.curve_chart(
        f"Share with a {event} by confidence. Sentences {said}",
        [
            Curve(kind, [(part["confidence"], part["right"]) for part in some], marked=True)
            for kind, some in bins.items()
        ],
        ("confidence", f"share with a {event}"),
        limits=((0, 1), (0, 1)),
        forms=(percent, percent),
        guide=[(0, 0), (1, 1)],
        counts=[((part["low"] + part["high"]) / 2, part["sentences"]) for part in alone],
    )
    rows = [
        (
            f"{kind.upper()} " * bool(keys) + f"{part['low']:.0%} to {part['high']:.0%}",
            *(f"{part['sentences']:,}", f"{part['confidence']:.1%}", f"{part['right']:.1%}"),
        )
        for kind, part in parts
    ]
    figures = table(rows, ["confidence", "sentences", "mean", "came true"], numbers=3)
    note = "On the straight line it is neither too sure nor too modest."
    note += " Below: sentences." * bool(alone)
    return figure("Does it come true?", chart, keys, note, figures)


def _risk_coverage(
    curves: Mapping[str, Sequence[Result]],
    event: str,
    bases: Mapping[str, float],
    keys: Sequence[tuple[str, str]],
) -> Html:
    points = {kind: [(p["coverage"], p["risk"]) for p in curve] for kind, curve in curves.items()}
    top = max(1 - min(bases.values()), *(risk for some in points.values() for _, risk in some))
    said = [
        f"of {x:.0%}: {y:.0%}" for some in points.values() for x, y in some[:: len(some) // 8 + 1]
    ]
    alone = [1 - base for base in bases.values()] if len(bases) == 1 else []
    chart = charts.curve_chart(
        f"Share without a {event} among the most confident translations: {'; '.join(said)}",
        [Curve(kind, some) for kind, some in points.items()],
        ("most confident share of the translations", f"share without a {event}"),
        limits=((0, 1), (0, min(1.0, 1.1 * top) or 1)),
        forms=(percent, percent),
        guide=[(x, risk) for risk in alone for x in (0, 1)],
    )
    rows = [
        (
            f"{kind.upper()} " * bool(keys) + f"{p['coverage']:.0%}",
            *(f"{p['threshold']:.3f}", f"{p['risk']:.1%}"),
        )
        for kind, curve in curves.items()
        for p in curve
    ]
    figures = table(rows, ["kept", "confidence from", "risk"], numbers=2)
    note = "If only the most confident ones are kept."
    note += " Straight line: if chance chose them." * bool(alone)
    return figure("What does choosing gain?", chart, keys, note, figures)
