"""Prepares a corpus for training: cleans it, learns its vocabulary and encodes it, each once."""

import hashlib
import logging
import os
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import ConcatDataset

from data_prep.augmentation.noise import Noise
from data_prep.cleaning.rules import Languages
from data_prep.prepared.cleaned import Prepared, prepare_corpus
from data_prep.prepared.encoded import Ids, encode_corpus, encode_pairs
from data_prep.prepared.shards import Progress, locked, no_progress
from data_prep.sources.corpus import split_mixture
from data_prep.sources.mapped import text_pairs
from translator.config.errors import TranslatorError
from translator.config.schema import Config
from translator.system.disk import write_file, writing
from translator.system.seeds import derive_seed
from translator.text.codec import normalise
from translator.text.lines import TextPair
from translator.text.tokenizer import IdPair, Tokenizer

log = logging.getLogger("translator")

# Bytes of text from which the vocabulary is learnt, both sides together: 140,000 pairs of news.
# More change it little, and SentencePiece takes some 24 bytes of memory for each.
VOCAB_BYTES = 40_000_000


class Mixture(Sequence[IdPair]):
    """The training pairs of several corpora, one after the other, read from disk on use.

    With `both`, all pairs follow again in the other direction.

    Args:
        parts: the pairs of each corpus.
        tags: the tag that precedes the sources of each corpus, or None.
        both: whether both directions are learnt.
    """

    def __init__(self, parts: Sequence[Ids], tags: Sequence[int | None], both: bool = False):
        self.parts, self.tags, self.both = parts, tags, both
        self.ends = list(accumulate(map(len, parts)))
        self.n_forward = self.ends[-1]

    def __len__(self) -> int:
        return self.n_forward * (1 + self.both)

    def __getitem__(self, i):  # type: ignore[no-untyped-def]
        if isinstance(i, slice):
            return [self[k] for k in range(*i.indices(len(self)))]
        if not 0 <= i < len(self):
            raise IndexError(i)
        back, i = divmod(i, self.n_forward)
        part = bisect_right(self.ends, i)
        src, tgt = self.parts[part][i - (self.ends[part - 1] if part else 0)]
        tag = self.tags[part]
        if tag is not None:
            src = [tag, *src]
        return (tgt, src) if back else (src, tgt)

    @property
    def lengths(self) -> Tensor:
        """`(2, N)`, the number of ids on both sides of each pair."""
        parts = []
        for part, tag in zip(self.parts, self.tags, strict=True):
            lengths = part.lengths
            lengths[0] += tag is not None
            parts.append(lengths)
        forward = torch.cat(parts, dim=1)
        return torch.cat([forward, forward.flip(0)], dim=1) if self.both else forward


@dataclass(frozen=True)
class TrainingData:
    """A corpus, ready for training. With two directions, all pairs of the first one come first."""

    name: str
    corpora: list[Prepared]
    splits: dict[str, list[TextPair]]  # held out: "valid" and any number of "test*"
    tokenizer: Tokenizer
    train: Mixture
    valid: list[IdPair]  # as the model reads them, tags of the direction included
    fingerprint: str
    dropped: dict[str, int]  # training pairs, by fault
    weights: Tensor | None = None  # how often each training pair comes in an epoch, if not once


def vocabulary_size(n_words: int) -> int:
    """The vocabulary size for a corpus with this number of words in both languages.

    Interpolates between two sizes that have proved good: 6,000 for the 0.67 million words of
    Multi30k, and 32,000 for the 200 million of WMT14.
    """
    pieces = 6000 * (n_words / 670_000) ** 0.294
    return min(max(round(pieces / 500) * 500, 1000), 32_000)


def _sample(corpora: Sequence[Prepared], languages: Languages, config: Config) -> Iterator[str]:
    """Lines of pairs drawn from all corpora, with the noise that the model will read."""
    texts = [text_pairs(corpus.folder, "train", *languages) for corpus in corpora]
    pairs: ConcatDataset[TextPair] = ConcatDataset(texts)  # type: ignore[arg-type]
    rng = random.Random(derive_seed("vocabulary"))
    n_bytes = sum(len(side.values) for text in texts for side in (text.src, text.tgt))
    size = min(len(pairs), len(pairs) * VOCAB_BYTES // max(n_bytes, 1))
    noise = Noise(config.noise)
    for place in sorted(rng.sample(range(len(pairs)), size)):
        src, tgt = map(normalise, pairs[place])
        yield from noise((src, tgt), list, rng) if noise else (src, tgt)


def learn_tokenizer(corpora: Sequence[Prepared], config: Config) -> Tokenizer:
    """Learns the vocabulary of a corpus: a pure function of its text and the settings.

    It is learnt once and stored with the first corpus. Both directions share it unless there is
    noise, which treats source and target differently.
    """
    data = config.data
    src, tgt = corpora[0].languages
    languages = (src, tgt) if Noise(config.noise) else (min(src, tgt), max(src, tgt))
    size = data.vocab_size or vocabulary_size(sum(corpus.n_words for corpus in corpora))
    made_from = [
        *(corpus.manifest["fingerprint"] for corpus in corpora),
        *(languages, size, data.vocab_type, VOCAB_BYTES, asdict(config.noise)),
    ]
    key = hashlib.sha256(repr(made_from).encode()).hexdigest()[:16]
    file = corpora[0].folder / f"tokenizer-{key}.model"
    with writing(file), locked(file.parent):
        if file.exists():
            return Tokenizer.load(file)
        lines = filter(None, _sample(corpora, languages, config))
        tokenizer = Tokenizer.train(lines, size, model_type=data.vocab_type)
        write_file(file, tokenizer.model_bytes)
        return tokenizer


def prepare_data(
    config: Config,
    tokenizer: Tokenizer | None = None,
    *,
    workers: int = 0,
    progress: Progress = no_progress,
) -> TrainingData:
    """Cleans the corpus, learns a vocabulary unless one is given or named, and encodes it.

    Earlier results are reused, see cleaned.py. The tag of a synthetic part precedes its sources. If
    both directions are learnt, synthetic pairs have weight 0 in the other direction, where the
    model would learn to write what a model wrote.

    Args:
        config: all settings.
        tokenizer: of the model to continue with.
        workers: number of processes; 0 = one per processor.
        progress: called with each stage and the pairs that it has processed.

    Raises:
        TranslatorError: the corpus is missing, broken, or empty.
    """
    data = config.data
    workers = workers or os.cpu_count() or 1
    corpora: list[Prepared] = []
    weights = []
    for name, weight in split_mixture(data.corpus):
        prepared = prepare_corpus(
            *(name, data.src, data.tgt, config.clean),
            beside=corpora[0] if corpora else None,
            workers=workers,
            progress=progress,
        )
        corpora.append(prepared)
        weights.append(weight)
    if not any(len(corpus.train) for corpus in corpora):
        kept = corpora[0]
        dropped = kept.manifest["report"]["dropped"]
        raise _unusable(data.corpus, dropped, len(kept.splits.get("valid", [])))
    if tokenizer is None and data.vocab_from:
        tokenizer = _tokenizer_of(data.vocab_from)
    tokenizer = tokenizer or learn_tokenizer(corpora, config)
    parts = [encode_corpus(corpus, tokenizer, data, workers, progress) for corpus in corpora]
    return _mix(config, corpora, weights, parts, tokenizer)


def _tokenizer_of(model: str) -> Tokenizer:
    file = Path(model) / "tokenizer.model"
    try:
        return Tokenizer.load(file)
    except (OSError, TranslatorError):
        raise TranslatorError(
            f"{file} cannot be read: data.vocab_from names the folder of a model."
        ) from None


def _unusable(name: str, dropped: Mapping[str, int], n_valid: int) -> TranslatorError:
    reasons = ", ".join(f"{n:,} {fault}" for fault, n in dropped.items()) or "none"
    return TranslatorError(
        f"{name} has no usable pairs (dropped: {reasons}; for validation: {n_valid:,}): "
        "add text, fix it, or change the rules (--set clean.KEY=VALUE)."
    )


def log_summary(data: TrainingData) -> None:
    """Logs a summary of the prepared corpora."""
    for corpus in data.corpora:
        report = corpus.manifest["report"]
        before, after = report["before"]["pairs"], report["after"]["pairs"]
        reasons = ", ".join(f"{n:,} {fault}" for fault, n in report["dropped"].items())
        for note in report["notes"]:
            log.info("%s: %s", corpus.manifest["corpus"], note)
        log.log(
            logging.WARNING if after < 0.8 * before else logging.INFO,
            "%s: %s of %s pairs are worth training on%s; they are kept in %s",
            *(corpus.manifest["corpus"], f"{after:,}", f"{before:,}"),
            *(f" (dropped: {reasons})" if reasons else "", corpus.folder),
        )


def _mix(
    config: Config,
    corpora: list[Prepared],
    weights: Sequence[float],
    parts: Sequence[Ids],
    tokenizer: Tokenizer,
) -> TrainingData:
    """Combines prepared corpora; validation and test splits come from the first one."""
    data = config.data
    tags = [corpus.manifest["tag"] for corpus in corpora]
    dropped: Counter[str] = Counter()
    for corpus, ids in zip(corpora, parts, strict=True):
        dropped.update(corpus.manifest["report"]["dropped"])
        dropped.update(ids.dropped)
    splits = corpora[0].splits
    valid, _ = encode_pairs(splits["valid"], tokenizer, data)
    train = Mixture(parts, [tokenizer.bt_id if tag else None for tag in tags], data.bidirectional)
    if not len(train) or not valid:
        raise _unusable(data.corpus, dropped, len(valid))
    sizes = torch.tensor([len(part) for part in parts])
    times = torch.tensor(weights).repeat_interleave(sizes)
    if data.bidirectional:
        back = torch.tensor([0.0 if t else w for t, w in zip(tags, weights, strict=True)])
        times = torch.cat([times, back.repeat_interleave(sizes)])
        there, here = tokenizer.tag(data.tgt), tokenizer.tag(data.src)
        valid = [([there, *s], t) for s, t in valid] + [([here, *t], s) for s, t in valid]
    parts_text = [f"{c.manifest['fingerprint']} {c.manifest['tag']}" for c in corpora]
    return TrainingData(
        data.corpus if len(corpora) > 1 else corpora[0].manifest["corpus"],
        corpora,
        splits,
        tokenizer,
        train,
        valid,
        hashlib.sha256(" ".join(parts_text).encode()).hexdigest()[:16],
        dict(dropped),
        None if bool((times == 1).all()) else times,
    )
