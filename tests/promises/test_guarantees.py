"""What a user may rely on: a sentence's translation depends on the sentence alone.

By the shipped model, for real text: neither batches, nor order, nor threads change a piece.
"""

import itertools
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch

from data_prep.sources.corpus import load_corpus
from translator.model.batch import pad_right
from translator.search.beam import beam_search
from translator.search.hypothesis import Hypothesis
from translator.search.sampling import sample
from translator.text.codec import normalise
from translator.text.tokenizer import EOS
from translator.translation.translator import Translator

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def translator() -> Translator:
    return Translator.load("multi30k-en-de", device="cpu")


@pytest.fixture(scope="module")
def sources(real_corpus, translator: Translator) -> list[list[int]]:
    """Of both test sets, as the model reads them."""
    splits = load_corpus(str(real_corpus), "en", "de").select("test")
    lines = [normalise(src) for pairs in splits.values() for src, _ in pairs]
    assert len(lines) == 2000
    return [translator.codec.encode(line).ids for line in lines]


def search(
    translator: Translator,
    sources: Sequence[Sequence[int]],
    size: int,
    run: Callable[..., list[list[Hypothesis]]] = beam_search,
    **settings: object,
) -> list[Hypothesis]:
    """The best hypothesis of each, by a beam of 5 in batches of so many."""
    config = translator.search_config(**{"beam_size": 5, "n_best": 1, **settings})
    found = []
    for start in range(0, len(sources), size):
        src = pad_right([[*ids, EOS] for ids in sources[start : start + size]])
        found += [
            hypotheses[0] for hypotheses in run(translator.decoder.network.decoders, src, config)
        ]
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
def test_batch_size_does_not_change_translations(
    translator: Translator, sources, expected: list[Hypothesis], size: int
) -> None:
    assert_same(search(translator, sources, size), expected)


def test_order_does_not_change_translations(
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


def test_the_number_of_threads_does_not_change_translations(
    translator: Translator, sources, expected: list[Hypothesis], two_threads: None
) -> None:
    assert_same(search(translator, sources, 64), expected)


def test_batch_size_hardly_changes_samples(translator: Translator, sources) -> None:
    """A number drawn may fall to the other side of a border that moved by a rounding."""
    found = [search(translator, sources, size, sample, decode="sample") for size in (7, 64)]
    different = sum(one.ids != other.ids for one, other in zip(*found, strict=True))
    assert different <= len(sources) / 50


# --- memory -------------------------------------------------------------------------------------

# `getrusage` would also count what this process has, of which the other is forked.
MEASURED = """
import sys
from translator.cli.main import app
try:
    app(sys.argv[1:])
finally:
    status = dict(line.split(":") for line in open("/proc/self/status"))
    print(status["VmHWM"].split()[0], file=sys.stderr)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("way", ["file to file", "pipe to pipe"])
def test_more_lines_need_no_more_memory(
    way: str,
    model_folder: Path,
    subprocess_environment: dict[str, str],
    text_pairs: list[tuple[str, str]],
    tmp_path: Path,
) -> None:
    """Ten times as many, each written as JSON; to keep them all would take 30 MiB."""

    def peak(n_lines: int) -> float:
        """In MiB."""
        lines = [f"{src} {i}" for i, (src, _) in zip(range(n_lines), itertools.cycle(text_pairs))]
        source, output = tmp_path / f"{n_lines}.en", tmp_path / f"{n_lines}.de"
        source.write_text("".join(line + "\n" for line in lines))
        options = ["--beam-size", "1", "--no-guard", "--json", "--threads", "1", "--quiet"]
        if way != "pipe to pipe":
            options += ["--input", str(source)]
        if way == "file to file":
            options += ["--output", str(output)]
        with open(source) as standard_input:
            done = subprocess.run(
                [sys.executable, "-c", MEASURED, "translate", *options],
                env={**subprocess_environment, "TRANSLATOR_MODEL": str(model_folder)},
                stdin=standard_input,
                capture_output=True,
                text=True,
                check=True,
            )
        written = output.read_text() if way == "file to file" else done.stdout
        assert written.count("\n") == n_lines
        return int(done.stderr.split()[-1]) / 1024

    assert peak(20_000) < peak(2000) + 10
