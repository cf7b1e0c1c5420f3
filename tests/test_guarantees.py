"""What a user may rely on: a sentence's translation depends on the sentence alone.

By the shipped model, for real text: neither batches, nor order, nor threads change a piece.
"""

import random
from collections.abc import Iterator, Sequence

import pytest
import torch

from data_prep.corpora import load_corpus
from translator.data import pad_right
from translator.search import Hypothesis, beam_search
from translator.text import normalise
from translator.tokenizer import EOS
from translator.translate import Translator

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def translator() -> Translator:
    return Translator.load(device="cpu")


@pytest.fixture(scope="module")
def sources(real_corpus, translator: Translator) -> list[list[int]]:
    """Of both test sets, as the model reads them."""
    splits = load_corpus(str(real_corpus), "en", "de").select("test")
    lines = [normalise(src) for pairs in splits.values() for src, _ in pairs]
    assert len(lines) == 2000
    return [translator.codec.encode(line).ids for line in lines]


def search(translator: Translator, sources: Sequence[Sequence[int]], size: int) -> list[Hypothesis]:
    """The best hypothesis of each, by a beam of 5 in batches of so many."""
    config = translator.search_config(beam_size=5, n_best=1)
    found = []
    for start in range(0, len(sources), size):
        src = pad_right([[*ids, EOS] for ids in sources[start : start + size]])
        found += [hypotheses[0] for hypotheses in beam_search(translator._decoders, src, config)]
    return found


@pytest.fixture(scope="module")
def expected(translator: Translator, sources: list[list[int]]) -> list[Hypothesis]:
    return search(translator, sources, 64)


def assert_same(found: Sequence[Hypothesis], expected: Sequence[Hypothesis]) -> None:
    different = [
        (number, abs(one.score - other.score), one.ids, other.ids)
        for number, (one, other) in enumerate(zip(found, expected, strict=True))
        if one.ids != other.ids
    ]
    assert not different, (
        f"{len(different)} differ: (number, distance of scores, pieces) {different}"
    )
    scores = [(one.score, other.score) for one, other in zip(found, expected, strict=True)]
    assert max(abs(one - other) for one, other in scores) < 1e-4


@pytest.mark.parametrize("size", [1, 7])
def test_the_size_of_a_batch_does_not_count(
    translator: Translator, sources, expected: list[Hypothesis], size: int
) -> None:
    assert_same(search(translator, sources, size), expected)


def test_the_order_does_not_count(
    translator: Translator, sources, expected: list[Hypothesis]
) -> None:
    order = random.Random(1).sample(range(len(sources)), len(sources))
    found = search(translator, [sources[i] for i in order], 64)
    assert_same(found, [expected[i] for i in order])


@pytest.fixture
def two_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def test_the_number_of_threads_does_not_count(
    translator: Translator, sources, expected: list[Hypothesis], two_threads: None
) -> None:
    assert_same(search(translator, sources, 64), expected)
