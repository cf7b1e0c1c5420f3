"""Translations hold the terms of a glossary, and all else stays as it was."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from translator import Terms, Translator
from translator.storage.find import shipped_models
from translator.translation.units import cut_lines

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


def test_what_is_judged_scores_as_if_it_had_been_found(translator: Translator) -> None:
    search = translator.search_config()
    lines = [*SENTENCES, "The dog sees {name} and {other}."]
    units = cut_lines(translator.reader, lines, search, "sentences", "")
    found = [hypotheses[0] for hypotheses in translator.decoder.search(units, search)]
    given = [
        (unit, translator.codec.decode(h.ids, unit.source))
        for unit, h in zip(units, found, strict=True)
    ]
    for judged, hypothesis in zip(
        translator.decoder.judge(given * 2, search), found * 2, strict=True
    ):
        if judged.ids == hypothesis.ids:  # else the text is spelt in other pieces
            assert judged.log_prob == pytest.approx(hypothesis.log_prob, abs=1e-4)
            assert judged.score == pytest.approx(hypothesis.score, abs=1e-4)
