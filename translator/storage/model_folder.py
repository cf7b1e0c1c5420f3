"""Models on disk: written whole or not at all, verified when read.

A MODEL is a folder with `model.safetensors`, `tokenizer.model` and `config.json`, which holds the
SHA-256 of the other two. Format 2 may store a matrix `NAME` as int8, with a scale for each of its
rows in `NAME.scale`; format 1 stores numbers as they are.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as parse_safetensors
from safetensors.torch import save as serialise_safetensors
from torch import Tensor

from translator.config.errors import TranslatorError
from translator.config.loading import from_saved, to_dict
from translator.config.schema import Config
from translator.model.transformer import Transformer, empty_transformer
from translator.system.disk import file_sha256, sha256, sync_folder, write_file
from translator.text.tokenizer import Tokenizer

FORMAT_VERSION = 2
WEIGHTS, TOKENIZER, CONFIG = "model.safetensors", "tokenizer.model", "config.json"
SCALE = ".scale"  # ends the name of the scales of an int8 matrix
STATE_TENSORS, STATE = "training.safetensors", "training.json"


@dataclass
class Model:
    """A model with what belongs to it. `info` is free-form: scores, recipe, data fingerprint.

    After `release`, `transformer` is read from the folder again as soon as it is asked for.
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
        return self.__dict__.pop("transformer")

    def __getattr__(self, name: str) -> Any:
        if name != "transformer" or self.weights is None:
            raise AttributeError(name)
        return self.__dict__.setdefault(name, _read_transformer(self.config, *self.weights))

    def __getstate__(self) -> dict[str, Any]:
        """For pickling and copying: with the weights, so that the folder isn't needed."""
        return {**self.__dict__, "transformer": self.transformer}


def read_file(path: Path, digest: str | None) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TranslatorError(f"{path} cannot be read: {error.strerror}.") from None
    if digest is not None and sha256(data) != digest:
        raise TranslatorError(f"{path} is damaged (its SHA-256 is wrong): copy the model again.")
    return data


def read_tensors(path: Path, digest: str | None) -> dict[str, Tensor]:
    data = read_file(path, digest)
    try:
        return parse_safetensors(data)
    except SafetensorError:
        raise TranslatorError(f"{path} is no safetensors file: copy the model again.") from None


def quantise(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as an int8 MODEL stores them: matrices in int8 with a scale a row, the rest in fp16.

    A number read back is off by at most half of its row's scale, which is about a 127th of the
    row's greatest number.
    """
    stored: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if weight.dim() != 2:
            stored[name] = weight.half()
            continue
        weight = weight.float()
        greatest = weight.abs().amax(dim=1, keepdim=True)  # (N, 1)
        # Rounded up: no step lies beyond 127, and no scale is zero.
        scale = (greatest / 127 * (1 + 2**-10) + 2**-24).half()
        stored[name] = (weight / scale.float()).round().to(torch.int8)
        stored[name + SCALE] = scale
    return stored


def read_weights(path: Path, digest: str) -> Iterator[tuple[str, Tensor, Tensor | None]]:
    """Name, numbers and scales, if any, of each weight; the file is mapped, and not copied.

    Raises:
        TranslatorError: the file is missing or damaged.
    """
    if file_sha256(path) != digest:
        raise TranslatorError(f"{path} is damaged (its SHA-256 is wrong): copy the model again.")
    try:
        with safe_open(path, framework="pt") as file:
            names = set(file.keys())
            for name in sorted(names):
                if name.removesuffix(SCALE) not in names - {name}:
                    scale = name + SCALE
                    scales = file.get_tensor(scale) if scale in names else None
                    yield name, file.get_tensor(name), scales
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

    The weights are stored as they are given, maybe by `quantise`.

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
        # What holds no int8 can be read by programs that know no other format than the first.
        "format_version": 2 if any(t.dtype == torch.int8 for t in tensors.values()) else 1,
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
        description = json.loads(read_file(folder / CONFIG, None))
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

    Weights stored in int8 or fp16 are computed with in fp32.

    Raises:
        TranslatorError: something is missing or damaged; the message names the file.
    """
    if not (folder / WEIGHTS).exists() and (folder / "steps").is_dir():
        folder = best_step(folder)
    description = read_description(folder)
    digests = description["sha256"]
    config = from_saved(description["config"])
    tokenizer = Tokenizer(read_file(folder / TOKENIZER, digests[TOKENIZER]))
    weights = (folder / WEIGHTS).absolute(), digests[WEIGHTS]
    transformer = _read_transformer(config, *weights).to(device or torch.device("cpu"))
    info = {k: v for k, v in description.items() if k not in ("config", "sha256")}
    return Model(transformer, tokenizer, config, info, folder, weights)


@torch.no_grad()
def _read_transformer(config: Config, path: Path, digest: str) -> Transformer:
    """A model with the weights of a file, which are read one after the other."""
    transformer = empty_transformer(config.model).eval()
    parameters = dict(transformer.named_parameters())
    left = set(parameters)
    for name, weight, scale in read_weights(path, digest):
        if name not in left or weight.shape != parameters[name].shape:
            raise TranslatorError(
                f"{path} does not fit its config: {name} {list(weight.shape)} has no place in it."
            )
        parameters[name].copy_(weight)
        if scale is not None:
            parameters[name].mul_(scale)
        left.remove(name)
    if left:
        raise TranslatorError(f"{path} does not fit its config: it lacks {', '.join(left)}.")
    return transformer


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
