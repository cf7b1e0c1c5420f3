"""Faults that are found in translations, and good translations that are left alone."""

import gzip
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from translator.text.numbers import lost_numbers, number_spans, shifted_times
from translator.training.validation import describe_collapse
from translator.translation.faults import (
    find_lost_names,
    find_rare_names,
    is_empty,
    is_loop,
    is_out_of_proportion,
    list_faults,
)

# Full of what the rules look at.
SNIPPETS = st.lists(
    st.sampled_from(
        [
            *["1", "05", "70", "1970", "3.5", "15:30", "11.9.2001", "1,000", "3 000 000", "1.5"],
            *[
                "million",
                "billion",
                "tsd",
                "two",
                "ein",
                "hundert",
                "und",
                "Uhr",
                "pm",
                "May",
                "II",
            ],
            *["dog", "dog", "Hund", "CO2", ".", "-", "to", "ha", "!", "٣", "½"],
        ]
    ),
    max_size=20,
)
TEXTS = st.one_of(st.text(), SNIPPETS.map(" ".join), SNIPPETS.map("".join))


def found(source: str, translation: str) -> list[str]:
    """With one piece for each word."""
    return list_faults(source, translation, len(source.split()), len(translation.split()))


@given(TEXTS)
@example("1000000000 1 billion 1")
@example("05 2005 5 05")
@example("ha ha ha ha ha ha ha ha")
def test_a_copy_of_the_source_has_no_fault(text: str) -> None:
    assert found(text, text) == []


@given(TEXTS, TEXTS, st.integers(0, 1000), st.integers(0, 1000))
def test_any_text_can_be_checked(source: str, translation: str, src: int, tgt: int) -> None:
    assert set(list_faults(source, translation, src, tgt)) <= {"empty", "loop", "length", "numbers"}
    assert set(list_faults(source, translation, src, tgt, [source])) <= {
        *("empty", "loop", "length", "numbers", "names")
    }


@pytest.mark.parametrize(
    "source, translation",
    [
        ("A dog runs along the beach.", "Ein Hund rennt am Strand entlang."),
        ("No, no, no!", "Nein, nein, nein!"),
        ("Ha ha ha ha, very, very funny.", "Hahahaha, sehr, sehr lustig."),
        ("Hmm...", "Hmm......"),
        ("The dogs that chase the cats.", "Die Hunde, die die Katzen jagen."),
        ("The cat, the dog, the cow, the pig.", "Die Katze, der Hund, die Kuh, das Schwein."),
        ("It cost 3 billion pesos.", "Es kostete 3 000 000 000 Pesos."),
        (
            "A man and a woman read the paper at home or outside.",
            "Ein Mann liest die Zeitung vor dem Haus, und ein Mann liest die Zeitung vor dem Tor.",
        ),
        (
            "Dogs, cats, cows, pigs and many other animals live on farms in villages near here.",
            "Die Hunde, die Katzen, die Kühe, die Schweine und viele andere Tiere leben auf Höfen.",
        ),
        ("Yes.", "Ja, das stimmt."),
        ("?!", "..."),
        ("", ""),
    ],
)
def test_good_translations_have_no_faults(source: str, translation: str) -> None:
    assert found(source, translation) == []


@pytest.mark.parametrize("nothing", ["", " ", "...", "„“ –!", "👍"])
def test_words_may_not_become_nothing(nothing: str) -> None:
    assert found("A dog runs.", nothing) == ["empty"]
    assert not is_empty("?!", nothing)


# --- loops ---------------------------------------------------------------------------------------

SENTENCE = "ein alter Mann mit Hut liest vor dem kleinen Haus seine Zeitung"
WORDS = SENTENCE.split()


@pytest.mark.parametrize("n", range(1, 9))
@pytest.mark.parametrize("start", [0, 2])
def test_a_phrase_over_and_over_is_a_loop(n: int, start: int) -> None:
    phrase = WORDS[start : start + n]
    looped = " ".join(WORDS[:start] + phrase * 3 + WORDS[start + n :])
    assert is_loop("an old man with a hat reads his newspaper", looped)
    assert not is_loop(looped, looped)


def test_a_long_phrase_may_not_be_said_twice_at_once_a_short_one_may() -> None:
    assert is_loop("All alone.", "Ganz und allein, ganz und allein.")
    assert not is_loop("Truly, truly.", "Wirklich, wirklich.")
    assert not is_loop("Out and out.", "Durch und, durch und durch.")


@pytest.mark.parametrize(
    "loop",
    [
        "der Hund der Mann der Hut der Hut, der Ball der Tag",  # one word, never twice in a row
        "und der Mann, und der Hund, und der Hut, und der Ball, und der Tag",
        "Wahnsinn" + "sinn" * 4,
        "Es ist. . . . . . . .",
        "1 1 1 1",
        # a sentence said twice, with something between
        "Er geht heute mit seinem alten Hund im Park, er geht heute mit seinem alten Hund im Park",
        f"Gut: {SENTENCE}. Und: {SENTENCE}",
    ],
)
def test_other_loops(loop: str) -> None:
    assert is_loop("Something quite different is said here", loop)


def test_repetition_in_the_source_may_be_repeated_but_not_endlessly() -> None:
    assert not is_loop("no no no", "nein nein nein nein")
    assert is_loop("no no no", "nein " * 7)
    assert not is_loop("Sooooooooooooo!", "Soooooooooooooooo!")
    assert is_loop("Sooooo!", "Soooooooooooooooo!")


# --- length --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "src, tgt, odd",
    [
        (20, 20, False),
        (20, 46, False),
        (20, 47, True),
        (46, 20, False),
        (47, 20, True),
        (1, 8, False),  # short texts are free
        (1, 9, True),
        (0, 0, False),
    ],
)
def test_lengths_are_compared_with_a_slack(src: int, tgt: int, odd: bool) -> None:
    assert is_out_of_proportion(src, tgt) == odd


# --- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "english, german",
    [
        ("1,000.5 miles", "1.000,5 Meilen"),
        ("1,000.5 miles", "1000,50 Meilen"),
        ("20,000 people", "20 000 Leute"),
        ("1,250,000 people", "1'250'000 Leute"),
        ("4,800 people", "4‘800 Leute"),
        ("2.5 million people", "2.500.000 Leute"),
        ("2.5 million people", "2,5 Mio. Leute"),
        ("£5m", "5 Mio. Pfund"),
        ("1 billion people", "1 Milliarde Leute"),
        ("1,000 billion people", "1 Billion Leute"),
        ("300 to 450 thousand", "300.000 bis 450.000"),
        ("the 3rd time", "das 3. Mal"),
        ("3 dogs, 12 cats", "drei Hunde, zwölf Katzen"),
        ("2 3", "zwei drei"),
        ("the 3rd of 5", "der dritte von fünf"),
        ("at 21", "mit einundzwanzig"),
        ("200 people", "zweihundert Leute"),
        ("2 men", "beide Männer"),
        ("at 3 pm", "um 15 Uhr"),
        ("at 3:30 p.m.", "um 15.30 Uhr"),
        ("at 8:00", "um 8 Uhr"),
        ("from 4 to 7 pm", "von 16 bis 19 Uhr"),
        ("on May 3, 2010", "am 3.5.2010"),
        ("on 9/11", "am 11. September"),
        ("the 1970s", "die 70er Jahre"),
        ("the 1970s", "die Siebziger"),
        ("in 2007-08", "in den Jahren 2007 bis 2008"),
        ("Henry 8", "Heinrich VIII."),
        ("007", "007"),
    ],
)
def test_a_number_may_change_its_form(english: str, german: str) -> None:
    assert lost_numbers(english, german) == []


@pytest.mark.parametrize(
    "english, german",
    [
        ("three dogs and 21 cats", "3 Hunde und einundzwanzig Katzen"),
        ("thirty-five dogs", "35 Hunde"),
        ("two hundred people", "200 Leute"),
        ("in the seventies", "in den 70ern"),
        ("the XIXth century", "das 19. Jahrhundert"),
        ("8 pm", "20 Uhr"),
        ("carbon dioxide", "CO2"),  # a name, not a number
        ("3 or 4 o'clock", "15 oder 16 Uhr"),
    ],
)
def test_the_same_from_german(english: str, german: str) -> None:
    assert lost_numbers(german, english) == []


@pytest.mark.parametrize(
    "source, translation, lost",
    [
        ("3 dogs and 12 cats", "Hunde und 12 Katzen", ["3"]),
        ("3 dogs", "4 Hunde", ["3"]),
        ("5 dogs and 5 cats", "5 Hunde und Katzen", ["5"]),
        ("70 dogs in 1970", "70 Hunde", ["1970"]),
        ("at 3:30", "nach 3,3 Metern", ["3:30"]),
        ("on 11.9.2001", "nach 11,9 Metern", ["11.9.2001"]),
        ("in 1970", "im Jahr 1870", ["1970"]),
        ("1,250 people", "125 Leute", ["1250"]),
        ("3.5 miles", "35 Meilen", ["3.5"]),
        ("2 million", "2000", ["2"]),
        ("at 3:30 pm", "um 15 Uhr", ["3:30"]),
        ("on 3.5.2010", "am 3. Juni 2010", ["3.5.2010"]),
        ("the A380", "der A340", ["380"]),
        ("9 men", "Hund", ["9"]),
    ],
)
def test_lost_numbers_are_named(source: str, translation: str, lost: list[str]) -> None:
    assert lost_numbers(source, translation) == lost


@given(st.integers(0, 10**12), st.sampled_from([",", "."]), st.sampled_from([".", "'", " ", ""]))
def test_thousands_may_be_grouped_in_any_way(number: int, one: str, other: str) -> None:
    source, translation = (f"{number:,}".replace(",", mark) for mark in (one, other))
    assert lost_numbers(f"They saw {source} birds", f"Sie sahen {translation} Vögel") == []
    assert lost_numbers(f"They saw {source} birds", "Sie sahen Vögel") == [str(number)]


def test_several_faults_are_all_named() -> None:
    assert found("I saw 12 dogs", "Hund " * 30) == ["loop", "length", "numbers"]


# --- odd text ------------------------------------------------------------------------------------

ODD = ["1 ", "1.", "1", "a ", "ab", "one ", "1 - ", "1 000", "3:30 ", "I ", "million ", " ", "zwei"]


def check_odd_text(unit: str, length: int) -> None:
    """The time is not measured: where the cost were quadratic, the test run would stop here."""
    odd = "1" + unit * (length // len(unit))
    assert list_faults(odd, odd, length, length) == []
    list_faults("A dog", odd, 2, length)


@pytest.mark.parametrize("unit", ODD)
def test_odd_text_takes_linear_time(unit: str) -> None:
    check_odd_text(unit, 20_000)


@pytest.mark.slow
@pytest.mark.parametrize("unit", ODD)
def test_long_odd_text_takes_linear_time(unit: str) -> None:
    check_odd_text(unit, 200_000)


# --- collapse ------------------------------------------------------------------------------------


@pytest.fixture
def sides(text_pairs: list[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """100 sources and their translations."""
    src, tgt = zip(*text_pairs[:100], strict=True)
    return list(src), list(tgt)


def test_good_translations_are_not_a_collapse(sides) -> None:
    src, tgt = sides
    for n in range(len(src) + 1):
        assert describe_collapse(src[:n], tgt[:n]) is None
        assert describe_collapse(tgt[:n], src[:n]) is None


@pytest.mark.parametrize(
    "n_bad, named", [(0, False), (20, False), (49, False), (50, True), (99, True), (100, True)]
)
def test_the_same_for_half_of_the_sources_is_a_collapse(sides, n_bad: int, named: bool) -> None:
    src, tgt = sides
    text = describe_collapse(src, ["Ein Hund."] * n_bad + tgt[n_bad:])
    assert (text is not None) == named
    if text is not None:
        share = "All 100" if n_bad == 100 else f"{n_bad} of 100"
        assert text.startswith(f'{share} translations are the same sentence ("Ein Hund.")')
        assert "train.peak_lr" in text and "doctor" in text


@pytest.mark.parametrize("empty", ["", " ", ".", " ... "])
@pytest.mark.parametrize("n_bad, named", [(24, False), (25, True), (100, True)])
def test_many_empty_translations_are_a_collapse(sides, empty: str, n_bad: int, named) -> None:
    src, tgt = sides
    text = describe_collapse(src, [empty] * n_bad + tgt[n_bad:])
    assert (text is not None) == named
    if text is not None:
        share = "All 100" if n_bad == 100 else f"{n_bad} of 100"
        assert text.startswith(f"{share} translations are empty")


@pytest.mark.parametrize("n_bad, named", [(49, False), (50, True), (100, True)])
def test_copies_of_half_of_the_sources_are_a_collapse(sides, n_bad: int, named: bool) -> None:
    src, tgt = sides
    text = describe_collapse(src, [line.upper() for line in src[:n_bad]] + tgt[n_bad:])
    assert (text is not None) == named
    if text is not None:
        assert "copies of their source" in text and "--src" in text


def test_copies_need_not_be_perfect() -> None:
    src = [f"The dog number {i} runs along the wide beach." for i in range(10)]
    almost = [line.replace("wide", "weiten") for line in src]
    assert "copies of their source" in (describe_collapse(src, almost) or "")


@pytest.mark.parametrize("n_different, named", [(10, True), (11, False)])
def test_a_handful_of_sentences_for_all_is_a_collapse(sides, n_different: int, named: bool) -> None:
    src, tgt = sides
    text = describe_collapse(src, [tgt[i % n_different] for i in range(100)])
    assert (text is not None) == named
    if text is not None:
        assert text.startswith("The 100 translations are only 10 different sentences")


def test_sources_that_repeat_may_have_translations_that_repeat(sides) -> None:
    src, tgt = sides
    for n in (1, 2, 3, 5):
        assert describe_collapse(src[:n] * 50, tgt[:n] * 50) is None
    assert (
        describe_collapse([*src[:20], *["Yes!", "yes.", "YES"] * 50], tgt[:20] + ["Ja."] * 150)
        is None
    )


@pytest.mark.parametrize("n", [0, 1, 2, 3])
@pytest.mark.parametrize("translation", ["", "Ein Hund."])
def test_a_few_sentences_prove_nothing(sides, n: int, translation: str) -> None:
    assert describe_collapse(sides[0][:n], [translation] * n) is None


def test_names_numbers_and_signs_may_be_copied_and_signs_may_vanish() -> None:
    names = [f"{first} {last}" for first in ("Anna", "Ben", "Eva") for last in ("Lang", "Ott")]
    figures = [f"{i} / {i + 1} = {i}.{i}" for i in range(20)]
    assert describe_collapse(names + figures, names + figures) is None
    assert describe_collapse(["!" * i for i in range(20)], [""] * 20) is None


def test_a_collapse_is_described_in_one_line(sides) -> None:
    text = describe_collapse(sides[0], ["a\nvery " + "long " * 30] * 100)
    assert text is not None and "\n" not in text and len(text) < 400


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=12))
def test_any_validation_set_can_be_looked_at(pairs: Sequence[tuple[str, str]]) -> None:
    text = describe_collapse([source for source, _ in pairs], [target for _, target in pairs])
    assert text is None or "\n" not in text


@pytest.mark.parametrize("split", ["val", "test_2016_flickr", "test_2017_flickr"])
def test_human_translations_are_not_a_collapse(real_corpus: Path, split: str) -> None:
    src, tgt = (
        gzip.decompress((real_corpus / f"{split}.{side}.gz").read_bytes()).decode().split("\n")
        for side in ("en", "de")
    )
    draw = random.Random(1)
    for one, other in ((src, tgt), (tgt, src)):
        assert describe_collapse(one, other) is None
        for n in (4, 5, 8, 20):
            for _ in range(100):
                places = draw.choices(range(len(src)), k=n)
                assert (
                    describe_collapse([one[i] for i in places], [other[i] for i in places]) is None
                )


# --- times ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "translation", "written"),
    [
        ("um 17:30 Uhr", "at 5:30", ["5:30 pm"]),
        ("um 17:30 Uhr", "at 5:30 p.m.", []),
        ("um 17:30 Uhr", "at half past five in the afternoon, 5:30", []),
        ("um 17 Uhr", "at 5 o'clock", ["5 pm"]),
        ("um 17 Uhr", "at 17 o'clock", []),
        ("17 Hunde um 17:30", "17 dogs at 17:30", []),
        ("at 5 pm", "um 5 Uhr", ["17 Uhr"]),
        ("at 5:30 p.m.", "um 5.30 Uhr nachmittags", []),
        ("at 5 pm", "um 17 Uhr", []),
        ("at 12 pm", "um 12 Uhr", []),
        ("at 9 am", "um 9 Uhr", []),
        ("17 Hunde", "5 dogs", []),
        ("from 9am to 5 pm", "von 21 bis 17 Uhr", ["9 Uhr"]),
        ("at 8:15 a.m. sharp", "um 20:15 Uhr", ["8:15 Uhr"]),
        ("at 8:15 a.m. sharp", "um 8.15 Uhr", []),
        ("at 12 am", "um 12 Uhr", ["0 Uhr"]),
        ("at 12 am", "um Mitternacht", []),
        ("from 12 am to 12 pm", "von 12 bis 12 Uhr", ["0 Uhr"]),
        ("from 12 am to 12 pm", "von 0 bis 12 Uhr", []),
        ("from 12 pm to 12 am", "von 12 bis 0 Uhr", []),
        ("um 9 Uhr", "at 9 pm", ["9 am"]),
        ("abends um 9 Uhr", "at 9 pm", []),
        ("Seite 12 am Rand, 9 am Ende", "page 12 at the edge, 9 at the end", []),
        # What another number of the source says is not the wrong half of the day.
        ("von 9 Uhr bis 21 Uhr", "from 9 to 9 pm", []),
        ("10 am to 10 pm", "von zehn bis 22 Uhr", []),
        ("from 9 am to 9 pm", "von 21 bis 21 Uhr", ["9 Uhr"]),
        ("at 5 am he saw 17 dogs", "um fünf sah er 17 Hunde", []),
        ("5 dogs at 5 pm", "5 Hunde um fünf Uhr nachmittags", []),
        # The half hour before the one that German names.
        ("um halb acht", "at half past eight", ["at half past seven"]),
        ("um halb acht", "at half past seven", []),
        ("um halb acht", "at 7:30", []),
        ("um halb acht", "at 19:30", []),
        ("um halb acht", "at seven-thirty", []),
        ("um halb acht", "at half seven", []),
        ("gegen halb acht", "around 8 o'clock", ["half past seven"]),
        ("Um halb acht kam er.", "He came at 8:00.", ["At half past seven"]),
        ("Halb eins ist zu spät.", "Half past one is too late.", ["Half past twelve"]),
        ("von halb 8 bis halb 10", "from half past 7 to half past 10", ["half past nine"]),
        ("at half past seven", "um halb sieben", ["um halb acht"]),
        ("um halb 9", "at half past eight", []),
        ("at half-past twelve", "um halb eins", []),
        ("at half past eleven", "um elf Uhr dreißig", []),
        ("Half past twelve", "Halb zwölf", ["Halb eins"]),
        ("halb acht Uhr", "at half past eight", ["half past seven"]),
        ("at half past one", "um ein Uhr dreißig", []),
        ("at half past seven", "um neunzehn Uhr dreißig", []),
        ("at half past seven", "um 19 Uhr 30", []),
        ("at half past seven", "à sept heures et demie", []),  # a language without such times here
        ("at half past 7 pm", "um 19.30 Uhr", []),
        ("fünf vor halb acht", "7:25", []),
        ("ein halbes Kilo, halb voll", "half a kilo, half full", []),
        ("Sie ist halb Elf, halb Mensch.", "She is half elf, half human.", []),
        ("halb 30 Gäste, halb 8 Seiten, halb 3,5 Liter", "half 30 guests, 8 pages, 3.5 litres", []),
    ],
)
def test_times_are_shifted(source: str, translation: str, written: list[str]) -> None:
    lost = shifted_times(source, translation)
    assert [said for _, _, said in lost] == written
    assert all(source[start:end].strip(".") in source for start, end, _ in lost)
    if written:
        assert list_faults(source, translation, 5, 5) == ["numbers"]


def test_the_hour_of_a_half_hour_is_another_number() -> None:
    assert lost_numbers("um halb 9", "at half past eight") == []
    assert lost_numbers("um halb 9 an Gleis 9", "at half past eight") == ["9"]
    assert lost_numbers("um halb 9 kamen 8 Leute", "at half past eight people came") == ["8"]
    assert lost_numbers("at 8:30", "um halb neun") == []
    assert lost_numbers("Etwa halb 30 Gäste", "About guests") == ["30"]


# --- names ----------------------------------------------------------------------------------------


def n_pieces(word: str) -> int:
    """A vocabulary that knows some words, with or without a capital, and spells all others."""
    known = "the man and sees in on a street plays with has gone Berlin Scottish sailors two"
    return 1 if word in known.split() else len(word)


@pytest.mark.parametrize(
    "text, names",
    [
        ("The man sees Kowalski on the street.", ["Kowalski"]),
        ("Zbigniew plays with Jörg and Marie-Claire.", ["Zbigniew", "Jörg", "Marie", "Claire"]),
        ("The Scottish man has gone in Berlin.", []),  # known words
        ("Two sailors", []),
        ("Anna sees Xy on the street", []),  # four pieces may be a common word; two letters
        ("Hello the man", ["Hello"]),  # five pieces are none
        ("The man plays FC NASA", []),  # capitals
        ("The Headline Of The Day Has Capitals", []),
        ("", []),
        ("12 ... !", []),
    ],
)
def test_rare_names(text: str, names: list[str]) -> None:
    found = find_rare_names(text, n_pieces)
    assert [text[start:end] for start, end in found] == names


@given(TEXTS)
def test_names_can_be_looked_for_in_any_text(text: str) -> None:
    spans = find_rare_names(text, n_pieces)
    assert all(text[start:end].isalpha() for start, end in spans)
    assert find_lost_names([text[start:end] for start, end in spans], text) == []


def test_a_name_may_have_an_ending() -> None:
    assert find_lost_names(["Kowalski", "Bob"], "Kowalskis BOB") == []
    assert find_lost_names(["Kowalski", "Bob"], "Kowalsky") == ["Kowalski", "Bob"]
    assert list_faults("Bob sees a dog", "Bernd sieht einen Hund", 4, 4, ["Bob"]) == ["names"]


@pytest.mark.parametrize(
    "text, spans",
    [
        ("There are 37 dogs.", ["37"]),
        ("It costs $1,234.50 at 15:30.", ["1,234.50", "15:30"]),
        ("The 3rd 7-year-old", ["3rd", "7"]),
        ("No number", []),
    ],
)
def test_spans_of_numbers(text: str, spans: list[str]) -> None:
    assert [text[start:end] for start, end in number_spans(text)] == spans
