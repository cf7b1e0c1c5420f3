"""Commands run in this process, as those of tests/translator/cli do; a model worth exporting."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from commands import Run
from typer.testing import CliRunner, Result

from translator.cli.main import app
from translator.model.transformer import Transformer
from translator.storage.model_folder import Model

Loud = Callable[..., Model]


@pytest.fixture
def run() -> Run:
    def call(*args: object, stdin: bytes | str | None = None) -> Result:
        return CliRunner().invoke(app, [str(arg) for arg in args], input=stdin)

    return call


@pytest.fixture(autouse=True)
def short_proofs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proofs end early: what knows nothing never stops, and there is no more to see."""
    monkeypatch.setattr("translator.export.verify.LIMIT", 10)


@pytest.fixture(scope="session")
def loud(random_model: Model) -> Loud:
    """A model whose outputs vary: as initialised, it would repeat one piece whatever it reads."""

    def build(norm: str = "pre", bidirectional: bool = False) -> Model:
        data = replace(random_model.config.data, bidirectional=bidirectional)
        sizes = replace(random_model.config.model, norm=norm, n_decoder_layers=2)
        torch.manual_seed(5)
        transformer = Transformer(sizes).eval().requires_grad_(False)
        for name, weight in transformer.named_parameters():
            if weight.dim() == 1:
                weight.add_(0.3 * torch.randn_like(weight))
            elif name != "embedding.weight":
                weight.mul_(2.0)
        config = replace(random_model.config, data=data, model=sizes)
        return replace(random_model, transformer=transformer, config=config)

    return build
