"""The general models say what people say every day; the suite that measures it is sound."""

import re
from collections import Counter
from pathlib import Path

import pytest
from everyday import Sentence, print_results, read_suite

from translator import Translator
from translator.storage.find import shipped_models

DIRECTIONS = ["en-de", "de-en"]
PHRASEBOOK = Path(__file__).parents[2] / "checkpoints" / "phrasebook"


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_suite_is_sound(direction: str) -> None:
    sentences = read_suite(direction)
    assert len(sentences) >= 100
    assert len({s.source for s in sentences}) == len(sentences)
    categories = Counter(s.category for s in sentences)
    assert categories.keys() == Counter(s.category for s in read_suite(DIRECTIONS[0])).keys()
    assert min(categories.values()) >= 5
    for sentence in sentences:
        assert sentence.accepted, sentence.source
        for wrong in ("", sentence.source, f"{sentence.accepted[0]} or so"):
            assert not sentence.accepts(wrong), sentence.source
        for pattern in sentence.accepted + sentence.refused:
            assert pattern.count("(") == pattern.count(")"), pattern


def test_translations_that_a_pattern_accepts() -> None:
    sentence = Sentence(
        "travel",
        "Go!",
        ["(Geh|Gehen Sie)( doch( bitte|)|) los.", 'Los, *"jetzt".'],
        ["du", "Sie x"],
    )
    for right in ("Geh los.", "Gehen  Sie doch los!", "Geh doch bitte los.", "Los, x „jetzt“."):
        assert sentence.accepts(right), right
    for wrong in (
        *("Geh los", "geh los.", "Geh  doch doch los.", "Gehlos.", "Geh los. Geh los."),
        *("Los, du „jetzt“.", "(Geh|Gehen Sie) los.", "Gehen Sie bitte los."),
    ):
        assert not sentence.accepts(wrong), wrong
    assert sentence.accepts('Los, dumm "jetzt".')  # a word is refused, not a part of one


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_phrasebook_holds_no_sentence_of_the_suite(language: str) -> None:
    """Nor four words of one in a row. Single words are in any dictionary."""

    def words(text: str) -> list[str]:
        return re.findall(r"[\w'’]+", text.lower())

    suite = [
        words(sentence.source)
        for direction in DIRECTIONS
        if direction.startswith(language)
        for sentence in read_suite(direction)
    ]
    rows = {tuple(text[i : i + 4]) for text in suite for i in range(len(text) - 3)}
    for line in (PHRASEBOOK / f"train.{language}").read_text(encoding="utf-8").splitlines():
        text = words(line)
        assert len(text) < 2 or text not in suite, line
        assert not rows & {tuple(text[i : i + 4]) for i in range(len(text) - 3)}, line


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_shipped_model_is_right_about_daily_life(direction: str) -> None:
    folder = shipped_models().get(f"general-{direction}")
    if folder is None:
        pytest.skip(f"needs checkpoints/general-{direction}")
    sentences = read_suite(direction)
    found = Translator.load(folder, device="cpu").translate([s.source for s in sentences])
    assert print_results(sentences, found) >= 0.7  # the aim is 0.8
