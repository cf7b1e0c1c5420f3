"""Units -> hypotheses -> text: searching in batches, choosing, and where the models looked."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from translator.config.schema import SearchConfig
from translator.model.batch import pad_right, token_batches
from translator.model.incremental import IncrementalDecoder
from translator.search import mbr
from translator.search.beam import Hypothesis, beam_search, normalised
from translator.search.fixed import FixedSearch, batch_pieces, padded_length
from translator.search.forced import force
from translator.search.sampling import sample
from translator.storage.model_folder import Model
from translator.text.codec import TextCodec, target_ids
from translator.text.tokenizer import BOS, EOS
from translator.translation.result import Segment
from translator.translation.units import Unit
from translator.translation.word_alignment import align


class UnitDecoder:
    """One model, or several as an ensemble, that finds translations of units.

    Args:
        models: on `device`.
        codec: of their common vocabulary.
        device: where they run.
        precision: as for `IncrementalDecoder`.
        tag: what leads each source, for models that know both directions.
        pieces: as for `IncrementalDecoder`.
        release: give up the models' own weights once they are laid out for the search; what else
            needs them (attention, scores of given translations) reads them again.
    """

    def __init__(
        self,
        models: Sequence[Model],
        codec: TextCodec,
        device: torch.device,
        precision: str = "fp32",
        tag: Sequence[int] = (),
        pieces: Sequence[int] | None = None,
        release: bool = False,
    ):
        self.models = models
        self.codec = codec
        self.device = device
        self.tag = tag
        self.decoders = []
        for model in models:
            use_up = release and model.weights is not None
            transformer = model.release() if use_up else model.transformer
            self.decoders.append(IncrementalDecoder(transformer, precision, pieces, use_up))
        self.fixed = device.type == "cuda"  # whether batches have few shapes, see search/fixed.py
        # Another engine's may take its place.
        self.beam_search = FixedSearch().beam_search if self.fixed else beam_search
        self.show_bar = False  # over the batches of a call that has several

    def search(self, units: Sequence[Unit], search: SearchConfig) -> list[list[Hypothesis]]:
        """Hypotheses of each unit, in batches of like length, in the given order."""
        order = sorted(range(len(units)), key=lambda i: len(units[i].source.ids))
        lengths = [len(self.tag) + len(units[i].source.ids) + 1 for i in order]
        found: list[list[Hypothesis]] = [[] for _ in units]
        n_each = {"beam": search.beam_size, "sample": search.n_best, "mbr": search.candidates}
        # Many hypotheses of each make smaller batches, so that memory stays bounded.
        n_pieces = search.batch_tokens * 8 // max(n_each[search.decode], 8)
        if self.fixed:
            lengths = [padded_length(length) for length in lengths]
            n_pieces = batch_pieces(search, n_each[search.decode])
        batches = token_batches(lengths, max(n_pieces, 1))
        shown = self.show_bar and len(batches) > 1
        for batch in tqdm(
            batches, desc="translating", unit="batch", disable=not shown, leave=False
        ):
            rows = [order[i] for i in batch]
            src = pad_right([[*self.tag, *units[i].source.ids, EOS] for i in rows]).to(self.device)
            prefixes = None
            if any(units[i].prefix for i in rows):
                prefixes = pad_right([units[i].prefix for i in rows]).long().to(self.device)
            for i, hypotheses in zip(rows, self._decode(src, search, prefixes), strict=True):
                completed = [self._complete(units[i], h) for h in hypotheses]
                found[i] = self._choose(units[i], completed, search)
        return found

    def _decode(
        self, src: Tensor, search: SearchConfig, prefixes: Tensor | None
    ) -> list[list[Hypothesis]]:
        if search.decode == "mbr":
            n = search.candidates
            width = n if search.candidates_from == "beam" else search.beam_size
            search = replace(search, decode=search.candidates_from, beam_size=width, n_best=n)
        run = sample if search.decode == "sample" else self.beam_search
        return run(self.decoders, src, search, prefixes)

    def _choose(
        self, unit: Unit, hypotheses: list[Hypothesis], search: SearchConfig
    ) -> list[Hypothesis]:
        """For "mbr" the best candidates by expected utility, which is their score then."""
        if search.decode != "mbr":
            return hypotheses
        texts = [self.codec.decode(h.ids, unit.source) for h in hypotheses]
        weights = None
        if search.candidates_from == "beam":
            best = max(h.log_prob for h in hypotheses)
            weights = [math.exp(h.log_prob - best) for h in hypotheses]
        ranked = mbr.choose(texts, weights, search.utility)
        return [replace(hypotheses[i], score=utility) for i, utility in ranked[: search.n_best]]

    @torch.inference_mode()
    def judge(self, given: Sequence[tuple[Unit, str]], search: SearchConfig) -> list[Hypothesis]:
        """Translations of units that are given, as a search would have found them."""
        src_rows = [(*self.tag, *unit.source.ids, EOS) for unit, _ in given]
        tgt_rows = [[*target_ids(self.codec, text, unit.source), EOS] for unit, text in given]
        # Those of one source follow each other, so that a batch encodes it once.
        order = sorted(range(len(given)), key=lambda i: (len(src_rows[i]), src_rows[i]))
        longer = [max(len(src_rows[i]), len(tgt_rows[i])) for i in order]
        longer = list(itertools.accumulate(longer, max))
        found: dict[int, Hypothesis] = {}
        for batch in token_batches(longer, search.batch_tokens):
            rows = [order[i] for i in batch]
            sources = list(dict.fromkeys(src_rows[i] for i in rows))
            src = pad_right(sources).to(self.device)
            which = torch.tensor([sources.index(src_rows[i]) for i in rows], device=self.device)
            tgt = pad_right([tgt_rows[i] for i in rows]).to(self.device)
            each = torch.stack(
                [force(m.transformer, src, tgt, which=which).log_probs for m in self.models]
            )
            log_probs = each.logsumexp(dim=0) - math.log(len(each))
            for i, log_prob in zip(rows, log_probs.sum(dim=1).tolist(), strict=True):
                score = normalised(log_prob, len(tgt_rows[i]), search)
                found[i] = Hypothesis(tgt_rows[i][:-1], log_prob, score)
        return [found[i] for i in range(len(given))]

    def _complete(self, unit: Unit, hypothesis: Hypothesis) -> Hypothesis:
        """Inserts the placeholders that the model skipped where it looked at them most."""
        source = unit.source
        missing = self.codec.missing(hypothesis.ids, source)
        if not missing:
            return hypothesis
        weights = self.attention(source.ids, hypothesis.ids).mean(dim=(0, 1))  # (T, S)
        starts = self.codec.tokenizer.starts_word
        ids = hypothesis.ids
        places = []
        for placeholder in missing:
            column = weights[: len(ids), source.ids.index(placeholder)]
            place = max(int(column.argmax()) + 1, len(unit.prefix)) if ids else 0
            while place < len(ids) and not starts[ids[place]]:
                place += 1  # not inside a word, nor the prefix
            places.append((place, placeholder))
        completed = list(ids)
        for place, placeholder in sorted(places, reverse=True):  # from the right: places hold
            completed.insert(place, placeholder)
        return replace(hypothesis, ids=completed)

    def write(self, unit: Unit, hypotheses: list[Hypothesis], alignments: bool = False) -> Segment:
        """The best hypothesis as text, with the others beside it."""
        # The white space around a segment is the line's, and not the model's to add to.
        n_best = [(self.codec.decode(h.ids, unit.source).strip(), h.score) for h in hypotheses]
        text, score = n_best[0]
        alignment = None
        if alignments:
            ids = hypotheses[0].ids
            weights = self.attention(unit.source.ids, ids)
            alignment = align(self.codec.tokenizer, unit.source, unit.text, ids, text, weights)
        return Segment(unit.text, text, score, n_best, alignment)

    @torch.inference_mode()
    def attention(
        self, src_ids: Sequence[int], tgt_ids: Sequence[int], kind: str = "cross"
    ) -> Tensor:
        """Attention weights while `tgt_ids` and EOS are written; those of an ensemble are stacked.

        Args:
            src_ids, tgt_ids: without EOS.
            kind: `cross`: `(layers, H, T, S)`; `encoder`: `(layers, H, S, S)`; or `decoder`:
                `(layers, H, T, T)`, where column t is the piece before row t. S and T count EOS.
        """
        src = torch.tensor([[*self.tag, *src_ids, EOS]], device=self.device)
        tgt_in = torch.tensor([[BOS, *tgt_ids]], device=self.device)
        n_tag = len(self.tag)
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


def _self_attention(layer: Any, x: Tensor, causal: bool = False) -> Tensor:
    """The weights `(1, H, T, T)` with which a layer's input `(1, T, D)` attends to itself."""
    entered, attention = layer.self_residual.enter(x), layer.self_attention
    key, value = attention.project(entered)
    weights = attention(entered, key, value, causal=causal, need_weights=True)[1]
    assert weights is not None
    return weights
