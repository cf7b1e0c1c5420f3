"""Whether line n of one side translates line n of the other, judged by the corpus itself.

IBM Model 1 (Brown et al. 1993) learns from the pairs which words translate each other. A pair's
score is how much better its target words are explained by its source words than by chance, in nats,
without the pair's own vote, for it would always speak for itself. Pairs that belong together score
11 (500 captions) to 27 (10,000 sentences of news) on average, shuffled ones less than 3.
"""

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from data_prep.corpora import TextPair

LIMIT = 30_000  # lines that are looked at; of a larger corpus, blocks spread over all of it
BLOCK = 1000
PER_LINE = 16  # words of a line that are looked at, the rarest
TRIAL = 1000  # pairs from which the shift is guessed
LEARN = 10_000  # pairs that the lexicon is learnt from
STEM = 5  # letters of a word that count: inflection would scatter what little there is
MAX_WORDS = 4000  # the most frequent words of a side, whose links are learnt
CHUNK = 2_000_000  # word links in memory at a time
OFFSETS = (0, 1, -1, 2, -2, 3, -3)  # by how many lines a side may be shifted; and what FFT finds

# Of the score. A word that nothing explains costs log(FLOOR), no more, so that free translations
# are not punished; equal words (names, numbers) speak for a pair even when they were never seen.
FLOOR, PRIOR, SAME = 0.4, 1.0, 0.05

CAP = 10.0  # what one line can say about the shift: no single line may decide
SWITCH = 40.0  # nats that a change of the shift must gain: some three lines or more
WORST = 0.1  # share of the pairs that the second lexicon is learnt without

# Exchanged lines are looked for among the worst ones. Clean parts of 500 to 10,500 pairs hold at
# most 0.1 % that fit another line better by GAIN; nine in ten of the truly exchanged ones do.
SUSPECTS = 2000
FITS = 5.0  # what a line scores where it belongs; 1 % to 6 % of clean lines score less
GAIN = 8.0  # nats by which a line must fit another line better than its own
# The same for two neighbours at once: no clean part has any, of exchanged ones nine in ten do.
NEIGHBOUR_GAIN = 14.0
MOST_UNSEEN = 30.0  # times that a found one may stand for others: chance finds would grow as much
# A pair that scores less has nothing in common: 0 to 4 % of clean pairs, 39 % to 92 % of shuffled.
RELATED = 2.0

_WORD = re.compile(r"\w+")


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
                {numbers.setdefault(w[:STEM], len(numbers)) for w in _WORD.findall(line.casefold())}
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


@dataclass(frozen=True)
class Stretch:
    """Lines `first` to before `end`, where source line n belongs to target line n + `offset`."""

    first: int
    end: int
    offset: int


@dataclass(frozen=True)
class Alignment:
    """What the lines of a corpus say; all line numbers count from 0."""

    checked: int  # lines looked at
    stretches: list[Stretch]  # all of the corpus, in order
    exchanged: dict[int, int]  # source line -> the target line that translates it
    exchanged_share: float  # an estimate for the whole corpus
    unrelated: list[int]  # lines looked at whose sides have nothing to do with each other


def check_alignment(pairs: Sequence[TextPair]) -> Alignment:
    """Which lines belong together, for a corpus of some hundred pairs or more."""
    lines = sampled_lines(len(pairs))
    src, tgt, n_words = Words.of_sides([pairs[n] for n in lines])
    n, every = len(lines), torch.arange(len(lines))

    def shifted(offset: int | Tensor, of: Tensor = every) -> tuple[Tensor, Tensor]:
        """Pairs of source line and target line that are there."""
        j = of + offset
        there = (j >= 0) & (j < n)
        return of[there], j[there]

    # Which shift explains the most? A short look is enough.
    some = torch.arange(0, n, max(1, n // TRIAL))
    offsets = [*OFFSETS, *_length_offsets(pairs, lines)]

    def quality(offset: int) -> float:
        i, j = shifted(offset, some)
        return float(Lexicon(src, tgt, n_words, i, j, 2).score(i, j, own=True).mean())

    # Source line n belongs to target line n + belongs[n].
    belongs = torch.full((n,), max(offsets, key=quality))
    learn = torch.arange(0, n, -(-n // LEARN))
    for attempt in (1, 2):
        i, j = shifted(belongs[learn], learn)
        lexicon = Lexicon(src, tgt, n_words, i, j)
        learnt = torch.zeros(n, dtype=torch.bool).index_fill(0, i, True)
        scores = torch.zeros(len(offsets), n)
        for k, offset in enumerate(offsets):
            i, j = shifted(offset)
            own = learnt[i] & (belongs[i] == offset)
            scores[k, i[own]] = lexicon.score(i[own], j[own], own=True)
            scores[k, i[~own]] = lexicon.score(i[~own], j[~own])
        path = torch.tensor(_best_path(scores.clamp(-CAP, CAP).T.tolist()))
        belongs = torch.tensor(offsets)[path]
        if attempt == 1:
            # A wrong pair that is learnt from bends the lexicon in its own favour. So the second
            # one is learnt without the worst, and from the lines that the first has put together.
            score = scores[path, every]
            learn = learn[score[learn] >= score[learn].quantile(WORST)]
            offsets = sorted(set(belongs.tolist()))
    score = scores[path, every]
    i, j = shifted(belongs)
    neighbours = _exchanged_neighbours(lexicon, score, i, j)
    others = _exchanged_anywhere(lexicon, score, i, j, neighbours)
    # Whose partner is in no block cannot be found, those with one stand for them.
    unseen = min(len(pairs) / n, MOST_UNSEEN)
    exchanged = neighbours | others
    unrelated = [int(a) for a in i[score[i] < RELATED] if int(a) not in exchanged]
    return Alignment(
        checked=n,
        stretches=_stretches(belongs.tolist(), lines, len(pairs)),
        exchanged={lines[a]: lines[b] for a, b in sorted(exchanged.items())},
        exchanged_share=min((len(neighbours) + len(others) * unseen) / n, 1.0),
        unrelated=[lines[a] for a in unrelated],
    )


def sampled_lines(n: int) -> list[int]:
    """All of n lines, or LIMIT of them in blocks of neighbours, spread evenly."""
    if n <= LIMIT:
        return list(range(n))
    step = n * BLOCK // LIMIT
    return [a + k for a in range(0, n - BLOCK + 1, step) for k in range(BLOCK)]


def _length_offsets(pairs: Sequence[TextPair], lines: list[int]) -> list[int]:
    """A shift by any number of lines shows in the lengths: the peak of their correlation."""
    lengths = torch.tensor([[len(side) for side in pairs[n]] for n in lines]).double()
    ranks = lengths.argsort(0).argsort(0).double()
    ranks = (ranks - ranks.mean(0)) / ranks.std(0).clamp(min=1e-9)
    spectrum = torch.fft.rfft(ranks, 2 * len(lines), dim=0)
    product = torch.fft.irfft(spectrum[:, 1] * spectrum[:, 0].conj(), 2 * len(lines))
    peak = int(product.argmax())
    offset = peak if peak < len(lines) else peak - 2 * len(lines)
    return [] if offset in OFFSETS else [offset]


def _best_path(scores: list[list[float]]) -> list[int]:
    """The state of each line, where every change of state costs SWITCH (Viterbi 1967)."""
    totals = [0.0] * len(scores[0])
    origins = []
    for line in scores:
        best = max(range(len(totals)), key=totals.__getitem__)
        limit = totals[best] - SWITCH
        origins.append([k if total >= limit else best for k, total in enumerate(totals)])
        totals = [max(total, limit) + score for total, score in zip(totals, line, strict=True)]
    state = max(range(len(totals)), key=totals.__getitem__)
    path = []
    for origin in reversed(origins):
        path.append(state)
        state = origin[state]
    return path[::-1]


def _stretches(offsets: list[int], lines: list[int], n: int) -> list[Stretch]:
    groups = itertools.groupby(range(len(offsets)), key=offsets.__getitem__)
    starts = [(next(group), offset) for offset, group in groups]
    firsts = [0, *(lines[first] for first, _ in starts[1:]), n]
    return [
        Stretch(a, b, offset)
        for (a, b), (_, offset) in zip(itertools.pairwise(firsts), starts, strict=True)
    ]


def _exchanged_neighbours(lexicon: Lexicon, score: Tensor, i: Tensor, j: Tensor) -> dict[int, int]:
    """Neighbours that fit each other's target line much better than their own."""
    beside = (i.diff() == 1) & (j.diff() == 1)
    across = lexicon.score(i[:-1], j[1:]) + lexicon.score(i[1:], j[:-1])
    # All four with the votes of all pairs: neighbours that are alike have each other's.
    straight = lexicon.score(i, j)
    gain = across - straight[:-1] - straight[1:]
    found: dict[int, int] = {}
    for k in (beside & (gain > NEIGHBOUR_GAIN) & (across > 2 * FITS)).nonzero().flatten().tolist():
        found |= {int(i[k]): int(j[k + 1]), int(i[k + 1]): int(j[k])}
    return found


def _exchanged_anywhere(
    lexicon: Lexicon, score: Tensor, i: Tensor, j: Tensor, known: dict[int, int]
) -> dict[int, int]:
    """Of the lines that fit their own badly, those that are each other's best partner."""
    own = score[i]
    worst = own.argsort(stable=True)[:SUSPECTS]
    worst = worst[own[worst] < FITS]
    if len(worst) < 2:
        return {}
    i, j, own = i[worst], j[worst], own[worst]
    scores = lexicon.score_all(i, j)
    value, best = scores.max(1)
    here = torch.arange(len(i))
    mutual = scores.argmax(0)[best] == here
    sure = mutual & (value > FITS) & (value > own + GAIN) & (best != here)
    found = {int(i[k]): int(j[best[k]]) for k in sure.nonzero().flatten().tolist()}
    return {src: tgt for src, tgt in found.items() if src not in known}
