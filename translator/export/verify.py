"""What an export must prove: that it translates 200 lines as our own model does.

The other engine translates by greedy search, and our model, given the same source and the pieces
so far, must find each piece that was chosen the likeliest, but for what rounding may change. That
compares the two at every piece; a tie that falls the other way is no difference, and does not hide
what comes after it.
"""

import lzma
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from data_prep.sample import FOLDER
from translator.config.errors import TranslatorError
from translator.config.schema import SearchConfig
from translator.model.batch import pad_right
from translator.model.transformer import Transformer
from translator.search.beam import beam_search
from translator.storage.model_folder import Model
from translator.text.codec import TextCodec, normalise
from translator.text.tokenizer import BOS, EOS, PAD, UNK

N_LINES = 200
LIMIT = 60  # pieces of a translation, at most
# How much less likely than the best, in nats, a piece may be for our model that was the best there.
TOLERANCES = {"float32": 1e-3, "float16": 0.05, "int8": 0.5, "int5": 4.0}

Greedy = Callable[[Sequence[Sequence[int]], int], list[list[int]]]  # (sources, limit) -> ids


@dataclass(frozen=True)
class Proof:
    """The outcome of the comparison; `largest` is the largest difference in nats."""

    lines: int
    pieces: int
    largest: float

    def __str__(self) -> str:
        return (
            f"{self.lines} lines translated again: each of {self.pieces:,} pieces is the likeliest "
            f"for our model too, or less likely by at most {self.largest:.2g} nats"
        )


def sample_lines(language: str, n: int = N_LINES) -> list[str]:
    """Different lines of the bundled corpus, spread over its validation split."""
    packed = (FOLDER / f"valid.{language}.xz").read_bytes()
    lines = list(dict.fromkeys(lzma.decompress(packed).decode().splitlines()))
    return lines[:: max(len(lines) // n, 1)][:n]


def encode(model: Model, src: str, tgt: str, lines: Sequence[str]) -> list[list[int]]:
    """The ids of each line as the model reads them: tag, pieces, EOS."""
    codec = TextCodec(model.tokenizer)
    tag = [model.tokenizer.tag(tgt)] if model.config.data.bidirectional else []
    return [[*tag, *codec.encode(normalise(line)).ids, EOS] for line in lines]


@torch.inference_mode()
def gaps(
    model: Model, sources: Sequence[Sequence[int]], outputs: Sequence[Sequence[int]]
) -> list[float]:
    """By how many nats, at most, a piece of each output is less likely than the likeliest one."""
    found = []
    for start in range(0, len(sources), 32):
        targets = outputs[start : start + 32]
        tgt_in = pad_right([[BOS, *ids[:-1]] for ids in targets])
        logits = model.transformer(pad_right(sources[start : start + 32]), tgt_in)  # (B, T, V)
        logits[:, :, [PAD, UNK, BOS]] = float("-inf")
        for row, ids in zip(logits, targets, strict=True):
            row = row[: len(ids)]
            chosen = row.gather(1, torch.tensor(ids, dtype=torch.long)[:, None])[:, 0]
            worst = (row.amax(dim=1) - chosen).max() if ids else math.inf  # an end is a piece too
            found.append(float(worst))
    return found


def verify(model: Model, greedy: Greedy, tolerance: float, lines: Sequence[str] = ()) -> Proof:
    """Lets an exported model translate, and compares each piece with our own model.

    Args:
        model: what was exported.
        greedy: the engine that reads the export.
        tolerance: in nats, see `TOLERANCES`.
        lines: what is translated; default: 200 of the bundled corpus, in each direction.

    Raises:
        TranslatorError: a line is translated otherwise; the message has both translations.
    """
    n_lines = n_pieces = 0
    largest = 0.0
    for src, tgt in model.directions:
        texts = lines or sample_lines(src)
        sources = encode(model, src, tgt, texts)
        outputs = greedy(sources, LIMIT)
        found = gaps(model, sources, outputs)
        for text, source, ids, gap in zip(texts, sources, outputs, found, strict=True):
            if not gap <= tolerance:
                raise TranslatorError(_difference(model, text, source, ids, gap))
        n_lines += len(texts)
        n_pieces += sum(map(len, outputs))
        largest = max(largest, *found)
    return Proof(n_lines, n_pieces, largest)


def greedy_search(
    transformer: Transformer, sources: Sequence[Sequence[int]], limit: int
) -> list[list[int]]:
    """Our own greedy search, as that of an engine."""
    search = SearchConfig(beam_size=1, max_ratio=0.0, max_extra=limit)
    found: list[list[int]] = []
    for start in range(0, len(sources), 32):
        batch = beam_search(transformer, pad_right(sources[start : start + 32]), search)
        found += [[*hypotheses[0].ids, EOS][:limit] for hypotheses in batch]
    return found


def _difference(
    model: Model, text: str, source: Sequence[int], ids: Sequence[int], gap: float
) -> str:
    (ours,) = greedy_search(model.transformer, [source], LIMIT)
    decode = model.tokenizer.decode
    return (
        f'The export is refused, for it differs by {gap:.2g} nats: "{text}" becomes '
        f'"{decode(ids)}" there, and "{decode(ours)}" here.'
    )
