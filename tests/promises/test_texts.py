"""The general models keep what is no sentence, in a sample of each class of ugly texts."""

from pathlib import Path

import pytest

from translator import Translator
from translator.storage.find import shipped_models
from translator.translation.tally import Tally

TEXTS = Path(__file__).parents[1] / "data" / "texts"
EVERY = 3  # lines, of which one is translated; all of them take a minute


@pytest.mark.slow
@pytest.mark.parametrize("src", ["en", "de"])
def test_the_general_model_keeps_text_without_sentences(src: str) -> None:
    folder = shipped_models().get("general-en-de" if src == "en" else "general-de-en")
    if folder is None:
        pytest.skip("needs the general models")
    lines = [
        line
        for file in sorted(TEXTS.glob(f"*.{src}.txt"))
        for line in file.read_text(encoding="utf-8").split("\n")[:-1:EVERY]
    ]
    assert len(lines) > 25
    tally = Tally()
    wrong = {}
    for found in Translator.load(folder, device="cpu").translate_lines(lines):
        if said := tally.add(found):
            wrong[found.source] = (found.text, said)
    assert not wrong
    assert all(tally.held.values())
