"""The command line: each command turns its options into settings and calls one function.

Only light imports stand at the top: `translator --help` must not wait for torch.
"""

import sys
from typing import Annotated

import typer

from translator import (  # noqa: F401 - they add their commands
    cli_data,
    cli_evaluate,
    cli_runs,
    cli_translate,
)
from translator.console import (
    Debug,
    Json,
    Quiet,
    app,
    command,
    print_calibration,
    print_json,
    print_scores,
)


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
