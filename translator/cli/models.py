"""The commands about finished models: `info`, `plot`, `average`, `calibrate`.

Only light imports at the top: `translator --help` must not wait for torch.
"""

from pathlib import Path
from typing import Annotated

import typer

from translator.cli.app import command, wants_bar
from translator.cli.options import Debug, Device, Json, Progress, Quiet, Threads
from translator.cli.output import check_writable, print_calibration, print_json, print_scores


@command
def info(
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help="A model's folder.", show_default="the shipped one"),
    ] = None,
    json_: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Show what a model is, how it was trained, and how it scores."""
    from translator.storage.find import describe_model, find_model
    from translator.storage.scores import SplitScores

    folder = find_model(model)
    description = describe_model(folder)
    if json_:
        print_json({"model": str(folder), **description})
        return
    config, training = description["config"], description.get("training", {})
    direction = description["direction"]
    arrow = "<->" if config["data"].get("bidirectional") else "->"
    print(f"{folder}\n{direction['src']} {arrow} {direction['tgt']}, preset {config['preset']}")
    sizes = ", ".join(f"{key} {value}" for key, value in config["model"].items())
    print(
        f"{description['parameters']:,} parameters, {description['bytes'] / 2**20:.1f} MiB; {sizes}"
    )
    if "step" in training:
        where = description.get("environment", training)  # older models have it there
        print(
            f"trained {training['step']} steps in {training['seconds'] / 60:.0f} minutes on "
            f"{where['device']} ({where['threads']} threads); weights: {training['weights']}"
        )
    if "data" in description:
        print("data: " + ", ".join(f"{k} {v}" for k, v in description["data"].items() if v))
    found = description.get("scores", {})
    print_scores({split: SplitScores.from_dict(scores) for split, scores in found.items()})
    for name, calibration in description.get("confidence", {}).items():
        print(f"confidence {name}: {calibration['event']}")
        print_calibration(calibration["measured"])


@command
def plot(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default="RUN/learning-curve.png",
            help="A .png, .svg or .pdf file; needed for several runs.",
        ),
    ] = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Draw the learning curve of a run, or of several for comparison."""
    if output is None and len(runs) > 1:
        raise typer.BadParameter("several runs need --output")
    from translator.report.plots import plot_runs

    target = output or runs[0] / "learning-curve.png"
    check_writable(target)
    plot_runs(runs, target)
    print(target)


@command
def average(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Models, or one run.")],
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where the new model goes.")],
    last: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Of a run: its last N checkpoints.")
    ] = None,
    best: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Of a run: its N best by validation BLEU."),
    ] = None,
    weights: Annotated[
        str,
        typer.Option(
            metavar="fp32|fp16|int8",
            help="How the weights are stored; int8 takes a quarter of fp32's space.",
        ),
    ] = "fp32",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Average the weights of several models with one architecture and vocabulary.

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


@command
def calibrate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model's folder.")],
    data: Annotated[
        list[str],
        typer.Option(
            metavar="CORPUS",
            help="Its validation pairs are used; repeatable: the first like what the model was "
            "trained on, the others not.",
        ),
    ],
    sentences: Annotated[
        int, typer.Option(min=1, help="At most so many of each corpus, and as many spoilt ones.")
    ] = 1000,
    device: Device = "auto",
    threads: Threads = 0,
    json_: Json = False,
    quiet: Quiet = False,
    progress: Progress = False,
    debug: Debug = False,
) -> None:
    """Learn how far a model's translations can be trusted, and store that with the model.

    A finished run has done that. What is printed was measured by cross-validation.
    """
    from translator.evaluation.calibration import calibrate_model
    from translator.system.machine import pick_device, set_up_cpu

    set_up_cpu(threads)
    found = calibrate_model(model, data, pick_device(device), sentences, wants_bar(quiet, progress))
    if json_:
        print_json({"model": str(model), "confidence": {n: c.to_dict() for n, c in found.items()}})
        return
    for direction, calibration in found.items():
        print(f"{model}, {direction}: confidence that a translation has {calibration.event}")
        print_calibration(calibration.measured)
