"""Beam search against what it should equal: greedy, exhaustive and forced decoding."""

import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from translator.config import SearchConfig
from translator.data import pad_right
from translator.model import Transformer
from translator.search import Hypothesis, beam_search
from translator.tokenizer import BOS, EOS, PAD, UNK

NEVER = [PAD, UNK, BOS]  # pieces that no translation holds
SOURCES = [[5, 4, 6, 5, 4], [6], [4, 4, 5], [5, 6], [6, 5, 5, 4], [4]]


@pytest.fixture(scope="module", params=["post", "pre"])
def model(request, make_model) -> Transformer:
    """Vocabulary: the four special pieces and 4, 5, 6. Larger weights make it less undecided."""
    model = make_model(seed=5, vocab_size=7, norm=request.param)
    with torch.no_grad():
        model.embedding.weight *= 1.5
    return model


def source_batch(sources: list[list[int]]) -> Tensor:
    return pad_right([[*ids, EOS] for ids in sources])


@torch.inference_mode()
def forced_log_prob(model: Transformer, source: list[int], ids: list[int]) -> float:
    """Of `ids` and EOS after the source, without cache, among the pieces that may stand there."""
    logits = model(source_batch([source]), torch.tensor([[BOS, *ids]]))[0]
    logits[:, NEVER] = float("-inf")
    return float(logits.log_softmax(dim=-1).gather(1, torch.tensor([[*ids, EOS]]).T).sum())


@torch.inference_mode()
def greedy(model: Transformer, source: list[int], limit: int) -> list[int]:
    ids: list[int] = []
    while len(ids) < limit:
        logits = model(source_batch([source]), torch.tensor([[BOS, *ids]]))[0, -1]
        logits[NEVER] = float("-inf")
        if (piece := int(logits.argmax())) == EOS:
            break
        ids.append(piece)
    return ids


def test_a_beam_of_one_is_greedy(model: Transformer) -> None:
    config = SearchConfig(beam_size=1, max_ratio=2.0, max_extra=2)
    found = beam_search(model, source_batch(SOURCES), config)
    for source, (hypothesis,) in zip(SOURCES, found, strict=True):
        assert hypothesis.ids == greedy(model, source, 2 * (len(source) + 1) + 2)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0, 2.0])
def test_a_wide_beam_is_exhaustive_search(model: Transformer, alpha: float) -> None:
    longest = 4
    everything = [
        list(ids)
        for length in range(longest + 1)
        for ids in itertools.product((4, 5, 6), repeat=length)
    ]
    config = SearchConfig(
        beam_size=len(everything),
        n_best=len(everything),
        length_penalty=alpha,
        max_ratio=0.0,
        max_extra=longest,
    )
    for source, found in zip(
        SOURCES[:3], beam_search(model, source_batch(SOURCES[:3]), config), strict=True
    ):
        scores = {
            tuple(ids): forced_log_prob(model, source, ids) / (len(ids) + 1) ** alpha
            for ids in everything
        }
        assert {tuple(h.ids) for h in found} == scores.keys()
        ordered = sorted(scores.values(), reverse=True)
        assert [h.score for h in found] == pytest.approx(ordered, abs=1e-4)
        assert tuple(found[0].ids) == max(scores, key=scores.__getitem__)


@pytest.mark.parametrize("beam_size", [1, 3, 5])
def test_score_is_the_forced_log_prob_by_length(model: Transformer, beam_size: int) -> None:
    config = SearchConfig(beam_size=beam_size, n_best=beam_size, length_penalty=0.7, max_extra=3)
    for source, found in zip(
        SOURCES, beam_search(model, source_batch(SOURCES), config), strict=True
    ):
        for hypothesis in found:
            expected = forced_log_prob(model, source, hypothesis.ids)
            assert hypothesis.log_prob == pytest.approx(expected, abs=1e-4)
            length = len(hypothesis.ids) + 1  # EOS counts
            assert hypothesis.score == pytest.approx(expected / length**0.7, abs=1e-4)


def same(one: list[Hypothesis], other: list[Hypothesis]) -> bool:
    scores = [h.score for h in other]
    return [h.ids for h in one] == [h.ids for h in other] and [
        h.score for h in one
    ] == pytest.approx(scores, abs=1e-4)


@pytest.mark.parametrize("beam_size", [1, 2, 5])
def test_a_batch_gives_what_single_sentences_give(model: Transformer, beam_size: int) -> None:
    config = SearchConfig(beam_size=beam_size, n_best=beam_size, max_ratio=1.5, max_extra=2)
    together = beam_search(model, source_batch(SOURCES), config)
    for source, found in zip(SOURCES, together, strict=True):
        assert same(found, beam_search(model, source_batch([source]), config)[0])


def test_output_is_in_the_order_of_the_input(model: Transformer) -> None:
    config = SearchConfig(beam_size=3, max_extra=3)
    forward = beam_search(model, source_batch(SOURCES), config)
    backward = beam_search(model, source_batch(SOURCES[::-1]), config)
    assert all(same(a, b) for a, b in zip(forward, backward[::-1], strict=True))
    assert len({(tuple(found[0].ids), found[0].score) for found in forward}) > 1


@pytest.mark.parametrize("n_best", [1, 3, 6])
def test_n_best_are_sorted_and_distinct(model: Transformer, n_best: int) -> None:
    config = SearchConfig(beam_size=6, n_best=n_best, max_extra=3)
    everything = beam_search(model, source_batch(SOURCES), replace(config, n_best=6))
    for found, six in zip(
        beam_search(model, source_batch(SOURCES), config), everything, strict=True
    ):
        assert len(found) == n_best
        assert len({tuple(h.ids) for h in found}) == n_best
        assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
        assert same(found, six[:n_best])


def test_hypotheses_hold_no_special_pieces(make_model) -> None:
    """Even from a model that would rather say nothing else."""
    model = make_model(vocab_size=9)
    with torch.no_grad():
        model.embedding.weight[PAD] = 5.0
        model.embedding.weight[BOS] = -5.0
    config = SearchConfig(beam_size=4, n_best=4)
    for found in beam_search(model, source_batch(SOURCES), config):
        assert all(min(h.ids, default=4) > EOS for h in found)


@pytest.mark.parametrize("max_ratio, max_extra", [(0.0, 0), (0.0, 3), (1.0, 0), (1.5, 2)])
@pytest.mark.parametrize("beam_size", [1, 4])
def test_the_length_limit_is_obeyed(make_model, beam_size: int, max_ratio, max_extra) -> None:
    model = make_model(seed=1)
    with torch.no_grad():
        model.embedding.weight[EOS] = 0.0  # its logit is 0: it seldom ends by itself
    config = SearchConfig(
        beam_size=beam_size, n_best=beam_size, max_ratio=max_ratio, max_extra=max_extra
    )
    reached = 0
    for source, found in zip(
        SOURCES, beam_search(model, source_batch(SOURCES), config), strict=True
    ):
        limit = int(max_ratio * (len(source) + 1) + max_extra)
        assert found and all(len(h.ids) <= limit for h in found)
        reached += any(len(h.ids) == limit for h in found)
    assert reached  # the limit was what ended some


def test_a_wider_beam_finds_no_worse_log_prob_than_greedy(model: Transformer) -> None:
    """Without length normalisation and wide enough to be exhaustive."""
    wide = SearchConfig(beam_size=200, length_penalty=0.0, max_ratio=0.0, max_extra=4)
    narrow = replace(wide, beam_size=1)
    batch = source_batch(SOURCES)
    for best, first in zip(
        beam_search(model, batch, wide), beam_search(model, batch, narrow), strict=True
    ):
        assert best[0].log_prob >= first[0].log_prob - 1e-5
