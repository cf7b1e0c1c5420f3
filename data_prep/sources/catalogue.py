"""The corpora known by name: where each is on the hub, and what is in it."""

from dataclasses import asdict, dataclass
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

    @property
    def confirmed(self) -> bool:
        return not self.unconfirmed

    def split_name(self, hub_name: str) -> str:
        """The name of a split here."""
        for split in self.splits:
            if split.hub_name == hub_name:
                return split.name
        return "valid" if hub_name in VALID_NAMES else hub_name


# From the pages of the hub: the data set cards (columns, pairs, download, licence), the lists of
# commits (revisions), and the loading scripts that the files were once made with (which test set
# a split is). `revision` None where only the first digits of the commit are known.
CORPORA = {
    "multi30k": HubCorpus(
        "bentrevett/multi30k",
        columns="en, de",
        splits=(
            Split("train", "train", 29_000),
            Split("validation", "valid", 1_014),
            Split("test", "test_2016_flickr", 1_000, "image captions of 2016"),
        ),
        download=4_920_000,
        licence="CC BY-NC-SA 4.0",  # of the text, as published for WMT16; the card names none
        citation="Elliott et al. 2016, Multi30K: Multilingual English-German Image Descriptions",
        unconfirmed=("revision", "content of test"),
    ),
    "wmt14": HubCorpus(
        "wmt/wmt14",
        "de-en",
        revision="b199e406369ec1b7634206d3ded5ba45de2fe696",
        columns="translation",
        splits=(
            Split("train", "train", 4_508_785, "Europarl 7, Common Crawl, News Commentary 9"),
            Split("validation", "valid", 3_000, "newstest2013"),
            Split("test", "test_newstest2014", 3_003, "newstest2014"),
        ),
        download=818_467_512,
        licence="unknown",  # so the card
        citation="Bojar et al. 2014, Findings of the 2014 Workshop on Statistical Machine "
        "Translation",
    ),
    "wmt16": HubCorpus(
        "wmt/wmt16",
        "de-en",
        revision="41d8a4013aa1489f28fea60ec0932af246086482",
        columns="translation",
        splits=(
            Split("train", "train", 4_548_885, "Europarl 7, Common Crawl, News Commentary 11"),
            Split("validation", "valid", 2_169, "newstest2015"),
            Split("test", "test_newstest2016", 2_999, "newstest2016"),
        ),
        download=827_152_589,
        licence="unknown",
        citation="Bojar et al. 2016, Findings of the 2016 Conference on Machine Translation",
    ),
    "wmt19": HubCorpus(  # its test set: sacrebleu:wmt19
        "wmt/wmt19",
        "de-en",
        columns="translation",
        splits=(
            Split("train", "train", 34_782_245, "Europarl 9, ParaCrawl 3, Common Crawl, ..."),
            Split("validation", "valid", 2_998, "newstest2018"),
        ),
        licence="unknown",
        citation="Proceedings of the Fourth Conference on Machine Translation (WMT19), 2019",
        unconfirmed=("revision", "download"),
    ),
    # The repository itself holds a loading script; this commit, of its branch of converted files,
    # holds Parquet.
    "iwslt17": HubCorpus(
        "IWSLT/iwslt2017",
        folder="iwslt2017-de-en",
        revision="9ca48082a7aae6d0a9d18efb292c50eacd10d2e8",
        columns="translation",
        splits=(
            Split("train", "train", 206_112, "TED talks"),
            Split("validation", "valid", 888, "dev2010"),
            Split("test", "test_tst2010_2015", 8_079, "tst2010 to tst2015"),
        ),
        licence="CC BY-NC-ND 4.0",
        citation="Cettolo et al. 2012, WIT3: Web Inventory of Transcribed and Translated Talks",
        unconfirmed=("files of train and test", "download"),
    ),
    "opus100": HubCorpus(
        "Helsinki-NLP/opus-100",
        "de-en",
        revision="805090dc28bf78897da9641cdf08b61287580df9",
        columns="translation",
        splits=(
            Split("train", "train", 1_000_000, "drawn from OPUS"),
            Split("validation", "valid", 2_000),
            Split("test", "test_opus100", 2_000),
        ),
        download=116_680_890,
        licence="unknown",
        citation="Zhang et al. 2020 (arXiv:2004.11867)",
    ),
}


def corpus_table() -> list[dict[str, Any]]:
    """`CORPORA` as plain data, one row per corpus."""
    return [
        {"name": name, **asdict(hub), "confirmed": hub.confirmed} for name, hub in CORPORA.items()
    ]


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
