"""Checkpoints: a model with all that a run needs to resume from it exactly.

A checkpoint is a MODEL folder with two more files: `training.safetensors`, and `training.json`,
which holds the SHA-256 of all the others and of itself. It is written to a hidden folder, fsynced,
read back and verified, and only then renamed.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from safetensors.torch import save as serialise_safetensors
from torch import Tensor

from translator.config.errors import TranslatorError
from translator.config.schema import Config
from translator.storage.model_folder import (
    STATE,
    STATE_TENSORS,
    Model,
    load_model,
    read_file,
    read_tensors,
    save_model,
)
from translator.system.disk import (
    discard,
    drop_from_cache,
    file_sha256,
    sha256,
    sync_folder,
    write_file,
)
from translator.text.tokenizer import Tokenizer

NO_DIGEST = "0" * 64  # stands in `training.json` while its own digest is taken


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
    left_out: int = 0  # updates whose gradient was not finite or far too long
    failures: int = 0  # of them, those in a row up to now
    fallbacks: int = 0  # to an earlier checkpoint, after too many in a row
    validation_due: bool = False  # at this step: a stop broke it off
    rate_scale: float = 1.0  # of the learning rate, halved by each fall back


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
        TranslatorError: the disk is full or read-only, or gives back something else. Nothing of
            the checkpoint is left then, and the older ones are as they were.
    """
    steps = run / "steps"
    final, temporary = steps / str(state.step), steps / f".{state.step}.tmp"
    for leftover in steps.glob(".*.tmp"):  # of a session that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        info = {**info, "best_step": state.best_step}
        digests = save_model(temporary, weights, tokenizer, config, info)
        tensors = {name: t.detach().cpu().contiguous() for name, t in optimizer.items()}
        data = serialise_safetensors(tensors)
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
            f"{final} cannot be saved: {reason}. Check the disk; the same command then goes on "
            "from the last checkpoint."
        ) from None
    for folder in (steps, run):
        sync_folder(folder)
    return final


def _state_text(state: TrainingState, digests: Mapping[str, str]) -> bytes:
    """`training.json`; its own digest is that of its bytes with zeros in the digest's place."""
    values = {"state": vars(state), "sha256": digests, "own_sha256": NO_DIGEST}
    text = (json.dumps(values, indent=2) + "\n").encode()
    return text.replace(NO_DIGEST.encode(), sha256(text).encode())


def verify_checkpoint(folder: Path) -> TrainingState:
    """Reads all of a checkpoint that can be resumed from; returns its counters.

    Raises:
        TranslatorError: a file is missing or damaged, even by one bit; the message names it.
    """
    data = read_file(folder / STATE, None)
    try:
        values = json.loads(data)
        if isinstance(values["sha256"], str):  # as it was written first: nothing guards the rest
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
            f"{folder / STATE} is of a later version of this program, with "
            f"{', '.join(sorted(unknown))}: update it."
        )
    for name, digest in digests.items():
        if file_sha256(folder / name) != digest:
            raise TranslatorError(f"{folder / name} is damaged (its SHA-256 is wrong).")
    return TrainingState(**values)  # what an older version did not know has its default


def load_checkpoint(folder: Path) -> tuple[Model, dict[str, Tensor], TrainingState]:
    """Model, optimizer tensors and counters of a checkpoint.

    Raises:
        TranslatorError: a part is missing or damaged.
    """
    state = verify_checkpoint(folder)
    return load_model(folder), read_tensors(folder / STATE_TENSORS, None), state
