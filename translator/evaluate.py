"""Scores with their signatures, by sacreBLEU, on text exactly as it is given."""

import functools
import itertools
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.contamination import contaminated_lines
from data_prep.corpora import load_corpus, open_corpus, split_mixture
from data_prep.formats import TextPair, read_lines
from translator.config import METRICS, CleanConfig, SearchConfig, TranslatorError
from translator.moses import paper_signature, paper_tokens
from translator.translate import Translator

USUAL_METRICS = METRICS[:3]
RESAMPLED = 1000  # bootstrap resamples, as the `sacrebleu` command makes
MOST_RESAMPLED = 10_000  # lines; sacreBLEU holds all resamples at once, and this takes 720 MB

_WORD = re.compile(r"\w+")


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
        metrics: from `METRICS`; "multi30k_bleu" is the papers' own (translator/moses.py), and never
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
    found = {
        name: TestSet([src_line for src_line, _ in pairs], [[t for _, t in pairs]], lines)
        for name, pairs in splits.items()
    }
    if lines is not None:
        check_lines(found, lines, str(hypotheses))
    return found


def check_lines(test_sets: Mapping[str, TestSet], hypotheses: Sequence[str], name: str) -> None:
    """Complains, before anything is translated, about hypotheses that are not those of a test set.

    Raises:
        TranslatorError: they are more or fewer than its lines.
    """
    for split, test_set in test_sets.items():
        if len(hypotheses) != len(test_set.references[0]):
            raise TranslatorError(
                f"The numbers of lines differ: {name} has {len(hypotheses)}, {split} has "
                f"{len(test_set.references[0])}."
            )


def evaluate_set(
    translator: Translator | None,
    test_set: TestSet,
    search: SearchConfig | None = None,
    metrics: Sequence[str] = ("bleu", "chrf"),
    **options: Any,
) -> tuple[dict[str, Any], list[str]]:
    """Scores a test set; `translator` makes the hypotheses unless it has some.

    Args:
        translator, test_set: either of them has the hypotheses.
        search: the model's own if there is none.
        metrics, **options: as for `score`.

    Returns:
        What `translator evaluate --json` prints for a split (but its name), and the hypotheses.
    """
    if test_set.hypotheses is not None:
        scores = score(test_set.hypotheses, test_set.references, metrics, **options)
        return {"sentences": len(test_set.hypotheses), "scores": scores}, test_set.hypotheses
    assert translator is not None
    search = search or translator.model.config.search
    start = time.perf_counter()
    found = translator.translate_lines(test_set.sources, search, split="never", guard=False)
    lines = [translation.text for translation in found]
    seconds = time.perf_counter() - start
    result = {
        "sentences": len(lines),
        "scores": score(lines, test_set.references, metrics, **options),
        "search": search.reported(),
        "seconds": round(seconds, 3),
        "sentences_per_second": round(len(lines) / seconds, 2),
    }
    return result, lines


@dataclass(frozen=True)
class TrainingText:
    """What training data have to do with test sets."""

    frequency: Counter[str]  # of the words of its sources
    held: dict[str, tuple[set[int], set[int]]]  # of each test set the sources and targets it holds

    def unseen(self, name: str, n_lines: int) -> list[int]:
        """Numbers of the lines of a test set of which it has neither side, nor nearly."""
        return sorted(set(range(n_lines)).difference(*self.held[name]))


def words_of(line: str) -> list[str]:
    """The words of a line without case and punctuation."""
    return _WORD.findall(line.casefold())


def read_training_text(
    test_sets: Mapping[str, TestSet], corpus: str, src: str, tgt: str
) -> TrainingText:
    """Reads training data once and looks for the lines of test sets in it.

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
    corpora = [open_corpus(name, src, tgt) for name, _ in split_mixture(corpus)]
    if any("train" not in splits_of for splits_of in corpora):
        raise TranslatorError(f"{corpus} has no training pairs.")
    frequency: Counter[str] = Counter()

    def pairs() -> Iterator[TextPair]:
        for pair in itertools.chain.from_iterable(splits_of["train"]() for splits_of in corpora):
            frequency.update(words_of(pair[0]))
            yield pair

    return TrainingText(frequency, contaminated_lines(splits, pairs(), CleanConfig()))


def score_lines(
    test_set: TestSet,
    hypotheses: Sequence[str],
    numbers: Sequence[int],
    metrics: Sequence[str] = ("bleu", "chrf"),
    **options: Any,
) -> dict[str, Any]:
    """Scores of some lines of a test set, as `evaluate_set` gives them; none of no lines."""
    references = [[lines[n] for n in numbers] for lines in test_set.references]
    some = [hypotheses[n] for n in numbers]
    scores = score(some, references, metrics, **options) if some else {}
    return {"sentences": len(some), "scores": scores}


def evaluate_pairs(
    translator: Translator,
    pairs: Sequence[TextPair],
    search: SearchConfig | None = None,
    metrics: Sequence[str] = ("bleu", "chrf"),
) -> tuple[dict[str, Any], list[str]]:
    """As `evaluate_set`, for pairs of a source and its one reference."""
    test_set = TestSet([src for src, _ in pairs], [[tgt for _, tgt in pairs]])
    return evaluate_set(translator, test_set, search, metrics, language=translator.tgt)
