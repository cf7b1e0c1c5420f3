"""The command `serve`."""

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from translator.cli.app import command
from translator.cli.help import RUNNING
from translator.cli.options import Device, Engine, Precision, Talk, Threads
from translator.config.errors import TranslatorError

_limit = partial(typer.Option, rich_help_panel="Limits and access")


@dataclass(frozen=True)
class Address:
    """Where the server listens."""

    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is all.")] = "127.0.0.1"
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 is any.")] = 5000


@dataclass(frozen=True)
class Limits:
    """Who may ask, and for how much."""

    api_key: Annotated[
        list[str] | None, _limit(metavar="KEY", help="Ask for a key; repeatable.")
    ] = None
    api_keys: Annotated[Path | None, _limit(help="Keys, one a line.")] = None
    rate_limit: Annotated[int, _limit(min=0, help="Requests a minute by client; 0 = any.")] = 0
    max_characters: Annotated[int, _limit(min=1, help="Of the texts of a request.")] = 10_000
    max_file_mb: Annotated[float, _limit(min=0.001, help="Size of a document in MB.")] = 5.0
    behind_proxy: Annotated[
        bool, _limit("--behind-proxy", help="Believe a local proxy's X-Forwarded-For.")
    ] = False
    queue: Annotated[int, _limit(min=1, help="Requests that may wait.")] = 256
    timeout: Annotated[float, _limit(min=0.1, help="Seconds for a request.")] = 60.0
    file_timeout: Annotated[float, _limit(min=0.1, help="Seconds for a document.")] = 900.0

    def keys(self) -> frozenset[str]:
        """All keys.

        Raises:
            TranslatorError: the file of keys has none.
        """
        keys = {key for key in self.api_key or [] if key}
        if self.api_keys:
            lines = self.api_keys.read_text(encoding="utf-8").splitlines()
            keys |= {line.strip() for line in lines if line.strip()}
            if not keys:
                raise TranslatorError(f"{self.api_keys} holds no key: write one on each line.")
        return frozenset(keys)


@command(
    "Translate",
    "translator serve            # then open http://127.0.0.1:5000/",
    "translator serve --model checkpoints/run --port 8000",
    "translator serve --host 0.0.0.0 --api-keys keys.txt --rate-limit 60",
)
def serve(
    address: Address,
    limits: Limits,
    talk: Talk,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            show_default="$TRANSLATOR_MODEL, or all shipped ones",
            help="Folder or name; one for each direction.",
        ),
    ] = None,
    precision: Precision = "fp32",
    engine: Engine = "torch",
    device: Device = "auto",
    threads: Threads = 0,
    log_text: Annotated[
        bool, typer.Option("--log-text", rich_help_panel=RUNNING, help="Log what is translated.")
    ] = False,
) -> None:
    """Serve translations over HTTP: LibreTranslate's form, and a page."""
    try:
        import python_multipart  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise TranslatorError(
            f"The server needs {error.name}: pip install 'small-nmt[serve]'"
        ) from None
    from translator.serve.app import create_app
    from translator.serve.run import run
    from translator.serve.settings import ServeSettings
    from translator.serve.translators import Translators

    settings = ServeSettings(
        max_characters=limits.max_characters,
        max_file_bytes=int(limits.max_file_mb * 1e6),
        queue=limits.queue,
        timeout=limits.timeout,
        file_timeout=limits.file_timeout,
        rate_limit=limits.rate_limit,
        api_keys=limits.keys(),
        behind_proxy=limits.behind_proxy,
        log_text=log_text,
    )
    if not log_text:  # what the translator logs itself quotes texts; the server's log does not
        logging.getLogger("translator").addFilter(lambda record: False)
    translators = Translators.find(model or (), device, precision, threads, engine)
    run(create_app(translators, settings), address.host, address.port, settings)
