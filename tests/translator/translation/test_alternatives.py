"""What a word of a translation could be instead."""

import pytest

from translator.translation.alternatives import alternatives
from translator.translation.translator import Translator

TEXT = "The dog runs here."


@pytest.mark.parametrize("prefix", ["", "Der", "Der Hund"])
def test_alternatives_go_on_from_the_prefix(translator: Translator, prefix: str) -> None:
    n_words = len(prefix.split())
    found = alternatives(translator, TEXT, prefix)
    assert 1 < len(found) <= 8
    assert len({each.word for each in found}) == len(found)
    for each in found:
        words = each.segment.text.split()
        assert words[:n_words] == prefix.split() and words[n_words] == each.word
        assert each.segment.source == TEXT and each.segment.alignment is not None


@pytest.mark.parametrize(
    "text", ["", "  ", "42", "The <b>dog</b> runs.", "The dog runs here. " * 99]
)
def test_what_is_no_plain_sentence_has_none(translator: Translator, text: str) -> None:
    assert alternatives(translator, text, "") == []
