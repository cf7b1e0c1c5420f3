"""Charts: what is drawn is as long, and where, as the figures say."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translator.report.charts import (
    WIDTH,
    Axis,
    Bars,
    Curve,
    draw_bars,
    draw_curves,
    draw_differences,
    draw_intervals,
    format_plain,
    format_signed,
)

FIGURES = st.floats(-1e6, 1e6)
SHARES = st.floats(0, 1)


def rectangles(chart: str, kind: str) -> list[tuple[float, float]]:
    """(left end, width) of the bars of a kind."""
    found = re.findall(rf'<rect class="bar {kind}[^>]* x="([-\d.]+)" width="([-\d.]+)"', chart)
    return [(float(x), float(width)) for x, width in found]


@given(FIGURES, st.floats(1e-3, 1e6))
def test_ticks_are_round_evenly_spaced_and_on_the_axis(low: float, size: float) -> None:
    ticks = Axis(low, low + size, 0, 100).ticks()
    assert 1 <= len(ticks) <= 7
    assert all(low - 1e-6 * size <= tick <= low + 1.000001 * size for tick in ticks)
    steps = [b - a for a, b in zip(ticks, ticks[1:], strict=False)]
    assert all(step == pytest.approx(steps[0], rel=1e-4) for step in steps)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=1, max_size=5))
def test_bars_are_as_long_as_their_figures(values: list[tuple[float, float]]) -> None:
    chart = draw_bars("all", [Bars("group", pair) for pair in values])
    top = max(max(pair) for pair in values)
    for system, kind in enumerate("ab"):
        for (x, width), pair in zip(rectangles(chart, kind), values, strict=True):
            assert x == 1 and x + width < WIDTH - 40
            if top > 1:
                assert width == pytest.approx(pair[system] / top * (WIDTH - 47), abs=0.11)


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=5))
def test_differences_go_to_their_side_of_zero(values: list[float]) -> None:
    chart = draw_differences("all", [Bars("slice", [value]) for value in values])
    zeros = {x for x in re.findall(r'<line x1="([-\d.]+)"', chart)}
    assert len(zeros) == 1
    zero = float(zeros.pop())
    for (x, width), value in zip(rectangles(chart, "a"), values, strict=True):
        assert (x if value >= 0 else x + width) == pytest.approx(zero, abs=0.11)
        assert x >= 0 and x + width <= WIDTH


def test_what_is_missing_is_not_drawn() -> None:
    chart = draw_bars("all", [Bars("one", [30.0, None]), Bars("two", [None, 20.0])])
    assert [len(rectangles(chart, kind)) for kind in "ab"] == [1, 1]


@given(st.lists(st.tuples(SHARES, SHARES), min_size=1, max_size=9))
def test_curves_stay_between_their_axes(points: list[tuple[float, float]]) -> None:
    chart = draw_curves("all", [Curve("a", points, marked=True)], ("x", "y"), [])
    places = re.findall(r'cx="([-\d.]+)" cy="([-\d.]+)"', chart)
    assert len(places) == len(points)
    assert all(0 <= float(x) <= WIDTH and 0 <= float(y) <= 230 for x, y in places)
    order = sorted(range(len(points)), key=lambda n: points[n][1])
    heights = [float(places[n][1]) for n in order]
    assert all(a >= b for a, b in zip(heights, heights[1:], strict=False))


def test_intervals_hold_their_scores() -> None:
    chart = draw_intervals("all", [("one", [(30.0, 28.0, 33.0), (35.0, 34.0, 36.0)])], "BLEU")
    lines = re.findall(r'<line x1="([\d.]+)" y1="\S+" x2="([\d.]+)" y2="\S+" class="curve', chart)
    dots = re.findall(r'<circle cx="([\d.]+)"', chart)
    assert len(lines) == 2 and float(lines[0][0]) < float(dots[0]) < float(lines[0][1])
    assert float(lines[0][1]) < float(lines[1][0])


@given(st.floats(-1000, 1000))
def test_numbers_have_a_sign_unless_they_are_nothing(value: float) -> None:
    text = format_signed(value)
    assert "-" not in text + format_plain(value)
    assert float(text.replace("\u2212", "-")) == pytest.approx(value, abs=0.0501)
    assert text == "0.0" or text[0] == ("\u2212" if math.copysign(1, value) < 0 else "+")
