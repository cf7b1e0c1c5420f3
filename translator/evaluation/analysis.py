"""Where a system does well and where it does not: more than one number for a test set.

`analyse` returns scores by kind of sentence, the loss when sources are changed (capitals, typos
...), how often each guard finds a fault, and every line with all that is known about it.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import quantiles

from data_prep.cleaning.contamination import split_words
from translator.config.schema import SearchConfig
from translator.evaluation.reliability import measure_reliability
from translator.evaluation.robustness import measure_robustness
from translator.evaluation.scores import corpus_scores
from translator.evaluation.testset import SEEN, System, TestSet, TrainingText
from translator.report.results import (
    Analysis,
    AttentionMap,
    Breakdown,
    FaultRate,
    Group,
    Line,
    Reliability,
)
from translator.text.codec import normalise
from translator.translation.confidence import are_good, find_calibration, judge
from translator.translation.faults import list_faults
from translator.translation.retry import NAMED, find_faults
from translator.translation.translator import Translator

SHOWN = 12  # lines of each kind: the worst, the best, random ones
PERFECT = 3  # best lines that may equal their reference
RARITY = (  # of a word in the training data: at least, at most, name
    (0, 0, "never"),
    (1, 9, "1 to 9 times"),
    (10, 99, "10 to 99 times"),
    (100, float("inf"), "100 times or more"),
)


def analyse(
    system: System,
    test_set: TestSet,
    hypotheses: Sequence[str],
    seen: tuple[TrainingText, str] | None = None,
    shown: bool = True,
) -> Analysis:
    """Everything that `evaluate --analyse` adds for one split.

    Args:
        system: the system that produced the hypotheses.
        test_set: references, and sources unless they are unknown.
        hypotheses: one per line of the test set.
        seen: the training text, and the name of the test set in it.
        shown: whether to choose lines to show, with the model's attention.
    """
    translator = system.translator
    training = seen[0] if seen else None
    kinds = [seen[0].find_sides(seen[1], n) for n in range(len(hypotheses))] if seen else None
    lines = describe_lines(translator, test_set, hypotheses, kinds)
    found = Analysis(
        breakdown=break_down(test_set, hypotheses, lines, training),
        guards=_count_faults(translator, lines) if test_set.sources else {},
        lines=lines,
    )
    if translator:
        lines, confidence = add_confidence(translator, lines)
        changed = measure_robustness(translator, test_set, hypotheses, system.search)
        found = replace(found, lines=lines, confidence=confidence, robustness=changed)
    if shown:
        found = replace(found, shown=choose_lines([line.chrf for line in lines]))
    if found.shown and translator:
        some = sorted({n for numbers in found.shown.values() for n in numbers})
        maps = {str(n): _attend(translator, test_set.sources[n], system.search) for n in some}
        found = replace(found, attention=maps)
    return found


# --- lines ---------------------------------------------------------------------------------------


def describe_lines(
    translator: Translator | None,
    test_set: TestSet,
    hypotheses: Sequence[str],
    seen: Sequence[str] | None = None,
) -> list[Line]:
    """Every line with its texts, sentence scores and faults, and how much of it was trained on."""
    from sacrebleu.metrics import BLEU, CHRF

    bleu, chrf = BLEU(effective_order=True), CHRF()
    sources = test_set.sources or [""] * len(hypotheses)
    found = []
    for n, (source, hypothesis) in enumerate(zip(sources, hypotheses, strict=True)):
        references = [lines[n] for lines in test_set.references]
        found.append(
            Line(
                n=n,
                source=source,
                references=references,
                hypothesis=hypothesis,
                bleu=round(bleu.sentence_score(hypothesis, references).score, 2),
                chrf=round(chrf.sentence_score(hypothesis, references).score, 2),
                faults=_faults(translator, source, hypothesis) if source else [],
                seen=seen[n] if seen else None,
            )
        )
    return found


def _faults(translator: Translator | None, source: str, hypothesis: str) -> list[str]:
    if translator is None:  # count words: there are no pieces, nor a vocabulary that reveals names
        return list_faults(source, hypothesis, len(source.split()), len(hypothesis.split()))
    codec, text = translator.codec, normalise(source)
    return find_faults(codec, translator.src, text, codec.encode(text), hypothesis)


def add_confidence(
    translator: Translator, lines: Sequence[Line]
) -> tuple[list[Line], Reliability | None]:
    """The lines with log-probabilities and confidences, and how reliable the confidences are.

    A model without a calibration gives no confidences.
    """
    pairs = [(line.source, line.hypothesis) for line in lines]
    evidence = translator.evidence(pairs)
    means = [p / n for p, n in zip(evidence.log_probs, evidence.n_pieces, strict=True)]
    calibration = find_calibration(translator.model.info, translator.src, translator.tgt)
    lines = [replace(line, log_prob=mean) for line, mean in zip(lines, means, strict=True)]
    if calibration is None:
        return lines, None
    confidences = judge(calibration, evidence, pairs)
    events = are_good([line.chrf for line in lines])
    summary = measure_reliability(confidences, events, evidence.log_probs, evidence.n_pieces)
    judged = zip(lines, confidences, strict=True)
    return [replace(line, confidence=confidence) for line, confidence in judged], summary


def choose_lines(chrf: Sequence[float]) -> dict[str, list[int]]:
    """The numbers of the worst, the best and some random lines, each at most once.

    Translations that equal their reference teach little, so at most `PERFECT` of the best do,
    unless there are too few others.
    """
    order = sorted(range(len(chrf)), key=lambda i: (chrf[i], i))
    half = min(SHOWN, len(order) // 2)
    worst, down = order[:half], order[half:][::-1]
    perfect = [i for i in down if chrf[i] >= 100]
    others = [i for i in down if chrf[i] < 100]
    best = (perfect[:PERFECT] + others + perfect[PERFECT:])[:half]
    rest = [i for i in range(len(chrf)) if i not in {*worst, *best}]
    drawn = random.Random(1).sample(rest, min(SHOWN, len(rest)))
    return {"worst": worst, "best": best, "random": sorted(drawn)}


def _count_faults(translator: Translator | None, lines: Sequence[Line]) -> dict[str, FaultRate]:
    """How often each fault occurs; lost names only if they can be found.

    That needs a model, and a source language that marks names by capitals.
    """
    kinds = ["empty", "loop", "length", "numbers"]
    kinds += ["names"] if translator and translator.src in NAMED else []
    counts = {kind: sum(kind in line.faults for line in lines) for kind in kinds}
    return {kind: FaultRate(n, n / len(lines)) for kind, n in counts.items()}


def _attend(translator: Translator, source: str, search: SearchConfig | None) -> AttentionMap:
    """The attention of one sentence, averaged over all layers and heads, as plain data."""
    maps = translator.attention(source, search, split="never")
    if not maps:  # a blank line
        return AttentionMap([], [], [])
    rows = maps[0].weights.mean(dim=(0, 1)).tolist()  # T rows of S
    weights = [[round(weight, 3) for weight in row] for row in rows]
    return AttentionMap(maps[0].src_pieces, maps[0].tgt_pieces, weights)


# --- kinds of sentences --------------------------------------------------------------------------


def break_down(
    test_set: TestSet,
    hypotheses: Sequence[str],
    lines: Sequence[Line],
    training: TrainingText | None = None,
) -> list[Breakdown]:
    """BLEU and chrF by source length, rarity, and how much of a line was trained on.

    Without sources, lines are grouped by the length of the reference.
    """
    texts = test_set.sources or test_set.references[0]
    side = "source" if test_set.sources else "reference"
    words = [split_words(text) for text in texts]
    lengths = [len(text.split()) for text in texts]
    tables: dict[str, tuple[Sequence[tuple[float, float, str]], list[int]]]
    tables = {f"{side} length": (_group_lengths(lengths), lengths)}
    if training and test_set.sources:
        rarest = [min((training.frequency[word] for word in some), default=0) for some in words]
        tables["rarest source word in the training data"] = (RARITY, rarest)
    found = []
    for by, (groups, values) in tables.items():
        numbers = {
            name: [n for n, value in enumerate(values) if low <= value <= high]
            for low, high, name in groups
        }
        found.append(Breakdown(by, _score_groups(test_set, hypotheses, numbers)))
    if training:
        kinds = {kind: [line.n for line in lines if line.seen == kind] for kind in SEEN}
        by = "in the training data"
        found.append(Breakdown(by, _score_groups(test_set, hypotheses, kinds)))
    return found


def _group_lengths(lengths: Sequence[int]) -> list[tuple[float, float, str]]:
    """Four groups of roughly equal size; fewer if many lines have the same length."""
    cuts = quantiles(lengths, n=4, method="inclusive") if len(lengths) > 1 else []
    bounds = sorted({int(cut) for cut in cuts} - {max(lengths)})
    lows = [min(lengths), *(bound + 1 for bound in bounds)]
    highs = [*bounds, max(lengths)]
    return [
        (low, high, f"{low} to {high} words" if low < high else f"{low} word{'s' * (low != 1)}")
        for low, high in zip(lows, highs, strict=True)
    ]


def _score_groups(
    test_set: TestSet, hypotheses: Sequence[str], numbers: Mapping[str, Sequence[int]]
) -> list[Group]:
    return [
        Group(
            name,
            len(some),
            corpus_scores(
                [hypotheses[n] for n in some],
                [[lines[n] for n in some] for lines in test_set.references],
            ),
        )
        for name, some in numbers.items()
        if some
    ]
