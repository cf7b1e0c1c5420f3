"""The commands about training runs: `train`, `doctor`, `plot`, `average`, `calibrate`.

Only light imports stand at the top: `translator --help` must not wait for torch.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from translator.config import PRESETS, Config, from_dict, load_config, override
from translator.console import (
    Debug,
    Device,
    Json,
    Progress,
    Quiet,
    Threads,
    check_writable,
    command,
    given,
    print_calibration,
    print_json,
    print_scores,
    set_up_cpu,
    wants_bar,
)

Data = Annotated[
    str | None,
    typer.Option(
        metavar="CORPUS",
        show_default="multi30k",
        help="sample, multi30k, wmt14, hf:OWNER/NAME[:CONFIG], or a folder with train.SRC, "
        "train.TGT, valid.* and test*.*; several as A:1,B:0.5, with how often each comes.",
    ),
]
RunSrc = Annotated[
    str | None, typer.Option(metavar="LANG", show_default="en", help="Source language.")
]
RunTgt = Annotated[
    str | None, typer.Option(metavar="LANG", show_default="de", help="Target language.")
]
Preset = Annotated[str, typer.Option(help=f"One of {', '.join(PRESETS)}.")]
ConfigFile = Annotated[
    Path | None, typer.Option(metavar="FILE.toml", help="Settings over the preset's.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="One setting; repeatable."),
]
RunFolder = Annotated[
    Path | None,
    typer.Option(
        "--run",
        "--run-dir",
        metavar="DIR",
        show_default="checkpoints/CORPUS-SRC-TGT-PRESET",
        help="The run folder (torchrun takes a bare --run for one of its own: --run-dir).",
    ),
]
Steps = Annotated[
    int | None, typer.Option(min=1, show_default="the preset's", help="Updates in all.")
]
Minutes = Annotated[
    float | None, typer.Option(min=0, show_default="no limit", help="Stop training after this.")
]
CheckpointEvery = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="STEPS", show_default="the preset's", help="Steps between checkpoints."
    ),
]
Seed = Annotated[int | None, typer.Option(show_default="1", help="Of all randomness in the run.")]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Move an earlier run aside to DIR.1 and start anew.")
]


TrainPrecision = Annotated[
    str | None,
    typer.Option(
        show_default="auto", help="fp32, bf16 in matrix products, or auto: bf16 where it is fast."
    ),
]
InitFrom = Annotated[
    Path | None,
    typer.Option(
        metavar="MODEL",
        help="Start from this model's weights, with its tokenizer and, without --preset, its "
        "architecture.",
    ),
]
Bidirectional = Annotated[
    bool, typer.Option("--bidirectional", help="Learn both directions in one model.")
]


def training_config(
    context: typer.Context,
    preset: str,
    config: Path | None,
    set_: Sequence[str] | None,
    init_from: Path | None,
    bidirectional: bool,
    data: dict[str, Any],
    train: dict[str, Any],
) -> Config:
    """The settings of a run from its options: `--set` over the others over FILE.toml over PRESET.

    Args:
        context: tells what stands on the command line.
        preset: its name.
        config: FILE.toml.
        set_: `section.key=value` each.
        init_from: a model whose architecture and vocabulary come before FILE.toml.
        bidirectional: both directions.
        data, train: settings of these sections by name; None is "not given".
    """
    base = load_config(preset)
    if init_from:
        from translator.checkpoint import load_model

        model = load_model(init_from).config
        if not given(context, "preset"):
            base = replace(base, preset=model.preset, model=model.model, search=model.search)
        names = ("src", "tgt", "vocab_size", "vocab_type", "bidirectional")
        base = replace(base, data=replace(base.data, **{n: getattr(model.data, n) for n in names}))
        train = {**train, "init_from": str(init_from)}
    # One language alone, if it is the other's default, turns both round.
    src, tgt = data["src"], data["tgt"]
    if (src, tgt) in ((base.data.tgt, None), (None, base.data.src)):
        data = {**data, "src": base.data.tgt, "tgt": base.data.src}
    if bidirectional:
        data = {**data, "bidirectional": True}
    options = {
        section: {key: value for key, value in values.items() if value is not None}
        for section, values in (("data", data), ("train", train))
    }
    settings = load_config(preset, config, base=base) if config else base
    return override(from_dict(options, settings), set_ or ())


def print_report(
    settings: Config,
    folder: Path,
    device: str,
    *,
    fresh: bool = False,
    minutes: float | None = None,
    json_: bool = False,
) -> None:
    """What `doctor` and `train --dry-run` print.

    Raises:
        typer.Exit: with code 1, the data are broken.
    """
    from translator.doctor import examine
    from translator.models import pick_device

    report = examine(settings, folder, pick_device(device), fresh=fresh, minutes=minutes)
    if json_:
        print_json(report.to_dict())
    else:
        print("\n".join(report.lines()))
    if report.broken:
        raise typer.Exit(1)


@command
def train(
    context: typer.Context,
    data: Data = None,
    src: RunSrc = None,
    tgt: RunTgt = None,
    preset: Preset = "tiny",
    config: ConfigFile = None,
    set_: Settings = None,
    run: RunFolder = None,
    steps: Steps = None,
    minutes: Minutes = None,
    checkpoint_every: CheckpointEvery = None,
    seed: Seed = None,
    precision: TrainPrecision = None,
    init_from: InitFrom = None,
    bidirectional: Bidirectional = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would happen, as `doctor` does.")
    ] = False,
    fresh: Fresh = False,
    device: Device = "auto",
    threads: Threads = 0,
    json_: Json = False,
    quiet: Quiet = False,
    progress: Progress = False,
    debug: Debug = False,
) -> None:
    """Train a model. The same command again resumes the run where it stopped."""
    settings = training_config(
        context,
        preset,
        config,
        set_,
        init_from,
        bidirectional,
        {"corpus": data, "src": src, "tgt": tgt},
        {
            "steps": steps,
            "checkpoint_every": checkpoint_every,
            "seed": seed,
            "precision": precision,
        },
    )
    from translator.runs import run_folder
    from translator.train import train as train_model

    set_up_cpu(threads)
    folder = run or run_folder(settings)
    if dry_run:
        print_report(settings, folder, device, fresh=fresh, minutes=minutes, json_=json_)
        return
    info = train_model(
        settings,
        folder,
        minutes=minutes,
        fresh=fresh,
        device=device,
        show_bar=wants_bar(quiet, progress),
    )
    if not info:  # one process of several, and not the first
        return
    if json_:
        print_json({"run": str(folder), **info})
        return
    print(f"{folder}: {info['training']['weights']}, {info['training']['step']} steps")
    print_scores(info["scores"])
    print(f'\nTranslate with it:  translator translate --model {folder} "TEXT"')
    print(f"Score it:           translator evaluate --model {folder} --data {settings.data.corpus}")


@command
def doctor(
    context: typer.Context,
    data: Data = None,
    src: RunSrc = None,
    tgt: RunTgt = None,
    preset: Preset = "tiny",
    config: ConfigFile = None,
    set_: Settings = None,
    run: RunFolder = None,
    steps: Steps = None,
    minutes: Minutes = None,
    checkpoint_every: CheckpointEvery = None,
    seed: Seed = None,
    precision: TrainPrecision = None,
    init_from: InitFrom = None,
    bidirectional: Bidirectional = False,
    fresh: Fresh = False,
    device: Device = "auto",
    threads: Threads = 0,
    json_: Json = False,
    quiet: Quiet = False,
    progress: Progress = False,
    debug: Debug = False,
) -> None:
    """Look at data and settings as `train` would, and say what a run will do and need."""
    train(**locals(), dry_run=True)  # all options are train's


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
    from translator.visualize import plot_runs

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
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Average the weights of several models with one architecture and vocabulary."""
    if last and best:
        raise typer.BadParameter("--last and --best exclude each other")
    if (last or best) and len(folders) > 1:
        raise typer.BadParameter("--last and --best take one run")
    from translator.average import average_models, choose_steps

    chosen = choose_steps(folders[0], last, best) if last or best else folders
    average_models(chosen, output)
    print(f"{output}: the average of {', '.join(map(str, chosen))}")


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
    from translator.calibrate import calibrate_model
    from translator.models import pick_device

    set_up_cpu(threads)
    found = calibrate_model(model, data, pick_device(device), sentences, wants_bar(quiet, progress))
    if json_:
        print_json({"model": str(model), "confidence": {n: c.to_dict() for n, c in found.items()}})
        return
    for direction, calibration in found.items():
        print(f"{model}, {direction}: confidence that a translation has {calibration.event}")
        print_calibration(calibration.measured)
