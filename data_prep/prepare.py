"""A corpus, made ready for training: loaded, tokenised, cleaned."""

import logging
from collections import Counter
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from data_prep.clean import encode_pairs
from data_prep.corpora import Corpus, load_corpus, split_mixture
from translator.config import Config, DataConfig, TranslatorError
from translator.data import IdPair
from translator.text import normalise
from translator.tokenizer import Tokenizer

log = logging.getLogger("translator")


@dataclass(frozen=True)
class TrainingData:
    """A corpus, ready for training. With two directions, all pairs of the first come first."""

    corpus: Corpus
    tokenizer: Tokenizer
    train: list[IdPair]
    valid: list[IdPair]  # as the model reads them, tags of the direction included
    fingerprint: str
    dropped: dict[str, int]
    weights: Tensor | None = None  # how often each training pair comes in an epoch, if not once


def load_mixture(data: DataConfig, seed: int) -> tuple[Corpus, list[tuple[int, float]]]:
    """The corpus that `data.corpus` names, or several as one: "A:1.0,B:3.0".

    Validation and test splits are those of the first one.

    Returns:
        The corpus, and for each of its parts the number of training pairs and their weight: how
        often they come in an epoch.
    """
    found: list[Corpus] = []
    parts = []
    for name, weight in split_mixture(data.corpus):
        corpus = load_corpus(name, data.src, data.tgt, seed)
        for note in corpus.notes:
            log.warning(note)
        pairs = corpus.splits.get("train")
        if not pairs:
            raise TranslatorError(
                f"{name} has no training pairs: train.{data.src} and train.{data.tgt} need text."
            )
        found.append(corpus)
        parts.append((len(pairs), weight))
    if len(found) == 1:
        return found[0], parts
    splits = {**found[0].splits, "train": [p for c in found for p in c.splits["train"]]}
    return replace(found[0], name=data.corpus, splits=splits, held_out=[]), parts


def prepare_data(config: Config, tokenizer: Tokenizer | None = None) -> TrainingData:
    """Loads the corpus, trains a tokenizer on it unless one is given, and encodes it.

    Raises:
        TranslatorError: the corpus is missing, broken, or empty.
    """
    data = config.data
    corpus, parts = load_mixture(data, config.train.seed)
    text = corpus.splits["train"]
    if tokenizer is None:
        lines = (normalise(line) for pair in text for line in pair)
        tokenizer = Tokenizer.train(
            filter(None, lines), data.vocab_size, model_type=data.vocab_type
        )
    train: list[IdPair] = []
    times: list[float] = []
    dropped: Counter[str] = Counter()
    for n_pairs, weight in parts:
        start = len(train) + dropped.total()
        kept, reasons = encode_pairs(text[start : start + n_pairs], tokenizer, data)
        train += kept
        times += [weight] * len(kept)
        dropped += Counter(reasons)
    valid, _ = encode_pairs(corpus.splits["valid"], tokenizer, data)
    if not train or not valid:
        raise TranslatorError(f"{data.corpus} has no usable pairs: all are empty or overlong.")
    for reason, count in dropped.items():
        log.warning("%d of %d training pairs dropped: %s.", count, len(text), reason)
    if data.bidirectional:
        train += [(tgt, src) for src, tgt in train]
        times *= 2
        there, back = tokenizer.tag(data.tgt), tokenizer.tag(data.src)
        valid = [([there, *s], t) for s, t in valid] + [([back, *t], s) for s, t in valid]
    return TrainingData(
        corpus,
        tokenizer,
        train,
        valid,
        corpus.fingerprint(),
        dict(dropped),
        None if set(times) == {1.0} else torch.tensor(times),
    )
