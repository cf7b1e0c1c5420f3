"""Corpus and sentence scores by sacreBLEU, with signatures, intervals and paired bootstrap."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from translator.config.errors import TranslatorError
from translator.evaluation.multi30k_bleu import sign_for_papers, tokenize_for_papers
from translator.report.results import Comparison, Delta
from translator.storage.scores import Score

RESAMPLED = 1000  # bootstrap resamples, as the `sacrebleu` command makes
MOST_RESAMPLED = 10_000  # lines; sacreBLEU holds all resamples at once, and this takes 720 MB


def score(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    metrics: Sequence[str] = ("bleu", "chrf"),
    lowercase: bool = False,
    language: str = "de",
    n_bootstrap: int = 0,
) -> dict[str, Score]:
    """Corpus scores, equal to those of the `sacrebleu` command.

    Args:
        hypotheses: one detokenised line per sentence.
        references: one or more lists of equally many lines.
        metrics: from `METRICS` (config/schema.py); "multi30k_bleu" is the papers' own
            (multi30k_bleu.py) and always ignores case.
        lowercase: compare without case.
        language: of the text, for "multi30k_bleu".
        n_bootstrap: resamples for 95 % intervals (Koehn 2004); 0 = no intervals.

    Returns:
        The score of each metric, by name.

    Raises:
        TranslatorError: there are no lines.
    """
    systems = [hypotheses]
    return {
        name: _score_systems(systems, references, name, lowercase, language, n_bootstrap)[0][0]
        for name in metrics
    }


def corpus_scores(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, float]:
    """BLEU and chrF as bare numbers, for tables of many groups."""
    return {name: found.score for name, found in score(hypotheses, references).items()}


def compare(
    hypotheses: Sequence[str],
    others: Sequence[str],
    references: Sequence[Sequence[str]],
    metrics: Sequence[str] = ("bleu", "chrf"),
    lowercase: bool = False,
    language: str = "de",
    n_bootstrap: int = RESAMPLED,
) -> Comparison:
    """Compares two systems on the same lines by paired bootstrap (Koehn 2004).

    Returns:
        The other system's scores, as from `score`, and by metric how `hypotheses` differ from it.

    Raises:
        TranslatorError: as `score`.
    """
    scores, deltas = {}, {}
    for name in metrics:
        systems = [others, hypotheses]
        (other, _), (ours, p_value) = _score_systems(
            systems, references, name, lowercase, language, n_bootstrap
        )
        delta = ours.score - other.score
        # For equal systems sacreBLEU returns the smallest possible p, as no resample differs.
        deltas[name] = Delta(delta, p_value if delta else 1.0)
        scores[name] = other
    return Comparison(len(others), scores, delta=deltas)


def _score_systems(
    systems: Sequence[Sequence[str]],
    references: Sequence[Sequence[str]],
    name: str,
    lowercase: bool,
    language: str,
    n_bootstrap: int,
) -> list[tuple[Score, float | None]]:
    """One metric for several systems, with the p-value of each against the first."""
    from sacrebleu.metrics import BLEU, CHRF, TER
    from sacrebleu.significance import PairedTest

    builders: Mapping[str, Any] = {
        "bleu": lambda: BLEU(lowercase=lowercase),
        "chrf": lambda: CHRF(lowercase=lowercase),
        "ter": TER,  # ignores case by default
        "multi30k_bleu": lambda: BLEU(
            lowercase=True, tokenize="none", smooth_method="none", force=True
        ),
    }
    if not systems[0]:
        raise TranslatorError("There are no lines to score.")
    prepare: Callable[[Sequence[str]], list[str]] = list
    if name == "multi30k_bleu":
        prepare = functools.partial(tokenize_for_papers, language=language)
    texts, correct = [[prepare(lines) for lines in each] for each in (systems, references)]
    metric = builders[name]()
    results: list[tuple[float, tuple[float, float] | None, float | None]]
    if n_bootstrap:
        named: Any = [(str(n), lines) for n, lines in enumerate(texts)]
        found: Any
        signatures, found = PairedTest(named, {name: metric}, correct, "bs", n_bootstrap)()
        ((key, signature),) = signatures.items()
        results = [
            (r.score, (float(r.mean - r.ci), float(r.mean + r.ci)), r.p_value) for r in found[key]
        ]
    else:
        results = [(metric.corpus_score(lines, correct).score, None, None) for lines in texts]
        signature = metric.get_signature()
    shown = str(signature)
    if name == "multi30k_bleu":
        shown = sign_for_papers(shown, language)
    return [(Score(value, shown, interval), p_value) for value, interval, p_value in results]


def sentence_chrf(translations: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """The chrF of each translation, from 0 to 100.

    Args:
        translations: one per sentence.
        references: one or more lists of equally many lines.
    """
    from sacrebleu.metrics import CHRF

    metric = CHRF()
    return [
        metric.sentence_score(translation, list(lines)).score
        for translation, *lines in zip(translations, *references, strict=True)
    ]
