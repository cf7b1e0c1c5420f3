"""A tiny corpus, tokenizer and model, which all tests share. All text here is our own."""

import itertools
import logging
import os
import random
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import hypothesis
import hypothesis.configuration
import pytest
import torch

from translator.config.schema import Config, DataConfig, ModelConfig, SearchConfig, TrainConfig
from translator.model.transformer import Transformer
from translator.storage.model_folder import Model, save_model
from translator.storage.training_state import TrainingState, save_checkpoint
from translator.text.codec import normalise
from translator.text.tokenizer import Tokenizer
from translator.translation.translator import Translator

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts jobs in the background so, and programs that the tests start would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
torch.set_num_threads(1)  # tiny matrices gain nothing from a second one
# The same examples in every run, and no judgement about time on a busy machine.
hypothesis.settings.register_profile(
    "tests", deadline=None, derandomize=True, database=None, max_examples=100
)
hypothesis.settings.load_profile("tests")
hypothesis.configuration.set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "hypothesis")

REPOSITORY = Path(__file__).parents[1]
# Corpora are prepared here, by these processes and those that they start.
_cache = tempfile.TemporaryDirectory(prefix="translator-tests-")
os.environ["TRANSLATOR_CACHE"] = _cache.name
NOUNS = {
    "dog": "Hund",
    "man": "Mann",
    "boy": "Junge",
    "bird": "Vogel",
    "friend": "Freund",
    "father": "Vater",
    "teacher": "Lehrer",
    "doctor": "Arzt",
}
VERBS = {
    "runs": "läuft",
    "sleeps": "schläft",
    "sings": "singt",
    "waits": "wartet",
    "laughs": "lacht",
    "eats": "isst",
}
ADVERBS = {
    "here": "hier",
    "today": "heute",
    "alone": "allein",
    "often": "oft",
    "now": "jetzt",
    "slowly": "langsam",
}


@pytest.fixture(scope="session")
def lexicon() -> dict[str, str]:
    """The English words of `text_pairs` and their translations."""
    return NOUNS | VERBS | ADVERBS


@pytest.fixture(scope="session")
def text_pairs() -> list[tuple[str, str]]:
    """288 sentences in random order, each word with one translation at the same place."""
    pairs = [
        (f"The {noun} {verb} {adverb}.", f"Der {NOUNS[noun]} {VERBS[verb]} {ADVERBS[adverb]}.")
        for noun, verb, adverb in itertools.product(NOUNS, VERBS, ADVERBS)
    ]
    random.Random(1).shuffle(pairs)
    return pairs


@pytest.fixture(scope="session")
def tokenizer(text_pairs: list[tuple[str, str]]) -> Tokenizer:
    return Tokenizer.train((normalise(line) for pair in text_pairs for line in pair), 400)


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Transformer]:
    """Builds a model with random weights: `make_model(seed=..., any ModelConfig field)`."""

    def build(seed: int = 0, **changes: object) -> Transformer:
        config = ModelConfig(
            d_model=16,
            d_ff=32,
            n_heads=2,
            n_encoder_layers=2,
            n_decoder_layers=2,
            dropout=0.0,
            vocab_size=23,
        )
        torch.manual_seed(seed)
        return Transformer(replace(config, **changes)).eval()

    return build


@pytest.fixture(autouse=True)
def fresh_log() -> Iterator[None]:
    """A command keeps its log to itself; what comes after it may be listened to again."""
    yield
    log = logging.getLogger("translator")
    log.handlers, log.filters, log.propagate = [], [], True
    log.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def corpus_folder(
    text_pairs: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """`text_pairs` as a CORPUS folder: train 200, valid 20, test 20."""
    folder = tmp_path_factory.mktemp("corpus")
    for split, start, end in (("train", 0, 200), ("valid", 200, 220), ("test", 220, 240)):
        for side, language in enumerate(("en", "de")):
            lines = "".join(pair[side] + "\n" for pair in text_pairs[start:end])
            (folder / f"{split}.{language}").write_text(lines, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def tiny_config(corpus_folder: Path) -> Config:
    """A run on `corpus_folder` that takes a second."""
    return Config(
        model=ModelConfig(16, 32, 2, 1, 1, dropout=0.1),
        data=DataConfig(corpus=str(corpus_folder), vocab_size=400, copy_rate=0.3, max_length=64),
        train=TrainConfig(
            steps=6,
            max_tokens=200,
            peak_lr=1e-2,
            warmup_steps=4,
            cooldown=0.0,  # so that three steps and then six are the six of one run
            log_every=1,
            validate_every=3,
            checkpoint_every=3,
        ),
        search=SearchConfig(beam_size=2, max_ratio=1.0, max_extra=5),
    )


@pytest.fixture(scope="session")
def random_model(tiny_config: Config, tokenizer: Tokenizer) -> Model:
    """A MODEL that has learnt nothing: what it says is noise."""
    config = replace(tiny_config, model=replace(tiny_config.model, vocab_size=tokenizer.vocab_size))
    torch.manual_seed(3)
    return Model(Transformer(config.model).eval(), tokenizer, config)


@pytest.fixture(scope="module")
def translator(random_model: Model) -> Translator:
    return Translator(random_model)


@pytest.fixture(scope="module")
def small_translator(random_model: Model, make_model) -> Callable[[int], Translator]:
    """Another one that has learnt nothing, for each seed."""

    def build(seed: int) -> Translator:
        config = random_model.config.model
        sizes = {"d_ff": config.d_ff, "n_heads": config.n_heads, "n_encoder_layers": 1}
        transformer = make_model(
            seed=seed, vocab_size=config.vocab_size, n_decoder_layers=1, **sizes
        )
        return Translator(replace(random_model, transformer=transformer))

    return build


@pytest.fixture(scope="session")
def model_folder(random_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`random_model` as a MODEL folder."""
    folder = tmp_path_factory.mktemp("model")
    weights = random_model.transformer.state_dict()
    save_model(folder, weights, random_model.tokenizer, random_model.config, {})
    return folder


@pytest.fixture
def save_step(random_model: Model, tmp_path: Path) -> Callable[..., Path]:
    """Saves a checkpoint in `tmp_path/run`, with the weights of `random_model` times `step`."""

    def save(step: int, best: int = 0) -> Path:
        weights = {name: w * step for name, w in random_model.transformer.state_dict().items()}
        return save_checkpoint(
            tmp_path / "run",
            weights,
            random_model.tokenizer,
            random_model.config,
            {"step": step},
            {"embedding.weight/exp_avg": torch.full((2, 3), float(step))},
            TrainingState(step=step, epoch=1, batch=2, best_bleu=3.5, best_step=best, seconds=1.5),
        )

    return save


@pytest.fixture(scope="session")
def tiny_options() -> list[str]:
    """What makes `translator train` as small as `tiny_config`."""
    settings = [
        *("model.d_model=16", "model.d_ff=32", "model.n_heads=2", "model.n_encoder_layers=1"),
        *("model.n_decoder_layers=1", "data.vocab_size=400", "train.max_tokens=300"),
        "search.max_extra=4",
    ]
    return [part for setting in settings for part in ("--set", setting)]


@pytest.fixture(scope="session")
def subprocess_environment() -> dict[str, str]:
    """For a fresh interpreter that is to import the packages of this repository."""
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def real_corpus() -> Path:
    """Multi30k, where this machine has it."""
    folder = REPOSITORY.parent / "shared" / "data" / "multi30k"
    if not (folder / "train.en.gz").exists():
        pytest.skip(f"needs the Multi30k files in {folder}")
    return folder
