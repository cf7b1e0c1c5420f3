"""Random and hostile requests, the same for a seed."""

import io
import json
import random
import zipfile
from typing import Any

import httpx2

from translator.documents.formats import ENDINGS

EXPECTED = {200, 400, 403, 404, 405, 413, 429, 504}  # what any of them may be answered

TEXTS = [
    "The dog runs.",
    "",
    "\n" * 50,
    " \t\r\n",
    "a" * 3000,
    "dog " * 300,
    "\x00\x01\x7f",
    "\ufeff\u200b\u202e\u2028\u0085",
    "e" + "\u0301" * 200,
    "\ud83d\ude00" * 50,
    "👩\u200d👩\u200d👧 🎈" * 20,
    "▁<2de><unk></s><copy_0>",
    "<b>" * 200,
    "<b>The</i> dog</b>" * 20,
    "<script>alert(1)</script>",
    "1" * 400,
    "1,234.5 " * 50,
    "https://example.org/?q=1 " * 20,
    "{{ 7*7 }} ${x} %s %n",
    "' OR 1=1; --",
    "../../etc/passwd",
    "中文字符" * 50,
    "!?" * 300,
    "\ud800",
]
VALUES: list[Any] = [
    None, True, False, 0, -1, 10**30, 1.5, [], {}, [[]], {"a": {}}, ["x"] * 600, *TEXTS,
    "auto", "en", "de", "fr", "en-US", "text", "html", "true", [["dog", "Hund"]], {"dog": "!"},
    {"dog": ""}, [["", "x"]], [["dog|", "|"]], [["\u0301", "x"]], [[" ", " "]], [["|", "!"]],
]  # fmt: skip
FIELDS = (
    "q", "source", "target", "format", "alternatives", "n_best", "confidence", "alignments",
    "segments", "prefix", "terms", "api_key", "file", "unknown",
)  # fmt: skip
PATHS = (
    "/translate", "/translate", "/translate", "/detect", "/continuations", "/translate_file",
    "/languages", "/health", "/", "/docs", "/download_file/x", "/download_file/..%2f..%2fetc",
    "/frontend/settings", "/nothing", "//", "/translate/", "/%00", "/translate?q=x&source=en",
)  # fmt: skip
KINDS = (
    "application/json", "application/x-www-form-urlencoded", "multipart/form-data",
    "multipart/form-data; boundary=x", "multipart/form-data; boundary=", "text/plain", "",
    "application/json; charset=utf-16", "\x00", "a" * 2000,
)  # fmt: skip

_LAUGHS = b"".join(
    b'<!ENTITY a%d "%s">' % (i, b"&a%d;" % (i - 1) * 10 if i else b"lol") for i in range(10)
)
BOMB = (
    b"<!DOCTYPE x [" + _LAUGHS + b"]><xliff><file><body><source>&a9;</source></body></file></xliff>"
)


class Fuzzer:
    """Makes requests; the same for a seed."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)

    def text(self) -> str:
        """A hostile text, or parts of several."""
        pick = self.random.choice
        return "".join(pick(TEXTS) for _ in range(self.random.choice([1, 1, 1, 2, 3])))

    def fields(self) -> dict[str, Any]:
        """Mostly a request that is right, with some fields that are not."""
        way = self.random.choice([("en", "de"), ("de", "en"), ("auto", "de"), ("auto", "auto")])
        fields: dict[str, Any] = {"q": self.text(), "source": way[0], "target": way[1]}
        if self.random.random() < 0.2:
            fields["q"] = [self.text() for _ in range(self.random.randrange(5))]
        for name in self.random.sample(FIELDS, self.random.randrange(4)):
            fields[name] = self.random.choice(VALUES)
        for name in ("segments", "confidence", "alignments"):
            if self.random.random() < 0.3:
                fields[name] = True
        if self.random.random() < 0.3:
            fields.pop(self.random.choice(list(fields)), None)
        return fields

    def document(self) -> tuple[str, bytes]:
        """A file whose ending and content may not agree."""
        ending = self.random.choice([*ENDINGS, ".exe", "", ".TXT", ".md\n", "." * 50])
        content = self.random.choice(
            [
                self.text().encode("utf-8", "replace"),
                self.random.randbytes(self.random.randrange(300)),
                json.dumps(self.fields(), ensure_ascii=True).encode(),
                b"[" * 5000,
                b"1\n00:00:01,000 --> 00:00:02,000\n" + self.text().encode("utf-8", "replace"),
                b"<p>" * 500 + b"The dog",
                b'msgid "a"\nmsgstr "\n' * 20,
                b"a: &a [*a, *a]\n" * 20,
                b"a: &a [x]\n" + b"".join(b"b%d: &b%d [*a, *a]\n" % (i, i) for i in range(500)),
                b'<!DOCTYPE a [<!ENTITY b "x">]><xliff>&b;</xliff>',
                BOMB,
                b"{" * 3000 + b"}" * 3000,
                b'{"a":' * 3000 + b'"The dog"' + b"}" * 3000,
                b"a" * 19_000,
                b"(" * 5000 + b"[" * 5000 + b"`" * 999,
                self.packed(),
            ]
        )
        return self.random.choice(["a", "../a", "/etc/a", "a" * 300, "\x00", "ü"]) + ending, content

    def packed(self) -> bytes:
        """Something like a Word document."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as package:
            name = self.random.choice(["word/document.xml", "../x", "a"])
            text = f"<w:p><w:r><w:t>{self.text()}</w:t></w:r></w:p>".encode("utf-8", "replace")
            package.writestr(name, self.random.choice([text, b"", b"\xff", bytes(3_000_000)]))
        data = packed.getvalue()
        return data if self.random.random() < 0.7 else data[: self.random.randrange(len(data))]

    def send(self, client: httpx2.Client) -> httpx2.Response:
        """One request and its answer."""
        path, method = self.random.choice(PATHS), self.random.choice(["POST"] * 8 + ["GET", "PUT"])
        form = self.random.randrange(6)
        if path == "/translate_file" and form < 5:
            data = {"source": "en", "target": self.random.choice(["de", "auto", "fr"])}
            return client.request(method, path, data=data, files={"file": self.document()})
        if form < 3:
            body = json.dumps(self.fields()).encode()
            if self.random.random() < 0.1:
                body = body[: self.random.randrange(len(body))]
            return client.request(method, path, content=body)
        if form == 3:
            data = {name: str(value) for name, value in self.fields().items()}
            data = {name: v.encode("utf-8", "replace").decode() for name, v in data.items()}
            return client.request(method, path, data=data)
        kind = self.random.choice(KINDS).encode("ascii", "replace")
        body = self.random.randbytes(self.random.choice([0, 10, 1000, 200_000]))
        return client.request(method, path, content=body, headers={b"content-type": kind})
