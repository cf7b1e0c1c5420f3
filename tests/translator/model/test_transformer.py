"""The architecture: sizes, masks, positions. All are equivalences over random weights."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

import translator.model.transformer as model_module
from translator.config.presets import PRESETS
from translator.config.schema import ModelConfig
from translator.model.transformer import (
    Dropout,
    MultiHeadAttention,
    Transformer,
    attention_weights,
    count_parameters,
    empty_transformer,
    mask_bias,
    sinusoids,
)
from translator.text.tokenizer import BOS, EOS, PAD

B, S, T, D, H, V = 3, 7, 5, 16, 2, 23
NORMS = ["post", "pre"]


def random_ids(*shape: int, seed: int = 1) -> Tensor:
    """Ids of pieces that are no special ones."""
    return torch.randint(4, V, shape, generator=torch.Generator().manual_seed(seed))


def padded_sources() -> Tensor:
    """`(B, S)`: sources of 7, 5 and 3 ids, EOS included."""
    src = random_ids(B, S)
    for row, length in enumerate((7, 5, 3)):
        src[row, length - 1] = EOS
        src[row, length:] = PAD
    return src


@pytest.mark.parametrize("preset", PRESETS)
def test_parameter_count_is_the_sum_of_the_parts(preset: str) -> None:
    config = replace(PRESETS[preset].model, vocab_size=8000)
    d, d_ff = config.d_model, config.d_ff
    attention = 4 * (d * d + d)  # query, key, value, output, each with a bias
    feed_forward = (d * d_ff + d_ff) + (d_ff * d + d)
    norm = 2 * d  # scale and shift
    encoder_layer = attention + feed_forward + 2 * norm
    decoder_layer = 2 * attention + feed_forward + 3 * norm
    total = (
        8000 * d  # one embedding for source, target and output
        + config.n_encoder_layers * encoder_layer
        + config.n_decoder_layers * decoder_layer
        + (2 * norm if config.norm == "pre" else 0)  # one closes each stack
    )
    with torch.device("meta"):
        assert count_parameters(Transformer(config)) == total


def test_base_and_big_have_the_papers_sizes() -> None:
    """Table 3 gives 65 M and 213 M, with about 37,000 pieces."""
    for preset, millions in (("base", 65), ("big", 213)):
        with torch.device("meta"):
            model = Transformer(replace(PRESETS[preset].model, vocab_size=37_000))
        assert count_parameters(model) / 1e6 == pytest.approx(millions, rel=0.04)


def test_embedding_is_stored_once_and_used_three_times(make_model) -> None:
    model = make_model()
    shaped = [name for name, weight in model.state_dict().items() if weight.shape == (V, D)]
    assert shaped == ["embedding.weight"]
    src, tgt_in = torch.tensor([[5, EOS]]), torch.tensor([[6]])
    memory, src_mask = model.encode(src)
    logits = model.decode(tgt_in, memory, src_mask)[0, 0]
    for piece in (5, 6, 7):  # of the source, of the target, of neither
        changed = make_model()
        with torch.no_grad():
            changed.embedding.weight[piece] *= 2
        assert (piece == 5) == (not torch.allclose(changed.encode(src)[0], memory))
        differs = changed.decode(tgt_in, memory, src_mask)[0, 0] != logits
        assert differs[piece]
        assert (piece == 6) == bool(differs[8:].any())


def test_sinusoids_follow_the_formula() -> None:
    length, d_model = 40, 12
    table = sinusoids(length, d_model)
    assert table.shape == (length, d_model)
    for position in range(length):
        for i in range(d_model // 2):
            angle = position * 10_000 ** (-i / (d_model / 2 - 1))
            assert table[position, i].item() == pytest.approx(math.sin(angle), abs=1e-5)
            assert table[position, d_model // 2 + i].item() == pytest.approx(
                math.cos(angle), abs=1e-5
            )


def test_positions_grow_beyond_the_first_table(make_model) -> None:
    model = make_model()
    assert len(model.positions) == 512
    memory, src_mask = model.encode(random_ids(1, S))
    tgt_in = random_ids(1, 516)
    before = model.decode(tgt_in[:, :510], memory, src_mask)
    whole = model.decode(tgt_in, memory, src_mask)
    assert len(model.positions) >= 516
    assert_close(model.positions, sinusoids(len(model.positions), D))
    assert_close(whole[:, :510], before, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("masked, causal", [(False, False), (True, False), (False, True)])
def test_explicit_weights_equal_the_fused_attention(
    masked: bool, causal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_module, "use_fused_attention", lambda x: True)
    torch.manual_seed(0)
    attention = MultiHeadAttention(ModelConfig(d_model=D, n_heads=H))
    x = torch.randn(B, T, D)
    key, value = attention.project(x if causal else torch.randn(B, S, D))
    mask = (padded_sources() != PAD)[:, None, None, :] if masked else None
    fused, nothing = attention(x, key, value, mask, causal)
    explicit, weights = attention(x, key, value, mask, causal, need_weights=True)
    monkeypatch.undo()
    plain, nothing_either = attention(x, key, value, mask, causal)
    assert nothing is None and nothing_either is None
    assert_close(fused, explicit)
    assert torch.equal(plain, explicit)
    assert weights.shape == (B, H, T, T if causal else S)
    assert_close(weights.sum(dim=-1), torch.ones(B, H, T))
    if masked:
        assert (weights.masked_select(~mask.expand_as(weights)) == 0).all()
    if causal:
        assert (weights.triu(diagonal=1) == 0).all()


def test_attention_weights_are_a_softmax_of_scaled_products() -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(B, H, T, 8), torch.randn(B, H, S, 8), torch.randn(B, H, S, 8)
    assert_close(
        attention_weights(query, key, None) @ value,
        F.scaled_dot_product_attention(query, key, value),
    )


@pytest.mark.parametrize("length", [1, 15, 16, 17, 31, 32, 33])  # around the widths of vectors
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("numbers", [False, True])  # in the mask
def test_attention_weights_of_any_length_equal_the_fused_kernels(
    dtype: torch.dtype, length: int, numbers: bool
) -> None:
    torch.manual_seed(length)
    query, key = torch.randn(B, H, T, 8), torch.randn(B, H, length, 8)
    value = torch.randn(B, H, length, 8)
    mask = torch.rand(B, 1, 1, length) < 0.7
    mask[..., 0] = True  # no row without a key
    some = [x.to(dtype).requires_grad_() for x in (query, key, value)]
    given = mask_bias(mask, dtype) if numbers else mask
    ours = attention_weights(some[0], some[1], given) @ some[2]
    exact = [x.detach().double().requires_grad_() for x in some]
    theirs = F.scaled_dot_product_attention(*exact, mask)
    upstream = torch.randn(ours.shape, dtype=torch.float64)
    close = {"rtol": 0.03, "atol": 0.03} if dtype == torch.bfloat16 else {}
    assert ours.dtype == dtype
    assert_close(ours, theirs.to(dtype), **close)
    gradients = torch.autograd.grad(ours, some, upstream.to(dtype))
    expected = torch.autograd.grad(theirs, exact, upstream)
    assert_close(gradients, tuple(x.to(dtype) for x in expected), **close)


@pytest.mark.parametrize("norm", NORMS)
def test_later_target_tokens_change_no_earlier_logits(make_model, norm: str) -> None:
    model = make_model(norm=norm)
    src, tgt_in = padded_sources(), random_ids(B, T)
    before = model(src, tgt_in)
    for changed in range(T):
        other = tgt_in.clone()
        other[:, changed] = (other[:, changed] - 3) % (V - 4) + 4
        after = model(src, other)
        assert_close(after[:, :changed], before[:, :changed])
        differs = (after[:, changed:] - before[:, changed:]).abs().amax(dim=-1)
        assert (differs > 1e-4).all()  # and every later one is changed


@pytest.mark.parametrize("norm", NORMS)
def test_more_padding_changes_nothing(make_model, norm: str) -> None:
    model = make_model(norm=norm)
    src, tgt_in = padded_sources(), random_ids(B, T)
    wider = F.pad(src, (0, 6), value=PAD)
    longer = F.pad(tgt_in, (0, 4), value=PAD)
    assert_close(model(wider, longer)[:, :T], model(src, tgt_in), atol=1e-5, rtol=1e-4)


def test_a_sentence_gives_the_same_in_a_batch_as_alone(make_model) -> None:
    model = make_model()
    src, tgt_in = padded_sources(), random_ids(B, T)
    together = model(src, tgt_in)
    for row, length in enumerate((7, 5, 3)):
        alone = model(src[row : row + 1, :length], tgt_in[row : row + 1])
        assert_close(together[row : row + 1], alone, atol=1e-5, rtol=1e-4)


def test_forward_is_decode_of_encode(make_model) -> None:
    model = make_model()
    src, tgt_in = padded_sources(), random_ids(B, T)
    assert torch.equal(model(src, tgt_in), model.decode(tgt_in, *model.encode(src)))


@pytest.mark.parametrize("norm", NORMS)
def test_every_parameter_gets_a_gradient(make_model, norm: str) -> None:
    model = make_model(norm=norm, dropout=0.1).train()
    logits = model(padded_sources(), random_ids(B, T))
    F.cross_entropy(logits.flatten(0, 1), random_ids(B * T)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_shapes_match_the_comments(make_model) -> None:
    model = make_model()
    src = padded_sources()
    memory, src_mask = model.encode(src)
    assert memory.shape == (B, S, D)
    assert src_mask.shape == (B, 1, 1, S) and src_mask.dtype == torch.bool
    assert torch.equal(src_mask[:, 0, 0], src != PAD)  # True = may be attended

    states, weights = model.decode_states(random_ids(B, T), memory, src_mask, need_weights=True)
    assert states.shape == (B, T, D)
    assert [layer.shape for layer in weights] == [(B, H, T, S)] * 2
    assert model.project(states).shape == (B, T, V)
    assert model(src, random_ids(B, T)).shape == (B, T, V)

    attention = model.decoder[0].cross_attention
    key, value = attention.project(memory)
    assert key.shape == value.shape == (B, H, S, D // H)
    update, weights = attention(torch.randn(B, T, D), key, value, src_mask, need_weights=True)
    assert update.shape == (B, T, D) and weights.shape == (B, H, T, S)


@pytest.mark.parametrize("probability", [0.1, 0.3, 0.9])
def test_dropout_has_its_rate_and_keeps_the_mean(probability: float) -> None:
    torch.manual_seed(0)
    n = 200_001  # not a multiple of eight
    dropped = Dropout(probability)(torch.ones(n))
    rate = round(probability * 256) / 256
    assert abs(rate - probability) <= 1 / 512
    sigma = math.sqrt(rate * (1 - rate) / n)
    assert (dropped == 0).double().mean().item() == pytest.approx(rate, abs=5 * sigma)
    assert dropped.mean().item() == pytest.approx(1, abs=5 * sigma / (1 - rate))
    assert dropped.unique().tolist() == pytest.approx([0, 1 / (1 - rate)])


def test_dropout_draws_independently_for_each_number() -> None:
    torch.manual_seed(0)
    dropout = Dropout(0.5)
    first, second = (dropout(torch.ones(500, 40)) == 0 for _ in range(2))
    for one, other in ((first, second), (first[1:], first[:-1]), (first[:, 1:], first[:, :-1])):
        both = (one & other).double().mean().item()  # a quarter where they are independent
        assert both == pytest.approx(0.25, abs=0.02)
    torch.manual_seed(0)
    assert torch.equal(dropout(torch.ones(500, 40)) == 0, first)


def test_dropout_masks_gradients_like_values() -> None:
    x = torch.ones(1000, requires_grad=True)
    dropped = Dropout(0.5)(x)
    dropped.sum().backward()
    assert torch.equal(x.grad, dropped.detach())


def test_dropout_is_off_in_evaluation_and_at_zero() -> None:
    x = torch.randn(100)
    assert torch.equal(Dropout(0.5).eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)


def test_the_model_drops_only_while_training(make_model) -> None:
    model = make_model(dropout=0.3)
    src, tgt_in = padded_sources(), torch.full((B, 1), BOS)
    assert torch.equal(model(src, tgt_in), model(src, tgt_in))
    model.train()
    assert not torch.equal(model(src, tgt_in), model(src, tgt_in))


def test_an_empty_model_draws_no_numbers() -> None:
    """Drawing takes longer than reading the weights does."""
    config = replace(PRESETS["tiny"].model, vocab_size=V)
    before = torch.get_rng_state()
    empty = empty_transformer(config)
    assert torch.equal(torch.get_rng_state(), before)
    shapes = {name: p.shape for name, p in Transformer(config).named_parameters()}
    assert {name: p.shape for name, p in empty.named_parameters()} == shapes
