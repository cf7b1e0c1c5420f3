"""The training pairs of a prepared corpus as the ids of one tokenizer, made once for each."""

import hashlib
import shutil
from array import array
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from data_prep.cleaning.rules import Languages
from data_prep.prepared.cleaned import VERSION, Prepared
from data_prep.prepared.shards import (
    SHARD,
    Progress,
    locked,
    make_shards,
    merge,
    no_progress,
    read_report,
)
from data_prep.sources.mapped import (
    MANIFEST,
    MAX_VOCAB,
    Pairs,
    Writer,
    id_rows,
    is_prepared,
    read_manifest,
    text_pairs,
)
from translator.config.errors import TranslatorError
from translator.config.schema import DataConfig
from translator.system.disk import write_json, writing
from translator.text.codec import normalise
from translator.text.lines import TextPair
from translator.text.tokenizer import IdPair, Tokenizer


class Ids(Pairs[list[int]]):
    """The training pairs of a prepared corpus as ids."""

    def __init__(self, folder: Path, languages: Languages):
        super().__init__(*(id_rows(folder / language) for language in languages))
        self.folder = folder
        self.dropped: dict[str, int] = read_manifest(folder, "dropped")["dropped"]

    @property
    def places(self) -> "array[int]":
        """`(N,)`, the row of the text that each pair comes from."""
        return array("q", (self.folder / "places").read_bytes())


def _encode(
    corpus: Path, languages: Languages, model: bytes, config: DataConfig, rows: range, folder: Path
) -> dict[str, Any]:
    """The last pass: the ids, and the row of the text that each pair comes from."""
    tokenizer = Tokenizer(model)
    text = text_pairs(corpus, "train", *languages)
    writers = [Writer(folder / language, "H") for language in languages]
    places, dropped = array("q"), Counter[str]()
    for place in rows:
        ids, fault = encode_pair(text[place], tokenizer, config)
        if fault:
            dropped[fault] += 1
            continue
        for writer, side in zip(writers, ids, strict=True):
            writer.extend([array("H", side).tobytes()])
        places.append(place)
    for writer in writers:
        writer.close()
    (folder / "places").write_bytes(places.tobytes())
    return dict(dropped)


def encode_corpus(
    prepared: Prepared,
    tokenizer: Tokenizer,
    config: DataConfig,
    workers: int = 1,
    progress: Progress = no_progress,
) -> Ids:
    """Encodes the training pairs, once for each tokenizer; see `prepare_corpus`."""
    if tokenizer.vocab_size > MAX_VOCAB:
        raise TranslatorError(
            f"A vocabulary has at most {MAX_VOCAB:,} pieces here: data.vocab_size."
        )
    limits = f"{VERSION} {config.max_length} {config.max_ratio}"
    key = hashlib.sha256(tokenizer.model_bytes + limits.encode()).hexdigest()[:16]
    folder = prepared.folder / f"ids-{key}"
    if is_prepared(folder):
        return Ids(folder, prepared.languages)
    languages = min(prepared.languages), max(prepared.languages)
    n = len(prepared.train)
    chunks = (range(k, min(k + SHARD, n)) for k in range(0, n, SHARD))
    work = partial(_encode, prepared.folder, languages, tokenizer.model_bytes, config)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            if not is_prepared(folder):  # another process may have done it meanwhile
                count = partial(progress, "encode")
                shards = make_shards(folder / "shards", chunks, work, workers, count)
                _merge_ids(shards, folder, languages)
        shutil.rmtree(folder / "shards", ignore_errors=True)
    return Ids(folder, prepared.languages)


def _merge_ids(shards: Sequence[Path], folder: Path, languages: Languages) -> None:
    for language in languages:
        merge(shards, language, folder / language)
    with open(folder / "places", "wb") as file:
        file.writelines((shard / "places").read_bytes() for shard in shards)
    dropped = sum((Counter(read_report(shard)) for shard in shards), Counter[str]())
    write_json(folder / MANIFEST, {"dropped": dict(dropped)})


def encode_pair(
    pair: TextPair, tokenizer: Tokenizer, config: DataConfig
) -> tuple[IdPair, str | None]:
    """Normalises and tokenises a pair.

    Returns:
        The ids, and what makes them unusable, if anything: "empty", "overlong" (more than
        `config.max_length` pieces), "badly proportioned" (one side is more than
        `config.max_ratio` times as long as the other, and by ten pieces or more).
    """
    src, tgt = (tokenizer.encode(normalise(text)) for text in pair)
    shorter, longer = sorted((len(src), len(tgt)))
    if not shorter:
        return (src, tgt), "empty"
    if longer > config.max_length:
        return (src, tgt), "overlong"
    if longer > config.max_ratio * shorter and longer - shorter >= 10:
        return (src, tgt), "badly proportioned"
    return (src, tgt), None


def encode_pairs(
    pairs: Sequence[TextPair], tokenizer: Tokenizer, config: DataConfig
) -> tuple[list[IdPair], dict[str, int]]:
    """The usable pairs as ids, and how many were dropped by reason, see `encode_pair`."""
    found = [encode_pair(pair, tokenizer, config) for pair in pairs]
    dropped = Counter(fault for _, fault in found if fault)
    return [ids for ids, fault in found if not fault], dict(dropped)
