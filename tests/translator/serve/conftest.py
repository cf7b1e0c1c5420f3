"""Servers whose models have learnt nothing."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import pytest
import torch
from starlette.testclient import TestClient

from translator.serve.app import create_app
from translator.serve.settings import ServeSettings
from translator.serve.translators import Translators
from translator.storage.model_folder import Model
from translator.translation.translator import Translator

Serve = Callable[..., AbstractContextManager[TestClient]]


@pytest.fixture(scope="session")
def by_direction(random_model: Model) -> dict[tuple[str, str], Translator]:
    """A translator each way; they say noise."""
    config = random_model.config
    data = replace(config.data, src="de", tgt="en")
    back = replace(random_model, config=replace(config, data=data))
    return {("en", "de"): Translator(random_model), ("de", "en"): Translator(back)}


@pytest.fixture(scope="session")
def translators(by_direction: dict[tuple[str, str], Translator]) -> Translators:
    def loader(translator: Translator) -> Callable[[], Translator]:
        def load() -> Translator:
            torch.set_num_threads(1)  # of the thread that translates
            return translator

        return load

    return Translators({way: loader(translator) for way, translator in by_direction.items()})


@pytest.fixture(scope="session")
def serve(translators: Translators) -> Serve:
    """A client of a server: `with serve(any setting) as client`."""

    @contextmanager
    def start(**settings: object) -> Iterator[TestClient]:
        app = create_app(translators, ServeSettings(**settings))  # type: ignore[arg-type]
        with TestClient(app) as client:
            yield client

    return start


@pytest.fixture(scope="module")
def client(serve: Serve) -> Iterator[TestClient]:
    with serve() as client:
        yield client
