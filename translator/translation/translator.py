"""Lines in, lines out: the `Translator` that the command line and other programs use."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from translator.config.errors import TranslatorError
from translator.config.loading import change_search
from translator.config.schema import PRECISIONS, SearchConfig
from translator.search.hypothesis import Hypothesis
from translator.storage.find import complete_direction, find_model
from translator.storage.model_folder import Model, open_model
from translator.text.codec import TextCodec
from translator.text.terms import Glossary, Terms, used_terms
from translator.text.tokenizer import BOS, EOS
from translator.translation import confidence as trust
from translator.translation.decoding import UnitDecoder
from translator.translation.ensemble import check_ensemble
from translator.translation.inputs import InputWarnings, read_texts
from translator.translation.prescribed import Prescriber, find_terms
from translator.translation.result import AttentionMap, Segment, Translation, join_lines
from translator.translation.retry import Retrier
from translator.translation.units import Reader, Unit, cut_lines

if TYPE_CHECKING:
    import torch

    from translator.search.forced import ScoredPair
    from translator.translation.evidence import Evidence

log = logging.getLogger("translator")


class Translator:
    """A model, or several with the same vocabulary as an ensemble, that translates text.

    >>> translator = Translator.load()
    >>> translator.translate("A dog runs along the beach.")
    >>> translator(["A dog runs along the beach.", "Two men are cooking."])

    Several threads may use one at the same time. It can be copied and sent to another process, but
    without another engine; after a fork it works with one thread.

    Args:
        models: loaded models; the settings of the first apply; `load` takes folders.
        device: where the models run; default: the CPU.
        precision: `fp32`, or `bf16`: matrix products in bfloat16, and only pieces that the target
            language has, where the model knows them; faster, and not quite the same.
        direction: (source, target) language, for models that know both; default: the first one's.
        release: give up the models' own weights once they are laid out for the search, to save
            memory; what else needs them reads their folders again.
        lazy: read weights, and import PyTorch, only once something needs them: beside another
            engine (translator/export/engine.py) maybe never.

    Raises:
        TypeError: what is given is not a model.
        TranslatorError: an unknown precision or direction, or vocabularies that differ.
    """

    def __init__(
        self,
        models: Model | Sequence[Model],
        device: torch.device | None = None,
        precision: str = "fp32",
        direction: tuple[str, str] | None = None,
        release: bool = False,
        lazy: bool = False,
    ):
        self.models = list(models) if isinstance(models, Sequence) else [models]
        if not self.models or not all(isinstance(model, Model) for model in self.models):
            raise TypeError(
                f"Translator(...) takes one or more loaded models, not {models!r}; a folder or a "
                "name is for Translator.load(...)."
            )
        self.model = self.models[0]
        self._device = device
        self.precision = precision
        self.codec = TextCodec(self.model.tokenizer)
        self._process = os.getpid()
        if precision not in PRECISIONS:
            known = ", ".join(PRECISIONS)
            raise TranslatorError(f'Unknown precision "{precision}"; there are: {known}.')
        self.src, self.tgt = direction or self.model.directions[0]
        self._warnings = InputWarnings(self.src, self.tgt)
        self.reader = Reader(self.codec, self.src, self.tgt)
        check_ensemble(self.models, self.src, self.tgt)
        # What leads each source: the direction's tag, for models that know both.
        both = self.model.config.data.bidirectional
        self._tag = [self.model.tokenizer.tag(self.tgt)] if both else []
        self.decoder = UnitDecoder(
            self.models, self.codec, self.tgt, device, precision, self._tag, release
        )
        if lazy:
            for model in self.models:
                model.verify()
        else:
            _ = self.decoder.network.decoders

    @property
    def on_cpu(self) -> bool:
        """Whether the models run on the CPU."""
        return self._device is None or self._device.type == "cpu"

    @property
    def device(self) -> torch.device:
        """Where the models run."""
        import torch

        return self._device or torch.device("cpu")

    @property
    def show_bar(self) -> bool:
        """Whether there is a progress bar over the batches of a call that has several."""
        return self.decoder.show_bar

    @show_bar.setter
    def show_bar(self, value: bool) -> None:
        self.decoder.show_bar = value

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickling and copying: what it is made of, without what is laid out for this CPU."""
        return type(self), (self.models, self._device, self.precision, (self.src, self.tgt))

    @classmethod
    def load(
        cls,
        model: str | Path | Sequence[str | Path] | None = None,
        *,
        src: str | None = None,
        tgt: str | None = None,
        device: str = "auto",
        precision: str = "fp32",
        lazy: bool = False,
    ) -> Translator:
        """Loads a model, or several as an ensemble.

        Args:
            model: a MODEL folder or the short name of a shipped model, or several; default:
                `$TRANSLATOR_MODEL`, else the shipped one from `src` to `tgt`.
            src, tgt: languages, "en" or "de". One alone is enough; without both, the model's own
                direction, and without a model English to German.
            device: `auto`, `cpu`, `cuda` or `mps`.
            precision: `fp32` or `bf16`, see `Translator`.
            lazy: as for `Translator`; for the CPU, which `auto` is then.

        Raises:
            TranslatorError: there is none, it is damaged or of another direction, or the device is
                not there.
        """
        named = [model] if model is None or isinstance(model, str | Path) else model
        direction = complete_direction(src, tgt)
        models = [open_model(find_model(name, *direction)) for name in named]
        known = None if src is None and tgt is None else direction
        if lazy and device in ("auto", "cpu"):
            return cls(models, None, precision, known, lazy=True)
        from translator.system.machine import pick_device

        chosen = pick_device(device)
        return cls(models, chosen, precision, known, release=chosen.type == "cpu")

    @overload
    def translate(
        self,
        lines: str,
        *,
        prefix: str = "",
        split: str = "sentences",
        terms: Glossary | None = None,
        **search: Any,
    ) -> str: ...

    @overload
    def translate(
        self,
        lines: Iterable[str],
        *,
        prefix: str = "",
        split: str = "sentences",
        terms: Glossary | None = None,
        **search: Any,
    ) -> list[str]: ...

    def translate(
        self,
        lines: str | Iterable[str],
        *,
        prefix: str = "",
        split: str = "sentences",
        terms: Glossary | None = None,
        **search: Any,
    ) -> str | list[str]:
        """Translates a text, or each of several; `translator(...)` is the same.

        Args:
            lines: a text, or an iterable of texts such as a list, a generator or an open file,
                which is read once. White space around a text is kept, and so are the line ends of a
                single text; a blank one stays as it is.
            prefix: what every translation begins with.
            split: cut a line into "sentences"; or only "long" ones, which are cut at clause marks;
                or "never".
            terms: a glossary, `Terms.load(FILE)` or a dictionary of terms and their translations;
                `translate_lines` says which were used.
            **search: settings of `SearchConfig`, such as `beam_size=1` or `decode="sample"`;
                without them the model's own.

        Returns:
            A string for a string, else a list with one translation for each text.

        Raises:
            TypeError: what is given is no text, or there is no such setting.
            TranslatorError: a setting has a value that it cannot have.
        """
        texts = lines.split("\n") if isinstance(lines, str) else lines
        found = self.translate_lines(
            texts, self.search_config(**search), split, prefix, terms=terms
        )
        translations = [translation.text for translation in found]
        return "\n".join(translations) if isinstance(lines, str) else translations

    __call__ = translate

    def search_config(self, **given: Any) -> SearchConfig:
        """The model's own search settings, with those given that are not None put in.

        A beam is made wide enough for `n_best`.

        Raises:
            TypeError: there is no such setting.
            TranslatorError: a setting has a value that it cannot have.
        """
        return change_search(self.model.config.search, given)

    def translate_lines(
        self,
        lines: Iterable[str],
        search: SearchConfig | None = None,
        split: str = "sentences",
        prefix: str = "",
        alignments: bool = False,
        guard: bool = True,
        confidence: bool = False,
        min_confidence: float = 0.0,
        terms: Glossary | None = None,
    ) -> list[Translation]:
        """As `translate`, with all that is known about each line.

        `alignments` links words (word_alignment.py). A `guard` searches again, in safer ways
        (retry.py), for what has faults; sampled translations are left as they are. `confidence`
        says how far each translation can be trusted (confidence.py), in whatever way it was found;
        below `min_confidence` it is withheld. `terms` are said as the glossary wants
        (prescribed.py); `Translation.terms` says of each whether it was.

        Raises:
            TypeError: `lines` is not an iterable of strings, or a single one.
            TranslatorError: an unknown way to split, or confidence is wanted of a model without
                calibration.
        """
        lines = read_texts(lines)
        self._check_process()
        search = search or self.model.config.search
        confidence = confidence or min_confidence > 0
        calibration = self.calibration if confidence else None  # complains before the work
        self._warnings.check_language(lines)
        units = cut_lines(self.reader, lines, search, split, prefix)
        self._warnings.check_parts(lines, units, search)
        if terms:
            units = find_terms(units, Terms.of(terms), self.src)
        write = partial(self._write, alignments=alignments)
        find = self.decoder.search
        if terms:
            find = Prescriber(self.reader, self.decoder).search
        retrier = Retrier(self.reader, search, find, write)
        parts: list[tuple[Unit, Segment]] = []
        for unit, hypotheses in zip(units, find(units, search), strict=True):
            segment = write(unit, hypotheses)
            if guard and search.decode != "sample":
                segment = retrier.retry(unit, segment)
                if segment.repair and "numbers" in segment.repair.left:
                    log.warning('A number may be missing in the translation of "%s".', unit.text)
            uses = used_terms(unit.terms, segment.text, self.tgt)
            parts.append((unit, replace(segment, terms=uses)))
        if calibration:
            parts = self._with_confidence(parts, search)
        joined = join_lines(lines, parts, confidence, alignments)
        return [found.withhold(min_confidence) for found in joined] if min_confidence else joined

    def _write(self, unit: Unit, hypotheses: list[Hypothesis], alignments: bool) -> Segment:
        """The text of a unit; tags inside it go where their words do."""
        return self.decoder.write(unit, hypotheses, alignments or bool(unit.elements))

    def _with_confidence(
        self, parts: Sequence[tuple[Unit, Segment]], search: SearchConfig
    ) -> list[tuple[Unit, Segment]]:
        pairs = [(unit.text, text) for unit, segment in parts for text, _ in segment.n_best]
        found = iter(self.confidences(pairs, search.batch_tokens))
        return [
            (unit, replace(segment, confidences=list(itertools.islice(found, len(segment.n_best)))))
            for unit, segment in parts
        ]

    def _check_process(self) -> None:
        """Raises TranslatorError if a fork has separated this from its GPU, or its engine."""
        engine = self.decoder.engine
        if (engine or not self.on_cpu) and os.getpid() != self._process:
            where = f"with {engine.name}" if engine else f"on {self.device}"
            raise TranslatorError(
                f"A Translator {where} cannot be used after a fork: start the process "
                'with multiprocessing.get_context("spawn"), or load the model in it.'
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
        from translator.search.forced import score_pairs

        self._check_process()
        return score_pairs(self.model, pairs, search, self._tag)

    def evidence(
        self, pairs: Sequence[tuple[str, str]], batch_tokens: int | None = None
    ) -> Evidence:
        """What the first model shows of given translations; pairs of (source, it)."""
        from translator.translation.evidence import gather

        self._check_process()
        return gather(self.model, pairs, self._tag, batch_tokens)

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

    @property
    def is_calibrated(self) -> bool:
        """Whether the first model can say how far a translation can be trusted."""
        return trust.find_calibration(self.model.info, self.src, self.tgt) is not None

    def confidences(
        self, pairs: Sequence[tuple[str, str]], batch_tokens: int | None = None
    ) -> list[float]:
        """How far given translations can be trusted, from 0 to 1; pairs of (source, it).

        Each is judged as a whole, by the first model, whatever it was translated by.

        Raises:
            TranslatorError: the model has no calibration.
        """
        return trust.judge(self.calibration, self.evidence(pairs, batch_tokens), pairs)

    def attention(
        self,
        line: str,
        search: SearchConfig | None = None,
        split: str = "sentences",
        prefix: str = "",
        kind: str = "cross",
    ) -> list[AttentionMap]:
        """Translates a line and says, for each of its segments, where each piece looked.

        `kind` is `cross`, or the self-attention of the `encoder` or the `decoder`.
        """
        self._check_process()
        search = search or self.model.config.search
        units = cut_lines(self.reader, [line], search, split, prefix)
        pieces = self.model.tokenizer.pieces
        maps = []
        for unit, hypotheses in zip(units, self.decoder.search(units, search), strict=True):
            ids = hypotheses[0].ids
            weights = self.decoder.attention(unit, ids, kind)
            src, tgt = pieces([*unit.source.ids, EOS]), pieces([*ids, EOS])
            columns = pieces([BOS, *ids]) if kind == "decoder" else src
            maps.append(AttentionMap(columns, src if kind == "encoder" else tgt, weights))
        return maps
