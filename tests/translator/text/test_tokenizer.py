"""SentencePiece: exact round trips, reserved pieces out of a user's reach, determinism."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translator.config.errors import TranslatorError
from translator.text.tokenizer import (
    BOS,
    COPY_PIECES,
    EOS,
    N_COPY,
    PAD,
    RESERVED_PIECES,
    UNK,
    Tokenizer,
)


@pytest.fixture(scope="session", params=("unigram", "bpe"))
def tokenizer(request, tokenizer: Tokenizer, text_pairs) -> Tokenizer:
    """Every test of this file runs with both types."""
    if request.param == "unigram":
        return tokenizer
    lines = (line for pair in text_pairs for line in pair)
    return Tokenizer.train(lines, 400, model_type=request.param)


# Any text but the noncharacter that stands for a literal U+2581.
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\U0010fffe"))


@given(text=ANY_TEXT)
def test_round_trip_is_exact(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "The  dog   runs. ",
        " The dog",
        "tab\there, newline\nthere\r\n",
        "a literal \u2581 and \u2581\u2581 two",
        "\u2581 first",
        "no\u00a0break, soft\u00adhyphen, \ufb01 ligature, \u00bd, e\u0301",
        "👩‍👩‍👧‍👦 👍🏽 🇩🇪 ☕️",
        "Ελληνικά 漢字 العربية",
        "\x00\x07\u2028\u0085\f",
    ],
)
def test_round_trip_of_difficult_text(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(
    text=st.lists(st.sampled_from([*RESERVED_PIECES, "<s>", "</s>", "<pad>", "<unk>", " ", "a"]))
)
def test_typed_control_pieces_are_text(tokenizer: Tokenizer, text: list[str]) -> None:
    ids = tokenizer.encode("".join(text))
    reserved = {PAD, UNK, BOS, EOS, *map(tokenizer._processor.PieceToId, RESERVED_PIECES)}
    assert not reserved & set(ids)
    assert tokenizer.decode(ids) == "".join(text)


def test_special_ids(tokenizer: Tokenizer) -> None:
    assert (PAD, UNK, BOS, EOS) == (0, 1, 2, 3)
    processor = tokenizer._processor
    assert (processor.pad_id(), processor.unk_id(), processor.bos_id(), processor.eos_id()) == (
        PAD,
        UNK,
        BOS,
        EOS,
    )


def test_every_reserved_piece_has_its_own_control_id(tokenizer: Tokenizer) -> None:
    assert len(COPY_PIECES) == N_COPY == 16
    assert {"<bt>", "<2en>", "<2de>", *COPY_PIECES} < set(RESERVED_PIECES)
    assert sum(piece.startswith("<spare_") for piece in RESERVED_PIECES) == 16
    ids = [tokenizer._processor.PieceToId(piece) for piece in RESERVED_PIECES]
    assert len(set(ids)) == len(RESERVED_PIECES) and UNK not in ids
    assert all(tokenizer._processor.IsControl(i) for i in ids)
    assert tokenizer.pieces(tokenizer.copy_ids) == list(COPY_PIECES)


def test_control_ids_are_dropped_when_decoding(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("The dog")
    assert tokenizer.decode([BOS, *ids, *tokenizer.copy_ids, EOS, PAD]) == "The dog"


def test_training_is_deterministic(tokenizer: Tokenizer, text_pairs) -> None:
    lines = [line for pair in text_pairs for line in pair]
    kind = tokenizer.model_type
    again = Tokenizer.train(lines, 400, model_type=kind)
    assert again.model_bytes == tokenizer.model_bytes
    fewer = Tokenizer.train(lines[:100], 400, model_type=kind)
    assert fewer.model_bytes != tokenizer.model_bytes


def test_too_few_pieces_for_the_characters_is_said_in_one_line() -> None:
    lines = [f"{chr(a)} {chr(a + 1)}" for a in range(0x3B1, 0x3C9)] * 9
    with pytest.raises(TranslatorError, match=r"300 pieces are too few .* more than 3\d\d \(--set"):
        Tokenizer.train(lines, 300)


def test_model_type(text_pairs) -> None:
    lines = [line for pair in text_pairs for line in pair]
    for kind in ("unigram", "bpe"):
        assert Tokenizer.train(lines, 400, model_type=kind).model_type == kind
    assert Tokenizer.train(lines, 400).model_type == "unigram"


def test_bpe_merges_frequent_pairs_first() -> None:
    lines = ["abab abab abab", "cd cd", "efg"] * 4
    tokenizer = Tokenizer.train(lines, 320, model_type="bpe")
    assert tokenizer.score(tokenizer.text_pieces["ab"]) == 0
    assert tokenizer.score(tokenizer.text_pieces["cd"]) < -1


def test_text_pieces_are_all_pieces_that_text_is_cut_into(tokenizer: Tokenizer) -> None:
    pieces = tokenizer.text_pieces
    assert tokenizer.pieces(pieces.values()) == list(pieces)
    assert len(pieces) == tokenizer.vocab_size - 4 - len(RESERVED_PIECES) - 256
    ids = tokenizer.encode("The dog runs slowly.")
    assert set(ids) <= set(pieces.values())
    assert all(tokenizer.score(i) <= 0 for i in pieces.values())


@pytest.mark.parametrize("character", ["é", "漢", "👍", "\x00"])
def test_bytes_spell_a_character(tokenizer: Tokenizer, character: str) -> None:
    assert character not in tokenizer.alphabet
    ids = tokenizer.byte_ids(character)
    assert [*tokenizer.encode("a"), *ids] == tokenizer.encode("a" + character)
    assert tokenizer.decode(ids) == character


@given(text=ANY_TEXT)
def test_words_are_encoded_one_by_one(tokenizer: Tokenizer, text: str) -> None:
    pieces = tokenizer.pieces(tokenizer.encode(text))
    assert not any("\u2581" in piece[1:] for piece in pieces)
    words = [tokenizer.marked(word) for word in text.split(" ")] if text else []
    assert sum(piece.startswith("\u2581") for piece in pieces) == len(words)


def test_no_piece_reaches_into_the_next_word(tokenizer: Tokenizer) -> None:
    assert not any("\u2581" in piece[1:] for piece in tokenizer.text_pieces)


def test_alphabet_is_what_text_pieces_spell(tokenizer: Tokenizer, text_pairs) -> None:
    seen = {character for pair in text_pairs for line in pair for character in line}
    assert tokenizer.alphabet == seen


def test_word_starts_and_marks(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("The dog runs.")
    assert sum(tokenizer.starts_word[i] for i in ids) == 3
    assert [tokenizer.is_mark[i] for i in ids[-1:]] == [True]
    assert len(tokenizer.starts_word) == len(tokenizer.is_mark) == tokenizer.vocab_size


def test_save_and_load(tokenizer: Tokenizer, tmp_path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(tokenizer.model_bytes)
    loaded = Tokenizer.load(tmp_path / "tokenizer.model")
    assert loaded.encode("Der Hund läuft.") == tokenizer.encode("Der Hund läuft.")


def test_damaged_file_and_empty_corpus_are_errors() -> None:
    with pytest.raises(TranslatorError, match="damaged"):
        Tokenizer(b"no tokenizer")
    with pytest.raises(TranslatorError, match="trained"):
        Tokenizer.train([], 400)
