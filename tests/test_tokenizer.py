"""SentencePiece: exact round trips, reserved pieces out of a user's reach, determinism."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translator.config import TranslatorError
from translator.tokenizer import (
    BOS,
    COPY_PIECES,
    EOS,
    N_COPY,
    PAD,
    RESERVED_PIECES,
    UNK,
    Tokenizer,
)

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
    again = Tokenizer.train(lines, 400)
    assert again.model_bytes == tokenizer.model_bytes
    assert Tokenizer.train(lines[:100], 400).model_bytes != tokenizer.model_bytes


def test_only_the_first_lines_are_sampled(text_pairs) -> None:
    lines = [line for pair in text_pairs for line in pair]
    sampled = Tokenizer.train(lines, 400, sample=100)
    assert sampled.model_bytes == Tokenizer.train(lines[:100], 400).model_bytes


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
