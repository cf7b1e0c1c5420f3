"""Learning curves: what is drawn is what was logged, and odd logs are drawn too."""

import json
import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from translator.config.errors import TranslatorError
from translator.report.plots import plot_run, plot_runs
from translator.storage.run_log import MetricsLog

pytest.importorskip("matplotlib", reason="needs the package matplotlib")

Lines = Iterable[dict[str, Any]]


def training_line(step: int, **changes: Any) -> dict[str, Any]:
    loss = 2 + 5 / step
    values = {"lr": 1e-3, "loss": loss, "perplexity": math.exp(loss), "seconds": 2.0 * step}
    return {"step": step, **values, "tokens_per_second": 1000.0 + step, **changes}


def validation_line(step: int, bleu: float | None) -> dict[str, Any]:
    return {"step": step, "valid_loss": 2.5, "valid_perplexity": 12.2, "valid_bleu": bleu}


@pytest.fixture
def make_run(tmp_path: Path):
    def build(lines: Lines, name: str = "run") -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / "metrics.jsonl").write_text(text, encoding="utf-8")
        return folder

    return build


@pytest.fixture
def drawn(monkeypatch):
    """The last figure that was written."""
    from matplotlib.figure import Figure

    figures = []
    save = Figure.savefig

    def keep(figure: Any, *args: Any, **options: Any) -> None:
        figures.append(figure)
        save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def panel(figure: Any, title: str) -> Any:
    (axes,) = [axes for axes in figure.axes if axes.get_title(loc="left").startswith(title)]
    return axes


def points(axes: Any) -> list[list[tuple[float, float]]]:
    return [
        list(zip(map(float, x), map(float, y), strict=True))
        for x, y in (line.get_data() for line in axes.get_lines())
    ]


def texts(figure: Any) -> str:
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return "\n".join([figure.get_suptitle(), *legends])


def is_png(path: Path) -> bool:
    return path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000


LINES = [
    *[training_line(step) for step in range(10, 110, 10)],
    validation_line(50, 20.0),
    validation_line(80, 31.25),
    validation_line(100, 30.0),
]


def test_the_curves_are_what_was_logged(make_run, drawn, tmp_path: Path) -> None:
    plot_run(make_run(LINES), tmp_path / "curves.png")
    assert is_png(tmp_path / "curves.png")
    (figure,) = drawn
    training = LINES[:10]
    loss, valid = points(panel(figure, "Perplexity"))
    assert loss == [(line["step"], line["perplexity"]) for line in training]
    assert valid == [(50, 12.2), (80, 12.2), (100, 12.2)]
    bleu, best = points(panel(figure, "BLEU"))
    assert bleu == [(50, 20.0), (80, 31.25), (100, 30.0)]
    assert best == [(80, 31.25)]
    assert points(panel(figure, "Learning rate")) == [[(line["step"], 1e-3) for line in training]]
    (speed,) = points(panel(figure, "Speed"))
    assert speed == [(line["step"], 1000.0 + line["step"]) for line in training]
    assert "best BLEU 31.25 at step 80" in texts(figure)
    assert "run: 100 steps in 0:03:20" in texts(figure)


def test_each_panel_has_a_title_and_a_unit(make_run, drawn, tmp_path: Path) -> None:
    plot_run(make_run([*LINES, training_line(110, left_out=1)]), tmp_path / "curves.png")
    panels = [axes for axes in drawn[0].axes if axes.get_title(loc="left")]
    assert len(panels) == 5
    for axes in panels:
        assert axes.get_ylabel() and axes.get_legend() is None  # legends stand outside
    assert drawn[0].legends


def test_skipped_updates_are_shown_if_there_are_any(make_run, drawn, tmp_path: Path) -> None:
    lines = [training_line(step) for step in range(10, 60, 10)]
    for line, total in zip(lines[2:], (1, 1, 4), strict=True):
        line["left_out"] = total  # which is not logged before there is one
    plot_run(make_run([*lines, validation_line(45, 1.0)]), tmp_path / "curves.png")
    counts = points(panel(drawn[0], "Updates left out"))
    assert counts == [[(10, 0), (20, 0), (30, 1), (40, 1), (50, 4)]]
    healthy = [training_line(step, left_out=0) for step in range(10, 60, 10)]
    plot_run(make_run(healthy, "healthy"), tmp_path / "curves.png")
    assert len([axes for axes in drawn[1].axes if axes.get_title(loc="left")]) == 3


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "lines",
    [
        [training_line(5)],
        [training_line(5, perplexity=None, loss=None)],
        [training_line(5, lr=0.0, perplexity=math.nan, tokens_per_second=math.inf)],
        [training_line(step, perplexity=1e300) for step in (1, 2)],
        [validation_line(3, 0.0)],
        [validation_line(3, None)],
        [{"step": 0}],
        [training_line(step) for step in range(1, 4000)],
        [training_line(1), training_line(2, perplexity=math.nan), training_line(3)],
        [training_line(step, perplexity=5 + step / 1e4) for step in range(1, 9)],
    ],
    ids=[
        *("one", "null", "not-finite", "huge", "bleu-0", "no-bleu", "nothing", "thousands"),
        *("a-gap", "next-to-constant"),
    ],
)
def test_odd_runs_are_drawn(make_run, tmp_path: Path, lines: Lines) -> None:
    plot_run(make_run(lines), tmp_path / "curves.png")
    assert is_png(tmp_path / "curves.png")


def test_only_what_has_a_curve_has_a_panel(make_run, drawn, tmp_path: Path) -> None:
    """A trial of some steps shows no empty halves, and no picture of a single value."""
    for n, (lines, titles) in enumerate(
        [
            ([training_line(5)], ["Perplexity"]),
            ([training_line(5), training_line(6)], ["Perplexity", "Learning", "Speed"]),
            ([training_line(20), validation_line(20, 0.1)], ["Perplexity"]),
            (LINES, ["Perplexity", "BLEU", "Learning", "Speed"]),
            ([{"step": 0}], ["Perplexity"]),
        ]
    ):
        plot_run(make_run(lines, f"run{n}"), tmp_path / "curves.png")
        found = [axes.get_title(loc="left").partition(" ")[0] for axes in drawn[n].axes]
        assert [title for title in found if title] == titles
    assert "no validation yet" in texts(drawn[0])


def test_a_colour_is_a_run_in_all_panels(make_run, drawn, tmp_path: Path) -> None:
    """Whether there is one or several."""
    plot_run(make_run(LINES), tmp_path / "curves.png")
    plot_runs([tmp_path / "run", make_run(LINES, "other")], tmp_path / "curves.png")
    alone, both = (
        [{line.get_color() for line in axes.get_lines()} for axes in figure.axes]
        for figure in drawn
    )
    assert {frozenset(colours) for colours in alone if colours} == {frozenset(alone[0])}
    assert len(alone[0]) == 1 and all(alone[0] < colours for colours in both if colours)


def test_a_spike_late_in_a_run_is_inside_the_picture(make_run, drawn, tmp_path: Path) -> None:
    lines = [training_line(step) for step in range(1, 101)]
    lines[90]["perplexity"] = 5000.0
    plot_run(make_run(lines), tmp_path / "curves.png")
    low, high = panel(drawn[0], "Perplexity").get_ylim()
    assert low < min(line["perplexity"] for line in lines) and high > 5000


def test_half_a_line_at_the_end_is_ignored(make_run, drawn, tmp_path: Path) -> None:
    run = make_run(LINES)
    with open(run / "metrics.jsonl", "ab") as file:
        file.write(b'{"step": 120, "loss": \xff')
    plot_run(run, tmp_path / "curves.png")
    assert "run: 100 steps" in texts(drawn[0])


def test_a_log_that_the_program_wrote_is_drawn(drawn, tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    for step in (1, 2, 3):
        log.record(step, loss=math.nan, perplexity=math.exp(step), lr=1e-3, valid_bleu=math.nan)
    plot_run(tmp_path, tmp_path / "curves.png")
    assert points(panel(drawn[0], "Perplexity")) == [[(n, math.exp(n)) for n in (1, 2, 3)]]
    assert not [axes for axes in drawn[0].axes if axes.get_title(loc="left").startswith("BLEU")]


@pytest.mark.filterwarnings("error")
def test_several_runs_are_distinguished(make_run, drawn, tmp_path: Path) -> None:
    names = ["one", "_two", "$three$", "vier 中文", "deep/one", *map(str, range(12)), "x" * 90]
    runs = [make_run(LINES, name) for name in names]
    plot_runs(runs, tmp_path / "curves.png")
    curves = panel(drawn[0], "BLEU").get_lines()[::2]
    assert len({(line.get_color(), line.get_linestyle()) for line in curves}) == len(names)
    labels = texts(drawn[0])
    for name in (f"{tmp_path.name}/one:", "deep/one:", "_two:", r"\$three\$:", "vier 中文:", "xxx"):
        assert name in labels
    assert labels.count("best BLEU 31.25 at step 80") == len(names)


def test_one_run_can_be_named_twice(make_run, tmp_path: Path) -> None:
    run = make_run(LINES)
    plot_runs([run, run], tmp_path / "curves.png")


@pytest.mark.parametrize("kind, magic", [(".svg", b"<?xml"), (".pdf", b"%PDF"), (".PNG", b"\x89P")])
def test_other_kinds_of_pictures(make_run, tmp_path: Path, kind: str, magic: bytes) -> None:
    plot_run(make_run(LINES), tmp_path / f"curves{kind}")
    assert (tmp_path / f"curves{kind}").read_bytes().startswith(magic)


@pytest.mark.parametrize("name", ["curves", "curves.bmp", "curves.png.txt", ".png"])
def test_an_unknown_kind_is_named(make_run, tmp_path: Path, name: str) -> None:
    with pytest.raises(TranslatorError, match=r"must end in \.png, \.svg or \.pdf"):
        plot_run(make_run(LINES), tmp_path / name)


def test_a_failure_to_draw_is_one_line(make_run, tmp_path: Path, monkeypatch) -> None:
    run, empty = make_run(LINES), make_run([], "empty")
    output = tmp_path / "curves.png"
    with pytest.raises(TranslatorError, match=r"nowhere.metrics\.jsonl cannot be read"):
        plot_run(tmp_path / "nowhere", output)
    with pytest.raises(TranslatorError, match=r"empty.metrics\.jsonl is empty"):
        plot_runs([run, empty], output)
    with pytest.raises(TranslatorError, match=r"curves\.png cannot be written: No such file"):
        plot_run(run, tmp_path / "nowhere" / "curves.png")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(TranslatorError, match=r"pip install 'small-nmt\[plot\]'"):
        plot_run(run, output)
    assert not output.exists()
