"""Models on disk: written whole or not at all, verified when read.

A MODEL is a folder with `model.safetensors`, `tokenizer.model` and `config.json`, which holds the
SHA-256 of the other two. Format 2 may store a matrix `NAME` as int8, with a scale for each of its
rows in `NAME.scale`; format 1 stores numbers as they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translator.config.errors import TranslatorError
from translator.config.loading import from_saved, to_dict
from translator.config.schema import Config
from translator.system.disk import damaged, file_sha256, read_file, sha256, sync_folder, write_file
from translator.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from translator.model.transformer import Transformer

FORMAT_VERSION = 2
WEIGHTS, TOKENIZER, CONFIG = "model.safetensors", "tokenizer.model", "config.json"
STATE_TENSORS, STATE = "training.safetensors", "training.json"


@dataclass
class Model:
    """A model with what belongs to it. `info` is free-form: scores, recipe, data fingerprint.

    Without a `transformer`, as after `release`, it is read from the folder once it is asked for.
    """

    transformer: Transformer
    tokenizer: Tokenizer
    config: Config
    info: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    weights: tuple[Path, str] | None = None  # the file, and its SHA-256

    @property
    def directions(self) -> list[tuple[str, str]]:
        """The (source, target) languages that it knows, its first one first."""
        data = self.config.data
        return [(data.src, data.tgt), (data.tgt, data.src)][: 1 + data.bidirectional]

    def release(self) -> Transformer:
        """Hands over the weights, which the caller may use up."""
        transformer = self.transformer
        del self.transformer
        return transformer

    def verify(self) -> None:
        """Complains if the file of weights is missing or damaged, without reading them.

        Raises:
            TranslatorError: it is.
        """
        if self.weights and file_sha256(self.weights[0]) != self.weights[1]:
            raise damaged(self.weights[0])

    def __getattr__(self, name: str) -> Any:
        if name != "transformer" or self.weights is None:
            raise AttributeError(name)
        from translator.storage.weights import read_transformer

        return self.__dict__.setdefault(name, read_transformer(self.config, *self.weights))

    def __getstate__(self) -> dict[str, Any]:
        """For pickling and copying: with the weights, so that the folder isn't needed."""
        return {**self.__dict__, "transformer": self.transformer}


def save_model(
    folder: Path,
    weights: Mapping[str, Tensor],
    tokenizer: Tokenizer,
    config: Config,
    info: Mapping[str, Any],
) -> dict[str, str]:
    """Writes a MODEL into `folder`; `config.json` comes last and vouches for the rest.

    The weights are stored as they are given, maybe by `quantise`.

    Returns:
        The SHA-256 of each of the three files, by name.
    """
    import torch

    from translator.storage.weights import serialise

    folder.mkdir(parents=True, exist_ok=True)
    data = serialise(weights)
    write_file(folder / TOKENIZER, tokenizer.model_bytes)
    write_file(folder / WEIGHTS, data)
    digests = {WEIGHTS: sha256(data), TOKENIZER: sha256(tokenizer.model_bytes)}
    description = {
        # What holds no int8 can be read by programs that know no other format than the first.
        "format_version": 2 if any(t.dtype == torch.int8 for t in weights.values()) else 1,
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
        TranslatorError: it is a checkpoint from which a run may resume, and must not change.
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
        description = json.loads(read_file(folder / CONFIG))
        version = description["format_version"]
        _ = description["config"], description["sha256"][WEIGHTS]
    except (ValueError, KeyError, TypeError):
        raise TranslatorError(f"{folder / CONFIG} is damaged: copy the model again.") from None
    if version > FORMAT_VERSION:
        raise TranslatorError(
            f"{folder} has format {version}, this program reads up to {FORMAT_VERSION}: update it."
        )
    return description


def open_model(folder: Path) -> Model:
    """A MODEL whose weights are read once they are asked for; all else is read and verified.

    It may be a finished one, a step of a run, or a run's best step so far.

    Raises:
        TranslatorError: something is missing or damaged; the message names the file.
    """
    if not (folder / WEIGHTS).exists() and (folder / "steps").is_dir():
        folder = best_step(folder)
    description = read_description(folder)
    digests = description["sha256"]
    tokenizer = Tokenizer(read_file(folder / TOKENIZER, digests[TOKENIZER]))
    config = from_saved(description["config"])
    info = {k: v for k, v in description.items() if k not in ("config", "sha256")}
    weights = (folder / WEIGHTS).absolute(), digests[WEIGHTS]
    model = Model(None, tokenizer, config, info, folder, weights)  # type: ignore[arg-type]
    del model.transformer
    return model


def load_model(folder: Path, device: torch.device | None = None) -> Model:
    """As `open_model`, with its weights on a device; int8 and fp16 are computed with in fp32."""
    model = open_model(folder)
    model.transformer = model.transformer.to(device or "cpu")
    return model


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
