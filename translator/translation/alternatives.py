"""What a word of a translation could be instead, and how the sentence would continue then."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from translator.model.incremental import NEVER
from translator.text.terms import Glossary, Terms, lost_terms, used_terms
from translator.text.tokenizer import EOS
from translator.translation.prescribed import Prescriber, find_terms
from translator.translation.result import Segment, with_markup
from translator.translation.translator import Translator
from translator.translation.units import Unit, cut_lines

_BEAM = 2  # the sentences are many, and each is near to what a wide beam found


@dataclass(frozen=True)
class Alternative:
    """A word that can follow the beginning of a translation, and the whole translation then."""

    word: str
    segment: Segment  # with alignment, and with confidence if the model has a calibration


def alternatives(
    translator: Translator,
    text: str,
    prefix: str,
    n: int = 8,
    least: float = 1e-4,
    terms: Glossary | None = None,
) -> list[Alternative]:
    """What can follow `prefix` in the translation of a sentence, likeliest first.

    The likeliest first pieces of a word are each forced behind the prefix, and a search completes
    each of these beginnings.

    Args:
        translator: an ensemble's first model decides what is likely.
        text: a sentence: what `Segment.source` has.
        prefix: the beginning of its translation, up to a word.
        n: at most this many.
        least: the probability of the first piece, at least.
        terms: what the rest must say, where the prefix does not say it already.

    Returns:
        Alternatives with different words; none for a text without words, in parts, or with tags,
        none in the place of a term, and none that lacks one.
    """
    search = translator.search_config(n_best=1, beam_size=_BEAM)
    units = cut_lines(translator.reader, [text], search, "long", prefix)
    if len(units) != 1 or units[0].elements:
        return []
    (unit,) = find_terms(units, Terms.of(terms or {}), translator.src)
    uses = used_terms(unit.terms, prefix, translator.tgt)
    left = [match for match, use in zip(unit.terms, uses, strict=True) if not use.used]
    unit = replace(unit, terms=left)
    find = Prescriber(translator.reader, translator.decoder).search

    def write(begun: Sequence[Unit]) -> Iterator[tuple[Segment, list[str]]]:
        """The translations of units, and what of their words follows the prefix."""
        for each, hypotheses in zip(begun, find(begun, search), strict=True):
            segment = with_markup(each, translator.decoder.write(each, hypotheses, alignments=True))
            yield segment, segment.text.split()[len(prefix.split()) :]

    def lacks(words: Sequence[str]) -> bool:
        return bool(lost_terms(left, " ".join(words), translator.tgt))

    if left and any(lacks(words[1:]) for _, words in write([unit])):
        return []  # a term stands here
    likely = _next_pieces(translator, unit).topk(n)
    chances = zip(likely.indices.tolist(), likely.values.tolist(), strict=True)
    pieces = [piece for piece, probability in chances if probability >= least]
    found: dict[str, Segment] = {}
    for segment, words in write([replace(unit, prefix=[*unit.prefix, p]) for p in pieces]):
        if words and not lacks(words):
            found.setdefault(words[0], segment)
    segments = list(found.values())
    if translator.is_calibrated:
        trust = translator.confidences([(unit.text, segment.text) for segment in segments])
        segments = [replace(s, confidences=[t]) for s, t in zip(segments, trust, strict=True)]
    return [Alternative(word, segment) for word, segment in zip(found, segments, strict=True)]


def _next_pieces(translator: Translator, unit: Unit) -> Tensor:
    """Probabilities `(V,)` of the piece behind the prefix of a unit, among those that begin words.

    The first word may begin with any piece, as with an opening quotation mark.
    """
    decoder = translator.decoder
    logits = decoder.network.next_logits(decoder.source_ids(unit), unit.prefix)
    logits[[*NEVER, EOS]] = float("-inf")
    if unit.prefix:
        logits[~torch.tensor(translator.model.tokenizer.starts_word)] = float("-inf")
    return logits.softmax(dim=-1)
