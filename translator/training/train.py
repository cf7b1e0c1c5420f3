"""Training a model from a config and a folder: the function that a program calls."""

import logging
import os
from contextlib import nullcontext
from pathlib import Path

from data_prep.prepared.prepare import tell
from translator.config.schema import Config
from translator.storage.model_info import ModelInfo
from translator.storage.run_folder import lock_run, move_aside, run_folder
from translator.system.log import show_log_by_default
from translator.system.machine import pick_device
from translator.system.processes import process_group
from translator.training.run import Run
from translator.training.setup import open_run

log = logging.getLogger("translator")


def train(
    config: Config,
    folder: Path | None = None,
    *,
    minutes: float | None = None,
    fresh: bool = False,
    device: str = "auto",
    show_bar: bool = False,
) -> ModelInfo | None:
    """Trains a model, or goes on with the run that `folder` holds.

    It logs to stderr as `translator train` does, unless the program has set up `logging`.
    Under `torchrun` every process calls this; the first one speaks and writes.

    Args:
        config: all settings.
        folder: the run folder; default `run_folder(config)`.
        minutes: end this session's training after so long, with what there is then.
        fresh: move a run that is already there aside.
        device: `auto`, `cpu`, `cuda` or `mps`.
        show_bar: a progress bar instead of log lines.

    Returns:
        What is known of the finished model, for instance `info.scores["valid"].bleu.score`; None
        in all but the first of several processes.

    Raises:
        TranslatorError: broken data, another process trains in the folder, or it holds a run with
            other settings.
        Interrupted: Ctrl-C or SIGTERM; all is saved.
    """
    if os.environ.get("RANK", "0") == "0":
        show_log_by_default()
    folder = folder or run_folder(config)
    chosen = pick_device(device)
    # oneDNN keeps code for this many products, each for one shape. Hardly two batches have the same
    # shape, so its own 1,024 fill gigabytes and save no time. It looks when it is first used.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")
    with process_group(chosen) as ranks:
        if fresh and ranks.first and (aside := move_aside(folder)):
            log.info("The old run is now %s.", aside)
        with lock_run(folder) if ranks.first else nullcontext():
            return _train(open_run(config, folder, chosen, ranks, show_bar), minutes)


def _train(run: Run, minutes: float | None) -> ModelInfo | None:
    before = run.state.step
    if run.ranks.first:
        tell(run.data)
        log.info(run.describe())
    run.loop(minutes)
    info = run.finished() if run.state.step == before else None
    if info is None:
        info = run.finish()
    run.ranks.wait()
    return info
