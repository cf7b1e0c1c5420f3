"""Retries translations that have a fault, in ways that are safer and slower."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from translator.config.schema import SearchConfig
from translator.search.hypothesis import Hypothesis
from translator.text.codec import Source, TextCodec, fold, normalise, target_ids
from translator.text.numbers import lost_numbers, number_spans, shifted_times
from translator.text.protected import Span, changed_currency, has_number, protected_spans
from translator.text.sentences import split_long
from translator.text.terms import TermMatch, lost_terms
from translator.text.tokenizer import Tokenizer
from translator.translation.faults import (
    find_lost_names,
    find_rare_names,
    is_in_capitals,
    list_faults,
    lower_heading,
)
from translator.translation.result import Repair, Segment, join_line, with_quotes
from translator.translation.units import Reader, Unit

NAMED = ("en",)  # languages whose names are recognised by their capitals
_SAFE_NGRAM = 4  # the length of n-grams that a safer search does not repeat


def find_names(tokenizer: Tokenizer, language: str, text: str) -> list[tuple[int, int]]:
    """Where the text has names that a model with this vocabulary would misspell."""

    def n_pieces(word: str) -> int:
        return sum(piece != "▁" for piece in tokenizer.pieces(tokenizer.encode(fold(word))))

    return find_rare_names(text, n_pieces) if language in NAMED else []


def find_faults(
    codec: TextCodec,
    language: str,
    text: str,
    source: Source,
    translation: str,
    terms: Sequence[TermMatch] = (),
) -> list[str]:
    """What translator/translation/faults.py finds in a translation.

    Args:
        codec: of the model whose pieces are counted.
        language: of the text.
        text: the source, normalised.
        source: the same text as the model reads it.
        translation: the result.
        terms: what has a prescribed translation, and is no name.
    """
    n_pieces = len(target_ids(codec, normalise(translation), source))
    names = [
        text[start:end]
        for start, end in find_names(codec.tokenizer, language, text)
        if not any(term.start < end and start < term.end for term in terms)
    ]
    return list_faults(text, translation, len(source.ids), n_pieces, names)


@dataclass(frozen=True)
class Retrier:
    """Searches again for translations that have faults."""

    reader: Reader
    config: SearchConfig  # of the first search
    search: Callable[[Sequence[Unit], SearchConfig], list[list[Hypothesis]]]  # best first
    write: Callable[[Unit, list[Hypothesis]], Segment]  # the first hypothesis as text

    def retry(self, unit: Unit, segment: Segment) -> Segment:
        """Tries safer ways to translate a unit until the result has no faults.

        The first result with the fewest faults wins. A text in capitals is translated in lower
        case, which a model knows better, and the result is put in capitals again. The quotation
        marks of the result are of the source's kind (translator/text/quotes.py).
        """
        return with_quotes(unit, self._retry(unit, segment), self.reader.tgt)

    def _retry(self, unit: Unit, segment: Segment) -> Segment:
        found = self._faults(unit, segment)
        if not unit.prefix and (calm := self._retry_in_lower_case(unit)):
            left = self._faults(unit, calm)
            if len(left) <= len(found):
                name = "capitals" if is_in_capitals(unit.text) else "title case"
                return replace(calm, repair=Repair([name, *found], "small letters", left))
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

    def _retry_in_lower_case(self, unit: Unit) -> Segment | None:
        """The translation of a text in capitals, or a heading, from its small letters."""
        capitals = is_in_capitals(unit.text)
        if capitals:
            text = _outside(protected_spans(unit.text), unit.text, str.lower)
            text = text[:1].upper() + text[1:]
        else:
            text = lower_heading(unit.text, self.reader.src)
            if text == unit.text:
                return None
        calm = self.reader.read(unit, text)
        (hypotheses,) = self.search([calm], self.config)
        segment = self.retry(calm, self.write(calm, hypotheses))
        n_best = segment.n_best
        if capitals:
            n_best = [(_in_capitals(text, calm.source), score) for text, score in n_best]
        return replace(segment, source=unit.text, text=n_best[0][0], n_best=n_best)

    def _faults(self, unit: Unit, segment: Segment) -> list[str]:
        found = find_faults(
            self.reader.codec, self.reader.src, unit.text, unit.source, segment.text, unit.terms
        )
        misspelt = not all(has_number(segment.text, span, self.reader.tgt) for span in unit.numbers)
        misspelt = misspelt or changed_currency(unit.text, segment.text)
        if misspelt and "numbers" not in found:
            found.append("numbers")
        if lost_terms(unit.terms, segment.text, self.reader.tgt):
            found.append("terms")
        return found

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
            encode, whole = self.reader.codec.encode, replace(unit, terms=[], chosen=[], lead="")
            parts = [
                replace(whole, text=text, source=encode(text), space=space) for text, space in cut
            ]
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
        numbers = [
            span for span in unit.numbers if not has_number(translation, span, self.reader.tgt)
        ]
        if lost_numbers(text, translation) or changed_currency(text, translation):
            numbers = unit.numbers
            spans += number_spans(text)
        times = [Span(a, b, text[a:b], said) for a, b, said in shifted_times(text, translation)]
        numbers = [
            *(n for n in numbers if all(n.end <= t.start or t.end <= n.start for t in times)),
            *times,
        ]
        for start, end in find_names(self.reader.codec.tokenizer, self.reader.src, text):
            if find_lost_names([text[start:end]], translation):
                spans.append((start, end))
        chosen = [*numbers]
        for start, end in sorted(spans):
            if all(end <= span.start or span.end <= start for span in numbers):
                chosen.append(Span(start, end, text[start:end], text[start:end]))
        return replace(unit, source=self.reader.codec.encode(text, chosen), chosen=chosen)


def _outside(spans: Sequence[tuple[int, int]], text: str, change: Callable[[str], str]) -> str:
    """`text` with `change` made to all but the spans."""
    changed, position = "", 0
    for start, end in spans:
        changed += change(text[position:start]) + text[start:end]
        position = end
    return changed + change(text[position:])


def _in_capitals(text: str, source: Source) -> str:
    """A translation in capitals, but for what is carried over."""
    written = sorted({span.written for span in source.copies}, key=len, reverse=True)
    found = re.finditer("|".join(map(re.escape, written)), text) if written else ()
    return _outside([match.span() for match in found], text, str.upper)
