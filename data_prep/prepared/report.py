"""The report on preparing a corpus: as plain data, as text, as a page."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from data_prep.cleaning.clean import REPAIRED
from data_prep.prepared.prepare import TrainingData
from data_prep.sources.corpus import split_mixture
from translator.config.records import Record
from translator.report.pages import render

LOOKED_AT = 100_000  # pairs to measure a vocabulary on; more give the same figures
FEW = 0.8  # a corpus may be broken if a smaller share is worth training on
_FOLLOWS = ("<0x8", "<0x9", "<0xA", "<0xB")  # bytes of a character that are not its first one
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")

# A kind of fault, its pairs, their share of the corpus, and some of them, by language.
FaultRow = tuple[str, int, float, Sequence[Mapping[str, str]]]


@dataclass(frozen=True)
class Spelling(Record):
    """How a vocabulary spells text, by language.

    Attributes:
        pieces_per_word: the mean.
        unknown_rate: the share of the pieces that are bytes.
        coverage: the share of the characters that are not spelled in bytes.
    """

    pieces_per_word: dict[str, float]
    unknown_rate: dict[str, float]
    coverage: dict[str, float]


@dataclass(frozen=True)
class Vocabulary(Spelling):
    """A vocabulary: its number of pieces, its type ("unigram" or "bpe"), how it spells."""

    size: int
    type: str


@dataclass(frozen=True)
class CorpusReport(Record):
    """What was done to one corpus.

    Attributes:
        corpus, folder: its name; where the prepared pairs are.
        weight: its share of a mixture.
        fingerprint: of the cleaned pairs.
        held_out: pairs by split, but for training.
        before, after: "pairs", and words and characters by language, with their means.
        repaired: pairs that were repaired.
        dropped: pairs by fault.
        samples: for each fault some pairs, by language.
        notes: further remarks.
        encoded: pairs as the model reads them.
        dropped_encoding: pairs dropped then, by fault.
    """

    corpus: str
    weight: float
    folder: str
    fingerprint: str
    held_out: dict[str, int]
    before: dict[str, float]
    after: dict[str, float]
    repaired: int
    dropped: dict[str, int]
    samples: dict[str, list[dict[str, str]]]
    notes: list[str]
    encoded: int
    dropped_encoding: dict[str, int]


@dataclass(frozen=True)
class PrepareReport(Record):
    """What `prepare` prints.

    Attributes:
        corpus, languages: the name, which may be a mixture's; source and target.
        corpora: its parts.
        vocabulary: of both languages.
        train: the command to train with it.
        complete: everything is prepared.
    """

    corpus: str
    languages: list[str]
    corpora: list[CorpusReport]
    vocabulary: Vocabulary
    train: str
    complete: bool = True


def describe_pieces(data: TrainingData) -> Spelling:
    """How the vocabulary spells the training pairs."""
    tokenizer, n_pairs = data.tokenizer, data.train.n_forward
    some = data.train[: n_pairs : -(-n_pairs // LOOKED_AT)]
    pieces = tokenizer.pieces(range(tokenizer.vocab_size))
    is_byte = torch.tensor([bool(_BYTE.fullmatch(piece)) for piece in pieces])
    follows = torch.tensor([piece.startswith(_FOLLOWS) for piece in pieces])
    is_text = torch.zeros_like(is_byte)
    is_text[list(tokenizer.text_pieces.values())] = True
    sizes = torch.tensor(list(map(len, pieces))) * is_text
    starts_word = torch.tensor(tokenizer.starts_word)
    figures: dict[str, dict[str, float]] = {
        name: {} for name in ("pieces_per_word", "unknown_rate", "coverage")
    }
    for side, language in enumerate(data.corpora[0].languages):
        lines = [pair[side] for pair in some]
        ids = torch.tensor(list(itertools.chain.from_iterable(lines)))
        n_pieces = int((is_text | is_byte)[ids].sum())
        n_bytes, in_bytes = int(is_byte[ids].sum()), int((is_byte & ~follows)[ids].sum())
        n_characters = int(sizes[ids].sum()) - len(lines) + in_bytes  # a line begins with a mark
        words = int(starts_word[ids].sum())
        figures["pieces_per_word"][language] = round(n_pieces / max(words, 1), 3)
        figures["unknown_rate"][language] = round(n_bytes / max(n_pieces, 1), 6)
        figures["coverage"][language] = round(1 - in_bytes / max(n_characters, 1), 6)
    return Spelling(**figures)


def prepare_report(data: TrainingData, train: str) -> PrepareReport:
    """Builds what `prepare` prints; `train` is the command to train with the corpus."""
    parts = []
    weights = [1.0]
    if len(data.corpora) > 1:
        weights = [weight for _, weight in split_mixture(data.name)]
    for corpus, ids, weight in zip(data.corpora, data.train.parts, weights, strict=True):
        manifest = corpus.manifest
        parts.append(
            CorpusReport(
                corpus=manifest["corpus"],
                weight=weight,
                folder=str(corpus.folder),
                fingerprint=manifest["fingerprint"],
                held_out={name: len(pairs) for name, pairs in corpus.splits.items()},
                **manifest["report"],
                encoded=len(ids),
                dropped_encoding=ids.dropped,
            )
        )
    tokenizer = data.tokenizer
    spelling = vars(describe_pieces(data))
    return PrepareReport(
        corpus=data.name,
        languages=list(data.corpora[0].languages),
        corpora=parts,
        vocabulary=Vocabulary(**spelling, size=tokenizer.vocab_size, type=tokenizer.model_type),
        train=train,
    )


# --- what both the text and the page show ------------------------------------------------------


def _headline(part: CorpusReport) -> str:
    before, after = part.before["pairs"], part.after["pairs"]
    weight = f" (weight {part.weight:g})" if part.weight != 1 else ""
    share = f"{after:,} of {before:,} pairs are worth training on ({after / before:.2%})"
    return f"{part.corpus}{weight}: {share}"


def _size_rows(part: CorpusReport, languages: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """(what, before, after)."""
    rows = [("pairs", "pairs", ",.0f")]
    rows += [(f"{language}_words", f"words, {language}", ",.0f") for language in languages]
    rows += [(f"mean_{language}_words", f"words/line, {language}", ".1f") for language in languages]
    for key, name, form in rows:
        yield name, format(part.before[key], form), format(part.after[key], form)


def _fault_rows(part: CorpusReport) -> list[FaultRow]:
    """What was repaired, then what was dropped, in the order of the rules."""
    n_pairs = part.before["pairs"]
    counts = {REPAIRED: part.repaired, **part.dropped}
    return [
        (name, count, count / n_pairs, part.samples.get(name, ()))
        for name, count in counts.items()
        if count
    ]


def _notes(part: CorpusReport) -> list[str]:
    notes = list(part.notes)
    if part.after["pairs"] < FEW * part.before["pairs"]:
        notes.append("Much was dropped: `translator doctor` says whether the corpus is broken.")
    return notes


def _other_rows(part: CorpusReport) -> Iterator[tuple[str, str]]:
    if part.held_out:
        yield "held out", ", ".join(f"{n:,} {name}" for name, n in part.held_out.items())
    dropped = ", ".join(f"{n:,} {fault}" for fault, n in part.dropped_encoding.items())
    yield "encoded", f"{part.encoded:,} pairs" + (f" (dropped: {dropped})" if dropped else "")
    yield "folder", part.folder


def _vocabulary_rows(report: PrepareReport) -> Iterator[tuple[str, str]]:
    vocabulary = report.vocabulary
    yield "pieces", f"{vocabulary.size:,} for both languages ({vocabulary.type})"
    for name, figures, form, rest in (
        ("pieces/word", vocabulary.pieces_per_word, ".2f", ""),
        (
            "coverage",
            vocabulary.coverage,
            ".3%",
            " of the characters; the rest is spelled in bytes",
        ),
    ):
        yield name, ", ".join(f"{x:{form}} {language}" for language, x in figures.items()) + rest


def _visible(text: str) -> str:
    """Escapes characters that are invisible or control a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


# --- text ----------------------------------------------------------------------------------------


def report_lines(report: PrepareReport, width: int = 100) -> list[str]:
    """The report for people, in lines of at most `width` characters."""
    lines = []
    for part in report.corpora:
        lines += [_headline(part), f"  {'':<24}{'before':>12}{'after':>14}"]
        rows = _size_rows(part, report.languages)
        lines += [f"  {name:<24}{before:>12}{after:>14}" for name, before, after in rows]
        faults = _fault_rows(part)
        if faults:
            lines += ["", f"  {'repaired and dropped':<24}{'pairs':>12}{'share':>14}"]
        for name, count, share, samples in faults:
            lines.append(f"  {name:<24}{count:>12,}{share:>14.2%}")
            for pair in samples:
                sides = [f"    {side}: {_visible(pair[side])}" for side in report.languages]
                lines += [_cut(side, width) for side in sides]
        lines.append("")
        lines += [f"  {name:<12}{text}" for name, text in _other_rows(part)]
        lines += [f"  Note: {note}" for note in _notes(part)]
        lines.append("")
    lines.append("Vocabulary")
    lines += [f"  {name:<12}{text}" for name, text in _vocabulary_rows(report)]
    return [*lines, "", f"Train with it:  {report.train}"]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


# --- page ----------------------------------------------------------------------------------------


def report_html(report: PrepareReport) -> str:
    """The report as a self-contained page."""
    parts = [
        {
            "headline": _headline(part),
            "sizes": _size_rows(part, report.languages),
            "faults": _fault_rows(part),
            "notes": _notes(part),
            "others": _other_rows(part),
        }
        for part in report.corpora
    ]
    return render(
        "prepare.html",
        title=f"{report.corpus}, {' to '.join(report.languages)}",
        languages=report.languages,
        parts=parts,
        vocabulary=_vocabulary_rows(report),
        train=report.train,
        visible=_visible,
    )
