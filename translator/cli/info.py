"""The commands `models` and `info`: which models there are, and what one is."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from translator.cli.app import command
from translator.cli.options import Json, ModelChoice, Src, Talk, Tgt
from translator.cli.results import print_calibration, print_json, print_scores

if TYPE_CHECKING:
    from translator.storage.find import ModelSummary


@command("Models", "translator models", "translator models --runs experiments/")
def models(
    talk: Talk,
    json_: Json = False,
    runs: Annotated[Path, typer.Option(metavar="DIR", help="A folder with runs.")] = Path(
        "checkpoints"
    ),
) -> None:
    """List the models that come with the program, and those in checkpoints/."""
    from translator.storage.find import runs_in, shipped_models, summarise

    found = [summarise(name, folder) for name, folder in shipped_models().items()]
    shipped = [summary for summary in found if summary]
    own = runs_in(runs)
    if json_:
        print_json({"shipped": [asdict(m) for m in shipped], "runs": [asdict(m) for m in own]})
        return
    print("Shipped")
    _print_table(shipped)
    print(f"\nRuns and models in {runs}{'' if own else ': none'}")
    _print_table(own)
    print('\nTranslate with one:  translator translate --model NAME "TEXT"')


def _print_table(found: Sequence["ModelSummary"]) -> None:
    width = max((len(model.name) for model in found), default=0)
    for model in found:
        arrow = "<->" if model.bidirectional else "->"
        scores = ", ".join(f"BLEU {score:.1f} on {split}" for split, score in model.scores.items())
        state = scores or ("no scores" if model.steps is None else "not finished")
        if model.steps is not None:
            state += f", step {model.steps:,}"
        print(
            f"  {model.name:{width}}  {model.src} {arrow} {model.tgt}  "
            f"{_millions(model.parameters)} parameters, {_size(model.bytes)}\n"
            f"  {'':{width}}  {state}"
        )


def _millions(number: int) -> str:
    return f"{number / 1e6:.1f} million" if number >= 100_000 else f"{number:,}"


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.1f} MB" if n_bytes >= 100_000 else f"{n_bytes / 1e3:.0f} kB"


@command("Models", "translator info", "translator info --src de", "translator info checkpoints/run")
def info(
    talk: Talk,
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="A folder or a name; without it, the shipped one."),
    ] = None,
    src: Src = None,
    tgt: Tgt = None,
    json_: Json = False,
) -> None:
    """Show what a model is, how it was trained, and how it scores."""
    from translator.storage.find import describe_model, find_model
    from translator.storage.scores import SplitScores

    folder = find_model(model, *ModelChoice(src=src, tgt=tgt).direction)
    description = describe_model(folder)
    if json_:
        print_json({"model": str(folder), **description})
        return
    print(folder)
    print("\n".join(_about(description)))
    found = description.get("scores", {})
    print_scores({split: SplitScores.from_dict(scores) for split, scores in found.items()})
    for name, calibration in description.get("confidence", {}).items():
        print(f"confidence {name}: {calibration['event']}")
        print_calibration(calibration["measured"])


def _about(description: dict[str, Any]) -> list[str]:
    config, training = description["config"], description.get("training", {})
    direction, m = description["direction"], config["model"]
    arrow = "<->" if config["data"].get("bidirectional") else "->"
    lines = [
        f"{direction['src']} {arrow} {direction['tgt']}, preset {config['preset']}",
        f"{description['parameters']:,} parameters, {_size(description['bytes'])}: "
        f"{m['n_encoder_layers']} encoder and {m['n_decoder_layers']} decoder layers "
        f"({m['norm']}-norm), width {m['d_model']}, feed-forward {m['d_ff']:,}, "
        f"{m['n_heads']} heads, {m['vocab_size']:,} pieces",
    ]
    if "step" in training:
        where = description.get("environment", training)  # older models have it there
        lines.append(
            f"trained {_count(training['step'], 'step')} in {_duration(training['seconds'])} on "
            f"{where['device']} ({_count(where['threads'], 'thread')})"
            + (f"; weights: {training['weights']}" if "weights" in training else "")
        )
    if data := description.get("data"):
        lines.append(f"data: {data.get('corpus', '')}".removesuffix(": "))
        dropped = {rule: n for rule, n in (data.get("dropped") or {}).items() if n}
        text = f"  {_count(data.get('training_pairs', 0), 'training pair')}"
        if dropped:
            rules = sorted(dropped.items(), key=lambda rule: -rule[1])
            text += f"; {sum(dropped.values()):,} dropped: "
            text += ", ".join(f"{rule} {n:,}" for rule, n in rules)
        lines.append(text)
    return lines


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' if number != 1 else ''}"


def _duration(seconds: float) -> str:
    """Seconds for people: `40 seconds`, `1 minute`, `2 hours 5 minutes`."""
    if round(seconds) < 60:
        return _count(round(seconds), "second")
    minutes = round(seconds / 60)
    parts = [(minutes // 60, "hour"), (minutes % 60, "minute")]
    return " ".join(_count(number, unit) for number, unit in parts if number)
