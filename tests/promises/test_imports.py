"""Imports point down: a wing uses itself and the wings before it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import translator

REPOSITORY = Path(__file__).parents[2]
WINGS = [  # in their order; `serve` is still to come
    *(f"translator.{wing}" for wing in ("config", "system", "text", "model", "storage", "report")),
    *(
        f"data_prep.{wing}"
        for wing in ("sample", "sources", "cleaning", "augmentation", "prepared")
    ),
    *("translator.search", "translator.translation", "translator.export", "translator.documents"),
    *("data_prep.back_translate", "translator.evaluation", "translator.training"),
    *("translator.serve", "translator.cli", "translator.__main__"),
]
FILES = [file for top in ("translator", "data_prep") for file in (REPOSITORY / top).rglob("*.py")]
MODULES = {".".join(file.relative_to(REPOSITORY).with_suffix("").parts): file for file in FILES}
PUBLIC = {"translator.__init__", "data_prep.__init__"}  # give out names of all wings, lazily


def wing_of(module: str) -> int:
    return next(i for i, name in enumerate(WINGS) if f"{module}.".startswith(f"{name}."))


def imported_modules(source: str) -> set[str]:
    """The modules of both packages that a source imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
    return names & MODULES.keys()


@pytest.mark.parametrize("module", sorted(MODULES.keys() - PUBLIC))
def test_imports_point_down(module: str) -> None:
    for imported in imported_modules(MODULES[module].read_text(encoding="utf-8")):
        assert wing_of(imported) <= wing_of(module), f"{module} imports {imported}"
        if module.startswith("data_prep") and module != "data_prep.back_translate":
            # What prepares data knows no model.
            assert not imported.startswith(("translator.model", "translator.storage")), module


def test_the_import_reader_sees_all_forms() -> None:
    lines = (
        "import translator.text.lines",
        "from translator.text import codec",
        "def f():\n    from translator.config.schema import Config",
    )
    expected = {"translator.text.lines", "translator.text.codec", "translator.config.schema"}
    assert imported_modules("\n".join(lines)) == expected


def test_public_names_exist() -> None:
    for name in translator.__all__:
        assert getattr(translator, name).__name__ == name


def test_no_module_is_a_drawer_for_everything() -> None:
    drawers = {"utils", "util", "helpers", "base", "constants", "common", "misc"}
    assert not {file.stem for file in FILES} & drawers


@pytest.mark.parametrize("wing", ["config", "cli", "text.lines"])
def test_light_wings_import_no_torch(wing: str, subprocess_environment: dict[str, str]) -> None:
    modules = [name for name in MODULES if name.startswith(f"translator.{wing}")]
    code = f"import sys, {', '.join(modules)}\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], env=subprocess_environment, check=True)


def test_help_imports_nothing_heavy(subprocess_environment: dict[str, str]) -> None:
    code = (
        "import sys, typer.testing, translator.cli.main as c\n"
        "for command in ([], ['train'], ['translate'], ['serve']):\n"
        "    args = [*command, '--help']\n"
        "    assert typer.testing.CliRunner().invoke(c.app, args).exit_code == 0\n"
        "heavy = {'torch', 'numpy', 'datasets', 'sacrebleu', 'sentencepiece', 'starlette'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], env=subprocess_environment, check=True)
