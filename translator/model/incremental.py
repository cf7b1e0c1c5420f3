"""The decoder one token at a time: what a search runs, in the fewest and cheapest operations.

`Transformer.decode` computes the same from all earlier tokens at once. Here

- keys and values of earlier tokens are cached: each is written once, into a slot of its own, and
  not moved when hypotheses are reordered; only the record of who sees which slot changes;
- query, key and value of self-attention are one matrix product;
- the keys and values of the source are computed once. Those of a single short one are even
  multiplied with the projections: `(x Wq) k = x (Wq k)` and `(w v) Wo = w (v Wo)`. In a batch that
  makes large products of no more than K rows each, which are slower than what they save;
- weights are cast, and laid out for the processor, once.

Letters as in transformer.py: B sources, S their length, K hypotheses of each, R = B * K rows.
"""

import functools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translator.model.cache import CrossAttentionCache, DecoderState, KeyValueCache
from translator.model.transformer import DecoderLayer, EncoderLayer, Transformer, mask_bias
from translator.system.machine import return_memory
from translator.text.tokenizer import BOS, EOS, PAD, UNK

NEVER = [PAD, UNK, BOS]  # what no translation holds
SPECIAL = [PAD, UNK, BOS, EOS]  # have columns of their own numbers in all logits
GROUP = 128  # logits are padded to a multiple of so many columns, see search/continuations.py

# Measured with benchmarks/decode.py.
_BIG = 128 * 1024  # numbers in a matrix that is worth a layout of its own
_CAST_FROM = 256  # d_model from which the layers too are faster in bfloat16


class Linear:
    """`x W^T + b` with the weights cast and laid out once; the result has the type that they had.

    With `relu` it keeps the type of the product, in which the next product takes it.

    On a CPU, oneDNN multiplies by a big matrix up to twice as fast if it has laid it out itself.
    """

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype):
        self.given = weight.dtype
        self.bias = bias.to(dtype)
        weight = weight.to(dtype)
        self.packed = weight.device.type == "cpu" and weight.numel() >= _BIG and _can_pack()
        if self.packed:
            self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, None)
        else:
            self.weight = weight.t()

    def __call__(self, x: Tensor, relu: bool = False) -> Tensor:
        dtype = self.bias.dtype
        if x.dtype != dtype:
            x = x.to(dtype)
        if self.packed:
            after = "relu" if relu else "none"
            x = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, after, [], "")
        else:
            x = torch.addmm(self.bias, x, self.weight)
            x = x.relu_() if relu else x
        return x if relu else x.to(self.given)


@functools.cache
def _can_pack() -> bool:
    """Whether this PyTorch has oneDNN's layouts, which are not public but its compiler's own."""
    operations = ("_reorder_linear_weight", "_linear_pointwise")
    return torch.backends.mkldnn.is_available() and all(
        hasattr(torch.ops.mkldnn, name) for name in operations
    )


class Norm:
    """A layer norm without the cost of a module call."""

    def __init__(self, norm: nn.LayerNorm):
        self.arguments = (norm.normalized_shape, norm.weight, norm.bias, norm.eps)

    def __call__(self, x: Tensor) -> Tensor:
        return torch.layer_norm(x, *self.arguments)


def _by_head(x: Tensor, n_heads: int) -> Tensor:
    """`(B, N, D)` -> `(B * H, N, Dh)`."""
    batch, length, d_model = x.shape
    x = x.view(batch, length, n_heads, d_model // n_heads).transpose(1, 2)
    return x.reshape(batch * n_heads, length, -1)


def _scores(query: Tensor, key: Tensor, bias: Tensor | None) -> Tensor:
    """`(B * H, K, Dh)` times `(B * H, Dh, S)`, plus a bias."""
    return torch.bmm(query, key) if bias is None else torch.baddbmm(bias, query, key)


class _SelfAndFeedForward:
    """What encoder and decoder layers have in common."""

    def __init__(self, layer: EncoderLayer | DecoderLayer, dtype: torch.dtype):
        own = layer.self_attention
        self.n_heads = own.n_heads
        # The scale of equation 1 is put into the projection of the queries.
        self.scale = (own.output.out_features // own.n_heads) ** -0.5
        self.query_key_value = Linear(
            torch.cat([own.query.weight * self.scale, own.key_value.weight]),
            torch.cat([own.query.bias * self.scale, own.key_value.bias]),
            dtype,
        )
        self.self_output = Linear(own.output.weight, own.output.bias, dtype)
        inner, outer = (part for part in layer.feed_forward if isinstance(part, nn.Linear))
        self.inner = Linear(inner.weight, inner.bias, dtype)
        self.outer = Linear(outer.weight, outer.bias, dtype)
        self.self_norm = Norm(layer.self_residual.norm)
        self.feed_forward_norm = Norm(layer.feed_forward_residual.norm)
        self.pre = layer.self_residual.pre

    def feed_forward(self, x: Tensor) -> Tensor:
        """The last sub-layer, with its residual connection and norm."""
        x = x + self.outer(self.inner(self.feed_forward_norm(x) if self.pre else x, relu=True))
        return x if self.pre else self.feed_forward_norm(x)


class SourceLayer(_SelfAndFeedForward):
    """One encoder layer."""

    def __call__(self, x: Tensor, batch: int, bias: Tensor | None) -> Tensor:
        """`x` `(B * S, D)` -> the same; `bias` `(B, 1, 1, S)` is added to the scores."""
        heads = self.query_key_value(self.self_norm(x) if self.pre else x)
        heads = heads.view(batch, len(x) // batch, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = heads.unbind(0)  # (B, H, S, Dh)
        update = F.scaled_dot_product_attention(query, key, value, bias, scale=1.0)
        x = x + self.self_output(update.transpose(1, 2).reshape(x.shape))
        return self.feed_forward(x if self.pre else self.self_norm(x))


class TargetLayer(_SelfAndFeedForward):
    """One decoder layer."""

    def __init__(self, layer: DecoderLayer, dtype: torch.dtype):
        super().__init__(layer, dtype)
        cross, n_heads, scale = layer.cross_attention, self.n_heads, self.scale
        d_model = cross.output.out_features
        self.cross_query = Linear(cross.query.weight * scale, cross.query.bias * scale, dtype)
        self.cross_key_value = Linear(cross.key_value.weight, cross.key_value.bias, dtype)
        self.cross_output = Linear(cross.output.weight, cross.output.bias, dtype)
        self.cross_norm = Norm(layer.cross_residual.norm)
        # For `CrossAttentionCache`, head by head: (H, Dh, D), (H, Dh, 1) and (H, Dh, D)
        self.join_query = (cross.query.weight * scale).view(n_heads, -1, d_model)
        self.join_bias = (cross.query.bias * scale).view(n_heads, -1, 1)
        self.join_output = cross.output.weight.t().contiguous().view(n_heads, -1, d_model)

    def cache_source(
        self, memory: Tensor, batch: int, src_bias: Tensor | None
    ) -> CrossAttentionCache:
        """Keys and values of the encoder's output `(B * S, D)`."""
        d_model, n_heads = memory.shape[1], self.n_heads
        length = len(memory) // batch
        key, value = (
            _by_head(part.reshape(batch, length, d_model), n_heads)
            for part in self.cross_key_value(memory).chunk(2, dim=1)
        )
        bias = None
        if src_bias is not None:
            bias = src_bias.expand(-1, n_heads, -1, -1).reshape(-1, 1, length)  # (B * H, 1, S)
        if batch > 1 or n_heads * length > 2 * d_model:
            return CrossAttentionCache(key.transpose(1, 2).contiguous(), value, bias, joined=False)

        # All sources at once: (H, B * S, Dh) times (H, Dh, D)
        key, value = (
            x.view(batch, n_heads, length, -1).transpose(0, 1).reshape(n_heads, batch * length, -1)
            for x in (key, value)
        )
        query_bias = (key @ self.join_bias).view(n_heads, batch, length).transpose(0, 1)
        # The weights of a head sum to one, so each value may carry a share of the output's bias.
        share = (self.cross_output.bias.to(value.dtype) / n_heads).expand(n_heads, 1, -1)
        key = (key @ self.join_query).view(n_heads, batch, length, d_model)
        value = torch.baddbmm(share, value, self.join_output)
        value = value.view(n_heads, batch, length, d_model).transpose(0, 1)
        if bias is not None:
            query_bias = query_bias + bias.view(batch, n_heads, length)
        return CrossAttentionCache(
            key.permute(1, 3, 0, 2).reshape(batch, d_model, -1),
            value.reshape(batch, -1, d_model),
            query_bias.reshape(batch, 1, -1),
            joined=True,
        )

    def __call__(
        self,
        x: Tensor,
        batch: int,
        cache: KeyValueCache,
        end: int,
        visible: Tensor | None,
        cross: CrossAttentionCache,
    ) -> tuple[Tensor, Tensor]:
        """`x` `(R, D)` -> `(R, D)`, and the cross-attention `(B, K, H, S)`."""
        pre = self.pre
        x = x + self._attend_past(self.self_norm(x) if pre else x, batch, cache, end, visible)
        x = x if pre else self.self_norm(x)
        x, weights = self._attend_source(x, self.cross_norm(x) if pre else x, batch, cross)
        return self.feed_forward(x if pre else self.cross_norm(x)), weights

    def _attend_past(
        self, x: Tensor, batch: int, cache: KeyValueCache, end: int, visible: Tensor | None
    ) -> Tensor:
        rows, d_model = x.shape
        joined = self.query_key_value(x).view(batch, rows // batch, 3, self.n_heads, -1)
        joined = joined.permute(2, 0, 3, 1, 4)  # (3, B, H, K, Dh)
        key, value = cache.append(joined[1:], end)
        query = joined[0].reshape(len(key), rows // batch, -1)
        weights = _scores(query, key.transpose(1, 2), visible).softmax(2)
        heads = torch.bmm(weights, value)  # (B * H, K, Dh)
        heads = heads.view(batch, self.n_heads, rows // batch, -1).transpose(1, 2)
        return self.self_output(heads.reshape(rows, d_model))

    def _attend_source(
        self, x: Tensor, entered: Tensor, batch: int, cross: CrossAttentionCache
    ) -> tuple[Tensor, Tensor]:
        """`x` plus the cross-attention of `entered`, and its weights."""
        rows, d_model = x.shape
        n_heads, n_hypotheses = self.n_heads, rows // batch
        if cross.joined:
            query = entered.view(batch, n_hypotheses, d_model)
            scores = _scores(query, cross.key, cross.bias)
            weights = scores.view(batch, n_hypotheses, n_heads, -1).softmax(3)
            x = torch.baddbmm(x.view_as(query), weights.flatten(2), cross.value)
            return x.view(rows, d_model), weights
        query = _by_head(self.cross_query(entered).view(batch, n_hypotheses, d_model), n_heads)
        weights = _scores(query, cross.key, cross.bias).softmax(2)
        heads = (
            torch.bmm(weights, cross.value).view(batch, n_heads, n_hypotheses, -1).transpose(1, 2)
        )
        weights = weights.view(batch, n_heads, n_hypotheses, -1).transpose(1, 2)
        return x + self.cross_output(heads.reshape(rows, d_model)), weights


class IncrementalDecoder:
    """A model made ready for search: its weights joined, cast and laid out once.

    Args:
        model: in evaluation mode. After a change of its weights, make a new one.
        precision: `bf16` multiplies matrices in bfloat16, where the processor does that faster;
            sums, norms and attention stay in the type of the model.
        pieces: the ids that translations may consist of, in order, `SPECIAL` first;
            as if the others had no chance. None: all.
        release: empty the matrices of the model's layers one by one as they are laid out, so that
            memory never holds all of them twice. The model is of no use after it.
    """

    # (V,): the id of each column of the logits, if it is not the column's number.
    pieces: Tensor | None = None

    @torch.no_grad()  # a graph would keep what is released
    def __init__(
        self,
        model: Transformer,
        precision: str = "fp32",
        pieces: Sequence[int] | None = None,
        release: bool = False,
    ):
        self.model = model
        weight = model.embedding.weight.detach()
        if pieces is not None:
            if list(pieces[: len(SPECIAL)]) != SPECIAL:
                raise ValueError(f"the pieces must begin with {SPECIAL}, not {pieces[:4]}")
            self.pieces = torch.tensor(pieces, device=weight.device)
        dtype = torch.bfloat16 if precision == "bf16" else weight.dtype
        in_layers = dtype if model.config.d_model >= _CAST_FROM else weight.dtype
        self.encoder: list[SourceLayer] = []
        self.layers: list[TargetLayer] = []
        for layer in [*model.encoder, *model.decoder]:
            if isinstance(layer, EncoderLayer):
                self.encoder.append(SourceLayer(layer, in_layers))
            elif isinstance(layer, DecoderLayer):
                self.layers.append(TargetLayer(layer, in_layers))
            if release:
                for part in layer.modules():
                    if isinstance(part, nn.Linear):
                        part.weight = nn.Parameter(torch.empty(0), requires_grad=False)
                return_memory()
        self.encoder_norm, self.norm = (
            Norm(norm) if isinstance(norm, nn.LayerNorm) else None
            for norm in (model.encoder_norm, model.decoder_norm)
        )
        self.scale = math.sqrt(model.config.d_model)
        if self.pieces is not None:
            weight = weight[self.pieces]
        fill = -len(weight) % GROUP
        bias = weight.new_zeros(len(weight) + fill)
        bias[NEVER] = float("-inf")
        bias[len(weight) :] = float("-inf")
        padded = F.pad(weight, (0, 0, 0, fill))
        if release and pieces is None:
            model.embedding.weight = nn.Parameter(padded[: len(weight)], requires_grad=False)
            del weight
            return_memory()
        self.output = Linear(padded, bias, dtype)

    def _embed(self, ids: Tensor, positions: Tensor) -> Tensor:
        rows = F.embedding(ids, self.model.embedding.weight)
        return torch.add(positions, rows, alpha=self.scale)

    def start(self, src: Tensor) -> DecoderState:
        """Encodes sources `(B, S)`, closed with EOS, padded right."""
        batch, length = src.shape
        real = src != PAD
        x = self._embed(src.flatten(), self.model.position(0, length).repeat(batch, 1))
        bias = None if real.all() else mask_bias(real[:, None, None, :], x.dtype)
        for layer in self.encoder:
            x = layer(x, batch, bias)
        if self.encoder_norm:
            x = self.encoder_norm(x)
        cross_caches = [layer.cache_source(x, batch, bias) for layer in self.layers]
        self_caches = [KeyValueCache() for _ in self.layers]
        return DecoderState(len(src), self.model.config.n_heads, cross_caches, self_caches)

    def step(self, last: Tensor, state: DecoderState) -> tuple[Tensor, list[Tensor]]:
        """Decodes the newest token of each hypothesis, `last` `(B, K)`.

        Returns:
            Logits `(B, K, V)` of the token after it, a column for each of `pieces`, -inf for
            `NEVER` and for some columns more that fill up V; and each layer's cross-attention
            `(B, K, H, S)`.
        """
        batch = len(last)
        x = self._embed(last.flatten(), state.position(self.model))  # (R, D)
        visible = state.extend(last.shape[1], x)
        all_weights = []
        for layer, own, cross in zip(
            self.layers, state.self_caches, state.cross_caches, strict=True
        ):
            x, weights = layer(x, batch, own, state.n_slots, visible, cross)
            all_weights.append(weights)
        if self.norm:
            x = self.norm(x)
        return self.output(x).view(batch, last.shape[1], -1), all_weights
