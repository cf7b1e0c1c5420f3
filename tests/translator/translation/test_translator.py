"""Lines in, lines out: order, white space, sentences, placeholders, whatever a model says."""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import LINE

from translator.config.errors import TranslatorError
from translator.model.transformer import attention_weights
from translator.search import mbr
from translator.search.fixed import FixedSearch
from translator.search.hypothesis import Hypothesis
from translator.storage.find import describe_model, find_model
from translator.storage.model_folder import Model
from translator.system.machine import pick_device
from translator.text.codec import normalise
from translator.text.lines import blocks
from translator.text.sentences import split_long
from translator.text.tokenizer import EOS, Tokenizer
from translator.translation.result import Translation
from translator.translation.translator import Translator
from translator.translation.units import Unit, cut_line, cut_lines

CHECKPOINTS = Path(__file__).parents[3] / "checkpoints"
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


def head(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def tail(line: str) -> str:
    return line[len(line.rstrip()) :]


def test_every_line_gives_one_line(translator: Translator) -> None:
    found = translator.translate(LINES)
    assert len(found) == len(LINES)
    for line, text in zip(LINES, found, strict=True):
        assert "\n" not in text
        if not line.strip():
            assert text == line
        else:
            assert text.strip() and text.strip() != line.strip()
            assert (head(text), tail(text)) == (head(line), tail(line))


@settings(max_examples=40)
@given(lines=st.lists(LINE, max_size=5))
def test_any_text_is_taken(translator: Translator, lines: list[str]) -> None:
    found = translator.translate_lines(lines)
    assert [translation.source for translation in found] == lines
    for line, translation in zip(lines, found, strict=True):
        assert "\n" not in translation.text
        for text, _ in translation.n_best:
            if text.strip():
                assert (head(text), tail(text)) == (head(line), tail(line))
            else:
                assert text == head(line) + tail(line) or text == line
        assert translation.segments or translation.text == line


def test_nothing_in_nothing_out(translator: Translator) -> None:
    assert translator.translate([]) == []


def test_thousands_of_blank_lines_cost_no_search(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(translator.decoder, "_decode", None)
    lines = ["", " ", "\t\r", "\u2028"] * 1250
    for prefix in ("", "Der"):
        assert translator.translate(lines, prefix=prefix) == lines


def close(one: Sequence[Translation], other: Sequence[Translation]) -> bool:
    scores = [translation.score for translation in other]
    return [t.text for t in one] == [t.text for t in other] and [
        t.score for t in one
    ] == pytest.approx(scores, abs=1e-4)


@pytest.mark.parametrize("decode", ["beam", "sample", "mbr"])
@pytest.mark.parametrize("batch_tokens", [1, 25, 100_000])
def test_order_does_not_depend_on_batches(
    translator: Translator, batch_tokens: int, decode: str
) -> None:
    search = translator.search_config(batch_tokens=batch_tokens, decode=decode, candidates=5)
    lines = LINES if decode == "beam" else LINES[:3]
    single = [translator.translate_lines([line], search)[0] for line in lines]
    assert close(translator.translate_lines(lines, search), single)
    assert close(translator.translate_lines(lines[::-1], search), single[::-1])


@pytest.mark.parametrize("beam_size", [1, 3])
def test_batches_of_a_gpu_translate_the_same(
    monkeypatch: pytest.MonkeyPatch, random_model: Model, translator: Translator, beam_size: int
) -> None:
    search = replace(translator.search_config(beam_size=beam_size), batch_tokens=40)
    other = Translator(random_model)
    fixed = FixedSearch()
    monkeypatch.setattr(other.decoder, "fixed", True)
    monkeypatch.setattr(other.decoder.network, "search", fixed.beam_search)
    lines = LINES * 3
    assert close(other.translate_lines(lines, search), translator.translate_lines(lines, search))
    assert fixed.buffers


def test_blocks_equal_one_call(translator: Translator) -> None:
    found = translator.translate_blocks(blocks(iter(LINES), 3), prefix="Der")
    assert close(list(found), translator.translate_lines(LINES, prefix="Der"))


def test_n_best_are_sorted_and_headed_by_the_translation(translator: Translator) -> None:
    search = translator.search_config(beam_size=4, n_best=3)
    lines = ["The dog runs.", "  The man eats. ", "The dog runs.  The boy sings."]
    for found in translator.translate_lines(lines, search, guard=False):
        assert len(found.n_best) == 3
        assert found.n_best[0] == (found.text, found.score)
        scores = [score for _, score in found.n_best]
        assert scores == sorted(scores, reverse=True)


# --- sentences ----------------------------------------------------------------------------------

SENTENCES = ["The dog runs here.", "A man sleeps!", "Is the bird alone?"]


def joined(found: Sequence[Translation], spaces: Sequence[str]) -> str:
    return "".join(t.text + space for t, space in zip(found, spaces, strict=True))


@pytest.mark.parametrize(
    "spaces", [[" ", " ", ""], ["  ", "\t ", " \r"], ["\u2028", " \x0c", "\u3000"]]
)
def test_sentences_are_translated_one_by_one_and_joined_again(
    translator: Translator, spaces: list[str]
) -> None:
    search = translator.search_config(beam_size=3, n_best=2)
    line = "\t" + "".join(map("".join, zip(SENTENCES, spaces, strict=True)))
    (found,) = translator.translate_lines([line], search)
    single = translator.translate_lines(SENTENCES, search)
    assert found.text == "\t" + joined(single, spaces)
    assert found.score == pytest.approx(sum(t.score for t in single), abs=1e-4)
    assert [segment.source for segment in found.segments] == SENTENCES
    assert [s.text for s in found.segments] == [t.text for t in single]
    for rank, (text, score) in enumerate(found.n_best):  # the second best of all, and so on
        n_best = [t.n_best[rank] for t in single]
        assert text == "\t" + "".join(
            part + space for (part, _), space in zip(n_best, spaces, strict=True)
        )
        assert score == pytest.approx(sum(score for _, score in n_best), abs=1e-4)


def test_a_line_may_be_left_whole(translator: Translator) -> None:
    line = " ".join(SENTENCES)
    for split in ("long", "never"):
        (found,) = translator.translate_lines([line], split=split)
        assert [segment.source for segment in found.segments] == [line]
    assert len(translator.translate_lines([line])[0].segments) == 3


def test_an_unknown_split_lists_the_known(translator: Translator) -> None:
    with pytest.raises(TranslatorError, match='"words"; there are: sentences, long, never'):
        translator.translate(["dog"], split="words")


@settings(max_examples=25)
@given(line=LINE)
def test_segments_make_up_their_line(translator: Translator, line: str) -> None:
    for split in ("sentences", "long", "never"):
        (found,) = translator.translate_lines([line], split=split, guard=False)
        # Not a space too much or too few, but where a word was too long to be left whole.
        whole, read, place = normalise(line).replace(" ", ""), 0, 0
        for segment in found.segments:
            source = normalise(segment.source).replace(" ", "")
            read = whole.index(source, read) + len(source)
            place = found.text.index(segment.text, place) + len(segment.text)
        assert found.score == pytest.approx(sum(s.score for s in found.segments), abs=1e-4)
        if split == "never":
            assert len(found.segments) == bool(line.strip())


@pytest.fixture
def long_text(text_pairs) -> str:
    """Too long for the model, and one sentence."""
    return ",  ".join(src.rstrip(".") for src, _ in text_pairs[:12])


def n_pieces(translator: Translator, text: str) -> int:
    return len(translator.model.tokenizer.encode(normalise(text)))


@pytest.mark.parametrize(
    "lines, warned",
    [
        (["Der Hund schläft heute in der Küche, und das Kind ist nicht da."], True),
        (["Das ist gut so.", "The dog is here.", "Der Mann ist nicht da und isst."], True),
        (["The dog is here.", "The man is not there.", "Das ist gut."], False),
        (["The dog sleeps in the kitchen today, and the child is not there."], False),
        (["dog", "", "1234", "Anna"], False),
    ],
)
def test_text_in_the_target_language_is_warned_about_once(
    random_model: Model, lines: list[str], warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    translator = Translator(random_model)
    with caplog.at_level(logging.WARNING, logger="translator"):
        translator.translate(lines, beam_size=1)
        translator.translate(lines, beam_size=1)
    assert len(caplog.messages) == warned
    if warned:
        assert "German already" in caplog.text and "--src de --tgt en" in caplog.text


@pytest.mark.parametrize("split", ["sentences", "long"])
def test_a_long_text_is_translated_in_parts_with_one_warning(
    random_model: Model, long_text: str, split: str, caplog: pytest.LogCaptureFixture
) -> None:
    translator = Translator(random_model)
    limit = translator.model.config.search.max_pieces
    with caplog.at_level(logging.WARNING, logger="translator"):
        (found,) = translator.translate_lines([f" {long_text} "], split=split)
        translator.translate_lines([long_text, "The dog.", long_text], split=split)
    (warning,) = caplog.messages
    parts = split_long(long_text, lambda part: n_pieces(translator, part) <= limit)
    assert len(parts) > 1 and f"in {len(parts)} parts" in warning
    translations = translator.translate_lines([part for part, _ in parts])
    assert found.text == f" {joined(translations, [space for _, space in parts])} "
    assert found.score == pytest.approx(sum(t.score for t in translations), abs=1e-3)


def test_many_sentences_are_not_a_long_text(
    translator: Translator, caplog: pytest.LogCaptureFixture
) -> None:
    text = " ".join(SENTENCES * 10)
    assert n_pieces(translator, text) > translator.model.config.search.max_pieces
    (found,) = translator.translate_lines([text])
    assert len(found.segments) == 30 and caplog.messages == []


def test_no_part_is_longer_than_the_limit(translator: Translator, long_text: str) -> None:
    search = translator.search_config(max_pieces=10)
    limit = search.max_pieces
    texts = [long_text, "dog" * 50, long_text.replace(" ", ""), f"The dog. {long_text} A man."]
    for found in translator.translate_lines(texts, search, guard=False):
        assert len(found.segments) > 1
        assert all(0 < n_pieces(translator, s.source) <= limit for s in found.segments)


def test_very_long_words(translator: Translator) -> None:
    for word in ("dog" * 200, "bo" * 250, "ß" * 500, "漢" * 300, "1" * 400, "." * 400):
        (found,) = translator.translate_lines([word], guard=False)
        read = "".join(segment.source for segment in found.segments)
        said = "".join(segment.text for segment in found.segments)
        assert (read, said) == ((word, found.text) if word[0] in "db" else ("", ""))
        assert said or found.text == word  # no words


# --- spans --------------------------------------------------------------------------------------

SPANS = ["👍🏽", "λόγος", "漢字", "https://example.org/a?b=c", "anna@example.org", "Łódź"]


@pytest.mark.parametrize("decode", ["beam", "sample", "mbr"])
@pytest.mark.parametrize("seed", range(3))
def test_each_span_comes_out_once_whatever_the_model_says(
    small_translator: Callable[[int], Translator], seed: int, decode: str
) -> None:
    translator = small_translator(seed)
    lines = [
        "The 👍🏽 dog runs λόγος here.",
        "漢字",
        "The man, https://example.org/a?b=c, sleeps (anna@example.org). A dog 👍🏽 runs.",
        "In Łódź the 漢字 dog 👍🏽 runs to λόγος: https://example.org/a?b=c.",
    ]
    search = translator.search_config(decode=decode, beam_size=3, n_best=3, candidates=4)
    for line, found in zip(lines, translator.translate_lines(lines, search), strict=True):
        for text, _ in found.n_best:
            for span in SPANS:
                assert text.count(span) == line.count(span)


def unit(translator: Translator, text: str) -> Unit:
    """A text as the model reads it."""
    (found,) = cut_line(translator.reader, 0, text, translator.model.config.search, "never")
    return found


def said(ids: list[int]) -> Hypothesis:
    return Hypothesis(ids, -1.0, -1.0)


def test_spans_come_out_even_if_the_model_says_nothing(translator: Translator) -> None:
    completed = translator.decoder._complete(unit(translator, "👍 dog λόγος dog 漢字"), said([]))
    assert sorted(completed.ids) == list(translator.model.tokenizer.copy_ids[:3])


def test_a_placeholder_that_is_put_back_splits_no_word(translator: Translator) -> None:
    starts = translator.model.tokenizer.starts_word
    copy = translator.model.tokenizer.copy_ids[0]
    ids = translator.model.tokenizer.encode("Der Hund wartet langsam heute hier.")
    completed = translator.decoder._complete(
        unit(translator, "The 👍 dog runs here."), said(ids)
    ).ids
    place = completed.index(copy)
    assert [i for i in completed if i != copy] == ids
    assert place in (0, len(ids)) or starts[ids[place]]


def test_placeholders_go_where_the_model_looked_at_them(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first behind the first word, the second behind the third."""
    asked = unit(translator, "👍 dog λόγος")
    first, second = translator.model.tokenizer.copy_ids[:2]
    words = [i for i, starts in enumerate(translator.model.tokenizer.starts_word) if starts][:4]
    src_ids = asked.source.ids
    weights = torch.zeros(1, 1, len(words) + 1, len(src_ids) + 1)
    weights[0, 0, 0, src_ids.index(first)] = 1
    weights[0, 0, 2, src_ids.index(second)] = 1
    monkeypatch.setattr(translator.decoder, "attention", lambda *_: weights)
    completed = translator.decoder._complete(asked, said(words)).ids
    assert completed == [words[0], first, words[1], words[2], second, words[3]]
    after_prefix = translator.decoder._complete(replace(asked, prefix=words[:2]), said(words)).ids
    assert after_prefix == [words[0], words[1], first, words[2], second, words[3]]


def test_more_spans_than_placeholders(translator: Translator) -> None:
    greek = "αβγδεζηθικλμνξοπρστυ"
    text = " dog ".join(greek)
    (found,) = translator.translate_lines([text])
    assert len(found.segments) > 1
    assert [found.text.count(letter) for letter in greek] == [1] * 20


def test_white_space_that_the_model_adds_is_dropped(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That around a sentence is the line's."""
    texts = ["  Der Hund läuft ", " \x1c "]
    found = [said(translator.model.tokenizer.encode(text)) for text in texts]
    asked = unit(translator, "The dog runs")
    assert translator.codec.decode(found[0].ids, asked.source).endswith(" ")
    monkeypatch.setattr(translator.decoder, "search", lambda units, search: [found])
    search = translator.search_config(n_best=2)
    (translation,) = translator.translate_lines([f" {asked.text}\t"], search)
    assert [text for text, _ in translation.n_best] == [" Der Hund läuft\t", " \t"]


# --- prefixes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("decode", ["beam", "sample", "mbr"])
@pytest.mark.parametrize("beam_size", [1, 4])
def test_a_prefix_starts_only_the_first_sentence_of_a_line(
    translator: Translator, beam_size: int, decode: str
) -> None:
    lines = ["The dog runs here. A man sleeps!", "", " The boy waits. ", "dog"]
    search = translator.search_config(decode=decode, beam_size=beam_size, candidates=4)
    free = translator.translate_lines(lines, search)
    for prefix in ("Der Hund", "Der Hu", "x", " Der  Hund ", "Ж👍"):
        found = translator.translate_lines(lines, search, prefix=prefix)
        assert found[1].text == ""
        for line, one, other in zip(lines, found, free, strict=True):
            if line.strip():
                assert one.text.startswith(head(line) + normalise(prefix))
                assert [s.text for s in one.segments[1:]] == [s.text for s in other.segments[1:]]


@pytest.mark.parametrize("prefix", ["", " ", "\u2028"])
def test_a_blank_prefix_is_none(translator: Translator, prefix: str) -> None:
    assert close(
        translator.translate_lines(LINES, prefix=prefix), translator.translate_lines(LINES)
    )


@settings(max_examples=40)
@given(
    prefix=st.lists(
        st.sampled_from(
            ["Der", "Hund", "läuft", "👍", "λόγος", "hier", ".", " ", " ", "Ж", "\u2581"]
        ),
        max_size=8,
    ).map("".join),
    line=st.sampled_from(
        ["The dog runs here.", "👍 The λόγος dog runs.", "λόγος 👍", "The 👍dog 漢字."]
    ),
)
def test_a_prefix_is_kept_with_copied_spans(translator: Translator, prefix: str, line: str) -> None:
    """Placeholders that the model leaves out are not put into it."""
    (found,) = translator.translate_lines([line], prefix=prefix)
    # White space around a span is as in the source, and not as in the prefix.
    for segment in found.segments[:1]:
        assert "".join(segment.text.split()).startswith("".join(normalise(prefix).split()))


# --- search settings, models --------------------------------------------------------------------


def test_search_settings_are_the_models_with_those_given(translator: Translator) -> None:
    own = translator.model.config.search
    assert translator.search_config() == own
    given_ones = {"beam_size": 7, "length_penalty": 0.5, "n_best": 2, "batch_tokens": 99}
    assert translator.search_config(**given_ones, seed=None) == replace(own, **given_ones)
    assert translator.search_config(n_best=9).beam_size == 9  # a beam holds them all
    with pytest.raises(TranslatorError, match="n_best"):
        translator.search_config(beam_size=2, n_best=3)


def test_settings_can_be_given_by_name(translator: Translator) -> None:
    search = translator.search_config(beam_size=3, no_repeat_ngram=2, max_extra=8)
    expected = [t.text for t in translator.translate_lines(LINES, search)]
    assert (
        translator.translate(LINES, beam_size=3, no_repeat_ngram=2, max_extra=8, top_k=None)
        == expected
    )


def test_a_saved_model_translates_as_before(translator: Translator, model_folder: Path) -> None:
    loaded = Translator.load(model_folder, device="cpu")
    assert close(loaded.translate_lines(LINES), translator.translate_lines(LINES))


def test_one_model_twice_is_an_ensemble_that_says_the_same(
    translator: Translator, model_folder: Path
) -> None:
    twice = Translator.load([model_folder, str(model_folder)], device="cpu")
    assert close(twice.translate_lines(LINES), translator.translate_lines(LINES))


def test_an_ensemble_differs_from_each_of_its_models(
    random_model: Model, small_translator: Callable[[int], Translator]
) -> None:
    translators = [Translator(random_model), small_translator(1)]
    both = Translator([t.model for t in translators])
    found = both.translate(SENTENCES)
    for translator in translators:
        assert translator.translate(SENTENCES) != found
    one_attention, both_attention = (
        t.attention("The dog runs.")[0] for t in (translators[0], both)
    )
    assert len(both_attention.weights) == 2 * len(one_attention.weights)  # of all layers


def test_models_that_cannot_work_together_are_named(random_model: Model) -> None:
    tokenizer = Tokenizer.train(["something quite different"] * 20, 330)

    def with_data(**changes: Any) -> Model:
        data = replace(random_model.config.data, **changes)
        return replace(
            random_model, config=replace(random_model.config, data=data), folder=Path("b")
        )

    for other, difference in (
        (
            replace(random_model, tokenizer=tokenizer, folder=Path("b")),
            "b and .*: their tokenizers",
        ),
        (with_data(tgt="fr"), "b translates en-fr, not en-de"),
        (with_data(bidirectional=True), "b and .*: only one of them knows both directions"),
    ):
        with pytest.raises(TranslatorError, match=difference):
            Translator([random_model, other])
    with pytest.raises(TranslatorError, match="translates en-de, not de-en"):
        Translator(random_model, direction=("de", "en"))


def test_bfloat16_is_another_way_to_much_the_same(random_model: Model) -> None:
    exact, rough = Translator(random_model), Translator(random_model, precision="bf16")
    scores = [[t.score for t in x.translate_lines(SENTENCES)] for x in (exact, rough)]
    assert scores[0] != scores[1]
    assert scores[1] == pytest.approx(scores[0], rel=0.02)
    with pytest.raises(TranslatorError, match='"fp16"; there are: fp32, bf16'):
        Translator(random_model, precision="fp16")


def test_which_model_is_found(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSLATOR_MODEL", str(model_folder))
    assert find_model(None) == model_folder
    assert find_model("multi30k-de-en").samefile(CHECKPOINTS / "multi30k-de-en")
    with pytest.raises(TranslatorError, match="no model folder other.* multi30k-en-de"):
        find_model("other")
    monkeypatch.delenv("TRANSLATOR_MODEL")
    kind = (
        "general" if (CHECKPOINTS / "general-de-en" / "model.safetensors").exists() else "multi30k"
    )
    assert find_model(None, "de", "en").samefile(CHECKPOINTS / f"{kind}-de-en")
    with pytest.raises(TranslatorError, match="No model for fr-de"):
        find_model(None, "fr", "de")


def test_devices() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in ("cpu", "cuda", "mps")
    for unknown in ("tpu", "") if torch.cuda.is_available() else ("tpu", "", "cuda"):
        with pytest.raises(TranslatorError, match=f'no device "{unknown}"'):
            pick_device(unknown)


def test_a_description_counts_the_weights(random_model: Model, model_folder: Path) -> None:
    described = describe_model(model_folder)
    numbers = sum(p.numel() for p in random_model.transformer.parameters())
    assert described["parameters"] == numbers
    assert described["bytes"] == (model_folder / "model.safetensors").stat().st_size
    assert described["config"]["model"]["d_model"] == random_model.config.model.d_model


# --- samples and minimum Bayes risk -------------------------------------------------------------


def test_samples_depend_on_the_seed_alone(translator: Translator) -> None:
    first, again, other = (
        translator.translate(SENTENCES, decode="sample", seed=seed) for seed in (1, 1, 2)
    )
    assert first == again != other


@pytest.mark.parametrize("candidates_from", ["sample", "beam"])
@pytest.mark.parametrize("utility", ["chrf", "bleu"])
def test_mbr_chooses_among_the_candidates(
    translator: Translator, candidates_from: str, utility: str
) -> None:
    common = {"candidates": 6, "candidates_from": candidates_from, "utility": utility}
    search = translator.search_config(decode="mbr", n_best=3, **common)
    candidates = translator.search_config(decode=candidates_from, beam_size=6, n_best=6)
    for one, all_found in zip(
        translator.translate_lines(SENTENCES, search, guard=False),
        translator.translate_lines(SENTENCES, candidates, guard=False),
        strict=True,
    ):
        (source,) = (segment.source for segment in one.segments)
        texts = [text for text, _ in all_found.n_best]
        log_probs = None
        if candidates_from == "beam":
            found = translator.decoder.search([unit(translator, source)], candidates)
            log_probs = [math.exp(h.log_prob) for h in found[0]]
        expected = mbr.choose(texts, log_probs, utility)[:3]
        assert [text for text, _ in one.n_best] == [texts[i] for i, _ in expected]
        assert [u for _, u in one.n_best] == pytest.approx([u for _, u in expected], abs=1e-3)
        assert one.score == one.n_best[0][1]


# --- alignments and attention -------------------------------------------------------------------


@settings(max_examples=40)
@given(line=LINE)
def test_links_are_between_words_that_there_are(translator: Translator, line: str) -> None:
    (found,) = translator.translate_lines([line], alignments=True, guard=False)
    n_src, n_tgt = len(line.split()), len(found.text.split())
    if not line.strip():
        assert not found.alignment
        return
    assert found.alignment is not None
    assert found.alignment == sorted(set(found.alignment))
    assert all(0 <= i < n_src and 0 <= j < n_tgt for i, j in found.alignment)


def test_links_of_a_line_are_those_of_its_segments(translator: Translator) -> None:
    lines = [
        "The 👍 dog  runs here. A man λόγος sleeps!\tIs the bird 漢字 alone?",
        "  The boy waits.",
    ]
    found = translator.translate_lines(lines, alignments=True)
    for line, translation in zip(lines, found, strict=True):
        expected, src, tgt = [], 0, 0
        for segment in translation.segments:
            assert segment.alignment
            expected += [(src + i, tgt + j) for i, j in segment.alignment]
            src += len(segment.source.split())
            tgt += len(segment.text.split())
        assert translation.alignment == expected
        assert src == len(line.split()) and tgt == len(translation.text.split())
        words, translated = line.split(), translation.text.split()
        for span in ("👍", "λόγος", "漢字"):
            if span in line:
                place = next(j for j, word in enumerate(translated) if span in word)
                assert (words.index(span), place) in translation.alignment


def test_without_being_asked_nothing_is_aligned(translator: Translator) -> None:
    (found,) = translator.translate_lines(["The dog runs here."])
    assert found.alignment is None and found.segments[0].alignment is None


def test_attention_map(translator: Translator) -> None:
    (found,) = translator.attention("The dog runs here.")
    layers, heads = 1, translator.model.config.model.n_heads
    shape = (layers, heads, len(found.tgt_pieces), len(found.src_pieces))
    assert found.weights.shape == shape
    torch.testing.assert_close(found.weights.sum(dim=-1), torch.ones(shape[:-1]))
    end = translator.model.tokenizer.pieces([EOS])
    assert found.src_pieces[-1:] == found.tgt_pieces[-1:] == end
    assert "".join(found.src_pieces[:-1]).replace("▁", " ").strip() == "The dog runs here."


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_self_attention(translator: Translator, kind: str) -> None:
    """The decoder sees what is written already; the encoder sees all."""
    (cross,) = translator.attention("The dog runs here.")
    (found,) = translator.attention("The dog runs here.", kind=kind)
    rows = cross.src_pieces if kind == "encoder" else cross.tgt_pieces
    assert found.tgt_pieces == rows and len(found.src_pieces) == len(rows)
    torch.testing.assert_close(found.weights.sum(dim=-1), torch.ones(found.weights.shape[:-1]))
    unseen = found.weights.triu(diagonal=1)
    assert unseen.any() == (kind == "encoder")
    # The last layer's are those that its own output comes from.
    recorded: list[Any] = []
    attention = getattr(translator.model.transformer, kind)[-1].self_attention
    with (
        attention.register_forward_hook(lambda _, inputs, output: recorded.append(inputs)),
        torch.no_grad(),
    ):
        translator.decoder.attention(*_found(translator, "The dog runs here."))
        x, key, _, *rest = recorded[-1]
        mask = None if kind == "encoder" else torch.ones(len(rows), len(rows)).tril().bool()
        weights = attention_weights(attention._heads(attention.query(x)), key, mask)
    torch.testing.assert_close(found.weights[-1], weights[0])


def _found(translator: Translator, line: str) -> tuple[Unit, list[int]]:
    unit, *_ = cut_lines(translator.reader, [line], translator.search_config(), "sentences", "")
    ((best, *_),) = translator.decoder.search([unit], translator.search_config())
    return unit, best.ids


def test_an_attention_map_for_each_segment(translator: Translator, long_text: str) -> None:
    for line in ("", "  ", " ".join(SENTENCES), long_text):
        (translation,) = translator.translate_lines([line], guard=False)
        maps = translator.attention(line)
        assert len(maps) == len(translation.segments)
        for found, segment in zip(maps, translation.segments, strict=True):
            ids = [*translator.codec.encode(normalise(segment.source)).ids, EOS]
            assert found.src_pieces == translator.model.tokenizer.pieces(ids)


# --- scores of given translations ---------------------------------------------------------------


def test_scores_of_given_translations_are_those_of_the_first_model(
    random_model: Model, small_translator: Callable[[int], Translator], text_pairs
) -> None:
    translator = Translator(random_model)
    scored = translator.score(text_pairs[:5])
    both = Translator([random_model, small_translator(1).model])
    assert both.score(text_pairs[:5]) == scored
    for pair, (_, german) in zip(scored, text_pairs, strict=False):
        assert pair.log_prob == pytest.approx(sum(pair.log_probs))
        assert "".join(pair.pieces).replace("▁", " ").strip() == german + "</s>"


def test_no_two_ways_to_say_something_are_mixed_up(translator: Translator) -> None:
    """A translation that is forced, as a prefix, is scored as one that is given."""
    search = translator.search_config(beam_size=1, max_ratio=0.0, max_extra=0)
    for text in ("Der Hund läuft hier.", "Mann"):
        (found,) = translator.translate_lines([SENTENCES[0]], search, prefix=text, guard=False)
        (scored,) = translator.score([(SENTENCES[0], text)], search)
        assert found.text == text
        assert found.score == pytest.approx(scored.score, abs=1e-4)


def test_attention_is_of_the_translation_that_the_same_options_give(translator: Translator) -> None:
    line = "The dog runs. The man eats."
    assert len(translator.attention(line)) == 2
    (whole,) = translator.attention(line, split="long")
    (single,) = translator.attention("The dog runs.", prefix="Der Hund")
    written = "".join(single.tgt_pieces).replace("\u2581", " ").strip()
    assert written.startswith("Der Hund")
    free = "".join(translator.attention("The dog runs.")[0].tgt_pieces)
    assert not free.replace("\u2581", " ").strip().startswith("Der Hund")
    assert len(whole.src_pieces) > len(single.src_pieces)
