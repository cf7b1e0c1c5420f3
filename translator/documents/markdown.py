"""Markdown: paragraphs, headings, list items and table cells; code, links and front matter stay."""

import re

from translator.documents.document import (
    Document,
    Marks,
    Piece,
    Place,
    group,
    line_places,
    trimmed,
    with_text,
)
from translator.system.optional import require

_FRONT_MATTER = re.compile(r"\ufeff?---[ \t]*\r?\n(?:.*\n)*?---[ \t]*(?:\r?\n|$)")
_CODE = r"(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)"
_WORDS = re.compile(
    rf"{_CODE}|!\[\s*\](?:\([^()\s]*(?:\s+\"[^\"]*\")?\)|\[[^\]]*\])"  # an image without text
    r"|<(?:https?://|mailto:)[^<>\s]+>|\[\^[^\]]+\]|\$[^$\s][^$]*\$|\\[\\`*_{}\[\]()#+.!|<>-]"
)
_LINK = re.compile(
    r"\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])+)\]"
    r"(?P<target>\((?:[^()\s]|\([^()]*\))*(?:\s+(?:\"[^\"]*\"|'[^']*'))?\s*\)|\[[^\[\]]*\])"
)
_IMAGE = re.compile(r"!\[(?P<text>[^\[\]]+)\](?P<target>\([^()\s]*(?:\s+\"[^\"]*\")?\)|\[[^\]]*\])")
_EMPHASIS = re.compile(
    r"(?<![\w*])(?P<mark>\*\*\*|\*\*|\*|~~|(?<!_)__(?!_)|(?<!_)_(?!_))(?=[^\s*])"
    r"(?P<inner>(?:(?!(?P=mark)).)+?)(?<=[^\s*])(?P=mark)(?![\w*])"
)
_HARD_BREAK = re.compile(r"(?: {2,}|\\)\r?\n")


def read_markdown(text: str) -> Document:
    """The inline content of each block, where it stands in the lines of the text.

    Raises:
        TranslatorError: markdown-it-py is not installed.
    """
    front = _FRONT_MATTER.match(text)
    begin = front.end() if front else len(text) - len(text.removeprefix("\ufeff"))
    body = text[begin:]
    library = require("markdown_it", "This format needs markdown-it-py", "documents")
    parser = library.MarkdownIt("commonmark").enable(["table", "strikethrough"])
    # Its lines end at "\n" alone, as ours do; it reads "\r\n" as one end.
    lines = [*line_places(body, begin)]
    pieces: list[Piece] = []
    position = begin

    def same_line(before: Place, after: Place) -> bool:
        return not _HARD_BREAK.search(text[before[1] - 1 : after[0]])

    for token in parser.parse(body):
        if token.type != "inline" or not token.map:
            continue
        first = lines[token.map[0]][0] if token.map[0] < len(lines) else len(text)
        position = max(position, first)
        places: list[Place] = []
        for line in token.content.split("\n"):
            line = line.strip()
            start = text.find(line, position)
            if not line or start < 0:
                continue
            place = trimmed(text, (start, start + len(line)))
            position = place[1]
            places.append(place)
        pieces += [_piece(text, part) for part in group(places, same_line)]
    return Document(text, pieces)


def _piece(text: str, places: list[Place]) -> Piece:
    raw = " ".join(text[slice(*place)] for place in places)
    marks = Marks(raw)
    hidden = _WORDS.sub(lambda match: marks.word(match[0]), raw)
    hidden = _IMAGE.sub(lambda m: marks.pair("![", m["text"], "]" + m["target"]), hidden)
    hidden = _LINK.sub(lambda m: marks.pair("[", m["text"], "]" + m["target"]), hidden)
    for _ in range(3):  # one inside the other
        hidden = _EMPHASIS.sub(lambda m: marks.pair(m["mark"], m["inner"], m["mark"]), hidden)
    return with_text(Piece(raw, places), marks, hidden)
