"""Word links learnt from a corpus, the placeholders that are put at them, and noise as ids."""

import gzip
import itertools
import math
import pickle
import re
import string
from pathlib import Path

import pytest
import torch

from data_prep.augmentation.augment import Augmentation, TextNoise, build_augmentation
from data_prep.augmentation.copy_placeholders import CopyNoise, WordLexicon, word_spans
from data_prep.prepared.encoded import encode_pairs
from translator.config.schema import DataConfig, NoiseConfig
from translator.text.codec import normalise
from translator.text.tokenizer import N_COPY, IdPair, Tokenizer
from translator.training.loader import BatchSampler, Loader, pair_lengths

RATE = 0.3
EPOCHS = range(4)


@pytest.fixture(scope="module")
def tokenizer(text_pairs) -> Tokenizer:
    """One that can spell all letters and numbers."""
    lines = [normalise(line) for pair in text_pairs for line in pair]
    characters = " ".join(string.ascii_letters + string.digits)
    return Tokenizer.train([*lines, *map(str.upper, lines[:40]), *[characters] * 9], 480)


@pytest.fixture(scope="module")
def id_pairs(text_pairs, tokenizer) -> list[IdPair]:
    return [(tokenizer.encode(src), tokenizer.encode(tgt)) for src, tgt in text_pairs]


@pytest.fixture(scope="module")
def links(id_pairs, tokenizer) -> WordLexicon:
    return WordLexicon(id_pairs, tokenizer)


@pytest.fixture(scope="module")
def anchors(id_pairs, links):
    return [links.anchors(pair) for pair in id_pairs]


@pytest.fixture(scope="module")
def noise(links, tokenizer) -> CopyNoise:
    return CopyNoise(links, tokenizer.copy_ids, RATE)


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
def test_rates_zero_and_one(id_pairs, links, tokenizer, rate: float) -> None:
    noise = CopyNoise(links, tokenizer.copy_ids, rate)
    changed = [noise(pair, i, 0, 1) != pair for i, pair in enumerate(id_pairs)]
    assert set(changed) == {bool(rate)}


def test_each_placeholder_occurs_once_on_each_side(noisy, tokenizer) -> None:
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


def test_the_remaining_words_still_translate_each_other(noisy, tokenizer, lexicon) -> None:
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


def test_pairs_without_known_anchors(links, tokenizer) -> None:
    pair = ([300, 301], [302])
    edges_only = CopyNoise(links, tokenizer.copy_ids, 1.0)
    for epoch in range(20):
        src, tgt = edges_only(pair, 0, epoch, 1)
        assert [i for i in src if i not in tokenizer.copy_ids] == pair[0]
        assert [i for i in tgt if i not in tokenizer.copy_ids] == pair[1]
        assert len(src) > 2


# Noise in the text.

PLAIN = DataConfig(copy_rate=0.0)
SCALED = NoiseConfig(scale=1.0)


def build(pairs, tokenizer, noise: NoiseConfig, **settings) -> Augmentation:
    config = DataConfig(**{"copy_rate": 0.0, **settings})
    augmentation = build_augmentation(config, pairs, tokenizer, noise)
    assert augmentation is not None
    return augmentation


def run(augmentation: Augmentation, pairs, epoch: int = 0, seed: int = 1) -> list[IdPair]:
    return [augmentation(pair, i, epoch, seed) for i, pair in enumerate(pairs)]


def read(tokenizer: Tokenizer, pair: IdPair) -> tuple[str, str]:
    return tokenizer.decode(pair[0]), tokenizer.decode(pair[1])


def test_without_rates_nothing_is_changed(id_pairs, tokenizer) -> None:
    for off in (None, NoiseConfig(), NoiseConfig(scale=1.0, **dict.fromkeys(kinds(), 0.0))):
        assert build_augmentation(PLAIN, id_pairs, tokenizer, off) is None
        for settings in ({"copy_rate": 0.3}, {"unigram_alpha": 0.2}, {"bidirectional": True}):
            config = DataConfig(**{"copy_rate": 0.0, **settings})
            without = build_augmentation(config, id_pairs, tokenizer)
            with_off = build_augmentation(config, id_pairs, tokenizer, off)
            assert run(with_off, id_pairs) == run(without, id_pairs)


def kinds() -> list[str]:
    return [name for name in vars(NoiseConfig()) if name != "scale"]


def test_text_noise_is_a_pure_function_and_leaves_most_pairs_alone(id_pairs, tokenizer) -> None:
    before = [(list(src), list(tgt)) for src, tgt in id_pairs]
    augmentation = build(id_pairs, tokenizer, SCALED)
    first = run(augmentation, id_pairs)
    assert first == run(pickle.loads(pickle.dumps(augmentation)), id_pairs)
    backwards = [augmentation(id_pairs[i], i, 0, 1) for i in reversed(range(len(id_pairs)))]
    assert first == backwards[::-1]
    assert run(augmentation, id_pairs, epoch=1) != first != run(augmentation, id_pairs, seed=2)
    assert id_pairs == before
    untouched = sum(new is old for new, old in zip(first, id_pairs, strict=True))
    assert 0.5 < untouched / len(id_pairs) < 0.75  # that many have none of five kinds


def test_noise_of_the_text_is_what_the_ids_say(id_pairs, tokenizer) -> None:
    for old, new in zip(
        id_pairs, run(build(id_pairs, tokenizer, NoiseConfig(capitals=1.0)), id_pairs), strict=True
    ):
        assert read(tokenizer, new) == tuple(side.upper() for side in read(tokenizer, old))
    for old, new in zip(
        id_pairs, run(build(id_pairs, tokenizer, NoiseConfig(typos=1.0)), id_pairs), strict=True
    ):
        assert new[1] == old[1] and new[0] != old[0]
        assert len(read(tokenizer, new)[0].split()) == 4


def test_unknown_text_is_a_placeholder_on_both_sides(id_pairs, tokenizer) -> None:
    augmentation = build(id_pairs, tokenizer, NoiseConfig(inline=1.0), unigram_alpha=0.2)
    placed = 0
    for old, (src, tgt) in zip(id_pairs, run(augmentation, id_pairs), strict=True):
        copies = [[i for i in ids if i in tokenizer.copy_ids] for ids in (src, tgt)]
        assert copies[0] == copies[1] and set(copies[0]) <= set(tokenizer.copy_ids[:1])
        if copies[0]:
            placed += 1
            assert read(tokenizer, (src, tgt)) == read(tokenizer, old)  # all else is as it was
            assert {src.index(copies[0][0]), tgt.index(copies[0][0])} <= {
                *(0, len(src) - 1, len(tgt) - 1)
            }
    assert 0.6 < placed / len(id_pairs) < 0.9  # a quarter are numbers


def test_pairs_that_cannot_take_their_noise_stay_as_they_are(tokenizer) -> None:
    """A word that only the source has to carry over; and what would be too long."""
    strange = (tokenizer.encode("The Ωmega sings"), tokenizer.encode("Der Hund singt"))
    assert run(build([strange], tokenizer, NoiseConfig(final_stop=1.0)), [strange]) == [strange]
    pair = (tokenizer.encode("The dog sings"), tokenizer.encode("Der Hund singt"))
    for room in (0, 1):
        limit = max(map(len, pair)) + room
        stop = build([pair], tokenizer, NoiseConfig(final_stop=1.0), max_length=limit)
        assert (run(stop, [pair]) == [pair]) == (room == 0)


def test_joined_pairs_are_whole_pairs_and_not_too_long(id_pairs, text_pairs, tokenizer) -> None:
    longest = max(max(map(len, pair)) for pair in id_pairs)
    translation = {normalise(src): normalise(tgt) for src, tgt in text_pairs}
    for limit, expected in ((longest, {1}), (2 * longest - 4, {1, 2}), (3 * longest, {2, 3})):
        augmentation = build(id_pairs, tokenizer, NoiseConfig(join=1.0), max_length=limit)
        counts = set()
        for pair in run(augmentation, id_pairs):
            assert max(map(len, pair)) <= limit
            src, tgt = (re.findall(r"[^.]+\.", side) for side in read(tokenizer, pair))
            assert [translation[s.strip()] for s in src] == [t.strip() for t in tgt]
            counts.add(len(src))
        assert counts == expected


def test_noise_stays_within_its_direction_and_behind_its_tags(id_pairs, tokenizer, lexicon) -> None:
    both = [*id_pairs, *((tgt, src) for src, tgt in id_pairs)]
    english, german = {"The", *lexicon}, {"Der", *lexicon.values()}
    augmentation = build(both, tokenizer, NoiseConfig(join=1.0), bidirectional=True)
    joined = 0
    for i, (src, tgt) in enumerate(run(augmentation, both)):
        forward = i < len(id_pairs)
        assert tokenizer.pieces(src[:1]) == ["<2de>" if forward else "<2en>"]
        words = [set(re.findall(r"\w+", side)) for side in read(tokenizer, (src, tgt))]
        assert words[not forward] <= english and words[forward] <= german
        joined += len(src) > 1 + len(both[i][0])
    assert joined == len(both)


def test_synthetic_sources_keep_their_tag_and_their_like(id_pairs, tokenizer) -> None:
    bt = tokenizer.bt_id
    half = len(id_pairs) // 2
    mixed = [*id_pairs[:half], *(([bt, *src], tgt) for src, tgt in id_pairs[half:])]
    both = [*mixed, *((tgt, src) for src, tgt in mixed)]  # the last ones have weight 0
    genuine, synthetic = (
        {read(tokenizer, pair)[0] for pair in part} for part in (id_pairs[:half], id_pairs[half:])
    )
    augmentation = build(both, tokenizer, NoiseConfig(join=1.0), bidirectional=True)
    joined = 0
    for i, (src, tgt) in enumerate(run(augmentation, both)[: len(mixed) + half]):
        assert src.count(bt) == (half <= i < len(mixed)) and bt not in tgt
        english = read(tokenizer, (src, tgt))[i >= len(mixed)]
        sentences = {s.strip() for s in re.findall(r"[^.]+\.", english)}
        assert sentences <= (synthetic if half <= i < len(mixed) else genuine)
        joined += len(sentences) > 1
    assert joined > half


def test_noisy_pairs_are_cut_into_other_pieces_too(id_pairs, tokenizer) -> None:
    noise = NoiseConfig(no_final_stop=1.0)
    plain = run(build(id_pairs, tokenizer, noise), id_pairs)
    cut = run(build(id_pairs, tokenizer, noise, unigram_alpha=0.1), id_pairs)
    assert [read(tokenizer, pair) for pair in plain] == [read(tokenizer, pair) for pair in cut]
    assert plain != cut


def test_placeholders_go_to_pairs_without_noise(id_pairs, tokenizer) -> None:
    noise = NoiseConfig(lower_case=0.5)
    noisy = run(build(id_pairs, tokenizer, noise), id_pairs)
    found = run(build(id_pairs, tokenizer, noise, copy_rate=1.0), id_pairs)
    for old, new, pair in zip(id_pairs, noisy, found, strict=True):
        has_placeholders = not set(tokenizer.copy_ids).isdisjoint(pair[0])
        assert has_placeholders == (new is old) and (has_placeholders or pair == new)


def test_the_loader_resumes_at_any_batch_with_any_workers(id_pairs, tokenizer) -> None:
    augmentation = build(id_pairs, tokenizer, NoiseConfig(scale=2.0), copy_rate=0.2)

    def batches(start: tuple[int, int], n: int, workers: int = 0) -> list[torch.Tensor]:
        sampler = BatchSampler(pair_lengths(id_pairs), 200, 3)
        loader = Loader(id_pairs, sampler, augmentation, workers=workers)
        return [batch.src for batch, _ in itertools.islice(loader.batches(*start), n)]

    n_epoch = len(BatchSampler(pair_lengths(id_pairs), 200, 3).epoch(0))
    whole = batches((0, 0), n_epoch + 4)
    for start, workers in ((2, 0), (2, 2), (n_epoch - 1, 0)):
        part = batches((0, start), len(whole) - start, workers)
        assert all(torch.equal(a, b) for a, b in zip(whole[start:], part, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(whole[n_epoch:], batches((1, 0), 4), strict=True))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_lengths_are_known_before_the_ids(id_pairs, tokenizer, bidirectional: bool) -> None:
    """Exactly where pairs are joined, about where letters change, and as they are elsewhere."""
    pairs = [*id_pairs, *((tgt, src) for src, tgt in id_pairs)] if bidirectional else id_pairs
    plain = torch.tensor([[len(side) for side in pair] for pair in pairs])
    limit = 2 * int(plain.max()) - 1

    def sizes(noise: NoiseConfig, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
        found = build(pairs, tokenizer, noise, max_length=limit, bidirectional=bidirectional).noise
        assert isinstance(found, TextNoise)
        known = found.lengths(plain.T, epoch, 1).T
        real = [[*map(len, found(pair, i, epoch, 1))] for i, pair in enumerate(pairs)]
        return known, torch.tensor(real)

    for epoch in range(3):
        known, real = sizes(NoiseConfig(join=0.5), epoch)
        assert known.tolist() == real.tolist()
        assert 0.3 < (known > plain).any(1).float().mean() < 0.7
    known, real = sizes(NoiseConfig(title_case=0.5), 0)
    assert ((known == plain) == (real == plain)).float().mean() > 0.9
    assert known.sum() == pytest.approx(int(real.sum()), rel=0.05) and known.sum() > plain.sum()


def test_real_pairs_are_the_text_that_they_were_made_of(real_corpus: Path) -> None:
    """Ids lose nothing of the normalised text, so that noise can be made of them."""
    model = Path(__file__).parents[3] / "checkpoints" / "multi30k-en-de" / "tokenizer.model"
    tokenizer = Tokenizer.load(model)
    sides = []
    for language in ("en", "de"):
        with gzip.open(real_corpus / f"train.{language}.gz", "rt", encoding="utf-8") as file:
            sides.append([line.rstrip("\n") for line in itertools.islice(file, 3000)])
    text = list(zip(*sides, strict=True))
    pairs, dropped = encode_pairs(text, tokenizer, PLAIN)
    assert not dropped
    for pair, (src, tgt) in zip(pairs, text, strict=True):
        assert read(tokenizer, pair) == (normalise(src), normalise(tgt))
