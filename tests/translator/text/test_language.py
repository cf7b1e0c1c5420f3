"""English and German are told apart, and from other languages; what tells nothing is not judged."""

import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import ANY_LINE

from data_prep.cleaning.corpus_checks import find_swapped_languages
from data_prep.sources.corpus import load_corpus
from translator.text.language import _WORDS, LONGEST, identify
from translator.text.lines import TextPair

ENGLISH = """\
The train to the coast was late again this morning.
My grandmother keeps her old letters in a wooden box.
Do you know where the nearest chemist is?
Prices fell for the third month in a row.
It hasn't rained since we moved here.
Two women are selling bread at the market.
Court rejects appeal of former minister
How to mend a broken chair
He is reading "Die Verwandlung" by Franz Kafka.
They sang "Stille Nacht" and went home.
In Berlin he was a man of few words.""".splitlines()
GERMAN = """\
Der Zug an die Küste hatte heute Morgen wieder Verspätung.
Meine Großmutter bewahrt ihre alten Briefe in einer Holzkiste auf.
Weißt du, wo die nächste Apotheke ist?
Die Preise sind den dritten Monat in Folge gesunken.
Seit wir hier wohnen, hat es nicht geregnet.
Zwei Frauen verkaufen Brot auf dem Markt.
Gericht weist Klage der früheren Ministerin ab
Wie man einen kaputten Stuhl repariert
Gestern spielte die Band "The Sound of Silence" im Stadion.
Er war in New York und sah sich "The Lion King" an.
Der Fussball liegt auf der Strasse.
Im Park sitzt ein alter Mann und liest.""".splitlines()
OTHER = {
    "French": """\
Le petit chien dort devant la maison de mon oncle.
Nous avons acheté trois kilos de pommes au marché hier matin.
Elle ne sait pas encore si son frère viendra demain.
Pourquoi est-ce que tu ne m'as rien dit ?
Un homme en chemise blanche lit un journal sur un banc.""",
    "Spanish": """\
El perro pequeño duerme delante de la casa de mi tío.
Ella todavía no sabe si su hermano vendrá mañana.
¿Por qué no me dijiste nada?
Los niños juegan en el jardín con una pelota roja.
Un hombre con camisa blanca lee un periódico en un banco.""",
    "Italian": """\
Il cane piccolo dorme davanti alla casa di mio zio.
Lei non sa ancora se suo fratello verrà domani.
Perché non mi hai detto niente?
I bambini giocano nel giardino con una palla rossa.
Un uomo con la camicia bianca legge un giornale su una panchina.""",
    "Portuguese": """\
O cachorro pequeno dorme em frente da casa do meu tio.
Ela ainda não sabe se o irmão vem amanhã.
Um homem de camisa branca lê um jornal num banco.""",
    "Dutch": """\
De kleine hond slaapt voor het huis van mijn oom.
Zij weet nog niet of haar broer morgen komt.
Waarom heb je mij niets gezegd?
De kinderen spelen in de tuin met een rode bal.
De man is in het huis en de vrouw staat in de tuin.""",
    "Polish": """\
Mały pies śpi przed domem mojego wujka.
Ona jeszcze nie wie, czy jej brat jutro przyjedzie.
Dzieci bawią się w ogrodzie czerwoną piłką.
Mężczyzna w białej koszuli czyta gazetę na ławce.""",
    "Czech": """\
Včera ráno jsme na trhu koupili tři kila jablek.
Děti si hrají na zahradě s červeným míčem.
Podle policie byli při nehodě zraněni dva lidé.""",
    "Swedish": """\
Hon vet inte än om hennes bror kommer i morgon.
Barnen leker i trädgården med en röd boll.
En man i vit skjorta läser en tidning på en bänk.""",
    "Danish": """\
Hun ved endnu ikke, om hendes bror kommer i morgen.
Børnene leger i haven med en rød bold.
En mand i hvid skjorte læser en avis på en bænk.""",
    "Turkish": """\
Küçük köpek amcamın evinin önünde uyuyor.
Beyaz gömlekli bir adam bankta gazete okuyor.""",
    "Finnish": """\
Pieni koira nukkuu setäni talon edessä.
Mies valkoisessa paidassa lukee lehteä penkillä.""",
}
SCRIPTS = """\
Маленькая собака спит.
Ο μικρός σκύλος κοιμάται.
小狗睡在房子前面。
الكلب الصغير ينام أمام المنزل
הכלב הקטן ישן
子犬は家の前で寝ています。
작은 개가 자고 있어요.
छोटा कुत्ता घर के सामने सोता है।
Компания Apple представила новый iPhone.""".splitlines()
NOTHING = """\

12:30
3,5 % - 4,0 %
...
Angela Merkel
Jürgen Möller-Königsdorf
Ursula von der Leyen
Oscar de la Renta
Luiz Inácio Lula da Silva
Jiří Krejčí
Łódź
Baden-Württemberg
Real Madrid 3, FC Barcelona 2
Der Spiegel
www.example.de/die/und/der
info@the-company.example
iPhone 15 Pro Max
x = π r²
5 µm
U.S.""".splitlines()
FOREIGN = [line for lines in OTHER.values() for line in lines.splitlines()]
OURS = [(line, "en") for line in ENGLISH] + [(line, "de") for line in GERMAN]
JUDGED = [*OURS, *((line, "other") for line in SCRIPTS)]
# Words of digits and marks; a full stop before a word would make it the end of an address.
MARKS = st.text("0123456789,;:!?-–()\"'„“%€$+=", min_size=1, max_size=5)


@pytest.mark.parametrize(("line", "language"), JUDGED)
def test_languages_and_scripts_are_distinguished(line: str, language: str) -> None:
    assert identify(line) == language


@pytest.mark.parametrize("line", NOTHING)
def test_names_and_numbers_are_not_judged(line: str) -> None:
    assert identify(line) is None


def test_a_single_word_is_not_judged() -> None:
    for words in _WORDS.values():
        assert {identify(f"{word.title()}!") for word in words} == {None}


def test_other_languages_do_not_pass() -> None:
    told = [identify(line) for line in FOREIGN]
    assert not {"en", "de"} & set(told)
    assert told.count("other") >= 0.8 * len(told)


@given(st.sampled_from(JUDGED), st.sampled_from([str.upper, str.lower, str.title, str.swapcase]))
def test_case_does_not_matter(case: tuple[str, str], change: Callable[[str], str]) -> None:
    line, language = case
    assert identify(change(line)) == language


@given(st.sampled_from(JUDGED), st.lists(st.tuples(st.integers(0, 20), MARKS), max_size=8))
def test_digits_and_marks_do_not_matter(
    case: tuple[str, str], inserted: list[tuple[int, str]]
) -> None:
    line, language = case
    words = line.split()
    for place, mark in inserted:
        words.insert(place, mark)
    assert identify("  ".join(words)) == language


@given(st.sampled_from(JUDGED), st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_composition_does_not_matter(
    case: tuple[str, str], form: Literal["NFC", "NFD", "NFKC", "NFKD"]
) -> None:
    line, language = case
    assert identify(unicodedata.normalize(form, line)) == language


@given(st.sampled_from(OURS))
def test_repetition_is_not_evidence(case: tuple[str, str]) -> None:
    """A line's first words hold little; repeating them does not make them more."""
    line, language = case
    start = " ".join(line.split()[:3])
    assert identify(f"{start} {start} {start}") == identify(start)
    assert identify(f"{line} " * 10_000) == language


@given(ANY_LINE)
def test_any_text_has_an_answer(line: str) -> None:
    assert identify(line) in ("en", "de", "other", None)


def test_a_long_line_is_judged_by_its_beginning() -> None:
    english, german = (" ".join(lines) for lines in (ENGLISH, GERMAN))
    for start, language in ((english, "en"), (german, "de")):
        line = f"{start} " * (LONGEST // len(start) + 1)
        assert identify(line + (english + german) * 10) == language


def test_swapped_lines_of_two_languages_are_found() -> None:
    pairs = list(zip(ENGLISH, GERMAN, strict=False)) * 30
    assert find_swapped_languages(pairs, "en", "de") == []
    pairs[7] = (pairs[7][1], pairs[7][0])
    pairs[90] = (pairs[90][1], pairs[90][0])
    (finding,) = find_swapped_languages(pairs, "en", "de")
    assert "lines 8, 91." in finding.text


# --- real text --------------------------------------------------------------------------------


def real_pairs(real_corpus: Path, name: str, split: str) -> list[TextPair]:
    folder = real_corpus.parent / name
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    return load_corpus(str(folder), "en", "de").splits[split]


@pytest.mark.parametrize("name", ["wmt_news", "multi30k"])
@pytest.mark.parametrize(("side", "language"), [(0, "en"), (1, "de")])
def test_real_lines_of_five_words_are_identified(
    real_corpus: Path, name: str, side: int, language: str
) -> None:
    lines = [pair[side] for pair in real_pairs(real_corpus, name, "valid")]
    told = [identify(line) == language for line in lines if len(line.split()) >= 5]
    assert sum(told) >= 0.995 * len(told)


@pytest.mark.parametrize("name", ["wmt_news", "multi30k"])
@pytest.mark.parametrize(("side", "language"), [(0, "en"), (1, "de")])
def test_few_real_lines_are_judged_wrongly(
    real_corpus: Path, name: str, side: int, language: str
) -> None:
    pairs = real_pairs(real_corpus, name, "train")[:15_000]
    wrong = [pair[side] for pair in pairs if identify(pair[side]) not in (language, None)]
    assert len(wrong) <= 0.0005 * len(pairs)
