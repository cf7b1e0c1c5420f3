"""The progress of a run: log lines or a bar, and the same numbers in its metrics file."""

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from textwrap import shorten
from typing import Any

from tqdm import tqdm

from translator.config.schema import TrainConfig
from translator.storage.run_log import MetricsLog, Speed, duration
from translator.storage.training_state import TrainingState
from translator.training.optim import learning_rate
from translator.training.validation import Validation

log = logging.getLogger("translator")

MOST_SHOWN = 160  # characters of a sample: what repeats itself early on says no more in full


@contextmanager
def stage_bars(show: bool) -> Iterator[Callable[[str, int], None]]:
    """Shows a bar for each stage of preparing a corpus; yields the function that counts pairs."""
    bars: dict[str, Any] = {}
    names = {"read": "reading", "clean": "cleaning", "encode": "encoding"}

    def count(stage: str, n_pairs: int) -> None:
        if stage not in bars or (bars[stage].total and bars[stage].n >= bars[stage].total):
            total = bars["read"].n if stage == "clean" else None
            bars[stage] = tqdm(
                total=total, desc=names[stage], unit="pair", unit_scale=True, disable=not show
            )
        bars[stage].update(n_pairs)

    try:
        yield count
    finally:
        for bar in bars.values():
            bar.close()


class Progress:
    """Reports the progress of one session of a run.

    Args:
        config: the recipe.
        metrics: where the numbers are recorded.
        step: the last completed step.
        show_bar: show a progress bar instead of log lines.
    """

    def __init__(self, config: TrainConfig, metrics: MetricsLog, step: int, show_bar: bool):
        self.config = config
        self.metrics = metrics
        self.show_bar = show_bar
        self.speed = Speed()
        self.bar: Any = tqdm(
            total=config.steps,
            initial=step,
            desc="training",
            unit="step",
            disable=not show_bar,
            leave=False,
        )

    def count_update(self, n_tokens: int) -> None:
        """Counts an update with `n_tokens` target tokens."""
        self.speed.add(n_tokens)
        self.bar.update()

    def go_back(self, step: int) -> None:
        """Moves the bar back to an earlier step."""
        self.bar.reset(self.config.steps)
        self.bar.update(step)

    def report_updates(self, state: TrainingState) -> None:
        """Reports the updates since the last call, whose sums are in `state`."""
        c, speed = self.config, self.speed.take()
        loss = state.window_nll / max(state.window_tokens, 1)
        rate = learning_rate(state.step, c) * state.rate_scale
        skipped = {"left_out": state.left_out} if state.left_out else {}
        self.metrics.record(
            state.step,
            epoch=state.epoch,
            lr=rate,
            loss=loss,
            perplexity=math.exp(loss),
            grad_norm=state.window_norm / max(state.window_updates, 1),
            **skipped,
            seconds=round(state.seconds, 1),
            tokens_per_second=round(speed, 1),
        )
        text = (
            f"loss {loss:.3f}, perplexity {math.exp(loss):.2f}, lr {rate:.2e}, "
            f"{speed:.0f} target tokens/s"
        )
        if skipped:
            text += f", {state.left_out} updates skipped"
        self.bar.set_postfix_str(text)
        if not self.show_bar:
            eta = duration((c.steps - state.step) * state.seconds / state.step)
            log.info("step %d/%d: %s, ETA %s", state.step, c.steps, text, eta)

    def report_validation(self, state: TrainingState, found: Validation) -> None:
        """Reports the result of a validation, and three translations."""
        self.metrics.record(
            state.step,
            valid_loss=found.loss,
            valid_perplexity=math.exp(found.loss),
            valid_bleu=found.bleu,
        )
        best = " (best)" if state.best_step == state.step else f" (best {state.best_bleu:.2f})"
        log.info(
            "step %d: validation loss %.3f, perplexity %.2f, BLEU %.2f greedy%s",
            *(state.step, found.loss, math.exp(found.loss), found.bleu, best),
        )
        if found.collapse:  # samples would only be more of the same
            log.warning(found.collapse)
            return
        for source, translation in found.samples:
            log.info("  %s => %s", source, shorten(translation, MOST_SHOWN, placeholder=" ..."))
