"""Models and training states on disk: written whole or not at all, verified when read.

A MODEL is a folder with `model.safetensors`, `tokenizer.model` and `config.json`, which holds the
SHA-256 of the other two. A training state adds `training.safetensors` and `training.json`.
"""

import contextlib
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from safetensors.torch import save as serialise_safetensors
from torch import Tensor

from translator.config import (
    Config,
    TranslatorError,
    differences,
    from_dict,
    to_dict,
    write_json,
)
from translator.model import Transformer
from translator.tokenizer import Tokenizer

log = logging.getLogger("translator")

FORMAT_VERSION = 1
WEIGHTS, TOKENIZER, CONFIG = "model.safetensors", "tokenizer.model", "config.json"
STATE_TENSORS, STATE = "training.safetensors", "training.json"
# Between a run and its continuation.
MAY_DIFFER = ("train.steps", "train.log_every", "train.keep_checkpoints")


@dataclass
class Model:
    """A model with what belongs to it. `info` is free-form: scores, recipe, data fingerprint."""

    transformer: Transformer
    tokenizer: Tokenizer
    config: Config
    info: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write(path: Path, data: bytes) -> None:
    """Writes and fsyncs `path` through a temporary file beside it."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _read(path: Path, digest: str | None) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TranslatorError(f"{path} cannot be read: {error.strerror}.") from None
    if digest is not None and _sha256(data) != digest:
        raise TranslatorError(f"{path} is damaged (its SHA-256 is wrong): copy the model again.")
    return data


def _parse(path: Path, digest: str | None) -> dict[str, Tensor]:
    data = _read(path, digest)
    try:
        return parse_safetensors(data)
    except SafetensorError:
        raise TranslatorError(f"{path} is no safetensors file: copy the model again.") from None


def save_model(
    folder: Path,
    weights: Mapping[str, Tensor],
    tokenizer: Tokenizer,
    config: Config,
    info: Mapping[str, Any],
) -> None:
    """Writes a MODEL into `folder`; `config.json` comes last and vouches for the rest."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    data = serialise_safetensors(tensors)
    _write(folder / TOKENIZER, tokenizer.model_bytes)
    _write(folder / WEIGHTS, data)
    description = {
        "format_version": FORMAT_VERSION,
        "direction": {"src": config.data.src, "tgt": config.data.tgt},
        **info,
        "config": to_dict(config),
        "sha256": {WEIGHTS: _sha256(data), TOKENIZER: _sha256(tokenizer.model_bytes)},
    }
    text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
    _write(folder / CONFIG, text.encode())


def read_description(folder: Path) -> dict[str, Any]:
    """The `config.json` of a MODEL.

    Raises:
        TranslatorError: the folder holds no model, or one of a later format.
    """
    if not folder.is_dir():
        raise TranslatorError(f"There is no model folder {folder}.")
    missing = [n for n in (CONFIG, WEIGHTS, TOKENIZER) if not (folder / n).is_file()]
    if missing:
        raise TranslatorError(f"{folder} is no model: it lacks {', '.join(missing)}.")
    try:
        description = json.loads(_read(folder / CONFIG, None))
        version = description["format_version"]
        keys = description["config"], description["sha256"][WEIGHTS]
        del keys
    except (ValueError, KeyError, TypeError):
        raise TranslatorError(f"{folder / CONFIG} is damaged: copy the model again.") from None
    if version > FORMAT_VERSION:
        raise TranslatorError(
            f"{folder} has format {version}, this program reads up to {FORMAT_VERSION}: update it."
        )
    return description


def load_model(folder: Path, device: torch.device | None = None) -> Model:
    """Reads and verifies a MODEL: a finished one, a step of a run, or a run's best step so far.

    Weights stored in half precision are computed with in fp32.

    Raises:
        TranslatorError: something is missing or damaged; the message names the file.
    """
    if not (folder / WEIGHTS).exists() and (folder / "steps").is_dir():
        folder = best_step(folder)
    description = read_description(folder)
    digests = description["sha256"]
    config = from_dict(description["config"])
    weights = _parse(folder / WEIGHTS, digests[WEIGHTS])
    tokenizer = Tokenizer(_read(folder / TOKENIZER, digests[TOKENIZER]))
    transformer = Transformer(config.model)
    try:
        transformer.load_state_dict({name: w.float() for name, w in weights.items()})
    except RuntimeError as error:
        reason = str(error).replace("\n", " ")
        raise TranslatorError(f"{folder / WEIGHTS} does not fit its config: {reason}") from None
    info = {k: v for k, v in description.items() if k not in ("config", "sha256")}
    transformer.to(device or torch.device("cpu")).eval()
    return Model(transformer, tokenizer, config, info, folder)


@dataclass
class TrainingState:
    """All that a run needs to go on as if it had never stopped; randomness follows from `step`."""

    step: int = 0
    epoch: int = 0
    batch: int = 0  # the next one of the epoch
    best_bleu: float = -1.0
    best_step: int = 0
    bad_validations: int = 0  # since the best one
    seconds: float = 0.0  # spent training, over all sessions
    cpu_seconds: float = 0.0
    n_tokens: int = 0  # real target tokens seen
    # Sums since the last log line.
    window_nll: float = 0.0
    window_norm: float = 0.0
    window_tokens: int = 0
    window_updates: int = 0


def step_folders(run: Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first."""
    steps = run / "steps"
    if not steps.is_dir():
        return []
    return sorted((p for p in steps.iterdir() if p.name.isdigit()), key=lambda p: int(p.name))


def best_step(run: Path) -> Path:
    """The checkpoint with the best validation BLEU of a run that is not finished.

    Raises:
        TranslatorError: the run has no checkpoint yet.
    """
    folders = step_folders(run)
    if not folders:
        raise TranslatorError(f"{run} has no checkpoint yet: let the run go on.")
    best = str(read_description(folders[-1]).get("best_step", ""))
    return next((p for p in folders if p.name == best), folders[-1])


def save_checkpoint(
    run: Path,
    weights: Mapping[str, Tensor],
    tokenizer: Tokenizer,
    config: Config,
    info: Mapping[str, Any],
    optimizer: Mapping[str, Tensor],
    state: TrainingState,
) -> Path:
    """Writes `steps/STEP`: into a temporary folder, fsynced, then renamed."""
    final = run / "steps" / str(state.step)
    temporary = run / "steps" / f".{state.step}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    save_model(temporary, weights, tokenizer, config, {**info, "best_step": state.best_step})
    data = serialise_safetensors({k: v.detach().cpu().contiguous() for k, v in optimizer.items()})
    _write(temporary / STATE_TENSORS, data)
    write_json(temporary / STATE, {**vars(state), "sha256": _sha256(data)})
    shutil.rmtree(final, ignore_errors=True)
    os.replace(temporary, final)
    _sync_folder(final.parent)
    return final


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # some systems cannot sync a folder
        handle = os.open(folder, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def load_checkpoint(folder: Path) -> tuple[Model, dict[str, Tensor], TrainingState]:
    """Model, optimizer tensors and counters of a checkpoint.

    Raises:
        TranslatorError: a part is missing or damaged.
    """
    model = load_model(folder)
    try:
        values = json.loads(_read(folder / STATE, None))
        digest = values.pop("sha256")
        state = TrainingState(**values)
    except (ValueError, KeyError, TypeError):
        raise TranslatorError(f"{folder / STATE} is damaged.") from None
    return model, _parse(folder / STATE_TENSORS, digest), state


def resume_candidates(run: Path) -> Iterator[Path]:
    """The checkpoints a run can go on from, newest first."""
    return (p for p in reversed(step_folders(run)) if (p / STATE).exists())


def regular_steps(run: Path, every: int) -> list[Path]:
    """The checkpoints that fall on a multiple of `every`, and the newest; oldest first.

    Those written because a run was stopped do not count: they must not change its result.
    """
    folders = step_folders(run)
    return [p for p in folders if int(p.name) % every == 0 or p == folders[-1]]


def rotate(run: Path, every: int, keep: int, best: int) -> None:
    """Keeps the last `keep` regular checkpoints and the best; two of them can be resumed from."""
    kept = regular_steps(run, every)[-keep:]
    for folder in step_folders(run):
        if folder not in kept and folder.name != str(best):
            shutil.rmtree(folder)
        elif folder not in kept[-2:]:
            for name in (STATE, STATE_TENSORS):
                (folder / name).unlink(missing_ok=True)


def average_weights(folders: Sequence[Path]) -> dict[str, Tensor]:
    """The mean of the weights of several checkpoints of one run (Vaswani et al., section 6.1)."""
    total: dict[str, Tensor] = {}
    for folder in folders:
        digest = read_description(folder)["sha256"][WEIGHTS]
        for name, weight in _parse(folder / WEIGHTS, digest).items():
            total[name] = total[name] + weight.double() if name in total else weight.double()
    return {name: (weight / len(folders)).float() for name, weight in total.items()}


def is_whole(folder: Path) -> bool:
    """Whether a MODEL can be read; says why not."""
    try:
        load_model(folder)
    except TranslatorError as error:
        log.warning("%s It is left out.", error)
        return False
    return True


def read_run(folder: Path) -> dict[str, Any] | None:
    """The description of the run that is in `folder`, if there is one."""
    path = folder / "config.json"
    if not (path.exists() and (folder / "tokenizer.model").exists()):
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise TranslatorError(f"{path} is damaged; --fresh starts a new run.") from None


def check_same_run(folder: Path, earlier: dict[str, Any], config: Config, fingerprint: str) -> None:
    """Raises TranslatorError if the run in `folder` had other settings or another corpus."""
    changes = differences(from_dict(earlier["config"]), config, MAY_DIFFER)
    if earlier["data"]["fingerprint"] != fingerprint:
        changes.append("the corpus: its text is another")
    if changes:
        raise TranslatorError(
            f"{folder} holds a run with other settings ({'; '.join(changes)}): use them again, "
            "name another folder with --run, or start anew with --fresh."
        )


def move_aside(folder: Path) -> Path | None:
    """Renames a run folder to the first free `DIR.1`, `DIR.2`, ...; None if there is none."""
    if not folder.exists():
        return None
    number = 1
    while (target := folder.with_name(f"{folder.name}.{number}")).exists():
        number += 1
    os.replace(folder, target)
    return target
