"""Whatever a text holds besides sentences comes out as it went in, whatever the model says.

The lines of tests/data/texts, a file for each class and language, go through models that say the
worst: one that repeats its source, one that forgets all that is to be carried over, one that writes
it several times, and one that answers every sentence with the same words.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from translator.model.transformer import Transformer
from translator.search.hypothesis import Hypothesis
from translator.storage.model_folder import Model
from translator.text.codec import fold, normalise
from translator.text.layout import TAG, core, split_tags
from translator.text.protected import (
    changed_currency,
    has_number,
    protected_spans,
    rewritten_numbers,
)
from translator.text.tokenizer import Tokenizer
from translator.translation.faults import is_in_capitals, lower_heading
from translator.translation.markup import Element, collapse, nest, restore
from translator.translation.translator import Translator
from translator.translation.units import Unit, cut_lines

REPOSITORY = Path(__file__).parents[3]
FILES = sorted((REPOSITORY / "tests" / "data" / "texts").glob("*.txt"))
LINES = {file.stem: file.read_text(encoding="utf-8").split("\n")[:-1] for file in FILES}
# In these the text itself is written in another way.
REWRITTEN = ("capitals", "compatible", "headings", "invisible", "numbers")
SPLITS = ("sentences", "long")
OTHER = {"en": "de", "de": "en"}


def names(*without: str) -> list[str]:
    return [name for name in LINES if name.split(".")[0] not in without]


def echo(translator: Translator, unit: Unit) -> list[int]:
    return unit.source.ids


def forgetful(translator: Translator, unit: Unit) -> list[int]:
    return [i for i in unit.source.ids if i not in translator.codec.tokenizer.copy_ids]


def chatty(translator: Translator, unit: Unit) -> list[int]:
    copies = translator.codec.tokenizer.copy_ids
    said = [i for i in unit.source.ids for _ in range(1 + 2 * (i in copies))]
    return [copies[15], *said, copies[14]]


def stubborn(translator: Translator, unit: Unit) -> list[int]:
    return translator.codec.tokenizer.encode("Ein Hund rennt hier.")


@pytest.fixture(scope="module")
def model(tiny_config) -> Model:
    """One that has learnt nothing, with the vocabulary of a shipped one."""
    tokenizer = Tokenizer.load(REPOSITORY / "checkpoints" / "multi30k-en-de" / "tokenizer.model")
    sizes = replace(tiny_config.model, vocab_size=tokenizer.vocab_size)
    return Model(Transformer(sizes).eval(), tokenizer, replace(tiny_config, model=sizes))


@pytest.fixture(scope="module")
def build(model: Model) -> Callable[..., Translator]:
    """A translator from `language` whose model says what `says` makes of each unit."""

    def build(says: Callable[[Translator, Unit], list[int]], language: str) -> Translator:
        config = replace(
            model.config, data=replace(model.config.data, src=language, tgt=OTHER[language])
        )
        translator = Translator(replace(model, config=config))

        def search(units, search):
            said = [Hypothesis(says(translator, unit), -1.0, -1.0) for unit in units]
            return [[translator.decoder._complete(u, h)] for u, h in zip(units, said, strict=True)]

        translator.decoder.search = search
        return translator

    return build


def kept(line: str) -> Counter[str]:
    """What a line holds that no translation may change, and how often."""
    plain, tags = split_tags(line)
    found = Counter(tag.text for tag in tags if tag.text.strip())
    found.update(plain[start:end] for start, end in protected_spans(plain))
    found.update(re.findall(r"\s{2,}|[\t|♪•★→👍]|[!?]{2,}|\.{4,}", TAG.sub("", line)))
    return found


def words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", text)


def test_there_is_enough_to_test() -> None:
    assert len(FILES) >= 25 and sum(map(len, LINES.values())) >= 300
    assert {name.split(".")[1] for name in LINES} == {"en", "de"}
    assert all(line.strip() for lines in LINES.values() for line in lines)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", names(*REWRITTEN))
def test_a_model_that_repeats_its_source_gives_back_the_line(build, name: str, split: str) -> None:
    translator = build(echo, name.split(".")[1])
    for line, found in zip(
        LINES[name], translator.translate_lines(LINES[name], split=split), strict=True
    ):
        # The vocabulary of captions writes plain marks for typographic ones.
        plain = str.maketrans({"“": '"', "”": '"', "„": '"'})
        assert found.text.translate(plain) == line.translate(plain)


@pytest.mark.parametrize("says", [forgetful, chatty, stubborn])
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", names("capitals", "numbers"))
def test_copied_text_occurs_once_in_the_translation(build, name: str, split: str, says) -> None:
    translator = build(says, name.split(".")[1])
    found = translator.translate_lines(LINES[name], split=split, guard=False)
    for line, translation in zip(LINES[name], found, strict=True):
        if name.startswith("markdown"):
            # One element may have all words; an empty one beside it is no emphasis any more.
            marks = [sorted(re.findall(r"[*~_!()\[\]]", text)) for text in (line, translation.text)]
            assert marks[0] == marks[1], translation.text
            continue
        lost = kept(line) - kept(translation.text)
        assert not lost, (line, translation.text)
        assert not (kept(translation.text) - kept(line)), (line, translation.text)


@pytest.mark.parametrize("says", [forgetful, chatty, stubborn])
@pytest.mark.parametrize("name", names("capitals", "numbers"))
def test_marks_around_a_text_stay_around_it(build, name: str, says) -> None:
    translator = build(says, name.split(".")[1])
    found = translator.translate_lines(LINES[name], guard=False)
    for line, translation in zip(LINES[name], found, strict=True):
        plain, said = split_tags(line)[0], split_tags(translation.text)[0]
        start, end = core(plain)
        if start < end:
            assert said.startswith(plain[:start]) and said.endswith(plain[end:])


@pytest.mark.parametrize("name", ["no_letters.en", "no_letters.de"])
def test_text_without_words_is_not_translated(build, name: str) -> None:
    for split in SPLITS:
        found = build(stubborn, name.split(".")[1]).translate_lines(LINES[name], split=split)
        assert [t.text for t in found] == LINES[name]
        assert not any(t.segments for t in found)


@pytest.mark.parametrize("says", [echo, forgetful, stubborn])
@pytest.mark.parametrize("name", ["markup.en", "markup.de"])
def test_tags_are_balanced_wherever_they_were(build, name: str, says) -> None:
    def open_at_the_end(text: str) -> tuple[list[str], list[str]]:
        waiting: list[str] = []
        stray = []
        for tag in TAG.finditer(text):
            if tag["close"]:
                if waiting and waiting[-1] == tag["name"]:
                    waiting.pop()
                else:
                    stray.append(tag["name"])
            elif tag["name"] and not tag["empty"]:
                waiting.append(tag["name"])
        return waiting, stray

    for split in SPLITS:
        found = build(says, name.split(".")[1]).translate(LINES[name], split=split)
        for line, text in zip(LINES[name], found, strict=True):
            assert open_at_the_end(text) == open_at_the_end(line), text


@pytest.mark.parametrize("name", ["invisible.en", "invisible.de"])
def test_invisible_characters_split_no_word(build, name: str) -> None:
    language = name.split(".")[1]
    for line, found in zip(
        LINES[name], build(echo, language).translate_lines(LINES[name]), strict=True
    ):
        visible = re.sub("[\u00ad\u200b\u200c\u200e\u200f\u2060\ufeff]", "", line)
        assert normalise(found.text) == visible != line


@pytest.mark.parametrize("name", ["compatible.en", "compatible.de"])
def test_letters_in_another_form_are_read_as_plain_ones(build, name: str) -> None:
    translator = build(echo, name.split(".")[1])
    for line, found in zip(LINES[name], translator.translate_lines(LINES[name]), strict=True):
        assert found.text == fold(line) != line
        assert not translator.codec.encode(line).copies


@pytest.mark.parametrize("name", ["capitals.en", "capitals.de"])
def test_capitals_are_lowercased_except_in_copied_spans(build, name: str) -> None:
    translator = build(echo, name.split(".")[1])
    read = []
    inner = translator.decoder.search
    translator.decoder.search = lambda units, search: (
        read.extend(unit.text for unit in units) or inner(units, search)
    )
    for line in LINES[name]:
        read.clear()
        (found,) = translator.translate_lines([line])
        assert any(not is_in_capitals(text) for text in read)
        assert kept(found.text) == kept(line)
        assert found.text == line.replace("ß", "SS")


@pytest.mark.parametrize("name", ["headings.en", "headings.de"])
def test_headings_keep_all_their_words(build, name: str) -> None:
    language = name.split(".")[1]
    for line, found in zip(
        LINES[name], build(echo, language).translate_lines(LINES[name]), strict=True
    ):
        assert found.text == lower_heading(line, language) != line
        assert found.text.lower() == line.lower()


def test_names_are_not_taken_for_headings() -> None:
    for text in ("Peter Brown", "Anna And Peter", "New York", "The man in New York", "A Man"):
        assert lower_heading(text, "en") == text or " And " in text


@pytest.mark.parametrize("name", ["numbers.en", "numbers.de"])
def test_numbers_that_are_certain_follow_the_other_language(build, name: str) -> None:
    language = name.split(".")[1]
    marks = str.maketrans(",.", ".,")
    for says in (echo, forgetful):
        found = build(says, language).translate_lines(LINES[name])
        for line, translation in zip(LINES[name], found, strict=True):
            numbers = re.findall(r"\d[\d.,]*\d", line)
            there = re.findall(r"\d[\d.,]*\d", translation.text)
            assert sorted(there) == sorted(number.translate(marks) for number in numbers)
            written = [pair for segment in translation.segments for pair in segment.numbers]
            assert len(written) == len(numbers)


@pytest.mark.parametrize(
    "text, language, expected",
    [
        ("Version 3.5 is out at 10.30", "en", []),
        ("Python 3.11", "en", []),
        ("1,234.5", "en", ["1.234,5"]),
        ("$1,299.99", "en", ["1.299,99 $"]),
        ("2.5 kg", "en", ["2,5"]),
        ("1,2,3", "en", []),
        ("1.299,99 €", "de", ["€1,299.99"]),
        ("3,5", "de", ["3.5"]),
        ("am 12.05.2024", "de", []),
        ("2.500.000 EUR", "de", ["2,500,000 EUR"]),
        ("£20 and 20 dogs", "en", ["20 £"]),
        ("5 € und 5 Hunde", "de", ["€5"]),
        ("99,- € oder 1.299,-- EUR", "de", ["€99", "1,299 EUR"]),
        ("Nr. 5,- und 99,-mal", "de", []),
    ],
)
def test_which_numbers_are_certain(text: str, language: str, expected: list[str]) -> None:
    assert [s.written for s in rewritten_numbers(text, language, OTHER[language])] == expected


@pytest.mark.parametrize(
    ("text", "language", "right", "wrong"),
    [
        ("19,99 €", "de", ["€19.99", "19.99 EUR", "19.99 euros"], ["$19.99", "19.99", "€19"]),
        ("$19.99", "en", ["19,99 $", "19,99 US-Dollar"], ["19,99 €", "19,99", "19.99 $"]),
        ("2.500.000 EUR", "de", ["EUR 2,500,000", "2,500,000 euros"], ["2,000,000 euros"]),
        ("99,– Euro", "de", ["99 euros", "ninety-nine euros"], ["99.- Euro", "99, - euros"]),
        # A dash that belongs to the sentence.
        ("99,– Euro", "de", ["It costs €99. – Good.", "99 euros in 2019, – he said"], ["€99.-"]),
        # Another price in the same text does not stand for it.
        ("3,50 €", "de", ["€3.50 or 4 euros", "$4 or €3.50"], ["$3.50 or 4 euros"]),
        ("5 €", "de", ["€5", "five euros", "5 euros"], ["$5 and €10", "$5"]),
        ("€18.10", "en", ["18,10 €", "18,10 Euro"], ["€18,10 Euro"]),
    ],
)
def test_a_price_keeps_its_currency(
    text: str, language: str, right: list[str], wrong: list[str]
) -> None:
    (span,) = rewritten_numbers(text, language, OTHER[language])
    assert all(has_number(said, span, OTHER[language]) for said in right)
    assert not any(has_number(said, span, OTHER[language]) for said in wrong)


def test_a_day_and_a_month_are_a_span_behind_their_preposition() -> None:
    text = "Vom 3.4. bis 15.6. und am 1.2., aber 3.5 und zum 1.2.2024."
    assert [text[a:b] for a, b in protected_spans(text)] == ["3.4.", "15.6.", "1.2", "1.2.2024"]


def test_no_currency_is_invented() -> None:
    assert changed_currency("3 € oder 4 EUR", "$3 or 4 euros")
    assert not changed_currency("3 € oder 4 Dollar", "$3 or 4 euros")
    assert not changed_currency("ten bucks", "zehn Dollar")
    assert not changed_currency("$5 in Europe", "5 Dollar in Europa")
    assert changed_currency("Visitors to Europe pay $5.", "Besucher in Europa zahlen 5 €.")
    assert changed_currency("Eure Karten kosten 5 Dollar.", "Your tickets cost 5 euros.")
    assert not changed_currency("Die Eurozone zahlt 5 $.", "The euro zone pays $5.")
    assert not changed_currency("A 5-lb bag costs $3.", "Ein 5-Pfund-Beutel kostet 3 $.")


@pytest.mark.parametrize(
    "text",
    [
        *["A dog runs.", "Mr. Brown's T-shirt", "and/or", "100 % sure", "a 5-year-old boy", "$20"],
        *[
            "at 10:30",
            "note: this",
            "x < y",
            "the 1980s",
            "2nd",
            "Well... I think so",
            "Q&A",
            "3 & 4",
        ],
    ],
)
def test_common_text_holds_no_span(text: str) -> None:
    assert protected_spans(text) == []


@given(st.text(alphabet="ab <>/{}%$`:.1-|\t(", max_size=40))
def test_any_mixture_of_signs_comes_back_from_an_echo(build, text: str) -> None:
    translator = build(echo, "en")
    found = translator.translate([text], split="long")[0]
    assert found.split() == text.split() or "<" in text or "\t" in text or "  " in text
    assert sorted(found) == sorted(text)


@given(
    st.lists(st.sampled_from(["<b>", "</b>", "<i>", "</i>", "<br/>", "dog", "man", " ", "runs."])),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=8),
)
def test_tags_are_placed_once_and_nested_whatever_is_aligned(parts, links) -> None:
    plain, tags = split_tags("".join(parts))
    elements = nest(tags)
    assert restore(plain, elements, plain, None).text == "".join(parts)
    n_src = len(plain.split())
    text = "Der Hund, den er sieht."
    alignment = [(i, j) for i, j in links if i < n_src and j < len(text.split())]
    found = restore(plain, elements, text, alignment)
    assert split_tags(found.text)[0] == text or "  " in found.text
    assert Counter(TAG.findall(found.text)) == Counter(TAG.findall("".join(parts)))
    assert found.alignment is not None and len(found.alignment) <= len(alignment)


MARKS = "<b> </b> [ ](/x) * ** _ ` dog a@b.de"
MARKUP = [*MARKS.split(), ' "about <b>")', " ", "  "]


@given(st.lists(st.sampled_from(MARKUP), max_size=14).map("".join))
@example('See [the manual](/x "about <b>") for details.')
@example("[a](<b>) end *x*")
@example("[`  <b>`dog")
def test_tags_and_the_rest_make_up_the_text(build, text: str) -> None:
    plain, tags = split_tags(text)
    places = [tag.position for tag in tags]
    assert places == sorted(places) and all(0 <= place <= len(plain) for place in places)
    joined, position = "", 0
    for tag in tags:
        joined += plain[position : tag.position] + tag.text
        position = tag.position
    assert joined + plain[position:] == text
    assert build(echo, "en").translate([text], split="long") == [text]


def test_a_long_line_may_be_full_of_marks() -> None:
    plain, tags = split_tags("*a* " * 5000)  # where each is compared with all others: 40 seconds
    assert plain == "a " * 5000 and len(tags) == 10_000


def test_a_repeated_word_is_read_once_and_said_as_often() -> None:
    text, elements = collapse("it is very very very big, so, so, so")
    assert text == "it is very big, so"
    assert restore(text, elements, text, None).text == "it is very very very big, so, so, so"
    found = restore(text, elements, "er ist sehr groß, so", [(2, 2), (4, 4)])
    assert found.text == "er ist sehr sehr sehr groß, so, so, so"
    assert collapse("that that, had had") == ("that that, had had", [])


@pytest.mark.parametrize("target", range(4))
def test_two_wide_blanks_stay_two_wherever_their_words_went(target: int) -> None:
    blanks = [Element(4, 4, " "), Element(8, 8, " ")]
    alignment = [(word, target) for word in range(4)]
    found = restore("The man and woman", blanks, "Ein Hund rennt hier.", alignment).text
    assert sorted(re.findall(" +", found)) == [" ", "  ", "  "]


def test_dashes_part_words_and_brackets_stay_outside(model: Model) -> None:
    reader = Translator(model).reader
    search = model.config.search

    def read(text: str) -> list[str]:
        return [unit.text for unit in cut_lines(reader, [text], search, "sentences", "")]

    assert "—" not in reader.codec.tokenizer.alphabet
    assert read("Two—or three—dogs, 3—4") == ["Two — or three — dogs, 3—4"]
    assert read("[DOOR OPENS]") == ["DOOR OPENS"] and read("(A dog.)") == ["A dog."]
    for text in ("(A dog) and (a cat)", "(A dog", "A dog (big)"):
        assert read(text) == [text]


def test_the_halves_of_a_word_are_read_as_one(model: Model) -> None:
    reader = Translator(model).reader
    search = model.config.search

    def read(text: str) -> str:
        return "".join(unit.text for unit in cut_lines(reader, [text], search, "sentences", ""))

    assert read("A wom- an sits on the play- ground.") == "A woman sits on the playground."
    for text in (
        *("Two- and three-year-old girls", "Vor- und Nachteile", "He waits- Then he sits"),
        *("Wait - what is this", "a wom- Man", "A qwx- zvk runs"),
    ):
        assert read(text) == text


def test_tags_in_code_are_code(build) -> None:
    for code in ("`<b>`", "`</p>`", "`List<String>`", "``<br> `x` </i>``", "`<!-- x -->`"):
        text = f"Use the {code} tag of a dog <i>here</i>."
        assert [tag.text for tag in split_tags(text)[1]] == ["<i>", "</i>"]
        assert build(echo, "en").translate([text]) == [text]
    text = "Use `<code>` before a word and `</code>` after it, <b>not</b> `<!--` and `-->`."
    assert [tag.text for tag in split_tags(text)[1]] == ["<b>", "</b>"]


@pytest.mark.parametrize("mark", ["I.", "IV.", "XII.", "II)", "(V)", "B)", "(C)"])
def test_capitals_that_count_are_marks_of_a_list(mark: str) -> None:
    text = f"{mark} The dog sleeps"
    assert text[slice(*core(text))] == "The dog sleeps"


def test_ordinals_and_initials_are_no_marks_of_a_list() -> None:
    for text in ("II. Weltkrieg und Frieden", "I. d. R. schläft er", "I am here.", "IV drips help"):
        assert text[slice(*core(text))] == text


def test_dots_in_a_sentence_stay(build) -> None:
    text = "the dog...... sleeps ....... here"
    assert [text[a:b] for a, b in protected_spans(text)] == ["......", "......."]
    assert build(echo, "en").translate([text]) == [text]
