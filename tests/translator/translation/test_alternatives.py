"""What a word of a translation could be instead."""

import pytest

from translator.translation.alternatives import alternatives
from translator.translation.translator import Translator

TEXT = "The dog runs here."


@pytest.mark.parametrize("prefix", ["", "Der", "Der Hund"])
def test_alternatives_continue_the_prefix(translator: Translator, prefix: str) -> None:
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


def test_alternatives_say_the_terms(translator: Translator) -> None:
    terms = {"dog": "Katze", "here": "!"}
    found = alternatives(translator, TEXT, "", terms=terms)
    assert found
    for each in found:
        assert "Katze" in each.segment.text and "here" in each.segment.text
        assert each.segment.text.count("Katze") == 1


def test_in_the_place_of_a_term_is_nothing_else(translator: Translator) -> None:
    (said,) = translator.translate_lines([TEXT], terms={"dog": "Katze"})
    before = said.text[: said.text.index("Katze")]
    assert alternatives(translator, TEXT, before, terms={"dog": "Katze"}) == []
    for each in alternatives(translator, TEXT, f"{before}Katze", terms={"dog": "Katze"}):
        assert each.segment.text.count("Katze") == 1  # it is said already
