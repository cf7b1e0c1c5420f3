"""Validations, and the end of a run: which weights are kept, how they score, what is written."""

import logging
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch import Tensor

from data_prep.prepare import TrainingData
from translator.calibrate import calibrate, validation_pairs
from translator.card import model_card
from translator.checkpoint import (
    Model,
    TrainingState,
    average_weights,
    save_model,
)
from translator.config import Config, SearchConfig, TranslatorError
from translator.evaluate import evaluate_pairs
from translator.guards import collapse
from translator.losses import validation_loss
from translator.model import Transformer, count_parameters
from translator.moses import paper_tokens
from translator.runs import is_whole, regular_steps
from translator.translate import Translator
from translator.visualize import plot_run

log = logging.getLogger("translator")


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
    ) -> dict[str, tuple[dict[str, Any], list[str]]]:
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
        """Loss, and greedy translations of the validation pairs."""
        model.eval()
        loss = validation_loss(model, self.data.valid, self.device)
        search = SearchConfig(beam_size=1, batch_tokens=self.config.search.batch_tokens)
        found = self._score(model, "valid", search, ["bleu"])
        bleu = mean(result["scores"]["bleu"]["score"] for result, _ in found.values())
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
    ) -> dict[str, Any]:
        """Takes the best step or the average of the last, whichever is better on valid; scores it.

        Writes the finished MODEL with its card, and the learning curve if matplotlib is there.

        Returns:
            Data, training, and scores by split, as in the model's `config.json`.
        """
        candidates = self._candidates(folder, state)
        results, bleus = {}, {}
        for name, weights in candidates.items():
            _put(model, weights)
            results[name] = self._score(model, "valid", None, self.metrics)
            bleus[name] = mean(r["scores"]["bleu"]["score"] for r, _ in results[name].values())
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
        info = {
            "preset": self.config.preset,
            "data": {
                "corpus": self.data.name,
                "fingerprint": self.data.fingerprint,
                "training_pairs": len(self.data.train),
                "dropped": self.data.dropped,
            },
            "training": {
                "weights": chosen,
                **vars(state),
                "parameters": count_parameters(model),
            },
            "scores": scores,
            "environment": environment,
        }
        if self.config.confidence.enabled:
            info["confidence"] = self._calibrate(model, lines)
        save_model(folder, candidates[chosen], self.data.tokenizer, self.config, info)
        card = model_card(self.config, info)
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
