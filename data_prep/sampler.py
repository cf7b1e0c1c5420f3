"""Random trees whose words fit each other, for the bundled corpus: who does what, and when.

`Sampler.sentence` chooses a kind of sentence, whose method draws one clause or two with
`Sampler.activity`. That chooses a verb, and then what the verb's row in `data_prep.lexicon` asks
for. The order of the draws decides the corpus: one draw more, and every sentence is another.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import accumulate

from data_prep.grammar import GAP, NP, QUESTIONS, Clause
from data_prep.lexicon import (
    ADJECTIVES,
    FREQUENCIES,
    MANNERS,
    MODALS,
    NOUNS,
    NUMERALS,
    TIMES,
    VERBS,
)
from data_prep.phrases import FITTING, PhraseSampler, is_person, pronoun_for, redraw

# --- What fits what ----------------------------------------------------------------------------

WEATHER = "it"  # the subject of "it is raining"
THINGS = ("ware", "food", "building", "place", "text", "vehicle", "clothes", "animal", "tale")
STATES = [word for word, entry in ADJECTIVES.items() if "state" in entry.classes]
VERB_WEIGHTS = {"be": 8.0, "depart": 2.0, "drink": 2.0, "begin": 1.5} | {
    key: 1.8 for key, verb in VERBS.items() if verb.frame in ("goal", "put", "spot")
}
# Frames of verbs (they are listed above VERB_TABLE) for the kinds of clauses.
CLAUSE_FRAMES = ("that", "to", "weather")  # asked for by name only
MOMENT_FRAMES = ("none", "acc", "dat", "prep", "goal", "give")
RELATIVE_FRAMES = ("none", "acc", "dat", "prep", "goal")
SIMPLE_FRAMES = ("none", "acc", "dat", "prep", "give", "give-to", "goal")
POSITIONS = ("stand", "lie", "hang")
MISHAPS = ("lose", "forget", "steal", "forget_")  # nobody says that they will
ONCE = (*MISHAPS, "find", "catch", "promise")  # not every day
NOT_PROGRESSIVE = ("be", "have", "see", "hear", "say", "hope", *ONCE)
UNFIT_FOR_TENSE = {
    "present": ONCE,
    "progressive": NOT_PROGRESSIVE,
    "future": ("have", *POSITIONS, *MISHAPS),
}
UNPLANNED = {  # what nobody wants, plans or gives reasons for
    *("be", "lose", "forget", "fall asleep", "wake up", "dream of", "think of", "see", "hear"),
    *("cry", "arrive", "have", "steal", "laugh at", "complain about", "sleep", "find", "meet"),
}
PURPOSES = {  # what one goes somewhere for
    *("visit", "meet", "buy", "pick up", "swim", "rest", "work", "shop", "learn", "look for"),
    *("photograph", "help", "dance", "play", "congratulate", "thank", "speak with", "ask"),
    *("take part in", "paint", "sell", "sing", "dance with"),
}
OBJECT_OF = {  # noun: verbs that take it as their object
    noun.english: [
        key
        for key, verb in VERBS.items()
        if verb.frame in ("acc", "dat") and key != "have" and noun.classes & {*verb.objects}
    ]
    for noun in NOUNS.values()
}


@cache
def _times(tense: str) -> list[str]:
    return [key for key, (_, tenses) in TIMES.items() if tense in tenses]


@cache
def _verbs(frames: tuple[str, ...], person: bool, tense: str) -> tuple[list[str], list[float]]:
    """List the verbs of these frames (none: of all but `CLAUSE_FRAMES`) that allow the tense.

    Returns:
        The keys, and their weights added up as `random.choices` takes them.
    """
    keys = [
        key
        for key, verb in VERBS.items()
        if (verb.frame in frames if frames else verb.frame not in CLAUSE_FRAMES)
        and (not person or "person" in verb.subjects)
        and not (verb.stative and tense not in ("", "present"))
        and key not in UNFIT_FOR_TENSE.get(tense, ())
    ]
    return keys, [*accumulate(VERB_WEIGHTS.get(key, 1.0) for key in keys)]


class Sampler(PhraseSampler):
    """Draws clauses and sentences; see the module for the way from one down to its words."""

    # Clauses without a clause in them

    def tense(self, key: str) -> str:
        """Choose a tense that the verb allows."""
        if VERBS[key].stative:
            return "present"
        if key == "be":
            return self.pick(present=0.5, past=0.35, future=0.15)
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
        """Draw a verb and what belongs to it.

        Args:
            subject: Who acts, a person; drawn if None.
            tense: Drawn if empty.
            frames: Frames of the verb; empty for any.
            bare: Without time, place and manner that the verb does not ask for.
        """
        keys, edges = _verbs(frames, subject is not None, tense)
        key = self.random.choices(keys, cum_weights=edges)[0]
        verb = VERBS[key]
        if subject is None:
            thing = key == "be" and tense in ("", "present", "past") and self.chance(0.4)
            subject = self.subject(THINGS if thing else verb.subjects, rich=not bare)
            if thing and not tense:
                tense = self.pick(present=0.7, past=0.3)
        tense = tense or self.tense(key)
        if verb.english == verb.past and tense == "present" and subject.person != "3s":
            tense = "progressive"  # "they read" would be both present and past
        clause = Clause(subject, key, tense=tense)
        self.add_complements(clause)
        free = key not in UNPLANNED and not verb.stative and "person" in verb.subjects
        if tense in ("present", "past") and free and is_person(subject) and self.chance(0.2):
            modals = [key for key, modal in MODALS.items() if tense == "present" or modal.past]
            clause.modal = self.random.choice(modals)
        if not bare:
            self.add_adverbials(clause)
        self.add_negation(clause)
        return clause

    def add_complements(self, clause: Clause) -> None:
        """Add the objects, the place or the adjective that the verb's frame asks for."""
        verb, subject = VERBS[clause.verb], clause.agent()
        if verb.frame == "be":
            if is_person(subject) and self.chance(0.3):
                clause.place = self.place(verb.places)
            else:
                fitting = STATES if is_person(subject) else FITTING[subject.head]
                fitting = [word for word in fitting if word not in subject.adjectives]
                clause.predicate = self.adjective(fitting or ["good"])
        elif verb.frame in ("give", "give-to"):
            clause.recipient = self.object(("person",), subject)
            clause.recipient.attribute = None
            clause.object = self.object(verb.objects, subject)
        elif verb.objects:
            clause.object = self.object(verb.objects, subject)
        if verb.frame in ("goal", "spot", "put"):
            self.add_location(clause)

    def add_location(self, clause: Clause) -> None:
        """Add the place that belongs to a verb of motion or position."""
        verb, subject = VERBS[clause.verb], clause.agent()
        if "city" in verb.places and self.chance(0.3):
            clause.place = self.city()
            return
        if clause.verb in ("go", "drive", "stay", "run") and self.chance(0.12):
            clause.place = NP("home")
            return
        classes = tuple(name for name in verb.places if name != "city")
        if clause.verb == "stand":
            small = subject.noun and "upright" in subject.noun.classes
            classes = ("top",) if small else ("house", "tree", "door", "window", "church", "hotel")
        clause.place = self.place(classes)
        noun = NOUNS[clause.place.head]
        if noun.english_place and clause.verb != "stand":
            return
        sides = ["behind", "in front of", "next to"]
        if clause.verb == "lie" and noun.english == "table":
            sides = ["on", "under"]
        elif verb.frame == "put" or clause.verb == "hang" or "seat" in noun.classes:
            sides = ["on"]
        elif "top" in noun.classes:
            sides = ["on", "on", "next to"]
        elif noun.english == "tree":
            sides = ["under", "next to"]
        clause.preposition = self.random.choice(sides)

    def add_adverbials(self, clause: Clause) -> None:
        """Add time, frequency, place and manner, and perhaps put one of them first."""
        verb, subject = VERBS[clause.verb], clause.agent()
        lasting = clause.verb in ("be", "have") and clause.tense == "present"
        thing = subject.noun is not None and not subject.noun.classes & {"person", "animal"}
        if not verb.stative and clause.verb != "hang" and not (thing and clause.verb == "be"):
            if not lasting and self.chance(0.5):
                self.add_time(clause)
            elif clause.tense == "present" and not (clause.modal or thing) and self.chance(0.4):
                clause.often = self.random.choice(FREQUENCIES)
        if verb.places and clause.place is None and clause.verb != "be" and self.chance(0.35):
            clause.place = self.place(verb.places)
        elif MANNERS[clause.verb] and self.chance(0.4):
            manner = self.random.choice(MANNERS[clause.verb])
            if manner != "together" or subject.person in ("1p", "3p"):
                clause.manner = manner
        if subject.det == "no":
            return
        if clause.time and self.chance(0.45):
            clause.front = "time"
        elif clause.place and verb.frame in SIMPLE_FRAMES[:-1] and self.chance(0.25):
            clause.front = "place"  # but not a goal: "to the park, he goes"

    def add_time(self, clause: Clause) -> None:
        """Add a time that suits the tense."""
        tense = "future" if clause.modal and clause.tense == "present" else clause.tense
        clause.time = self.random.choice(_times(tense))
        clause.count = self.numeral() if "{}" in clause.time else ""

    def add_negation(self, clause: Clause) -> None:
        """Perhaps negate, where German has one natural place for "nicht" or "kein"."""
        subject, thing = clause.agent(), clause.object
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
            return
        timed = clause.time or clause.modal or clause.tense == "progressive"
        never = not timed and clause.verb != "be" and self.chance(0.2)
        clause.negated = "never" if never else "not"

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
        return self.weighted(kinds)()

    def plain(self) -> Clause:
        """Draw one clause."""
        if not self.chance(0.01):
            return self.activity()
        verb, place = self.random.choice(("rain", "snow")), self.city()
        tense = self.random.choice(("past", "future"))
        clause = Clause(NP(WEATHER), verb, place=place, tense=tense, front="time")
        self.add_time(clause)
        return clause

    def question(self) -> Clause:
        """Draw a yes/no question, or one that asks where, when or why."""
        clause = redraw(self.activity, lambda c: c.agent().det not in ("a", "no") and not c.often)
        verb, front = VERBS[clause.verb], self.random.choice([*QUESTIONS])
        clause.front = "yes/no"
        if front == "why":
            clause.front = front
            return clause
        clause.negated = ""
        if front == "where" and verb.places and verb.frame in ("none", "acc", "spot"):
            clause.front, clause.place, clause.preposition, clause.manner = front, None, "", ""
        if front == "when" and not verb.stative and clause.verb not in ("be", "have"):
            clause.front, clause.time, clause.count = front, "", ""
        return clause

    def description(self) -> Clause:
        """Draw a clause whose subject or object has a relative clause."""
        while True:
            clause = self.activity(bare=True)
            subject, thing = clause.agent(), clause.object
            whole = clause.place is None and clause.frame != "give-to"
            if thing and whole and self.can_relate(thing) and self.chance(0.6):
                thing.relative = self.relative(thing)
                return clause
            if self.can_relate(subject):
                subject.relative = self.relative(subject)
                return clause

    @staticmethod
    def can_relate(np: NP) -> bool:
        """Say whether a relative clause may follow."""
        if np.noun is None or np.noun.mass or np.attribute or np.owner:
            return False
        return np.det in ("the", "a", "this") and bool(OBJECT_OF[np.head])

    def relative(self, np: NP) -> Clause:
        """Draw a relative clause about a noun phrase, which is its subject or its object."""
        if "person" in NOUNS[np.head].classes and self.chance(0.6):
            stand_in = NP("they") if np.plural else NP(np.head)
            clause = self.activity(stand_in, "", RELATIVE_FRAMES, bare=True)
            clause.negated = ""
            self.perhaps_add_time(clause)
            clause.subject = NP(GAP)
            return clause
        key = self.random.choice(OBJECT_OF[np.head])
        verb = VERBS[key]
        subject = redraw(
            lambda: self.subject(verb.subjects, rich=False),
            lambda s: s.det not in ("a", "no", "every") and s.head not in ("he", np.head),
        )
        tense = self.tense(key)
        if verb.english == verb.past and tense == "present":
            tense = "past"
        clause = Clause(subject, key, object=NP(GAP), tense=tense)
        self.perhaps_add_time(clause)
        return clause

    def perhaps_add_time(self, clause: Clause) -> None:
        """Add a time to some clauses."""
        if not VERBS[clause.verb].stative and clause.verb != "be" and self.chance(0.3):
            self.add_time(clause)

    def person_activity(
        self, tense: str = "", bare: bool = True, frames: tuple[str, ...] = SIMPLE_FRAMES
    ) -> Clause:
        """Draw an activity of persons whose subject is easy to refer to."""

        def fits(clause: Clause) -> bool:
            subject = clause.agent()
            known = subject.det not in ("a", "no", "every")
            return is_person(subject) and known and not subject.attribute

        return redraw(lambda: self.activity(None, tense, frames, bare), fits)

    def join(self, clause: Clause, word: str, inner: Clause, front_share: float = 0) -> Clause:
        """Add a clause with its conjunction, in front in this share of the sentences."""
        clause.conjunction, clause.clause = word, inner
        if front_share and clause.front == "" and self.chance(front_share):
            clause.front = "clause"
        return clause

    def reason(self) -> Clause:
        """Draw a clause with because, although or if."""
        word = self.weighted({"because": 0.5, "although": 0.25, "if": 0.25})
        tense = "future" if word == "if" else ""
        clause = self.person_activity(tense, bare=self.chance(0.6))
        while VERBS[clause.verb].stative or clause.verb in UNPLANNED:
            clause = self.person_activity(tense)
        inner = self.cause(clause, word)
        return self.join(clause, word, inner, 0.5 if word == "if" else 0.2)

    def cause(self, clause: Clause, word: str) -> Clause:
        """Draw why, or despite what, or under which condition somebody does something."""
        pronoun = pronoun_for(clause.agent())
        tense = "past" if clause.tense == "past" else "present"
        for_it = (clause.negated == "") == (word != "although")  # a reason for it, not against
        motive = word == "because" and for_it
        if word == "because" and pronoun and tense == "present":
            feeling = self.feeling(clause, pronoun)
            if feeling:
                return feeling
        if not pronoun or (self.chance(0.3) and not motive):
            return self.weather(tense)
        if self.chance(0.7 if motive else 0.35):
            inner = self.activity(NP(pronoun), tense, SIMPLE_FRAMES, bare=True)
            if not VERBS[inner.verb].stative and inner.verb not in UNPLANNED:
                inner.tense, inner.negated = tense, ""
                inner.modal = self.random.choice(("have to", "want to"))
                return inner
        sorry = [state for state in STATES if state != "happy"]
        state = "happy" if for_it else self.random.choice(sorry)
        return Clause(NP(pronoun), "be", predicate=state, tense=tense)

    def feeling(self, clause: Clause, pronoun: str) -> Clause | None:
        """Perhaps draw "he needs it" or "he likes it" about the object of a clause."""
        thing = clause.object
        if thing is None or thing.noun is None or thing.plural:
            return None
        classes = thing.noun.classes - {"person", "animal"}
        fitting = [key for key in ("need", "like") if classes & {*VERBS[key].objects}]
        if not fitting or not self.chance(0.5):
            return None
        it, key = NP("it", refers_to=thing.head), self.random.choice(fitting)
        unwanted = clause.negated or clause.verb in ("sell", "throw away")
        return Clause(NP(pronoun), key, object=it, negated="not" if unwanted else "")

    def weather(self, tense: str) -> Clause:
        """Draw what the weather is or was like."""
        if self.chance(0.6):
            verb = self.random.choice(("rain", "snow"))
            return Clause(NP(WEATHER), verb, tense="past" if tense == "past" else "progressive")
        kind = self.random.choice(("cold", "dark", "warm"))
        return Clause(NP(WEATHER), "be", predicate=kind, tense=tense)

    def moment(self) -> Clause:
        """Draw a clause with when (als), while or before; both clauses have the same tense."""
        word = self.weighted({"when": 0.4, "while": 0.35, "before": 0.25})
        past = word == "when" or self.chance(0.5)
        tense = "past" if past else "progressive" if word == "while" else "present"
        pair: list[Clause] = []
        while len(pair) < 2:
            clause = self.person_activity(tense, True, MOMENT_FRAMES)
            if word == "before" and pair and (pronoun := pronoun_for(pair[0].agent())):
                clause = self.activity(NP(pronoun), tense, MOMENT_FRAMES, bare=True)
            clause.modal = clause.negated = ""
            same_person = word != "before" and pair and pair[0].subject == clause.subject
            if clause.tense == tense and not VERBS[clause.verb].stative and not same_person:
                pair.append(clause)
        return self.join(pair[0], word, pair[1], 0.4)

    def definite_person(self, rich: bool = True) -> NP:
        """Draw somebody, but not "no teacher"."""
        return redraw(lambda: self.subject(("person",), rich), lambda s: s.det != "no")

    def report(self) -> Clause:
        """Draw what somebody says, thinks or hopes (dass), or does not know (ob)."""
        key = self.random.choice([key for key, verb in VERBS.items() if verb.frame == "that"])
        past = key in ("say", "hope") and self.chance(0.4)
        subject = self.definite_person(rich=False)
        clause = Clause(subject, key, tense="past" if past else "present")
        tense = "future" if key == "hope" else self.pick(future=0.4, past=0.3, present=0.3)
        inner = redraw(
            lambda: self.activity(None, "past" if past else tense, bare=self.chance(0.5)),
            lambda c: c.agent().head != subject.head,
        )
        inner.front, word = "", "that"
        known = subject.det in ("the", "this", "my", "our")
        if key == "know_" and known and self.chance(0.5):
            clause.negated, inner.negated, word = "not", "", "whether"
        if past and not inner.time and self.chance(0.6):
            self.add_time(clause)
            clause.front = "time"
        return self.join(clause, word, inner)

    def infinitive(self, subject: NP, fits: Callable[[str], bool]) -> Clause:
        """Draw what somebody tries or plans to do, with a verb that fits."""
        person = NP(pronoun_for(subject) or "he")
        clause = redraw(
            lambda: self.activity(person, "future", SIMPLE_FRAMES, bare=True),
            lambda c: fits(c.verb),
        )
        clause.subject, clause.negated, clause.tense = None, "", "present"
        return clause

    def intention(self) -> Clause:
        """Draw a clause with an infinitive: somebody tries to do something."""
        key = self.random.choice([key for key, verb in VERBS.items() if verb.frame == "to"])
        done = key in ("decide", "forget_")
        tense = "past" if done else self.pick(past=0.5, present=0.25, future=0.25)
        clause = Clause(self.definite_person(), key, tense=tense)
        if self.chance(0.4):
            self.add_time(clause)
            clause.front = "time"
        inner = self.infinitive(clause.agent(), lambda verb: verb not in UNPLANNED)
        return self.join(clause, "to", inner)

    def purpose(self) -> Clause:
        """Draw where somebody goes in order to do something."""
        clause = self.person_activity(frames=("goal",))
        clause.negated = ""
        inner = self.infinitive(clause.agent(), lambda verb: verb in PURPOSES)
        return self.join(clause, "in order to", inner)

    def joined(self) -> Clause:
        """Draw two main clauses of different people joined by "and" or "but"."""
        tense = self.pick(past=0.4, progressive=0.3, future=0.3)
        clause = self.person_activity(tense)
        other = redraw(
            lambda: self.person_activity(tense), lambda c: c.agent().head != clause.agent().head
        )
        return self.join(clause, self.weighted({"and": 0.5, "but": 0.5}), other)
