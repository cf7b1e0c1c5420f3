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
        ("pump\tPumpe\ta noun", "two columns"),
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
    for wrong in ({1: "a"}, {"a": 1}, {"a": ["b", 2]}, {"a": None}):
        with pytest.raises(TypeError, match="strings") as error:
            Terms.of(wrong)  # type: ignore[arg-type]
        assert "\n" not in str(error.value)


def test_terms_are_found_in_their_forms() -> None:
    terms = Terms.of({"pump": "Pumpe", "pump station": "Pumpwerk", "Acme": "!", "city": "Ort"})
    assert held(terms, "Pumps, a pump's lid, PUMP!") == ["Pumps", "pump's", "PUMP"]
    assert held(terms, "Two pump stations in three cities.") == ["pump stations", "cities"]
    assert held(terms, "Acme, ACME, not acme nor Acmes.") == ["Acme", "ACME"]
    assert held(terms, "A pumpkin, a pump-driven thing, a foot-pump.") == []
    assert held(terms, "A foot\u2010pump, a pump\u2011driven thing.") == []
    overlapping = Terms.of({"fire": "a", "fire engine": "b", "engine room of ships": "c"})
    assert held(overlapping, "A fire engine room of ships.") == ["fire engine"]
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
    ("form", "inside", "not_inside"),
    [
        ("Reis", "Reisfeld Vollkornreis Reisgerichte", "Preise Kreise reisen Preisen"),
        ("Hund", "Hundehütten Schäferhunden", "Hundert Hunderte Hunderten Jahrhunderte schund"),
        ("Pumpe", "Pumpenraum Förderpumpenraum Förderpumpen", "Lumpen gepumpt"),
    ],
)
def test_compounds_are_words_that_a_term_is_part_of(
    form: str, inside: str, not_inside: str
) -> None:
    matches = Terms.of({"x": form}).find("x", "en")
    for word in inside.split():
        assert used_terms(matches, f"Die {word} hier.", "de")[0].used == word
    for word in not_inside.split():
        assert used_terms(matches, f"Die {word} hier.", "de")[0].used is None, word


def test_adjectives_of_names_have_endings() -> None:
    for form, text in [
        ("Europäische Union", "In der Europäischen Union."),
        ("Schwarzes Meer", "Das Schwarze Meer, am Schwarzen Meer."),
        ("Vereinigte Staaten", "Die Vereinigten Staaten."),
    ]:
        assert not lost_terms(Terms.of({"x": form}).find("x", "en"), text, "de"), form


def test_unchanged_terms_match_only_exactly() -> None:
    matches = Terms.of({"npm": "!"}).find("npm", "en")
    assert used_terms(matches, "Das npm hier.", "de")[0].used == "npm"
    for text in ("Npm ist hier.", "NPM IST HIER.", "npms"):
        assert lost_terms(matches, text, "de"), text


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
