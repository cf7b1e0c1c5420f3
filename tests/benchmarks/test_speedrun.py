"""Speedruns: interrupted ones add up, and peers begin and end with our weights."""

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest


def by_path(name: str) -> Any:
    """A module of `benchmarks`; the folder's other names would hide those of tests/support."""
    file = Path(__file__).parents[2] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look there for their annotations
    spec.loader.exec_module(module)
    return module


speedrun = by_path("speedrun")

WORK = "import sys, time\nwhile time.process_time() < 0.3: pass\nsys.exit(int(sys.argv[1]))"


@pytest.mark.parametrize("bleu, word", [(38.0, "reached"), (37.99, "MISSED")])
def test_minutes_add_up_over_interruptions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bleu: float, word: str
) -> None:
    arguments = argparse.Namespace(run=tmp_path / "run")
    totals = []
    for code in (1, 0):
        monkeypatch.setattr(speedrun, "command", lambda _: [sys.executable, "-c", WORK, str(code)])  # noqa: B023
        found, total = speedrun.run(arguments)
        assert found == code
        totals.append(total)
    first, second = (total["core_minutes"] * 60 for total in totals)
    assert first >= 0.3 and second - first == pytest.approx(first, rel=0.5)
    info = {
        "scores": {
            "valid": {
                "scores": {"bleu": {"score": bleu, "signature": "nrefs:1"}},
                "search": {"beam_size": 5, "length_penalty": 1.2},
            }
        },
        "training": {"step": 7000, "n_tokens": 13_000_000},
    }
    (arguments.run / "config.json").write_text(json.dumps(info))
    text = speedrun.describe(arguments.run, totals[-1])
    assert f"38.0 {word}" in text and "length penalty 1.2" in text


def test_the_recipe_is_one_that_training_takes() -> None:
    from translator.config.loading import load_config
    from translator.model.packing import row_length

    config = load_config("tiny", overrides=[f"{k}={v}" for k, v in speedrun.RECIPE.items()])
    assert not config.train.score_tests and config.train.metrics == "bleu"
    assert config.train.pack and row_length(config.data.max_length) == 64


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_plain_transformers_take_all_our_weights_and_give_them_back(norm: str) -> None:
    import torch

    from translator.config.schema import ModelConfig
    from translator.model.transformer import Transformer

    config = ModelConfig(16, 32, 2, 2, 1, 0.0, norm, 30)
    ours, other = (Transformer(config) for _ in range(2))
    for model in (ours, other):
        for weight in model.parameters():
            torch.nn.init.normal_(weight)
    plain = by_path("train_peers").PlainTransformer(config)
    plain.copy_weights(ours)
    plain.copy_weights(other, back=True)
    for name, weight in ours.state_dict().items():
        assert torch.equal(weight, other.state_dict()[name]), name
