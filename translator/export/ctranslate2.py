"""A model as a folder for CTranslate2.

Its tokens are our pieces, and `tokenizer.model` lies beside: any client that runs SentencePiece
can use it. A model for both directions needs `<2de>` or `<2en>` as the first token of a source.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from translator.export.weights import Weights, positions
from translator.model.transformer import Transformer
from translator.system.disk import write_file
from translator.text.tokenizer import BOS, EOS, UNK, Tokenizer

TYPES = ("float32", "float16", "int8")  # how weights may be stored
# The modules of a layer there, and ours that lie below each other in each.
ENCODER = {
    "self_attention.linear.0": ["self_attention.query", "self_attention.key_value"],
    "self_attention.linear.1": ["self_attention.output"],
    "self_attention.layer_norm": ["self_residual.norm"],
    "ffn.linear_0": ["feed_forward.0"],
    "ffn.linear_1": ["feed_forward.2"],
    "ffn.layer_norm": ["feed_forward_residual.norm"],
}
DECODER = {
    **ENCODER,
    "attention.linear.0": ["cross_attention.query"],
    "attention.linear.1": ["cross_attention.key_value"],
    "attention.linear.2": ["cross_attention.output"],
    "attention.layer_norm": ["cross_residual.norm"],
}


def _module(layers: Any, path: str) -> Any:
    """The module at `0.self_attention.linear.1`, say."""
    for step in path.split("."):
        layers = layers[int(step)] if step.isdecimal() else getattr(layers, step)
    return layers


def write_model(
    transformer: Transformer, tokens: Sequence[str], folder: Path, quantization: str
) -> None:
    """Writes the weights and the vocabulary.

    Args:
        transformer: pre-norm or post-norm.
        tokens: the name of each id.
        folder: a new one.
        quantization: one of `TYPES`.

    Raises:
        TranslatorError: a weight has no place, or a place no weight.
    """
    from ctranslate2.specs import TransformerSpec

    config, weights = transformer.config, Weights(transformer)
    pre_norm = config.norm == "pre"
    n_layers = (config.n_encoder_layers, config.n_decoder_layers)
    spec = TransformerSpec.from_config(n_layers, config.n_heads, pre_norm=pre_norm)
    embedding = weights.take("embedding.weight").numpy()
    for side, part, table, n in (
        ("encoder", spec.encoder, ENCODER, n_layers[0]),
        ("decoder", spec.decoder, DECODER, n_layers[1]),
    ):
        part.position_encodings.encodings = positions(transformer).numpy()
        filled = {
            name: (_module(part.layer, name), pair)
            for name, pair in weights.fill(table, side, n).items()
        }
        if pre_norm:
            pair = weights.take(f"{side}_norm.weight"), weights.take(f"{side}_norm.bias")
            filled["layer_norm"] = part.layer_norm, pair
        for name, (module, (weight, bias)) in filled.items():
            if name.endswith("layer_norm"):
                module.gamma, module.beta = weight.numpy(), bias.numpy()
            else:
                module.weight, module.bias = weight.numpy(), bias.numpy()
    weights.finish()
    spec.encoder.embeddings[0].weight = embedding
    spec.decoder.embeddings.weight = embedding
    spec.decoder.projection.weight = embedding
    spec.register_source_vocabulary(list(tokens))
    spec.register_target_vocabulary(list(tokens))
    spec.config.unk_token, spec.config.eos_token = tokens[UNK], tokens[EOS]
    spec.config.bos_token = spec.config.decoder_start_token = tokens[BOS]
    spec.validate()  # every place has a weight
    spec.optimize(quantization)
    folder.mkdir(parents=True)
    spec.save(str(folder))


def export(transformer: Transformer, tokenizer: Tokenizer, folder: Path, quantization: str) -> None:
    """Writes a folder that CTranslate2 translates with, see `write_model`."""
    tokens = tokenizer.pieces(range(tokenizer.vocab_size))
    write_model(transformer, tokens, folder, quantization)
    write_file(folder / "tokenizer.model", tokenizer.model_bytes)
