"""Pages that need nothing else, made of elements whose text cannot break them."""

import html
from collections.abc import Iterable, Sequence
from importlib.resources import files

_WITHOUT_END = {"input", "meta"}


class Html(str):
    """Text that is HTML already. All other text is escaped where it enters an element."""


def joined(*content: str) -> Html:
    """Texts and elements, one after the other."""
    return Html("".join(c if isinstance(c, Html) else html.escape(c) for c in content))


def element(name: str, /, *content: str, **attributes: str | float | None) -> Html:
    """An element of HTML or SVG.

    >>> element("td", "a < b", class_="n", data_key="length", hidden=None)
    '<td class="n" data-key="length">a &lt; b</td>'

    Args:
        name: of the element.
        content: texts, which are escaped, and elements.
        attributes: by name, `_` for `-`; those that are None are left out.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    end = "" if name in _WITHOUT_END else f"{joined(*content)}</{name}>"
    return Html(f"<{name}{given}>{end}")


def table(rows: Iterable[Sequence[str]], head: Sequence[str] = (), numbers: int = 0) -> Html:
    """A table whose rows begin with their names; the next `numbers` columns are set as numbers."""

    def row(cells: Sequence[str], kind: str) -> Html:
        made = [
            element(kind if k else "th", cell, class_="n" if 1 <= k <= numbers else None)
            for k, cell in enumerate(cells)
        ]
        return joined(element("tr", *made), "\n")

    lines = [*([row(head, "th")] if head else []), *(row(cells, "td") for cells in rows)]
    return element("table", "\n", *lines)


def page(title: str, *body: str, style: str = "", script: str = "") -> str:
    """A page with a title, the style that all pages share, and its own style and script."""
    style = files("translator.report").joinpath("page.css").read_text(encoding="utf-8") + style
    head = [
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Html(style)),
    ]
    parts = [*body, *([element("script", Html(script))] if script else [])]
    lines = ["<!doctype html>", '<html lang="en">', "<head>", *head, "</head>", "<body>"]
    return "\n".join([*lines, *map(joined, parts), "</body>", "</html>", ""])
