"""What a finished run says about its model: data, training, scores; kept in `config.json`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from translator.config.records import Record
from translator.storage.scores import SplitScores
from translator.storage.training_state import TrainingState


@dataclass(frozen=True)
class DataInfo(Record):
    """What a model was trained on.

    Attributes:
        corpus: its name; several with their weights for a mixture.
        fingerprint: of the cleaned pairs.
        training_pairs: how many were left.
        dropped: how many were dropped, by reason.
    """

    corpus: str
    fingerprint: str
    training_pairs: int
    dropped: dict[str, int]


@dataclass(frozen=True)
class TrainingInfo(Record):
    """How a model was trained.

    Attributes:
        weights: which ones were kept: a step, or the average of several checkpoints.
        state: `step`, `seconds`, `n_tokens` and all other counters at the end.
        parameters: the number of weights.
    """

    weights: str
    state: TrainingState
    parameters: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data; the counters are on the same level as the rest."""
        return {"weights": self.weights, **vars(self.state), "parameters": self.parameters}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What `to_dict` gave."""
        state = {key: values[key] for key in vars(TrainingState()).keys() & values.keys()}
        return cls(values["weights"], TrainingState(**state), values["parameters"])


@dataclass(frozen=True)
class ModelInfo(Record):
    """A finished run: what `train` returns.

    Attributes:
        preset: the name of the preset.
        data: what the model was trained on.
        training: how, and for how long.
        scores: by split, for instance `info.scores["valid"].bleu.score`.
        environment: device, threads, version of torch, and more.
        confidence: by direction ("en-de"), the fitted confidence as plain data.
    """

    preset: str
    data: DataInfo
    training: TrainingInfo
    scores: dict[str, SplitScores]
    environment: dict[str, Any]
    confidence: dict[str, dict[str, Any]] | None = None
