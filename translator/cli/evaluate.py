"""The command `evaluate`: its options turned into settings.

Only light imports stand at the top: `translator --help` must not wait for torch.
"""

from pathlib import Path
from typing import Annotated

import typer

from translator.cli.app import command, wants_bar
from translator.cli.options import (
    BatchTokens,
    BeamSize,
    Debug,
    Device,
    Json,
    LengthPenalty,
    LengthReward,
    Models,
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
from translator.config.schema import METRICS, Config
from translator.system.disk import write_file


@command
def evaluate(
    context: typer.Context,
    model: Models = None,
    data: Annotated[
        str, typer.Option(metavar="CORPUS", help="As for `translator train`.")
    ] = "multi30k",
    split: Annotated[
        str, typer.Option(help="A split, or how the names of several begin.")
    ] = "test",
    source: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Translate this file instead of --data.")
    ] = None,
    reference: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A reference translation of it; repeatable."),
    ] = None,
    hypotheses: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Score these lines; nothing is translated.")
    ] = None,
    metrics: Annotated[
        str,
        typer.Option(help="Of bleu, chrf, ter, and multi30k_bleu: as papers on Multi30k score it."),
    ] = "bleu,chrf,ter",
    lowercase: Annotated[
        bool, typer.Option("--lowercase", help="Compare without regard to case.")
    ] = False,
    bootstrap: Annotated[
        int | None,
        typer.Option(
            min=0,
            show_default="1000",
            help="Resamples for the 95 % intervals and for --compare; 0 = none.",
        ),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL|FILE", help="Another system on the same lines, or its translations."
        ),
    ] = None,
    training_data: Annotated[
        str | None,
        typer.Option(
            metavar="CORPUS", help="Score also the lines that this corpus has not, nor nearly."
        ),
    ] = None,
    analyse: Annotated[
        bool,
        typer.Option(
            "--analyse",
            help="Scores by kind of sentence, on changed sources, faults, confidence, all lines.",
        ),
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Write all that --analyse finds as a page."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the translations here.")
    ] = None,
    src: Src = "en",
    tgt: Tgt = "de",
    beam_size: BeamSize = None,
    length_penalty: LengthPenalty = None,
    length_reward: LengthReward = None,
    batch_tokens: BatchTokens = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="search.KEY=VALUE", help="A setting of the search; repeatable."
        ),
    ] = None,
    precision: Precision = "fp32",
    device: Device = "auto",
    threads: Threads = 0,
    json_: Json = False,
    quiet: Quiet = False,
    progress: Progress = False,
    debug: Debug = False,
) -> None:
    """Score a model, or a file of translations, with sacreBLEU."""
    from translator.evaluation.systems import evaluate_systems
    from translator.evaluation.testset import System, check_lines, read_test_sets, training_text
    from translator.text.lines import read_lines

    names = [name.strip() for name in metrics.split(",") if name.strip()]
    if not names or set(names) - set(METRICS):
        raise typer.BadParameter(f"--metrics takes some of {', '.join(METRICS)}, not {metrics!r}")
    if source and not reference:
        raise typer.BadParameter("--source needs --reference")
    if reference and not (source or hypotheses):
        raise typer.BadParameter("--reference needs --source or --hypotheses")
    if model and hypotheses:
        raise typer.BadParameter("--hypotheses stand for --model: give the other one to --compare")
    if output and hypotheses:
        raise typer.BadParameter("--output goes with translating, not with --hypotheses")
    if compare and bootstrap == 0:
        raise typer.BadParameter("--compare needs resamples: not --bootstrap 0")
    if report and report.suffix.lower() not in (".html", ".htm"):
        raise typer.BadParameter(f"--report writes a page: a name that ends in .html, not {report}")
    for file in (output, report):
        check_writable(file)
    src, tgt = languages(context, src, tgt)
    of_file = bool(compare) and Path(compare or "").is_file()
    if compare and not Path(compare).exists():
        raise TranslatorError(f"{compare} is neither a file of translations nor a model's folder.")

    def load_system(models: list[str] | None, wanted: bool) -> System:
        translator = load(models, src, tgt, device, threads, wanted, precision)
        translator.show_bar = wants_bar(quiet, progress)
        search = translator.search_config(
            beam_size=beam_size,
            length_penalty=length_penalty,
            length_reward=length_reward,
            batch_tokens=batch_tokens,
        )
        search = override(Config(search=search), set_ or ()).search
        names = models or [m.folder.name for m in translator.models if m.folder]
        return System(" + ".join(names), translator, search)

    if hypotheses:
        system = System(str(hypotheses))
    else:
        system = load_system(model, given(context, "src", "tgt"))
        assert system.translator
        src, tgt = system.translator.src, system.translator.tgt
    test_sets = read_test_sets(data, split, src, tgt, source, reference or [], hypotheses)
    if len(test_sets) > 1 and (output or of_file):
        option = "--output" if output else "--compare FILE"
        raise TranslatorError(f"{option} needs one split, not {', '.join(test_sets)}: use --split.")
    other = None
    if compare and of_file:
        other = System(compare, hypotheses=read_lines(Path(compare)))
        check_lines(test_sets, other.hypotheses or [], compare)
    elif compare:
        if not all(test_set.sources for test_set in test_sets.values()):
            raise typer.BadParameter("--compare MODEL needs sources: --source, or --data")
        other = load_system([compare], wanted=True)
    deep = analyse or report is not None
    training = training_text(test_sets, training_data, None if reference else data, src, tgt, deep)
    results, lines = evaluate_systems(
        *(system, test_sets, other, training),
        deep=deep,
        metrics=names,
        lowercase=lowercase,
        language=tgt,
        n_bootstrap=bootstrap,
    )
    if output:
        (text,) = ("".join(line + "\n" for line in some) for some in lines.values())
        write_file(output, text.encode())
    if report:
        from translator.report.evaluation_page import evaluation_html

        write_file(report, evaluation_html(results).encode())
    if json_:
        found = {name: result.to_dict() for name, result in results.items()}
        print_json({"splits": found} if len(found) > 1 else next(iter(found.values())))
    else:
        print(*results.values(), sep="\n")
        if report:
            print(f"\nThe report: {report}")
