"""A line -> the units that a model translates one at a time: sentences, or parts of long ones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from translator.config.errors import TranslatorError
from translator.config.schema import SearchConfig
from translator.text.codec import Source, TextCodec, normalise, target_ids
from translator.text.sentences import split_long, split_sentences
from translator.text.tokenizer import N_COPY

SPLITS = ("sentences", "long", "never")


@dataclass(frozen=True)
class Unit:
    """A segment before it is translated."""

    line: int
    text: str  # normalised
    source: Source
    prefix: list[int]  # what its translation begins with
    space: str  # white space between this segment and the next
    n_parts: int = 1  # into which its sentence was cut


def cut_line(
    codec: TextCodec, language: str, line: int, text: str, search: SearchConfig, split: str
) -> Iterator[Unit]:
    """The units of a line; with any `split` but "never" of at most `max_pieces` each."""

    def fits(part: str) -> bool:
        source = codec.encode(normalise(part))
        return len(source.ids) <= search.max_pieces and len(source.copies) <= N_COPY

    stripped = text.strip()
    if not stripped:
        return
    sentences = split_sentences(stripped, language) if split == "sentences" else [(stripped, "")]
    for sentence, outer in sentences:
        parts = [(sentence, "")] if split == "never" else split_long(sentence, fits)
        for part, inner in parts:
            part = normalise(part)
            yield Unit(line, part, codec.encode(part), [], inner or outer, len(parts))


def cut_lines(
    codec: TextCodec,
    language: str,
    lines: Sequence[str],
    search: SearchConfig,
    split: str,
    prefix: str,
) -> list[Unit]:
    """The units of all lines; the prefix goes to the first unit of each line.

    Raises:
        TranslatorError: an unknown way to split.
    """
    if split not in SPLITS:
        raise TranslatorError(f'Unknown split "{split}"; there are: {", ".join(SPLITS)}.')
    found = []
    for i, line in enumerate(lines):
        units = list(cut_line(codec, language, i, line, search, split))
        if prefix and units:
            ids = target_ids(codec, normalise(prefix), units[0].source)
            units[0] = replace(units[0], prefix=ids)
        found += units
    return found
