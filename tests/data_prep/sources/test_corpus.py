"""Corpora: folders, hub layouts, hold-out, and errors that name the file."""

import bz2
import gzip
import importlib
import json
import lzma
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from data_prep.sources.catalogue import CORPORA, HubCorpus, Split, corpus_lines, corpus_table
from data_prep.sources.corpus import (
    Corpus,
    held_out_places,
    load_corpus,
    open_corpus,
    split_mixture,
)
from data_prep.sources.formats import READERS, iterate_pairs
from data_prep.sources.hub import open_hub
from translator.config.errors import TranslatorError
from translator.text.lines import PACKINGS, TextPair, iterate_lines, read_lines

PAIRS = [(f"line {i}", f"Zeile {i}") for i in range(5)]
MULTI30K, WMT14 = (CORPORA[name].splits for name in ("multi30k", "wmt14"))


def load_hub(name: str, hub: HubCorpus, src: str, tgt: str) -> dict[str, list[TextPair]]:
    return {split: list(pairs()) for split, pairs in open_hub(name, hub, src, tgt).items()}


def write(folder: Path, split: str, pairs=PAIRS, gz: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for side, language in enumerate(("en", "de")):
        data = "".join(pair[side] + "\n" for pair in pairs).encode()
        name = f"{split}.{language}"
        if gz:
            (folder / f"{name}.gz").write_bytes(gzip.compress(data))
        else:
            (folder / name).write_bytes(data)


def training_pairs(folder: Path, src: str, tgt: str) -> list[TextPair]:
    return list(open_corpus(str(folder), src, tgt)["train"]())


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize("valid", ["valid", "val", "dev", "validation"])
def test_folder_plain_and_gz(tmp_path: Path, gz: bool, valid: str) -> None:
    for split in ("train", valid, "test", "test_2016"):
        write(tmp_path, split, [(f"{split} {s}", t) for s, t in PAIRS], gz)
    corpus = load_corpus(str(tmp_path), "en", "de")
    assert list(corpus.splits) == ["train", "valid", "test", "test_2016"]
    assert corpus.splits["valid"] == [(f"{valid} {s}", t) for s, t in PAIRS]
    assert corpus.name == tmp_path.name


def test_direction_swaps_the_sides(tmp_path: Path) -> None:
    write(tmp_path, "train")
    assert training_pairs(tmp_path, "de", "en") == [(t, s) for s, t in PAIRS]


def test_one_side_may_be_gz(tmp_path: Path) -> None:
    write(tmp_path, "train")
    plain = tmp_path / "train.de"
    (tmp_path / "train.de.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    assert training_pairs(tmp_path, "en", "de") == PAIRS


@pytest.mark.parametrize("split", ["train", "dev", "test"])
@pytest.mark.parametrize("side", ["en", "de"])
def test_a_missing_side_is_named(tmp_path: Path, split: str, side: str) -> None:
    for name in ("train", "dev", "test"):
        write(tmp_path, name)
    (tmp_path / f"{split}.{side}").unlink()
    with pytest.raises(TranslatorError, match=rf"lacks {split}\.{side}"):
        load_corpus(str(tmp_path), "en", "de")


def test_unequal_line_counts_name_both_files_and_counts(tmp_path: Path) -> None:
    (tmp_path / "a.en").write_text("1\n2\n3\n")
    (tmp_path / "a.de").write_text("1\n2\n")
    with pytest.raises(TranslatorError, match=r"a\.en has 3 lines but .*a\.de has 2"):
        list(iterate_pairs(tmp_path / "a.en", tmp_path / "a.de"))


@pytest.mark.parametrize("gz", [False, True])
def test_invalid_utf8_names_file_and_line(tmp_path: Path, gz: bool) -> None:
    data = b"eins\nzwei\ndrei \xfc\nvier\n"
    path = tmp_path / ("bad.de.gz" if gz else "bad.de")
    path.write_bytes(gzip.compress(data) if gz else data)
    with pytest.raises(TranslatorError, match=rf"{path}, line 3: not UTF-8"):
        read_lines(path)


@pytest.mark.parametrize("name", ["bad.de", "bad.de.gz"])
def test_lines_are_read_one_by_one(tmp_path: Path, name: str) -> None:
    """Those before a broken one are given out first."""
    data = b"eins\n\nzwei\r\ndrei \xfc\nvier\n"
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    lines = iterate_lines(tmp_path / name)
    assert [next(lines) for _ in range(3)] == ["eins", "", "zwei\r"]
    with pytest.raises(TranslatorError, match=r"bad\.de.*, line 4: not UTF-8"):
        next(lines)


@pytest.mark.parametrize("kept", [0, 5, 30])
def test_a_truncated_gz_is_named(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "cut.en.gz"
    path.write_bytes(gzip.compress(b"a line\n" * 50)[:kept])
    with pytest.raises(TranslatorError, match=r"cut\.en\.gz is cut short"):
        read_lines(path)


def test_a_damaged_or_misnamed_gz_is_named(tmp_path: Path) -> None:
    damaged = bytearray(gzip.compress(bytes(range(256)) * 4))
    damaged[-6] ^= 1  # the checksum
    (tmp_path / "damaged.gz").write_bytes(damaged)
    (tmp_path / "plain.gz").write_bytes(b"plain text\n")
    for name in ("damaged", "plain"):
        with pytest.raises(TranslatorError, match=rf"{name}\.gz"):
            read_lines(tmp_path / f"{name}.gz")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TranslatorError, match=r"no file .*gone\.en"):
        read_lines(tmp_path / "gone.en")


def test_lines_end_at_newlines_only(tmp_path: Path) -> None:
    lines = ["a\u2028b", "c\x85d", "e\ff\vg\x1ch", "i\rj", "windows\r", "", "\ufeffk"]
    (tmp_path / "odd.en").write_bytes("".join(line + "\n" for line in lines).encode())
    assert read_lines(tmp_path / "odd.en") == lines


@pytest.mark.parametrize(
    "content, lines", [("", []), ("\n", [""]), ("a", ["a"]), ("a\n", ["a"]), ("a\n\n", ["a", ""])]
)
def test_the_last_newline_closes_a_line(tmp_path: Path, content: str, lines: list[str]) -> None:
    (tmp_path / "file").write_text(content)
    assert read_lines(tmp_path / "file") == lines


def test_endings_may_name_a_country_or_be_capital(tmp_path: Path) -> None:
    for ending, line in (("en-US", "A dog."), ("DE.GZ", "Ein Hund.")):
        data = f"{line}\n".encode()
        (tmp_path / f"train.{ending}").write_bytes(gzip.compress(data) if "GZ" in ending else data)
    (tmp_path / "valid.TSV").write_text("A cat.\tEine Katze.\n")
    found = open_corpus(str(tmp_path), "en", "de")
    assert list(found["train"]()) == [("A dog.", "Ein Hund.")]
    assert list(found["valid"]()) == [("A cat.", "Eine Katze.")]


def test_an_empty_folder_says_what_belongs_there(tmp_path: Path) -> None:
    with pytest.raises(TranslatorError, match=r"train\.en, train\.de"):
        load_corpus(str(tmp_path), "en", "de")


def test_a_folder_of_test_sets_is_a_corpus(tmp_path: Path) -> None:
    write(tmp_path, "test_a")
    assert list(load_corpus(str(tmp_path), "en", "de").splits) == ["test_a"]


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(TranslatorError, match="sample, multi30k, wmt14.*opus100"):
        load_corpus("no/such/folder", "en", "de")


@pytest.mark.parametrize("n, held_out", [(2, 1), (50, 1), (1000, 10), (201_000, 2000)])
def test_hold_out_is_a_small_seeded_part(tmp_path: Path, n: int, held_out: int) -> None:
    pairs = [(str(i), f"d{i}") for i in range(n)]
    write(tmp_path, "train", pairs)

    def load(seed: int) -> Corpus:
        return load_corpus(str(tmp_path), "en", "de", seed)

    corpus = load(1)
    train, valid = corpus.splits["train"], corpus.splits["valid"]
    assert len(valid) == held_out
    assert not set(train) & set(valid)
    assert sorted(train + valid) == sorted(pairs)
    assert load(1).splits == corpus.splits
    if held_out > 1:
        assert load(2).splits["valid"] != valid


def test_validation_data_is_not_replaced(tmp_path: Path) -> None:
    write(tmp_path, "train", [(str(i), str(i)) for i in range(500)])
    write(tmp_path, "val")
    corpus = load_corpus(str(tmp_path), "en", "de")
    assert corpus.splits["valid"] == PAIRS and len(corpus.splits["train"]) == 500


def test_select_by_name_prefix_and_alias() -> None:
    splits = {name: [(name, name)] for name in ("train", "valid", "test_b", "test_a")}
    corpus = Corpus("c", splits)
    assert list(corpus.select("test")) == ["test_a", "test_b"]
    assert list(corpus.select("test_b")) == ["test_b"]
    for alias in ("valid", "val", "dev", "validation"):
        assert corpus.select(alias) == {"valid": splits["valid"]}
    assert list(Corpus("c", {**splits, "test": []}).select("test")) == ["test"]  # exact first
    with pytest.raises(TranslatorError, match='no split "tset"; it has: train, valid'):
        corpus.select("tset")


def test_real_files_are_read(real_corpus: Path) -> None:
    corpus = load_corpus(str(real_corpus), "en", "de")
    sizes = {name: len(pairs) for name, pairs in corpus.splits.items()}
    expected = {"train": 29_000, "valid": 1_014}
    assert sizes == {**expected, "test_2016_flickr": 1_000, "test_2017_flickr": 1_000}


# The hub: local folders laid out like its repositories.


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_CACHE_HOME", str(tmp_path / "home"))


@pytest.fixture
def multi30k_layout(tmp_path: Path) -> Path:
    """As bentrevett/multi30k: JSON lines."""
    folder = tmp_path / "multi30k"
    folder.mkdir()
    for split in ("train", "val", "test"):
        rows = [json.dumps({"en": f"{split} {s}", "de": t}) + "\n" for s, t in PAIRS]
        (folder / f"{split}.jsonl").write_text("".join(rows), encoding="utf-8")
    return folder


@pytest.fixture
def wmt14_layout(tmp_path: Path) -> Path:
    """As wmt/wmt14: Parquet files with a struct, listed in the front matter of a README."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    folder = tmp_path / "wmt14"
    (folder / "de-en").mkdir(parents=True)
    files = ""
    for split in ("train", "validation", "test"):
        rows = [{"de": t, "en": f"{split} {s}"} for s, t in PAIRS]
        name = f"de-en/{split}-00000-of-00001.parquet"
        parquet.write_table(pyarrow.table({"translation": rows}), folder / name)
        files += f"  - split: {split}\n    path: de-en/{split}-*\n"
    front_matter = f"---\nconfigs:\n- config_name: de-en\n  data_files:\n{files}---\n"
    (folder / "README.md").write_text(front_matter)
    return folder


@pytest.mark.usefixtures("hub_cache")
def test_multi30k_as_on_the_hub(multi30k_layout: Path) -> None:
    hub = HubCorpus(str(multi30k_layout), splits=MULTI30K)
    splits = load_hub("multi30k", hub, "en", "de")
    assert list(splits) == ["train", "valid", "test_2016_flickr"]
    assert splits["train"] == [(f"train {s}", t) for s, t in PAIRS]
    assert splits["valid"] == [(f"val {s}", t) for s, t in PAIRS]


@pytest.mark.usefixtures("hub_cache")
@pytest.mark.parametrize("direction", [("en", "de"), ("de", "en")])
def test_wmt14_as_on_the_hub(wmt14_layout: Path, direction: tuple[str, str]) -> None:
    hub = HubCorpus(str(wmt14_layout), "de-en", splits=WMT14)
    splits = load_hub("wmt14", hub, *direction)
    assert list(splits) == ["train", "valid", "test_newstest2014"]
    expected = [(f"validation {s}", t) for s, t in PAIRS]
    if direction == ("de", "en"):
        expected = [(t, s) for s, t in expected]
    assert splits["valid"] == expected


@pytest.mark.usefixtures("hub_cache")
def test_other_columns_or_languages_are_an_error(multi30k_layout: Path, wmt14_layout: Path) -> None:
    with pytest.raises(TranslatorError, match="columns"):
        load_hub("multi30k", HubCorpus(str(multi30k_layout)), "en", "fr")
    with pytest.raises(TranslatorError, match='wmt14, train has the columns .*en.*; needed.*"fr"'):
        load_hub("wmt14", HubCorpus(str(wmt14_layout), "de-en"), "en", "fr")


@pytest.mark.usefixtures("hub_cache")
def test_a_folder_of_converted_files_as_on_the_hub(tmp_path: Path) -> None:
    """As IWSLT/iwslt2017 at its converted files: no configurations, a folder for each."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    root = tmp_path / "iwslt2017"
    for pair in ("iwslt2017-de-en", "iwslt2017-en-fr"):
        for split in ("train", "validation", "test"):
            rows = [{"de": t, "en": f"{pair} {split} {s}"} for s, t in PAIRS]
            (root / pair / split).mkdir(parents=True)
            table = pyarrow.table({"translation": rows})
            parquet.write_table(table, root / pair / split / "0000.parquet")
    table = CORPORA["iwslt17"]
    hub = HubCorpus(str(root), folder=table.folder, splits=table.splits)
    splits = load_hub("iwslt17", hub, "de", "en")
    assert list(splits) == ["train", "valid", "test_tst2010_2015"]
    assert splits["valid"][0] == ("Zeile 0", "iwslt2017-de-en validation line 0")


@pytest.mark.usefixtures("hub_cache")
def test_an_unreadable_layout_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(TranslatorError, match="could not be loaded") as error:
        load_hub("hf:nothing", HubCorpus(str(tmp_path / "nothing")), "en", "de")
    assert "\n" not in str(error.value)


def test_without_network_one_line_says_what_to_do(
    tmp_path: Path, subprocess_environment: dict[str, str]
) -> None:
    """In a fresh interpreter with an empty cache, and a hub that nobody listens as."""
    pytest.importorskip("datasets")
    with socket.socket() as unused:  # bound, but not listening: every connection is refused
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        program = (
            "from data_prep.sources.corpus import load_corpus\n"
            "from translator.config.errors import TranslatorError\n"
            "try:\n    load_corpus('multi30k', 'en', 'de')\n"
            "except TranslatorError as error:\n    print(error)\n"
        )
        result = subprocess.run(
            [sys.executable, "-c", program],
            env={**subprocess_environment, "HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,  # against hanging: its client would try again for minutes
        )
    assert result.returncode == 0, result.stderr
    (line,) = result.stdout.splitlines()
    assert "multi30k is not cached and the hub cannot be reached" in line
    assert "--data FOLDER" in line and "--data sample" in line


# Files of other formats; what is in them is the matter of test_formats.py.


def write_table(path: Path, pairs: list[TextPair] = PAIRS) -> None:
    lines = (
        (json.dumps({"en": s, "de": t}) if ".jsonl" in path.name else f"{s}\t{t}") for s, t in pairs
    )
    data = "".join(line + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.mark.parametrize("names", [("train.tsv", "dev.jsonl.gz"), ("train.jsonl", "val.tsv")])
def test_a_folder_may_mix_formats(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        write_table(tmp_path / name)
    write(tmp_path, "test_a", gz=True)
    write_table(tmp_path / "test_b.tsv.gz")
    (tmp_path / "notes.tsv").write_text("not a split")
    (tmp_path / "train.txt").write_text("nor this")
    corpus = load_corpus(str(tmp_path), "en", "de")
    assert list(corpus.splits) == ["train", "valid", "test_a", "test_b"]
    assert all(pairs == PAIRS for pairs in corpus.splits.values())


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_side_may_be_packed_in_any_way(tmp_path: Path, packing: str) -> None:
    pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}.get(packing)
    if pack is None:
        pyarrow = pytest.importorskip("pyarrow")
        pack = lambda data: pyarrow.compress(data, "zstd", asbytes=True)  # noqa: E731
    write(tmp_path, "train")
    plain = tmp_path / "train.de"
    (tmp_path / f"train.de{packing}").write_bytes(pack(plain.read_bytes()))
    plain.unlink()
    assert training_pairs(tmp_path, "en", "de") == PAIRS


@pytest.mark.parametrize(
    "names",
    [
        ("train.en", "train.de", "train.tsv"),
        ("train.tsv", "train.jsonl"),
        ("train.tsv", "train.tsv.gz"),
        ("train.en", "train.tsv"),
        ("train.en", "train.de", "train.en.gz"),
        ("dev.tsv", "valid.tsv"),
        ("dev.en", "dev.de", "valid.en", "valid.de"),
        ("dev.en", "valid.de"),
    ],
)
def test_two_candidates_for_a_split_are_named(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        write_table(tmp_path / name)
    with pytest.raises(TranslatorError, match="for one split") as error:
        open_corpus(str(tmp_path), "en", "de")
    assert all(name in str(error.value) for name in names)


@pytest.mark.parametrize("name", ["memory.tsv", "memory.jsonl.gz"])
def test_a_single_file_is_all_training_data(tmp_path: Path, name: str) -> None:
    pairs = [(f"one {i}", f"eins {i}") for i in range(300)]
    write_table(tmp_path / name, pairs)
    corpus = load_corpus(str(tmp_path / name), "en", "de", seed=3)
    assert sorted(corpus.splits["train"] + corpus.splits["valid"]) == sorted(pairs)
    assert corpus.splits["valid"] == [pairs[i] for i in held_out_places(300, 3)]
    assert len(corpus.splits["valid"]) == 3 and corpus.name == name


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.en").write_text("one\n")
    with pytest.raises(TranslatorError, match=r"must be one of \.tsv, .*go into a folder"):
        load_corpus(str(tmp_path / "train.en"), "en", "de")


def test_files_can_be_mixed(tmp_path: Path) -> None:
    text = f"{tmp_path}/a.tsv:1.0,{tmp_path}/b:0.5,hf:owner/name:config:2"
    parts = [(f"{tmp_path}/a.tsv", 1.0), (f"{tmp_path}/b", 0.5), ("hf:owner/name:config", 2.0)]
    assert split_mixture(text) == parts
    (tmp_path / "a,b.tsv").write_text("a\tb\n")
    assert split_mixture(f"{tmp_path}/a,b.tsv") == [(f"{tmp_path}/a,b.tsv", 1.0)]


def test_splits_are_opened_as_often_as_needed(tmp_path: Path) -> None:
    """And read as they go: a fault is found where it stands, not before."""
    write(tmp_path, "train")
    write_table(tmp_path / "test.tsv", PAIRS[:3])
    with open(tmp_path / "test.tsv", "a") as file:
        file.write("broken\n")
    splits = open_corpus(str(tmp_path), "en", "de")
    assert list(splits["train"]()) == list(splits["train"]()) == PAIRS
    for _ in range(2):
        pairs = splits["test"]()
        assert [next(pairs) for _ in range(3)] == PAIRS[:3]
        with pytest.raises(TranslatorError, match="line 4"):
            next(pairs)


def test_a_side_without_text_is_named(tmp_path: Path) -> None:
    write(tmp_path, "train")
    (tmp_path / "train.de").write_text("\n" * len(PAIRS))
    with pytest.raises(TranslatorError, match=r'train\.de: the side "de" is empty'):
        load_corpus(str(tmp_path), "en", "de")


# The table.


def test_the_table_says_what_is_known() -> None:
    assert list(CORPORA) == ["multi30k", "wmt14", "wmt16", "wmt19", "iwslt17", "opus100"]
    for name, hub in CORPORA.items():
        here = [split.name for split in hub.splits]
        assert here[:2] == ["train", "valid"] and len(set(here)) == len(here), name
        assert all(split.startswith("test_") for split in here[2:]), name
        assert hub.columns and hub.licence and hub.citation, name
        # What is not known is said so, and a commit is given in full: the hub takes no other.
        assert hub.revision is None or re.fullmatch("[0-9a-f]{40}", hub.revision), name
        assert (hub.revision is None) == ("revision" in hub.unconfirmed), name
        assert (hub.download is None) == ("download" in hub.unconfirmed), name


def test_the_table_is_shown_in_full() -> None:
    text = "\n".join(corpus_lines())
    for row in corpus_table():
        assert json.loads(json.dumps(row))["confirmed"] == (not row["unconfirmed"])
        hub = CORPORA[row["name"]]
        for known in (row["name"], hub.path, hub.revision, hub.licence, hub.citation):
            assert known is None or known in text
        for split in hub.splits:
            assert split.name in text and f"{split.pairs:,} pairs" in text
        assert all(unknown in text for unknown in hub.unconfirmed)
    assert all(ending in text for ending in (*READERS, "hf:OWNER/NAME", "sacrebleu:", "sample"))
    assert max(map(len, text.splitlines())) <= 130


def test_a_split_that_the_table_does_not_know_keeps_its_name() -> None:
    hub = HubCorpus("a/b", splits=(Split("test", "test_x"),))
    names = ("train", "validation", "dev", "test", "test2")
    found = [hub.split_name(name) for name in names]
    assert found == ["train", "valid", "valid", "test_x", "test2"]


# Test sets of sacreBLEU.


@pytest.fixture
def sacrebleu_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in ("sacrebleu.utils", "sacrebleu.dataset.base"):
        monkeypatch.setattr(importlib.import_module(module), "SACREBLEU_DIR", str(tmp_path))
    sets = importlib.import_module("sacrebleu.utils").DATASETS
    for test_set in ("wmt14", "wmt14/full"):
        monkeypatch.setattr(sets[test_set], "_outdir", str(tmp_path / test_set))
        monkeypatch.setattr(sets[test_set], "_rawdir", str(tmp_path / test_set / "raw"))
        monkeypatch.setattr(sets[test_set], "data", ["http://127.0.0.1:9/test.tgz"])
    return tmp_path


@pytest.mark.parametrize("test_set", ["wmt14", "wmt14/full"])
def test_a_cached_test_set_of_sacrebleu(sacrebleu_cache: Path, test_set: str) -> None:
    from sacrebleu.utils import DATASETS

    (sacrebleu_cache / test_set).mkdir(parents=True)
    for field in DATASETS[test_set].fieldnames("en-de"):
        side = {"src": 0, "ref": 1}.get(field)
        text = "".join(f"{pair[side] if side is not None else 'docid'}\n" for pair in PAIRS)
        Path(DATASETS[test_set]._get_txt_file_path("en-de", field)).write_text(text)
    corpus = load_corpus(f"sacrebleu:{test_set}", "en", "de")
    assert corpus.select("test") == {f"test_{test_set.replace('/', '_')}": PAIRS}


def test_a_test_set_that_cannot_be_got_is_one_line(sacrebleu_cache: Path) -> None:
    with pytest.raises(TranslatorError, match="wmt14 is not cached in .* cannot be reached"):
        load_corpus("sacrebleu:wmt14", "en", "de")
    assert list(sacrebleu_cache.iterdir()) == []
    with pytest.raises(TranslatorError, match='no test set "wmt99" for en-de; it has: .*wmt14'):
        load_corpus("sacrebleu:wmt99", "en", "de")
    with pytest.raises(TranslatorError, match='no test set "wmt14" for en-xx; it has: none'):
        load_corpus("sacrebleu:wmt14", "en", "xx")


def test_half_a_test_set_is_not_left_behind(
    sacrebleu_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sacreBLEU trusts what it finds, and ends the program where a checksum is wrong."""
    from sacrebleu.utils import DATASETS

    kept = sacrebleu_cache / "wmt14" / "wmt14.de-en.src"
    kept.parent.mkdir()
    kept.write_text("another direction\n")

    def get_files(direction: str) -> None:
        (kept.parent / "raw").mkdir()
        (kept.parent / "raw" / "test.tgz").write_bytes(b"half")
        sys.exit(1)

    monkeypatch.setattr(DATASETS["wmt14"], "get_files", get_files)
    monkeypatch.setattr("data_prep.sources.hub.reachable", lambda url: True)
    with pytest.raises(TranslatorError, match="wmt14 could not be downloaded"):
        load_corpus("sacrebleu:wmt14", "en", "de")
    assert [path for path in sacrebleu_cache.rglob("*") if path.is_file()] == [kept]
