"""A request's body, read within limits, and its fields, checked."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from translator.serve.settings import (
    MAX_ALTERNATIVES,
    MAX_TERM_LENGTH,
    MAX_TERMS,
    MAX_TEXTS,
    ServeSettings,
)

_CLOSE = {"Connection": "close"}  # what is still on its way is not read
FILE_PATH = "/translate_file"


class BodyLimits:
    """Refuses a body that is too large (413), and one that takes too long to arrive (408)."""

    def __init__(self, app: ASGIApp, settings: ServeSettings):
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        most = self.settings.max_body_bytes
        if scope["path"] == FILE_PATH:
            most += self.settings.max_file_bytes
        too_large = HTTPException(413, f"The request is larger than {most:,} bytes.", _CLOSE)
        deadline = asyncio.get_running_loop().time() + self.settings.read_timeout
        length = dict(scope["headers"]).get(b"content-length", b"0")
        announced = int(length) if length.isdigit() and len(length) < 20 else 0
        read, whole = 0, False

        async def limited() -> Message:
            nonlocal read, whole
            if whole:  # then it waits for the client to hang up
                return await receive()
            if announced > most:
                raise too_large
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, "The request took too long to arrive.", _CLOSE) from None
            read += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if read > most:
                raise too_large
            return message

        await self.app(scope, limited, send)


def bad(text: str) -> HTTPException:
    """An error of the client's, in LibreTranslate's words where it has some."""
    return HTTPException(400, text)


async def read_fields(request: Request) -> dict[str, Any]:
    """The fields of a JSON object or a form, and those of the address beside them; null is none.

    Raises:
        HTTPException: 400, it is neither.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    fields: dict[str, Any] = dict(request.query_params)
    if kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
        form = await request.form(max_files=1, max_fields=MAX_TEXTS + 20)
        texts = [value for value in form.getlist("q") if isinstance(value, str)]
        fields |= dict(form)
        if len(texts) > 1:
            fields["q"] = texts
    elif body := await request.body():
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            raise bad("Invalid request: the body is no JSON.") from None
        if not isinstance(found, dict):
            raise bad("Invalid request: the body is no JSON object.")
        fields |= found
    return {name: value for name, value in fields.items() if value is not None}


def text_field(fields: Mapping[str, Any], name: str, otherwise: str | None = None) -> str:
    """A field that is a string.

    Raises:
        HTTPException: 400, it is missing and there is no other, or something else.
    """
    value = fields.get(name, otherwise)
    if value is None:
        raise bad(f"Invalid request: missing {name} parameter")
    return _checked(value, name)


def texts_field(fields: Mapping[str, Any], settings: ServeSettings) -> tuple[list[str], bool]:
    """The texts in `q`, and whether it was a list.

    Raises:
        HTTPException: 400, there are none; 413, they are too long.
    """
    value = fields.get("q")
    several = isinstance(value, list)
    if value is None:
        raise bad("Invalid request: missing q parameter")
    texts = [_checked(text, "q") for text in (value if several else [value])]
    if len(texts) > MAX_TEXTS:
        raise HTTPException(413, f"A request may hold {MAX_TEXTS} texts, not {len(texts)}.")
    length = sum(map(len, texts))
    if length > settings.max_characters:
        raise HTTPException(
            413,
            f"Invalid request: request ({length}) exceeds text limit ({settings.max_characters})",
        )
    return texts, several


def _checked(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise bad(f"Invalid request: {name} is no text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise bad(f"Invalid request: {name} is no Unicode: it has half of a pair") from None
    return value


def count_field(fields: Mapping[str, Any], name: str, least: int = 0) -> int:
    """A field that is a small number, or missing: the least.

    Raises:
        HTTPException: 400, it is something else.
    """
    value = fields.get(name, least)
    digits = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 4
    number = int(value) if digits else value
    is_number = isinstance(number, int) and not isinstance(number, bool)
    if not is_number or not least <= number <= MAX_ALTERNATIVES:
        raise bad(f"Invalid request: {name} is no number from {least} to {MAX_ALTERNATIVES}")
    return number


def flag_field(fields: Mapping[str, Any], name: str) -> bool:
    """A field that is true or false, or missing: false.

    Raises:
        HTTPException: 400, it is something else.
    """
    value = fields.get(name, False)
    known = {True: True, False: False, "true": True, "false": False, "1": True, "0": False}
    if not isinstance(value, bool | str) or value not in known:
        raise bad(f"Invalid request: {name} is neither true nor false")
    return known[value]


def terms_field(fields: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Prescribed terms: pairs in a list, or an object; in a form these are written as JSON.

    Raises:
        HTTPException: 400, it is something else.
    """
    value = fields.get("terms", ())
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise bad("Invalid request: terms is no JSON") from None
    rows = list(value.items()) if isinstance(value, dict) else value
    if not isinstance(rows, list | tuple) or len(rows) > MAX_TERMS:
        raise bad(f"Invalid request: terms is no list of at most {MAX_TERMS} pairs")
    for row in rows:
        if not isinstance(row, list | tuple) or len(row) != 2:
            raise bad("Invalid request: each of terms is a pair [word, translation]")
    return tuple((_term(source), _term(target)) for source, target in rows)


def _term(value: Any) -> str:
    text = _checked(value, "terms")
    if len(text) > MAX_TERM_LENGTH:
        raise bad(f"Invalid request: a term has at most {MAX_TERM_LENGTH} characters")
    return text


def file_field(fields: Mapping[str, Any], settings: ServeSettings) -> UploadFile:
    """The document of a request.

    Raises:
        HTTPException: 400, there is none; 413, it is too large.
    """
    file = fields.get("file")
    if not isinstance(file, UploadFile) or not file.filename:
        raise bad("Invalid request: missing file parameter")
    if (file.size or 0) > settings.max_file_bytes:
        raise HTTPException(413, f"A document may have {settings.max_file_bytes:,} bytes.")
    return file
