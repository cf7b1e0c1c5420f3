"""Tests of the parts of a text that no translation may change."""

from translator.text.protected import protected_spans


def test_letters_in_no_word_stay() -> None:
    text = "My cat typed sdfghjkl here."
    assert [text[a:b] for a, b in protected_spans(text)] == ["sdfghjkl"]
    assert not protected_spans("Angstschweiß, rhythm, Deutschland")
