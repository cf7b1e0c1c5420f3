"""Glossaries: what a file may hold, where terms are in a text, and in its translation."""

from pathlib import Path

import pytest

from translator import Terms, TranslatorError
from translator.text.terms import inflected, lost_terms, used_terms


def held(terms: Terms, text: str, language: str = "en") -> list[str]:
    return [match.text for match in terms.find(text, language)]


def test_a_file_has_terms_forms_and_comments(tmp_path: Path) -> None:
    path = tmp_path / "terms.tsv"
    path.write_bytes(
        "\ufeff# pumps\r\n\r\npump|compressor\tPumpe|Pumpen\r\nAcme Rocket\t!\n".encode()
    )
    terms = Terms.load(path)
    assert terms == Terms.of({"pump|compressor": ["Pumpe", "Pumpen"], "Acme Rocket": "!"})
    assert terms == Terms.of(terms)
    assert held(terms, "A compressor of the Acme Rocket.") == ["compressor", "Acme Rocket"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("pump Pumpe", "no tab"),
        ("\tPumpe", "empty"),
        ("pump\t", "empty"),
        ("pump\tPumpe||Pumpen", "empty"),
        ("pump\t!|Pumpe", "stands alone"),
        ("valve\tHahn", "another translation"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "terms.tsv"
    path.write_text(f"# terms\nvalve\tVentil\n{line}\n")
    with pytest.raises(TranslatorError, match=f"terms.tsv, line 3: .*{reason}") as error:
        Terms.load(path)
    assert "\n" not in str(error.value)


def test_a_missing_file_and_wrong_kinds_are_errors(tmp_path: Path) -> None:
    with pytest.raises(TranslatorError, match="no file"):
        Terms.load(tmp_path / "none.tsv")
    with pytest.raises(TypeError, match="dictionary"):
        Terms.of(["pump"])  # type: ignore[arg-type]


def test_terms_are_found_in_their_forms() -> None:
    terms = Terms.of({"pump": "Pumpe", "pump station": "Pumpwerk", "Acme": "!", "city": "Ort"})
    assert held(terms, "Pumps, a pump's lid, PUMP!") == ["Pumps", "pump's", "PUMP"]
    assert held(terms, "Two pump stations in three cities.") == ["pump stations", "cities"]
    assert held(terms, "Acme, ACME, not acme nor Acmes.") == ["Acme", "ACME"]
    assert held(terms, "A pumpkin, a pump-driven thing, a foot-pump.") == []
    assert held(Terms.of({"Hund": "hound"}), "Hunde des Hundes, hund.", "de") == ["Hunde", "Hundes"]


def test_a_translation_has_a_term_in_any_form() -> None:
    terms = Terms.of({"dog": "Hund", "artificial intelligence": "künstliche Intelligenz"})
    matches = terms.find("dog, dog, artificial intelligence", "en")
    for text in (
        "Hunde und Hunden, die künstlichen Intelligenzen",
        "Schäferhunde, Hundehütten mit künstlicher Intelligenz.",
        "DEN HUND DES HUNDES MIT KÜNSTLICHER INTELLIGENZ",
    ):
        assert not lost_terms(matches, text, "de"), text
    uses = used_terms(matches, "Hund, hundert, künstliches, Intelligenz", "de")
    assert [use.used for use in uses] == ["Hund", None, None]


@pytest.mark.parametrize(
    "form",
    ["Hund", "schnell", "Acme", "Pumpe", "Köter", "rennen", "künstliche Intelligenz", "ABC", "x"],
)
@pytest.mark.parametrize("language", ["de", "en", "fr"])
def test_the_form_itself_is_the_first(form: str, language: str) -> None:
    forms = inflected(form, language)
    assert forms[0] == form and len(set(forms)) == len(forms)
    assert {"Hundes", "Hunden"} <= set(inflected("Hund", "de"))
    assert inflected("city", "en")[1] == "cities" and inflected("day", "en")[1] == "days"
