"""Getting a corpus by its name: the bundled one, a folder of plain files, or one from the hub."""

import gzip
import hashlib
import math
import os
import queue
import random
import threading
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from translator.config import TranslatorError

TextPair = tuple[str, str]
VALID_NAMES = ("valid", "val", "dev", "validation")  # four spellings of one split


@dataclass(frozen=True)
class HubCorpus:
    """A data set on the Hugging Face hub: plain files, read by `datasets`."""

    path: str
    config: str | None = None


# Layouts confirmed by their pages: multi30k has the columns `en` and `de` (JSON lines); wmt14 has
# one column `translation` with the languages as keys (Parquet).
HUB_CORPORA = {
    "multi30k": HubCorpus("bentrevett/multi30k"),
    "wmt14": HubCorpus("wmt/wmt14", "de-en"),
}
# What a split is called here where the hub calls it just "test".
_TEST_NAMES = {"multi30k": "test_2016_flickr", "wmt14": "test_newstest2014"}


@dataclass
class Corpus:
    """Parallel text by split: "train", "valid", and any number whose names begin with "test"."""

    name: str
    splits: dict[str, list[TextPair]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)  # what the user should be told
    held_out: list[int] = field(default_factory=list)  # places of valid's pairs among train's

    def select(self, split: str) -> dict[str, list[TextPair]]:
        """The split of that name, else all splits whose names begin with it.

        Raises:
            TranslatorError: there is none.
        """
        split = "valid" if split in VALID_NAMES else split
        names = [split] if split in self.splits else [n for n in self.splits if n.startswith(split)]
        if not names:
            known = ", ".join(self.splits) or "none"
            raise TranslatorError(f'{self.name} has no split "{split}"; it has: {known}.')
        return {name: self.splits[name] for name in sorted(names)}

    def as_read(self) -> dict[str, list[TextPair]]:
        """The splits as their files have them: what was held out is back in its place."""
        if not self.held_out:
            return self.splits
        valid, train = iter(self.splits["valid"]), iter(self.splits["train"])
        places = set(self.held_out)
        n_pairs = len(self.splits["valid"]) + len(self.splits["train"])
        whole = [next(valid if i in places else train) for i in range(n_pairs)]
        return {"train": whole, **{n: p for n, p in self.splits.items() if n.startswith("test")}}

    def fingerprint(self) -> str:
        """A hash of the training and validation text, to tell one corpus from another."""
        digest = hashlib.sha256()
        for split in ("train", "valid"):
            for src, tgt in self.splits.get(split, ()):
                digest.update(f"{src}\n{tgt}\n".encode())
        return digest.hexdigest()[:16]


def read_lines(path: Path) -> list[str]:
    """All lines of a text file, see `iterate_lines`."""
    return list(iterate_lines(path))


def iterate_lines(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 text file, `.gz` or plain, one by one. Only "\\n" ends a line.

    Raises:
        TranslatorError: not there, not UTF-8 (names the line), or a damaged `.gz`.
    """
    packed = path.suffix == ".gz"
    try:
        with gzip.open(path) if packed else open(path, "rb") as file:
            if packed and not path.stat().st_size:
                raise EOFError  # even nothing has a header when it is compressed
            for number, raw in enumerate(file, start=1):
                yield decode_line(raw, str(path), number)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise TranslatorError(f"{path} is cut short or no gzip file: get it again.") from None
    except FileNotFoundError:
        raise TranslatorError(f"There is no file {path}.") from None
    except OSError as error:
        raise TranslatorError(f"{path} cannot be read: {error.strerror}.") from None


def decode_line(raw: bytes, name: str, number: int) -> str:
    """A line of bytes -> its text without the "\\n"; `name` and `number` are for the error."""
    try:
        return raw.decode("utf-8").removesuffix("\n")
    except UnicodeDecodeError:
        raise TranslatorError(
            f"{name}, line {number}: not UTF-8. Convert the file first."
        ) from None


def read_pairs(src_file: Path, tgt_file: Path) -> list[TextPair]:
    """Two files of equally many lines -> pairs.

    Raises:
        TranslatorError: as `read_lines`, or the line counts differ.
    """
    src, tgt = read_lines(src_file), read_lines(tgt_file)
    if len(src) != len(tgt):
        raise TranslatorError(
            f"{src_file} has {len(src)} lines but {tgt_file} has {len(tgt)}: "
            "line n of one must translate line n of the other."
        )
    return list(zip(src, tgt, strict=True))


def _find(folder: Path, split: str, language: str) -> Path | None:
    for name in (f"{split}.{language}", f"{split}.{language}.gz"):
        if (folder / name).is_file():
            return folder / name
    return None


def _folder_splits(folder: Path, src: str, tgt: str) -> Iterator[tuple[str, str]]:
    """(the split's name here, its name in the folder), training data first.

    A split is there if one of its sides is.
    """
    files = {path.name.removesuffix(".gz") for path in folder.iterdir() if path.is_file()}
    stems = {name.rpartition(".")[0] for name in files if name.endswith((f".{src}", f".{tgt}"))}
    if "train" in stems:
        yield "train", "train"
    for name in VALID_NAMES:
        if name in stems:
            yield "valid", name
            break
    for stem in sorted(stems):
        if stem.startswith("test"):
            yield stem, stem


def load_folder(folder: Path, src: str, tgt: str) -> Corpus:
    """A folder with `train.SRC`, `train.TGT`, `valid.*` and `test*.*`, each plain or `.gz`.

    Raises:
        TranslatorError: a file of a pair is missing, unreadable, or of another length.
    """
    corpus = Corpus(folder.name)
    for split, stem in _folder_splits(folder, src, tgt):
        src_file, tgt_file = _find(folder, stem, src), _find(folder, stem, tgt)
        if src_file is None or tgt_file is None:
            missing = f"{stem}.{src if src_file is None else tgt}"
            raise TranslatorError(f"{folder} lacks {missing} (or {missing}.gz).")
        corpus.splits[split] = read_pairs(src_file, tgt_file)
    if not corpus.splits:
        raise TranslatorError(
            f"{folder} holds no corpus: put train.{src}, train.{tgt} and, for example, "
            f"valid.{src}, valid.{tgt} there."
        )
    return corpus


def _hub_reachable(timeout: float = 2.0) -> bool:
    """Whether the hub answers at all; asked first because its client retries for minutes."""
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    answers: queue.Queue[bool] = queue.Queue()

    def ask() -> None:
        request = urllib.request.Request(endpoint, method="HEAD")
        try:
            urllib.request.urlopen(request, timeout=timeout).close()
        except urllib.error.HTTPError:
            pass  # an answer, if not a kind one
        except (OSError, ValueError):
            answers.put(False)
            return
        answers.put(True)

    # In a thread, because looking up a name can take longer than any timeout.
    threading.Thread(target=ask, daemon=True).start()
    try:
        return answers.get(timeout=timeout)
    except queue.Empty:
        return False


def load_hub(name: str, hub: HubCorpus, src: str, tgt: str) -> Corpus:
    """A corpus through `datasets`: downloaded once, then read from its cache.

    `hub.path` may also be a folder laid out like a hub repository.

    Raises:
        TranslatorError: no network and nothing cached, or a layout this cannot read.
    """
    local = Path(hub.path).is_dir()
    offline = not local and not _hub_reachable()
    if offline:  # read when `datasets` is imported
        os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
    import datasets

    datasets.utils.logging.set_verbosity_error()
    try:
        loaded: Any = datasets.load_dataset(hub.path, hub.config)
    except Exception as error:  # the libraries below raise a dozen kinds
        if offline:
            raise TranslatorError(
                f"{name} is not cached and the hub cannot be reached. Go online once, or give a "
                f"folder: --data FOLDER with train.{src}, train.{tgt}, valid.{src}, valid.{tgt} "
                "(--data sample needs no network)."
            ) from None
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise TranslatorError(f"{name} could not be loaded from the hub: {reason}") from error
    corpus = Corpus(name)
    for split, rows in loaded.items():
        split = "valid" if split in VALID_NAMES else split
        if split == "test":
            split = _TEST_NAMES.get(name, split)
        corpus.splits[split] = list(_hub_pairs(name, rows, src, tgt))
    return corpus


def _hub_pairs(name: str, rows: Any, src: str, tgt: str) -> Iterable[TextPair]:
    columns = rows.column_names
    if "translation" in columns:
        pairs = rows["translation"]
    elif src in columns and tgt in columns:
        pairs = rows.select_columns([src, tgt])
    else:
        raise TranslatorError(
            f'{name} has the columns {", ".join(columns)}; needed are "{src}" and "{tgt}", '
            'or "translation" with those keys.'
        )
    try:
        return [(row[src], row[tgt]) for row in pairs]
    except KeyError as error:
        raise TranslatorError(f"{name} has no language {error}.") from None


def _hold_out(corpus: Corpus, seed: int) -> None:
    """Takes a seeded 1 % of the training pairs, at most 2,000, as validation data."""
    pairs = corpus.splits["train"]
    count = min(max(len(pairs) // 100, 1), 2000)
    chosen = set(random.Random(seed).sample(range(len(pairs)), count))
    corpus.held_out = sorted(chosen)
    corpus.splits["valid"] = [pairs[i] for i in corpus.held_out]
    corpus.splits["train"] = [pair for i, pair in enumerate(pairs) if i not in chosen]
    corpus.notes.append(
        f"{corpus.name} has no validation data: {count} training pairs are held out for it."
    )


def split_mixture(text: str) -> list[tuple[str, float]]:
    """Corpora and their weights: "A:1.0,B:3.0" are two, a text without a comma is one."""
    if "," not in text or Path(text).is_dir():
        return [(text, 1.0)]
    parts = []
    for part in text.split(","):
        name, colon, number = part.strip().rpartition(":")
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if not (name and colon and 0 < weight < 1000):
            raise TranslatorError(
                f'"{part}" is no corpus with its weight: several are written as "A:1.0,B:3.0".'
            )
        parts.append((name, weight))
    return parts


def load_corpus(name: str, src: str, tgt: str, seed: int = 1) -> Corpus:
    """A corpus by name: `sample`, a folder, one of `HUB_CORPORA`, or `hf:OWNER/NAME[:CONFIG]`.

    Raises:
        TranslatorError: it is not there, or it is broken; the message says what to do.
    """
    if name == "sample":
        corpus = _load_sample(src, tgt)
    elif name.startswith("hf:"):
        path, _, config = name.removeprefix("hf:").partition(":")
        corpus = load_hub(name, HubCorpus(path, config or None), src, tgt)
    elif name in HUB_CORPORA:
        corpus = load_hub(name, HUB_CORPORA[name], src, tgt)
    elif Path(name).is_dir():
        corpus = load_folder(Path(name).resolve(), src, tgt)
    else:
        raise TranslatorError(
            f'"{name}" is neither a folder nor a known corpus; known: sample, '
            f"{', '.join(HUB_CORPORA)}, hf:OWNER/NAME."
        )
    if corpus.splits.get("train") and not corpus.splits.get("valid"):
        _hold_out(corpus, seed)
    return corpus


def _load_sample(src: str, tgt: str) -> Corpus:
    from data_prep.sample import sample_corpus

    if {src, tgt} != {"en", "de"}:
        raise TranslatorError(f"sample is English and German; it has no {src}-{tgt}.")
    corpus = Corpus("sample")
    for split, pairs in sample_corpus().items():
        corpus.splits[split] = [
            (pair.src, pair.tgt) if src == "en" else (pair.tgt, pair.src) for pair in pairs
        ]
    return corpus
