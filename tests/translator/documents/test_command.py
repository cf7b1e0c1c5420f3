"""`translator translate -i FILE -o FILE` with documents."""

import functools
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from translator.cli.main import app


@pytest.fixture
def run(model_folder: Path):
    def run(*args: object, input: str | None = None) -> Result:
        options = ["translate", "--model", model_folder, "--device", "cpu", *args]
        return CliRunner().invoke(app, list(map(str, options)), input=input)

    return run


def test_a_document_is_known_by_its_ending(run, tmp_path: Path) -> None:
    source, target = tmp_path / "page.md", tmp_path / "out.md"
    source.write_text("# The *dog*\n\n```\nThe man\n```\n")
    result = run("-i", source, "-o", target)
    assert result.exit_code == 0 and result.stdout == ""
    written = target.read_text()
    assert written.startswith("# ") and written.endswith("\n\n```\nThe man\n```\n")
    assert f"{target}: 1 segments, 2 words" in result.stderr


def test_a_document_without_an_output_is_told_from_one(run, tmp_path: Path) -> None:
    source = tmp_path / "page.md"
    source.write_text("The dog\n")
    result = run("-i", source)
    assert result.exit_code == 0 and result.stdout.count("\n") == 1
    assert "line by line; --output FILE" in result.stderr
    result = run(source)
    assert result.exit_code == 0 and f"--input {source}" in result.stderr
    (tmp_path / "page.txt").write_text("The dog\n")
    assert run("-i", tmp_path / "page.txt").stderr == ""


def test_a_format_may_be_named_and_columns_chosen(run, tmp_path: Path) -> None:
    source, target = tmp_path / "table.data", tmp_path / "out.data"
    source.write_text("id,text\nThe dog,The man\n")
    assert run("-i", source, "-o", target, "--format", "csv", "--columns", "text").exit_code == 0
    assert target.read_text().startswith("id,text\nThe dog,")


def test_options_that_documents_lack_are_wrong_usage(run, tmp_path: Path) -> None:
    source = tmp_path / "page.md"
    source.write_text("The dog")
    files = ("-i", source, "-o", tmp_path / "out.md")
    for options in (["--json"], ["--scores"], ["--prefix", "Der"], ["-n", 2], ["--format", "pdf"]):
        assert run(*files, *options).exit_code == 2
    assert run("-i", source, "--format", "markdown").exit_code == 2
    assert run(*files, "--columns", "text").exit_code == 2
    assert [file.name for file in tmp_path.iterdir()] == ["page.md"]
    (tmp_path / "page.txt").write_text("The dog")
    assert run("-i", tmp_path / "page.txt", "--columns", "text").exit_code == 2
    assert run("The dog", "--columns", "text").exit_code == 2


def test_a_broken_document_is_one_line(run, tmp_path: Path) -> None:
    source = tmp_path / "a.json"
    source.write_text('{\n"a": x}')
    result = run("-i", source, "-o", tmp_path / "b.json")
    assert result.exit_code == 1 and f"Error: {source}, line 2: " in result.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_terms_and_checks_are_reported_last(run, tmp_path: Path) -> None:
    source, target, terms = tmp_path / "a.srt", tmp_path / "b.srt", tmp_path / "terms.tsv"
    source.write_text("1\n00:00:01,000 --> 00:00:02,000\nThe <i>dog</i> sees {name}.\n")
    terms.write_text("dog\tKöter\n")
    result = run("-i", source, "-o", target, "--terms", terms, "--check")
    assert result.exit_code == 0, result.stderr
    *_, kept, used = result.stderr.splitlines()
    assert kept.startswith("1 line; kept: 1 of 1 placeholders, 2 of 2 tags, ")
    assert used == "1 of 1 terms used."
    assert "Köter" in target.read_text() and "{name}" in target.read_text()


def test_lost_parts_are_named_and_fail(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from translator.text.codec import TextCodec

    decode = TextCodec.decode
    monkeypatch.setattr(TextCodec, "decode", lambda *args: decode(*args).replace("{name}", ""))
    source = tmp_path / "page.md"
    source.write_text("# The dog\n\nThe man sees {name}.\n")
    for files in (["-i", source, "-o", tmp_path / "out.md"], ["The dog\nThe man sees {name}."]):
        result = run(*files, "--check")
        assert result.exit_code == 1
        named, kept, error = result.stderr.splitlines()[-3:]
        assert '"{name}" is missing' in named and ("line 3" in named or "Line 2" in named)
        assert "0 of 1 placeholders" in kept
        assert error == "Error: 1 thing was not kept; the lines are named above."


@pytest.mark.parametrize("name", ["text.txt", "page.md"])
@pytest.mark.parametrize("first", [["--check"], []])
def test_an_interrupted_job_reports_all_its_lines(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, first: list[str]
) -> None:
    from translator.text.codec import TextCodec
    from translator.text.lines import blocks
    from translator.translation import files
    from translator.translation.translator import Translator

    decode, translate = TextCodec.decode, Translator.translate_lines
    asked: list[list[str]] = []

    def interrupted(self: Translator, lines: list[str], **options: object) -> object:
        asked.append(lines)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return translate(self, lines, **options)

    monkeypatch.setattr(files, "blocks", functools.partial(blocks, size=2))
    monkeypatch.setattr(TextCodec, "decode", lambda *args: decode(*args).replace("{name}", ""))
    monkeypatch.setattr(Translator, "translate_lines", interrupted)
    source, terms = tmp_path / name, tmp_path / "terms.tsv"
    terms.write_text("dog\tKöter\n")
    text = ["The dog sees {name}.", "The bird.", "The dog.", "The man sees {name}."]
    source.write_text("\n\n".join(text) + "\n")
    files_and_terms = ["-i", source, "-o", tmp_path / f"new-{name}", "--terms", terms]
    assert run(*files_and_terms, *first).exit_code == 130
    result = run(*files_and_terms, "--check")
    assert result.exit_code == 1
    *named, kept, used, error = result.stderr.splitlines()
    assert len(named := [line for line in named if "is missing" in line]) == 2
    assert "ine 1: " in named[0] and "ine 7: " in named[1]
    assert "0 of 2 placeholders" in kept and used == "2 of 2 terms used."
    assert error.startswith("Error: 2 things were not kept")
    assert asked[1] == asked[2]


def test_a_conversation_is_reported_too(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from translator.cli.input import Lines
    from translator.text.codec import TextCodec

    decode = TextCodec.decode
    monkeypatch.setattr(TextCodec, "decode", lambda *args: decode(*args).replace("{name}", ""))
    monkeypatch.setattr(Lines, "interactive", True)
    terms = tmp_path / "terms.tsv"
    terms.write_text("dog\tKöter\n")
    result = run("--check", "--terms", terms, input="The dog.\nThe man sees {name}.\n:quit\n")
    assert result.exit_code == 1
    named, kept, used, error = result.stderr.splitlines()[-4:]
    assert named.endswith('Line 2: "{name}" is missing.') and "2 lines; kept: " in kept
    assert used == "1 of 1 terms used." and error.startswith("Error: 1 thing was not kept")


def test_attention_knows_no_terms(run, tmp_path: Path) -> None:
    terms = tmp_path / "terms.tsv"
    terms.write_text("dog\tKöter\n")
    result = run("The dog.", "--terms", terms, "--attention", tmp_path / "a.json")
    assert result.exit_code == 2 and "--terms" in result.stderr
    assert not (tmp_path / "a.json").exists()


def test_terms_in_json_and_a_wrong_file(run, tmp_path: Path) -> None:
    terms = tmp_path / "terms.tsv"
    terms.write_text("dog\tKöter\n")
    result = run("The dog runs. The man sees the dog.", "--terms", terms, "--json")
    found = json.loads(result.stdout)
    assert [term["source"] for term in found["terms"]] == ["dog", "dog"]
    assert all(term["used"].startswith("Köter") for term in found["terms"])
    terms.write_text("dog\n")
    result = run("The dog runs.", "--terms", terms)
    assert result.exit_code == 1 and f"Error: {terms}, line 1: " in result.stderr
