"""Lines in, lines out: order, white space, placeholders and long texts, whatever a model says."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from translator.checkpoint import Model, save_model
from translator.config import TranslatorError
from translator.models import describe_model, find_model, pick_device
from translator.search import Hypothesis
from translator.stream import translate_to_file
from translator.text import normalise, split_long
from translator.tokenizer import EOS
from translator.translate import Translation, Translator

LINES = [
    "The dog runs here.",
    "",
    "The man sleeps today. The bird sings often.",
    "   ",
    "\t",
    "  The boy waits slowly.  ",
    "\u2028\x85\x0c",
    "The doctor laughs.\r",
    "\u00a0The father eats alone.",
    "The 👍🏽 dog runs.",
    "dog",
]


@pytest.fixture(scope="module")
def translator(random_model: Model) -> Translator:
    return Translator(random_model)


@pytest.fixture(scope="module")
def model_folder(random_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    weights = random_model.transformer.state_dict()
    save_model(folder, weights, random_model.tokenizer, random_model.config, {})
    return folder


def n_parts(translator: Translator, text: str) -> int:
    return len(translator._units(0, text, translator.model.config.search.max_pieces))


def test_every_line_gives_one_line(translator: Translator) -> None:
    found = translator.translate(LINES)
    assert len(found) == len(LINES)
    for line, text in zip(LINES, found, strict=True):
        assert "\n" not in text
        if not line.strip():
            assert text == line
        else:
            assert text.strip() and text.strip() != line.strip()
            assert text.startswith(line[: len(line) - len(line.lstrip())])
            assert text.endswith(line[len(line.rstrip()) :])


@settings(max_examples=25)
@given(lines=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=5))
def test_any_text_is_taken(translator: Translator, lines: list[str]) -> None:
    found = translator.translate_lines(lines)
    assert [translation.source for translation in found] == lines
    for line, translation in zip(lines, found, strict=True):
        text = translation.text
        assert text.startswith(line[: len(line) - len(line.lstrip())])
        assert text.endswith(line[len(line.rstrip()) :])


def test_nothing_in_nothing_out(translator: Translator) -> None:
    assert translator.translate([]) == []


def close(one: list[Translation], other: list[Translation]) -> bool:
    scores = [translation.score for translation in other]
    return [t.text for t in one] == [t.text for t in other] and [
        t.score for t in one
    ] == pytest.approx(scores, abs=1e-4)


@pytest.mark.parametrize("batch_tokens", [1, 25, 100_000])
def test_order_does_not_depend_on_batches(translator: Translator, batch_tokens: int) -> None:
    single = [translator.translate_lines([line])[0] for line in LINES]
    search = translator.search_config(batch_tokens=batch_tokens)
    assert close(translator.translate_lines(LINES, search), single)
    assert close(translator.translate_lines(LINES[::-1], search), single[::-1])


def test_blocks_are_as_one_call(translator: Translator) -> None:
    blocks = list(translator.translate_blocks(iter(LINES), size=3))
    assert close(blocks, translator.translate_lines(LINES))


def test_n_best_are_sorted_and_headed_by_the_translation(translator: Translator) -> None:
    search = translator.search_config(beam_size=4, n_best=3)
    for found in translator.translate_lines(["The dog runs.", "  The man eats. "], search):
        assert len(found.n_best) == 3
        assert found.n_best[0] == (found.text, found.score)
        scores = [score for _, score in found.n_best]
        assert scores == sorted(scores, reverse=True)


SPANS = ["👍🏽", "λόγος", "漢字", "https://example.org/a?b=c", "anna@example.org", "Łódź"]


@pytest.mark.parametrize("seed", range(5))
def test_each_span_comes_out_once_whatever_the_model_says(
    random_model: Model, make_model, seed: int
) -> None:
    config = random_model.config.model
    sizes = {"d_ff": config.d_ff, "n_heads": config.n_heads, "n_encoder_layers": 1}
    transformer = make_model(seed=seed, vocab_size=config.vocab_size, n_decoder_layers=1, **sizes)
    translator = Translator(replace(random_model, transformer=transformer))
    lines = [
        "The 👍🏽 dog runs λόγος here.",
        "漢字",
        "The man, https://example.org/a?b=c, sleeps (anna@example.org).",
        "In Łódź the 漢字 dog 👍🏽 runs to λόγος: https://example.org/a?b=c.",
    ]
    search = translator.search_config(beam_size=3, n_best=3)
    for line, found in zip(lines, translator.translate_lines(lines, search), strict=True):
        for text, _ in found.n_best:
            for span in SPANS:
                assert text.count(span) == line.count(span)


def test_spans_come_out_even_if_the_model_says_nothing(translator: Translator) -> None:
    (source,) = [unit.source for unit in translator._units(0, "👍 dog λόγος dog 漢字", None)]
    completed = translator._complete(source, Hypothesis([], -1.0, -1.0))
    assert sorted(completed.ids) == list(translator.model.tokenizer.copy_ids[:3])


def test_a_placeholder_that_is_put_back_splits_no_word(translator: Translator) -> None:
    (source,) = [unit.source for unit in translator._units(0, "The 👍 dog runs here.", None)]
    starts = translator.model.tokenizer.starts_word
    copy = translator.model.tokenizer.copy_ids[0]
    ids = translator.model.tokenizer.encode("Der Hund wartet langsam heute hier.")
    completed = translator._complete(source, Hypothesis(ids, -1.0, -1.0)).ids
    place = completed.index(copy)
    assert [i for i in completed if i != copy] == ids
    assert place in (0, len(ids)) or starts[ids[place]]


def test_placeholders_go_where_the_model_looked_at_them(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first behind the first word, the second behind the third."""
    (source,) = [unit.source for unit in translator._units(0, "👍 dog λόγος", None)]
    first, second = translator.model.tokenizer.copy_ids[:2]
    words = [i for i, starts in enumerate(translator.model.tokenizer.starts_word) if starts][:4]
    weights = torch.zeros(1, 1, len(words) + 1, len(source.ids) + 1)
    weights[0, 0, 0, source.ids.index(first)] = 1
    weights[0, 0, 2, source.ids.index(second)] = 1
    monkeypatch.setattr(translator, "_attention", lambda *_: weights)
    completed = translator._complete(source, Hypothesis(words, -1.0, -1.0)).ids
    assert completed == [words[0], first, words[1], words[2], second, words[3]]


def test_more_spans_than_placeholders(translator: Translator) -> None:
    greek = "αβγδεζηθικλμνξοπρστυ"
    text = " dog ".join(greek)
    (found,) = translator.translate([text])
    assert n_parts(translator, text) > 1
    assert [found.count(letter) for letter in greek] == [1] * 20


@pytest.fixture
def long_text(text_pairs) -> str:
    return "  ".join(src for src, _ in text_pairs[:12])


def test_a_long_text_is_translated_in_parts_with_one_warning(
    translator: Translator, long_text: str, caplog: pytest.LogCaptureFixture
) -> None:
    limit = translator.model.config.search.max_pieces

    def fits(part: str) -> bool:
        return len(translator.model.tokenizer.encode(normalise(part))) <= limit

    with caplog.at_level(logging.WARNING, logger="translator"):
        (found,) = translator.translate_lines([f" {long_text} "])
    (warning,) = caplog.messages
    parts = split_long(long_text, fits)
    assert len(parts) > 1 and f"in {len(parts)} parts" in warning
    translations = translator.translate_lines([part for part, _ in parts])
    joined = "".join(t.text + space for t, (_, space) in zip(translations, parts, strict=True))
    assert found.text == f" {joined} "
    assert found.score == pytest.approx(sum(t.score for t in translations), abs=1e-3)


def test_a_text_of_moderate_length_is_not_cut(
    translator: Translator, caplog: pytest.LogCaptureFixture
) -> None:
    translator.translate(["The dog runs here. The man sleeps."])
    assert caplog.messages == []


def test_a_long_word_is_translated_in_parts(translator: Translator) -> None:
    assert n_parts(translator, "dog" * 200) > 1
    assert translator.translate(["dog" * 200])[0]


def test_no_part_is_longer_than_the_limit(translator: Translator, long_text: str) -> None:
    limit = translator.model.config.search.max_pieces
    for text in (long_text, "dog" * 200, long_text.replace(" ", "")):
        assert all(0 < len(u.source.ids) <= limit for u in translator._units(0, text, limit))


def test_a_saved_model_translates_as_before(translator: Translator, model_folder: Path) -> None:
    loaded = Translator.load(model_folder, device="cpu")
    assert close(loaded.translate_lines(LINES), translator.translate_lines(LINES))


def test_which_model_is_found(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSLATOR_MODEL", str(model_folder))
    assert find_model(None) == model_folder
    assert find_model("other") == Path("other")
    monkeypatch.delenv("TRANSLATOR_MODEL")
    with pytest.raises(TranslatorError, match="No model for fr-de"):
        find_model(None, "fr", "de")


def test_devices() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in ("cpu", "cuda", "mps")
    for unknown in ("tpu", "") if torch.cuda.is_available() else ("tpu", "", "cuda"):
        with pytest.raises(TranslatorError, match=f'no device "{unknown}"'):
            pick_device(unknown)


def test_search_settings_are_the_models_with_those_given(translator: Translator) -> None:
    own = translator.model.config.search
    assert translator.search_config() == own
    assert translator.search_config(beam_size=7, length_penalty=0.5, n_best=2, batch_tokens=99) == replace(
        own, beam_size=7, length_penalty=0.5, n_best=2, batch_tokens=99
    )
    assert translator.search_config(n_best=9).beam_size == 9  # a beam holds them all
    with pytest.raises(TranslatorError, match="n-best"):
        translator.search_config(beam_size=2, n_best=3)


def test_attention_map(translator: Translator) -> None:
    found = translator.attention("The dog runs here.")
    layers, heads = 1, translator.model.config.model.n_heads
    shape = (layers, heads, len(found.tgt_pieces), len(found.src_pieces))
    assert found.weights.shape == shape
    torch.testing.assert_close(found.weights.sum(dim=-1), torch.ones(shape[:-1]))
    end = translator.model.tokenizer.pieces([EOS])
    assert found.src_pieces[-1:] == found.tgt_pieces[-1:] == end
    assert "".join(found.src_pieces[:-1]).replace("▁", " ").strip() == "The dog runs here."


def test_attention_needs_one_sentence(translator: Translator, long_text: str) -> None:
    for line in ("", "  ", long_text):
        with pytest.raises(TranslatorError, match="one sentence"):
            translator.attention(line)


def test_a_description_counts_the_weights(random_model: Model, model_folder: Path) -> None:
    described = describe_model(model_folder)
    numbers = sum(p.numel() for p in random_model.transformer.parameters())
    assert described["parameters"] == numbers
    assert described["bytes"] == (model_folder / "model.safetensors").stat().st_size
    assert described["config"]["model"]["d_model"] == random_model.config.model.d_model


# Into a file, which goes on where it was interrupted.


def render(translation: Translation) -> str:
    return translation.text + "\n"


def test_a_file_appears_whole(translator: Translator, tmp_path: Path) -> None:
    output = tmp_path / "out.de"
    translate_to_file(translator, LINES, output, translator.search_config(), render)
    expected = "".join(text + "\n" for text in translator.translate(LINES, beam_size=2))
    assert output.read_bytes() == expected.encode()
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.parametrize("same_job", [True, False])
def test_an_interrupted_file_goes_on(
    translator: Translator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same_job: bool
) -> None:
    monkeypatch.setattr("translator.translate._BLOCK", 4)
    output, search = tmp_path / "out.de", translator.search_config()
    whole = [found.text + "\n" for found in translator.translate_lines(LINES, search)]
    asked: list[list[str]] = []
    translate_lines = translator.translate_lines

    def translate_and_count(lines, search):
        asked.append(lines)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return translate_lines(lines, search)

    monkeypatch.setattr(translator, "translate_lines", translate_and_count)
    with pytest.raises(KeyboardInterrupt, match=f"4 of {len(LINES)} lines"):
        translate_to_file(translator, LINES, output, search, render)
    assert not output.exists()
    with open(tmp_path / "out.de.partial", "ab") as partial:
        partial.write(b"half a li")  # what was written since the last note
    lines = LINES if same_job else LINES[1:]
    translate_to_file(translator, lines, output, search, render)
    assert output.read_bytes() == "".join(whole if same_job else whole[1:]).encode()
    assert asked[2] == (LINES[4:8] if same_job else LINES[1:5])
    assert list(tmp_path.iterdir()) == [output]
