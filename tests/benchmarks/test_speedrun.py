"""The minutes of an interrupted speedrun add up, and what it reached is said."""

import argparse
import importlib.util
import json
import sys
from pathlib import Path

import pytest

# By its path: the folder's other names would hide those of tests/support.
_spec = importlib.util.spec_from_file_location(
    "speedrun", Path(__file__).parents[2] / "benchmarks" / "speedrun.py"
)
assert _spec and _spec.loader
speedrun = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(speedrun)

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
                "search": {"beam_size": 5},
            }
        },
        "training": {"step": 7000, "n_tokens": 13_000_000},
    }
    (arguments.run / "config.json").write_text(json.dumps(info))
    assert f"38.0 {word}" in speedrun.describe(arguments.run, totals[-1])


def test_the_recipe_is_one_that_training_takes() -> None:
    from translator.config.loading import load_config

    config = load_config("tiny", overrides=[f"{k}={v}" for k, v in speedrun.RECIPE.items()])
    assert not config.train.score_tests and config.train.metrics == "bleu"
