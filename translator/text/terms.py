"""A glossary: which words of a text have a translation that is prescribed, and whether it is there.

Knows nothing of models: translator/translation/prescribed.py makes a model say the terms.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from translator.config.errors import TranslatorError
from translator.text.codec import normalise
from translator.text.lines import text_lines

KEEP = "!"  # in the place of a translation: the term stays as it is

_TOKEN = re.compile(r"\w+|[^\w\s]")
# What a word may end with that is another form of the same: of a source, ...
_ENDINGS = {"en": ("s", "es"), "de": ("s", "es", "e", "n", "en", "er", "ern", "em")}
_SHORTEST = 3  # letters of a word that may have them
# ... of a German noun, and of a German adjective.
_NOUNS = (
    (r"(?:ung|heit|keit|schaft|ion|tät)$", ("", "en")),
    (r"(?:er|el|en|chen|lein)$", ("", "s", "n")),
    (r"[aeiouy]$", ("", "n", "s", "ns")),
    (r"", ("", "s", "es", "e", "n", "en", "er", "ern")),
)
_ADJECTIVE = ("", "e", "en", "er", "es", "em")
_ADJECTIVE_ENDING = re.compile(r"(?:e|en|er|es|em)$")
_MOST_FORMS = 48
_COMPOUND = 4  # letters of a German term that counts in a compound, ...
_BESIDE = 3  # ... and of a word beside it there
# What joins it to the next word, and that word; Hund is no part of Hunderten.
_NEXT_PART = rf"(?!er\w{{0,3}}(?!\w))(?>e[ns]|[ens]|)\w{{{_BESIDE},}}"


@dataclass(frozen=True)
class Term:
    """What a word or phrase is called in the other language."""

    sources: tuple[str, ...]  # its forms
    forms: tuple[str, ...]  # of its translation, one of which must occur; none: it stays as it is


@dataclass(frozen=True)
class TermMatch:
    """Where a term stands in a text."""

    start: int
    end: int
    text: str
    term: Term

    @property
    def forms(self) -> tuple[str, ...]:
        """What its translation may be."""
        return self.term.forms or (self.text,)


@dataclass(frozen=True)
class TermUse:
    """Whether the translation of a text has a term that its source holds."""

    source: str  # as it stands in the text
    forms: tuple[str, ...]
    used: str | None  # as it stands in the translation


@dataclass(frozen=True)
class Terms:
    """A glossary. `load` reads a file, `of` takes a dictionary.

    >>> Terms.of({"pump": ["Pumpe", "Pumpen"], "Acme Rocket": "!"})
    """

    entries: tuple[Term, ...] = ()

    @classmethod
    def load(cls, path: str | Path) -> "Terms":
        """Reads lines of a term, a tab and its translation; `|` parts several forms of either.

        `!` in the place of a translation: the term stays as it is. Blank lines, and those that
        begin with `#`, are comments.

        Raises:
            TranslatorError: the file cannot be read, or a line is none of this (names the line).
        """
        path = Path(path)
        rows = []
        for number, line in enumerate(text_lines(path), start=1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            source, tab, target = line.partition("\t")
            if not tab:
                raise TranslatorError(
                    f"{path}, line {number}: no tab between a term and its translation."
                )
            if "\t" in target:
                raise TranslatorError(
                    f"{path}, line {number}: more than two columns; only a term and its "
                    "translation stand in a line."
                )
            rows.append((source.split("|"), target.split("|"), f"{path}, line {number}"))
        return cls(tuple(_read(rows)))

    @classmethod
    def of(cls, terms: "Glossary") -> "Terms":
        """A glossary of a dictionary: a term -> its translation, or several forms of it, or "!".

        Raises:
            TypeError: it is neither, or not of strings.
            TranslatorError: a term or a form is empty.
        """
        if isinstance(terms, cls):
            return terms
        if not isinstance(terms, Mapping):
            raise TypeError(f"terms are Terms or a dictionary, not {type(terms).__name__}.")
        rows = []
        for source, target in terms.items():
            listed = target if isinstance(target, Sequence) else [target]
            if not all(isinstance(form, str) for form in (source, *listed)):
                raise TypeError(f"terms and translations are strings, not {source!r}: {target!r}.")
            forms = target.split("|") if isinstance(target, str) else listed
            rows.append((source.split("|"), forms, repr(source)))
        return cls(tuple(_read(rows)))

    @cached_property
    def _by_first_word(self) -> dict[str, list[tuple[list[str], Term]]]:
        found: dict[str, list[tuple[list[str], Term]]] = {}
        for term in self.entries:
            for source in term.sources:
                words = _TOKEN.findall(source)
                found.setdefault(words[0].casefold(), []).append((words, term))
        for candidates in found.values():
            candidates.sort(key=lambda candidate: -len(candidate[0]))  # the longest wins
        return found

    def find(self, text: str, language: str) -> list[TermMatch]:
        """The terms in a text, apart and in order.

        Of two that overlap it is the one that begins first, or else the longer one.

        A term in small letters is found in any case, one with capitals as it is or in capitals
        throughout; its last word may have an ending of the language, such as a plural's. Parts of
        words that a hyphen joins are none.
        """
        words = [*_TOKEN.finditer(text)]
        found, i = [], 0
        while i < len(words):
            match = self._at(text, words, i, language)
            if match:
                found.append(match[0])
            i += match[1] if match else 1
        return found

    def _at(
        self, text: str, words: Sequence[re.Match[str]], i: int, language: str
    ) -> tuple[TermMatch, int] | None:
        """The longest term that begins with word `i`, and how many words it has."""
        candidates = [
            candidate
            for first in _stems(words[i][0].casefold(), language)
            for candidate in self._by_first_word.get(first, ())
        ]
        for wanted, term in sorted(candidates, key=lambda candidate: -len(candidate[0])):
            own = words[i : i + len(wanted)]
            start, end = own[0].start(), own[-1].end()
            if language == "en" and term.forms and re.match(r"['’]s\b", text[end:]):
                end += 2  # a genitive is one form of a word
            if len(own) < len(wanted) or not _same([w[0] for w in own], wanted, language, term):
                continue
            if not (_joined(text, start - 1, -1) or _joined(text, end, 1)):
                return TermMatch(start, end, text[start:end], term), len(wanted)
        return None


Glossary = Terms | Mapping[str, str | Sequence[str]]


def _read(rows: Iterable[tuple[Sequence[str], Sequence[str], str]]) -> Iterator[Term]:
    """The entries; each row has the forms of a term and of its translation, and where it stands."""
    known: dict[str, Term] = {}
    for sources, targets, place in rows:
        forms = [tuple(normalise(form) for form in side) for side in (sources, targets)]
        if not all(map(all, forms)) or not all(forms):
            raise TranslatorError(f"{place}: the term or its translation is empty.")
        if KEEP in forms[1] and len(forms[1]) > 1:
            raise TranslatorError(f'{place}: "{KEEP}" stands alone, or there is a translation.')
        term = Term(forms[0], () if forms[1] == (KEEP,) else forms[1])
        for source in term.sources:
            other = known.setdefault(source, term)
            if other.forms != term.forms:
                raise TranslatorError(
                    f'{place}: "{source}" has another translation above; several forms of one '
                    'stand in one line, with "|" between them.'
                )
        yield term


def _stems(word: str, language: str) -> list[str]:
    """A word, and what it may be another form of."""
    found = [word]
    for ending in _ENDINGS.get(language, ()):
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST:
            found.append(word[: -len(ending)])
    if language == "en" and word.endswith("ies"):
        found.append(word[:-3] + "y")
    return found


def _same(words: Sequence[str], wanted: Sequence[str], language: str, term: Term) -> bool:
    """Whether words are those of a term."""
    in_capitals = all(word.upper() == word for word in words)
    for i, (word, other) in enumerate(zip(words, wanted, strict=True)):
        free = other.islower() or in_capitals
        word, other = (word.casefold(), other.casefold()) if free else (word, other)
        last = i == len(wanted) - 1 and bool(term.forms)  # what stays as it is has no endings
        if other not in (_stems(word, language) if last else [word]):
            return False
    return True


def _joined(text: str, at: int, step: int) -> bool:
    """Whether a hyphen at a place joins a term to another word."""
    beyond = at + step
    return (
        0 <= at < len(text)
        and text[at] in "-\u2010\u2011"
        and 0 <= beyond < len(text)
        and text[beyond].isalnum()
    )


@lru_cache(maxsize=4096)
def inflected(form: str, language: str) -> tuple[str, ...]:
    """The forms that a prescribed one may take in a sentence of the language; itself first.

    What ends a noun or an adjective is added; what changes inside it is for the user to list.
    """
    words = form.split()
    if language == "de":
        choices = []
        for i, word in enumerate(words):
            if not word.isalpha() or len(word) < _SHORTEST or word.isupper():
                choices.append([word])
            elif word[0].isupper() and i == len(words) - 1:
                endings = next(e for pattern, e in _NOUNS if re.search(pattern, word))
                choices.append([word + e for e in endings])
            elif word[0].isupper() and not _ADJECTIVE_ENDING.search(word):
                choices.append([word])
            else:
                alone = len(words) == 1 and not word.endswith("e")
                stem = word if alone else _ADJECTIVE_ENDING.sub("", word)
                choices.append([word, *(stem + e for e in _ADJECTIVE if stem + e != word)])
        products = itertools.islice(itertools.product(*choices), _MOST_FORMS)
        return tuple(" ".join(product) for product in products)
    if language == "en" and words[-1].isalpha() and len(words[-1]) >= _SHORTEST:
        if re.search(r"[^aeiou]y$", form):
            return form, form[:-1] + "ies"
        return form, form + ("es" if re.search(r"(?:s|x|z|ch|sh)$", form) else "s")
    return (form,)


def used_terms(matches: Sequence[TermMatch], translation: str, language: str) -> list[TermUse]:
    """For each term of a source, how its translation has it; each place counts for one."""
    taken: list[tuple[int, int]] = []
    found = []
    for match in matches:
        forms = match.forms
        used = None
        for pattern in _patterns(forms, language, bool(match.term.forms), translation.isupper()):
            for place in pattern.finditer(translation):
                if all(place.end() <= start or end <= place.start() for start, end in taken):
                    taken.append(place.span())
                    used = place[0]
                    break
            if used:
                break
        found.append(TermUse(match.text, forms, used))
    return found


def lost_terms(matches: Sequence[TermMatch], translation: str, language: str) -> list[TermUse]:
    """The terms of a source that its translation lacks."""
    return [use for use in used_terms(matches, translation, language) if use.used is None]


@lru_cache(maxsize=4096)
def _patterns(
    forms: tuple[str, ...], language: str, inflects: bool, in_capitals: bool
) -> list[re.Pattern[str]]:
    """How a form is found in a translation: as a word, then as a part of one."""
    flags = re.IGNORECASE if in_capitals and inflects else 0
    all_forms = [f for form in forms for f in (inflected(form, language) if inflects else (form,))]
    spelt = {g for f in all_forms for g in (f, f[:1].upper() + f[1:] if inflects else f)}
    longest_first = sorted(spelt, key=len, reverse=True)
    patterns = [rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)"]
    long = [f for f in forms if len(f) >= _COMPOUND and f.isalpha() and f[0].isupper()]
    if language == "de" and inflects and long:
        last = "|".join(re.escape(g) for f in long for g in inflected(f, language))
        first = "|".join(map(re.escape, long))
        compound = rf"\w{{{_BESIDE},}}(?i:{last})|(?:\w{{{_BESIDE},}})?(?i:{first}){_NEXT_PART}"
        patterns.append(rf"(?<!\w)(?=[A-ZÄÖÜ])(?:{compound})(?!\w)")
    return [re.compile(pattern, flags) for pattern in patterns]
