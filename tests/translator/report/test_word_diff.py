"""Marks on what differs, and the places of pieces: nothing is lost, and nothing misplaced."""

from hypothesis import given
from hypothesis import strategies as st

from translator.report.word_diff import (
    cut,
    find_closest,
    find_common_words,
    locate_pieces,
    split_runs,
)
from translator.text.tokenizer import Tokenizer

WORDS = st.lists(st.sampled_from(["der", "Hund", "rennt", ",", "heim"]), max_size=12)


@given(st.text(), st.text())
def test_no_text_is_lost(text: str, other: str) -> None:
    ours, theirs = find_common_words(text, other)
    assert "".join(cut(text, ours)) == text
    assert "".join(cut(other, theirs)) == other


@given(WORDS, WORDS)
def test_what_is_not_marked_is_in_both_in_one_order(text: list[str], other: list[str]) -> None:
    a, b = " ".join(text), " ".join(other)
    ours, theirs = find_common_words(a, b)
    assert [text[n] for n in sorted(ours)] == [other[n] for n in sorted(theirs)]
    assert " ".join(cut(a, ours)[::2]).split() == [text[n] for n in sorted(ours)]
    assert " ".join(cut(a, ours)[1::2]).split() == [
        text[n] for n in range(len(text)) if n not in ours
    ]


def test_marks_of_punctuation_and_accents() -> None:
    assert cut("Der Hund rennt.", find_common_words("Der Hund rennt.", "Der Hund rennt!")[0]) == [
        *("Der Hund rennt", ".", "")
    ]
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    assert cut(f"a {family}", find_common_words(f"a {family}", "a \U0001f468")[0]) == [
        "a ",
        family,
        "",
    ]
    assert cut("cafe\u0301", find_common_words("cafe\u0301", "cafe")[0]) == ["", "cafe\u0301", ""]


def test_the_closest_reference_is_the_one_with_most_of_the_words() -> None:
    assert (
        find_closest("Der Hund rennt.", ["Ein Vogel.", "Ein Hund rennt.", "Der Hund rennt."]) == 2
    )


def test_pieces_of_a_tokenizer_are_found_in_their_text(
    tokenizer: Tokenizer, text_pairs: list[tuple[str, str]]
) -> None:
    for text, other in text_pairs[:20]:
        pieces = tokenizer.pieces(tokenizer.encode(text))
        spans = locate_pieces(text, [*pieces, "</s>"])
        assert spans is not None
        for (start, end), piece in zip(spans, pieces, strict=False):
            assert text[start:end] == piece.replace("\u2581", "")
        assert spans[-1] == (len(text), len(text))
        assert locate_pieces(other, pieces) is None
        assert locate_pieces(text + " more", pieces) is None


def test_a_piece_may_be_marked_in_part() -> None:
    assert split_runs(["<", "b", " c"], [(0, 2), (3, 4)]) == [
        (False, [("", None), ("<", 0), ("", None)]),
        (True, [("", None), ("b", 0), ("", None)]),
        (False, [(" ", None), ("c", 1), ("", None)]),
    ]
