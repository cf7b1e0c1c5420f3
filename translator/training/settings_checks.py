"""Settings that are allowed but rarely intended: what `doctor` and `train --dry-run` warn about."""

from collections.abc import Iterator
from typing import Any

from data_prep.cleaning.corpus_checks import Finding
from translator.config.schema import Config, TrainConfig
from translator.storage.run_log import duration
from translator.training.measure import Memory, format_size

Figures = dict[str, Any]


def check_settings(
    config: Config, data: Figures, run: Figures, requested_pieces: int, minutes: float | None = None
) -> list[Finding]:
    """Finds settings that are allowed but rarely intended, and limits that the run exceeds.

    Args:
        config: the settings, completed.
        data, run: figures of doctor.py.
        requested_pieces: the vocabulary size that was asked for.
        minutes: after which training would stop.
    """
    warnings = _find_warnings(config, data, run, minutes)
    notes = _find_notes(config, data, run, requested_pieces)
    found = [Finding(name, "warning", text) for name, text in warnings]
    found += [Finding(name, "note", text) for name, text in notes]
    return found + _check_limits(run)


def _find_warnings(
    config: Config, data: Figures, run: Figures, minutes: float | None
) -> Iterator[tuple[str, str]]:
    yield from _check_schedule(config.train)
    yield from _check_rates(config)
    yield from _check_data(config.train, data)
    if minutes is not None and run.get("seconds", 0) > minutes * 60:
        yield (
            "minutes",
            f"The run will be cut off: its steps take about {duration(run['seconds'])}. Use "
            "fewer steps, so that the learning rate still comes down.",
        )


def _check_schedule(c: TrainConfig) -> Iterator[tuple[str, str]]:
    warmup = f"The warm-up (train.warmup_steps = {c.warmup_steps:,})"
    if c.warmup_steps >= c.steps:
        yield (
            "warm-up",
            f"{warmup} is not shorter than the run ({c.steps:,} steps): the learning rate "
            f"never reaches its peak. Use about {max(c.steps // 10, 1):,}.",
        )
    elif c.schedule != "cosine" and c.warmup_steps > (1 - c.cooldown) * c.steps:
        yield (
            "warm-up",
            f"{warmup} is not over when the cooldown begins (after "
            f"{(1 - c.cooldown) * c.steps:,.0f} of {c.steps:,} steps). Use about "
            f"{max(c.steps // 10, 1):,}.",
        )
    if c.validate_every > c.steps:
        yield (
            "validation",
            f"train.validate_every ({c.validate_every:,}) is more than the run's {c.steps:,} "
            "steps: it is only validated at the end.",
        )
    if c.patience * c.validate_every < min(c.warmup_steps, c.steps):
        yield (
            "patience",
            f"The run may end during its warm-up: it stops after {c.patience} validations without "
            f"progress (train.patience), one every {c.validate_every:,} steps.",
        )


def _check_rates(config: Config) -> Iterator[tuple[str, str]]:
    c = config.train
    low, high = (1e-6, 2e-3) if config.model.norm == "post" else (1e-6, 6e-3)
    if c.optimizer != "muon" and not low <= c.peak_lr <= high:
        yield (
            "learning rate",
            f"train.peak_lr = {c.peak_lr:g} is far from what works with {config.model.norm}-norm "
            f"({low * 100:g} to {high:g}).",
        )
    if config.model.dropout > 0.5 or c.label_smoothing > 0.3:
        yield (
            "regularisation",
            f"model.dropout = {config.model.dropout:g} and train.label_smoothing = "
            f"{c.label_smoothing:g} leave little to learn from; typical values are 0.1 to 0.3 for "
            "dropout and 0.1 for label smoothing.",
        )


def _check_data(c: TrainConfig, data: Figures) -> Iterator[tuple[str, str]]:
    if c.max_tokens < data["longest"] + 1:
        yield (
            "batch size",
            f"The longest sentence has {data['longest']:,} pieces, more than train.max_tokens "
            f"({c.max_tokens:,}): its batch will be larger than that. Lower data.max_length or "
            "raise train.max_tokens.",
        )
    dropped, total = sum(data["dropped"].values()), data["pairs"]["train"]
    if dropped > 0.05 * total:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in data["dropped"].items())
        yield (
            "dropped",
            f"{dropped / total:.0%} of the training pairs are dropped ({reasons}). See "
            "data.max_length and data.max_ratio.",
        )
    per_piece = sum(data["tokens"].values()) / data["vocab_size"]
    if per_piece < 30:
        yield (
            "vocabulary",
            f"A piece of the vocabulary occurs only {per_piece:.0f} times in training on average: "
            f"too rarely to be learnt. Use fewer than {data['vocab_size']:,} (--set "
            "data.vocab_size=...).",
        )


def _find_notes(
    config: Config, data: Figures, run: Figures, requested_pieces: int
) -> Iterator[tuple[str, str]]:
    c = config.train
    if data["vocab_size"] < requested_pieces and not (c.init_from or config.data.vocab_from):
        yield (
            "vocabulary",
            f"The corpus is only enough for {data['vocab_size']:,} pieces, not "
            f"{requested_pieces:,}.",
        )
    if c.checkpoint_every > c.steps:
        yield (
            "checkpoints",
            f"train.checkpoint_every ({c.checkpoint_every:,}) is more than the run's steps: an "
            "interrupted run has little to resume from.",
        )
    elif c.keep_checkpoints * c.checkpoint_every > c.steps and c.steps > c.checkpoint_every:
        yield (
            "averaging",
            f"The checkpoints that are averaged at the end ({c.keep_checkpoints}, one every "
            f"{c.checkpoint_every:,} steps) reach back to the beginning of the run.",
        )
    if run["epochs"] < 1:
        yield "epochs", f"The run sees only {run['epochs']:.0%} of the corpus."


def _check_limits(run: Figures) -> list[Finding]:
    findings = []
    if run.get("memory") and (warning := Memory(**run["memory"]).warning()):
        findings.append(warning)
    if run["disk"]["need"] > run["disk"]["free"]:
        text = (
            f"The run needs up to {format_size(run['disk']['need'])} on the disk of "
            f"{run['folder']}, but only {format_size(run['disk']['free'])} are free: make room, or "
            "keep fewer checkpoints (--set train.keep_checkpoints=...)."
        )
        findings.append(Finding("disk", "warning", text))
    return findings
