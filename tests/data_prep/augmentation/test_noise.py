"""Noise in text: what each kind changes on which side, how often, and that it is pure."""

import itertools
import math
import random
import re
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data_prep.augmentation import noise as module
from data_prep.augmentation.noise import Noise, draw
from translator.config.errors import TranslatorError
from translator.config.loading import load_config
from translator.config.schema import USUAL_NOISE, NoiseConfig
from translator.text.codec import TextCodec, normalise, target_ids

KINDS = tuple(USUAL_NOISE)
SRC = "Two men don't walk, see https://Ab.org/Xy or Al@bo.de (the 3rd of 1,200 in Oslo)."
TGT = "Zwei Männer gehen große Straßen, siehe https://Ab.org/Xy oder Al@bo.de in Oslo."
WORDS = st.text(st.sampled_from("aZßäÉ1 .,!?'-@(\ufb01😀"), max_size=20).map(normalise)
PAIRS = st.tuples(WORDS.filter(bool), WORDS.filter(bool))


def only(*kinds: str, rate: float = 1.0) -> NoiseConfig:
    return NoiseConfig(**{kind: rate for kind in kinds})


def changed(kind: str, src: str, tgt: str, seed: int = 1) -> tuple[str, str]:
    return getattr(module, kind)(src, tgt, random.Random(seed))


def test_capitals_on_both_sides_but_not_in_addresses() -> None:
    src, tgt = changed("capitals", SRC, TGT)
    assert src == (
        "TWO MEN DON'T WALK, SEE https://Ab.org/Xy OR Al@bo.de (THE 3RD OF 1,200 IN OSLO)."
    )
    assert "GROSSE STRASSEN" in tgt and "https://Ab.org/Xy" in tgt and "Al@bo.de" in tgt


def test_title_case_on_both_sides() -> None:
    src, tgt = changed("title_case", SRC, TGT)
    assert src == (
        "Two Men Don't Walk, See https://Ab.org/Xy Or Al@bo.de (The 3rd Of 1,200 In Oslo)."
    )
    assert tgt.startswith("Zwei Männer Gehen Große Straßen, Siehe https://Ab.org/Xy Oder")


def test_lower_case_in_the_source_alone() -> None:
    src, tgt = changed("lower_case", SRC, TGT)
    assert src.startswith("two men don't walk, see https://Ab.org/Xy or Al@bo.de (the 3rd")
    assert tgt == TGT


@given(PAIRS)
def test_case_changes_nothing_but_case(pair: tuple[str, str]) -> None:
    for kind in ("capitals", "title_case", "lower_case"):
        for before, after in zip(pair, changed(kind, *pair), strict=True):
            assert after.casefold() == before.casefold()


def test_final_stops_go_and_come_on_both_sides() -> None:
    for mark in ".!?":
        both = f"It rains{mark}", f"Es regnet{mark}"
        assert changed("no_final_stop", *both) == ("It rains", "Es regnet")
        assert changed("final_stop", *both) == both
    assert changed("final_stop", "It rains", "Es regnet") == ("It rains.", "Es regnet.")
    for src, tgt in (("Wait...", "Warte..."), ("Why?!", "Wieso?!"), ("So.", "So!"), (".", ".")):
        assert changed("no_final_stop", src, tgt) == (src, tgt)
    for src, tgt in (("It rains", "Es regnet!"), ("(so)", "(so)")):
        assert changed("final_stop", src, tgt) == (src, tgt)


@given(PAIRS)
def test_a_stop_that_was_added_can_be_taken_away(pair: tuple[str, str]) -> None:
    longer = changed("final_stop", *pair)
    if longer != pair:
        assert changed("no_final_stop", *longer) == pair


def one_slip(word: str) -> dict[str, str]:
    """All that one slip makes of a word, and which it was."""
    found = {}
    for i in range(1, len(word) - 1):
        start, letter, end = word[:i], word[i], word[i + 1 :]
        for other in module._NEIGHBOURS.get(letter.lower(), ""):
            found[start + (other.upper() if letter.isupper() else other) + end] = "beside"
        found[start + end[0] + letter + end[1:]] = "swapped"
        found[start + end] = "dropped"
        found[start + letter * 2 + end] = "doubled"
    return found


def test_typos_are_slips_in_long_words_of_the_source() -> None:
    src = SRC.replace("see", "Wanderer STRASSENBAHN")
    slips: Counter[str] = Counter()
    spoilt = Counter()
    for seed in range(400):
        after, tgt = changed("typos", src, TGT, seed)
        assert tgt == TGT and len(after.split()) == len(src.split())
        changes = [(a, b) for a, b in zip(src.split(), after.split(), strict=True) if a != b]
        assert 1 <= len(changes) <= 3
        for before, word in changes:
            letters = before.strip(",")
            slips[one_slip(letters)[word.strip(",")]] += 1
            spoilt[letters] += 1
    # Not a short word, one with other signs, a number, an address, or what the target has too.
    assert spoilt.keys() == {"walk", "Wanderer", "STRASSENBAHN"}
    assert slips.keys() == {"beside", "swapped", "dropped", "doubled"}
    assert min(slips.values()) > 0.1 * slips.total()


def test_neighbouring_keys_are_those_of_both_keyboards() -> None:
    assert set(module._NEIGHBOURS["z"]) == {"x", "t", "u"}  # QWERTY; QWERTZ
    assert set(module._NEIGHBOURS["g"]) == {"f", "h"}
    for key, others in module._NEIGHBOURS.items():
        assert all(key in module._NEIGHBOURS[other] for other in others)


def test_text_without_long_words_gets_no_typo() -> None:
    for src in ("Go on, so be it 123456 @somebody #something", "", "😀"):
        assert changed("typos", src, "x") == (src, "x")


def inline_parts(before: str, after: str) -> tuple[str, str, str]:
    """What stands before, in and behind the place where something came in."""
    words, longer = before.split(), after.split()
    assert len(longer) == len(words) + 1
    for i, item in enumerate(longer):
        if longer[:i] + longer[i + 1 :] == words:
            return " ".join(longer[:i]), item, " ".join(longer[i + 1 :])
    raise AssertionError(f"{before!r} is not {after!r} with a word more")


def test_inline_noise_comes_to_the_same_place_and_out_unchanged(tokenizer) -> None:
    """Through the ids of both sides, as placeholders where the vocabulary ends, and back."""
    pair = "The dog runs here. The man eats.", "Der Hund läuft hier. Der Mann isst."
    codec = TextCodec(tokenizer)
    places, kinds = Counter(), Counter()
    for seed in range(400):
        src, tgt = changed("inline", *pair, seed)
        (start, item, end), (tgt_start, tgt_item, _) = map(inline_parts, pair, (src, tgt))
        assert item == tgt_item
        assert (start, tgt_start) in {
            ("", ""),
            pair,
            ("The dog runs here.", "Der Hund läuft hier."),
        }
        places[bool(start), bool(end)] += 1
        kind = "mail" if "@" in item else "web" if "." in item else "number"
        kinds[kind if item.isascii() else "emoji"] += 1
        source = codec.encode(normalise(src))
        ids = target_ids(codec, normalise(tgt), source)
        assert codec.decode(ids, source) == tgt
        assert codec.missing(ids, source) == []
        if not item.isdigit():
            assert [span.text for span in source.copies] == [item]
            assert tokenizer.copy_ids[0] in ids
    assert places.keys() == {(False, True), (True, False), (True, True)}
    assert kinds.keys() == {"mail", "web", "number", "emoji"} and min(kinds.values()) > 50


def test_inline_noise_is_not_between_sentences_that_do_not_match() -> None:
    for seed in range(50):
        src, _ = changed("inline", "It rains. I wait.", "Es regnet, ich warte.", seed)
        assert not all(inline_parts("It rains. I wait.", src)[::2])


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_a_pure_function_of_the_state(kind: str) -> None:
    noise = Noise(only(kind))
    others = [("It rains.", "Es regnet.")]
    pair = (SRC, TGT) if kind != "final_stop" else ("So it is", "So ist es")
    results = [noise(pair, lambda: others, random.Random(seed)) for seed in range(20)]
    assert pair not in results
    random.random()
    assert results == [noise(pair, lambda: others, random.Random(seed)) for seed in range(20)]


@given(PAIRS, st.integers(0, 99))
def test_all_noise_keeps_text_normalised_and_something_of_it(pair, seed: int) -> None:
    noise = Noise(NoiseConfig(scale=2.0))
    for side in noise(pair, lambda: [pair], random.Random(seed)):
        assert side and side == normalise(side)


def test_kinds_are_done_in_their_order() -> None:
    """All at once: joined, then without the last stop, then in capitals, then what comes in."""
    noise = Noise(only("join", "no_final_stop", "capitals", "inline"))
    pairs = [("It rains.", "Es regnet."), ("I wait.", "Ich warte.")]
    found = set()
    for seed in range(60):
        src, tgt = noise(pairs[0], lambda: pairs[1:], random.Random(seed))
        found.add(inline_parts("IT RAINS. I WAIT", src)[0])
        inline_parts("ES REGNET. ICH WARTE", tgt)
    assert found == {"", "IT RAINS.", "IT RAINS. I WAIT"}
    assert Noise(only("join"))(pairs[0], lambda: [], random.Random(1)) == pairs[0]


N = 40_000


@pytest.fixture(scope="module")
def chosen() -> list[list[str]]:
    noise = Noise(NoiseConfig(scale=1.0))
    keys = range(1000, 1000 + len(noise.rows))
    return [noise.choose(draw(key, i) for key in keys) for i in range(N)]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_occurs_at_its_rate(chosen, kind: str) -> None:
    rate = USUAL_NOISE[kind]
    count = sum(kind in kinds for kinds in chosen)
    assert count / N == pytest.approx(rate, abs=4 * math.sqrt(rate * (1 - rate) / N))


def test_kinds_of_different_rows_are_independent_and_of_one_row_exclude_each_other(chosen) -> None:
    rows = [[kind for kind, _, _ in row] for row in Noise(NoiseConfig(scale=1.0)).rows]
    together = Counter(pair for kinds in chosen for pair in itertools.combinations(kinds, 2))
    for one, other in itertools.combinations(rows, 2):
        for a, b in itertools.product(one, other):
            rate = USUAL_NOISE[a] * USUAL_NOISE[b]
            bound = 5 * math.sqrt(rate * (1 - rate) / N)
            assert together[a, b] / N == pytest.approx(rate, abs=bound), (a, b)
    for row in rows:
        assert not any(together[pair] for pair in itertools.permutations(row, 2))


def test_a_draw_is_the_same_for_one_index_and_for_all() -> None:
    index = torch.cat([torch.arange(1000), torch.tensor([2**31, 2**32 - 1])])
    for key in (0, 1, 12345, 2**63 - 1, 0x123456789ABCDEF):
        at_once = draw(key, index)
        assert at_once.tolist() == [draw(key, i) for i in index.tolist()]
        assert int(at_once.min()) >= 0 and int(at_once.max()) < 2**32


def test_draws_look_random() -> None:
    """Level in 64 classes, without correlation between neighbours or keys."""
    index = torch.arange(1 << 16)
    for key in (1, 2, 3 << 32, 987654321 << 30):
        x = draw(key, index)
        counts = torch.bincount(x >> 26, minlength=64).double()
        chi_square = float(((counts - 1024) ** 2 / 1024).sum())
        assert 63 - 5 * math.sqrt(126) < chi_square < 63 + 5 * math.sqrt(126)
        for other in (draw(key + 1, index), draw(key + (1 << 32), index), x.roll(1), x.roll(2)):
            correlation = torch.corrcoef(torch.stack([x.double(), other.double()]))[0, 1]
            assert abs(float(correlation)) < 5 / 256


def test_there_is_no_noise_by_default_and_scale_turns_it_on() -> None:
    assert not Noise(NoiseConfig()) and not Noise(only(*KINDS, rate=0.0))
    assert Noise(NoiseConfig(scale=1.0)) and Noise(only("typos", rate=0.1))
    assert not any(Noise(NoiseConfig()).choose([0] * 5))
    scaled = load_config(overrides=["noise.scale=0.5", "noise.typos=0.3", "noise.join=0"]).noise
    rates = {kind: scaled.rate(kind) for kind in KINDS}
    halves = {kind: rate / 2 for kind, rate in USUAL_NOISE.items()}
    assert rates == {**halves, "typos": 0.3, "join": 0.0}


@pytest.mark.parametrize(
    "override",
    [
        *("noise.scale=-1", "noise.scale=nan", "noise.scale=inf", "noise.scale=9"),
        *("noise.typos=1.1", "noise.typos=-0.5", "noise.typos=nan", "noise.no_such_kind=1"),
    ],
)
def test_wrong_rates_are_named(override: str) -> None:
    name = re.escape(override.split("=")[0])
    with pytest.raises(TranslatorError, match=rf"{name}|noise\.capitals|noise\.no_final_stop"):
        load_config(overrides=[override])


def test_kinds_that_exclude_each_other_share_the_pairs() -> None:
    with pytest.raises(TranslatorError, match="together at most 1"):
        load_config(overrides=["noise.capitals=0.6", "noise.lower_case=0.5"])
    everything = only("capitals", "title_case", rate=0.5)
    kinds = Counter(Noise(everything).choose([0, 0, 0, x, 0])[0] for x in range(0, 2**32, 2**20))
    assert kinds == {"capitals": 2048, "title_case": 2048}
