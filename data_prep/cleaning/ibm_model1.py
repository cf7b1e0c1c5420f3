"""Which words translate each other, learnt from parallel lines by IBM Model 1 (Brown et al. 1993).

`learn` is the model itself; copy placeholders (data_prep/augmentation) use it on words of pieces.
`Lexicon` is a small dictionary of the most frequent words, which scores how well two lines fit.
A counts the words of all source lines, B those of all target lines, N the pairs of lines.
"""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from translator.text.lines import TextPair

PER_LINE = 16  # words used of each line, the rarest ones
STEM = 5  # letters used of each word: inflection would scatter the little evidence there is
MAX_WORDS = 4000  # the most frequent words of a side, whose translations are learnt
NEW_WORDS = 4  # numbers for words that a pair has on both sides and the lexicon does not know
CHUNK = 2_000_000  # word links in memory at a time

# A target word that nothing explains costs log(FLOOR) and no more, so that free translations are
# not penalised; equal words (names, numbers) support a pair even if they were never seen.
FLOOR, PRIOR, SAME = 0.4, 1.0, 0.05

WORD = re.compile(rf"(\w{{1,{STEM}}})\w*")


@dataclass(frozen=True)
class Words:
    """The words of N lines as numbers, line after line."""

    flat: Tensor  # (A,)
    counts: Tensor  # (N,), words of each line

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[int]]) -> "Words":
        flat = torch.tensor(list(itertools.chain.from_iterable(rows)), dtype=torch.long)
        return cls(flat, torch.tensor(list(map(len, rows)), dtype=torch.long))

    def __len__(self) -> int:
        return len(self.counts)

    @cached_property
    def starts(self) -> Tensor:
        """`(N,)`, where each line begins in `flat`."""
        return self.counts.cumsum(0) - self.counts

    @cached_property
    def line(self) -> Tensor:
        """`(A,)`, the line of each word."""
        return torch.repeat_interleave(torch.arange(len(self)), self.counts)

    def select(self, lines: Tensor) -> "Words":
        """Some of the lines, in the given order."""
        counts = self.counts[lines]
        shift = self.starts[lines] - (counts.cumsum(0) - counts)
        places = torch.arange(int(counts.sum())) + torch.repeat_interleave(shift, counts)
        return Words(self.flat[places], counts)


def number_words(pairs: Sequence[TextPair]) -> tuple[Words, Words, dict[str, int]]:
    """The words of both sides, the same word with the same number, and the numbers of the words.

    Words that occur only once are skipped, and so are the most frequent words of long lines.
    """
    numbers: dict[str, int] = {}
    sides = [
        [
            list({numbers.setdefault(w, len(numbers)): 0 for w in WORD.findall(line.casefold())})
            for line in lines
        ]
        for lines in zip(*pairs, strict=True)
    ]
    frequencies = [Counter(itertools.chain.from_iterable(side)) for side in sides]
    total = frequencies[0] + frequencies[1]
    src, tgt = (
        Words.from_rows(
            [
                sorted((n for n in row if total[n] > 1), key=lambda n: (frequency[n], n))[:PER_LINE]
                for row in side
            ]
        )
        for side, frequency in zip(sides, frequencies, strict=True)
    )
    return src, tgt, numbers


class Links:
    """All links between a source word and a target word of the same pair of lines.

    Attributes:
        s: `(links,)`, places in `src.flat`.
        t: `(links,)`, places in `tgt.flat`.
    """

    def __init__(self, src: Words, tgt: Words):
        width = tgt.counts[src.line]  # links of each source word
        self.s = torch.repeat_interleave(torch.arange(len(src.flat)), width)
        first = tgt.starts[src.line] - (width.cumsum(0) - width)
        self.t = first[self.s] + torch.arange(len(self.s))

    def posterior(self, weight: Tensor, background: Tensor) -> Tensor:
        """Divides each target word among the words of its source line and "no word".

        Args:
            weight: `(links,)`, t(target word | source word).
            background: `(B,)`, the weight of "no source word".
        """
        return weight / background.index_add(0, self.t, weight)[self.t]


# Some links, their places in the table, and the background of their target words.
Part = tuple[Links, Tensor, Tensor]


def learn(
    parts: Callable[[], Iterable[Part]],
    table: Tensor,
    normalise: Callable[[Tensor], Tensor],
    rounds: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Expectation-maximisation over all links.

    Args:
        parts: gives all links, part by part.
        table: `(K,)`, t(target word | source word) to start from.
        normalise: `(K,)` expected counts -> the next table.
        rounds: of expectation and maximisation.

    Returns:
        The table before the last round, the counts of the last round, and their table.
    """
    for _ in range(rounds):
        previous, counts = table, torch.zeros_like(table)
        for links, key, background in parts():
            counts.index_add_(0, key, links.posterior(table[key], background))
        table = normalise(counts)
    return previous, counts, table


def _parts(src: Words, tgt: Words) -> list[Tensor]:
    """The numbers of all lines, in parts with about CHUNK links each."""
    part = (src.counts * tgt.counts).cumsum(0) // CHUNK
    edges = (1 + part.diff().nonzero().flatten()).tolist()
    return [torch.arange(a, b) for a, b in itertools.pairwise([0, *edges, len(src)])]


class Lexicon:
    """What the frequent words of a corpus mean, and how well lines fit each other.

    Args:
        src, tgt: the words of all lines, see `number_words`.
        n_words: how many numbers they have; `NEW_WORDS` more are reserved.
        i, j: the pairs to learn from: source line `i[n]`, target line `j[n]`.
        rounds: of expectation-maximisation.
    """

    def __init__(self, src: Words, tgt: Words, n_words: int, i: Tensor, j: Tensor, rounds: int = 4):
        n_numbers = n_words + NEW_WORDS
        self.seen = [torch.bincount(side.flat, minlength=n_numbers) for side in (src, tgt)]
        self.rows, self.columns = map(_rank, self.seen)  # of the table
        self.width = int(self.columns.max()) + 1
        n_tgt = max(len(tgt.flat), 1)
        self.share = self.seen[1].clamp(min=1) / n_tgt  # p(target word)
        # A word this rare that is not a name says nothing.
        in_src, in_tgt = (seen > 0 for seen in self.seen)
        self.informative = [(self.seen[0] > 2) | in_tgt, (self.seen[1] > 2) | in_src]
        for informative in self.informative:
            informative[n_words:] = True
        n_rows = int(self.rows.max()) + 1
        pairs = src.select(i), tgt.select(j)
        self.table, self.counts, _ = learn(
            lambda: (self._part(*(side.select(part) for side in pairs)) for part in _parts(*pairs)),
            torch.full((n_rows * self.width,), 1 / self.width),
            self._normalise,
            rounds,
        )
        self.totals = self.counts.view(-1, self.width).sum(1)

    def _key(self, src: Words, tgt: Words, links: Links) -> Tensor:
        return (self.rows[src.flat] * self.width)[links.s] + self.columns[tgt.flat][links.t]

    def _part(self, src: Words, tgt: Words) -> Part:
        links = Links(src, tgt)
        return links, self._key(src, tgt, links), self.share[tgt.flat]

    def _normalise(self, counts: Tensor) -> Tensor:
        table = counts.view(-1, self.width)
        table[0], table[:, 0] = 0, 0  # the rare words
        return (table / table.sum(1, keepdim=True).clamp(min=1e-9)).flatten()

    def score(self, src: Words, tgt: Words, own: bool = False) -> Tensor:
        """How much better than chance lines explain each other: line n of `src` that of `tgt`.

        Args:
            src, tgt: words by their numbers here.
            own: whether the lexicon was learnt from these very pairs; then the vote of each pair
                for itself is removed.

        Returns:
            `(2, N)`, nats of the target words given the source words, and the other way round.
        """
        parts = _parts(src, tgt)
        return torch.cat([self._score(src.select(p), tgt.select(p), own) for p in parts], 1)

    def _score(self, src: Words, tgt: Words, own: bool) -> Tensor:
        links, key, share = self._part(src, tgt)
        s, t = links.s, links.t
        counts, totals = self.counts[key].float(), self.totals[self.rows[src.flat]]
        if own:
            known = (self.rows[src.flat] > 0)[s] & (self.columns[tgt.flat] > 0)[t]
            posterior = links.posterior(self.table[key], share) * known
            counts = (counts - posterior).clamp(min=0)
            totals = totals.index_add(0, s, posterior, alpha=-1).clamp(min=0)
        ratio = _ratio(counts, totals[s], src.flat[s] == tgt.flat[t], share[t])
        scores = []
        for side, other, place, informative in (
            (tgt, src, t, self.informative[1]),
            (src, tgt, s, self.informative[0]),
        ):
            mean = torch.zeros(len(side.flat)).index_add(0, place, ratio)
            mean = mean / other.counts.clamp(min=1)[side.line]
            gain = _gain(mean) * (informative[side.flat] & (other.counts > 0)[side.line])
            scores.append(torch.zeros(len(side)).index_add(0, side.line, gain))
        return torch.stack(scores)

    def score_all(self, src: Words, tgt: Words) -> Tensor:
        """Every source line with every target line: `(len(src), len(tgt))`, as `score(...)[0]`."""
        (src_bags, src_words), (tgt_bags, tgt_words) = map(_bags, (src, tgt))
        row, column = self.rows[src_words], self.columns[tgt_words]
        ratio = _ratio(
            self.counts.view(-1, self.width)[row][:, column],
            self.totals[row][:, None],
            src_words[:, None] == tgt_words,
            self.share[tgt_words],
        )
        mean = src_bags @ ratio / src_bags.sum(1, keepdim=True).clamp(min=1)
        return (_gain(mean) * self.informative[1][tgt_words]) @ tgt_bags.T


def _rank(seen: Tensor) -> Tensor:
    """`(n_numbers,)`: 1, 2, ... for the most frequent words of a side, 0 for all others."""
    order = seen.argsort(descending=True, stable=True)[:MAX_WORDS]
    order = order[seen[order] > 1]
    rank = torch.zeros(len(seen), dtype=torch.long)
    rank[order] = torch.arange(1, len(order) + 1)
    return rank


def _bags(side: Words) -> tuple[Tensor, Tensor]:
    """Lines as rows of zeros and ones `(lines, words)`, and the words `(words,)`."""
    words, column = torch.unique(side.flat, return_inverse=True)
    bags = torch.zeros(len(side), len(words))
    bags[side.line, column] = 1
    return bags, words


def _ratio(counts: Tensor, totals: Tensor, same: Tensor, share: Tensor) -> Tensor:
    """t(target word | source word) / p(target word), smoothed."""
    prior = PRIOR * (1 - SAME + SAME * same / share)
    return (counts / share + prior) / (totals + PRIOR)


def _gain(mean: Tensor) -> Tensor:
    return torch.log(FLOOR + (1 - FLOOR) * mean)
