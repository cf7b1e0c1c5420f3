"""Files of strings with keys: JSON, YAML, Java properties and Fluent. Keys and syntax stay."""

import json
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from translator.documents.document import (
    BrokenDocument,
    Document,
    Piece,
    Place,
    join,
    line_places,
    plain_pieces,
    trimmed,
)
from translator.system.optional import require

_JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_COLON = re.compile(r"\s*:")
_PROPERTY = re.compile(r"\s*(?![#!])(?:[^\s=:\\]|\\.)+(?:\s*[=:]\s*|\s+)")
_MESSAGE = re.compile(r"(?P<key>-?[A-Za-z][\w-]*|\s+\.[A-Za-z][\w-]*)\s*=[ \t]*")
# How a selector begins, a whole placeable, the key of a variant, and how a selector ends.
_SELECTOR = re.compile(
    r"(?P<open>\{[^{}]*->)|\{[^{}]*\}|(?P<key>(?<=\n)[ \t]*\*?\[[^\[\]\n]*\][ \t]*)|(?P<close>\})"
)


def read_json(text: str) -> Document:
    """The strings that are values.

    Raises:
        BrokenDocument: the text is no JSON.
    """
    try:
        json.loads(text.removeprefix("\ufeff"))
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        raise BrokenDocument(f"line {line}: {getattr(error, 'msg', error)}") from None
    pieces = []
    for match in _JSON_STRING.finditer(text):
        value = json.loads(match[0], strict=False)
        is_key = _COLON.match(text, match.end())
        if not is_key and value.strip():
            place = (match.start() + 1, match.end() - 1)
            pieces.append(Piece(value, [place], lambda part: _in_quotes(part)[1:-1]))
    return Document(text, pieces)


_in_quotes = partial(json.dumps, ensure_ascii=False)


def _yaml() -> Any:
    return require("yaml", "This format needs PyYAML", "documents")


def read_yaml(text: str) -> Document:
    """The scalars that are values and strings.

    Raises:
        BrokenDocument: the text is no YAML.
        TranslatorError: PyYAML is not installed.
    """
    yaml = _yaml()
    pieces: list[Piece] = []

    def visit(node: Any) -> None:
        if isinstance(node, yaml.MappingNode):
            for _, value in node.value:
                visit(value)
        elif isinstance(node, yaml.SequenceNode):
            for value in node.value:
                visit(value)
        elif node.tag == "tag:yaml.org,2002:str" and node.value.strip():
            pieces.extend(_scalar(text, node))

    try:
        for document in yaml.compose_all(text, Loader=yaml.SafeLoader):
            visit(document)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise BrokenDocument(f"line {line}: {getattr(error, 'problem', error)}") from None
    unique = {piece.places[0]: piece for piece in pieces}  # an alias is met again
    return Document(text, [unique[place] for place in sorted(unique)])


def _scalar(text: str, node: Any) -> Iterator[Piece]:
    start, end = node.start_mark.index, node.end_mark.index
    if named := re.match(r"(?:[&!]\S*\s+)+", text[start:end]):  # an anchor, a type
        start += named.end()
    if node.style in ("|", ">"):
        first = text.find("\n", start) + 1
        lines = [*line_places(text[first:end], first)]
        groups = [[place] for place in lines] if node.style == "|" else join(text, lines)
        yield from plain_pieces(text, groups)
    elif node.style in ("'", '"'):
        yield Piece(node.value, [(start, end)], _in_quotes)
    else:
        yield Piece(node.value, [(start, end)], _plain_or_quoted)


def _plain_or_quoted(text: str) -> str:
    """A plain scalar, in quotes if it would mean something else without."""
    yaml = _yaml()
    try:
        same = yaml.safe_load(f"[{text}]") == [text] and yaml.safe_load(f"k: {text}") == {"k": text}
    except yaml.YAMLError:
        same = False
    return text if same else _in_quotes(text)


def read_properties(text: str) -> Document:
    """What stands behind the `=` or `:` of a key, up to a line that no backslash continues.

    A file that escapes its letters (caf\\u00e9) may be for a reader of Latin-1: it stays ASCII.
    """
    pieces = []
    escapes = text.isascii() and re.search(r"\\u[0-9A-Fa-f]{4}", text)
    write = _in_ascii_properties if escapes else _in_properties
    lines = [*line_places(text)]
    number = 0
    while number < len(lines):
        start, end = lines[number]
        key = _PROPERTY.match(text, start, end)
        last = number
        comment = text[start:end].lstrip()[:1] in ("#", "!")
        while not comment and last + 1 < len(lines) and _continued(text[slice(*lines[last])]):
            last += 1
        if key:
            place = trimmed(text, (key.end(), lines[last][1]))
            raw = text[slice(*place)]
            value = re.sub(r"\\\r?\n[ \t]*", "", raw)
            value = re.sub(r"\\u([0-9A-Fa-f]{4})", lambda m: chr(int(m[1], 16)), value)
            value = re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(m[1], m[1]), value)
            if value.strip():
                pieces.append(Piece(value, [place], write))
        number = last + 1
    return Document(text, pieces)


def _continued(line: str) -> bool:
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def _in_properties(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")


def _in_ascii_properties(text: str) -> str:
    return re.sub(r"[^\x00-\x7f]", lambda found: json.dumps(found[0])[1:-1], _in_properties(text))


def read_fluent(text: str) -> Document:
    """The values of messages and attributes, and each variant of a selector."""
    values: list[Place] = []
    inside = False
    braces = 0
    for start, end in line_places(text):
        line = text[start:end]
        match = _MESSAGE.match(text, start, end)
        if match and not braces:
            inside = True
            values.append((match.end(), end))
        elif inside and line.strip() and (line[0].isspace() or braces):
            values[-1] = (values[-1][0], end)
        elif line.strip():
            inside = False
        braces += line.count("{") - line.count("}")
    parts = (part for value in values for part in _variants(text, value))
    return Document(text, plain_pieces(text, ([*line_places(text[a:b], a)] for a, b in parts)))


def _variants(text: str, value: Place) -> list[Place]:
    """The texts of a value around and inside its selectors; none if its braces do not match."""
    found: list[Place] = []
    depth, position = 0, value[0]
    for match in _SELECTOR.finditer(text, *value):
        if match["open"] or depth and (match["key"] or match["close"]):
            found.append((position, match.start()))
            position = match.end()
            depth += bool(match["open"]) - bool(match["close"])
        elif match["close"]:
            return []
    rest = text[position : value[1]]
    return [] if depth or "{" in _SELECTOR.sub("", rest) else [*found, (position, value[1])]
