"""Drawn segmentations: exact distributions, pure functions, the best one as in SentencePiece."""

import copy
import gzip
import math
import pickle
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.augmentation import subword_sampling
from data_prep.augmentation.subword_sampling import SegmentSampler
from translator.config.errors import TranslatorError
from translator.text.codec import normalise
from translator.text.tokenizer import RESERVED_PIECES, UNK, Tokenizer

# Any text but the noncharacter that stands for a literal U+2581.
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\U0010fffe"))
WORDS = st.text("abdefhilnorstuäDH.,12-é漢\u2581 ", max_size=40)
DIFFICULT = [
    "",
    " ",
    "  The  dog ",
    "\u2581 and \u2581\u2581x",
    "👩‍👩‍👧‍👦 👍🏽 🇩🇪 ☕️",
    "tab\there\r\n\x01\x07\x7f\u2028",
    "no\u00a0break, e\u0301",
    "".join(RESERVED_PIECES) + "<s></s>",
    "Donaudampfschifffahrt" * 20,
]
Distribution = dict[tuple[int, ...], float]


@pytest.fixture(scope="session")
def unigram(tokenizer: Tokenizer) -> Tokenizer:
    return tokenizer


@pytest.fixture(scope="session")
def bpe(text_pairs) -> Tokenizer:
    lines = (line for pair in text_pairs for line in pair)
    return Tokenizer.train(lines, 400, model_type="bpe")


@pytest.fixture(scope="session")
def all_samplers(unigram: Tokenizer) -> list[SegmentSampler]:
    return [SegmentSampler(unigram, alpha) for alpha in (0, 0.3, 2)]


def spell(tokenizer: Tokenizer, part: str) -> tuple[int, ...]:
    """The ids of one part of a word."""
    if part in tokenizer.text_pieces:
        return (tokenizer.text_pieces[part],)
    return tokenizer.byte_ids(part)


def all_cuts(word: str, tokenizer: Tokenizer) -> list[list[str]]:
    """All ways to cut a word into pieces of the vocabulary and single characters."""
    if not word:
        return [[]]
    return [
        [word[:end], *rest]
        for end in range(1, len(word) + 1)
        if end == 1 or word[:end] in tokenizer.text_pieces
        for rest in all_cuts(word[end:], tokenizer)
    ]


def exact_unigram(text: str, tokenizer: Tokenizer, alpha: float) -> Distribution:
    """Kudo's P(x)^alpha over all segmentations of a word, by listing them."""
    weights: Distribution = {}
    for cut in all_cuts(tokenizer.marked(text), tokenizer):
        known = [tokenizer.text_pieces[part] for part in cut if part in tokenizer.text_pieces]
        ids = sum((spell(tokenizer, part) for part in cut), ())
        weights[ids] = math.exp(alpha * sum(map(tokenizer.score, known)))
    total = sum(weights.values())
    return {ids: weight / total for ids, weight in weights.items()}


def assert_drawn_from(sampler: SegmentSampler, text: str, exact: Distribution) -> None:
    """Chi-square test of 10,000 draws, with a bound that chance passes about once in 10^5 times."""
    rng, n = random.Random(text), 10_000
    seen = Counter(tuple(sampler(text, rng)) for _ in range(n))
    assert seen.keys() <= exact.keys()
    assert sum(exact.values()) == pytest.approx(1)
    cells = [(seen[ids], n * chance) for ids, chance in exact.items() if n * chance >= 5]
    rare = [(seen[ids], n * chance) for ids, chance in exact.items() if n * chance < 5]
    cells.append((sum(s for s, _ in rare), sum(e for _, e in rare) + 1e-9))
    chi_square = sum((got - expected) ** 2 / max(expected, 1) for got, expected in cells)
    freedom = len(cells) - 1
    assert chi_square < freedom + 4.5 * math.sqrt(2 * freedom) + 10


SHORT_WORDS = ["Hund", "father", "läuft.", "aß漢é", "hehehe", "12.", "s"]


@pytest.mark.parametrize("text", SHORT_WORDS)
@pytest.mark.parametrize("alpha", [0, 0.2, 1, 3])
def test_unigram_distribution(unigram: Tokenizer, text: str, alpha: float) -> None:
    exact = exact_unigram(text, unigram, alpha)
    assert_drawn_from(SegmentSampler(unigram, alpha), text, exact)


def test_long_words_are_drawn_to_their_end(unigram: Tokenizer) -> None:
    rng, sampler = random.Random(5), SegmentSampler(unigram, 0)
    drawn = [sampler("he" * 150, rng) for _ in range(100)]
    assert len({tuple(ids[-30:]) for ids in drawn}) > 40


def test_all_segmentations_are_those_of_sentencepiece(unigram: Tokenizer) -> None:
    for text in ["Hund", "father", "läuft.", "hehehe"]:
        listed = unigram._processor.NBestEncodeAsIds(text, 512)
        assert len(listed) < 512
        assert {tuple(ids) for ids in listed} == exact_unigram(text, unigram, 0).keys()


def generated_words(n: int) -> list[str]:
    rng = random.Random(11)
    syllables = [
        "he",
        "lä",
        "uft",
        "Hund",
        "er",
        "s",
        "ing",
        "te",
        "ach",
        "12",
        ".",
        "é",
        "漢",
        "oo",
    ]
    return ["".join(rng.choices(syllables, k=rng.randint(1, 9))) for _ in range(n)]


def path_score(tokenizer: Tokenizer, ids: list[int]) -> float:
    return sum(tokenizer.score(i) for i in ids)


def assert_as_good(tokenizer: Tokenizer, ids: list[int], best: list[int]) -> None:
    """Equal, or cut into pieces of the same scores in all ("0|00" and "00|0")."""
    assert ids == best or path_score(tokenizer, ids) == pytest.approx(
        path_score(tokenizer, best), abs=1e-4
    )


def test_high_alpha_is_the_best(unigram: Tokenizer) -> None:
    sampler, rng = SegmentSampler(unigram, 1e6), random.Random(1)
    texts = generated_words(2000)
    for text in texts:
        assert_as_good(unigram, sampler(text, rng), unigram.encode(text))
    assert sum(sampler(text, rng) == unigram.encode(text) for text in texts) > 1000


@given(text=ANY_TEXT, seed=st.integers(0, 9))
def test_round_trip_is_exact(all_samplers: list[SegmentSampler], text: str, seed: int) -> None:
    for sampler in all_samplers:
        assert sampler.tokenizer.decode(sampler(text, random.Random(seed))) == text


@pytest.mark.parametrize("text", DIFFICULT)
def test_round_trip_of_difficult_text(all_samplers: list[SegmentSampler], text: str) -> None:
    for sampler in all_samplers:
        ids = sampler(text, random.Random(4))
        assert sampler.tokenizer.decode(ids) == text
        assert not {UNK, *sampler.tokenizer._control} & set(ids)


def test_a_pickled_sampler_draws_the_same(all_samplers: list[SegmentSampler]) -> None:
    for sampler in all_samplers:
        again = pickle.loads(pickle.dumps(sampler))
        for text in ["The teacher sleeps here.", "Der Arzt schläft oft.", "漢 x"]:
            assert again(text, random.Random(3)) == sampler(text, random.Random(3))


@given(texts=st.lists(WORDS, max_size=12), seed=st.integers(0, 9))
def test_earlier_draws_change_nothing(
    all_samplers: list[SegmentSampler], texts: list[str], seed: int
) -> None:
    for warm in all_samplers:
        cold = copy.copy(warm)
        warm_rng, cold_rng = random.Random(seed), random.Random(seed)
        for text in texts:
            cold._lattices = {}
            assert warm(text, warm_rng) == cold(text, cold_rng)
            assert warm_rng.getstate() == cold_rng.getstate()


def test_the_cache_is_bounded(unigram: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subword_sampling, "MAX_CACHED", 50)
    sampler, rng = SegmentSampler(unigram, 0.1), random.Random(7)
    sizes = []
    for word in [*generated_words(300), "x" * 1000]:
        sampler(word, rng)
        sizes.append(len(sampler._lattices))
    assert max(sizes) == 50
    assert "x" * 1000 not in sampler._lattices


def test_a_tokenizer_that_cannot_be_sampled_is_refused(bpe: Tokenizer) -> None:
    with pytest.raises(TranslatorError, match="need a unigram tokenizer") as error:
        SegmentSampler(bpe, 0.1)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_best_segmentations_of_multi30k(real_corpus: Path) -> None:
    lines = []
    for language in ("en", "de"):
        with gzip.open(real_corpus / f"train.{language}.gz", "rt", encoding="utf-8") as file:
            lines += [normalise(line.rstrip("\n")) for line in file]
    tokenizer = Tokenizer.train(filter(None, lines), 6000)
    sampler, rng = SegmentSampler(tokenizer, 1e6), random.Random(1)
    differ = 0
    for line in lines:
        ids, best = sampler(line, rng), tokenizer.encode(line)
        differ += ids != best
        assert_as_good(tokenizer, ids, best)
    # Of unigram segmentations that are equally good, SentencePiece's choice is chance too: it
    # depends on the rounding of the sum of all scores before it in the sentence.
    assert differ <= 10
