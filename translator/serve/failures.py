"""What goes wrong, as an answer: errors in LibreTranslate's form."""

import functools
import logging
import traceback
from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from translator.config.errors import TranslatorError

log = logging.getLogger("translator.serve")

Handler = Callable[[Request], Awaitable[Response]]


def safe(handler: Handler) -> Handler:
    """A handler whose unforeseen errors are answered and logged, without a text in the log."""

    @functools.wraps(handler)
    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except (HTTPException, TranslatorError, ClientDisconnect):
            raise
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{frame.filename}:{frame.lineno}"
            log.error("%s failed: %s in %s.", request.url.path, type(error).__name__, where)
            return JSONResponse({"error": "The server failed; its log says where."}, 500)

    return handle


async def answer_refusal(_request: Request, error: Exception) -> Response:
    """An error of the client's, or of its document, in LibreTranslate's form."""
    if not isinstance(error, HTTPException):
        error = HTTPException(400, str(error))
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def answer_nobody(_request: Request, _error: Exception) -> Response:
    """The client is gone."""
    return Response(status_code=499)  # as nginx calls it; nobody reads it


def too_much(text: str, seconds: int) -> HTTPException:
    """429, with the seconds after which to try again."""
    return HTTPException(429, f"{text}; try again in {seconds} s.", {"Retry-After": str(seconds)})
