"""Corpora: folders, hub layouts, hold-out, and errors that name the file."""

import gzip
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from data_prep.corpora import (
    Corpus,
    HubCorpus,
    iterate_lines,
    load_corpus,
    load_folder,
    load_hub,
    read_lines,
    read_pairs,
)
from translator.config import TranslatorError

PAIRS = [(f"line {i}", f"Zeile {i}") for i in range(5)]


def write(folder: Path, split: str, pairs=PAIRS, gz: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for side, language in enumerate(("en", "de")):
        data = "".join(pair[side] + "\n" for pair in pairs).encode()
        name = f"{split}.{language}"
        if gz:
            (folder / f"{name}.gz").write_bytes(gzip.compress(data))
        else:
            (folder / name).write_bytes(data)


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize("valid", ["valid", "val", "dev", "validation"])
def test_folder_plain_and_gz(tmp_path: Path, gz: bool, valid: str) -> None:
    for split in ("train", valid, "test", "test_2016"):
        write(tmp_path, split, [(f"{split} {s}", t) for s, t in PAIRS], gz)
    corpus = load_corpus(str(tmp_path), "en", "de")
    assert list(corpus.splits) == ["train", "valid", "test", "test_2016"]
    assert corpus.splits["valid"] == [(f"{valid} {s}", t) for s, t in PAIRS]
    assert corpus.notes == []
    assert corpus.name == tmp_path.name


def test_direction_swaps_the_sides(tmp_path: Path) -> None:
    write(tmp_path, "train")
    assert load_folder(tmp_path, "de", "en").splits["train"] == [(t, s) for s, t in PAIRS]


def test_one_side_may_be_gz(tmp_path: Path) -> None:
    write(tmp_path, "train")
    plain = tmp_path / "train.de"
    (tmp_path / "train.de.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    assert load_folder(tmp_path, "en", "de").splits["train"] == PAIRS


@pytest.mark.parametrize("split", ["train", "dev", "test"])
@pytest.mark.parametrize("side", ["en", "de"])
def test_a_missing_side_is_named(tmp_path: Path, split: str, side: str) -> None:
    for name in ("train", "dev", "test"):
        write(tmp_path, name)
    (tmp_path / f"{split}.{side}").unlink()
    with pytest.raises(TranslatorError, match=rf"lacks {split}\.{side}"):
        load_folder(tmp_path, "en", "de")


def test_unequal_line_counts_name_both_files_and_counts(tmp_path: Path) -> None:
    (tmp_path / "a.en").write_text("1\n2\n3\n")
    (tmp_path / "a.de").write_text("1\n2\n")
    with pytest.raises(TranslatorError, match=r"a\.en has 3 lines but .*a\.de has 2"):
        read_pairs(tmp_path / "a.en", tmp_path / "a.de")


@pytest.mark.parametrize("gz", [False, True])
def test_bytes_that_are_no_utf8_name_file_and_line(tmp_path: Path, gz: bool) -> None:
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


def test_an_empty_folder_says_what_belongs_there(tmp_path: Path) -> None:
    with pytest.raises(TranslatorError, match=r"train\.en, train\.de"):
        load_corpus(str(tmp_path), "en", "de")


def test_a_folder_of_test_sets_is_a_corpus(tmp_path: Path) -> None:
    write(tmp_path, "test_a")
    assert list(load_corpus(str(tmp_path), "en", "de").splits) == ["test_a"]


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(TranslatorError, match="sample, multi30k, wmt14"):
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
    assert len(corpus.notes) == 1 and f"{held_out} training pairs" in corpus.notes[0]
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


def test_fingerprint_tells_corpora_apart() -> None:
    def fingerprint(train, valid=(), test=()) -> str:
        return Corpus("c", {"train": train, "valid": list(valid), "test": list(test)}).fingerprint()

    assert fingerprint(PAIRS) == fingerprint(list(PAIRS), test=[("x", "y")])
    others = [PAIRS[:4], PAIRS[::-1], [*PAIRS[:4], ("line 4", "Zeile 5")]]
    assert len({fingerprint(PAIRS), *map(fingerprint, others)}) == 4
    assert fingerprint(PAIRS) != fingerprint(PAIRS, valid=PAIRS[:1])


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
    corpus = load_hub("multi30k", HubCorpus(str(multi30k_layout)), "en", "de")
    assert list(corpus.splits) == ["train", "valid", "test_2016_flickr"]
    assert corpus.splits["train"] == [(f"train {s}", t) for s, t in PAIRS]
    assert corpus.splits["valid"] == [(f"val {s}", t) for s, t in PAIRS]


@pytest.mark.usefixtures("hub_cache")
@pytest.mark.parametrize("direction", [("en", "de"), ("de", "en")])
def test_wmt14_as_on_the_hub(wmt14_layout: Path, direction: tuple[str, str]) -> None:
    corpus = load_hub("wmt14", HubCorpus(str(wmt14_layout), "de-en"), *direction)
    assert list(corpus.splits) == ["train", "valid", "test_newstest2014"]
    expected = [(f"validation {s}", t) for s, t in PAIRS]
    if direction == ("de", "en"):
        expected = [(t, s) for s, t in expected]
    assert corpus.splits["valid"] == expected


@pytest.mark.usefixtures("hub_cache")
def test_other_columns_or_languages_are_an_error(multi30k_layout: Path, wmt14_layout: Path) -> None:
    with pytest.raises(TranslatorError, match="columns"):
        load_hub("multi30k", HubCorpus(str(multi30k_layout)), "en", "fr")
    with pytest.raises(TranslatorError, match="no language 'fr'"):
        load_hub("wmt14", HubCorpus(str(wmt14_layout), "de-en"), "en", "fr")


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
            "from data_prep.corpora import load_corpus\n"
            "from translator.config import TranslatorError\n"
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


def test_as_read_is_the_order_of_the_files(tmp_path: Path) -> None:
    lines = {language: [f"{language} {i}" for i in range(450)] for language in ("en", "de")}
    for language, text in lines.items():
        (tmp_path / f"train.{language}").write_text("".join(f"{line}\n" for line in text))
        (tmp_path / f"test.{language}").write_text("x\n")
    corpus = load_corpus(str(tmp_path), "en", "de", 1)
    assert len(corpus.splits["valid"]) == 4
    whole = corpus.as_read()
    assert whole["train"] == list(zip(lines["en"], lines["de"], strict=True))
    assert whole.keys() == {"train", "test"}
