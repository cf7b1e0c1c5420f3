"""Models and training states on disk: written whole or not at all, verified when read.

A MODEL is a folder with `model.safetensors`, `tokenizer.model` and `config.json`, which holds the
SHA-256 of the other two. A training state adds `training.safetensors` and `training.json`, which
holds the SHA-256 of all the others and of itself.
"""

import contextlib
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
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
    from_dict,
    to_dict,
)
from translator.model import Transformer
from translator.tokenizer import Tokenizer

log = logging.getLogger("translator")

FORMAT_VERSION = 1
WEIGHTS, TOKENIZER, CONFIG = "model.safetensors", "tokenizer.model", "config.json"
STATE_TENSORS, STATE = "training.safetensors", "training.json"
NO_DIGEST = "0" * 64  # stands in `training.json` while its own digest is taken


@dataclass
class Model:
    """A model with what belongs to it. `info` is free-form: scores, recipe, data fingerprint."""

    transformer: Transformer
    tokenizer: Tokenizer
    config: Config
    info: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def directions(self) -> list[tuple[str, str]]:
        """The (source, target) languages that it knows, its first one first."""
        data = self.config.data
        return [(data.src, data.tgt), (data.tgt, data.src)][: 1 + data.bidirectional]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_file(path: Path, data: bytes) -> None:
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
    if digest is not None and sha256(data) != digest:
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
) -> dict[str, str]:
    """Writes a MODEL into `folder`; `config.json` comes last and vouches for the rest.

    Returns:
        The SHA-256 of each of the three files, by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    data = serialise_safetensors(tensors)
    write_file(folder / TOKENIZER, tokenizer.model_bytes)
    write_file(folder / WEIGHTS, data)
    digests = {WEIGHTS: sha256(data), TOKENIZER: sha256(tokenizer.model_bytes)}
    description = {
        "format_version": FORMAT_VERSION,
        "direction": {"src": config.data.src, "tgt": config.data.tgt},
        **info,
        "config": to_dict(config),
        "sha256": digests,
    }
    text = _write_description(folder, description)
    return {**digests, CONFIG: sha256(text)}


def _write_description(folder: Path, description: Mapping[str, Any]) -> bytes:
    text = (json.dumps(description, indent=2, ensure_ascii=False) + "\n").encode()
    write_file(folder / CONFIG, text)
    sync_folder(folder)
    return text


def check_changeable(folder: Path) -> None:
    """Complains about a MODEL whose `config.json` must stay as it is.

    Raises:
        TranslatorError: it is a checkpoint that a run goes on from, which vouches for that file.
    """
    if (folder / STATE).exists():
        raise TranslatorError(
            f"{folder} is a checkpoint of a run that may go on from it, and stays as it is: let "
            "the run end, or copy the checkpoint with `translator average`."
        )


def update_description(folder: Path, info: Mapping[str, Any]) -> None:
    """Puts `info` into the `config.json` of a MODEL, whose weights stay as they are.

    Raises:
        TranslatorError: the folder holds no model, or one that must stay as it is.
    """
    check_changeable(folder)
    _write_description(folder, {**read_description(folder), **info})


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
    left_out: int = 0  # updates whose gradient was not finite or far too long
    failures: int = 0  # of them, those in a row up to now
    fallbacks: int = 0  # to an earlier checkpoint, after too many in a row
    rate_scale: float = 1.0  # of the learning rate, halved by each fall back


def step_folders(run: Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first."""
    steps = run / "steps"
    if not steps.is_dir():
        return []
    folders = (p for p in steps.iterdir() if p.name.isdecimal() and p.is_dir())
    return sorted(folders, key=lambda p: int(p.name))


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
        _forget(temporary)
        verify_checkpoint(temporary)
        discard(final)
        os.replace(temporary, final)
    except (OSError, TranslatorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        reason = error.strerror if isinstance(error, OSError) else str(error).rstrip(".")
        raise TranslatorError(
            f"{final} cannot be saved: {reason}. See to the disk; the same command then goes on "
            "from the last checkpoint."
        ) from None
    for folder in (steps, run):
        sync_folder(folder)
    return final


def discard(folder: Path) -> None:
    """Removes a checkpoint: first out of sight, so that a kill leaves no half of it as a whole."""
    if folder.exists():
        hidden = folder.with_name(f".{folder.name}.old.tmp")
        shutil.rmtree(hidden, ignore_errors=True)
        os.replace(folder, hidden)
        shutil.rmtree(hidden, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # some systems cannot sync a folder
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _forget(folder: Path) -> None:
    """Lets the next read of the files come from the disk instead of memory, where that can be."""
    if hasattr(os, "posix_fadvise"):
        for path in folder.iterdir():
            with open(path, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def file_sha256(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise TranslatorError(f"{path} cannot be read: {error.strerror}.") from None


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
    data = _read(folder / STATE, None)
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
    return load_model(folder), _parse(folder / STATE_TENSORS, None), state


def average_weights(folders: Sequence[Path]) -> dict[str, Tensor]:
    """The mean of the weights of several checkpoints of one run (Vaswani et al., section 6.1)."""
    total: dict[str, Tensor] = {}
    for folder in folders:
        digest = read_description(folder)["sha256"][WEIGHTS]
        for name, weight in _parse(folder / WEIGHTS, digest).items():
            total[name] = total[name] + weight.double() if name in total else weight.double()
    return {name: (weight / len(folders)).float() for name, weight in total.items()}
