"""Makes translations hold the terms of a glossary, where they do not by themselves.

A sentence is translated as ever first. Where a term is missing, it is translated with placeholders
for its terms, in several ways; in these each term is written in each of its forms, and the model
says which whole sentence is the likeliest translation of the real source. So the forms, and the
articles beside them, are chosen by all that the model knows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from translator.config.schema import SearchConfig
from translator.search.hypothesis import Hypothesis
from translator.text.codec import normalise, target_ids
from translator.text.protected import Span, protected_spans
from translator.text.terms import Terms, inflected, lost_terms
from translator.text.tokenizer import N_COPY
from translator.translation.decoding import UnitDecoder
from translator.translation.units import Reader, Unit

_BEAM = 8  # ways to translate a sentence with placeholders
_KEPT = 4  # of them, for each of which all forms are tried
_MARK = 0xE100  # private use: stands for the first term in a translation

_Way = tuple[str, tuple[str, ...]]  # a translation with marks, and the forms in their places


def find_terms(units: Sequence[Unit], terms: Terms, language: str) -> list[Unit]:
    """The units with the terms that each holds; what is carried over unchanged holds none."""
    found = []
    for unit in units:
        held = protected_spans(unit.text)
        matches = [
            match
            for match in terms.find(unit.text, language)
            if not any(start < match.end and match.start < end for start, end in held)
        ]
        found.append(replace(unit, terms=matches) if matches else unit)
    return found


@dataclass(frozen=True)
class Prescriber:
    """Searches for translations that hold the terms of their units."""

    reader: Reader
    decoder: UnitDecoder

    def search(self, units: Sequence[Unit], search: SearchConfig) -> list[list[Hypothesis]]:
        """Hypotheses of each unit, in the given order; see `UnitDecoder.search`."""
        found = self.decoder.search(units, search)
        lacking = [i for i, unit in enumerate(units) if self._n_lost(unit, found[i])]
        again = self._with_terms([units[i] for i in lacking], search) if lacking else []
        for i, hypotheses in zip(lacking, again, strict=True):
            if self._n_lost(units[i], hypotheses) < self._n_lost(units[i], found[i]):
                found[i] = hypotheses
        return found

    def _n_lost(self, unit: Unit, hypotheses: Sequence[Hypothesis]) -> int:
        if not unit.terms or any(chr(_MARK + n) in unit.text for n in range(len(unit.terms))):
            return 0  # a mark of the user's own would be taken for a term
        text = self.reader.codec.decode(hypotheses[0].ids, unit.source)
        return len(lost_terms(unit.terms, text, self.reader.tgt))

    def _with_terms(self, units: Sequence[Unit], config: SearchConfig) -> list[list[Hypothesis]]:
        """Hypotheses of units that lack terms."""
        masked = [self._mask(unit) for unit in units]
        width = max(config.beam_size, _BEAM)
        wide = replace(config, decode="beam", beam_size=width, n_best=width, diversity=0.0)
        ways: list[list[_Way]] = []  # of each unit
        for unit, hypotheses in zip(masked, self.decoder.search(masked, wide), strict=True):
            first = tuple(match.forms[0] for match in unit.terms)
            texts = {self.reader.codec.decode(h.ids, unit.source).strip() for h in hypotheses}
            ways.append([(text, first) for text in sorted(texts)])
        ways, found = self._best(units, ways, config)
        for n in range(max(len(unit.terms) for unit in units)):
            # Of all forms, in the best way, the best few are tried in the other ways.
            tried = [
                [_with_form(of_unit[0], n, form) for form in self._forms(unit, n)]
                for unit, of_unit in zip(units, ways, strict=True)
            ]
            best, _ = self._best(units, tried, config)
            tried = [
                [_with_form(way, n, forms[n]) for way in of_unit for _, forms in best_forms[:2]]
                for of_unit, best_forms in zip(ways, best, strict=True)
            ]
            ways, found = self._best(units, tried, config)
        return [hypotheses[: max(config.n_best, 1)] for hypotheses in found]

    def _best(
        self,
        units: Sequence[Unit],
        ways: Sequence[Sequence[_Way]],
        config: SearchConfig,
    ) -> tuple[list[list[_Way]], list[list[Hypothesis]]]:
        """The ways that the model finds likeliest, best first, and their hypotheses."""
        given = [
            (unit, self._write(unit, *way))
            for unit, of_unit in zip(units, ways, strict=True)
            for way in of_unit
        ]
        scored = iter(self.decoder.judge(given, config))
        best, found = [], []
        for of_unit in ways:
            pairs = [(next(scored), way) for way in of_unit]
            pairs.sort(key=lambda pair: -pair[0].score)
            best.append([way for _, way in pairs[: max(_KEPT, config.n_best)]])
            found.append([hypothesis for hypothesis, _ in pairs])
        return best, found

    def _write(self, unit: Unit, text: str, forms: Sequence[str]) -> str:
        """A translation with forms in the places of their marks."""
        for n, form in enumerate(forms):
            mark = chr(_MARK + n)
            if text.startswith(mark) and unit.terms[n].term.forms:
                form = form[:1].upper() + form[1:]
            text = text.replace(mark, form)
        return text

    def _mask(self, unit: Unit) -> Unit:
        """The unit with a placeholder for each of its terms, as many as there are."""
        codec = self.reader.codec
        free = N_COPY - len(unit.source.copies)
        spans = [
            Span(match.start, match.end, match.text, chr(_MARK + n))
            for n, match in enumerate(unit.terms[: max(free, 0)])
        ]
        kept = [
            span
            for span in unit.chosen
            if all(span.end <= term.start or term.end <= span.start for term in spans)
        ]
        chosen = sorted([*spans, *kept], key=lambda span: span.start)
        source = codec.encode(unit.text, chosen)
        prefix = unit.prefix
        if prefix:  # its placeholders have other numbers now
            prefix = target_ids(codec, normalise(codec.decode(prefix, unit.source)), source)
        return replace(unit, source=source, prefix=prefix)

    def _forms(self, unit: Unit, n: int) -> Sequence[str]:
        """The forms of term `n` of a unit; one that it has not is written nowhere."""
        if n >= len(unit.terms):
            return [""]
        match = unit.terms[n]
        if not match.term.forms:
            return match.forms
        return [f for form in match.forms for f in inflected(form, self.reader.tgt)]


def _with_form(way: _Way, n: int, form: str) -> _Way:
    text, forms = way
    return text, (*forms[:n], form, *forms[n + 1 :])
