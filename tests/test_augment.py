"""Word links learnt from a corpus, and the copy placeholders that are put at them."""

import itertools
import math
import re

import pytest

from data_prep.augment import CopyNoise, word_anchors, word_spans
from translator.data import IdPair
from translator.tokenizer import N_COPY

RATE = 0.3
EPOCHS = range(4)


@pytest.fixture(scope="module")
def id_pairs(text_pairs, tokenizer) -> list[IdPair]:
    return [(tokenizer.encode(src), tokenizer.encode(tgt)) for src, tgt in text_pairs]


@pytest.fixture(scope="module")
def anchors(id_pairs, tokenizer):
    return word_anchors(id_pairs, tokenizer)


@pytest.fixture(scope="module")
def noise(anchors, tokenizer) -> CopyNoise:
    return CopyNoise(anchors, tokenizer.copy_ids, RATE)


@pytest.fixture(scope="module")
def noisy(id_pairs, noise) -> list[tuple[IdPair, IdPair]]:
    """(before, after) of all pairs that got placeholders in some epochs."""
    return [
        (pair, changed)
        for epoch in EPOCHS
        for i, pair in enumerate(id_pairs)
        if (changed := noise(pair, i, epoch, 1)) is not pair
    ]


def test_words_are_spans_of_pieces(tokenizer) -> None:
    ids = tokenizer.encode("The teacher waits slowly.")
    words = [tokenizer.decode(ids[start:end]).strip() for start, end in word_spans(ids, tokenizer)]
    assert words == ["The", "teacher", "waits", "slowly", "."]
    assert word_spans([], tokenizer) == []


def test_words_that_translate_each_other_are_found(id_pairs, anchors, tokenizer, lexicon) -> None:
    right = wrong = 0
    for (src, tgt), links in zip(id_pairs, anchors, strict=True):
        for (src_start, src_end), (tgt_start, tgt_end) in links:
            word = tokenizer.decode(src[src_start:src_end]).strip()
            translation = tokenizer.decode(tgt[tgt_start:tgt_end]).strip()
            if word in lexicon:
                right += lexicon[word] == translation
                wrong += lexicon[word] != translation
    assert wrong == 0
    assert right > 0.95 * 3 * len(id_pairs)  # noun, verb and adverb of each


def test_anchors_are_one_to_one_and_in_order(anchors) -> None:
    for links in anchors:
        assert len({src for src, _ in links}) == len({tgt for _, tgt in links}) == len(links)
        assert [src for src, _ in links] == sorted(src for src, _ in links)


def test_rate_is_respected(id_pairs, noisy) -> None:
    n = len(id_pairs) * len(EPOCHS)
    sigma = math.sqrt(RATE * (1 - RATE) / n)
    assert len(noisy) / n == pytest.approx(RATE, abs=4 * sigma)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_rates_zero_and_one(id_pairs, anchors, tokenizer, rate: float) -> None:
    noise = CopyNoise(anchors, tokenizer.copy_ids, rate)
    changed = [noise(pair, i, 0, 1) != pair for i, pair in enumerate(id_pairs)]
    assert set(changed) == {bool(rate)}


def test_each_placeholder_stands_once_on_each_side(noisy, tokenizer) -> None:
    counts = set()
    for _, (src, tgt) in noisy:
        in_src = [i for i in src if i in tokenizer.copy_ids]
        in_tgt = [i for i in tgt if i in tokenizer.copy_ids]
        assert len(set(in_src)) == len(in_src)
        assert sorted(in_src) == sorted(in_tgt)
        first = in_src[0]
        assert in_src == list(range(first, first + len(in_src)))  # numbered as in the source
        counts.add(len(in_src))
    assert counts == {1, 2, 3}


def test_all_placeholders_are_learnt(noisy, tokenizer) -> None:
    used = {i for _, (src, _) in noisy for i in src if i in tokenizer.copy_ids}
    assert used == set(tokenizer.copy_ids) and len(used) == N_COPY


def test_what_is_left_still_translates(noisy, tokenizer, lexicon) -> None:
    """Placeholders stand at the same places, and took the same words away."""
    lexicon = {"The": "Der", ".": ".", **lexicon}
    replaced = inserted = 0
    for (old_src, _), (src, tgt) in noisy:
        sides = []
        for ids in (src, tgt):
            sides.append(words_and_placeholders(ids, tokenizer))
        assert [lexicon.get(word, word) for word in sides[0]] == sides[1]
        n_placeholders = sum(i in tokenizer.copy_ids for i in src)
        replaced += len(src) - n_placeholders < len(old_src)
        inserted += len(src) - n_placeholders == len(old_src)
    assert replaced and inserted  # both happen


def words_and_placeholders(ids, tokenizer) -> list[str | int]:
    items: list[str | int] = []
    for is_copy, group in itertools.groupby(ids, lambda i: i in tokenizer.copy_ids):
        run = list(group)
        items += run if is_copy else re.findall(r"\w+|\S", tokenizer.decode(run))
    return items


def test_noise_is_a_pure_function_of_its_arguments(id_pairs, noise) -> None:
    def epoch(number: int, seed: int) -> list[IdPair]:
        return [noise(pair, i, number, seed) for i, pair in enumerate(id_pairs)]

    before = [(list(src), list(tgt)) for src, tgt in id_pairs]
    first = epoch(0, 1)
    assert epoch(0, 1)[::-1] == [
        noise(id_pairs[i], i, 0, 1) for i in reversed(range(len(id_pairs)))
    ]
    assert first == epoch(0, 1)
    assert first != epoch(1, 1) and first != epoch(0, 2)
    assert [(list(src), list(tgt)) for src, tgt in id_pairs] == before  # inputs are left alone


def test_pairs_without_known_anchors(tokenizer) -> None:
    pair = ([300, 301], [302])
    beyond = CopyNoise([], tokenizer.copy_ids, 1.0)
    assert beyond(pair, 0, 0, 1) == pair
    edges_only = CopyNoise([[]], tokenizer.copy_ids, 1.0)
    for epoch in range(20):
        src, tgt = edges_only(pair, 0, epoch, 1)
        assert [i for i in src if i not in tokenizer.copy_ids] == pair[0]
        assert [i for i in tgt if i not in tokenizer.copy_ids] == pair[1]
        assert len(src) > 2
