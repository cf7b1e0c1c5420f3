"""The commands about runs: what each prints, writes, and says when it cannot."""

import json
from pathlib import Path

import pytest
from commands import Run, assert_one_line

from translator.storage.model_folder import load_model


@pytest.fixture(scope="module")
def trained(
    corpus_folder: Path, tiny_options: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A finished run of six steps with checkpoints at 2, 4 and 6."""
    from typer.testing import CliRunner

    from translator.cli.main import app

    folder = tmp_path_factory.mktemp("runs") / "run"
    options = ["--steps", "6", "--checkpoint-every", "2", "--threads", "1"]
    every = ["--set", "train.validate_every=2", "--set", "train.log_every=1"]
    command = ["train", "--data", str(corpus_folder), "--run-dir", str(folder)]
    result = CliRunner().invoke(app, [*command, *options, *tiny_options, *every])
    assert result.exit_code == 0, result.output
    return folder


def test_a_run_ends_with_its_picture(trained: Path) -> None:
    assert (trained / "learning-curve.png").read_bytes().startswith(b"\x89PNG")


def test_plot_draws_one_run_or_several(run: Run, trained: Path, tmp_path: Path) -> None:  # noqa: F811
    (trained / "learning-curve.png").unlink()
    result = run("plot", trained)
    assert result.exit_code == 0 and result.stdout.strip() == str(trained / "learning-curve.png")
    assert (trained / "learning-curve.png").exists()
    both = run("plot", trained, trained, "--output", tmp_path / "both.svg")
    assert both.exit_code == 0 and "<svg" in (tmp_path / "both.svg").read_text()
    assert_one_line(run("plot", tmp_path), "metrics.jsonl")
    assert_one_line(run("plot", trained, "--output", tmp_path / "no" / "x.png"), "create it first")


def test_average_of_steps_is_a_model(run: Run, trained: Path, tmp_path: Path) -> None:  # noqa: F811
    result = run("average", trained, "--last", "2", "--output", tmp_path / "mean")
    assert result.exit_code == 0, result.stderr
    assert "steps/4" in result.stdout and "steps/6" in result.stdout
    steps = [load_model(trained / "steps" / n).transformer.state_dict() for n in ("4", "6")]
    for name, weight in load_model(tmp_path / "mean").transformer.state_dict().items():
        assert (weight - (steps[0][name] + steps[1][name]) / 2).abs().max() < 1e-6
    assert run("info", tmp_path / "mean").exit_code == 0
    assert run("translate", "A dog.", "--model", tmp_path / "mean").exit_code == 0
    best = run("average", trained, "--best", "1", "--output", tmp_path / "best")
    assert best.exit_code == 0 and best.stdout.count("steps/") == 1
    assert_one_line(run("average", trained, tmp_path / "none", "--output", tmp_path / "x"), "none")


def test_dry_run_is_the_doctor_and_writes_nothing(
    run: Run,  # noqa: F811
    corpus_folder: Path,
    tiny_options: list[str],
    tmp_path: Path,
) -> None:
    options = ["--data", corpus_folder, "--run", tmp_path / "run", "--steps", "50", *tiny_options]
    reports = [
        json.loads(run(*command, *options, "--json").stdout)
        for command in (["doctor"], ["train", "--dry-run"])
    ]
    assert reports[0].keys() == reports[1].keys() == {"broken", "data", "run", "findings"}
    assert reports[0]["data"] == reports[1]["data"]
    assert not (tmp_path / "run").exists()
    text = run("train", "--dry-run", *options)
    assert text.exit_code == 0 and "200 train" in text.stdout


def test_both_directions_from_the_command_line(
    run: Run,  # noqa: F811
    corpus_folder: Path,
    tiny_options: list[str],
    tmp_path: Path,
) -> None:
    folder = tmp_path / "run"
    command = ["train", "--data", corpus_folder, "--run", folder, "--steps", "2", *tiny_options]
    trained = run(*command, "--bidirectional")
    assert trained.exit_code == 0, trained.stderr
    assert "valid_de-en (20 sentences)" in trained.stdout
    assert "en <-> de" in run("info", folder).stdout
    for src, tgt in (("en", "de"), ("de", "en")):
        direction = ["--model", folder, "--src", src, "--tgt", tgt]
        assert run("translate", "Hallo.", *direction).exit_code == 0
        plain = ["--metrics", "bleu,chrf", "--bootstrap", "0"]
        scored = run("evaluate", "--data", corpus_folder, *direction, *plain, "--json")
        assert scored.exit_code == 0, scored.stderr
        split = "test" if src == "en" else "test_de-en"
        stored = load_model(folder).info["scores"][split]["scores"]
        assert json.loads(scored.stdout)["scores"] == stored
    assert_one_line(
        run("translate", "Hallo.", "--model", folder, "--src", "fr"), "en-de, de-en", "fr-de"
    )


def test_starting_from_a_model_takes_its_architecture(
    run: Run,  # noqa: F811
    trained: Path,
    corpus_folder: Path,
    tmp_path: Path,
) -> None:
    command = ["train", "--data", corpus_folder, "--steps", "1", "--set", "search.max_extra=4"]
    start = ["--init-from", trained]
    result = run(*command, *start, "--run", tmp_path / "tuned")
    assert result.exit_code == 0, result.stderr
    assert load_model(tmp_path / "tuned").config.model == load_model(trained).config.model
    wrong = run(*command, *start, "--preset", "demo", "--run", tmp_path / "x")
    assert_one_line(wrong, "different architecture", "d_model")


def test_event_files_on_request(
    run: Run,  # noqa: F811
    corpus_folder: Path,
    tiny_options: list[str],
    tmp_path: Path,
) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra tensorboard")
    command = ["train", "--data", corpus_folder, "--run", tmp_path / "run", *tiny_options]
    result = run(*command, "--steps", "2", "--set", "train.tensorboard=true")
    assert result.exit_code == 0, result.stderr
    assert list((tmp_path / "run" / "tensorboard").glob("events.*"))
    assert run(*command, "--steps", "3").exit_code == 0  # it may be left out later
