"""Search against what it should equal: greedy, exhaustive, plain and forced decoding.

`reference` is beam search as its docstring tells it: one sentence, one loop, nothing kept.
"""

import copy
import functools
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from translator.config.schema import SearchConfig
from translator.model.batch import pad_right
from translator.model.incremental import NEVER, IncrementalDecoder
from translator.model.transformer import Transformer
from translator.search.beam import beam_search
from translator.search.continuations import best_continuations, repeated
from translator.search.hypothesis import Hypothesis, length_divisor
from translator.search.sampling import sample
from translator.system.seeds import derive_seed
from translator.text.tokenizer import BOS, EOS, PAD

SOURCES = [[5, 4, 6, 5, 4], [6], [4, 4, 5], [5, 6], [6, 5, 5, 4], [4]]
PIECES = (4, 5, 6)  # all that there are beside the special ones


class Dice(IncrementalDecoder):
    """A model that throws dice: all it says is a random function of the source and the past.

    Unlike a Transformer that has learnt nothing, it does not like to repeat itself, and is as
    likely to be sure as not.
    """

    def __init__(self, seed: int):
        self.seed = seed

    @functools.cache  # noqa: B019 - they live as long as the tests
    def throw(self, source: tuple[int, ...], ids: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Logits `(V,)` of the piece after `ids`, and the attention to the source `(S,)`."""
        seed = derive_seed(self.seed, *source, *ids)
        random = torch.Generator().manual_seed(seed)
        logits = torch.randn(7, generator=random) * 2.5
        logits[NEVER] = float("-inf")
        return logits, (torch.randn(len(source) + 1, generator=random) * 2).softmax(dim=0)

    def start(self, src: Tensor) -> "Past":  # type: ignore[override]
        rows = [tuple(i for i in row if i not in (PAD, EOS)) for row in src.tolist()]
        return Past(rows, src.shape[1], [[()] for _ in rows])

    def step(self, last: Tensor, state: "Past"):  # type: ignore[override]
        if state.ids == [[()]] * len(last):
            state.ids = [[()] * last.shape[1] for _ in last]
        state.ids = [
            [(*ids, piece) for ids, piece in zip(known, row, strict=True)]
            for known, row in zip(state.ids, last.tolist(), strict=True)
        ]
        thrown = [
            self.throw(source, ids[1:])  # without BOS
            for source, known in zip(state.sources, state.ids, strict=True)
            for ids in known
        ]
        logits = torch.stack([logits for logits, _ in thrown]).view(*last.shape, -1)
        weights = pad_right([weights.tolist() for _, weights in thrown])
        weights = torch.nn.functional.pad(weights, (0, state.width - weights.shape[1]))
        return logits, [weights.view(*last.shape, 1, -1)]

    def plain(self, source: Sequence[int], rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """As `plain_log_probs`, but logits and the attention of each step."""
        thrown = [
            self.throw(tuple(source), tuple(ids[:n])) for ids in rows for n in range(len(ids) + 1)
        ]
        logits, weights = zip(*thrown, strict=True)
        shape = (len(rows), -1)
        return torch.stack(logits).unflatten(0, shape), torch.stack(weights).unflatten(0, shape)


@dataclass
class Past:
    """Where a search by `Dice` stands."""

    sources: list[tuple[int, ...]]
    width: int  # of the padded sources
    ids: list[list[tuple[int, ...]]]  # of each source's hypotheses, BOS first

    def reorder(self, parents: Tensor) -> None:
        self.ids = [
            [known[k] for k in row] for known, row in zip(self.ids, parents.tolist(), strict=True)
        ]

    def keep(self, rows: Tensor) -> None:
        self.sources, self.ids = ([x[i] for i in rows.tolist()] for x in (self.sources, self.ids))


Model = Transformer | Dice
Models = Sequence[Model]


@pytest.fixture(scope="module")
def lively_model(make_model) -> Callable[..., Transformer]:
    """Builds a random model whose translations vary, by larger weights and less of its input."""

    def build(seed: int, **changes: object) -> Transformer:
        model = make_model(seed=seed, **{"vocab_size": 7, "norm": "pre", **changes})
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.dim() > 1:
                    parameter *= 0.5 if name == "embedding.weight" else 4
                else:
                    parameter += 0.3 * torch.randn(parameter.shape)
        return model

    return build


@pytest.fixture(scope="module", params=["post", "pre", "dice"])
def models(request, lively_model) -> Models:
    """Two; the vocabulary is the four special pieces and 4, 5, 6."""
    if request.param == "dice":
        return [Dice(1), Dice(2)]
    return [lively_model(seed, norm=request.param) for seed in (6, 4)]


@pytest.fixture(scope="module")
def model(models: Models) -> Model:
    return models[0]


def source_batch(sources: Sequence[Sequence[int]]) -> Tensor:
    return pad_right([[*ids, EOS] for ids in sources])


def prefix_batch(prefixes: Sequence[Sequence[int]]) -> Tensor | None:
    return pad_right(prefixes).long() if any(prefixes) else None


# --- plain decoding -----------------------------------------------------------------------------


@torch.inference_mode()
def plain_log_probs(
    models: Models, source: Sequence[int], rows: Sequence[Sequence[int]]
) -> tuple[Tensor, Tensor]:
    """Of each next piece `(len(rows), T + 1, V)`, the rows of like length T, without cache.

    The mean of probabilities, if there are several models. And the attention that each piece of the
    source got in all, `(len(rows), S)`.
    """
    src = source_batch([source] * len(rows))
    tgt_in = torch.tensor([[BOS, *ids] for ids in rows])
    probabilities, coverage = [], []
    for model in models:
        if isinstance(model, Dice):
            logits, weights = model.plain(source, rows)
        else:
            states, layers = model.decode_states(tgt_in, *model.encode(src), need_weights=True)
            logits = model.project(states)
            logits[..., NEVER] = float("-inf")
            weights = torch.stack(layers).mean(dim=(0, 2))  # of (layers, B, H, T, S)
        probabilities.append(logits.softmax(dim=-1))
        coverage.append(weights.sum(dim=1))
    return torch.stack(probabilities).mean(dim=0).log(), torch.stack(coverage).mean(dim=0)


def forced(
    models: Models, source: Sequence[int], ids: Sequence[int], config: SearchConfig
) -> Hypothesis:
    """What a search should say of `ids`."""
    log_probs, coverage = plain_log_probs(models, source, [ids])
    log_prob = float(log_probs[0].gather(1, torch.tensor([[*ids, EOS]]).T).sum())
    length = len(ids) + 1  # EOS counts
    base = (5 + length) / 6 if config.length_rule == "gnmt" else length
    missed = float(coverage[0].clamp(max=1).log().sum()) if config.coverage_penalty else 0.0
    score = (log_prob + config.length_reward * length) / base**config.length_penalty
    score += config.coverage_penalty * missed
    return Hypothesis(list(ids), log_prob, score)


def greedy(
    models: Models, source: Sequence[int], limit: int, prefix: Sequence[int] = ()
) -> list[int]:
    ids = list(prefix)
    while len(ids) < limit:
        piece = int(plain_log_probs(models, source, [ids])[0][0, -1].argmax())
        if piece == EOS:
            break
        ids.append(piece)
    return ids


def limit_of(source: Sequence[int], config: SearchConfig, prefix: Sequence[int] = ()) -> int:
    """EOS counts as a piece of the source."""
    return int(config.max_ratio * (len(source) + 1) + config.max_extra) + len(prefix)


def allowed(ids: Sequence[int], config: SearchConfig, prefix: Sequence[int], limit: int) -> set:
    """The pieces that may follow."""
    if len(ids) < len(prefix):
        return {prefix[len(ids)]}
    if len(ids) >= limit:
        return {EOS}
    n = config.no_repeat_ngram
    pieces = {*PIECES, EOS} if len(ids) >= config.min_length else set(PIECES)
    return {piece for piece in pieces if not n or not repeats([*ids, piece], n, last_only=True)}


def repeats(ids: Sequence[int], n: int, last_only: bool = False) -> bool:
    """Whether an n-gram, or the last one, stands twice in `ids`."""
    counts = Counter(tuple(ids[i : i + n]) for i in range(len(ids) - n + 1))
    return counts[tuple(ids[-n:])] > 1 if last_only else max(counts.values(), default=0) > 1


def reference(
    models: Models,
    source: Sequence[int],
    config: SearchConfig,
    prefix: Sequence[int] = (),
    stops: bool = True,
) -> list[Hypothesis]:
    """Beam search as its docstring tells it, or one that never stops before the limit."""
    width, limit = config.beam_size, limit_of(source, config, prefix)
    live: list[tuple[float, list[int]]] = [(0.0, [])]
    finished: list[Hypothesis] = []
    for length in range(1, limit + 2):  # of what is ended now, with EOS
        scores = plain_log_probs(models, source, [ids for _, ids in live])[0][:, -1].tolist()
        children = []
        for (log_prob, ids), row in zip(live, scores, strict=True):
            pieces = sorted(allowed(ids, config, prefix, limit), key=lambda p: -row[p])  # noqa: B023
            for rank, piece in enumerate(pieces):
                total = log_prob + row[piece]
                children.append((total - config.diversity * rank, total, ids, piece))
        children = sorted(children, key=lambda child: -child[0])[: 2 * width]
        for _, _, ids, piece in children[:width]:
            if piece == EOS:
                finished.append(forced(models, source, ids, config))
        finished = sorted(finished, key=lambda h: -h.score)[:width]
        live = [(total, [*ids, p]) for _, total, ids, p in children if p != EOS][:width]
        if not live:
            break
        best, n_needed, ends = max(log_prob for log_prob, _ in live), width, [length + 1]
        if config.stopping == "exact":
            ends, n_needed = list(range(length + 1, limit + 2)), config.n_best
        bounds = [(best + config.length_reward * n) / length_divisor(n, config) for n in ends]
        if stops and len(finished) >= n_needed and finished[n_needed - 1].score >= max(bounds):
            break
    return finished[: config.n_best]


# --- every feature ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A search; the default is beam search with three hypotheses by one model."""

    changes: dict
    n_models: int = 1
    prefixes: Sequence[Sequence[int]] = ((),) * len(SOURCES)  # one for each of `SOURCES`

    @property
    def config(self) -> SearchConfig:
        defaults = {"beam_size": 3, "n_best": 3, "max_ratio": 1.0, "max_extra": 3}
        return SearchConfig(**(defaults | self.changes))

    @property
    def run(self) -> Callable[..., list[list[Hypothesis]]]:
        return sample if self.config.decode == "sample" else beam_search

    def rows(self) -> Iterator[tuple[int, list[int], Sequence[int]]]:
        """Number, source and prefix."""
        for i, (source, prefix) in enumerate(zip(SOURCES, self.prefixes, strict=True)):
            yield i, source, prefix

    def search(self, models: Models, rows: Sequence[int] = range(len(SOURCES))):
        """Searches for these of `SOURCES` in one batch."""
        src = source_batch([SOURCES[i] for i in rows])
        prefixes = prefix_batch([self.prefixes[i] for i in rows])
        return self.run(models[: self.n_models], src, self.config, prefixes)


PREFIXES = ([4, 4, 5], [], [6], [5, 5, 5, 5, 6, 6, 4, 5, 6, 4, 4, 4], [], [4])
CASES = {
    "plain": Case({}),
    "greedy": Case({"beam_size": 1, "n_best": 1}),
    "wide": Case({"beam_size": 8, "n_best": 8}),
    "alpha": Case({"length_penalty": 0.4}),
    "gnmt": Case({"length_rule": "gnmt", "length_penalty": 0.8}),
    "reward": Case({"length_penalty": 0.0, "length_reward": 0.8}),
    "coverage": Case({"coverage_penalty": 0.6}),
    "diversity": Case({"diversity": 0.7}),
    "no bigram twice": Case({"no_repeat_ngram": 2}),
    "no trigram twice": Case({"no_repeat_ngram": 3, "min_length": 5}),
    "minimum": Case({"min_length": 4}),
    "prefixes": Case({}, prefixes=PREFIXES),
    "ensemble": Case({}, n_models=2),
    "all at once": Case(
        {
            "length_rule": "gnmt",
            "length_reward": 0.2,
            "coverage_penalty": 0.3,
            "diversity": 0.2,
            "no_repeat_ngram": 3,
            "min_length": 2,
        },
        n_models=2,
        prefixes=PREFIXES,
    ),
    "greedy, all at once": Case(
        {"beam_size": 1, "n_best": 1, "no_repeat_ngram": 3, "min_length": 3},
        n_models=2,
        prefixes=PREFIXES,
    ),
    "samples": Case({"decode": "sample", "n_best": 6}),
    "careful samples": Case(
        {"decode": "sample", "n_best": 4, "temperature": 0.6, "top_k": 3, "top_p": 0.9}
    ),
    "samples, all at once": Case(
        {
            "decode": "sample",
            "n_best": 4,
            "length_rule": "gnmt",
            "coverage_penalty": 0.3,
            "no_repeat_ngram": 3,
            "min_length": 2,
        },
        n_models=2,
        prefixes=PREFIXES,
    ),
}
BEAMS = {name: case for name, case in CASES.items() if case.run is beam_search}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
each_beam = pytest.mark.parametrize(
    "case",
    [case for case in BEAMS.values() if case.config.beam_size > 1],
    ids=[name for name, case in BEAMS.items() if case.config.beam_size > 1],
)


def assert_same(found: Sequence[Hypothesis], expected: Sequence[Hypothesis]) -> None:
    assert [h.ids for h in found] == [h.ids for h in expected]
    for name in ("log_prob", "score"):
        values = [getattr(h, name) for h in expected]
        assert [getattr(h, name) for h in found] == pytest.approx(values, abs=1e-4), name


@each_beam
def test_a_batch_is_searched_as_the_plain_loop_does(models: Models, case: Case) -> None:
    found = case.search(models)
    for i, source, prefix in case.rows():
        assert_same(found[i], reference(models[: case.n_models], source, case.config, prefix))


@each_case
def test_scores_are_those_of_forced_decoding(models: Models, case: Case) -> None:
    """And of the model itself, whatever was forbidden or drawn."""
    for source, hypotheses in zip(SOURCES, case.search(models), strict=True):
        expected = [forced(models[: case.n_models], source, h.ids, case.config) for h in hypotheses]
        assert_same(hypotheses, expected)


@each_case
def test_a_sentence_does_not_depend_on_its_batch(models: Models, case: Case) -> None:
    """Nor on those that leave the batch earlier; the prefixes are of different lengths."""
    together = case.search(models)
    backward = case.search(models, range(len(SOURCES))[::-1])[::-1]
    pairs = [h for i in range(0, len(SOURCES), 2) for h in case.search(models, [i, i + 1])]
    for i, found in enumerate(together):
        assert_same(case.search(models, [i])[0], found)
        assert_same(backward[i], found)
        assert_same(pairs[i], found)


@each_case
def test_what_holds_for_every_hypothesis(models: Models, case: Case) -> None:
    config, n_models = case.config, case.n_models
    found = case.search(models)
    for i, source, prefix in case.rows():
        scores = [h.score for h in found[i]]
        assert len(found[i]) == config.n_best
        assert scores == sorted(scores, reverse=True)
        if config.decode == "beam":
            assert len({tuple(h.ids) for h in found[i]}) == config.n_best
        for hypothesis in found[i]:
            ids = hypothesis.ids
            assert set(ids) <= set(PIECES)
            assert ids[: len(prefix)] == list(prefix)
            limit = limit_of(source, config, prefix)
            assert min(config.min_length, limit) <= len(ids) <= limit
            if config.no_repeat_ngram:
                for end in range(len(prefix) + 1, len(ids) + 1):
                    assert not repeats(ids[:end], config.no_repeat_ngram, last_only=True)
        assert n_models == 1 or found[i] != replace_models(case, models)[i]


def replace_models(case: Case, models: Models) -> list[list[Hypothesis]]:
    """What the first model says alone."""
    return replace(case, n_models=1).search(models)


# --- beam search --------------------------------------------------------------------------------


def test_a_beam_of_one_is_greedy(models: Models) -> None:
    config = SearchConfig(beam_size=1, max_ratio=1.0, max_extra=3)
    found = beam_search(models, source_batch(SOURCES), config)
    for source, (hypothesis,) in zip(SOURCES, found, strict=True):
        assert hypothesis.ids == greedy(models, source, limit_of(source, config))


def test_greedy_search_ends_even_where_going_on_would_score_better() -> None:
    """EOS ends it as soon as that is the likeliest piece."""
    config = SearchConfig(beam_size=1, length_penalty=1.5, max_ratio=1.0, max_extra=3)
    n_better = 0
    for model in map(Dice, range(5)):
        found = beam_search(model, source_batch(SOURCES), config)
        for source, (hypothesis,) in zip(SOURCES, found, strict=True):
            assert hypothesis.ids == greedy([model], source, limit_of(source, config))
            (longer,) = reference([model], source, config, stops=False)
            n_better += longer.score > hypothesis.score + 1e-3
    assert n_better


@pytest.mark.parametrize("length_rule", ["plain", "gnmt"])
@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0, 2.0])
def test_a_wide_beam_is_exhaustive_search(model: Model, alpha: float, length_rule) -> None:
    longest = 4
    everything = [
        ids for length in range(longest + 1) for ids in itertools.product(PIECES, repeat=length)
    ]
    config = SearchConfig(
        beam_size=len(everything),
        n_best=len(everything),
        length_penalty=alpha,
        length_rule=length_rule,
        max_ratio=0.0,
        max_extra=longest,
    )
    found = beam_search(model, source_batch(SOURCES[:2]), config)
    for source, hypotheses in zip(SOURCES[:2], found, strict=True):
        scores = {ids: forced([model], source, ids, config).score for ids in everything}
        assert {tuple(h.ids) for h in hypotheses} == scores.keys()
        ordered = sorted(scores.values(), reverse=True)
        assert [h.score for h in hypotheses] == pytest.approx(ordered, abs=1e-4)
        assert tuple(hypotheses[0].ids) == max(scores, key=scores.__getitem__)


STOPPING = [
    Case({"beam_size": k, "n_best": n, "length_penalty": alpha, "length_rule": rule, **more})
    for k, n in ((2, 1), (4, 1), (4, 4))
    for alpha, rule in ((1.0, "plain"), (2.5, "plain"), (-0.5, "plain"), (1.5, "gnmt"))
    for more in ({}, {"coverage_penalty": 0.3}, {"length_reward": 0.7}, {"length_reward": -0.7})
]


@pytest.mark.parametrize("case", STOPPING)
def test_exact_stopping_is_never_stopping(models: Models, case: Case) -> None:
    """No hypothesis that a search to the limit would have found is better."""
    case = replace(case, changes=case.changes | {"stopping": "exact"})
    found = case.search(models)
    for i, source, _ in case.rows():
        assert_same(found[i], reference(models[:1], source, case.config, stops=False))


def test_exact_stopping_is_no_worse_than_fast_and_at_times_better() -> None:
    n_better = 0
    for seed in range(20):
        config = SearchConfig(beam_size=2, length_penalty=1.0, max_ratio=1.0, max_extra=6)
        src = source_batch(SOURCES)
        fast = beam_search(Dice(seed), src, config)
        exact = beam_search(Dice(seed), src, replace(config, stopping="exact"))
        for (one,), (other,) in zip(fast, exact, strict=True):
            assert other.score >= one.score - 1e-5
            n_better += other.score > one.score + 1e-3
    assert n_better


def test_output_is_in_the_order_of_the_input(model: Model) -> None:
    found = CASES["plain"].search([model])
    assert len({(tuple(h[0].ids), h[0].score) for h in found}) > 1
    for i, (source, hypotheses) in enumerate(zip(SOURCES, found, strict=True)):
        assert_same(hypotheses, CASES["plain"].search([model], [i])[0])
        assert hypotheses[0].log_prob == pytest.approx(
            forced([model], source, hypotheses[0].ids, CASES["plain"].config).log_prob, abs=1e-4
        )


@pytest.mark.parametrize("n_best", [1, 3, 6])
def test_n_best_are_the_first_of_more(model: Model, n_best: int) -> None:
    config = SearchConfig(beam_size=6, n_best=n_best, max_extra=3)
    everything = beam_search(model, source_batch(SOURCES), replace(config, n_best=6))
    for found, six in zip(
        beam_search(model, source_batch(SOURCES), config), everything, strict=True
    ):
        assert_same(found, six[:n_best])


def test_hypotheses_hold_no_special_pieces(make_model) -> None:
    """Even from a model that would rather say nothing else."""
    model = make_model(vocab_size=9)
    with torch.no_grad():
        model.embedding.weight[PAD] = 5.0
        model.embedding.weight[BOS] = -5.0
    src = source_batch(SOURCES)
    for found in (
        *beam_search(model, src, SearchConfig(beam_size=4, n_best=4)),
        *beam_search(model, src, SearchConfig(beam_size=1)),
        *sample(model, src, SearchConfig(decode="sample", n_best=4)),
    ):
        assert found and all(min(h.ids, default=4) > EOS for h in found)


@pytest.mark.parametrize("max_ratio, max_extra", [(0.0, 0), (0.0, 3), (1.0, 0), (1.5, 2)])
@pytest.mark.parametrize("changes", [{"beam_size": 1}, {"beam_size": 4}, {"decode": "sample"}])
def test_the_length_limit_is_obeyed(make_model, changes, max_ratio, max_extra) -> None:
    model = make_model(seed=1)
    with torch.no_grad():
        model.embedding.weight[EOS] = 0.0  # its logit is 0: it seldom ends by itself
    n_best = changes.get("beam_size", 4)
    config = SearchConfig(n_best=n_best, max_ratio=max_ratio, max_extra=max_extra, **changes)
    run = sample if config.decode == "sample" else beam_search
    reached = 0
    for source, found in zip(SOURCES, run(model, source_batch(SOURCES), config), strict=True):
        limit = limit_of(source, config)
        assert found and all(len(h.ids) <= limit for h in found)
        reached += any(len(h.ids) == limit for h in found)
    assert reached  # the limit was what ended some


def test_a_wider_beam_finds_no_worse_log_prob_than_greedy(model: Model) -> None:
    """Without length normalisation and wide enough to be exhaustive."""
    wide = SearchConfig(beam_size=200, length_penalty=0.0, max_ratio=0.0, max_extra=4)
    narrow = replace(wide, beam_size=1)
    batch = source_batch(SOURCES)
    for best, first in zip(
        beam_search(model, batch, wide), beam_search(model, batch, narrow), strict=True
    ):
        assert best[0].log_prob >= first[0].log_prob - 1e-5


def test_a_long_search_equals_the_plain_loop(make_model) -> None:
    """Long enough that what nobody sees any more is given up, and that sentences leave."""
    model = make_model(seed=4, vocab_size=7)
    with torch.no_grad():
        model.embedding.weight[EOS] *= 0.3
    config = SearchConfig(beam_size=4, n_best=4, max_ratio=5.0, max_extra=10, stopping="exact")
    found = beam_search(model, source_batch(SOURCES[:3]), config)
    assert max(len(h.ids) for h in found[0]) > 20
    for source, hypotheses in zip(SOURCES[:3], found, strict=True):
        assert_same(hypotheses, reference([model], source, config))


# --- its features -------------------------------------------------------------------------------


def test_each_length_rule_follows_its_formula() -> None:
    plain, gnmt = SearchConfig(length_penalty=0.7), SearchConfig(length_rule="gnmt")
    assert length_divisor(9, plain) == pytest.approx(9**0.7)
    assert length_divisor(7, gnmt) == pytest.approx(2.0)
    assert length_divisor(1, gnmt) == length_divisor(1, plain) == 1.0


def test_a_length_reward_makes_longer_translations(models: Models) -> None:
    """And nothing at all where what counts is the mean of the pieces."""

    def lengths(reward: float, **more: float) -> int:
        config = SearchConfig(beam_size=6, length_reward=reward, max_extra=3, **more)
        found = beam_search(models[0], source_batch(SOURCES), config)
        return sum(len(best.ids) for (best,) in found)

    rewarded = [lengths(reward, length_penalty=0.0) for reward in (0.0, 1.0, 2.0, 5.0)]
    assert rewarded == sorted(rewarded) and rewarded[0] < rewarded[-1]
    assert lengths(1.0) == lengths(0.0)


def test_a_coverage_penalty_makes_a_search_look_at_more_of_the_source(make_model) -> None:
    """A strong one: what the best translations did not look at becomes less."""

    def missed(config: SearchConfig) -> float:
        total = 0.0
        for seed in range(4):
            model = make_model(seed=seed, vocab_size=7)
            for source, (best,) in zip(
                SOURCES, beam_search(model, source_batch(SOURCES), config), strict=True
            ):
                coverage = plain_log_probs([model], source, [best.ids])[1][0]
                total -= float(coverage.clamp(max=1).log().sum())
        return total

    config = SearchConfig(beam_size=6, max_ratio=1.0, max_extra=3)
    assert missed(replace(config, coverage_penalty=5.0)) < 0.7 * missed(config)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_n_grams_are_repeated_without_the_block_only(model: Model, n: int) -> None:
    free = SearchConfig(beam_size=3, n_best=3, min_length=8, max_extra=12)
    blocked = replace(free, no_repeat_ngram=n, min_length=3)
    src = source_batch(SOURCES)
    assert any(repeats(h.ids, n) for found in beam_search(model, src, free) for h in found)
    for config in (
        blocked,
        replace(blocked, beam_size=1, n_best=1),
        replace(blocked, decode="sample"),
    ):
        run = sample if config.decode == "sample" else beam_search
        for found in run(model, src, config):
            assert found and not any(repeats(h.ids, n) for h in found)


@settings(max_examples=50)
@given(ids=st.lists(st.sampled_from(PIECES), max_size=9), n=st.integers(1, 4))
def test_repeated_names_the_pieces_that_would_repeat(ids: list[int], n: int) -> None:
    tokens = torch.tensor([BOS, *ids])[None, None]
    found = set(repeated(tokens, n).flatten().tolist()) - {PAD}
    assert found & set(PIECES) == {p for p in PIECES if repeats([*ids, p], n, last_only=True)}


@pytest.mark.parametrize("changes", [{"beam_size": 1}, {"beam_size": 4}, {"decode": "sample"}])
def test_a_dead_end_still_gives_a_translation(model: Model, changes) -> None:
    """Three pieces, none of them twice, cannot be five: it ends where nothing may follow."""
    config = SearchConfig(no_repeat_ngram=1, min_length=5, max_extra=8, **changes)
    run = sample if config.decode == "sample" else beam_search
    for (hypothesis,) in run(model, source_batch(SOURCES), config):
        assert sorted(hypothesis.ids) == list(PIECES)


def test_a_prefix_longer_than_the_limit_is_the_translation(model: Model) -> None:
    prefixes = [[4, 5, 6, 6], [], [5], [4, 4], [6] * 7, [5, 6]]
    config = SearchConfig(beam_size=3, max_ratio=0.0, max_extra=0)
    for run in (beam_search, sample):
        found = run(model, source_batch(SOURCES), config, prefix_batch(prefixes))
        assert [h[0].ids for h in found] == prefixes


def test_without_pieces_a_prefix_is_none(model: Model) -> None:
    case = CASES["plain"]
    empty = torch.full((len(SOURCES), 3), PAD)
    found = beam_search(model, source_batch(SOURCES), case.config, empty)
    for one, other in zip(found, case.search([model]), strict=True):
        assert_same(one, other)


def test_the_greedy_translation_as_a_prefix_changes_nothing(model: Model) -> None:
    config = SearchConfig(beam_size=1, max_ratio=0.0, max_extra=6)
    found = beam_search(model, source_batch(SOURCES), config)
    prefixes = [h.ids[: i % 3] for i, (h,) in enumerate(found)]
    again = beam_search(model, source_batch(SOURCES), config, prefix_batch(prefixes))
    for source, (hypothesis,), prefix in zip(SOURCES, again, prefixes, strict=True):
        limit = limit_of(source, config, prefix)
        assert hypothesis.ids == greedy([model], source, limit, prefix)
        assert hypothesis.ids[:6] == greedy([model], source, limit)[:6]


def test_diversity_makes_the_n_best_more_varied(make_model) -> None:
    def n_beginnings(diversity: float) -> int:
        config = SearchConfig(beam_size=6, n_best=6, diversity=diversity, max_extra=6)
        total = 0
        for seed in range(4):
            for found in beam_search(make_model(seed=seed), source_batch(SOURCES), config):
                total += len({tuple(h.ids[:3]) for h in found})
        return total

    counts = [n_beginnings(diversity) for diversity in (0.0, 0.5, 2.0)]
    assert counts == sorted(counts) and counts[0] < 0.9 * counts[-1]


def test_endless_diversity_is_greedy_from_each_first_piece(make_model) -> None:
    """No second child is ever as good as a first, except where there is no other hypothesis."""
    model = make_model(seed=1)
    with torch.no_grad():
        model.embedding.weight[EOS] = -5.0  # its logit is so low that the limit ends all
    config = SearchConfig(beam_size=4, n_best=4, diversity=1e4, max_ratio=0.0, max_extra=5)
    for source, found in zip(
        SOURCES, beam_search(model, source_batch(SOURCES), config), strict=True
    ):
        firsts = plain_log_probs([model], source, [[]])[0][0, 0].topk(4).indices.tolist()
        expected = [greedy([model], source, 5, [first]) for first in firsts]
        assert sorted(h.ids for h in found) == sorted(expected)


# --- several models -----------------------------------------------------------------------------


@each_case
def test_an_ensemble_of_one_model_twice_is_that_model(models: Models, case: Case) -> None:
    for found, expected in zip(
        replace(case, n_models=3).search([models[0]] * 3),
        replace(case, n_models=1).search(models),
        strict=True,
    ):
        assert_same(found, expected)


def test_an_ensemble_differs_from_each_of_its_models(make_model) -> None:
    """Nor does the order of the models count."""
    one, other = (make_model(seed=seed) for seed in (1, 2))
    src, config = source_batch(SOURCES), SearchConfig(max_extra=5)
    first, second, both, turned = (
        beam_search(chosen, src, config) for chosen in ([one], [other], [one, other], [other, one])
    )
    for a, b in zip(both, turned, strict=True):
        assert_same(a, b)
    assert [h[0].ids for h in both] != [h[0].ids for h in first]
    assert [h[0].ids for h in both] != [h[0].ids for h in second]


def test_models_of_different_sizes_can_work_together(make_model) -> None:
    several = [
        make_model(seed=1, vocab_size=7),
        make_model(seed=2, vocab_size=7, d_model=24, n_heads=3, n_decoder_layers=1, norm="pre"),
    ]
    config = SearchConfig(beam_size=3, n_best=3, coverage_penalty=0.2, max_extra=2)
    for source, found in zip(
        SOURCES, beam_search(several, source_batch(SOURCES), config), strict=True
    ):
        assert_same(found, reference(several, source, config))


@pytest.mark.parametrize("sizes", [{}, {"d_model": 128, "d_ff": 512, "n_heads": 4}])
def test_a_wide_vocabulary(lively_model, sizes) -> None:
    """Many columns and big matrices have ways of their own, if there are enough rows."""
    model = lively_model(3, vocab_size=1300, **sizes)
    random = torch.Generator().manual_seed(1)
    sources = [torch.randint(4, 1300, (n,), generator=random).tolist() for n in (9, 2, 5, 7, 1)]
    for config in (
        SearchConfig(beam_size=4, n_best=4, max_extra=4),
        SearchConfig(beam_size=4, n_best=4, max_extra=4, diversity=0.3, no_repeat_ngram=1),
        SearchConfig(beam_size=1, max_extra=4),
        SearchConfig(decode="sample", n_best=4, max_extra=4),
        SearchConfig(decode="sample", n_best=4, max_extra=4, top_p=0.8),
        SearchConfig(decode="sample", n_best=4, max_extra=4, top_k=300, temperature=2.0),
    ):
        run = sample if config.decode == "sample" else beam_search
        together = run(model, source_batch(sources), config)
        for source, found in zip(sources, together, strict=True):
            if config.decode == "beam":
                assert_same(run(model, source_batch([source]), config)[0], found)
            assert_same(found, [forced([model], source, h.ids, config) for h in found])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@each_case
def test_a_gpu_finds_the_same(lively_model, case: Case) -> None:
    here = [lively_model(seed) for seed in (6, 4)]
    there = [copy.deepcopy(model).cuda() for model in here][: case.n_models]
    prefixes = prefix_batch(case.prefixes)
    prefixes = None if prefixes is None else prefixes.cuda()
    found = case.run(there, source_batch(SOURCES).cuda(), case.config, prefixes)
    for one, other in zip(found, case.search(here), strict=True):
        assert_same(one, other)


def test_a_model_may_be_made_ready_beforehand(lively_model) -> None:
    model = lively_model(6)
    src, config = source_batch(SOURCES), CASES["plain"].config
    decoder = IncrementalDecoder(model)
    for _ in range(2):
        assert beam_search(decoder, src, config) == beam_search([model], src, config)


# --- sampling -----------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_samples(model: Model) -> None:
    case = CASES["samples"]
    found = case.search([model])
    assert case.search([model]) == found
    torch.manual_seed(99)  # nor does other randomness count
    assert case.search([model]) == found
    twice = sample(model, source_batch([SOURCES[0]] * 2), case.config)
    assert_same(twice[0], twice[1])
    assert_same(twice[0], found[0])
    wider = torch.nn.functional.pad(source_batch(SOURCES), (0, 5), value=PAD)
    for one, other in zip(sample(model, wider, case.config), found, strict=True):
        assert_same(one, other)


def test_other_seeds_give_other_samples(make_model) -> None:
    config = SearchConfig(decode="sample", n_best=4, max_extra=8)
    found = [
        tuple(tuple(h.ids) for h in hypotheses)
        for seed in range(6)
        for hypotheses in sample(
            make_model(), source_batch(SOURCES[:1]), replace(config, seed=seed)
        )
    ]
    assert len(set(found)) == 6


def test_samples_of_a_sentence_differ(make_model) -> None:
    config = SearchConfig(decode="sample", n_best=20, max_extra=8)
    for found in sample(make_model(), source_batch(SOURCES), config):
        assert len(found) == 20
        assert len({tuple(h.ids) for h in found}) > 10


@pytest.mark.parametrize("careful", [{"temperature": 1e-4}, {"top_k": 1}, {"top_p": 1e-9}])
def test_the_most_careful_samples_are_greedy(models: Models, careful) -> None:
    config = SearchConfig(decode="sample", n_best=2, max_ratio=1.0, max_extra=3, **careful)
    for source, found in zip(SOURCES, sample(models, source_batch(SOURCES), config), strict=True):
        assert [h.ids for h in found] == [greedy(models, source, limit_of(source, config))] * 2


def assert_frequencies(
    models: Models, config: SearchConfig, expected: dict[tuple[int, ...], float]
) -> None:
    """Samples of `SOURCES[0]` are as frequent as expected, within five standard deviations."""
    counts = Counter(
        tuple(h.ids)
        for seed in range(12)
        for h in sample(models, source_batch(SOURCES[:1]), replace(config, n_best=250, seed=seed))[
            0
        ]
    )
    n = counts.total()
    assert n == 3000
    assert set(counts) <= {ids for ids, p in expected.items() if p > 0}
    assert sum(expected.values()) == pytest.approx(1, abs=1e-4)
    for ids, p in expected.items():
        assert counts[ids] == pytest.approx(n * p, abs=5 * math.sqrt(n * p * (1 - p)) + 1e-9), ids


def test_samples_follow_their_probabilities(models: Models) -> None:
    """Whole translations of at most two pieces."""
    expected = {}
    for ids in (ids for n in range(3) for ids in itertools.product(PIECES, repeat=n)):
        log_probs = plain_log_probs(models, SOURCES[0], [ids])[0][0]
        ended = [*ids, EOS] if len(ids) < 2 else ids  # at the limit EOS is certain
        expected[ids] = math.exp(sum(float(log_probs[i, piece]) for i, piece in enumerate(ended)))
    config = SearchConfig(decode="sample", max_ratio=0.0, max_extra=2)
    assert_frequencies(models, config, expected)


@pytest.mark.parametrize(
    "cut",
    [{"temperature": 0.5}, {"temperature": 2.0}, {"top_k": 2}, {"top_p": 0.6}, {"top_p": 0.95}],
    ids=str,
)
def test_pieces_are_as_frequent_as_the_settings_say(make_model, cut) -> None:
    """A cut leaves the others in proportion; `top_p` counts at the temperature."""
    model = make_model(seed=2, vocab_size=11)
    config = SearchConfig(
        **{"decode": "sample", "temperature": 0.8, **cut}, min_length=1, max_ratio=0.0, max_extra=1
    )
    log_probs = plain_log_probs([model], SOURCES[0], [[]])[0][0, 0].clone()
    log_probs[EOS] = float("-inf")
    values, pieces = (log_probs / config.temperature).softmax(dim=0).sort(descending=True)
    n_kept = config.top_k or len(pieces)
    within = [i for i in range(n_kept) if i == 0 or values[:i].sum() < config.top_p]
    total = values[within].sum()
    assert_frequencies(
        [model], config, {(int(pieces[i]),): float(values[i] / total) for i in within}
    )


def test_many_pieces_may_be_within_top_p(lively_model) -> None:
    """More than are looked at first, and no other."""
    model = lively_model(3, vocab_size=1300)
    config = SearchConfig(
        **{"decode": "sample", "n_best": 300, "temperature": 3.0, "top_p": 0.9},
        **{"min_length": 1, "max_ratio": 0.0, "max_extra": 1},
    )
    (found,) = sample(model, source_batch(SOURCES[:1]), config)
    log_probs = plain_log_probs([model], SOURCES[0], [[]])[0][0, 0]
    values, pieces = (log_probs / 3.0).softmax(dim=0).sort(descending=True)
    n_within = int((values.cumsum(dim=0) < 0.9).sum()) + 1
    assert 400 < n_within < 1290
    ranks = [pieces.tolist().index(h.ids[0]) for h in found]
    assert max(ranks) <= n_within  # EOS, which may not come, makes room for one more
    assert max(ranks) > 0.9 * n_within


# --- the best of many numbers -------------------------------------------------------------------


@settings(max_examples=60)
@given(
    batch=st.integers(1, 5),
    n_live=st.integers(1, 5),
    width=st.sampled_from([7, 128, 200, 256, 1280, 2560]),
    n=st.sampled_from([1, 2, 6, 10]),
    n_values=st.sampled_from([2, 50, 10**6]),
    n_dead=st.integers(0, 3),
    seed=st.integers(0, 1000),
)
def test_best_continuations_are_topk(
    batch: int, n_live: int, width: int, n: int, n_values: int, n_dead: int, seed: int
) -> None:
    """Ties may fall either way; dead hypotheses and forbidden pieces come last."""
    random = torch.Generator().manual_seed(seed)
    scores = -torch.randint(n_values, (batch, n_live, width), generator=random) / 7.0
    scores[torch.rand(scores.shape, generator=random) < 0.1] = float("-inf")
    log_probs = -torch.rand(batch, n_live, generator=random)
    log_probs[:, n_live - min(n_dead, n_live - 1) :] = float("-inf")
    sums = (scores + log_probs[:, :, None]).flatten(1)
    n = min(n, sums.shape[1])
    found, places = best_continuations(scores, log_probs, n)
    assert torch.equal(found, sums.topk(n).values)
    assert torch.equal(sums.gather(1, places), found)
    for row, values in zip(places.tolist(), found.tolist(), strict=True):
        real = [place for place, value in zip(row, values, strict=True) if value > float("-inf")]
        assert len(set(real)) == len(real)
