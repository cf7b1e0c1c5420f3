"""Checkpoints: a model with everything a run needs to resume exactly.

A checkpoint is a MODEL folder with two more files: `training.safetensors`, and `training.json`,
which holds the SHA-256 of all other files and of itself. It is written to a hidden folder, fsynced,
read back, verified and only then renamed.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from torch import Tensor

from translator.config.errors import TranslatorError
from translator.config.schema import Config
from translator.storage.model_folder import (
    STATE,
    STATE_TENSORS,
    Model,
    load_model,
    save_model,
)
from translator.storage.weights import read_tensors, serialise
from translator.system.disk import (
    discard,
    drop_from_cache,
    file_sha256,
    read_file,
    sha256,
    sync_folder,
    write_file,
)
from translator.text.tokenizer import Tokenizer

NO_DIGEST = "0" * 64  # placeholder in `training.json` while its own digest is computed


@dataclass
class TrainingState:
    """Everything a run needs to continue as if never stopped; randomness follows from `step`."""

    step: int = 0
    epoch: int = 0
    batch: int = 0  # index of the next one in the epoch
    best_bleu: float = -1.0
    best_step: int = 0
    bad_validations: int = 0  # in a row without progress
    seconds: float = 0.0  # spent training, over all sessions
    cpu_seconds: float = 0.0
    n_tokens: int = 0  # real target tokens seen
    # Sums since the last log line.
    window_nll: float = 0.0
    window_norm: float = 0.0
    window_tokens: int = 0
    window_updates: int = 0
    left_out: int = 0  # skipped updates, whose gradient was not finite or far too large
    failures: int = 0  # skipped updates in a row until now
    fallbacks: int = 0  # returns to an earlier checkpoint, after too many failures in a row
    validation_due: bool = False  # at this step: a stop interrupted it
    rate_scale: float = 1.0  # factor of the learning rate, halved by each fallback


def save_checkpoint(
    run: Path,
    weights: Mapping[str, Tensor],
    tokenizer: Tokenizer,
    config: Config,
    info: Mapping[str, Any],
    optimizer: Mapping[str, Tensor],
    state: TrainingState,
) -> Path:
    """Writes `steps/STEP`: into a hidden folder, fsynced, read back and verified, then renamed.

    Raises:
        TranslatorError: the disk is full or read-only, or returns different data. Nothing of the
            checkpoint remains then, and older checkpoints are unchanged.
    """
    steps = run / "steps"
    final, temporary = steps / str(state.step), steps / f".{state.step}.tmp"
    for leftover in steps.glob(".*.tmp"):  # of a session that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        info = {**info, "best_step": state.best_step}
        digests = save_model(temporary, weights, tokenizer, config, info)
        data = serialise(optimizer)
        write_file(temporary / STATE_TENSORS, data)
        digests[STATE_TENSORS] = sha256(data)
        write_file(temporary / STATE, _state_text(state, digests))
        sync_folder(temporary)
        drop_from_cache(temporary)
        verify_checkpoint(temporary)
        discard(final)
        os.replace(temporary, final)
    except (OSError, TranslatorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        reason = error.strerror if isinstance(error, OSError) else str(error).rstrip(".")
        raise TranslatorError(
            f"{final} cannot be saved: {reason}. Check the disk; the same command then continues "
            "from the last checkpoint."
        ) from None
    for folder in (steps, run):
        sync_folder(folder)
    return final


def _state_text(state: TrainingState, digests: Mapping[str, str]) -> bytes:
    """`training.json`; its own digest is computed with zeros in place of the digest."""
    values = {"state": vars(state), "sha256": digests, "own_sha256": NO_DIGEST}
    text = (json.dumps(values, indent=2) + "\n").encode()
    return text.replace(NO_DIGEST.encode(), sha256(text).encode())


def verify_checkpoint(folder: Path) -> TrainingState:
    """Reads and verifies all files of a checkpoint with a training state; returns its counters.

    Raises:
        TranslatorError: a file is missing or damaged, even by one bit; the message names it.
    """
    data = read_file(folder / STATE)
    try:
        values = json.loads(data)
        if isinstance(values["sha256"], str):  # the first format, with only this digest
            digests = {STATE_TENSORS: values.pop("sha256")}
        else:
            own, digests = values["own_sha256"], values["sha256"]
            if sha256(data.replace(own.encode(), NO_DIGEST.encode())) != own:
                raise ValueError
            values = values["state"]
        unknown = values.keys() - {f.name for f in fields(TrainingState)}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise TranslatorError(f"{folder / STATE} is damaged.") from None
    if unknown:
        raise TranslatorError(
            f"{folder / STATE} was written by a later version of this program, with "
            f"{', '.join(sorted(unknown))}: update the program."
        )
    for name, digest in digests.items():
        if file_sha256(folder / name) != digest:
            raise TranslatorError(f"{folder / name} is damaged (its SHA-256 is wrong).")
    return TrainingState(**values)  # counters missing in older versions have their defaults


def load_checkpoint(folder: Path) -> tuple[Model, dict[str, Tensor], TrainingState]:
    """Loads model, optimizer tensors and counters of a checkpoint.

    Raises:
        TranslatorError: a part is missing or damaged.
    """
    state = verify_checkpoint(folder)
    return load_model(folder), read_tensors(folder / STATE_TENSORS), state
