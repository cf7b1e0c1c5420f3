"""Scores and calibrations as lines for people; JSON for programs."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from translator.storage.scores import SplitScores


_KINDS = {
    "own": "its own corpus",
    "spoilt": "corrupted inputs",
    "exchanged": "exchanged",
    "other": "other corpora",
    "all": "all of them",
}


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_scores(splits: Mapping[str, "SplitScores"]) -> None:
    """Scores by split, each with its signature."""
    for name, scores in splits.items():
        print(f"{name} ({scores.sentences} sentences)\n{scores}")


def print_calibration(measured: Mapping[str, Any]) -> None:
    """How good a model's confidence was on sentences that it was not fitted to."""
    from translator.storage.scores import ConfidenceQuality

    for kind, found in measured.items():
        print(f"  {_KINDS[kind]:<15}{ConfidenceQuality.from_dict(found)}")
