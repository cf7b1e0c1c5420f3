"""Training: micro-batches, resume bit for bit, signals, and a task that must be learnt."""

import json
import math
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch.testing import assert_close

from data_prep.augmentation.augment import build_augmentation
from data_prep.prepared.prepare import prepare_data
from translator.config.errors import Interrupted, TranslatorError
from translator.config.schema import (
    CleanConfig,
    Config,
    DataConfig,
    ModelConfig,
    NoiseConfig,
    TrainConfig,
)
from translator.evaluation.evaluate import evaluate_pairs
from translator.model.batch import collate
from translator.model.transformer import Transformer
from translator.storage.model_folder import load_model, read_description, step_folders
from translator.storage.training_state import load_checkpoint
from translator.system.processes import Ranks
from translator.training import measure
from translator.training import run as running
from translator.training.losses import validation_loss
from translator.training.optim import learning_rate
from translator.training.setup import open_run
from translator.training.train import train
from translator.training.update import Updater
from translator.training.validation import Validator
from translator.translation.result import Translation
from translator.translation.translator import Translator

TIMINGS = {"seconds", "tokens_per_second"}
PAIRS = [([5, 6, 7, 8], [9, 10]), ([11], [12, 13, 14]), ([15, 16], [17]), ([18], [19, 20])]


@pytest.fixture
def settings(tiny_config: Config) -> Callable[..., Config]:
    """`tiny_config` with changes to its [train] section, and perhaps noise."""

    def change(noise: NoiseConfig = tiny_config.noise, **changes: Any) -> Config:
        return replace(tiny_config, noise=noise, train=replace(tiny_config.train, **changes))

    return change


def metrics(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in TIMINGS} for line in lines]


def state(run: Path, step: int) -> dict[str, Any]:
    values = json.loads((run / "steps" / str(step) / "training.json").read_text())["state"]
    return {k: v for k, v in values.items() if k not in ("seconds", "cpu_seconds")}


def same_checkpoint(one: Path, other: Path, step: int) -> bool:
    """Bit for bit: weights and optimizer; and all counters but the clocks."""
    names = ("model.safetensors", "training.safetensors")
    files = [[(r / "steps" / str(step) / n).read_bytes() for n in names] for r in (one, other)]
    return files[0] == files[1] and state(one, step) == state(other, step)


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes a signal arrive in the middle of the n-th update from now on."""

    def arrange(n: int, number: int = signal.SIGTERM) -> None:
        calls = iter(range(1, 1000))
        update = Updater.update
        monkeypatch.setattr("translator.training.setup.probe_memory", lambda *arguments: None)

        def update_and_signal(*arguments: Any) -> Any:
            if next(calls) == n:
                signal.raise_signal(number)
            return update(*arguments)

        monkeypatch.setattr(Updater, "update", update_and_signal)

    return arrange


def test_validation_loss_is_the_mean_over_tokens(make_model) -> None:
    model = make_model()
    total = n_tokens = 0.0
    for pair in PAIRS:
        batch = collate([pair])
        logits = model(batch.src, batch.tgt_in)[0]
        total += F.cross_entropy(logits, batch.tgt_out[0], reduction="sum").item()
        n_tokens += len(pair[1]) + 1
    found = validation_loss(model, PAIRS, torch.device("cpu"))
    assert found == pytest.approx(total / n_tokens, rel=1e-5)


# Whole runs.


@pytest.fixture(scope="module")
def six_steps(tiny_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "six"
    train(tiny_config, run, device="cpu")
    return run


def test_six_steps_are_three_and_three(six_steps: Path, settings, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(settings(steps=3), run, device="cpu")
    assert not (run / "steps" / "6").exists()
    train(settings(steps=6), run, device="cpu")
    assert same_checkpoint(six_steps, run, 6)
    assert metrics(run) == metrics(six_steps)
    assert (run / "model.safetensors").read_bytes() == (
        six_steps / "model.safetensors"
    ).read_bytes()


def test_the_seed_decides(six_steps: Path, settings, tmp_path: Path) -> None:
    for seed, name in ((1, "same"), (2, "other")):
        train(settings(seed=seed), tmp_path / name, device="cpu")
    assert same_checkpoint(six_steps, tmp_path / "same", 6)
    weights = [r / "steps" / "6" / "model.safetensors" for r in (six_steps, tmp_path / "other")]
    assert weights[0].read_bytes() != weights[1].read_bytes()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_run_continues_unchanged(
    six_steps: Path, tiny_config: Config, tmp_path: Path, stop_at, monkeypatch, number: int
) -> None:
    run = tmp_path / "run"
    handler = signal.getsignal(number)
    stop_at(2, number)
    with pytest.raises(Interrupted, match="step 2"):
        train(tiny_config, run, device="cpu")
    assert signal.getsignal(number) == handler
    assert load_checkpoint(run / "steps" / "2")[2].step == 2
    assert load_model(run).info["step"] == 2  # usable as it is
    monkeypatch.undo()
    train(tiny_config, run, device="cpu")
    assert same_checkpoint(six_steps, run, 6)
    assert metrics(run) == metrics(six_steps)


def test_a_stop_between_two_log_lines_changes_none_of_them(
    settings, tmp_path: Path, stop_at, monkeypatch
) -> None:
    config = settings(log_every=3)
    train(config, tmp_path / "whole", device="cpu")
    stop_at(2)
    with pytest.raises(Interrupted):
        train(config, tmp_path / "stopped", device="cpu")
    monkeypatch.undo()
    train(config, tmp_path / "stopped", device="cpu")
    assert metrics(tmp_path / "stopped") == metrics(tmp_path / "whole")


def test_a_stop_does_not_change_the_finished_model(
    six_steps: Path, tiny_config: Config, tmp_path: Path, stop_at, monkeypatch
) -> None:
    """The checkpoint that it adds is no part of the average."""
    run = tmp_path / "run"
    stop_at(2)
    with pytest.raises(Interrupted):
        train(tiny_config, run, device="cpu")
    monkeypatch.undo()
    train(tiny_config, run, device="cpu")
    assert (run / "model.safetensors").read_bytes() == (
        six_steps / "model.safetensors"
    ).read_bytes()


def test_a_damaged_newest_checkpoint_is_skipped(
    six_steps: Path, settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    train(settings(steps=4, checkpoint_every=2), run, device="cpu")
    newest = run / "steps" / "4" / "training.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    assert [folder.name for folder in step_folders(run)][-2:] == ["3", "4"]
    train(settings(steps=6, checkpoint_every=2), run, device="cpu")
    assert "training.safetensors is damaged" in caplog.text
    for name in ("model.safetensors", "training.safetensors"):
        files = [r / "steps" / "6" / name for r in (six_steps, run)]
        assert files[0].read_bytes() == files[1].read_bytes()
    assert metrics(run) == metrics(six_steps)


def test_a_damaged_checkpoint_does_not_break_the_end_of_a_run(
    settings, tmp_path: Path, stop_at, monkeypatch
) -> None:
    """Its step is not written again: it was saved because of a signal."""
    run = tmp_path / "run"
    config = settings(steps=6, validate_every=2, checkpoint_every=2)
    stop_at(3)
    with pytest.raises(Interrupted):
        train(config, run, device="cpu")
    monkeypatch.undo()
    damaged = run / "steps" / "3" / "model.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    train(config, run, device="cpu")
    assert load_model(run).info["training"]["step"] == 6


def test_resume_with_another_setting_names_it_and_both_values(
    six_steps: Path, tmp_path: Path, settings, tiny_config: Config
) -> None:
    run = tmp_path / "run"
    shutil.copytree(six_steps, run)
    with pytest.raises(TranslatorError, match=r"train\.peak_lr: 0\.01 -> 0\.02"):
        train(settings(peak_lr=0.02), run, device="cpu")
    other = replace(tiny_config, model=replace(tiny_config.model, d_ff=64))
    with pytest.raises(TranslatorError, match=r"model\.d_ff: 32 -> 64"):
        train(other, run, device="cpu")


def test_resume_with_another_corpus_is_an_error(
    corpus_folder: Path, tiny_config: Config, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus"
    shutil.copytree(corpus_folder, corpus)
    config = replace(tiny_config, data=replace(tiny_config.data, corpus=str(corpus)))
    train(config, tmp_path / "run", device="cpu")
    lines = (corpus / "train.de").read_text(encoding="utf-8").splitlines(keepends=True)
    (corpus / "train.de").write_text("".join(["Hallo.\n", *lines[1:]]), encoding="utf-8")
    with pytest.raises(TranslatorError, match="the corpus"):
        train(config, tmp_path / "run", device="cpu")


def test_a_finished_run_is_not_changed(six_steps: Path, tiny_config: Config) -> None:
    before = {p: p.stat().st_mtime_ns for p in six_steps.rglob("*.safetensors")}
    info = train(tiny_config, six_steps, device="cpu")
    assert info.to_dict()["scores"] == load_model(six_steps).info["scores"]
    assert {p: p.stat().st_mtime_ns for p in six_steps.rglob("*.safetensors")} == before


def test_fresh_moves_the_old_run_aside(settings, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(settings(steps=1), run, device="cpu")
    train(settings(steps=1, seed=2), run, fresh=True, device="cpu")
    assert (tmp_path / "run.1" / "model.safetensors").exists()
    assert load_model(run).config.train.seed == 2


def test_two_sessions_cannot_train_in_one_folder(
    six_steps: Path, settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, update, refused = tmp_path / "run", Updater.update, []

    def update_beside_another(self: Updater, batches: Any, step: int) -> int:
        if step == 4:
            before = sorted(run.rglob("*"))
            for fresh in (False, True):
                in_use = f"The run folder {run} is in use by process {os.getpid()} "
                with pytest.raises(TranslatorError, match=in_use):
                    train(settings(), run, device="cpu", fresh=fresh)
                refused.append(fresh)
            assert sorted(run.rglob("*")) == before
        return update(self, batches, step)

    monkeypatch.setattr(Updater, "update", update_beside_another)
    train(settings(), run, device="cpu")
    assert refused == [False, True]
    weights = [(folder / "model.safetensors").read_bytes() for folder in (run, six_steps)]
    assert weights[0] == weights[1]
    assert not (run / ".lock").exists()


def test_a_run_that_cannot_begin_leaves_no_folder(settings, tmp_path: Path) -> None:
    config = settings()
    config = replace(config, data=replace(config.data, corpus=str(tmp_path / "nowhere")))
    with pytest.raises(TranslatorError, match="nowhere"):
        train(config, tmp_path / "run", device="cpu")
    assert list(tmp_path.iterdir()) == []


def test_freed_memory_is_returned_now_and_then(
    settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    returned: list[None] = []
    monkeypatch.setattr(running, "return_memory", lambda: returned.append(None))
    train(settings(steps=2), tmp_path / "a")
    assert not returned
    monkeypatch.setattr(running, "RETURN_EVERY", 0.0)
    train(settings(steps=2), tmp_path / "b")
    assert len(returned) == 2
    assert same_checkpoint(tmp_path / "a", tmp_path / "b", 2)


@pytest.mark.parametrize("n_pairs", [1, 5])
def test_a_far_too_small_corpus_is_named(
    settings, tmp_path: Path, caplog: pytest.LogCaptureFixture, n_pairs: int
) -> None:
    lines = [f"{name} runs to the house.\t{name} läuft zum Haus.\n" for name in "ABCDE"]
    (tmp_path / "few.tsv").write_text("".join(lines[:n_pairs]))
    config = settings(steps=1)
    config = replace(config, data=replace(config.data, corpus=str(tmp_path / "few.tsv")))
    if n_pairs == 1:  # it is held out for validation
        with pytest.raises(TranslatorError, match=r"no usable pairs \(dropped: none; for valid"):
            train(config, tmp_path / "run")
        return
    train(config, tmp_path / "run")
    assert "training pairs teach no translator" in caplog.text


def test_other_settings_are_named_before_a_corpus_is_prepared(
    six_steps: Path, settings, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(
        "translator.training.setup.prepare_data", lambda *_, **__: pytest.fail("was prepared")
    )
    with pytest.raises(TranslatorError, match=r"train\.seed: 1 -> 2"):
        train(settings(seed=2), six_steps, device="cpu")


def test_minutes_end_a_run_with_a_model(settings, tmp_path: Path) -> None:
    run = tmp_path / "run"
    info = train(settings(steps=1000), run, minutes=0, device="cpu")
    assert info.training.state.step == 1
    assert load_model(run).info["scores"].keys() == {"valid", "test"}
    assert train(settings(steps=1000), run, minutes=0, device="cpu").training.state.step == 2


def test_minutes_change_nothing_in_the_end(six_steps: Path, settings, tmp_path: Path) -> None:
    run = tmp_path / "run"
    for _ in range(5):
        train(settings(steps=6), run, minutes=0, device="cpu")
    train(settings(steps=6), run, device="cpu")
    assert same_checkpoint(six_steps, run, 6)
    assert metrics(run) == metrics(six_steps)


class ElsewhereRanks(Ranks):
    """The first process of these has gone on from step 7."""

    def from_first(self, *values: float) -> list[float]:
        return [7.0]


def test_processes_that_see_other_checkpoints_are_named(settings, tmp_path: Path) -> None:
    with pytest.raises(TranslatorError, match="disk that all of them share"):
        open_run(settings(), tmp_path / "run", torch.device("cpu"), ElsewhereRanks())


def test_no_progress_ends_a_run(settings, tmp_path: Path) -> None:
    config = settings(steps=1000, validate_every=1, patience=2, peak_lr=1e-12)
    assert train(config, tmp_path / "run", device="cpu").training.state.step == 3


def test_accumulated_batches_are_consumed_once(settings, tmp_path: Path) -> None:
    """Two updates of two micro-batches stand where four updates of one stand."""
    runs = {}
    for accum_steps, steps in ((1, 4), (2, 2)):
        runs[accum_steps] = tmp_path / str(accum_steps)
        train(settings(accum_steps=accum_steps, steps=steps), runs[accum_steps], device="cpu")
    one, two = state(runs[1], 4), state(runs[2], 2)
    assert [one[k] for k in ("epoch", "batch", "n_tokens")] == [
        two[k] for k in ("epoch", "batch", "n_tokens")
    ]


def test_a_run_folder_has_the_documented_files(six_steps: Path, tiny_config: Config) -> None:
    for name in ("config.json", "tokenizer.model", "metrics.jsonl", "model.safetensors"):
        assert (six_steps / name).is_file()
    for folder in step_folders(six_steps):
        assert load_model(folder).config.data == tiny_config.data
    lines = metrics(six_steps)
    assert [line["step"] for line in lines if "lr" in line] == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in lines if "valid_bleu" in line] == [3, 6]
    for line in lines:
        if "lr" in line:
            assert line["perplexity"] == pytest.approx(math.exp(line["loss"]), rel=1e-3)


def test_a_finished_model_is_stored_in_half_precision(six_steps: Path) -> None:
    stored = load_file(six_steps / "model.safetensors")
    assert {weight.dtype for weight in stored.values()} == {torch.float16}


def test_the_scores_of_a_model_are_those_of_its_stored_weights(six_steps: Path) -> None:
    translator = Translator.load(six_steps, device="cpu")
    data = prepare_data(translator.model.config, translator.model.tokenizer)
    for split in ("valid", "test"):
        result, _ = evaluate_pairs(translator, data.splits[split])
        assert result.to_dict()["scores"] == translator.model.info["scores"][split]["scores"]


def test_test_sets_are_not_scored_while_recipes_are_compared(six_steps, settings, tmp_path) -> None:
    found = train(settings(score_tests=False), tmp_path / "run", device="cpu").scores
    theirs = read_description(six_steps)["scores"]
    assert set(theirs) == {"valid", "test"} and set(found) == {"valid"}
    assert found["valid"].to_dict()["scores"] == theirs["valid"]["scores"]


def test_a_finished_model_has_the_scores_that_were_asked_for(settings, tmp_path) -> None:
    config = settings(metrics="bleu,multi30k_bleu", steps=1)
    found = train(config, tmp_path / "run", device="cpu").scores
    assert all(list(result.scores) == ["bleu", "multi30k_bleu"] for result in found.values())
    for wrong in ("chrf", "bleu,meteor", ""):
        with pytest.raises(TranslatorError, match=r"train\.metrics"):
            settings(metrics=wrong)


def test_a_missing_package_is_missed_before_the_run(settings, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sacremoses", None)
    with pytest.raises(TranslatorError, match="pip install"):
        train(settings(metrics="bleu,multi30k_bleu"), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run" / "steps").exists()


def test_data_that_cannot_be_used_is_an_error(tiny_config: Config, tmp_path: Path) -> None:
    for split in ("train", "valid"):
        for side in ("en", "de"):
            (tmp_path / f"{split}.{side}").write_text("\n\n" if side == "de" else "The dog.\n\n")
    config = replace(tiny_config, data=replace(tiny_config.data, corpus=str(tmp_path)))
    with pytest.raises(TranslatorError, match=r"side \"de\" is empty"):
        prepare_data(config)
    for side in ("en", "de"):
        (tmp_path / f"train.{side}").unlink()
    with pytest.raises(TranslatorError, match="no training pairs"):
        prepare_data(config)


def test_copying_is_learnt(tmp_path: Path) -> None:
    rng = random.Random(1)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    strings = {" ".join(rng.choices("abcdefgh", k=rng.randint(3, 7))) for _ in range(2200)}
    lines = sorted(strings)
    rng.shuffle(lines)
    for split, part in (("test", lines[:100]), ("valid", lines[100:150]), ("train", lines[150:])):
        for language in ("en", "de"):
            (corpus / f"{split}.{language}").write_text("".join(line + "\n" for line in part))
    config = Config(
        model=ModelConfig(64, 128, 4, 2, 2, dropout=0.0, norm="pre"),
        data=DataConfig(corpus=str(corpus), vocab_size=320, copy_rate=0.0),
        clean=CleanConfig(enabled=False),  # copies are no translations
        train=TrainConfig(
            steps=400,
            max_tokens=1000,
            peak_lr=3e-3,
            warmup_steps=100,
            validate_every=400,
            checkpoint_every=400,
        ),
    )
    train(config, tmp_path / "run", device="cpu")
    translator = Translator.load(tmp_path / "run", device="cpu")
    search = translator.search_config(beam_size=1)
    pairs = [(line, line) for line in lines[:100]]
    result, _ = evaluate_pairs(translator, pairs, search, ["bleu"])
    assert result.bleu.score > 98


# What goes wrong on the way.


@pytest.fixture
def spoil(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Updater, int], bool]], None]:
    """Makes the gradients of some updates no numbers."""

    def arrange(bad: Callable[[Updater, int], bool]) -> None:
        update = Updater.update
        monkeypatch.setattr("translator.training.setup.probe_memory", lambda *arguments: None)

        def spoilt(self: Updater, batches: Any, step: int) -> int:
            if not bad(self, step):
                return update(self, batches, step)
            hook = self.model.embedding.weight.register_hook(lambda grad: grad * math.nan)
            try:
                return update(self, batches, step)
            finally:
                hook.remove()

        monkeypatch.setattr(Updater, "update", spoilt)

    return arrange


def test_single_bad_updates_are_skipped_and_counted(
    settings, tmp_path: Path, spoil, caplog
) -> None:
    spoil(lambda updater, step: step in (2, 5))
    caplog.set_level("INFO")
    info = train(settings(), tmp_path / "run", device="cpu")
    assert info.training.state.left_out == 2 and info.training.state.fallbacks == 0
    lines = {line["step"]: line for line in metrics(tmp_path / "run") if "lr" in line}
    assert "left_out" not in lines[1]
    assert [lines[step]["left_out"] for step in (2, 4, 5, 6)] == [1, 1, 2, 2]
    assert "2 updates skipped" in caplog.text


def test_many_in_a_row_lead_back_with_half_the_rate(
    settings, tmp_path: Path, spoil, caplog
) -> None:
    """Updates fail until the rate is halved; the run continues from step 3."""
    spoil(lambda updater, step: step > 4 and updater.rate_scale == 1.0)
    info = train(settings(steps=12), tmp_path / "run", device="cpu")
    assert "back to step 3, with 0.5 times the learning rate" in caplog.text
    assert info.training.state.fallbacks == 1 and info.training.state.step == 12
    lines = [line for line in metrics(tmp_path / "run") if "lr" in line]
    assert [line["step"] for line in lines] == list(range(1, 13))
    plain = learning_rate(12, settings(steps=12).train)
    assert lines[-1]["lr"] == pytest.approx(plain / 2)


def test_a_fallback_without_a_checkpoint_starts_from_scratch(
    settings, tmp_path: Path, spoil
) -> None:
    spoil(lambda updater, step: updater.rate_scale == 1.0)
    info = train(settings(), tmp_path / "run", device="cpu")
    assert info.training.state.fallbacks == 1 and info.training.state.left_out == 0


def test_a_run_that_never_works_ends_with_advice(settings, tmp_path: Path, spoil) -> None:
    spoil(lambda updater, step: step > 4)
    with pytest.raises(TranslatorError, match=r"train\.peak_lr"):
        train(settings(steps=20), tmp_path / "run", device="cpu")
    assert load_checkpoint(tmp_path / "run" / "steps" / "3")[2].step == 3


@pytest.fixture
def explode(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes a weight infinite after a step, as long as the learning rate is whole."""

    def arrange(bad_step: int) -> None:
        update = Updater.update

        def exploding(self: Updater, batches: Any, step: int) -> int:
            n_tokens = update(self, batches, step)
            if step == bad_step and self.rate_scale == 1.0:
                with torch.no_grad():
                    self.model.embedding.weight[7] = math.inf
            return n_tokens

        monkeypatch.setattr(Updater, "update", exploding)

    return arrange


@pytest.mark.parametrize("step", [6, 5, 12])  # at a validation, before one, at the last step
def test_weights_that_are_not_finite_are_not_searched_with(
    settings, tmp_path: Path, explode, caplog, monkeypatch, step: int
) -> None:
    """The validation ends at once, and the run goes back to a step with sound weights."""
    explode(step)
    score = Validator._score

    def score_sound(self: Validator, model: Transformer, *arguments: Any) -> Any:
        assert all(bool(weight.isfinite().all()) for weight in model.parameters())
        return score(self, model, *arguments)

    monkeypatch.setattr(Validator, "_score", score_sound)
    changes = {"steps": 12, "checkpoint_every": 1, "keep_checkpoints": 12}
    info = train(settings(**changes), tmp_path / "run", device="cpu")
    assert "The weights are not finite at step" in caplog.text
    assert f"back to step {step - 1}, with 0.5 times the learning rate" in caplog.text
    assert info and info.training.state.fallbacks == 1 and info.training.state.step == 12
    assert all(math.isfinite(line["loss"]) for line in metrics(tmp_path / "run") if "loss" in line)


def test_a_resumed_fall_back_is_the_same(settings, tmp_path: Path, spoil, stop_at) -> None:
    """Stopped among the failing updates and gone on with."""
    bad = lambda updater, step: step > 4 and updater.rate_scale == 1.0  # noqa: E731
    spoil(bad)
    train(settings(steps=12), tmp_path / "whole", device="cpu")
    with pytest.MonkeyPatch.context() as patch:
        update, calls = Updater.update, iter(range(1, 1000))
        patch.setattr("translator.training.setup.probe_memory", lambda *arguments: None)

        def stop(*arguments: Any) -> Any:
            if next(calls) == 6:
                signal.raise_signal(signal.SIGTERM)
            return update(*arguments)

        patch.setattr(Updater, "update", stop)
        with pytest.raises(Interrupted):
            train(settings(steps=12), tmp_path / "parts", device="cpu")
    train(settings(steps=12), tmp_path / "parts", device="cpu")
    weights = [tmp_path / r / "steps/12/model.safetensors" for r in ("whole", "parts")]
    assert load_checkpoint(weights[1].parent)[2].fallbacks == 1
    assert len({path.read_bytes() for path in weights}) == 1


def test_other_surroundings_are_named(six_steps: Path, settings, tmp_path: Path, caplog) -> None:
    run = tmp_path / "run"
    shutil.copytree(six_steps, run)
    description = json.loads((run / "config.json").read_text())
    assert description["environment"]["processes"] == 1
    description["environment"] |= {"torch": "1.13.1", "threads": 64}
    (run / "config.json").write_text(json.dumps(description))
    train(settings(steps=7), run, device="cpu")
    assert "torch: 1.13.1 ->" in caplog.text and "threads: 64 ->" in caplog.text


def test_a_batch_too_large_for_the_memory_is_named_before_step_1(
    settings, tmp_path: Path, caplog, monkeypatch
) -> None:
    monkeypatch.setattr(measure, "available_memory", lambda device: 1 << 20)
    train(settings(steps=1), tmp_path / "run", device="cpu")
    assert "train.max_tokens" in caplog.text and "1 MiB are free" in caplog.text


def test_a_collapse_is_named_at_validation(settings, tmp_path: Path, caplog, monkeypatch) -> None:
    def same(self: Any, lines: list[str], *arguments: Any, **options: Any) -> list[Translation]:
        return [Translation(line, "Ein Hund.", 0.0) for line in lines]

    monkeypatch.setattr(Translator, "translate_lines", same)
    train(settings(steps=1), tmp_path / "run", device="cpu")
    assert "translations are the same" in caplog.text or "one sentence" in caplog.text, caplog.text


# Techniques, through whole runs.


@pytest.mark.parametrize(
    "changes",
    [
        {"ema_decay": 0.9},
        {"r_drop": 5.0},
        {"simcut": 3.0},
        {"word_dropout": 0.2},
        {"optimizer": "muon"},
        {"precision": "bf16"},
        {"accum_steps": 2},
        {"pack": True},
        {"noise": NoiseConfig(scale=2.0)},
    ],
)
def test_each_technique_resumes_bit_for_bit(settings, tmp_path: Path, changes) -> None:
    train(settings(**changes), tmp_path / "whole", device="cpu")
    for steps in (2, 6):
        train(settings(steps=steps, **changes), tmp_path / "parts", device="cpu")
    for name in ("model.safetensors", "training.safetensors"):
        files = [tmp_path / run / "steps" / "6" / name for run in ("whole", "parts")]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_sampled_segmentations_are_other_ones_and_resume(
    tiny_config: Config, tmp_path: Path
) -> None:
    config = replace(tiny_config, data=replace(tiny_config.data, unigram_alpha=0.2))
    for name, chosen in (("sampled", config), ("plain", tiny_config)):
        train(chosen, tmp_path / name, device="cpu")
    for steps in (2, 6):
        shorter = replace(config, train=replace(config.train, steps=steps))
        train(shorter, tmp_path / "parts", device="cpu")
    weights = {
        run: (tmp_path / run / "steps" / "6" / "model.safetensors").read_bytes()
        for run in ("sampled", "plain", "parts")
    }
    assert weights["sampled"] == weights["parts"] != weights["plain"]


def test_both_directions_in_one_model(tiny_config: Config, tmp_path: Path) -> None:
    config = replace(tiny_config, data=replace(tiny_config.data, bidirectional=True))
    run = tmp_path / "run"
    info = train(config, run, device="cpu")
    assert info.scores.keys() == {"valid", "valid_de-en", "test", "test_de-en"}
    model = load_model(run)
    assert model.directions == [("en", "de"), ("de", "en")]
    there, back = (Translator(model, direction=direction) for direction in model.directions)
    lines = [src for src, _ in prepare_data(config).splits["test"]]
    assert there.translate(lines) != back.translate(lines)
    # The same scores as a model that is told the direction by its own settings.
    assert Translator.load(run, src="de", tgt="en", device="cpu").tgt == "en"
    assert Translator.load(run, device="cpu").tgt == "de"
    found = there.attention(lines[0])[0]
    assert found.src_pieces[0] != "<2de>" and found.weights.shape[-1] == len(found.src_pieces)
    assert_close(found.weights.sum(-1), torch.ones(found.weights.shape[:-1]))


def test_the_tag_is_what_decides(tiny_config: Config, tmp_path: Path) -> None:
    """Training pairs of both directions, each led by the tag of its target."""
    config = replace(tiny_config, data=replace(tiny_config.data, bidirectional=True))
    data = prepare_data(config)
    half = len(data.train) // 2
    assert data.train[half:] == [(tgt, src) for src, tgt in data.train[:half]]
    augment = build_augmentation(config.data, data.train, data.tokenizer)
    tags = [augment(data.train[i], i, 0, 1)[0][0] for i in (0, half - 1, half, 2 * half - 1)]
    assert data.tokenizer.pieces(tags) == ["<2de>", "<2de>", "<2en>", "<2en>"]
    assert data.tokenizer.pieces(sorted({src[0] for src, _ in data.valid})) == ["<2en>", "<2de>"]


def test_starting_from_a_model_takes_its_weights(six_steps: Path, settings, tmp_path: Path) -> None:
    config = settings(steps=1, init_from=str(six_steps), peak_lr=1e-12, precision="fp32")
    train(config, tmp_path / "run", device="cpu")
    start = load_model(six_steps)
    found = load_model(tmp_path / "run" / "steps" / "1")
    assert found.tokenizer.model_bytes == start.tokenizer.model_bytes
    for name, weight in start.transformer.state_dict().items():
        assert_close(found.transformer.state_dict()[name], weight, atol=1e-6, rtol=0)


def test_starting_from_another_architecture_names_the_difference(
    six_steps: Path, tiny_config: Config, settings, tmp_path: Path
) -> None:
    config = settings(init_from=str(six_steps))
    config = replace(config, model=replace(config.model, d_ff=64))
    with pytest.raises(TranslatorError, match=r"d_ff: 32 -> 64"):
        train(config, tmp_path / "run", device="cpu")


def test_a_mixture_is_its_parts_by_weight(
    tiny_config: Config, corpus_folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for language, line in (("en", "a cat\n"), ("de", "eine Katze\n")):
        (other / f"train.{language}").write_text(line * 50)
        (other / f"valid.{language}").write_text(line)
    corpus = f"{corpus_folder}:1,{other}:2.5"
    config = replace(
        tiny_config,
        data=replace(tiny_config.data, corpus=corpus),
        clean=CleanConfig(enabled=False),
    )
    data = prepare_data(config)
    plain = prepare_data(tiny_config)
    assert len(data.train) == len(plain.train) + 50
    assert data.weights.tolist() == [1.0] * len(plain.train) + [2.5] * 50
    assert data.splits["valid"] == plain.splits["valid"]
    assert plain.weights is None
    info = train(config, tmp_path / "run", device="cpu")
    assert info.data.corpus == corpus
    for wrong in ("a:1,b", "a:1,b:x", "a:1,:2", "a:0,b:1"):
        with pytest.raises(TranslatorError, match="A:1.0,B:3.0"):
            prepare_data(replace(config, data=replace(config.data, corpus=wrong)))
