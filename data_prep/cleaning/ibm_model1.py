"""A small translation lexicon, learnt from pairs of lines by IBM model 1."""

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from translator.text.lines import TextPair

PER_LINE = 16  # words of a line that are looked at, the rarest
STEM = 5  # letters of a word that count: inflection would scatter what little there is
MAX_WORDS = 4000  # the most frequent words of a side, whose links are learnt
CHUNK = 2_000_000  # word links in memory at a time

# Of the score. A word that nothing explains costs log(FLOOR), no more, so that free translations
# are not punished; equal words (names, numbers) speak for a pair even when they were never seen.
FLOOR, PRIOR, SAME = 0.4, 1.0, 0.05

WORD = re.compile(r"\w+")


class Words:
    """The words of the lines of one side, as numbers, all in one row.

    `flat[starts[i] : starts[i] + counts[i]]` are the words of line i, each once.
    """

    def __init__(self, rows: Sequence[Sequence[int]]):
        self.counts = torch.tensor([len(row) for row in rows])
        self.starts = self.counts.cumsum(0) - self.counts
        self.flat = torch.tensor([number for row in rows for number in row], dtype=torch.long)

    @classmethod
    def of_sides(
        cls, pairs: Sequence[TextPair], numbers: dict[str, int] | None = None
    ) -> tuple["Words", "Words", int]:
        """Both sides, equal words with equal numbers, and how many numbers there are.

        Left out is what cannot tell anything: words that stand but once in all, and of long lines
        the most frequent words.

        Args:
            pairs: their lines.
            numbers: gets the number of every word.
        """
        numbers = {} if numbers is None else numbers
        sides = [
            [
                {numbers.setdefault(w[:STEM], len(numbers)) for w in WORD.findall(line.casefold())}
                for line in lines
            ]
            for lines in zip(*pairs, strict=True)
        ]
        in_lines = [Counter(number for row in side for number in row) for side in sides]
        total = in_lines[0] + in_lines[1]
        src, tgt = (
            cls(
                [
                    sorted((n for n in row if total[n] > 1), key=lambda n: (count[n], n))[:PER_LINE]
                    for row in side
                ]
            )
            for side, count in zip(sides, in_lines, strict=True)
        )
        return src, tgt, max(len(numbers), 1)

    def __len__(self) -> int:
        return len(self.counts)

    def rank(self, n_words: int) -> Tensor:
        """`(n_words,)`: 1, 2, ... for the most frequent words of this side, 0 for all others."""
        counts = torch.bincount(self.flat, minlength=n_words)
        order = counts.argsort(descending=True, stable=True)[:MAX_WORDS]
        order = order[counts[order] > 1]
        rank = torch.zeros(n_words, dtype=torch.long)
        rank[order] = torch.arange(1, len(order) + 1)
        return rank

    def of(self, lines: Tensor) -> tuple[Tensor, Tensor]:
        """The words of some lines, one behind the other, and the place in `lines` of each."""
        counts = self.counts[lines]
        row = torch.repeat_interleave(torch.arange(len(lines)), counts)
        first = self.starts[lines] - (counts.cumsum(0) - counts)
        return self.flat[first[row] + torch.arange(len(row))], row

    def bags(self, lines: Tensor) -> tuple[Tensor, Tensor]:
        """Lines as rows of zeros and ones `(lines, words)`, and the words `(words,)`."""
        words, row = self.of(lines)
        words, column = torch.unique(words, return_inverse=True)
        bags = torch.zeros(len(lines), len(words))
        bags[row, column] = 1
        return bags, words


@dataclass(frozen=True)
class _Links:
    """All word links of some pairs. A and B count the words of all source and target lines."""

    src: Tensor  # (A,), words
    tgt: Tensor  # (B,), words
    src_pair: Tensor  # (A,), the pair that each word belongs to
    tgt_pair: Tensor  # (B,)
    s: Tensor  # (links,), places in `src`
    t: Tensor  # (links,), places in `tgt`
    key: Tensor  # (links,), places in the lexicon's table


class Lexicon:
    """IBM Model 1 from the pairs (source line `i[n]`, target line `j[n]`)."""

    def __init__(self, src: Words, tgt: Words, n_words: int, i: Tensor, j: Tensor, rounds: int = 4):
        self.src, self.tgt = src, tgt
        self.rows, self.columns = src.rank(n_words), tgt.rank(n_words)  # of the table below
        self.width = int(self.columns.max()) + 1
        seen = torch.bincount(tgt.flat, minlength=n_words)
        self.share = (seen / seen.sum().clamp(min=1)).float().clamp(min=1e-9)  # p(target word)
        in_src = torch.bincount(src.flat, minlength=n_words) > 0
        self.telling = ((seen > 2) | in_src).float()  # a word this rare explains nothing
        size = (int(self.rows.max()) + 1) * self.width
        self.counts = torch.ones(size)
        for _ in range(rounds):
            # t(target word | source word), from which the posteriors are that make the counts:
            # `score` needs the very same ones, so the last counts make no further table.
            counts = self.counts.view(-1, self.width)
            self.table = (counts / counts.sum(1, keepdim=True).clamp(min=1e-9)).flatten()
            self.counts = torch.zeros(size)
            for part in self._parts(i, j):
                links = self._links(i[part], j[part])
                self.counts.index_add_(0, links.key, self._posterior(links))
            counts = self.counts.view(-1, self.width)
            counts[0], counts[:, 0] = 0, 0  # the rare words
        self.totals = counts.sum(1)

    def _parts(self, i: Tensor, j: Tensor) -> list[slice]:
        """Pairs in parts with about CHUNK word links each."""
        number = (self.src.counts[i] * self.tgt.counts[j]).cumsum(0) // CHUNK
        edges = (1 + number.diff().nonzero().flatten()).tolist()
        return [slice(a, b) for a, b in itertools.pairwise([0, *edges, len(i)])]

    def _links(self, i: Tensor, j: Tensor) -> _Links:
        (src, src_pair), (tgt, tgt_pair) = self.src.of(i), self.tgt.of(j)
        counts = self.tgt.counts[j]
        width = counts[src_pair]  # links of each source word
        s = torch.repeat_interleave(torch.arange(len(src)), width)
        first = (counts.cumsum(0) - counts)[src_pair] - (width.cumsum(0) - width)
        t = first[s] + torch.arange(len(s))
        key = (self.rows[src] * self.width)[s] + self.columns[tgt][t]
        return _Links(src, tgt, src_pair, tgt_pair, s, t, key)

    def _posterior(self, links: _Links) -> Tensor:
        """Each target word shared out among the words of its source line and none of them."""
        weight = self.table[links.key]
        total = self.share[links.tgt].index_add(0, links.t, weight)
        return weight / total[links.t]

    def score(self, i: Tensor, j: Tensor, own: bool = False) -> Tensor:
        """`(N,)`, in nats; `own`: the lexicon was learnt from these very pairs."""
        parts = self._parts(i, j)
        return torch.cat([self._score(i[part], j[part], own) for part in parts])

    def _score(self, i: Tensor, j: Tensor, own: bool) -> Tensor:
        links = self._links(i, j)
        s, t = links.s, links.t
        counts, totals = self.counts[links.key], self.totals[self.rows[links.src]]
        if own:
            known = (self.rows[links.src] > 0)[s] & (self.columns[links.tgt] > 0)[t]
            posterior = self._posterior(links) * known
            counts = (counts - posterior).clamp(min=0)
            totals = totals.index_add(0, s, posterior, alpha=-1).clamp(min=0)
        same = links.src[s] == links.tgt[t]
        ratio = self._ratio(counts, totals[s], same, self.share[links.tgt][t])
        mean = torch.zeros(len(links.tgt)).index_add(0, t, ratio)
        gain = self._gain(mean / self.src.counts[i].clamp(min=1)[links.tgt_pair])
        gain = gain * (self.telling[links.tgt] * (self.src.counts[i] > 0)[links.tgt_pair])
        return torch.zeros(len(i)).index_add(0, links.tgt_pair, gain)

    @staticmethod
    def _ratio(counts: Tensor, totals: Tensor, same: Tensor, share: Tensor) -> Tensor:
        """t(target word | source word) / p(target word), smoothed."""
        prior = PRIOR * (1 - SAME + SAME * same / share)
        return (counts / share + prior) / (totals + PRIOR)

    @staticmethod
    def _gain(mean: Tensor) -> Tensor:
        return torch.log(FLOOR + (1 - FLOOR) * mean)

    def score_all(self, i: Tensor, j: Tensor) -> Tensor:
        """Every source line of `i` with every target line of `j`: `(len(i), len(j))`."""
        (src_bags, src_words), (tgt_bags, tgt_words) = self.src.bags(i), self.tgt.bags(j)
        row, column = self.rows[src_words], self.columns[tgt_words]
        ratio = self._ratio(
            self.counts.view(-1, self.width)[row][:, column],
            self.totals[row][:, None],
            src_words[:, None] == tgt_words,
            self.share[tgt_words],
        )
        mean = src_bags @ ratio / src_bags.sum(1, keepdim=True).clamp(min=1)
        return (self._gain(mean) * self.telling[tgt_words]) @ tgt_bags.T
