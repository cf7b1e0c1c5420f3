"""Corrupted inputs are what they are called, and the same each time."""

import random
from collections import Counter

import pytest

from data_prep.augmentation import corrupt
from data_prep.augmentation.corrupt import KINDS, corrupt_pairs

PAIR = ("The old teacher waits here today.", "Der alte Lehrer wartet heute hier.")
OTHER = ("A small bird sings often.", "Ein kleiner Vogel singt oft.")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_kind_is_a_function_of_its_arguments(kind) -> None:
    first, second = (kind(PAIR, OTHER, random.Random(5)) for _ in range(2))
    assert first == second
    assert all(side.strip() for side in first)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_pair_of_single_letters_is_corrupted_too(kind) -> None:
    for seed in range(5):
        assert all(kind(("a", "b"), ("c", "d"), random.Random(seed)))


def test_words_stay_the_same_in_another_order() -> None:
    src, tgt = corrupt.shuffled(PAIR, OTHER, random.Random(1))
    assert Counter(src.split()) == Counter(PAIR[0].split()) and src != PAIR[0]
    assert tgt == PAIR[1]


def test_half_of_the_words_are_strange() -> None:
    src, _ = corrupt.mixed(PAIR, OTHER, random.Random(1))
    strange = [word not in PAIR[0].split() for word in src.split()]
    assert sum(strange) == 3 and len(strange) == 6


def test_the_end_is_cut_off() -> None:
    for seed in range(20):
        src, _ = corrupt.cut_off(PAIR, OTHER, random.Random(seed))
        assert PAIR[0].startswith(f"{src} ")


def test_foreign_words_keep_their_shape() -> None:
    src, _ = corrupt.foreign(PAIR, OTHER, random.Random(1))
    assert len(src) == len(PAIR[0])
    for old, new in zip(PAIR[0].lower(), src.lower(), strict=True):
        assert (old in "aeiou") == (new in "aeiou") and old.isalpha() == new.isalpha()


def test_all_kinds_come_alike_and_the_same_each_time(text_pairs) -> None:
    found = corrupt_pairs(text_pairs, 3 * len(KINDS))
    assert found == corrupt_pairs(text_pairs, 3 * len(KINDS))
    assert len(found) == 3 * len(KINDS)
    assert found != corrupt_pairs(text_pairs, 3 * len(KINDS), seed=2)
    german = [src for src, tgt in found if src == tgt]
    assert len(german) == 3  # by `target_language`


def test_pairs_without_words_are_left_out() -> None:
    assert corrupt_pairs([], 5) == [] == corrupt_pairs([("", "x"), (" ", " ")], 5)
    assert len(corrupt_pairs([("", "x"), PAIR], 7)) == 7
