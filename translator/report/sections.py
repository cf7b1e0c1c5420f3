"""The content of an evaluation page's sections: charts with titles and legends, tables, facts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from markupsafe import Markup

from translator.report import charts
from translator.report.charts import Bars, Curve, format_signed
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
Keys = Sequence[tuple[str, str]]  # the legend: the kind of a system (its colour), and its name
OfSystems = Mapping[str, T]  # by the kind of the system, "a" or "b"


@dataclass(frozen=True)
class Row:
    """A row of a table: its name, its cells, and what the name means."""

    name: str
    cells: Sequence[str]
    what: str = ""


@dataclass(frozen=True)
class Table:
    """A table of numbers; `head` has the headings of all columns but the first."""

    label: str
    head: Sequence[str]
    rows: Sequence[Row]


@dataclass(frozen=True)
class Figure:
    """A chart with its title and legend, and a folded table of its numbers."""

    title: str
    chart: Markup
    keys: Keys = ()
    note: str = ""
    table: Table | None = None


@dataclass(frozen=True)
class Section:
    """Facts, charts and a table under one heading; `layout` is the class that arranges them."""

    note: str = ""
    facts: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    table: Table | None = None
    layout: str = "charts"


def _name_system(name: str) -> str:
    """Names a model after its folder, without the path to it."""
    parts = [part.rstrip("/\\").replace("\\", "/").split("/")[-1] for part in name.split(" + ")]
    return " + ".join(part or name for part in parts)


def name_systems(result: SplitResult) -> list[str]:
    """The names of the system and the one compared with it; full paths if they are the same."""
    full = [result.model.name if result.model else "the given translations"]
    full += [result.compare.name] if result.compare else []
    names = [_name_system(name) for name in full]
    return names if len(set(names)) == len(names) else full


def name_systems_shortly(result: SplitResult) -> Keys:
    """The legend of the systems in a chart; empty if there is only one."""
    names = [
        name if len(name) <= 24 else f"{name[:10]}\u2026{name[-13:]}"
        for name in name_systems(result)
    ]
    named = zip(charts.SYSTEMS, names, strict=False) if len(names) > 1 else ()
    return [(kind, f"{kind.upper()} {name}") for kind, name in named]


def find_analyses(result: SplitResult) -> dict[str, Analysis]:
    """The analysis of each system that has one, by its kind."""
    systems = zip(charts.SYSTEMS, result.systems, strict=False)
    return {kind: system.analysis for kind, system in systems if system.analysis}


def _letters(keys: Keys, kinds: Mapping[str, object]) -> list[str]:
    """What to append to the headings of columns, one for each system."""
    return [f" {kind.upper()}" for kind in kinds] if keys else [""]


def _select_keys(keys: Keys, found: Mapping[str, object]) -> Keys:
    return [(kind, name) for kind, name in keys if kind in found]


def _cell(value: float | None) -> str:
    return "\u2013" if value is None else f"{value:.1f}"


def _label(name: str, n: int) -> str:
    return f"{name} \u00b7 {n:,} sentence{'s' * (n != 1)}{' (few)' * (n < FEW)}"


# --- kinds of sentences --------------------------------------------------------------------------


def describe_breakdown(result: SplitResult, found: OfSystems[Analysis]) -> Section | None:
    """Scores by group of sentences; None if no property has more than one group."""
    others = {
        (part.by, group.group): group.scores
        for part in (found["b"].breakdown if "b" in found else ())
        for group in part.groups
    }
    parts = [part for part in found["a"].breakdown if len(part.groups) > 1]
    if not parts:
        return None
    return Section(
        note=f"Pale bars have fewer than {FEW} sentences: chance dominates them.",
        figures=[_draw_breakdown(part, others, name_systems_shortly(result)) for part in parts],
    )


def _draw_breakdown(
    part: Breakdown, others: Mapping[tuple[str, str], Mapping[str, float]], keys: Keys
) -> Figure:
    """Draws the first metric; the table has all of them."""
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
    chart = charts.draw_bars(f"{METRIC_NAMES[metrics[0]]} by {part.by}. {said}", bars)
    return Figure(title, chart, keys, table=Table(title, ["sentences", *columns], rows))


# --- changed sources and faults ------------------------------------------------------------------


def describe_robustness(found: OfSystems[Sequence[SliceScores]], keys: Keys) -> Section:
    """How much each system loses on changed sources."""
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
        came = f"; {' and '.join(kept)} of the emoji were kept" if kept else ""
        rows.append(Row(name, [f"{part.sentences:,}", *pairs], part.what + came))
    unit = METRIC_NAMES[metrics[0]]
    said = "; ".join(
        f"{bar.label}: {' and '.join(format_signed(x) for x in bar.values if x is not None)}"
        for bar in bars
    )
    chart = charts.draw_differences(f"{unit}, changed minus clean sources. {said}", bars)
    columns = [METRIC_NAMES[m] + letter for m in metrics for letter in _letters(keys, found)]
    figure = Figure(f"{unit}: changed minus clean sources", chart, _select_keys(keys, found))
    return Section(
        figures=[figure],
        table=Table("Changed sources", ["sentences", *columns], rows),
        layout="beside" if len(found) == 1 else "below",  # twice the columns need the whole width
    )


def describe_faults(
    found: OfSystems[Mapping[str, FaultRate]], sentences: int, keys: Keys
) -> Section:
    """How often the translations of each system have faults."""
    rows = []
    for name in dict.fromkeys(name for rates in found.values() for name in rates):
        cells: list[str] = []
        for rates in found.values():
            rate = rates.get(name)  # without a vocabulary, names cannot be found
            cells += [f"{rate.sentences:,}", f"{rate.share:.2%}"] if rate else ["\u2013"] * 2
        rows.append(Row(name, cells, _FAULTS.get(name, "")))
    letters = _letters(keys, found)
    head = [column + letter for letter in letters for column in ("sentences", "share")]
    note = f"Translations with a fault that can be seen without a reference, of {sentences:,}."
    return Section(note, table=Table("Faults", head, rows))


# --- confidence ----------------------------------------------------------------------------------


def describe_confidence(found: OfSystems[Reliability], keys: Keys) -> Section:
    """Whether translations are as good as each system believes."""
    event = next(iter(found.values())).event
    facts = [
        f"{kind.upper()}: " * bool(keys) + said
        for kind, one in found.items()
        for said in _list_measures(one)
    ]
    keys = _select_keys(keys, found)
    drawn = []
    if any(one.bins for one in found.values()):
        bins = {k: [p for p in one.bins if p.sentences] for k, one in found.items()}
        drawn.append(_draw_reliability(bins, event, keys))
    if any(one.risk_coverage for one in found.values()):
        drawn.append(_draw_risk(found, event, keys))
    note = f"Confidence is the probability of a {event}, as the system estimates it."
    return Section(note, facts, drawn)


def _list_measures(found: Reliability) -> Iterator[str]:
    yield f"Of all sentences, {found.base_rate:.1%} have a {found.event}."
    if found.auc is not None:
        text = f"If only one of two translations has a {found.event}, its confidence is higher in "
        text += f"{found.auc:.0%} of the cases (AUC {found.auc:.3f}"
        other = found.auc_log_prob
        text += "" if other is None else f"; the log-probability alone: {other:.3f}"
        yield text + "). Chance would give 50%."
    error = found.calibration_error
    text = f"Confidence is {100 * error:.1f} points off on average "
    yield text + f"(calibration error {error:.3f})."


def _draw_reliability(bins: OfSystems[Sequence[Bin]], event: str, keys: Keys) -> Figure:
    parts = [(kind, part) for kind, some in bins.items() for part in some]
    said = "; ".join(f"{p.sentences} near {p.confidence:.2f}: {p.right:.0%}" for _, p in parts)
    counted = next(iter(bins.values())) if len(bins) == 1 else ()
    chart = charts.draw_curves(
        f"Share with a {event} by confidence. Sentences {said}",
        [
            Curve(kind, [(part.confidence, part.right) for part in some], marked=True)
            for kind, some in bins.items()
        ],
        ("confidence", f"share with a {event}"),
        guide=[(0, 0), (1, 1)],
        counts=[((part.low + part.high) / 2, part.sentences) for part in counted],
    )
    rows = [
        Row(
            f"{kind.upper()} " * bool(keys) + f"{part.low:.0%} to {part.high:.0%}",
            [f"{part.sentences:,}", f"{part.confidence:.1%}", f"{part.right:.1%}"],
        )
        for kind, part in parts
    ]
    note = "On the straight line, confidence is neither too high nor too low."
    note += " Below: the number of sentences." * bool(counted)
    title = "Is confidence right?"
    table = Table(title, ["sentences", "mean confidence", "were good"], rows)
    return Figure(title, chart, keys, note, table)


def _draw_risk(found: OfSystems[Reliability], event: str, keys: Keys) -> Figure:
    curves: dict[str, list[RiskPoint]] = {k: one.risk_coverage for k, one in found.items()}
    points = {kind: [(p.coverage, p.risk) for p in curve] for kind, curve in curves.items()}
    bases = [1 - one.base_rate for one in found.values()]
    top = max(*bases, *(risk for some in points.values() for _, risk in some), 0)
    said = [
        f"of {x:.0%}: {y:.0%}" for some in points.values() for x, y in some[:: len(some) // 8 + 1]
    ]
    guides = bases if len(bases) == 1 else []
    chart = charts.draw_curves(
        f"Share without a {event} among the most confident translations: {'; '.join(said)}",
        [Curve(kind, some) for kind, some in points.items()],
        ("most confident share of the translations", f"share without a {event}"),
        guide=[(x, risk) for risk in guides for x in (0, 1)],
        top=min(1.0, 1.1 * top) or 1,
    )
    rows = [
        Row(
            f"{kind.upper()} " * bool(keys) + f"{p.coverage:.0%}",
            [f"{p.threshold:.3f}", f"{p.risk:.1%}"],
        )
        for kind, curve in curves.items()
        for p in curve
    ]
    note = "The risk if only the most confident translations are kept."
    note += " Straight line: a random choice." * bool(guides)
    title = "What does selecting gain?"
    return Figure(title, chart, keys, note, Table(title, ["confidence from", "risk"], rows))
