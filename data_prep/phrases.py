"""Random noun phrases for the bundled corpus: who, what, whose and where, with what fits them.

Here are also the ways to draw anything: yes or no, one of several, or again until it fits. All
chance comes from one generator, so the same seed draws the same phrases.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections import Counter
from collections.abc import Callable
from functools import cache
from itertools import accumulate
from typing import TypeVar

from data_prep.grammar import NP
from data_prep.lexicon import ADJECTIVES, CITIES, NOUNS, NUMERALS, PEOPLE

T = TypeVar("T")
SUBJECT_PRONOUNS = ("I", "he", "she", "we", "they")
PERSONS = ("person", "adult", "child")
COLORS = {"black", "white", "red", "blue", "green", "yellow", "brown"}
# Kinds of determiner; "plural" and "bare": the men, men; "owner": Anna's; else the word itself.
SUBJECT_KINDS = {
    **{"the": 0.5, "plural": 0.14, "a": 0.05, "this": 0.08, "number": 0.07, "my": 0.05},
    **{"bare": 0.03, "many": 0.02, "some": 0.02, "every": 0.02, "all": 0.03, "no": 0.01},
    "owner": 0.03,
}
OBJECT_KINDS = {
    **{"the": 0.37, "a": 0.24, "my": 0.12, "this": 0.06, "number": 0.07, "bare": 0.06},
    **{"plural": 0.08, "many": 0.015, "some": 0.015, "owner": 0.03},
}
PLURAL_KINDS = {"plural": "the", "bare": "a", "many": "many", "some": "some", "all": "all"}
# Small numbers more often; one weight for each of NUMERALS, two to twelve and twenty.
NUMBER_WEIGHTS = dict(zip(NUMERALS, (6.0, 6, 4, 4, 2, 2, 2, 2, 2, 2, 2, 2), strict=True))
FITTING = {  # noun: adjectives that describe it
    noun.english: [word for word, entry in ADJECTIVES.items() if entry.classes & noun.classes]
    for noun in NOUNS.values()
}
ADJECTIVE_WEIGHTS = {  # rare ones get a chance
    word: uses**-0.5
    for word, uses in Counter(word for words in FITTING.values() for word in words).items()
}


@cache
def _nouns(classes: tuple[str, ...]) -> list[str]:
    return [key for name in classes for key, noun in NOUNS.items() if name in noun.classes]


def is_person(np: NP) -> bool:
    """Say whether a subject is human, as all pronouns and names are."""
    return np.noun is None or "person" in np.noun.classes


def pronoun_for(subject: NP) -> str:
    """Give the pronoun for a subject, or "" where grammatical and natural gender may differ."""
    if subject.person == "3p":
        return "they"
    if subject.is_pronoun:
        return subject.head
    if subject.det in ("a", "no", "every") or not is_person(subject):
        return ""
    gender = subject.noun.gender if subject.noun else PEOPLE[subject.head]
    return {"m": "he", "f": "she"}.get(gender, "")  # das Mädchen: she, but es


def redraw(draw: Callable[[], T], fits: Callable[[T], bool]) -> T:
    """Draw until the result fits."""
    while not fits(result := draw()):
        pass
    return result


class PhraseSampler:
    """Draws noun phrases; `Sampler` adds clauses and sentences to it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def chance(self, share: float) -> bool:
        """Say yes in this share of the calls."""
        return self.random.random() < share

    def weighted(self, weights: dict[T, float]) -> T:
        """Choose a key by its weight, with one draw."""
        edges = [*accumulate(weights.values())]
        return [*weights][bisect(edges, self.random.random() * edges[-1], 0, len(edges) - 1)]

    def pick(self, **weights: float) -> str:
        """Choose a name by its weight."""
        return self.weighted(weights)

    def noun(self, classes: tuple[str, ...], avoid: str = "") -> str:
        """Choose a noun of one of the classes."""
        while (word := self.random.choice(_nouns(classes))) == avoid:
            pass
        return word

    def numeral(self) -> str:
        """Choose a number."""
        return self.weighted(NUMBER_WEIGHTS)

    def city(self) -> NP:
        """Choose a city."""
        return NP(self.random.choice([*CITIES]))

    def name(self, avoid: tuple[str, ...] = ()) -> NP:
        """Choose a person's name."""
        return NP(self.random.choice([name for name in PEOPLE if name not in avoid]))

    def adjective(self, words: list[str]) -> str:
        """Choose an adjective, and sooner one that has few nouns."""
        return self.weighted({word: ADJECTIVE_WEIGHTS[word] for word in words})

    def adjectives(self, noun: str, share: float = 0.35) -> tuple[str, ...]:
        """Choose none, one or two adjectives that describe the noun."""
        fitting = FITTING[noun]
        if not fitting or not self.chance(share):
            return ()
        first = self.adjective(fitting)
        colors = [word for word in fitting if word in COLORS]
        if colors and first not in COLORS and self.chance(0.12):
            return (first, self.random.choice(colors))
        return (first,)

    def subject(self, classes: tuple[str, ...], rich: bool = True) -> NP:
        """Draw the phrase of who acts; a `rich` one may have an attribute."""
        people = tuple(name for name in classes if name in PERSONS)
        if people:
            others = tuple(name for name in classes if name not in PERSONS)
            classes = others if others and self.chance(0.3) else people
            kind = self.pick(pronoun=0.2, name=0.16, names=0.05, noun=0.59)
            if classes == people and kind == "pronoun":
                return NP(self.random.choice(SUBJECT_PRONOUNS))
            if classes == people and kind == "name":
                return self.name()
            if classes == people and kind == "names":
                one, two = self.random.sample([*PEOPLE], 2)
                return NP(one, also=NP(two))
        head = self.noun(classes)
        kind = self.weighted(SUBJECT_KINDS)
        np = self.determined(head, kind, self.random.choice(("my", "our")))
        return self.with_attribute(np) if rich else np

    def object(self, classes: tuple[str, ...], subject: NP) -> NP:
        """Draw the phrase of what or whom it is done to."""
        if "person" in classes and self.chance(0.35):
            if self.chance(0.5):
                return self.name(avoid=(subject.head, subject.also.head if subject.also else ""))
            same = {"I": ("I", "we"), "we": ("I", "we"), "they": ("they",)}
            taken = same.get(subject.head, (pronoun_for(subject), subject.head))
            return NP(self.random.choice([p for p in SUBJECT_PRONOUNS if p not in taken]))
        head = self.noun(classes, avoid=subject.head)
        kind = self.weighted(OBJECT_KINDS)
        return self.with_attribute(self.determined(head, kind, self.possessive(subject)))

    def sensible(self, head: str, kind: str) -> str:
        """Replace a kind of determiner that would be odd with this noun."""
        noun = NOUNS[head]
        if "kin" in noun.classes:  # "ten fathers", "every aunt" would be odd
            kind = kind if kind in ("the", "owner") else "my"
            kind = "my" if kind == "the" and self.chance(0.65) else kind
        elif noun.classes & {"person", "animal"} and "ours" not in noun.classes:
            kind = "the" if kind in ("my", "owner") else kind
        if kind == "bare" and "person" in noun.classes:
            kind = "plural"
        if noun.mass:
            kind = kind if kind in ("the", "my") else "a"
        if "pair" in noun.classes:
            pair_kinds = {"the": "plural", "a": "bare", "this": "plural", "every": "bare"}
            kind = pair_kinds.get(kind, kind)
        return kind

    def determined(self, head: str, kind: str, possessive: str) -> NP:
        """Give a noun a determiner of this kind, as far as it makes sense, and adjectives."""
        noun, kind = NOUNS[head], self.sensible(head, kind)
        np = NP(head, kind, self.adjectives(head))
        if kind in PLURAL_KINDS:
            np.det, np.plural = PLURAL_KINDS[kind], True
        elif kind == "number":
            np.det, np.plural = self.numeral(), True
        elif kind in ("my", "owner"):
            many = "pair" in noun.classes or self.chance(0.25)
            np.plural = many and not noun.mass and "single" not in noun.classes
            np.det = possessive if kind == "my" else "the"
            np.owner = self.owner() if kind == "owner" else None
        elif kind == "this":
            np.plural = self.chance(0.3)
        return np

    def owner(self) -> NP:
        """Draw who owns something: "Anna's", "the baker's", "my uncle's"."""
        if self.chance(0.4):
            return self.name()
        head = self.noun(("job", "kin"))
        return NP(head, "my" if "kin" in NOUNS[head].classes else "the")

    def with_attribute(self, np: NP) -> NP:
        """Perhaps add "with the red hat" or "from Berlin" to a person."""
        plain = np.det in ("the", "a") and not np.owner
        if np.noun is None or not plain or "person" not in np.noun.classes:
            return np
        if self.chance(0.05):
            np.attribute = ("from", self.city())
        elif not np.plural and self.chance(0.09):
            thing = self.noun(("hat", "beard", "dog", "bag", "umbrella", "jacket", "coat"))
            if thing == "beard" and (np.noun.gender != "m" or "child" in np.noun.classes):
                thing = "hat"
            det = "a" if thing == "beard" or self.chance(0.4) else "the"
            np.attribute = ("with", NP(thing, det, self.adjectives(thing, 0.8)))
        return np

    def possessive(self, subject: NP) -> str:
        """Choose a word for whose it is: the subject's or the speaker's."""
        if subject.head in ("I", "we"):
            return "my" if subject.head == "I" else "our"
        pronoun = pronoun_for(subject)
        if not pronoun or not is_person(subject) or self.chance(0.25):
            return self.random.choice(("my", "our"))
        return {"they": "their", "he": "his", "she": "her"}[pronoun]

    def place(self, classes: tuple[str, ...]) -> NP:
        """Draw a place of one of the classes."""
        head = self.noun(classes)
        ours = "ours" in NOUNS[head].classes and self.chance(0.06)
        det = "our" if ours else self.pick(the=0.88, this=0.06, a=0.06)
        return NP(head, det, self.adjectives(head, 0.22))
