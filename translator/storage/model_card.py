"""The model card that a finished run writes beside its weights."""

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
    data = config.data
    arrow = "and" if data.bidirectional else "to"
    return f"""{card_header(config, info, folder.name)}
# {folder.name}: {data.src} {arrow} {data.tgt}

A Transformer with {info.training.parameters:,} parameters, trained on `{info.data.corpus}`. It
translates text like its training data, and little else.

## Usage

```bash
translator translate --model {folder} "TEXT"
translator evaluate --model {folder} --data {data.corpus} --split test
```

```python
from translator import Translator

print(Translator.load({json.dumps(str(folder), ensure_ascii=False)}).translate(["TEXT"]))
```
{_scores(config, info)}{_confidence(info.confidence or {})}{_history(config, info)}"""


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


def _scores(config: Config, info: ModelInfo) -> str:
    bar = r"\|"  # a bare bar would end the cell
    rows = [
        f"| {split} | {found.sentences} | {METRIC_NAMES[metric]} | {score.score:.2f} | "
        f"`{score.signature.replace('|', bar)}` |"
        for split, found in info.scores.items()
        for metric, score in found.scores.items()
    ]
    settings = config.search.reported().items()
    return f"""
## Scores

By sacreBLEU, on detokenised text and the weights as they are stored; search:
{", ".join(f"{name.replace('_', ' ')} {value}" for name, value in settings)}.

| split | sentences | metric | score | signature |
|---|---|---|---|---|
{chr(10).join(rows)}

The weights ({info.training.weights}) were chosen on valid; each test split was scored once, after
that.
"""


def _confidence(directions: Mapping[str, Mapping[str, Any]]) -> str:
    """How far the model's confidence can be trusted, if it has one."""
    measured = [
        (direction, kind, ConfidenceQuality.from_dict(found))
        for direction, calibration in directions.items()
        for kind, found in calibration["measured"].items()
    ]
    if not measured:
        return ""
    rows = [
        f"| {direction} | {kind} | {found.sentences} | {_number(found.auc)} | "
        f"{_number(found.auc_log_prob)} | {_number(found.calibration_error)} |"
        for direction, kind, found in measured
    ]
    event = next(iter(directions.values()))["event"]
    return f"""
## Confidence

`translate --confidence` says how likely a translation has a {event}. Measured by cross-validation
on the validation pairs ("own"), on inputs corrupted on purpose, on translations of other sentences
("exchanged"), and on other corpora, if any:

| direction | sentences of | number | AUC | AUC of the log-probability | calibration error |
|---|---|---|---|---|---|
{chr(10).join(rows)}
"""


def _history(config: Config, info: ModelInfo) -> str:
    data, train, sizes = config.data, config.train, config.model
    state, environment = info.training.state, info.environment
    dropped = ", ".join(f"{n} {reason}" for reason, n in info.data.dropped.items()) or "none"
    return f"""
## Data

`{data.corpus}`: {info.data.training_pairs} training pairs (dropped: {dropped}), fingerprint
`{info.data.fingerprint}`. One SentencePiece {data.vocab_type} vocabulary of {sizes.vocab_size}
pieces for both languages.

## Recipe

Preset `{config.preset}`: {sizes.n_encoder_layers} encoder and {sizes.n_decoder_layers} decoder
layers, d_model {sizes.d_model}, d_ff {sizes.d_ff}, {sizes.n_heads} heads, {sizes.norm}-norm,
dropout {sizes.dropout}, down to {min(sizes.dropout, train.cooldown_dropout)} in the cooldown;
{_optimizer(train)}, peak learning rate {train.peak_lr} after
{train.warmup_steps} steps, then {train.schedule}{_cooldown(train)};
{train.max_tokens * train.accum_steps} padded tokens an update, label smoothing
{train.label_smoothing}, clipping at {train.clip_norm}; copy placeholders in {data.copy_rate:.0%} of
the pairs; {_extras(config)}seed {train.seed}. {state.step} updates,
{state.n_tokens:,} target tokens, {state.seconds / 60:.0f} minutes and
{state.cpu_seconds / 60:.0f} core-minutes on {environment["device"]} with
{environment["threads"]} threads, torch {environment["torch"]}. All settings are in `config.json`.

```bash
translator train --data {data.corpus} --src {data.src} --tgt {data.tgt} --preset {config.preset}
```
"""


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _optimizer(train: TrainConfig) -> str:
    betas = f"({train.beta1}, {train.beta2})"
    if train.optimizer != "muon":
        return f"{train.optimizer} {betas}"
    return f"muon with peak rate {train.muon_lr} for the matrices of the layers, else adam {betas}"


def _cooldown(train: TrainConfig) -> str:
    if train.schedule == "cosine" or not train.cooldown:
        return ""
    return f", and over the last {train.cooldown:.0%} of the steps (the cooldown) a line to zero"


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
