"""Drawn segmentations: exact distributions, pure functions, the best one as in SentencePiece."""

import gzip
import itertools
import math
import pickle
import random
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.augmentation import subword_sampling
from data_prep.augmentation.subword_sampling import SegmentSampler
from translator.config.errors import TranslatorError
from translator.text.codec import normalise
from translator.text.tokenizer import MODEL_TYPES, RESERVED_PIECES, UNK, Tokenizer

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
def all_samplers(unigram: Tokenizer, bpe: Tokenizer) -> list[SegmentSampler]:
    by_alpha = [SegmentSampler(unigram, alpha=alpha) for alpha in (0, 0.3, 2, math.inf)]
    return by_alpha + [SegmentSampler(bpe, bpe_dropout=p) for p in (0, 0.1, 0.7, 1)]


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


def exact_dropout(text: str, tokenizer: Tokenizer, p: float) -> Distribution:
    """Algorithm 1 of Provilkov et al. by listing which merges are left out at each step."""
    chances: Distribution = defaultdict(float)

    def go_on(parts: tuple[str, ...], chance: float) -> None:
        possible = [
            (-tokenizer.score(tokenizer.text_pieces[a + b]), i)
            for i, (a, b) in enumerate(itertools.pairwise(parts))
            if a + b in tokenizer.text_pieces
        ]
        for kept in itertools.product((False, True), repeat=len(possible)):
            share = chance * math.prod(1 - p if keep else p for keep in kept)
            merges = list(itertools.compress(possible, kept))
            if merges:
                _, i = min(merges)
                go_on((*parts[:i], parts[i] + parts[i + 1], *parts[i + 2 :]), share)
            else:
                chances[sum((spell(tokenizer, part) for part in parts), ())] += share

    go_on(tuple(tokenizer.marked(text)), 1.0)
    return chances


def assert_drawn_from(sampler: SegmentSampler, text: str, exact: Distribution) -> None:
    """Chi-square test of 10,000 draws, with a bound that chance passes once in 10^5 times or so."""
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


def widths(sampler: SegmentSampler, text: str) -> Distribution:
    """The measure of all u that give each segmentation, from u = 0 up, interval by interval."""
    form, _ = sampler._method.prepare(sampler.tokenizer.marked(text))
    total: Distribution = defaultdict(float)
    u = 0.0
    while u < 1:
        ids, low, high = sampler._method.draw(form, u, random.Random(0))
        assert low == u < high
        total[ids] += high - low
        u = high
    assert u == 1
    return total


SHORT_WORDS = ["Hund", "father", "läuft.", "aß漢é", "hehehe", "12.", "s"]


@pytest.mark.parametrize("text", SHORT_WORDS)
@pytest.mark.parametrize("alpha", [0, 0.2, 1, 3])
def test_unigram_distribution(unigram: Tokenizer, text: str, alpha: float) -> None:
    exact = exact_unigram(text, unigram, alpha)
    sampler = SegmentSampler(unigram, alpha=alpha)
    if alpha <= 1:  # at 3, some intervals are too narrow to be drawn by one number
        assert widths(sampler, text) == pytest.approx(exact, abs=1e-12)
    assert_drawn_from(sampler, text, exact)


@pytest.mark.parametrize("text", SHORT_WORDS)
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_distribution(bpe: Tokenizer, text: str, p: float) -> None:
    exact = exact_dropout(text, bpe, p)
    sampler = SegmentSampler(bpe, bpe_dropout=p)
    measured = widths(sampler, text)
    assert measured.keys() <= exact.keys()
    for ids, chance in exact.items():
        assert measured.get(ids, 0) == pytest.approx(chance, abs=1e-12)
    assert_drawn_from(sampler, text, exact)


@pytest.mark.parametrize("narrow", [0.9, 0.2])
def test_fresh_numbers_leave_the_distribution_as_it_is(
    unigram: Tokenizer, bpe: Tokenizer, narrow: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long word uses up more than the bits of one number; here, a short one does."""
    monkeypatch.setattr(subword_sampling, "NARROW", narrow)
    exact = exact_unigram("father", unigram, 0.2)
    assert_drawn_from(SegmentSampler(unigram, alpha=0.2), "father", exact)
    exact = exact_dropout("father", bpe, 0.4)
    assert_drawn_from(SegmentSampler(bpe, bpe_dropout=0.4), "father", exact)


def test_long_words_are_drawn_to_their_end(unigram: Tokenizer, bpe: Tokenizer) -> None:
    """One number cannot choose among 2^300 ways: the ends would be cut in a few ways only."""
    rng = random.Random(5)
    for sampler in (SegmentSampler(unigram, alpha=0), SegmentSampler(bpe, bpe_dropout=0.9)):
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


def test_no_dropout_is_encode(bpe: Tokenizer) -> None:
    sampler, rng = SegmentSampler(bpe, bpe_dropout=0), random.Random(1)
    for word in generated_words(4000):
        assert sampler(word, rng) == bpe.encode(word)


@given(text=WORDS)
def test_no_dropout_is_encode_for_any_sentence(bpe: Tokenizer, text: str) -> None:
    assert SegmentSampler(bpe, bpe_dropout=0)(text, random.Random(1)) == bpe.encode(text)


@given(text=WORDS)
def test_full_dropout_is_characters(bpe: Tokenizer, text: str) -> None:
    ids = SegmentSampler(bpe, bpe_dropout=1)(text, random.Random(1))
    marked = "".join(bpe.marked(word) for word in text.split(" ")) if text else ""
    assert tuple(ids) == sum((spell(bpe, character) for character in marked), ())


def path_score(tokenizer: Tokenizer, ids: list[int]) -> float:
    return sum(tokenizer.score(i) for i in ids)


def assert_as_good(tokenizer: Tokenizer, ids: list[int], best: list[int]) -> None:
    """Equal, or cut into pieces of the same scores in all ("0|00" and "00|0")."""
    assert ids == best or path_score(tokenizer, ids) == pytest.approx(
        path_score(tokenizer, best), abs=1e-4
    )


def test_high_alpha_is_the_best(unigram: Tokenizer) -> None:
    sampler, rng = SegmentSampler(unigram, alpha=1e6), random.Random(1)
    best = SegmentSampler(unigram, alpha=math.inf)
    texts = generated_words(2000)
    for text in texts:
        assert best(text, rng) == unigram.encode(text)
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


@given(texts=st.lists(WORDS, max_size=12), seed=st.integers(0, 9))
def test_what_was_drawn_before_changes_nothing(
    all_samplers: list[SegmentSampler], texts: list[str], seed: int
) -> None:
    for warm in all_samplers:
        warm_rng, cold_rng = random.Random(seed), random.Random(seed)
        for text in texts:
            cold = SegmentSampler(warm.tokenizer, warm.alpha, warm.bpe_dropout, cache_size=30)
            assert warm(text, warm_rng) == cold(text, cold_rng)
            assert warm_rng.getstate() == cold_rng.getstate()


def test_kept_and_new_segmentations_are_the_same(unigram: Tokenizer, bpe: Tokenizer) -> None:
    """Each number is drawn by a sampler that keeps nothing and by one that has kept much."""
    for warm in (SegmentSampler(unigram, alpha=0.2), SegmentSampler(bpe, bpe_dropout=0.3)):
        words, rng = ["father", "Teacher.", "läuft"], random.Random(2)
        for _ in range(3000):
            warm(rng.choice(words), rng)
        for word in _kept(warm):
            edges = [0.0, *word.bounds, 1.0]
            assert edges == sorted(set(edges)) and len(word.leaves) == len(edges) - 1
            assert len(word.leaves) > 2 and word.leaves.count(None) < len(word.leaves) / 2
            for leaf, low in zip(word.leaves, edges, strict=False):
                assert leaf in (None, warm._method.draw(word.form, low, rng)[0])
        for seed, text in itertools.product(range(500), words):
            cold = SegmentSampler(warm.tokenizer, warm.alpha, warm.bpe_dropout)
            assert warm(text, random.Random(seed)) == cold(text, random.Random(seed))


def _kept(sampler: SegmentSampler) -> list[subword_sampling._Word]:
    return list(sampler._words.values())


def test_a_pickled_sampler_draws_the_same(all_samplers: list[SegmentSampler]) -> None:
    for sampler in all_samplers:
        copy = pickle.loads(pickle.dumps(sampler))
        for text in ["The teacher sleeps here.", "Der Arzt schläft oft.", "漢 x"]:
            assert copy(text, random.Random(3)) == sampler(text, random.Random(3))


def test_the_cache_is_bounded(unigram: Tokenizer, bpe: Tokenizer) -> None:
    for method in ({"alpha": 0.1}, {"bpe_dropout": 0.5}):
        sampler = SegmentSampler(unigram if "alpha" in method else bpe, **method, cache_size=500)
        rng = random.Random(7)
        sizes = []
        for word in generated_words(1000):
            for _ in range(3):
                sampler(word, rng)
            sizes.append(sum(_size(kept) for kept in _kept(sampler)))
        assert 100 < max(sizes) <= 500
        sampler("x" * 1000, rng)
        assert "x" * 1000 not in sampler._words


def _size(word: subword_sampling._Word) -> int:
    form = 1 if isinstance(word.form, str) else sum(map(len, word.form))
    return form + sum(leaf is not None for leaf in word.leaves)


def test_options_of_the_other_type_and_out_of_range(unigram: Tokenizer, bpe: Tokenizer) -> None:
    for tokenizer, alpha, dropout, message in (
        (bpe, 0.1, None, "alpha needs a unigram tokenizer"),
        (unigram, None, 0.1, "BPE-dropout needs a bpe tokenizer"),
        (unigram, None, None, "give one"),
        (unigram, 0.1, 0.1, "give one"),
        (unigram, -0.1, None, "alpha must be 0 or more"),
        (unigram, math.nan, None, "alpha must be 0 or more"),
        (bpe, None, 1.1, r"must be in \[0, 1\]"),
        (bpe, None, math.nan, r"must be in \[0, 1\]"),
    ):
        with pytest.raises(TranslatorError, match=message) as error:
            SegmentSampler(tokenizer, alpha, dropout)
        assert "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_best_segmentations_of_multi30k(real_corpus: Path, model_type: str) -> None:
    lines = []
    for language in ("en", "de"):
        with gzip.open(real_corpus / f"train.{language}.gz", "rt", encoding="utf-8") as file:
            lines += [normalise(line.rstrip("\n")) for line in file]
    tokenizer = Tokenizer.train(filter(None, lines), 6000, model_type=model_type)
    method = {"alpha": 1e6} if model_type == "unigram" else {"bpe_dropout": 0.0}
    sampler, rng = SegmentSampler(tokenizer, **method), random.Random(1)
    differ = 0
    for line in lines:
        ids, best = sampler(line, rng), tokenizer.encode(line)
        differ += ids != best
        if model_type == "unigram":
            assert_as_good(tokenizer, ids, best)
    # Of unigram segmentations that are equally good, SentencePiece's choice is chance too: it
    # depends on the rounding of the sum of all scores before it in the sentence.
    assert differ <= (10 if model_type == "unigram" else 0)
