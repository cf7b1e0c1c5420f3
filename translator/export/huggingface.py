"""A model as a folder for Hugging Face's transformers, with a tokenizer.

A post-norm model becomes a `MarianMTModel`. Marian has no pre-norm, but Pegasus is the same network
with it: such a model becomes a `PegasusForConditionalGeneration`. `AutoModelForSeq2SeqLM` loads
either. The tokenizer is a `MarianTokenizer`; for a model that knows both directions a text begins
with `>>de<<` or `>>en<<`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translator.config.errors import TranslatorError
from translator.export.engine import N_POSITIONS
from translator.export.weights import Weights, positions
from translator.system.disk import write_file, write_json
from translator.text.tokenizer import BOS, EOS, PAD, UNK, Tokenizer

if TYPE_CHECKING:
    from torch import Tensor

    from translator.config.schema import ModelConfig
    from translator.model.transformer import Transformer

# The modules of a layer there, and ours. Our keys and values are one matrix, which is cut in two.
ENCODER = {
    "self_attn.q_proj": ["self_attention.query"],
    "self_attn.k_proj+self_attn.v_proj": ["self_attention.key_value"],
    "self_attn.out_proj": ["self_attention.output"],
    "self_attn_layer_norm": ["self_residual.norm"],
    "fc1": ["feed_forward.0"],
    "fc2": ["feed_forward.2"],
    "final_layer_norm": ["feed_forward_residual.norm"],
}
DECODER = {
    **ENCODER,
    "encoder_attn.q_proj": ["cross_attention.query"],
    "encoder_attn.k_proj+encoder_attn.v_proj": ["cross_attention.key_value"],
    "encoder_attn.out_proj": ["cross_attention.output"],
    "encoder_attn_layer_norm": ["cross_residual.norm"],
}
NEVER = (PAD, UNK, BOS)  # what no translation holds


def state(transformer: Transformer, never: Sequence[int] = NEVER) -> dict[str, Tensor]:
    """The state of a model there that computes what `transformer` computes.

    The pieces `never` get a bias of minus infinity, so that `generate` needs no list of them.

    Raises:
        TranslatorError: a weight has no place.
    """
    import torch

    config, weights = transformer.config, Weights(transformer)
    embedding = weights.take("embedding.weight")
    bias = torch.zeros(1, config.vocab_size)
    bias[:, list(never)] = float("-inf")
    found = {"final_logits_bias": bias, "lm_head.weight": embedding}
    found["model.shared.weight"] = embedding
    for side, table, n in (
        ("encoder", ENCODER, config.n_encoder_layers),
        ("decoder", DECODER, config.n_decoder_layers),
    ):
        found[f"model.{side}.embed_tokens.weight"] = embedding
        found[f"model.{side}.embed_positions.weight"] = positions(transformer)
        for place, (weight, bias) in weights.fill(table, side, n).items():
            layer, names = place.split(".", 1)
            theirs = names.split("+")
            parts = zip(theirs, weight.chunk(len(theirs)), bias.chunk(len(theirs)), strict=True)
            for name, part, part_bias in parts:
                found[f"model.{side}.layers.{layer}.{name}.weight"] = part
                found[f"model.{side}.layers.{layer}.{name}.bias"] = part_bias
        if config.norm == "pre":
            found[f"model.{side}.layer_norm.weight"] = weights.take(f"{side}_norm.weight")
            found[f"model.{side}.layer_norm.bias"] = weights.take(f"{side}_norm.bias")
    weights.finish()
    return found


def architecture(ours: ModelConfig, **more: Any) -> tuple[Any, Any]:
    """The configuration and the class of a model in the sizes of ours; `more` are its settings."""
    import transformers

    classes: dict[str, tuple[Any, Any]] = {
        "post": (transformers.MarianConfig, transformers.MarianMTModel),
        "pre": (transformers.PegasusConfig, transformers.PegasusForConditionalGeneration),
    }
    make_config, model = classes[ours.norm]
    config = make_config(
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
    return config, model


def write_model(transformer: Transformer, folder: Path, never: Sequence[int] = NEVER) -> None:
    """Writes the weights with their configuration.

    Raises:
        TranslatorError: a weight has no place, or a place no weight.
    """
    import torch
    from safetensors.torch import save
    from transformers import GenerationConfig

    config, make = architecture(transformer.config, tie_word_embeddings=True)
    with torch.device("meta"):
        places = make(config).state_dict()
    weights = state(transformer, never)
    if odd := places.keys() ^ weights.keys():
        raise TranslatorError(f"transformers has other weights than expected: {', '.join(odd)}.")
    tied = {f"model.{side}.embed_tokens.weight" for side in ("encoder", "decoder")}
    stored = {n: w.contiguous() for n, w in weights.items() if n not in {*tied, "lm_head.weight"}}
    config.architectures, config.dtype = [make.__name__], torch.float32
    folder.mkdir(parents=True)
    config.save_pretrained(folder)
    GenerationConfig(
        **{"num_beams": 5, "length_penalty": 1.0, "max_length": N_POSITIONS},
        **{"decoder_start_token_id": BOS, "bos_token_id": BOS},
        **{"eos_token_id": EOS, "pad_token_id": PAD},
    ).save_pretrained(folder)
    write_file(folder / "model.safetensors", save(stored, {"format": "pt"}))


def write_tokenizer(tokenizer: Tokenizer, folder: Path, src: str, tgt: str) -> None:
    """Writes the files of a `MarianTokenizer`."""
    pieces = tokenizer.pieces(range(tokenizer.vocab_size))
    tags = {f"<2{language}>": f">>{language}<<" for language in ("de", "en")}
    vocabulary = {tags.get(piece, piece): i for i, piece in enumerate(pieces)}
    for name in ("source.spm", "target.spm"):
        write_file(folder / name, tokenizer.model_bytes)
    write_file(folder / "vocab.json", json.dumps(vocabulary, ensure_ascii=False).encode())
    special = {"unk_token": UNK, "eos_token": EOS, "pad_token": PAD}
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "MarianTokenizer",
            **{name: pieces[i] for name, i in special.items()},
            **{"source_lang": src, "target_lang": tgt, "separate_vocabs": False},
            "model_max_length": N_POSITIONS,
            "clean_up_tokenization_spaces": False,
        },
    )


class Engine:
    """The exported model and tokenizer, loaded with the library's own classes."""

    def __init__(self, folder: Path):
        import warnings

        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Recommended: pip install sacremoses")
            self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model, loading = AutoModelForSeq2SeqLM.from_pretrained(
            folder, output_loading_info=True
        )
        if wrong := [f"{kind}: {names}" for kind, names in loading.items() if names]:
            raise TranslatorError(f"transformers did not load the export: {'; '.join(wrong)}.")
        self.model.eval()

    def greedy(self, sources: Sequence[Sequence[int]], limit: int) -> list[list[int]]:
        """The translation of each source, which ends with EOS, by greedy search; EOS included."""
        import torch

        from translator.model.batch import pad_right

        self.model.generation_config.max_length = None  # what follows says how long
        found: list[list[int]] = []
        for start in range(0, len(sources), 32):
            src = pad_right(sources[start : start + 32])
            with torch.inference_mode():
                rows = self.model.generate(
                    input_ids=src,
                    attention_mask=(src != PAD).long(),
                    **{"num_beams": 1, "do_sample": False, "max_new_tokens": limit},
                )
            for row in rows[:, 1:].tolist():
                end = row.index(EOS) + 1 if EOS in row else len(row)
                found.append(row[:end])
        return found
