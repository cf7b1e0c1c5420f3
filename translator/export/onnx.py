"""A model as two ONNX graphs, encoder and decoder with its cache, that onnxruntime runs.

`encoder.onnx`: `src` `(B, S)` -> `cross_keys`, `cross_values` `(L, B, H, S, Dh)` of the L decoder
layers. `decoder.onnx`: `last` `(B, 1)`, `src`, these two, and `self_keys`, `self_values`
`(L, B, H, T, Dh)` of the T pieces before -> `logits` `(B, V)` of the next piece, and the two with
`last` in them. A search gathers these along B. Sources end with EOS, translations begin with BOS.
"""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from translator.export.weights import positions
from translator.model.batch import pad_right
from translator.model.transformer import Transformer
from translator.system.disk import write_file
from translator.text.tokenizer import BOS, EOS, PAD, UNK, Tokenizer

_OPSET = 17
_CACHE = ["self_keys", "self_values"]
_CROSS = ["cross_keys", "cross_values"]


class Encoder(nn.Module):
    """What encoder.onnx computes."""

    def __init__(self, transformer: Transformer):
        super().__init__()
        self.transformer = transformer
        self.table = positions(transformer)

    def forward(self, src: Tensor) -> tuple[Tensor, Tensor]:
        model: Any = self.transformer
        mask = (src != PAD)[:, None, None, :]
        x = model.embedding(src) * math.sqrt(model.config.d_model) + self.table[: src.shape[1]]
        for layer in model.encoder:
            x = layer(x, mask)
        memory = model.encoder_norm(x)
        pairs = [layer.cross_attention.project(memory) for layer in model.decoder]
        keys, values = zip(*pairs, strict=True)
        return torch.stack(keys), torch.stack(values)


class Decoder(nn.Module):
    """What decoder.onnx computes: one step."""

    def __init__(self, transformer: Transformer):
        super().__init__()
        self.transformer = transformer
        self.table = positions(transformer)

    def forward(
        self,
        last: Tensor,
        src: Tensor,
        cross_keys: Tensor,
        cross_values: Tensor,
        self_keys: Tensor,
        self_values: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        model: Any = self.transformer
        length = self_keys.shape[3]
        mask = (src != PAD)[:, None, None, :]
        x = model.embedding(last) * math.sqrt(model.config.d_model)
        x = x + self.table[length : length + 1]
        all_keys, all_values = [], []
        for i, layer in enumerate(model.decoder):
            entered = layer.self_residual.enter(x)
            key, value = layer.self_attention.project(entered)
            all_keys.append(torch.cat([self_keys[i], key], dim=2))
            all_values.append(torch.cat([self_values[i], value], dim=2))
            update, _ = layer.self_attention(entered, all_keys[-1], all_values[-1])
            x = layer.self_residual.leave(x, update)
            entered = layer.cross_residual.enter(x)
            update, _ = layer.cross_attention(entered, cross_keys[i], cross_values[i], mask)
            x = layer.cross_residual.leave(x, update)
            update = layer.feed_forward(layer.feed_forward_residual.enter(x))
            x = layer.feed_forward_residual.leave(x, update)
        logits = model.project(model.decoder_norm(x))[:, 0]
        never = torch.zeros(logits.shape[-1])
        never[[PAD, UNK, BOS]] = float("-inf")
        return logits + never, torch.stack(all_keys), torch.stack(all_values)


def export(transformer: Transformer, tokenizer: Tokenizer, folder: Path) -> None:
    """Writes both graphs and the tokenizer into a new folder."""
    config = transformer.config
    sizes = (config.n_decoder_layers, 2, config.n_heads)
    width = config.d_model // config.n_heads
    src = torch.tensor([[5, 6, 7, EOS], [8, EOS, PAD, PAD]])
    encoder, decoder = Encoder(transformer).eval(), Decoder(transformer).eval()
    cross = encoder(src)
    past = (torch.zeros(*sizes, 3, width), torch.zeros(*sizes, 3, width))
    axes = {"src": {0: "B", 1: "S"}, "last": {0: "B"}, "logits": {0: "B"}}
    axes |= {name: {1: "B", 3: "S"} for name in _CROSS}
    axes |= {name: {1: "B", 3: "T"} for name in _CACHE}
    axes |= {f"new_{name}": {1: "B", 3: "T1"} for name in _CACHE}
    folder.mkdir(parents=True)
    _write(encoder, (src,), folder / "encoder.onnx", ["src"], _CROSS, axes)
    inputs = ["last", "src", *_CROSS, *_CACHE]
    outputs = ["logits", *(f"new_{name}" for name in _CACHE)]
    values = (src[:, :1], src, *cross, *past)
    _write(decoder, values, folder / "decoder.onnx", inputs, outputs, axes)
    write_file(folder / "tokenizer.model", tokenizer.model_bytes)


def _write(
    module: nn.Module,
    values: tuple[Tensor, ...],
    path: Path,
    inputs: list[str],
    outputs: list[str],
    axes: dict[str, dict[int, str]],
) -> None:
    used = {name: axes[name] for name in [*inputs, *outputs]}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter, which traces: another is not needed
        torch.onnx.export(
            module,
            values,
            str(path),
            input_names=inputs,
            output_names=outputs,
            dynamic_axes=used,
            opset_version=_OPSET,
            dynamo=False,
        )


class Engine:
    """onnxruntime with exported graphs."""

    def __init__(self, folder: Path, threads: int = 0):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.encoder, self.decoder = (
            onnxruntime.InferenceSession(
                folder / f"{name}.onnx", options, providers=["CPUExecutionProvider"]
            )
            for name in ("encoder", "decoder")
        )

    def greedy(self, sources: Sequence[Sequence[int]], limit: int) -> list[list[int]]:
        """The translation of each source, which ends with EOS, by greedy search; EOS included."""
        found: list[list[int]] = []
        for start in range(0, len(sources), 32):
            found += self._batch(sources[start : start + 32], limit)
        return found

    def _batch(self, sources: Sequence[Sequence[int]], limit: int) -> list[list[int]]:
        import numpy

        src = pad_right(sources).numpy()
        cross = dict(zip(_CROSS, self.encoder.run(None, {"src": src}), strict=True))
        empty = cross["cross_keys"][:, :, :, :0]
        cache = dict.fromkeys(_CACHE, empty)
        outputs: list[list[int]] = [[] for _ in sources]
        last = numpy.full((len(src), 1), BOS)
        for _ in range(limit):
            logits, *new = self.decoder.run(None, {"last": last, "src": src, **cross, **cache})
            cache = dict(zip(_CACHE, new, strict=True))
            last = logits.argmax(axis=1)[:, None]
            for output, piece in zip(outputs, last[:, 0].tolist(), strict=True):
                if output[-1:] != [EOS]:
                    output.append(piece)
            if all(output[-1] == EOS for output in outputs):
                break
        return outputs
