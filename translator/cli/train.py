"""The commands `train` and `doctor`.

Only light imports at the top: `translator --help` must not wait for torch.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from translator.cli.app import command, wants_bar
from translator.cli.options import Debug, Device, Json, Progress, Quiet, Threads, given
from translator.cli.output import print_json, print_scores
from translator.config.loading import from_dict, load_config, override
from translator.config.presets import PRESETS
from translator.config.schema import Config

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
        from translator.storage.model_folder import load_model

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
    from translator.system.machine import pick_device
    from translator.training.doctor import examine

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
    from translator.storage.run_folder import run_folder
    from translator.system.machine import set_up_cpu
    from translator.training.train import train as train_model

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
    if info is None:  # one process of several, and not the first
        return
    if json_:
        print_json({"run": str(folder), **info.to_dict()})
        return
    print(f"{folder}: {info.training.weights}, {info.training.state.step} steps")
    print_scores(info.scores)
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
