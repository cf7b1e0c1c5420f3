"""Readers of parallel text: every format and packing gives the same pairs; every fault one line."""

import bz2
import csv
import gzip
import io
import json
import logging
import lzma
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.sources import formats
from data_prep.sources.formats import (
    READERS,
    check_sides,
    iterate_file,
    iterate_pairs,
    split_name,
)
from translator.config.errors import TranslatorError
from translator.text.lines import PACKINGS, TextPair, read_lines

PAIRS = [
    ("The dog sleeps.", "Der Hund schläft."),
    ("", "Nur hier."),
    ('a "quoted" <b>word</b> & more', "ein \u2028 Wort\x85 \u00a0 hier"),
    ("emoji 👍🏽", "it's 3 > 2 \\n"),
]
# What a line cannot hold, and what a reader must not take for an end of line: the latter stays.
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)


def pack(data: bytes, packing: str) -> bytes:
    if packing == ".gz":
        return gzip.compress(data)
    if packing == ".bz2":
        return bz2.compress(data)
    if packing == ".xz":
        return lzma.compress(data)
    if packing == ".zst":
        pyarrow = pytest.importorskip("pyarrow")
        sink = pyarrow.BufferOutputStream()
        with pyarrow.CompressedOutputStream(sink, "zstd") as stream:
            stream.write(data)
        return sink.getvalue().to_pybytes()
    return data


def as_tsv(pairs: list[TextPair]) -> bytes:
    return "".join(f"{src}\t{tgt}\n" for src, tgt in pairs).encode()


def as_csv(pairs: list[TextPair]) -> bytes:
    sink = io.StringIO()
    csv.writer(sink, lineterminator="\n").writerows(
        [("id", "de", "en"), *((1, t, s) for s, t in pairs)]
    )
    return sink.getvalue().encode()


def as_json(pairs: list[TextPair]) -> bytes:
    return json.dumps([{"de": t, "en": s} for s, t in pairs], indent=1).encode()


def as_jsonl(pairs: list[TextPair]) -> bytes:
    return "".join(json.dumps({"id": 3, "de": t, "en": s}) + "\n" for s, t in pairs).encode()


def as_nested_jsonl(pairs: list[TextPair]) -> bytes:
    rows = ({"translation": {"en": s, "de": t}} for s, t in pairs)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def as_tmx(pairs: list[TextPair]) -> bytes:
    units = "\n".join(
        f'<tu><tuv xml:lang="de-DE"><seg>{escape(t)}</seg></tuv>'
        f'<tuv xml:lang="EN"><seg>{escape(s)}</seg></tuv></tu>'
        for s, t in pairs
    )
    head = '<?xml version="1.0"?>\n<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n<tmx><header/><body>\n'
    return f"{head}{units}\n</body></tmx>\n".encode()


def as_parquet(pairs: list[TextPair], nested: bool = False) -> bytes:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [{"en": s, "de": t} for s, t in pairs]
    table = pyarrow.Table.from_pylist([{"translation": r} for r in rows] if nested else rows)
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(table, sink, row_group_size=10_000)  # several, as in real ones
    return sink.getvalue().to_pybytes()


WRITERS: dict[str, tuple[str, Callable[[list[TextPair]], bytes]]] = {
    "tsv": ("tsv", as_tsv),
    "csv": ("csv", as_csv),
    "json": ("json", as_json),
    "jsonl": ("jsonl", as_jsonl),
    "nested jsonl": ("jsonl", as_nested_jsonl),
    "tmx": ("tmx", as_tmx),
    "parquet": ("parquet", as_parquet),
    "nested parquet": ("parquet", lambda pairs: as_parquet(pairs, nested=True)),
}


def fault(folder: Path, name: str, data: bytes) -> str:
    """What reading such a file says."""
    (folder / name).write_bytes(data)
    with pytest.raises(TranslatorError) as error:
        list(iterate_file(folder / name, "en", "de"))
    message = str(error.value)
    assert "\n" not in message and str(folder / name) in message
    return message


# --- sound files ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("packing", ["", *PACKINGS])
def test_every_format_and_packing_gives_the_same_pairs(
    tmp_path: Path, kind: str, packing: str
) -> None:
    ending, write = WRITERS[kind]
    if packing and ending == "parquet":
        pytest.skip("Parquet is packed in itself")
    path = tmp_path / f"train.{ending}{packing}"
    path.write_bytes(pack(write(PAIRS), packing))
    assert split_name(path.name) == ("train", ending)
    assert list(iterate_file(path, "en", "de")) == PAIRS
    if kind != "tsv":  # which says what is the source by its order
        assert list(iterate_file(path, "de", "en")) == [(t, s) for s, t in PAIRS]


@given(st.lists(st.tuples(TEXT, TEXT), max_size=5))
def test_any_text_survives(tmp_path_factory: pytest.TempPathFactory, pairs: list[TextPair]) -> None:
    folder = tmp_path_factory.mktemp("any")
    for ending, write in (WRITERS[kind] for kind in ("tsv", "jsonl", "nested jsonl", "tmx")):
        # What XML cannot hold, and a byte order mark at the start of a file, are another matter.
        found = [(s.strip("\ufeff\ufffe\uffff"), t.strip("\ufffe\uffff")) for s, t in pairs]
        if any(c in "".join(s + t for s, t in found) for c in "\ufffe\uffff"):
            continue
        (folder / f"a.{ending}").write_bytes(write(found))
        assert list(iterate_file(folder / f"a.{ending}", "en", "de")) == found


def test_every_reader_has_a_writer_here() -> None:
    assert {ending for ending, _ in WRITERS.values()} == set(READERS)


def test_a_tsv_may_name_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "named.tsv"
    path.write_text("id\tde\tscore\ten\n1\tHund\t0.5\tdog\n2\t\t0\tcat\n", encoding="utf-8")
    assert list(iterate_file(path, "en", "de")) == [("dog", "Hund"), ("cat", "")]
    assert list(iterate_file(path, "de", "en")) == [("Hund", "dog"), ("", "cat")]


def test_marks_of_windows_are_left_out_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.en").write_bytes("\ufeffone\r\ntwo\r\nth\ufeffree\rfour\r\n".encode())
    (tmp_path / "a.de").write_bytes(b"eins\r\r\nzwei\ndrei\r")
    expected = [("one", "eins\r"), ("two", "zwei"), ("th\ufeffree\rfour", "drei")]
    with caplog.at_level(logging.WARNING, "translator"):
        for _ in range(2):
            assert list(iterate_pairs(tmp_path / "a.en", tmp_path / "a.de")) == expected
    said = sorted(record.getMessage() for record in caplog.records)
    assert len(said) == 3
    assert "a.de has Windows line endings" in said[0]
    assert "a.en begins with a byte order mark" in said[1]
    assert "a.en has Windows line endings" in said[2]
    # What is translated keeps them: lines out as lines in.
    assert read_lines(tmp_path / "a.en")[:2] == ["\ufeffone\r", "two\r"]


def test_a_field_of_a_table_is_one_line(tmp_path: Path) -> None:
    data = json.dumps({"en": "one\ntwo\r", "de": None}).encode() + b"\n"
    (tmp_path / "a.jsonl").write_bytes(data)
    assert list(iterate_file(tmp_path / "a.jsonl", "en", "de")) == [("one two", "")]


def test_a_memory_with_markup_and_variants(tmp_path: Path) -> None:
    """Mark-up of other programs is no text, highlighted text is; of two variants the first."""
    unit = (
        '<tu><prop type="x">no text</prop><note>nor this</note>'
        '<tuv xml:lang="en-GB"><seg>a <bpt i="1">&lt;b&gt;</bpt>big<ept i="1">&lt;/b&gt;</ept>'
        ' <hi>red</hi> dog<ph x="1"/>.</seg></tuv>'
        '<tuv xml:lang="en_US"><seg>another</seg></tuv>'
        '<tuv lang="DE"><seg>ein Hund &amp; &#252;</seg></tuv>'
        '<tuv xml:lang="fr"><seg>un chien</seg></tuv></tu>'
    )
    for encoding in ("utf-8", "utf-16", "iso-8859-1"):
        text = f'<?xml version="1.0" encoding="{encoding}"?><tmx><body>{unit}</body></tmx>'
        (tmp_path / "a.tmx").write_bytes(text.encode(encoding))
        assert list(iterate_file(tmp_path / "a.tmx", "en", "de")) == [
            ("a big red dog.", "ein Hund & ü")
        ]


def test_null_rows_of_parquet_are_empty_lines(tmp_path: Path) -> None:
    pairs: list = [("a", None), (None, "b"), ("c", "d")]
    (tmp_path / "a.parquet").write_bytes(as_parquet(pairs))
    assert list(iterate_file(tmp_path / "a.parquet", "en", "de")) == [
        ("a", ""),
        ("", "b"),
        ("c", "d"),
    ]


# --- faults -----------------------------------------------------------------------------------


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("kept", [0, 5, 0.5, -1])
def test_a_truncated_file_is_named(tmp_path: Path, packing: str, kept: float) -> None:
    whole = pack("".join(f"line {i * i}\n" for i in range(2000)).encode(), packing)
    cut = whole[: int(len(whole) * kept)] if kept == 0.5 else whole[: int(kept)]
    path = tmp_path / f"cut.en{packing}"
    path.write_bytes(cut)
    with pytest.raises(TranslatorError, match=rf"cut\.en\{packing} is cut short or no"):
        read_lines(path)
    assert "cut short" in fault(tmp_path, f"cut.tmx{packing}", cut)


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_misnamed_or_missing_file_is_named(tmp_path: Path, packing: str) -> None:
    (tmp_path / f"plain{packing}").write_bytes(b"plain text, as it is\n")
    with pytest.raises(TranslatorError, match=r"plain\..* is cut short or no"):
        read_lines(tmp_path / f"plain{packing}")
    with pytest.raises(TranslatorError, match="There is no file"):
        read_lines(tmp_path / f"gone{packing}")
    (tmp_path / f"folder{packing}").mkdir()
    with pytest.raises(TranslatorError, match="cannot be read: Is a directory"):
        read_lines(tmp_path / f"folder{packing}")


@pytest.mark.parametrize("longer", ["en", "de"])
def test_unequal_line_counts_are_counted_to_the_end(tmp_path: Path, longer: str) -> None:
    for side in ("en", "de"):
        (tmp_path / f"a.{side}").write_text("x\n" * (9 if side == longer else 4))
    pairs = iterate_pairs(tmp_path / "a.en", tmp_path / "a.de")
    assert [next(pairs) for _ in range(4)] == [("x", "x")] * 4  # read as it goes
    n_en, n_de = (9, 4) if longer == "en" else (4, 9)
    with pytest.raises(TranslatorError, match=rf"a\.en has {n_en} lines but .*a\.de has {n_de}"):
        next(pairs)


@pytest.mark.parametrize(
    "data, message",
    [
        ("drei \xfc\t3".encode("latin-1"), "not UTF-8"),
        (b"one\0two\t3", "a NUL byte"),
        ("\ufeffone\ttwo".encode("utf-16-le"), "not UTF-8"),
        (b"x" * formats.MAX_LINE, "longer than 10 MB"),
    ],
)
def test_errors_in_text_name_file_and_line(tmp_path: Path, data: bytes, message: str) -> None:
    assert f"line 3: {message}" in fault(tmp_path, "a.tsv", b"a\tb\n" * 2 + data + b"\nc\td\n")
    (tmp_path / "a.en").write_bytes(b"one\n" * 2 + data + b"\n")
    (tmp_path / "a.de").write_bytes(b"eins\n" * 3)
    with pytest.raises(TranslatorError, match=rf"a\.en, line 3: {message}"):
        list(iterate_pairs(tmp_path / "a.en", tmp_path / "a.de"))


@pytest.mark.parametrize("line, found", [("one", 1), ("one\ttwo\tthree", 3)])
def test_other_columns_of_a_tsv_name_the_line(tmp_path: Path, line: str, found: int) -> None:
    message = fault(tmp_path, "a.tsv", f"a\tb\n{line}\n".encode())
    assert f"line 2: {found} columns instead of 2" in message
    message = fault(tmp_path, "a.tsv", f"de\tid\tx\ten\na\tb\tc\td\n{line}\n".encode())
    assert f"line 3: {found} columns instead of 4" in message


@pytest.mark.parametrize(
    "line, message",
    [
        ("{'en': 1}", "broken JSON"),
        ("[" * 100_000, "broken JSON"),
        ('"en de"', 'has no keys; needed are "en" and "de"'),
        ("[1]", "has no keys"),
        ('{"en": "a", "fr": "b"}', 'has en, fr; needed are "en" and "de", or "translation"'),
        ('{"translation": {"en": "a"}}', "has en; needed"),
        ('{"translation": 3}', "has no keys; needed"),
        ('{"en": "a", "de": 3}', "3 is no text"),
        ('{"en": "a", "de": ["b"]}', "['b'] is no text"),
        ('{"en": "a", "de": "\\ud800"}', "not Unicode"),
        ('{"en": "a", "de": "b\\u0000"}', "NUL"),
    ],
)
def test_broken_json_lines_name_the_line(tmp_path: Path, line: str, message: str) -> None:
    found = fault(tmp_path, "a.jsonl", f'{{"en": "a", "de": "b"}}\n{line}\n'.encode())
    assert "a.jsonl, line 2: " in found and message in found


def test_broken_parquet_is_named(tmp_path: Path) -> None:
    whole = as_parquet(PAIRS * 100)
    for data in (b"", b"PAR1", whole[:-9], b"x" * 100, whole[: len(whole) // 2]):
        assert "is cut short or no Parquet file" in fault(tmp_path, "a.parquet", data)


def test_other_columns_of_parquet_are_named(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    for columns, found in (
        ({"en": ["a"], "fr": ["b"]}, "columns en, fr; needed are"),
        ({"translation": [{"en": "a", "fr": "b"}]}, "columns en, fr; needed are"),
        ({"translation": ["a"]}, "needed are"),
        ({"en": ["a"], "de": [3]}, "row 1: 3 is no text"),
    ):
        sink = pyarrow.BufferOutputStream()
        parquet.write_table(pyarrow.table(columns), sink)
        assert found in fault(tmp_path, "a.parquet", sink.getvalue().to_pybytes())


@pytest.mark.parametrize(
    "body, line, message",
    [
        ("<tu><tuv xml:lang='en'><seg>a</seg></tuv></tu>", 3, 'a unit without "de"; it has en'),
        ("<tu></tu>", 3, 'a unit without "en"; it has nothing'),
        ("<tu>\n<tuv>\n<seg>a</sge>", 5, "broken XML (mismatched tag)"),
        ("<tu><seg>&bomb;</seg></tu>", 3, "broken XML (undefined entity)"),
        ("<tu>", 5, "broken XML"),
    ],
)
def test_broken_memories_name_the_line(tmp_path: Path, body: str, line: int, message: str) -> None:
    text = f"<?xml version='1.0'?>\n<tmx><body>\n{body}\n</body></tmx>"
    if body == "<tu>":
        text = text.removesuffix("</body></tmx>")
        line = 4
    found = fault(tmp_path, "a.tmx", text.encode())
    assert f"a.tmx, line {line}: {message}" in found


def test_latin_1_in_a_memory_is_named(tmp_path: Path) -> None:
    data = as_tmx([("a", "b"), ("c", "schön")]).replace("ö".encode(), b"\xf6")
    assert "a.tmx, line 5: broken XML (not well-formed" in fault(tmp_path, "a.tmx", data)


@pytest.mark.parametrize(
    "declared",
    [
        '<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">',
        '<!ENTITY a SYSTEM "file:///etc/passwd">',
        '<!ENTITY % a SYSTEM "http://localhost/x.dtd"> %a;',
    ],
)
def test_entities_of_a_memory_are_refused(tmp_path: Path, declared: str) -> None:
    text = f"<?xml version='1.0'?><!DOCTYPE tmx [{declared}]>\n<tmx><body/></tmx>"
    assert "line 1: entities of its own are not read" in fault(tmp_path, "a.tmx", text.encode())


def test_a_memory_without_end_of_a_unit_is_refused(tmp_path: Path) -> None:
    data = b"<tmx><body><tu><tuv xml:lang='en'><seg>" + b"x" * (formats.MAX_LINE + (1 << 17))
    assert "a unit longer than 10 MB" in fault(tmp_path, "a.tmx.gz", gzip.compress(data, 1))


def test_a_side_without_text_is_named() -> None:
    def check(pairs: list[TextPair]) -> list[TextPair]:
        return list(check_sides(pairs, "a.tsv", "en", "de"))

    for fine in ([], [("a", "b")], [("", ""), ("a", ""), ("", "b"), (" ", "\t")]):
        assert check(fine) == fine
    with pytest.raises(TranslatorError, match='a.tsv: the side "de" is empty, in all of its 2'):
        check([("a", ""), ("b", " ")])
    with pytest.raises(TranslatorError, match='the side "en" is empty'):
        check([("", "a"), ("\t", "b")])


# --- memory -----------------------------------------------------------------------------------

# In the interpreter's own status: `ru_maxrss` would count the one that started it. Anonymous memory
# is looked at now and then (mapped files can be let go), the peak of all memory is kept for us.
MEASURE = """
import re, sys
from pathlib import Path
from data_prep.sources.formats import iterate_file
from translator.config.errors import TranslatorError
import pyarrow.parquet  # its own size is not the question

def kibibytes(name):
    return int(re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

anonymous, peak = kibibytes("RssAnon"), kibibytes("VmHWM")
most, count = 0, 0
try:
    for count, _ in enumerate(iterate_file(Path(sys.argv[1]), "en", "de"), start=1):
        if count % 5000 == 0:
            most = max(most, kibibytes("RssAnon") - anonymous)
except TranslatorError as error:
    count = str(error)
print(most, kibibytes("VmHWM") - peak, count, sep="\\t")
"""


def measure(path: Path, environment: dict[str, str]) -> tuple[int, int, str]:
    """MiB that reading a file takes, anonymous and at its peak; its pairs, or what is wrong."""
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc")
    command = [sys.executable, "-c", MEASURE, str(path)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    anonymous, peak, count = result.stdout.strip().split("\t")
    return int(anonymous) // 1024, int(peak) // 1024, count


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tsv", "nested jsonl", "tmx", "nested parquet"])
def test_memory_is_flat(tmp_path: Path, kind: str, subprocess_environment: dict[str, str]) -> None:
    """40 MB of text are read in a fraction of that."""
    ending, write = WRITERS[kind]
    pairs = [(f"{i * 7919} " + "word " * 12, "wort " * 12 + str(i * i)) for i in range(300_000)]
    (tmp_path / f"big.{ending}").write_bytes(write(pairs))
    anonymous, _, count = measure(tmp_path / f"big.{ending}", subprocess_environment)
    assert int(count) == len(pairs)
    assert anonymous < 30


@pytest.mark.slow
def test_a_huge_line_is_not_held(tmp_path: Path, subprocess_environment: dict[str, str]) -> None:
    """400 MB without an end of line, packed small: refused after the first ten."""
    with gzip.open(tmp_path / "a.tsv.gz", "wb", compresslevel=1) as file:
        for _ in range(400):
            file.write(b"x" * 10**6)
    _, peak, message = measure(tmp_path / "a.tsv.gz", subprocess_environment)
    assert "line 1: longer than 10 MB" in message
    assert peak < 60


# --- tables, codes and encodings as people have them --------------------------------------------


@pytest.mark.parametrize("header", ["en-US\tDE\n", "\n", ""])
def test_blank_lines_of_a_table_are_skipped_and_counted(
    tmp_path: Path, header: str, caplog
) -> None:
    path = tmp_path / "a.tsv"
    path.write_text(f"{header}A dog.\tEin Hund.\n\n  \nA cat.\tEine Katze.\n\n")
    pairs = [("A dog.", "Ein Hund."), ("A cat.", "Eine Katze.")]
    assert list(iterate_file(path, "en", "de")) == pairs
    assert f"{3 + (header == chr(10))} blank lines skipped" in caplog.text


def test_blank_lines_of_json_lines_are_skipped_and_counted(tmp_path: Path, caplog) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"en": "A dog.", "de-AT": "Ein Hund."}\n\n')
    assert list(iterate_file(path, "en", "de")) == [("A dog.", "Ein Hund.")]
    assert "1 blank line skipped" in caplog.text


@pytest.mark.parametrize("header", ["", "EN,de_DE\n"])
def test_csv_and_json(tmp_path: Path, header: str) -> None:
    table, array = tmp_path / "a.csv", tmp_path / "a.json"
    table.write_text(f'{header}"A dog, ""Rex"".",Ein Hund.\n"Two\nlines",Zwei\n')
    pairs = [('A dog, "Rex".', "Ein Hund."), ("Two lines", "Zwei")]
    assert list(iterate_file(table, "en", "de")) == pairs
    array.write_text(json.dumps([{"en": src, "de": tgt} for src, tgt in pairs]))
    assert list(iterate_file(array, "en", "de")) == pairs
    array.write_text('{"en": "A dog.", "de": "Ein Hund."}')
    with pytest.raises(TranslatorError, match=r"no array of objects; an object a line is \.jsonl"):
        list(iterate_file(array, "en", "de"))


@pytest.mark.parametrize("header", ["", "en\tde\n"])
def test_columns_in_the_wrong_order_are_a_warning(tmp_path: Path, header: str, caplog) -> None:
    path = tmp_path / "a.tsv"
    lines = [f"Der Hund läuft mit dem Ball {n}.\tThe dog runs with the ball {n}." for n in range(5)]
    path.write_text(header + "\n".join(lines))
    list(iterate_file(path, "en", "de"))
    assert ("first column looks like de" in caplog.text) == (not header)


@pytest.mark.parametrize("ending", [".bz2", ".GZ"])
def test_other_packings(tmp_path: Path, ending: str) -> None:
    pack = bz2.compress if ending == ".bz2" else gzip.compress
    path = tmp_path / f"a.tsv{ending}"
    path.write_bytes(pack(b"A dog.\tEin Hund.\n"))
    assert list(iterate_file(path, "en", "de")) == [("A dog.", "Ein Hund.")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_named(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes("A dog.\tEin Hund.\n".encode(encoding))
    with pytest.raises(TranslatorError, match="is UTF-16: convert it to UTF-8"):
        list(iterate_file(path, "en", "de"))
