"""Fits a model's confidence to translations with known references, good ones and bad ones.

Users ask a model more than its corpus contains, so corrupted inputs
(data_prep/augmentation/corrupt.py) and, if there are any, other corpora show what its bad
translations look like.
"""

import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data_prep.augmentation.corrupt import corrupt_pairs
from data_prep.sources.corpus import load_corpus, open_corpus
from translator.config.errors import TranslatorError
from translator.evaluation.reliability import measure_reliability
from translator.evaluation.scores import sentence_chrf
from translator.storage.model_folder import check_changeable, load_model, update_description
from translator.text.lines import TextPair
from translator.translation.confidence import GOOD_CHRF, Calibration, are_good, judge
from translator.translation.evidence import Evidence, expand
from translator.translation.translator import Translator

OWN_SHARE = 0.5  # of the total weight: unchanged sentences of the model's own corpus
EXCHANGED_EVERY = 4  # every fourth pair is used again with the translation of another
FOLDS = 5  # of the cross-validation
SENTENCES = 1000  # the most of each kind to calibrate on
# Chosen by cross-validation for the two general models (docs/experiments.md).
RIDGE = 1000.0  # L2 on the weights of the standardised state of the encoder, in sentences
SLOPE = 8.0  # the chrF that multiplies the odds of a target by e
PENALTY = 10.0  # L2 on the weights of standardised features and their products, in sentences


@dataclass(frozen=True)
class _Examples:
    """Translations of one kind, with their scores."""

    kind: str
    sources: list[int]  # numbers of the sentences that they come of
    pairs: list[TextPair]  # (source, translation)
    evidence: Evidence
    chrf: list[float]


@dataclass(frozen=True)
class _Sample:
    """Translations of all kinds, as they are fitted to."""

    sources: list[int]
    evidence: Evidence
    chrf: list[float]
    weights: list[float]

    def take(self, rows: Sequence[int]) -> "_Sample":
        chrf, weights = [self.chrf[i] for i in rows], [self.weights[i] for i in rows]
        return _Sample([self.sources[i] for i in rows], self.evidence.take(rows), chrf, weights)

    def folds(self) -> list[tuple[list[int], list[int]]]:
        """Rows to fit to, and rows to judge; all that comes of one sentence is on one side."""
        fold = [random.Random(source).randrange(FOLDS) for source in self.sources]
        parts = [[i for i, own in enumerate(fold) if own == n] for n in range(FOLDS)]
        splits = [([i for i, own in enumerate(fold) if own != n], parts[n]) for n in range(FOLDS)]
        return [(seen, new) for seen, new in splits if seen and new]


def read_validation_pairs(corpus: str, src: str, tgt: str) -> list[TextPair]:
    """Reads a corpus's validation pairs, or holds some out; reads nothing else if it can.

    Raises:
        TranslatorError: the corpus is missing or broken, or has no pairs.
    """
    splits = open_corpus(corpus, src, tgt)
    if "valid" in splits:
        found = list(splits["valid"]())
    else:  # loading holds some out
        found = load_corpus(corpus, src, tgt).splits.get("valid", [])
    if not found:
        raise TranslatorError(f"{corpus} has no validation pairs: name a corpus that has some.")
    return found


def calibrate(
    translator: Translator,
    own: Sequence[TextPair],
    others: Sequence[Sequence[TextPair]] = (),
    limit: int = SENTENCES,
    translations: Sequence[str] | None = None,
) -> Calibration:
    """Fits the confidence of a translator's first model.

    Sentences are translated as by `evaluate`: whole, with the model's own search settings and
    without guards.

    Args:
        translator: a model in one direction.
        own: (source, reference) pairs like the training data.
        others: pairs of other corpora.
        limit: the most pairs to use of each corpus; as many corrupted pairs are made as `own` has.
        translations: the translations of `own`, if they are known already.
    """
    places = _draw(len(own), limit)
    pairs = [own[i] for i in places]
    done = None if translations is None else [translations[i] for i in places]
    numbers = list(range(len(pairs)))
    examples = [_judge_pairs(translator, "own", numbers, pairs, done)]
    spoilt = corrupt_pairs(pairs, len(pairs))
    examples.append(_judge_pairs(translator, "spoilt", numbers, spoilt))
    # A search hardly ever writes what is unrelated to its source, so the fit would know nothing of
    # it: give some sources the translation of another.
    some = numbers[::EXCHANGED_EVERY]
    others_text = [examples[0].pairs[i - 1][1] for i in some]
    exchanged = [pairs[i] for i in some]
    examples.append(_judge_pairs(translator, "exchanged", some, exchanged, others_text))
    for other in others:
        drawn = [other[i] for i in _draw(len(other), limit)]
        numbers = list(range(numbers[-1] + 1, numbers[-1] + 1 + len(drawn)))
        examples.append(_judge_pairs(translator, "other", numbers, drawn))
    sample = _join(examples)
    return replace(_fit_all(sample), measured=_measure(examples, sample))


def _join(examples: Sequence[_Examples]) -> _Sample:
    """All examples, weighted."""
    evidence = [part.evidence for part in examples]
    whole = Evidence(
        torch.cat([part.table for part in evidence]),
        torch.cat([part.memory for part in evidence]),
        [p for part in evidence for p in part.log_probs],
        [n for part in evidence for n in part.n_pieces],
    )
    chrf = [score for part in examples for score in part.chrf]
    n_own = len(examples[0].chrf)
    shares = [OWN_SHARE / max(n_own, 1), (1 - OWN_SHARE) / max(len(chrf) - n_own, 1)]
    weights = [shares[part.kind != "own"] for part in examples for _ in part.chrf]
    return _Sample([n for part in examples for n in part.sources], whole, chrf, weights)


def _fit_all(sample: _Sample) -> Calibration:
    """Fits all, and scales the logits by what they say of sentences that were not fitted to."""
    splits = sample.folds()
    if not splits:
        return fit(sample.evidence.table, sample.chrf, sample.weights)
    found = _fit_readout(sample)
    unseen = torch.zeros(len(sample.chrf), dtype=torch.float64)
    for seen, new in splits:
        logits = _fit_readout(sample.take(seen)).logits(sample.evidence.take(new))
        unseen[new] = logits - logits.mean()  # where few are good, more are where it was fitted
    found = _rescale(found, unseen, found.logits(sample.evidence), sample.chrf, sample.weights)
    return replace(found, readout=tuple(array("f", found.readout)))


def _fit_readout(sample: _Sample) -> Calibration:
    """Fits the regression on the features, and what the encoder's mean states add to its logits.

    Features do not tell domains apart: of equally sure translations of news and of manuals, fewer
    of the news are good. The states do. They are normalised, so what they add is bounded.
    """
    found = fit(sample.evidence.table, sample.chrf, sample.weights)
    rows, mean, scale = _standardise(sample.evidence.memory)
    outcomes, share = _outcomes(sample.chrf, sample.weights)
    more = _regress(rows, outcomes, share, RIDGE, found.logits(sample.evidence))
    readout = more[:-1] / scale
    bias = float(found.bias + more[-1] - mean @ readout)
    return replace(found, bias=bias, readout=tuple(readout.tolist()))


def _draw(n: int, limit: int) -> list[int]:
    return sorted(random.Random(1).sample(range(n), min(n, limit)))


def _judge_pairs(
    translator: Translator,
    kind: str,
    numbers: Sequence[int],
    pairs: Sequence[TextPair],
    translations: Sequence[str] | None = None,
) -> _Examples:
    """Translates (source, reference) pairs, unless `translations` are given, and scores them."""
    sources, references = [src for src, _ in pairs], [tgt for _, tgt in pairs]
    if translations is None:
        found = translator.translate_lines(sources, split="never", guard=False)
        translations = [translation.text for translation in found]
    judged = list(zip(sources, translations, strict=True))
    scores = sentence_chrf(translations, [references])
    return _Examples(kind, list(numbers), judged, translator.evidence(judged), scores)


def _measure(examples: Sequence[_Examples], sample: _Sample) -> dict[str, Any]:
    """The quality of the fit on unseen sentences, by cross-validation."""
    pairs = [pair for part in examples for pair in part.pairs]
    confidences = [0.0] * len(pairs)
    for seen, new in sample.folds():
        fitted = _fit_all(sample.take(seen))
        found = judge(fitted, sample.evidence.take(new), [pairs[i] for i in new])
        for i, confidence in zip(new, found, strict=True):
            confidences[i] = confidence
    log_probs, n_pieces = sample.evidence.log_probs, sample.evidence.n_pieces
    kinds = [part.kind for part in examples for _ in part.chrf]
    right = are_good(sample.chrf)
    measured = {}
    for name in ("own", "spoilt", "exchanged", "other", "all"):
        rows = [i for i, kind in enumerate(kinds) if name in (kind, "all")]
        if not rows:
            continue
        summary = measure_reliability(
            [confidences[i] for i in rows],
            [right[i] for i in rows],
            [log_probs[i] for i in rows],
            [n_pieces[i] for i in rows],
        )
        measured[name] = summary.quality(len(rows)).to_dict()
    return measured


def calibrate_model(
    folder: Path,
    corpora: Sequence[str],
    device: torch.device,
    limit: int = SENTENCES,
    show_bar: bool = False,
) -> dict[str, Calibration]:
    """Fits the confidence of a MODEL in each of its directions and stores it in the model's folder.

    Args:
        folder: the model's folder.
        corpora: names of corpora; the first one is like the model's training data.
        device: the device to run on.
        limit: as for `calibrate`.
        show_bar: whether to show progress bars.

    Raises:
        TranslatorError: a corpus is missing, or the model cannot be changed.
    """
    model = load_model(folder, device)
    assert model.folder is not None
    src, tgt = model.directions[0]
    check_changeable(model.folder)
    own, *others = (read_validation_pairs(corpus, src, tgt) for corpus in corpora)
    found = {}
    for direction in model.directions:
        translator = Translator(model, device, direction=direction)
        translator.show_bar = show_bar
        if direction != (src, tgt):
            own, *others = ([(t, s) for s, t in pairs] for pairs in (own, *others))
        found["-".join(direction)] = calibrate(translator, own, others, limit)
    values = {name: calibration.to_dict() for name, calibration in found.items()}
    update_description(model.folder, {"confidence": values})
    return found


def fit(table: Tensor, chrf: Sequence[float], weights: Sequence[float]) -> Calibration:
    """Fits a logistic regression to standardised features and their products.

    Its targets rise smoothly with chrF, since a step would not distinguish the best translations
    from barely good ones. A second regression on its output alone therefore turns that into a
    probability of the event.

    Args:
        table: features, `(N, F)`.
        chrf: sentence chrF of each translation, from 0 to 100.
        weights: weight of each translation; only ratios matter.
    """
    rows, mean, scale = _standardise(table)
    targets = ((torch.tensor(chrf, dtype=torch.float64) - GOOD_CHRF) / SLOPE).sigmoid()
    solution = _regress(expand(rows), targets, _shares(weights), PENALTY)
    found = Calibration(
        mean=tuple(mean.tolist()),
        scale=tuple(scale.tolist()),
        weight=tuple(solution[: len(mean)].tolist()),
        product=tuple(solution[len(mean) : -1].tolist()),
        bias=float(solution[-1]),
    )
    logits = expand(rows) @ solution[:-1] + solution[-1]
    return _rescale(found, logits, logits, chrf, weights)


def _outcomes(chrf: Sequence[float], weights: Sequence[float]) -> tuple[Tensor, Tensor]:
    """The event as a target for each translation, and the weights with a mean of 1.

    It counts as slightly less than certain (Platt 1999), which keeps a fit defined if all
    translations are good, or none.
    """
    share, right = _shares(weights), torch.tensor(are_good(chrf), dtype=torch.float64)
    n_right, n_wrong = float(share @ right), float(share @ (1 - right))
    return right * (n_right + 1) / (n_right + 2) + (1 - right) / (n_wrong + 2), share


def _rescale(
    found: Calibration,
    unseen: Tensor,
    logits: Tensor,
    chrf: Sequence[float],
    weights: Sequence[float],
) -> Calibration:
    """Turns its `logits` into those of the event.

    The slope is the best one for logits of `unseen` translations, or zero if these tell nothing;
    the bias is the best one for its own.
    """
    outcomes, share = _outcomes(chrf, weights)
    slope = max(float(_regress(unseen[:, None], outcomes, share, 1e-3)[0]), 0.0)
    nothing = logits.new_zeros(len(logits), 0)
    bias = float(_regress(nothing, outcomes, share, 0.0, slope * logits))
    weight, product, readout = (
        tuple(slope * value for value in values)
        for values in (found.weight, found.product, found.readout)
    )
    bias += slope * found.bias
    return replace(found, weight=weight, product=product, readout=readout, bias=bias)


def _standardise(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`rows` with a mean of 0 and a deviation of 1 in each column; these means and deviations."""
    mean, scale = rows.mean(dim=0), rows.std(dim=0, unbiased=False)
    scale = torch.where(scale > 1e-6, scale, 1.0)
    return (rows - mean) / scale, mean, scale


def _shares(weights: Sequence[float]) -> Tensor:
    share = torch.tensor(weights, dtype=torch.float64)
    return share / share.mean()


def _regress(
    rows: Tensor, targets: Tensor, share: Tensor, l2: float, offset: Tensor | float = 0.0
) -> Tensor:
    """Fits a logistic regression by Newton's method: `(F + 1,)`, weights and then the bias.

    `offset` is part of the logits already.
    """
    rows = torch.cat([rows, torch.ones_like(targets)[:, None]], dim=1)
    penalty = torch.full_like(rows[0], l2)
    penalty[-1] = 1e-6
    solution = torch.zeros_like(penalty)

    def loss(at: Tensor) -> float:
        logits = rows @ at + offset
        nll = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, share)
        return float(nll * len(rows) + (penalty * at**2).sum() / 2)

    for _ in range(100):
        found = (rows @ solution + offset).sigmoid()
        gradient = rows.T @ (share * (found - targets)) + penalty * solution
        curvature = (rows * (share * found * (1 - found))[:, None]).T @ rows + penalty.diag()
        step, before = torch.linalg.solve(curvature, gradient), loss(solution)
        while loss(solution - step) > before and float(step.abs().max()) > 1e-12:
            step = step / 2
        solution = solution - step
        if float(step.abs().max()) < 1e-9:
            break
    return solution
