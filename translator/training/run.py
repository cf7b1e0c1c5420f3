"""A training run in its folder: the loop over updates, validation, resuming and finishing."""

import logging
import math
import os
import platform
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data_prep.prepared.prepare import TrainingData
from translator.config.errors import Interrupted, TranslatorError
from translator.config.schema import Config
from translator.model.batch import Batch
from translator.model.packing import PackedBatch
from translator.model.transformer import Transformer, count_parameters
from translator.storage.model_folder import load_model
from translator.storage.model_info import ModelInfo
from translator.storage.run_folder import resume_candidates, rotate, set_aside
from translator.storage.run_log import MetricsLog
from translator.storage.training_state import TrainingState, load_checkpoint, save_checkpoint
from translator.system.disk import writing
from translator.system.machine import resolve_precision, return_memory
from translator.system.processes import Ranks
from translator.system.seeds import derive_seed
from translator.system.signals import StopSignals, stop_signals
from translator.training.loader import Loader, Position
from translator.training.progress import Progress
from translator.training.update import Updater
from translator.training.validation import Validator

log = logging.getLogger("translator")

MAX_FAILURES = 5  # skipped updates in a row before the run returns to a checkpoint
# Seconds between two returns of freed memory. Tensors of ever new sizes leave gaps in glibc's heap:
# 16 updates of `general` with 3,072 tokens kept 2.8 GB between updates and grew; with this 1 GB.
RETURN_EVERY = 15.0
MAX_FALLBACKS = 3  # returns to a checkpoint before the run gives up


class Run:
    """A training run: its model, its position in the data, and what it writes into its folder.

    `translator.training.setup.open_run` creates one or resumes that in the folder; then call
    `loop` and `finish`.

    Args:
        config: all settings, including the vocabulary size.
        data: the corpus, ready for training.
        batches: gives the batches of all processes.
        folder: the run folder, which must exist.
        device: of this process.
        ranks: which process this is.
        start: the weights to start from; random ones by default.
        show_bar: show a progress bar instead of log lines.
    """

    def __init__(
        self,
        config: Config,
        data: TrainingData,
        batches: Loader,
        folder: Path,
        device: torch.device,
        *,
        ranks: Ranks | None = None,
        start: dict[str, Tensor] | None = None,
        show_bar: bool = False,
    ):
        self.config, self.data, self.batches, self.folder = config, data, batches, folder
        self.device, self.start = device, start
        self.ranks = ranks or Ranks()
        self.show_bar = show_bar and self.ranks.first
        self.state = TrainingState()
        tensorboard = folder / "tensorboard" if config.train.tensorboard else None
        self.metrics = MetricsLog(folder / "metrics.jsonl", tensorboard)
        self.validator = Validator(data, config, device)
        self.model, self.updater = self._build()  # synchronises the processes

    def _build(self) -> tuple[Transformer, Updater]:
        """Builds model and optimizers as they are before the first step."""
        torch.manual_seed(derive_seed(self.config.train.seed, "init"))
        model = Transformer(self.config.model)
        if self.start is not None:
            model.load_state_dict(self.start)
        model.to(self.device)
        return model, Updater(model, self.config.train, self.ranks)

    def resume(self, allow_failing: bool = True) -> None:
        """Resumes from the newest intact checkpoint, or from the start if there is none.

        Unless `allow_failing`, checkpoints with weights that are not finite or written while
        updates failed are not used.
        """
        self.state = TrainingState()
        for folder in resume_candidates(self.folder):
            try:
                model, tensors, state = load_checkpoint(folder)
            except TranslatorError as error:
                log.warning("%s Trying the checkpoint before it.", error)
                continue
            if not allow_failing and (state.failures or not is_finite(model.transformer)):
                continue
            self.state = state
            self.updater.restore(model.transformer.state_dict(), tensors)
            self.updater.rate_scale = self.state.rate_scale
            if self.ranks.first:
                log.info("Continuing from step %d.", self.state.step)
            break
        else:
            log.warning("There is no intact checkpoint: starting from the beginning.")
        if self.ranks.first:
            with writing_run(self.folder):
                set_aside(self.folder, self.state.step)
                self.metrics.rewind(self.state.step)

    def describe(self) -> str:
        """Describes the run in one line."""
        c, data, ranks = self.config, self.data, self.ranks
        processes = f"{ranks.world_size} processes, " if ranks.world_size > 1 else ""
        return (
            f"{c.data.corpus} {c.data.src}-{c.data.tgt}: {len(data.train)} training and "
            f"{len(data.valid)} validation pairs, {data.tokenizer.vocab_size} pieces; preset "
            f"{c.preset}, {count_parameters(self.model) / 1e6:.2f} M parameters, {c.train.steps} "
            f"steps on {self.device} in {self.updater.precision}, {processes}"
            f"{torch.get_num_threads()} threads; run folder {self.folder}"
        )

    def training_batches(self) -> Iterator[tuple[Batch | PackedBatch, Position]]:
        """This process's share of the batches, starting at the run's position."""
        c, gpu = self.config.train, self.device.type == "cuda"
        loader = replace(
            self.batches,
            rank=self.ranks.rank,
            world_size=self.ranks.world_size,
            workers=c.workers if c.workers >= 0 else (_choose_workers() if gpu else 0),
            pin_memory=gpu,
        )
        return loader.batches(self.state.epoch, self.state.batch)

    def step(self, batches: Iterator[tuple[Batch | PackedBatch, Position]]) -> int:
        """Makes one update; returns its number of target tokens."""
        c, state = self.config.train, self.state
        micro_batches = []
        for _ in range(c.accum_steps):
            batch, (state.epoch, state.batch) = next(batches)
            micro_batches.append(batch)
        state.step += 1
        n_tokens = self.updater.update(micro_batches, state.step)
        state.n_tokens += n_tokens
        if self.device.type == "cpu" or state.step % c.log_every == 0:
            self._count_outcomes()  # on a GPU this waits for the device, so it is done rarely
        return n_tokens

    def _count_outcomes(self) -> None:
        """Adds the outcomes of the updates since the last call to the state."""
        state = self.state
        for outcome in self.updater.take_outcomes():
            state.failures = state.failures + 1 if outcome.skipped else 0
            state.left_out += outcome.skipped
            if not outcome.skipped:
                state.window_nll += outcome.nll_sum
                state.window_norm += outcome.norm
                state.window_tokens += outcome.n_tokens
                state.window_updates += 1

    def _fall_back(self) -> None:
        """Returns to the last checkpoint with half the learning rate."""
        fallbacks, scale = self.state.fallbacks + 1, self.state.rate_scale / 2
        if fallbacks > MAX_FALLBACKS:
            raise TranslatorError(
                f"Training keeps failing near step {self.state.step}: its updates are not finite "
                "or far too large. Start again (--fresh) with a lower rate (--set "
                "train.peak_lr=...) or a longer warm-up (--set train.warmup_steps=...)."
            )
        failed = self.state.step
        problem = f"{MAX_FAILURES} updates in a row were skipped"
        if not is_finite(self.model):
            problem = "The weights are not finite"
        self.model, self.updater = self._build()
        self.resume(allow_failing=False)
        self.state.fallbacks, self.state.rate_scale = fallbacks, scale
        self.updater.rate_scale = scale
        if self.ranks.first:
            log.warning(
                "%s at step %d: back to step %d, with %g times the learning rate.",
                *(problem, failed, self.state.step, scale),
            )

    def loop(self, minutes: float | None = None) -> None:
        """Trains until the last step, for `minutes`, or until BLEU no longer improves.

        Raises:
            Interrupted: by a signal, after saving.
            TranslatorError: the updates keep failing.
        """
        c, state = self.config.train, self.state
        batches = self.training_batches()
        clock = time.monotonic() - state.seconds
        cpu_clock = time.process_time() - state.cpu_seconds
        end = math.inf if minutes is None else time.monotonic() + minutes * 60
        progress = Progress(c, self.metrics, state.step, self.show_bar)
        return_at = time.monotonic() + RETURN_EVERY
        with stop_signals() as received, progress.bar:
            while state.validation_due or (
                state.step < c.steps and state.bad_validations < c.patience
            ):
                if not state.validation_due:
                    progress.count_update(self.step(batches))
                    state.seconds = time.monotonic() - clock
                    state.cpu_seconds = time.process_time() - cpu_clock
                    if self.device.type == "cpu" and time.monotonic() >= return_at:
                        return_memory()
                        return_at = time.monotonic() + RETURN_EVERY
                    if state.step % c.log_every == 0 and state.failures < MAX_FAILURES:
                        self._report(progress)
                out_of_time = self.ranks.first and time.monotonic() >= end
                stopped, ended = self.ranks.sum(len(received), out_of_time)
                ending = state.step >= c.steps
                improved = False
                due = state.validation_due or state.step % c.validate_every == 0 or ending
                if due and state.failures < MAX_FAILURES:
                    improved = self._validate(progress, received)
                    (stopped,) = self.ranks.sum(len(received))
                    ending = ending or state.bad_validations >= c.patience
                    progress.speed.restart()
                if state.failures >= MAX_FAILURES:
                    self._fall_back()
                    state, batches = self.state, self.training_batches()
                    progress.go_back(state.step)
                    continue
                # Running out of time is no reason to validate: that would count towards patience
                # and change how the run continues.
                ending = ending or ended > 0
                if ending or improved or stopped or state.step % c.checkpoint_every == 0:
                    self.save()
                if ending or stopped:
                    break
            (stopped,) = self.ranks.sum(len(received))  # including signals received while saving
            if stopped:
                raise Interrupted(
                    f"Stopped after step {state.step}; the same command continues from there."
                )

    def _report(self, progress: Progress) -> None:
        """Reports the updates since the last call."""
        state = self.state
        if self.ranks.first:
            with writing_run(self.folder):
                progress.report_updates(state)
        state.window_nll = state.window_norm = 0.0
        state.window_tokens = state.window_updates = 0

    def _validate(self, progress: Progress, stop: StopSignals) -> bool:
        """Validates; returns whether greedy BLEU is the best so far.

        A stop interrupts the validation, which is then due when the run continues. Weights that
        are not finite count as enough failures for the run to fall back.
        """
        state = self.state
        state.validation_due = True
        found = None
        if self.ranks.first:
            # Eager, because validation batches have many shapes.
            with (
                suppress(Interrupted),
                stop.at_once(),
                torch.compiler.set_stance("force_eager"),
            ):
                found = self.validator.validate(self.updater.eval_model)
        bleu, loss = self.ranks.from_first(*((found.bleu, found.loss) if found else (-1.0, 0.0)))
        if bleu < 0:
            return False
        state.validation_due = False
        if not math.isfinite(loss):
            state.failures = MAX_FAILURES
            return False
        improved = bleu > state.best_bleu
        state.bad_validations = 0 if improved else state.bad_validations + 1
        if improved:
            state.best_bleu, state.best_step = bleu, state.step
        if found:
            with writing_run(self.folder):
                progress.report_validation(state, found)
        return improved

    def save(self) -> None:
        """Writes a checkpoint and deletes those that are no longer needed."""
        c = self.config.train
        self._count_outcomes()
        if not self.ranks.first:
            return
        info = {"data": {"fingerprint": self.data.fingerprint}, "step": self.state.step}
        with writing_run(self.folder):
            self.metrics.sync()
            save_checkpoint(
                self.folder,
                self.updater.eval_model.state_dict(),
                self.data.tokenizer,
                self.config,
                info,
                self.updater.tensors(),
                self.state,
            )
            rotate(self.folder, c.checkpoint_every, c.keep_checkpoints, self.state.best_step)

    def load_finished(self) -> ModelInfo | None:
        """The description of the finished MODEL; None if it is incomplete or of another step.

        The process may have been killed between writing any two of its files.
        """
        if not self.ranks.first:
            return None
        try:
            info = load_model(self.folder).info
        except TranslatorError:
            return None
        same_step = info.get("training", {}).get("step") == self.state.step
        if not (same_step and (self.folder / "README.md").exists()):
            return None
        log.info("This run is finished; a higher --steps continues it, --fresh starts again.")
        return ModelInfo.from_dict(info)

    def finish(self) -> ModelInfo | None:
        """Writes the finished MODEL in the first process; see `Validator.finish`."""
        if not self.ranks.first:
            return None
        with writing_run(self.folder), torch.compiler.set_stance("force_eager"):
            environment = describe_environment(self.config, self.device, self.ranks)
            return self.validator.finish(self.model, self.folder, self.state, environment)


def is_finite(model: Transformer) -> bool:
    """Whether all weights are finite."""
    return all(bool(weight.isfinite().all()) for weight in model.parameters())


def _choose_workers() -> int:
    """How many processes prepare batches for a GPU; with noise each makes 150,000 tokens/s."""
    return max(min((os.cpu_count() or 2) - 1, 12), 1)


writing_run = partial(writing, then="then continues from the last checkpoint")


def describe_environment(config: Config, device: torch.device, ranks: Ranks) -> dict[str, Any]:
    """Everything besides the settings that the exact numbers of a run depend on."""
    return {
        "torch": torch.__version__,
        "device": str(device),
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "processes": ranks.world_size,
        "precision": resolve_precision(config.train.precision, device),
    }
