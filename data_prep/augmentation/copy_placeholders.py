"""Copy placeholders in training pairs, which teach a model to copy spans unchanged."""

import itertools
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from data_prep.cleaning.ibm_model1 import Links, Words, learn
from translator.system.seeds import derive_seed
from translator.text.tokenizer import N_COPY, IdPair, Tokenizer

Span = tuple[int, int]  # start and end in a list of ids
Anchor = tuple[Span, Span]  # a source word and the target word that translates it
Word = tuple[int, ...]  # its pieces
# Possible links of source and target words to learn a lexicon from: all of Multi30k. More would
# take gigabytes.
LINKS = 8_000_000
RARE = 1e-3  # less likely translations are not stored


def word_spans(ids: Sequence[int], tokenizer: Tokenizer) -> list[Span]:
    """The words of a sentence: spans of pieces; punctuation marks are words of their own."""
    starts = [
        i
        for i, piece in enumerate(ids)
        if i == 0
        or tokenizer.starts_word[piece]
        or tokenizer.is_mark[piece] != tokenizer.is_mark[ids[i - 1]]
    ]
    return list(itertools.pairwise([*starts, len(ids)]))


class WordLexicon:
    """Which words translate each other, learnt by IBM Model 1 from a sample of the corpus.

    Args:
        pairs: the corpus, without tags.
        tokenizer: determines where words begin.
        rounds: of expectation-maximisation.
    """

    def __init__(self, pairs: Iterable[IdPair], tokenizer: Tokenizer, rounds: int = 5):
        self._tokenizer = tokenizer
        # Words as numbers by side, the same number for the same pieces.
        self._numbers: tuple[dict[Word, int], dict[Word, int]] = ({}, {})
        rows: tuple[list[list[int]], list[list[int]]] = ([], [])
        for pair in pairs:
            for ids, known, side in zip(pair, self._numbers, rows, strict=True):
                side.append([known.setdefault(word, len(known)) for word in self._words(ids)])
        src, tgt = map(Words.from_rows, rows)
        n_src, self._n_tgt = map(len, self._numbers)
        links = Links(src, tgt)
        link_words = src.flat[links.s] * self._n_tgt + tgt.flat[links.t]
        kinds, key = torch.unique(link_words, return_inverse=True)
        source_of_kind = kinds // max(self._n_tgt, 1)

        def normalise(counts: Tensor) -> Tensor:
            totals = torch.zeros(n_src).index_add_(0, source_of_kind, counts)
            return counts / totals[source_of_kind]

        every_link = [(links, key, torch.zeros(len(tgt.flat)))]
        _, _, probability = learn(lambda: every_link, torch.ones(len(kinds)), normalise, rounds)
        likely = probability > RARE
        self._probability = dict(
            zip(kinds[likely].tolist(), probability[likely].tolist(), strict=True)
        )

    def _words(self, ids: Sequence[int]) -> list[Word]:
        return [tuple(ids[start:end]) for start, end in word_spans(ids, self._tokenizer)]

    def anchors(self, pair: IdPair, sure: float = 0.5) -> list[Anchor]:
        """The words of a pair that translate each other, in the order of the source.

        Each is the other's best choice, with a posterior above `sure`. Marks are skipped.
        """
        src_spans, tgt_spans = (word_spans(ids, self._tokenizer) for ids in pair)
        sources, targets = (
            [known.get(tuple(ids[start:end]), -1) for start, end in spans]
            for ids, known, spans in zip(pair, self._numbers, (src_spans, tgt_spans), strict=True)
        )
        if not (sources and targets):
            return []
        find = self._probability.get
        table = torch.tensor(
            [
                [find(s * self._n_tgt + t, 0.0) if min(s, t) >= 0 else 0.0 for t in targets]
                for s in sources
            ]
        )  # (source words, target words)
        posterior = table / table.sum(0).clamp(min=1e-9)
        best = (posterior == posterior.amax(0)) & (posterior == posterior.amax(1, keepdim=True))
        links = (best & (posterior > sure)).nonzero().tolist()
        is_mark = self._tokenizer.is_mark
        return [
            (src_spans[i], tgt_spans[j]) for i, j in links if not is_mark[pair[0][src_spans[i][0]]]
        ]


def learn_lexicon(pairs: Sequence[IdPair], tokenizer: Tokenizer) -> WordLexicon:
    """Learns a lexicon from evenly spread pairs with about `LINKS` links of pieces."""
    some = pairs[:: max(len(pairs) // 1000, 1)]
    links = sum(len(src) * len(tgt) for src, tgt in some) * len(pairs) // len(some)
    every = range(0, len(pairs), max(1, -(-links // LINKS)))
    return WordLexicon((split_tag(pairs[i], tokenizer)[1] for i in every), tokenizer)


@dataclass(frozen=True)
class CopyNoise:
    """Puts placeholders into a share `rate` of the pairs, differently in every epoch."""

    lexicon: WordLexicon
    copy_ids: Sequence[int]
    rate: float

    def __call__(self, pair: IdPair, index: int, epoch: int, seed: int) -> IdPair:
        """The pair with or without placeholders: a pure function of its arguments."""
        rng = random.Random(derive_seed(seed, "copy", epoch, index))
        if rng.random() >= self.rate:
            return pair
        edits = sorted(self._choose(pair, self.lexicon.anchors(pair), rng))
        # Numbered in the order of the source, from a random number on, so that all are learnt.
        first = rng.randint(0, N_COPY - len(edits))
        src, tgt = list(pair[0]), list(pair[1])
        for side, ids in enumerate((src, tgt)):
            places = sorted((edit[side], self.copy_ids[first + i]) for i, edit in enumerate(edits))
            for (start, end), placeholder in reversed(places):  # from the right: indices hold
                ids[start:end] = [placeholder]
        return src, tgt

    def _choose(self, pair: IdPair, anchors: Sequence[Anchor], rng: random.Random) -> list[Anchor]:
        """One to three places: before all, behind all, or a word's. An empty span inserts."""
        src, tgt = pair
        n_places = rng.choices((1, 2, 3), (6, 3, 1))[0]
        picked = rng.sample(range(-2, len(anchors)), min(n_places, len(anchors) + 2))
        edits: list[Anchor] = []
        for k in picked:
            if k == -2:
                edits.append(((0, 0), (0, 0)))
            elif k == -1:
                edits.append(((len(src), len(src)), (len(tgt), len(tgt))))
            elif rng.random() < 0.5:  # behind the word
                (_, src_end), (_, tgt_end) = anchors[k]
                edits.append(((src_end, src_end), (tgt_end, tgt_end)))
            else:  # in its place, or in that of two words, as a name stands for "the man"
                (src_start, src_end), (tgt_start, tgt_end) = anchors[k]
                if k > 0 and k - 1 not in picked and rng.random() < 0.4:
                    before_src, before_tgt = anchors[k - 1]
                    if (before_src[1], before_tgt[1]) == (src_start, tgt_start):
                        src_start, tgt_start = before_src[0], before_tgt[0]
                edits.append(((src_start, src_end), (tgt_start, tgt_end)))
        return edits


def split_tag(pair: IdPair, tokenizer: Tokenizer) -> tuple[list[int], IdPair]:
    """[`<bt>`] and the pair without it, for a synthetic source; else [] and the pair itself."""
    src, tgt = pair
    return ([tokenizer.bt_id], (src[1:], tgt)) if src[:1] == [tokenizer.bt_id] else ([], pair)
