"""Cleaning a corpus in two passes over its shards.

The first pass reads all pairs and computes their keys. Once repeated keys and the meanings of words
are known, the second pass judges each pair. Neither holds more than a few shards in memory.
"""

import hashlib
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from data_prep.cleaning.clean import Cleaner, CleanReport, find_repeats, pair_keys, repair_pairs
from data_prep.cleaning.contamination import HeldOut
from data_prep.cleaning.pair_score import ENOUGH, SAMPLE, PairScorer
from data_prep.cleaning.rules import Languages
from data_prep.prepared.shards import SHARD, Progress, merge, read_report
from data_prep.sources.corpus import held_out_places
from data_prep.sources.formats import Source
from data_prep.sources.mapped import MANIFEST, Writer, text_pairs
from translator.config.errors import TranslatorError
from translator.config.schema import CleanConfig
from translator.system.disk import write_json
from translator.text.lines import TextPair, blocks

REPEATED, HELD_OUT = 1, 2  # marks of pairs


def clean_into(
    sources: Mapping[str, Source],
    beside: Mapping[str, Sequence[TextPair]] | None,
    config: CleanConfig,
    about: dict[str, Any],
    folder: Path,
    work: Callable[..., list[Path]],
    progress: Progress,
) -> None:
    """Writes the pairs worth training on, the other splits and the manifest to a folder.

    Args:
        sources: the splits of the corpus, with the languages in alphabetical order.
        beside: the held-out pairs of another corpus; then nothing is held out from this one.
        config: the rules.
        about: the beginning of the manifest.
        folder: an existing folder.
        work: `make_shards` with its number of processes.
        progress: called with each stage and the pairs that it has processed.

    Raises:
        TranslatorError: there are no training pairs.
    """
    languages: Languages = (about["languages"][0], about["languages"][1])
    empty = TranslatorError(
        f"{about['corpus']} has no training pairs: train.{languages[0]} and train.{languages[1]} "
        "need text."
    )
    if "train" not in sources:
        raise empty
    first, second = folder / "shards" / "read", folder / "shards" / "judged"

    chunks = blocks(sources["train"](), SHARD)
    reading, judging = partial(progress, "read"), partial(progress, "clean")
    read = work(first, chunks, partial(_read, config, languages), progress=reading)
    keys = array("q")
    for shard in read:
        keys.frombytes((shard / "keys").read_bytes())
    if not keys:
        raise empty
    splits = {split: list(pairs()) for split, pairs in sources.items() if split != "train"}
    notes: list[str] = []
    places: list[int] = []
    if beside is None and not splits.get("valid"):
        places = held_out_places(len(keys), about["seed"])
        splits = {"valid": [], **splits}
        splits["valid"] = _fetch(read, places, languages)
        notes.append(f"No validation data: {len(places):,} training pairs are held out for it.")
    marks = _mark_pairs(keys, places)
    scorer = _learn(read, keys, marks, config, languages, notes)
    del keys  # before processes are forked
    every = {**splits, **{f"beside {split}": pairs for split, pairs in (beside or {}).items()}}
    cleaner = Cleaner(config, languages, scorer, HeldOut(every, config), about["seed"])
    pieces = (
        _Piece(shard, bytes(marks[n * SHARD : (n + 1) * SHARD])) for n, shard in enumerate(read)
    )
    judged = work(second, pieces, partial(_judge, cleaner), progress=judging)
    _finish(judged, splits, CleanReport(notes=notes), about, folder)


def _mark_pairs(keys: "array[int]", held_out: Sequence[int]) -> bytearray:
    """A mark for each pair: `REPEATED`, `HELD_OUT`, or 0. Changes the keys of held-out pairs."""
    for n, place in enumerate(held_out):
        keys[place] = n  # no other pair's key, so no pair counts as a repeat of a held-out one
    marks = bytearray(find_repeats(keys))
    for place in held_out:
        marks[place] = HELD_OUT
    return marks


def _write_pairs(folder: Path, split: str, pairs: Iterable[TextPair], languages: Languages) -> None:
    writers = [Writer(folder / f"{split}.{language}") for language in languages]
    for chunk in blocks(pairs, SHARD):
        for side, writer in enumerate(writers):
            writer.extend(pair[side].encode() for pair in chunk)
    for writer in writers:
        writer.close()


def _read(
    config: CleanConfig, languages: Languages, pairs: Sequence[TextPair], folder: Path
) -> dict[str, Any]:
    """The first pass: stores the unchanged text, and the keys of the pairs."""
    _write_pairs(folder, "train", pairs, languages)
    (folder / "keys").write_bytes(pair_keys(pairs, config).tobytes())
    return {"pairs": len(pairs)}


@dataclass(frozen=True)
class _Piece:
    """A shard of the first pass, and the marks of its pairs."""

    shard: Path
    marks: bytes

    def __len__(self) -> int:
        return len(self.marks)


def _judge(cleaner: Cleaner, piece: _Piece, folder: Path) -> dict[str, Any]:
    """The second pass: stores the pairs worth training on."""
    rows = zip(text_pairs(piece.shard, "train", *cleaner.languages), piece.marks, strict=True)
    rest = [(pair, mark) for pair, mark in rows if mark != HELD_OUT]
    repeated = [mark == REPEATED for _, mark in rest]
    kept, report = cleaner([pair for pair, _ in rest], repeated)
    _write_pairs(folder, "train", kept, cleaner.languages)
    return asdict(report)


def _finish(
    shards: Sequence[Path],
    splits: dict[str, list[TextPair]],
    report: CleanReport,
    about: dict[str, Any],
    folder: Path,
) -> None:
    """Joins the judged shards, and writes the other splits and the manifest."""
    languages = about["languages"]
    for shard in shards:
        report = report.merge(CleanReport(**read_report(shard)))
    digests = [merge(shards, f"train.{side}", folder / f"train.{side}") for side in languages]
    for split, pairs in splits.items():
        _write_pairs(folder, split, pairs, languages)
    digests.append(hashlib.sha256(repr(splits.get("valid")).encode()).hexdigest())
    manifest = {
        **about,
        "held_out": list(splits),
        "fingerprint": hashlib.sha256(" ".join(digests).encode()).hexdigest()[:16],
        "report": report.summary(*languages),
    }
    write_json(folder / MANIFEST, manifest)


def _fetch(shards: Sequence[Path], places: Sequence[int], languages: Languages) -> list[TextPair]:
    """Fetches pairs by their places over all shards, in ascending order."""
    found: list[TextPair] = []
    opened, pairs = -1, None
    for place in places:
        if place // SHARD != opened:
            opened = place // SHARD
            pairs = text_pairs(shards[opened], "train", *languages)
        assert pairs is not None
        found.append(pairs[place % SHARD])
    return found


def _learn(
    shards: Sequence[Path],
    keys: "array[int]",
    marks: bytearray,
    config: CleanConfig,
    languages: Languages,
    notes: list[str],
) -> PairScorer | None:
    """Learns what words mean, from the pairs with the smallest keys, each once."""
    if not config.alignment:
        return None
    places = (torch.frombuffer(marks, dtype=torch.uint8) == 0).nonzero().flatten()
    values = torch.frombuffer(keys, dtype=torch.int64)[places]
    chosen = places[values.argsort()[:SAMPLE]].sort().values.tolist()
    if len(chosen) < ENOUGH:
        notes.append(f"{len(chosen):,} pairs are too few to see whether the lines belong together.")
        return None
    sample = repair_pairs(_fetch(shards, chosen, languages), config)
    return PairScorer(sample, [keys[place] for place in chosen])
