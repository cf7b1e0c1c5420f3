"""A corpus on disk, cleaned once: `translator prepare` writes it and training reads it.

    FOLDER/
      train.de.*, train.en.*  the pairs worth training on, as text (data_prep/sources/mapped.py)
      valid.*, test*.*        the other splits, unchanged
      tokenizer-KEY.model     learnt from the training pairs
      ids-KEY/                the training pairs as ids of one tokenizer
      manifest.json           the origin of everything, and the report; written last
      making.json, shards/    only while the corpus is being prepared

The corpus is cleaned in shards (shard_passes.py), and then encoded with a tokenizer (encoded.py).
Both directions of translation share the result: languages are in alphabetical order.

Without a folder, a corpus is prepared in the cache: $TRANSLATOR_CACHE, or else ~/.cache/translator.
A folder there is named after everything that it depends on, and may be deleted at any time.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from data_prep.cleaning.rules import Languages
from data_prep.prepared.shard_passes import clean_into
from data_prep.prepared.shards import (
    Progress,
    locked,
    make_shards,
    no_progress,
)
from data_prep.sources.corpus import (
    corpus_identity,
    local_path,
    open_corpus,
    read_tag,
)
from data_prep.sources.formats import Source
from data_prep.sources.mapped import Pairs, is_prepared, read_manifest, text_pairs
from translator.config.errors import TranslatorError
from translator.config.schema import CleanConfig
from translator.system.disk import cache_root, write_json, writing
from translator.text.lines import TextPair

VERSION = 2  # of the files, and of the rules' verdicts
MAKING = "making.json"


@dataclass(frozen=True)
class Prepared:
    """A prepared corpus, in one direction."""

    folder: Path
    manifest: dict[str, Any]
    languages: Languages  # source and target

    @property
    def train(self) -> Pairs[str]:
        """The pairs worth training on."""
        return text_pairs(self.folder, "train", *self.languages)

    @property
    def splits(self) -> dict[str, list[TextPair]]:
        """The other splits."""
        names = self.manifest["held_out"]
        return {name: text_pairs(self.folder, name, *self.languages)[:] for name in names}

    @property
    def n_words(self) -> int:
        """The number of words on both sides of the training pairs."""
        after = self.manifest["report"]["after"]
        return sum(int(after[f"{language}_words"]) for language in self.languages)


def open_prepared(folder: Path, src: str, tgt: str) -> Prepared:
    """Opens the prepared corpus in a folder.

    Raises:
        TranslatorError: it is damaged, of another version, or in other languages.
    """
    manifest = read_manifest(folder, "version")
    if manifest["version"] != VERSION:
        raise TranslatorError(f"{folder} is of another version: prepare the corpus again.")
    keys = ("made_from", "languages", "clean", "tag", "held_out", "fingerprint", "report")
    languages = read_manifest(folder, *keys)["languages"]
    if sorted((src, tgt)) != languages:
        raise TranslatorError(f"{folder} holds {'-'.join(languages)}, not {src}-{tgt}.")
    return Prepared(folder, manifest, (src, tgt))


def cache_folder(name: str, made_from: Sequence[Any]) -> Path:
    """The folder in the cache to prepare a corpus in."""
    key = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:16]
    return cache_root() / f"{re.sub(r'[^A-Za-z0-9]+', '-', name)[-40:].strip('-')}-{key}"


def prepare_corpus(
    name: str,
    src: str,
    tgt: str,
    config: CleanConfig,
    folder: Path | None = None,
    *,
    beside: Prepared | None = None,
    seed: int = 1,
    workers: int = 1,
    progress: Progress = no_progress,
) -> Prepared:
    """Cleans a corpus into a folder; continues where an earlier call was interrupted.

    Args:
        name: see `open_corpus`; a prepared folder is used as it is, unless `folder` or `beside` is
            given.
        src, tgt: languages.
        config: the rules.
        folder: new, or of the same corpus; default: in the cache.
        beside: the first corpus of a mixture: its held-out lines are excluded here too, and nothing
            is held out from this corpus.
        seed: determines what is held out, and the samples in the report.
        workers: number of processes.
        progress: called with each stage and the pairs that it has processed.

    Raises:
        TranslatorError: the corpus is broken, the disk cannot be written, or the folder holds
            something else.
    """
    languages = min(src, tgt), max(src, tgt)
    config = config.resolve()
    path = local_path(name)
    if path and is_prepared(path) and not (folder or beside):
        found = open_prepared(path, src, tgt)
        _check_rules(found, config)
        return found
    about = _describe(name, src, tgt, config, beside, seed)
    made_from = about["made_from"]
    folder = folder or cache_folder(path.name if path else name, made_from)
    with writing(folder):
        _check_folder(folder, made_from, languages)
        if not is_prepared(folder):
            sources = _open_sources(name, src, tgt)  # fails before anything is written
            away = open_prepared(beside.folder, *languages).splits if beside else None
            folder.mkdir(parents=True, exist_ok=True)
            with locked(folder):
                _check_folder(folder, made_from, languages)  # it may have become another's
                if not is_prepared(folder):  # nor has another process done it meanwhile
                    write_json(folder / MAKING, made_from)
                    work = partial(make_shards, workers=workers)
                    clean_into(sources, away, config, about, folder, work, progress)
        shutil.rmtree(folder / "shards", ignore_errors=True)
        (folder / MAKING).unlink(missing_ok=True)
    return open_prepared(folder, src, tgt)


def _describe(
    name: str, src: str, tgt: str, config: CleanConfig, beside: Prepared | None, seed: int
) -> dict[str, Any]:
    """The manifest without counts; corpora with the same "made_from" are the same."""
    languages = min(src, tgt), max(src, tgt)
    made_from = [VERSION, corpus_identity(name, src, tgt), languages, asdict(config), seed]
    made_from.append(config.repair and find_spec("ftfy") is not None)  # which repairs more
    made_from.append(beside and beside.manifest["made_from"])
    path = local_path(name)
    return {
        "version": VERSION,
        "made_from": json.loads(json.dumps(made_from)),  # as it will be read
        "corpus": name,
        "languages": list(languages),
        "seed": seed,
        "clean": asdict(config),
        "tag": read_tag(path) if path else None,
    }


def _open_sources(name: str, src: str, tgt: str) -> dict[str, Source]:
    """Opens the splits of a corpus, with the languages in alphabetical order."""
    sources = open_corpus(name, src, tgt)
    if src < tgt:
        return sources
    return {split: partial(_swapped, pairs) for split, pairs in sources.items()}


def _swapped(pairs: Source) -> Iterator[TextPair]:
    return ((second, first) for first, second in pairs())


def _check_rules(prepared: Prepared, config: CleanConfig) -> None:
    before = prepared.manifest["clean"]
    changes = [
        f"clean.{key}: {before.get(key)} -> {value}"
        for key, value in asdict(config).items()
        if before.get(key) != value
    ]
    if changes:
        raise TranslatorError(
            f"{prepared.folder} was prepared by other rules ({'; '.join(changes)}): use those, "
            "or prepare the corpus again."
        )


def _check_folder(folder: Path, made_from: list[Any], languages: Languages) -> None:
    """Refuses a folder that holds something else."""
    found = None
    try:
        found = json.loads((folder / MAKING).read_bytes())
    except ValueError:
        pass
    except FileNotFoundError:  # the manifest comes before this goes
        if is_prepared(folder):
            found = open_prepared(folder, *languages).manifest["made_from"]
        elif not folder.exists() or all(
            file.name.startswith(".") and file.suffix in (".lock", ".tmp")
            for file in folder.iterdir()
        ):
            return
    if found != made_from:
        raise TranslatorError(
            f"{folder} holds something else, or the same corpus by other rules: name another "
            "folder (--output), or delete this one."
        )
