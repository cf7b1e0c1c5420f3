"""Documents: what is no text stays byte for byte, and each text is found and written back."""

import contextlib
import io
import json
import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translator.config.errors import TranslatorError
from translator.documents.document import share
from translator.documents.formats import FORMATS, format_of, read_document
from translator.documents.translate import translate_document
from translator.translation.translator import Translator

FOLDER = Path(__file__).parents[2] / "data" / "documents"
FILES = sorted(FOLDER.iterdir())
IN_PLACE = [file for file in FILES if file.suffix not in (".po", ".xlf", ".xliff")]


def make_docx(body: str, head: str = "") -> bytes:
    packed = io.BytesIO()
    xml = f'<w:document xmlns:w="w"><w:body>{body}</w:body></w:document>'
    with zipfile.ZipFile(packed, "w") as package:
        package.writestr("[Content_Types].xml", "<Types/>")
        package.writestr("word/document.xml", xml)
        package.writestr("word/header1.xml", f'<w:hdr xmlns:w="w">{head}</w:hdr>')
        package.writestr("word/media/x.png", b"\x00\x01")
    return packed.getvalue()


WORD = make_docx(
    '<w:p><w:pPr><w:b/></w:pPr><w:r><w:t xml:space="preserve">The </w:t></w:r>'
    "<w:r><w:rPr><w:b/></w:rPr><w:t>red dog</w:t></w:r>"
    "<w:r><w:t> runs &amp; jumps.</w:t></w:r></w:p>"
    "<w:p><w:r><w:t>Before</w:t></w:r><w:r><w:tab/></w:r><w:r><w:t>behind</w:t></w:r></w:p><w:p/>",
    "<w:p><w:r><w:t>The head</w:t></w:r></w:p>",
)


def texts(data: bytes, format: str, **options) -> list[str]:
    return [piece.text for piece in read_document(data, format, "FILE", **options).pieces]


def translated(data: bytes, format: str, change: Callable[[str], str] = str.upper) -> str:
    document = read_document(data, format, "FILE")
    return document.write([change(piece.text) for piece in document.pieces]).decode()


def outside_tags(change: Callable[[str], str]) -> Callable[[str], str]:
    def apply(text: str) -> str:
        parts = re.split(r"(<[^<>]*>|\{[^{}]*\}|%\S+)", text)
        return "".join(change(part) if i % 2 == 0 else part for i, part in enumerate(parts))

    return apply


def test_there_is_a_file_for_every_format() -> None:
    assert {format_of(file) for file in FILES} | {"docx"} == set(FORMATS)
    assert format_of(Path("a/B.HTM")) == "html" and format_of(Path("a.pdf")) is None


@pytest.mark.parametrize("file", IN_PLACE, ids=lambda file: file.name)
def test_an_identity_translation_leaves_the_file_unchanged(file: Path) -> None:
    data = file.read_bytes()
    document = read_document(data, format_of(file) or "", file.name)
    assert document.pieces
    assert document.write([piece.text for piece in document.pieces]) == data


@pytest.mark.parametrize("file", IN_PLACE, ids=lambda file: file.name)
def test_a_translation_is_found_again_where_it_was_written(file: Path) -> None:
    """Capitals in, the document in capitals out; and no other text changes."""
    data, format = file.read_bytes(), format_of(file) or ""
    before = texts(data, format)
    after = texts(translated(data, format, outside_tags(str.swapcase)).encode(), format)
    assert " ".join(after).split() == " ".join(map(outside_tags(str.swapcase), before)).split()


@pytest.mark.parametrize("file", IN_PLACE, ids=lambda file: file.name)
def test_only_texts_change(file: Path) -> None:
    data, format = file.read_bytes(), format_of(file) or ""
    text = data.decode()
    places = [p for piece in read_document(data, format, "").pieces for p in piece.places]
    edges = [0, *(edge for place in places for edge in place), len(text)]
    assert edges == sorted(edges)
    around = [text[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True)]
    changed = translated(data, format, outside_tags(str.swapcase))
    assert changed != text
    assert re.fullmatch("(?s:.*?)".join(map(re.escape, around)), changed)


@given(st.data())
@pytest.mark.parametrize(
    "format", [name for name in FORMATS if name not in ("docx", "po", "xliff")]
)
def test_any_text_comes_back_or_is_called_broken(format: str, data: st.DataObject) -> None:
    signs = "ab \n\r\t\"'<>/&;{}[]()#*_`|-:=.,\\1"
    words = st.sampled_from(
        ["<b>", "</b>", "<p>", "Dialogue:", "00:01.0 --> 00:02.0\n", "key = ", "- "]
    )
    text = "".join(data.draw(st.lists(st.one_of(st.sampled_from(signs), words), max_size=30)))
    try:
        document = read_document(text.encode(), format, "FILE")
    except TranslatorError as error:
        assert re.match(r"FILE, line \d+: ", str(error))
        return
    assert document.write([piece.text for piece in document.pieces]) == text.encode()
    for piece in document.pieces:
        assert piece.text.strip() and document.line(piece) >= 1


def test_sentences_over_cues_and_wrapped_lines_are_one() -> None:
    found = texts((FOLDER / "film.srt").read_bytes(), "subtitles")
    assert found[0] == "The man walks slowly through the old <i>town</i> today."
    found = texts((FOLDER / "film.ass").read_bytes(), "ass")
    assert found == ["<x0/>The dog,<x1/> my friend, runs here."]
    assert texts((FOLDER / "wrapped.txt").read_bytes(), "text") == [
        "The man walks slowly through the old town and looks at the houses. "
        "The dog runs behind him.",
        *["- A point of a list", "- Another point", "An indented line, that goes on here."],
    ]


def test_what_is_in_brackets_is_no_part_of_the_next_line() -> None:
    times = "1\n00:00:01,000 --> 00:00:02,000\n"
    for lines in (["[DOOR OPENS]", "JOHN: Come in!"], ["♪ La la ♪", "He sings."]):
        assert texts((times + "\n".join(lines) + "\n").encode(), "subtitles") == lines
    assert len(texts(b"The man (he is old)\nwalks on.", "text")) == 1


def test_buttons_options_and_pictures_have_texts() -> None:
    page = b"<p>Now <button>Send</button></p><select><option>One</option></select>"
    assert texts(page, "html") == ["Now", "Send", "One"]
    page = b"See ![a red car](car.png) or [![the shop](x.png)](http://a.b) ![](y.png)"
    assert outside_tags(str.upper)(texts(page, "markdown")[0]).count("A RED CAR") == 1
    written = translated(page, "markdown", outside_tags(str.upper))
    assert written == "SEE ![A RED CAR](car.png) OR [![THE SHOP](x.png)](http://a.b) ![](y.png)"


def test_markdown_keeps_everything_but_prose() -> None:
    found = texts((FOLDER / "page.md").read_bytes(), "markdown")
    whole = "\n".join(found)
    for stays in ("print", "indented", "example.org", "title:", "raw block", "x.png"):
        assert stays not in whole
    assert "The <x0>first</x0> chapter" in found and "Age of the <x0>dog</x0>" in found
    upper = translated((FOLDER / "page.md").read_bytes(), "markdown", outside_tags(str.upper))
    assert '[TOWN](https://example.org/a_b "A title")' in upper and "**VERY SLOWLY**" in upper


@pytest.mark.parametrize("format", ["markdown", "html", "subtitles"])
def test_a_text_may_hold_whatever_stands_for_hidden_syntax(format: str) -> None:
    head = "1\n00:00:01,000 --> 00:00:02,000\n" if format == "subtitles" else ""
    strong = "**bold**" if format == "markdown" else "<b>bold</b>"
    braces = " ".join(f"{{{letter}0}}" for letter in "xqzjkv")
    text = f"{head}See {strong} and {braces} here.\n"
    assert translated(text.encode(), format, str) == text


def test_html_keeps_code_names_and_comments() -> None:
    found = texts((FOLDER / "page.html").read_bytes(), "html")
    whole = "\n".join(found)
    for stays in ("var a", "color", "The name stays", "Ctrl", "Small", "code", "comment"):
        assert stays not in whole
    assert "A picture of the dog" in found
    assert "The <em>first</em> chapter" in found
    assert any("café 'here'" in text for text in found)


def test_each_variant_of_a_selector_is_a_text() -> None:
    assert texts((FOLDER / "strings.ftl").read_bytes(), "fluent")[5:] == [
        *["One dog", "{ $n } dogs", "You see", "no cat", "a big cat", "a cat that walks", "here."],
    ]


def test_attributes_inside_a_sentence_are_read_with_it() -> None:
    image = """<img src="a.png" alt="a &quot;red&quot;\n car" title='big'/>"""
    link = '<a href="#" title="Go home">this</a> <code title="press">x</code>'
    page = f'<p>We saw {image} and {link} and {image} now.</p><img alt="alone">'
    first, alone = texts(page.encode(), "html")
    values = ['a "red" car', "big"]
    assert first.split("\n")[1:] == [*values, "Go home", *values] and alone == "alone"
    assert "red" not in first.split("\n")[0]
    assert translated(page.encode(), "html", str) == page

    def change(text: str) -> str:
        return text.replace("red", "blue<").replace("big", "B")

    expected = page.replace("red&quot;\n", "blue&lt;&quot;").replace("big", "B")
    assert translated(page.encode(), "html", change) == expected


def test_html_with_escaped_quotes_keeps_its_tags() -> None:
    data = rb"<p>See <a href=\"$URL\">this page</a> and <b translate=\"no\">Acme Co</b> now</p>"
    (text,) = texts(data, "html")
    assert "Acme" not in text
    tags = re.findall(r"<[^<>]*>", data.decode())
    assert re.findall(r"<[^<>]*>", translated(data, "html", outside_tags(str.upper))) == tags


def test_a_catalogue_gets_translations_where_there_are_none() -> None:
    data = (FOLDER / "page.po").read_bytes()
    written = translated(data, "po", lambda text: f"<{text}>")
    assert 'msgstr "<Hello %s, the dog runs.>"' in written
    assert 'msgstr[0] "<%d dog>"\nmsgstr[1] "<%d dogs>"' in written
    assert 'msgstr "<A long line that goes on.\\n>"' in written
    assert "#, c-format, fuzzy\n" in written and written.count("fuzzy") == 4
    assert 'msgstr "Die Katze"' in written and '#~ msgstr "alt"' in written
    assert texts(written.encode(), "po") == []  # done


def test_xliff_gets_its_targets() -> None:
    written = translated((FOLDER / "old.xlf").read_bytes(), "xliff", lambda text: f"({text})")
    assert '<target>(The <g id="1">dog</g> runs &amp; jumps.<x id="2"/>)</target>' in written
    assert '<target state="new">(The man)</target>' in written
    assert written.count("<target") == 3 and "(Stays)" not in written
    assert texts(written.encode(), "xliff") == []
    written = translated((FOLDER / "new.xliff").read_bytes(), "xliff", lambda text: f"({text})")
    assert "<target>(Another line)</target>" in written


def test_strings_are_written_in_the_syntax_of_their_file() -> None:
    data = json.dumps({"a": "dog", "b": ["man"]}).encode()
    assert json.loads(translated(data, "json", lambda text: text + ' "\\\n')) == {
        "a": 'dog "\\\n',
        "b": ['man "\\\n'],
    }
    import yaml

    data = b"a: dog\nb: 'man'\nc: \"cat\"\n"
    for change in (": x", "# y", "'", '"', "yes"):
        written = translated(data, "yaml", lambda text, change=change: change)
        assert yaml.safe_load(written) == {"a": change, "b": change, "c": change}
    assert translated(b"a=dog", "properties", lambda text: "x\\y\nz") == "a=x\\\\y\\nz"


def test_escaped_properties_stay_ascii() -> None:
    written = translated(b"a=caf\\u00e9\nb=dog", "properties", lambda text: "süß 😀")
    assert written == "a=s\\u00fc\\u00df \\ud83d\\ude00\nb=s\\u00fc\\u00df \\ud83d\\ude00"
    assert translated("a=é\nb=\\u00e9".encode(), "properties", lambda text: "ß") == "a=ß\nb=ß"


def test_rows_of_one_width_show_what_parts_the_cells() -> None:
    head = b'id;name;"text, long"\r\n'
    body = b'1;dog;"The ""big"" dog;\r\nruns, sleeps"\r\n2;cat;A cat, asleep\r\n'
    cells = ["1", "dog", 'The "big" dog;\r\nruns, sleeps', "2", "cat", "A cat, asleep"]
    assert texts(head + body, "csv")[3:] == cells
    assert texts(b"a\tb, c\n1\tThe dog, the cat, x\n", "csv") == [
        "a",
        "b, c",
        "1",
        "The dog, the cat, x",
    ]
    assert texts(b"text\nThe dog; a cat\n", "csv") == ["text", "The dog; a cat"]


def test_columns_of_a_table_are_chosen() -> None:
    data = (FOLDER / "table.csv").read_bytes()
    assert texts(data, "csv", columns=["text"]) == ["A man walks,\nand sleeps.", "The cat", "x"]
    assert texts(data, "csv", columns=["2"]) == ["name", 'The "big" dog', " 12 "]
    assert "id" in texts(data, "csv")
    with pytest.raises(TranslatorError, match='no column "nme"; there are: id, name, text'):
        texts(data, "csv", columns=["nme"])


@pytest.mark.parametrize(
    ("table", "cells"),
    [
        ("1,5;The dog\n2,5;The cat\n", ["The dog", "The cat"]),
        ("id,text\n1,The dog; a cat\n", ["The dog; a cat"]),
        ("1\tThe dog, a cat\n2\tA man\n", ["The dog, a cat", "A man"]),
    ],
)
def test_the_delimiter_of_a_table_is_found(table: str, cells: list[str]) -> None:
    assert [text for text in texts(table.encode(), "csv") if " " in text] == cells


def test_a_quote_that_is_never_closed_is_named_whatever_parts_the_cells() -> None:
    with pytest.raises(TranslatorError, match="line 2: a quote"):
        texts(b'id;text\n1;"dog\n2;cat', "csv")


def test_runs_of_a_word_document_keep_their_format() -> None:
    assert texts(WORD, "docx") == [
        "The <r1>red dog</r1> runs & jumps.",
        *["Before", "behind", "The head"],
    ]
    document = read_document(WORD, "docx", "FILE")
    assert document.write([piece.text for piece in document.pieces]) == WORD
    said = ["Es springt & rennt <r1>der rote Hund</r1>.", "Vorher", "nachher", "Der <Kopf"]
    written = document.write(said)
    with zipfile.ZipFile(io.BytesIO(written)) as package:
        xml = package.read("word/document.xml").decode()
        assert package.read("word/media/x.png") == b"\x00\x01"
        assert "Der &lt;Kopf" in package.read("word/header1.xml").decode()
    assert '<w:rPr><w:b/></w:rPr><w:t xml:space="preserve">der rote Hund</w:t>' in xml
    assert xml.index("rennt") < xml.index("der rote Hund") and "<w:tab/>" in xml


@pytest.mark.parametrize(
    "data, format, message",
    [
        (b'{"a": ', "json", "FILE, line 1: Expecting value"),
        (b'{\n"a": "x \\ud800"}', "json", "FILE, line 2: half of a pair"),
        (b"a: [1\nb: 2", "yaml", "FILE, line"),
        (b"<xliff>\n<source>x</xliff>", "xliff", "FILE, line 2: mismatched tag"),
        (b'msgid "a"\nmsgstr a', "po", "FILE, line 2: neither a comment nor"),
        (b"no zip", "docx", "FILE, line 1: no Word document"),
        (b'a,"b\nc', "csv", "FILE, line 1: a quote that is never closed"),
        (b"Dialogue: 0,a", "ass", "FILE, line 1: a dialogue without the fields"),
        (b"The dog runs.", "subtitles", "FILE, line 1: no cue"),
        (b"a\n\xff", "markdown", "FILE, line 2: not UTF-8"),
        (b"a", "pdf", 'Unknown format "pdf"; there are: text,'),
    ],
)
def test_broken_files_are_named_with_line_and_reason(
    data: bytes, format: str, message: str
) -> None:
    with pytest.raises(TranslatorError) as error:
        read_document(data, format, "FILE")
    assert message in str(error.value) and "\n" not in str(error.value)


N = 8_000
HOSTILE = {
    "run": (make_docx(f"<w:p>{'<w:r></w:r >' * N}</w:p>"), "docx"),
    "format": (make_docx(f"<w:p>{'<w:r><w:rPr></w:rPr ></w:r>' * N}</w:p>"), "docx"),
    "source": (b"<x>" + b"<source></source >" * N + b"</x>", "xliff"),
    "target": (b"<x>" + b"<source>a</source><target></target >" * N + b"</x>", "xliff"),
    "point": (b"<x><source>a" + b"<it></it >" * N + b"</source></x>", "xliff"),
    "no unit": (b"<x>" + b"<source>a</source>" * N + b"</x>", "xliff"),
    "encoding": (b"<?xml" + b" " * 5 * N, "xliff"),
    "strings": (json.dumps(["a"] * 4 * N).encode(), "json"),
    "attributes": (b'<p>a<img alt="b"></p>' * N, "html"),
    "open": (b'<a "' * N, "html"),
    "comments": (b"<!--a>" * N, "html"),
    "marked": (b"<![CDATA[>" * N, "html"),
    "nested": (b"<svg>" + b"<a>" * N + b"</b>" * N + b"</a>" * N, "html"),
}


@pytest.mark.parametrize("data, format", HOSTILE.values(), ids=HOSTILE)
def test_no_document_takes_long_to_read(data: bytes, format: str) -> None:
    """What is quadratic takes minutes with these."""
    start = time.process_time()
    with contextlib.suppress(TranslatorError):
        read_document(data, format, "FILE")
    assert time.process_time() - start < 3


@given(st.text(alphabet="ab ,.", max_size=40), st.lists(st.integers(1, 30), min_size=1, max_size=5))
def test_shares_join_to_the_text(text: str, lengths: list[int]) -> None:
    text = " ".join(text.split())
    parts = share(text, lengths)
    assert len(parts) == len(lengths)
    assert " ".join(filter(None, parts)) == text
    if len(text.split()) >= len(lengths):
        assert all(parts)


def test_a_document_is_translated_and_repetitions_once(
    translator: Translator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "page.html"
    source.write_text("<p>The dog runs.</p>\n<p>The dog runs.</p><p>The man eats.</p>")
    read: list[str] = []
    inner = translator.translate_lines

    def spy(lines, *args, **options):
        read.extend(lines)
        return inner(lines, *args, **options)

    monkeypatch.setattr(translator, "translate_lines", spy)
    result = translate_document(translator, source, tmp_path / "out.html")
    first, second = translator.translate(["The dog runs.", "The man eats."])
    assert (tmp_path / "out.html").read_text() == f"<p>{first}</p>\n<p>{first}</p><p>{second}</p>"
    assert (result.segments, result.words) == (3, 9) and result.seconds > 0
    assert read[:2] == ["The dog runs.", "The man eats."]
    assert all(w.line in (1, 2) and w.text in read for w in result.warnings)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.html", "page.html"]


def test_nothing_is_written_for_a_broken_or_unknown_file(
    translator: Translator, tmp_path: Path
) -> None:
    for name, message in (("a.json", "line 1"), ("b.pdf", "no ending of a known format")):
        (tmp_path / name).write_text("{")
        with pytest.raises(TranslatorError, match=message):
            translate_document(translator, tmp_path / name, tmp_path / "out")
    with pytest.raises(TranslatorError, match="cannot be read"):
        translate_document(translator, tmp_path / "c.md", tmp_path / "out")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.json", "b.pdf"]
