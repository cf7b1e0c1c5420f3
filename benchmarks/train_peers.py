"""The trainers that train.py compares: ours, Hugging Face's `MarianMTModel`, `nn.Transformer`.

All start from the same weights and take the same steps: the gradient of the label-smoothed loss
per real target token, clipped, then Adam with our schedule. All drop embeddings and the outputs of
sub-layers, and nothing else. `train.py --check` compares what they compute.

Run as a program this is one trainer, which answers requests; it imports no other's libraries.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translator.config.schema import ModelConfig, TrainConfig
from translator.export import huggingface
from translator.export.engine import N_POSITIONS
from translator.model.batch import Batch
from translator.model.transformer import Transformer, sinusoids
from translator.text.tokenizer import PAD
from translator.training.optim import learning_rate
from translator.training.update import Updater

LAST = 50  # steps whose loss is the end of a curve


@dataclass
class Trainer:
    """A model and its training. Its `update` takes a batch and the step's number, from 1 on."""

    model: nn.Module
    update: Callable[[Batch, int], None]
    logits: Callable[[Batch], Tensor]  # (B, T, V)

    @torch.no_grad()
    def nll(self, batches: Iterable[Batch]) -> float:
        """Mean of `-log p` per real target token, without dropout."""
        self.model.eval()
        total, n_tokens = 0.0, 0
        for batch in batches:
            logits, targets = self.logits(batch).flatten(0, 1).float(), batch.tgt_out.flatten()
            total += float(F.cross_entropy(logits, targets, ignore_index=PAD, reduction="sum"))
            n_tokens += batch.n_tokens
        self.model.train()
        return total / n_tokens


def our_trainer(model: Transformer, config: TrainConfig, precision: str) -> Trainer:
    """This project; `model` is changed."""

    changed = dataclasses.replace(config, precision=precision)
    updater = Updater(model.train(), changed)

    def update(batch: Batch, step: int) -> None:
        updater.update([batch], step)

    return Trainer(model, update, lambda batch: model(batch.src, batch.tgt_in))


def marian_trainer(
    model: Transformer, config: TrainConfig, precision: str, attention: str
) -> Trainer:
    """Hugging Face's implementation of Marian with AdamW, which without decay is Adam.

    `attention` is "sdpa" or "eager"; `precision` as in `_peer_trainer`.
    """
    ours = model.config
    if ours.norm != "post":
        raise ValueError("Marian is post-norm only")
    dropout = {"dropout": ours.dropout, "attention_dropout": 0.0, "activation_dropout": 0.0}
    theirs, make = huggingface.architecture(ours, **dropout)
    marian = make._from_config(theirs, attn_implementation=attention)
    marian.load_state_dict(huggingface.state(model, never=()))
    optimizer = torch.optim.AdamW

    def logits(batch: Batch) -> Tensor:
        mask = (batch.src != PAD).long()
        inputs = {"input_ids": batch.src, "attention_mask": mask}
        return marian(**inputs, decoder_input_ids=batch.tgt_in, use_cache=False).logits

    return _peer_trainer(marian, optimizer, logits, config, precision, "default")


class PlainTransformer(nn.Module):
    """`nn.Transformer` with the embedding, positions and projection that it lacks."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.embedding = nn.Embedding(config.vocab_size, config.d_model, padding_idx=PAD)
        self.scale = math.sqrt(config.d_model)
        self.dropout = nn.Dropout(config.dropout)
        self.positions: Tensor
        self.register_buffer("positions", sinusoids(N_POSITIONS, config.d_model))
        sizes = (config.n_heads, config.n_encoder_layers, config.n_decoder_layers, config.d_ff)
        pre_norm = config.norm == "pre"
        with warnings.catch_warnings(action="ignore"):  # pre-norm has no nested tensors
            self.transformer = nn.Transformer(
                config.d_model, *sizes, config.dropout, batch_first=True, norm_first=pre_norm
            )
        self.transformer.encoder.use_nested_tensor = False  # nor has training
        if not pre_norm:  # as in the paper
            self.transformer.encoder.norm = self.transformer.decoder.norm = None
        for module in self.transformer.modules():
            if isinstance(module, nn.MultiheadAttention):
                module.dropout = 0.0
            elif isinstance(module, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer):
                module.dropout.p = 0.0  # within the feed-forward layer

    def _embed(self, ids: Tensor) -> Tensor:
        return self.dropout(self.embedding(ids) * self.scale + self.positions[: ids.shape[1]])

    def forward(self, src: Tensor, tgt_in: Tensor) -> Tensor:
        """Logits `(B, T, V)`."""
        padding = src == PAD
        mask = padding if bool(padding.any()) else None  # without one, attention is faster
        length, dtype = tgt_in.shape[1], self.embedding.weight.dtype
        states = self.transformer(
            self._embed(src),
            self._embed(tgt_in),
            tgt_mask=nn.Transformer.generate_square_subsequent_mask(length, dtype=dtype),
            src_key_padding_mask=mask,
            memory_key_padding_mask=mask,
            tgt_is_causal=True,
        )
        return F.linear(states, self.embedding.weight)

    def places(self, ours: Transformer) -> Iterator[tuple[Tensor, Tensor]]:
        """Each of its weights beside that of `ours`, of the same shape."""

        def beside(theirs: Any, module: Any) -> Iterator[tuple[Tensor, Tensor]]:
            yield from ((theirs.weight, module.weight), (theirs.bias, module.bias))

        yield self.embedding.weight, ours.embedding.weight
        encoder, decoder = self.transformer.encoder, self.transformer.decoder
        sides: list[tuple[Any, Any]] = [(encoder, ours.encoder), (decoder, ours.decoder)]
        for side, layers in sides:
            for theirs, layer in zip(side.layers, layers, strict=True):
                norms = [layer.self_residual.norm, layer.feed_forward_residual.norm]
                attentions = [(theirs.self_attn, layer.self_attention)]
                if side is decoder:
                    norms.insert(1, layer.cross_residual.norm)
                    attentions.append((theirs.multihead_attn, layer.cross_attention))
                for attention, module in attentions:
                    width = module.query.weight.shape[0]
                    for part, rows in (
                        (module.query, (0, width)),
                        (module.key_value, (width, None)),
                    ):
                        yield attention.in_proj_weight[slice(*rows)], part.weight
                        yield attention.in_proj_bias[slice(*rows)], part.bias
                    yield from beside(attention.out_proj, module.output)
                for i, norm in enumerate(norms, 1):
                    yield from beside(getattr(theirs, f"norm{i}"), norm)
                yield from beside(theirs.linear1, layer.feed_forward[0])
                yield from beside(theirs.linear2, layer.feed_forward[2])
        if ours.config.norm == "pre":
            yield from beside(encoder.norm, ours.encoder_norm)
            yield from beside(decoder.norm, ours.decoder_norm)

    @torch.no_grad()
    def copy_weights(self, ours: Transformer, back: bool = False) -> None:
        """Takes over the weights of `ours`; `back` gives it its own."""
        for theirs, weight in self.places(ours):
            weight.copy_(theirs) if back else theirs.copy_(weight)


def plain_trainer(
    model: Transformer, config: TrainConfig, precision: str, attention: str
) -> Trainer:
    """`nn.Transformer` with Adam; `attention` is "default" or "math", see `_peer_trainer`."""
    plain = PlainTransformer(model.config)
    plain.copy_weights(model)

    def logits(batch: Batch) -> Tensor:
        return plain(batch.src, batch.tgt_in)

    return _peer_trainer(plain, torch.optim.Adam, logits, config, precision, attention)


def _peer_trainer(
    model: nn.Module,
    optimizer_type: Callable[..., torch.optim.Optimizer],
    logits: Callable[[Batch], Tensor],
    config: TrainConfig,
    precision: str,
    attention: str,
) -> Trainer:
    """A standard training loop.

    Args:
        model: starts with our weights.
        optimizer_type: Adam or AdamW.
        logits: of a batch.
        config: our settings.
        precision: "fp32", "autocast" to bfloat16, or "bf16": the weights themselves.
        attention: "math" for plain products, "default" for what PyTorch chooses.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel

    model.train().to(torch.bfloat16 if precision == "bf16" else torch.float32)
    betas = (config.beta1, config.beta2)
    optimizer = optimizer_type(
        model.parameters(), lr=config.peak_lr, betas=betas, eps=1e-9, weight_decay=0.0, fused=True
    )

    def update(batch: Batch, step: int) -> None:
        optimizer.zero_grad(set_to_none=True)
        with contextlib.ExitStack() as stack:
            if precision == "autocast":
                stack.enter_context(torch.autocast("cpu", torch.bfloat16))
            if attention == "math":
                stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            loss = F.cross_entropy(
                logits(batch).flatten(0, 1),
                batch.tgt_out.flatten(),
                ignore_index=PAD,
                label_smoothing=config.label_smoothing,
            )
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, config)
        optimizer.step()

    return Trainer(model, update, logits)


ENGINES: dict[str, Callable[..., Trainer]] = {
    "ours": our_trainer,
    "marian": marian_trainer,
    "plain": plain_trainer,
}


def _megabytes() -> float:
    """The peak memory of the process (VmHWM)."""
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


class Server:
    """A trainer with its data. Its public methods are the requests that it answers."""

    def __init__(
        self,
        engine: str,
        folder: str,
        threads: int,
        model: dict[str, Any],
        train: dict[str, Any],
        options: dict[str, Any],
    ):
        torch.set_num_threads(threads)
        torch.manual_seed(1)
        transformer = Transformer(ModelConfig(**model))
        transformer.load_state_dict(torch.load(Path(folder) / "weights.pt", weights_only=True))
        self.trainer = ENGINES[engine](transformer, TrainConfig(**train), **options)
        data = torch.load(Path(folder) / "batches.pt", weights_only=True)
        self.batches, self.valid = (
            [Batch(*tensors) for tensors in data[part]] for part in ("train", "valid")
        )
        self.step = 0

    def _update(self, batches: Sequence[Batch]) -> None:
        for batch in batches:
            self.step += 1
            self.trainer.update(batch, self.step)

    def seconds(self, number: int) -> tuple[float, float]:
        """Trains on the first `number` batches: seconds on the clock, and of this process."""
        start, cpu_start = time.perf_counter(), time.process_time()
        self._update(self.batches[:number])
        return time.perf_counter() - start, time.process_time() - cpu_start

    def losses(self, number: int) -> tuple[float, float]:
        """Trains on the first `number` batches.

        Returns:
            Mean `-log p` without dropout: of the last `LAST` batches, each just before the update
            with it, and at the end of the validation data.
        """
        first, last = self.batches[:number][:-LAST], self.batches[:number][-LAST:]
        self._update(first)
        nll_sum = 0.0
        for batch in last:
            nll_sum += self.trainer.nll([batch]) * batch.n_tokens
            self._update([batch])
        return nll_sum / sum(batch.n_tokens for batch in last), self.trainer.nll(self.valid)


def serve(request: dict[str, Any]) -> None:
    """Loads a trainer, then answers each line of stdin, `[method, argument]`, in JSON."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # output of libraries must not mix with replies
    try:
        server = Server(**request)
        print(json.dumps({"result": None, "peak": _megabytes()}), file=replies)
        for line in sys.stdin:
            method, argument = json.loads(line)
            result = getattr(server, method)(argument)
            print(json.dumps({"result": result, "peak": _megabytes()}), file=replies)
    except Exception as error:  # train.py reports it and continues without this setting
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=replies)


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
