"""The decoder one token at a time equals `Transformer.decode` from scratch, whatever a search does.

A search lets hypotheses change places, share a parent, and become more; sources leave the batch.
"""

import copy

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from translator.model.batch import pad_right
from translator.model.incremental import GROUP, NEVER, IncrementalDecoder
from translator.model.transformer import Transformer
from translator.text.tokenizer import BOS, EOS

V, K = 23, 4
NORMS = ["post", "pre"]


def random_ids(*shape: int, seed: int = 1, vocab_size: int = V) -> Tensor:
    """Ids of pieces that are no special ones."""
    return torch.randint(4, vocab_size, shape, generator=torch.Generator().manual_seed(seed))


def sources(*lengths: int, vocab_size: int = V) -> Tensor:
    """Random sources of these lengths, EOS included, padded to the longest."""
    rows = [random_ids(n - 1, seed=n, vocab_size=vocab_size).tolist() for n in lengths]
    return pad_right([[*ids, EOS] for ids in rows])


class Walk:
    """A search that chooses at random, and remembers what a scratch computation needs."""

    def __init__(self, model: Transformer, src: Tensor, precision: str = "fp32", seed: int = 1):
        self.model, self.src = model, src
        self.decoder = IncrementalDecoder(model, precision)
        self.state = self.decoder.start(src)
        self.tokens = torch.full((len(src), 1, 1), BOS)  # (B, K, length so far)
        self.random = torch.Generator().manual_seed(seed)

    def integers(self, high: int, *shape: int) -> Tensor:
        return torch.randint(high, shape, generator=self.random)

    @torch.inference_mode()
    def step(self) -> tuple[Tensor, list[Tensor]]:
        return self.decoder.step(self.tokens[:, :, -1], self.state)

    @torch.inference_mode()
    def from_scratch(self) -> tuple[Tensor, list[Tensor]]:
        """What `step` should give, without the columns that fill up the vocabulary."""
        batch, n_hypotheses, _ = self.tokens.shape
        memory, src_mask = self.model.encode(self.src.repeat_interleave(n_hypotheses, dim=0))
        states, weights = self.model.decode_states(
            self.tokens.flatten(0, 1), memory, src_mask, need_weights=True
        )
        logits = self.model.project(states[:, -1]).view(batch, n_hypotheses, -1)
        logits[..., NEVER] = float("-inf")
        return logits, [w[:, :, -1].view(batch, n_hypotheses, *w.shape[1::2]) for w in weights]

    def check(self) -> None:
        """Makes a step, and compares it."""
        logits, weights = self.step()
        expected_logits, expected_weights = self.from_scratch()
        vocab_size = expected_logits.shape[2]
        assert (logits[..., vocab_size:] == float("-inf")).all()
        assert_close(logits[..., :vocab_size], expected_logits, atol=2e-5, rtol=1e-4)
        assert len(weights) == len(expected_weights)
        for found, expected in zip(weights, expected_weights, strict=True):
            assert_close(found, expected, atol=2e-5, rtol=1e-4)

    def choose(self, parents: Tensor) -> None:
        """Hypothesis k goes on from `parents[b, k]`, with a random piece."""
        self.state.reorder(parents)
        past = self.tokens.gather(1, parents[:, :, None].expand(-1, -1, self.tokens.shape[2]))
        pieces = 4 + self.integers(self.model.config.vocab_size - 4, *parents.shape)
        self.tokens = torch.cat([past, pieces[:, :, None]], dim=2)

    def choose_at_random(self, n_hypotheses: int = K) -> None:
        """Some hypotheses have several children, some none."""
        self.choose(self.integers(self.tokens.shape[1], len(self.src), n_hypotheses))

    def keep(self, rows: list[int]) -> None:
        kept = torch.tensor(rows)
        self.state.keep(kept)
        self.src, self.tokens = self.src[kept], self.tokens[kept]


@pytest.mark.parametrize("norm", NORMS)
def test_hypotheses_that_grow_in_number_and_change_places(make_model, norm: str) -> None:
    walk = Walk(make_model(norm=norm), sources(7, 5, 3))
    for n_hypotheses in (1, 1, 2, 3, 3, 4, 4, 2, 4):
        walk.check()
        walk.choose_at_random(n_hypotheses)
    walk.check()


def test_several_hypotheses_from_the_start(make_model) -> None:
    """As samples are drawn: they never change places."""
    walk = Walk(make_model(), sources(7, 5, 3))
    walk.tokens = walk.tokens.expand(-1, K, -1)
    for _ in range(5):
        walk.check()
        pieces = 4 + walk.integers(V - 4, 3, K, 1)
        walk.tokens = torch.cat([walk.tokens, pieces], dim=2)
    walk.keep([0, 2])
    walk.check()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("n_hypotheses", [1, K])
def test_sources_that_leave_the_batch(make_model, norm: str, n_hypotheses: int) -> None:
    walk = Walk(make_model(norm=norm), sources(7, 5, 3, 7, 4))
    for rows in ([0, 1, 2, 3, 4], [0, 2, 3, 4], [0, 1, 2, 3], [1, 3], [1], [0]):
        walk.keep(rows)
        walk.check()
        walk.choose_at_random(n_hypotheses)
        walk.check()
        walk.choose_at_random(n_hypotheses)


def test_sources_may_also_change_places(make_model) -> None:
    walk = Walk(make_model(), sources(7, 5, 3))
    for rows in ([2, 0, 1], [1, 1, 0, 2]):
        walk.check()
        walk.choose_at_random()
        walk.keep(rows)
    walk.check()


@pytest.mark.parametrize("norm", NORMS)
def test_slots_that_no_mask_shows_are_freed(make_model, norm: str) -> None:
    """Children of few parents: all but a few slots lose their last descendant."""
    walk = Walk(make_model(norm=norm), sources(6, 4, 3))
    for step in range(48):
        walk.check()
        walk.choose_at_random()
        if step == 30:
            walk.keep([0, 2])  # between two compactions
    assert walk.state.length == 48
    assert walk.state.n_slots < 0.75 * K * 47


def test_slots_that_all_are_seen_stay(make_model) -> None:
    """Every hypothesis has one child: nothing can be given up, and rooms grow again and again."""
    walk = Walk(make_model(), sources(6, 4))
    rooms = set()
    for _ in range(48):
        walk.check()
        if walk.tokens.shape[1] == 1:
            walk.choose_at_random()
        else:
            walk.choose(torch.stack([torch.randperm(K, generator=walk.random) for _ in range(2)]))
        buffer = walk.state.self_caches[0].buffer
        assert buffer is not None
        rooms.add(buffer.shape[2])
    assert walk.state.n_slots == 1 + 47 * K
    assert len(rooms) > 2


def test_a_single_hypothesis_beyond_the_first_table_of_positions(make_model) -> None:
    model = make_model()
    walk = Walk(model, sources(5, 3))
    assert len(model.positions) == 512
    for _ in range(514):
        walk.step()
        walk.choose_at_random(1)
    for _ in range(3):
        walk.check()
        walk.choose_at_random(1)


# --- the source ---------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    "lengths, joined",
    [
        ((3,), True),
        ((80,), False),
        ((3, 3, 3), False),  # nothing is padded
        ((3, 2, 1), False),
        ((80, 80), False),
        ((80, 40, 1), False),
    ],
)
def test_short_and_long_sources(make_model, norm: str, lengths, joined: bool) -> None:
    """Keys and values of one short source are multiplied with the projections beforehand."""
    walk = Walk(make_model(norm=norm), sources(*lengths))
    assert {cache.joined for cache in walk.state.cross_caches} == {joined}
    for _ in range(4):
        walk.check()
        walk.choose_at_random()
    walk.keep([len(lengths) - 1])
    walk.check()


def test_padding_changes_nothing(make_model) -> None:
    model = make_model()
    src = sources(7, 5)
    walk, wider = Walk(model, src), Walk(model, torch.nn.functional.pad(src, (0, 90)))
    for _ in range(3):
        (logits, weights), (same_logits, wider_weights) = walk.step(), wider.step()
        assert_close(logits, same_logits, atol=2e-5, rtol=1e-4)
        for narrow, wide in zip(weights, wider_weights, strict=True):
            assert_close(wide[..., :7], narrow, atol=2e-5, rtol=1e-4)
            assert (wide[..., 7:] == 0).all()
        walk.choose_at_random()
        wider.choose_at_random()  # the same seed, so the same choice


# --- the weights --------------------------------------------------------------------------------

BIG = {"d_model": 256, "n_heads": 4, "d_ff": 512, "vocab_size": 1100}


def test_a_step_has_logits_for_pieces_that_may_follow_only(make_model) -> None:
    for vocab_size in (V, GROUP, GROUP + 1):
        walk = Walk(make_model(vocab_size=vocab_size), sources(5, 3))
        walk.step()
        walk.choose_at_random()
        logits, _ = walk.step()
        assert logits.shape[:2] == (2, K) and logits.shape[2] % GROUP == 0
        possible = torch.ones(logits.shape[2], dtype=torch.bool)
        possible[NEVER] = possible[vocab_size:] = False
        assert (logits[..., ~possible] == float("-inf")).all()
        assert logits[..., possible].isfinite().all()


@pytest.mark.parametrize("n_sources", [1, 3])
@pytest.mark.parametrize("norm", NORMS)
def test_big_matrices(make_model, norm: str, n_sources: int) -> None:
    """They are laid out again; few rows and many take different ways."""
    walk = Walk(make_model(norm=norm, **BIG), sources(*range(6, 6 + n_sources), vocab_size=1100))
    for n_hypotheses in (1, 3, 8, 9, 12):
        walk.check()
        walk.choose_at_random(n_hypotheses)
    walk.check()


@pytest.mark.parametrize("sizes", [{}, BIG])
def test_bfloat16_is_close_and_of_the_models_own_type(make_model, sizes) -> None:
    model = make_model(**sizes)
    src = sources(6, 4)
    exact, rough = Walk(model, src), Walk(model, src, "bf16")
    for _ in range(4):
        (logits, weights), (other_logits, other_weights) = exact.step(), rough.step()
        assert other_logits.dtype == logits.dtype == torch.float32
        possible = logits.isfinite()
        assert torch.equal(other_logits.isfinite(), possible)
        error = (logits[possible] - other_logits[possible]).abs().max()
        assert 0 < error < 0.04 * logits[possible].abs().max()
        for one, other in zip(weights, other_weights, strict=True):
            assert other.dtype == one.dtype
            assert_close(other, one, atol=0.02, rtol=0.1)
        exact.choose_at_random(8)
        rough.choose_at_random(8)  # the same seed, so the same choice


def test_one_model_serves_several_searches_at_once(make_model) -> None:
    decoder = IncrementalDecoder(make_model())
    walks = [Walk(decoder.model, sources(7, 5)), Walk(decoder.model, sources(3, 4, 6), seed=2)]
    for walk in walks:
        walk.decoder = decoder
    for _ in range(3):
        for walk in walks:
            walk.check()
            walk.choose_at_random()


def test_a_model_is_left_as_it_was(make_model) -> None:
    model = make_model(**BIG)
    before = copy.deepcopy(model.state_dict())
    walk = Walk(model, sources(6, 4, vocab_size=1100))
    for _ in range(3):
        walk.step()
        walk.choose_at_random(8)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, before[name]), name


@pytest.mark.parametrize("pieces", [None, [*range(4), *range(300, 1100)]])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_model_that_is_used_up_says_the_same_and_holds_no_matrix(
    make_model, precision: str, pieces: list[int] | None
) -> None:
    model = make_model(**BIG)
    used_up = copy.deepcopy(model)
    kept = IncrementalDecoder(model, precision, pieces)
    released = IncrementalDecoder(used_up, precision, pieces, release=True)
    src = sources(6, 4, vocab_size=1100)
    last = torch.tensor([[5, 6], [7, 8]])
    with torch.inference_mode():
        one, other = (d.step(last, d.start(src))[0] for d in (kept, released))
    assert torch.equal(one, other)
    assert (
        sum(p.numel() for p in used_up.parameters() if p.dim() == 2)
        == model.embedding.weight.numel()
    )
