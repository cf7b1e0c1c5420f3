"""What a `Translator` is given: texts, and warnings of what it will not do well with."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence

from translator.config.schema import SearchConfig
from translator.text.language import LANGUAGE_NAMES, identify
from translator.translation.units import Unit

log = logging.getLogger("translator")


def read_texts(texts: Iterable[str]) -> list[str]:
    """All texts of an iterable.

    Raises:
        TypeError: it is something else.
    """
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise TypeError(f"Expected a list of strings, not {type(texts).__name__}.")
    found = list(texts)
    for number, text in enumerate(found, start=1):
        if not isinstance(text, str):
            raise TypeError(f"Expected strings, but number {number} is {type(text).__name__}.")
    return found


class InputWarnings:
    """Warns of unsuitable text, of each kind once.

    Args:
        src, tgt: the direction of the translator.
    """

    def __init__(self, src: str, tgt: str):
        self._src, self._tgt = src, tgt
        self._warned_of_language = self._warned_of_parts = False

    def check_language(self, lines: Sequence[str]) -> None:
        """Warns of text that is in the target language already."""
        if self._warned_of_language:
            return
        src, tgt = self._src, self._tgt
        found: Counter[str | None] = Counter(map(identify, lines))
        if found[tgt] > found[src]:
            self._warned_of_language = True
            log.warning(
                "This text seems to be %s already, and the model translates %s-%s. "
                "For the other direction: --src %s --tgt %s.",
                *(LANGUAGE_NAMES[tgt], src, tgt, tgt, src),
            )

    def check_parts(
        self, lines: Sequence[str], units: Sequence[Unit], search: SearchConfig
    ) -> None:
        """Warns of a sentence that is too long to be read as a whole."""
        long = next((unit for unit in units if unit.n_parts > 1), None)
        if long and not self._warned_of_parts:
            self._warned_of_parts = True
            log.warning(
                "A text of %d characters has a sentence of more than the %d pieces that the model "
                "reads at once: it is translated in %d parts; so is every other such sentence.",
                *(len(lines[long.line]), search.max_pieces, long.n_parts),
            )
