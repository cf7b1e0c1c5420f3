"""The command `export`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from translator.cli.app import command
from translator.cli.options import Json, Talk
from translator.cli.results import print_json


@command(
    "Models",
    "translator export multi30k-en-de --to html captions.html",
    "translator export general-en-de --to ctranslate2 general-ct2 --weights int8",
    "translator export multi30k-en-de --to huggingface captions",
)
def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Its folder or name.")],
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The file or new folder to write.")],
    to: Annotated[
        Literal["html", "ctranslate2", "huggingface", "onnx"],
        typer.Option("--to", help="The program that is to translate with it."),
    ],
    talk: Talk,
    weights: Annotated[
        Literal["float32", "float16", "int8", "int5"] | None,
        typer.Option(help="How weights are stored.", show_default="by the target"),
    ] = None,
    json: Json = False,
) -> None:
    """Write a model as a page that works offline, or for another program.

    It translates 200 lines there; if a translation differs, nothing is left behind.
    """
    from translator.export.targets import export_model
    from translator.storage.find import find_model
    from translator.storage.model_folder import load_model
    from translator.system.machine import set_up_cpu

    set_up_cpu(0)
    done = export_model(load_model(find_model(model)), to, path, weights)
    if json:
        print_json({"path": str(done.path), "bytes": done.bytes, **vars(done.proof)})
    else:
        print(f"{done.path}: {done.bytes / 1e6:.1f} MB. {done.proof}.")
