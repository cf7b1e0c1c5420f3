"""Which MODEL is meant: by folder, by short name, by environment, or the default."""

import os
from pathlib import Path
from typing import Any

from translator.config.errors import TranslatorError
from translator.model.transformer import count_parameters
from translator.storage.model_folder import WEIGHTS, load_model, read_description

KINDS = ("general", "multi30k")  # what is shipped, the kind that is the default first


def shipped_models() -> dict[str, Path]:
    """The models that come with the program, by their short names `KIND-SRC-TGT`."""
    package = Path(__file__).parents[1]
    folders: dict[str, Path] = {}
    # In a wheel they lie inside the package, in a clone beside it.
    for root in (package / "checkpoints", package.parent / "checkpoints"):
        for kind in KINDS:
            for folder in sorted(root.glob(f"{kind}-??-??")):
                if (folder / WEIGHTS).exists():
                    folders.setdefault(folder.name, folder)
    return folders


def complete_direction(src: str | None, tgt: str | None) -> tuple[str, str]:
    """(source, target) languages: one alone gets the other of the two, none is English-German."""
    other = {"en": "de", "de": "en"}
    src = src or other.get(tgt or "de", "en")
    return src, tgt or other.get(src, "de")


def find_model(model: str | Path | None, src: str = "en", tgt: str = "de") -> Path:
    """The folder of a MODEL: as given, else `$TRANSLATOR_MODEL`, else the shipped one.

    A name is that of a folder, or the short name of a shipped model.

    Raises:
        TranslatorError: there is no such model, or none is shipped for the direction.
    """
    shipped = shipped_models()
    named = model or os.environ.get("TRANSLATOR_MODEL")
    if named:
        folder = Path(named)
        if not folder.exists():
            folder = shipped.get(str(named), folder)
        if not folder.exists():
            raise TranslatorError(
                f"There is no model folder {named}, and no shipped model of that name (they are: "
                f"{', '.join(shipped) or 'none'})."
            )
        return folder
    for kind in KINDS:
        name = f"{kind}-{src}-{tgt}"
        if name in shipped:
            return shipped[name]
    there = ", ".join(shipped) or "none"
    raise TranslatorError(
        f"No model for {src}-{tgt} is shipped (there is: {there}). Train one with "
        f"`translator train --src {src} --tgt {tgt}` and name it with --model."
    )


def describe_model(folder: Path) -> dict[str, Any]:
    """What a MODEL's `config.json` says, with its size: `parameters` and `bytes` of weights."""
    model = load_model(folder)
    assert model.folder is not None
    description = read_description(model.folder)
    size = (model.folder / WEIGHTS).stat().st_size
    return {"parameters": count_parameters(model.transformer), "bytes": size, **description}
