"""The card of a model says how to use it, how it scores, and how it was made."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from translator.config.schema import Config
from translator.storage.model_card import model_card
from translator.storage.model_info import DataInfo, ModelInfo, TrainingInfo
from translator.storage.scores import Score, SplitScores
from translator.storage.training_state import TrainingState

INFO = ModelInfo(
    preset="tiny",
    data=DataInfo("captions", "f00d", 7, {}),
    training=TrainingInfo("step 12", TrainingState(step=12), 3456),
    scores={"valid": SplitScores(9, {"bleu": Score(12.345, "tok:13a|v:2"), "ter": Score(7, "x")})},
    environment={"device": "cpu", "threads": 3, "torch": "9.8"},
)
FOLDER = Path("runs/my-run")


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "muon"])
def test_the_recipe_names_optimizer_and_rates(optimizer: str) -> None:
    config = Config()
    train = replace(config.train, optimizer=optimizer, peak_lr=0.0123, muon_lr=0.0456)
    card = model_card(replace(config, train=train), INFO, FOLDER)
    assert optimizer in card and "0.0123" in card
    assert ("0.0456" in card) == (optimizer == "muon")


def test_the_surroundings_are_named() -> None:
    text = model_card(Config(), INFO, FOLDER).replace("\n", " ")
    assert "on cpu with 3 threads, torch 9.8" in text and "12 updates" in text


def test_usage_names_the_folder_and_comes_before_scores_and_history() -> None:
    card = model_card(Config(), INFO, FOLDER)
    assert "translator translate --model runs/my-run" in card
    headings = [line for line in card.splitlines() if line.startswith("## ")]
    assert headings == ["## Usage", "## Scores", "## Data", "## Recipe"]
    assert r"| valid | 9 | BLEU | 12.35 | `tok:13a\|v:2` |" in card


@pytest.mark.parametrize("corpus", ["captions", 'a: "b" # c', "--- {x}, y\nz"])
def test_the_header_is_read_by_the_hub(corpus: str) -> None:
    """Each line is a key and a JSON value, which is YAML whatever the texts hold."""
    info = replace(INFO, data=replace(INFO.data, corpus=corpus))
    begin, *lines = model_card(Config(), info, FOLDER).split("---\n")[1].splitlines()
    values = {}
    for line in (begin, *lines):
        key, _, value = line.partition(": ")
        values[key] = json.loads(value)
    assert values["language"] == ["en", "de"] and values["pipeline_tag"] == "translation"
    assert values["metrics"] == ["bleu", "ter"] and "license" in values
    (model,) = values["model-index"]
    assert model["name"] == "my-run"
    (result,) = model["results"]
    assert result["dataset"]["name"] == corpus and result["dataset"]["split"] == "valid"
    assert [(m["type"], m["value"]) for m in result["metrics"]] == [("bleu", 12.35), ("ter", 7)]


def test_the_card_states_the_quality_of_confidence() -> None:
    found = {"sentences": 41, "auc": 0.876, "auc_log_prob": None, "calibration_error": 0.0321}
    confidence = {"en-de": {"event": "good end", "measured": {"own": found}}}
    card = model_card(Config(), replace(INFO, confidence=confidence), FOLDER)
    assert "has a good end" in card
    assert "| en-de | own | 41 | 0.876 | - | 0.032 |" in card
    assert "Confidence" not in model_card(Config(), INFO, FOLDER)
