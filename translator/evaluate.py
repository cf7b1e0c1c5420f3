"""Scores with their signatures, by sacreBLEU, on text exactly as it is given."""

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.contamination import contaminated_lines
from data_prep.corpora import load_corpus, open_corpus, split_mixture
from data_prep.formats import TextPair, read_lines
from translator.config import CleanConfig, SearchConfig, TranslatorError
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
        "ter": TER,  # by its own default without case
    }
    scores = {}
    for name in metrics:
        if name not in builders:
            raise TranslatorError(f'Unknown metric "{name}"; there are: {", ".join(METRICS)}.')
        metric = builders[name]()
        result = metric.corpus_score(list(hypotheses), [list(lines) for lines in references])
        scores[name] = {"score": result.score, "signature": str(metric.get_signature())}
    return scores


@dataclass(frozen=True)
class TestSet:
    """What is scored: sources to translate or finished hypotheses, and the references."""

    sources: list[str]
    references: list[list[str]]
    hypotheses: list[str] | None = None


def read_test_sets(
    data: str,
    split: str,
    src: str,
    tgt: str,
    source: Path | None = None,
    references: Sequence[Path] = (),
    hypotheses: Path | None = None,
) -> dict[str, TestSet]:
    """Test sets by name: from files if `references` are given, else splits of a corpus.

    Raises:
        TranslatorError: something is missing or unreadable, line counts differ, or hypotheses are
            given for several splits.
    """
    lines = read_lines(hypotheses) if hypotheses else None
    if references:
        files = {path: read_lines(path) for path in (source, hypotheses, *references) if path}
        if len({len(content) for content in files.values()}) > 1:
            counts = ", ".join(f"{path} has {len(content)}" for path, content in files.items())
            raise TranslatorError(f"The files differ in their number of lines: {counts}.")
        sources = files[source] if source else []
        return {references[0].name: TestSet(sources, [files[r] for r in references], lines)}
    splits = load_corpus(split_mixture(data)[0][0], src, tgt).select(split)  # as for training
    if lines is not None and len(splits) > 1:
        raise TranslatorError(
            f"--hypotheses needs one split, not {', '.join(splits)}: use --split."
        )
    return {
        name: TestSet([src_line for src_line, _ in pairs], [[t for _, t in pairs]], lines)
        for name, pairs in splits.items()
    }


def evaluate_set(
    translator: Translator | None,
    test_set: TestSet,
    search: SearchConfig | None = None,
    metrics: Sequence[str] = ("bleu", "chrf"),
    lowercase: bool = False,
) -> tuple[dict[str, Any], list[str]]:
    """Scores a test set; `translator` makes the hypotheses unless it has some.

    Returns:
        What `translator evaluate --json` prints for a split (but its name), and the hypotheses.
    """
    if test_set.hypotheses is not None:
        scores = score(test_set.hypotheses, test_set.references, metrics, lowercase)
        return {"sentences": len(test_set.hypotheses), "scores": scores}, test_set.hypotheses
    assert translator is not None
    search = search or translator.model.config.search
    start = time.perf_counter()
    found = translator.translate_lines(test_set.sources, search, split="never", guard=False)
    lines = [translation.text for translation in found]
    seconds = time.perf_counter() - start
    result = {
        "sentences": len(lines),
        "scores": score(lines, test_set.references, metrics, lowercase),
        "search": {"beam_size": search.beam_size, "length_penalty": search.length_penalty},
        "seconds": round(seconds, 3),
        "sentences_per_second": round(len(lines) / seconds, 2),
    }
    return result, lines


def unseen_lines(
    test_sets: Mapping[str, TestSet], corpus: str, src: str, tgt: str
) -> dict[str, list[int]]:
    """Of each test set the numbers of the lines of which a corpus has neither side, nor nearly.

    Args:
        test_sets: by name.
        corpus: training data, as for `translator train`; a mixture too.
        src, tgt: languages.

    Raises:
        TranslatorError: the corpus is missing or broken, or has no training pairs.
    """
    splits = {
        name: list(zip(t.sources or [""] * len(t.references[0]), t.references[0], strict=True))
        for name, t in test_sets.items()
    }
    sources = [open_corpus(name, src, tgt) for name, _ in split_mixture(corpus)]
    if any("train" not in splits_of for splits_of in sources):
        raise TranslatorError(f"{corpus} has no training pairs.")
    train = itertools.chain.from_iterable(splits_of["train"]() for splits_of in sources)
    seen = contaminated_lines(splits, train, CleanConfig())
    return {
        name: sorted(set(range(len(pairs))).difference(*seen[name]))
        for name, pairs in splits.items()
    }


def score_lines(
    test_set: TestSet,
    hypotheses: Sequence[str],
    numbers: Sequence[int],
    metrics: Sequence[str],
    lowercase: bool = False,
) -> dict[str, Any]:
    """Scores of some lines of a test set, as `evaluate_set` gives them; none of no lines."""
    references = [[lines[n] for n in numbers] for lines in test_set.references]
    some = [hypotheses[n] for n in numbers]
    scores = score(some, references, metrics, lowercase) if some else {}
    return {"sentences": len(some), "scores": scores}


def evaluate_pairs(
    translator: Translator,
    pairs: Sequence[TextPair],
    search: SearchConfig | None = None,
    metrics: Sequence[str] = ("bleu", "chrf"),
) -> tuple[dict[str, Any], list[str]]:
    """As `evaluate_set`, for pairs of a source and its one reference."""
    test_set = TestSet([src for src, _ in pairs], [[tgt for _, tgt in pairs]])
    return evaluate_set(translator, test_set, search, metrics)
