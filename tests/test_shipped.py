"""The model in checkpoints/multi30k-en-de does what the README says of it."""

import re
from pathlib import Path

import pytest

from translator import Translator
from translator.checkpoint import read_description
from translator.models import shipped_models
from translator.text import normalise

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def shipped() -> Translator:
    return Translator.load(device="cpu")


def test_it_is_small_enough_and_has_a_card() -> None:
    folder = shipped_models()["en", "de"]
    assert (folder / "model.safetensors").stat().st_size <= 25 * 2**20
    card = (folder / "README.md").read_text(encoding="utf-8").replace(r"\|", "|")
    for result in read_description(folder)["scores"].values():
        for score in result["scores"].values():
            assert score["signature"] in card
            assert f"{score['score']:.2f}" in card


def test_it_translates_well_enough_to_be_shown(shipped: Translator) -> None:
    # Two words of the answer, not one frozen sentence: the weights may be replaced.
    (german,) = shipped.translate(["A dog runs along the beach."])
    assert german.startswith("Ein Hund ") and "Strand" in german and german.endswith(".")


def test_a_batch_gives_what_single_sentences_give(shipped: Translator) -> None:
    lines = [line.split("\t")[0] for line in _copying_lines()]
    assert shipped.translate(lines) == [shipped.translate([line])[0] for line in lines]


def test_text_beyond_captions_is_not_empty_and_does_not_loop(shipped: Translator) -> None:
    lines = ["Hello!", "WHY?", "Dr. Smith paid $1,234.50.", "a", "xyzzy", "dog " * 40]
    for line, german in zip(lines, shipped.translate(lines), strict=True):
        assert german.strip()
        assert len(german) <= 6 * len(line) + 60


# --- what the model never saw -----------------------------------------------------------------


def _copying_lines() -> list[str]:
    return (HERE / "copying.tsv").read_text(encoding="utf-8").splitlines()


def _span(source: str) -> str:
    """The emoji, the Greek word or the address of a line in copying.tsv."""
    found = re.search(
        r"(?:https?://|www\.)\S*[^\s.]|[Ͱ-Ͽ]+|[^\w\s.,:!'-]+[\u200d\ufe0f\w]*", source
    )
    assert found
    return found[0]


def _neighbours(text: str, span: str) -> tuple[str, str]:
    """The words before and after the span; "" at either end."""
    before, _, after = text.partition(span)
    left, right = re.findall(r"\w+", before), re.findall(r"\w+", after)
    return (left[-1].lower() if left else "", right[0].lower() if right else "")


def test_the_file_of_sentences_is_sound() -> None:
    lines = [line.split("\t") for line in _copying_lines()]
    assert len(lines) == 60
    for source, *references in lines:
        assert all(text.count(_span(source)) == 1 for text in (source, *references))


def test_unknown_spans_come_out_once_and_in_their_place(shipped: Translator) -> None:
    rows = [line.split("\t") for line in _copying_lines()]
    outputs = shipped.translate([row[0] for row in rows])
    misplaced = []
    for (source, *references), output in zip(rows, outputs, strict=True):
        span = normalise(_span(source))
        assert output.count(span) == 1, (source, output)
        if _neighbours(output, span) not in {_neighbours(r, span) for r in references}:
            misplaced.append((source, output))
    assert len(rows) - len(misplaced) >= 50, misplaced
