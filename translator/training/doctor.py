"""What a run will do and need, and whether its data are sound, reported before the first step."""

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from data_prep.cleaning.corpus_checks import ALIGNMENT, Finding, check_corpus
from data_prep.prepared.prepare import TrainingData
from data_prep.prepared.report import describe_pieces
from data_prep.sources.corpus import open_corpus, split_mixture
from translator.config.errors import TranslatorError
from translator.config.schema import Config, ModelConfig
from translator.model.transformer import Transformer, count_parameters
from translator.storage.model_folder import step_folders
from translator.storage.run_folder import check_same_run
from translator.storage.run_log import duration
from translator.training.loader import Batches, BatchSampler, Loader
from translator.training.measure import format_size, largest_batch, measure_speed, probe_memory
from translator.training.settings_checks import check_settings
from translator.training.setup import build_batches, find_start, load_data

MAX_CHECKED = 100_000  # pairs of a split that are checked; faults of a corpus show in these


@dataclass
class Report:
    """The result of `examine`: figures by section and name, and findings."""

    data: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def broken(self) -> bool:
        """Whether the data must be fixed first."""
        return any(finding.severity == "broken" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data, for JSON."""
        findings = [asdict(finding) for finding in self.findings]
        return {"broken": self.broken, "data": self.data, "run": self.run, "findings": findings}

    def lines(self) -> list[str]:
        """The report as lines of text."""
        lines: list[str] = []
        for title, entries in (("Data", _data_rows(self.data)), ("Run", _run_rows(self.run))):
            lines += [title, *(f"  {name:<14} {text}" for name, text in entries), ""]
        order = {"broken": 0, "warning": 1, "note": 2}
        ranked = sorted(self.findings, key=lambda finding: order[finding.severity])
        lines += [f"{finding.severity.capitalize()}: {finding.text}" for finding in ranked]
        counts = [sum(f.severity == name for f in self.findings) for name in ("broken", "warning")]
        if self.broken:
            lines.append("The data are broken: fix them first.")
        elif counts[1]:
            lines.append("Training can start; see the warnings first.")
        else:
            lines.append("No problems found: training can start.")
        return lines


def _data_rows(data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    src, tgt = data["languages"]
    yield "corpus", f"{data['corpus']}, {src} to {tgt}"
    yield "pairs", ", ".join(f"{count:,} {name}" for name, count in data["pairs"].items())
    if data["dropped"]:
        yield "dropped", ", ".join(f"{n:,} {reason}" for reason, n in data["dropped"].items())
    yield "tokens", f"{data['tokens'][src]:,} {src}, {data['tokens'][tgt]:,} {tgt} in training"
    yield "vocabulary", f"{data['vocab_size']:,} pieces for both languages"
    for name, text in (("pieces/word", "pieces_per_word"), ("unknown", "unknown_rate")):
        form = ".2f" if text == "pieces_per_word" else ".3%"
        parts = [f"{data[text][language]:{form}} {language}" for language in (src, tgt)]
        yield name, ", ".join(parts) + (" of the pieces are bytes" if name == "unknown" else "")
    yield "longest", f"{data['longest']:,} pieces"
    yield "lines", "source and target are aligned" if data["aligned"] else "see below"


def _run_rows(run: dict[str, Any]) -> Iterator[tuple[str, str]]:
    resumes = f" (continues from step {run['step']:,})" if run["step"] else ""
    yield "folder", run["folder"] + resumes
    yield "model", f"preset {run['preset']}, {run['parameters'] / 1e6:.2f} M parameters"
    yield "device", f"{run['device']}, {run['precision']}, {run['threads']} threads"
    yield "steps", f"{run['steps']:,} updates = {run['epochs']:.1f} passes over the corpus"
    padding = ", ".join(f"{share:.1%} {side}" for side, share in run["padding"].items())
    yield "batches", f"{run['batches']:,} per epoch; padding: {padding}"
    yield "an update", f"{run['tokens_per_update']:,.0f} target tokens on average"
    if run.get("memory"):
        need, free = run["memory"]["need"], run["memory"]["available"]
        free_text = f"; {format_size(free)} free" if free else ""
        yield "memory", f"{format_size(need)}; largest batch {run['memory']['batch']}{free_text}"
    if run.get("tokens_per_second"):
        yield "speed", f"{run['tokens_per_second']:,.0f} target tokens/s"
        yield "time", f"{duration(run['seconds'])} for the updates, without validation"
    yield "disk", f"{format_size(run['disk']['need'])}; {format_size(run['disk']['free'])} free"


def examine(
    config: Config,
    folder: Path,
    device: torch.device,
    *,
    fresh: bool = False,
    minutes: float | None = None,
    measure: bool = True,
) -> Report:
    """Examines everything `train` would start from; writes nothing but the prepared corpus.

    Args:
        config: as for `train`.
        folder: the run folder, which need not exist.
        device: what the run would use.
        fresh: whether an earlier run in the folder would be moved aside.
        minutes: after which training would stop.
        measure: make some updates to measure memory and speed.

    Raises:
        TranslatorError: the data cannot be read at all.
    """
    report = Report()
    start = find_start(config, folder, fresh)
    findings = check_corpora(config)
    requested_pieces = config.data.vocab_size
    try:
        config, data = load_data(config, start.tokenizer)
    except TranslatorError as error:
        broken = [finding.text for finding in findings if finding.severity == "broken"]
        raise TranslatorError(" ".join([*broken[:1], str(error)])) from None
    if start.earlier:
        try:
            check_same_run(folder, start.earlier, config, data.fingerprint)
        except TranslatorError as error:
            report.findings.append(Finding("run", "warning", str(error)))

    report.data = describe_data(data, config)
    report.findings += findings
    report.data["aligned"] = not {finding.name for finding in findings} & ALIGNMENT
    steps = [int(path.name) for path in step_folders(folder)] if start.earlier else []
    step = max(steps, default=0)
    report.run = {"folder": str(folder), "step": step, "preset": config.preset}
    report.run |= {"disk": estimate_disk(config, folder)}
    report.run |= _describe_run(config, data, device, step, measure)
    report.findings += check_settings(config, report.data, report.run, requested_pieces, minutes)
    return report


def _describe_run(
    config: Config, data: TrainingData, device: torch.device, step: int, measure: bool
) -> dict[str, Any]:
    """What the updates after `step` will be like; if asked for, some are made."""
    c = config.train
    loader = build_batches(config, data, device, copies=False)
    batches = loader.sampler.epoch(0)
    run = {
        "device": str(device),
        "threads": torch.get_num_threads(),
        **describe_batches(loader.sampler, batches, config),
    }
    if not measure:
        return run | {"precision": c.precision, "parameters": _count_weights(config.model)}
    run |= _measure(config, loader, batches, device)
    tokens_left = max(c.steps - step, 0) * run["tokens_per_update"]
    return run | {"seconds": round(tokens_left / run["tokens_per_second"])}


def check_corpora(config: Config) -> list[Finding]:
    """Finds faults of the corpora as they are before cleaning."""
    src, tgt = config.data.src, config.data.tgt
    findings = []
    parts = split_mixture(config.data.corpus)
    for name, _ in parts:
        sources = open_corpus(name, src, tgt)
        splits = {split: list(islice(pairs(), MAX_CHECKED)) for split, pairs in sources.items()}
        for found in check_corpus(splits, src, tgt, config.clean) if splits.get("train") else ():
            text = f"{name}: {found.text}" if len(parts) > 1 else found.text
            findings.append(replace(found, text=text))
    return findings


def describe_data(data: TrainingData, config: Config) -> dict[str, Any]:
    """Figures about the corpus as the model will see it."""
    languages = (config.data.src, config.data.tgt)
    n_pairs = data.train.n_forward
    lengths = data.train.lengths[:, :n_pairs]
    tokens = (lengths.sum(dim=1) + n_pairs).tolist()  # each sentence ends with EOS
    return {
        "corpus": config.data.corpus,
        "languages": languages,
        "pairs": {
            "train": sum(int(c.manifest["report"]["before"]["pairs"]) for c in data.corpora),
            **{name: len(pairs) for name, pairs in data.splits.items()},
        },
        "dropped": data.dropped,
        "tokens": dict(zip(languages, tokens, strict=True)),
        "vocab_size": data.tokenizer.vocab_size,
        **describe_pieces(data).to_dict(),
        "longest": int(lengths.max()),
    }


def describe_batches(sampler: BatchSampler, batches: Batches, config: Config) -> dict[str, Any]:
    """Figures about the run's epochs: batches, share of padding by side, updates and epochs."""
    padding = {}
    lengths = sampler.lengths(0)
    if sampler.row_length:
        rooms = [len(batches) * sampler.n_rows * sampler.row_length] * 2
    else:
        rooms = (batches.longest(lengths) * batches.sizes).sum(1).tolist()
    for side, row, room in zip(("source", "target"), lengths, rooms, strict=True):
        used = int(row[batches.indices].sum())
        padding[side] = round(1 - used / room, 4)
    per_epoch = len(batches) / config.train.accum_steps
    return {
        "steps": config.train.steps,
        "batches": len(batches),
        "epochs": round(config.train.steps / per_epoch, 2),
        "padding": padding,
        "tokens_per_update": round(used / per_epoch, 1),  # of the target side
    }


def _measure(
    config: Config, loader: Loader, batches: Batches, device: torch.device
) -> dict[str, Any]:
    """Measures memory with the largest batch and speed with typical ones."""
    largest = largest_batch(loader.sampler, batches, config.model)
    memory = probe_memory(config, loader.load(largest), device)
    _, tgt_lengths = loader.sampler.lengths(0)
    ranked = sorted(batches, key=lambda batch: int(tgt_lengths[batch].sum()))
    typical = ranked[max(len(ranked) // 2 - 1, 0) :][:3]
    speed, updater = measure_speed(config, [loader.load(indices) for indices in typical], device)
    return {
        "precision": updater.precision,
        "parameters": count_parameters(updater.model),
        "memory": asdict(memory) if memory else None,
        "tokens_per_second": round(speed, 1),
    }


def _count_weights(model: ModelConfig) -> int:
    with torch.device("meta"):
        return count_parameters(Transformer(model))


def estimate_disk(config: Config, folder: Path) -> dict[str, int]:
    """The most bytes a run occupies at any time, and the bytes that are free on its disk."""
    c = config.train
    weights = 4 * _count_weights(config.model)  # fp32
    state = weights * (2 + (c.ema_decay > 0))  # two moments, and the raw weights next to an average
    # On disk are the last checkpoints, the best one, and one being written; three of them have a
    # training state. The finished model is in half precision.
    kept = min(c.keep_checkpoints, -(-c.steps // c.checkpoint_every)) + 2
    need = kept * weights + min(kept, 3) * state + weights // 2
    existing = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    return {"need": need, "free": shutil.disk_usage(existing).free}
