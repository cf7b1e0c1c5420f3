"""Translations hold the terms of a glossary, and all else stays as it was."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from translator import Terms, Translator
from translator.storage.find import shipped_models

SENTENCES = ["The dog sleeps here.", "A man sings today.", "The bird eats now and the dog waits."]


def texts(translator: Translator, lines: Iterable[str], **options: object) -> list[str]:
    return [found.text for found in translator.translate_lines(lines, **options)]


def test_terms_that_no_text_holds_change_nothing(translator: Translator) -> None:
    plain = translator.translate_lines(SENTENCES)
    assert translator.translate_lines(SENTENCES, terms={"submarine": "U-Boot"}) == plain
    assert translator.translate_lines(SENTENCES, terms={}) == plain
    assert not any(found.terms for found in plain)


def test_terms_are_said(translator: Translator) -> None:
    terms = Terms.of({"dog": "Köter", "sleeps": "ρωΔ", "man": "!"})
    for found in translator.translate_lines([*SENTENCES, "THE DOG SLEEPS."], terms=terms):
        assert found.terms, found
        for use in found.terms:
            assert use.used and use.used.casefold() in found.text.casefold(), found
    found = translator.translate("The man sleeps.", terms=terms)
    assert "man" in found.split() and "ρωΔ" in found


def test_what_is_carried_over_holds_no_term(translator: Translator) -> None:
    (found,) = translator.translate_lines(["The `dog` sleeps."], terms={"dog": "Köter"})
    assert "`dog`" in found.text and not found.terms


def test_a_term_that_is_lost_is_told(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from translator.translation.prescribed import Prescriber

    monkeypatch.setattr(Prescriber, "search", lambda self, *args: self.decoder.search(*args))
    found = translator.translate_lines(["The dog sleeps."], terms={"dog": "Köter"})[0]
    assert [(use.source, use.used) for use in found.terms] == [("dog", None)]


def test_the_general_model_inflects_terms() -> None:
    folder: Path | None = shipped_models().get("general-en-de")
    if folder is None:
        pytest.skip("needs checkpoints/general-en-de")
    terms = {"dog": "Köter", "pump": "Förderpumpe", "nearest": "nächstgelegen"}
    found = texts(
        Translator.load(folder, device="cpu"),
        ["The old dog of my neighbours sleeps.", "Restart all pumps.", "The nearest shop is shut."],
        terms=terms,
    )
    assert "alte Köter " in found[0] and " Förderpumpen" in found[1]
    assert "nächstgelegene " in found[2]
