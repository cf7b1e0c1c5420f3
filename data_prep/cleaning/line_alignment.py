"""Whether line n of one side translates line n of the other, judged by the corpus itself.

IBM Model 1 (Brown et al. 1993) learns from the pairs which words translate each other. A pair's
score is how much better its source words explain its target words than chance does, in nats. The
pair's own vote is excluded, as it would always support itself. Pairs that belong together score 11
(500 captions) to 27 (10,000 sentences of news) on average, shuffled ones less than 3.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from data_prep.cleaning.ibm_model1 import Lexicon, Words, number_words
from translator.text.lines import TextPair

LIMIT = 30_000  # lines to check; in a larger corpus, blocks spread over all of it
BLOCK = 1000
TRIAL = 1000  # pairs from which the shift is guessed
LEARN = 10_000  # pairs that the lexicon is learnt from
OFFSETS = (0, 1, -1, 2, -2, 3, -3)  # shifts to try, in lines, besides the one that FFT finds

CAP = 10.0  # the most that one line counts for a shift: no single line may decide
SWITCH = 40.0  # nats that a change of the shift must gain, as three lines or more do
WORST = 0.1  # share of pairs excluded from learning the second lexicon

# Exchanged lines are looked for among the worst ones. Clean parts of 500 to 10,500 pairs hold at
# most 0.1 % that fit another line better by GAIN; nine in ten of the truly exchanged ones do.
SUSPECTS = 2000
FITS = 5.0  # the least score of a line where it belongs; 1 % to 6 % of clean lines score less
GAIN = 8.0  # nats by which a line must fit another line better than its own
# The same for two neighbours at once: no clean part has any, of exchanged ones nine in ten do.
NEIGHBOUR_GAIN = 14.0
MOST_UNSEEN = 30.0  # how many unseen ones a find may represent: chance finds grow as much
# Pairs that score less are unrelated: 0 to 4 % of clean pairs, 39 % to 92 % of shuffled ones.
RELATED = 2.0


# (source lines, target lines) -> scores
Score = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Stretch:
    """Lines `first` to before `end`, where source line n belongs to target line n + `offset`."""

    first: int
    end: int
    offset: int


@dataclass(frozen=True)
class Alignment:
    """How the lines of a corpus belong together; all line numbers count from 0."""

    checked: int  # lines looked at
    stretches: list[Stretch]  # all of the corpus, in order
    exchanged: dict[int, int]  # source line -> the target line that translates it
    exchanged_share: float  # an estimate for the whole corpus
    unrelated: list[int]  # checked lines whose sides have nothing to do with each other


def check_alignment(pairs: Sequence[TextPair]) -> Alignment:
    """Finds which lines belong together, for a corpus of several hundred pairs or more."""
    lines = sampled_lines(len(pairs))
    src, tgt, numbers = number_words([pairs[n] for n in lines])
    n, every = len(lines), torch.arange(len(lines))

    def shifted(offset: int | Tensor, of: Tensor = every) -> tuple[Tensor, Tensor]:
        """The pairs of a source line and a target line that both exist."""
        j = of + offset
        exists = (j >= 0) & (j < n)
        return of[exists], j[exists]

    # Which shift explains the most? A short look is enough.
    some = torch.arange(0, n, max(1, n // TRIAL))
    offsets = [*OFFSETS, *_length_offsets(pairs, lines)]

    def quality(offset: int) -> float:
        i, j = shifted(offset, some)
        lexicon = Lexicon(src, tgt, len(numbers), i, j, 2)
        return float(_score(lexicon, src, tgt, i, j, own=True).mean())

    # Source line n belongs to target line n + belongs[n].
    belongs = torch.full((n,), max(offsets, key=quality))
    learn = torch.arange(0, n, -(-n // LEARN))
    for attempt in (1, 2):
        i, j = shifted(belongs[learn], learn)
        lexicon = Lexicon(src, tgt, len(numbers), i, j)
        score_lines = partial(_score, lexicon, src, tgt)
        learnt = torch.zeros(n, dtype=torch.bool).index_fill(0, i, True)
        scores = torch.zeros(len(offsets), n)
        for k, offset in enumerate(offsets):
            i, j = shifted(offset)
            own = learnt[i] & (belongs[i] == offset)
            scores[k, i[own]] = score_lines(i[own], j[own], own=True)
            scores[k, i[~own]] = score_lines(i[~own], j[~own])
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
    neighbours = _exchanged_neighbours(score_lines, i, j)
    others = _exchanged_anywhere(
        lambda i, j: lexicon.score_all(src.select(i), tgt.select(j)), score, i, j, neighbours
    )
    # Lines whose partner is in no block cannot be found; those that are found represent them.
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


def _score(
    lexicon: Lexicon, src: Words, tgt: Words, i: Tensor, j: Tensor, own: bool = False
) -> Tensor:
    """`(len(i),)`, how well source line `i[n]` explains target line `j[n]`."""
    return lexicon.score(src.select(i), tgt.select(j), own)[0]


def sampled_lines(n: int) -> list[int]:
    """All of n lines, or LIMIT of them in blocks of neighbours, spread evenly."""
    if n <= LIMIT:
        return list(range(n))
    step = n * BLOCK // LIMIT
    return [a + k for a in range(0, n - BLOCK + 1, step) for k in range(BLOCK)]


def _length_offsets(pairs: Sequence[TextPair], lines: list[int]) -> list[int]:
    """Guesses the shift from the lengths of lines: the peak of their cross-correlation."""
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


def _exchanged_neighbours(score: Score, i: Tensor, j: Tensor) -> dict[int, int]:
    """Neighbours that fit each other's target line much better than their own."""
    beside = (i.diff() == 1) & (j.diff() == 1)
    across = score(i[:-1], j[1:]) + score(i[1:], j[:-1])
    # All four scores include the votes of all pairs: similar neighbours vote for each other.
    straight = score(i, j)
    gain = across - straight[:-1] - straight[1:]
    found: dict[int, int] = {}
    for k in (beside & (gain > NEIGHBOUR_GAIN) & (across > 2 * FITS)).nonzero().flatten().tolist():
        found |= {int(i[k]): int(j[k + 1]), int(i[k + 1]): int(j[k])}
    return found


def _exchanged_anywhere(
    score_all: Score, score: Tensor, i: Tensor, j: Tensor, known: dict[int, int]
) -> dict[int, int]:
    """Lines that fit their own partner badly, and each other best."""
    own = score[i]
    worst = own.argsort(stable=True)[:SUSPECTS]
    worst = worst[own[worst] < FITS]
    if len(worst) < 2:
        return {}
    i, j, own = i[worst], j[worst], own[worst]
    scores = score_all(i, j)
    value, best = scores.max(1)
    here = torch.arange(len(i))
    mutual = scores.argmax(0)[best] == here
    sure = mutual & (value > FITS) & (value > own + GAIN) & (best != here)
    found = {int(i[k]): int(j[best[k]]) for k in sure.nonzero().flatten().tolist()}
    return {src: tgt for src, tgt in found.items() if src not in known}
