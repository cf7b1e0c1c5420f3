"""The command line: each command turns its options into settings and calls one function.

Only light imports stand at the top: `translator --help` must not wait for torch.
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from translator import cli_translate  # noqa: F401 - adds its commands
from translator.config import PRESETS, Config, TranslatorError, from_dict, load_config, override
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
    print_json,
    set_up_cpu,
    wants_bar,
)

_METRIC_NAMES = {"bleu": "BLEU", "chrf": "chrF2", "ter": "TER"}  # as sacreBLEU writes them


def _print_scores(splits: dict[str, dict[str, Any]]) -> None:
    for split, result in splits.items():
        print(f"{split} ({result['sentences']} sentences)")
        for name, score in result["scores"].items():
            print(f"  {_METRIC_NAMES[name]:5} {score['score']:6.2f}  {score['signature']}")
        if "seconds" in result:
            print(f"  {result['sentences_per_second']:.1f} sentences/s")


@command
def train(
    data: Annotated[
        str | None,
        typer.Option(
            metavar="CORPUS",
            show_default="multi30k",
            help="sample, multi30k, wmt14, hf:OWNER/NAME[:CONFIG], or a folder with train.SRC, "
            "train.TGT, valid.* and test*.*.",
        ),
    ] = None,
    src: Annotated[
        str | None, typer.Option(metavar="LANG", show_default="en", help="Source language.")
    ] = None,
    tgt: Annotated[
        str | None, typer.Option(metavar="LANG", show_default="de", help="Target language.")
    ] = None,
    preset: Annotated[str, typer.Option(help=f"One of {', '.join(PRESETS)}.")] = "tiny",
    config: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Settings over the preset's.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.KEY=VALUE", help="One setting; repeatable."),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", show_default="checkpoints/CORPUS-SRC-TGT-PRESET", help="The run folder."
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, show_default="the preset's", help="Updates in all.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0, show_default="no limit", help="Stop training after this.")
    ] = None,
    checkpoint_every: Annotated[
        int | None,
        typer.Option(min=1, metavar="STEPS", show_default="250", help="Steps between checkpoints."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(show_default="1", help="Of all randomness in the run.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Move an earlier run aside to DIR.1 and start anew.")
    ] = False,
    device: Device = "auto",
    threads: Threads = 0,
    json_: Json = False,
    quiet: Quiet = False,
    progress: Progress = False,
    debug: Debug = False,
) -> None:
    """Train a model. The same command again resumes the run where it stopped."""
    given: dict[str, dict[str, Any]] = {
        "data": {"corpus": data, "src": src, "tgt": tgt},
        "train": {"steps": steps, "checkpoint_every": checkpoint_every, "seed": seed},
    }
    options = {
        section: {key: value for key, value in values.items() if value is not None}
        for section, values in given.items()
    }
    settings = from_dict(options, load_config(preset, config))
    settings = override(settings, set_ or ())

    from translator.train import run_folder
    from translator.train import train as train_model

    set_up_cpu(threads)
    folder = run or run_folder(settings)
    info = train_model(
        settings,
        folder,
        minutes=minutes,
        fresh=fresh,
        device=device,
        show_bar=wants_bar(quiet, progress),
    )
    if json_:
        print_json({"run": str(folder), **info})
        return
    print(f"{folder}: {info['training']['weights']}, {info['training']['step']} steps")
    _print_scores(info["scores"])
    print(f'\nTranslate with it:  translator translate --model {folder} "TEXT"')
    print(f"Score it:           translator evaluate --model {folder} --data {settings.data.corpus}")


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
    from translator.evaluate import METRICS, evaluate_set, read_test_sets

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
    if output:
        output.write_text("".join(line + "\n" for line in lines), encoding="utf-8", newline="\n")
    if not json_:
        _print_scores(results)
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
    if training:
        print(
            f"trained {training['step']} steps in {training['seconds'] / 60:.0f} minutes on "
            f"{training['device']} ({training['threads']} threads); weights: {training['weights']}"
        )
    if "data" in description:
        print("data: " + ", ".join(f"{k} {v}" for k, v in description["data"].items() if v))
    _print_scores(description.get("scores", {}))


def main() -> None:
    """The entry point of the `translator` command."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    app(prog_name="translator")
