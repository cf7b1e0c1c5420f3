"""The commands that make training data: `prepare` and `prepare ...`."""

import os
import shlex
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from translator.cli.app import app, command, one_line_errors
from translator.cli.groups import expand
from translator.cli.help import Group
from translator.cli.options import (
    Common,
    Json,
    ModelChoice,
    Progress,
    Talk,
    resolve_search,
    search_settings,
    show_bar,
    with_settings,
)
from translator.cli.render import check_page, check_writable
from translator.cli.results import print_json
from translator.cli.train import Recipe
from translator.config.errors import TranslatorError
from translator.config.schema import Config
from translator.system.disk import write_file

if TYPE_CHECKING:
    from data_prep.prepared.prepare import TrainingData

prepare = typer.Typer(
    cls=Group, rich_markup_mode=None, no_args_is_help=True, invoke_without_command=True
)
app.add_typer(prepare, name="prepare", rich_help_panel="Train")


def corpus(
    context: typer.Context,
    recipe: Recipe,
    talk: Talk,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            show_default="a folder in $TRANSLATOR_CACHE or ~/.cache/translator",
            help="Where the prepared corpus goes, which is then a CORPUS itself.",
        ),
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="Show the corpora that have names, and other kinds.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, show_default="one per processor", help="Processes.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write the report as a page too.")
    ] = None,
    json_: Json = False,
    progress: Progress = False,
) -> None:
    """Make training data: clean a corpus, learn its vocabulary, encode it, report.

    `translator train` with the same options finds it done. The corpus itself stays as it is.
    """
    if context.invoked_subcommand:
        for option in context.command.params:
            source = context.get_parameter_source(option.name or "")
            if source is not None and source.name == "COMMANDLINE":
                raise typer.BadParameter(
                    f"{option.opts[0]} stands before {context.invoked_subcommand}: put it after"
                )
        return
    if list_:
        _list(json_)
        return
    check_page(report)
    check_writable(report)
    settings = recipe.resolve({})
    found = _prepare(settings, output, workers, show_bar(talk.quiet, progress))
    _report(found, recipe, output or settings.data.corpus, report, json_)


prepare.callback(
    epilog="translator prepare --list\ntranslator prepare --data multi30k --report corpus.html"
)(one_line_errors(expand(corpus)))


def _list(as_json: bool) -> None:
    from data_prep.sources.catalogue import corpus_lines, corpus_table

    if as_json:
        print_json(corpus_table())
    else:
        print("\n".join(corpus_lines()))


def _report(
    found: "TrainingData", recipe: Recipe, corpus: Path | str, page: Path | None, as_json: bool
) -> None:
    from data_prep.prepared.report import prepare_report, report_html, report_lines

    options = {"data": corpus, "src": recipe.src, "tgt": recipe.tgt}
    options |= {"preset": recipe.preset, "config": recipe.config}
    figures = prepare_report(found, _train_command(options, recipe.set_ or ()))
    if page:
        write_file(page, report_html(figures).encode())
    if as_json:
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
            f"{parts or 'nothing is done yet'}; the same command continues from there."
        ) from None


Drawing = Annotated[
    dict[str, Any],
    search_settings("beam_size", "temperature", "top_k", "top_p", "seed", "batch_tokens"),
]


@dataclass(frozen=True)
class Synthesis:
    """What is translated into training pairs."""

    mono: Annotated[
        Path, typer.Option(help="Human text, a sentence a line, plain or .gz, .xz, .zst.")
    ]
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            show_default="NAME-back-METHOD or NAME-forward-METHOD",
            help="The folder for --data; an interrupted job in it resumes.",
        ),
    ] = None
    held_out: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CORPUS",
            help="Keep out what its validation and test splits contain; repeatable.",
        ),
    ] = None
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="SECTION.KEY=VALUE", help="A setting of clean or search; repeatable."
        ),
    ] = None


Tagged = Annotated[
    bool, typer.Option("--tag/--no-tag", help="Whether training marks the sources as synthetic.")
]


@command(
    "Commands",
    "translator prepare back-translate --mono news.de.gz --model multi30k-de-en",
    group=prepare,
)
def back_translate(
    synthesis: Synthesis,
    model: ModelChoice,
    search: Drawing,
    common: Common,
    method: Annotated[
        Literal["beam", "sample", "noisy"],
        typer.Option(help="noisy: beam, then words are damaged."),
    ] = "beam",
    tag: Tagged = True,
) -> None:
    """Make training pairs of text in the target language: MODEL writes their sources.

    --src and --tgt are what MODEL translates from and to: the other way than what is trained.
    """
    _synthesise(synthesis, model, search, common, method, tag, back=True)


@command(
    "Commands",
    "translator prepare forward-translate --mono news.en.gz --model multi30k-en-de",
    group=prepare,
)
def forward_translate(
    synthesis: Synthesis,
    model: ModelChoice,
    search: Drawing,
    common: Common,
    method: Annotated[
        Literal["beam", "sample"], typer.Option(help="How translations are found.")
    ] = "beam",
    tag: Tagged = False,
) -> None:
    """Make training pairs of text in the source language: MODEL, a teacher, writes the targets."""
    _synthesise(synthesis, model, search, common, method, tag, back=False)


def _synthesise(
    synthesis: Synthesis,
    choice: ModelChoice,
    search: dict[str, Any],
    common: Common,
    method: str,
    tag: bool,
    back: bool,
) -> None:
    from data_prep.back_translate import synthesise
    from data_prep.sources.formats import split_name

    mono = synthesis.mono
    stem, language = split_name(mono.name)  # news.de.gz is German
    if not (choice.model or choice.src or choice.tgt):
        if language not in ("en", "de"):
            raise typer.BadParameter(f"name the model that translates {mono.name} with --model")
        choice = replace(choice, src=language)  # a shipped model from it
    translator = choice.load(common)
    turned = (translator.tgt, translator.src)
    named = choice.src or choice.tgt
    if not named and language == turned[0] and turned in translator.model.directions:
        translator = replace(choice, src=turned[0], tgt=turned[1]).load(common)
    if language == translator.tgt:
        raise TranslatorError(
            f"{mono} is {language} by its name, but {translator.model.folder} translates "
            f"{translator.src}-{translator.tgt}: name a model that translates from {language}."
        )
    config = Config(search=resolve_search(translator, search))
    config = with_settings(config, synthesis.set_)
    name = f"{stem}.{language}-{'back' if back else 'forward'}-{method}".lstrip(".")
    report = synthesise(
        translator,
        mono,
        synthesis.output or Path(name),
        back=back,
        method=method,
        tag=tag,
        search=config.search,
        clean=config.clean,
        held_out=synthesis.held_out or (),
        show_bar=common.bar,
    )
    _show(report, common.json)


def _show(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    dropped = ", ".join(f"{n:,} {rule}" for rule, n in report["dropped"].items()) or "none"
    speed = report["lines_per_second"]
    print(
        f"{report['folder']}: {report['kept']:,} of {report['lines']:,} lines kept (dropped: "
        f"{dropped}), " + (f"{speed:.1f} lines/s" if speed else "all done before")
    )
    print(f"\nTrain with it:  {report['train']}")
