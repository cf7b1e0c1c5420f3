"""Where a line is cut into sentences, and where not."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from translator.text.sentences import split_sentences

LANGUAGES = st.sampled_from(["en", "de", "xx"])
# Full of what the rules look at.
SNIPPETS = st.lists(
    st.sampled_from([*".!?…\"“”„»«'()[]-–3AI👍漢\u00a0 \t"])
    | st.sampled_from(["...", "19", "2010", "Z.", "h.", "II", "Der", "dog", "Mr.", "etc", ":)"])
    | st.just(" "),
    max_size=25,
).map("".join)
TEXTS = st.one_of(st.text(), SNIPPETS).map(str.strip)


def cut(marked: str) -> str:
    return marked.replace(" | ", " ")


def marked(text: str, language: str) -> str:
    return " | ".join(sentence for sentence, _ in split_sentences(text, language))


@given(TEXTS, LANGUAGES)
@example("", "en")
@example(".", "en")
@example("A. \u2028 B! \x1f C", "de")
def test_the_parts_join_to_the_text(text: str, language: str) -> None:
    parts = split_sentences(text, language)
    assert "".join(sentence + space for sentence, space in parts) == text
    assert all(sentence and sentence == sentence.strip() for sentence, _ in parts)
    assert all(space.isspace() for _, space in parts[:-1])  # never inside a word
    assert [space for _, space in parts[-1:]] == [""] * bool(text)


@given(TEXTS, LANGUAGES)
def test_text_without_a_final_mark_is_not_cut(text: str, language: str) -> None:
    unmarked = re.sub(r"[.!?…‽。！？؟।]", "", text).strip()
    assert len(split_sentences(unmarked, language)) <= 1


# A " | " stands where the text is to be cut.
ENGLISH = [
    "The dog runs. | The cat sleeps! | Who knows? | Nobody",
    "Really?! | Yes... | Well. | 20 people came. | $5 is too much. | It ended",
    # abbreviations: some never end a sentence, some do
    "Mr. Brown and Dr. Gray met Prof. White on Main St. yesterday.",
    "Bring a pen, a ruler, etc. to class. | Then wait.",
    "Bring pens, paper, etc. | Teachers will wait.",
    "We like fruit, e.g. Apples from Kent, i.e. England.",
    "She moved to the U.S. | She likes it there.",
    "She joined the U.S. Navy in Jan. 1990.",
    "We met at 5 p.m. on the bridge. | We left at 9 p.m. | They stayed.",
    "He works for Green Inc. and for Red & Co. | They pay well.",
    "See No. 7 and p. 12. | No. | I never did.",
    "Plan B. | It failed.",
    # initials
    "A letter from J. R. R. Green and George W. Brown. | Anna read it.",
    # numbers
    "Version 2.0 costs 3.5 euros. | Version 3.0. | Nobody bought 4. | Peter did.",
    "1. First item",
    "Read this. | 2. Second item",
    # no cut before lower case
    '"Stop!" he said. | "Why?" | She ran.',
    "“Stop!” he said. | “Why?” | She ran. | 'Wait.' | 'No.'",
    "Well... I think so... | Then we left. | He left… | She came. | And … so on.",
    "My iPhone fell. iPads are stronger.",
    # brackets
    "He came late (at 9 p.m.) that day. | (I slept.) | Then we ate.",
    "A man (Peter Brown!) Paul knew. | A gap (...) The rest.",
    # addresses, emoji, emoticons
    "See www.example.org/a.b?c=d. | Write to anna.b@example.org! | Node.js runs.",
    "Great! 👍🏽 | See you. ❤️ 🎉 | Bye!😀 | Fine. :) | Go on.",
    # dashes, list points, other marks that open
    "- Who is it? | - Me. | – And you? | * Nobody. | • ¿Nadie? | ¡Nadie! | [Silence.] | End.",
    "I don't. | Peter can't. | It's 5 km. | Mary walks.",
    "你好。 | 我们走。 | Привет. | Как дела?",
]
GERMAN = [
    "Der Hund rennt. | Die Katze schläft! | Wer weiß? | Niemand",
    # abbreviations
    "Wir mögen z. B. Äpfel, d. h. Obst, u. a. Birnen, z.B. Quitten bzw. Kirschen.",
    "Z. B. Äpfel kosten ca. 3 Euro, vgl. Abs. 2. | Das ist viel.",
    "Manche, d. h. Die Großen, und i. d. R. Die Alten. | Z. B. Der Onkel. | Vgl. Das Bild.",
    "Herr Dr. Braun, Prof. Grau und Fr. Weiß kamen um 9 Uhr.",
    "Wir kaufen Brot, Milch usw. und Käse. | Wir haben Brot, Milch usw. | Sie nicht.",
    "Das kostet 5 Mio. Euro oder 6 Mrd. Dollar, inkl. Steuern.",
    "Siehe Nr. 7 und S. 12. | Art. 5 gilt. | Es ist eine gute Art. | Die andere nicht.",
    "Er las Seite 12. | Anna las S. 13. | Peter nicht.",
    "Er wohnt in der Gartenstr. 5 in Köln. | Sie wohnt in der Gartenstr. | Dort ist es schön.",
    "Rufen Sie an (Tel. 0123), ggf. Herrn Braun.",
    # ordinals and dates
    "Am 3. Mai, im 19. Jahrhundert, nach dem 2. Weltkrieg: Der 1. FC Grün spielt am 5./6. Juni.",
    "Heinrich VIII. war König. | Ludwig XIV. Braun kennt niemand.",
    "Das war 2010. | Berlin wuchs. | Sie kam am 5. | Dann ging sie.",
    "Wir kommen Freitag 3. Mai an. | Sie siegten 5-0. | Peter jubelte.",
    "Sie siegten 3:2. | Peter traf um 12.30. | Anna auch. | Es kostet 12,5. | Peter zahlt.",
    "1. Erster Punkt",
    "A. Braun und J. S. Grau kamen. | B. Weiß blieb.",
    # quotes
    "»Komm!« sagte er. | »Komm!« | Er ging. | „Nein!“, rief sie. | „Nein.“ | Sie ging.",
    '"Stop!" sagte er. | "Ich komme." | "Gut." | Er kam.',
    "Na ja... ich weiß nicht... | Dann ging er.",
]


@pytest.mark.parametrize("expected", ENGLISH)
def test_english_sentences(expected: str) -> None:
    assert marked(cut(expected), "en") == expected


@pytest.mark.parametrize("expected", GERMAN)
def test_german_sentences(expected: str) -> None:
    assert marked(cut(expected), "de") == expected


def test_a_number_with_a_full_stop_ends_a_sentence_in_english_only() -> None:
    assert marked("We saw 12. Birds sang.", "en") == "We saw 12. | Birds sang."
    assert marked("Wir sahen den 12. Vogel.", "de") == "Wir sahen den 12. Vogel."


def test_other_languages_use_the_rules_common_to_both() -> None:
    text = "Mr. Dupont est là. Il vient le 3. Mai, z. B. Nr. 5. Elle part."
    assert (
        marked(text, "fr") == "Mr. Dupont est là. | Il vient le 3. Mai, z. B. Nr. 5. | Elle part."
    )


def test_any_white_space_between_sentences_is_kept() -> None:
    parts = split_sentences("One.\t Two.\u3000Three.   Four", "en")
    assert parts == [("One.", "\t "), ("Two.", "\u3000"), ("Three.", "   "), ("Four", "")]


def test_a_no_break_space_is_obeyed() -> None:
    assert len(split_sentences("Wait.\u00a0Then go.", "en")) == 1
    assert len(split_sentences("Wait.\u00a0 Then go.", "en")) == 2  # as from a web page


ODD = [". ", "a.", "A. ", "1. ", "Dr. ", ".", '"', ". '", ".)", "(", "😀", "😀 ", "z. B ", "a"]


def check_odd_text(unit: str, length: int) -> None:
    """The time is not measured: where the cost were quadratic, the test run would stop here."""
    text = (unit * (length // len(unit))).strip()
    for odd in (text, f"A. {text}x B"):
        parts = split_sentences(odd, "de")
        assert "".join(sentence + space for sentence, space in parts) == odd


@pytest.mark.parametrize("unit", ODD)
def test_odd_text_takes_linear_time(unit: str) -> None:
    check_odd_text(unit, 50_000)


@pytest.mark.slow
@pytest.mark.parametrize("unit", ODD[:3])
def test_long_odd_text_takes_linear_time(unit: str) -> None:
    check_odd_text(unit, 1_000_000)
