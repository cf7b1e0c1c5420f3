"""Which MODEL is meant: by name, by environment, or the shipped one."""

import os
from pathlib import Path
from typing import Any

from translator.config.errors import TranslatorError
from translator.model.transformer import count_parameters
from translator.storage.model_folder import load_model, read_description


def shipped_models() -> dict[tuple[str, str], Path]:
    """The models that come with the program, by (source, target) language."""
    package = Path(__file__).parents[1]
    folders: dict[tuple[str, str], Path] = {}
    # In a wheel they lie inside the package, in a clone beside it.
    for root in (package / "checkpoints", package.parent / "checkpoints"):
        for folder in sorted(root.glob("multi30k-??-??")):
            src, tgt = folder.name.split("-")[1:]
            if (folder / "model.safetensors").exists():
                folders.setdefault((src, tgt), folder)
    return folders


def find_model(model: str | Path | None, src: str = "en", tgt: str = "de") -> Path:
    """The folder of a MODEL: as given, else `$TRANSLATOR_MODEL`, else the shipped one.

    Raises:
        TranslatorError: no model is shipped for the direction.
    """
    named = model or os.environ.get("TRANSLATOR_MODEL")
    if named:
        return Path(named)
    shipped = shipped_models()
    if (src, tgt) not in shipped:
        there = ", ".join("-".join(direction) for direction in shipped) or "none"
        raise TranslatorError(
            f"No model for {src}-{tgt} is shipped (there is: {there}). Train one with "
            f"`translator train --src {src} --tgt {tgt}` and name it with --model."
        )
    return shipped[src, tgt]


def describe_model(folder: Path) -> dict[str, Any]:
    """What a MODEL's `config.json` says, with its size: `parameters` and `bytes` of weights."""
    model = load_model(folder)
    assert model.folder is not None
    description = read_description(model.folder)
    size = (model.folder / "model.safetensors").stat().st_size
    return {"parameters": count_parameters(model.transformer), "bytes": size, **description}
