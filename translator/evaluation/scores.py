"""Corpus and sentence scores by sacreBLEU, with signatures, intervals and paired bootstrap."""

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from translator.config.errors import TranslatorError
from translator.config.schema import METRICS
from translator.evaluation.multi30k_bleu import paper_signature, paper_tokens

USUAL_METRICS = METRICS[:3]
RESAMPLED = 1000  # bootstrap resamples, as the `sacrebleu` command makes
MOST_RESAMPLED = 10_000  # lines; sacreBLEU holds all resamples at once, and this takes 720 MB


def score(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    metrics: Sequence[str] = ("bleu", "chrf"),
    lowercase: bool = False,
    language: str = "de",
    n_bootstrap: int = 0,
) -> dict[str, dict[str, Any]]:
    """Corpus scores, as the `sacrebleu` command gives them.

    Args:
        hypotheses: one detokenised line per sentence.
        references: one or more lists of as many lines.
        metrics: from `METRICS`; "multi30k_bleu" is the papers' own (multi30k_bleu.py), and never
            with case.
        lowercase: compare without case.
        language: of the text, for "multi30k_bleu".
        n_bootstrap: resamples for the intervals (Koehn 2004); 0 = no intervals.

    Returns:
        For each metric its `score` and `signature`, and with resamples its 95 % `interval`.

    Raises:
        TranslatorError: unknown metric, no lines, or unequal line counts.
    """
    systems = [hypotheses]
    return {
        name: _paired(systems, references, name, lowercase, language, n_bootstrap)[0]
        for name in metrics
    }


def compare(
    hypotheses: Sequence[str],
    others: Sequence[str],
    references: Sequence[Sequence[str]],
    metrics: Sequence[str] = ("bleu", "chrf"),
    lowercase: bool = False,
    language: str = "de",
    n_bootstrap: int = RESAMPLED,
) -> dict[str, Any]:
    """Paired bootstrap (Koehn 2004) of a system against another on the same lines.

    Returns:
        "scores" of the other, as from `score`; "delta", for each metric: "delta", what ours has
        more, and "p", how probable so large a difference of either sign would be by chance.

    Raises:
        TranslatorError: as `score`.
    """
    scores, deltas = {}, {}
    for name in metrics:
        systems = [others, hypotheses]
        other, ours = _paired(systems, references, name, lowercase, language, n_bootstrap)
        delta, p_value = ours["score"] - other["score"], ours.pop("p")
        # Of equal systems sacreBLEU gives the smallest p there is: no resample differs.
        deltas[name] = {"delta": delta, "p": p_value if delta else 1.0}
        scores[name] = other
    return {"scores": scores, "delta": deltas}


def _paired(
    systems: Sequence[Sequence[str]],
    references: Sequence[Sequence[str]],
    name: str,
    lowercase: bool,
    language: str,
    n_bootstrap: int,
) -> list[dict[str, Any]]:
    """One metric of several systems; of each but the first "p", against the first."""
    from sacrebleu.metrics import BLEU, CHRF, TER
    from sacrebleu.significance import PairedTest

    builders: Mapping[str, Any] = {
        "bleu": lambda: BLEU(lowercase=lowercase),
        "chrf": lambda: CHRF(lowercase=lowercase),
        "ter": TER,  # by its own default without case
        "multi30k_bleu": lambda: BLEU(
            lowercase=True, tokenize="none", smooth_method="none", force=True
        ),
    }
    if name not in builders:
        raise TranslatorError(f'Unknown metric "{name}"; there are: {", ".join(METRICS)}.')
    for hypotheses, lines in itertools.product(systems, references):
        if len(lines) != len(hypotheses):
            raise TranslatorError(
                f"{len(hypotheses)} hypotheses but {len(lines)} references: "
                "line n of one must belong to line n of the other."
            )
    if not systems[0]:
        raise TranslatorError("There are no lines to score.")
    prepare: Callable[[Sequence[str]], list[str]] = list
    if name == "multi30k_bleu":
        prepare = functools.partial(paper_tokens, language=language)
    texts, right = [prepare(lines) for lines in systems], [prepare(lines) for lines in references]
    metric = builders[name]()
    if n_bootstrap:
        named: Any = [(str(n), lines) for n, lines in enumerate(texts)]
        found: Any
        signatures, found = PairedTest(named, {name: metric}, right, "bs", n_bootstrap)()
        ((key, signature),) = signatures.items()
        results = [
            {"score": r.score, "interval": [float(r.mean - r.ci), float(r.mean + r.ci)]}
            | ({} if r.p_value is None else {"p": r.p_value})
            for r in found[key]
        ]
    else:
        results = [{"score": metric.corpus_score(lines, right).score} for lines in texts]
        signature = metric.get_signature()
    shown = str(signature)
    if name == "multi30k_bleu":
        shown = paper_signature(shown, language)
    return [{**result, "signature": shown} for result in results]


def sentence_chrf(translations: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """The chrF of each translation, from 0 to 100.

    Args:
        translations: one a sentence.
        references: one or more lists of as many lines.
    """
    from sacrebleu.metrics import CHRF

    metric = CHRF()
    return [
        metric.sentence_score(translation, list(lines)).score
        for translation, *lines in zip(translations, *references, strict=True)
    ]
