"""A model as one page that needs nothing else: weights, tokenizer and search, in plain JavaScript.

`SCRIPTS`, in scripts/, are what runs in the page's worker; scripts/engine.js talks to them. What
they know of text is packed here from translator/text/.

A matrix becomes whole numbers with a step for each of its rows. They are stored as bytes that
deflate's Huffman codes then shorten: numbers near zero, which are the most, take fewer bits. So the
step decides how many bits a weight takes, and no bits need be packed by hand.
"""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from importlib.resources import files
from typing import Any

import torch
from torch import Tensor

from translator.config.errors import TranslatorError
from translator.config.schema import SearchConfig
from translator.export.regex import javascript
from translator.report.translator_page import translator_page
from translator.storage.model_folder import Model
from translator.text import codec, protected, sentences
from translator.text.codec import TextCodec
from translator.text.language import LANGUAGE_NAMES
from translator.text.tokenizer import UNK, Tokenizer

SCRIPTS = ("tokenizer.js", "sentences.js", "kernel.js", "network.js", "search.js", "translator.js")
TYPES = ("int8", "int5", "float16")
_STEPS_PER_DEVIATION = 6.0  # of int5: about 4.7 bits a weight
# What search.js knows; any other setting must have its default.
_SEARCH = {
    *("beam_size", "length_penalty", "length_rule", "length_reward", "max_ratio", "max_extra"),
    *("max_pieces", "batch_tokens", "n_best"),
}


def script(name: str) -> str:
    """One of the scripts of the page."""
    return (files("translator.export") / "scripts" / name).read_text(encoding="utf-8")


def steps(weight: Tensor, kind: str) -> Tensor:
    """The step of each row of a matrix `(N, M)`: `(N, 1)`.

    "int8": the largest number of a row is 127 steps. "int5": a row's deviation is so many steps
    that a number takes about 4.7 bits.
    """
    if kind == "int8":
        return (weight.abs().amax(dim=1, keepdim=True) / 127).clamp_min(1e-12)
    deviation = weight.square().mean(dim=1, keepdim=True).sqrt()
    largest = weight.abs().amax(dim=1, keepdim=True)
    # No number lies beyond 127 steps.
    return torch.maximum(deviation / _STEPS_PER_DEVIATION, largest / 127).clamp_min(1e-12)


def pack_weights(
    weights: Mapping[str, Tensor], kind: str
) -> tuple[list[dict[str, Any]], bytes, bytes]:
    """The shapes of all weights, the matrices as int8 or fp16, and the other numbers as fp32.

    Args:
        weights: by name, matrices and vectors.
        kind: one of `TYPES`.
    """
    shapes: list[dict[str, Any]] = []
    codes, numbers = [], []
    for name, weight in weights.items():
        weight = weight.detach().float()
        if weight.dim() != 2:
            shapes.append({"name": name, "kind": "vector", "rows": len(weight)})
            numbers.append(weight)
            continue
        rows, columns = weight.shape
        stored = "float16" if kind == "float16" else "int8"
        shapes.append({"name": name, "kind": stored, "rows": rows, "columns": columns})
        if stored == "float16":
            codes.append(weight.half().flatten())
        else:
            step = steps(weight, kind)
            codes.append((weight / step).round().to(torch.int8).flatten())
            numbers.append(step.flatten())
    return shapes, torch.cat(codes).numpy().tobytes(), torch.cat(numbers).numpy().tobytes()


def restored(weights: Mapping[str, Tensor], kind: str) -> dict[str, Tensor]:
    """The weights as the page computes with them."""
    found = {}
    for name, weight in weights.items():
        found[name] = weight
        if weight.dim() == 2 and kind == "float16":
            found[name] = weight.half().float()
        elif weight.dim() == 2:
            step = steps(weight.float(), kind)
            found[name] = (weight / step).round() * step
    return found


def tokenizer_data(tokenizer: Tokenizer) -> dict[str, Any]:
    """What tokenizer.js needs of a vocabulary."""
    if tokenizer.model_type != "unigram":
        raise TranslatorError("--to html reads unigram vocabularies only, and this one is BPE.")
    pieces = tokenizer.pieces(range(tokenizer.vocab_size))
    spelled = [*tokenizer.text_pieces.values(), *tokenizer.all_bytes, UNK]
    control = sorted({*range(tokenizer.vocab_size)} - set(spelled))
    return {
        "pieces": pieces,
        "scores": [tokenizer.score(i) for i in range(tokenizer.vocab_size)],
        "control": control,
        "bytes": tokenizer.all_bytes,
        "copies": tokenizer.copy_ids,
    }


def codec_data(tokenizer: Tokenizer) -> dict[str, Any]:
    """What tokenizer.js needs of the rules in translator/text/codec.py and protected.py."""
    rules = TextCodec(tokenizer)
    patterns = {
        "protected": protected._SPANS,
        "mayHold": protected._MAY_HOLD,
        "run": codec._RUN,
        "invisible": codec._INVISIBLE,
        "idleJoiner": codec._IDLE_JOINER,
    }
    return {
        "known": sorted(rules._known),
        "plain": {chr(code): plain for code, plain in rules._plain.items()},
        "patterns": {name: javascript(found.pattern) for name, found in patterns.items()},
        "tail": codec._TAIL,
    }


def sentence_data(language: str) -> dict[str, Any]:
    """What sentences.js needs of the rules in translator/text/sentences.py."""
    rules = sentences._RULES.get(language, sentences._OTHER)
    patterns = {
        "end": sentences._END,
        "tail": sentences._TAIL,
        "opening": sentences._OPENING,
        "stem": sentences._STEM,
        "initials": sentences._INITIALS,
        "listMark": sentences._LIST_MARK,
        "ordinal": sentences._ORDINAL,
        "number": sentences._NUMBER,
        "clipped": sentences._CLIPPED,
    }
    lists = {n: sorted(v) if isinstance(v, frozenset) else v for n, v in vars(rules).items()}
    return {
        "rules": lists,
        "months": sorted(sentences._GERMAN_MONTHS),
        "window": sentences._WINDOW,
        "patterns": {name: javascript(found.pattern) for name, found in patterns.items()},
        "cuts": [javascript(found.pattern) for found in sentences._CUTS],
    }


def _search(config: SearchConfig) -> dict[str, Any]:
    """The settings of a search.

    Raises:
        TranslatorError: one of them is beyond search.js.
    """
    for field in fields(config):
        if field.name not in _SEARCH and getattr(config, field.name) != field.default:
            raise TranslatorError(
                f"--to html cannot search with search.{field.name}="
                f"{getattr(config, field.name)}, which this model asks for."
            )
    return asdict(config)


def pack(model: Model, kind: str) -> dict[str, bytes]:
    """The parts of a page that hold the model, each compressed.

    Args:
        model: for one direction.
        kind: one of `TYPES`, how its weights are stored.

    Raises:
        TranslatorError: there is something that the page cannot do.
    """
    if model.config.data.bidirectional:
        raise TranslatorError("--to html takes models for one direction, and this one knows both.")
    shapes, codes, numbers = pack_weights(model.transformer.state_dict(), kind)
    data = {
        "model": asdict(model.config.model),
        "search": _search(model.config.search),
        "tag": [],
        "shapes": shapes,
        "tokenizer": tokenizer_data(model.tokenizer),
        "codec": codec_data(model.tokenizer),
        "sentences": sentence_data(model.config.data.src),
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
    return {
        "data": zlib.compress(text, 9),
        "codes": _huffman(codes),
        "numbers": zlib.compress(numbers, 9),
    }


def _huffman(data: bytes) -> bytes:
    """Compressed without looking for repetitions, which numbers do not have."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 15, 9, zlib.Z_HUFFMAN_ONLY)
    return packer.compress(data) + packer.flush()


def html(directions: Sequence[tuple[str, str]], packed: dict[str, bytes], licence: str = "") -> str:
    """The page.

    Args:
        directions: of the model; the first one counts.
        packed: what `pack` gave.
        licence: of the weights, which the page names.
    """
    src, tgt = directions[0]
    settings = {"directions": [[src, tgt]], "features": {}, "maxCharacters": 0}
    parts = {
        "settings": json.dumps(settings).replace("<", "\\u003c"),
        "worker": "\n".join(['"use strict";', *map(script, SCRIPTS), script("worker.js")]),
        **{name: base64.b64encode(part).decode() for name, part in packed.items()},
    }
    return translator_page(
        script("engine.js"),
        title=f"{LANGUAGE_NAMES[src]} to {LANGUAGE_NAMES[tgt]}",
        note="All of it is in this file: it works without a network, and no text leaves this page."
        + (f" Licence of the model: {licence}." if licence else ""),
        data="\n".join(
            f'<script type="text/plain" id="{name}">{part}</script>' for name, part in parts.items()
        ),
    )
