"""Everything before the first update of a run, as functions that each do one step.

`open_run` calls them in order; `doctor` uses the same ones to examine a run before it starts.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from data_prep.augmentation.augment import build_augmentation
from data_prep.prepared.prepare import TrainingData, prepare_data
from translator.config.errors import TranslatorError
from translator.config.loading import to_dict
from translator.config.schema import Config
from translator.model.packing import row_length
from translator.storage.model_folder import FORMAT_VERSION, Model, load_model
from translator.storage.run_folder import check_same_run, read_run, write_run
from translator.storage.run_log import MetricsLog
from translator.system.processes import Ranks
from translator.text.tokenizer import Tokenizer
from translator.training.loader import BatchSampler, Loader
from translator.training.measure import largest_batch, probe_memory
from translator.training.progress import stage_bars
from translator.training.run import Run, describe_environment, writing_run

log = logging.getLogger("translator")


@dataclass(frozen=True)
class Start:
    """What a run starts from: its own folder, another model, or nothing."""

    earlier: dict[str, Any] | None = None  # the description of the run in the folder
    base: Model | None = None  # the model named by `train.init_from`
    tokenizer: Tokenizer | None = None  # of either


def find_start(config: Config, folder: Path, fresh: bool = False) -> Start:
    """Finds what the run starts from; with `fresh`, the content of the folder is ignored.

    Raises:
        TranslatorError: the run in the folder or the model to start from is damaged.
    """
    earlier = None if fresh else read_run(folder)
    base = load_model(Path(config.train.init_from)) if config.train.init_from else None
    if earlier:
        return Start(earlier, base, Tokenizer.load(folder / "tokenizer.model"))
    return Start(None, base, base.tokenizer if base else None)


def load_data(
    config: Config, tokenizer: Tokenizer | None, show_bar: bool = False
) -> tuple[Config, TrainingData]:
    """Prepares the corpus; returns it with the settings, completed with its vocabulary size."""
    with stage_bars(show_bar) as progress:
        data = prepare_data(config, tokenizer, progress=progress)
    return with_vocabulary(config, data.tokenizer), data


def with_vocabulary(config: Config, tokenizer: Tokenizer) -> Config:
    """The settings with the vocabulary size of `tokenizer`."""
    return replace(config, model=replace(config.model, vocab_size=tokenizer.vocab_size))


def build_batches(
    config: Config, data: TrainingData, device: torch.device, copies: bool = True
) -> Loader:
    """Builds what gives the batches of each epoch, with their pairs augmented.

    Without `copies` no placeholders are inserted: learning where they go takes long, and they
    hardly change any lengths.
    """
    settings = config.data if copies else replace(config.data, copy_rate=0.0)
    augmentation = build_augmentation(settings, data.train, data.tokenizer, config.noise)
    # Compiled layers and GPUs need a fixed shape.
    packed = config.train.pack or config.train.compile or device.type == "cuda"
    sampler = BatchSampler(
        *(data.train.lengths, config.train.max_tokens, config.train.seed, data.weights),
        row_length=row_length(config.data.max_length) if packed else 0,
        stretch=augmentation.stretch if augmentation else None,
    )
    return Loader(data.train, sampler, augmentation)


def warn_if_memory_is_short(
    config: Config, batches: Loader, device: torch.device, ranks: Ranks
) -> None:
    """Warns if the largest batch may not fit in memory and the system may kill the process."""
    if device.type != "cpu":
        return  # on a GPU it is an error that can be handled
    indices = largest_batch(batches.sampler, batches.sampler.epoch(0), config.model)
    memory = probe_memory(config, batches.load(indices), device, ranks)
    if memory and (finding := memory.warning()):
        log.warning(finding.text)


def create_run(folder: Path, data: TrainingData, config: Config, environment: Any) -> None:
    """Writes the files that make the folder a run."""
    description = {
        "format_version": FORMAT_VERSION,
        "data": {"fingerprint": data.fingerprint},
        "environment": environment,
        "config": to_dict(config),
    }
    with writing_run(folder):
        write_run(folder, data.tokenizer, description)
        MetricsLog(folder / "metrics.jsonl").rewind(-1)


def open_run(
    config: Config,
    folder: Path,
    device: torch.device,
    ranks: Ranks | None = None,
    show_bar: bool = False,
) -> Run:
    """Opens the run in a folder, or creates one, ready for the next update.

    Raises:
        TranslatorError: the data are broken, or the folder holds a run with other settings.
    """
    ranks = ranks or Ranks()
    device = ranks.device(device)
    if not ranks.first:
        ranks.wait()  # until the first process has created the folder
    start = find_start(config, folder)
    if start.earlier and start.tokenizer:
        # Checked first, because preparing a different corpus may take long.
        same = start.earlier["data"]["fingerprint"]
        check_same_run(folder, start.earlier, with_vocabulary(config, start.tokenizer), same)
    config, data = load_data(config, start.tokenizer, show_bar and ranks.first)
    if start.base:
        check_sizes(start.base.config, config)
    batches = build_batches(config, data, device)
    environment = describe_environment(config, device, ranks)
    if start.earlier:
        check_same_run(folder, start.earlier, config, data.fingerprint)
        changes = _changes(start.earlier.get("environment", {}), environment)
        if changes and ranks.first:
            log.warning(
                "This run continues in a different environment (%s), so its results may differ in "
                "the last bits.",
                "; ".join(changes),
            )
    else:
        warn_if_memory_is_short(config, batches, device, ranks)
        create_run(folder, data, config, environment)
    if ranks.first:
        ranks.wait()
    weights = start.base.transformer.state_dict() if start.base else None
    run = Run(config, data, batches, folder, device, ranks=ranks, start=weights, show_bar=show_bar)
    if start.earlier:
        run.resume()
    (step,) = ranks.from_first(run.state.step)
    if step != run.state.step:
        raise TranslatorError(
            f"The processes do not see the same checkpoints in {folder}: it must be on a disk that "
            "all of them share."
        )
    return run


def check_sizes(base: Config, config: Config) -> None:
    """Raises TranslatorError if the model to start from has a different architecture."""
    ours, theirs = (replace(c.model, dropout=0.0) for c in (config, base))
    changes = _changes(vars(theirs), vars(ours))
    if changes:
        raise TranslatorError(
            f"{config.train.init_from} has a different architecture ({'; '.join(changes)}): omit "
            "--preset and model.* to use its own."
        )


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [f"{k}: {v} -> {new[k]}" for k, v in old.items() if k in new and new[k] != v]
