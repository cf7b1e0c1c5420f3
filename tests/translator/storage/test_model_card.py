"""The card of a model says how it was made."""

from dataclasses import replace

import pytest

from translator.config.schema import Config
from translator.storage.model_card import model_card
from translator.storage.training_state import TrainingState

INFO = {
    "data": {"corpus": "captions", "fingerprint": "f00d", "training_pairs": 7, "dropped": {}},
    "training": {**vars(TrainingState(step=12)), "parameters": 3456, "weights": "step 12"},
    "environment": {"device": "cpu", "threads": 3, "torch": "9.8"},
    "scores": {},
}


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "muon"])
def test_the_recipe_names_optimizer_and_rates(optimizer: str) -> None:
    config = Config()
    train = replace(config.train, optimizer=optimizer, peak_lr=0.0123, muon_lr=0.0456)
    card = model_card(replace(config, train=train), INFO)
    assert optimizer in card and "0.0123" in card
    assert ("0.0456" in card) == (optimizer == "muon")


def test_the_surroundings_are_named() -> None:
    text = model_card(Config(), INFO).replace("\n", " ")
    assert "on cpu with 3 threads, torch 9.8" in text and "12 updates" in text


def test_what_confidence_is_worth_is_told_where_there_is_one() -> None:
    found = {"sentences": 41, "auc": 0.876, "auc_log_prob": None, "calibration_error": 0.0321}
    info = {**INFO, "confidence": {"en-de": {"event": "good end", "measured": {"own": found}}}}
    assert "has a good end" in model_card(Config(), info)
    assert "| en-de | own | 41 | 0.876 | - | 0.032 |" in model_card(Config(), info)
    assert "Confidence" not in model_card(Config(), INFO)
