"""Saving and loading: equality, damage that is found and named, rotation, averages."""

import errno
import itertools
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from translator.config.errors import TranslatorError
from translator.storage import model_folder, training_state
from translator.storage.average import average_weights
from translator.storage.model_folder import (
    FORMAT_VERSION,
    Model,
    best_step,
    load_model,
    read_description,
    save_model,
    step_folders,
)
from translator.storage.run_folder import resume_candidates, rotate
from translator.storage.training_state import (
    TrainingState,
    load_checkpoint,
    save_checkpoint,
    verify_checkpoint,
)
from translator.storage.weights import quantise
from translator.system.disk import write_file

FILES = ["model.safetensors", "tokenizer.model", "config.json"]
STEP_FILES = [*FILES, "training.safetensors", "training.json"]


@pytest.fixture
def saved(random_model: Model, tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    weights = random_model.transformer.state_dict()
    save_model(folder, weights, random_model.tokenizer, random_model.config, {"note": "Grüße"})
    return folder


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def flip_bit(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def test_load_gives_what_was_saved(random_model: Model, saved: Path) -> None:
    loaded = load_model(saved)
    assert equal(loaded.transformer.state_dict(), random_model.transformer.state_dict())
    assert loaded.config == random_model.config
    assert loaded.tokenizer.model_bytes == random_model.tokenizer.model_bytes
    assert loaded.info["note"] == "Grüße"
    assert loaded.info["direction"] == {"src": "en", "tgt": "de"}
    assert loaded.folder == saved


def test_loaded_model_computes_the_same(random_model: Model, saved: Path) -> None:
    src, tgt_in = torch.tensor([[300, 301, 3]]), torch.tensor([[2, 302]])
    loaded = load_model(saved).transformer
    assert not loaded.training
    assert torch.equal(loaded(src, tgt_in), random_model.transformer(src, tgt_in))


def test_a_model_is_three_files(saved: Path) -> None:
    assert sorted(path.name for path in saved.iterdir()) == sorted(FILES)


def test_tied_weights_are_stored_once(random_model: Model, saved: Path) -> None:
    numbers = sum(p.numel() for p in random_model.transformer.parameters())
    assert (saved / "model.safetensors").stat().st_size < 4 * numbers + 20_000


def test_half_precision_is_loaded_as_single(random_model: Model, tmp_path: Path) -> None:
    halves = {name: w.half() for name, w in random_model.transformer.state_dict().items()}
    save_model(tmp_path / "half", halves, random_model.tokenizer, random_model.config, {})
    loaded = load_model(tmp_path / "half").transformer.state_dict()
    assert {w.dtype for w in loaded.values()} == {torch.float32}
    assert equal(loaded, {name: w.float() for name, w in halves.items()})


@pytest.fixture
def in_int8(random_model: Model, tmp_path: Path) -> Path:
    """`random_model` with int8 matrices."""
    weights = quantise(random_model.transformer.state_dict())
    save_model(tmp_path / "int8", weights, random_model.tokenizer, random_model.config, {})
    return tmp_path / "int8"


def test_int8_is_off_by_half_a_step_of_its_row_at_most(random_model: Model, in_int8: Path) -> None:
    found = load_model(in_int8).transformer.state_dict()
    stored = load_file(in_int8 / "model.safetensors")
    for name, weight in random_model.transformer.state_dict().items():
        assert found[name].dtype == torch.float32
        if weight.dim() == 2:
            scale = stored[f"{name}.scale"].float()
            assert (scale <= 1.01 * weight.abs().amax(dim=1, keepdim=True) / 127 + 1e-7).all()
            assert ((found[name] - weight).abs() <= scale / 2 + 1e-7).all(), name
        else:
            assert torch.equal(found[name], weight.half().float())


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=5))
def test_any_row_keeps_its_greatest_number_and_its_zeros(row: list[float]) -> None:
    weight = torch.tensor([row, [0.0] * len(row)])
    stored = quantise({"m": weight})
    steps, scale = stored["m"].float(), stored["m.scale"].float()
    assert steps.abs().max() <= 127 and not steps[1].any()
    assert ((steps * scale - weight).abs() <= scale * 0.5001).all()
    assert scale[0] <= weight[0].abs().max() / 127 * 1.002 + 2**-23


def test_every_matrix_is_in_int8_and_all_else_in_half_precision(
    random_model: Model, in_int8: Path
) -> None:
    stored = load_file(in_int8 / "model.safetensors")
    matrices = {n for n, w in random_model.transformer.state_dict().items() if w.dim() == 2}
    assert matrices == {name for name, w in stored.items() if w.dtype == torch.int8}
    assert matrices == {name.removesuffix(".scale") for name in stored if name.endswith(".scale")}
    assert {w.dtype for name, w in stored.items() if name not in matrices} == {torch.float16}
    numbers = sum(p.numel() for p in random_model.transformer.parameters())
    assert (in_int8 / "model.safetensors").stat().st_size < 1.5 * numbers + 20_000


def test_only_int8_needs_the_later_format(saved: Path, in_int8: Path) -> None:
    formats = [read_description(folder)["format_version"] for folder in (saved, in_int8)]
    assert formats == [1, 2]


def test_a_flipped_bit_is_found_in_int8(in_int8: Path) -> None:
    flip_bit(in_int8 / "model.safetensors", -1)
    with pytest.raises(TranslatorError, match=r"model\.safetensors is damaged"):
        load_model(in_int8)


@pytest.mark.parametrize("name", FILES[:2])
@pytest.mark.parametrize("place", [0, 0.5, -1])
def test_one_flipped_bit_is_found(saved: Path, name: str, place: float) -> None:
    size = (saved / name).stat().st_size
    flip_bit(saved / name, -1 if place == -1 else int(place * size))
    with pytest.raises(TranslatorError, match=f"{name} is damaged"):
        load_model(saved)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kept", [0, 100])
def test_truncation_is_found(saved: Path, name: str, kept: int) -> None:
    (saved / name).write_bytes((saved / name).read_bytes()[:kept])
    with pytest.raises(TranslatorError, match=f"{name} is damaged"):
        load_model(saved)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(TranslatorError, match=name):
        load_model(saved)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(TranslatorError, match="nowhere"):
        load_model(tmp_path / "nowhere")


def edit_description(folder: Path, change: Callable[[dict], None]) -> None:
    description = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    change(description)
    (folder / "config.json").write_text(json.dumps(description), encoding="utf-8")


def test_a_later_format_is_refused(saved: Path) -> None:
    edit_description(saved, lambda d: d.update(format_version=FORMAT_VERSION + 1))
    with pytest.raises(TranslatorError, match=rf"{saved}.*format {FORMAT_VERSION + 1}.*update"):
        load_model(saved)


@pytest.mark.parametrize("key", ["format_version", "config", "sha256"])
def test_a_description_that_lacks_a_part_is_damaged(saved: Path, key: str) -> None:
    edit_description(saved, lambda d: d.pop(key))
    with pytest.raises(TranslatorError, match=r"config\.json is damaged"):
        load_model(saved)


def test_weights_that_do_not_fit_the_config_are_an_error(saved: Path) -> None:
    edit_description(saved, lambda d: d["config"]["model"].update(d_ff=48))
    with pytest.raises(TranslatorError, match=r"model\.safetensors does not fit") as error:
        load_model(saved)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("changed", ["encoder.0.self_residual.norm.bias", "embedding.weight"])
def test_a_weight_that_is_missing_or_unknown_is_an_error(
    random_model: Model, tmp_path: Path, changed: str
) -> None:
    weights = random_model.transformer.state_dict()
    weights = {name: w for name, w in weights.items() if name != changed}
    model = random_model.tokenizer, random_model.config, {}
    save_model(tmp_path / "less", weights, *model)
    with pytest.raises(TranslatorError, match=f"does not fit its config: it lacks {changed}"):
        load_model(tmp_path / "less")
    save_model(
        tmp_path / "more", {**random_model.transformer.state_dict(), "x": torch.ones(2)}, *model
    )
    with pytest.raises(TranslatorError, match=r"does not fit its config: x \[2\]"):
        load_model(tmp_path / "more")


def test_checkpoint_restores_the_whole_run(save_step, random_model: Model) -> None:
    folder = save_step(3, best=2)
    model, tensors, state = load_checkpoint(folder)
    assert folder.name == "3"
    assert equal(
        model.transformer.state_dict(),
        {name: 3 * w for name, w in random_model.transformer.state_dict().items()},
    )
    assert equal(tensors, {"embedding.weight/exp_avg": torch.full((2, 3), 3.0)})
    assert state == TrainingState(3, 1, 2, best_bleu=3.5, best_step=2, seconds=1.5)


@pytest.fixture(scope="module")
def whole_step(random_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, which a test may damage as long as it restores it."""
    return save_checkpoint(
        tmp_path_factory.mktemp("whole"),
        random_model.transformer.state_dict(),
        random_model.tokenizer,
        random_model.config,
        {"step": 12},
        {"embedding.weight/exp_avg": torch.linspace(0, 1, 50)},
        TrainingState(step=12, epoch=1, batch=2, best_bleu=3.5, seconds=1.5, n_tokens=10**12),
    )


@pytest.mark.parametrize("name", STEP_FILES)
@given(place=st.floats(0, 1), flips=st.integers(1, 255))
def test_one_damaged_byte_anywhere_is_found_and_named(
    whole_step: Path, name: str, place: float, flips: int
) -> None:
    path = whole_step / name
    data = path.read_bytes()
    damaged = bytearray(data)
    damaged[round(place * (len(data) - 1))] ^= flips
    path.write_bytes(damaged)
    try:
        with pytest.raises(TranslatorError, match=f"/{re.escape(name)} is damaged") as error:
            load_checkpoint(whole_step)
    finally:
        path.write_bytes(data)
    assert "\n" not in str(error.value)


def test_one_damaged_byte_anywhere_in_the_counters_is_found(whole_step: Path) -> None:
    """Digits, keys, white space, and the digests themselves."""
    path = whole_step / "training.json"
    data = path.read_bytes()
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= (1, 32)[place % 2]  # another digit, or another case
        path.write_bytes(damaged)
        with pytest.raises(TranslatorError, match=r"/training\.json is damaged"):
            verify_checkpoint(whole_step)
    path.write_bytes(data)
    assert verify_checkpoint(whole_step).n_tokens == 10**12


@pytest.mark.parametrize("name", STEP_FILES)
@pytest.mark.parametrize("kept", [0, 0.3, -1])
def test_a_truncated_file_of_a_checkpoint_is_named(save_step, name: str, kept: float) -> None:
    path = save_step(1) / name
    data = path.read_bytes()
    path.write_bytes(data[:-1] if kept == -1 else data[: int(kept * len(data))])
    with pytest.raises(TranslatorError, match=f"/{re.escape(name)} is damaged"):
        load_checkpoint(path.parent)


@pytest.mark.parametrize("name", STEP_FILES)
def test_a_missing_file_of_a_checkpoint_is_named(save_step, tmp_path: Path, name: str) -> None:
    folder = save_step(1)
    (folder / name).unlink()
    with pytest.raises(TranslatorError, match=f"/{re.escape(name)} cannot be read"):
        load_checkpoint(folder)
    assert list(resume_candidates(tmp_path / "run")) == [folder]  # so that it is named, not passed


def test_a_checkpoint_of_the_first_format_still_loads(save_step) -> None:
    folder = save_step(3)
    values = json.loads((folder / "training.json").read_text())
    digest = values["sha256"]["training.safetensors"]
    old = {**values["state"], "sha256": digest}
    for name in ("cpu_seconds", "window_norm"):  # not even all of today's counters
        del old[name]
    (folder / "training.json").write_text(json.dumps(old))
    assert load_checkpoint(folder)[2] == TrainingState(3, 1, 2, best_bleu=3.5, seconds=1.5)
    flip_bit(folder / "training.safetensors", -1)
    with pytest.raises(TranslatorError, match=r"training\.safetensors is damaged"):
        load_checkpoint(folder)


def test_counters_of_a_later_version_are_named(save_step, monkeypatch) -> None:
    def later(state: TrainingState, digests: dict[str, str]) -> bytes:
        state.phase_of_the_moon = 3  # type: ignore[attr-defined]
        return write(state, digests)

    write = training_state._state_text
    monkeypatch.setattr(training_state, "_state_text", later)
    monkeypatch.setattr(training_state, "verify_checkpoint", lambda folder: None)
    folder = save_step(1)
    monkeypatch.undo()
    with pytest.raises(TranslatorError, match=r"training\.json.*later.*phase_of_the_moon"):
        load_checkpoint(folder)


def test_a_missing_counter_has_its_default(save_step, monkeypatch) -> None:
    write = training_state._state_text

    def earlier(state: TrainingState, digests: dict[str, str]) -> bytes:
        del state.best_bleu
        return write(state, digests)

    monkeypatch.setattr(training_state, "_state_text", earlier)
    folder = save_step(1)
    monkeypatch.undo()
    assert load_checkpoint(folder)[2].best_bleu == TrainingState().best_bleu


@pytest.mark.parametrize("name", STEP_FILES)
def test_a_disk_that_returns_other_data_is_noticed(
    save_step, tmp_path: Path, monkeypatch, name: str
) -> None:
    save_step(1)
    write = model_folder.write_file

    def lie(path: Path, data: bytes) -> None:
        write(path, data)
        if path.name == name:
            flip_bit(path, len(data) // 2)

    for module in (model_folder, training_state):
        monkeypatch.setattr(module, "write_file", lie)
    with pytest.raises(TranslatorError, match=rf"2 cannot be saved: .*{re.escape(name)} is dam"):
        save_step(2)
    monkeypatch.undo()
    assert [path.name for path in (tmp_path / "run" / "steps").iterdir()] == ["1"]
    assert load_checkpoint(tmp_path / "run" / "steps" / "1")[2].step == 1


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_is_one_line_and_leaves_nothing(
    save_step, tmp_path: Path, monkeypatch, call: str
) -> None:
    save_step(1)

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(TranslatorError, match=r"2 cannot be saved: No space left") as error:
        save_step(2)
    monkeypatch.undo()
    assert "\n" not in str(error.value)
    assert [path.name for path in (tmp_path / "run" / "steps").iterdir()] == ["1"]
    assert load_checkpoint(next(resume_candidates(tmp_path / "run")))[2].step == 1


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


def test_a_kill_at_any_moment_leaves_whole_checkpoints(
    save_step, tmp_path: Path, monkeypatch
) -> None:
    """Before each call that changes the disk, while a step is saved, replaced, and others go."""
    run, backup = tmp_path / "run", tmp_path / "backup"
    for step in (2, 4, 5, 6):
        save_step(step)
    run.rename(backup)
    calls = {name: getattr(os, name) for name in ("replace", "unlink", "rmdir", "mkdir")}
    calls["fsync"] = lambda handle: None  # the disk may take its time
    for moment in itertools.count():
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(backup, run, copy_function=os.link)  # nothing writes into a file twice
        left = moment

        def count(name: str):
            def call(*args: object, **options: object) -> object:
                nonlocal left
                if left == 0:
                    raise Killed
                left -= 1
                return calls[name](*args, **options)

            return call

        died = False
        with monkeypatch.context() as patch:
            for name in calls:
                patch.setattr(os, name, count(name))
            try:
                for step in (6, 7):  # one that is there already, one that is new
                    save_step(step)
                    rotate(run, every=1, keep=3, best=2)
            except Killed:
                died = True
        for folder in step_folders(run):
            load_model(folder)  # no half of one passes for a whole one
        good = [load_checkpoint(folder)[2].step for folder in list(resume_candidates(run))[:2]]
        assert good in ([6, 5], [5, 4], [7, 6]), moment
        if not died:
            break
        save_step(8)
        rotate(run, every=1, keep=3, best=2)
        assert not [path.name for path in (run / "steps").iterdir() if path.name[0] == "."]
        assert [load_checkpoint(p)[2].step for p in resume_candidates(run)][0] == 8
        assert len(list(resume_candidates(run))) == 2
    assert moment > 40  # what the loop is for
    assert [folder.name for folder in step_folders(run)] == ["2", "5", "6", "7"]


def test_each_step_is_usable_as_a_model(save_step) -> None:
    assert load_model(save_step(5)).info["step"] == 5


@pytest.mark.parametrize("name", ["training.safetensors", "training.json"])
def test_a_damaged_training_state_is_named(save_step, name: str) -> None:
    folder = save_step(1)
    (folder / name).write_bytes((folder / name).read_bytes()[:-5])
    with pytest.raises(TranslatorError, match=f"{name} is damaged"):
        load_checkpoint(folder)


@pytest.mark.parametrize("dies_in", ["model.safetensors", "config.json", "training.safetensors"])
def test_an_interrupted_write_leaves_the_older_checkpoint(
    save_step, tmp_path: Path, monkeypatch, dies_in: str
) -> None:
    save_step(1)
    write = model_folder.write_file

    def die(path: Path, data: bytes) -> None:
        if path.name == dies_in:
            path.write_bytes(data[: len(data) // 2])
            raise KeyboardInterrupt
        write(path, data)

    for module in (model_folder, training_state):
        monkeypatch.setattr(module, "write_file", die)
    with pytest.raises(KeyboardInterrupt):
        save_step(2)
    monkeypatch.undo()
    run = tmp_path / "run"
    assert [folder.name for folder in step_folders(run)] == ["1"]
    assert load_model(run).info["step"] == 1
    assert load_checkpoint(next(resume_candidates(run)))[2].step == 1
    save_step(2)  # what was left behind is no obstacle
    assert [folder.name for folder in step_folders(run)] == ["1", "2"]


def test_a_write_that_fails_before_the_rename_keeps_the_old_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "file"
    write_file(path, b"old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"


def test_saving_a_step_again_replaces_it(save_step, tmp_path: Path) -> None:
    first = save_step(4)
    (first / "leftover").write_text("")
    assert not (save_step(4) / "leftover").exists()
    assert len(step_folders(tmp_path / "run")) == 1


def test_average_is_the_mean(save_step, random_model: Model) -> None:
    folders = [save_step(step) for step in (1, 2, 6)]
    average = average_weights(folders)
    for name, weight in random_model.transformer.state_dict().items():
        assert average[name].dtype == torch.float32
        torch.testing.assert_close(average[name], 3 * weight)
    assert equal(average_weights(folders[:1]), random_model.transformer.state_dict())


def test_average_of_a_damaged_checkpoint_is_an_error(save_step) -> None:
    folders = [save_step(1), save_step(2)]
    flip_bit(folders[1] / "model.safetensors", 2000)
    with pytest.raises(TranslatorError, match=r"2/model\.safetensors is damaged"):
        average_weights(folders)


def test_only_folders_named_by_a_number_are_checkpoints(save_step, tmp_path: Path) -> None:
    save_step(1)
    for name in (".2.tmp", ".3.old.tmp", "best"):
        (tmp_path / "run" / "steps" / name).mkdir()
    (tmp_path / "run" / "steps" / "4").write_text("")
    assert [folder.name for folder in step_folders(tmp_path / "run")] == ["1"]


def test_an_unfinished_run_loads_its_best_step(save_step, tmp_path: Path) -> None:
    for step, best in ((1, 1), (2, 2), (10, 2)):
        save_step(step, best)
    run = tmp_path / "run"
    assert best_step(run).name == "2"
    assert load_model(run).info["step"] == 2


def test_an_unfinished_run_without_validation_loads_its_last_step(save_step, tmp_path) -> None:
    save_step(9)
    save_step(10)
    assert load_model(tmp_path / "run").info["step"] == 10


def test_a_run_without_checkpoints_says_so(tmp_path: Path) -> None:
    (tmp_path / "run" / "steps").mkdir(parents=True)
    with pytest.raises(TranslatorError, match="no checkpoint yet"):
        load_model(tmp_path / "run")
    assert step_folders(tmp_path / "other") == []


def test_description_is_the_config_file(saved: Path) -> None:
    assert read_description(saved) == json.loads((saved / "config.json").read_text("utf-8"))


def test_nothing_is_ever_unpickled() -> None:
    """Models and states are safetensors and JSON, which run no code."""
    for package in ("translator", "data_prep"):
        for path in (Path(__file__).parents[3] / package).rglob("*.py"):
            source = path.read_text(encoding="utf-8")
            assert "torch.load(" not in source and "pickle" not in source, path
