"""The model card that a finished run writes beside its weights; model_card.md is its text."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from translator.config.schema import Config, TrainConfig
from translator.storage.model_info import ModelInfo
from translator.storage.scores import METRIC_NAMES, ConfidenceQuality


def model_card(config: Config, info: ModelInfo, folder: Path) -> str:
    """A `README.md` for a MODEL in a folder: how to use it, its scores, how it was made.

    It begins with the header that the hub of Hugging Face reads.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined
    )
    text = Path(__file__).with_suffix(".md").read_text(encoding="utf-8")
    directions = info.confidence or {}
    return environment.from_string(text).render(
        header=card_header(config, info, folder.name),
        folder=folder,
        load=json.dumps(str(folder), ensure_ascii=False),
        info=info,
        config=config,
        metric_names=METRIC_NAMES,
        confidence=list(_confidence_rows(directions)),
        event=next((calibration["event"] for calibration in directions.values()), ""),
        optimizer=_optimizer(config.train),
        extras=_extras(config),
    )


def card_header(config: Config, info: ModelInfo, name: str, licence: str = "unknown") -> str:
    """The YAML header of a card, which the hub reads; a JSON value is a YAML value."""

    def results() -> Iterator[dict[str, Any]]:
        for split, found in info.scores.items():
            values = [
                {"type": metric, "name": METRIC_NAMES[metric], "value": round(score.score, 2)}
                for metric, score in found.scores.items()
            ]
            dataset = {"name": info.data.corpus, "type": info.data.corpus, "split": split}
            yield {"task": {"type": "translation"}, "dataset": dataset, "metrics": values}

    metrics = {metric: None for found in info.scores.values() for metric in found.scores}
    values = {
        "license": licence,  # what the corpus allows is for its user to say
        "language": [config.data.src, config.data.tgt],
        "pipeline_tag": "translation",
        "library_name": "small-nmt",
        "metrics": [metric for metric in metrics if metric in ("bleu", "chrf", "ter")],
        "model-index": [{"name": name, "results": list(results())}],
    }
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    return "\n".join(["---", *lines, "---", ""])


def _confidence_rows(directions: Mapping[str, Mapping[str, Any]]) -> Iterator[list[str]]:
    """How far the model's confidence can be trusted, for each direction and kind of sentence."""
    for direction, calibration in directions.items():
        for kind, found in calibration["measured"].items():
            quality = ConfidenceQuality.from_dict(found)
            figures = (quality.auc, quality.auc_log_prob, quality.calibration_error)
            shown = ("-" if value is None else f"{value:.3f}" for value in figures)
            yield [direction, kind, str(quality.sentences), *shown]


def _optimizer(train: TrainConfig) -> str:
    betas = f"({train.beta1}, {train.beta2})"
    if train.optimizer != "muon":
        return f"{train.optimizer} {betas}"
    return f"muon with peak rate {train.muon_lr} for the matrices of the layers, else adam {betas}"


def _extras(config: Config) -> str:
    """The techniques that are on, each with its strength."""
    names = {
        "data": ("unigram_alpha",),
        "train": ("weight_decay", "ema_decay", "word_dropout", "r_drop", "simcut", "init_from"),
    }
    found = [
        f"{name} {value}"
        for section, keys in names.items()
        for name in keys
        if (value := getattr(getattr(config, section), name))
    ]
    return "".join(f"{text}; " for text in found)
