"""The grammar of the bundled corpus: a tree of a sentence, and its text in both languages.

`english` and `german` each write the same tree of `Clause` and `NP` by their own rules. The way
from a tree to a sentence has no chance in it, so one English sentence has one German one. Read
`NP` and `Clause` first, then either language from its last function upwards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from data_prep.lexicon import (
    ADJECTIVES,
    ADVERBS,
    CITIES,
    CONTRACTIONS,
    MODALS,
    NOUNS,
    NUMERALS,
    PARTICLES,
    PEOPLE,
    PRONOUNS,
    RELATIVE_PRONOUNS,
    SPOT_PREPOSITIONS,
    TIMES,
    VERBS,
    Noun,
    adjective_form,
    determiner,
    english_third,
)

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
GAP = "who"  # stands where a relative pronoun comes from

# --- Trees -------------------------------------------------------------------------------------


@dataclass  # not frozen: `Sampler` fills trees in step by step; nothing else changes one
class NP:
    """A noun phrase; `head` is an English noun, a name, a city, a pronoun, "home" or `GAP`."""

    head: str
    det: str = "the"
    adjectives: tuple[str, ...] = ()
    plural: bool = False
    owner: NP | None = None  # "the teacher's car", das Auto des Lehrers
    attribute: tuple[str, NP] | None = None  # ("with", NP) or ("from", NP)
    relative: Clause | None = None
    also: NP | None = None  # joined by "and"
    refers_to: str = ""  # the noun that "it" stands for: it decides the German gender

    @property
    def noun(self) -> Noun | None:
        """The noun in the lexicon, if it is one and not a name, a city or a pronoun."""
        return NOUNS.get(self.head)

    @property
    def is_pronoun(self) -> bool:
        """Whether it is a personal pronoun."""
        return self.head in PRONOUNS

    @property
    def person(self) -> str:
        """Person and number, which a verb agrees with: 1s, 3s, 1p or 3p."""
        if self.also or self.plural:
            return "3p"
        return PRONOUNS[self.head].person if self.is_pronoun else "3s"

    @property
    def is_indefinite(self) -> bool:
        """Whether it brings something new into the text, as "a dog" and "two dogs" do."""
        if self.also or self.owner or self.noun is None:
            return False
        return self.det in ("a", "many", "some", "no") or self.det in NUMERALS


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

    @property
    def own_subject(self) -> NP | None:
        """The subject, unless a relative pronoun or the clause around it stands for it."""
        return None if self.subject is None or self.subject.head == GAP else self.subject

    @property
    def own_object(self) -> NP | None:
        """The object, unless a relative pronoun stands for it."""
        return None if self.object is None or self.object.head == GAP else self.object

    def agent(self, outer: NP | None = None) -> NP:
        """Find who acts: the own subject, or `outer`, what the clause around this one gives."""
        found = self.own_subject or outer
        assert found is not None, "only a clause within another one may lack its own subject"
        return found

    @property
    def frame(self) -> str:
        """Which complements the verb takes; the frames are listed above `VERB_TABLE`."""
        return VERBS[self.verb].frame

    @property
    def clause_form(self) -> str:
        """How German builds the clause in this one: main, final or zu; "" without one."""
        return CONJUNCTIONS[self.conjunction][1] if self.clause else ""


def _sentence(words: list[str], clause: Clause) -> str:
    text = " ".join(filter(None, words)).replace(" ,", ",").replace(",,", ",").rstrip(",")
    return text[0].upper() + text[1:] + ("?" if clause.front in QUESTIONS else ".")


# --- English: empty words in a list are dropped in the end, so that rules need no "if" ----------


def _english_np(np: NP, case: str = "acc") -> list[str]:
    if np.also:
        return [*_english_np(replace(np, also=None), case), "and", *_english_np(np.also, case)]
    if np.is_pronoun:
        return [np.head if case == "nom" else PRONOUNS[np.head].english_object]
    if np.noun is None:
        return [np.head]
    words = [*np.adjectives, *(np.noun.english_plural if np.plural else np.head).split()]
    if np.owner:
        *rest, last = _english_np(np.owner)
        words = [*rest, last + ("'" if last.endswith("s") else "'s"), *words]
    elif np.det == "a":
        if not np.plural and not np.noun.mass:
            words.insert(0, "an" if words[0][0] in "aeiou" else "a")
    else:
        words.insert(0, "these" if np.det == "this" and np.plural else np.det)
    if np.attribute:
        words += [np.attribute[0], *_english_np(np.attribute[1])]
    if np.relative:
        pronoun = "who" if "person" in np.noun.classes else "that"
        words += [pronoun, *_english_clause(np.relative, np)]
    return words


def _english_verbs(clause: Clause, person: str) -> tuple[str, str, str]:
    """Give the finite auxiliary, the bare rest, and the one form of both, where there is one.

    English joins "does" and "read" as "reads" unless a subject or "not" stands between them.
    """
    verb, third, past = VERBS[clause.verb], person == "3s", clause.tense == "past"
    be = {"1s": ("am", "was"), "3s": ("is", "was")}.get(person, ("are", "were"))[past]
    do = "did" if past else "does" if third else "do"
    if clause.modal:
        modal = MODALS[clause.modal]
        form = modal.past if past else modal.third if third else modal.other
        if clause.modal in ("want to", "have to"):  # conjugated like other verbs, with "do"
            return do, f"{clause.modal} {verb.english}", f"{form} {verb.english}"
        first, _, rest = form.partition(" ")
        return (be if first == "be" else first), f"{rest} {verb.english}".strip(), ""
    if clause.tense == "future":
        return "will", verb.english, ""
    if verb.frame == "be":
        return be, "", ""
    if clause.tense == "progressive":
        return be, verb.ing, ""
    own = verb.past if past else english_third(verb.english) if third else verb.english
    return do, verb.english, own


def _english_predicate(clause: Clause, person: str, subject: list[str]) -> list[str]:
    """Write subject and verb, with "not" and the adverbs that stand between the verb's parts."""
    auxiliary, base, own = _english_verbs(clause, person)
    negation = "not" if clause.negated == "not" else ""
    adverb = "never" if clause.negated == "never" else clause.often
    if clause.front in QUESTIONS:
        return [auxiliary, *subject, negation, adverb, base]
    if own and not negation:
        return [*subject, adverb, own]
    if auxiliary == "can" and negation:
        return [*subject, "cannot", adverb, base]
    return [*subject, auxiliary, negation, adverb, base]


def _english_objects(clause: Clause) -> list[str]:
    verb, thing = VERBS[clause.verb], clause.own_object
    things = _english_np(thing) if thing else []
    recipient = _english_np(clause.recipient) if clause.recipient else []
    if verb.tail in PARTICLES and thing and thing.is_pronoun:  # "turn it on", but "look for it"
        return [*things, verb.tail]
    if verb.frame == "give-to":
        return [*things, "to", *recipient]
    return [verb.tail, *recipient, *things]


def _english_place(clause: Clause) -> list[str]:
    if clause.place is None:
        return []
    goal = clause.frame == "goal"
    words = _english_np(clause.place)
    if clause.place.head == "home":
        return words if goal else ["at", *words]
    if clause.preposition:
        return [clause.preposition, *words]
    if clause.place.noun is None:  # a city
        return ["to" if goal else "in", *words]
    return [clause.place.noun.english_place[goal], *words]


def _english_clause(clause: Clause, outer: NP | None = None, infinitive: bool = False) -> list[str]:
    """Write a clause; `outer` is the subject of the clause around it, or its noun if relative."""
    agent = clause.agent(outer)
    if infinitive:
        predicate = [VERBS[clause.verb].english]
    else:
        subject = _english_np(agent, "nom") if clause.own_subject else []
        predicate = _english_predicate(clause, agent.person, subject)
    adverbials = {"place": _english_place(clause), "time": clause.time.format(clause.count).split()}
    front = adverbials.pop(clause.front, [])
    question = clause.front if QUESTIONS.get(clause.front) else ""
    words = [*front, "," if front else question, *predicate, *_english_objects(clause)]
    words += [clause.predicate, clause.manner]
    for phrase in adverbials.values():
        words += phrase
    if clause.clause:
        inner = _english_clause(clause.clause, agent, clause.clause_form == "zu")
        inner = [clause.conjunction, *inner]
        if clause.front == "clause":
            return [*inner, ",", *words]
        words += ["," if clause.conjunction == "but" else "", *inner]
    return words


def english(clause: Clause) -> str:
    """Write a whole sentence in English."""
    return _sentence(_english_clause(clause), clause)


# --- German ------------------------------------------------------------------------------------


def _german_np(np: NP, case: str, relative: bool = True) -> list[str]:
    """Write a noun phrase in a case; `relative=False` leaves its relative clause out."""
    if np.also:
        return [*_german_np(replace(np, also=None), case), "und", *_german_np(np.also, case)]
    if np.is_pronoun:
        return [_german_pronoun(np, case)]
    if np.noun is None:
        return [CITIES.get(np.head, np.head)]
    owner, gender = np.owner, _gender(np)
    if owner and owner.head in PEOPLE:  # Annas neues Auto: no article, strong ending
        article, declension = owner.head + ("'" if owner.head[-1] in "sxz" else "s"), "strong"
        owner = None
    elif np.det == "a" and (np.plural or np.noun.mass):
        article, declension = "", "strong"
    else:
        article, declension = determiner(np.det, case, gender)
    words = [article]
    words += [adjective_form(word, declension, case, gender) for word in np.adjectives]
    words.append(np.noun.german_form(case, np.plural))
    if owner:
        words += _german_np(owner, "gen")
    if np.attribute:
        preposition = {"with": "mit", "from": "aus"}[np.attribute[0]]
        words += [preposition, *_german_np(np.attribute[1], "dat")]
    if np.relative and relative:
        words += _german_relative(np)
    return words


def _gender(np: NP) -> str:
    """Give the column of the tables of endings: m, f, n, or p for plural."""
    assert np.noun is not None
    return "p" if np.plural else np.noun.gender


def _german_pronoun(np: NP, case: str) -> str:
    head = np.head
    if np.refers_to:  # "it" is "er" or "sie" where the German noun is masculine or feminine
        head = {"m": "he", "f": "she", "n": "it"}[NOUNS[np.refers_to].gender]
    return PRONOUNS[head].german[case]


def _german_relative(np: NP) -> list[str]:
    assert np.relative is not None
    gap_is_object = np.relative.own_subject is not None
    case = VERBS[np.relative.verb].case if gap_is_object else "nom"
    words = _german_clause(np.relative, "relative", np)
    return [",", RELATIVE_PRONOUNS[case, _gender(np)], *words, ","]


def _german_verbs(clause: Clause, person: str, last: bool) -> tuple[str, list[str]]:
    """Give the finite verb and what closes the clause; a `last` verb keeps its prefix."""
    verb, past = VERBS[clause.verb], clause.tense == "past"
    infinitive = verb.prefix + verb.infinitive
    singular = person in ("1s", "3s")
    if clause.modal:
        modal = MODALS[clause.modal]
        if past:
            return modal.german_past + ("" if singular else "n"), [infinitive]
        return (modal.german_singular if singular else modal.german_plural), [infinitive]
    if clause.tense == "future":
        return {"1s": "werde", "3s": "wird"}.get(person, "werden"), [infinitive]
    if past and clause.verb == "be":  # preterite: nobody says "ist gewesen" or "hat gehabt"
        return "war" if singular else "waren", []
    if past and clause.verb == "have":
        return "hatte" if singular else "hatten", []
    if past:
        return VERBS[verb.auxiliary].present(person), [verb.participle]
    if verb.prefix and not last:
        return verb.present(person), [verb.prefix]
    return verb.prefix + verb.present(person), []


def _german_clause(clause: Clause, kind: str = "main", outer: NP | None = None) -> list[str]:
    """Write a clause.

    Args:
        clause: The tree.
        kind: "main" (verb second), "final" (verb last), "relative" (verb last, without its
            pronoun), or "zu" (infinitive).
        outer: The noun of a relative clause, else the subject of the clause around this one.

    Returns:
        The words, commas and empty words among them.
    """
    verb, agent = VERBS[clause.verb], clause.agent(outer)
    finite, closing = _german_verbs(clause, agent.person, last=kind != "main")
    subject = _german_np(agent, "nom") if clause.own_subject else []
    adverbials = {"time": _german_time(clause), "place": _german_place(clause)}
    front = adverbials.pop(clause.front, [])
    field = _middle_field(clause, adverbials)
    if verb.reflexive:
        sich = {"1s": "mich", "1p": "uns"}.get(agent.person, "sich")
        # It comes before a noun that follows the verb or the conjunction, but after a pronoun:
        # "heute freut sich der Mann", "heute freut er sich".
        follows = subject and (clause.front or kind == "final") and not agent.is_pronoun
        (subject if follows else field).insert(0, sich)
    if kind == "zu":
        words = [*field, verb.prefix + ("zu" if verb.prefix else "zu ") + verb.infinitive]
    elif kind != "main":
        words = [*subject, *field, *closing, finite]
    elif clause.front == "":
        words = [*subject, finite, *field, *closing]
    else:
        if clause.front == "clause":
            front = [*_german_inner(clause, agent), ","]
        elif clause.front in QUESTIONS:
            front = [QUESTIONS[clause.front]]
        words = [*front, finite, *subject, *field, *closing]
    if clause.object and clause.object.relative:  # "..., das Buch gelesen, das": after the verb
        words += _german_relative(clause.object)
    if clause.clause and clause.front != "clause":
        inner = _german_inner(clause, agent)
        short = clause.conjunction == "to" and len(inner) == 2  # "versucht zu singen": no comma
        words += ["" if short or clause.conjunction == "and" else ",", *inner]
    return words


def _german_inner(clause: Clause, agent: NP) -> list[str]:
    assert clause.clause is not None
    words = _german_clause(clause.clause, clause.clause_form, agent)
    return [CONJUNCTIONS[clause.conjunction][0], *words]


def _middle_field(clause: Clause, adverbials: dict[str, list[str]]) -> list[str]:
    """Order what stands between the verb's two parts: known before new, "nicht" between them.

    Pronouns come first. Then "den Apfel heute nicht schnell", where "nicht" follows what is
    known; without it "heute schnell den Apfel", and a new recipient follows the adverbs. Last
    comes what is nearest to the verb: place, new or prepositional object, goal of "put".
    `adverbials` are the time and the place, as far as they do not stand in front.
    """
    thing, recipient = clause.own_object, clause.recipient
    negation = {"not": "nicht", "never": "nie"}.get(clause.negated, "")
    prepositional = clause.frame == "prep"
    if negation == "nicht" and thing and thing.is_indefinite and not prepositional:
        thing, negation = replace(thing, det="no"), ""  # "nicht ein" is "kein"
    pronouns: list[str] = []
    known: list[str] = []
    new: list[str] = []
    if thing and prepositional:
        new = _german_prepositional(clause.verb, thing)
    elif thing:
        slot = pronouns if thing.is_pronoun else new if thing.is_indefinite else known
        slot += _german_np(thing, VERBS[clause.verb].case, relative=False)
    to_whom = _german_np(recipient, "dat") if recipient else []
    if recipient and recipient.is_pronoun:
        pronouns, to_whom = pronouns + to_whom, []
    place = adverbials.get("place", [])
    adverbs = [*adverbials.get("time", []), ADVERBS.get(clause.often, "")]
    manner = ADVERBS.get(clause.manner, "")
    if negation:
        middle = [*to_whom, *known, *adverbs, negation, manner]
    elif recipient and recipient.is_indefinite:
        middle = [*adverbs, *to_whom, manner, *known]
    else:
        middle = [*to_whom, *adverbs, manner, *known]
    ending = [*new, *place] if clause.frame == "put" else [*place, *new]
    predicate = ADJECTIVES[clause.predicate].german if clause.predicate else ""
    return [word for word in (*pronouns, *middle, *ending, predicate) if word]


def _german_prepositional(key: str, np: NP) -> list[str]:
    verb = VERBS[key]
    words = _german_np(np, verb.case, relative=False)
    # A relative clause needs the full article: "an dem Kurs, der".
    return _join(verb.preposition, words, contract=verb.case == "dat" and not np.relative)


def _german_time(clause: Clause) -> list[str]:
    if not clause.time:
        return []
    return TIMES[clause.time][0].format(NUMERALS.get(clause.count, "")).split()


def _german_place(clause: Clause) -> list[str]:
    """Write the place: dative where something is, accusative where it goes."""
    place, goal = clause.place, clause.frame == "goal"
    if place is None:
        return []
    if place.head == "home":
        return ["nach" if goal else "zu", "Hause"]
    if place.noun is None:  # a city
        return ["nach" if goal else "in", CITIES[place.head]]
    if clause.preposition:  # a chosen one is stressed: "unter dem", never "unterm"
        on_wall = clause.preposition == "on" and place.head == "wall"
        preposition = "an" if on_wall else SPOT_PREPOSITIONS[clause.preposition]
        return [preposition, *_german_np(place, "acc" if clause.frame == "put" else "dat")]
    preposition = place.noun.german_place[goal]
    case = "acc" if goal and preposition != "zu" else "dat"
    return _join(preposition, _german_np(place, case))


def _join(preposition: str, words: list[str], contract: bool = True) -> list[str]:
    """Put a preposition before a phrase; "in dem" is "im" where the article has no stress."""
    joined = f"{preposition} {words[0]}"
    if contract and joined in CONTRACTIONS:
        return [CONTRACTIONS[joined], *words[1:]]
    return [preposition, *words]


def german(clause: Clause) -> str:
    """Write a whole sentence in German."""
    return _sentence(_german_clause(clause), clause)
