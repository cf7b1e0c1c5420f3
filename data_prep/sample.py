"""The bundled English-German corpus: written by a grammar, so that nobody's text is copied.

`lexicon` has the words, `grammar` writes a tree in both languages, `phrases` and `sampler` draw
trees. This module says what a tree shows, keeps some of it from training, and puts the corpus
together. `python -m data_prep.sample` tells what is in it.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path

from data_prep.grammar import GAP, NP, Clause, english, german
from data_prep.lexicon import CITIES, NUMERALS, PEOPLE, VERBS
from data_prep.sampler import Sampler

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
KIND_OF_HEAD = {  # of what is neither a noun nor a pronoun
    **dict.fromkeys(PEOPLE, "name"),
    **dict.fromkeys(CITIES, "city"),
    **{GAP: "gap", "home": "home"},
}
ROLES = ("subject", "object", "recipient", "place")


@dataclass(frozen=True)
class SamplePair:
    """One sentence pair with what it shows."""

    src: str
    tgt: str
    constructions: frozenset[str]
    structure: str  # two sentences share it when only their words differ
    combinations: frozenset[tuple[str, str]]  # (adjective, noun), (verb, object), structure


# --- What a tree shows -------------------------------------------------------------------------


def _np_structure(np: NP) -> str:
    """Describe a noun phrase, e.g. "the.a.ns" for "the old men": .a adjective, .ns plural noun."""
    if np.is_pronoun:
        text = f"pronoun{np.person}"
    elif np.noun is None:
        text = KIND_OF_HEAD[np.head]
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
    for role in ROLES:
        np = getattr(clause, role)
        parts.append(f"{role} {_np_structure(np)}" if np else "")
    parts += [name for name in ("predicate", "time", "count", "manner") if getattr(clause, name)]
    parts.append("frequency" if clause.often else "")
    if clause.clause:
        parts.append(f"{clause.clause_form}-clause({structure(clause.clause)})")
    return ", ".join(filter(None, parts))


def _phrases(role: str, np: NP) -> list[tuple[str, NP]]:
    """List a noun phrase and those in it, with their roles, but not those in its clauses."""
    found = [(role, np)]
    if np.owner:
        found += _phrases("owner", np.owner)
    if np.attribute:
        found += _phrases("attribute", np.attribute[1])
    if np.also:
        found += _phrases(role, np.also)
    return found


def _clauses(clause: Clause) -> Iterator[tuple[Clause, list[tuple[str, NP]]]]:
    """Walk over a clause and all within it, each with its noun phrases and their roles."""
    parts = [(role, np) for role in ROLES if (np := getattr(clause, role))]
    phrases = [phrase for role, np in parts for phrase in _phrases(role, np)]
    yield clause, phrases
    for inner in (*(np.relative for _, np in phrases), clause.clause):
        if inner:
            yield from _clauses(inner)


def _clause_shows(clause: Clause) -> dict[str, object]:
    """Map constructions to something true where the clause itself shows them."""
    return {
        "separable_verb": VERBS[clause.verb].prefix,
        "subordinate_clause": clause.clause_form == "final",
        "perfect_tense": clause.tense == "past"
        and not clause.modal
        and clause.verb not in ("be", "have"),
        "negation": clause.negated,
        "number": clause.count,
        "time": clause.time,
        "place": clause.place,
    }


def _phrase_shows(np: NP, role: str) -> dict[str, object]:
    """Map constructions to something true where a noun phrase shows them."""
    inflected = np.det not in NUMERALS and not (np.det == "a" and np.plural) and not np.owner
    return {
        "subordinate_clause": np.relative,
        "number": np.det in NUMERALS,
        "negation": np.det == "no",
        "plural": np.plural,
        "adjective_agreement": np.adjectives,
        "article_gender_case": np.noun and inflected and role != "subject",
    }


def describe(tree: Clause) -> tuple[frozenset[str], frozenset[tuple[str, str]]]:
    """Find the constructions and the combinations of words in a tree."""
    facts: list[dict[str, object]] = [{"verb_second": tree.front in ("time", "place", "clause")}]
    combinations: set[tuple[str, str]] = set()
    for clause, phrases in _clauses(tree):
        facts.append(_clause_shows(clause))
        for role, np in phrases:
            facts.append(_phrase_shows(np, role))
            combinations.update((adjective, np.head) for adjective in np.adjectives)
            if role == "object" and np.noun:
                combinations.add((clause.verb, np.head))
    shown = {name for some in facts for name, fact in some.items() if fact}
    return frozenset(shown), frozenset(combinations)


def make_pair(tree: Clause) -> SamplePair:
    """Realise a tree in both languages."""
    constructions, combinations = describe(tree)
    shape = structure(tree)
    combinations |= {("structure", shape)}
    return SamplePair(english(tree), german(tree), constructions, shape, combinations)


# --- The corpus --------------------------------------------------------------------------------


def held_out(combination: tuple[str, str]) -> bool:
    """Say whether training must never show this combination; a fixed share of all of them."""
    share = HELD_OUT_SHARE / 2 if combination[0] == "structure" else HELD_OUT_SHARE
    return zlib.crc32("/".join(combination).encode()) < share * 2**32


def is_hidden(pair: SamplePair) -> bool:
    """Say whether a pair holds something that training must never show."""
    return any(map(held_out, pair.combinations))


def words_of(pair: SamplePair) -> list[str]:
    """List the words of both sides, each marked with its language, without punctuation."""
    sides = {"en ": pair.src, "de ": pair.tgt}
    return [
        mark + word
        for mark, text in sides.items()
        for word in (text[0].lower() + text[1:-1]).replace(",", "").split()
    ]


def _new_pairs(sampler: Sampler) -> Iterator[SamplePair]:
    """Draw pairs of moderate length without end, none of them twice."""
    seen: set[str] = set()
    while True:
        pair = make_pair(sampler.sentence())
        if pair.src not in seen and 4 <= len(pair.src.split()) <= MAX_WORDS:
            seen.add(pair.src)
            yield pair


def _training_pairs(new_pairs: Iterator[SamplePair]) -> tuple[list[SamplePair], set[str]]:
    """Choose the training set and list its words, none of them rare."""
    chosen: list[tuple[SamplePair, list[str]]] = []
    while True:
        while len(chosen) < SIZES["train"]:
            pair = next(new_pairs)
            if not is_hidden(pair):
                chosen.append((pair, words_of(pair)))
        counts = Counter(chain.from_iterable(words for _, words in chosen))
        rare = {word for word, count in counts.items() if count < MIN_WORD_COUNT}
        if not rare:
            return [pair for pair, _ in chosen], {*counts}
        # What is rare could not be learnt: drop it, draw others in its place, count again.
        chosen = [entry for entry in chosen if rare.isdisjoint(entry[1])]


def _unseen_pairs(new_pairs: Iterator[SamplePair], size: int, known: set[str]) -> list[SamplePair]:
    """Choose pairs of known words; half of the pairs hold what is hidden from training."""
    wanted = {True: size // 2, False: size - size // 2}
    chosen: list[SamplePair] = []
    while len(chosen) < size:
        pair = next(new_pairs)
        hidden = is_hidden(pair)
        if wanted[hidden] and known.issuperset(words_of(pair)):
            wanted[hidden] -= 1
            chosen.append(pair)
    return chosen


def sample_corpus(seed: int = 1) -> dict[str, list[SamplePair]]:
    """Make the bundled corpus; the second call with the same seed is free.

    Args:
        seed: Same seed, same corpus, on every machine.

    Returns:
        Lists of pairs under "train", "valid" and "test". Every word of it stands at least
        `MIN_WORD_COUNT` times in training; half of the test pairs hold a combination of words
        (or a whole structure) that training never shows, see `held_out`.
    """
    return _corpus(seed)


@cache  # apart from `sample_corpus`, so that the default seed and 1 are one entry
def _corpus(seed: int) -> dict[str, list[SamplePair]]:
    sampler = Sampler(seed)
    new_pairs = _new_pairs(sampler)
    train, known = _training_pairs(new_pairs)
    corpus = {"train": train}
    for name in ("valid", "test"):
        corpus[name] = _unseen_pairs(new_pairs, SIZES[name], known)
        sampler.random.shuffle(corpus[name])
    return corpus


def write_sample(folder: Path, seed: int = 1) -> None:
    """Write the corpus as `train.en`, `train.de` and so on, one sentence a line."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, pairs in sample_corpus(seed).items():
        for side, lines in (("en", [p.src for p in pairs]), ("de", [p.tgt for p in pairs])):
            (folder / f"{name}.{side}").write_bytes(("\n".join(lines) + "\n").encode())


def main() -> None:
    """Print what the corpus holds: sizes, what the test pairs show, and some examples."""
    corpus = sample_corpus()
    test = corpus["test"]
    shown = {combination for pair in corpus["train"] for combination in pair.combinations}
    new = sum(not pair.combinations <= shown for pair in test)
    print("The bundled corpus, pairs:", *(f"{len(corpus[name]):,} {name}" for name in corpus))
    print("\nconstruction           share of the test pairs")
    for name in CONSTRUCTIONS:
        print(f"{name:<22} {sum(name in pair.constructions for pair in test) / len(test):6.1%}")
    print(f"\nThe {len(test)} test pairs have {len({p.structure for p in test})} structures;")
    print(f"{new} of them hold a combination of words or a structure that training never shows.\n")
    for pair in test[:3]:
        print(f"  {pair.src}\n  {pair.tgt}\n")


if __name__ == "__main__":
    main()
