"""The numbers of a MODEL: tensors in files, and as an int8 MODEL stores them."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as parse_safetensors
from safetensors.torch import save as serialise_safetensors
from torch import Tensor

from translator.config.errors import TranslatorError
from translator.config.schema import Config
from translator.model.transformer import Transformer, empty_transformer
from translator.system.disk import damaged, file_sha256, read_file

SCALE = ".scale"  # ends the name of the scales of an int8 matrix


def read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return parse_safetensors(read_file(path))
    except SafetensorError:
        raise TranslatorError(f"{path} is no safetensors file: copy the model again.") from None


def serialise(tensors: Mapping[str, Tensor]) -> bytes:
    """The content of a safetensors file."""
    return serialise_safetensors({n: t.detach().cpu().contiguous() for n, t in tensors.items()})


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
        raise damaged(path)
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


@torch.no_grad()
def read_transformer(config: Config, path: Path, digest: str) -> Transformer:
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
