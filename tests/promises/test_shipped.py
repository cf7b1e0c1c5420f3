"""The models in checkpoints/ do what the README says of them."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from translator import Translator
from translator.cli.main import app
from translator.storage.find import find_model, shipped_models
from translator.storage.model_folder import read_description
from translator.text.codec import normalise
from translator.text.numbers import lost_numbers
from translator.translation.faults import is_loop

REPOSITORY = Path(__file__).parents[2]
MODELS = sorted(shipped_models())
CAPTION_MODELS = [name for name in MODELS if name.startswith("multi30k")]
MOST_MIB = {"general": 36, "multi30k": 25}
CAPTIONS = {
    "en": ["A dog runs along the beach.", "Two men are playing guitar on a stage."],
    "de": ["Ein Hund rennt am Strand entlang.", "Zwei Männer spielen auf einer Bühne Gitarre."],
}
# Nothing that stands under a picture.
OTHER_TEXT = {
    "en": [
        *("Hello!", "What is your name?", "Thank you very much.", "No.", "WHY?", "xyzzy", "a"),
        *("Dr. Smith paid $1,234.50.", "I LOVE YOU", "The government will raise taxes in 2031."),
        *("👍", "👍 Great!!!", "dog " * 40, "The train to Wroclaw leaves at 15:47.", "e = mc²"),
        "If it had not rained, we would have gone to the cinema, but nobody knew what was on.",
    ],
    "de": [
        *("Hallo!", "Wie heißt du?", "Vielen Dank.", "Nein.", "WARUM?", "xyzzy", "a"),
        *("Dr. Schmidt zahlte 1.234,50 €.", "ICH LIEBE DICH", "2031 steigen wohl die Steuern."),
        *("👍", "👍 Toll!!!", "Hund " * 40, "Der Zug nach Breslau fährt um 15:47 ab.", "e = mc²"),
        "Hätte es nicht geregnet, wären wir ins Kino gegangen, aber niemand wusste, was lief.",
    ],
}


@pytest.fixture(scope="module", params=MODELS)
def shipped(request: pytest.FixtureRequest) -> Translator:
    return Translator.load(request.param, device="cpu")


@pytest.fixture(scope="module", params=CAPTION_MODELS)
def captions(request: pytest.FixtureRequest) -> Translator:
    """One that knows captions and little else."""
    return Translator.load(request.param, device="cpu")


def test_it_is_small_enough_and_has_a_card(shipped: Translator) -> None:
    folder = shipped.model.folder
    assert folder is not None
    most = MOST_MIB[folder.name.split("-")[0]]
    assert (folder / "model.safetensors").stat().st_size <= most * 2**20
    card = (folder / "README.md").read_text(encoding="utf-8").replace(r"\|", "|")
    for result in read_description(folder)["scores"].values():
        for score in result["scores"].values():
            assert score["signature"] in card
            assert f"{score['score']:.2f}" in card


def test_it_reaches_its_published_quality(shipped: Translator) -> None:
    # Two words of the answer, not one frozen sentence: the weights may be replaced.
    (found,) = shipped.translate(CAPTIONS[shipped.src][:1])
    dog, beach = {"de": ("Ein Hund ", "Strand"), "en": ("A dog ", "beach")}[shipped.tgt]
    assert found.startswith(dog) and beach in found and found.endswith(".")


def test_a_general_model_is_the_default_and_reads_long_sentences() -> None:
    for src, tgt in (("en", "de"), ("de", "en")):
        name = f"general-{src}-{tgt}"
        if name not in MODELS:
            pytest.skip(f"needs checkpoints/{name}")
        assert find_model(None, src, tgt).name == name
        config = read_description(shipped_models()[name])["config"]
        assert config["search"]["max_pieces"] == config["data"]["max_length"] == 128


@pytest.mark.parametrize(
    ("options", "direction"),
    [
        ([], "en-de"),
        (["--src", "en"], "en-de"),
        (["--tgt", "de"], "en-de"),
        (["--src", "en", "--tgt", "de"], "en-de"),
        (["--src", "de"], "de-en"),
        (["--tgt", "en"], "de-en"),
        (["--src", "de", "--tgt", "en"], "de-en"),
    ],
)
def test_one_language_is_enough_to_choose_a_model(
    options: list[str], direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRANSLATOR_MODEL", raising=False)
    src, tgt = direction.split("-")
    done = CliRunner().invoke(app, ["translate", *options, CAPTIONS[src][0]])
    assert (done.exit_code, done.stderr) == (0, "")  # no word of a text in the wrong language
    assert done.stdout == Translator.load(src=src, tgt=tgt).translate(CAPTIONS[src][:1])[0] + "\n"


@pytest.mark.parametrize(
    ("options", "direction"),
    [(["--src", "fr"], "fr-de"), (["--src", "de", "--tgt", "de"], "de-de")],
)
def test_a_direction_without_a_model_is_one_line(
    options: list[str], direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRANSLATOR_MODEL", raising=False)
    done = CliRunner().invoke(app, ["translate", *options, "Un chien court."])
    assert done.exit_code == 1 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and f"No model for {direction} is shipped" in done.stderr


def test_a_batch_equals_single_sentences(shipped: Translator) -> None:
    lines = [row[shipped.src == "de"] for row in _copying_rows()]
    assert shipped.translate(lines) == [shipped.translate([line])[0] for line in lines]


def test_text_beyond_captions_is_sane(shipped: Translator) -> None:
    """Something is said, and not over and over; nothing that can be copied is lost."""
    lines = OTHER_TEXT[shipped.src]
    for line, found in zip(lines, shipped.translate(lines), strict=True):
        assert found.strip() and not is_loop(line, found), (line, found)
        assert len(found) <= 6 * len(line) + 60
        assert not lost_numbers(line, found), (line, found)
        for kept in ("👍", "²", "Wroclaw", "Smith"):
            assert kept not in line or kept in found, (line, found)


def test_its_confidence_is_low_outside_its_domain(captions: Translator) -> None:
    known = captions.translate_lines(CAPTIONS[captions.src], confidence=True)
    others = captions.translate_lines(OTHER_TEXT[captions.src], confidence=True)
    sure = [found.confidence for found in known]
    unsure = [found.confidence for found in others]
    assert min(sure) > 0.5
    assert sorted(unsure)[len(unsure) // 2] < 0.1 and sum(c > 0.5 for c in unsure) <= 1


# --- what the model never saw -----------------------------------------------------------------


def _copying_rows() -> list[list[str]]:
    """English, then one or more ways to say it in German."""
    text = (REPOSITORY / "tests" / "support" / "copying.tsv").read_text(encoding="utf-8")
    return [line.split("\t") for line in text.splitlines()]


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


def _place_in_english(text: str, span: str) -> tuple[str, str]:
    """The same whatever form a verb has: "runs", "is running", "running".

    The file says each sentence in one English way, where it has several German ones.
    """
    before, after = _neighbours(re.sub(r"\b(is|are) ", "", text), span)
    return before[:3], after[:3]


def test_the_file_of_sentences_is_sound() -> None:
    lines = _copying_rows()
    assert len(lines) == 60
    for source, *references in lines:
        assert all(text.count(_span(source)) == 1 for text in (source, *references))


def test_unknown_spans_come_out_once_and_in_their_place(shipped: Translator) -> None:
    rows = _copying_rows()
    if shipped.src == "de":
        rows = [[german, english] for english, german, *_ in rows]
    outputs = shipped.translate([row[0] for row in rows])
    misplaced = []
    for (source, *references), output in zip(rows, outputs, strict=True):
        span = normalise(_span(source))
        assert output.count(span) == 1, (source, output)
        place = _place_in_english if shipped.tgt == "en" else _neighbours
        if place(output, span) not in {place(r, span) for r in references}:
            misplaced.append((source, output))
    assert len(rows) - len(misplaced) >= 50, misplaced
