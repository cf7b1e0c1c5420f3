"""Validation, and finishing a run: choosing the weights, scoring and writing the model."""

import logging
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch import Tensor

from data_prep.prepared.prepare import TrainingData
from translator.config.errors import TranslatorError
from translator.config.schema import Config, SearchConfig
from translator.evaluation.calibration import calibrate, read_validation_pairs
from translator.evaluation.evaluate import evaluate_pairs
from translator.evaluation.multi30k_bleu import tokenize_for_papers
from translator.model.transformer import Transformer, count_parameters
from translator.report.plots import plot_run
from translator.storage.average import average_weights
from translator.storage.model_card import model_card
from translator.storage.model_folder import Model, save_model
from translator.storage.model_info import DataInfo, ModelInfo, TrainingInfo
from translator.storage.run_folder import is_whole, regular_steps
from translator.storage.scores import SplitScores
from translator.storage.training_state import TrainingState
from translator.training.losses import validation_loss
from translator.translation.faults import WORD, is_empty
from translator.translation.translator import Translator

log = logging.getLogger("translator")

# A model has collapsed if this share of its translations is ...
EMPTY_SHARE = 0.25  # ... empty, ...
SAME_SHARE = 0.5  # ... the same sentence, ...
COPY_SHARE = 0.5  # ... or a copy of the source; or ...
DISTINCT_SHARE = 0.1  # ... if no more than this share of them is distinct ...
DISTINCT_MIN = 30  # ... for at least this many sources.
MIN_COUNT = 4  # fewer translations prove nothing
COPY_WORDS = 3  # shorter sources may be names
COPY_OVERLAP = 0.8  # the share of common words from which on a translation is a copy


_EARLY = "in the first few hundred steps; if it persists"
_CALMER = "try a lower train.peak_lr, a longer train.warmup_steps"
_DOCTOR = "with `translator doctor`"


@dataclass(frozen=True)
class Validation:
    """The result of a validation."""

    loss: float  # mean of `-log p` per target token
    bleu: float  # greedy, cased; the mean of both directions if there are two
    samples: list[tuple[str, str]]  # three sources and their translations
    collapse: str | None  # how the model has collapsed, if it has


class Validator:
    """Scores the weights of a run on its corpus."""

    def __init__(self, data: TrainingData, config: Config, device: torch.device):
        self.data = data
        self.config = config
        self.device = device
        self.metrics = config.train.metrics.split(",")
        if "multi30k_bleu" in self.metrics:
            tokenize_for_papers(
                [], config.data.tgt
            )  # fails now, not after hours, if a package is missing
        names = config.confidence.names if config.confidence.enabled else []
        d = config.data  # read now, because a corpus that is missing should not end a long run
        self._others = [read_validation_pairs(name, d.src, d.tgt) for name in names]

    def _directions(self) -> list[tuple[str, str, str]]:
        """(source, target, suffix of a split's name) of each direction that is trained."""
        d = self.config.data
        back = [(d.tgt, d.src, f"_{d.tgt}-{d.src}")] if d.bidirectional else []
        return [(d.src, d.tgt, ""), *back]

    def _score(
        self, model: Transformer, split: str, *search: Any
    ) -> dict[str, tuple[SplitScores, list[str]]]:
        """Scores and translations of a split in each direction, by the split's name."""
        pairs = self.data.splits[split]
        found = {}
        for src, tgt, suffix in self._directions():
            directed = _swap(pairs) if suffix else pairs
            translator = self._build_translator(model, src, tgt)
            found[split + suffix] = evaluate_pairs(translator, directed, *search)
        return found

    def _build_translator(self, model: Transformer, src: str, tgt: str) -> Translator:
        whole = Model(model, self.data.tokenizer, self.config)
        return Translator(whole, self.device, direction=(src, tgt))

    def _calibrate(self, model: Transformer, lines: dict[str, list[str]]) -> dict[str, Any]:
        """The calibration of the confidence in each direction, from the translations of valid."""
        found = {}
        for src, tgt, suffix in self._directions():
            own, *others = (
                _swap(pairs) if suffix else pairs
                for pairs in (self.data.splits["valid"], *self._others)
            )
            translator = self._build_translator(model, src, tgt)
            limit = self.config.confidence.sentences
            calibration = calibrate(translator, own, others, limit, lines["valid" + suffix])
            found[f"{src}-{tgt}"] = calibration.to_dict()
        return found

    def validate(self, model: Transformer) -> Validation:
        """Computes loss and greedy BLEU on the validation pairs; no BLEU for an infinite loss."""
        model.eval()
        loss = validation_loss(model, self.data.valid, self.device)
        if not math.isfinite(loss):
            return Validation(loss, 0.0, [], None)
        search = SearchConfig(beam_size=1, batch_tokens=self.config.search.batch_tokens)
        found = self._score(model, "valid", search, ["bleu"])
        bleu = mean(result.bleu.score for result, _ in found.values())
        pairs = self.data.splits["valid"]
        sources = [src for src, _ in pairs]
        _, lines = found["valid"]
        chosen = range(0, len(pairs), max(1, -(-len(pairs) // 3)))
        samples = [(sources[i].strip(), lines[i].strip()) for i in chosen]
        return Validation(loss, bleu, samples, describe_collapse(sources, lines))

    def finish(
        self,
        model: Transformer,
        folder: Path,
        state: TrainingState,
        environment: dict[str, Any],
    ) -> ModelInfo:
        """Finishes a run with its best step or the average of the last, whichever scores higher.

        Writes the finished MODEL and its card, and the learning curve if matplotlib is installed.
        """
        candidates = self._candidates(folder, state)
        results, bleus = {}, {}
        for name, weights in candidates.items():
            _load_weights(model, weights)
            results[name] = self._score(model, "valid", None, self.metrics)
            bleus[name] = mean(scores.bleu.score for scores, _ in results[name].values())
            log.info("%s: BLEU %.2f on valid", name, bleus[name])
        chosen = max(bleus, key=lambda name: bleus[name])
        _load_weights(model, candidates[chosen])
        scores = {k: v[0] for k, v in results[chosen].items()}
        lines = {k: v[1] for k, v in results[chosen].items()}
        for split in self.data.splits:
            if split.startswith("test") and self.config.train.score_tests:
                scores |= {
                    k: v[0] for k, v in self._score(model, split, None, self.metrics).items()
                }
        confidence = self.config.confidence.enabled
        info = ModelInfo(
            preset=self.config.preset,
            data=DataInfo(
                corpus=self.data.name,
                fingerprint=self.data.fingerprint,
                training_pairs=len(self.data.train),
                dropped=self.data.dropped,
            ),
            training=TrainingInfo(chosen, replace(state), count_parameters(model)),
            scores=scores,
            environment=environment,
            confidence=self._calibrate(model, lines) if confidence else None,
        )
        save_model(folder, candidates[chosen], self.data.tokenizer, self.config, info.to_dict())
        card = model_card(self.config, info, folder)
        (folder / "README.md").write_text(card, encoding="utf-8")
        try:
            plot_run(folder, folder / "learning-curve.png")
        except TranslatorError as error:
            log.info("The learning curve was not drawn: %s", error)
        return info

    def _candidates(self, folder: Path, state: TrainingState) -> dict[str, dict[str, Tensor]]:
        """The weights to choose from, by name, in half precision as finished models are stored."""
        c = self.config.train
        kept = regular_steps(folder, c.checkpoint_every)[-c.keep_checkpoints :]
        kept = [step for step in kept if is_whole(step)]
        found = {f"average of the last {len(kept)} checkpoints": average_weights(kept)}
        best = folder / "steps" / str(state.best_step)
        if best.is_dir() and is_whole(best):
            found[f"step {state.best_step}"] = average_weights([best])
        return {
            name: {key: weight.half() for key, weight in weights.items()}
            for name, weights in found.items()
        }


def _swap(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(tgt, src) for src, tgt in pairs]


def _load_weights(model: Transformer, weights: dict[str, Tensor]) -> None:
    model.load_state_dict({name: weight.float() for name, weight in weights.items()})
    model.eval()


def describe_collapse(sources: Sequence[str], translations: Sequence[str]) -> str | None:
    """Describes in one line how a model has collapsed and what may help; None if it has not.

    A collapsed model outputs nothing, the same for all sources, or copies. Repeated sources count
    once; sources without words do not count, nor, for copies, those with only one or two.

    Args:
        sources: a validation set.
        translations: the model's translations of it.
    """
    by_words = {
        tuple(WORD.findall(source.casefold())): (source, translation)
        for source, translation in zip(sources, translations, strict=True)
        if any(map(str.isalpha, source))
    }
    pairs = list(by_words.values())
    n_empty = sum(is_empty(*pair) for pair in pairs)
    if _exceeds(n_empty, len(pairs), EMPTY_SHARE):
        return (
            f"{_format_share(n_empty, len(pairs))} translations are empty or only punctuation: the "
            f"model ends them at once. Normal {_EARLY}: {_CALMER}, or look for empty or shifted "
            f"lines on the target side {_DOCTOR}."
        )
    if repetition := _describe_repetition([" ".join(text.split()) for _, text in pairs]):
        return (
            f"{repetition}: the model ignores the source. Normal {_EARLY}: {_CALMER}, "
            f"model.norm=pre, or check the alignment of the corpus {_DOCTOR}."
        )
    long = [pair for words, pair in by_words.items() if len(words) >= COPY_WORDS]
    n_copies = sum(_is_copy(*pair) for pair in long)
    if _exceeds(n_copies, len(long), COPY_SHARE):
        return (
            f"{_format_share(n_copies, len(long))} translations of {COPY_WORDS} words or more are "
            f"copies of their source. If it persists: look for pairs whose two sides are the same "
            f"or in the same language {_DOCTOR}, and check --src and --tgt."
        )
    return None


def _describe_repetition(translations: Sequence[str]) -> str | None:
    """Describes how translations of different sources are the same, if too many are."""
    counts = Counter(translations)
    text, count = max(counts.items(), key=lambda item: item[1], default=("", 0))
    n = len(translations)
    example = f'"{text}"' if len(text) <= 60 else f'"{text[:57]}..."'
    if _exceeds(count, n, SAME_SHARE):
        return f"{_format_share(count, n)} translations are the same sentence ({example})"
    if n >= DISTINCT_MIN and len(counts) <= DISTINCT_SHARE * n:
        return (
            f"The {n:,} translations are only {len(counts)} different sentences (such as {example})"
        )
    return None


def _exceeds(count: int, total: int, share: float) -> bool:
    return count >= max(MIN_COUNT, share * total)


def _format_share(count: int, total: int) -> str:
    return f"All {total:,}" if count == total else f"{count:,} of {total:,}"


def _is_copy(source: str, translation: str) -> bool:
    """Whether nearly all words of both sides are the same (Dice's coefficient)."""
    src, tgt = (Counter(WORD.findall(text.casefold())) for text in (source, translation))
    return 2 * (src & tgt).total() >= COPY_OVERLAP * (src.total() + tgt.total())
