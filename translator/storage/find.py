"""Finds a MODEL: by folder, by short name, by environment, or by default."""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from translator.config.errors import TranslatorError, did_you_mean
from translator.storage.model_folder import (
    WEIGHTS,
    best_step,
    load_model,
    read_description,
    step_folders,
)

KINDS = ("general", "multi30k")  # of shipped models, the default first


def shipped_models() -> dict[str, Path]:
    """The models that come with the program, by their short names `KIND-SRC-TGT`."""
    package = Path(__file__).parents[1]
    folders: dict[str, Path] = {}
    # In a wheel they are inside the package, in a clone beside it.
    for root in (package / "checkpoints", package.parent / "checkpoints"):
        for kind in KINDS:
            for folder in sorted(root.glob(f"{kind}-??-??")):
                if (folder / WEIGHTS).exists():
                    folders.setdefault(folder.name, folder)
    return folders


def complete_direction(src: str | None, tgt: str | None) -> tuple[str, str]:
    """Completes (source, target) with English or German; the default is English to German."""
    other = {"en": "de", "de": "en"}
    src = src or other.get(tgt or "de", "en")
    return src, tgt or other.get(src, "de")


def find_model(model: str | Path | None, src: str = "en", tgt: str = "de") -> Path:
    """The folder of a MODEL: as given, else `$TRANSLATOR_MODEL`, else the shipped one.

    `model` is a folder, or the short name of a shipped model.

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
                f"There is no model folder {named}, and no shipped model of that name."
                f"{did_you_mean(str(named), shipped)} There are: {', '.join(shipped) or 'none'}."
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
    """The content of a MODEL's `config.json`, plus `parameters` and the `bytes` of its weights."""
    from translator.model.transformer import count_parameters

    model = load_model(folder)
    assert model.folder is not None
    description = read_description(model.folder)
    size = (model.folder / WEIGHTS).stat().st_size
    return {"parameters": count_parameters(model.transformer), "bytes": size, **description}


@dataclass(frozen=True)
class ModelSummary:
    """A model in one line: `scores` has BLEU by split, `steps` is for unfinished runs."""

    name: str
    folder: str
    src: str
    tgt: str
    bidirectional: bool
    parameters: int
    bytes: int
    scores: dict[str, float]
    steps: int | None = None


def summarise(name: str, folder: Path) -> ModelSummary | None:
    """Summarises a MODEL or a run without loading it; None if there is none in the folder."""
    steps = None
    try:
        if not (folder / WEIGHTS).exists():
            steps = int(step_folders(folder)[-1].name) if step_folders(folder) else None
            folder = best_step(folder)
        description = read_description(folder)
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            shapes = [file.get_slice(key).get_shape() for key in file.keys()]  # noqa: SIM118
        data = description["config"]["data"]
        scores = {
            split: found["scores"]["bleu"]["score"]
            for split, found in description.get("scores", {}).items()
            if "bleu" in found["scores"]
        }
    except (TranslatorError, SafetensorError, OSError, KeyError, TypeError):
        return None
    n_parameters = sum(map(math.prod, shapes))
    size = (folder / WEIGHTS).stat().st_size
    direction = (data["src"], data["tgt"], data.get("bidirectional", False))
    return ModelSummary(name, str(folder), *direction, n_parameters, size, scores, steps)


def runs_in(root: Path) -> list[ModelSummary]:
    """The runs and other models directly in a folder, except shipped ones."""
    shipped = {folder.resolve() for folder in shipped_models().values()}
    folders = [p for p in sorted(root.glob("*")) if p.is_dir() and p.resolve() not in shipped]
    found = (summarise(str(folder), folder) for folder in folders)
    return [summary for summary in found if summary]
