"""Word documents (.docx): the paragraphs of all parts; runs keep their format."""

import html as entities
import io
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from translator.documents.document import BrokenDocument, Document, Piece, Place
from translator.documents.xliff import check_xml

_PARTS = re.compile(r"word/(?:document|header\d*|footer\d*|footnotes|endnotes|comments)\.xml")
_PARAGRAPH = re.compile(r"<w:p(?:\s[^<>]*)?(?<!/)>(?:(?!<w:p[\s>]).)*?</w:p>", re.DOTALL)
_RUN = re.compile(
    r"<w:r(?:\s[^<>]*)?(?<!/)>"
    r"(?P<format>\s*<w:rPr>(?:(?!<w:r[\s>]).)*?</w:rPr>|\s*<w:rPr\s*/>)?"
    r"(?P<body>(?:(?!<w:r[\s>]).)*?)</w:r>",  # up to the next: never to the end for each
    re.DOTALL,
)
_TEXT = re.compile(r"\s*(?:<w:t(?:\s[^>]*)?>(?P<text>[^<]*)</w:t>\s*)+", re.DOTALL)
_STEP = 65_536  # bytes
_BETWEEN = re.compile(
    r"(?:\s|<w:(?:proofErr|bookmarkStart|bookmarkEnd|lastRenderedPageBreak)\b[^>]*/>)*"
)


@dataclass(frozen=True)
class WordDocument:
    """The parts of a package that hold text, each a document."""

    data: bytes
    parts: dict[str, Document]

    @property
    def pieces(self) -> list[Piece]:
        """Those of all parts."""
        return [piece for part in self.parts.values() for piece in part.pieces]

    def line(self, piece: Piece) -> int:
        """The number of a piece, from 1: there are no lines."""
        return next(i for i, other in enumerate(self.pieces, start=1) if other is piece)

    def write(self, translations: Sequence[str]) -> bytes:
        """The package with the parts in which something has changed."""
        changed: dict[str, bytes] = {}
        position = 0
        for name, part in self.parts.items():
            filled = part.fill(translations[position : position + len(part.pieces)])
            position += len(part.pieces)
            if filled != part.text:
                changed[name] = filled.encode()
        if not changed:
            return self.data
        packed = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(self.data)) as old, zipfile.ZipFile(packed, "w") as new:
            for info in old.infolist():
                new.writestr(info, changed.get(info.filename) or _unpack(old, info))
        return packed.getvalue()


def _unpack(package: zipfile.ZipFile, part: zipfile.ZipInfo) -> bytes:
    """A part of a package, in steps: at most a step more is unpacked than the part says it has.

    Raises:
        BrokenDocument: it is damaged, of another size, or packed in another way than Word's.
    """
    if part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BrokenDocument("line 1: no Word document (a part is packed in an unknown way)")
    try:
        with package.open(part) as opened:
            return b"".join(iter(lambda: opened.read(_STEP), b""))
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise BrokenDocument(f"line 1: no Word document ({error})") from None


def read_docx(data: bytes) -> WordDocument:
    """The paragraphs of the text, headers, footers and notes.

    Raises:
        BrokenDocument: the file is no Word document.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as package:
            names = [name for name in package.namelist() if _PARTS.fullmatch(name)]
            texts = {name: _unpack(package, package.getinfo(name)).decode() for name in names}
    except (zipfile.BadZipFile, UnicodeDecodeError, KeyError) as error:
        raise BrokenDocument(f"line 1: no Word document ({error})") from None
    if "word/document.xml" not in texts:
        raise BrokenDocument("line 1: no Word document: it has no word/document.xml")
    for text in texts.values():
        check_xml(text)
    return WordDocument(data, {name: _read_part(text) for name, text in texts.items()})


def _read_part(text: str) -> Document:
    pieces = []
    for paragraph in _PARAGRAPH.finditer(text):
        group: list[re.Match[str]] = []
        for run in _RUN.finditer(text, *paragraph.span()):
            simple = _TEXT.fullmatch(run["body"])
            follows = not group or _BETWEEN.fullmatch(text, group[-1].end(), run.start())
            if group and not (simple and follows):  # a picture, a tab, a line break
                pieces += _piece(group)
                group = []
            if simple:
                group.append(run)
        pieces += _piece(group)
    return Document(text, pieces)


def _piece(runs: Sequence[re.Match[str]]) -> list[Piece]:
    """The text of runs in a row; those of another format than most are between tags."""
    said: list[tuple[str, str]] = []  # (format, text), neighbours of one format together
    for run in runs:
        raw = "".join(re.findall(r"<w:t(?:\s[^>]*)?>([^<]*)</w:t>", run["body"]))
        if said and said[-1][0] == (run["format"] or ""):
            said[-1] = (said[-1][0], said[-1][1] + entities.unescape(raw))
        else:
            said.append((run["format"] or "", entities.unescape(raw)))
    text = "".join(part for _, part in said)
    if not text.strip():
        return []
    place: Place = (runs[0].start(), runs[-1].end())
    if "<" in text or len(said) == 1:  # what looks like a tag would be taken for one
        return [Piece(text, [place], lambda part: _run(said[0][0], part))]
    lengths: Counter[str] = Counter()
    for style, part in said:
        lengths[style] += len(part)
    base = lengths.most_common(1)[0][0]
    tagged = "".join(
        part if style == base or not part.strip() else f"<r{i}>{part}</r{i}>"
        for i, (style, part) in enumerate(said)
    )

    def write(part: str) -> str:
        pieces = re.split(r"(</?r\d+>)", part)
        formats = [base]
        written = ""
        for piece in pieces:
            if tag := re.fullmatch(r"<r(\d+)>", piece):
                formats.append(said[int(tag[1])][0])
            elif piece.startswith("</r") and len(formats) > 1:
                formats.pop()
            elif piece:
                written += _run(formats[-1], piece)
        return written

    return [Piece(tagged, [place], write)]


def _run(style: str, text: str) -> str:
    return f'<w:r>{style}<w:t xml:space="preserve">{entities.escape(text, quote=False)}</w:t></w:r>'
