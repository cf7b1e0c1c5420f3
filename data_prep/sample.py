"""The bundled English-German corpus: written by a grammar, so that nobody's text is copied.

A sentence starts as a tree of `Clause` and `NP`, the same for both languages. `english` and
`german` each realise that tree by their own rules; `Sampler` draws trees that make sense. The
way from a tree to a sentence has no chance in it, so one English sentence has one German one.
"""

from __future__ import annotations

import random
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import accumulate
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


@dataclass  # not frozen, as making one would take thrice as long; nobody changes one
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


@dataclass
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
    gap = clause.subject is not None and clause.subject.head == GAP
    owner = clause.subject if clause.subject and not gap else subject
    assert owner is not None
    person = _person(owner)
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
        infinitive = verb.prefix + ("zu" if verb.prefix else "zu ") + verb.infinitive
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
        inner = _german_sub(clause, subject)
        short = clause.conjunction == "to" and len(inner) == 2  # "versucht zu singen"
        comma = "" if short or clause.conjunction == "and" else ","
        words += [comma, *inner]
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
    late = recipient is not None and _indefinite(recipient) and not negation
    prepositional: list[str] = []
    if verb.frame == "prep" and thing:
        short = verb.case == "dat" and not thing.relative
        prepositional = _contracted(verb.preposition, thing, thing_words, short)
    order = [
        *pronouns,
        *([] if late else recipient_words),
        *(known + adverbs if negation else adverbs),
        *(recipient_words if late else []),
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
        if clause.preposition == "on" and place.head == "wall":
            preposition = "an"
        case = "acc" if frame == "put" else "dat"
    else:
        preposition = NOUNS[place.head].place[2 + goal]
        case = "acc" if goal and preposition != "zu" else "dat"
    words = german_np(place, case)
    return _contracted(preposition, place, words, not (frame == "put" or clause.preposition))


def _contracted(preposition: str, np: NP, words: list[str], short: bool) -> list[str]:
    """Join "in dem" as "im" where the article carries no stress."""
    if short and np.det == "the" and (preposition, words[0]) in CONTRACTIONS:
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
    parts += [f"front {clause.front}" if clause.front else "", clause.negated]
    for name in ("subject", "object", "recipient", "place"):
        np = getattr(clause, name)
        parts.append(f"{name} {_np_structure(np)}" if np else "")
    parts += [name for name in ("predicate", "time", "count", "manner") if getattr(clause, name)]
    parts.append("frequency" if clause.often else "")
    if clause.clause:
        parts.append(f"{CONJUNCTIONS[clause.conjunction][1]}-clause({structure(clause.clause)})")
    return ", ".join(part for part in parts if part)


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
    shape = next(value for kind, value in combinations if kind == "structure")
    return SamplePair(english(tree), german(tree), constructions, shape, combinations)


# --- Drawing trees that make sense -------------------------------------------------------------

SUBJECT_PRONOUNS = ("I", "he", "she", "we", "they")
NAMES = list(PEOPLE)
COLORS = {"black", "white", "red", "blue", "green", "yellow", "brown"}
VERB_WEIGHTS = {
    "be": 8.0,
    "depart": 2.0,
    "drink": 2.0,
    "begin": 1.5,
    **{key: 1.8 for key, v in VERBS.items() if v.frame in ("goal", "put")},
}
VERB_WEIGHTS |= {key: 1.8 for key, v in VERBS.items() if v.frame == "spot"}
SIMPLE_FRAMES = ("none", "acc", "dat", "prep", "give", "give-to", "goal")
POSITIONS = ("stand", "lie", "hang")
ONCE = ("lose", "find", "forget", "steal", "catch", "promise", "forget_")  # not every day
MISHAPS = ("lose", "forget", "steal", "forget_")  # nobody says that they will
NOT_PROGRESSIVE = ("be", "have", "see", "hear", "say", "hope", *ONCE)
UNPLANNED = {
    *("lose", "forget", "fall asleep", "wake up", "dream of", "think of", "see", "hear", "cry"),
    *("arrive", "have", "steal", "laugh at", "complain about", "sleep", "find", "meet"),
}
PURPOSES = (
    *("visit", "meet", "buy", "pick up", "swim", "rest", "work", "shop", "learn", "look for"),
    *("photograph", "help", "dance", "play", "congratulate", "thank", "speak with", "ask"),
    *("take part in", "paint", "sell", "sing", "dance with"),
)
THINGS = ("ware", "food", "building", "place", "text", "vehicle", "clothes", "animal", "tale")
NUMERAL_WEIGHTS = [6, 6, 4, 4, 2, 2, 2, 2, 2, 2, 2, 2]


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
_USES = Counter(word for words in FITTING.values() for word in words)
ADJECTIVE_WEIGHTS = {word: uses**-0.5 for word, uses in _USES.items()}  # rare ones get a chance
OBJECT_OF = {  # noun: verbs that take it as their object
    noun.english: [
        key
        for key, verb in VERBS.items()
        if verb.frame in ("acc", "dat") and key != "have" and noun.classes & {*verb.objects}
    ]
    for noun in NOUNS.values()
}
STATES = [word for word, entry in ADJECTIVES.items() if "state" in entry[2]]


@cache
def _nouns(classes: tuple[str, ...]) -> list[str]:
    return [word for name in classes for word in BY_CLASS[name]]


@cache
def _verbs(frames: tuple[str, ...], person: bool, tense: str) -> tuple[list[str], list[float]]:
    keys = [
        key
        for key, verb in VERBS.items()
        if (verb.frame in frames if frames else verb.frame not in ("that", "to", "weather"))
        and (not person or "person" in verb.subjects)
        and not (verb.stative and tense not in ("", "present"))
        and not (tense == "progressive" and key in NOT_PROGRESSIVE)
        and not (tense == "future" and key in ("have", *POSITIONS, *MISHAPS))
        and not (tense == "present" and key in ONCE)
    ]
    return keys, list(accumulate(VERB_WEIGHTS.get(key, 1.0) for key in keys))


class Sampler:
    """Draws clauses whose words fit each other: who does what, where, when and how."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def chance(self, share: float) -> bool:
        """Say yes in this share of the calls."""
        return self.random.random() < share

    def pick(self, **weights: float) -> str:
        """Choose a name by its weight."""
        return self.random.choices(list(weights), list(weights.values()))[0]

    def noun(self, classes: tuple[str, ...], avoid: str = "") -> str:
        """Choose a noun of one of the classes."""
        while (word := self.random.choice(_nouns(classes))) == avoid:
            pass
        return word

    # Noun phrases

    def adjectives(self, noun: str, share: float = 0.35) -> tuple[str, ...]:
        """Choose none, one or two adjectives that describe the noun."""
        fitting = FITTING[noun]
        if not fitting or not self.chance(share):
            return ()
        first = self.fitting(fitting)
        colors = [word for word in fitting if word in COLORS]
        if colors and first not in COLORS and self.chance(0.12):
            return (first, self.random.choice(colors))
        return (first,)

    def fitting(self, words: list[str]) -> str:
        """Choose an adjective, and sooner one that has few nouns."""
        return self.random.choices(words, [ADJECTIVE_WEIGHTS[word] for word in words])[0]

    def subject(self, classes: tuple[str, ...], rich: bool = True) -> NP:
        """Draw the phrase of who acts."""
        if {"person", "adult", "child"} & {*classes}:
            others = tuple(name for name in classes if name not in ("person", "adult", "child"))
            people = tuple(name for name in classes if name in ("person", "adult", "child"))
            classes = others if others and self.chance(0.3) else people
            kind = self.pick(pronoun=0.2, name=0.16, names=0.05, noun=0.59)
            if classes == people and kind == "pronoun":
                return NP(self.random.choice(SUBJECT_PRONOUNS))
            if classes == people and kind == "name":
                return NP(self.random.choice(NAMES))
            if classes == people and kind == "names":
                one, two = self.random.sample(NAMES, 2)
                return NP(one, also=NP(two))
        head = self.noun(classes)
        kind = self.pick(
            the=0.5, plural=0.14, a=0.05, this=0.08, number=0.07, my=0.05, bare=0.03,
            many=0.02, some=0.02, every=0.02, all=0.03, no=0.01, owner=0.03,
        )  # fmt: skip
        np = self.determined(head, kind, self.random.choice(("my", "our")))
        if rich and np.det in ("the", "a") and "person" in NOUNS[head].classes and not np.owner:
            return self.attribute(np)
        return np

    def object(self, classes: tuple[str, ...], subject: NP) -> NP:
        """Draw the phrase of what or whom it is done to."""
        person = "person" in classes
        if person and self.chance(0.35):
            if self.chance(0.5):
                taken_names = (subject.head, subject.also.head if subject.also else "")
                return NP(self.random.choice([n for n in NAMES if n not in taken_names]))
            same = {"I": ("I", "we"), "we": ("I", "we"), "they": ("they",)}
            taken = same.get(subject.head, (self.pronoun(subject), subject.head))
            return NP(self.random.choice([p for p in SUBJECT_PRONOUNS if p not in taken]))
        head = self.noun(classes, avoid=subject.head)
        kind = self.pick(
            the=0.37, a=0.24, my=0.12, this=0.06, number=0.07, bare=0.06, plural=0.08,
            many=0.015, some=0.015, owner=0.03,
        )  # fmt: skip
        np = self.determined(head, kind, self.own(subject))
        plain = np.det in ("the", "a") and not np.owner and "person" in NOUNS[head].classes
        return self.attribute(np) if plain else np

    def determined(self, head: str, kind: str, owner: str) -> NP:
        """Give a noun the determiner of this kind, as far as it makes sense, and adjectives."""
        classes, mass = NOUNS[head].classes, NOUNS[head].mass
        kin = "kin" in classes
        if kin:  # "ten fathers", "every aunt" would be odd
            kind = {"the": "the", "owner": "owner"}.get(kind, "my")
            kind = "my" if kind == "the" and self.chance(0.65) else kind
        elif kind in ("my", "owner") and classes & {"person", "animal"} and "ours" not in classes:
            kind = "the"
        elif kind == "bare" and "person" in classes:
            kind = "plural"
        if mass:
            kind = kind if kind in ("the", "my") else "a"
        if "pair" in classes:
            kind = {"the": "plural", "a": "bare", "this": "plural", "every": "bare"}.get(kind, kind)
        adjectives = self.adjectives(head)
        if kind in ("plural", "bare"):
            return NP(head, "the" if kind == "plural" else "a", adjectives, plural=True)
        if kind == "number":
            return NP(head, self.numeral(), adjectives, plural=True)
        if kind in ("my", "owner"):
            plural = "pair" in classes or self.chance(0.25)
            plural = plural and not mass and "single" not in classes
            if kind == "my":
                return NP(head, owner, adjectives, plural)
            return NP(head, "the", adjectives, plural, owner=self.owner())
        if kind in ("many", "some", "all"):
            return NP(head, kind, adjectives, plural=True)
        return NP(head, kind, adjectives, plural=kind == "this" and self.chance(0.3))

    def numeral(self) -> str:
        """Choose a number, small ones more often."""
        return self.random.choices(list(NUMERALS), NUMERAL_WEIGHTS)[0]

    def owner(self) -> NP:
        """Draw who owns something: "Anna's", "the baker's", "my uncle's"."""
        if self.chance(0.4):
            return NP(self.random.choice(NAMES))
        head = self.noun(("job", "kin"))
        return NP(head, "my" if "kin" in NOUNS[head].classes else "the")

    def attribute(self, np: NP) -> NP:
        """Perhaps add "with the red hat" or "from Berlin"."""
        if self.chance(0.05):
            return replace(np, attribute=("from", NP(self.random.choice(list(CITIES)))))
        if np.plural or not self.chance(0.09):
            return np
        thing = self.noun(("hat", "beard", "dog", "bag", "umbrella", "jacket", "coat"))
        if thing == "beard" and (NOUNS[np.head].gender != "m" or "child" in NOUNS[np.head].classes):
            thing = "hat"
        det = "a" if thing == "beard" or self.chance(0.4) else "the"
        return replace(np, attribute=("with", NP(thing, det, self.adjectives(thing, 0.8))))

    def own(self, subject: NP) -> str:
        """Choose whose it is: the subject's or the speaker's."""
        noun = NOUNS.get(subject.head)
        if subject.head in ("I", "we"):
            return "my" if subject.head == "I" else "our"
        pronoun = self.pronoun(subject)
        if not pronoun or (noun and "person" not in noun.classes) or self.chance(0.25):
            return self.random.choice(("my", "our"))
        return {"they": "their", "he": "his"}.get(pronoun, "her")

    def pronoun(self, subject: NP) -> str:
        """Give the pronoun for a subject, or "" where grammatical and natural gender differ."""
        if _person(subject) == "3p":
            return "they"
        if subject.head in PRONOUNS:
            return subject.head
        noun = NOUNS.get(subject.head)
        if subject.det in ("a", "no", "every") or (noun and "person" not in noun.classes):
            return ""
        gender = noun.gender if noun else PEOPLE.get(subject.head, "n")
        return {"m": "he", "f": "she"}.get(gender, "")

    # Clauses without a clause in them

    def tense(self, key: str) -> str:
        """Choose a tense that the verb allows."""
        if VERBS[key].stative:
            return "present"
        if key == "be":
            return self.pick(present=0.5, past=0.35, future=0.15)
        if key == "have":
            return self.pick(present=0.7, past=0.3)
        if key in ONCE:
            return "past" if key in MISHAPS else self.pick(past=0.7, future=0.3)
        if key in NOT_PROGRESSIVE:
            return self.pick(present=0.35, past=0.4, future=0.25)
        if key in POSITIONS:
            return self.pick(progressive=0.6, past=0.4)
        return self.pick(present=0.24, progressive=0.2, past=0.38, future=0.18)

    def activity(
        self,
        subject: NP | None = None,
        tense: str = "",
        frames: tuple[str, ...] = (),
        bare: bool = False,
    ) -> Clause:
        """Draw a verb and its complements; if not `bare`, also time, place and manner."""
        keys, weights = _verbs(frames, subject is not None, tense)
        key = self.random.choices(keys, cum_weights=weights)[0]
        verb = VERBS[key]
        if subject is None:
            thing = key == "be" and tense in ("", "present", "past") and self.chance(0.4)
            subject = self.subject(THINGS if thing else verb.subjects, rich=not bare)
            tense = tense or (self.pick(present=0.7, past=0.3) if thing else "")
        tense = tense or self.tense(key)
        if verb.english == verb.past and tense == "present" and _person(subject) != "3s":
            tense = "progressive"  # "they read" would be both present and past
        clause = self.complements(Clause(subject, key, tense=tense))
        movable = key not in (*UNPLANNED, "be") and not verb.stative and "person" in verb.subjects
        noun = NOUNS.get(subject.head)
        movable = movable and (noun is None or "person" in noun.classes)
        if tense in ("present", "past") and movable and self.chance(0.2):
            modals = [m for m in MODALS if tense == "present" or MODALS[m][6]]
            clause = replace(clause, modal=self.random.choice(modals))
        if not bare:
            clause = self.adverbials(clause)
        return self.negation(clause)

    def complements(self, clause: Clause) -> Clause:
        """Add what the verb's frame asks for."""
        verb, subject = VERBS[clause.verb], clause.subject
        assert subject is not None
        if verb.frame == "be":
            noun = NOUNS.get(subject.head)
            thing = noun and "person" not in noun.classes
            if not thing and self.chance(0.3):
                return replace(clause, place=self.place(verb.places))
            fitting = FITTING[subject.head] if thing else STATES
            fitting = [word for word in fitting if word not in subject.adjectives]
            return replace(clause, predicate=self.fitting(fitting or ["good"]))
        if verb.frame in ("give", "give-to"):
            recipient = replace(self.object(("person",), subject), attribute=None)
            gift = self.object(verb.objects, subject)
            return replace(clause, recipient=recipient, object=gift)
        if verb.objects:
            clause = replace(clause, object=self.object(verb.objects, subject))
        return self.located(clause) if verb.frame in ("goal", "spot", "put") else clause

    def place(self, classes: tuple[str, ...]) -> NP:
        """Draw a place of one of the classes."""
        head = self.noun(classes)
        ours = "ours" in NOUNS[head].classes and self.chance(0.06)
        det = "our" if ours else self.pick(the=0.88, this=0.06, a=0.06)
        return NP(head, det, self.adjectives(head, 0.22))

    def located(self, clause: Clause) -> Clause:
        """Add the place that belongs to a verb of motion or position."""
        verb, subject = VERBS[clause.verb], clause.subject
        assert subject is not None
        if "city" in verb.places and self.chance(0.3):
            return replace(clause, place=NP(self.random.choice(list(CITIES))))
        if clause.verb in ("go", "drive", "stay", "run") and self.chance(0.12):
            return replace(clause, place=NP("home"))
        classes = tuple(name for name in verb.places if name != "city")
        if clause.verb == "stand":
            noun = NOUNS.get(subject.head)
            small = noun and "upright" in noun.classes
            classes = ("top",) if small else ("house", "tree", "door", "window", "church", "hotel")
        place = self.place(classes)
        classes_of_place = NOUNS[place.head].classes
        if NOUNS[place.head].place and clause.verb != "stand":
            return replace(clause, place=place)
        sides = ["behind", "in front of", "next to"]
        if verb.frame == "put" or clause.verb == "hang" or "seat" in classes_of_place:
            sides = ["on"]
        elif "top" in classes_of_place:
            sides = ["on", "on", "next to"]
        elif place.head == "tree" and clause.verb in ("sit", "lie", "stand"):
            sides = ["under", "next to"]
        if clause.verb == "lie" and place.head == "table":
            sides = ["on", "under"]
        return replace(clause, place=place, preposition=self.random.choice(sides))

    def adverbials(self, clause: Clause) -> Clause:
        """Add time, frequency, place and manner, and perhaps put one of them first."""
        verb = VERBS[clause.verb]
        subject = clause.subject
        assert subject is not None
        lasting = clause.verb in ("be", "have") and clause.tense == "present"
        noun = NOUNS.get(subject.head)
        thing = noun is not None and not noun.classes & {"person", "animal"}
        if not verb.stative and clause.verb != "hang" and not (thing and clause.verb == "be"):
            if not lasting and self.chance(0.5):
                clause = self.time(clause)
            elif clause.tense == "present" and not (clause.modal or thing) and self.chance(0.4):
                clause = replace(clause, often=self.random.choice(FREQUENCIES))
        if verb.places and clause.place is None and clause.verb != "be" and self.chance(0.35):
            clause = replace(clause, place=self.place(verb.places))
        elif MANNERS[clause.verb] and self.chance(0.4):
            manner = self.random.choice(MANNERS[clause.verb])
            if manner != "together" or _person(subject) in ("1p", "3p"):
                clause = replace(clause, manner=manner)
        if subject.det == "no":
            return clause
        if clause.time and self.chance(0.45):
            return replace(clause, front="time")
        if clause.place and verb.frame in SIMPLE_FRAMES[:-1] and self.chance(0.25):
            return replace(clause, front="place")
        return clause

    def time(self, clause: Clause) -> Clause:
        """Add a time that suits the tense."""
        tense = "future" if clause.modal and clause.tense == "present" else clause.tense
        key = self.random.choice([key for key, (_, tenses) in TIMES.items() if tense in tenses])
        return replace(clause, time=key, count=self.numeral() if "{}" in key else "")

    def negation(self, clause: Clause) -> Clause:
        """Perhaps negate, where German has one natural place for "nicht" or "kein"."""
        subject, thing = clause.subject, clause.object
        assert subject is not None
        unfit = {*NUMERALS, "many", "some", "every", "all"}
        blocked = (
            bool(clause.often or (clause.manner and thing))
            or clause.time.startswith("every")
            or clause.front == "place"
            or clause.modal == "should"
            or subject.det in unfit | {"a", "no"}
            or (thing is not None and thing.det in unfit)
        )
        if blocked or not self.chance(0.24):
            return clause
        timed = clause.time or clause.modal or clause.tense == "progressive"
        never = not timed and clause.verb != "be" and self.chance(0.2)
        return replace(clause, negated="never" if never else "not")

    # Sentences

    def sentence(self) -> Clause:
        """Draw a whole sentence: a plain one, a question, or one with a second clause."""
        kinds = {
            self.plain: 0.42,
            self.question: 0.06,
            self.reason: 0.12,
            self.moment: 0.09,
            self.report: 0.09,
            self.intention: 0.07,
            self.purpose: 0.02,
            self.description: 0.08,
            self.joined: 0.05,
        }
        return self.random.choices(list(kinds), list(kinds.values()))[0]()

    def plain(self) -> Clause:
        """Draw one clause."""
        if self.chance(0.01):
            verb = self.random.choice(("rain", "snow"))
            place = NP(self.random.choice(list(CITIES)))
            tense = self.random.choice(("past", "future"))
            clause = Clause(NP(WEATHER), verb, place=place, tense=tense, front="time")
            return self.time(clause)
        return self.activity()

    def question(self) -> Clause:
        """Draw a yes/no question, or one that asks where, when or why."""
        clause = self.activity()
        while clause.subject is None or clause.subject.det in ("a", "no") or clause.often:
            clause = self.activity()
        verb, front = VERBS[clause.verb], self.random.choice(list(QUESTIONS))
        clause = replace(clause, front=front, negated=clause.negated if front == "why" else "")
        if front == "where" and verb.places and verb.frame in ("none", "acc", "spot"):
            return replace(clause, place=None, preposition="", manner="")
        if front == "when" and not verb.stative and clause.verb not in ("be", "have"):
            return replace(clause, time="", count="")
        return clause if front == "why" else replace(clause, front="yes/no")

    def description(self) -> Clause:
        """Draw a clause whose subject or object has a relative clause."""
        while True:
            clause = self.activity(bare=True)
            subject, thing = clause.subject, clause.object
            whole = clause.place is None and VERBS[clause.verb].frame != "give-to"
            if thing and whole and self.can_relate(thing) and self.chance(0.6):
                return replace(clause, object=replace(thing, relative=self.relative(thing)))
            if subject and self.can_relate(subject):
                return replace(clause, subject=replace(subject, relative=self.relative(subject)))

    @staticmethod
    def can_relate(np: NP) -> bool:
        """Say whether a relative clause may follow."""
        plain = np.head in NOUNS and np.det in ("the", "a", "this")
        if not plain or np.attribute or np.owner or NOUNS[np.head].mass:
            return False
        return bool(OBJECT_OF[np.head])

    def relative(self, np: NP) -> Clause:
        """Draw a relative clause about a noun phrase."""
        classes, gap = NOUNS[np.head].classes, NP(GAP)
        if "person" in classes and self.chance(0.6):
            stand_in = NP("they") if np.plural else NP(np.head)
            frames = ("none", "acc", "dat", "prep", "goal")
            clause = replace(self.activity(stand_in, "", frames, bare=True), negated="")
            return replace(self.perhaps_timed(clause), subject=gap)
        key = self.random.choice(OBJECT_OF[np.head])
        subject = NP("he")
        while subject.det in ("a", "no", "every") or subject.head in ("he", np.head):
            subject = self.subject(VERBS[key].subjects, rich=False)
        tense = self.tense(key)
        if VERBS[key].english == VERBS[key].past and tense == "present":
            tense = "past"
        return self.perhaps_timed(Clause(subject, key, object=gap, tense=tense))

    def perhaps_timed(self, clause: Clause) -> Clause:
        """Add a time to some clauses."""
        timed = not VERBS[clause.verb].stative and clause.verb != "be" and self.chance(0.3)
        return self.time(clause) if timed else clause

    def person_activity(
        self, tense: str = "", bare: bool = True, frames: tuple[str, ...] = SIMPLE_FRAMES
    ) -> Clause:
        """Draw an activity of persons whose subject is easy to refer to."""
        while True:
            clause = self.activity(None, tense, frames, bare)
            subject = clause.subject
            assert subject is not None
            person = subject.head not in NOUNS or "person" in NOUNS[subject.head].classes
            if person and subject.det not in ("a", "no", "every") and not subject.attribute:
                return clause

    def with_clause(self, clause: Clause, word: str, inner: Clause, share: float) -> Clause:
        """Join a subordinate clause, in front in this share of the sentences."""
        front = "clause" if clause.front == "" and self.chance(share) else clause.front
        return replace(clause, conjunction=word, clause=inner, front=front)

    def reason(self) -> Clause:
        """Draw a clause with because, although or if."""
        word = self.pick(**{"because": 0.5, "although": 0.25, "if": 0.25})
        clause = self.person_activity("future" if word == "if" else "", bare=self.chance(0.6))
        while VERBS[clause.verb].stative or clause.verb in UNPLANNED:
            clause = self.person_activity("future" if word == "if" else "", bare=True)
        inner = self.cause(clause, word)
        return self.with_clause(clause, word, inner, 0.5 if word == "if" else 0.2)

    def cause(self, clause: Clause, word: str) -> Clause:
        """Draw why, or despite what, or under which condition somebody does something."""
        assert clause.subject is not None
        pronoun, thing = self.pronoun(clause.subject), clause.object
        tense = "past" if clause.tense == "past" else "present"
        done = (clause.negated == "") == (word != "although")  # needs a reason for, not against
        if word == "because" and thing and thing.head in NOUNS and not thing.plural and pronoun:
            wanted = {*NOUNS[thing.head].classes} - {"person", "animal"}
            feelings = [key for key in ("need", "like") if {*VERBS[key].objects} & wanted]
            if feelings and tense == "present" and self.chance(0.5):
                it = NP("it", refers_to=thing.head)
                feeling = self.random.choice(feelings)
                negated = "not" if clause.negated or clause.verb in ("sell", "throw away") else ""
                return Clause(NP(pronoun), feeling, object=it, negated=negated)
        if not pronoun or self.chance(0.3) and not (word == "because" and done):
            if self.chance(0.6):
                verb = self.random.choice(("rain", "snow"))
                return Clause(NP(WEATHER), verb, tense="past" if tense == "past" else "progressive")
            kind = self.random.choice(("cold", "dark", "warm"))
            return Clause(NP(WEATHER), "be", predicate=kind, tense=tense)
        if self.chance(0.7 if word == "because" and done else 0.35):
            inner = self.activity(NP(pronoun), tense, SIMPLE_FRAMES, bare=True)
            if not VERBS[inner.verb].stative and inner.verb not in UNPLANNED:
                modal = self.random.choice(("have to", "want to"))
                return replace(inner, tense=tense, modal=modal, negated="")
        state = "happy" if done else self.random.choice([s for s in STATES if s != "happy"])
        return Clause(NP(pronoun), "be", predicate=state, tense=tense)

    def moment(self) -> Clause:
        """Draw a clause with when (als), while or before."""
        word = self.pick(when=0.4, **{"while": 0.35}, before=0.25)
        past = word == "when" or self.chance(0.5)
        tense = "past" if past else "progressive" if word == "while" else "present"
        frames = ("none", "acc", "dat", "prep", "goal", "give")
        pair: list[Clause] = []
        while len(pair) < 2:
            clause = self.person_activity(tense, True, frames)
            if word == "before" and pair and pair[0].subject and self.pronoun(pair[0].subject):
                clause = self.activity(NP(self.pronoun(pair[0].subject)), tense, frames, True)
            clause = replace(clause, modal="", negated="")
            same_person = word != "before" and pair and pair[0].subject == clause.subject
            if clause.tense == tense and not VERBS[clause.verb].stative and not same_person:
                pair.append(clause)
        return self.with_clause(pair[0], word, pair[1], 0.4)

    def report(self) -> Clause:
        """Draw what somebody says, thinks or hopes (dass), or does not know (ob)."""
        key = self.random.choice([key for key, verb in VERBS.items() if verb.frame == "that"])
        past = key in ("say", "hope") and self.chance(0.4)
        subject = NP("", "no")
        while subject.det == "no":
            subject = self.subject(("person",), rich=False)
        clause = Clause(subject, key, tense="past" if past else "present")
        tense = "future" if key == "hope" else self.pick(future=0.4, past=0.3, present=0.3)
        inner = replace(clause, tense="")
        while inner.subject and inner.subject.head == subject.head:
            inner = self.activity(None, "past" if past else tense, bare=self.chance(0.5))
        word = "that"
        definite = subject.det in ("the", "this", "my", "our")
        if key == "know_" and definite and self.chance(0.5):
            clause, word = replace(clause, negated="not"), "whether"
            inner = replace(inner, negated="")
        if past and not inner.time and self.chance(0.6):
            clause = replace(self.time(clause), front="time")
        return replace(clause, conjunction=word, clause=replace(inner, front=""))

    def infinitive(self, subject: NP, verbs: tuple[str, ...] = ()) -> Clause:
        """Draw what somebody tries or plans to do."""
        person = NP(self.pronoun(subject) or "he")
        while True:
            clause = self.activity(person, "future", SIMPLE_FRAMES, bare=True)
            if clause.verb in verbs or (not verbs and clause.verb not in UNPLANNED):
                return replace(clause, subject=None, negated="", tense="present")

    def intention(self) -> Clause:
        """Draw a clause with an infinitive: somebody tries to do something."""
        key = self.random.choice([key for key, verb in VERBS.items() if verb.frame == "to"])
        tense = (
            "past"
            if key in ("decide", "forget_")
            else self.pick(past=0.5, present=0.25, future=0.25)
        )
        subject = NP("", "no")
        while subject.det == "no":
            subject = self.subject(("person",))
        clause = Clause(subject, key, tense=tense)
        if self.chance(0.4):
            clause = replace(self.time(clause), front="time")
        return replace(clause, conjunction="to", clause=self.infinitive(subject))

    def purpose(self) -> Clause:
        """Draw where somebody goes in order to do something."""
        clause = replace(self.person_activity("", True, ("goal",)), negated="")
        assert clause.subject is not None
        inner = self.infinitive(clause.subject, PURPOSES)
        return replace(clause, conjunction="in order to", clause=inner)

    def joined(self) -> Clause:
        """Draw two main clauses joined by "and" or "but"."""
        tense = self.pick(past=0.4, progressive=0.3, future=0.3)
        clause, other = self.person_activity(tense), self.person_activity(tense)
        while clause.subject and other.subject and clause.subject.head == other.subject.head:
            other = self.person_activity(tense)
        return replace(clause, conjunction=self.pick(**{"and": 0.5, "but": 0.5}), clause=other)


# --- The corpus --------------------------------------------------------------------------------


def _fresh(sampler: Sampler) -> Iterator[tuple[SamplePair, bool, list[str]]]:
    """Yield new pairs of moderate length; tell whether each is held out, and its words."""
    seen: set[str] = set()
    while True:
        pair = make_pair(sampler.sentence())
        if pair.src not in seen and 4 <= len(pair.src.split()) <= MAX_WORDS:
            seen.add(pair.src)
            yield pair, any(map(held_out, pair.combinations)), words_of(pair)


def words_of(pair: SamplePair) -> list[str]:
    """List the words of both sides, each marked with its language, without punctuation."""
    text = [pair.src[0].lower() + pair.src[1:-1], pair.tgt[0].lower() + pair.tgt[1:-1]]
    english_words, german_words = (side.replace(",", "").split() for side in text)
    return ["en " + word for word in english_words] + ["de " + word for word in german_words]


def sample_corpus(seed: int = 1) -> dict[str, list[SamplePair]]:
    """Make the bundled corpus.

    Args:
        seed: Same seed, same corpus, on every machine.

    Returns:
        Lists of pairs under "train", "valid" and "test". Every word of it stands at least
        `MIN_WORD_COUNT` times in training; half of the test pairs hold a combination of words
        (or a whole structure) that training never shows, see `held_out`.
    """
    return _corpus(seed)


@lru_cache(maxsize=2)
def _corpus(seed: int) -> dict[str, list[SamplePair]]:
    sampler = Sampler(seed)
    stream = _fresh(sampler)
    train: list[tuple[SamplePair, list[str]]] = []
    counts: Counter[str] = Counter()
    rare: set[str] = set()
    while rare or len(train) < SIZES["train"]:
        for pair, hidden, words in stream:
            if not hidden:
                train.append((pair, words))
                counts.update(words)
            if len(train) == SIZES["train"]:
                break
        rare = {word for word, count in counts.items() if count < MIN_WORD_COUNT}
        if rare:  # drop what could not be learnt, draw again
            for _, words in train:
                if not rare.isdisjoint(words):
                    counts.subtract(words)
            train = [entry for entry in train if rare.isdisjoint(entry[1])]
            counts = +counts
    corpus = {"train": [pair for pair, _ in train]}
    for name in ("valid", "test"):
        wanted = {True: SIZES[name] // 2, False: SIZES[name] - SIZES[name] // 2}
        chosen: list[SamplePair] = []
        while len(chosen) < SIZES[name]:
            pair, hidden, words = next(stream)
            if wanted[hidden] and all(word in counts for word in words):
                wanted[hidden] -= 1
                chosen.append(pair)
        sampler.random.shuffle(chosen)
        corpus[name] = chosen
    return corpus


def write_sample(folder: Path, seed: int = 1) -> None:
    """Write the corpus as `train.en`, `train.de` and so on, one sentence a line."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, pairs in sample_corpus(seed).items():
        for side, lines in (("en", [p.src for p in pairs]), ("de", [p.tgt for p in pairs])):
            (folder / f"{name}.{side}").write_bytes(("\n".join(lines) + "\n").encode())
