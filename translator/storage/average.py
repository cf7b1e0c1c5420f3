"""Averages of models: choosing checkpoints of a run, and writing their mean as a new MODEL."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from translator.config.errors import TranslatorError
from translator.config.loading import differences, from_saved
from translator.config.schema import Config
from translator.storage.model_folder import (
    WEIGHTS,
    load_model,
    read_description,
    save_model,
    step_folders,
)
from translator.storage.run_folder import read_run, regular_steps
from translator.storage.run_log import read_metrics, series
from translator.storage.weights import quantise, read_weights


def average_models(folders: Sequence[Path], output: Path, stored: str = "fp32") -> None:
    """Writes the mean of several MODELs as a new MODEL (Vaswani et al., section 6.1).

    Its `config.json` names the models that were averaged.

    Args:
        folders: MODELs with the same architecture, direction and tokenizer.
        output: a folder that does not exist yet or is empty.
        stored: the format of the weights, `fp32`, `fp16` or `int8` (`quantise`); with a single
            model this converts it.

    Raises:
        TranslatorError: the models differ (the message says how), one is damaged, or `output` is
            not empty.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise TranslatorError(f"{output} is not empty: name a new folder for the average.")
    first = load_model(folders[0])
    parts: list[Path] = []
    for folder in folders:
        model = load_model(folder)
        changes = differences(_shared_settings(first.config), _shared_settings(model.config))
        if model.tokenizer.model_bytes != first.tokenizer.model_bytes:
            changes.append("different tokenizers")
        if changes:
            raise TranslatorError(
                f"{folder} cannot be averaged with {folders[0]}: {'; '.join(changes)}."
            )
        assert model.folder is not None
        if model.folder in parts:
            raise TranslatorError(f"{model.folder} is named twice; each model counts once.")
        parts.append(model.folder)
    steps = [read_description(part).get("step") for part in parts]
    info = {"preset": first.config.preset, "data": first.info.get("data", {})}
    if len(parts) == 1:  # the same model; its scores are those of the weights as they were stored
        info |= {k: v for k, v in first.info.items() if k in ("training", "environment")}
    else:
        info["training"] = {
            "weights": f"average of {_join_names(parts)}",
            "averaged": [{"folder": str(p), "step": n} for p, n in zip(parts, steps, strict=True)],
        }
    weights = average_weights(parts)
    if stored == "int8":
        weights = quantise(weights)
    elif stored == "fp16":
        weights = {name: weight.half() for name, weight in weights.items()}
    save_model(output, weights, first.tokenizer, first.config, info)


def _shared_settings(config: Config) -> Config:
    """The settings that models must share to be averaged; all others have their defaults."""
    directions = {name: getattr(config.data, name) for name in ("src", "tgt", "bidirectional")}
    return Config(
        model=replace(config.model, dropout=0.0), data=replace(Config().data, **directions)
    )


def _join_names(folders: Sequence[Path]) -> str:
    if len(folders) > 1 and len({folder.parent for folder in folders}) == 1:
        return f"{', '.join(f.name for f in folders)} in {folders[0].parent}"
    return ", ".join(map(str, folders))


def choose_steps(run: Path, last: int | None = None, best: int | None = None) -> list[Path]:
    """Chooses the checkpoints of a run to average, oldest first.

    Args:
        run: the run's folder.
        last: how many of the newest regular checkpoints, or:
        best: how many of those with the highest validation BLEU; default: the best one.

    Raises:
        TranslatorError: the run has fewer on disk.
    """
    count = last or best or 1
    description = read_run(run)
    if description is None or not step_folders(run):
        raise TranslatorError(f"{run} has no checkpoints: name the folder of a run.")
    if last:
        every = from_saved(description["config"]).train.checkpoint_every
        chosen, kind = regular_steps(run, every), "regular checkpoints"
    else:
        bleu = dict(series(read_metrics(run), "valid_bleu"))
        known = [folder for folder in step_folders(run) if int(folder.name) in bleu]
        # Of equally good ones the older comes last and is chosen: it was the best step first.
        chosen = sorted(known, key=lambda p: (bleu[int(p.name)], -int(p.name)))
        kind = "validated checkpoints"
    if len(chosen) < count:
        raise TranslatorError(f"{run} has {len(chosen)} {kind} on disk, not {count}.")
    return sorted(chosen[-count:], key=lambda p: int(p.name))


def average_weights(folders: Sequence[Path]) -> dict[str, Tensor]:
    """The mean of the weights of several checkpoints of one run (Vaswani et al., section 6.1)."""
    total: dict[str, Tensor] = {}
    for folder in folders:
        digest = read_description(folder)["sha256"][WEIGHTS]
        for name, stored, scale in read_weights(folder / WEIGHTS, digest):
            weight = stored.double() if scale is None else stored.double() * scale.double()
            total[name] = total[name] + weight if name in total else weight
    return {name: (weight / len(folders)).float() for name, weight in total.items()}
