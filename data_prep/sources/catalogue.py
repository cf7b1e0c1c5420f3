"""The corpora known by name (catalogue.toml): where each is on the hub, and what is in it."""

import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data_prep.sources.formats import READERS

VALID_NAMES = ("valid", "val", "dev", "validation")  # four spellings of one split


@dataclass(frozen=True)
class Split:
    """A part of a corpus: its name on the hub, its name here, its number of pairs, its content."""

    hub_name: str
    name: str
    pairs: int | None = None
    content: str = ""


@dataclass(frozen=True)
class HubCorpus:
    """A data set of the hub, in plain files (JSON lines, Parquet), read by `datasets`.

    Facts that no source confirms are None, or are named in `unconfirmed`.
    """

    path: str
    config: str | None = None
    folder: str | None = None  # in the repository, if there is no configuration
    revision: str | None = None  # a full commit hash; None = the newest
    columns: str | None = None
    splits: tuple[Split, ...] = ()
    download: int | None = None  # bytes
    licence: str | None = None
    citation: str | None = None
    unconfirmed: tuple[str, ...] = ()

    def split_name(self, hub_name: str) -> str:
        """The name of a split here."""
        for split in self.splits:
            if split.hub_name == hub_name:
                return split.name
        return "valid" if hub_name in VALID_NAMES else hub_name


def _read_corpora() -> dict[str, HubCorpus]:
    """The corpora of catalogue.toml, by name."""
    text = Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    found = {}
    for name, facts in tomllib.loads(text).items():
        splits = tuple(Split(**split) for split in facts.pop("splits"))
        unconfirmed = tuple(facts.pop("unconfirmed", ()))
        found[name] = HubCorpus(**facts, splits=splits, unconfirmed=unconfirmed)
    return found


CORPORA = _read_corpora()


def corpus_table() -> list[dict[str, Any]]:
    """`CORPORA` as plain data, one row per corpus."""
    rows = [{"name": name, **asdict(hub)} for name, hub in CORPORA.items()]
    return [row | {"confirmed": not row["unconfirmed"]} for row in rows]


def corpus_lines() -> list[str]:
    """`CORPORA` as text for people, and the other kinds of CORPUS."""
    lines = []
    for name, hub in CORPORA.items():
        address = ":".join(filter(None, (hub.path, hub.config or hub.folder)))
        lines.append(f"{name:<10}{address} at {hub.revision or 'its newest commit'}")
        for split in hub.splits:
            pairs = "?" if split.pairs is None else f"{split.pairs:,}"
            lines.append(f"{'':<10}{split.name:<20}{pairs:>12} pairs  {split.content}".rstrip())
        size = "?" if hub.download is None else f"{hub.download / 1e6:,.1f} MB"
        lines.append(
            f"{'':<10}columns: {hub.columns}; download: {size}; licence: {hub.licence or '?'}"
        )
        lines.append(f"{'':<10}{hub.citation}")
        if hub.unconfirmed:
            lines.append(f"{'':<10}not confirmed: {', '.join(hub.unconfirmed)}")
    kinds = ", ".join(f".{ending}" for ending in READERS)
    return [
        *lines,
        "sample    bundled: needs no network",
        f"FOLDER    with train.*, valid.*, test*.*: a file for each language, or {kinds}",
        f"FILE      {kinds}; like the files of a folder also .gz, .bz2, .xz, .zst",
        "hf:OWNER/NAME[:CONFIG]   any data set of the hub with such columns, in plain files",
        "sacrebleu:NAME           a test set of sacreBLEU",
    ]
