"""Regular expressions of Python, written for JavaScript's flag `u`."""

import re

# What the classes hold in Python: all of Unicode.
_CLASSES = {
    r"\w": r"\p{L}\p{N}_",
    r"\d": r"\p{Nd}",
    r"\s": r"\s\x1c-\x1f\x85",
}
_NEGATED = {r"\W": r"[^\p{L}\p{N}_]", r"\D": r"\P{Nd}", r"\S": r"[^\s\x1c-\x1f\x85]"}
_WORD = r"\p{L}\p{N}_"
_BOUNDARY = rf"(?:(?<=[{_WORD}])(?![{_WORD}])|(?<![{_WORD}])(?=[{_WORD}]))"
_SYNTAX = set("^$\\.*+?()[]{}|/")
_TOKEN = re.compile(
    r"\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|\\U[0-9a-f]{8}|\\[pP]\{\w+\}|\\.|\(\?P[<=]|[*+?}]\+|.",
    re.DOTALL,
)


def javascript(pattern: str) -> str:
    """The same expression; what it cannot say fails there, not here.

    A letter that no class of `[^\\W\\d_]` holds is a letter or a number that is no digit. A
    possessive repetition becomes a greedy one.
    """
    pattern = pattern.replace(r"[^\W\d_]", r"[\p{L}\p{Nl}\p{No}]")
    pattern = pattern.replace(r"[^\W_]", r"[\p{L}\p{N}]").replace(
        r"[^\W\d]", r"[\p{L}\p{Nl}\p{No}_]"
    )
    written, in_class, tokens = "", False, _TOKEN.findall(pattern)
    i = 0
    while i < len(tokens):
        token = tokens[i]
        i += 1
        if token == "(?P<":
            written += "(?<"
        elif token == "(?P=":
            end = tokens.index(")", i)
            written += rf"\k<{''.join(tokens[i:end])}>"
            i = end + 1
        elif token in _CLASSES:
            written += _CLASSES[token] if in_class else f"[{_CLASSES[token]}]"
        elif token in _NEGATED:
            written += _NEGATED[token]
        elif token == r"\b" and not in_class:
            written += _BOUNDARY
        elif token.startswith(r"\U"):
            written += chr(int(token[2:], 16))
        elif len(token) == 2 and token[0] == "\\" and not token[1].isalnum():
            plain = token[1] not in _SYNTAX and not (in_class and token[1] == "-")
            written += token[1] if plain else token
        elif len(token) == 2 and token[1] == "+":
            written += token[0]
        elif in_class and token in "[{}()|/":
            written += f"\\{token}"
        else:
            written += token
        if token == "[" and not in_class:
            in_class = True
        elif token == "]" and in_class and not written.endswith(("[]", "[^]")):
            in_class = False
    return written
