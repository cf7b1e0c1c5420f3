"""A line -> the units that a model translates one at a time: sentences, or parts of long ones."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from translator.config.errors import TranslatorError
from translator.config.schema import SearchConfig
from translator.text.codec import Source, TextCodec, normalise, target_ids
from translator.text.sentences import split_long, split_sentences
from translator.text.tokenizer import N_COPY

log = logging.getLogger("translator")

SPLITS = ("sentences", "long", "never")


@dataclass(frozen=True)
class Unit:
    """A segment before it is translated."""

    line: int
    text: str  # normalised
    source: Source
    prefix: list[int]  # what its translation begins with
    space: str  # white space between this segment and the next


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
    parts = split_sentences(stripped, language) if split == "sentences" else [(stripped, "")]
    if split != "never":
        shorter = [split_long(part, fits) for part, _ in parts]
        if any(len(pieces) > 1 for pieces in shorter):
            log.warning(
                "A text of %d characters has more than the %d pieces that the model reads at "
                "once: it is translated in %d parts.",
                len(text),
                search.max_pieces,
                sum(map(len, shorter)),
            )
        parts = [
            (part, inner or outer)
            for pieces, (_, outer) in zip(shorter, parts, strict=True)
            for part, inner in pieces
        ]
    for part, space in parts:
        part = normalise(part)
        yield Unit(line, part, codec.encode(part), [], space)


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
