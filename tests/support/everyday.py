"""The everyday suite: sentences of daily life, and which translations of each are accepted.

    python tests/support/everyday.py [MODEL]...      # shares by category, and what failed

`tests/data/everyday/SRC-TGT.txt` has categories (`# name`), sources (`> text`), and below each its
patterns: `= text`, one of which the whole translation must match, and `! text`, none of which it
may contain. In a pattern `(a|b|)` is a choice, which nests, and `*` any text; all else is literal.
White space, the form of quotation marks, and `!` for `.` do not count; capitals and all other
punctuation do.
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from translator import Translator

FOLDER = Path(__file__).parents[1] / "data" / "everyday"


@dataclass
class Sentence:
    """A source with the patterns of its translations, as they stand in the file."""

    category: str
    source: str
    accepted: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def accepts(self, translation: str) -> bool:
        """Whether a translation counts as right."""
        text = _normalise(translation)
        if any(re.search(rf"\b{_regex(p)}\b", text) for p in self.refused):
            return False
        return any(re.fullmatch(_regex(p), text) for p in self.accepted)


def _normalise(text: str) -> str:
    text = re.sub("[„“”«»]", '"', text).replace("’", "'").replace("!", ".")
    return " ".join(text.split())


def _regex(pattern: str) -> str:
    # Beside an empty choice a space is none.
    special = {" ": "(?: |(?<= )|^|$|(?=[,.?]))", "*": ".*", "(": "(?:", ")": ")", "|": "|"}
    return "".join(special.get(c, re.escape(c)) for c in _normalise(pattern))


def read_suite(direction: str) -> list[Sentence]:
    """The sentences of `SRC-TGT`, in order."""
    sentences: list[Sentence] = []
    category = ""
    for line in (FOLDER / f"{direction}.txt").read_text(encoding="utf-8").splitlines():
        kind, _, text = line.partition(" ")
        if kind == "#":
            category = text
        elif kind == ">":
            sentences.append(Sentence(category, text))
        elif kind:
            {"=": sentences[-1].accepted, "!": sentences[-1].refused}[kind].append(text)
    return sentences


def print_results(sentences: Sequence[Sentence], translations: Sequence[str]) -> float:
    """Prints the share accepted by category, and each failure; returns the whole share."""
    right = [s.accepts(found) for s, found in zip(sentences, translations, strict=True)]
    for category in dict.fromkeys(s.category for s in sentences):
        of_it = [ok for s, ok in zip(sentences, right, strict=True) if s.category == category]
        print(f"{category:16} {sum(of_it):3} of {len(of_it)}")
    share = sum(right) / len(right)
    print(f"{'all':16} {sum(right):3} of {len(right)}: {share:.1%} accepted\n")
    for sentence, found, ok in zip(sentences, translations, right, strict=True):
        if not ok:
            print(f"{sentence.category}: {sentence.source}\n  -> {found}")
    return share


def main(models: Sequence[str]) -> None:
    """The suite of each model's direction; without a model, both of what is shipped."""
    for options in [{"model": m} for m in models] or [{}, {"src": "de", "tgt": "en"}]:
        translator = Translator.load(**options)
        direction = f"{translator.src}-{translator.tgt}"
        print(f"## {translator.model.folder}, {direction}")
        sentences = read_suite(direction)
        print_results(sentences, translator.translate([s.source for s in sentences]))


if __name__ == "__main__":
    main(sys.argv[1:])
