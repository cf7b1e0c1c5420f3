"""Translates a test set, unless there are hypotheses already, and scores it."""

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
    """Scores a test set; `translator` makes the hypotheses unless it has some.

    Args:
        translator, test_set: either of them has the hypotheses.
        search: the model's own if there is none.
        metrics, **options: as for `score`.

    Returns:
        The scores, with how long it took to translate, and the hypotheses.
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
    """Scores of some lines of a test set, as `evaluate_set` gives them; no scores of no lines."""
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
    """As `evaluate_set`, for pairs of a source and its one reference."""
    test_set = TestSet([src for src, _ in pairs], [[tgt for _, tgt in pairs]])
    return evaluate_set(translator, test_set, search, metrics, language=translator.tgt)
