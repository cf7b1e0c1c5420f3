"""How well the two lines of a pair fit each other, judged by the words of the corpus itself.

A lexicon (ibm_model1.py) is learnt once from a sample of the corpus. Then any chunk of pairs is
scored: how much better than chance the words of each side explain those of the other, in nats.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from data_prep.cleaning.ibm_model1 import NEW_WORDS, PER_LINE, WORD, Lexicon, Words, number_words
from translator.text.lines import TextPair

SAMPLE = 100_000  # pairs to learn from
ENOUGH = 500  # fewer pairs are not enough to learn from
# So few words of a pair prove nothing; see `CleanConfig.alignment`.
FREE_WORDS = 5
# A side is shifted if a source fits a neighbour's target by BETTER nats more than its own, and its
# own badly: its score is below BADLY times the required one.
OFFSETS = (-1, 1, -2, 2, -3, 3)
BETTER, BADLY = 10.0, 3.0
LONGEST = 2000  # characters of a line that are used


class _Side:
    """The words of one side, ranked: first `NEW_WORDS` new ones, then the rarest known ones."""

    def __init__(self, numbers: dict[str, int], seen: Tensor):
        order = seen.argsort(stable=True)
        order = order[seen[order] > 0]
        new = torch.arange(len(numbers), len(numbers) + NEW_WORDS)
        self.number = torch.cat([new, order])  # of each rank, in the lexicon
        ranks = torch.full((len(seen),), -1)
        ranks[order] = torch.arange(len(order)) + NEW_WORDS
        rank_of = ranks.tolist()
        self.rank = {word: rank_of[n] for word, n in numbers.items() if rank_of[n] >= 0}

    def words(self, rows: Sequence[set[int]]) -> Words:
        """The rarest words of each line, given by their ranks."""
        ranks = Words.from_rows([sorted(row)[:PER_LINE] for row in rows])
        return Words(self.number[ranks.flat], ranks.counts)


class PairScorer:
    """Finds pairs that do not translate each other.

    Args:
        pairs: a sample of the corpus to learn from.
        keys: one for each pair. Their scores are stored, because no pair may vote for itself.
    """

    def __init__(self, pairs: Sequence[TextPair], keys: Sequence[int]):
        src, tgt, numbers = number_words(pairs)
        every = torch.arange(len(pairs))
        self.lexicon = Lexicon(src, tgt, len(numbers), every, every)
        self.src, self.tgt = (_Side(numbers, seen) for seen in self.lexicon.seen)
        scores = self.lexicon.score(*self._words(pairs), own=True).sum(0)
        self.known = dict(zip(keys, scores.tolist(), strict=True))
        self.lexicon.counts = self.lexicon.counts.bfloat16()  # half the memory of every process
        del self.lexicon.table

    def misaligned(
        self, pairs: Sequence[TextPair], keys: Sequence[int], least: float
    ) -> list[bool]:
        """Which pairs do not translate each other, for pairs in the order of their corpus.

        Args:
            pairs: a chunk of the corpus; a shift is not seen in the three lines at its ends.
            keys: as for the sample.
            least: the nats required of a pair for each word beyond `FREE_WORDS`.
        """
        if not pairs:
            return []
        src, tgt = self._words(pairs)
        score = self.lexicon.score(src, tgt).sum(0)
        for row, key in enumerate(keys):
            if key in self.known:
                score[row] = self.known[key]
        required = least * (src.counts + tgt.counts - FREE_WORDS).clamp(min=0)
        bad = score < required
        doubtful = ((score < BADLY * required) & ~bad).nonzero().flatten()
        # New words are numbered within their own pair, so they say nothing about another one.
        known = src.flat < len(self.lexicon.rows) - NEW_WORDS
        counts = torch.zeros_like(src.counts).index_add(0, src.line, known.long())
        src = Words(src.flat[known], counts)
        for offset in OFFSETS:
            there = doubtful[(doubtful + offset >= 0) & (doubtful + offset < len(pairs))]
            other = self.lexicon.score(src.select(there), tgt.select(there + offset)).sum(0)
            bad[there] |= other > score[there] + BETTER
        return [bool(value) for value in bad.tolist()]

    def _words(self, pairs: Sequence[TextPair]) -> tuple[Words, Words]:
        """The rarest words of both sides, each once."""
        src_rank, tgt_rank = self.src.rank.get, self.tgt.rank.get
        src_rows: list[set[int]] = []
        tgt_rows: list[set[int]] = []
        for src, tgt in pairs:
            src_words = dict.fromkeys(WORD.findall(src[:LONGEST].casefold()))
            tgt_words = dict.fromkeys(WORD.findall(tgt[:LONGEST].casefold()))
            src_row = {n for n in map(src_rank, src_words) if n is not None}
            tgt_row = {n for n in map(tgt_rank, tgt_words) if n is not None}
            n_new = 0
            for word in src_words:
                if word not in tgt_words or n_new == NEW_WORDS:
                    continue
                in_src, in_tgt = src_rank(word), tgt_rank(word)
                if in_src is None or in_tgt is None:  # most often a name
                    src_row = (src_row - {in_src}) | {n_new}
                    tgt_row = (tgt_row - {in_tgt}) | {n_new}
                    n_new += 1
            src_rows.append(src_row)
            tgt_rows.append(tgt_row)
        return self.src.words(src_rows), self.tgt.words(tgt_rows)
