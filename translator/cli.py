"""The command line: each command turns its options into settings and calls one function.

Only light imports stand at the top: `translator --help` must not wait for torch.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from translator import cli_data, cli_runs, cli_translate  # noqa: F401 - they add their commands
from translator.config import Config, TranslatorError, override
from translator.console import (
    BatchTokens,
    BeamSize,
    Debug,
    Device,
    Json,
    LengthPenalty,
    ModelOption,
    Precision,
    Progress,
    Quiet,
    Src,
    Tgt,
    Threads,
    app,
    check_writable,
    command,
    given,
    load,
    print_calibration,
    print_json,
    print_scores,
    wants_bar,
)


@command
def evaluate(
    context: typer.Context,
    model: ModelOption = None,
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
    metrics: Annotated[str, typer.Option(help="Of bleu, chrf, ter.")] = "bleu,chrf",
    lowercase: Annotated[
        bool, typer.Option("--lowercase", help="Compare without regard to case.")
    ] = False,
    training_data: Annotated[
        str | None,
        typer.Option(
            metavar="CORPUS", help="Score also the lines that this corpus has not, nor nearly."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the translations here.")
    ] = None,
    src: Src = "en",
    tgt: Tgt = "de",
    beam_size: BeamSize = None,
    length_penalty: LengthPenalty = None,
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
    from translator.evaluate import (
        METRICS,
        evaluate_set,
        read_test_sets,
        score_lines,
        unseen_lines,
    )

    names = [name.strip() for name in metrics.split(",") if name.strip()]
    if not names or set(names) - set(METRICS):
        raise typer.BadParameter(f"--metrics takes some of {', '.join(METRICS)}, not {metrics!r}")
    if source and not reference:
        raise typer.BadParameter("--source needs --reference")
    if reference and not (source or hypotheses):
        raise typer.BadParameter("--reference needs --source or --hypotheses")
    if output and hypotheses:
        raise typer.BadParameter("--output goes with translating, not with --hypotheses")
    check_writable(output)
    wanted = given(context, "src", "tgt")
    translator = None
    if not hypotheses:
        models = [model] if model else None
        translator = load(models, src, tgt, device, threads, wanted, precision)
        src, tgt = translator.src, translator.tgt
    test_sets = read_test_sets(data, split, src, tgt, source, reference or [], hypotheses)
    if output and len(test_sets) > 1:
        raise TranslatorError(f"--output needs one split, not {', '.join(test_sets)}: use --split.")
    unseen = unseen_lines(test_sets, training_data, src, tgt) if training_data else {}
    search = None
    if translator:
        search = translator.search_config(
            beam_size=beam_size, length_penalty=length_penalty, batch_tokens=batch_tokens
        )
        search = override(Config(search=search), set_ or ()).search
        translator.show_bar = wants_bar(quiet, progress)
    results = {}
    for name, test_set in test_sets.items():
        results[name], lines = evaluate_set(translator, test_set, search, names, lowercase)
        if name in unseen:
            part = score_lines(test_set, lines, unseen[name], names, lowercase)
            results[name]["clean_part"] = part
    if output:
        output.write_text("".join(line + "\n" for line in lines), encoding="utf-8", newline="\n")
    if not json_:
        print_scores(results)
    elif len(results) == 1:
        print_json(next({"split": name, **result} for name, result in results.items()))
    else:
        print_json({"splits": {n: {"split": n, **result} for n, result in results.items()}})


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
    from translator.models import describe_model, find_model

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
    print_scores(description.get("scores", {}))
    for name, calibration in description.get("confidence", {}).items():
        print(f"confidence {name}: {calibration['event']}")
        print_calibration(calibration["measured"])


def main() -> None:
    """The entry point of the `translator` command."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    app(prog_name="translator")
