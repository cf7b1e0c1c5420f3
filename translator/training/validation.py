"""Validations, and the end of a run: which weights are kept, how they score, what is written."""

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
from translator.evaluation.calibration import calibrate, validation_pairs
from translator.evaluation.evaluate import evaluate_pairs
from translator.evaluation.multi30k_bleu import paper_tokens
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

# A model has collapsed if this share of what it says is empty, ...
EMPTY_SHARE = 0.25
SAME_SHARE = 0.5  # ... one and the same, ...
COPY_SHARE = 0.5  # ... or the source; ...
FEW_DIFFERENT = 0.1  # ... or if it has so few things to say, measured by what it was asked, ...
FEW_DIFFERENT_OF = 30  # ... at least so many sources
LEAST = 4  # fewer translations prove nothing
COPY_WORDS = 3  # shorter sources may be names
COPY_OVERLAP = 0.8  # of the words: so much is a copy


_EARLY = "in the first few hundred steps; if it stays so"
_CALMER = "try a lower train.peak_lr, a longer train.warmup_steps"
_DOCTOR = "with `translator doctor`"


@dataclass(frozen=True)
class Validation:
    """What a validation found."""

    loss: float  # mean of `-log p` per target token
    bleu: float  # greedy, cased; the mean of both directions if there are two
    samples: list[tuple[str, str]]  # three sources and their translations
    collapse: str | None  # what is wrong if all translations are alike


class Judge:
    """Scores the weights of a run on its corpus."""

    def __init__(self, data: TrainingData, config: Config, device: torch.device):
        self.data = data
        self.config = config
        self.device = device
        self.metrics = config.train.metrics.split(",")
        if "multi30k_bleu" in self.metrics:
            paper_tokens([], config.data.tgt)  # a run of hours must not end for want of a package
        names = config.confidence.names if config.confidence.enabled else []
        d = config.data  # read now, not after hours of training: one may not be there
        self._others = [validation_pairs(name, d.src, d.tgt) for name in names]

    def _directions(self) -> list[tuple[str, str, str]]:
        """(source, target, what a split's name ends in) of each direction that is learnt."""
        d = self.config.data
        back = [(d.tgt, d.src, f"_{d.tgt}-{d.src}")] if d.bidirectional else []
        return [(d.src, d.tgt, ""), *back]

    def _score(
        self, model: Transformer, split: str, *search: Any
    ) -> dict[str, tuple[SplitScores, list[str]]]:
        """By the split's name in each direction: scores, and translations."""
        pairs = self.data.splits[split]
        found = {}
        for src, tgt, ending in self._directions():
            chosen = pairs if not ending else [(t, s) for s, t in pairs]
            found[split + ending] = evaluate_pairs(
                self._translator(model, src, tgt), chosen, *search
            )
        return found

    def _translator(self, model: Transformer, src: str, tgt: str) -> Translator:
        whole = Model(model, self.data.tokenizer, self.config)
        return Translator(whole, self.device, direction=(src, tgt))

    def _calibrate(self, model: Transformer, lines: dict[str, list[str]]) -> dict[str, Any]:
        """For each direction how confidence follows, given the translations of valid."""
        found = {}
        for src, tgt, ending in self._directions():
            own, *others = (
                pairs if not ending else [(t, s) for s, t in pairs]
                for pairs in (self.data.splits["valid"], *self._others)
            )
            translator = self._translator(model, src, tgt)
            limit = self.config.confidence.sentences
            calibration = calibrate(translator, own, others, limit, lines["valid" + ending])
            found[f"{src}-{tgt}"] = calibration.to_dict()
        return found

    def validate(self, model: Transformer) -> Validation:
        """Loss, and greedy translations of the validation pairs; none if the loss is not finite."""
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
        some = range(0, len(pairs), max(1, -(-len(pairs) // 3)))
        samples = [(sources[i].strip(), lines[i].strip()) for i in some]
        return Validation(loss, bleu, samples, collapse(sources, lines))

    def finish(
        self,
        model: Transformer,
        folder: Path,
        state: TrainingState,
        environment: dict[str, Any],
    ) -> ModelInfo:
        """Takes the best step or the average of the last, whichever is better on valid; scores it.

        Writes the finished MODEL with its card, and the learning curve if matplotlib is there.
        """
        candidates = self._candidates(folder, state)
        results, bleus = {}, {}
        for name, weights in candidates.items():
            _put(model, weights)
            results[name] = self._score(model, "valid", None, self.metrics)
            bleus[name] = mean(scores.bleu.score for scores, _ in results[name].values())
            log.info("%s: BLEU %.2f on valid", name, bleus[name])
        chosen = max(bleus, key=lambda name: bleus[name])
        _put(model, candidates[chosen])
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
            log.info("No picture of the learning curve: %s", error)
        return info

    def _candidates(self, folder: Path, state: TrainingState) -> dict[str, dict[str, Tensor]]:
        """Weights in half precision, in which finished models are stored and therefore scored."""
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


def _put(model: Transformer, weights: dict[str, Tensor]) -> None:
    model.load_state_dict({name: weight.float() for name, weight in weights.items()})
    model.eval()


def collapse(sources: Sequence[str], translations: Sequence[str]) -> str | None:
    """Says in one line how a model has collapsed, and what may help; None if it has not.

    It says nothing or the same to all, or repeats what it was told. Sources that are said twice
    count once, and those without words or, for copies, of a word or two do not count.

    Args:
        sources: a validation set.
        translations: what the model made of it.
    """
    asked = {
        tuple(WORD.findall(source.casefold())): (source, translation)
        for source, translation in zip(sources, translations, strict=True)
        if any(map(str.isalpha, source))
    }
    pairs = list(asked.values())
    n_empty = sum(is_empty(*pair) for pair in pairs)
    if _is_share(n_empty, len(pairs), EMPTY_SHARE):
        return (
            f"{_share(n_empty, len(pairs))} translations are empty or punctuation alone: the model "
            f"ends them at once. Normal {_EARLY}: {_CALMER}, or look for empty or shifted lines "
            f"on the target side {_DOCTOR}."
        )
    if monotony := _monotony([" ".join(translation.split()) for _, translation in pairs]):
        return (
            f"{monotony}: the model does not listen to the source. Normal {_EARLY}: {_CALMER}, "
            f"model.norm=pre, or a look at the alignment of the corpus {_DOCTOR}."
        )
    long = [pair for words, pair in asked.items() if len(words) >= COPY_WORDS]
    n_copies = sum(_is_copy(*pair) for pair in long)
    if _is_share(n_copies, len(long), COPY_SHARE):
        return (
            f"{_share(n_copies, len(long))} translations of {COPY_WORDS} words and more are "
            f"copies of their source. If it stays so: look for pairs whose two sides are the same "
            f"or in the same language {_DOCTOR}, and check --src and --tgt."
        )
    return None


def _monotony(translations: Sequence[str]) -> str | None:
    """Says how translations of different sources are the same, if too many are."""
    said = Counter(translations)
    text, count = max(said.items(), key=lambda item: item[1], default=("", 0))
    example = f'"{text}"' if len(text) <= 60 else f'"{text[:57]}..."'
    if _is_share(count, len(translations), SAME_SHARE):
        return f"{_share(count, len(translations))} translations are the same sentence ({example})"
    if len(translations) >= FEW_DIFFERENT_OF and len(said) <= FEW_DIFFERENT * len(translations):
        return (
            f"The {len(translations):,} translations are only {len(said)} different sentences "
            f"(such as {example})"
        )
    return None


def _is_share(count: int, total: int, share: float) -> bool:
    return count >= max(LEAST, share * total)


def _share(count: int, total: int) -> str:
    return f"All {total:,}" if count == total else f"{count:,} of {total:,}"


def _is_copy(source: str, translation: str) -> bool:
    """Are next to all words of both sides the same (Dice's coefficient)?"""
    src, tgt = (Counter(WORD.findall(text.casefold())) for text in (source, translation))
    return 2 * (src & tgt).total() >= COPY_OVERLAP * (src.total() + tgt.total())
