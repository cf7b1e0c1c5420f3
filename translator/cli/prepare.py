"""The commands that make training data: `prepare` and `prepare ...`.

Only light imports stand at the top: `translator --help` must not wait for torch.
"""

import os
import shlex
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from translator.cli import train as train_command
from translator.cli.app import app, one_line_errors, wants_bar
from translator.cli.options import (
    OWN,
    BatchTokens,
    BeamSize,
    Debug,
    Device,
    Json,
    Precision,
    Progress,
    Quiet,
    Src,
    Tgt,
    Threads,
    given,
    languages,
    load,
)
from translator.cli.output import check_writable, print_json
from translator.config.errors import TranslatorError
from translator.config.loading import override
from translator.config.schema import Config
from translator.system.disk import write_file

if TYPE_CHECKING:
    from data_prep.prepared.prepare import TrainingData


prepare = typer.Typer(no_args_is_help=True, invoke_without_command=True)


app.add_typer(prepare, name="prepare")


Mono = Annotated[
    Path,
    typer.Option(metavar="FILE", help="Human text, a sentence a line, plain or .gz, .xz, .zst."),
]
Makers = Annotated[
    list[str],
    typer.Option("--model", metavar="MODEL", help="What translates it; several are an ensemble."),
]
Output = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        show_default="NAME-back-METHOD or NAME-forward-METHOD",
        help="The folder for --data; an interrupted job in it goes on.",
    ),
]
Tagged = Annotated[
    bool, typer.Option("--tag/--no-tag", help="Whether training marks the sources as synthetic.")
]
HeldOut = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CORPUS",
        help="Keep out what its validation and test splits hold; repeatable.",
    ),
]
Temperature = Annotated[
    float | None, typer.Option(show_default=OWN, help="Of sampling: below 1 is more careful.")
]
TopK = Annotated[
    int | None,
    typer.Option(min=0, show_default=OWN, help="Sample from the likeliest K pieces."),
]
TopP = Annotated[
    float | None,
    typer.Option(
        show_default=OWN, help="Sample from the likeliest pieces that reach this together."
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="SECTION.KEY=VALUE", help="A setting of clean or search; repeatable."
    ),
]
Seed = Annotated[
    int | None, typer.Option(show_default=OWN, help="Of samples and noise, with each line.")
]


@prepare.callback()
@one_line_errors
def corpus(
    context: typer.Context,
    data: train_command.Data = None,
    src: train_command.RunSrc = None,
    tgt: train_command.RunTgt = None,
    preset: train_command.Preset = "tiny",
    config: train_command.ConfigFile = None,
    set_: train_command.Settings = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            show_default="a folder in $TRANSLATOR_CACHE or ~/.cache/translator",
            help="Where the prepared corpus goes, which then is a CORPUS itself.",
        ),
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="Show the corpora that have names, and what else is one.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, show_default="one per processor", help="Processes.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write the report as a page too.")
    ] = None,
    json_: Json = False,
    quiet: Quiet = False,
    progress: Progress = False,
    debug: Debug = False,
) -> None:
    """Make training data: clean a corpus, learn its vocabulary, encode it, say what was done.

    `translator train` with the same options finds it done. The corpus itself stays as it is.
    """
    if context.invoked_subcommand:
        for option in context.command.params:
            if option.name and given(context, option.name):
                raise typer.BadParameter(
                    f"{option.opts[0]} stands before {context.invoked_subcommand}: put it behind"
                )
        return
    if list_:
        from data_prep.sources.catalogue import corpus_lines, corpus_table

        if json_:
            print_json(corpus_table())
        else:
            print("\n".join(corpus_lines()))
        return
    if report and report.suffix.lower() not in (".html", ".htm"):
        raise typer.BadParameter(f"--report writes a page: a name that ends in .html, not {report}")
    check_writable(report)
    settings = train_command.training_config(
        *(context, preset, config, set_, None, False),
        {"corpus": data, "src": src, "tgt": tgt},
        {},
    )
    found = _prepare(settings, output, workers, wants_bar(quiet, progress))
    from data_prep.prepared.report import prepare_report, report_html, report_lines

    options = {"data": output or settings.data.corpus, "src": src, "tgt": tgt}
    options |= {"preset": preset if given(context, "preset") else None, "config": config}
    figures = prepare_report(found, _train_command(options, set_ or ()))
    if report:
        write_file(report, report_html(figures).encode())
    if json_:
        print_json(figures.to_dict())
    else:
        print("\n".join(report_lines(figures, shutil.get_terminal_size((100, 24)).columns)))


def _train_command(options: dict[str, Any], settings: Sequence[str]) -> str:
    words = [word for name, value in options.items() if value for word in (f"--{name}", str(value))]
    for setting in settings:
        if setting.partition("=")[0].strip() != "data.corpus":  # that is --data now
            words += ["--set", setting]
    return shlex.join(["translator", "train", *words])


def _prepare(
    config: Config,
    output: Path | None,
    workers: int | None,
    show_bar: bool,
) -> "TrainingData":
    """Prepares a corpus, in `output` or in the cache."""
    from data_prep.prepared.cleaned import prepare_corpus
    from data_prep.prepared.prepare import prepare_data
    from data_prep.sources.corpus import split_mixture
    from translator.training.progress import stage_bars

    data = config.data
    if output and len(split_mixture(data.corpus)) > 1:
        raise typer.BadParameter("--output takes one corpus: prepare each part of a mixture alone")
    workers = workers or os.cpu_count() or 1
    done: Counter[str] = Counter()
    try:
        with stage_bars(show_bar) as count:

            def progress(stage: str, n_pairs: int) -> None:
                done[stage] += n_pairs
                count(stage, n_pairs)

            work: dict[str, Any] = {"workers": workers, "progress": progress}
            if output:
                prepare_corpus(
                    *(data.corpus, data.src, data.tgt, config.clean, output),
                    **work,
                )
                config = replace(config, data=replace(data, corpus=str(output)))
            return prepare_data(config, **work)
    except KeyboardInterrupt:
        names = {"read": "read", "clean": "cleaned", "encode": "encoded"}
        parts = ", ".join(f"{n:,} pairs {names[stage]}" for stage, n in done.items())
        raise KeyboardInterrupt(
            f"interrupted ({parts or 'nothing is done yet'}); the same command goes on from there."
        ) from None


@prepare.command()
@one_line_errors
def back_translate(
    context: typer.Context,
    mono: Mono,
    model: Makers,
    output: Output = None,
    method: Annotated[
        str, typer.Option(help="beam; sample: at random; noisy: beam, then words are damaged.")
    ] = "beam",
    tag: Tagged = True,
    held_out: HeldOut = None,
    src: Src = "en",
    tgt: Tgt = "de",
    beam_size: BeamSize = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    seed: Seed = None,
    batch_tokens: BatchTokens = None,
    set_: Settings = None,
    precision: Precision = "fp32",
    device: Device = "auto",
    threads: Threads = 0,
    json_: Json = False,
    quiet: Quiet = False,
    progress: Progress = False,
    debug: Debug = False,
) -> None:
    """Make training pairs of text in the target language: MODEL writes their sources.

    --src and --tgt are what MODEL translates from and to: the other way than what is trained.
    """
    _synthesise(**locals(), back=True)


@prepare.command()
@one_line_errors
def forward_translate(
    context: typer.Context,
    mono: Mono,
    model: Makers,
    output: Output = None,
    method: Annotated[str, typer.Option(help="beam; sample: at random.")] = "beam",
    tag: Tagged = False,
    held_out: HeldOut = None,
    src: Src = "en",
    tgt: Tgt = "de",
    beam_size: BeamSize = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    seed: Seed = None,
    batch_tokens: BatchTokens = None,
    set_: Settings = None,
    precision: Precision = "fp32",
    device: Device = "auto",
    threads: Threads = 0,
    json_: Json = False,
    quiet: Quiet = False,
    progress: Progress = False,
    debug: Debug = False,
) -> None:
    """Make training pairs of text in the source language: MODEL, a teacher, writes the targets."""
    _synthesise(**locals(), back=False)


def _synthesise(
    context: typer.Context,
    mono: Path,
    model: list[str],
    output: Path | None,
    method: str,
    tag: bool,
    held_out: list[str] | None,
    src: str,
    tgt: str,
    set_: list[str] | None,
    precision: str,
    device: str,
    threads: int,
    json_: bool,
    quiet: bool,
    progress: bool,
    debug: bool,
    back: bool,
    **search: Any,
) -> None:
    from data_prep.sources.formats import split_name

    stem, language = split_name(mono.name)  # news.de.gz is German
    wanted = given(context, "src", "tgt")
    src, tgt = languages(context, src, tgt)
    if not wanted and language == tgt:
        src, tgt = tgt, src
    translator = load(model, src, tgt, device, threads, wanted, precision)
    if language == translator.tgt:
        raise TranslatorError(
            f"{mono} is {language} by its name, but {translator.model.folder} translates "
            f"{translator.src}-{translator.tgt}: name a model that translates from {language}."
        )
    from data_prep.back_translate import METHODS, synthesise

    methods = METHODS if back else METHODS[:2]
    if method not in methods:
        raise typer.BadParameter(f"--method is one of {', '.join(methods)}, not {method}")
    try:
        config = Config(search=translator.search_config(**search))
    except TranslatorError as error:
        raise typer.BadParameter(str(error)) from None
    config = override(config, set_ or ())
    report = synthesise(
        translator,
        mono,
        output or Path(f"{stem}.{language}-{'back' if back else 'forward'}-{method}".lstrip(".")),
        back=back,
        method=method,
        tag=tag,
        search=config.search,
        clean=config.clean,
        held_out=held_out or (),
        show_bar=wants_bar(quiet, progress),
    )
    if json_:
        print_json(report)
        return
    dropped = ", ".join(f"{n:,} {rule}" for rule, n in report["dropped"].items()) or "none"
    speed = report["lines_per_second"]
    print(
        f"{report['folder']}: {report['kept']:,} of {report['lines']:,} lines kept (dropped: "
        f"{dropped}), " + (f"{speed:.1f} lines/s" if speed else "all done before")
    )
    print(f"\nTrain with it:  {report['train']}")
