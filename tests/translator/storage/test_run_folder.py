"""The folder of a run: its name, which checkpoints stay, what is set aside."""

from pathlib import Path

import pytest

from translator.config.errors import TranslatorError
from translator.config.loading import to_dict
from translator.config.schema import Config, DataConfig
from translator.storage.model_folder import load_model, step_folders
from translator.storage.run_folder import (
    check_same_run,
    move_aside,
    regular_steps,
    resume_candidates,
    rotate,
    run_folder,
    set_aside,
)
from translator.storage.training_state import load_checkpoint


@pytest.mark.parametrize(
    "corpus, name",
    [
        ("multi30k", "multi30k-en-de-tiny"),
        ("some/folder/", "folder-en-de-tiny"),
        ("hf:owner/name:config", "name-config-en-de-tiny"),
    ],
)
def test_a_run_is_called_after_corpus_direction_and_preset(corpus: str, name: str) -> None:
    assert run_folder(Config(data=DataConfig(corpus=corpus))) == Path("checkpoints") / name


def test_a_corpus_is_identified_by_its_content(tmp_path: Path) -> None:
    """Under another spelling of its path, and after a move; the weights of a mixture count."""

    def check(before: str, after: str, fingerprint: str = "same") -> None:
        old, new = (Config(data=DataConfig(corpus=name)) for name in (before, after))
        earlier = {"config": to_dict(old), "data": {"fingerprint": "same"}}
        check_same_run(tmp_path, earlier, new, fingerprint)

    check("data/here", "./data/../moved")
    check("A:1,B:3", "C:1,D:3")
    with pytest.raises(TranslatorError, match="corpus: its text"):
        check("data/here", "data/here", "other")
    with pytest.raises(TranslatorError, match="A:1,B:3 -> A:1,B:2"):
        check("A:1,B:3", "A:1,B:2")


def test_move_aside_takes_the_first_free_name(tmp_path: Path) -> None:
    for expected in ("run.1", "run.2"):
        (tmp_path / "run").mkdir()
        assert move_aside(tmp_path / "run") == tmp_path / expected
    assert move_aside(tmp_path / "run") is None


def test_rotate_keeps_the_last_the_best_and_two_training_states(save_step, tmp_path: Path) -> None:
    for step in (1, 2, 3, 9, 10, 11):
        save_step(step)
    run = tmp_path / "run"
    rotate(run, every=1, keep=3, best=2)
    assert [folder.name for folder in step_folders(run)] == ["2", "9", "10", "11"]
    assert [folder.name for folder in resume_candidates(run)] == ["11", "10"]
    assert not (run / "steps" / "9" / "training.safetensors").exists()
    assert load_model(run / "steps" / "2").info["step"] == 2  # still a MODEL


def test_checkpoints_of_a_stop_are_not_counted(save_step, tmp_path: Path) -> None:
    run = tmp_path / "run"
    for step in (10, 13, 20, 24, 30):
        save_step(step)
    assert [folder.name for folder in regular_steps(run, 10)] == ["10", "20", "30"]
    rotate(run, every=10, keep=2, best=13)
    assert [folder.name for folder in step_folders(run)] == ["13", "20", "30"]
    save_step(33)
    assert [folder.name for folder in regular_steps(run, 10)] == ["20", "30", "33"]  # the newest


def test_rotate_keeps_two_to_resume_from_even_if_one_is_asked_for(save_step, tmp_path) -> None:
    for step in (1, 2, 3):
        save_step(step)
    rotate(tmp_path / "run", every=1, keep=1, best=3)
    assert [folder.name for folder in resume_candidates(tmp_path / "run")] == ["3", "2"]


def test_checkpoints_after_the_resumed_step_are_set_aside(save_step, tmp_path: Path) -> None:
    run = tmp_path / "run"
    for step in (10, 20, 30, 20, 30):
        folder = save_step(step)
    for _ in range(2):  # the second time, the name is taken
        (save_step(30) / "training.json").write_text("{}")
        set_aside(run, 20)
        assert [p.name for p in step_folders(run)] == ["10", "20"]
        assert (run / "steps" / "30.damaged" / "model.safetensors").exists()
    save_step(25)  # because the run was stopped
    rotate(run, every=10, keep=3, best=10)
    assert [p.name for p in resume_candidates(run)] == ["25", "20"]
    set_aside(run, 25)
    assert load_checkpoint(next(resume_candidates(run)))[2].step == 25
    rotate(run, every=10, keep=3, best=10)
    assert (run / "steps" / "30.damaged").exists() and not folder.exists()
    save_step(30)
    (run / "steps" / "my.damaged").mkdir()  # not ours
    rotate(run, every=10, keep=3, best=10)
    assert (run / "steps" / "my.damaged").exists()
    assert not (run / "steps" / "30.damaged").exists()  # the run has come that far again


def test_rotate_keeps_few_as_they_are(save_step, tmp_path: Path) -> None:
    for step in (1, 2):
        save_step(step)
    rotate(tmp_path / "run", every=1, keep=8, best=1)
    assert [folder.name for folder in resume_candidates(tmp_path / "run")] == ["2", "1"]
