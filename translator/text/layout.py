"""What a line holds besides sentences: columns, list marks, markup. All of it stays where it is.

A line is cut into parts to translate, and the text between them that appears in the translation as
it does in the source. Nothing is lost: the parts and what is between them join to the line.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from translator.text.protected import protected_spans

_ATTRIBUTES = r"(?:\s+[\w:@.-]+(?:\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s\"'<>][^\s<>]*))?)*\s*"
_BLOCKS = (
    "address article aside blockquote body br button caption center dd details dialog div dl dt "
    "fieldset figcaption figure footer form h[1-6] head header hr html iframe img input label "
    "legend li link main meta nav ol optgroup option p pre script section select style summary "
    "table tbody td textarea tfoot th thead title tr ul video"
)
# Elements whose text is kept as well.
_OPAQUE = "|".join(
    rf"<{name}\b[^<>]*>.*?</{name}\s*>" for name in ("script", "style", "code", "pre", "kbd")
)
TAG = re.compile(
    rf"<!--.*?-->|<!\[CDATA\[|\]\]>|<[!?]\w[^<>]*>|{_OPAQUE}"
    rf"|<(?P<close>/)?(?P<name>[A-Za-z][\w:.-]*){_ATTRIBUTES}(?P<empty>/)?>",
    re.IGNORECASE,
)
_BLOCK = re.compile(rf"</?(?:{'|'.join(_BLOCKS.split())})\b", re.IGNORECASE)
# Emphasis and links, as people write them in Markdown.
_EMPHASIS = re.compile(
    r"(?<![\w*~])(?P<mark>\*{1,3}|~~|(?<!_)_{1,2}(?!_))(?=[^\s*_~])(?:(?!(?P=mark)).)+?"
    r"(?<=[^\s*_~])(?P<end>(?P=mark))(?![\w*~])"
)
_LINK = re.compile(
    r"(?P<mark>!?\[)(?:[^\[\]]|!?\[[^\[\]]*\]\([^()\s]*\))+"
    r"(?P<end>\]\((?:[^()\s]|\([^()]*\))+(?:\s+(?:\"[^\"]*\"|'[^']*'))?\))"
)
# Columns, bars of tables, and white space that more than one blank, which is no part of a sentence.
_COLUMNS = re.compile(r"\s*\|+\s*|\s{2,}|[^\S \u00a0\u2000-\u200a\u202f\u205f\u3000]")
_LIST_MARK = (
    r"\(?(?:\d{1,3}|[A-Za-z]|[ivx]{1,5}|[IVX]{1,5})\)|\[(?:\d{1,3}|[ xX])\]"
    r"|(?:\d{1,2}\.)*\d{1,3}\.|(?:[ivx]{1,4}|[IVX]{1,5})\."
)
_MAY_MARK = re.compile(r"[*_~]\S|\]\(")
_TWICE = re.compile(r"(?<=[^\s.!?:;|]) (?= [^\W_])")
# Signs that stand alone (quotes, brackets, currencies and dots do not), and marks of lists.
_SIGNS = r"[^\w\s.,;:!?…%‰&$€£¥+±°\"'“”„‘’‚«»‹›()\[\]{}<§-]"
_LEAD = re.compile(
    rf"(?:(?:{_LIST_MARK}|(?:\d{{1,2}}\.)+\d{{1,2}}(?=\s+[A-ZÄÖÜ])|{_SIGNS}+|[-–—]+|>+|<-+|-+>|\.{{3}})\s+"
    rf"|[-–—]+(?=[A-ZÄÖÜ¿¡])|>+(?=\w)|[♪♫•◦▪·*]+(?=\w)|(?:\.{{3}}|…)(?=\w))+"
)
_TRAIL = re.compile(rf"(?:\s+(?:{_SIGNS}+|[-–—]+|-+>|<-+|\\))+$")
# Brackets around all of a text: [DOOR OPENS]
_BRACKETS = re.compile(r"\([^()\s][^()]*[^()\s]\)|\[[^\[\]\s][^\[\]]*[^\[\]\s]\]")
# A number with a full stop that no list has: the third of May.
_ORDINAL = re.compile(
    r"(?:\d{1,3}|[IVX]{1,5})\.\s+(?:[a-zäöü]|(?:Januar|Jänner|Februar|März|April|Mai|Juni|Juli|August|September|"
    r"Oktober|November|Dezember|Weltkrieg|Jahrhundert|Bundesliga|Liga|Platz|Klasse|Stock|Etage|"
    r"Advent|Geburtstag|Mal|FC|SC|SV|FSV)\b)"
)
# Where another point of a list begins, or a sentence after marks that are repeated.
_POINT = re.compile(
    r"(?<=[.,;:!?])\s+(?=(?:\(?(?:\d{1,2}|[a-z]|[ivx]{1,4})\)|[-–*])\s+\w)|(?<=[!?][!?])\s+"
    r"|\s+(?=[•◦▪●■]\s+\w)"
)
# In a text that begins with such a mark, others need no mark before them: 1) one 2) two.
_BRACKETED = re.compile(r"\s+(?=\(?(?:\d{1,2}|[a-z]|[ivx]{1,4})\)\s+\w)")
_NUMBERED = re.compile(r"(?<=[.,;:!?])\s+(?=\d{1,2}\.\s+\w)")
_WORD_REPEATED = re.compile(r"([^\W\d_]+)(?:(?:[-,.!?]*\s+|[-,.!?]+)\1)+[.!?…]*", re.IGNORECASE)
_ONE_WORD = re.compile(
    r"(?=(?P<all>\w))\w(?P<rest>\w*)(?P<between>,?\s)(?i:(?P=all))(?P<again>(?P=rest))"
    r"(?:(?P=between)(?i:(?P=all))(?P=again))+[.!?…]*"
)
_REPETITION = re.compile(r"[-,.!?]*\s+|[-,.!?]+(?=\w)")
_MARKS_AT_END = re.compile(r"([.!?…‽]*)([\"'”“’‘»«)\]]*)$")


@dataclass(frozen=True)
class Tag:
    """Markup inside a text, which the model does not read."""

    position: int  # in the text without tags
    text: str
    kind: str  # "open", "close", or "point": an empty element, a comment
    name: str = ""

    @property
    def end(self) -> int:
        """Where it ends in the text that it is cut from."""
        return self.position + len(self.text)

    def moved(self, by: int) -> "Tag":
        """The same in a text with `by` more characters before it."""
        return replace(self, position=self.position + by)


def split_tags(text: str) -> tuple[str, list[Tag]]:
    """`text` without its tags, and the tags; a blank too many is one as well."""
    plain, tags, position, length = [], [], 0, 0
    for tag in _inline(text):
        plain.append(text[position : tag.position])
        length += tag.position - position
        position = tag.end
        tags.append(replace(tag, position=length))
    return "".join([*plain, text[position:]]), tags


def _inline(text: str) -> list[Tag]:
    """The tags, the emphasis and the links of a text, and blanks that stand twice by a slip.

    Of these in order; each begins where the one before it has ended. What looks like a tag in code
    is a part of the code.
    """
    tags = []
    code = bytearray(len(text))
    if "`" in text:
        _mark(code, (span for span in protected_spans(text) if text[span[0]] == "`"), _PROTECTED)
    position = 0
    while position >= 0 and (match := TAG.search(text, position)):
        if code[match.start()]:
            position = code.find(0, match.start())
            continue
        position = match.end()
        name = (match["name"] or "").lower()
        kind = "close" if match["close"] else "open" if name and not match["empty"] else "point"
        tags.append(Tag(match.start(), match[0], kind, name))
    if not (_MAY_MARK.search(text) or "  " in text):
        return tags
    held = _mark(bytearray(len(text)), protected_spans(text), _PROTECTED)
    _mark(held, ((tag.position, tag.end) for tag in tags), _TAG)
    for pattern in (_LINK, _EMPHASIS) if _MAY_MARK.search(text) else ():
        tags += _pairs(text, pattern, held)
    tags += [Tag(start, " ", "point") for start in _slips(text, held)]
    return sorted(tags, key=lambda tag: tag.position)


_PROTECTED, _TAG = 1, 2  # what a character of a text belongs to; to nothing: 0


def _mark(held: bytearray, places: Iterable[tuple[int, int]], what: int) -> bytearray:
    """Says of the characters at `places` what they belong to."""
    for start, end in places:
        held[start:end] = bytes([what]) * (end - start)
    return held


def _pairs(text: str, pattern: re.Pattern[str], held: bytearray) -> Iterator[Tag]:
    """Marks of Markdown before and behind a text, outside what is held; pairs may hold pairs."""
    position = 0
    while match := pattern.search(text, position):
        position = match.end("mark")
        ends = [match.span("mark"), match.span("end")]
        if any(_TAG in held[a:b] or 0 not in held[a:b] for a, b in ends):
            continue
        yield Tag(match.start(), match["mark"], "open", match["mark"])
        yield Tag(match.start("end"), match["end"], "close", match["mark"])
        _mark(held, ends, _TAG)


def _slips(text: str, held: bytearray) -> Iterator[int]:
    """Where there is a superfluous blank inside a sentence.

    It has a word in small letters beside it, and no mark that ends a sentence before it.
    """
    for match in _TWICE.finditer(text) if "  " in text else ():
        if any(held[slice(*match.span())]):
            continue
        before = text[: match.start()]
        last_word = before[max(map(before.rfind, " \t")) + 1 :]
        if text[match.end() + 1].islower() or last_word[0].islower():
            yield match.start()


def chunks(line: str) -> Iterator[tuple[int, int]]:
    """Where the parts of a line stand that columns, bars and block elements divide."""
    inline = _inline(line)
    tags = [tag for tag in inline if tag.text.startswith(("<", "]]>"))]
    blocks = []
    for i, tag in enumerate(tags):
        follows = i and tags[i - 1].end == tag.position
        divides = follows and tags[i - 1].kind == "close" and tag.name and tag.kind != "close"
        if _BLOCK.match(tag.text) or not tag.name:
            blocks.append((tag.position, tag.end))
        elif divides:  # </name><age>
            blocks.append((tag.position, tag.position))
    columns = [match.span() for match in _COLUMNS.finditer(line)]
    if columns:
        held = _mark(bytearray(len(line)), protected_spans(line), _PROTECTED)
        _mark(held, ((tag.position, tag.end + tag.text.isspace()) for tag in inline), _TAG)
        columns = [place for place in columns if not any(held[slice(*place)])]
    position = 0
    for start, end in sorted([*blocks, *columns]):
        if start > position:
            yield position, start
        position = max(position, end)
    if position < len(line):
        yield position, len(line)


def core(text: str) -> tuple[int, int]:
    """Where the part of a sentence stands that is to be translated, without marks around it.

    Both are 0 where there is none: no letters, or those of protected spans and of a single letter.
    """
    start = len(text) - len(text.lstrip())
    if not _ORDINAL.match(text, start) and (lead := _LEAD.match(text, start)):
        start = lead.end()
    trail = _TRAIL.search(text, start)
    end = trail.start() if trail else len(text.rstrip())
    if _BRACKETS.fullmatch(text, start, end):
        start, end = start + 1, end - 1
    return (start, end) if has_words(text[start:end]) else (0, 0)


def has_words(text: str) -> bool:
    """Whether there is something to translate in `text`."""
    for start, end in reversed(protected_spans(text)):
        text = text[:start] + " " * (end - start) + text[end:]
    letters = [c for c in text if c.isalpha()]
    return len(letters) > 1 or letters in (["I"], ["a"], ["A"])


def points(text: str) -> Iterator[tuple[int, int]]:
    """Where the points of a list in one text stand, or its parts between repeated marks."""
    pattern = [_POINT]
    if re.match(r"\s*\d{1,2}\.\s", text):
        pattern.append(_NUMBERED)
    elif re.match(r"\s*\(?[1ai]\)\s", text):
        pattern.append(_BRACKETED)
    cuts = sorted(match.span() for one in pattern for match in one.finditer(text))
    position = 0
    for start, end in cuts:
        if start > position:
            yield position, start
            position = end
    if position < len(text):
        yield position, len(text)


def repetitions(text: str) -> list[tuple[int, int]]:
    """The words of a text that says one word several times and nothing else; else the text.

    Where they differ in nothing but the first capital, three and more are read as one (`collapse`).
    """
    if not _WORD_REPEATED.fullmatch(text) or _ONE_WORD.fullmatch(text):
        return [(0, len(text))]
    found, position = [], 0
    for match in _REPETITION.finditer(text):
        if match.end() < len(text):
            found.append((position, match.start()))
            position = match.end()
    return [*found, (position, len(text))]


def calm_end(text: str) -> tuple[str, str]:
    """`text` with one mark where its end has several, and the marks that it has ("" for one).

    What a model makes of "!!!!!" is a matter of luck.
    """
    match = _MARKS_AT_END.search(text)
    if not match or len(match[1]) < 2:
        return text, ""
    marks = match[1]
    one = "..." if "..." in marks or marks == ".." else "?" if "?" in marks else marks[0]
    if one == marks or not text[: match.start()].strip():
        return text, "" if one != "..." else marks
    return text[: match.start()] + one + match[2], marks


def mark_end(text: str, marks: str) -> str:
    """`text` with `marks` at its end, in place of those that it has there."""
    match = _MARKS_AT_END.search(text)
    return text if not match or not marks else text[: match.start()] + marks + match[2]
