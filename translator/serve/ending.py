"""Work for a request that ends before it is done: its time is up, or its client is gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

Result = TypeVar("Result")


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Gives up what is done for a request after its time: 504."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        text = f"This took longer than {seconds:g} seconds: send less text."
        raise HTTPException(504, text) from None


async def unless_gone(request: Request, work: "asyncio.Future[Result]") -> Result:
    """The result of work, which is cancelled if the client hangs up; the request must be read.

    Raises:
        ClientDisconnect: there is nobody to answer.
    """
    gone = asyncio.create_task(_hung_up(request))
    try:
        waited: set[asyncio.Future[object]] = {work, gone}  # type: ignore[arg-type]
        await asyncio.wait(waited, return_when="FIRST_COMPLETED")
        if work.done():
            return work.result()
        raise ClientDisconnect
    finally:
        work.cancel()
        gone.cancel()


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
