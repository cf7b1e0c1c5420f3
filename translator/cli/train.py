"""The commands `train` and `doctor`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from translator.cli.app import command
from translator.cli.groups import Settings
from translator.cli.options import Common, Src, Tgt, with_settings
from translator.cli.results import print_json, print_scores
from translator.config.errors import did_you_mean
from translator.config.loading import from_dict, load_config
from translator.config.presets import PRESETS
from translator.config.schema import Config, TrainConfig

Updates = Annotated[
    dict[str, Any],
    Settings(
        TrainConfig, ("steps", "checkpoint_every", "seed", "precision"), default="the preset's"
    ),
]


@dataclass(frozen=True)
class Recipe:
    """The data and settings of a run."""

    data: Annotated[
        str | None,
        typer.Option(
            metavar="CORPUS",
            show_default="multi30k",
            help="A name from `translator prepare --list`, hf:OWNER/NAME[:CONFIG], or a folder "
            "with train.SRC, train.TGT, valid.* and test*.*; several as A:1,B:0.5, with how often "
            "each is read.",
        ),
    ] = None
    src: Src = None
    tgt: Tgt = None
    preset: Annotated[
        str | None,
        typer.Option(metavar="|".join(PRESETS), show_default="tiny", help="Settings by name."),
    ] = None
    config: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Settings that replace the preset's.")
    ] = None
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.KEY=VALUE", help="One setting; repeatable."),
    ] = None

    def resolve(
        self,
        train: dict[str, Any],
        init_from: Path | None = None,
        bidirectional: bool = False,
    ) -> Config:
        """The settings of a run: `--set` over the options over FILE.toml over PRESET.

        Args:
            train: settings of that section.
            init_from: a model whose architecture and vocabulary come before FILE.toml.
            bidirectional: learn both directions.
        """
        if self.preset is not None and self.preset not in PRESETS:
            raise typer.BadParameter(
                f'--preset is one of {", ".join(PRESETS)}, not "{self.preset}".'
                f"{did_you_mean(self.preset, PRESETS)}"
            )
        base = PRESETS[self.preset or "tiny"]
        if init_from:
            base = _like_model(base, init_from, keep_architecture=self.preset is not None)
            train = {**train, "init_from": str(init_from)}
        src, tgt = self.src, self.tgt
        # One language alone, if it is the other's default, turns both round.
        if (src, tgt) in ((base.data.tgt, None), (None, base.data.src)):
            src, tgt = base.data.tgt, base.data.src
        given = {"corpus": self.data, "src": src, "tgt": tgt}
        data: dict[str, Any] = {k: value for k, value in given.items() if value is not None}
        if bidirectional:
            data["bidirectional"] = True
        settings = load_config(file=self.config, base=base)
        return with_settings(from_dict({"data": data, "train": train}, settings), self.set_)


def _like_model(base: Config, folder: Path, keep_architecture: bool) -> Config:
    from translator.storage.model_folder import load_model

    model = load_model(folder).config
    if not keep_architecture:
        base = replace(base, preset=model.preset, model=model.model, search=model.search)
    names = ("src", "tgt", "vocab_size", "vocab_type", "bidirectional")
    return replace(base, data=replace(base.data, **{n: getattr(model.data, n) for n in names}))


@dataclass(frozen=True)
class Place:
    """Where a run goes, where it starts, and when it ends."""

    run: Annotated[
        Path | None,
        typer.Option(
            "--run",
            "--run-dir",
            metavar="DIR",
            show_default="checkpoints/CORPUS-SRC-TGT-PRESET",
            help="The run folder (torchrun takes a bare --run for one of its own: --run-dir).",
        ),
    ] = None
    minutes: Annotated[
        float | None, typer.Option(min=0, show_default="no limit", help="Stop training after this.")
    ] = None
    init_from: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            help="Start from this model's weights, with its tokenizer and, without --preset, its "
            "architecture.",
        ),
    ] = None
    bidirectional: Annotated[
        bool, typer.Option("--bidirectional", help="Learn both directions in one model.")
    ] = False
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Move an earlier run aside to DIR.1 and start over.")
    ] = False


@command(
    "Train",
    "translator train --data sample --preset demo",
    "translator train --data corpus/ --preset small --set train.peak_lr=0.001",
)
def train(
    recipe: Recipe,
    updates: Updates,
    place: Place,
    common: Common,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would happen, as `doctor` does.")
    ] = False,
) -> None:
    """Train a model. The same command again resumes the run where it stopped."""
    settings = recipe.resolve(updates, place.init_from, place.bidirectional)
    from translator.storage.run_folder import run_folder
    from translator.system.machine import set_up_cpu
    from translator.system.threads import available_cpus
    from translator.training.train import train as train_model

    # Not as many as are idle now: another number another day gives other bits.
    set_up_cpu(common.threads or available_cpus())
    folder = place.run or run_folder(settings)
    if dry_run:
        _print_report(settings, folder, place, common)
        return
    info = train_model(
        settings,
        folder,
        minutes=place.minutes,
        fresh=place.fresh,
        device=common.device,
        show_bar=common.bar,
    )
    if info is None:  # one process of several, and not the first
        return
    if common.json:
        print_json({"run": str(folder), **info.to_dict()})
        return
    print(f"{folder}: {info.training.weights}, {info.training.state.step} steps")
    print_scores(info.scores)
    print(f'\nTranslate with it:  translator translate --model {folder} "TEXT"')
    print(f"Score it:           translator evaluate --model {folder} --data {settings.data.corpus}")


def _print_report(settings: Config, folder: Path, place: Place, common: Common) -> None:
    """What `doctor` and `train --dry-run` print.

    Raises:
        typer.Exit: with code 1, the data are broken.
    """
    from translator.system.machine import pick_device
    from translator.training.doctor import examine

    report = examine(
        settings, folder, pick_device(common.device), fresh=place.fresh, minutes=place.minutes
    )
    if common.json:
        print_json(report.to_dict())
    else:
        print("\n".join(report.lines()))
    if report.broken:
        raise typer.Exit(1)


@command("Train", "translator doctor --data multi30k --preset tiny")
def doctor(recipe: Recipe, updates: Updates, place: Place, common: Common) -> None:
    """Look at data and settings as `train` would, and say what a run will do and need."""
    train(recipe, updates, place, common, dry_run=True)
