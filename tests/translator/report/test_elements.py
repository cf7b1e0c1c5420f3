"""Elements: what is put in comes out of a browser's parser again, and as text."""

from hypothesis import given
from hypothesis import strategies as st
from pages import Page

from translator.report.elements import Html, element, joined, page, table

TEXT = st.text(st.characters(exclude_characters="\r\x00", exclude_categories=["Cs"]))


@given(TEXT, TEXT)
def test_texts_and_attributes_are_what_they_were(text: str, value: str) -> None:
    found = Page(element("p", text, element("b", text), title=value, data_key=3, hidden=None))
    assert found.seen == [("p", {"title": value, "data-key": "3"}), ("b", {})]
    assert "".join(found.text) == text * 2


def test_only_what_is_html_already_stays_so() -> None:
    assert joined("<", Html("<br>"), element("i", "&")) == "&lt;<br><i>&amp;</i>"
    assert element("meta", charset="utf-8") == '<meta charset="utf-8">'


def test_a_table_has_names_then_numbers_then_texts() -> None:
    rows = [("one", "1", "a < b"), ("two", "2", "")]
    cells = [
        tag for tag in Page(table(rows, ["", "n", "text"], numbers=1)).seen if tag[0] in "thtd"
    ]
    number = {"class": "n"}
    row = [("th", {}), ("td", number), ("td", {})]
    assert cells == [("th", {}), ("th", number), ("th", {}), *row, *row]


def test_a_page_has_its_title_style_and_script() -> None:
    source = page("a < b", element("h1", "x"), style="p { color: red; }", script="let a = 1 < 2;")
    assert source.count("<title>a &lt; b</title>") == 1
    assert "color-scheme" in source and "p { color: red; }" in source
    assert source.index("<h1>x</h1>") < source.index("let a = 1 < 2;") < source.index("</body>")
