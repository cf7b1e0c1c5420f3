"""The translator's page, in one string that needs nothing else.

Its script (templates/page.js) talks to an engine; the head of that file says what it must do:
one that asks a server (`server_page`), or one inside the page (translator/export).
"""

import json
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from translator.report.pages import render


def translator_page(
    engine: str, *, title: str, note: str, data: str = "", documents: bool = False
) -> str:
    """The page.

    Args:
        engine: a script that calls `startPage(engine)`; it must not hold `</script`.
        title: of the page, also its heading.
        note: a sentence under it.
        data: HTML in front of the scripts, such as a `<script type="text/plain" id="weights">`.
        documents: whether the engine takes documents.
    """
    return render(
        "translator.html",
        title=title,
        note=note,
        data=Markup(data),
        script=Markup(_source("page.js") + _source("page_tools.js")),
        engine=Markup(engine),
        documents=documents,
    )


def server_page(settings: dict[str, Any]) -> str:
    """The page whose engine asks the server that it comes from.

    Args:
        settings: `directions`, `features`, `accept` and `maxCharacters` of the engine.
    """
    written = json.dumps(settings).replace("<", "\\u003c")
    return translator_page(
        _source("translator_engine.js"),
        title="English and German",
        note="Translated by the server that sent this page; nothing goes anywhere else.",
        data=f'<script type="application/json" id="settings">{written}</script>',
        documents=settings["features"]["documents"],
    )


def _source(name: str) -> str:
    return (files("translator.report") / "templates" / name).read_text(encoding="utf-8")
