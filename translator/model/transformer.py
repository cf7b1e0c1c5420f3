"""The Transformer of "Attention Is All You Need" (Vaswani et al. 2017), bottom up, in one file.

Letters: B sentences, S source length, T target length, D d_model, H heads, Dh = D/H, V vocabulary,
K beam size. Masks are boolean, True = may be attended, as in PyTorch's own attention.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from translator.config.schema import ModelConfig
from translator.text.tokenizer import PAD


def sinusoids(length: int, d_model: int, device: torch.device | None = None) -> Tensor:
    """Position encodings, section 3.5: `(length, D)`, the first token at position 0.

    The paper writes `PE(pos, 2i) = sin(pos / 10000^(2i/D))` and `PE(pos, 2i+1) = cos(...)`. Its
    own code puts all sines before all cosines, `[sin | cos]`, with frequencies
    `10000^(-i / (D/2 - 1))`, and so does this function. The order of the channels is immaterial.
    """
    half = d_model // 2
    exponents = torch.arange(half, device=device, dtype=torch.float32) / max(half - 1, 1)
    positions = torch.arange(length, device=device, dtype=torch.float32)
    angles = positions[:, None] * torch.exp(-math.log(10_000) * exponents)  # (length, D/2)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def mask_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Converts a boolean mask to numbers to add to scores: 0 where it is True, else -inf."""
    return torch.zeros_like(mask, dtype=dtype).masked_fill_(~mask, float("-inf"))


def attention_weights(query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
    """`softmax(Q K^T / sqrt(Dh))`, the weights of equation 1: `(B, H, T, S)`; rows sum to one.

    `mask` is either boolean or numbers that are added to the scores. Weights are NaN where a query
    may attend to no key.
    """
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores + (mask if mask.is_floating_point() else mask_bias(mask, scores.dtype))
    if scores.requires_grad and scores.device.type == "cpu":
        return _trainable_softmax(scores)
    return scores.softmax(dim=-1)


_FP32_VECTOR, _BF16_VECTOR = 16, 32  # numbers in 512 bits


def _trainable_softmax(scores: Tensor) -> Tensor:
    """`scores.softmax(dim=-1)`, with rows shorter than a vector widened or padded.

    PyTorch's softmax and its gradient go through such rows number by number on a CPU.
    """
    length, dtype = scores.shape[-1], scores.dtype
    if dtype == torch.bfloat16 and length < _BF16_VECTOR:
        scores = scores.float()
    if length < _FP32_VECTOR:
        scores = F.pad(scores, (0, _FP32_VECTOR - length), value=float("-inf"))
    return scores.softmax(dim=-1)[..., :length].to(dtype)


def use_fused_attention(x: Tensor) -> bool:
    """Whether PyTorch's fused kernel is worth using for `x`: everywhere but on a CPU.

    On a CPU plain products are as fast for sentences, and their bf16 gradients eight times faster.
    """
    return x.device.type != "cpu"


class MultiHeadAttention(nn.Module):
    """Section 3.2.2: `MultiHead(Q, K, V) = Concat(head_1 .. head_H) W^O`."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.n_heads = config.n_heads
        self.query = nn.Linear(config.d_model, config.d_model)
        self.key_value = nn.Linear(config.d_model, 2 * config.d_model)
        self.output = nn.Linear(config.d_model, config.d_model)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Computes keys and values from `x` `(B, S, D)`: each `(B, H, S, Dh)`."""
        key, value = self.key_value(x).chunk(2, dim=-1)
        return self._heads(key), self._heads(value)

    def forward(
        self,
        x: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None = None,
        causal: bool = False,
        need_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attends from `x` `(B, T, D)` to keys and values `(B, H, S, Dh)`.

        Returns:
            The output `(B, T, D)`, and the weights `(B, H, T, S)` if requested.
        """
        query = self._heads(self.query(x))  # (B, H, T, Dh)
        weights = None
        if need_weights or not use_fused_attention(x):
            if causal:
                mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
            weights = attention_weights(query, key, mask)
            heads = weights @ value
        else:
            heads = F.scaled_dot_product_attention(query, key, value, mask, is_causal=causal)
        return self.output(heads.transpose(1, 2).flatten(2)), weights if need_weights else None


class Dropout(nn.Module):
    """Dropout (Srivastava et al. 2014); on a CPU its probability is rounded to 1/256.

    On a CPU one random byte decides about one number. A 64-bit draw yields eight bytes, at a tenth
    of the cost of the draws that `nn.Dropout` makes.
    """

    def __init__(self, probability: float):
        super().__init__()
        # A tensor, so that a compiled layer need not be recompiled when the rate changes.
        self.rate: Tensor
        self.register_buffer("rate", torch.tensor(probability), persistent=False)
        self.set_probability(probability)

    def set_probability(self, probability: float) -> None:
        """Sets the dropout rate."""
        self.rate.fill_(probability)
        self.threshold = min(round(probability * 256), 255)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        if x.device.type != "cpu":
            keep = torch.rand_like(x) >= self.rate
            return x * keep / (1 - self.rate)
        if self.threshold == 0:
            return x
        words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64)
        words.random_(-(2**63), None)  # all 64 bits
        draws = words.view(torch.uint8)[: x.numel()].view(x.shape)
        # 1 where the draw is at least the threshold, else 0: much faster than a comparison.
        keep = draws.clamp(self.threshold - 1, self.threshold).sub_(self.threshold - 1)
        return x * keep.to(x.dtype) * (256 / (256 - self.threshold))


def cast_for_matmul(x: Tensor) -> Tensor:
    """Casts `x` as autocast would for a matrix product, once instead of once for each product."""
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x


class FeedForward(nn.Sequential):
    """Section 3.3, equation 2: `FFN(x) = max(0, x W1 + b1) W2 + b2`."""

    def __init__(self, config: ModelConfig):
        super().__init__(
            nn.Linear(config.d_model, config.d_ff),
            nn.ReLU(),
            nn.Linear(config.d_ff, config.d_model),
        )


class Residual(nn.Module):
    """A residual connection with layer norm around a sub-layer f, sections 3.1 and 5.4.

    `post`: `LayerNorm(x + Dropout(f(x)))`, as in the paper; `pre`: `x + Dropout(f(LayerNorm(x)))`,
    with which deep stacks train (Wang et al. 2019). Call `enter` before f and `leave` after it.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.norm = nn.LayerNorm(config.d_model)
        self.dropout = Dropout(config.dropout)
        self.pre = config.norm == "pre"

    def enter(self, x: Tensor) -> Tensor:
        return cast_for_matmul(self.norm(x) if self.pre else x)

    def leave(self, x: Tensor, update: Tensor) -> Tensor:
        x = x + self.dropout(update)
        return x if self.pre else self.norm(x)


class EncoderLayer(nn.Module):
    """Self-attention, then the feed-forward network."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.self_attention = MultiHeadAttention(config)
        self.self_residual = Residual(config)
        self.feed_forward = FeedForward(config)
        self.feed_forward_residual = Residual(config)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        entered = self.self_residual.enter(x)
        update, _ = self.self_attention(entered, *self.self_attention.project(entered), mask)
        x = self.self_residual.leave(x, update)
        update = self.feed_forward(self.feed_forward_residual.enter(x))
        return self.feed_forward_residual.leave(x, update)


class DecoderLayer(nn.Module):
    """Masked self-attention, attention to the encoder's output, then the feed-forward network."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.self_attention = MultiHeadAttention(config)
        self.self_residual = Residual(config)
        self.cross_attention = MultiHeadAttention(config)
        self.cross_residual = Residual(config)
        self.feed_forward = FeedForward(config)
        self.feed_forward_residual = Residual(config)

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        src_mask: Tensor,
        tgt_mask: Tensor | None = None,
        need_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        entered = self.self_residual.enter(x)
        key, value = self.self_attention.project(entered)
        update, _ = self.self_attention(entered, key, value, tgt_mask, causal=tgt_mask is None)
        x = self.self_residual.leave(x, update)

        key, value = self.cross_attention.project(memory)
        update, weights = self.cross_attention(
            self.cross_residual.enter(x), key, value, src_mask, need_weights=need_weights
        )
        x = self.cross_residual.leave(x, update)
        update = self.feed_forward(self.feed_forward_residual.enter(x))
        return self.feed_forward_residual.leave(x, update), weights


class Transformer(nn.Module):
    """Encoder and decoder; source, target and output share one embedding (section 3.4)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model, padding_idx=PAD)
        self.dropout = Dropout(config.dropout)
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.n_encoder_layers))
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.n_decoder_layers))
        # A pre-norm stack ends in an unnormalised sum, so each stack gets a final norm.
        pre = config.norm == "pre"
        self.encoder_norm = nn.LayerNorm(config.d_model) if pre else nn.Identity()
        self.decoder_norm = nn.LayerNorm(config.d_model) if pre else nn.Identity()
        self.positions: Tensor
        self.register_buffer("positions", torch.empty(0), persistent=False)
        self.reset_positions()
        self._initialise()

    def reset_positions(self, length: int = 512) -> None:
        """Recomputes the position encodings for `length` positions."""
        device = self.embedding.weight.device
        self.positions = sinusoids(length, self.config.d_model, device)

    def _initialise(self) -> None:
        for name, parameter in self.named_parameters():
            if name.endswith("key_value.weight"):
                for part in parameter.chunk(2):  # two square matrices, like the query's
                    nn.init.xavier_uniform_(part)
            elif parameter.dim() > 1 and name != "embedding.weight":
                nn.init.xavier_uniform_(parameter)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
        # Scaled by sqrt(D) in `_embed`, rows are then about as long as the position encodings.
        nn.init.normal_(self.embedding.weight, std=self.config.d_model**-0.5)
        nn.init.zeros_(self.embedding.weight[PAD])

    def set_dropout(self, probability: float) -> None:
        """Sets the dropout rate of all layers."""
        for module in self.modules():
            if isinstance(module, Dropout):
                module.set_probability(probability)

    def position(self, start: int, end: int) -> Tensor:
        """The encodings of positions `start` up to but not including `end`: `(end - start, D)`."""
        if end > len(self.positions):
            self.reset_positions(2 * end)
        return self.positions[start:end].to(self.embedding.weight.dtype)

    def embed(self, ids: Tensor, positions: Tensor | None = None) -> Tensor:
        """`(B, T)` ids -> `(B, T, D)`; `positions` `(B, T)` default to 0, 1, ... in each row."""
        scaled = self.embedding(ids) * math.sqrt(self.config.d_model)
        if positions is None:
            return self.dropout(scaled + self.position(0, ids.shape[1]))
        return self.dropout(scaled + self.position(0, ids.shape[1])[positions])

    def encode(
        self, src: Tensor, src_mask: Tensor | None = None, positions: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """`src` `(B, S)`, padded right -> `memory` `(B, S, D)` and `src_mask` `(B, 1, 1, S)`.

        By default the mask covers everything but PAD. Rows that hold several sentences
        (`PackedBatch`) come with a mask `(B, 1, S, S)` and the `positions` `(B, S)` within each
        sentence.
        """
        if src_mask is None:
            src_mask = (src != PAD)[:, None, None, :]
        x = self.embed(src, positions)
        for layer in self.encoder:
            x = layer(x, src_mask)
        return self.encoder_norm(x), src_mask

    def decode(self, tgt_in: Tensor, memory: Tensor, src_mask: Tensor) -> Tensor:
        """Logits `(B, T, V)` of the token that follows each position of `tgt_in` `(B, T)`.

        A search does the same token by token: translator/model/incremental.py.
        """
        return self.project(self.decode_states(tgt_in, memory, src_mask)[0])

    def decode_states(
        self,
        tgt_in: Tensor,
        memory: Tensor,
        src_mask: Tensor,
        need_weights: bool = False,
        tgt_mask: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Like `decode`, but returns the states `(B, T, D)` before the vocabulary projection.

        Also returns the cross-attention weights of each layer, `(B, H, T, S)`, if requested. A
        position attends to itself and earlier ones unless `tgt_mask` `(B, 1, T, T)` is given.
        """
        x = self.embed(tgt_in, positions)
        memory = cast_for_matmul(memory)
        all_weights = []
        for layer in self.decoder:
            x, weights = layer(x, memory, src_mask, tgt_mask, need_weights)
            if weights is not None:
                all_weights.append(weights)
        return cast_for_matmul(self.decoder_norm(x)), all_weights

    def project(self, states: Tensor) -> Tensor:
        """States `(..., D)` -> logits `(..., V)`, with the embedding matrix."""
        return F.linear(states, self.embedding.weight)

    def forward(self, src: Tensor, tgt_in: Tensor) -> Tensor:
        """Logits `(B, T, V)` for training: `decode(tgt_in, *encode(src))`."""
        return self.decode(tgt_in, *self.encode(src))


class _NoDraws(TorchFunctionMode):
    """Leaves memory as it is where random numbers would be written into it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # The functions of torch.nn.init arrive whole, and would draw without this mode.
        draws = getattr(func, "__module__", None) == nn.init.__name__
        if draws or func in (Tensor.uniform_, Tensor.normal_):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def empty_transformer(config: ModelConfig) -> Transformer:
    """A model for weights that are there already: it draws none, which takes longer than reading.

    (On the `meta` device PyTorch would import its compiler for that.)
    """
    with _NoDraws():
        return Transformer(config)


def count_parameters(model: nn.Module) -> int:
    """Counts the trainable numbers; tied ones count once."""
    return sum(parameter.numel() for parameter in model.parameters())
