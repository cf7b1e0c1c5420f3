"""Training a model from a config and a folder: the function that programs call."""

import logging
import os
from contextlib import nullcontext
from pathlib import Path

from data_prep.prepared.prepare import log_summary
from translator.config.schema import Config
from translator.storage.model_info import ModelInfo
from translator.storage.run_folder import lock_run, move_aside, run_folder
from translator.system.log import show_log_by_default
from translator.system.machine import pick_device
from translator.system.processes import process_group
from translator.training.run import Run
from translator.training.setup import open_run

log = logging.getLogger("translator")

FEW_PAIRS = 100  # no translator is learnt from fewer


def train(
    config: Config,
    folder: Path | None = None,
    *,
    minutes: float | None = None,
    fresh: bool = False,
    device: str = "auto",
    show_bar: bool = False,
) -> ModelInfo | None:
    """Trains a model, or resumes the run in `folder`.

    It logs to stderr like `translator train`, unless the program has configured `logging`. Under
    `torchrun` every process calls this; only the first one logs and writes.

    Args:
        config: all settings.
        folder: the run folder; default `run_folder(config)`.
        minutes: stop training after this many minutes and finish the model as it is then.
        fresh: move an existing run aside and start a new one.
        device: `auto`, `cpu`, `cuda` or `mps`.
        show_bar: show a progress bar instead of log lines.

    Returns:
        The description of the finished model, for instance `info.scores["valid"].bleu.score`; None
        in all processes but the first.

    Raises:
        TranslatorError: the data are broken, another process trains in the folder, or it holds a
            run with other settings.
        Interrupted: Ctrl-C or SIGTERM; everything is saved.
    """
    if os.environ.get("RANK", "0") == "0":
        show_log_by_default()
    folder = folder or run_folder(config)
    chosen = pick_device(device)
    # oneDNN caches code for this many products, each for one shape, and reads the variable on first
    # use. Of large batches hardly any two have the same shape: its default of 1,024 takes gigabytes
    # there and saves no time. Small and packed ones have few; an update with small ones then takes
    # half the time, one with packed ones needs hardly any code.
    few_shapes = config.train.max_tokens <= 1024 or config.train.pack or config.train.compile
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "1024" if few_shapes else "128")
    with process_group(chosen) as ranks:
        if fresh and ranks.first and (aside := move_aside(folder)):
            log.info("Moved the old run to %s.", aside)
        with lock_run(folder) if ranks.first else nullcontext():
            return _train(open_run(config, folder, chosen, ranks, show_bar), minutes)


def _train(run: Run, minutes: float | None) -> ModelInfo | None:
    first_step = run.state.step
    if run.ranks.first:
        log_summary(run.data)
        log.info(run.describe())
        if len(run.data.train) < FEW_PAIRS:
            log.warning(
                f"{len(run.data.train):,} training pairs teach no translator: it takes thousands, "
                "or a model to go on from (--init-from)."
            )
    run.loop(minutes)
    info = run.load_finished() if run.state.step == first_step else None
    if info is None:
        info = run.finish()
    run.ranks.wait()
    return info
