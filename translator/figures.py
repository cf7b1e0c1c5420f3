"""Charts of an evaluation with their titles, legends and figures, as parts of a page."""

from collections.abc import Mapping, Sequence
from typing import Any

from data_prep.page import Html, element, joined, table
from translator import charts
from translator.charts import Bars, Curve, percent, signed

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


def legend(result: Result) -> list[str]:
    """The systems as charts call them."""
    names = (
        name if len(name) <= 24 else f"{name[:10]}\u2026{name[-13:]}"
        for name in system_names(result)
    )
    return [f"{letter.upper()} {name}" for letter, name in zip(charts.SYSTEMS, names, strict=False)]


def figure(
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
    part: Result, others: Mapping[tuple[str, str], Mapping[str, float]], keys: Sequence[str]
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


def robustness(slices: Sequence[Result]) -> Html:
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
    drawn = figure(f"{unit}: changed minus clean sources", chart)
    return element("div", drawn, scrolling("Changed sources", figures), class_="beside")


def _named(name: str, what: str) -> Html:
    return joined(name, element("small", what))


def guards(guards: Mapping[str, Result], sentences: int) -> Html:
    rows = [
        (_named(name, _FAULTS.get(name, "")), f"{found['sentences']:,}", f"{found['share']:.2%}")
        for name, found in guards.items()
    ]
    note = f"Translations with a fault that can be seen without a reference, of {sentences:,}."
    made = table(rows, ["the translation", "sentences", "share"], numbers=2)
    return joined(element("p", note, class_="note"), made)


# --- curves --------------------------------------------------------------------------------------


def confidence(found: Result) -> Html:
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
    return figure("Does it come true?", chart, note=note, figures=figures)


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
    return figure("What does choosing gain?", chart, note=note, figures=figures)


def learning_curve(curve: Result) -> Html:
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
        drawn.append(figure("Loss", chart, legend, kinds=("other", "a")))
    if bleu := curve.get("bleu"):
        step, best = max(bleu, key=lambda point: point[1])
        chart = charts.curve_chart(
            f"BLEU on the validation set by step, best {best:.2f} at step {step:,}",
            [Curve("a", bleu, marked=len(bleu) <= 40)],
            ("step", "BLEU"),
        )
        drawn.append(figure("BLEU on valid", chart, note=f"Best: {best:.2f} at step {step:,}."))
    return element("div", *drawn, class_="charts")
