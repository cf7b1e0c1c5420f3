"""What stands in validation and test data is found in training data, and nothing else."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from in_memory import clean_in_memory

from data_prep.cleaning.clean import CONTAMINATED
from data_prep.cleaning.contamination import HeldOut, contaminated_lines
from data_prep.sources.corpus import load_corpus
from translator.config.schema import CleanConfig
from translator.text.lines import TextPair

Pairs = list[TextPair]
CONFIG = CleanConfig(alignment=0)
LINE = "The old teacher reads a long letter to the quiet children in the garden"
WORDS = LINE.split()


def is_found(held_out: str, train: str, config: CleanConfig = CONFIG) -> bool:
    """The same for both sides."""
    found = HeldOut({"test": [(held_out, "x")]}, config).holds((train, "y"))
    assert HeldOut({"test": [("x", held_out)]}, config).holds(("y", train)) == found
    return found


@pytest.mark.parametrize(
    "train",
    [
        LINE,
        LINE.upper() + "!",
        f"“{LINE}”, she said, and then she left.",
        LINE.replace("quiet", "little"),
        " ".join(WORDS[1:]),
        "Today " + LINE.replace("long", "very long"),
    ],
)
def test_the_same_and_nearly_the_same_is_found(train: str) -> None:
    assert is_found(LINE, train)


@pytest.mark.parametrize(
    "train",
    [
        "",
        "Another sentence about some other people in another place altogether",
        " ".join(WORDS[:7]),
        " ".join(sorted(WORDS)),
        " ".join(word if n % 3 else "other" for n, word in enumerate(WORDS)),
    ],
)
def test_what_only_shares_words_is_not(train: str) -> None:
    assert not is_found(LINE, train)


def test_short_lines_must_be_equal_and_very_short_ones_are_everybodys() -> None:
    assert is_found("A dog runs here.", "a dog runs here")
    assert not is_found("A dog runs here.", "A dog runs here and there.")
    assert not is_found("A dog runs here.", "A cat runs here.")
    assert not is_found("Thank you!", "Thank you!")
    assert not is_found("", "")


def test_sides_are_not_mixed_up() -> None:
    held_out = HeldOut({"train": [(LINE, LINE)], "valid": [(LINE, "x")]}, CONFIG)
    assert held_out.holds((LINE, "y")) and not held_out.holds(("y", LINE))
    assert held_out.find((LINE, LINE)) == ({0}, set())
    assert held_out.rows == [("valid", 0)]


def test_thresholds_are_obeyed() -> None:
    changed = LINE.replace("quiet", "little")
    assert not is_found(LINE, changed, replace(CONFIG, overlap_share=1.0))
    assert is_found(LINE, f"{LINE} today", replace(CONFIG, overlap_share=1.0))
    assert not is_found(LINE, changed, replace(CONFIG, overlap_words=15))
    assert is_found("Thank you!", "Thank you!", replace(CONFIG, overlap_equal_words=2))


def brute_force(held_out: list[str], train: str, config: CleanConfig) -> set[int]:
    """By the definition."""
    n, found = config.overlap_ngram, set()
    words = train.split()
    grams = {tuple(words[k : k + n]) for k in range(len(words) - n + 1)}
    for row, line in enumerate(held_out):
        own = line.split()
        covered = {
            k + i
            for k in range(len(own) - n + 1)
            if tuple(own[k : k + n]) in grams
            for i in range(n)
        }
        if len(own) >= config.overlap_words:
            if len(covered) >= config.overlap_share * len(own):
                found.add(row)
        elif len(own) >= config.overlap_equal_words and own == words:
            found.add(row)
    return found


LINES = st.lists(st.sampled_from("abc"), max_size=12).map(" ".join)


@given(
    st.lists(LINES, max_size=6),
    LINES,
    st.integers(1, 4),
    st.sampled_from([0.3, 0.5, 0.75, 0.8, 1.0]),
    st.integers(4, 8),
)
def test_the_index_finds_what_the_definition_says(
    held_out: list[str], train: str, n: int, share: float, words: int
) -> None:
    config = CleanConfig(overlap_ngram=n, overlap_share=share, overlap_words=words)
    index = HeldOut({"test": [(line, "") for line in held_out]}, config)
    assert index.find((train, ""))[0] == brute_force(held_out, train, config)


@pytest.fixture(scope="module")
def splits(text_pairs: Pairs) -> dict[str, Pairs]:
    """Train and two splits, of which one has three pairs with a side of train or both."""
    joined = [
        (" ".join(src), " ".join(tgt))
        for src, tgt in (zip(*text_pairs[n : n + 4], strict=True) for n in range(0, 288, 4))
    ]
    train, (a, b, c), other = joined[:50], joined[:3], joined[50:]
    return {
        "train": train,
        "valid": [*other, a, (b[0], "x"), ("x", c[1])],
        "test": other[:5],
    }


def test_held_out_pairs_in_training_are_reported_by_side(splits: dict[str, Pairs]) -> None:
    found = contaminated_lines(splits, splits["train"], CONFIG)
    n = len(splits["valid"])
    assert found == {"valid": ({n - 3, n - 2}, {n - 3, n - 1}), "test": (set(), set())}


def test_training_pairs_that_are_held_out_are_dropped_and_counted(splits: dict[str, Pairs]) -> None:
    train, held_out = splits["train"], HeldOut(splits, CONFIG)
    kept, report = clean_in_memory(train, CONFIG, "en", "de", held_out)
    bad = [pair for pair in train if held_out.holds(pair)]
    assert bad == train[:3]
    assert report.dropped == {CONTAMINATED: len(bad)}
    assert {tuple(pair) for _, *pair in report.samples[CONTAMINATED]} <= set(bad)
    assert contaminated_lines(splits, kept, CONFIG)["valid"] == (set(), set())
    off = replace(CONFIG, contamination=False)
    assert clean_in_memory(train, off, "en", "de", held_out)[0] == train


def test_real_lines_with_a_word_replaced_are_found(real_corpus) -> None:  # type: ignore[no-untyped-def]
    splits = load_corpus(str(real_corpus), "en", "de").splits
    held_out = HeldOut({"valid": splits["valid"]}, CONFIG)
    rng = random.Random(1)
    found = total = 0
    for row, (src, _) in enumerate(splits["valid"]):
        words = src.split()
        if len(words) >= 10:
            words[rng.randrange(len(words))] = "xyzzy"
            total += 1
            found += row in held_out.find((" ".join(words), ""))[0]
    assert found >= 0.75 * total
    # Captions are alike, which is no contamination.
    train = splits["train"][:5000]
    assert sum(map(held_out.holds, train)) <= 0.005 * len(train)
