"""The command line's contract: what goes where, exit codes, and one line for every failure."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from translator.checkpoint import Model, save_model
from translator.cli import app

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def model_folder(random_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    weights = random_model.transformer.state_dict()
    save_model(folder, weights, random_model.tokenizer, random_model.config, {})
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, model_folder: Path) -> Run:
    """Runs a command in this process; without --model it uses the tiny random one."""
    monkeypatch.setenv("TRANSLATOR_MODEL", str(model_folder))

    def call(*args: object, stdin: bytes | str | None = None) -> Result:
        return CliRunner().invoke(app, [str(arg) for arg in args], input=stdin)

    return call


def assert_one_line(result: Result, *words: str, code: int = 1) -> None:
    """The command failed as promised: nothing on stdout, one line on stderr, no traceback."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if not line.startswith("Warning:")]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("Error: ")
    for word in words:
        assert str(word) in lines[0]


# --- help and usage ---------------------------------------------------------------------------


def test_help_imports_nothing_heavy(subprocess_environment: dict[str, str]) -> None:
    code = (
        "import sys, typer.testing, translator.cli as c\n"
        "for args in (['--help'], ['train', '--help'], ['translate', '--help']):\n"
        "    assert typer.testing.CliRunner().invoke(c.app, args).exit_code == 0\n"
        "heavy = {'torch', 'numpy', 'datasets', 'sacrebleu', 'sentencepiece'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], env=subprocess_environment, check=True)


@pytest.mark.parametrize("command", ["train", "translate", "evaluate", "info"])
def test_every_option_has_a_help_text(command: str) -> None:
    import typer.main

    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    options = [p for p in commands[command].params if p.name != "help"]
    assert options
    assert all(getattr(option, "help", None) for option in options)


def test_version(run: Run) -> None:
    import translator

    assert run("--version").stdout.strip() == translator.__version__


@pytest.mark.parametrize(
    "args",
    [
        ["translat"],
        ["translate", "--beam-size", "0", "x"],
        ["translate", "--beam-size", "many", "x"],
        ["translate", "--no-such-option"],
        ["translate", "x", "--input", "file"],
        ["translate", "x", "--attention", "picture.gif"],
        ["evaluate", "--metrics", "bleurt"],
        ["evaluate", "--source", "file"],
        ["evaluate", "--reference", "file"],
        ["train", "--steps", "0"],
    ],
)
def test_wrong_usage_exits_with_2(run: Run, args: list[str]) -> None:
    assert run(*args).exit_code == 2


# --- translate --------------------------------------------------------------------------------


def test_n_lines_in_n_lines_out_with_white_space_kept(run: Run) -> None:
    lines = ["The dog runs here.", "", "  \t", "  The man eats now. \r", "a\u2028b\x85c\x0cd"]
    result = run("translate", stdin="\n".join(lines) + "\n")
    assert result.exit_code == 0
    out = result.stdout_bytes.decode().split("\n")
    assert len(out) == len(lines) + 1
    assert out[1:3] == ["", "  \t"]
    assert out[3].startswith("  ") and out[3].endswith(" \r")


def test_an_empty_text_gives_an_empty_line(run: Run) -> None:
    result = run("translate", "")
    assert (result.exit_code, result.stdout) == (0, "\n")


def test_texts_stdin_and_files_agree(run: Run, tmp_path: Path) -> None:
    text = "The dog runs here.\nThe man eats now.\n"
    (tmp_path / "in.txt").write_text(text, encoding="utf-8")
    expected = run("translate", stdin=text).stdout
    assert run("translate", *text.splitlines()).stdout == expected
    assert run("translate", text.rstrip()).stdout == expected
    assert run("translate", "--input", tmp_path / "in.txt").stdout == expected
    output = tmp_path / "out.txt"
    assert run("translate", "--input", tmp_path / "in.txt", "--output", output).stdout == ""
    assert output.read_text(encoding="utf-8") == expected
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.txt", "out.txt"]


def test_json_is_one_object_a_line(run: Run) -> None:
    result = run("translate", "The dog runs.", "", "--json", "--n-best", "3")
    first, blank = [json.loads(line) for line in result.stdout.splitlines()]
    assert first["source"] == "The dog runs."
    assert first["n_best"][0] == {"translation": first["translation"], "score": first["score"]}
    assert len(first["n_best"]) == 3
    assert (blank["source"], blank["translation"]) == ("", "")


def test_n_best_and_scores(run: Run) -> None:
    lines = run("translate", "The dog runs.", "--n-best", "3", "--scores").stdout.splitlines()
    scores = [float(line.split("\t")[0]) for line in lines]
    assert len(lines) == 3
    assert scores == sorted(scores, reverse=True)


def test_n_best_wider_than_the_beam_is_an_error(run: Run) -> None:
    result = run("translate", "x", "--beam-size", "2", "--n-best", "3")
    assert_one_line(result, "n-best", "beam")


def test_an_interrupted_file_goes_on_where_it_stopped(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import translator.translate as module

    source, output = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text("".join(f"The dog runs {i}.\n" for i in range(10)))
    expected = run("translate", "--input", source).stdout
    monkeypatch.setattr(module, "_BLOCK", 4)
    translate_lines = module.Translator.translate_lines
    seen: list[int] = []

    def interrupted(self: object, lines: list[str], search: object) -> object:
        seen.append(len(lines))
        if len(seen) == 2:
            raise KeyboardInterrupt
        return translate_lines(self, lines, search)  # type: ignore[arg-type]

    monkeypatch.setattr(module.Translator, "translate_lines", interrupted)
    stopped = run("translate", "--input", source, "--output", output, "--quiet")
    assert_one_line(stopped, "4 of 10 lines are done", code=130)
    assert not output.exists()
    with open(tmp_path / "out.txt.partial", "ab") as file:
        file.write(b"half a li")  # as if killed while writing
    finished = run("translate", "--input", source, "--output", output)
    assert finished.exit_code == 0
    assert output.read_text() == expected
    assert seen == [4, 4, 4, 2]  # the first four lines were not translated again
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.txt", "out.txt"]


def test_another_job_does_not_go_on_from_a_partial_file(
    run: Run, model_folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.txt"
    (tmp_path / "out.txt.partial").write_text("from another job\n")
    note = {"job": "another", "lines": 1, "bytes": 17}
    (tmp_path / "out.txt.partial.json").write_text(json.dumps(note))
    assert run("translate", "The dog runs.", "--output", output).exit_code == 0
    assert "another" not in output.read_text()


def test_attention_picture(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for view in ("mean", "heads"):
        picture = tmp_path / f"{view}.png"
        result = run("translate", "The dog runs.", "--attention", picture, "--attention-view", view)
        assert result.exit_code == 0, result.stderr
        assert picture.read_bytes().startswith(b"\x89PNG")
    two = tmp_path / "two.png"
    assert run("translate", "The dog.", "The man.", "--attention", two).exit_code == 0
    assert (tmp_path / "two.1.png").exists() and (tmp_path / "two.2.png").exists()


def test_without_matplotlib_one_line_names_the_extra(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run("translate", "The dog runs.", "--attention", tmp_path / "a.png")
    assert_one_line(result, "small-nmt[plot]")


def test_quiet_silences_warnings_and_long_text_is_complete(run: Run) -> None:
    text = "The dog runs here today. " * 60
    loud, quiet = run("translate", text), run("translate", text, "--quiet")
    assert loud.exit_code == quiet.exit_code == 0
    assert loud.stderr.count("Warning:") == 1
    assert quiet.stderr == ""
    assert loud.stdout == quiet.stdout


# --- failures ---------------------------------------------------------------------------------


def test_a_missing_input_file(run: Run, tmp_path: Path) -> None:
    assert_one_line(run("translate", "--input", tmp_path / "no.txt"), "no.txt")


def test_input_that_is_not_utf8_names_file_and_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"fine\nM\xe4dchen\n")
    assert_one_line(run("translate", "--input", tmp_path / "latin.txt"), "latin.txt", "line 2")
    result = run("translate", stdin=b"M\xe4dchen\n")
    assert_one_line(result, "line 1", "UTF-8")


def test_an_output_that_is_a_folder_or_has_none(run: Run, tmp_path: Path) -> None:
    assert_one_line(run("translate", "x", "--output", tmp_path), "is a folder")
    assert_one_line(run("translate", "x", "--output", tmp_path / "no" / "out"), "no folder")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_without_permission(run: Run, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert_one_line(run("translate", "x", "--output", tmp_path / "out"), "permission")


def test_broken_models_are_one_line(run: Run, model_folder: Path, tmp_path: Path) -> None:
    assert_one_line(run("translate", "x", "--model", tmp_path / "none"), "none")
    assert_one_line(run("translate", "x", "--model", tmp_path), "config.json")

    copy = tmp_path / "copy"
    weights = copy / "model.safetensors"
    shutil.copytree(model_folder, copy)
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(data)
    assert_one_line(run("translate", "x", "--model", copy), "model.safetensors", "damaged")
    weights.write_bytes(data[:100])
    assert_one_line(run("translate", "x", "--model", copy), "model.safetensors", "damaged")
    (copy / "tokenizer.model").unlink()
    assert_one_line(run("translate", "x", "--model", copy), "tokenizer.model")


def test_a_direction_without_a_model(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_one_line(run("translate", "x", "--src", "de", "--tgt", "en"), "en-de")
    monkeypatch.delenv("TRANSLATOR_MODEL")
    assert_one_line(run("translate", "x", "--tgt", "fr"), "en-fr")


def test_an_unknown_device(run: Run) -> None:
    assert_one_line(run("translate", "x", "--device", "abacus"), "abacus", "cpu")


def test_debug_shows_the_traceback(run: Run, tmp_path: Path) -> None:
    result = run("translate", "x", "--model", tmp_path / "none", "--debug")
    assert result.exit_code == 1
    assert "Traceback" in result.stderr and "read_description" in result.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--preset", "huge"], ["huge", "tiny"]),
        (["--set", "train.pace=3"], ["train.pace"]),
        (["--set", "train.steps=soon"], ["train.steps", "int"]),
        (["--set", "steps=3"], ["section.key=value"]),
        (["--data", "no-such-corpus"], ["no-such-corpus", "sample"]),
        (["--config", "no.toml"], ["no.toml"]),
    ],
)
def test_train_with_wrong_settings(run: Run, args: list[str], words: list[str]) -> None:
    assert_one_line(run("train", *args), *words)


def test_train_with_a_broken_corpus(run: Run, tmp_path: Path) -> None:
    assert_one_line(run("train", "--data", tmp_path), "train.en")
    for name in ("train", "valid"):
        (tmp_path / f"{name}.en").write_text("a\nb\n")
        (tmp_path / f"{name}.de").write_text("a\n")
    assert_one_line(run("train", "--data", tmp_path), "train.en has 2", "train.de has 1")
    for path in tmp_path.iterdir():
        path.write_text("")
    assert_one_line(run("train", "--data", tmp_path), "no training pairs")


# --- train, evaluate, info --------------------------------------------------------------------

SMALL = [
    *("--set", "model.d_model=16", "--set", "model.d_ff=32", "--set", "model.n_heads=2"),
    *("--set", "model.n_encoder_layers=1", "--set", "model.n_decoder_layers=1"),
    *(
        "--set",
        "data.vocab_size=400",
        "--set",
        "train.max_tokens=300",
        "--set",
        "search.max_extra=4",
    ),
]


def test_train_then_use_the_run(run: Run, corpus_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = ["train", "--data", corpus_folder, "--run", folder, "--steps", "4", *SMALL]
    first = run(*command)
    assert first.exit_code == 0, first.stderr
    assert "BLEU" in first.stdout and "translator translate --model" in first.stdout
    assert "valid (20 sentences)" in first.stdout and "test (20 sentences)" in first.stdout
    assert "finished" in run(*command).stderr  # nothing is trained again
    different = run(*command, "--seed", "7")
    assert_one_line(different, "train.seed: 1 -> 7", "--fresh")
    longer = run(*command[: -len(SMALL) - 1], "6", *SMALL, "--json")
    assert json.loads(longer.stdout)["training"]["step"] == 6
    assert run(*command, "--seed", "7", "--fresh").exit_code == 0
    assert (tmp_path / "run.1" / "model.safetensors").exists()

    shown = run("info", folder)
    assert "en -> de" in shown.stdout and "BLEU" in shown.stdout
    assert json.loads(run("info", folder, "--json").stdout)["direction"] == {
        "src": "en",
        "tgt": "de",
    }
    assert run("translate", "The dog runs.", "--model", folder).exit_code == 0


def test_evaluate_forms_agree(run: Run, corpus_folder: Path, tmp_path: Path) -> None:
    hypotheses = tmp_path / "hyp.de"
    by_split = run(
        "evaluate", "--data", corpus_folder, "--split", "test", "--output", hypotheses, "--json"
    )
    assert by_split.exit_code == 0, by_split.stderr
    result = json.loads(by_split.stdout)
    assert (result["split"], result["sentences"]) == ("test", 20)
    assert set(result) == {
        *("split", "sentences", "scores", "search", "seconds", "sentences_per_second")
    }
    source, reference = corpus_folder / "test.en", corpus_folder / "test.de"
    by_file = run("evaluate", "--source", source, "--reference", reference, "--json")
    scored = run("evaluate", "--hypotheses", hypotheses, "--reference", reference, "--json")
    split_scored = run(
        "evaluate", "--hypotheses", hypotheses, "--data", corpus_folder, "--split", "test", "--json"
    )
    for other in (by_file, scored, split_scored):
        assert json.loads(other.stdout)["scores"] == result["scores"]
    several = run("evaluate", "--data", corpus_folder, "--split", "t", "--json")
    assert set(json.loads(several.stdout)["splits"]) == {"train", "test"}
    perfect = run(
        "evaluate", "--hypotheses", reference, "--reference", reference, "--metrics", "bleu,ter"
    )
    assert "100.00" in perfect.stdout and "TER     0.00" in perfect.stdout


def test_evaluate_failures(run: Run, corpus_folder: Path, tmp_path: Path) -> None:
    assert_one_line(
        run("evaluate", "--data", corpus_folder, "--split", "dev2"), "dev2", "train, valid, test"
    )
    (tmp_path / "short.de").write_text("ein\n")
    result = run(
        *("evaluate", "--source", corpus_folder / "test.en", "--reference", tmp_path / "short.de")
    )
    assert_one_line(result, "test.en has 20", "short.de has 1")
    assert_one_line(
        run("evaluate", "--data", corpus_folder, "--split", "t", "--output", tmp_path / "o"),
        "one split",
    )


@pytest.mark.skipif(not hasattr(signal, "SIGPIPE"), reason="needs pipes that break")
def test_a_reader_that_leaves_is_no_traceback(
    model_folder: Path, subprocess_environment: dict[str, str]
) -> None:
    command = f"{sys.executable} -m translator translate --model {model_folder} x y z | true"
    done = subprocess.run(
        ["bash", "-c", command], env=subprocess_environment, capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
