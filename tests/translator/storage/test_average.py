"""Averages of models, and the choice of the checkpoints that go into one."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from translator.config.errors import TranslatorError
from translator.config.loading import to_dict
from translator.config.schema import Config
from translator.model.transformer import Transformer
from translator.storage.average import average_models, choose_steps
from translator.storage.model_folder import Model, load_model, save_model
from translator.storage.run_folder import rotate
from translator.storage.run_log import MetricsLog
from translator.storage.training_state import TrainingState, save_checkpoint
from translator.system.disk import write_json
from translator.text.tokenizer import Tokenizer

BLEU = {2: 10.0, 3: 30.0, 4: 25.0, 6: 30.0, 8: 20.0}


@pytest.fixture
def save(random_model: Model, tmp_path: Path) -> Callable[..., Path]:
    """Saves a MODEL in `tmp_path/NAME`: random weights from a seed, and anything else changed."""

    def build(
        name: str,
        seed: int = 0,
        config: Config = random_model.config,
        tokenizer: Tokenizer = random_model.tokenizer,
        dtype: torch.dtype = torch.float32,
    ) -> Path:
        torch.manual_seed(seed)
        weights = Transformer(config.model).state_dict()
        info = {"step": seed, "data": {"fingerprint": "abc"}}
        weights = {key: w.to(dtype) for key, w in weights.items()}
        save_model(tmp_path / name, weights, tokenizer, config, info)
        return tmp_path / name

    return build


@pytest.fixture
def run(random_model: Model, tmp_path: Path) -> Path:
    """A run with checkpoints at `BLEU` and at 7, a regular one every second step."""
    run = tmp_path / "run"
    config = random_model.config
    config = replace(config, train=replace(config.train, checkpoint_every=2))
    for step in sorted([*BLEU, 7]):
        weights = {key: step * w for key, w in random_model.transformer.state_dict().items()}
        state, tokenizer = TrainingState(step=step), random_model.tokenizer
        save_checkpoint(run, weights, tokenizer, config, {"step": step}, {}, state)
    (run / "tokenizer.model").write_bytes(random_model.tokenizer.model_bytes)
    write_json(run / "config.json", {"config": to_dict(config)})
    log = MetricsLog(run / "metrics.jsonl")
    for step in range(1, 9):
        log.record(step, loss=1.0)
    for step, bleu in BLEU.items():
        log.record(step, valid_bleu=bleu)
    log.record(7, valid_bleu=float("nan"))
    log.record(5, valid_bleu=99.0)  # of a checkpoint that is no longer there
    return run


def weights_of(folder: Path) -> dict[str, Tensor]:
    return load_model(folder).transformer.state_dict()


def names(folders: list[Path]) -> list[str]:
    return [folder.name for folder in folders]


def test_an_average_is_the_mean_of_the_models(save, tmp_path: Path) -> None:
    folders = [save("a", 1), save("b", 2), save("c", 5)]
    average_models(folders, tmp_path / "mean")
    parts, mean = [weights_of(folder) for folder in folders], weights_of(tmp_path / "mean")
    for name, weight in mean.items():
        expected = torch.stack([part[name].double() for part in parts]).mean(dim=0)
        assert torch.equal(weight, expected.float())


def test_halves_are_averaged_in_single_precision(save, tmp_path: Path) -> None:
    folders = [save("a", 1, dtype=torch.float16), save("b", 2, dtype=torch.float16)]
    average_models(folders, tmp_path / "mean")
    one, other = map(weights_of, folders)
    for name, weight in weights_of(tmp_path / "mean").items():
        assert torch.equal(weight, (one[name] + other[name]) / 2)


def test_the_average_of_one_model_is_that_model(save, tmp_path: Path) -> None:
    average_models([save("a", 3)], tmp_path / "mean")
    one, mean = weights_of(tmp_path / "a"), weights_of(tmp_path / "mean")
    assert all(torch.equal(one[name], mean[name]) for name in one)


@pytest.mark.parametrize("stored", ("fp32", "fp16", "int8"))
def test_one_model_can_be_stored_in_another_way(save, tmp_path: Path, stored: str) -> None:
    average_models([save("a", 3)], tmp_path / "other", stored)
    one, other = weights_of(tmp_path / "a"), weights_of(tmp_path / "other")
    bound = {"fp32": 0.0, "fp16": 1e-3, "int8": 5e-3}[stored]
    for name, weight in one.items():
        assert (other[name] - weight).abs().max() <= bound * weight.abs().max()
    # What is in int8 is averaged as what it stands for, and stays as it is when stored again.
    average_models([tmp_path / "other"], tmp_path / "again")
    again = weights_of(tmp_path / "again")
    assert all(torch.equal(again[name], other[name]) for name in one)


def test_an_average_says_what_it_was_made_from(save, run: Path, tmp_path: Path) -> None:
    average_models([save("a", 1), save("b", 2)], tmp_path / "mean")
    info = load_model(tmp_path / "mean").info
    assert info["training"]["weights"] == f"average of a, b in {tmp_path}"
    assert info["training"]["averaged"] == [
        {"folder": str(tmp_path / "a"), "step": 1},
        {"folder": str(tmp_path / "b"), "step": 2},
    ]
    assert info["data"] == {"fingerprint": "abc"}
    assert info["direction"] == {"src": "en", "tgt": "de"}
    average_models([tmp_path / "a", run / "steps" / "4"], tmp_path / "other")
    text = load_model(tmp_path / "other").info["training"]["weights"]
    assert text == f"average of {tmp_path / 'a'}, {run / 'steps' / '4'}"


def test_an_average_keeps_the_settings_and_the_tokenizer(save, tmp_path, random_model) -> None:
    average_models([save("a", 1), save("b", 2)], tmp_path / "mean")
    mean = load_model(tmp_path / "mean")
    assert mean.config == random_model.config
    assert mean.tokenizer.model_bytes == random_model.tokenizer.model_bytes


@pytest.mark.parametrize(
    "section, change, named",
    [
        ("model", {"d_ff": 48}, r"model\.d_ff: 32 -> 48"),
        ("model", {"n_decoder_layers": 2}, r"model\.n_decoder_layers: 1 -> 2"),
        ("model", {"norm": "pre"}, r"model\.norm: post -> pre"),
        ("data", {"src": "de", "tgt": "en"}, r"data\.src: en -> de; data\.tgt: de -> en"),
    ],
)
def test_models_that_differ_are_not_averaged(
    save, tmp_path: Path, random_model: Model, section: str, change: dict, named: str
) -> None:
    config = random_model.config
    other = replace(config, **{section: replace(getattr(config, section), **change)})
    folders = [save("a"), save("b", config=other)]
    with pytest.raises(TranslatorError, match=f"b cannot be averaged with .*a: {named}") as error:
        average_models(folders, tmp_path / "mean")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "mean").exists()


def test_settings_of_training_may_differ(save, tmp_path: Path, random_model: Model) -> None:
    config = random_model.config
    other = replace(
        config,
        model=replace(config.model, dropout=0.25),
        data=replace(config.data, corpus="elsewhere"),
        train=replace(config.train, seed=7),
    )
    average_models([save("a", 1), save("b", 2, config=other)], tmp_path / "mean")
    assert load_model(tmp_path / "mean").config == config


def test_another_tokenizer_is_named(save, tmp_path: Path, random_model: Model, text_pairs) -> None:
    other = Tokenizer.train((text for pair in text_pairs[:100] for text in pair), 400)
    config = random_model.config
    config = replace(config, model=replace(config.model, vocab_size=other.vocab_size))
    folders = [save("a"), save("b", config=config, tokenizer=other)]
    with pytest.raises(TranslatorError, match="b cannot be averaged .*different tokenizers"):
        average_models(folders, tmp_path / "mean")


def test_invalid_requests_are_one_line(save, tmp_path: Path) -> None:
    a, b = save("a"), save("b")
    cases: list[tuple[list[Path], Path, str]] = [
        ([a, a], tmp_path / "mean", "a is named twice"),
        ([a, b], b, "b is not empty"),
        ([a, b], b / "config.json", "is not empty"),
        ([a, tmp_path / "nowhere"], tmp_path / "mean", "no model folder .*nowhere"),
    ]
    for folders, output, message in cases:
        with pytest.raises(TranslatorError, match=message) as error:
            average_models(folders, output)
        assert "\n" not in str(error.value)
    assert load_model(b).info["step"] == 0  # as it was


def test_a_damaged_part_is_named_and_nothing_written(save, tmp_path: Path) -> None:
    folders = [save("a"), save("b")]
    data = bytearray((folders[1] / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folders[1] / "model.safetensors").write_bytes(data)
    with pytest.raises(TranslatorError, match=r"b/model\.safetensors is damaged"):
        average_models(folders, tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


# --- which checkpoints ---------------------------------------------------------------------------


@pytest.mark.parametrize("n, chosen", [(1, ["8"]), (2, ["6", "8"]), (4, ["2", "4", "6", "8"])])
def test_the_last_are_the_newest_regular_ones(run: Path, n: int, chosen: list[str]) -> None:
    assert names(choose_steps(run, last=n)) == chosen


def test_the_newest_is_treated_as_regular(run: Path) -> None:
    shutil.rmtree(run / "steps" / "8")
    assert names(choose_steps(run, last=2)) == ["6", "7"]


@pytest.mark.parametrize(
    "n, chosen",
    [(1, ["3"]), (2, ["3", "6"]), (3, ["3", "4", "6"]), (5, ["2", "3", "4", "6", "8"])],
)
def test_the_best_are_those_with_the_highest_bleu(run: Path, n: int, chosen: list[str]) -> None:
    """Of equals, the first; what is not on disk, or was not validated, does not count."""
    assert names(choose_steps(run, best=n)) == chosen


def test_deleted_checkpoints_are_not_chosen(run: Path) -> None:
    rotate(run, every=2, keep=2, best=3)
    assert names(choose_steps(run, best=2)) == ["3", "6"]
    with pytest.raises(TranslatorError, match="3 validated checkpoints on disk, not 4"):
        choose_steps(run, best=4)


def test_chosen_steps_can_be_averaged(run: Path, tmp_path: Path, random_model: Model) -> None:
    average_models(choose_steps(run, last=3), tmp_path / "mean")  # 4, 6 and 8 times a model
    mean = weights_of(tmp_path / "mean")
    for name, weight in random_model.transformer.state_dict().items():
        torch.testing.assert_close(mean[name], 6 * weight)
    text = load_model(tmp_path / "mean").info["training"]["weights"]
    assert text == f"average of 4, 6, 8 in {run / 'steps'}"


@pytest.mark.parametrize(
    "choice, message",
    [
        ({"last": 5}, "4 regular checkpoints on disk, not 5"),
        ({"best": 6}, "5 validated checkpoints on disk, not 6"),
    ],
)
def test_a_choice_that_cannot_be_met_is_one_line(run: Path, choice: dict, message: str) -> None:
    with pytest.raises(TranslatorError, match=message) as error:
        choose_steps(run, **choice)
    assert "\n" not in str(error.value)


def test_a_folder_that_is_no_run_is_named(save, run: Path, tmp_path: Path) -> None:
    for folder in (save("a"), tmp_path / "nowhere"):
        with pytest.raises(TranslatorError, match=f"{folder} has no checkpoints"):
            choose_steps(folder, last=1)
    (run / "metrics.jsonl").unlink()
    with pytest.raises(TranslatorError, match=r"metrics\.jsonl cannot be read"):
        choose_steps(run, best=1)
    (run / "config.json").write_text(json.dumps({"config": {}})[:5])
    with pytest.raises(TranslatorError, match="config.json is damaged"):
        choose_steps(run, last=1)
