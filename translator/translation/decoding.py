"""Units -> hypotheses -> text: searching in batches, choosing, and writing."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from tqdm import tqdm

from translator.config.schema import SearchConfig
from translator.model.batching import token_batches
from translator.search.hypothesis import Hypothesis, normalised
from translator.storage.model_folder import Model
from translator.text.codec import TextCodec, target_ids
from translator.text.tokenizer import EOS
from translator.translation.result import Segment
from translator.translation.units import Unit
from translator.translation.word_alignment import align

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from translator.translation.network import Network


class Engine(Protocol):
    """What can do the beam searches in place of the models."""

    name: str  # another one for each that may find other translations

    def beam_search(
        self,
        sources: Sequence[Sequence[int]],
        config: SearchConfig,
        prefixes: Sequence[Sequence[int]] = (),
    ) -> list[list[Hypothesis]]:
        """As `Network.beam_search`."""


class UnitDecoder:
    """One model, or several as an ensemble, that finds translations of units.

    Args:
        models: with the same vocabulary.
        codec: of their common vocabulary.
        language: what they write.
        device, precision, release: as for `Network`.
        tag: what leads each source, for models that know both directions.
    """

    def __init__(
        self,
        models: Sequence[Model],
        codec: TextCodec,
        language: str,
        device: torch.device | None = None,
        precision: str = "fp32",
        tag: Sequence[int] = (),
        release: bool = False,
    ):
        self.models = models
        self.codec = codec
        self.tag = tag
        self._network_of = (models, device, precision, language, release)
        self._lock = threading.Lock()
        self.fixed = bool(device and device.type == "cuda")  # few shapes, see search/fixed.py
        self.engine: Engine | None = None  # another one than PyTorch
        self.show_bar = False  # over the batches of a call that has several

    @property
    def network(self) -> Network:
        """The models on their device, whose weights are read now if they were not before."""
        with self._lock:
            return self._network

    @cached_property
    def _network(self) -> Network:
        from translator.translation.network import Network

        return Network(*self._network_of)

    def search(self, units: Sequence[Unit], search: SearchConfig) -> list[list[Hypothesis]]:
        """Hypotheses of each unit, in batches of like length, in the given order."""
        order = sorted(range(len(units)), key=lambda i: len(units[i].source.ids))
        lengths = [len(self.tag) + len(units[i].source.ids) + 1 for i in order]
        found: list[list[Hypothesis]] = [[] for _ in units]
        n_each = {"beam": search.beam_size, "sample": search.n_best, "mbr": search.candidates}
        # Many hypotheses of each make smaller batches, so that memory stays bounded.
        n_pieces = search.batch_tokens * 8 // max(n_each[search.decode], 8)
        if self.fixed:
            from translator.search.fixed import batch_pieces, padded_length

            lengths = [padded_length(length) for length in lengths]
            n_pieces = batch_pieces(search, n_each[search.decode])
        batches = token_batches(lengths, max(n_pieces, 1))
        shown = self.show_bar and len(batches) > 1
        for batch in tqdm(
            batches, desc="translating", unit="batch", disable=not shown, leave=False
        ):
            rows = [order[i] for i in batch]
            for i, hypotheses in zip(
                rows, self._decode([units[i] for i in rows], search), strict=True
            ):
                completed = [self._complete(units[i], h) for h in hypotheses]
                found[i] = self._choose(units[i], completed, search)
        return found

    def source_ids(self, unit: Unit) -> list[int]:
        """What the models read of a unit."""
        return [*self.tag, *unit.source.ids, EOS]

    def _decode(self, units: Sequence[Unit], search: SearchConfig) -> list[list[Hypothesis]]:
        if search.decode == "mbr":
            n = search.candidates
            width = n if search.candidates_from == "beam" else search.beam_size
            search = replace(search, decode=search.candidates_from, beam_size=width, n_best=n)
        rows = [self.source_ids(unit) for unit in units]
        prefixes = [unit.prefix for unit in units]
        if search.decode == "sample":
            return self.network.sample(rows, search, prefixes)
        return (self.engine or self.network).beam_search(rows, search, prefixes)

    def _choose(
        self, unit: Unit, hypotheses: list[Hypothesis], search: SearchConfig
    ) -> list[Hypothesis]:
        """For "mbr" the best candidates by expected utility, which is their score then."""
        if search.decode != "mbr":
            return hypotheses
        from translator.search import mbr

        texts = [self.codec.decode(h.ids, unit.source) for h in hypotheses]
        weights = None
        if search.candidates_from == "beam":
            best = max(h.log_prob for h in hypotheses)
            weights = [math.exp(h.log_prob - best) for h in hypotheses]
        ranked = mbr.choose(texts, weights, search.utility)
        return [replace(hypotheses[i], score=utility) for i, utility in ranked[: search.n_best]]

    def judge(self, given: Sequence[tuple[Unit, str]], search: SearchConfig) -> list[Hypothesis]:
        """Translations of units that are given, as a search would have found them."""
        src_rows = [self.source_ids(unit) for unit, _ in given]
        tgt_rows = [[*target_ids(self.codec, text, unit.source), EOS] for unit, text in given]
        # Those of one source follow each other, so that a batch encodes it once.
        order = sorted(range(len(given)), key=lambda i: (len(src_rows[i]), src_rows[i]))
        longer = [max(len(src_rows[i]), len(tgt_rows[i])) for i in order]
        longer = list(itertools.accumulate(longer, max))
        found: dict[int, Hypothesis] = {}
        for batch in token_batches(longer, search.batch_tokens):
            rows = [order[i] for i in batch]
            sources, targets = [src_rows[i] for i in rows], [tgt_rows[i] for i in rows]
            for i, log_prob in zip(rows, self.network.log_probs(sources, targets), strict=True):
                score = normalised(log_prob, len(tgt_rows[i]), search)
                found[i] = Hypothesis(tgt_rows[i][:-1], log_prob, score)
        return [found[i] for i in range(len(given))]

    def _complete(self, unit: Unit, hypothesis: Hypothesis) -> Hypothesis:
        """Inserts the placeholders that the model skipped where it looked at them most."""
        source = unit.source
        missing = self.codec.missing(hypothesis.ids, source)
        if not missing:
            return hypothesis
        weights = self.attention(unit, hypothesis.ids).mean(dim=(0, 1))  # (T, S)
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
            weights = self.attention(unit, ids)
            alignment = align(self.codec.tokenizer, unit.source, unit.text, ids, text, weights)
        return Segment(unit.text, text, score, n_best, alignment)

    def attention(self, unit: Unit, tgt_ids: Sequence[int], kind: str = "cross") -> Tensor:
        """Where the models look while they write `tgt_ids` for a unit, see `Network.attention`."""
        return self.network.attention(self.source_ids(unit), tgt_ids, kind, len(self.tag))
