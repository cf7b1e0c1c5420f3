"""Training: one update, the loop around it, validation, resume, and the end of a run."""

import logging
import math
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from data_prep.augment import CopyNoise, word_anchors
from data_prep.prepare import prepare_data
from translator.card import model_card
from translator.checkpoint import (
    FORMAT_VERSION,
    Model,
    TrainingState,
    average_weights,
    check_same_run,
    is_whole,
    load_checkpoint,
    load_model,
    move_aside,
    read_run,
    regular_steps,
    resume_candidates,
    rotate,
    save_checkpoint,
    save_model,
)
from translator.config import (
    Config,
    SearchConfig,
    TranslatorError,
    to_dict,
    write_json,
)
from translator.data import Batch, Loader, derive_seed
from translator.evaluate import evaluate_pairs
from translator.losses import loss_sums, validation_loss
from translator.metrics import MetricsLog, Speed, duration
from translator.model import Transformer, count_parameters
from translator.models import pick_device
from translator.optim import (
    build_optimizer,
    dropout_rate,
    learning_rate,
    optimizer_tensors,
    restore_optimizer,
)
from translator.tokenizer import Tokenizer
from translator.translate import Translator

log = logging.getLogger("translator")


def update(
    model: Transformer,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[Batch],
    rate: float,
    label_smoothing: float,
    clip_norm: float,
) -> tuple[float, float, int]:
    """One step: gradients of all micro-batches, divided by all their real target tokens.

    Returns:
        Sum of `-log p` over the target tokens, gradient norm before clipping, target tokens.
    """
    n_tokens = sum(batch.n_tokens for batch in batches)
    nll_total = 0.0
    optimizer.zero_grad(set_to_none=True)
    for batch in batches:
        loss_sum, nll_sum = loss_sums(model, batch, label_smoothing)
        (loss_sum / n_tokens).backward()
        nll_total += float(nll_sum)
    norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm))
    if not math.isfinite(norm):
        raise TranslatorError(
            "The loss is no longer a number. Start anew (--fresh) with a lower rate (--set "
            "train.peak_lr=...) or a longer warm-up (--set train.warmup_steps=...)."
        )
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    return nll_total, norm, n_tokens


class Interrupted(KeyboardInterrupt):
    """The user stopped the run; everything is saved."""


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collects Ctrl-C and SIGTERM; the second one acts at once."""
    received: list[int] = []
    previous: dict[int, Any] = {}

    def note(number: int, _frame: object) -> None:
        received.append(number)
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else previous[number])
        log.warning("Stopping after this update; once more to leave at once.")

    try:
        for number in (int(signal.SIGINT), int(signal.SIGTERM)):
            previous[number] = signal.signal(number, note)
    except ValueError:
        pass  # not the main thread: the caller's affair
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class Run:
    """A training run in a folder."""

    def __init__(self, config: Config, folder: Path, device: torch.device, show_bar: bool = False):
        self.folder = folder
        self.device = device
        self.show_bar = show_bar
        self.state = TrainingState()
        self.metrics = MetricsLog(folder / "metrics.jsonl")
        earlier = read_run(folder)
        tokenizer = Tokenizer.load(folder / "tokenizer.model") if earlier else None
        self.data = prepare_data(config, tokenizer)
        model = replace(config.model, vocab_size=self.data.tokenizer.vocab_size)
        self.config = replace(config, model=model)
        if earlier:
            check_same_run(folder, earlier, self.config, self.data.fingerprint)
        torch.manual_seed(derive_seed(config.train.seed, "init"))
        self.model = Transformer(model).to(device)
        self.optimizer = build_optimizer(self.model, config.train)
        if earlier:
            self._resume()
        else:
            self._begin()

    def _begin(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "tokenizer.model").write_bytes(self.data.tokenizer.model_bytes)
        self.metrics.rewind(-1)
        description = {
            "format_version": FORMAT_VERSION,
            "data": {"fingerprint": self.data.fingerprint},
            "config": to_dict(self.config),
        }
        write_json(self.folder / "config.json", description)

    def _resume(self) -> None:
        for folder in resume_candidates(self.folder):
            try:
                model, tensors, self.state = load_checkpoint(folder)
            except TranslatorError as error:
                log.warning("%s The checkpoint before it is used.", error)
                continue
            self.model.load_state_dict(model.transformer.state_dict())
            restore_optimizer(self.model, self.optimizer, tensors)
            log.info("Going on from step %d.", self.state.step)
            break
        self.metrics.rewind(self.state.step)

    def describe(self) -> str:
        """One line that says what is about to happen."""
        c, data = self.config, self.data
        return (
            f"{c.data.corpus} {c.data.src}-{c.data.tgt}: {len(data.train)} training and "
            f"{len(data.valid)} validation pairs, {data.tokenizer.vocab_size} pieces; preset "
            f"{c.preset}, {count_parameters(self.model) / 1e6:.2f} M parameters, {c.train.steps} "
            f"steps on {self.device}, {torch.get_num_threads()} threads; run folder {self.folder}"
        )

    def _batches(self) -> Iterator[tuple[Batch, tuple[int, int]]]:
        """Batches from the run's position on, with copy placeholders in some of the pairs."""
        noise = None
        if self.config.data.copy_rate > 0:
            anchors = word_anchors(self.data.train[:100_000], self.data.tokenizer)
            noise = CopyNoise(anchors, self.data.tokenizer.copy_ids, self.config.data.copy_rate)
        c = self.config.train
        loader = Loader(self.data.train, c.max_tokens, c.seed, noise)
        return loader.batches(self.state.epoch, self.state.batch)

    def _step(self, batches: Iterator[tuple[Batch, tuple[int, int]]]) -> tuple[float, int]:
        """One update; returns its learning rate and its target tokens."""
        c, state = self.config.train, self.state
        micro_batches = []
        for _ in range(c.accum_steps):
            batch, (state.epoch, state.batch) = next(batches)
            micro_batches.append(batch.to(self.device))
        state.step += 1
        # Dropout depends on the step alone, so a resumed run draws the same numbers.
        torch.manual_seed(derive_seed(c.seed, "update", state.step))
        rate = learning_rate(state.step, c)
        self.model.set_dropout(dropout_rate(state.step, self.config.model.dropout, c))
        nll, norm, n_tokens = update(
            self.model, self.optimizer, micro_batches, rate, c.label_smoothing, c.clip_norm
        )
        state.n_tokens += n_tokens
        state.window_nll += nll
        state.window_norm += norm
        state.window_tokens += n_tokens
        state.window_updates += 1
        return rate, n_tokens

    def loop(self, minutes: float | None = None) -> None:
        """Updates until the last step, `minutes` of this session, or no progress.

        Raises:
            Interrupted: by a signal, after saving.
        """
        c, state = self.config.train, self.state
        batches = self._batches()
        clock = time.monotonic() - state.seconds
        cpu_clock = time.process_time() - state.cpu_seconds
        end = math.inf if minutes is None else time.monotonic() + minutes * 60
        bar = tqdm(
            total=c.steps, initial=state.step, unit="step", disable=not self.show_bar, leave=False
        )
        self.model.train()
        speed = Speed()
        with _stop_signals() as received, bar:
            while state.step < c.steps and state.bad_validations < c.patience:
                rate, n_tokens = self._step(batches)
                state.seconds = time.monotonic() - clock
                state.cpu_seconds = time.process_time() - cpu_clock
                speed.add(n_tokens)
                bar.update()
                if state.step % c.log_every == 0:
                    self._log(rate, speed.take(), bar)
                ending = state.step >= c.steps or time.monotonic() >= end
                improved = False
                if state.step % c.validate_every == 0 or ending:
                    improved = self._validate()
                    ending = ending or state.bad_validations >= c.patience
                    speed.restart()
                if ending or improved or received or state.step % c.checkpoint_every == 0:
                    self.save()
                if received:
                    raise Interrupted(
                        f"Stopped after step {state.step}; the same command goes on there."
                    )
                if ending:
                    break

    def _log(self, rate: float, tokens_per_second: float, bar: Any) -> None:
        state = self.state
        loss = state.window_nll / state.window_tokens
        self.metrics.record(
            state.step,
            epoch=state.epoch,
            lr=rate,
            loss=loss,
            perplexity=math.exp(loss),
            grad_norm=state.window_norm / state.window_updates,
            seconds=round(state.seconds, 1),
            tokens_per_second=round(tokens_per_second, 1),
        )
        state.window_nll = state.window_norm = 0.0
        state.window_tokens = state.window_updates = 0
        left = (self.config.train.steps - state.step) * state.seconds / state.step
        text = (
            f"loss {loss:.3f}, perplexity {math.exp(loss):.2f}, lr {rate:.2e}, "
            f"{tokens_per_second:.0f} target tokens/s"
        )
        bar.set_postfix_str(text)
        if not self.show_bar:
            log.info(
                "step %d/%d: %s, ETA %s",
                self.state.step,
                self.config.train.steps,
                text,
                duration(left),
            )

    def _validate(self) -> bool:
        """Loss, greedy BLEU and three sample translations; whether BLEU is the best so far."""
        self.model.eval()
        loss = validation_loss(self.model, self.data.valid, self.device)
        translator = Translator(Model(self.model, self.data.tokenizer, self.config), self.device)
        pairs = self.data.corpus.splits["valid"]
        search = SearchConfig(beam_size=1, batch_tokens=self.config.search.batch_tokens)
        result, lines = evaluate_pairs(translator, pairs, search, ["bleu"])
        self.model.train()
        bleu = result["scores"]["bleu"]["score"]
        improved = bleu > self.state.best_bleu
        if improved:
            self.state.best_bleu, self.state.best_step = bleu, self.state.step
            self.state.bad_validations = 0
        else:
            self.state.bad_validations += 1
        self.metrics.record(
            self.state.step, valid_loss=loss, valid_perplexity=math.exp(loss), valid_bleu=bleu
        )
        log.info(
            "step %d: validation loss %.3f, perplexity %.2f, BLEU %.2f greedy%s",
            self.state.step,
            loss,
            math.exp(loss),
            bleu,
            " (best)" if improved else f" (best {self.state.best_bleu:.2f})",
        )
        for i in range(0, len(pairs), max(1, -(-len(pairs) // 3))):
            log.info("  %s => %s", pairs[i][0].strip(), lines[i].strip())
        return improved

    def save(self) -> None:
        """Writes a checkpoint and drops those that are no longer needed."""
        c = self.config.train
        info = {"data": {"fingerprint": self.data.fingerprint}, "step": self.state.step}
        save_checkpoint(
            self.folder,
            self.model.state_dict(),
            self.data.tokenizer,
            self.config,
            info,
            optimizer_tensors(self.model, self.optimizer),
            self.state,
        )
        rotate(self.folder, c.checkpoint_every, c.keep_checkpoints, self.state.best_step)

    def finish(self) -> dict[str, Any]:
        """Takes the best step or the average of the last, whichever is better on valid; scores it.

        Returns:
            The scores by split, as in the model's `config.json`.
        """
        c = self.config.train
        kept = regular_steps(self.folder, c.checkpoint_every)[-c.keep_checkpoints :]
        kept = [folder for folder in kept if is_whole(folder)]
        candidates = {f"average of the last {len(kept)} checkpoints": average_weights(kept)}
        best = self.folder / "steps" / str(self.state.best_step)
        if best.is_dir() and is_whole(best):
            candidates[f"step {self.state.best_step}"] = average_weights([best])
        valid = self.data.corpus.splits["valid"]
        results = {}
        for name, weights in candidates.items():
            # Finished models are stored, and therefore scored, in half precision.
            candidates[name] = {key: weight.half() for key, weight in weights.items()}
            self.model.load_state_dict({k: w.float() for k, w in candidates[name].items()})
            results[name], _ = evaluate_pairs(self._translator(), valid)
            log.info("%s: BLEU %.2f on valid", name, results[name]["scores"]["bleu"]["score"])
        chosen = max(results, key=lambda name: results[name]["scores"]["bleu"]["score"])
        self.model.load_state_dict({k: w.float() for k, w in candidates[chosen].items()})
        scores = {"valid": results[chosen]}
        for split, pairs in self.data.corpus.splits.items():
            if split.startswith("test"):
                scores[split], _ = evaluate_pairs(self._translator(), pairs)
        info = {
            "preset": self.config.preset,
            "data": {
                "corpus": self.data.corpus.name,
                "fingerprint": self.data.fingerprint,
                "training_pairs": len(self.data.train),
                "dropped": self.data.dropped,
            },
            "training": {
                "weights": chosen,
                **vars(self.state),
                "device": str(self.device),
                "threads": torch.get_num_threads(),
                "torch": torch.__version__,
                "parameters": count_parameters(self.model),
            },
            "scores": scores,
        }
        save_model(self.folder, candidates[chosen], self.data.tokenizer, self.config, info)
        card = model_card(self.config, info)
        (self.folder / "README.md").write_text(card, encoding="utf-8")
        return info

    def _translator(self) -> Translator:
        return Translator(Model(self.model, self.data.tokenizer, self.config), self.device)


def run_folder(config: Config) -> Path:
    """Where a run goes that names no folder: `checkpoints/CORPUS-SRC-TGT-PRESET`."""
    corpus = config.data.corpus.rstrip("/").replace("hf:", "").replace(":", "-")
    data = config.data
    return Path("checkpoints") / f"{Path(corpus).name}-{data.src}-{data.tgt}-{config.preset}"


def train(
    config: Config,
    folder: Path | None = None,
    *,
    minutes: float | None = None,
    fresh: bool = False,
    device: str = "auto",
    show_bar: bool = False,
) -> dict[str, Any]:
    """Trains a model, or goes on with the run that `folder` holds.

    Args:
        config: all settings.
        folder: the run folder; default `run_folder(config)`.
        minutes: end this session's training after so long, with what there is then.
        fresh: move a run that is already there aside.
        device: `auto`, `cpu`, `cuda` or `mps`.
        show_bar: a progress bar instead of log lines.

    Returns:
        What is known of the finished model: data, training, and scores by split.

    Raises:
        TranslatorError: broken data, or a run with other settings is in the folder.
        Interrupted: Ctrl-C or SIGTERM; all is saved.
    """
    folder = folder or run_folder(config)
    if fresh and (aside := move_aside(folder)):
        log.info("The old run is now %s.", aside)
    run = Run(config, folder, pick_device(device), show_bar)
    before = run.state.step
    log.info(run.describe())
    run.loop(minutes)
    if run.state.step == before and (folder / "model.safetensors").exists():
        log.info("This run is finished; --steps with a higher number goes on, --fresh starts anew.")
        return load_model(folder).info
    return run.finish()
