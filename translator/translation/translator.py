"""Lines in, lines out: the `Translator` that the command line and other programs use."""

import itertools
import logging
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from translator.config.errors import TranslatorError
from translator.config.schema import SearchConfig
from translator.model.batch import pad_right, token_batches
from translator.model.incremental import PRECISIONS, IncrementalDecoder
from translator.search import mbr
from translator.search.beam import Hypothesis, beam_search
from translator.search.forced import ScoredPair, score_pairs
from translator.search.sampling import sample
from translator.storage.find import find_model
from translator.storage.model_folder import Model, load_model
from translator.system.machine import pick_device
from translator.text.codec import TextCodec, normalise, target_ids
from translator.text.language import identify
from translator.text.sentences import split_long, split_sentences
from translator.text.tokenizer import BOS, EOS, N_COPY
from translator.translation import confidence as trust
from translator.translation.result import AttentionMap, Segment, Translation, join_line
from translator.translation.retry import Mender
from translator.translation.units import Unit
from translator.translation.word_alignment import align

log = logging.getLogger("translator")

SPLITS = ("sentences", "long", "never")
_LANGUAGES = {"en": "English", "de": "German"}


class Translator:
    """A model, or several with the same vocabulary as an ensemble, that translates text.

    >>> translator = Translator.load()
    >>> translator.translate(["A dog runs along the beach."])

    Args:
        models: the first one's settings count.
        device: where the models run.
        precision: `fp32`, or `bf16`: matrix products in bfloat16, faster where the processor has
            it and not quite the same.
        direction: (source, target) language, for models that know both; default: the first one's.

    Raises:
        TranslatorError: an unknown precision or direction, or vocabularies that differ.
    """

    def __init__(
        self,
        models: Model | Sequence[Model],
        device: torch.device | None = None,
        precision: str = "fp32",
        direction: tuple[str, str] | None = None,
    ):
        self.models = [models] if isinstance(models, Model) else list(models)
        self.model = self.models[0]
        self.device = device or torch.device("cpu")
        self.precision = precision
        self.codec = TextCodec(self.model.tokenizer)
        self.show_bar = False  # over the batches of a call that has several
        self._warned_of_language = False
        if precision not in PRECISIONS:
            known = ", ".join(PRECISIONS)
            raise TranslatorError(f'Unknown precision "{precision}"; there are: {known}.')
        self.src, self.tgt = direction or self.model.directions[0]
        for other in self.models:
            if (self.src, self.tgt) not in other.directions:
                known = ", ".join("-".join(d) for d in other.directions)
                raise TranslatorError(
                    f"{other.folder} translates {known}, not {self.src}-{self.tgt}."
                )
            if other.tokenizer.model_bytes != self.model.tokenizer.model_bytes:
                raise TranslatorError(
                    f"{other.folder} and {self.model.folder} cannot work together: their "
                    "tokenizers differ."
                )
            if other.config.data.bidirectional != self.model.config.data.bidirectional:
                raise TranslatorError(
                    f"{other.folder} and {self.model.folder} cannot work together: only one of "
                    "them knows both directions."
                )
        # What leads each source: the direction's tag, for models that know both.
        both = self.model.config.data.bidirectional
        self._tag = [self.model.tokenizer.tag(self.tgt)] if both else []
        self._transformers = [m.transformer.to(self.device).eval() for m in self.models]
        self._decoders = [IncrementalDecoder(t, precision) for t in self._transformers]

    @classmethod
    def load(
        cls,
        model: str | Path | Sequence[str | Path] | None = None,
        *,
        src: str = "en",
        tgt: str = "de",
        device: str = "auto",
        precision: str = "fp32",
    ) -> "Translator":
        """Loads a MODEL folder, or several; without one, the shipped model from `src` to `tgt`.

        Raises:
            TranslatorError: there is none, it is damaged, or the device is not there.
        """
        chosen = pick_device(device)
        named = [model] if model is None or isinstance(model, str | Path) else model
        models = [load_model(find_model(name, src, tgt), chosen) for name in named]
        direction = (src, tgt) if (src, tgt) in models[0].directions else None
        return cls(models, chosen, precision, direction)

    def translate(
        self,
        lines: Sequence[str],
        *,
        prefix: str = "",
        split: str = "sentences",
        **search: Any,
    ) -> list[str]:
        """Translates each line; a blank one stays as it is.

        Args:
            lines: any text; leading and trailing white space is kept.
            prefix: what every translation begins with.
            split: cut a line into "sentences"; or only "long" ones, which are cut at clause marks;
                or "never".
            **search: settings of `SearchConfig`, such as `beam_size=1` or `decode="sample"`;
                without them the model's own.
        """
        found = self.translate_lines(lines, self.search_config(**search), split, prefix)
        return [translation.text for translation in found]

    def search_config(self, **given: Any) -> SearchConfig:
        """The model's own search settings, with those given that are not None put in.

        A beam is made wide enough for `n_best`.
        """
        changes = {key: value for key, value in given.items() if value is not None}
        config = self.model.config.search
        if "beam_size" not in changes:
            changes["beam_size"] = max(config.beam_size, changes.get("n_best", config.n_best))
        return replace(config, **changes)

    def translate_lines(
        self,
        lines: Sequence[str],
        search: SearchConfig | None = None,
        split: str = "sentences",
        prefix: str = "",
        alignments: bool = False,
        guard: bool = True,
        confidence: bool = False,
        min_confidence: float = 0.0,
    ) -> list[Translation]:
        """As `translate`, with all that is known about each line.

        `alignments` links words (word_alignment.py). A `guard` searches again, in safer ways
        (retry.py), for what has faults; sampled translations are left as they are. `confidence`
        says how far each translation can be trusted (confidence.py), in whatever way it was found;
        below `min_confidence` it is withheld.

        Raises:
            TranslatorError: an unknown way to split, or confidence is wanted of a model without
                calibration.
        """
        search = search or self.model.config.search
        confidence = confidence or min_confidence > 0
        calibration = self.calibration if confidence else None  # complains before the work
        self._check_language(lines)
        units = self._all_units(lines, search, split, prefix)
        write = partial(self._segment, alignments=alignments)
        mender = Mender(self.codec, self.src, search, self._search, write)
        parts: list[tuple[Unit, Segment]] = []
        for unit, hypotheses in zip(units, self._search(units, search), strict=True):
            segment = write(unit, hypotheses)
            if guard and search.decode != "sample":
                segment = mender.mend(unit, segment)
            parts.append((unit, segment))
        if calibration:
            parts = self._with_confidence(parts, search)
        by_line: dict[int, list[tuple[Unit, Segment]]] = {}
        for unit, segment in parts:
            by_line.setdefault(unit.line, []).append((unit, segment))
        joined = [join_line(line, by_line.get(i, []), confidence) for i, line in enumerate(lines)]
        if min_confidence > 0:
            joined = [translation.withhold(min_confidence) for translation in joined]
        return joined

    def _with_confidence(
        self, parts: Sequence[tuple[Unit, Segment]], search: SearchConfig
    ) -> list[tuple[Unit, Segment]]:
        pairs = [(unit.text, text) for unit, segment in parts for text, _ in segment.n_best]
        found = iter(self.confidences(pairs, search.batch_tokens))
        return [
            (unit, replace(segment, confidences=list(itertools.islice(found, len(segment.n_best)))))
            for unit, segment in parts
        ]

    def _check_language(self, lines: Sequence[str]) -> None:
        """Warns, once, of text that is in the target language already."""
        if self._warned_of_language:
            return
        found: Counter[str | None] = Counter(map(identify, lines))
        if found[self.tgt] > found[self.src]:
            self._warned_of_language = True
            log.warning(
                "This text seems to be %s already, and the model translates %s-%s. "
                "For the other direction: --src %s --tgt %s.",
                *(_LANGUAGES[self.tgt], self.src, self.tgt, self.tgt, self.src),
            )

    def translate_blocks(
        self, blocks: Iterable[Sequence[str]], *args: Any, **options: Any
    ) -> Iterator[Translation]:
        """As `translate_lines` for any number of lines, a block at a time."""
        for block in blocks:
            yield from self.translate_lines(block, *args, **options)

    def score(
        self, pairs: Sequence[tuple[str, str]], search: SearchConfig | None = None
    ) -> list[ScoredPair]:
        """Log-probabilities of given translations, by the first model; pairs of (source, it)."""
        return score_pairs(self.model, pairs, search, self._tag)

    def evidence(
        self, pairs: Sequence[tuple[str, str]], batch_tokens: int | None = None
    ) -> trust.Evidence:
        """What the first model shows of given translations; pairs of (source, it)."""
        return trust.gather(self.model, pairs, self._tag, batch_tokens)

    @cached_property
    def calibration(self) -> trust.Calibration:
        """How confidence follows from evidence: that of the first model.

        Raises:
            TranslatorError: it has none, or a damaged one.
        """
        found = trust.find_calibration(self.model.info, self.src, self.tgt)
        if found is None:
            folder = self.model.folder or "This model"
            raise TranslatorError(
                f"{folder} has not learnt how far it can be trusted: `translator calibrate "
                f"{self.model.folder or 'MODEL'} --data CORPUS` adds that."
            )
        return found

    def confidences(
        self, pairs: Sequence[tuple[str, str]], batch_tokens: int | None = None
    ) -> list[float]:
        """How far given translations can be trusted, from 0 to 1; pairs of (source, it).

        Each is judged as a whole, by the first model, whatever it was translated by.

        Raises:
            TranslatorError: the model has no calibration.
        """
        return trust.judge(self.calibration, self.evidence(pairs, batch_tokens), pairs)

    def _units(self, line: int, text: str, search: SearchConfig, split: str) -> Iterator[Unit]:
        """The segments of a line; with any `split` but "never" of at most `max_pieces` each."""

        def fits(part: str) -> bool:
            source = self.codec.encode(normalise(part))
            return len(source.ids) <= search.max_pieces and len(source.copies) <= N_COPY

        stripped = text.strip()
        if not stripped:
            return
        language = self.src
        parts = split_sentences(stripped, language) if split == "sentences" else [(stripped, "")]
        if split != "never":
            shorter = [split_long(part, fits) for part, _ in parts]
            if any(len(pieces) > 1 for pieces in shorter):
                log.warning(
                    "A text of %d characters has more than the %d pieces that the model reads at "
                    "once: it is translated in %d parts.",
                    len(text),
                    search.max_pieces,
                    sum(map(len, shorter)),
                )
            parts = [
                (part, inner or outer)
                for pieces, (_, outer) in zip(shorter, parts, strict=True)
                for part, inner in pieces
            ]
        for part, space in parts:
            part = normalise(part)
            yield Unit(line, part, self.codec.encode(part), [], space)

    def _all_units(
        self, lines: Sequence[str], search: SearchConfig, split: str, prefix: str
    ) -> list[Unit]:
        """The segments of all lines; the prefix stands before the first of each line."""
        if split not in SPLITS:
            raise TranslatorError(f'Unknown split "{split}"; there are: {", ".join(SPLITS)}.')
        found = []
        for i, line in enumerate(lines):
            units = list(self._units(i, line, search, split))
            if prefix and units:
                ids = target_ids(self.codec, normalise(prefix), units[0].source)
                units[0] = replace(units[0], prefix=ids)
            found += units
        return found

    def _search(self, units: Sequence[Unit], search: SearchConfig) -> list[list[Hypothesis]]:
        """Hypotheses of each unit, in batches of like length, in the given order."""
        order = sorted(range(len(units)), key=lambda i: len(units[i].source.ids))
        lengths = [len(units[i].source.ids) + 1 for i in order]
        found: list[list[Hypothesis]] = [[] for _ in units]
        n_each = {"beam": search.beam_size, "sample": search.n_best, "mbr": search.candidates}
        # Many hypotheses of each make smaller batches, so that memory stays bounded.
        batches = token_batches(
            lengths, max(search.batch_tokens * 8 // max(n_each[search.decode], 8), 1)
        )
        shown = self.show_bar and len(batches) > 1
        for batch in tqdm(batches, unit="batch", disable=not shown, leave=False):
            rows = [order[i] for i in batch]
            src = pad_right([[*self._tag, *units[i].source.ids, EOS] for i in rows]).to(self.device)
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
        run = sample if search.decode == "sample" else beam_search
        return run(self._decoders, src, search, prefixes)

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

    def _complete(self, unit: Unit, hypothesis: Hypothesis) -> Hypothesis:
        """Puts placeholders that the model left out where it looked at them most."""
        source = unit.source
        missing = self.codec.missing(hypothesis.ids, source)
        if not missing:
            return hypothesis
        weights = self._attention(source.ids, hypothesis.ids).mean(dim=(0, 1))  # (T, S)
        starts = self.model.tokenizer.starts_word
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

    def _segment(self, unit: Unit, hypotheses: list[Hypothesis], alignments: bool) -> Segment:
        # The white space around a segment is the line's, and not the model's to add to.
        n_best = [(self.codec.decode(h.ids, unit.source).strip(), h.score) for h in hypotheses]
        text, score = n_best[0]
        alignment = None
        if alignments:
            ids = hypotheses[0].ids
            weights = self._attention(unit.source.ids, ids)
            tokenizer = self.model.tokenizer
            alignment = align(tokenizer, unit.source, unit.text, ids, text, weights)
        return Segment(unit.text, text, score, n_best, alignment)

    @torch.inference_mode()
    def _attention(self, src_ids: Sequence[int], tgt_ids: Sequence[int]) -> Tensor:
        """Cross-attention `(layers, H, T, S)` while `tgt_ids` and EOS are written, EOS included.

        An ensemble's models lend their layers to one stack.
        """
        src = torch.tensor([[*self._tag, *src_ids, EOS]], device=self.device)
        tgt_in = torch.tensor([[BOS, *tgt_ids]], device=self.device)
        layers = []
        for transformer in self._transformers:
            memory, src_mask = transformer.encode(src)
            layers += transformer.decode_states(tgt_in, memory, src_mask, need_weights=True)[1]
        weights = torch.cat(layers)[..., len(self._tag) :]  # to the text, not to its tag
        return (weights / weights.sum(dim=-1, keepdim=True)).cpu()

    def attention(
        self,
        line: str,
        search: SearchConfig | None = None,
        split: str = "sentences",
        prefix: str = "",
    ) -> list[AttentionMap]:
        """Translates a line and says, for each of its segments, where each piece looked."""
        search = search or self.model.config.search
        units = self._all_units([line], search, split, prefix)
        pieces = self.model.tokenizer.pieces
        maps = []
        for unit, hypotheses in zip(units, self._search(units, search), strict=True):
            src_ids, ids = unit.source.ids, hypotheses[0].ids
            weights = self._attention(src_ids, ids)
            maps.append(AttentionMap(pieces([*src_ids, EOS]), pieces([*ids, EOS]), weights))
        return maps
