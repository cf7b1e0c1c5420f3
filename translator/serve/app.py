"""The addresses of a server, and what each does."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from translator.config.errors import TranslatorError
from translator.documents.formats import ENDINGS
from translator.report.translator_page import server_page
from translator.serve import answers
from translator.serve.access import RateLimiter, allows
from translator.serve.batching import Batcher, Busy
from translator.serve.document_process import read_apart
from translator.serve.documents import Shelf, read_upload
from translator.serve.ending import unless_gone, within
from translator.serve.failures import answer_nobody, answer_refusal, safe, too_much
from translator.serve.languages import Languages, detect
from translator.serve.reading import (
    FILE_PATH,
    BodyLimits,
    bad,
    count_field,
    file_field,
    flag_field,
    read_fields,
    terms_field,
    text_field,
    texts_field,
)
from translator.serve.settings import MAX_DOCUMENTS, ServeSettings
from translator.serve.translators import Direction, Task, Translators
from translator.text.language import LANGUAGE_NAMES
from translator.translation.result import Translation

log = logging.getLogger("translator.serve")

_CSP = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


class Server:
    """What requests share: the batches, the keys, the documents that wait to be fetched."""

    def __init__(self, translators: Translators, settings: ServeSettings):
        self.settings = settings
        self.languages = Languages(translators.directions)
        self.rates = RateLimiter(settings.rate_limit)
        self.translators = translators
        self.documents = 0  # that are translated now
        page = {
            "directions": translators.directions,
            "features": {
                "documents": True,
                "alternatives": True,
                "detect": True,
                "terms": True,
                "key": bool(settings.api_keys),
            },
            "accept": ",".join(ENDINGS),
            "maxCharacters": settings.max_characters,
        }
        self.page = server_page(page)

    def open(self) -> None:
        """Starts the thread that translates."""
        self.shelf = Shelf()
        self.readers = ThreadPoolExecutor(MAX_DOCUMENTS)  # each waits for a process
        self.batcher = Batcher(self.translators.work, self.settings.queue, _size)

    def close(self) -> None:
        """Ends it, once what waits is done."""
        self.batcher.close()
        self.readers.shutdown()
        self.shelf.close()

    # What requests are answered --------------------------------------------------------------

    async def show_page(self, request: Request) -> Response:
        """The page for people."""
        return HTMLResponse(self.page, headers={"Content-Security-Policy": _CSP})

    async def show_docs(self, request: Request) -> Response:
        """The addresses, for people."""
        return HTMLResponse(_resource("docs.html"), headers={"Content-Security-Policy": _CSP})

    async def show_openapi(self, request: Request) -> Response:
        """The addresses, for programs."""
        return Response(_resource("openapi.json"), media_type="application/json")

    async def show_health(self, request: Request) -> Response:
        """That it runs, and how many wait."""
        return JSONResponse({"status": "ok", "waiting": self.batcher.waiting})

    async def show_languages(self, request: Request) -> Response:
        """What can be translated."""
        return JSONResponse(self.languages.list())

    async def show_settings(self, request: Request) -> Response:
        """What a page of LibreTranslate's asks for."""
        first = zip(("source", "target"), self.languages.directions[0], strict=True)
        named = {end: {"code": code, "name": LANGUAGE_NAMES.get(code, code)} for end, code in first}
        return JSONResponse(
            {
                "apiKeys": bool(self.settings.api_keys),
                "keyRequired": bool(self.settings.api_keys),
                "charLimit": self.settings.max_characters,
                "filesTranslation": True,
                "supportedFilesFormat": list(ENDINGS),
                "frontendTimeout": 250,
                "suggestions": False,
                "language": named,
            }
        )

    async def detect(self, request: Request) -> Response:
        """The language of a text."""
        fields = await self._fields(request)
        texts, _ = texts_field(fields, self.settings)
        otherwise = self.languages.directions[0][0]
        found = await asyncio.to_thread(detect, "\n".join(texts), otherwise)
        return JSONResponse([found.to_dict()])

    async def translate(self, request: Request) -> Response:
        """Translates a text or several."""
        fields = await self._fields(request)
        async with within(self.settings.timeout):
            return await self._translate(request, fields)

    async def _translate(self, request: Request, fields: dict[str, Any]) -> Response:
        texts, several = texts_field(fields, self.settings)
        n_others = count_field(fields, "alternatives")
        n_best = count_field(fields, "n_best", 1)
        wanted = {
            name: flag_field(fields, name) for name in ("confidence", "alignments", "segments")
        }
        source, target = text_field(fields, "source"), text_field(fields, "target")
        form = text_field({"format": fields.get("format") or "text"}, "format")
        if form not in ("text", "html"):
            raise bad(f"Invalid request: format is text or html, not {form[:20]}")
        if form == "html" and (any(wanted.values()) or n_best > 1):
            raise bad("Invalid request: format html goes with a translation alone")
        n_more = 0 if form == "html" else n_others  # pages have no others
        chosen = await asyncio.to_thread(
            lambda: [self.languages.choose(text, source, target) for text in texts]
        )
        directions = [direction for direction, _ in chosen]
        if form == "html":
            most = self.settings.max_file_bytes
            pages = [
                await asyncio.to_thread(read_upload, text.encode(), "q.html", most)
                for text in texts
            ]
            parts = [page.texts for page in pages]
        else:
            parts = [text.split("\n") for text in texts]
        details = {
            "terms": terms_field(fields),
            "n_best": max(n_more + 1, n_best),
            "confidence": wanted["confidence"] or wanted["segments"],
            "alignments": wanted["alignments"] or wanted["segments"],
        }
        found = await self._run_texts(request, directions, parts, details)
        if form == "html":
            written = [
                page.write({line.source: line.text for line in lines}).decode()
                for page, lines in zip(pages, found, strict=True)
            ]
        else:
            written = [answers.joined(lines) for lines in found]
        answer: dict[str, list[Any]] = {"translatedText": written}
        if source.strip().lower() == "auto":
            answer["detectedLanguage"] = [d.to_dict() for _, d in chosen if d]
        if n_others:
            answer["alternatives"] = [answers.alternatives_of(lines, n_more) for lines in found]
        if n_best > 1:
            answer["n_best"] = [answers.n_best_of(lines, n_best) for lines in found]
        if wanted["confidence"]:
            answer["confidence"] = [answers.confidence_of(lines) for lines in found]
        if wanted["alignments"]:
            answer["alignments"] = [answers.alignments_of(lines) for lines in found]
        if wanted["segments"]:
            answer["result"] = [
                {"source": src, "target": tgt, "segments": answers.segments_of(lines)}
                for (src, tgt), lines in zip(directions, found, strict=True)
            ]
        if self.settings.log_text:
            log.info("%s -> %s", texts, written)
        return JSONResponse(answer if several else {key: value[0] for key, value in answer.items()})

    async def continuations(self, request: Request) -> Response:
        """What a word of a translation could be instead, in the form of page.js."""
        fields = await self._fields(request)
        texts, _ = texts_field(fields, self.settings)
        prefix = text_field(fields, "prefix", "")
        if len(texts) != 1 or len(prefix) > self.settings.max_characters:
            raise bad("Invalid request: q is one sentence, and prefix no longer than a text")
        source, target = text_field(fields, "source"), text_field(fields, "target")
        async with within(self.settings.timeout):
            choose = self.languages.choose
            direction, _ = await asyncio.to_thread(choose, texts[0], source, target)
            if direction[0] == direction[1]:
                return JSONResponse([])
            task = Task(direction, terms=terms_field(fields), continuations=True)
            (found,) = await self._run(request, task, [(texts[0], prefix)])
        return JSONResponse(answers.continuations_of(found))

    async def translate_file(self, request: Request) -> Response:
        """Translates a document, which is fetched under the address in the answer."""
        fields = await self._fields(request)
        file = file_field(fields, self.settings)
        source, target = text_field(fields, "source"), text_field(fields, "target")
        terms = terms_field(fields)
        if self.documents == MAX_DOCUMENTS:
            raise too_much("Slowdown: too many documents at once", 10)
        self.documents += 1
        try:
            async with within(self.settings.file_timeout):
                work = self._translate_file(request, file, source, target, terms)
                return await unless_gone(request, asyncio.create_task(work))
        finally:
            self.documents -= 1

    async def _translate_file(
        self,
        request: Request,
        file: UploadFile,
        source: str,
        target: str,
        terms: tuple[tuple[str, str], ...],
    ) -> Response:
        given = await file.read(), file.filename, self.settings.max_file_bytes
        most = self.settings.max_characters
        async with read_apart(self.readers, *given) as (suffix, texts, write):
            if (longest := max(map(len, texts), default=0)) > most:  # others would wait for it
                text = f"A paragraph has {longest:,} characters; {most:,} may be."
                raise HTTPException(413, text)
            choose, text = self.languages.choose, "\n".join(texts)
            direction, _ = await asyncio.to_thread(choose, text, source, target)
            (lines,) = await self._run_texts(request, [direction], [texts], {"terms": terms})
            written = await write({line.source: line.text for line in lines})
        name = self.shelf.put(written, suffix)
        url = f"{request.base_url}download_file/{name}"
        return JSONResponse({"translatedFileUrl": url, "target": direction[1]})

    async def download(self, request: Request) -> Response:
        """A translated document; never shown, only saved."""
        path = self.shelf.find(request.path_params["name"])
        if path is None:
            raise HTTPException(404, "There is no such document, or not any more.")
        name = f"translation{path.suffix}"
        headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
        return FileResponse(path, 200, headers, "application/octet-stream", filename=name)

    # How they get there ----------------------------------------------------------------------

    async def _fields(self, request: Request) -> dict[str, Any]:
        """The fields of a request that may be made now.

        Raises:
            HTTPException: 403, its key is wrong; 429, the client asks too often.
        """
        fields = await read_fields(request)
        keys = self.settings.api_keys
        key = fields.get("api_key") or request.headers.get("x-api-key", "")
        if not isinstance(key, str) or not allows(keys, key):
            raise HTTPException(403, "Invalid API key" if key else "Please name an API key")
        address = request.client.host if request.client else ""
        if seconds := self.rates.wait(key if keys else address):
            raise too_much("Slowdown: too many requests", seconds)
        return fields

    async def _run_texts(
        self,
        request: Request,
        directions: Sequence[Direction],
        parts: Sequence[list[str]],
        details: dict[str, Any],
    ) -> list[list[Translation]]:
        """The translations of the lines of each text; those of one direction together."""
        found: list[list[Translation]] = [[] for _ in parts]
        for direction in dict.fromkeys(directions):
            rows = [i for i, own in enumerate(directions) if own == direction]
            lines = [line for i in rows for line in parts[i]]
            if direction[0] == direction[1]:
                done = iter([Translation(line, line, 0.0, [(line, 0.0)]) for line in lines])
            else:
                task = Task(direction, **details)
                done = iter(await self._run(request, task, lines))
            for i in rows:
                found[i] = [next(done) for _ in parts[i]]
        return found

    async def _run(self, request: Request, task: Task, items: Sequence[Any]) -> list[Any]:
        """What the thread makes of the items; it forgets them if the client hangs up.

        Raises:
            HTTPException: 429, too many wait.
            ClientDisconnect: there is nobody to answer.
        """
        try:
            future = asyncio.wrap_future(self.batcher.submit(task, items))
        except Busy as busy:
            raise too_much("Slowdown: too many requests wait", busy.seconds) from None
        return await unless_gone(request, future)


def create_app(translators: Translators, settings: ServeSettings | None = None) -> Starlette:
    """The server as an ASGI application."""
    settings = settings or ServeSettings()
    server = Server(translators, settings)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        server.open()
        yield
        await asyncio.to_thread(server.close)

    pages = {
        "/": server.show_page,
        "/docs": server.show_docs,
        "/openapi.json": server.show_openapi,
        "/spec": server.show_openapi,
        "/health": server.show_health,
        "/languages": server.show_languages,
        "/frontend/settings": server.show_settings,
        "/download_file/{name}": server.download,
    }
    work = {
        "/detect": server.detect,
        "/translate": server.translate,
        "/continuations": server.continuations,
        FILE_PATH: server.translate_file,
    }
    routes = [Route(path, safe(handler), methods=["GET"]) for path, handler in pages.items()]
    routes += [Route(path, safe(handler), methods=["POST"]) for path, handler in work.items()]
    return Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[Middleware(BodyLimits, settings=settings)],
        exception_handlers={
            HTTPException: answer_refusal,
            TranslatorError: answer_refusal,
            ClientDisconnect: answer_nobody,
        },
    )


def _size(item: Any) -> int:
    """Characters of a text, or of a pair of a text and a beginning, for each of which many tries
    are made.
    """
    return len(item) if isinstance(item, str) else 8 * len(item[0])


def _resource(name: str) -> str:
    return (files("translator.serve") / name).read_text(encoding="utf-8")
