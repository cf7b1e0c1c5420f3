"""Where `translate` reads its lines from: TEXT, a file, or standard input."""

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

_SMALL = 2_000  # bytes: about 30 sentences


def join_words(texts: Sequence[str]) -> list[str]:
    """The texts that arguments stand for: words that were not quoted are one text."""
    if len(texts) > 1 and all(text and not text.isspace() and " " not in text for text in texts):
        log = logging.getLogger("translator")
        log.info('Several words are one text; for several texts: "FIRST TEXT" "SECOND TEXT".')
        return [" ".join(texts)]
    return list(texts)


class Lines:
    """The lines of texts, of a file, or of standard input, which `-` stands for too.

    Args:
        texts: the arguments; without any, `file` is read.
        file: without it, standard input is read.
    """

    def __init__(self, texts: Sequence[str], file: Path | None = None):
        standard_input = str(file or "-") == "-" and list(texts) in ([], ["-"])
        self.lines: list[str] | None = None
        if not (standard_input or file):
            self.lines = [line for text in join_words(texts) for line in text.split("\n")]
            if len(texts) == 1 and Path(texts[0]).suffix and os.path.isfile(texts[0]):
                log = logging.getLogger("translator")
                log.warning("%s is a file; for what is in it: --input %s", texts[0], texts[0])
        self.file = None if standard_input else file
        self.live = standard_input  # someone may be waiting for each answer

    @property
    def interactive(self) -> bool:
        """Whether a person types the lines."""
        return self.live and sys.stdin.isatty()

    @property
    def few(self) -> bool:
        """Whether the job is too small for several threads: they cost more than they gain."""
        small_file = self.file and self.file.is_file() and self.file.stat().st_size < _SMALL
        return self.lines is not None or self.interactive or bool(small_file)

    def __iter__(self) -> Iterator[str]:
        if self.lines is not None:
            yield from self.lines
        elif self.file:
            from translator.text.lines import iterate_lines

            yield from iterate_lines(self.file)
        else:
            yield from (line for block in self.blocks() for line in block)

    def blocks(self) -> Iterator[list[str]]:
        """In lists; from standard input, what has come so far."""
        from translator.text.lines import blocks, blocks_as_they_come

        if self.live:
            return blocks_as_they_come(sys.stdin.buffer, "Standard input")
        return blocks(self)

    def repeatable(self) -> "Lines":
        """The same, which can be read twice: a pipe is read to its end first."""
        if self.live or (self.file and not self.file.is_file()):
            self.lines, self.live = list(self), False
        return self
