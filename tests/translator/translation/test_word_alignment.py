"""Word alignments: pieces find their words in any text, and attention its pairs of words."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from translator.storage.model_folder import Model, load_model
from translator.text.codec import STAND_IN, Source, TextCodec, normalise
from translator.text.tokenizer import BOS, EOS, N_COPY, Tokenizer
from translator.translation.word_alignment import (
    align,
    format_pharaoh,
    source_words,
    target_words,
    word_alignment,
)

SHIPPED = Path(__file__).parents[3] / "checkpoints" / "multi30k-en-de"
TYPOGRAPHIC = "’‘“”„–—…"
ANY_TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.lists(
        st.sampled_from(
            [
                *["the", "Hund", "teacher", ".", ",", "(", "…", "„", "–", " ", " ", " "],
                *["👍🏽", "λόγος", "漢字", "🇩🇪", "a@b.org", "www.x.de/…a", "\x07", "1️⃣"],
                *[STAND_IN, "\u2581", "\u2028", "\u00a0", "e\u0301"],
            ]
        ),
        max_size=20,
    ).map("".join),
)


@pytest.fixture(scope="module")
def shipped() -> Model:
    return load_model(SHIPPED)


@pytest.fixture(scope="module", params=["shipped", "small"])
def codec(request, shipped: Model, tokenizer: Tokenizer) -> TextCodec:
    return TextCodec(shipped.tokenizer if request.param == "shipped" else tokenizer)


def covered(words: list[range]) -> list[int]:
    """The words that have a piece, in order; checks that they never go back."""
    own = [word_range for word_range in words if word_range]
    for before, after in zip(own, own[1:], strict=False):
        assert before.start <= after.start <= before.stop
        assert before.stop <= after.stop
    return sorted({word for word_range in own for word in word_range})


@given(text=ANY_TEXT)
def test_pieces_of_a_source_make_up_its_words(codec: TextCodec, text: str) -> None:
    text = normalise(text)
    source = codec.encode(text)
    words = source_words(codec.tokenizer, source, text)
    assert len(words) == len(source.ids)
    assert covered(words) == list(range(len(text.split())))


@given(data=st.data())
def test_pieces_of_a_translation_make_up_its_words(codec: TextCodec, data) -> None:
    """Whatever pieces a model writes: bytes of half a character, strange placeholders, ..."""
    tokenizer = codec.tokenizer
    source = codec.encode(normalise(data.draw(ANY_TEXT)))
    pieces = tokenizer.pieces(range(tokenizer.vocab_size))
    byte_ids = [i for i, piece in enumerate(pieces) if piece.startswith("<0x")]
    assert len(byte_ids) == 256
    ids = data.draw(
        st.lists(
            st.one_of(
                st.integers(EOS + 1, tokenizer.vocab_size - 1),
                st.sampled_from(byte_ids),
                st.sampled_from([byte_ids[b] for b in b"\n \x85\xe2\x80\xa8\xc3\xa4"]),
                st.sampled_from(tokenizer.copy_ids[:3]),
                st.sampled_from(tokenizer.encode(" a")),  # with a space by itself
            ),
            max_size=20,
        )
    )
    text = codec.decode(ids, source)
    words = target_words(tokenizer, ids, source, text)
    assert len(words) == len(ids)
    assert covered(words) == list(range(len(text.split())))


def test_each_piece_is_in_its_word(codec: TextCodec) -> None:
    """Where the pieces say it themselves."""
    text = "The teacher waits slowly, today."
    source = codec.encode(text)
    words = source_words(codec.tokenizer, source, text)
    starts = [codec.tokenizer.starts_word[piece] for piece in source.ids]
    assert [own.start for own in words] == [sum(starts[: i + 1]) - 1 for i in range(len(starts))]
    assert all(len(own) == 1 for own in words)


def test_all_bytes_of_a_character_are_in_its_word(codec: TextCodec) -> None:
    tokenizer = codec.tokenizer
    ids = tokenizer.encode("Der 漢字 hier")
    words = target_words(tokenizer, ids, Source([], []), "Der 漢字 hier")
    own = [own for own, piece in zip(words, tokenizer.pieces(ids), strict=True) if "<0x" in piece]
    assert own == [range(1, 2)] * 6


def test_a_control_symbol_is_in_no_word(codec: TextCodec) -> None:
    """Not even between the bytes of a character."""
    tokenizer = codec.tokenizer
    head, last = tokenizer.encode("Der 漢")[:-1], tokenizer.encode("Der 漢")[-1]
    (control,) = (i for i in range(40) if tokenizer.pieces([i]) == ["<bt>"])
    ids = [*head, control, last]
    source = Source([], [])
    words = target_words(tokenizer, ids, source, codec.decode(ids, source))
    assert words[len(head)] == range(0) and words[-1] == words[-3] == range(1, 2)


def test_a_span_is_in_all_of_its_words_and_in_the_word_it_touches(codec: TextCodec) -> None:
    text = "The 👍dog (Καλημέρα κόσμε) today"
    source = codec.encode(text)
    first, second = (source.ids.index(codec.tokenizer.copy_ids[i]) for i in range(2))
    words = source_words(codec.tokenizer, source, text)
    assert words[first] == range(1, 2) and words[first + 1] == range(1, 2)  # 👍 and dog
    assert words[second] == range(2, 4)


def test_texts_that_do_not_fit_are_refused(codec: TextCodec) -> None:
    source = codec.encode("The dog")
    with pytest.raises(ValueError):
        source_words(codec.tokenizer, source, "The dogs")
    with pytest.raises(ValueError):
        target_words(codec.tokenizer, source.ids, source, "The")


# --- attention ----------------------------------------------------------------------------------


def one_word_each(n: int) -> list[range]:
    return [range(i, i + 1) for i in range(n)]


def random_weights(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)).square().softmax(-1)


def test_a_permutation_is_found() -> None:
    order = [2, 0, 3, 1]
    weights = torch.full((2, 3, 5, 5), 0.1)  # EOS last, on both sides
    weights[:, :, range(4), order] = 0.6
    links = word_alignment(weights, one_word_each(4), one_word_each(4))
    assert links == sorted((src, tgt) for tgt, src in enumerate(order))


def test_a_word_that_all_others_look_at_is_not_linked_to_all() -> None:
    """The last source word draws most of the attention of every row, but most of all its own's."""
    weights = torch.tensor([[0.3, 0.1, 0.6], [0.1, 0.3, 0.6], [0.1, 0.1, 0.8]])[None, None]
    assert word_alignment(weights, one_word_each(3), one_word_each(3)) == [(0, 0), (1, 1), (2, 2)]


@pytest.mark.parametrize("seed", range(5))
def test_no_word_has_two_links(seed: int) -> None:
    weights = random_weights(3, 2, 9, 7, seed=seed)
    links = word_alignment(weights, one_word_each(6), one_word_each(8))
    assert links
    for side in zip(*links, strict=True):
        assert len(set(side)) == len(side)


def test_a_single_word_takes_what_it_looked_at_most() -> None:
    weights = torch.tensor([[0.2, 0.1, 0.4, 0.3], [0.0, 0.0, 0.0, 1.0]])[None, None]
    assert word_alignment(weights, one_word_each(3), one_word_each(1)) == [(2, 0)]


def test_rows_and_columns_of_eos_are_ignored() -> None:
    weights = random_weights(2, 2, 7, 6)
    changed = weights.clone()
    changed[:, :, -1] = 9.0
    changed[:, :, :, -1] = 9.0
    words = one_word_each(5), one_word_each(6)
    assert word_alignment(changed, *words) == word_alignment(weights, *words)


@pytest.mark.parametrize("seed", range(5))
def test_it_does_not_matter_how_words_are_cut_into_pieces(seed: int) -> None:
    """Two pieces of a source word share its attention, two of a target word each pay as much."""
    weights = random_weights(2, 2, 5, 6, seed=seed)
    expected = word_alignment(weights, one_word_each(6), one_word_each(5))
    columns, rows = [0, 0, 1, 2, 2, 3, 4, 5], [0, 1, 1, 1, 2, 3, 4, 4]
    halves = torch.tensor([1 / columns.count(column) for column in columns])
    cut = weights[:, :, rows][:, :, :, columns] * halves
    src_words, tgt_words = ([range(i, i + 1) for i in place] for place in (columns, rows))
    assert word_alignment(cut, src_words, tgt_words) == expected


@pytest.mark.parametrize("seed", range(5))
def test_links_move_with_their_words(seed: int) -> None:
    weights = random_weights(2, 2, 5, 6, seed=seed)
    rows, columns = [3, 1, 4, 0, 2], [5, 2, 0, 1, 4, 3]
    moved = word_alignment(weights[:, :, rows][..., columns], one_word_each(6), one_word_each(5))
    expected = word_alignment(weights, one_word_each(6), one_word_each(5))
    assert sorted((columns[src], rows[tgt]) for src, tgt in moved) == expected


def test_nothing_is_linked_with_nothing() -> None:
    weights = random_weights(1, 1, 3, 3)
    assert word_alignment(weights, [], one_word_each(2)) == []
    assert word_alignment(weights, one_word_each(2), []) == []
    assert word_alignment(weights, [range(0), range(1)], [range(0), range(0)]) == []


# --- sentences ----------------------------------------------------------------------------------


def copied(codec: TextCodec, text: str, ids: list[int], weights: Tensor) -> str:
    """The alignment of `text` with what `ids` are as its translation."""
    source = codec.encode(text)
    translation = codec.decode(ids, source)
    return format_pharaoh(align(codec.tokenizer, source, text, ids, translation, weights))


def test_a_span_is_linked_with_itself_word_by_word(codec: TextCodec) -> None:
    """Even if the model looked elsewhere; only other words follow the attention."""
    text = "dog Καλημέρα κόσμε here 👍"
    source = codec.encode(text)
    first, second = codec.tokenizer.copy_ids[:2]
    ids = [second, *codec.tokenizer.encode("Hund"), first]
    weights = torch.zeros(1, 1, len(ids) + 1, len(source.ids) + 1)
    weights[:, :, :, 0] = 1.0  # everything looks at "dog"
    assert copied(codec, text, ids, weights) == "0-1 1-2 2-3 4-0"


def test_punctuation_next_to_a_span_is_ignored(codec: TextCodec) -> None:
    text = "dog 👍."
    source = codec.encode(text)
    ids = [*codec.tokenizer.encode("Hund"), codec.tokenizer.copy_ids[0]]
    weights = torch.zeros(1, 1, len(ids) + 1, len(source.ids) + 1)
    weights[:, :, :, source.ids.index(codec.tokenizer.copy_ids[0]) + 1] = 1.0  # at "."
    assert copied(codec, text, ids, weights) == "1-1"


def test_a_full_stop_is_not_part_of_the_word_before_it(codec: TextCodec) -> None:
    text = "The teacher waits."
    source = codec.encode(text)
    assert codec.tokenizer.is_mark[source.ids[-1]]
    (*_, first), last = source_words(codec.tokenizer, source, text), len(source.ids) - 1
    ids = codec.tokenizer.encode("Der")
    weights = torch.zeros(1, 1, len(ids) + 1, len(source.ids) + 1)
    weights[:, :, :, 0], weights[:, :, :, last] = 0.1, 0.9
    assert first == range(2, 3)
    assert copied(codec, text, ids, weights) == "0-0"


def test_more_spans_than_placeholders(codec: TextCodec) -> None:
    text = " dog ".join("αβγδεζηθικλμνξοπρστυ")
    source = codec.encode(text)
    assert len(source.copies) == 20 > N_COPY
    weights = random_weights(1, 1, len(source.ids) + 1, len(source.ids) + 1)
    translation = codec.decode(source.ids, source)
    links = align(codec.tokenizer, source, text, source.ids, translation, weights)
    words, translated = text.split(), translation.split()
    greek = {(words[src], translated[tgt]) for src, tgt in links if words[src] != "dog"}
    assert {(letter, letter) for letter in "αβγδεζηθικλμνξοπ"} <= greek


@settings(max_examples=30)
@given(text=ANY_TEXT, seed=st.integers(0, 9))
def test_links_are_of_words_that_there_are(codec: TextCodec, text: str, seed: int) -> None:
    text = normalise(text)
    source = codec.encode(text)
    ids = source.ids[::-1]
    weights = random_weights(2, 1, len(ids) + 1, len(ids) + 1, seed=seed)
    translation = codec.decode(ids, source)
    links = align(codec.tokenizer, source, text, ids, translation, weights)
    assert links == sorted(set(links))
    for src, tgt in links:
        assert src < len(text.split()) and tgt < len(translation.split())


@torch.inference_mode()
def forced_alignment(model: Model, text: str, translation: str) -> set[tuple[str, str]]:
    """Pairs of words, bare of marks, of a given translation."""
    codec = TextCodec(model.tokenizer)
    source = codec.encode(text)
    ids = codec.tokenizer.encode(translation)
    src, tgt_in = torch.tensor([[*source.ids, EOS]]), torch.tensor([[BOS, *ids]])
    encoded = model.transformer.encode(src)
    _, layers = model.transformer.decode_states(tgt_in, *encoded, need_weights=True)
    links = align(codec.tokenizer, source, text, ids, translation, torch.cat(layers))
    src_words, tgt_words = text.split(), translation.split()
    return {(src_words[src].strip(".,"), tgt_words[tgt].strip(".,")) for src, tgt in links}


@pytest.mark.parametrize(
    "text, translation, expected",
    [
        (
            "A man with a white beard reads a newspaper in the park.",
            "Ein Mann mit weißem Bart liest im Park eine Zeitung.",
            "man-Mann with-mit white-weißem beard-Bart reads-liest newspaper-Zeitung park-Park",
        ),
        (
            "Two young girls in red dresses are dancing on the grass.",
            "Auf dem Gras tanzen zwei junge Mädchen in roten Kleidern.",
            "Two-zwei young-junge girls-Mädchen red-roten dresses-Kleidern dancing-tanzen "
            "grass-Gras",
        ),
        (
            "The woman in the blue shirt cuts the cake.",
            "Die Frau im blauen Hemd schneidet den Kuchen.",
            "The-Die woman-Frau blue-blauen shirt-Hemd cuts-schneidet cake-Kuchen",
        ),
    ],
)
def test_the_shipped_model_links_what_translates_each_other(
    shipped: Model, text: str, translation: str, expected: str
) -> None:
    pairs = {tuple(pair.split("-")) for pair in expected.split()}
    found = forced_alignment(shipped, text, translation)
    assert len(pairs & found) >= len(pairs) - 1, found  # the weights may be replaced


def test_pharaoh_format() -> None:
    assert format_pharaoh([(10, 2), (2, 10), (0, 0)]) == "0-0 2-10 10-2"
    assert format_pharaoh([]) == ""


def test_typographic_marks_keep_the_count(tokenizer: Tokenizer) -> None:
    """Of all marks that are spelt plainly, also those of more than one character."""
    codec = TextCodec(tokenizer)
    for mark in TYPOGRAPHIC:
        text = f"The{mark} dog{mark}{mark} runs{mark}"
        assert covered(source_words(tokenizer, codec.encode(text), text)) == [0, 1, 2]
