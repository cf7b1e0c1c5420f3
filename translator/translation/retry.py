"""Retries translations that have a fault, in ways that are safer and slower."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from translator.config.schema import SearchConfig
from translator.search.beam import Hypothesis
from translator.text.codec import Source, TextCodec, normalise, target_ids
from translator.text.numbers import lost_numbers, number_spans
from translator.text.sentences import split_long
from translator.text.tokenizer import Tokenizer
from translator.translation.faults import faults, is_in_capitals, lost_names, rare_names
from translator.translation.result import Repair, Segment, join_line
from translator.translation.units import Unit

NAMED = ("en",)  # languages whose names are recognised by their capitals
_SAFE_NGRAM = 4  # the length of n-grams that a safer search does not repeat


def find_names(tokenizer: Tokenizer, language: str, text: str) -> list[tuple[int, int]]:
    """Where the text has names that a model with this vocabulary would misspell."""

    def n_pieces(word: str) -> int:
        return sum(piece != "▁" for piece in tokenizer.pieces(tokenizer.encode(word)))

    return rare_names(text, n_pieces) if language in NAMED else []


def find_faults(
    codec: TextCodec, language: str, text: str, source: Source, translation: str
) -> list[str]:
    """What translator/translation/faults.py finds in a translation.

    Args:
        codec: of the model whose pieces are counted.
        language: of the text.
        text: the source, normalised.
        source: the same text as the model reads it.
        translation: the result.
    """
    n_pieces = len(target_ids(codec, normalise(translation), source))
    names = [text[start:end] for start, end in find_names(codec.tokenizer, language, text)]
    return faults(text, translation, len(source.ids), n_pieces, names)


@dataclass(frozen=True)
class Retrier:
    """Searches again for translations that have faults."""

    codec: TextCodec
    language: str  # of the sources
    config: SearchConfig  # of the first search
    search: Callable[[Sequence[Unit], SearchConfig], list[list[Hypothesis]]]  # best first
    write: Callable[[Unit, list[Hypothesis]], Segment]  # the first hypothesis as text

    def retry(self, unit: Unit, segment: Segment) -> Segment:
        """Tries safer ways to translate a unit until the result has no faults.

        The first result with the fewest faults wins. A text in capitals is translated in lower
        case, which a model knows better, and the result is put in capitals again.
        """
        found = self._faults(unit, segment)
        if is_in_capitals(unit.text) and not unit.prefix:
            calm = self._retry_in_lower_case(unit)
            left = self._faults(unit, calm)
            if len(left) <= len(found):
                return replace(calm, repair=Repair(["capitals", *found], "small letters", left))
        if not found:
            return segment
        best, by, left = segment, "nothing", found
        for name, way in self._safer_ways(unit, segment.text):
            faults = self._faults(unit, way)
            if len(faults) < len(left):
                best, by, left = way, name, faults
            if not faults:
                break
        return replace(best, repair=Repair(found, by, left))

    def _retry_in_lower_case(self, unit: Unit) -> Segment:
        text = unit.text.capitalize()
        calm = replace(unit, text=text, source=self.codec.encode(text))
        (hypotheses,) = self.search([calm], self.config)
        segment = self.retry(calm, self.write(calm, hypotheses))
        n_best = [(text.upper(), score) for text, score in segment.n_best]
        return replace(segment, source=unit.text, text=n_best[0][0], n_best=n_best)

    def _faults(self, unit: Unit, segment: Segment) -> list[str]:
        return find_faults(self.codec, self.language, unit.text, unit.source, segment.text)

    def _safer_ways(self, unit: Unit, translation: str) -> Iterator[tuple[str, Segment]]:
        """With placeholders for what was lost; a wider beam that repeats no n-gram; two parts.

        Last, a beam that repeats no pair of pieces, and one that repeats no piece: the text may be
        one that the model cannot translate at all, but the result is no loop.
        """
        copied = self._with_placeholders(unit, translation)
        if copied.source != unit.source:
            (hypotheses,) = self.search([copied], self.config)
            yield "copied", self.write(copied, hypotheses)
        n_best, width = self.config.n_best, 2 * max(self.config.beam_size, 5)
        safer = replace(
            self.config, decode="beam", beam_size=width, n_best=width, no_repeat_ngram=_SAFE_NGRAM
        )
        (hypotheses,) = self.search([unit], safer)
        for i in range(len(hypotheses)):
            reordered = [hypotheses[i], *hypotheses[:i], *hypotheses[i + 1 :]]
            yield "wider beam", self.write(unit, reordered[:n_best])
        if " " in unit.text and not unit.prefix:
            # At a clause mark near the middle, or at any white space.
            cut = split_long(unit.text, lambda part: part != unit.text)
            parts = [Unit(0, text, self.codec.encode(text), [], space) for text, space in cut]
            pairs = zip(parts, self.search(parts, safer), strict=True)
            joined = join_line(unit.text, [(part, self.write(part, h)) for part, h in pairs])
            best = joined.n_best[:n_best]
            yield "split", Segment(unit.text, joined.text, joined.score, best, joined.alignment)
        for ngram in (2, 1):
            (hypotheses,) = self.search([unit], replace(safer, no_repeat_ngram=ngram))
            yield "no repetition", self.write(unit, hypotheses[:n_best])

    def _with_placeholders(self, unit: Unit, translation: str) -> Unit:
        """The unit with placeholders for what its translation has lost: names, and all numbers."""
        if unit.prefix:  # which has placeholders of its own
            return unit
        text, spans = unit.text, []
        if lost_numbers(text, translation):
            spans += number_spans(text)
        for start, end in find_names(self.codec.tokenizer, self.language, text):
            if lost_names([text[start:end]], translation):
                spans.append((start, end))
        return replace(unit, source=self.codec.encode(text, spans))
