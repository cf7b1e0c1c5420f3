"""What is scored: test sets, finished hypotheses, and which of them the training data contain."""

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.cleaning.contamination import contaminated_lines
from data_prep.sources.corpus import load_corpus, open_corpus, split_mixture
from translator.config.errors import TranslatorError
from translator.config.schema import CleanConfig, SearchConfig
from translator.text.lines import TextPair, read_lines
from translator.translation.translator import Translator

_WORD = re.compile(r"\w+")


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
    """Checks, before anything is translated, that hypotheses fit the test sets.

    Raises:
        TranslatorError: they are more or fewer than its lines.
    """
    for split, test_set in test_sets.items():
        if len(hypotheses) != len(test_set.references[0]):
            raise TranslatorError(
                f"The numbers of lines differ: {name} has {len(hypotheses)}, {split} has "
                f"{len(test_set.references[0])}."
            )


SEEN = ("no", "source", "target", "both sides")  # what training data may contain of a line


@dataclass(frozen=True)
class TrainingText:
    """What training data contain of test sets, exactly or approximately.

    Attributes:
        frequency: of the words of the training sources.
        held: by test set, the numbers of the sources and of the targets that it contains.
    """

    frequency: Counter[str]
    held: dict[str, tuple[set[int], set[int]]]

    def kind(self, name: str, n: int) -> str:
        """Which sides of line n of a test set it contains, see `SEEN`."""
        source, target = (n in numbers for numbers in self.held[name])
        return SEEN[source + 2 * target]

    def unseen(self, name: str, n_lines: int) -> list[int]:
        """The numbers of the lines of a test set of which it contains neither side."""
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


@dataclass(frozen=True)
class System:
    """What is evaluated: a translator and how it searches, or finished translations."""

    name: str
    translator: Translator | None = None
    search: SearchConfig | None = None  # the model's own if there is none
    hypotheses: list[str] | None = None


def training_text(
    test_sets: Mapping[str, TestSet],
    corpus: str | None,
    data: str | None,
    src: str,
    tgt: str,
    wanted: bool,
) -> TrainingText | None:
    """What a corpus contains of the test sets: `corpus`, else their own if that is `wanted`.

    Raises:
        TranslatorError: the corpus is missing or broken, or has no training pairs.
    """
    if corpus is None and data is not None and wanted:
        own = split_mixture(data)[0][0]
        corpus = own if "train" in open_corpus(own, src, tgt) else None
    return read_training_text(test_sets, corpus, src, tgt) if corpus else None
