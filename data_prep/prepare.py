"""A corpus, made ready for training: loaded, tokenised, cleaned."""

import logging
from dataclasses import dataclass

from data_prep.clean import encode_pairs
from data_prep.corpora import Corpus, load_corpus
from translator.config import Config, TranslatorError
from translator.data import IdPair
from translator.text import normalise
from translator.tokenizer import Tokenizer

log = logging.getLogger("translator")


@dataclass(frozen=True)
class TrainingData:
    """A corpus, ready for training."""

    corpus: Corpus
    tokenizer: Tokenizer
    train: list[IdPair]
    valid: list[IdPair]
    fingerprint: str
    dropped: dict[str, int]


def prepare_data(config: Config, tokenizer: Tokenizer | None = None) -> TrainingData:
    """Loads the corpus, trains a tokenizer on it unless one is given, and encodes it.

    Raises:
        TranslatorError: the corpus is missing, broken, or empty.
    """
    data = config.data
    corpus = load_corpus(data.corpus, data.src, data.tgt, config.train.seed)
    for note in corpus.notes:
        log.warning(note)
    text = corpus.splits.get("train")
    if not text:
        raise TranslatorError(f"{data.corpus} has no training pairs.")
    if tokenizer is None:
        lines = (normalise(line) for pair in text for line in pair)
        tokenizer = Tokenizer.train(filter(None, lines), data.vocab_size)
    train_pairs, dropped = encode_pairs(text, tokenizer, data)
    valid_pairs, _ = encode_pairs(corpus.splits["valid"], tokenizer, data)
    if not train_pairs or not valid_pairs:
        raise TranslatorError(f"{data.corpus} has no usable pairs: all are empty or overlong.")
    for reason, count in dropped.items():
        log.warning("%d of %d training pairs dropped: %s.", count, len(text), reason)
    return TrainingData(corpus, tokenizer, train_pairs, valid_pairs, corpus.fingerprint(), dropped)
