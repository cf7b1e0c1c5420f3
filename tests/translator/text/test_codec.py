"""Spans that are carried over, and the cutting of long texts."""

import re
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from translator.text.codec import STAND_IN, TextCodec, mask, normalise
from translator.text.protected import Span
from translator.text.sentences import split_long
from translator.text.tokenizer import N_COPY, Tokenizer

ALPHABET = frozenset(string.ascii_letters + string.digits + string.punctuation + " äöüßÄÖÜ")
# Marks that are written plainly where the vocabulary lacks them.
TYPOGRAPHIC = "’‘“”„–—…"
ANY_TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\U0010fffe" + TYPOGRAPHIC)
)


@pytest.fixture(scope="module")
def codec() -> TextCodec:
    """With a vocabulary that spells all of `ALPHABET`."""
    letters = [character * 2 + " " + character for character in sorted(ALPHABET - {" "})]
    words = ["Look at the dog here", "Der Hund ist hier", "Write to us today, please."]
    return TextCodec(Tokenizer.train([*letters, *words] * 20, 450))


def spans(text: str) -> list[str]:
    return [span.text for span in mask(text, ALPHABET)[1]]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("A dog runs.", []),
        ("Grüße aus Köln!", []),
        ("A 👍 dog", ["👍"]),
        ("A 👍🏽 dog", ["👍🏽"]),  # with a skin tone
        ("A family 👩‍👩‍👧‍👦 here", ["👩‍👩‍👧‍👦"]),  # joined with ZWJ
        ("Coffee ☕️.", ["☕️"]),  # with a variation selector
        ("Press 1️⃣ now", ["1️⃣"]),  # a digit with a keycap
        ("To 🇩🇪 and 🇬🇧", ["🇩🇪", "🇬🇧"]),
        ("the🎉end", ["🎉"]),
        ("The word λόγος is Greek.", ["λόγος"]),
        ("Say Καλημέρα κόσμε today", ["Καλημέρα κόσμε"]),  # neighbours are one span
        ("He lives in Łódź.", ["Łódź"]),  # half a word cannot be translated
        ("漢字 and かな", ["漢字", "かな"]),
        ("See https://example.org/a?b=c.", ["https://example.org/a?b=c"]),
        ("At https://x.org/a, or www.y.org!", ["https://x.org/a", "www.y.org"]),
        ("(http://example.org/x_y)", ["http://example.org/x_y"]),
        ("Write to anna.b+c@mail.example.org.", ["anna.b+c@mail.example.org"]),
        ("a bell \x07 rings", ["\x07"]),
        ("zero\u200bwidth", ["\u200b"]),
        (f"a {STAND_IN} b", [STAND_IN]),
    ],
)
def test_spans_that_are_carried_over(text: str, expected: list[str]) -> None:
    assert spans(text) == expected


@given(ANY_TEXT)
def test_masking_can_be_undone(text: str) -> None:
    masked, copies = mask(text, ALPHABET)
    for span in copies:
        masked = masked.replace(STAND_IN + " " * span.glued_after, "\0", 1)
    head, *parts = masked.split("\0") if copies else [masked]
    assert head + "".join(s.text + p for s, p in zip(copies, parts, strict=True)) == text


@given(ANY_TEXT)
def test_the_rest_is_in_the_alphabet(text: str) -> None:
    masked, _ = mask(text, ALPHABET)
    assert {c for c in masked if not c.isspace()} <= ALPHABET | {STAND_IN}


@given(text=ANY_TEXT.map(normalise))
def test_a_model_that_copies_ids_gives_back_the_text(codec: TextCodec, text: str) -> None:
    source = codec.encode(text)
    if len(source.copies) <= N_COPY:
        assert codec.decode(source.ids, source) == text


@given(
    words=st.lists(
        st.sampled_from(
            [
                *["the", "Hund", ".", ",", "("],
                "👍🏽",
                "λόγος",
                "漢字",
                "🇩🇪",
                "a@b.org",
                "www.x.de",
                "\x07",
            ]
        ),
        max_size=20,
    ),
    glue=st.lists(st.sampled_from([" ", ""]), min_size=20, max_size=20),
)
def test_mixed_text_survives_a_copying_model(codec: TextCodec, words, glue) -> None:
    text = normalise("".join(w + g for w, g in zip(words, glue[: len(words)], strict=True)))
    source = codec.encode(text)
    placeholders = [i for i in source.ids if i in codec.tokenizer.copy_ids]
    assert len(placeholders) == len(source.copies)
    if len(source.copies) <= N_COPY:
        assert placeholders == list(codec.tokenizer.copy_ids[: len(placeholders)])
        assert codec.decode(source.ids, source) == text


def test_text_without_spans_is_encoded_as_the_tokenizer_does(codec: TextCodec) -> None:
    text = "Look at the dog."
    assert codec.encode(text).ids == codec.tokenizer.encode(text)


def test_typographic_marks_are_plain_where_the_vocabulary_lacks_them(codec: TextCodec) -> None:
    source = codec.encode("“Hund” – the dog’s…")
    assert source.copies == []
    assert codec.decode(source.ids, source) == '"Hund" - the dog\'s...'


def test_typographic_marks_stay_where_the_vocabulary_has_them() -> None:
    text = "“Hund” – the dog’s…"
    codec = TextCodec(Tokenizer.train([text, *TYPOGRAPHIC] * 20, 400))
    source = codec.encode(text)
    assert source.copies == []
    assert codec.decode(source.ids, source) == text


def test_an_address_keeps_its_typographic_marks(codec: TextCodec) -> None:
    text = "See https://example.org/a–b’s today"
    source = codec.encode(text)
    assert codec.decode(source.ids, source) == text


@given(st.data())
def test_chosen_spans_are_copied_too(codec: TextCodec, data: st.DataObject) -> None:
    """Whatever touches them: a model that copies ids still gives back the text."""
    words = st.sampled_from(["dog", "Tim", "37", "λ", "🐶", "www.x.org", "$", "."])
    text = " ".join(data.draw(st.lists(words, min_size=1, max_size=8)))
    spans = [Span(*m.span(), m[0], m[0]) for m in re.finditer(r"Tim|37|x|dog", text)]
    chosen = [span for span in spans if data.draw(st.booleans())]
    source = codec.encode(text, chosen)
    assert codec.decode(source.ids, source) == text
    assert codec.encode(text, []) == codec.encode(text)
    copied = " ".join(copy.text for copy in source.copies)
    assert all(span.text in copied for span in chosen)


def test_output_stays_on_one_line(codec: TextCodec) -> None:
    source = codec.encode("the dog")
    newline = codec.tokenizer.encode("\n")
    ids = [*codec.tokenizer.encode("Der"), *newline, *codec.tokenizer.encode("Hund")]
    assert "\n" not in codec.decode(ids, source)


def test_placeholders_may_change_their_order(codec: TextCodec) -> None:
    source = codec.encode("λόγος here and 👍 today")
    first, second = codec.tokenizer.copy_ids[:2]
    ids = [second, *codec.tokenizer.encode("Hund"), first]
    assert codec.decode(ids, source) == "👍 Hund λόγος"


def test_more_spans_than_placeholders(codec: TextCodec) -> None:
    text = " and ".join(f"{character} dog" for character in "αβγδεζηθικλμνξοπρστυ")
    source = codec.encode(text)
    assert len(source.copies) == 20 > N_COPY
    decoded = codec.decode(source.ids, source)
    assert [c for c in decoded if c in "αβγδεζηθικλμνξοπ"] == list("αβγδεζηθικλμνξοπ")


def test_strange_and_repeated_placeholders_are_dropped(codec: TextCodec) -> None:
    source = codec.encode("the 👍 dog")
    own, strange = codec.tokenizer.copy_ids[0], codec.tokenizer.copy_ids[5]
    ids = [*codec.tokenizer.encode("Der"), own, strange, own, *codec.tokenizer.encode("Hund")]
    decoded = codec.decode(ids, source)
    assert decoded.split() == ["Der", "👍", "Hund"]


def test_missing_placeholders_are_listed(codec: TextCodec) -> None:
    source = codec.encode("👍 dog λόγος dog 漢字")
    first, second, third = codec.tokenizer.copy_ids[:3]
    assert codec.missing([third, 50], source) == [first, second]
    assert codec.missing(source.ids, source) == []


@given(ANY_TEXT)
def test_normalise_leaves_single_spaces_only(text: str) -> None:
    result = normalise(text)
    assert result == normalise(result) == result.strip()
    assert not re.search(r"\s\s|[^\S ]", result)


def test_normalise_composes() -> None:
    assert normalise("u\u0308ber") == "über"
    assert normalise(" a\u00a0\t b\u2028c ") == "a b c"
    assert normalise("ﬁ ½") == "ﬁ ½"  # NFC, not NFKC: nothing is rewritten


TEXT_WITH_SPACES = st.text(alphabet="abc .,\n", max_size=80).map(str.strip)


@given(TEXT_WITH_SPACES, st.integers(1, 30))
def test_parts_join_to_the_text_and_fit(text: str, limit: int) -> None:
    parts = split_long(text, lambda part: len(part) <= limit)
    assert "".join(part + space for part, space in parts) == text
    assert all(len(part) <= limit for part, _ in parts)
    assert all(not space.strip() for _, space in parts)
    assert parts[-1][1] == ""


@given(TEXT_WITH_SPACES, st.integers(1, 30))
@example("aaaaa  a", 1)
@example("aaaaa  a", 2)
def test_parts_are_not_surrounded_by_white_space(text: str, limit: int) -> None:
    """The model reads a part without it, so it would be lost; nor can it read an empty part."""
    parts = split_long(text, lambda part: len(part) <= limit)
    assert all(part == part.strip() for part, _ in parts)
    assert all(part for part, _ in parts) or not text


@given(TEXT_WITH_SPACES, st.integers(1, 30))
@example("aaaaaa a", 6)
def test_a_word_is_cut_only_if_it_does_not_fit_itself(text: str, limit: int) -> None:
    parts = split_long(text, lambda part: len(part) <= limit)
    position = 0
    for part, space in parts[:-1]:
        position += len(part) + len(space)
        if not space:
            before = re.search(r"\S*$", text[:position])[0]
            after = re.match(r"\S*", text[position:])[0]
            assert len(before + after) > limit


def test_sentence_ends_are_preferred_to_commas_and_commas_to_spaces() -> None:
    def parts(text: str) -> list[str]:
        return [part for part, _ in split_long(text, lambda part: len(part) < len(text))]

    assert parts("It rains a lot, she said. Then we all went") == [
        "It rains a lot, she said.",
        "Then we all went",
    ]
    assert parts("It rains a lot, she said then we went") == [
        "It rains a lot,",
        "she said then we went",
    ]
    assert parts("It rains a lot here") == ["It rains", "a lot here"]


def test_a_text_that_fits_is_left_whole() -> None:
    assert split_long("One. Two. Three.", lambda part: True) == [("One. Two. Three.", "")]
    assert split_long("", lambda part: False) == [("", "")]
