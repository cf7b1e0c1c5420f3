"""What a translator asks of its models, in lists of ids: to search, to judge, and where they look.

It is all that needs the weights. Where another engine searches, it may never be made.
"""

import math
import os
import threading
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from translator.config.schema import SearchConfig
from translator.model.batch import pad_right
from translator.model.incremental import IncrementalDecoder
from translator.search.beam import beam_search
from translator.search.fixed import FixedSearch
from translator.search.forced import force
from translator.search.hypothesis import Hypothesis
from translator.search.sampling import sample
from translator.storage.model_folder import Model
from translator.text.tokenizer import BOS
from translator.translation.pieces import common_pieces

Rows = Sequence[Sequence[int]]


class Network:
    """One model, or several as an ensemble, laid out for the search.

    Args:
        models: with the same vocabulary; they are moved to `device`.
        device: where they run; default: the CPU.
        precision: as for `IncrementalDecoder`; in `bf16` only pieces of `language` are written,
            where the models know them.
        language: what they write.
        release: give up the models' own weights once they are laid out; what else needs them
            (attention, log-probabilities of given translations) reads them again.
    """

    def __init__(
        self,
        models: Sequence[Model],
        device: torch.device | None = None,
        precision: str = "fp32",
        language: str = "",
        release: bool = False,
    ):
        self.models = models
        self.device = device or torch.device("cpu")
        self.precision, self.language, self.release = precision, language, release
        self._lock = threading.Lock()
        for model in models:
            model.transformer.to(self.device).eval()
        # Whether batches have few shapes, see search/fixed.py.
        self.search = FixedSearch().beam_search if self.device.type == "cuda" else beam_search

    @property
    def decoders(self) -> list[IncrementalDecoder]:
        """The models, laid out when a search first needs it."""
        with self._lock:
            return self._decoders

    @cached_property
    def _decoders(self) -> list[IncrementalDecoder]:
        language = self.language if self.precision == "bf16" else None
        pieces = common_pieces(self.models, language) if language else None
        decoders = []
        for model in self.models:
            use_up = self.release and model.weights is not None
            transformer = model.release() if use_up else model.transformer
            decoders.append(IncrementalDecoder(transformer, self.precision, pieces, use_up))
        return decoders

    def beam_search(
        self, sources: Rows, config: SearchConfig, prefixes: Rows = ()
    ) -> list[list[Hypothesis]]:
        """As `translator.search.beam.beam_search`; sources end with EOS, nothing is padded."""
        return self.search(self.decoders, *self._padded(sources, config, prefixes))

    def sample(
        self, sources: Rows, config: SearchConfig, prefixes: Rows = ()
    ) -> list[list[Hypothesis]]:
        """As `translator.search.sampling.sample`, likewise."""
        return sample(self.decoders, *self._padded(sources, config, prefixes))

    def _padded(
        self, sources: Rows, config: SearchConfig, prefixes: Rows
    ) -> tuple[Tensor, SearchConfig, Tensor | None]:
        begun = pad_right(prefixes).long().to(self.device) if any(prefixes) else None
        return pad_right(sources).to(self.device), config, begun

    @torch.inference_mode()
    def log_probs(self, sources: Rows, targets: Rows) -> list[float]:
        """The log-probability of each of the given translations; both end with EOS."""
        distinct = list(dict.fromkeys(map(tuple, sources)))
        src, tgt = pad_right(distinct).to(self.device), pad_right(targets).to(self.device)
        rows = [distinct.index(tuple(source)) for source in sources]
        which = torch.tensor(rows, device=self.device)
        each = torch.stack(
            [force(m.transformer, src, tgt, which=which).log_probs for m in self.models]
        )
        log_probs = each.logsumexp(dim=0) - math.log(len(each))
        found: list[float] = log_probs.sum(dim=1).tolist()
        return found

    @torch.inference_mode()
    def attention(
        self, src_ids: Sequence[int], tgt_ids: Sequence[int], kind: str = "cross", n_tag: int = 0
    ) -> Tensor:
        """Attention weights while `tgt_ids` and EOS are written; those of an ensemble are stacked.

        Args:
            src_ids: with EOS.
            tgt_ids: without EOS.
            kind: `cross`: `(layers, H, T, S)`; `encoder`: `(layers, H, S, S)`; or `decoder`:
                `(layers, H, T, T)`, where column t is the piece before row t. S and T count EOS.
            n_tag: how many ids at the beginning of the source are no text, and left out.
        """
        src = torch.tensor([src_ids], device=self.device)
        tgt_in = torch.tensor([[BOS, *tgt_ids]], device=self.device)
        layers: list[Tensor] = []
        for transformer in (model.transformer for model in self.models):
            memory, src_mask = transformer.encode(src)
            if kind == "cross":
                layers += transformer.decode_states(tgt_in, memory, src_mask, need_weights=True)[1]
            elif kind == "encoder":
                x = transformer.embed(src)
                for layer in transformer.encoder:
                    layers.append(_self_attention(layer, x))
                    x = layer(x, src_mask)
            else:
                x = transformer.embed(tgt_in)
                for layer in transformer.decoder:
                    layers.append(_self_attention(layer, x, causal=True))
                    x = layer(x, memory, src_mask)[0]
        found = torch.cat(layers)
        if kind != "decoder":
            found = found[..., n_tag:]  # to the text, not to its tag
        if kind == "encoder":
            found = found[..., n_tag:, :]
        return (found / found.sum(dim=-1, keepdim=True)).cpu()

    @torch.no_grad()  # the caller may write into the result
    def next_logits(self, src_ids: Sequence[int], tgt_ids: Sequence[int]) -> Tensor:
        """Logits `(V,)` of the piece that follows `tgt_ids`, by the first model."""
        transformer = self.models[0].transformer
        src = torch.tensor([src_ids], device=self.device)
        tgt_in = torch.tensor([[BOS, *tgt_ids]], device=self.device)
        return transformer.decode(tgt_in, *transformer.encode(src))[0, -1].float().cpu()


def _self_attention(layer: Any, x: Tensor, causal: bool = False) -> Tensor:
    """The weights `(1, H, T, T)` with which a layer's input `(1, T, D)` attends to itself."""
    entered, attention = layer.self_residual.enter(x), layer.self_attention
    key, value = attention.project(entered)
    weights = attention(entered, key, value, causal=causal, need_weights=True)[1]
    assert weights is not None
    return weights


if hasattr(os, "register_at_fork"):
    # The threads of PyTorch do not survive a fork, and waiting for them would last forever.
    os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))
