"""Pictures of a run's learning curves (matplotlib, from the extra `plot`)."""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from translator.config.errors import TranslatorError
from translator.storage.run_log import duration, read_metrics, series
from translator.system.optional import require

PICTURES = (".png", ".svg", ".pdf")
# Distinguish eight runs on a projector and for colour-blind people (Okabe and Ito 2008); more runs
# get other strokes.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#8C6D31"]
STROKES = ("-", "--", ":", "-.")
STAR: dict[str, Any] = {"linestyle": "", "marker": "*", "markeredgecolor": "black"}  # the best step
PLAIN = "{x:,.10g}"
FEW_POINTS = 12  # up to this many points are marked: a line of one point is invisible
MANY_POINTS = 150  # more measurements of speed are averaged to this many, to remove noise


def require_matplotlib() -> Any:
    return require("matplotlib", "Pictures need matplotlib", "plot")


def plot_run(run: Path, output: Path) -> None:
    """Draws the learning curves of a run: see `plot_runs`."""
    plot_runs([run], output)


def plot_runs(runs: Sequence[Path], output: Path) -> None:
    """Draws the learning curves of one or more runs from their `metrics.jsonl`.

    These are perplexity in training and validation, validation BLEU with the best step marked, the
    learning rate, the speed, and the number of skipped updates if there are any.

    Args:
        runs: run folders, finished or not.
        output: a .png, .svg or .pdf file.

    Raises:
        TranslatorError: nothing has been logged, the file cannot be written or has another
            ending, or matplotlib is not installed.
    """
    if output.suffix.lower() not in PICTURES:
        raise TranslatorError(f"{output}: the name must end in .png, .svg or .pdf.")
    curves = [read_metrics(run) for run in runs]
    require_matplotlib()
    from matplotlib.figure import Figure  # without pyplot there is no window and nothing to close

    names = _run_names(runs)
    rows: Any = _panel_rows(curves)
    figure = Figure(figsize=(11, 3.4 + 1.6 * len(rows)), layout="constrained")
    heights = [0.5 if row[0] == "left_out" else 1 for row in rows]
    heights[0] = 1.35
    panels = figure.subplot_mosaic(rows, height_ratios=heights, sharex=True)
    for number, lines in enumerate(curves):
        _draw_curves(panels, lines, *_style(number))
    _describe_panels(panels, curves)
    _add_legend(figure, names, curves)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a run may be named in any script
        try:
            figure.savefig(output, dpi=150)
        except OSError as error:
            raise TranslatorError(f"{output} cannot be written: {error.strerror}.") from None


def _panel_rows(curves: Sequence[Sequence[dict[str, Any]]]) -> list[list[str]]:
    """The panels for what was logged, two in a row and without empty halves."""

    def length(name: str) -> int:
        return max(len(series(lines, name)) for lines in curves)

    perplexity = max(len(_perplexity(c, side)) for c in curves for side in ("", "valid_"))
    counts = {"perplexity": perplexity, "bleu": length("valid_bleu")}
    counts |= {"rate": length("lr"), "speed": length("tokens_per_second")}
    names = [name for name, count in counts.items() if count > 1] or ["perplexity"]  # else no curve
    rows = [names[i : i + 2] for i in range(0, len(names), 2)]
    if any(count > 0 for lines in curves for _, count in series(lines, "left_out")):
        rows.append(["left_out"])
    return [row if len(row) == 2 else row * 2 for row in rows]


def _run_names(runs: Sequence[Path]) -> list[str]:
    """The folders' names, with as much of their paths as makes them unique."""
    paths = [run.resolve() for run in runs]
    for length in range(1, max((len(path.parts) for path in paths), default=1)):
        names = ["/".join(path.parts[-length:]) for path in paths]
        if len(set(names)) == len(set(paths)):
            break
    names = [name if len(name) <= 48 else f"{name[:22]}...{name[-23:]}" for name in names]
    return [name.replace("$", r"\$") for name in names]  # "$" would start a formula


def _style(number: int) -> tuple[str, Any]:
    """Colour and stroke of a run."""
    rest, colour = divmod(number, len(COLOURS))
    return COLOURS[colour], STROKES[rest % len(STROKES)]


def _perplexity(lines: Sequence[dict[str, Any]], prefix: str = "") -> list[tuple[int, float]]:
    """The perplexity in training or validation, without absurdly high values."""
    return [(x, y) for x, y in series(lines, f"{prefix}perplexity") if 0 < y < 1e15]


def _draw_curves(
    panels: dict[str, Any], lines: Sequence[dict[str, Any]], colour: str, stroke: str
) -> None:
    """Draws a run into the panels, in its colour: training thin, validation thick and dotted."""

    def draw(panel: str, points: Sequence[tuple[float, float]], **style: Any) -> None:
        if points and panel in panels:
            marker = "." if len(points) <= FEW_POINTS else ""
            style = {"color": colour, "marker": marker, "linestyle": stroke, **style}
            panels[panel].plot(*zip(*points, strict=True), **style)

    valid: dict[str, Any] = {"linewidth": 2, "zorder": 3, "marker": "o", "markersize": 4}
    draw("perplexity", _perplexity(lines), linewidth=1, alpha=0.7)
    draw("perplexity", _perplexity(lines, "valid_"), **valid)
    bleu = series(lines, "valid_bleu")
    draw("bleu", bleu, **valid)
    if bleu:
        draw("bleu", [_best(bleu)], **valid | STAR | {"markersize": 15, "zorder": 4}, clip_on=False)
    draw("rate", series(lines, "lr"))
    draw("speed", _thinned(series(lines, "tokens_per_second")), linewidth=1.2)
    if "left_out" in panels:
        counts = series(lines, "left_out")
        first = counts[0][0] if counts else math.inf  # until then, it is not logged
        none = sorted({(line["step"], 0.0) for line in lines if line["step"] < first})
        draw("left_out", [*none, *counts], drawstyle="steps-post")


def _thinned(points: Sequence[tuple[int, float]]) -> list[tuple[float, float]]:
    """Means of neighbours, at most `MANY_POINTS` of them."""
    size = -(-len(points) // MANY_POINTS) or 1
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(fmean(x for x, _ in group), fmean(y for _, y in group)) for group in groups]


def _best(bleu: Sequence[tuple[int, float]]) -> tuple[int, float]:
    """The step with the highest BLEU; of equals the first, as in training."""
    return max(bleu, key=lambda point: point[1])


def _describe_panels(panels: dict[str, Any], curves: Sequence[Sequence[dict[str, Any]]]) -> None:
    """Sets titles, units and scales."""
    from matplotlib.ticker import MaxNLocator

    titles = {
        "perplexity": ("Perplexity", "perplexity, log scale"),
        "bleu": ("BLEU on the validation set", "BLEU, greedy search"),
        "rate": ("Learning rate", "learning rate"),
        "speed": ("Speed of training", "target tokens a second"),
        "left_out": ("Updates left out, in all", "updates"),
    }
    for name, axes in panels.items():
        title, label = titles[name]
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
        axes.set_ylabel(label)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 2.5, 5, 10]))
        axes.xaxis.set_major_formatter(PLAIN)
        if name == "left_out":
            axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_formatter(PLAIN)
        axes.tick_params(labelbottom=True)
        if not axes.has_data():
            axes.text(0.5, 0.5, "nothing yet", transform=axes.transAxes, ha="center", color="gray")
            axes.set_yticks([])
        elif name in ("rate", "speed", "left_out"):
            axes.set_ylim(bottom=0)
        elif name == "bleu" and axes.dataLim.y1 < 1:  # noise, which must not look like a rise
            axes.set_ylim(bottom=0, top=1)
    rate = max((y for lines in curves for _, y in series(lines, "lr")), default=0)
    if rate > 0 and "rate" in panels:
        power = math.floor(math.log10(rate))
        panels["rate"].set_ylabel(f"learning rate, $10^{{{power}}}$")
        panels["rate"].yaxis.set_major_formatter(lambda value, _: f"{value / 10**power:.6g}")
    if "perplexity" in panels and panels["perplexity"].has_data():
        _scale_perplexity(panels["perplexity"], curves)
    last = max(line["step"] for lines in curves for line in lines)
    for axes in panels.values():
        axes.set_xlim(left=0, right=max(1, last) * 1.03)
        if axes.get_subplotspec().is_last_row():
            axes.set_xlabel("step (one update of the weights)")


def _scale_perplexity(axes: Any, curves: Sequence[Sequence[dict[str, Any]]]) -> None:
    """Sets a logarithmic scale, with the loss on the right."""
    import numpy as np
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator

    def log(values: Any) -> Any:
        return np.log(np.maximum(values, 1e-9))

    def exp(values: Any) -> Any:
        return np.exp(np.minimum(values, 100))

    axes.set_yscale("log")
    low, high = _limits([_perplexity(c, side) for c in curves for side in ("", "valid_")])
    axes.set_ylim(low, high)
    subs = (1, 2, 5) if high > 50 * low else (1, 1.5, 2, 3, 5, 7)
    nice = MaxNLocator(6, steps=[1, 2, 5, 10])
    axes.yaxis.set_major_locator(LogLocator(subs=subs) if high > 3 * low else nice)
    axes.yaxis.set_major_formatter(PLAIN)
    axes.yaxis.set_minor_formatter(NullFormatter())
    right = axes.secondary_yaxis("right", functions=(log, exp))
    right.set_ylabel("loss, nats a token")
    right.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    right.yaxis.set_major_formatter(PLAIN)
    right.yaxis.set_minor_locator(NullLocator())
    right.spines["right"].set_visible(False)


def _limits(lines: Sequence[Sequence[tuple[int, float]]]) -> tuple[float, float]:
    """The limits of the axis, which may cut off only the steep first tenth of a run."""
    later = [y for points in lines for x, y in points if x >= points[-1][0] / 10]
    return min(later) / 1.15, max(later) * 1.3


def _add_legend(
    figure: Any, names: Sequence[str], curves: Sequence[Sequence[dict[str, Any]]]
) -> None:
    """Names the runs, their best steps and the lines, outside the panels."""
    from matplotlib.lines import Line2D

    several = len(names) > 1
    colour = "gray" if several else COLOURS[0]
    shown = {
        "perplexity": Line2D([], [], color=colour, linewidth=1, alpha=0.7, label="training"),
        "valid_perplexity": Line2D(
            [], [], color=colour, linewidth=2, marker="o", markersize=4, label="validation"
        ),
        "valid_bleu": Line2D([], [], color=colour, markersize=13, label="best step", **STAR),
    }
    counts = {name: max(len(series(lines, name)) for lines in curves) for name in shown}
    lines_shown = [
        handle for name, handle in shown.items() if counts[name] > (name == "valid_bleu")
    ]
    handles = []
    facts = []
    for number, (name, lines) in enumerate(zip(names, curves, strict=True)):
        colour, stroke = _style(number)
        bleu = series(lines, "valid_bleu")
        fact = "no validation yet"
        if bleu:
            step, value = _best(bleu)
            fact = f"best BLEU {value:.2f} at step {step:,}"
        seconds = max((value for _, value in series(lines, "seconds")), default=0)
        time = f" in {duration(seconds)}" if seconds else ""
        facts.append(f"{lines[-1]['step']:,} steps{time}, {fact}")
        if several:  # a label must not begin with "_"
            label = f" {name}: {facts[-1]}"
            handles.append(Line2D([], [], color=colour, linestyle=stroke, linewidth=3, label=label))
    figure.suptitle(f"{len(names)} runs" if several else f"{names[0]}: {facts[0]}", fontsize=13)
    if several:
        figure.set_figheight(figure.get_figheight() + 0.24 * len(names))
        figure.legend(handles=handles, loc="outside lower center", frameon=False)
    place = "outside upper right" if several else "outside lower center"  # no two in one place
    if lines_shown:
        figure.legend(handles=lines_shown, loc=place, ncols=3, frameon=False)
