"""Scores a test set, and translates it first unless there are hypotheses already."""

import time
from collections.abc import Sequence
from typing import Any

from translator.config.schema import SearchConfig
from translator.evaluation.scores import score
from translator.evaluation.testset import TestSet
from translator.storage.scores import SplitScores
from translator.text.lines import TextPair
from translator.translation.translator import Translator


def evaluate_set(
    translator: Translator | None,
    test_set: TestSet,
    search: SearchConfig | None = None,
    metrics: Sequence[str] = ("bleu", "chrf"),
    **options: Any,
) -> tuple[SplitScores, list[str]]:
    """Scores a test set; `translator` produces the hypotheses unless the set has them already.

    Args:
        translator: may be None if the test set has hypotheses.
        test_set: sources or hypotheses, and references.
        search: search settings; None = the model's own.
        metrics, **options: as for `score`.

    Returns:
        The scores, with the time that translation took, and the hypotheses.
    """
    if test_set.hypotheses is not None:
        scores = score(test_set.hypotheses, test_set.references, metrics, **options)
        return SplitScores(len(test_set.hypotheses), scores), test_set.hypotheses
    assert translator is not None
    search = search or translator.model.config.search
    start = time.perf_counter()
    found = translator.translate_lines(test_set.sources, search, split="never", guard=False)
    lines = [translation.text for translation in found]
    seconds = time.perf_counter() - start
    result = SplitScores(
        sentences=len(lines),
        scores=score(lines, test_set.references, metrics, **options),
        search=search.reported(),
        seconds=round(seconds, 3),
        sentences_per_second=round(len(lines) / seconds, 2),
    )
    return result, lines


def score_lines(
    test_set: TestSet,
    hypotheses: Sequence[str],
    numbers: Sequence[int],
    metrics: Sequence[str] = ("bleu", "chrf"),
    **options: Any,
) -> SplitScores:
    """Scores the lines `numbers` of a test set like `evaluate_set`; no lines have no scores."""
    references = [[lines[n] for n in numbers] for lines in test_set.references]
    some = [hypotheses[n] for n in numbers]
    scores = score(some, references, metrics, **options) if some else {}
    return SplitScores(len(some), scores)


def evaluate_pairs(
    translator: Translator,
    pairs: Sequence[TextPair],
    search: SearchConfig | None = None,
    metrics: Sequence[str] = ("bleu", "chrf"),
) -> tuple[SplitScores, list[str]]:
    """Like `evaluate_set`, for pairs of a source and its only reference."""
    test_set = TestSet([src for src, _ in pairs], [[tgt for _, tgt in pairs]])
    return evaluate_set(translator, test_set, search, metrics, language=translator.tgt)
