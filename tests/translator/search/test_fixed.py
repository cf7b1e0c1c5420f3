"""A search in fixed buffers, with its steps replayed, finds what the plain one does."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.support import tape
from translator.config.schema import SearchConfig
from translator.model.batch import pad_right
from translator.model.incremental import IncrementalDecoder
from translator.search import fixed
from translator.search.beam import beam_search
from translator.search.fixed import FixedSearch
from translator.search.hypothesis import Hypothesis
from translator.system import graphs
from translator.text.tokenizer import EOS

V = 120
BEAM = SearchConfig(batch_tokens=64, max_ratio=1.2, max_extra=5)
GREEDY = replace(BEAM, beam_size=1)
SETTINGS = {
    "greedy": GREEDY,
    "greedy up to a limit": replace(GREEDY, max_ratio=0.5, max_extra=2),
    "beam": BEAM,
    "beam without a penalty": replace(BEAM, length_penalty=0.0, n_best=5, max_ratio=0.5),
    "beam for long ones": replace(BEAM, length_penalty=2.0, length_reward=0.3, n_best=2),
    "beam by another rule": replace(BEAM, length_rule="gnmt", length_penalty=0.6, max_ratio=0.6),
    "nothing but ends": replace(BEAM, n_best=5, max_ratio=0, max_extra=0),
    "wide and diverse": replace(BEAM, beam_size=9, n_best=3, diversity=0.5),
    "a batch that is not full": replace(BEAM, n_best=5, batch_tokens=400, max_ratio=0.3),
}


@pytest.fixture(scope="module")
def decoders(make_model) -> list[IncrementalDecoder]:
    """Two whose translations vary, and end early or late."""
    return [varied_decoder(make_model, seed) for seed in (4, 2)]


def varied_decoder(
    make_model, seed: int, device: str = "cpu", **options: object
) -> IncrementalDecoder:
    """By larger weights, and an output that does not favour the piece that was read."""
    shape = {"norm": "pre", "vocab_size": V, "n_encoder_layers": 1}
    model, other = (make_model(seed=s, **shape) for s in (seed, seed + 1))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter *= 4
            else:
                parameter += 0.3 * torch.randn(parameter.shape)
        model.embedding.weight /= 4
        other.embedding.weight *= 2
    decoder = IncrementalDecoder(model.to(device), **options)
    decoder.output = IncrementalDecoder(other.to(device), **options).output
    decoder.output.bias[EOS] += 5
    return decoder


@pytest.fixture(autouse=True)
def replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixed, "record", tape.record)


def sources(*lengths: int, seed: int = 1) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    rows = [torch.randint(4, V, (n,), generator=random).tolist() for n in lengths]
    return pad_right([[*ids, EOS] for ids in rows])


SHORT = sources(*range(11), 3, 2)
LONG = sources(9, 30, 17, 1, 34, 20, 20, 20, 5)


def assert_same(found: list[list[Hypothesis]], expected: list[list[Hypothesis]]) -> None:
    assert [[h.ids for h in each] for each in found] == [[h.ids for h in each] for each in expected]
    for one, other in zip(sum(found, []), sum(expected, []), strict=True):
        assert (one.log_prob, one.score) == pytest.approx((other.log_prob, other.score), abs=1e-4)


@pytest.mark.parametrize("config", SETTINGS.values(), ids=SETTINGS)
def test_it_finds_the_same(decoders: list[IncrementalDecoder], config: SearchConfig) -> None:
    decoder, search = decoders[0], FixedSearch()
    for src in (SHORT, LONG, SHORT.flip(0)[:8]):  # the last one in buffers of the first
        assert_same(search.beam_search(decoder, src, config), beam_search(decoder, src, config))
    n_sources = {len(buffers.limits) for buffers in search.buffers.values()}
    assert len(search.buffers) in (2, 3) and max(n_sources) >= len(SHORT)


def test_hypotheses_are_of_many_lengths(decoders: list[IncrementalDecoder]) -> None:
    """So that the test above tests something."""
    for config in (GREEDY, BEAM):
        lengths = {len(found[0].ids) for found in beam_search(decoders[0], LONG, config)}
        assert len(lengths) > 5 and max(lengths) > 32, lengths


@pytest.mark.parametrize("config", [GREEDY, BEAM], ids=["greedy", "beam"])
def test_ensembles_and_few_pieces(
    make_model, decoders: list[IncrementalDecoder], config: SearchConfig
) -> None:
    few = varied_decoder(make_model, 4, pieces=[*range(4), *range(4, V, 2)])
    for models in (decoders, few):
        found = FixedSearch().beam_search(models, LONG, config)
        assert_same(found, beam_search(models, LONG, config))
        assert found != beam_search(decoders[0], LONG, config)


@pytest.mark.parametrize(
    "config",
    [
        replace(BEAM, no_repeat_ngram=2),
        replace(BEAM, min_length=3),
        replace(BEAM, coverage_penalty=0.2),
        replace(BEAM, stopping="exact"),
    ],
)
def test_what_it_does_not_do_is_done_plainly(
    decoders: list[IncrementalDecoder], config: SearchConfig
) -> None:
    search = FixedSearch()
    found = search.beam_search(decoders, SHORT, config)
    assert found == beam_search(decoders, SHORT, config) and not search.buffers
    prefixes = SHORT[:, :2]
    found = search.beam_search(decoders, SHORT, BEAM, prefixes)
    assert found == beam_search(decoders, SHORT, BEAM, prefixes) and not search.buffers


def test_without_memory_a_search_is_plain(
    monkeypatch: pytest.MonkeyPatch, decoders: list[IncrementalDecoder]
) -> None:
    search = FixedSearch()
    search.beam_search(decoders, SHORT, BEAM)

    def fail(*arguments: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(fixed, "FixedState", fail)
    assert search.beam_search(decoders, LONG, BEAM) == beam_search(decoders, LONG, BEAM)
    assert not search.buffers


def test_only_some_buffers_are_kept(
    monkeypatch: pytest.MonkeyPatch, decoders: list[IncrementalDecoder]
) -> None:
    monkeypatch.setattr(fixed, "_MOST_SHAPES", 2)
    search = FixedSearch()
    for seed in (1, 2, 1, 3, 3):
        search.beam_search(decoders, SHORT[:, -3:], replace(GREEDY, max_extra=1, seed=seed))
    assert [key[-1].seed for key in search.buffers] == [1, 3]


@torch.inference_mode()
def test_a_tape_is_like_a_graph() -> None:
    total, ones = torch.zeros(2), torch.ones(2)
    replay = tape.record(lambda: total.add_(ones * 2), total.device)
    assert total.tolist() == [0, 0]
    replay()
    ones += 1
    replay()
    assert total.tolist() == [6, 6]
    for asking in (bool, float, torch.nonzero, lambda sums: torch.equal(sums, sums)):
        with pytest.raises(AssertionError, match="waits for the device"):
            tape.record(lambda asking=asking: asking(total.sum()), total.device)
    with pytest.raises(AssertionError, match="made elsewhere"):
        tape.record(lambda: total.add_(torch.ones(2)), total.device)


def test_several_threads_take_turns(decoders: list[IncrementalDecoder]) -> None:
    search = FixedSearch()
    batches = [sources(*range(8), 20, seed=seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda src: search.beam_search(decoders, src, GREEDY), batches))
    for src, hypotheses in zip(batches, found, strict=True):
        assert_same(hypotheses, beam_search(decoders, src, GREEDY))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("config", SETTINGS.values(), ids=SETTINGS)
def test_a_gpu_finds_the_same(
    monkeypatch: pytest.MonkeyPatch, make_model, config: SearchConfig
) -> None:
    monkeypatch.setattr(fixed, "record", graphs.record)
    here, there = (varied_decoder(make_model, 4, device=device) for device in ("cpu", "cuda"))
    search = FixedSearch()
    for src in (SHORT, LONG, SHORT.flip(0)[:8]):
        found = search.beam_search(there, src.cuda(), config)
        assert_same(found, beam_search(here, src, config))
