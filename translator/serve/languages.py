"""Codes of languages in requests: what is there, and what a text is in."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from translator.config.records import Record
from translator.serve.reading import bad
from translator.serve.translators import Direction
from translator.text.language import LANGUAGE_NAMES, identify, language_code

AUTO = "auto"
_LOOKED_AT = 1000  # lines of a text


@dataclass(frozen=True)
class Detected(Record):
    """What a text seems to be in; the confidence is the share of its lines that agree, in %."""

    confidence: float
    language: str


def detect(text: str, otherwise: str = "en") -> Detected:
    """The language of a text, by its first lines; `otherwise`, with confidence 0, if none tells."""
    votes = Counter(filter(None, map(identify, text.split("\n", _LOOKED_AT)[:_LOOKED_AT])))
    best = max(LANGUAGE_NAMES, key=lambda code: votes[code])
    if not votes[best]:
        return Detected(0.0, otherwise)
    return Detected(round(100 * votes[best] / votes.total(), 1), best)


class Languages:
    """What a server can translate."""

    def __init__(self, directions: Sequence[Direction]):
        self.directions = list(directions)

    def list(self) -> list[dict[str, object]]:
        """In LibreTranslate's form: every language with those it is translated into."""
        sources = dict.fromkeys(source for source, _ in self.directions)
        return [
            {
                "code": source,
                "name": LANGUAGE_NAMES.get(source, source),
                "targets": [target for other, target in self.directions if other == source],
            }
            for source in sources
        ]

    def choose(self, text: str, source: str, target: str) -> tuple[Direction, Detected | None]:
        """The direction for a text, and what was detected if that was asked for.

        Either code may be "auto". A text that is in the target language already goes from it to
        itself: it stays.

        Raises:
            HTTPException: 400, no such direction.
        """
        source, target = language_code(source)[:20], language_code(target)[:20]
        found = None
        if source == AUTO:
            default = next((s for s, t in self.directions if target in (AUTO, t)), "en")
            found = detect(text, default)
            source = found.language
        if target == AUTO:
            target = next((t for s, t in self.directions if s == source), "")
        known = {code for direction in self.directions for code in direction}
        for code in (source, target):
            if code not in known:
                raise bad(f"{code or source} is not supported")
        if source != target and (source, target) not in self.directions:
            raise bad(f"{LANGUAGE_NAMES.get(source)} ({source}) is not translated to {target} here")
        return (source, target), found
