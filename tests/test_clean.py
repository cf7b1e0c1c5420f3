"""Which pairs are dropped, and why."""

import pytest

from data_prep.clean import encode_pairs
from translator.config import DataConfig

LIMITS = DataConfig(max_length=80, max_ratio=3.0)


def test_good_pairs_are_encoded_in_order(text_pairs, tokenizer) -> None:
    kept, dropped = encode_pairs(text_pairs, tokenizer, LIMITS)
    assert dropped == {}
    assert [(tokenizer.decode(src), tokenizer.decode(tgt)) for src, tgt in kept] == text_pairs


@pytest.mark.parametrize(
    "pair, reason",
    [
        (("", "Der Hund."), "empty"),
        (("The dog.", " \t "), "empty"),
        (("The dog runs. " * 20, "Der Hund läuft."), "overlong"),
        (("The dog.", "läuft " * 81), "overlong"),
        (("dog", "Hund " * 15), "badly proportioned"),
        (("dog " * 15, "Hund"), "badly proportioned"),
    ],
)
def test_bad_pairs_are_dropped_with_their_reason(tokenizer, pair, reason: str) -> None:
    good = ("The dog runs.", "Der Hund läuft.")
    kept, dropped = encode_pairs([good, pair, good, pair], tokenizer, LIMITS)
    assert len(kept) == 2
    assert dropped == {reason: 2}


def test_a_small_difference_never_speaks(tokenizer) -> None:
    strict = DataConfig(max_ratio=1.01)
    kept, _ = encode_pairs([("dog", "Hund Hund"), ("dog", "Hund " * 15)], tokenizer, strict)
    assert len(kept) == 1
    src, tgt = kept[0]
    assert len(tgt) > 1.01 * len(src)


def test_ids_are_those_of_the_normalised_text(tokenizer) -> None:
    kept, _ = encode_pairs([(" The \t dog ", "la\u0308uft")], tokenizer, LIMITS)
    assert kept == [(tokenizer.encode("The dog"), tokenizer.encode("läuft"))]
