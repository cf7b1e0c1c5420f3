"""Training data are what the prepared corpora say, read from disk; vocabularies are learnt once."""

import errno
import importlib
import itertools
import json
import mmap
import pickle
import random
from array import array
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.prepared import cleaned
from data_prep.prepared.cleaned import Prepared, prepare_corpus
from data_prep.prepared.encoded import Ids, encode_pairs
from data_prep.prepared.prepare import (
    Mixture,
    TrainingData,
    learn_tokenizer,
    prepare_data,
    vocabulary_size,
)
from data_prep.sources.corpus import load_corpus
from data_prep.sources.mapped import MANIFEST, Writer
from translator.config.errors import TranslatorError
from translator.config.schema import CleanConfig, Config, NoiseConfig
from translator.text.codec import normalise
from translator.text.tokenizer import IdPair, Tokenizer
from translator.training.setup import build_batches

module = importlib.import_module("data_prep.prepared.prepare")  # not the function of this name
Change = Callable[..., Config]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRANSLATOR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def change(tiny_config: Config) -> Change:
    """`change(clean=..., any DataConfig field)`: settings for `corpus_folder`."""

    def settings(clean: CleanConfig | None = None, **data: Any) -> Config:
        config = replace(tiny_config, clean=clean or CleanConfig(alignment=0))
        return replace(config, data=replace(config.data, **data))

    return settings


@pytest.fixture
def parts(corpus_folder: Path, tmp_path: Path) -> tuple[Prepared, Prepared]:
    """`corpus_folder`, and 30 other pairs."""
    text = {"en": "A cat {} sees {}.", "de": "Eine Katze {} sieht {}."}
    words = list(itertools.product(("Ann", "Bob", "Eve", "Tom", "Zoe"), "uvwxyz"))
    other = tmp_path / "other"
    other.mkdir()
    for split, language in itertools.product(("train", "valid"), text):
        lines = (text[language].format(*names) + "\n" for names in words)
        (other / f"{split}.{language}").write_text("".join(lines) if split == "train" else "x y\n")
    config = CleanConfig(alignment=0)
    found = [prepare_corpus(str(path), "en", "de", config) for path in (corpus_folder, other)]
    assert found[0] is not None and found[1] is not None
    return found[0], found[1]


def ready(config: Config, *arguments: Any, **options: Any) -> TrainingData:
    found = prepare_data(config, *arguments, **options)
    assert found is not None
    return found


# --- mixtures ---------------------------------------------------------------------------------


def store(folder: Path, pairs: list[IdPair]) -> Ids:
    folder.mkdir()
    for side, language in enumerate(("en", "de")):
        writer = Writer(folder / language, "H")
        writer.extend(array("H", pair[side]).tobytes() for pair in pairs)
        writer.close()
    (folder / MANIFEST).write_text(json.dumps({"dropped": {}}))
    return Ids(folder, ("en", "de"))


SENTENCE = st.lists(st.integers(0, 65535), max_size=3)
PART = st.tuples(
    st.lists(st.tuples(SENTENCE, SENTENCE), max_size=4), st.one_of(st.none(), st.integers(4, 9))
)


@settings(max_examples=40)
@given(st.lists(PART, min_size=1, max_size=4), st.booleans())
def test_a_mixture_is_the_list_that_it_stands_for(parts: list[Any], both: bool) -> None:
    expected = [
        ([tag, *src] if tag is not None else src, tgt) for pairs, tag in parts for src, tgt in pairs
    ]
    if both:
        expected += [(tgt, src) for src, tgt in expected]
    with TemporaryDirectory() as folder:
        ids = [store(Path(folder) / str(n), pairs) for n, (pairs, _) in enumerate(parts)]
        mixture = Mixture(ids, [tag for _, tag in parts], both)
        n = len(expected)
        assert len(mixture) == n
        assert list(mixture) == mixture[:] == [mixture[i] for i in range(n)] == expected
        for places in (slice(1, -1), slice(None, None, -2), slice(2, n + 5), slice(-n - 3, 2)):
            assert mixture[places] == expected[places]
        for i in (-1, n, n + 7):
            with pytest.raises(IndexError):
                mixture[i]
        for _ in range(2):  # to ask changes nothing
            assert mixture.lengths.tolist() == [[len(p[side]) for p in expected] for side in (0, 1)]
        assert list(pickle.loads(pickle.dumps(mixture))) == expected


# --- the vocabulary ---------------------------------------------------------------------------


@given(st.integers(0, 10**10), st.integers(0, 10**10))
def test_more_words_are_worth_more_pieces(a: int, b: int) -> None:
    fewer, more = sorted((a, b))
    assert 1000 <= vocabulary_size(fewer) <= vocabulary_size(more) <= 32_000


def test_sizes_that_have_proved_good() -> None:
    assert vocabulary_size(0) == 1000
    assert abs(vocabulary_size(670_000) - 6000) <= 500
    assert abs(vocabulary_size(200_000_000) - 32_000) <= 500


@pytest.fixture
def lessons(monkeypatch: pytest.MonkeyPatch, tokenizer: Tokenizer) -> list[tuple[list[str], int]]:
    """The lines and the size that a vocabulary is learnt from; it is not learnt."""
    calls: list[tuple[list[str], int]] = []

    def train(lines: Any, size: int, **options: Any) -> Tokenizer:
        calls.append((list(lines), size))
        return tokenizer

    monkeypatch.setattr(Tokenizer, "train", staticmethod(train))
    return calls


def test_the_size_is_what_is_asked_for_or_fits_the_corpus(lessons, parts, change: Change) -> None:
    n_words = sum(len(line.split()) for part in parts for pair in part.train for line in pair)
    assert sum(part.n_words for part in parts) == n_words
    for size in (0, 333):
        learn_tokenizer(parts, change(vocab_size=size))
    assert [size for _, size in lessons] == [vocabulary_size(n_words), 333]


def test_what_it_is_learnt_from(lessons, parts, change: Change, monkeypatch) -> None:
    """All lines of all corpora, or a sample of pairs that is not too big."""
    learn_tokenizer(parts, change())
    text = [tuple(map(normalise, pair)) for part in parts for pair in part.train]
    assert sorted(lessons[0][0]) == sorted(line for pair in text for line in pair)
    monkeypatch.setattr(module, "VOCAB_BYTES", 4000)
    learn_tokenizer(parts, change())
    lines = lessons[1][0]
    assert 3000 < sum(len(line.encode()) for line in lines) < 5000
    drawn = list(zip(lines[1::2], lines[::2], strict=True))  # German comes first
    assert set(drawn) < set(text) and len(set(drawn)) == len(drawn)
    assert {en.startswith("A cat") for en, _ in drawn} == {False, True}


def test_the_noise_that_the_model_will_read_is_in_it(lessons, parts, change: Change) -> None:
    noisy = replace(change(), noise=NoiseConfig(capitals=0.5, lower_case=0.5))
    learn_tokenizer(parts[:1], noisy)
    lines = lessons[0][0]
    assert all(line.isupper() or line.islower() for line in lines[::2])  # sources
    assert not any(line.islower() for line in lines[1::2])  # targets stay right
    assert 0.3 < sum(line.isupper() for line in lines) / len(lines) < 0.7
    learn_tokenizer([replace(parts[0], languages=("de", "en"))], noisy)
    assert all(line.isupper() or line.islower() for line in lessons[1][0][::2])
    assert lessons[1][0][0].casefold() != lines[0].casefold()  # which are the German ones now


def test_it_is_learnt_once(parts, change: Change, monkeypatch) -> None:
    """For both directions; and what it depends on gives another one."""
    config = change()
    first = learn_tokenizer(parts, config)
    train = Tokenizer.train
    monkeypatch.setattr(Tokenizer, "train", None)  # is not needed again
    turned = [replace(part, languages=("de", "en")) for part in parts]
    for again in (parts, turned):
        assert learn_tokenizer(again, config).model_bytes == first.model_bytes
    monkeypatch.setattr(Tokenizer, "train", train)
    for file in parts[0].folder.glob("tokenizer-*"):
        file.unlink()
    assert learn_tokenizer(turned, config).model_bytes == first.model_bytes
    changes: list[tuple[Any, Config]] = [
        (parts[:1], config),
        (parts, change(vocab_size=350)),
        (parts, change(vocab_type="bpe")),
        (parts, replace(config, noise=NoiseConfig(scale=1.0))),
        (turned, replace(config, noise=NoiseConfig(scale=1.0))),
    ]
    for corpora, changed in changes:
        learn_tokenizer(corpora, changed)
    assert len(list(parts[0].folder.glob("tokenizer-*.model"))) == 1 + len(changes)


def test_it_can_be_that_of_another_model(change: Change, tokenizer: Tokenizer, tmp_path) -> None:
    """Whatever the settings say of its size and kind: the pieces must be the same ones."""
    (tmp_path / "tokenizer.model").write_bytes(tokenizer.model_bytes)
    config = change(vocab_from=str(tmp_path), vocab_size=300, vocab_type="bpe")
    data = prepare_data(config)
    assert data is not None and data.tokenizer.model_bytes == tokenizer.model_bytes
    for content in (b"nonsense", b""):
        (tmp_path / "tokenizer.model").write_bytes(content)
        with pytest.raises(TranslatorError, match="vocab_from names the folder of a model"):
            prepare_data(config)
    (tmp_path / "tokenizer.model").unlink()
    with pytest.raises(TranslatorError, match="vocab_from names the folder of a model"):
        prepare_data(config)


def test_a_full_disk_leaves_no_half_of_it(parts, change: Change, monkeypatch) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(TranslatorError, match="No space left. Check the disk"):
        learn_tokenizer(parts, change())
    monkeypatch.undo()
    assert not list(parts[0].folder.glob("tokenizer-*"))


# --- all of it --------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_training_data_are_the_kept_pairs(change: Change, corpus_folder: Path, workers) -> None:
    config = change()
    told: list[str] = []
    data = ready(config, workers=workers, progress=lambda stage, n: told.append(stage))
    assert list(dict.fromkeys(told)) == ["read", "clean", "encode"]
    (corpus,) = data.corpora
    expected, dropped = encode_pairs(corpus.train, data.tokenizer, config.data)
    assert list(data.train) == expected and len(expected) + sum(dropped.values()) == 200
    assert data.dropped == dropped
    splits = load_corpus(str(corpus_folder), "en", "de").splits
    assert data.splits == {name: splits[name] for name in ("valid", "test")}
    assert data.valid == encode_pairs(splits["valid"], data.tokenizer, config.data)[0]
    batches = build_batches(config, data, torch.device("cpu")).sampler.epoch(0)
    assert sorted(i for batch in batches for i in batch) == list(range(len(data.train)))


def test_repeating_a_call_does_no_work(change: Change, monkeypatch) -> None:
    first = ready(change())
    for owner, name in ((cleaned, "open_corpus"), (cleaned, "make_shards"), (Tokenizer, "train")):
        monkeypatch.setattr(owner, name, None)
    for again in (ready(change()), ready(change(), first.tokenizer)):
        assert list(again.train) == list(first.train)
        assert again.tokenizer.model_bytes == first.tokenizer.model_bytes
        assert again.fingerprint == first.fingerprint


def test_both_directions_are_the_same_pairs(change: Change, cache: Path) -> None:
    there, back = ready(change()), ready(change(src="de", tgt="en"))
    assert list(back.train) == [(tgt, src) for src, tgt in there.train]
    assert back.valid == [(tgt, src) for src, tgt in there.valid]
    assert len(list(cache.iterdir())) == len(list(cache.glob("*/ids-*"))) == 1
    both = ready(change(bidirectional=True))
    assert list(both.train) == [*there.train, *back.train]
    tags = both.tokenizer.tag("de"), both.tokenizer.tag("en")
    expected = [([tags[0], *src], tgt) for src, tgt in there.valid]
    assert both.valid == expected + [([tags[1], *src], tgt) for src, tgt in back.valid]


def test_a_prepared_folder_is_a_corpus(change: Change, corpus_folder: Path, tmp_path) -> None:
    rules = CleanConfig(alignment=0, max_characters=24)
    folder = tmp_path / "prepared"
    made = prepare_corpus(str(corpus_folder), "en", "de", rules, folder)
    data = ready(change(clean=rules, corpus=str(folder)))
    assert made is not None and data.corpora == [made]
    assert 0 < len(data.train) < 200
    straight = ready(change(clean=rules))
    assert list(data.train) == list(straight.train) and data.splits == straight.splits
    assert data.fingerprint == straight.fingerprint
    with pytest.raises(TranslatorError, match=r"clean.max_characters: 24 -> 40\b") as error:
        ready(change(clean=replace(rules, max_characters=40), corpus=str(folder)))
    assert "\n" not in str(error.value)


def test_fingerprints_tell_corpora_apart(change: Change, parts, tmp_path: Path) -> None:
    names = [str(tmp_path / "other"), change().data.corpus]
    corpora = [*names, f"{names[0]}:1,{names[1]}:1", f"{names[1]}:1,{names[0]}:1"]
    found = {ready(change(corpus=name)).fingerprint for name in corpora}
    assert len(found) == len(corpora)


def test_unusable_data_are_an_error_of_one_line(change: Change, tokenizer: Tokenizer) -> None:
    for config in (change(clean=CleanConfig(max_characters=5)), change(max_length=1)):
        for given_tokenizer in (None, tokenizer):
            with pytest.raises(TranslatorError, match=r"no usable pairs \(dropped: 200 ") as error:
                prepare_data(config, given_tokenizer)
            assert "\n" not in str(error.value)


def test_training_reads_from_disk(change: Change, monkeypatch) -> None:
    """What a loader's process is sent does not grow with the corpus."""
    train = ready(change()).train
    for part in train.parts:
        for side in (part.src, part.tgt):
            assert isinstance(side.values.obj, mmap.mmap) and isinstance(side.ends.obj, mmap.mmap)
    pickled = pickle.dumps(train)
    assert len(pickled) < 1500
    sent = pickle.loads(pickled)
    places = random.Random(1).sample(range(len(train)), 20)
    assert [sent[i] for i in places] == [train[i] for i in places]
