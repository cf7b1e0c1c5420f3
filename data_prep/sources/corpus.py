"""Getting a corpus by its name: the bundled one, a folder, a file, or one from the hub.

`CORPORA` is the table of the names.
"""

import hashlib
import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from data_prep import sample
from data_prep.sources.catalogue import CORPORA, VALID_NAMES, HubCorpus
from data_prep.sources.formats import (
    READERS,
    Source,
    check_sides,
    iterate_file,
    iterate_pairs,
    split_name,
)
from data_prep.sources.hub import open_hub, open_sacrebleu
from data_prep.sources.mapped import MANIFEST, is_prepared, text_pairs
from translator.config.errors import TranslatorError, did_you_mean
from translator.text.lines import PACKINGS, TextPair

PACKED = ", ".join(PACKINGS)


@dataclass
class Corpus:
    """Parallel text by split: "train", "valid", and any number whose names begin with "test"."""

    name: str
    splits: dict[str, list[TextPair]] = field(default_factory=dict)

    def select(self, split: str) -> dict[str, list[TextPair]]:
        """The split of that name, or else all splits whose names begin with it.

        Raises:
            TranslatorError: there is none.
        """
        split = "valid" if split in VALID_NAMES else split
        names = [split] if split in self.splits else [n for n in self.splits if n.startswith(split)]
        if not names:
            known = ", ".join(self.splits) or "none"
            raise TranslatorError(f'{self.name} has no split "{split}"; it has: {known}.')
        return {name: self.splits[name] for name in sorted(names)}


def read_tag(folder: Path) -> str | None:
    """The tag in the `corpus.json` of a folder of synthetic pairs, or in a prepared corpus.

    Raises:
        TranslatorError: the file is damaged, or there is no such tag.
    """
    file = folder / (MANIFEST if is_prepared(folder) else "corpus.json")
    if not file.is_file():
        return None
    try:
        tag = json.loads(file.read_bytes()).get("tag")
    except (ValueError, AttributeError):
        raise TranslatorError(f"{file} is damaged: it must be JSON, {{...}}.") from None
    if tag not in (None, "<bt>"):
        raise TranslatorError(f'{file}: "tag" must be "<bt>" or null, not {tag!r}.')
    return tag


def _folder_files(folder: Path, src: str, tgt: str) -> Iterator[tuple[str, list[Path]]]:
    """(split, its file or its two files), training data first.

    Raises:
        TranslatorError: a split lacks a side, or there is more than one candidate for it.
    """
    found: dict[str, dict[str, list[Path]]] = {}  # split -> format or language -> files
    for path in sorted(folder.iterdir()):
        stem, ending = split_name(path.name)
        split = "valid" if stem in VALID_NAMES else stem
        wanted = split in ("train", "valid") or split.startswith("test")
        if wanted and ending in (*READERS, src, tgt) and path.is_file():
            found.setdefault(split, {}).setdefault(ending, []).append(path)
    rank = {"train": 0, "valid": 1}
    for split in sorted(found, key=lambda name: (rank.get(name, 2), name)):
        files = [path for paths in found[split].values() for path in paths]
        plain = found[split].keys() <= {src, tgt}
        stems = {split_name(path.name)[0] for path in files}  # dev and valid are one split
        if len(files) > (len(found[split]) if plain else 1) or len(stems) > 1:
            names = " and ".join(path.name for path in files)
            raise TranslatorError(f"{folder} has {names} for one split: keep one of them.")
        if plain and len(files) == 1:
            stem, ending = split_name(files[0].name)
            missing = f"{stem}.{tgt if ending == src else src}"
            raise TranslatorError(f"{folder} lacks {missing} (or {missing}.gz).")
        yield split, [found[split][side][0] for side in (src, tgt)] if plain else files


def _open_files(files: Sequence[Path], src: str, tgt: str) -> Iterator[TextPair]:
    pairs = iterate_pairs(*files) if len(files) == 2 else iterate_file(files[0], src, tgt)
    return check_sides(pairs, " and ".join(map(str, files)), src, tgt)


def open_folder(folder: Path, src: str, tgt: str) -> dict[str, Source]:
    """Opens a folder with `train`, `valid` and `test*`, each as one file or one per language.

    Raises:
        TranslatorError: none of these exists, or one is incomplete or exists twice; while a
            split is read, as in data_prep/sources/formats.py.
    """
    if is_prepared(folder):
        names = sorted(
            file.name.removesuffix(f".{src}.ends") for file in folder.glob(f"*.{src}.ends")
        )
        return {split: text_pairs(folder, split, src, tgt).__iter__ for split in names}
    splits: dict[str, Source] = {
        split: partial(_open_files, files, src, tgt)
        for split, files in _folder_files(folder, src, tgt)
    }
    if not splits:
        raise TranslatorError(
            f"{folder} holds no corpus: put train.{src}, train.{tgt} and, for example, "
            f"valid.{src}, valid.{tgt} there."
        )
    return splits


def corpus_identity(name: str, src: str, tgt: str) -> list[Any]:
    """Identifies a corpus and its state without reading it.

    Files are identified by their names, sizes and times, data sets of the hub by the request.
    """
    if name == "sample":
        # By content, because each installation gives the files new times.
        files = sorted(sample.FOLDER.glob("*.xz"))
        return [name, *(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)]
    path = local_path(name)
    if path is None:
        hub = asdict(CORPORA[name]) if name in CORPORA else {}
        return [name, *(hub.get(key) for key in ("path", "config", "folder", "revision"))]
    files = [path / MANIFEST if is_prepared(path) else path]
    if path.is_dir() and not is_prepared(path):
        files = [file for _, split_files in _folder_files(path, src, tgt) for file in split_files]
        files += [file for file in (path / "corpus.json",) if file.is_file()]
    identity: list[Any] = [
        [str(file), file.stat().st_size, file.stat().st_mtime_ns] for file in sorted(files)
    ]
    # Columns of tables without a header are source and target, so each direction differs.
    tables = any(split_name(file.name)[1] in ("tsv", "csv") for file in files)
    return [*identity, [src, tgt]] if tables else identity


def open_corpus(name: str, src: str, tgt: str) -> dict[str, Source]:
    """Opens the splits of a corpus by its name; each can be read repeatedly, pair by pair.

    Args:
        name: `sample`, a folder, a file, a name of `CORPORA`, `hf:OWNER/NAME[:CONFIG]`, or
            `sacrebleu:TESTSET`.

    Raises:
        TranslatorError: it does not exist or is broken; the message says what to do.
    """
    if name == "sample":
        if {src, tgt} != set(sample.LANGUAGES):
            raise TranslatorError(f"sample is English and German; it has no {src}-{tgt}.")
        return open_folder(sample.FOLDER, src, tgt)
    if name.startswith("hf:"):
        owner_name, _, config = name.removeprefix("hf:").partition(":")
        return open_hub(name, HubCorpus(owner_name, config or None), src, tgt)
    if name.startswith("sacrebleu:"):
        return open_sacrebleu(name.removeprefix("sacrebleu:"), src, tgt)
    if name in CORPORA:
        return open_hub(name, CORPORA[name], src, tgt)
    path = local_path(name)
    kinds = ", ".join(f".{ending}" for ending in READERS)
    if path is None:
        raise TranslatorError(
            f'"{name}" is neither a folder nor a known corpus, nor a file ({kinds}).'
            f"{did_you_mean(name, ['sample', *CORPORA])} Known: "
            f"sample, {', '.join(CORPORA)}, hf:OWNER/NAME, sacrebleu:TESTSET."
        )
    if path.is_dir():
        return open_folder(path, src, tgt)
    if split_name(path.name)[1] not in READERS:
        raise TranslatorError(
            f"{name} is no corpus: a single file must be one of {kinds} (also {PACKED}); two plain "
            "files go into a folder."
        )
    return {"train": partial(_open_files, [path], src, tgt)}


def local_path(name: str) -> Path | None:
    """The folder or file that a name refers to, if any."""
    if name == "sample" or name in CORPORA or name.startswith(("hf:", "sacrebleu:")):
        return None
    return Path(name).resolve() if Path(name).exists() else None


def load_corpus(name: str, src: str, tgt: str, seed: int = 1) -> Corpus:
    """Loads a whole corpus, see `open_corpus`; without validation data, holds out a part of train.

    Raises:
        TranslatorError: it does not exist or is broken; the message says what to do.
    """
    path = local_path(name)
    sources = open_corpus(name, src, tgt)
    splits = {split: list(pairs()) for split, pairs in sources.items()}
    if splits.get("train") and not splits.get("valid"):
        pairs = splits["train"]
        places = held_out_places(len(pairs), seed)
        away = set(places)
        splits["valid"] = [pairs[i] for i in places]
        splits["train"] = [pair for i, pair in enumerate(pairs) if i not in away]
    return Corpus(path.name if path else name, splits)


def held_out_places(n_pairs: int, seed: int) -> list[int]:
    """Chooses the training pairs to hold out for validation: 1 %, at most 2,000."""
    return sorted(random.Random(seed).sample(range(n_pairs), min(max(n_pairs // 100, 1), 2000)))


def split_mixture(text: str) -> list[tuple[str, float]]:
    """Splits "A:1.0,B:3.0" into corpora and weights; a name without a comma has weight 1."""
    if "," not in text or Path(text).exists():
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
