"""How well two lines fit each other, by what the corpus itself shows of its words.

A lexicon (ibm_model1.py) is learnt once from a sample of the corpus. Then any chunk of pairs is
scored: how much better the words of each side explain those of the other than chance would, in
nats. It is `Lexicon.score` in both directions, for words that need no learning any more.
"""

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from data_prep.cleaning.ibm_model1 import FLOOR, PER_LINE, PRIOR, SAME, STEM, Lexicon, Words
from translator.text.lines import TextPair

SAMPLE = 100_000  # pairs that are learnt from
ENOUGH = 500  # fewer say too little
# What so few words of a pair say is chance; see `CleanConfig.alignment`.
FREE_WORDS = 5
# A side that is late by some lines: the source fits a neighbour's target by so many nats better
# than its own, which it fits badly: less than so many times what is asked of a pair.
OFFSETS = (-1, 1, -2, 2, -3, 3)
BETTER, BADLY = 10.0, 3.0
PART = 500  # pairs in work at a time
LONGEST = 2000  # characters of a line that are looked at

_STEM = re.compile(rf"(\w{{1,{STEM}}})\w*")
_NAMES = 4  # words of a pair that stand on both sides but not in the sample: mostly names
_NOTHING = [0] * PER_LINE


class _Side:
    """What is known of the words of one side, by their numbers here.

    0 is no word, 1 to `_NAMES` are words that the sample does not have, then come those of the
    sample, the rarest first.
    """

    def __init__(self, stems: dict[str, int], words: Words, place: Tensor, lexicon: Lexicon):
        seen, elsewhere = (
            torch.bincount(side.flat, minlength=len(lexicon.share))
            for side in (words, lexicon.tgt if words is lexicon.src else lexicon.src)
        )
        order = seen.argsort(stable=True)
        order = order[seen[order] > 0]
        unknown = torch.zeros(1 + _NAMES, dtype=torch.long)
        self.word = torch.cat([-torch.arange(1 + _NAMES), order])  # the same on the other side
        self.place = torch.cat([unknown, place[order]])  # in the lexicon's table
        rarest = torch.full((1 + _NAMES,), 1 / max(len(lexicon.tgt.flat), 1))
        self.share = torch.cat([rarest, lexicon.share[order]])
        telling = (seen > 2) | (elsewhere > 0)
        self.telling = torch.cat([unknown > 0, telling[order]])
        self.telling[1 : 1 + _NAMES] = True
        number = torch.zeros(len(seen), dtype=torch.long)
        number[order] = torch.arange(len(order)) + 1 + _NAMES
        numbers = number.tolist()
        self.numbers = {stem: numbers[n] for stem, n in stems.items() if numbers[n]}


class Affinity:
    """Scores pairs.

    Args:
        pairs: what is learnt from, a sample of the corpus.
        keys: one of each of these pairs. What they score is kept, for none may vote about itself.
    """

    def __init__(self, pairs: Sequence[TextPair], keys: Sequence[int]):
        stems: dict[str, int] = {}
        src, tgt, n_words = Words.of_sides(pairs, stems)
        every = torch.arange(len(pairs))
        lexicon = Lexicon(src, tgt, n_words, every, every)
        self.src = _Side(stems, src, lexicon.rows, lexicon)
        self.tgt = _Side(stems, tgt, lexicon.columns, lexicon)
        table = lexicon.table.view(-1, lexicon.width)
        self.counts, self.totals = lexicon.counts.view(-1, lexicon.width), lexicon.totals
        score, _ = self._score(*self._rows(pairs), table)
        self.known = dict(zip(keys, score.tolist(), strict=True))
        self.counts = self.counts.bfloat16()  # half the memory of every process

    def misaligned(
        self, pairs: Sequence[TextPair], keys: Sequence[int], least: float
    ) -> list[bool]:
        """Which pairs do not translate each other, for pairs in the order of their corpus.

        Args:
            pairs: a chunk of the corpus; a shift is not seen in the three lines at its ends.
            keys: as they were given for the sample.
            least: nats that each word but `FREE_WORDS` of a sound pair is worth.
        """
        if not pairs:
            return []
        src, tgt = self._rows(pairs)
        score, n_words = self._score(src, tgt)
        for row, key in enumerate(keys):
            if key in self.known:
                score[row] = self.known[key]
        asked = least * (n_words - FREE_WORDS).clamp(min=0)
        bad = score < asked
        doubtful = ((score < BADLY * asked) & ~bad).nonzero().flatten()
        for offset in OFFSETS:
            there = doubtful[(doubtful + offset >= 0) & (doubtful + offset < len(pairs))]
            known = src[there] * (src[there] > _NAMES)  # names are numbered within their own pair
            other, _ = self._score(known, tgt[there + offset])
            bad[there] |= other > score[there] + BETTER
        return [bool(value) for value in bad.tolist()]

    def _rows(self, pairs: Sequence[TextPair]) -> tuple[Tensor, Tensor]:
        """The rarest words of both sides, each once: `(N, PER_LINE)`, 0 where there is none."""
        src_number, tgt_number = self.src.numbers.get, self.tgt.numbers.get
        sides: tuple[list[list[int]], list[list[int]]] = ([], [])
        for src, tgt in pairs:
            src_stems = set(_STEM.findall(src[:LONGEST].casefold()))
            tgt_stems = set(_STEM.findall(tgt[:LONGEST].casefold()))
            src_row = {n for n in map(src_number, src_stems) if n}
            tgt_row = {n for n in map(tgt_number, tgt_stems) if n}
            names = 0
            for stem in src_stems & tgt_stems:
                in_src, in_tgt = src_number(stem), tgt_number(stem)
                if (in_src is None or in_tgt is None) and names < _NAMES:
                    names += 1
                    src_row = (src_row - {in_src}) | {names}
                    tgt_row = (tgt_row - {in_tgt}) | {names}
            sides[0].append((sorted(src_row) + _NOTHING)[:PER_LINE])
            sides[1].append((sorted(tgt_row) + _NOTHING)[:PER_LINE])
        return torch.tensor(sides[0]), torch.tensor(sides[1])

    def _score(
        self, src: Tensor, tgt: Tensor, table: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Rows -> nats and number of words, `(N,)` each.

        `table`: t(target word | source word), if what each pair itself has brought into the
        lexicon is to be left out.
        """
        parts = [
            self._score_part(src[k : k + PART], tgt[k : k + PART], table)
            for k in range(0, max(len(src), 1), PART)
        ]
        score, n_words = zip(*parts, strict=True)
        return torch.cat(score), torch.cat(n_words)

    def _score_part(self, src: Tensor, tgt: Tensor, table: Tensor | None) -> tuple[Tensor, Tensor]:
        is_src, is_tgt = (src > 0).float(), (tgt > 0).float()
        places = self.src.place[src][:, :, None], self.tgt.place[tgt][:, None, :]
        counts = self.counts[places].float()  # (N, S, T)
        totals = self.totals[places[0]]  # (N, S, 1)
        share = self.tgt.share[tgt][:, None, :]
        if table is not None:
            weight = table[places] * is_src[:, :, None]
            own = weight / (share + weight.sum(1, keepdim=True)) * is_tgt[:, None, :]
            own *= (places[0] > 0) & (places[1] > 0)
            counts = (counts - own).clamp(min=0)
            totals = (totals - own.sum(2, keepdim=True)).clamp(min=0)
        same = self.src.word[src][:, :, None] == self.tgt.word[tgt][:, None, :]
        ratio = (counts / share + PRIOR * (1 - SAME + SAME * same / share)) / (totals + PRIOR)
        ratio *= is_src[:, :, None] * is_tgt[:, None, :]
        n_src, n_tgt = is_src.sum(1, keepdim=True), is_tgt.sum(1, keepdim=True)
        score = torch.zeros(len(src))
        for mean, telling, n_others in (
            (ratio.sum(1) / n_src.clamp(min=1), self.tgt.telling[tgt], n_src),
            (ratio.sum(2) / n_tgt.clamp(min=1), self.src.telling[src], n_tgt),
        ):
            gain = torch.log(FLOOR + (1 - FLOOR) * mean)
            score += (gain * telling * (n_others > 0)).sum(1)
        return score, (n_src + n_tgt).flatten()
