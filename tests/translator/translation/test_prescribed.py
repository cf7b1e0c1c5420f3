"""Translations hold the terms of a glossary, and all else stays as it was."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from translator import Terms, Translator
from translator.storage.find import shipped_models
from translator.text.tokenizer import N_COPY
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


def test_numbers_keep_their_new_form_beside_terms(translator: Translator) -> None:
    text = "A dog has 1,234.5 kg and a cat."
    for terms in ({}, {"dog": "Köter"}, {"dog": "Köter", "cat": "Mieze", "has": "ρωΔ"}):
        (found,) = translator.translate_lines([text], terms=terms)
        assert "1.234,5" in found.text and all(use.used for use in found.terms)


def test_a_prefix_stays_as_it_is_beside_terms(translator: Translator) -> None:
    text = "The dog of {name} sees {other} and the man."
    for prefix in ("Wie {other}", "{name}, {other}"):
        (found,) = translator.translate_lines(
            [text], prefix=prefix, terms={"dog": "Köter", "man": "Kerl"}
        )
        assert found.text.startswith(prefix), found.text
        assert all(found.text.count(name) == 1 for name in ("{name}", "{other}"))
        assert all(use.used for use in found.terms)


def test_private_characters_in_a_text_are_not_terms(translator: Translator) -> None:
    (found,) = translator.translate_lines(
        ["The dog \ue100 sees \ue101 a man."], terms={"dog": "Köter", "man": "Kerl"}
    )
    assert found.text.count("\ue100") == 1 and found.text.count("\ue101") == 1


def test_terms_of_a_text_full_of_placeholders_are_looked_for(translator: Translator) -> None:
    names = " ".join(f"{{name{i}}}" for i in range(N_COPY + 5)).replace(" ", " and ")
    (found,) = translator.translate_lines(
        [f"The dog sees {names}."], split="never", terms={"dog": "Köter"}
    )
    assert all(found.text.count(f"{{name{i}}}") <= 1 for i in range(N_COPY + 5))


def test_unchanged_terms_stay_so_at_the_start_of_a_sentence(translator: Translator) -> None:
    for text in ("The npm sleeps.", "npm", "THE MAN SEES NPM."):
        (found,) = translator.translate_lines([text], terms={"npm": "!"})
        assert [use.used for use in found.terms] == [use.source for use in found.terms] != []


def test_a_lost_term_is_reported(translator: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
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
