"""The input of an evaluation: systems, test sets, and which lines the training data contain."""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.cleaning.contamination import contaminated_lines, split_words
from data_prep.sources.corpus import load_corpus, open_corpus, split_mixture
from translator.config.errors import TranslatorError
from translator.config.schema import CleanConfig, SearchConfig
from translator.text.lines import TextPair, read_lines
from translator.translation.translator import Translator


@dataclass(frozen=True)
class TestSet:
    """References, with sources to translate, or finished hypotheses, or both."""

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
    """Reads test sets, by name: from files if `references` are given, else splits of a corpus.

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
        check_line_counts(found, lines, str(hypotheses))
    return found


def check_line_counts(
    test_sets: Mapping[str, TestSet], hypotheses: Sequence[str], name: str
) -> None:
    """Checks that there is one hypothesis per line, before anything is translated.

    Raises:
        TranslatorError: there are more or fewer.
    """
    for split, test_set in test_sets.items():
        if len(hypotheses) != len(test_set.references[0]):
            raise TranslatorError(
                f"The numbers of lines differ: {name} has {len(hypotheses)}, {split} has "
                f"{len(test_set.references[0])}."
            )


SEEN = ("no", "source", "target", "both sides")  # which sides of a line were trained on


@dataclass(frozen=True)
class TrainingText:
    """Which lines of test sets occur in the training data, exactly or nearly.

    Attributes:
        frequency: how often each word occurs in the training sources.
        lines: by test set, the numbers of the sources and of the targets that occur.
    """

    frequency: Counter[str]
    lines: dict[str, tuple[set[int], set[int]]]

    def find_sides(self, name: str, n: int) -> str:
        """Which sides of line n of a test set occur, one of `SEEN`."""
        source, target = (n in numbers for numbers in self.lines[name])
        return SEEN[source + 2 * target]

    def list_unseen(self, name: str, n_lines: int) -> list[int]:
        """The numbers of the lines of a test set that occur on neither side."""
        return sorted(set(range(n_lines)).difference(*self.lines[name]))


def read_training_text(
    test_sets: Mapping[str, TestSet], corpus: str, src: str, tgt: str
) -> TrainingText:
    """Searches training data, read once, for the lines of test sets.

    Args:
        test_sets: by name.
        corpus: training data, which may be a mixture, as for `translator train`.
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
            frequency.update(split_words(pair[0]))
            yield pair

    return TrainingText(frequency, contaminated_lines(splits, pairs(), CleanConfig()))


@dataclass(frozen=True)
class System:
    """The system to evaluate: a translator with search settings, or finished translations."""

    name: str
    translator: Translator | None = None
    search: SearchConfig | None = None  # None = the model's own
    hypotheses: list[str] | None = None


def find_training_text(
    test_sets: Mapping[str, TestSet],
    corpus: str | None,
    data: str | None,
    src: str,
    tgt: str,
    use_own: bool,
) -> TrainingText | None:
    """Searches `corpus` for the test sets or, if it is None and `use_own`, their own corpus `data`.

    Raises:
        TranslatorError: the corpus is missing or broken, or has no training pairs.
    """
    if corpus is None and data is not None and use_own:
        own = split_mixture(data)[0][0]
        corpus = own if "train" in open_corpus(own, src, tgt) else None
    return read_training_text(test_sets, corpus, src, tgt) if corpus else None
