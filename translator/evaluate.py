"""Scores with their signatures, by sacreBLEU, on text exactly as it is given."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from data_prep.corpora import TextPair
from translator.config import SearchConfig, TranslatorError
from translator.translate import Translator

METRICS = ("bleu", "chrf", "ter")


def score(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    metrics: Sequence[str] = ("bleu", "chrf"),
    lowercase: bool = False,
) -> dict[str, dict[str, Any]]:
    """Corpus scores, as the `sacrebleu` command gives them.

    Args:
        hypotheses: one detokenised line per sentence.
        references: one or more lists of as many lines.
        metrics: from `METRICS`.
        lowercase: compare without case.

    Returns:
        For each metric its `score` and `signature`.

    Raises:
        TranslatorError: unknown metric, no lines, or unequal line counts.
    """
    from sacrebleu.metrics import BLEU, CHRF, TER

    for lines in references:
        if len(lines) != len(hypotheses):
            raise TranslatorError(
                f"{len(hypotheses)} hypotheses but {len(lines)} references: "
                "line n of one must belong to line n of the other."
            )
    if not hypotheses:
        raise TranslatorError("There are no lines to score.")
    builders: Mapping[str, Any] = {
        "bleu": lambda: BLEU(lowercase=lowercase),
        "chrf": lambda: CHRF(lowercase=lowercase),
        "ter": lambda: TER(case_sensitive=not lowercase),
    }
    scores = {}
    for name in metrics:
        if name not in builders:
            raise TranslatorError(f'Unknown metric "{name}"; there are: {", ".join(METRICS)}.')
        metric = builders[name]()
        result = metric.corpus_score(list(hypotheses), [list(lines) for lines in references])
        scores[name] = {"score": result.score, "signature": str(metric.get_signature())}
    return scores


def evaluate_pairs(
    translator: Translator,
    pairs: Sequence[TextPair],
    search: SearchConfig | None = None,
    metrics: Sequence[str] = ("bleu", "chrf"),
    lowercase: bool = False,
) -> tuple[dict[str, Any], list[str]]:
    """Translates the sources of `pairs` and scores the result.

    Returns:
        What `translator evaluate --json` prints for a split (but its name), and the translations.
    """
    search = search or translator.model.config.search
    start = time.perf_counter()
    lines = [line.text for line in translator.translate_lines([src for src, _ in pairs], search)]
    seconds = time.perf_counter() - start
    result = {
        "sentences": len(pairs),
        "scores": score(lines, [[tgt for _, tgt in pairs]], metrics, lowercase),
        "search": {"beam_size": search.beam_size, "length_penalty": search.length_penalty},
        "seconds": round(seconds, 3),
        "sentences_per_second": round(len(pairs) / seconds, 2),
    }
    return result, lines
