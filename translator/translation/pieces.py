"""The pieces of a vocabulary of two languages that one of them is written with.

The others cost products, memory and a share of the softmax at each step, for nothing. A model's
`config.json` may say which ones a language needs: a bit for each id, the first one the highest of
the first byte, in base64.
"""

import base64
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from translator.model.incremental import SPECIAL
from translator.storage.model_folder import Model
from translator.text.tokenizer import Tokenizer

KEY = "pieces"  # in `Model.info`: language -> bits


def written_pieces(tokenizer: Tokenizer, lines: Iterable[str], at_least: int = 1) -> list[int]:
    """The ids, in order, that `lines` hold `at_least` so often, and those that spell all others.

    These are the special ones, bytes, placeholders, and whatever has at most two characters.
    """
    counts: Counter[int] = Counter()
    for line in lines:
        counts.update(tokenizer.encode(line))
    pieces = tokenizer.pieces(range(tokenizer.vocab_size))
    always = {
        i for i, piece in enumerate(pieces) if len(piece.strip("\u2581")) <= 2 or "<" in piece
    }
    return sorted(always | set(SPECIAL) | {i for i, n in counts.items() if n >= at_least})


def to_text(ids: Iterable[int], vocab_size: int) -> str:
    """How a `config.json` holds `ids`."""
    bits = np.zeros(vocab_size, dtype=bool)
    bits[list(ids)] = True
    return base64.b64encode(np.packbits(bits).tobytes()).decode()


def from_text(text: str) -> list[int]:
    """The ids that `to_text` was given, in order."""
    bits = np.unpackbits(np.frombuffer(base64.b64decode(text), dtype=np.uint8))
    return [int(i) for i in bits.nonzero()[0]]


def common_pieces(models: Sequence[Model], language: str) -> list[int] | None:
    """What any of the models needs to write `language`; None if one of them does not say."""
    texts = [model.info.get(KEY, {}).get(language) for model in models]
    if None in texts:
        return None
    return sorted(set().union(*(from_text(text) for text in texts)))
