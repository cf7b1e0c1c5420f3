"""`translator prepare`: what it leaves for `train`, what it says, and how it fails."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from data_prep.prepared import cleaned as preparing_corpora
from data_prep.prepared import encoded as encoding
from data_prep.prepared import prepare as preparing
from data_prep.prepared import shard_passes
from data_prep.sources.catalogue import CORPORA, corpus_table
from data_prep.sources.mapped import is_prepared
from translator.cli.main import app
from translator.config.schema import Config
from translator.text.tokenizer import Tokenizer

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in `tmp_path`, with a cache of its own there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANSLATOR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    return lambda *args: CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture
def prepare(run: Run, corpus_folder: Path, tiny_options: list[str]) -> Run:
    """`translator prepare` on the tiny corpus."""
    return lambda *args: run("prepare", "--data", corpus_folder, *tiny_options, *args)


@pytest.fixture
def nothing_is_done_again(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on, work on a corpus is an error."""

    def fail(*_args: Any, **_options: Any) -> None:
        raise AssertionError("this was done before")

    def forbid() -> None:
        monkeypatch.setattr(preparing_corpora, "make_shards", fail)
        monkeypatch.setattr(encoding, "make_shards", fail)
        monkeypatch.setattr(Tokenizer, "train", fail)

    return forbid


@pytest.fixture
def settings_of(run: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Config]:
    """The settings that `translator train` makes of its options."""

    def call(*args: object) -> Config:
        found: list[Config] = []
        with monkeypatch.context() as patch:
            patch.setattr(
                "translator.training.train.train", lambda config, *_a, **_o: found.append(config)
            )
            result = run("train", *args)
        assert result.exit_code == 0, result.output
        return found[0]

    return call


def assert_one_line(result: Result, *words: str, code: int = 1) -> None:
    assert result.exit_code == code, result.output
    assert result.stdout == "" and len(result.stderr.splitlines()) == 1, result.output
    assert all(str(word) in result.stderr for word in words), result.stderr


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()}


# --- what it leaves -----------------------------------------------------------------------------

OPTIONS: list[list[str]] = [
    [],
    ["--src", "de", "--tgt", "en", "--preset", "small"],
    ["--config", "my settings.toml", "--set", "noise.typos=0.1", "--set", "data.vocab_size=350"],
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("output", [None, "my folder"])
def test_train_finds_all_of_it_done(
    prepare: Run,
    settings_of: Callable[..., Config],
    nothing_is_done_again: Callable[[], None],
    tmp_path: Path,
    corpus_folder: Path,
    tiny_options: list[str],
    options: list[str],
    output: str | None,
) -> None:
    """By the same options, and by the command that it prints."""
    (tmp_path / "my settings.toml").write_text("[clean]\nmax_words = 50\n[data]\nmax_length = 70\n")
    result = prepare(*options, *(["--output", output] if output else []))
    assert result.exit_code == 0, result.output
    last = result.stdout.splitlines()[-1]
    command = shlex.split(last.removeprefix("Train with it:  "))
    assert command[:4] == ["translator", "train", "--data", output or str(corpus_folder)]
    nothing_is_done_again()
    for args in (command[2:], ["--data", output or corpus_folder, *tiny_options, *options]):
        data = preparing.prepare_data(settings_of(*args))
        assert data is not None and len(data.train) == 200
    again = prepare(*options, *(["--output", output] if output else []))
    assert again.exit_code == 0 and again.stdout == result.stdout


def test_an_output_folder_is_a_corpus_of_its_own(
    prepare: Run, run: Run, corpus_folder: Path, tmp_path: Path
) -> None:
    before = snapshot(corpus_folder)
    assert prepare("--output", "out").exit_code == 0
    assert is_prepared(tmp_path / "out")
    assert not (tmp_path / "cache").exists()
    assert snapshot(corpus_folder) == before
    assert_one_line(
        prepare("--output", "out", "--set", "clean.max_words=9"), "out", "something else"
    )
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("x")
    for folder in ("mine", corpus_folder):
        assert_one_line(prepare("--output", folder), "something else", "--output")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["letter.txt"]
    assert snapshot(corpus_folder) == before


def test_a_mixture_is_prepared(run: Run, corpus_folder: Path, tiny_options: list[str]) -> None:
    name = f"{corpus_folder}:1,{corpus_folder}:0.5"
    result = run("prepare", "--data", name, *tiny_options)
    assert result.exit_code == 0, result.output
    assert f"{corpus_folder}: 200 of 200 pairs" in result.stdout
    assert f"{corpus_folder} (weight 0.5): 200 of 200 pairs" in result.stdout
    assert f"translator train --data {name} " in result.stdout


# --- what it says -------------------------------------------------------------------------------


def test_the_report_comes_in_three_forms(prepare: Run, tmp_path: Path) -> None:
    text = prepare("--quiet")
    data = prepare("--json", "--report", "page.html")
    assert (text.stderr, data.stderr) == ("", "")
    report = json.loads(data.stdout)
    assert report["complete"] is True and report["languages"] == ["en", "de"]
    (part,) = report["corpora"]
    assert part["before"]["pairs"] == part["after"]["pairs"] == part["encoded"] == 200
    assert part["held_out"] == {"valid": 20, "test": 20}
    assert part["folder"].startswith(str(tmp_path / "cache"))
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    for found in (text.stdout, page):
        assert "200 of 200 pairs are worth training on (100.00%)" in found
        assert f"{report['vocabulary']['size']} for both languages (unigram)" in found


def test_list_needs_nothing(subprocess_environment: dict[str, str]) -> None:
    code = (
        "import sys, socket, typer.testing, translator.cli.main as c\n"
        "socket.create_connection = socket.getaddrinfo = None\n"
        "run = typer.testing.CliRunner().invoke\n"
        "print(run(c.app, ['prepare', '--list', *sys.argv[1:]]).stdout)\n"
        "heavy = {'torch', 'numpy', 'datasets', 'sacrebleu', 'sentencepiece'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    text, table = (
        subprocess.run(
            [sys.executable, "-c", code, *more],
            **{"env": subprocess_environment, "check": True, "capture_output": True, "text": True},
        ).stdout
        for more in ([], ["--json"])
    )
    assert all(re.search(rf"^{name} ", text, re.MULTILINE) for name in (*CORPORA, "sample"))
    assert json.loads(table) == json.loads(json.dumps(corpus_table()))


def test_bars_go_to_stderr(prepare: Run) -> None:
    result = prepare("--progress")
    assert all(word in result.stderr for word in ("reading", "cleaning", "encoding"))
    assert "cleaning" not in result.stdout


def test_help_names_all_options_and_both_commands(run: Run) -> None:
    import typer.main

    bare = run("prepare")
    assert bare.exit_code == run("prepare", "--nonsense").exit_code == 2
    for result in (bare, run("prepare", "--help")):
        text = result.stdout + result.stderr
        for word in ("--list", "--output", "back-translate", "forward-translate"):
            assert word in text
    group = typer.main.get_command(app).commands["prepare"]  # type: ignore[attr-defined]
    options = [p for p in group.params if p.name != "help"]
    assert options and all(getattr(option, "help", None) for option in options)


# --- how it fails -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["--workers", "0"], "--workers"),
        (["--report", "report.txt"], "--report"),
        (["--report", "train.en"], "--report"),
        (["--data", "sample:1,sample:2", "--output", "out"], "--output"),
        (["--quiet", "back-translate", "--mono", "x", "--model", "y"], "--quiet"),
        (["--data", "sample", "forward-translate", "--mono", "x", "--model", "y"], "--data"),
        (["multi30k"], "multi30k"),
        (["--set", "clean.nonsense=1"], "clean.nonsense"),
        (["--preset", "giant"], "giant"),
    ],
)
def test_wrong_usage(run: Run, tmp_path: Path, args: list[str], word: str) -> None:
    result = run("prepare", *args)
    assert result.exit_code == 2 and result.stdout == "", result.output
    assert word in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--data", "no-such-corpus"], ["no-such-corpus", "multi30k"]),
        (["--set", "clean.max_words=1"], ["no usable pairs", "200 too long", "--set clean."]),
        (["--src", "fr"], ["train.fr"]),
        (["--report", "no/where.html"], ["no"]),
        (["--data", "sample,sample"], ["A:1.0,B:3.0"]),
    ],
)
def test_failures_are_one_line(prepare: Run, args: list[str], words: list[str]) -> None:
    assert_one_line(prepare(*args), *words)


@pytest.mark.parametrize(
    ("module", "function", "words"),
    [
        (preparing_corpora, "open_corpus", ["nothing is done yet"]),
        (shard_passes, "_learn", ["200 pairs read;"]),
        (preparing, "learn_tokenizer", ["200 pairs read, 200 pairs cleaned;"]),
    ],
)
def test_ctrl_c_says_what_is_done(
    prepare: Run, monkeypatch: pytest.MonkeyPatch, module: Any, function: str, words: list[str]
) -> None:
    def interrupt(*_args: Any, **_options: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, function, interrupt)
        stopped = prepare("--output", "parts")
    assert_one_line(stopped, *words, "the same command continues", code=130)
    done = prepare("--output", "parts")
    assert done.exit_code == 0
    assert done.stdout == prepare("--output", "whole").stdout.replace("whole", "parts")
