"""Rows on disk are what was written, however they are read."""

import pickle
from array import array
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.sources.mapped import Pairs, Writer, id_rows, text_rows
from translator.config.errors import TranslatorError


def write(path: Path, rows: list[bytes], item: str = "B", parts: int = 1) -> None:
    writer = Writer(path, item)
    for part in range(parts):
        writer.extend(rows[part * len(rows) // parts : (part + 1) * len(rows) // parts])
    writer.close()


@given(st.lists(st.text()), st.integers(1, 4))
def test_lines_come_back(lines: list[str], parts: int) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "train.en"
        write(path, [line.encode() for line in lines], parts=parts)
        rows = text_rows(path)
        assert list(rows) == rows[:] == lines
        assert rows.lengths.tolist() == [len(line.encode()) for line in lines]
        assert [rows[i - len(lines)] for i in range(len(lines))] == lines
        assert rows[1::2] == lines[1::2]
        assert list(pickle.loads(pickle.dumps(rows))) == lines


@given(st.lists(st.lists(st.integers(0, 65535))))
def test_ids_come_back(sentences: list[list[int]]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "train.en"
        write(path, [array("H", ids).tobytes() for ids in sentences], item="H")
        rows = id_rows(path)
        assert list(rows) == sentences
        assert rows.lengths.tolist() == [len(ids) for ids in sentences]


def test_a_missing_row_is_an_index_error(tmp_path: Path) -> None:
    write(tmp_path / "a", [b"x", b"y"])
    for i in (2, -3):
        with pytest.raises(IndexError):
            text_rows(tmp_path / "a")[i]


def test_pairs_need_sides_of_one_length(tmp_path: Path) -> None:
    write(tmp_path / "a", [b"x", b"y"])
    write(tmp_path / "b", [b"1", b"2"])
    write(tmp_path / "c", [b"1"])
    a, b, c = (text_rows(tmp_path / name) for name in "abc")
    pairs = Pairs(a, b)
    assert list(pairs) == pairs[:] == [("x", "1"), ("y", "2")]
    with pytest.raises(TranslatorError, match="different lengths"):
        Pairs(a, c)


@pytest.mark.parametrize("ending", [".rows", ".ends"])
def test_a_file_that_is_cut_short_or_gone_is_named(tmp_path: Path, ending: str) -> None:
    write(tmp_path / "a", [b"one", b"two"])
    file = tmp_path / f"a{ending}"
    file.write_bytes(file.read_bytes()[: -1 if ending == ".rows" else -8])
    with pytest.raises(TranslatorError, match="cut short"):
        text_rows(tmp_path / "a")
    file.unlink()
    with pytest.raises(TranslatorError, match=f"a{ending} cannot be read"):
        text_rows(tmp_path / "a")
