"""Results: attributes for programs, text for people, plain data for JSON."""

import json
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from invented import make_results

from translator.report.results import Analysis, SplitResult
from translator.storage.find import shipped_models
from translator.storage.model_folder import read_description
from translator.storage.model_info import ModelInfo
from translator.storage.scores import Score, SplitScores


def test_scores_are_attributes_and_print_themselves() -> None:
    scores = SplitScores(3, {"bleu": Score(41.2345, "tok:13a", (40.0, 42.5))})
    assert scores.bleu.score == 41.2345 and scores.bleu.signature == "tok:13a"
    assert str(scores) == "  BLEU   41.23 (40.00 to 42.50)  tok:13a"
    with pytest.raises(AttributeError, match="chrf was not computed, only bleu"):
        print(scores.chrf)
    with pytest.raises(FrozenInstanceError):
        scores.bleu.score = 100  # type: ignore[misc]


@pytest.mark.parametrize("compare", [False, True])
@pytest.mark.parametrize("model", [False, True])
def test_plain_data_and_results_are_the_same(compare: bool, model: bool) -> None:
    values = json.loads(json.dumps(make_results(9, compare, model)))
    result = SplitResult.from_dict({**values, "from_a_later_version": 1})
    assert SplitResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result
    assert result.to_dict()["scores"] == values["scores"]
    assert ("compare" in result.to_dict()) == compare
    assert len(result.systems) == 1 + compare


def test_a_model_without_confidence_says_so_in_its_data() -> None:
    assert "confidence" not in Analysis([], {}, []).to_dict()
    assert Analysis([], {}, [], robustness=[]).to_dict()["confidence"] is None


def test_the_text_names_both_systems_and_every_table() -> None:
    result = SplitResult.from_dict(make_results(60, compare=True))
    assert result.compare and result.analysis and result.analysis.robustness
    text = str(result)
    assert text.startswith("test (60 sentences)\n  BLEU ")
    assert "against other-en-de" in text and "without what is in the training data (57" in text
    for table in result.analysis.breakdown:
        assert f"by {table.by}" in text
    for row in result.analysis.robustness:
        assert f"{row.change['bleu']:+.2f}" in text


@pytest.mark.parametrize("folder", shipped_models().values(), ids=lambda folder: folder.name)
def test_the_shipped_models_are_read(folder: Path) -> None:
    description = read_description(folder)
    info = ModelInfo.from_dict(description)
    assert info.scores["valid"].bleu.score > 20 and info.training.state.step > 1000
    plain = info.to_dict()
    counters = description["training"]  # a model of an earlier version may lack a new one
    plain["training"] = {k: v for k, v in plain["training"].items() if k in counters or v}
    assert plain == {key: description[key] for key in plain}
