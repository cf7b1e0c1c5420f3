"""Help, short options, hints, and the edges of the process: streams, arguments, completion."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from commands import Run, assert_one_line, assert_usage
from typer.testing import CliRunner

from translator.cli.main import app
from translator.config.schema import SearchConfig

ROOT = typer.main.get_command(app)
COMMANDS = [[name] for name in ROOT.commands] + [  # type: ignore[attr-defined]
    ["prepare", name]
    for name in ROOT.commands["prepare"].commands  # type: ignore[attr-defined]
]


def help_of(*command: str, width: int = 80) -> str:
    result = CliRunner(env={"COLUMNS": str(width)}).invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_an_example_and_fits_80_columns_and_60_lines(command: list[str]) -> None:
    text = help_of(*command)
    assert len(text.splitlines()) <= 60
    assert max(map(len, text.splitlines())) <= 80
    assert f"translator {' '.join(command)}" in text.split("Examples:")[1]


def test_help_of_translate_has_a_panel_for_the_search() -> None:
    text = help_of("translate")
    panel = text.split("Search (default: the model's own settings):")[1].split("\nOutput:")[0]
    options = [line.split("--")[1].split()[0] for line in panel.splitlines() if "--" in line]
    assert {name.replace("-", "_") for name in options} < set(SearchConfig.__dataclass_fields__)
    assert "--decode beam|sample|mbr" in panel and "--length-penalty" in panel


def test_help_of_the_program_is_in_groups_with_translate_first() -> None:
    lines = help_of().splitlines()
    first = lines.index("Translate:")
    assert lines[first + 1].startswith("  translate ")
    assert first < lines.index("Train:") < lines.index("Models:")


def test_every_search_setting_is_spelled_alike_in_every_command() -> None:
    seen: dict[str, set[str]] = {}
    for command in COMMANDS:
        found = ROOT
        for name in command:
            found = found.commands[name]  # type: ignore[attr-defined]
        for option in found.params:
            if option.name in SearchConfig.__dataclass_fields__ and command != ["train"]:
                seen.setdefault(option.name, set()).add(str(option.help))
    seen.pop("seed")  # of a run, too
    assert len(seen) > 10
    assert [name for name, texts in seen.items() if len(texts) > 1] == []


def test_short_options(run: Run, model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("The dog runs here.\n", encoding="utf-8")
    long = ["--input", tmp_path / "in", "--model", model_folder, "--n-best", 2, "--quiet"]
    short = ["-i", tmp_path / "in", "-m", model_folder, "-n", 2, "-q"]
    expected = run("translate", *long)
    assert expected.exit_code == 0 and expected.stdout.count("\n") == 2
    assert run("translate", *short).stdout == expected.stdout
    assert run("translate", *short, "-o", tmp_path / "out").stdout == ""
    assert (tmp_path / "out").read_text(encoding="utf-8") == expected.stdout


def test_a_dash_is_standard_input_or_output(run: Run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = "The dog runs here.\nThe man eats now.\n"
    expected = run("translate", stdin=text).stdout
    assert run("translate", "-", stdin=text).stdout == expected
    assert run("translate", "-i", "-", "-o", "-", stdin=text).stdout == expected
    assert list(tmp_path.iterdir()) == []


def test_words_without_quotes_are_one_text(run: Run) -> None:
    joined = run("translate", "The", "dog", "runs", "here.")
    assert joined.stdout == run("translate", "The dog runs here.").stdout
    assert "one text" in joined.stderr
    assert run("translate", "The dog runs.", "", "Here").stdout.count("\n") == 3


def test_an_output_file_ends_with_a_line_of_what_was_done(run: Run, tmp_path: Path) -> None:
    command = ["translate", "The dog runs here.", "-o", tmp_path / "out"]
    assert f"{tmp_path / 'out'}: 1 line translated in " in run(*command).stderr
    assert run(*command, "--quiet").stderr == ""


@pytest.mark.parametrize(
    ("args", "meant"),
    [
        (["translat"], "translate"),
        (["translate", "--beam-siz", "1", "x"], "--beam-size"),
        (["train", "--preset", "tny"], "tiny"),
        (["train", "--set", "train.step=1"], "train.steps"),
        (["evaluate", "--data", "sample", "--set", "search.beamsize=1"], "search.beam_size"),
    ],
)
def test_near_misses_get_a_hint(run: Run, args: list[str], meant: str) -> None:
    result = run(*args)
    assert_usage(result, meant)
    assert "id you mean" in result.stderr or "Possible options" in result.stderr


@pytest.mark.parametrize("args", [["translate", "x", "-m"], ["info"]])
def test_near_misses_of_models_get_a_hint(run: Run, args: list[str]) -> None:
    assert_one_line(run(*args, "multi30k-en-ed"), 'Did you mean "multi30k-en-de"?')


def test_near_misses_of_corpora_get_a_hint(run: Run) -> None:
    assert_one_line(run("train", "--data", "mutli30k"), 'Did you mean "multi30k"?')


# --- real processes -----------------------------------------------------------------------------


@pytest.fixture
def shell(subprocess_environment: dict[str, str], model_folder: Path):
    """Runs a line of bash in which `translator` is the command."""
    program = f"{sys.executable} -m translator"

    def call(line: str) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            ["bash", "-c", f'translator() {{ {program} "$@"; }}; {line}'],
            env={**subprocess_environment, "TRANSLATOR_MODEL": str(model_folder)},
            capture_output=True,
            timeout=300,
        )

    return call


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("translator translate --quiet <&-", 0),
        ("translator translate 'The dog runs.' >&-", 0),
        ("translator translate 'The dog runs.' 2>&-", 0),
        ("translator translate <&- >&- 2>&-", 0),
        ("translator translate --no-such-option 2>&-", 2),
        ("translator translate $'M\\xe4dchen'", 2),
        ("translator train --data $'M\\xe4dchen'", 2),
        (
            "yes 'The dog.' | head -50 | translator translate | head -1; "
            "[[ ${PIPESTATUS[2]} =~ ^(0|141)$ ]]",
            0,
        ),
        ("translator --help | true; exit 0", 0),
    ],
)
def test_closed_streams_and_broken_arguments_have_no_traceback(shell, line: str, code: int) -> None:
    done = shell(line)
    assert done.returncode == code, done.stderr
    assert b"Traceback" not in done.stderr and b"Exception" not in done.stderr
    assert len(done.stderr.splitlines()) <= 1


def test_an_argument_that_is_not_utf8_is_named(shell) -> None:
    assert shell("translator translate $'M\\xe4dchen'").stderr == (
        b"Error: an argument is not UTF-8: 'M\\xe4dchen'.\n"
    )


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_shells_can_complete(name: str, subprocess_environment: dict[str, str]) -> None:
    words = "translator translate --length-" if name != "fish" else ""
    environment = subprocess_environment | {
        "_TRANSLATOR_COMPLETE": f"complete_{name}",
        "COMP_WORDS": words,
        "COMP_CWORD": "2",
        "_TYPER_COMPLETE_ARGS": "translator translate --length-",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    done = subprocess.run(
        [sys.executable, "-m", "translator"], env=environment, capture_output=True, text=True
    )
    assert "--length-penalty" in done.stdout


def test_help_needs_nothing_heavy(subprocess_environment: dict[str, str]) -> None:
    code = (
        "import sys, runpy; sys.argv = ['translator', *sys.argv[1:]]\n"
        "try: runpy.run_module('translator', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print(*(m for m in ('torch', 'numpy', 'datasets', 'sacrebleu', 'rich') "
        "if m in sys.modules), file=sys.stderr)"
    )
    for args in (["--help"], ["translate", "--help"], ["prepare", "--help"], ["--version"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *args],
            env=subprocess_environment,
            capture_output=True,
            text=True,
        )
        assert (done.stderr, bool(done.stdout)) == ("\n", True)


def test_models_and_info_are_for_people(run: Run, tmp_path: Path, model_folder: Path) -> None:
    (tmp_path / "run").symlink_to(model_folder)
    (tmp_path / "empty").mkdir()
    shown = run("models", "--runs", tmp_path).stdout
    for text in ("multi30k-en-de", "en -> de", "multi30k-de-en", "de -> en", "2.1 million", "BLEU"):
        assert text in shown
    assert str(tmp_path / "run") in shown and "no scores" in shown and "empty" not in shown
    about = run("info", "multi30k-en-de").stdout
    assert "{" not in about and "None" not in about
    assert "1 thread)" in about and "in 47 minutes" in about


def test_info_takes_a_direction(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRANSLATOR_MODEL")
    german = run("info", "--src", "de").stdout
    assert german == run("info", "general-de-en").stdout
    assert german == run("info", "--tgt", "en").stdout != run("info").stdout
    assert german == run("info", "--src", "DE-at", "--tgt", "en-US").stdout


def test_durations_are_those_of_people() -> None:
    from translator.cli.info import _duration

    assert [_duration(s) for s in (1, 40, 61, 3600, 7500)] == [
        *("1 second", "40 seconds", "1 minute", "1 hour", "2 hours 5 minutes")
    ]


def test_a_short_name_is_a_model(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    by_name = run("translate", "Ein Hund", "-m", "multi30k-de-en", "--beam-size", "1")
    assert by_name.exit_code == 0 and "dog" in by_name.stdout
    assert os.listdir(tmp_path) == []
