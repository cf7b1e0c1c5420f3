"""The bundled corpus: its text is what its README says, an honest split, and quick to read."""

import hashlib
import re
import subprocess
import sys
from collections import Counter
from itertools import chain

import pytest

from data_prep.sample import FOLDER, LANGUAGES
from data_prep.sample.__main__ import main
from data_prep.sources.corpus import corpus_identity, load_corpus, open_corpus
from translator.config.errors import TranslatorError
from translator.text.lines import TextPair, read_lines

Splits = dict[str, list[TextPair]]
LETTERS = {"en": "A-Za-zé", "de": "A-Za-zÄÖÜßäéöü"}


@pytest.fixture(scope="module")
def splits() -> Splits:
    return load_corpus("sample", *LANGUAGES).splits


def words_of(line: str) -> list[str]:
    """The words of a sentence, the first without its capital, all without punctuation."""
    return (line[0].lower() + line[1:-1]).replace(",", "").split()


def side(splits: Splits, place: int) -> list[str]:
    return [pair[place] for pair in chain(*splits.values())]


def test_the_text_is_that_of_the_readme() -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    sums = dict(line.split()[::-1] for line in re.findall(r"^[0-9a-f]{64}  .+$", readme, re.M))
    packed = {file.stem: file for file in FOLDER.glob("*.xz")}
    assert packed.keys() == sums.keys()
    for name, file in packed.items():
        text = "".join(line + "\n" for line in read_lines(file))
        assert hashlib.sha256(text.encode()).hexdigest() == sums[name], name


def test_sizes(splits: Splits) -> None:
    assert {name: len(pairs) for name, pairs in splits.items()} == {
        "train": 20_000,
        "valid": 500,
        "test": 500,
    }


def test_no_sentence_is_in_two_splits_and_no_english_one_there_twice(splits: Splits) -> None:
    assert len(set(side(splits, 0))) == 21_000
    germans = [{tgt for _, tgt in pairs} for pairs in splits.values()]
    assert len(set.union(*germans)) == sum(map(len, germans))


@pytest.mark.parametrize("place", [0, 1], ids=LANGUAGES)
def test_lines_are_sentences_of_plain_words(splits: Splits, place: int) -> None:
    letters = LETTERS[LANGUAGES[place]]
    sentence = re.compile(rf"(?=[A-ZÄÖÜ])[{letters}'-]+(,? [{letters}'-]+){{2,18}}[.?]")
    assert [line for line in side(splits, place) if not sentence.fullmatch(line)] == []


def test_both_sides_ask_or_neither(splits: Splits) -> None:
    assert all(src[-1] == tgt[-1] for src, tgt in chain(*splits.values()))


@pytest.mark.parametrize("place", [0, 1], ids=LANGUAGES)
def test_every_word_is_frequent_enough_to_be_learnt(splits: Splits, place: int) -> None:
    counts = Counter(word for pair in splits["train"] for word in words_of(pair[place]))
    assert len(counts) == (866, 991)[place]
    assert min(counts.values()) >= 15
    for name in ("valid", "test"):
        assert counts.keys() >= {word for pair in splits[name] for word in words_of(pair[place])}


def test_a_german_noun_has_one_gender(splits: Splits) -> None:
    text = " ".join(side(splits, 1))

    def nouns(articles: str) -> set[str]:
        return set(re.findall(rf"\b(?i:{articles}) ([A-ZÄÖÜ]\w+)", text))

    feminine = nouns("einer?")
    masculine = nouns("einen")
    neuter = nouns("das")
    assert min(map(len, (feminine, masculine, neuter))) > 40
    assert not feminine & masculine and not feminine & neuter and not masculine & neuter
    assert not feminine & nouns("ein|einem|eines|dem")


def test_the_other_direction_has_the_same_pairs(splits: Splits) -> None:
    turned = open_corpus("sample", "de", "en")
    for name, pairs in splits.items():
        assert [(src, tgt) for tgt, src in turned[name]()] == pairs


def test_there_is_no_other_language() -> None:
    with pytest.raises(TranslatorError, match="it has no en-fr"):
        open_corpus("sample", "en", "fr")


def test_another_text_is_another_corpus(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = corpus_identity("sample", "en", "de")
    for file in FOLDER.glob("*.xz"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr("data_prep.sample.FOLDER", tmp_path)
    assert corpus_identity("sample", "en", "de") == before  # although the times are others
    (tmp_path / "valid.en.xz").write_bytes((tmp_path / "test.en.xz").read_bytes())
    assert corpus_identity("sample", "en", "de") != before


def test_reading_it_needs_no_torch() -> None:
    code = "import sys; from data_prep.sources.corpus import load_corpus;"
    code += "load_corpus('sample', 'en', 'de');"
    code += "print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_summary_has_sizes_and_examples(splits: Splits, capsys) -> None:
    main()
    printed = capsys.readouterr().out
    assert "20,000 train" in printed and splits["test"][0][1] in printed
