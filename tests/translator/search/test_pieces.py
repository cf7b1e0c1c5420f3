"""A search among some of the pieces equals one in which the others have no chance."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from translator.config.schema import SearchConfig
from translator.model.batch import pad_right
from translator.model.cache import DecoderState
from translator.model.incremental import IncrementalDecoder
from translator.model.transformer import Transformer
from translator.search.beam import beam_search
from translator.search.hypothesis import Hypothesis
from translator.search.sampling import sample
from translator.text.tokenizer import EOS

V = 300
ALLOWED = [*range(4), *range(4, V, 2)]  # the special ones and the even ones
SETTINGS = [
    SearchConfig(beam_size=4, n_best=4, max_extra=4),
    SearchConfig(beam_size=4, n_best=4, max_extra=4, diversity=0.3, no_repeat_ngram=1),
    SearchConfig(beam_size=3, n_best=3, max_extra=4, min_length=6, coverage_penalty=0.2),
    SearchConfig(beam_size=1, max_extra=4, no_repeat_ngram=2),
    SearchConfig(decode="sample", n_best=4, max_extra=4, top_k=50),
]


class Forbidding(IncrementalDecoder):
    """Computes with all pieces, and gives those that are not allowed no chance."""

    def step(self, last: Tensor, state: DecoderState) -> tuple[Tensor, list[Tensor]]:
        logits, weights = super().step(last, state)
        others = torch.ones(logits.shape[2], dtype=torch.bool)
        others[ALLOWED] = False
        return logits.masked_fill(others, float("-inf")), weights


@pytest.fixture(scope="module")
def models(make_model) -> list[Transformer]:
    """Two whose translations vary."""
    built = [make_model(seed=seed, norm="pre", vocab_size=V) for seed in (1, 2)]
    with torch.no_grad():
        for model in built:
            for name, parameter in model.named_parameters():
                parameter *= 0.5 if name == "embedding.weight" else 4 if parameter.dim() > 1 else 1
    return built


def sources() -> Tensor:
    random = torch.Generator().manual_seed(1)
    rows = [torch.randint(4, V, (n,), generator=random).tolist() for n in (9, 2, 5, 7, 1)]
    return pad_right([[*ids, EOS] for ids in rows])


def search(
    decoders: Sequence[IncrementalDecoder], config: SearchConfig, prefixes: Tensor | None = None
) -> list[list[Hypothesis]]:
    run = sample if config.decode == "sample" else beam_search
    return run(decoders, sources(), config, prefixes)


def check_equal(found: list[list[Hypothesis]], expected: list[list[Hypothesis]]) -> None:
    for some, others in zip(found, expected, strict=True):
        assert [h.ids for h in some] == [h.ids for h in others]
        for one, other in zip(some, others, strict=True):
            assert_close(one.score, other.score, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("config", SETTINGS)
@pytest.mark.parametrize("n_models", [1, 2])
def test_the_others_have_no_chance(models, config: SearchConfig, n_models: int) -> None:
    some = [IncrementalDecoder(model, pieces=ALLOWED) for model in models[:n_models]]
    all_of_them = [Forbidding(model) for model in models[:n_models]]
    found = search(some, config)
    check_equal(found, search(all_of_them, config))
    free = search([IncrementalDecoder(model) for model in models[:n_models]], config)
    assert any(i % 2 for hypotheses in free for h in hypotheses for i in h.ids)
    assert found != free


@pytest.mark.parametrize("config", SETTINGS)
def test_all_pieces_equal_none_given(models, config: SearchConfig) -> None:
    every = IncrementalDecoder(models[0], pieces=range(V))
    check_equal(search([every], config), search([IncrementalDecoder(models[0])], config))


@pytest.mark.parametrize("config", SETTINGS)
def test_a_prefix_of_allowed_pieces(models, config: SearchConfig) -> None:
    prefixes = pad_right([[10, 20, 30], [], [40], [8, 6], [12]]).long()
    some, every = IncrementalDecoder(models[0], pieces=ALLOWED), Forbidding(models[0])
    check_equal(search([some], config, prefixes), search([every], config, prefixes))


@pytest.mark.parametrize("config", SETTINGS)
def test_a_prefix_may_hold_any_piece_and_its_neighbours_do_not_change(models, config) -> None:
    given = [[11, 20, 31], [], [41], [9, 6], [13]]
    decoder = IncrementalDecoder(models[0], pieces=ALLOWED)
    found = search([decoder], config, pad_right(given).long())
    for prefix, hypotheses in zip(given, found, strict=True):
        assert hypotheses
        for hypothesis in hypotheses:
            assert hypothesis.ids[: len(prefix)] == prefix
            assert all(i % 2 == 0 for i in hypothesis.ids[len(prefix) :])
            assert hypothesis.score > float("-inf")
    plain = search([decoder], config)
    assert found[1] and [h.ids for h in found[1]] == [h.ids for h in plain[1]]


def test_models_that_write_other_pieces_are_no_ensemble(models) -> None:
    decoders = [IncrementalDecoder(models[0], pieces=ALLOWED), IncrementalDecoder(models[1])]
    with pytest.raises(ValueError, match="same pieces"):
        search(decoders, SETTINGS[0])


def test_special_pieces_keep_their_places(models) -> None:
    with pytest.raises(ValueError, match="begin with"):
        IncrementalDecoder(models[0], pieces=[4, 5, 6, 7])
