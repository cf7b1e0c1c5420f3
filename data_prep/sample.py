"""The bundled English-German corpus: written by a grammar, so that nobody's text is copied.

A sentence starts as a tree of `Clause` and `NP`, the same for both languages. `English` and `German`
each realise that tree by their own rules; `Sampler` draws trees that make sense. The way from a
tree to a sentence has no chance in it, so one English sentence has one German translation.
"""

from __future__ import annotations

import random
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from data_prep.lexicon import (
    ADJECTIVES,
    ADVERBS,
    CASES,
    CITIES,
    CONTRACTIONS,
    FREQUENCIES,
    MANNERS,
    MODALS,
    NOUNS,
    NUMERALS,
    PARTICLES,
    PEOPLE,
    PRONOUNS,
    SPOT_PREPOSITIONS,
    TIMES,
    VERBS,
    adjective_form,
    determiner,
    english_third,
    relative_pronoun,
)

CONSTRUCTIONS: tuple[str, ...] = (
    "article_gender_case",
    "adjective_agreement",
    "plural",
    "verb_second",
    "separable_verb",
    "subordinate_clause",
    "perfect_tense",
    "negation",
    "number",
    "time",
    "place",
)
SIZES = {"train": 20_000, "valid": 500, "test": 500}
MIN_WORD_COUNT = 15  # a rarer word could not be learnt from the training set
MAX_WORDS = 17
HELD_OUT_SHARE = 0.08

# English conjunction: German, and the form of its clause: main (verb second), final or zu.
CONJUNCTIONS = {
    "because": ("weil", "final"),
    "although": ("obwohl", "final"),
    "if": ("wenn", "final"),
    "when": ("als", "final"),
    "while": ("während", "final"),
    "before": ("bevor", "final"),
    "that": ("dass", "final"),
    "whether": ("ob", "final"),
    "to": ("", "zu"),
    "in order to": ("um", "zu"),
    "and": ("und", "main"),
    "but": ("aber", "main"),
}
QUESTIONS = {"where": "wo", "when": "wann", "why": "warum", "yes/no": ""}
WEATHER = "it"  # the subject of "it is raining"
GAP = "who"  # stands where a relative pronoun comes from


@dataclass(frozen=True)
class NP:
    """A noun phrase; `head` is an English noun, a name, a city, a pronoun, or `GAP`."""

    head: str
    det: str = "the"
    adjectives: tuple[str, ...] = ()
    plural: bool = False
    owner: NP | None = None  # "the teacher's car", das Auto des Lehrers
    attribute: tuple[str, NP] | None = None  # ("with", NP) or ("from", NP)
    relative: Clause | None = None
    also: NP | None = None  # joined by "and"
    refers_to: str = ""  # the noun that "it" stands for: it decides the German gender


@dataclass(frozen=True)
class Clause:
    """A clause; every field but subject and verb is optional and adds one phrase."""

    subject: NP | None  # None: the subject of the clause around it
    verb: str
    object: NP | None = None
    recipient: NP | None = None
    predicate: str = ""  # adjective after "be"
    place: NP | None = None
    preposition: str = ""  # for the place, when not the usual one of its noun
    time: str = ""  # key of TIMES
    count: str = ""  # numeral in the time
    manner: str = ""
    often: str = ""
    tense: str = "present"  # present, progressive, past or future
    modal: str = ""
    negated: str = ""  # "", "not" or "never"
    front: str = ""  # what stands before the verb: "time", "place", "clause" or a question
    conjunction: str = ""
    clause: Clause | None = None


@dataclass(frozen=True)
class SamplePair:
    """One sentence pair with what it shows."""

    src: str
    tgt: str
    constructions: frozenset[str]
    structure: str  # two sentences share it when only their words differ
    combinations: frozenset[tuple[str, str]]  # (adjective, noun), (verb, object), structure


def _person(subject: NP) -> str:
    if subject.also or subject.plural:
        return "3p"
    return PRONOUNS[subject.head][1] if subject.head in PRONOUNS else "3s"


def _is_city(np: NP) -> bool:
    return np.head in CITIES


def _tidy(words: list[str], end: str) -> str:
    text = " ".join(word for word in words if word).replace(" ,", ",")
    text = text.replace(",,", ",").rstrip(",") + end
    return text[0].upper() + text[1:]


# --- English -----------------------------------------------------------------------------------


def english_np(np: NP, case: str = "nom") -> list[str]:
    """Write a noun phrase in English."""
    if np.also:
        return [*english_np(replace(np, also=None), case), "and", *english_np(np.also, case)]
    if np.head in PRONOUNS:
        return [np.head if case == "nom" else PRONOUNS[np.head][0]]
    if np.head in PEOPLE or np.head in CITIES or np.head == "home":
        return [np.head]
    noun = NOUNS[np.head]
    words = [*np.adjectives, *(noun.english_plural if np.plural else noun.english).split()]
    if np.owner:
        *rest, last = english_np(np.owner)
        words = [*rest, last + ("'" if last.endswith("s") else "'s"), *words]
    elif np.det == "a":
        if not np.plural and not noun.mass:
            words.insert(0, "an" if words[0][0] in "aeiou" else "a")
    else:
        words.insert(0, "these" if np.det == "this" and np.plural else np.det)
    if np.attribute:
        words += [np.attribute[0], *english_np(np.attribute[1], "acc")]
    if np.relative:
        person = "who" if noun.classes & {"adult", "child"} else "that"
        words += [person, *english_clause(np.relative, np)]
    return words


def english_verbs(clause: Clause, person: str) -> tuple[str, str, str]:
    """Give the finite auxiliary (or nothing), its bare main verb, and the main verb's own form."""
    verb = VERBS[clause.verb]
    be = {"1s": "am", "3s": "is"}.get(person, "are")
    was = "was" if person in ("1s", "3s") else "were"
    third, past = person == "3s", clause.tense == "past"
    support = "did" if past else "does" if third else "do"
    if clause.modal:
        forms = MODALS[clause.modal]
        form = forms[2 + (person not in ("1s", "3s")) if past else 1 - third]
        if form == "are allowed to" and person == "1s":
            form = "am allowed to"
        first, _, rest = form.partition(" ")
        if clause.modal in ("want to", "have to"):
            return support, f"{clause.modal} {verb.english}", f"{form} {verb.english}"
        return first, f"{rest} {verb.english}".strip(), ""
    if clause.tense == "future":
        return "will", verb.english, ""
    if verb.frame == "be":
        return (was if past else be), "", ""
    if clause.tense == "progressive":
        return be, verb.ing, ""
    own = verb.past if past else english_third(verb.english) if third else verb.english
    return support, verb.english, own


def english_clause(clause: Clause, subject: NP | None = None, kind: str = "main") -> list[str]:
    """Write a clause in English; `subject` is that of the clause around it, kind main or to."""
    verb = VERBS[clause.verb]
    person = _person(clause.subject if clause.subject and clause.subject.head != GAP else subject)
    gap = clause.subject is not None and clause.subject.head == GAP
    words = english_np(clause.subject) if clause.subject and not gap else []
    question = clause.front in QUESTIONS
    if kind == "to":
        words = [verb.english]
    else:
        auxiliary, base, own = english_verbs(clause, person)
        negation = ["not"] if clause.negated == "not" else []
        adverb = [clause.often or ("never" if clause.negated == "never" else "")]
        if question:
            words = [auxiliary, *words, *negation, *adverb, base]
        elif own and not negation:
            words += adverb + [own]
        elif auxiliary == "can" and negation:
            words += ["cannot", *adverb, base]
        else:
            words += [auxiliary, *negation, *adverb, base]
    has_object = clause.object is not None and clause.object.head != GAP
    object_words = english_np(clause.object, "acc") if clause.object and has_object else []
    recipient = english_np(clause.recipient, "acc") if clause.recipient else []
    if verb.tail in PARTICLES and clause.object and clause.object.head in PRONOUNS:
        words += [*object_words, verb.tail]
    elif verb.frame == "give-to":
        words += [*object_words, "to", *recipient]
    else:
        words += [verb.tail, *recipient, *object_words]
    words.append(clause.predicate)
    place = _english_place(clause)
    time = clause.time.format(clause.count).split()
    words += [clause.manner]
    if clause.front != "place":
        words += place
    if clause.front != "time":
        words += time
    if clause.front in ("time", "place"):
        words = [*(time if clause.front == "time" else place), ",", *words]
    elif question and clause.front != "yes/no":
        words = [clause.front, *words]
    if clause.clause:
        form = CONJUNCTIONS[clause.conjunction][1]
        owner = clause.subject if clause.subject and not gap else subject
        inner = english_clause(clause.clause, owner, "to" if form == "zu" else "main")
        inner = [clause.conjunction, *inner]
        if clause.front == "clause":
            words = [*inner, ",", *words]
        else:
            comma = "," if clause.conjunction == "but" else ""
            words += [comma, *inner]
    return [word for word in words if word]


def _english_place(clause: Clause) -> list[str]:
    if clause.place is None:
        return []
    goal = VERBS[clause.verb].frame == "goal"
    words = english_np(clause.place, "acc")
    if clause.place.head == "home":
        return words if goal else ["at", *words]
    if clause.preposition:
        return [clause.preposition, *words]
    if _is_city(clause.place):
        return ["to" if goal else "in", *words]
    return [NOUNS[clause.place.head].place[goal], *words]


def english(clause: Clause) -> str:
    """Write a whole sentence in English."""
    return _tidy(english_clause(clause), "?" if clause.front in QUESTIONS else ".")


# --- German ------------------------------------------------------------------------------------


def german_np(np: NP, case: str = "nom", relative: bool = True) -> list[str]:
    """Write a noun phrase in German in a case; `relative=False` leaves its relative clause out."""
    if np.also:
        first = german_np(replace(np, also=None), case)
        return [*first, "und", *german_np(np.also, case)]
    if np.head in PRONOUNS:
        return [_german_pronoun(np, case)]
    if np.head in PEOPLE:
        return [np.head]
    if np.head in CITIES:
        return [CITIES[np.head]]
    noun = NOUNS[np.head]
    plural = np.plural
    named_owner = np.owner is not None and np.owner.head in PEOPLE
    gender = "p" if plural else noun.gender
    article, declension = determiner(np.det, case, gender)
    if np.owner and np.owner.head in PEOPLE:  # Annas neues Auto: no article, strong ending
        name = np.owner.head
        article, declension = name + ("'" if name[-1] in "sxz" else "s"), "strong"
    elif np.det == "a" and (plural or noun.mass):
        article, declension = "", "strong"
    words = [article] if article else []
    words += [adjective_form(word, declension, case, gender) for word in np.adjectives]
    words.append(noun.german_form(case, plural))
    if np.owner and not named_owner:
        words += german_np(np.owner, "gen")
    if np.attribute:
        preposition = {"with": "mit", "from": "aus"}[np.attribute[0]]
        words += [preposition, *german_np(np.attribute[1], "dat")]
    if np.relative and relative:
        words += german_relative(np)
    return words


def _german_pronoun(np: NP, case: str) -> str:
    if np.refers_to and NOUNS[np.refers_to].gender != "n":
        np = NP("he" if NOUNS[np.refers_to].gender == "m" else "she")
    return PRONOUNS[np.head][2 + CASES.index(case)]


def german_relative(np: NP) -> list[str]:
    """Write the relative clause of a noun phrase, with its commas."""
    assert np.relative is not None
    return [",", *german_clause(np.relative, "relative", np), ","]


def german_verbs(clause: Clause, person: str, final: bool) -> tuple[str, list[str]]:
    """Give the finite verb and what closes the clause; at the end of it, they join as one."""
    verb = VERBS[clause.verb]
    past = clause.tense == "past"
    infinitive = verb.prefix + verb.infinitive
    singular = person in ("1s", "3s")
    if clause.modal:
        *_, one, many, preterite = MODALS[clause.modal]
        if past:
            return preterite + ("" if singular else "n"), [infinitive]
        return (one if singular else many), [infinitive]
    if clause.tense == "future":
        return {"1s": "werde", "3s": "wird"}.get(person, "werden"), [infinitive]
    if past and clause.verb in ("be", "have"):  # nobody says "ist gewesen" for these
        return {"be": "war", "have": "hatte"}[clause.verb] + (
            "" if singular else "en" if clause.verb == "be" else "n"
        ), []
    if past:
        auxiliary = {"haben": VERBS["have"], "sein": VERBS["be"]}[verb.auxiliary]
        return auxiliary.present(person), [verb.participle]
    if verb.prefix and not final:
        return verb.present(person), [verb.prefix]
    return verb.prefix + verb.present(person), []


def german_clause(clause: Clause, kind: str = "main", outer: NP | None = None) -> list[str]:
    """Write a clause in German.

    Args:
        clause: The tree.
        kind: "main" (verb second), "final" (verb last), "relative", or "zu" (infinitive).
        outer: The noun of a relative clause, else the subject of the clause around this one.

    Returns:
        The words, commas among them.
    """
    verb = VERBS[clause.verb]
    gap = clause.subject is not None and clause.subject.head == GAP
    subject = clause.subject if clause.subject and not gap else outer
    assert subject is not None
    person = _person(subject)
    finite, closing = german_verbs(clause, person, kind != "main")
    subject_words = german_np(clause.subject) if clause.subject and not gap else []
    time, place = _german_time(clause), _german_place(clause)
    field_words = _middle_field(clause, person, time, place)
    if verb.reflexive:
        sich = {"1s": "mich", "1p": "uns"}.get(person, "sich")
        first_noun = clause.subject is not None and clause.subject.head not in PRONOUNS
        moved = clause.front != "" or kind == "final"
        if moved and first_noun and subject_words:  # "heute freut sich der Mann"
            subject_words.insert(0, sich)
        else:
            field_words.insert(0, sich)
    words: list[str]
    if kind == "zu":
        infinitive = f"{verb.prefix}zu{verb.infinitive}" if verb.prefix else f"zu {verb.infinitive}"
        words = [*field_words, infinitive]
    elif kind == "relative":
        words = [_relative_pronoun(clause, subject, outer), *subject_words, *field_words]
        words += [*closing, finite]
    elif kind == "final":
        words = [*subject_words, *field_words, *closing, finite]
    else:
        fronts = {"time": time, "place": place, "yes/no": []}
        if clause.front == "clause":
            front = [*_german_sub(clause, subject), ","]
        elif clause.front in QUESTIONS:
            front = [QUESTIONS[clause.front]]
        else:
            front = fronts.get(clause.front, subject_words)
        rest = [] if clause.front == "" else subject_words
        words = [*front, finite, *rest, *field_words, *closing]
    if clause.object and clause.object.relative:
        words += german_relative(clause.object)
    if clause.clause and clause.front != "clause":
        comma = "" if clause.conjunction == "and" else ","
        words += [comma, *_german_sub(clause, subject)]
    return words


def _relative_pronoun(clause: Clause, subject: NP, outer: NP | None) -> str:
    assert outer is not None
    gender = "p" if outer.plural else NOUNS[outer.head].gender
    if clause.subject and clause.subject.head == GAP:
        return relative_pronoun("nom", gender)
    return relative_pronoun("dat" if VERBS[clause.verb].frame == "dat" else "acc", gender)


def _german_sub(clause: Clause, subject: NP) -> list[str]:
    assert clause.clause is not None
    german, form = CONJUNCTIONS[clause.conjunction]
    return [german, *german_clause(clause.clause, form, subject)]


def _middle_field(clause: Clause, person: str, time: list[str], place: list[str]) -> list[str]:
    """Order what stands between the verb's two parts: known before new, "nicht" before the new."""
    verb = VERBS[clause.verb]
    thing, recipient = clause.object, clause.recipient
    if thing and thing.head == GAP:
        thing = None
    case = {"dat": "dat", "prep": verb.case}.get(verb.frame, "acc")
    indefinite = thing is not None and _indefinite(thing)
    negation = {"not": "nicht", "never": "nie"}.get(clause.negated, "")
    if thing and indefinite and clause.negated == "not" and verb.frame != "prep":
        thing, negation = replace(thing, det="no"), ""
    thing_words = german_np(thing, case, relative=False) if thing else []
    recipient_words = german_np(recipient, "dat") if recipient else []
    pronouns: list[str] = []
    if thing and thing.head in PRONOUNS and verb.frame != "prep":
        pronouns, thing_words = thing_words, []
    if recipient and recipient.head in PRONOUNS:
        pronouns, recipient_words = pronouns + recipient_words, []
    if clause.front == "time":
        time = []
    if clause.front == "place":
        place = []
    often = [ADVERBS[clause.often]] if clause.often else []
    manner = [ADVERBS[clause.manner]] if clause.manner else []
    predicate = [ADJECTIVES[clause.predicate][0]] if clause.predicate else []
    adverbs = [*time, *often]
    known = [] if indefinite or verb.frame == "prep" else thing_words
    new = thing_words if indefinite and verb.frame != "prep" else []
    behind = verb.frame == "put"
    prepositional = [verb.preposition, *thing_words] if verb.frame == "prep" and thing else []
    order = [
        *pronouns,
        *(recipient_words + known + adverbs if negation else adverbs + recipient_words),
        *([] if negation or manner else known),
        negation,
        *manner,
        *([] if negation or not manner else known),
        *([] if behind else place),
        *prepositional,
        *new,
        *(place if behind else []),
        *predicate,
    ]
    return [word for word in order if word]


def _indefinite(np: NP) -> bool:
    if np.also or np.owner or np.head in PRONOUNS or np.head not in NOUNS:
        return False
    return np.det == "a" or np.det in NUMERALS or np.det in ("many", "some", "no")


def _german_time(clause: Clause) -> list[str]:
    if not clause.time:
        return []
    return TIMES[clause.time][0].format(NUMERALS.get(clause.count, "")).split()


def _german_place(clause: Clause) -> list[str]:
    if clause.place is None:
        return []
    frame, place = VERBS[clause.verb].frame, clause.place
    goal = frame == "goal"
    if place.head == "home":
        return ["nach", "Hause"] if goal else ["zu", "Hause"]
    if _is_city(place):
        return ["nach" if goal else "in", *german_np(place)]
    if clause.preposition:
        preposition = SPOT_PREPOSITIONS[clause.preposition]
        if clause.preposition == "on" and "wall" == place.head:
            preposition = "an"
        case = "acc" if frame == "put" else "dat"
    else:
        preposition = NOUNS[place.head].place[2 + goal]
        case = "acc" if goal and preposition != "zu" else "dat"
    words = german_np(place, case)
    if place.det == "the" and not place.owner and (preposition, words[0]) in CONTRACTIONS:
        return [CONTRACTIONS[preposition, words[0]], *words[1:]]
    return [preposition, *words]


def german(clause: Clause) -> str:
    """Write a whole sentence in German."""
    return _tidy(german_clause(clause), "?" if clause.front in QUESTIONS else ".")


# --- What a tree shows -------------------------------------------------------------------------


def _np_structure(np: NP) -> str:
    if np.head in PRONOUNS or np.head in PEOPLE or np.head in CITIES or np.head in (GAP, "home"):
        kinds = (PRONOUNS, "pronoun"), (PEOPLE, "name"), (CITIES, "city"), ({GAP}, "gap")
        text = next((name for words, name in kinds if np.head in words), "home")
        text += _person(np) if text == "pronoun" else ""
    else:
        kind = "number" if np.det in NUMERALS else np.det
        kind = "my" if np.det in ("our", "his", "her", "their") else kind
        text = "owner" if np.owner else "bare" if kind == "a" and np.plural else kind
        text += ".a" * len(np.adjectives) + (".ns" if np.plural else ".n")
    text += f"[{_np_structure(np.owner)}]" if np.owner else ""
    text += f"[pp {_np_structure(np.attribute[1])}]" if np.attribute else ""
    text += f"[rel {structure(np.relative)}]" if np.relative else ""
    return text + (f"+{_np_structure(np.also)}" if np.also else "")


def structure(clause: Clause) -> str:
    """Describe a tree without its words: order, tense, frame, phrases and clauses in it."""
    verb = VERBS[clause.verb]
    marks = ("-sep" if verb.prefix else "") + ("-sich" if verb.reflexive else "")
    parts = [f"{clause.tense}{' modal' if clause.modal else ''} {verb.frame}{marks}"]
    parts += [f"{name}:{value}" for name, value in (("front", clause.front), ("", clause.negated))]
    for name in ("subject", "object", "recipient", "place"):
        np = getattr(clause, name)
        parts.append(f"{name} {_np_structure(np)}" if np else "")
    parts += [name for name in ("predicate", "time", "count", "manner") if getattr(clause, name)]
    parts.append("frequency" if clause.often else "")
    if clause.clause:
        parts.append(f"{CONJUNCTIONS[clause.conjunction][1]}-clause({structure(clause.clause)})")
    return ", ".join(part for part in parts if part.strip(":"))


def _phrases(clause: Clause) -> Iterator[tuple[Clause, NP | None, str]]:
    """Walk over every clause (with no phrase) and every noun phrase with its role."""
    yield clause, None, ""
    pending = [
        (getattr(clause, role), role) for role in ("subject", "object", "recipient", "place")
    ]
    while pending:
        np, role = pending.pop()
        if np is None:
            continue
        yield clause, np, role
        if np.relative:
            yield from _phrases(np.relative)
        attribute = np.attribute[1] if np.attribute else None
        pending += [(np.owner, "owner"), (attribute, "attribute"), (np.also, role)]
    if clause.clause:
        yield from _phrases(clause.clause)


def describe(tree: Clause) -> tuple[frozenset[str], frozenset[tuple[str, str]]]:
    """Find the constructions and the word combinations in a tree."""
    shown: set[str] = set()
    combinations = {("structure", structure(tree))}
    if tree.front in ("time", "place", "clause"):
        shown.add("verb_second")
    for clause, np, role in _phrases(tree):
        if np is None:
            verb = VERBS[clause.verb]
            present = clause.modal == "" and clause.tense in ("present", "progressive")
            form = CONJUNCTIONS.get(clause.conjunction, ("", ""))[1]
            facts = {
                "separable_verb": verb.prefix and (present or clause.subject or clause.modal),
                "subordinate_clause": form == "final",
                "perfect_tense": clause.tense == "past"
                and not clause.modal
                and clause.verb not in ("be", "have")
                and clause.subject,
                "negation": clause.negated,
                "number": clause.count,
                "time": clause.time,
                "place": clause.place,
            }
            shown.update(name for name, fact in facts.items() if fact)
            continue
        shown.update(["subordinate_clause"] if np.relative else [])
        shown.update(["number"] if np.det in NUMERALS else [])
        shown.update(["negation"] if np.det == "no" else [])
        if np.head in NOUNS:
            shown.update(["plural"] if np.plural else [])
            shown.update(["adjective_agreement"] if np.adjectives else [])
            inflected = np.det not in NUMERALS and not (np.det == "a" and np.plural)
            if role != "subject" and inflected and not np.owner:
                shown.add("article_gender_case")
            combinations.update((adjective, np.head) for adjective in np.adjectives)
            if role == "object":
                combinations.add((clause.verb, np.head))
    return frozenset(shown), frozenset(combinations)


def held_out(combination: tuple[str, str]) -> bool:
    """Say whether training must never show this combination; a fixed share of all of them."""
    share = HELD_OUT_SHARE / 2 if combination[0] == "structure" else HELD_OUT_SHARE
    return zlib.crc32("/".join(combination).encode()) < share * 2**32


def make_pair(tree: Clause) -> SamplePair:
    """Realise a tree in both languages."""
    constructions, combinations = describe(tree)
    return SamplePair(english(tree), german(tree), constructions, structure(tree), combinations)


# --- Drawing trees that make sense -------------------------------------------------------------

SUBJECT_PRONOUNS = ("I", "he", "she", "we", "they")
VERB_WEIGHTS = {"be": 8.0, **{key: 2.0 for key, v in VERBS.items() if v.frame in ("that", "to")}}
VERB_WEIGHTS |= {key: 2.5 for key, v in VERBS.items() if v.frame in ("goal", "spot", "put")}
SIMPLE_FRAMES = ("none", "acc", "dat", "prep", "give", "goal")


def _by_class() -> dict[str, list[str]]:
    members: dict[str, list[str]] = {}
    for noun in NOUNS.values():
        for name in sorted(noun.classes):
            members.setdefault(name, []).append(noun.english)
    return members


BY_CLASS = _by_class()
FITTING = {  # noun: adjectives that describe it
    noun.english: [word for word, entry in ADJECTIVES.items() if entry[2] & noun.classes]
    for noun in NOUNS.values()
}
STATES = [word for word, entry in ADJECTIVES.items() if "state" in entry[2]]


class Sampler:
    """Draws clauses whose words fit each other: who does what, where, when and how."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        keys = [key for key, verb in VERBS.items() if verb.frame != "weather"]
        self.verbs = keys
        self.weights = [VERB_WEIGHTS.get(key, 1.0) for key in keys]

    def chance(self, share: float) -> bool:
        """Say yes in this share of the calls."""
        return self.random.random() < share

    def pick(self, **weights: float) -> str:
        """Choose a name by its weight."""
        return self.random.choices(list(weights), list(weights.values()))[0]

    def noun(self, classes: tuple[str, ...], avoid: str = "") -> str:
        """Choose a noun of one of the classes."""
        members = [word for name in classes for word in BY_CLASS[name] if word != avoid]
        return self.random.choice(members)

    def adjectives(self, noun: str, share: float = 0.35) -> tuple[str, ...]:
        """Choose none, one or two adjectives that describe the noun."""
        fitting = FITTING[noun]
        if not fitting or not self.chance(share):
            return ()
        colors = {"black", "white", "red", "blue", "green", "yellow", "brown"}
        first = self.random.choice(fitting)
        if self.chance(0.15) and first not in colors:
            color = [word for word in fitting if word in colors]
            if color:
                return (first, self.random.choice(color))
        return (first,)

    def subject(self, classes: tuple[str, ...], rich: bool = True) -> NP:
        """Draw the phrase of who acts."""
        if "person" in classes or "adult" in classes or "child" in classes:
            animals = tuple(name for name in classes if name in ("animal", "vehicle"))
            if animals and self.chance(0.3):
                classes = animals
            else:
                kind = self.pick(pronoun=0.2, name=0.16, names=0.05, noun=0.59)
                if kind == "pronoun":
                    return NP(self.random.choice(SUBJECT_PRONOUNS))
                if kind == "name":
                    return NP(self.random.choice(list(PEOPLE)))
                if kind == "names":
                    one, two = self.random.sample(list(PEOPLE), 2)
                    return NP(one, also=NP(two))
        head = self.noun(classes)
        kin = "kin" in NOUNS[head].classes
        kind = self.pick(
            the=0.5, plural=0.14, a=0.05, this=0.08, number=0.07, my=0.05 + 0.3 * kin, bare=0.03,
            many=0.02, some=0.02, every=0.02, all=0.03, no=0.01, owner=0.03 + 0.07 * kin,
        )  # fmt: skip
        np = self.determined(head, kind, self.random.choice(("my", "our")))
        if rich and kind in ("the", "a", "plural") and NOUNS[head].classes & {"person"}:
            np = self.attribute(np)
        return np

    def determined(self, head: str, kind: str, owner: str) -> NP:
        """Give a noun the determiner of this kind, and perhaps adjectives."""
        mass = NOUNS[head].mass
        if mass and kind not in ("the", "my"):
            kind = "a"
        adjectives = self.adjectives(head)
        if kind == "plural":
            return NP(head, "the", adjectives, plural=True)
        if kind == "bare":
            return NP(head, "a", adjectives, plural=True)
        if kind == "number":
            return NP(head, self.random.choice(list(NUMERALS)), adjectives, plural=True)
        if kind == "my":
            return NP(head, owner, adjectives, plural=not mass and self.chance(0.25))
        if kind == "owner":
            name = NP(self.random.choice(list(PEOPLE)))
            role = self.noun(("job", "kin"))
            person = NP(role, "my" if "kin" in NOUNS[role].classes else "the")
            owner_np = name if self.chance(0.4) else person
            return NP(head, "the", adjectives, plural=self.chance(0.2), owner=owner_np)
        if kind in ("many", "some", "all"):
            return NP(head, kind, adjectives, plural=True)
        if kind == "this":
            return NP(head, "this", adjectives, plural=self.chance(0.3))
        return NP(head, kind, adjectives)

    def attribute(self, np: NP) -> NP:
        """Perhaps add "with the red hat" or "from Berlin"."""
        if self.chance(0.06):
            thing = self.noun(("worn", "beard", "dog", "bag", "umbrella"))
            if thing == "beard" and (NOUNS[np.head].gender != "m" or np.head in ("boy", "son")):
                thing = "hat"
            adjectives = self.adjectives(thing, 0.8)
            return replace(np, attribute=("with", NP(thing, "a" if thing == "beard" or self.chance(.4) else "the", adjectives)))
        if self.chance(0.05):
            return replace(np, attribute=("from", NP(self.random.choice(list(CITIES)))))
        return np

    def object(self, classes: tuple[str, ...], subject: NP, dative: bool = False) -> NP:
        """Draw the phrase of what or whom it is done to."""
        person = "person" in classes
        if person and self.chance(0.35):
            if self.chance(0.5):
                names = [name for name in PEOPLE if name != subject.head]
                return NP(self.random.choice(names))
            taken = {"I": ("I", "we"), "we": ("I", "we")}.get(subject.head, (subject.head,))
            return NP(self.random.choice([p for p in SUBJECT_PRONOUNS if p not in taken]))
        head = self.noun(classes, avoid=subject.head)
        kind = self.pick(
            the=0.37, a=0.24, my=0.12, this=0.06, number=0.07, bare=0.06, plural=0.08,
            many=0.015, some=0.015, owner=0.03, every=0.01,
        )  # fmt: skip
        np = self.determined(head, kind, self.own(subject))
        return self.attribute(np) if person and kind in ("the", "a") else np

    def own(self, subject: NP) -> str:
        """Choose whose it is: the subject's or the speaker's."""
        noun = NOUNS.get(subject.head)
        if subject.head in ("I", "we"):
            return "my" if subject.head == "I" else "our"
        if (noun and (noun.gender == "n" or "person" not in noun.classes)) or self.chance(0.25):
            return self.random.choice(("my", "our"))
        if _person(subject) == "3p":
            return "their"
        return "his" if self.pronoun(subject) == "he" else "her"

    def pronoun(self, subject: NP) -> str:
        """Give the pronoun for a subject, or "" where grammatical and natural gender differ."""
        if subject.head in PRONOUNS:
            return subject.head
        if _person(subject) == "3p":
            return "they"
        if subject.det in ("a", "no", "every"):
            return ""
        noun = NOUNS.get(subject.head)
        if noun and "person" not in noun.classes:
            return ""
        gender = noun.gender if noun else PEOPLE.get(subject.head, "n")
        return {"m": "he", "f": "she"}.get(gender, "")

    def tense(self, key: str) -> str:
        """Choose a tense that the verb allows."""
        if VERBS[key].stative:
            return "present"
        if key == "be":
            return self.pick(present=0.5, past=0.35, future=0.15)
        if key == "have":
            return self.pick(present=0.7, past=0.3)
        return self.pick(present=0.24, progressive=0.2, past=0.38, future=0.18)

    def activity(
        self, subject: NP | None = None, tense: str = "", frames: tuple[str, ...] = (),
        bare: bool = False,
    ) -> Clause:  # fmt: skip
        """Draw a clause without any clause in it: a verb, its complements, time, place, manner."""
        key = ""
        while not key:
            key = self.random.choices(self.verbs, self.weights)[0]
            verb = VERBS[key]
            wrong = bool(frames) and verb.frame not in frames
            wrong |= verb.frame in ("that", "to")
            wrong |= subject is not None and "person" not in verb.subjects
            wrong |= verb.stative and tense not in ("", "present")
            key = "" if wrong else key
        subject = subject or self.subject(verb.subjects, rich=not bare)
        tense = tense or self.tense(key)
        if verb.english == verb.past and tense == "present" and _person(subject) != "3s":
            tense = "progressive"  # "they read" would be both present and past
        clause = Clause(subject, key, tense=tense)
        clause = self.complements(clause)
        if tense in ("present", "past") and verb.frame != "be" and self.chance(0.2):
            modals = [m for m in MODALS if tense == "present" or MODALS[m][6]]
            if not verb.stative and verb.subjects[0] in ("person", "adult", "child") and key != "have":
                clause = replace(clause, modal=self.random.choice(modals))
        if not bare:
            clause = self.adverbials(clause)
        return self.negation(clause)

    def complements(self, clause: Clause) -> Clause:
        """Add what the verb's frame asks for."""
        verb, subject = VERBS[clause.verb], clause.subject
        assert subject is not None
        if verb.frame == "be":
            if self.chance(0.25):
                return replace(clause, place=self.place(("out", "town", "room", "work", "shop")))
            noun = NOUNS.get(subject.head)
            thing = noun and "person" not in noun.classes
            fitting = FITTING[subject.head] if thing else STATES
            return replace(clause, predicate=self.random.choice(fitting or STATES))
        if verb.frame in ("give", "give-to"):
            recipient = self.object(("person",), subject)
            if verb.frame == "give" and recipient.attribute:
                recipient = replace(recipient, attribute=None)
            return replace(
                clause, recipient=recipient, object=self.object(verb.objects, subject)
            )
        if verb.objects:
            clause = replace(clause, object=self.object(verb.objects, subject))
        if verb.frame in ("goal", "spot", "put"):
            return self.located(clause)
        return clause

    def place(self, classes: tuple[str, ...]) -> NP:
        """Draw a place of one of the classes."""
        classes = tuple(name for name in classes if name in BY_CLASS)
        head = self.noun(classes)
        det = self.pick(the=0.86, this=0.05, a=0.06, our=0.03)
        return NP(head, det, self.adjectives(head, 0.22))

    def located(self, clause: Clause) -> Clause:
        """Add the place that belongs to a verb of motion or position."""
        verb = VERBS[clause.verb]
        if "city" in verb.places and self.chance(0.3):
            return replace(clause, place=NP(self.random.choice(list(CITIES))))
        if clause.verb in ("go", "drive", "stay", "run") and self.chance(0.12):
            return replace(clause, place=NP("home"))
        place = self.place(tuple(name for name in verb.places if name != "city"))
        noun = NOUNS[place.head]
        if noun.place:
            return replace(clause, place=place)
        if noun.classes & {"top", "seat", "hung", "wall"} or place.head in ("bridge", "wall"):
            preposition = "on"
        else:
            preposition = self.random.choice(("behind", "in front of", "next to"))
        if preposition == "on" and verb.frame == "spot" and self.chance(0.4):
            preposition = self.random.choice(("next to", "under" if place.head == "table" else "next to"))
        if clause.verb == "hang":
            preposition = "on"
        return replace(clause, place=place, preposition=preposition)

    def adverbials(self, clause: Clause) -> Clause:
        """Add time, frequency, place and manner, and perhaps put one of them first."""
        verb = VERBS[clause.verb]
        simple = clause.subject is not None and clause.subject.det != "no"
        if self.chance(0.45) and not verb.stative:
            clause = self.time(clause)
        elif clause.tense == "present" and not clause.modal and self.chance(0.3) and not verb.stative:
            clause = replace(clause, often=self.random.choice(FREQUENCIES))
        if verb.places and clause.place is None and self.chance(0.35):
            clause = replace(clause, place=self.place(verb.places))
        elif MANNERS[clause.verb] and self.chance(0.4):
            manner = self.random.choice(MANNERS[clause.verb])
            if manner != "together" or _person(clause.subject or NP("he")) in ("1p", "3p"):
                clause = replace(clause, manner=manner)
        if simple and clause.time and self.chance(0.45):
            return replace(clause, front="time")
        movable = clause.place and verb.frame not in ("goal", "spot", "put", "be")
        if simple and movable and self.chance(0.25):
            return replace(clause, front="place")
        return clause

    def time(self, clause: Clause) -> Clause:
        """Add a time that suits the tense."""
        times = [key for key, (_, tenses) in TIMES.items() if clause.tense in tenses]
        if clause.modal and clause.tense == "present":
            times = [key for key, (_, tenses) in TIMES.items() if "future" in tenses]
        key = self.random.choice(times)
        count = self.random.choice(list(NUMERALS)[:11]) if "{}" in key else ""
        return replace(clause, time=key, count=count)

    def negation(self, clause: Clause) -> Clause:
        """Perhaps negate, where German has one natural place for "nicht" or "kein"."""
        subject, thing = clause.subject, clause.object
        assert subject is not None
        blocked = clause.often or (clause.manner and thing) or clause.front == "place"
        blocked = blocked or subject.det in ("a", "no", "every", "all", "many", "some")
        blocked = blocked or subject.det in NUMERALS or clause.modal == "should"
        if thing:
            blocked = blocked or thing.det in NUMERALS or thing.det in ("many", "some", "every")
        if blocked or not self.chance(0.22):
            return clause
        timed = clause.time or clause.modal or clause.tense == "progressive"
        never = self.chance(0.2) and not timed and clause.verb != "be"
        return replace(clause, negated="never" if never else "not")

    def sentence(self) -> Clause:
        """Draw a whole sentence: a plain one, a question, or one with a second clause."""
        kind = self.pick(
            plain=0.42, question=0.06, reason=0.12, when=0.09, that=0.09, to=0.07, purpose=0.02,
            relative=0.08, joined=0.05,
        )  # fmt: skip
        return getattr(self, f"_{kind}")()

    def _plain(self) -> Clause:
        if self.chance(0.01):
            verb = self.random.choice(("rain", "snow"))
            clause = Clause(NP(WEATHER), verb, tense=self.random.choice(("past", "future")))
            clause = self.time(replace(clause, place=NP(self.random.choice(list(CITIES)))))
            return replace(clause, front="time")
        return self.activity()

    def _question(self) -> Clause:
        clause = self.activity()
        while clause.subject is None or clause.subject.det in ("a", "no") or clause.often:
            clause = self.activity()
        front = self.random.choice(list(QUESTIONS))
        clause = replace(clause, front=front, negated=clause.negated if front == "why" else "")
        if front == "where":
            return replace(clause, place=None, preposition="", manner="") if VERBS[clause.verb].frame in ("none", "acc", "spot") else replace(clause, front="yes/no")
        if front == "when":
            if VERBS[clause.verb].stative or clause.verb == "be":
                return replace(clause, front="yes/no", negated="")
            return replace(clause, time="", count="")
        return clause

    def _relative(self) -> Clause:
        clause = self.activity(bare=True)
        while not any(self._can_relate(np) for np in (clause.subject, clause.object)):
            clause = self.activity(bare=True)
        thing = clause.object
        if thing and self._can_relate(thing) and clause.place is None and self.chance(0.6):
            if VERBS[clause.verb].frame != "give-to":
                return replace(clause, object=replace(thing, relative=self.relative(thing)))
        if clause.subject and self._can_relate(clause.subject):
            subject = replace(clause.subject, relative=self.relative(clause.subject))
            return replace(clause, subject=subject)
        return self._relative()

    @staticmethod
    def _can_relate(np: NP | None) -> bool:
        return np is not None and np.head in NOUNS and np.det in ("the", "a", "this") and not (
            np.attribute or np.owner or NOUNS[np.head].mass)

    def relative(self, np: NP) -> Clause:
        """Draw a relative clause about a noun phrase."""
        classes = NOUNS[np.head].classes
        gap = NP(GAP)
        keys = [
            key for key, verb in VERBS.items()
            if verb.frame in ("acc", "dat") and classes & {*verb.objects, *(("adult", "child") if "person" in verb.objects else ())}
        ]  # fmt: skip
        if "person" in classes and self.chance(0.6) or not keys:
            for _ in range(50):
                clause = self.activity(subject=NP("they" if np.plural else "he"), bare=True)
                if clause.verb != "be" and (person := VERBS[clause.verb].subjects[0]) == "person":
                    clause = replace(clause, subject=gap, negated="")
                    if self.chance(0.3) and not VERBS[clause.verb].stative:
                        clause = self.time(clause)
                    return clause
        key = self.random.choice(keys)
        subject = self.subject(VERBS[key].subjects, rich=False)
        while subject.det in ("a", "no", "every") or subject.head == np.head:
            subject = self.subject(VERBS[key].subjects, rich=False)
        clause = Clause(subject, key, object=gap, tense=self.tense(key))
        if VERBS[key].english == VERBS[key].past and clause.tense == "present":
            clause = replace(clause, tense="past")
        if self.chance(0.3) and not VERBS[key].stative:
            clause = self.time(clause)
        return clause

    def person_activity(self, tense: str = "", bare: bool = True) -> Clause:
        """Draw an activity of persons whose subject is easy to refer to."""
        while True:
            clause = self.activity(tense=tense, bare=bare)
            subject = clause.subject
            assert subject is not None
            person = subject.head not in NOUNS or "person" in NOUNS[subject.head].classes
            if person and subject.det not in ("a", "no", "every") and not subject.attribute:
                return clause

    def _joined_front(self, clause: Clause, conjunction: str, inner: Clause, share: float) -> Clause:
        front = "clause" if self.chance(share) and clause.front == "" else clause.front
        return replace(clause, conjunction=conjunction, clause=inner, front=front)

    def reason(self, clause: Clause, tense: str) -> Clause:
        """Draw why (or despite what) somebody does something."""
        assert clause.subject is not None
        pronoun = self.pronoun(clause.subject)
        kind = self.pick(state=0.35, weather=0.2, thing=0.25, modal=0.2)
        thing = clause.object
        near = "past" if tense == "past" else "present"
        if kind == "thing" and pronoun and thing and thing.head in NOUNS and not thing.plural:
            if not NOUNS[thing.head].classes & {"person", "animal"} and near == "present":
                wants = [k for k in ("need", "like") if {*VERBS[k].objects} & NOUNS[thing.head].classes]
                if wants:
                    it = NP("it", refers_to=thing.head)
                    return Clause(NP(pronoun), self.random.choice(wants), object=it)
        if kind == "weather" or not pronoun:
            if self.chance(0.6):
                verb = self.random.choice(("rain", "snow"))
                return Clause(NP(WEATHER), verb, tense="past" if near == "past" else "progressive")
            return Clause(NP(WEATHER), "be", predicate=self.random.choice(("cold", "warm", "dark")), tense=near)
        if kind == "modal":
            inner = self.activity(NP(pronoun), near, SIMPLE_FRAMES, bare=True)
            if not VERBS[inner.verb].stative:
                modal = self.random.choice(("have to", "want to"))
                return replace(inner, tense=near, modal=modal, negated="")
        return Clause(NP(pronoun), "be", predicate=self.random.choice(STATES), tense=near)

    def _reason(self) -> Clause:
        clause = self.person_activity(bare=self.chance(0.6))
        conjunction = self.pick(because=0.5, although=0.25, **{"if": 0.25})
        if conjunction == "if":
            clause = replace(clause, negated="" if clause.tense == "past" else clause.negated)
            if clause.tense in ("past", "progressive"):
                clause = self.person_activity(tense="future")
            tense = "present"
        else:
            tense = clause.tense
        inner = self.reason(clause, tense)
        return self._joined_front(clause, conjunction, inner, 0.5 if conjunction == "if" else 0.2)

    def _when(self) -> Clause:
        conjunction = self.pick(when=0.4, **{"while": 0.35}, before=0.25)
        past = conjunction == "when" or self.chance(0.5)
        tense = "past" if past else "progressive" if conjunction == "while" else "present"
        frames = ("none", "acc", "dat", "prep", "goal", "give")
        clause = self.person_activity(tense)
        while VERBS[clause.verb].frame not in frames or clause.negated or clause.tense != tense:
            clause = self.person_activity(tense)
        other = self.person_activity(tense)
        while (
            VERBS[other.verb].frame not in frames or other.negated or other.tense != tense
            or other.subject == clause.subject
        ):  # fmt: skip
            other = self.person_activity(tense)
        assert clause.subject is not None
        pronoun = self.pronoun(clause.subject)
        if conjunction == "before" and pronoun and self.chance(0.6):
            other = self.activity(NP(pronoun), tense, ("none", "acc", "goal"), bare=True)
            other = replace(other, negated="", modal="", tense=tense)
        clause, other = replace(clause, modal=""), replace(other, modal="")
        return self._joined_front(clause, conjunction, other, 0.4)

    def _that(self) -> Clause:
        keys = [key for key, verb in VERBS.items() if verb.frame == "that"]
        key = self.random.choice(keys)
        past = key in ("say", "hope") and self.chance(0.4)
        tense = "past" if past else "present"
        subject = self.subject(("person",), rich=False)
        while subject.det == "no":
            subject = self.subject(("person",), rich=False)
        clause = Clause(subject, key, tense=tense)
        inner = self.activity(tense="past" if past else self.pick(future=0.4, past=0.3, present=0.3) if key != "hope" else "future", bare=self.chance(0.5))
        while inner.subject is None or inner.subject.det == "no" or inner.tense == "present" and VERBS[inner.verb].past == VERBS[inner.verb].english:
            inner = self.activity(tense=tense, bare=True)
        inner = replace(inner, front="")
        conjunction = "that"
        if key == "know_" and self.pronoun(subject) and self.chance(0.5):
            clause, conjunction = replace(clause, negated="not"), "whether"
            inner = replace(inner, negated="")
        if past and self.chance(0.4):
            clause = replace(self.time(clause), front="time")
        return replace(clause, conjunction=conjunction, clause=inner)

    def infinitive(self, subject: NP) -> Clause:
        """Draw what somebody tries or plans to do."""
        person = NP(self.pronoun(subject) or "he")
        inner = self.activity(person, "future", ("none", "acc", "dat", "prep", "give", "goal"), bare=True)
        return replace(inner, subject=None, negated="", tense="present")

    def _to(self) -> Clause:
        keys = [key for key, verb in VERBS.items() if verb.frame == "to"]
        key = self.random.choice(keys)
        tense = "past" if key == "decide" else self.pick(past=0.5, present=0.25, future=0.25)
        subject = self.subject(("person",))
        while subject.det == "no":
            subject = self.subject(("person",))
        clause = Clause(subject, key, tense=tense)
        if self.chance(0.4):
            clause = replace(self.time(clause), front="time")
        return replace(clause, conjunction="to", clause=self.infinitive(subject))

    def _purpose(self) -> Clause:
        clause = self.person_activity(bare=True)
        while VERBS[clause.verb].frame != "goal" or clause.negated:
            clause = self.person_activity(bare=True)
        assert clause.subject is not None
        inner = self.infinitive(clause.subject)
        return replace(clause, conjunction="in order to", clause=replace(inner, place=inner.place))

    def _joined(self) -> Clause:
        tense = self.pick(past=0.4, progressive=0.3, future=0.3)
        clause, other = self.person_activity(tense), self.person_activity(tense)
        if clause.subject == other.subject:
            return self._joined()
        return replace(clause, conjunction=self.pick(**{"and": 0.5, "but": 0.5}), clause=other)


# --- The corpus --------------------------------------------------------------------------------


def _fresh(sampler: Sampler, seen: set[str]) -> Iterator[SamplePair]:
    while True:
        pair = make_pair(sampler.sentence())
        if pair.src not in seen and 4 <= len(pair.src.split()) <= MAX_WORDS:
            seen.add(pair.src)
            yield pair


def _words(pair: SamplePair) -> set[tuple[str, str]]:
    sides = (("en", pair.src), ("de", pair.tgt))
    return {(side, word.strip(".,?").lower()) for side, text in sides for word in text.split()}


@lru_cache(maxsize=4)
def sample_corpus(seed: int = 1) -> dict[str, list[SamplePair]]:
    """Make the bundled corpus.

    Args:
        seed: Same seed, same corpus, on every machine.

    Returns:
        Lists of pairs under "train", "valid" and "test". Every word of it stands at least
        `MIN_WORD_COUNT` times in training; half of the test pairs hold a combination of words
        (or a whole structure) that training never shows, see `held_out`.
    """
    seen: set[str] = set()
    stream = _fresh(Sampler(seed), seen)
    open_pairs = (pair for pair in stream if not any(map(held_out, pair.combinations)))
    train = [next(open_pairs) for _ in range(SIZES["train"])]
    while True:
        counts = Counter(word for pair in train for word in _words(pair))
        rare = {word for word, count in counts.items() if count < MIN_WORD_COUNT}
        if not rare:
            break
        train = [pair for pair in train if not _words(pair) & rare]
        train += [next(open_pairs) for _ in range(SIZES["train"] - len(train))]
    corpus = {"train": train}
    for name in ("valid", "test"):
        known = (pair for pair in stream if all(word in counts for word in _words(pair)))
        new = (pair for pair in known if any(map(held_out, pair.combinations)))
        half = SIZES[name] // 2
        corpus[name] = [next(new) for _ in range(half)]
        corpus[name] += [next(known) for _ in range(SIZES[name] - half)]
        Sampler(seed).random.shuffle(corpus[name])
    return corpus


def write_sample(folder: Path, seed: int = 1) -> None:
    """Write the corpus as `train.en`, `train.de` and so on, one sentence a line."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, pairs in sample_corpus(seed).items():
        for side, lines in (("en", [p.src for p in pairs]), ("de", [p.tgt for p in pairs])):
            (folder / f"{name}.{side}").write_bytes(("\n".join(lines) + "\n").encode())
