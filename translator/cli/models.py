"""The commands that draw runs and change models: `plot`, `average`, `calibrate`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from translator.cli.app import command
from translator.cli.options import Common, Talk
from translator.cli.render import check_writable
from translator.cli.results import print_calibration, print_json


@command("Train", "translator plot checkpoints/a checkpoints/b -o curves.png")
def plot(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Run folders.")],
    talk: Talk,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            show_default="RUN/learning-curve.png",
            help="A .png, .svg or .pdf file; required for several runs.",
        ),
    ] = None,
) -> None:
    """Draw the learning curve of a run, or of several for comparison."""
    if output is None and len(runs) > 1:
        raise typer.BadParameter("several runs need --output")
    from translator.report.plots import plot_runs

    target = output or runs[0] / "learning-curve.png"
    check_writable(target)
    plot_runs(runs, target)
    print(target)


@command("Models", "translator average checkpoints/run --last 8 -o checkpoints/average")
def average(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER", help="Models, or one run.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where the new model goes.")
    ],
    talk: Talk,
    last: Annotated[
        int | None, typer.Option(min=1, help="Of a run: its last N checkpoints.")
    ] = None,
    best: Annotated[
        int | None, typer.Option(min=1, help="Of a run: its N best by validation BLEU.")
    ] = None,
    weights: Annotated[
        Literal["fp32", "fp16", "int8"],
        typer.Option(help="How weights are stored; int8 takes a quarter of fp32's space."),
    ] = "fp32",
) -> None:
    """Average the weights of several models with the same architecture and vocabulary.

    One model alone is written again, with its weights stored as --weights says.
    """
    if last and best:
        raise typer.BadParameter("--last and --best exclude each other")
    if (last or best) and len(folders) > 1:
        raise typer.BadParameter("--last and --best take one run")
    from translator.storage.average import average_models, choose_steps

    chosen = choose_steps(folders[0], last, best) if last or best else folders
    average_models(chosen, output, weights)
    what = "the average of " if len(chosen) > 1 else ""
    print(f"{output}: {what}{', '.join(map(str, chosen))}, weights in {weights}")


@command("Models", "translator calibrate checkpoints/run --data multi30k")
def calibrate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model's folder.")],
    data: Annotated[
        list[str],
        typer.Option(
            metavar="CORPUS",
            help="Its validation pairs are used; repeatable: the first one like the training "
            "data, the others not.",
        ),
    ],
    common: Common,
    sentences: Annotated[
        int,
        typer.Option(min=1, help="At most this many of each corpus, and as many corrupted ones."),
    ] = 1000,
) -> None:
    """Learn how far a model's translations can be trusted, and store that with the model.

    A finished run has done so. The figures printed were measured by cross-validation.
    """
    from translator.evaluation.calibration import calibrate_model
    from translator.system.machine import pick_device, set_up_cpu

    set_up_cpu(common.threads)
    found = calibrate_model(model, data, pick_device(common.device), sentences, common.bar)
    if common.json:
        print_json({"model": str(model), "confidence": {n: c.to_dict() for n, c in found.items()}})
        return
    for direction, calibration in found.items():
        print(f"{model}, {direction}: confidence that a translation has {calibration.event}")
        print_calibration(calibration.measured)
