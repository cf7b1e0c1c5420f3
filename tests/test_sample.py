"""The bundled corpus: counts, an honest split, and German checked against hand-written text."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from data_prep.grammar import CONJUNCTIONS, NP, Clause, english, german
from data_prep.lexicon import (
    ADJECTIVES,
    ADVERBS,
    CITIES,
    NOUNS,
    PEOPLE,
    PRONOUNS,
    VERBS,
    adjective_form,
    determiner,
)
from data_prep.sample import (
    CONSTRUCTIONS,
    MIN_WORD_COUNT,
    SIZES,
    SamplePair,
    held_out,
    main,
    make_pair,
    sample_corpus,
    words_of,
    write_sample,
)
from data_prep.sampler import Sampler

HANDWRITTEN = [
    line.split("\t")
    for line in (Path(__file__).parent / "handwritten.tsv").read_text("utf-8").splitlines()
]
PLURALS = {noun.english_plural: noun.english for noun in NOUNS.values()}


@pytest.fixture(scope="module")
def corpus() -> dict[str, list[SamplePair]]:
    return sample_corpus()


def phrase(text: str | list) -> NP:
    """Build a noun phrase from its English words, or from these and a relative clause."""
    if isinstance(text, list):
        return NP(**{**vars(phrase(text[0])), "relative": clause(text[1])})
    if " and " in text:
        one, two = text.split(" and ")
        return NP(one, also=NP(two))
    for word in ("with", "from"):
        if f" {word} " in text:
            head, rest = text.split(f" {word} ")
            return NP(**{**vars(phrase(head)), "attribute": (word, phrase(rest))})
    if "'s " in text:
        owner, thing = text.split("'s ")
        return NP(**{**vars(phrase("the " + thing)), "owner": phrase(owner)})
    if text.startswith("it="):
        return NP("it", refers_to=text[3:])
    *before, last = text.split()
    if text in (*PEOPLE, *CITIES, *PRONOUNS, "who", "home"):
        return NP(text)
    plural = last in PLURALS and last not in NOUNS
    det = before.pop(0) if before and before[0] not in ADJECTIVES else "a"
    det = {"an": "a", "these": "this"}.get(det, det)
    return NP(PLURALS[last] if plural else last, det, tuple(before), plural)


def clause(spec: dict) -> Clause:
    """Build a tree from the third column of the hand-written pairs."""
    fields = {"verb": spec["v"], "subject": phrase(spec["s"]) if "s" in spec else None}
    names = {"o": "object", "r": "recipient", "place": "place"}
    for key, value in spec.items():
        if key in names:
            fields[names[key]] = phrase(value)
        elif key in CONJUNCTIONS:
            fields |= {"conjunction": key, "clause": clause(value)}
        elif key not in ("s", "v"):
            fields[key] = value
    return Clause(**fields)


def test_there_are_a_hundred_handwritten_pairs_or_more() -> None:
    assert len({source for source, _, _ in HANDWRITTEN}) >= 100


@pytest.mark.parametrize(("source", "target", "spec"), HANDWRITTEN)
def test_grammar_writes_what_a_person_wrote(source: str, target: str, spec: str) -> None:
    tree = clause(json.loads(spec))
    assert (english(tree), german(tree)) == (source, target)


# Rows: nominative, accusative, dative, genitive; columns: masculine, feminine, neuter, plural.
TEXTBOOK = {
    "weak": """
        der kleine   die kleine   das kleine   die kleinen
        den kleinen  die kleine   das kleine   die kleinen
        dem kleinen  der kleinen  dem kleinen  den kleinen
        des kleinen  der kleinen  des kleinen  der kleinen""",
    "mixed": """
        kein kleiner   keine kleine   kein kleines   keine kleinen
        keinen kleinen keine kleine   kein kleines   keine kleinen
        keinem kleinen keiner kleinen keinem kleinen keinen kleinen
        keines kleinen keiner kleinen keines kleinen keiner kleinen""",
    "strong": """
        kleiner kleine  kleines kleine
        kleinen kleine  kleines kleine
        kleinem kleiner kleinem kleinen
        kleinen kleiner kleinen kleiner""",
}


@pytest.mark.parametrize("declension", TEXTBOOK)
def test_adjective_endings_are_those_of_the_textbook(declension: str) -> None:
    article = {"weak": "the", "mixed": "no"}.get(declension, "")
    written = []
    for case in ("nom", "acc", "dat", "gen"):
        for gender in "mfnp":
            form, asked = determiner(article, case, gender)
            assert asked == declension
            written += [form] * bool(form) + [adjective_form("small", asked, case, gender)]
    assert written == TEXTBOOK[declension].split()


def test_noun_and_verb_forms() -> None:
    noun_forms = {
        ("man", "gen", False): "Mannes",
        ("boy", "dat", False): "Jungen",
        ("student", "acc", False): "Studenten",
        ("neighbor", "nom", False): "Nachbar",
        ("child", "dat", True): "Kindern",
        ("car", "gen", False): "Wagens",
        ("photo", "dat", True): "Fotos",
        ("bus", "gen", False): "Busses",
        ("woman", "gen", False): "Frau",
        ("house", "dat", True): "Häusern",
    }
    for (noun, case, plural), form in noun_forms.items():
        assert NOUNS[noun].german_form(case, plural) == form
    verb_forms = {
        "answer_": ("antworte", "antwortet", "geantwortet"),
        "visit": ("besuche", "besucht", "besucht"),
        "photograph": ("fotografiere", "fotografiert", "fotografiert"),
        "write down": ("schreibe", "schreibt", "aufgeschrieben"),
        "feed": ("füttere", "füttert", "gefüttert"),
        "know_": ("weiß", "weiß", "gewusst"),
        "be": ("bin", "ist", "gewesen"),
    }
    for key, forms in verb_forms.items():
        verb = VERBS[key]
        assert (verb.present("1s"), verb.present("3s"), verb.participle) == forms


def test_sizes_and_no_sentence_twice(corpus: dict[str, list[SamplePair]]) -> None:
    assert {name: len(pairs) for name, pairs in corpus.items()} == SIZES
    sources = [pair.src for pairs in corpus.values() for pair in pairs]
    assert len(set(sources)) == len(sources) == 21_000


def test_one_english_sentence_has_one_german_one(corpus: dict[str, list[SamplePair]]) -> None:
    translations: dict[str, str] = {}
    for pairs in corpus.values():
        for pair in pairs:
            assert translations.setdefault(pair.src, pair.tgt) == pair.tgt


def test_each_construction_and_many_structures_are_tested(
    corpus: dict[str, list[SamplePair]],
) -> None:
    for name in CONSTRUCTIONS:
        assert sum(name in pair.constructions for pair in corpus["test"]) >= 15, name
    assert len({pair.structure for pair in corpus["test"]}) >= 400


def test_held_out_combinations_are_only_tested(corpus: dict[str, list[SamplePair]]) -> None:
    shown = {combination for pair in corpus["train"] for combination in pair.combinations}
    assert not any(map(held_out, shown))
    new = [pair for pair in corpus["test"] if not pair.combinations <= shown]
    hidden = [pair for pair in corpus["test"] if any(map(held_out, pair.combinations))]
    assert len(hidden) >= 167 and len(new) >= len(hidden)


def test_every_word_is_frequent_enough_to_be_learnt(
    corpus: dict[str, list[SamplePair]],
) -> None:
    counts = Counter(word for pair in corpus["train"] for word in words_of(pair))
    assert min(counts.values()) >= MIN_WORD_COUNT
    for name in ("valid", "test"):
        assert all(word in counts for pair in corpus[name] for word in words_of(pair))
    for noun in NOUNS.values():
        assert f"en {noun.english}" in counts or f"en {noun.english_plural}" in counts
    for word in (*ADJECTIVES, *ADVERBS, *PEOPLE, *CITIES):
        assert f"en {word}" in counts
    for verb in VERBS.values():
        assert {f"en {verb.english}", f"en {verb.past}", f"en {verb.ing}"} & {*counts}, verb.key


def first_sentences() -> str:
    sampler = Sampler(5)
    pairs = [make_pair(sampler.sentence()) for _ in range(1000)]
    return hashlib.sha256(repr([(p.src, p.tgt, p.structure) for p in pairs]).encode()).hexdigest()


def test_another_process_draws_the_same_sentences() -> None:
    root = Path(__file__).parent.parent
    path = os.pathsep.join([str(root), str(root / "tests")])
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": path}
    code = "import test_sample; print(test_sample.first_sentences())"
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    assert answer.stdout.strip() == first_sentences() == first_sentences()


def test_files_hold_the_corpus_line_by_line(
    corpus: dict[str, list[SamplePair]], tmp_path: Path
) -> None:
    write_sample(tmp_path)
    for name, pairs in corpus.items():
        assert (tmp_path / f"{name}.en").read_bytes().decode() == "".join(
            pair.src + "\n" for pair in pairs
        )
        assert (tmp_path / f"{name}.de").read_bytes().decode() == "".join(
            pair.tgt + "\n" for pair in pairs
        )


def test_the_summary_names_sizes_constructions_and_examples(
    corpus: dict[str, list[SamplePair]], capsys: pytest.CaptureFixture[str]
) -> None:
    main()
    printed = capsys.readouterr().out
    assert "20,000 train" in printed and corpus["test"][0].tgt in printed
    assert all(name in printed for name in CONSTRUCTIONS)
