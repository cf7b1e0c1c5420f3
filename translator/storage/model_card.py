"""The model card that a finished run writes beside its weights."""

from typing import Any

from translator.config.schema import Config, TrainConfig


def model_card(config: Config, info: dict[str, Any]) -> str:
    """A `README.md` for a MODEL: what it is, its scores, data, recipe, and how to use it."""
    bar = r"\|"
    data, train, training = config.data, config.train, info["training"]
    sizes, search, environment = config.model, config.search, info["environment"]
    rows = [  # a bar would end the cell
        f"| {split} | {result['sentences']} | {name} | {score['score']:.2f} | "
        f"`{score['signature'].replace('|', bar)}` |"
        for split, result in info["scores"].items()
        for name, score in result["scores"].items()
    ]
    dropped = ", ".join(f"{n} {reason}" for reason, n in info["data"]["dropped"].items()) or "none"
    arrow = "and" if data.bidirectional else "to"
    return f"""# {data.src} {arrow} {data.tgt}, trained on {info["data"]["corpus"]}

A Transformer with {training["parameters"]:,} parameters (preset `{config.preset}`). It translates
text like its training data, and little else.

## Scores

Cased and detokenised, by sacreBLEU on the weights as they are stored; search:
{", ".join(f"{name.replace('_', ' ')} {value}" for name, value in search.reported().items())}.

| split | sentences | metric | score | signature |
|---|---|---|---|---|
{chr(10).join(rows)}

The weights ({training["weights"]}) were chosen on valid; each test split was scored once, after
that.
{_confidence(info.get("confidence", {}))}
## Data

`{data.corpus}`: {info["data"]["training_pairs"]} training pairs (dropped: {dropped}),
fingerprint `{info["data"]["fingerprint"]}`. One SentencePiece {data.vocab_type} vocabulary of
{sizes.vocab_size} pieces for both languages.

## Recipe

{sizes.n_encoder_layers} encoder and {sizes.n_decoder_layers} decoder layers,
d_model {sizes.d_model}, d_ff {sizes.d_ff}, {sizes.n_heads} heads, {sizes.norm}-norm, dropout
{sizes.dropout}, down to {min(sizes.dropout, train.cooldown_dropout)} in the cooldown;
{_optimizer(train)}, peak learning rate {train.peak_lr} after
{train.warmup_steps} steps, then {train.schedule}{_cooldown(train)};
{train.max_tokens * train.accum_steps} padded tokens an update, label smoothing
{train.label_smoothing}, clipping at {train.clip_norm}; copy placeholders in {data.copy_rate:.0%} of
the pairs; {_extras(config)}seed {train.seed}. {training["step"]} updates,
{training["n_tokens"]:,} target tokens, {training["seconds"] / 60:.0f} minutes and
{training["cpu_seconds"] / 60:.0f} core-minutes on {environment["device"]} with
{environment["threads"]} threads, torch {environment["torch"]}. All settings are in `config.json`.

```bash
translator train --data {data.corpus} --src {data.src} --tgt {data.tgt} --preset {config.preset}
translator evaluate --model FOLDER --data {data.corpus} --split test
translator translate --model FOLDER "TEXT"
```
"""


def _confidence(directions: dict[str, Any]) -> str:
    """What the model knows of how far it can be trusted, if it does."""
    rows = [
        f"| {direction} | {kind} | {found['sentences']} | {_number(found['auc'])} | "
        f"{_number(found['auc_log_prob'])} | {_number(found['calibration_error'])} |"
        for direction, calibration in directions.items()
        for kind, found in calibration["measured"].items()
    ]
    if not rows:
        return ""
    event = next(iter(directions.values()))["event"]
    return f"""
## Confidence

`translate --confidence` says how likely a translation has a {event}. By cross-validation on
the validation pairs ("own"), on inputs spoilt on purpose, on translations of other sentences
("exchanged"), and on other corpora, if any:

| direction | sentences of | number | AUC | AUC of the log-probability | calibration error |
|---|---|---|---|---|---|
{chr(10).join(rows)}
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
