"""What the parts of an evaluation page show: charts with titles and legends, tables, facts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from markupsafe import Markup

from translator.report import charts
from translator.report.charts import Bars, Curve, percent, signed
from translator.report.results import (
    Analysis,
    Bin,
    Breakdown,
    FaultRate,
    Reliability,
    RiskPoint,
    SliceScores,
    SplitResult,
)
from translator.storage.scores import METRIC_NAMES

FEW = 50  # sentences; the score of fewer says little
_FAULTS = {
    "empty": "nothing, or nothing but punctuation",
    "loop": "repeats a phrase again and again",
    "length": "far longer or shorter than its source",
    "numbers": "lacks a number of its source",
    "names": "lacks a rare name of its source",
}
T = TypeVar("T")
Keys = Sequence[tuple[str, str]]  # what colours mean: the kind of a system, and what it is called
OfSystems = Mapping[str, T]  # by the kind of the system, "a" or "b"


@dataclass(frozen=True)
class Row:
    """A row of a table: its name, what that means, and its cells."""

    name: str
    cells: Sequence[str]
    what: str = ""


@dataclass(frozen=True)
class Table:
    """A table of numbers, with the heads of all columns but the first."""

    label: str
    head: Sequence[str]
    rows: Sequence[Row]


@dataclass(frozen=True)
class Figure:
    """A chart with its title, what its colours mean, and its numbers to unfold."""

    title: str
    chart: Markup
    keys: Keys = ()
    note: str = ""
    table: Table | None = None


@dataclass(frozen=True)
class Section:
    """Facts, charts and a table under one heading; `layout` is the class of what holds charts."""

    note: str = ""
    facts: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    table: Table | None = None
    layout: str = "charts"


def name_system(name: str) -> str:
    """A model is called as its folder is, whatever the way there."""
    parts = [part.rstrip("/\\").replace("\\", "/").split("/")[-1] for part in name.split(" + ")]
    return " + ".join(part or name for part in parts)


def system_names(result: SplitResult) -> list[str]:
    """Of the system, and of the one that it is compared with; in full where they are the same."""
    full = [result.model.name if result.model else "the given translations"]
    full += [result.compare.name] if result.compare else []
    names = [name_system(name) for name in full]
    return names if len(set(names)) == len(names) else full


def legend(result: SplitResult) -> Keys:
    """The systems as charts call them; nothing if there is only one."""
    names = [
        name if len(name) <= 24 else f"{name[:10]}\u2026{name[-13:]}"
        for name in system_names(result)
    ]
    named = zip(charts.SYSTEMS, names, strict=False) if len(names) > 1 else ()
    return [(kind, f"{kind.upper()} {name}") for kind, name in named]


def analyses(result: SplitResult) -> dict[str, Analysis]:
    """By the kind of the system, where there is one."""
    systems = zip(charts.SYSTEMS, result.systems, strict=False)
    return {kind: system.analysis for kind, system in systems if system.analysis}


def _letters(keys: Keys, kinds: Mapping[str, object]) -> list[str]:
    """What columns of several systems are told apart by."""
    return [f" {kind.upper()}" for kind in kinds] if keys else [""]


def _those(keys: Keys, found: Mapping[str, object]) -> Keys:
    return [(kind, name) for kind, name in keys if kind in found]


def _cell(value: float | None) -> str:
    return "\u2013" if value is None else f"{value:.1f}"


def _label(name: str, n: int) -> str:
    return f"{name} \u00b7 {n:,} sentence{'s' * (n != 1)}{' (few)' * (n < FEW)}"


# --- kinds of sentences --------------------------------------------------------------------------


def breakdown(result: SplitResult, found: OfSystems[Analysis]) -> Section | None:
    """Scores of groups of sentences; None where nothing falls into more than one group."""
    others = {
        (part.by, group.group): group.scores
        for part in (found["b"].breakdown if "b" in found else ())
        for group in part.groups
    }
    parts = [part for part in found["a"].breakdown if len(part.groups) > 1]
    if not parts:
        return None
    return Section(
        note=f"Pale bars are of fewer than {FEW} sentences: chance rules them.",
        figures=[_breakdown_figure(part, others, legend(result)) for part in parts],
    )


def _breakdown_figure(
    part: Breakdown, others: Mapping[tuple[str, str], Mapping[str, float]], keys: Keys
) -> Figure:
    """A chart of the first metric; the others are among the numbers."""
    metrics = list(dict.fromkeys(metric for group in part.groups for metric in group.scores))
    letters = [" A", " B"] if others else [""]
    bars, rows = [], []
    for group in part.groups:
        systems = [group.scores, others.get((part.by, group.group), {})][: len(letters)]
        label, few = _label(group.group, group.sentences), group.sentences < FEW
        bars.append(Bars(label, [scores.get(metrics[0]) for scores in systems], few))
        cells = [_cell(scores.get(metric)) for metric in metrics for scores in systems]
        rows.append(Row(group.group, [f"{group.sentences:,}", *cells]))
    columns = [METRIC_NAMES[metric] + letter for metric in metrics for letter in letters]
    title = f"{part.by[:1].upper()}{part.by[1:]}: {METRIC_NAMES[metrics[0]]}"
    said = "; ".join(f"{bar.label}: {' and '.join(map(_cell, bar.values))}" for bar in bars)
    chart = charts.bar_chart(f"{METRIC_NAMES[metrics[0]]} by {part.by}. {said}", bars)
    return Figure(title, chart, keys, table=Table(title, ["sentences", *columns], rows))


# --- changed sources and faults ------------------------------------------------------------------


def robustness(found: OfSystems[Sequence[SliceScores]], keys: Keys) -> Section:
    """What changed sources cost each system that was asked."""
    slices = {kind: {part.slice: part for part in parts} for kind, parts in found.items()}
    first = next(iter(slices.values()))
    metrics = list(next(iter(first.values())).clean)
    bars, rows = [], []
    for name, part in first.items():
        systems = {kind: parts[name] for kind, parts in slices.items() if name in parts}
        values = [systems[k].change[metrics[0]] if k in systems else None for k in charts.SYSTEMS]
        shown = values[: 2 if "b" in found else 1]
        bars.append(Bars(_label(name, part.sentences), shown, part.sentences < FEW))
        pairs = [
            f"{one.clean[m]:.1f} \u2192 {one.changed[m]:.1f}"
            for m in metrics
            for one in systems.values()
        ]
        kept = [f"{one.kept:.0%}" for one in systems.values() if one.kept is not None]
        came = f"; {' and '.join(kept)} of the emoji came through" if kept else ""
        rows.append(Row(name, [f"{part.sentences:,}", *pairs], part.what + came))
    unit = METRIC_NAMES[metrics[0]]
    said = "; ".join(
        f"{bar.label}: {' and '.join(signed(value) for value in bar.values if value is not None)}"
        for bar in bars
    )
    chart = charts.difference_chart(f"{unit}, changed minus clean sources. {said}", bars)
    columns = [METRIC_NAMES[m] + letter for m in metrics for letter in _letters(keys, found)]
    figure = Figure(f"{unit}: changed minus clean sources", chart, _those(keys, found))
    return Section(
        figures=[figure],
        table=Table("Changed sources", ["sentences", *columns], rows),
        layout="beside" if len(found) == 1 else "below",  # twice the columns need the whole width
    )


def faults(found: OfSystems[Mapping[str, FaultRate]], sentences: int, keys: Keys) -> Section:
    """How often the translations of each system have faults."""
    rows = []
    for name in dict.fromkeys(name for rates in found.values() for name in rates):
        cells: list[str] = []
        for rates in found.values():
            rate = rates.get(name)  # a file of translations has no vocabulary that tells names
            cells += [f"{rate.sentences:,}", f"{rate.share:.2%}"] if rate else ["\u2013"] * 2
        rows.append(Row(name, cells, _FAULTS.get(name, "")))
    letters = _letters(keys, found)
    head = [column + letter for letter in letters for column in ("sentences", "share")]
    note = f"Translations with a fault that can be seen without a reference, of {sentences:,}."
    return Section(note, table=Table("Faults", head, rows))


# --- confidence ----------------------------------------------------------------------------------


def confidence(found: OfSystems[Reliability], keys: Keys) -> Section:
    """Is a translation as good as each system believes?"""
    event = next(iter(found.values())).event
    facts = [
        f"{kind.upper()}: " * bool(keys) + said
        for kind, one in found.items()
        for said in _measures(one)
    ]
    keys = _those(keys, found)
    drawn = []
    if any(one.bins for one in found.values()):
        bins = {k: [p for p in one.bins if p.sentences] for k, one in found.items()}
        drawn.append(_reliability(bins, event, keys))
    if any(one.risk_coverage for one in found.values()):
        drawn.append(_risk_coverage(found, event, keys))
    note = f"Confidence is the chance of a {event}, as the system sees it."
    return Section(note, facts, drawn)


def _measures(found: Reliability) -> Iterator[str]:
    yield f"It came true for {found.base_rate:.1%} of the sentences."
    if found.auc is not None:
        text = f"Of two translations of which only one has a {found.event}, that one has the "
        text += f"higher confidence in {found.auc:.0%} of the cases (AUC {found.auc:.3f}"
        other = found.auc_log_prob
        text += "" if other is None else f"; of the log-probability alone: {other:.3f}"
        yield text + "). 50% would be chance."
    error = found.calibration_error
    text = f"Confidence is {100 * error:.1f} points from the truth on average "
    yield text + f"(calibration error {error:.3f})."


def _reliability(bins: OfSystems[Sequence[Bin]], event: str, keys: Keys) -> Figure:
    parts = [(kind, part) for kind, some in bins.items() for part in some]
    said = "; ".join(f"{p.sentences} near {p.confidence:.2f}: {p.right:.0%}" for _, p in parts)
    alone = next(iter(bins.values())) if len(bins) == 1 else ()
    chart = charts.curve_chart(
        f"Share with a {event} by confidence. Sentences {said}",
        [
            Curve(kind, [(part.confidence, part.right) for part in some], marked=True)
            for kind, some in bins.items()
        ],
        ("confidence", f"share with a {event}"),
        limits=((0, 1), (0, 1)),
        forms=(percent, percent),
        guide=[(0, 0), (1, 1)],
        counts=[((part.low + part.high) / 2, part.sentences) for part in alone],
    )
    rows = [
        Row(
            f"{kind.upper()} " * bool(keys) + f"{part.low:.0%} to {part.high:.0%}",
            [f"{part.sentences:,}", f"{part.confidence:.1%}", f"{part.right:.1%}"],
        )
        for kind, part in parts
    ]
    note = "On the straight line it is neither too sure nor too modest."
    note += " Below: sentences." * bool(alone)
    title = "Does it come true?"
    table = Table(title, ["sentences", "mean confidence", "came true"], rows)
    return Figure(title, chart, keys, note, table)


def _risk_coverage(found: OfSystems[Reliability], event: str, keys: Keys) -> Figure:
    curves: dict[str, list[RiskPoint]] = {k: one.risk_coverage for k, one in found.items()}
    points = {kind: [(p.coverage, p.risk) for p in curve] for kind, curve in curves.items()}
    bases = [1 - one.base_rate for one in found.values()]
    top = max(*bases, *(risk for some in points.values() for _, risk in some), 0)
    said = [
        f"of {x:.0%}: {y:.0%}" for some in points.values() for x, y in some[:: len(some) // 8 + 1]
    ]
    alone = bases if len(bases) == 1 else []
    chart = charts.curve_chart(
        f"Share without a {event} among the most confident translations: {'; '.join(said)}",
        [Curve(kind, some) for kind, some in points.items()],
        ("most confident share of the translations", f"share without a {event}"),
        limits=((0, 1), (0, min(1.0, 1.1 * top) or 1)),
        forms=(percent, percent),
        guide=[(x, risk) for risk in alone for x in (0, 1)],
    )
    rows = [
        Row(
            f"{kind.upper()} " * bool(keys) + f"{p.coverage:.0%}",
            [f"{p.threshold:.3f}", f"{p.risk:.1%}"],
        )
        for kind, curve in curves.items()
        for p in curve
    ]
    note = "If only the most confident ones are kept."
    note += " Straight line: if chance chose them." * bool(alone)
    title = "What does choosing gain?"
    return Figure(title, chart, keys, note, Table(title, ["confidence from", "risk"], rows))
