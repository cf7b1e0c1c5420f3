"""The engines that decode.py compares: ours, Hugging Face's `MarianMTModel` and CTranslate2.

Our weights are brought into the shape of the peers. Where ours has one matrix for keys and values,
Marian has two, and CTranslate2 one that holds the query's too in self-attention. Marian is
post-norm only; CTranslate2 reads both kinds. A name that is missing or left over is an error.

Run as a program this is one engine, which answers requests; it imports no other's libraries.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translator.text.tokenizer import BOS, EOS, PAD, UNK

if TYPE_CHECKING:
    from torch import Tensor

    from translator.config.schema import ModelConfig
    from translator.model.transformer import Transformer

    Weights = dict[str, Tensor]
    Pair = tuple[Tensor, Tensor]  # weight and bias

Sentences = list[list[int]]
Batches = list[Sentences]
Result = tuple[float, Sentences]  # seconds, and the ids of all outputs
# Translates batches with a beam size and a forced length, if any. Only the translating is timed.
Engine = Callable[[Batches, int, "int | None"], Result]

N_POSITIONS = 512


def _take(weights: Weights, name: str) -> Pair:
    return weights.pop(f"{name}.weight"), weights.pop(f"{name}.bias")


def _query_key_value(weights: Weights, name: str) -> list[Pair]:
    weight, bias = _take(weights, f"{name}.key_value")
    return [_take(weights, f"{name}.query"), *zip(weight.chunk(2), bias.chunk(2), strict=True)]


def _require_empty(weights: Weights) -> None:
    if weights:
        raise ValueError(f"There is no place for {', '.join(weights)}.")


def marian_weights(model: Transformer) -> Weights:
    """The state of a `MarianMTModel` that computes what a post-norm `model` computes.

    The special pieces that our search forbids get a bias of minus infinity, and so does EOS, for
    outputs of a forced length: `generate` then has no logits to process, which is its fastest.
    """
    import torch

    from translator.model.transformer import sinusoids

    config, weights = model.config, dict(model.state_dict())
    embedding = weights.pop("embedding.weight")
    bias = torch.zeros(1, config.vocab_size)
    bias[:, [PAD, UNK, BOS, EOS]] = float("-inf")
    state = {"final_logits_bias": bias, "lm_head.weight": embedding}
    state["model.shared.weight"] = embedding

    def put(name: str, pair: Pair) -> None:
        state[f"model.{name}.weight"], state[f"model.{name}.bias"] = pair

    for side, layers in (("encoder", model.encoder), ("decoder", model.decoder)):
        state[f"model.{side}.embed_tokens.weight"] = embedding
        state[f"model.{side}.embed_positions.weight"] = sinusoids(N_POSITIONS, config.d_model)
        attentions = {"self": "self_attn", "cross": "encoder_attn"}
        if side == "encoder":
            del attentions["cross"]
        for i in range(len(layers)):
            ours, theirs = f"{side}.{i}", f"{side}.layers.{i}"
            for kind, name in attentions.items():
                parts = _query_key_value(weights, f"{ours}.{kind}_attention")
                for letter, pair in zip("qkv", parts, strict=True):
                    put(f"{theirs}.{name}.{letter}_proj", pair)
                put(f"{theirs}.{name}.out_proj", _take(weights, f"{ours}.{kind}_attention.output"))
                put(f"{theirs}.{name}_layer_norm", _take(weights, f"{ours}.{kind}_residual.norm"))
            put(f"{theirs}.fc1", _take(weights, f"{ours}.feed_forward.0"))
            put(f"{theirs}.fc2", _take(weights, f"{ours}.feed_forward.2"))
            put(f"{theirs}.final_layer_norm", _take(weights, f"{ours}.feed_forward_residual.norm"))
    _require_empty(weights)
    return state


def marian_config(ours: ModelConfig, **more: Any) -> Any:
    """The `MarianConfig` of a model in the sizes of ours, with other settings of its own."""
    from transformers import MarianConfig

    return MarianConfig(
        vocab_size=ours.vocab_size,
        max_position_embeddings=N_POSITIONS,
        d_model=ours.d_model,
        encoder_layers=ours.n_encoder_layers,
        decoder_layers=ours.n_decoder_layers,
        encoder_attention_heads=ours.n_heads,
        decoder_attention_heads=ours.n_heads,
        encoder_ffn_dim=ours.d_ff,
        decoder_ffn_dim=ours.d_ff,
        activation_function="relu",
        scale_embedding=True,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
        decoder_start_token_id=BOS,
        forced_eos_token_id=None,
        **more,
    )


def save_marian(model: Transformer, folder: Path) -> None:
    """Writes a post-norm `model` as a folder for `load_marian`."""
    from transformers import MarianMTModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    marian = MarianMTModel(marian_config(model.config))
    marian.load_state_dict(marian_weights(model))
    marian.save_pretrained(folder)


def load_marian(folder: Path, attention: str, precision: str) -> Any:
    """Reads what `save_marian` wrote.

    Args:
        folder: of the model.
        attention: "sdpa" or "eager".
        precision: "fp32", "bf16", or "int8": PyTorch's dynamic quantisation of the matrices.
    """
    import torch
    from transformers import MarianMTModel

    from translator.model.transformer import sinusoids

    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    marian = MarianMTModel.from_pretrained(folder, attn_implementation=attention, dtype=dtype)
    for side in (marian.model.encoder, marian.model.decoder):  # is not saved with the rest
        side.embed_positions.weight.data.copy_(sinusoids(N_POSITIONS, marian.config.d_model))
    if precision == "int8":
        marian = torch.ao.quantization.quantize_dynamic(marian, {torch.nn.Linear}, torch.qint8)
    return marian.eval()


def _set_linear(spec: Any, *pairs: Pair) -> None:
    """Puts the matrices of `pairs` below each other."""
    import torch

    weights, biases = zip(*pairs, strict=True)
    spec.weight, spec.bias = torch.cat(weights).numpy(), torch.cat(biases).numpy()


def _set_norm(spec: Any, pair: Pair) -> None:
    spec.gamma, spec.beta = (tensor.numpy() for tensor in pair)


def _set_layer(spec: Any, weights: Weights, name: str, decoder: bool) -> None:
    attentions = {"self": spec.self_attention}
    if decoder:
        attentions["cross"] = spec.attention
    for kind, attention in attentions.items():
        query, key, value = _query_key_value(weights, f"{name}.{kind}_attention")
        inputs = [[query, key, value]] if kind == "self" else [[query], [key, value]]
        output = _take(weights, f"{name}.{kind}_attention.output")
        for linear, pairs in zip(attention.linear, [*inputs, [output]], strict=True):
            _set_linear(linear, *pairs)
        _set_norm(attention.layer_norm, _take(weights, f"{name}.{kind}_residual.norm"))
    _set_linear(spec.ffn.linear_0, _take(weights, f"{name}.feed_forward.0"))
    _set_linear(spec.ffn.linear_1, _take(weights, f"{name}.feed_forward.2"))
    _set_norm(spec.ffn.layer_norm, _take(weights, f"{name}.feed_forward_residual.norm"))


def save_ctranslate2(model: Transformer, folder: Path, quantization: str) -> None:
    """Writes `model` as a folder for `ctranslate2.Translator`; its tokens are our ids as text."""
    from ctranslate2.specs import TransformerSpec

    from translator.model.transformer import sinusoids

    config = model.config
    weights = {n: w.clone() for n, w in model.state_dict().items()}  # it quantises in place
    embedding = weights.pop("embedding.weight").numpy()
    pre_norm = config.norm == "pre"
    n_layers = (config.n_encoder_layers, config.n_decoder_layers)
    spec = TransformerSpec.from_config(n_layers, config.n_heads, pre_norm=pre_norm)
    for side, part in (("encoder", spec.encoder), ("decoder", spec.decoder)):
        part.position_encodings.encodings = sinusoids(N_POSITIONS, config.d_model).numpy()
        for i, layer in enumerate(part.layer):
            _set_layer(layer, weights, f"{side}.{i}", decoder=side == "decoder")
        if pre_norm:
            _set_norm(part.layer_norm, _take(weights, f"{side}_norm"))
    _require_empty(weights)
    spec.encoder.embeddings[0].weight = embedding
    spec.decoder.embeddings.weight = embedding
    spec.decoder.projection.weight = embedding
    tokens = [str(i) for i in range(config.vocab_size)]
    spec.register_source_vocabulary(tokens)
    spec.register_target_vocabulary(tokens)
    spec.config.unk_token, spec.config.eos_token = str(UNK), str(EOS)
    spec.config.bos_token = spec.config.decoder_start_token = str(BOS)
    spec.validate()
    spec.optimize(quantization)
    folder.mkdir(parents=True)
    spec.save(str(folder))


def save_ours(model: Transformer, folder: Path) -> None:
    """Writes `model` for `our_engine`."""
    import torch

    folder.mkdir(parents=True)
    torch.save(model.state_dict(), folder / "weights.pt")
    (folder / "config.json").write_text(json.dumps(asdict(model.config)))


def search_config(beam_size: int, length: int | None, n_best: int = 1) -> Any:
    """A `SearchConfig` for outputs of `length` pieces; None: they end by themselves."""
    from translator.config.schema import SearchConfig

    config: dict[str, Any] = {"beam_size": beam_size, "n_best": n_best, "length_penalty": 1.0}
    if length is not None:
        config |= {"min_length": length, "max_ratio": 0.0, "max_extra": length}
    return SearchConfig(**config)


def our_engine(folder: Path, threads: int, precision: str) -> Engine:
    """This project."""
    import torch

    from translator.config.schema import ModelConfig
    from translator.model.batch import pad_right
    from translator.model.incremental import IncrementalDecoder
    from translator.model.transformer import Transformer
    from translator.search.beam import beam_search

    torch.set_num_threads(threads)
    config = ModelConfig(**json.loads((folder / "ours" / "config.json").read_text()))
    transformer = Transformer(config).eval()
    weights = torch.load(folder / "ours" / "weights.pt", mmap=True)
    transformer.load_state_dict(weights, assign=True)
    model = IncrementalDecoder(transformer, precision)

    def translate(batches: Batches, beam_size: int, length: int | None) -> Result:
        config = search_config(beam_size, length)
        inputs = [pad_right(batch) for batch in batches]
        start = time.perf_counter()
        found = [beam_search(model, src, config) for src in inputs]
        seconds = time.perf_counter() - start
        return seconds, [hypotheses[0].ids for batch in found for hypotheses in batch]

    return translate


def marian_engine(folder: Path, threads: int, precision: str, attention: str) -> Engine:
    """Hugging Face's implementation of Marian; needs a forced length."""
    import torch

    from translator.model.batch import pad_right

    torch.set_num_threads(threads)
    model = load_marian(folder / "marian", attention, precision)

    @torch.inference_mode()
    def translate(batches: Batches, beam_size: int, length: int | None) -> Result:
        options = {"num_beams": beam_size, "length_penalty": 1.0, "max_new_tokens": length}
        padded = [pad_right(batch) for batch in batches]
        inputs = [{"input_ids": src, "attention_mask": (src != PAD).long()} for src in padded]
        start = time.perf_counter()
        found = [model.generate(**pair, **options, do_sample=False) for pair in inputs]
        seconds = time.perf_counter() - start
        return seconds, [row[1:] for batch in found for row in batch.tolist()]  # without BOS

    return translate


def ctranslate2_engine(folder: Path, threads: int, quantization: str, n_parallel: int) -> Engine:
    """CTranslate2, which needs no PyTorch; `n_parallel` batches at a time share the threads."""
    import ctranslate2

    translator = ctranslate2.Translator(
        str(folder / quantization),
        compute_type=quantization,
        inter_threads=n_parallel,
        intra_threads=threads // n_parallel,
        max_queued_batches=-1,
    )
    fixed = {"disable_unk": True, "suppress_sequences": [[str(PAD)], [str(BOS)]]}

    def translate(batches: Batches, beam_size: int, length: int | None) -> Result:
        options = {**fixed, "beam_size": beam_size, "length_penalty": 1.0, "asynchronous": True}
        if length is None:
            options["return_end_token"] = True  # the length in the score then counts it, as ours
        else:
            options |= {"min_decoding_length": length, "max_decoding_length": length}
        inputs = [[[str(i) for i in ids] for ids in batch] for batch in batches]
        start = time.perf_counter()
        waiting = [translator.translate_batch(batch, **options) for batch in inputs]
        found = [result.result() for batch in waiting for result in batch]
        seconds = time.perf_counter() - start
        outputs = [[int(token) for token in result.hypotheses[0]] for result in found]
        return seconds, [[i for i in ids if i != EOS] for ids in outputs]

    return translate


ENGINES: dict[str, Callable[..., Engine]] = {
    "ours": our_engine,
    "marian": marian_engine,
    "ctranslate2": ctranslate2_engine,
}


def _megabytes(key: str) -> float:
    """A size of this process, as Linux tells it: VmRSS is resident now, VmHWM its highest."""
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) / 1024
    return 0.0


def serve(engine: str, folder: str, **options: Any) -> None:
    """Loads an engine, then answers each line of stdin, the arguments of an `Engine`, in JSON."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # output of libraries must not mix with replies
    try:
        translate = ENGINES[engine](Path(folder), **options)
        print(json.dumps({"loaded": _megabytes("VmRSS")}), file=replies)
        for line in sys.stdin:
            seconds, ids = translate(*json.loads(line))
            reply = {"seconds": seconds, "ids": ids, "peak": _megabytes("VmHWM")}
            print(json.dumps(reply), file=replies)
    except Exception as error:  # decode.py reports it and continues without this engine
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=replies)


if __name__ == "__main__":
    serve(**json.loads(sys.argv[1]))
