"""The engines that decode.py compares: ours, Hugging Face's `MarianMTModel` and CTranslate2.

Our weights reach the peers through translator/export/.

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
    from translator.model.transformer import Transformer

Sentences = list[list[int]]
Batches = list[Sentences]
Result = tuple[float, Sentences]  # seconds, and the ids of all outputs
# Translates batches with a beam size and a forced length, if any. Only the translating is timed.
Engine = Callable[[Batches, int, "int | None"], Result]

NO_END = (PAD, UNK, BOS, EOS)  # for outputs of a forced length: no logits to process is fastest


def save_marian(model: Transformer, folder: Path) -> None:
    """Writes a post-norm `model` as a folder for `load_marian`."""
    from translator.export.huggingface import write_model

    write_model(model, folder, NO_END)


def load_marian(folder: Path, attention: str, precision: str) -> Any:
    """Reads what `save_marian` wrote.

    Args:
        folder: of the model.
        attention: "sdpa" or "eager".
        precision: "fp32", "bf16", or "int8": PyTorch's dynamic quantisation of the matrices.
    """
    import torch
    from transformers import MarianMTModel

    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    marian = MarianMTModel.from_pretrained(folder, attn_implementation=attention, dtype=dtype)
    if precision == "int8":
        marian = torch.ao.quantization.quantize_dynamic(marian, {torch.nn.Linear}, torch.qint8)
    return marian.eval()


def save_ctranslate2(model: Transformer, folder: Path, quantization: str) -> None:
    """Writes `model` as a folder for `ctranslate2.Translator`; its tokens are our ids as text."""
    from translator.export.ctranslate2 import write_model

    write_model(model, [str(i) for i in range(model.config.vocab_size)], folder, quantization)


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


def clock_for(threads: int) -> Callable[[], float]:
    """Of one thread the processor's time, to which other work on the machine adds little."""
    return time.process_time if threads == 1 else time.perf_counter


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
    precision, _, share = precision.partition(":")  # "bf16:0.7": with 70 % of the pieces
    pieces = range(round(float(share) * config.vocab_size)) if share else None
    model = IncrementalDecoder(transformer, precision, pieces)
    clock = clock_for(threads)

    def translate(batches: Batches, beam_size: int, length: int | None) -> Result:
        config = search_config(beam_size, length)
        inputs = [pad_right(batch) for batch in batches]
        start = clock()
        found = [beam_search(model, src, config) for src in inputs]
        seconds = clock() - start
        return seconds, [hypotheses[0].ids for batch in found for hypotheses in batch]

    return translate


def marian_engine(folder: Path, threads: int, precision: str, attention: str) -> Engine:
    """Hugging Face's implementation of Marian; needs a forced length."""
    import torch

    from translator.model.batch import pad_right

    torch.set_num_threads(threads)
    model = load_marian(folder / "marian", attention, precision)
    clock = clock_for(threads)

    @torch.inference_mode()
    def translate(batches: Batches, beam_size: int, length: int | None) -> Result:
        options = {"num_beams": beam_size, "length_penalty": 1.0, "max_new_tokens": length}
        padded = [pad_right(batch) for batch in batches]
        inputs = [{"input_ids": src, "attention_mask": (src != PAD).long()} for src in padded]
        start = clock()
        found = [model.generate(**pair, **options, do_sample=False) for pair in inputs]
        seconds = clock() - start
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
    clock = clock_for(threads)
    fixed = {"disable_unk": True, "suppress_sequences": [[str(PAD)], [str(BOS)]]}

    def translate(batches: Batches, beam_size: int, length: int | None) -> Result:
        options = {**fixed, "beam_size": beam_size, "length_penalty": 1.0, "asynchronous": True}
        if length is None:
            options["return_end_token"] = True  # the length in the score then counts it, as ours
        else:
            options |= {"min_decoding_length": length, "max_decoding_length": length}
        inputs = [[[str(i) for i in ids] for ids in batch] for batch in batches]
        start = clock()
        waiting = [translator.translate_batch(batch, **options) for batch in inputs]
        found = [result.result() for batch in waiting for result in batch]
        seconds = clock() - start
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
