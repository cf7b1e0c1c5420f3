"""Where a system is good and where it is not: more than one number for a test set.

`analyse` gives scores by kind of sentence, what they lose when sources are changed (capitals, typos
...), how often the guards would find fault, and all lines with what is known about each.
"""

import random
from collections.abc import Mapping, Sequence
from statistics import quantiles
from typing import Any

from translator.config.schema import SearchConfig
from translator.evaluation.evaluate import score_lines
from translator.evaluation.reliability import summarise
from translator.evaluation.robustness import robustness
from translator.evaluation.testset import System, TestSet, TrainingText, words_of
from translator.text.codec import normalise
from translator.translation.confidence import find_calibration, good, judge
from translator.translation.faults import faults
from translator.translation.retry import NAMED, find_faults
from translator.translation.translator import Translator

SHOWN = 12  # of the worst, of the best and of random lines
RARE = ((0, 0, "never"), (1, 9, "1 to 9 times"), (10, 99, "10 to 99 times"))  # and what is above


def analyse(
    system: System,
    test_set: TestSet,
    hypotheses: Sequence[str],
    seen: tuple[TrainingText, str] | None = None,
    shown: bool = True,
) -> dict[str, Any]:
    """All that `evaluate --analyse` adds for a split.

    Args:
        system: what made the hypotheses.
        test_set: sources, which may be missing, and references.
        hypotheses: one per line.
        seen: what training data have, and the name that the test set has there.
        shown: choose lines to be shown, with where a model looked.

    Returns:
        "breakdown", "guards", "lines", and "shown"; of a model "robustness", "attention" of what is
        shown, and where it can tell "confidence".
    """
    translator = system.translator
    found = _analyse_texts(translator, test_set, hypotheses, seen)
    if translator:
        found["confidence"] = _add_confidence(translator, found["lines"])
        found["robustness"] = robustness(translator, test_set, hypotheses, system.search)
    if shown:
        found["shown"] = choose_lines([line["chrf"] for line in found["lines"]])
    if shown and translator:
        some = sorted({n for numbers in found["shown"].values() for n in numbers})
        found["attention"] = {
            str(n): _attention(translator, test_set.sources[n], system.search) for n in some
        }
    return found


def _analyse_texts(
    translator: Translator | None,
    test_set: TestSet,
    hypotheses: Sequence[str],
    seen: tuple[TrainingText, str] | None,
) -> dict[str, Any]:
    lines = describe_lines(translator, test_set, hypotheses)
    if seen:
        training, name = seen
        for n, line in enumerate(lines):
            line["seen"] = _seen(*(n in side for side in training.held[name]))
    names = translator is not None and translator.src in NAMED
    return {
        "breakdown": breakdown(test_set, hypotheses, lines, seen[0] if seen else None),
        "guards": guard_rates(lines, names) if test_set.sources else {},
        "lines": lines,
    }


def _seen(source: bool, target: bool) -> str:
    if source and target:
        return "both sides"
    return "source" if source else "target" if target else "no"


# --- lines ---------------------------------------------------------------------------------------


def describe_lines(
    translator: Translator | None, test_set: TestSet, hypotheses: Sequence[str]
) -> list[dict[str, Any]]:
    """Of each line its texts, the sentence's BLEU and chrF, and the faults that a guard finds."""
    from sacrebleu.metrics import BLEU, CHRF

    bleu, chrf = BLEU(effective_order=True), CHRF()
    sources = test_set.sources or [""] * len(hypotheses)
    found = []
    for n, (source, hypothesis) in enumerate(zip(sources, hypotheses, strict=True)):
        references = [lines[n] for lines in test_set.references]
        found.append(
            {
                "n": n,
                "source": source,
                "references": references,
                "hypothesis": hypothesis,
                "bleu": round(bleu.sentence_score(hypothesis, references).score, 2),
                "chrf": round(chrf.sentence_score(hypothesis, references).score, 2),
                "faults": _faults(translator, source, hypothesis) if source else [],
            }
        )
    return found


def _faults(translator: Translator | None, source: str, hypothesis: str) -> list[str]:
    if translator is None:  # words for pieces, and no vocabulary that tells names
        return faults(source, hypothesis, len(source.split()), len(hypothesis.split()))
    codec, text = translator.codec, normalise(source)
    return find_faults(codec, translator.src, text, codec.encode(text), hypothesis)


def _add_confidence(
    translator: Translator, lines: Sequence[dict[str, Any]]
) -> dict[str, Any] | None:
    """Puts the log-probability of a piece and the confidence to each line; sums up the latter."""
    pairs = [(line["source"], line["hypothesis"]) for line in lines]
    evidence = translator.evidence(pairs)
    for line, log_prob, n_pieces in zip(lines, evidence.log_probs, evidence.n_pieces, strict=True):
        line["log_prob"] = log_prob / n_pieces
    calibration = find_calibration(translator.model.info, translator.src, translator.tgt)
    if calibration is None:
        return None
    confidences = judge(calibration, evidence, pairs)
    for line, confidence in zip(lines, confidences, strict=True):
        line["confidence"] = confidence
    events = good([line["chrf"] for line in lines])
    return summarise(confidences, events, evidence.log_probs, evidence.n_pieces)


def choose_lines(chrf: Sequence[float], n: int = SHOWN, seed: int = 1) -> dict[str, list[int]]:
    """Numbers of the worst, the best and some random lines, without one twice."""
    order = sorted(range(len(chrf)), key=lambda i: (chrf[i], i))
    half = len(order) // 2
    worst, best = order[: min(n, half)], order[::-1][: min(n, half)]
    rest = [i for i in range(len(chrf)) if i not in {*worst, *best}]
    drawn = random.Random(seed).sample(rest, min(n, len(rest)))
    return {"worst": worst, "best": best, "random": sorted(drawn)}


def guard_rates(
    lines: Sequence[Mapping[str, Any]], names: bool = False
) -> dict[str, dict[str, float]]:
    """How many lines have each fault, and which share; lost names if they were looked for."""
    kinds = ["empty", "loop", "length", "numbers", *(["names"] if names else [])]
    counts = {kind: sum(kind in line["faults"] for line in lines) for kind in kinds}
    return {name: {"sentences": n, "share": n / len(lines)} for name, n in counts.items()}


def _attention(
    translator: Translator, source: str, search: SearchConfig | None
) -> dict[str, list[Any]]:
    """Mean of all layers and heads, as plain data."""
    maps = translator.attention(source, search, split="never")
    if not maps:  # a blank line
        return {"src": [], "tgt": [], "weights": []}
    rows = maps[0].weights.mean(dim=(0, 1)).tolist()  # T rows of S
    weights = [[round(weight, 3) for weight in row] for row in rows]
    return {"src": maps[0].src_pieces, "tgt": maps[0].tgt_pieces, "weights": weights}


# --- kinds of sentences --------------------------------------------------------------------------


def breakdown(
    test_set: TestSet,
    hypotheses: Sequence[str],
    lines: Sequence[Mapping[str, Any]],
    training: TrainingText | None = None,
) -> list[dict[str, Any]]:
    """BLEU and chrF by source length, and by what the training data have of a line.

    Without sources the length is that of the reference.
    """
    texts = test_set.sources or test_set.references[0]
    side = "source" if test_set.sources else "reference"
    words = [words_of(text) for text in texts]
    lengths = [len(text.split()) for text in texts]
    tables = {f"{side} length": (_length_groups(lengths), lengths)}
    if training and test_set.sources:
        rarest = [min((training.frequency[word] for word in some), default=0) for some in words]
        tables["rarest source word in the training data"] = (_rarity_groups(), rarest)
    found = []
    for by, (groups, values) in tables.items():
        numbers = {
            name: [n for n, value in enumerate(values) if low <= value <= high]
            for low, high, name in groups
        }
        found.append({"by": by, "groups": _score_groups(test_set, hypotheses, numbers)})
    if training:
        kinds: dict[str, list[int]] = {
            kind: [] for kind in ("no", "source", "target", "both sides")
        }
        for line in lines:
            kinds[line["seen"]].append(line["n"])
        by = "training data hold it, or nearly"
        found.append({"by": by, "groups": _score_groups(test_set, hypotheses, kinds)})
    return found


def _length_groups(lengths: Sequence[int]) -> list[tuple[float, float, str]]:
    """Four groups of about as many lines each, fewer where many lines are equally long."""
    cuts = quantiles(lengths, n=4, method="inclusive") if len(lengths) > 1 else []
    bounds = sorted({int(cut) for cut in cuts} - {max(lengths)})
    lows = [min(lengths), *(bound + 1 for bound in bounds)]
    highs = [*bounds, max(lengths)]
    return [
        (low, high, f"{low} to {high} words" if low < high else f"{low} word{'s' * (low != 1)}")
        for low, high in zip(lows, highs, strict=True)
    ]


def _rarity_groups() -> list[tuple[float, float, str]]:
    above = RARE[-1][1] + 1
    return [*RARE, (above, float("inf"), f"{above} times or more")]


def _score_groups(
    test_set: TestSet, hypotheses: Sequence[str], numbers: Mapping[str, Sequence[int]]
) -> list[dict[str, Any]]:
    groups = []
    for name, some in numbers.items():
        if some:
            result = score_lines(test_set, hypotheses, some)
            result["scores"] = {key: value["score"] for key, value in result["scores"].items()}
            groups.append({"group": name, **result})
    return groups
