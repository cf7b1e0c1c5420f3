"""`translator translate -i FILE -o FILE` with documents."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from translator.cli.main import app


@pytest.fixture
def run(model_folder: Path):
    def run(*args: object) -> Result:
        options = ["translate", "--model", model_folder, "--device", "cpu", *args]
        return CliRunner().invoke(app, list(map(str, options)))

    return run


def test_a_document_is_known_by_its_ending(run, tmp_path: Path) -> None:
    source, target = tmp_path / "page.md", tmp_path / "out.md"
    source.write_text("# The *dog*\n\n```\nThe man\n```\n")
    result = run("-i", source, "-o", target)
    assert result.exit_code == 0 and result.stdout == ""
    written = target.read_text()
    assert written.startswith("# ") and written.endswith("\n\n```\nThe man\n```\n")
    assert f"{target}: 1 segments, 2 words" in result.stderr


def test_a_format_may_be_named_and_columns_chosen(run, tmp_path: Path) -> None:
    source, target = tmp_path / "table.data", tmp_path / "out.data"
    source.write_text("id,text\nThe dog,The man\n")
    assert run("-i", source, "-o", target, "--format", "csv", "--columns", "text").exit_code == 0
    assert target.read_text().startswith("id,text\nThe dog,")


def test_what_documents_do_not_have_is_wrong_usage(run, tmp_path: Path) -> None:
    source = tmp_path / "page.md"
    source.write_text("The dog")
    files = ("-i", source, "-o", tmp_path / "out.md")
    for options in (["--json"], ["--scores"], ["--prefix", "Der"], ["-n", 2], ["--format", "pdf"]):
        assert run(*files, *options).exit_code == 2
    assert run("-i", source, "--format", "markdown").exit_code == 2
    assert [file.name for file in tmp_path.iterdir()] == ["page.md"]


def test_a_broken_document_is_one_line(run, tmp_path: Path) -> None:
    source = tmp_path / "a.json"
    source.write_text('{\n"a": x}')
    result = run("-i", source, "-o", tmp_path / "b.json")
    assert result.exit_code == 1 and f"Error: {source}, line 2: " in result.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]
