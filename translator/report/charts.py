"""Charts of an evaluation as inline SVG, coloured by the style of the page (evaluation.css).

System "b" has another colour than "a" and is hatched or dashed. A chart is `WIDTH` units wide, so
its text is readable on a phone.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH = 340
SYSTEMS = "ab"
_LEFT, _RIGHT, _TOP = 44, 18, 28  # margins around the axes
_BAR, _GAP = 13, 10
_END = 46  # space for the number at the end of a bar
_MOST_LETTERS = 48

Point = tuple[float, float]
Format = Callable[[float], str]


@dataclass(frozen=True)
class Bars:
    """A group of bars, one per system, under a label."""

    label: str
    values: Sequence[float | None]
    faint: bool = False  # whether there are too few sentences to say much


@dataclass(frozen=True)
class Curve:
    """Points joined by a line."""

    kind: str  # its class: "a" or "b"
    points: Sequence[Point]
    marked: bool = False  # whether each point has a dot


@dataclass(frozen=True)
class Axis:
    """Values from `low` to `high`, drawn from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        share = (value - self.low) / ((self.high - self.low) or 1)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, at_most: int = 6) -> list[float]:
        """Round numbers within the axis."""
        rough = (self.high - self.low or 1) / at_most
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(step * k, 10) for k in range(first, last + 1)]


def format_signed(value: float, digits: int = 1) -> str:
    """Formats a number with its sign, and a minus as wide as a plus."""
    text = f"{value:+.{digits}f}"
    return text.lstrip("+-") if float(text) == 0 else text.replace("-", "\u2212")


def format_plain(value: float) -> str:
    """Formats a number as short as possible."""
    return f"{value:,.10g}".replace("-", "\u2212")


def format_percent(value: float) -> str:
    return f"{value:.0%}"


def format_p(p: float | None) -> str:
    """Formats a p-value for a table; empty if there was no test."""
    return "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _shorten(label: str) -> str:
    """Cuts a label to the width of the chart."""
    return label if len(label) <= _MOST_LETTERS else label[: _MOST_LETTERS - 1] + "\u2026"


def draw_bars(label: str, groups: Sequence[Bars]) -> Markup:
    """Draws bars from zero, each with its number at the end."""
    top = max((value or 0 for group in groups for value in group.values), default=0)
    return _draw_bars(label, groups, Axis(0, max(top, 1e-9), 1, WIDTH - _END), "{:.1f}".format)


def draw_differences(label: str, groups: Sequence[Bars]) -> Markup:
    """Draws bars to both sides of zero."""
    values = [value or 0 for group in groups for value in group.values]
    low, high = min([0, *values]), max([0, *values])
    start, end = (_END if low < 0 else 1), WIDTH - (_END if high > 0 else 1)
    return _draw_bars(label, groups, Axis(low, high or (low == 0), start, end), format_signed)


def _draw_bars(label: str, groups: Sequence[Bars], axis: Axis, form: Format) -> Markup:
    shapes, y = [], 0
    for group in groups:
        shapes.append(_text(0, y + 12, _shorten(group.label)))
        y += 18
        top = y
        for system, value in zip(SYSTEMS, group.values, strict=False):
            if value is not None:
                shapes += _bar(system + (" faint" if group.faint else ""), value, y, axis, form)
            y += _BAR + 2
        shapes.append(_line(axis.at(0), top - 2, axis.at(0), y, class_="axis"))
        y += _GAP
    return _picture(label, y - _GAP, *shapes)


def _bar(kind: str, value: float, y: float, axis: Axis, form: Format) -> Iterator[Markup]:
    ends = sorted([axis.at(0), axis.at(value)])
    size = {"y": y, "height": _BAR, "x": ends[0], "width": round(ends[1] - ends[0], 1)}
    yield _element("rect", class_=f"bar {kind}", **size)
    if "b" in kind:
        yield _element("rect", fill="url(#hatch)", **size)
    back = value < 0
    x = ends[0] - 4 if back else ends[1] + 4
    yield _text(x, y + _BAR - 2.5, form(value), text_anchor="end" if back else None)


def draw_intervals(
    label: str, rows: Sequence[tuple[str, Sequence[tuple[float, float, float]]]], unit: str
) -> Markup:
    """Draws scores with their intervals: for each name, (score, low, high) of each system."""
    ends = [value for _, systems in rows for system in systems for value in system]
    space = 0.05 * (max(ends) - min(ends)) + 0.1
    axis = Axis(min(ends) - space, max(ends) + space, 6, WIDTH - 6)
    shapes, y = [], 0
    for name, systems in rows:
        shapes.append(_text(0, y + 12, _shorten(name)))
        y += 20
        for kind, (score, low, high) in zip(SYSTEMS, systems, strict=False):
            line = _line(axis.at(low), y + 4, axis.at(high), y + 4, class_=f"curve {kind}")
            shapes += [line, _dot(kind, axis.at(score), y + 4)]
            y += 13
        y += _GAP
    for tick in axis.ticks():
        x = axis.at(tick)
        shapes.insert(0, _line(x, 0, x, y, class_="grid"))
        shapes.append(_text(x, y + 14, format_plain(tick), text_anchor="middle"))
    shapes.append(_text(WIDTH / 2, y + 30, unit, text_anchor="middle", class_="title"))
    return _picture(label, y + 34, *shapes)


def draw_curves(
    label: str,
    curves: Sequence[Curve],
    titles: tuple[str, str],
    guide: Sequence[Point],
    top: float = 1.0,
    counts: Sequence[tuple[float, int]] = (),
) -> Markup:
    """Draws curves of shares, from 0 to 1, between two axes.

    Args:
        label: text for screen readers.
        curves: the curves to draw.
        titles: of the horizontal and of the vertical axis.
        guide: a faint line to compare with, if it has points.
        top: the end of the vertical axis.
        counts: (x, count), drawn as bars in a strip below.
    """
    bottom = 220
    across = Axis(0, 1, _LEFT, WIDTH - _RIGHT)
    up = Axis(0, top, bottom, _TOP)
    shapes = list(_grid(across, up, titles[1]))
    if guide:
        shapes.append(_path(guide, across, up, class_="guide"))
    for curve in curves:
        shapes.append(_path(curve.points, across, up, class_=f"curve {curve.kind}"))
        if curve.marked:
            shapes += [_dot(curve.kind, across.at(x), up.at(y)) for x, y in curve.points]
    bottom += 18
    if counts:
        shapes += _count_strip(counts, across, bottom + 18)
        bottom += 58
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    shapes.append(_text(middle, bottom + 14, titles[0], text_anchor="middle", class_="title"))
    return _picture(label, bottom + 20, *shapes)


def _grid(across: Axis, up: Axis, title: str) -> Iterator[Markup]:
    for tick in up.ticks(5):
        y = up.at(tick)
        yield _line(across.start, y, across.end, y, class_="grid")
        yield _text(across.start - 6, y + 4, format_percent(tick), text_anchor="end")
    for tick in across.ticks(5):
        x = across.at(tick)
        yield _line(x, up.start, x, up.start + 4, class_="axis")
        yield _text(x, up.start + 17, format_percent(tick), text_anchor="middle")
    yield _line(across.start, up.start, across.end, up.start, class_="axis")
    yield _text(0, 12, title, class_="title")


def _count_strip(counts: Sequence[tuple[float, int]], across: Axis, top: float) -> Iterator[Markup]:
    most = max(count for _, count in counts) or 1
    for x, count in counts:
        height = round(26 * count / most, 1)
        place = {"x": across.at(x) - 9, "y": top + 26 - height, "width": 18, "height": height}
        yield _element("rect", class_="bar count", **place)
        number = f"{count:,}" if count < 10_000 else f"{count / 1000:.0f}k"
        yield _text(across.at(x), top + 23 - height, number, text_anchor="middle", class_="small")


def _element(name: str, *content: str, **attributes: str | float | None) -> Markup:
    """An SVG element; `_` becomes `-` in attribute names, and None omits an attribute."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{given}>{Markup().join(content)}</{name}>")


def _path(points: Sequence[Point], across: Axis, up: Axis, class_: str) -> Markup:
    places = " ".join(f"{across.at(x)},{up.at(y)}" for x, y in points)
    return _element("polyline", points=places, class_=class_)


def _dot(kind: str, x: float, y: float) -> Markup:
    if "b" in kind:
        return _element("rect", x=x - 3.5, y=y - 3.5, width=7, height=7, class_=f"dot {kind}")
    return _element("circle", cx=x, cy=y, r=3.5, class_=f"dot {kind}")


def _line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    return _element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def _text(x: float, y: float, text: str, **attributes: str | None) -> Markup:
    return _element("text", text, x=round(x, 1), y=round(y, 1), **attributes)


def _picture(label: str, height: float, *shapes: Markup) -> Markup:
    box = f"0 0 {WIDTH} {height}"
    return _element("svg", *shapes, role="img", aria_label=label, viewBox=box)
